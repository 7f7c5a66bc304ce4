//! `ferrybox conflicts`.

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;

use super::client::Client;
use super::pages::Listed;
use super::render::{ago, escape};
use super::{Common, OK, block_on, print};
use crate::env;
use crate::model::api::Conflict;

/// List the conflicted copies that were made and are not resolved
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox conflicts
  ferrybox conflicts --json | jq -r '.items[].copy'

Both versions are kept: what Dropbox had stays at the path, the other one is the copy. A conflict is off the list once the
path lies in its own place again, or is gone.

Exit codes: 0 listed (an empty list too), 4 no daemon has run yet, 64 the command line or the configuration is wrong")]
pub(super) struct Conflicts {
    /// The list as JSON: {\"items\": [...], \"total\": N}
    #[arg(long)]
    json: bool,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    limit: u64,
}

impl Conflicts {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        let loaded = common.load_lightly()?;
        let client = Client::or_offline(&loaded.config);
        let listed: Listed<Conflict> = block_on(Listed::fetch(&client, "/v1/conflicts", self.limit))?;
        if self.json {
            print(&format!("{}\n", serde_json::to_string_pretty(&listed)?))?;
        } else if !listed.items.is_empty() {
            print(&table(&listed, env::timestamp()))?;
        } else if !common.quiet {
            print("No conflicts.\n")?;
        }
        Ok(OK)
    }
}

fn table(listed: &Listed<Conflict>, now: Timestamp) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["PATH", "COPY", "SINCE"]);
    for conflict in &listed.items {
        let path = format!("{}/{}", conflict.folder.trim_end_matches('/'), conflict.path);
        let copy = conflict.local_copy.as_ref().unwrap_or(&conflict.copy);
        table.add_row([escape(&path), escape(copy), ago(&conflict.since, now)]);
    }
    format!("{}\n{}", table.trim_fmt(), listed.rest())
}
