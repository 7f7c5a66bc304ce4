//! `ferrybox approve`.

use clap::Args;
use serde::Serialize;

use super::client::Client;
use super::render::{ago, counted, escape};
use super::{Common, OK, block_on, print};
use crate::control::Page;
use crate::env;
use crate::model::status::{Answered, Held};

/// Let a held mass deletion (or a held listing) through, make a remote folder again that is gone, or list what is held
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox approve
  ferrybox approve 3f0c9a1be27d4456

A token names exactly the deletions that were shown with it. If they change, they get a new one.
A token that begins with `remote-` is that of a remote folder that is gone, or is another one: the folder is made
again from what is here, or the other one is taken, and nothing is deleted.

Exit codes: 0 let through, or listed; 4 no daemon runs; 64 no held deletions have this token, or the configuration is wrong")]
pub(super) struct Approve {
    /// As `ferrybox status` shows it; without it, what is held is listed
    token: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Body<'a> {
    token: &'a str,
}

impl Approve {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        let Some(token) = &self.token else { return list(common, self.json) };
        answer(common, "/v1/approve", token, self.json, |n| format!("{n} let through"))
    }
}

/// Sends a person's verdict on a held set.
pub(super) fn answer(
    common: &Common,
    route: &str,
    token: &str,
    json: bool,
    told: impl FnOnce(String) -> String,
) -> anyhow::Result<u8> {
    let loaded = common.load_lightly()?;
    let client = Client::new(&loaded.config.daemon);
    let answered: Answered = block_on(client.post(route, &Body { token }, false))?;
    if json {
        print(&format!("{}\n", serde_json::to_string_pretty(&answered)?))?;
    } else if !common.quiet {
        print(&format!("{}\n", told(counted(answered.deletions, "path", "paths"))))?;
    }
    Ok(OK)
}

fn list(common: &Common, json: bool) -> anyhow::Result<u8> {
    let loaded = common.load_lightly()?;
    let client = Client::or_offline(&loaded.config);
    let held: Page<Held> = block_on(client.get("/v1/held?limit=1000"))?;
    if json {
        print(&format!("{}\n", serde_json::to_string_pretty(&held)?))?;
    } else if held.items.is_empty() && !common.quiet {
        print("Nothing is held.\n")?;
    }
    if !json {
        for set in &held.items {
            let (one, many) = match set.kind.as_str() {
                "listing" => ("lost entry", "lost entries"),
                "changes" => ("change", "changes"),
                "remote_root" => ("file that was in sync", "files that were in sync"),
                _ => ("deletion", "deletions"),
            };
            let count = counted(set.deletions, one, many);
            let since = ago(&set.since, env::timestamp());
            let mut text = format!("{}  {} in {}, held since {since}\n", set.token, count, escape(&set.folder));
            for path in &set.sample {
                text.push_str(&format!("    {}\n", escape(path)));
            }
            if set.deletions > set.sample.len() as u64 {
                text.push_str(&format!("    and {} more\n", set.deletions - set.sample.len() as u64));
            }
            text.push_str(&format!("  {}\n", escape(&set.reason)));
            print(&text)?;
        }
    }
    Ok(OK)
}
