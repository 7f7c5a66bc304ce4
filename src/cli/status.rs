//! `ferrybox status`.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::client::Client;
use super::render::{
    BOLD, DIM, PLAIN, RED, YELLOW, account_colour, ago, bytes, count, counted, escape, folder_colour, next, seconds,
    word, work,
};
use super::{Common, OK, block_on, print};
use crate::env;
use crate::model::status::{AccountStatus, FolderStatus, Status as Snapshot};

/// Transfers shown below a folder; the rest is a number.
const ACTIVE: usize = 8;

/// Show accounts, folders, pending work, rates, time left and problems
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox status
  ferrybox status --json | jq '.accounts[].folders[].state'

Exit codes: 0 shown, 4 no daemon runs, 64 the command line or the configuration is wrong")]
pub(super) struct Status {
    /// The whole status as JSON
    #[arg(long)]
    json: bool,
    /// Show it again every second, until interrupted
    #[arg(long, short)]
    watch: bool,
}

impl Status {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        let loaded = common.load_lightly()?;
        let client = Client::new(&loaded.config.daemon);
        block_on(async {
            let mut shown = None;
            loop {
                let status: serde_json::Value = client.get("/v1/status").await?;
                self.show(status, &mut shown)?;
                if !self.watch {
                    return Ok(OK);
                }
                env::sleep(Duration::from_secs(1)).await;
            }
        })
    }

    fn show(&self, status: serde_json::Value, shown: &mut Option<String>) -> anyhow::Result<()> {
        if self.json {
            // As the daemon said it, unknown fields of a newer one included.
            let text =
                if self.watch { serde_json::to_string(&status)? } else { serde_json::to_string_pretty(&status)? };
            return print(&format!("{text}\n"));
        }
        let status: Snapshot = serde_json::from_value(status)?;
        if !self.watch {
            return print(&text(&status, env::timestamp()));
        }
        if std::io::stdout().is_terminal() {
            // Home, the new text, and whatever was below it cleared: no flicker.
            let text = text(&status, env::timestamp()).replace('\n', "\x1b[K\n");
            return print(&format!("\x1b[H{text}\x1b[J"));
        }
        let lines = lines(&status);
        if shown.as_ref() != Some(&lines) {
            print(&lines)?;
            *shown = Some(lines);
        }
        Ok(())
    }
}

/// One plain line a folder.
pub(super) fn lines(status: &Snapshot) -> String {
    let mut out = String::new();
    for account in &status.accounts {
        if account.folders.is_empty() {
            let _ = writeln!(out, "{}: {}{}", account.name, word(&account.state), because(account.reason.as_deref()));
        }
        for folder in &account.folders {
            let (name, local) = (escape(&account.name), escape(&folder.local));
            let _ = write!(out, "{name} {local}: {}", word(&folder.state));
            let work = work(folder);
            if !work.is_empty() {
                let _ = write!(out, ", {work}");
            }
            if folder.problems > 0 {
                let _ = write!(out, ", {}", counted(folder.problems, "problem", "problems"));
            }
            let _ = writeln!(out, "{}", because(folder.reason.as_deref()));
        }
    }
    out
}

fn because(reason: Option<&str>) -> String {
    reason.map(|r| format!(": {}", escape(r))).unwrap_or_default()
}

/// The view for people. Colours are taken out where they do not belong by whoever prints it.
pub(super) fn text(status: &Snapshot, now: Timestamp) -> String {
    let mut out = String::new();
    let (version, uptime) = (escape(&status.version), seconds(status.uptime_s));
    let _ = writeln!(out, "{BOLD}ferrybox {version}{PLAIN}, running for {uptime} {DIM}(pid {}){PLAIN}", status.pid);
    if status.accounts.is_empty() {
        out.push_str("\nNo account is configured: run `ferrybox link`.\n");
    }
    for account in &status.accounts {
        out.push('\n');
        one_account(&mut out, account, now);
    }
    out
}

/// `label` in its column.
fn row(out: &mut String, indent: usize, label: &str, text: &str) {
    let width = 16_usize.saturating_sub(indent);
    let _ = writeln!(out, "{:indent$}{DIM}{label:<width$}{PLAIN}{text}", "");
}

