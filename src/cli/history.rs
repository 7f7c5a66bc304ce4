//! `ferrybox history`.

use std::path::PathBuf;

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;

use super::client::Client;
use super::pages::Listed;
use super::place::asking;
use super::render::{ago, bytes, escape, word};
use super::{Common, OK, block_on, print};
use crate::env;
use crate::model::api::Done;

/// List what was done, the newest first
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox history
  ferrybox history ~/Documents/report.odt
  ferrybox history --json --limit 1000 | jq -r '.items[] | [.at, .what, .path] | @tsv'

What: uploaded, deleted (a file in Dropbox), adopted (Dropbox had the same content already), conflict (both versions are
kept), downloaded, trashed, moved, copied, folder_created, folder_deleted, restored. In brackets: where a move or a copy
came from, or where the other version of a conflict is. The log keeps the last daemon.history rows of each account.

Exit codes: 0 listed (an empty list too), 4 no daemon has run yet, 64 the command line or the configuration is wrong")]
pub(super) struct History {
    /// A file or directory in a synced folder, whether it is still there or not; everything if left out
    path: Option<PathBuf>,
    /// The list as JSON: {\"items\": [...], \"total\": N}
    #[arg(long)]
    json: bool,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
}

impl History {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        let loaded = common.load_lightly()?;
        let client = Client::or_offline(&loaded.config);
        let route = asking("/v1/history", self.path.as_deref(), &loaded.config)?;
        let listed: Listed<Done> = block_on(Listed::fetch(&client, &route, self.limit))?;
        if self.json {
            print(&format!("{}\n", serde_json::to_string_pretty(&listed)?))?;
        } else if !listed.items.is_empty() {
            print(&format!("{}{}", table(&listed.items, env::timestamp()), listed.rest()))?;
        } else if !common.quiet {
            print("Nothing was done yet.\n")?;
        }
        Ok(OK)
    }
}

/// The log for people.
pub(super) fn table(items: &[Done], now: Timestamp) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["WHEN", "WHAT", "SIZE", "PATH"]);
    for done in items {
        let mut path = escape(&format!("{}/{}", done.folder.trim_end_matches('/'), done.path));
        if let Some(place) = done.local_place.as_ref().or(done.place.as_ref()) {
            path = format!("{path} ({})", escape(place));
        }
        table.add_row([ago(&done.at, now), word(&done.what), done.size.map(bytes).unwrap_or_default(), path]);
    }
    format!("{}\n", table.trim_fmt())
}
