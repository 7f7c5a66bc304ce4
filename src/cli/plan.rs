//! `ferrybox plan`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::client::Client;
use super::place::asking;
use super::render::{BOLD, DIM, PLAIN, RED, YELLOW, bytes, count, counted, escape};
use super::{Common, OK, block_on, print};
use crate::model::api::{PlanPage, Planned};
use crate::model::status::Held;

/// What one page may hold.
const PAGE: u64 = 1000;

/// Show what would be done; nothing is done
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox plan
  ferrybox plan ~/Documents --json | jq .counts

Every path in the queue is looked at now. `ferrybox pause` before keeps the daemon from doing it meanwhile.

Exit codes: 0 shown, 4 no daemon has run yet, 64 the path is in no synced folder, or the command line or the configuration
is wrong")]
pub(super) struct Plan {
    /// A file or directory in a synced folder; everything if left out
    path: Option<PathBuf>,
    /// As JSON: {\"counts\": {...}, \"bytes\": N, \"items\": [...], \"total\": N, \"held\": [...], \"complete\": true}
    #[arg(long)]
    json: bool,
    /// List at most this many; the counts are of all
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

/// The whole plan, with as many of its items as were asked for.
#[derive(Default, Serialize)]
struct Whole {
    /// Rows by what becomes of them.
    counts: BTreeMap<String, u64>,
    /// Bytes that may have to go up.
    bytes: u64,
    items: Vec<Planned>,
    /// Rows in all.
    total: u64,
    held: Vec<Held>,
    notes: Vec<String>,
    /// Whether everything has been scanned since the daemon's start.
    complete: bool,
}

impl Plan {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        let loaded = common.load_lightly()?;
        let client = Client::or_offline(&loaded.config);
        let route = asking("/v1/plan", self.path.as_deref(), &loaded.config)?;
        let whole = block_on(self.fetch(&client, &route))?;
        if self.json {
            print(&format!("{}\n", serde_json::to_string_pretty(&whole)?))?;
        } else if !(common.quiet && whole.total == 0 && whole.held.is_empty()) {
            print(&text(&whole))?;
        }
        Ok(OK)
    }

    async fn fetch(&self, client: &Client, route: &str) -> anyhow::Result<Whole> {
        let mut whole = Whole { complete: true, ..Whole::default() };
        let and = if route.contains('?') { '&' } else { '?' };
        let mut after = String::new();
        loop {
            let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("after", &after).finish();
            let page: PlanPage = client.get(&format!("{route}{and}limit={PAGE}&{query}")).await?;
            whole.complete &= page.complete;
            whole.held = page.held;
            whole.notes = page.notes;
            for item in page.items {
                *whole.counts.entry(outcome(&item).to_owned()).or_default() += 1;
                whole.bytes = whole.bytes.saturating_add(item.size);
                whole.total += 1;
                if whole.items.len() < self.limit {
                    whole.items.push(item);
                }
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(whole),
            }
        }
    }
}

/// What becomes of a row, in one word: what keeps it from being done comes first.
fn outcome(item: &Planned) -> &str {
    match (item.held, item.state.as_str()) {
        (true, _) => "held",
        (false, "wedged") => "blocked",
        (false, _) => &item.action,
    }
}

fn text(whole: &Whole) -> String {
    let mut out = String::new();
    if whole.total == 0 && whole.held.is_empty() && whole.notes.is_empty() && whole.complete {
        out.push_str("Nothing is to be done.\n");
    } else if whole.total == 0 {
        out.push_str("Nothing can be done now.\n");
    } else {
        let counts: Vec<String> =
            whole.counts.iter().map(|(what, n)| format!("{} {}", count(*n), what.replace('_', " "))).collect();
        let rows = counted(whole.total, "path", "paths");
        let _ = writeln!(out, "{BOLD}{rows}{PLAIN}: {}; {} to send at most", counts.join(", "), bytes(whole.bytes));
    }
    if !whole.complete {
        let _ = writeln!(out, "{YELLOW}A scan is not at its end: there may be more.{PLAIN}");
    }
    let told = |note: &str| whole.held.iter().any(|held| note.contains(&held.reason));
    for note in whole.notes.iter().filter(|note| !told(note)) {
        let _ = writeln!(out, "{YELLOW}{}{PLAIN}", escape(note));
    }
    for held in &whole.held {
        let _ = writeln!(out, "{RED}held{PLAIN}: {}", escape(&held.reason));
    }
    for item in &whole.items {
        let path = escape(&format!("{}/{}", item.folder.trim_end_matches('/'), item.path));
        let why = item.problem.as_deref().unwrap_or(&item.text);
        let _ = writeln!(out, "  {:<16}{path} {DIM}({}){PLAIN}", outcome(item).replace('_', " "), escape(why));
    }
    let shown = whole.items.len() as u64;
    if shown < whole.total {
        let _ = writeln!(out, "and {} more", count(whole.total - shown));
    }
    out
}