fn one_account(out: &mut String, account: &AccountStatus, now: Timestamp) {
    let email = account.email.as_deref().map(|e| format!(" {DIM}({}){PLAIN}", escape(e))).unwrap_or_default();
    let colour = account_colour(account);
    let _ = writeln!(out, "{BOLD}{}{PLAIN}{email}  {colour}{}{PLAIN}", escape(&account.name), word(&account.state));
    if let Some(reason) = &account.reason {
        row(out, 2, "why", &escape(reason));
    }
    if let Some(space) = &account.space {
        row(out, 2, "space", &format!("{} of {} used", bytes(space.used), bytes(space.allocated)));
    }
    if let Some(until) = &account.rate_limited_until {
        row(out, 2, "next call", &next(until, now));
    }
    if let Some(budget) = account.data_transport.budget {
        let calls = count(account.data_transport.calls);
        row(out, 2, "data transport", &format!("{calls} of {} calls this month", count(budget)));
    }
    let remote = &account.remote;
    if remote.listing {
        row(
            out,
            2,
            "listing",
            &format!("{} known so far", counted(remote.entries.max(remote.listed), "entry", "entries")),
        );
    } else if let Some(age) = remote.cursor_age_s {
        row(
            out,
            2,
            "in Dropbox",
            &format!("{}, as of {} ago", counted(remote.entries, "entry", "entries"), seconds(age)),
        );
    }
    if let Some(reason) = &remote.reason {
        row(out, 2, "", &format!("{YELLOW}{}{PLAIN}", escape(reason)));
    }
    if remote.problems > 0 {
        let names = counted(remote.problems, "name", "names");
        row(out, 2, "", &format!("{RED}{names} in Dropbox cannot be here{PLAIN}: `ferrybox problems` lists them"));
    }
    if account.commit.entries > 0 {
        let since = account.commit.since.as_deref().map(|s| format!(", since {}", ago(s, now))).unwrap_or_default();
        let entries = counted(account.commit.entries, "entry", "entries");
        row(out, 2, "commit", &format!("{} {entries}{since}", escape(&account.commit.state)));
        if let Some(reason) = &account.commit.reason {
            row(out, 2, "", &format!("{YELLOW}{}{PLAIN}", escape(reason)));
        }
    }
    for folder in &account.folders {
        one_folder(out, folder, now);
    }
}

fn one_folder(out: &mut String, folder: &FolderStatus, now: Timestamp) {
    let (local, remote, mode) = (escape(&folder.local), escape(&folder.remote), escape(&folder.mode));
    let remote = if remote.is_empty() { "/".to_owned() } else { remote };
    let _ = writeln!(out, "  {local} -> {remote} {DIM}({mode}){PLAIN}");
    let mut state = format!("{}{}{PLAIN}", folder_colour(folder.state), word(&folder.state));
    if let Some(reason) = &folder.reason {
        let _ = write!(state, ": {}", escape(reason));
    }
    row(out, 4, "state", &state);
    row(out, 4, "in sync", &format!("{}, {}", counted(folder.files, "file", "files"), bytes(folder.bytes)));
    if let Some(last) = &folder.last_synced_at {
        row(out, 4, "last change", &ago(last, now));
    }
    let work = work(folder);
    if !work.is_empty() {
        row(out, 4, "to do", &work);
    }
    for active in folder.active.iter().take(ACTIVE) {
        let arrow = if active.direction == "down" { "downloading" } else { "uploading" };
        let share = active.done.saturating_mul(100).checked_div(active.total).unwrap_or(100);
        let path = escape(&active.path);
        row(out, 4, arrow, &format!("{path} {DIM}{share}% of {}{PLAIN}", bytes(active.total)));
    }
    if folder.active.len() > ACTIVE {
        row(out, 4, "", &format!("and {} more", folder.active.len() - ACTIVE));
    }
    if folder.problems > 0 {
        let problems = counted(folder.problems, "path", "paths");
        row(out, 4, "problems", &format!("{RED}{problems}{PLAIN}: `ferrybox problems` lists them"));
    }
    if folder.conflicts > 0 {
        let copies = counted(folder.conflicts, "conflicted copy", "conflicted copies");
        row(out, 4, "conflicts", &format!("{YELLOW}{copies}{PLAIN}: `ferrybox conflicts` lists them"));
    }
}
