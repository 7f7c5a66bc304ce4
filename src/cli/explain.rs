//! `ferrybox explain`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::client::Client;
use super::history;
use super::place::asking;
use super::render::{BOLD, DIM, PLAIN, ago, bytes, counted, escape, next};
use super::{Common, FAILED, OK, block_on, print};
use crate::env;
use crate::model::api::{ChangeOf, Explained, RowOf, ViewOf};

/// Tell one path's whole story: what is here, what is in Dropbox, what is to be done and why not
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox explain ~/Documents/report.odt
  ferrybox explain report.odt --json | jq .row

Exit codes: 0 explained, 1 there is and was no such path, 4 no daemon has run yet, 64 the path is in no synced folder, or the command line or the
configuration is wrong")]
pub(super) struct Explain {
    /// A file or directory in a synced folder, whether it is still there or not
    path: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        let loaded = common.load_lightly()?;
        let client = Client::or_offline(&loaded.config);
        let route = asking("/v1/explain", Some(&self.path), &loaded.config)?;
        let explained: Explained = block_on(client.get(&route))?;
        if self.json {
            print(&format!("{}\n", serde_json::to_string_pretty(&explained)?))?;
        } else {
            print(&text(&explained, env::timestamp()))?;
        }
        Ok(if explained.known { OK } else { FAILED })
    }
}

fn text(explained: &Explained, now: Timestamp) -> String {
    let mut out = String::new();
    let mut line = |label: &str, text: &str| {
        let _ = writeln!(out, "  {DIM}{label:<10}{PLAIN}{text}");
    };
    line("summary", &escape(&explained.summary));
    line(
        "folder",
        &format!("{} ({}, account {})", escape(&explained.folder), explained.mode, escape(&explained.account)),
    );
    line("in Dropbox", &escape(&explained.remote_path));
    if let Some(rule) = &explained.ignored {
        let at = if rule.at == explained.path { String::new() } else { format!(", at {}", escape(&rule.at)) };
        line("ignored by", &format!("`{}` ({}{at})", escape(&rule.pattern), escape(&rule.source)));
    }
    line("local", &view(&explained.local, now));
    line("base", &explained.base.as_ref().map_or_else(|| "both sides never agreed".to_owned(), |base| view(base, now)));
    line("remote", &view(&explained.remote, now));
    line("to do", &escape(&explained.action_text));
    if let Some(row) = &explained.row {
        line("queue", &queued(row, now));
    }
    if let Some(change) = &explained.change {
        line("commit", &staged(change, now));
    }
    if let Some(copy) = &explained.conflict {
        line("conflict", &format!("this version is kept at {}", escape(copy)));
    }
    if explained.local.kind == "folder" {
        let below = explained.below;
        let problems = counted(below.problems, "problem", "problems");
        line("below", &format!("{} on their way, {problems}", counted(below.pending, "path", "paths")));
    }
    let path = escape(&format!("{}/{}", explained.folder.trim_end_matches('/'), explained.path));
    let log = if explained.history.is_empty() { String::new() } else { history::table(&explained.history, now) };
    format!("{BOLD}{path}{PLAIN}\n{out}{log}")
}

fn view(view: &ViewOf, now: Timestamp) -> String {
    let mut parts = vec![match view.kind.as_str() {
        "absent" => "nothing is there".to_owned(),
        "unlisted" => "Dropbox has not said yet".to_owned(),
        "unknown" => "cannot be looked at".to_owned(),
        kind => kind.to_owned(),
    }];
    parts.extend(view.size.map(bytes));
    parts.extend(view.modified.as_deref().map(|at| format!("changed {}", ago(at, now))));
    parts.extend(view.rev.as_deref().map(|rev| format!("rev {}", escape(rev))));
    parts.extend(view.content_hash.as_deref().map(|hash| format!("hash {}", hash.get(..12).unwrap_or(hash))));
    parts.extend(view.note.as_deref().map(escape));
    parts.join(", ")
}

fn queued(row: &RowOf, now: Timestamp) -> String {
    let mut text = format!("{}, since {}, generation {}", escape(&row.state), ago(&row.since, now), row.generation);
    if row.attempts > 0 {
        let _ = write!(text, ", {}", counted(row.attempts.into(), "failed try", "failed tries"));
    }
    let _ = match &row.next_try {
        Some(at) => write!(text, ", next try {}", next(at, now)),
        None => write!(text, ", next try when it changes"),
    };
    if let Some(why) = &row.text {
        let _ = write!(text, ": {}", escape(why));
    }
    text
}

fn staged(change: &ChangeOf, now: Timestamp) -> String {
    let over = change.rev.as_deref().map(|rev| format!(" over rev {}", escape(rev))).unwrap_or_default();
    let kind = escape(&change.kind);
    format!("{kind} to {}{over}, {}, since {}", escape(&change.to), escape(&change.state), ago(&change.since, now))
}
