//! `ferrybox problems`.

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;

use super::client::Client;
use super::pages::Listed;
use super::render::{ago, escape};
use super::{Common, OK, block_on, print};
use crate::env;
use crate::model::status::Problem;

/// List the paths that are not in sync, and why
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox problems
  ferrybox problems --json | jq -r '.items[].path'

Exit codes: 0 listed (an empty list too), 4 no daemon has run yet, 64 the command line or the configuration is wrong")]
pub(super) struct Problems {
    /// The list as JSON: {\"items\": [...], \"total\": N}
    #[arg(long)]
    json: bool,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    limit: u64,
}

impl Problems {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        let loaded = common.load_lightly()?;
        let client = Client::or_offline(&loaded.config);
        let listed = block_on(Listed::fetch(&client, "/v1/problems", self.limit))?;
        if self.json {
            print(&format!("{}\n", serde_json::to_string_pretty(&listed)?))?;
        } else if !listed.items.is_empty() {
            print(&table(&listed, env::timestamp()))?;
        } else if !common.quiet {
            print("No problems.\n")?;
        }
        Ok(OK)
    }
}

fn table(listed: &Listed<Problem>, now: Timestamp) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["PATH", "PROBLEM", "SINCE", "NEXT TRY"]);
    for problem in &listed.items {
        let next = problem.next_try.as_deref().map_or_else(|| "when it changes".to_owned(), |t| ago(t, now));
        let path = format!("{}/{}", problem.folder.trim_end_matches('/'), problem.path);
        table.add_row([escape(&path), escape(&problem.text), ago(&problem.since, now), next]);
    }
    let mut text = format!("{}\n", table.trim_fmt());
    text.push_str(&listed.rest());
    text
}
