//! `ferrybox sync`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::client::Client;
use super::place::in_a_folder;
use super::render::{counted, escape};
use super::{Common, FAILED, OK, PROBLEMS, UNFINISHED, block_on, print};
use crate::model::status::SyncAnswer;

/// Look again now, at everything or below one path
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox sync ~/Documents/report.odt --wait
  ferrybox sync ~/Backup --again

Exit codes: 0 asked for, or in sync with --wait; 1 with --wait: there is no such file on either side; 3 finished, but some paths have problems; 4 could not
finish, or no daemon runs; 64 the command line or the configuration is wrong")]
pub(super) struct Sync {
    /// A file or directory in a synced folder; everything if left out
    path: Option<PathBuf>,
    /// Wait until that is in sync
    #[arg(long, short)]
    wait: bool,
    /// In backup and mirror: send again what Dropbox has no longer (problems `gone_in_dropbox`)
    #[arg(long)]
    again: bool,
}

#[derive(Serialize)]
struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    wait: bool,
    again: bool,
}

impl Sync {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        let loaded = common.load_lightly()?;
        let path = self.path.as_deref().map(|p| in_a_folder(p, &loaded.config)).transpose()?;
        let client = Client::new(&loaded.config.daemon);
        let body = Body { path, wait: self.wait, again: self.again };
        let answer: SyncAnswer = block_on(client.post("/v1/sync", &body, self.wait))?;
        let reason = answer.reason.as_deref().map(|r| format!(": {}", escape(r))).unwrap_or_default();
        let (text, code) = match answer.outcome.as_str() {
            "in_sync" => ("in sync".to_owned(), OK),
            "accepted" => ("the daemon looks again".to_owned(), OK),
            "problems" => {
                let paths = counted(answer.problems, "path has a problem", "paths have problems");
                (format!("finished, but {paths} (`ferrybox problems`)"), PROBLEMS)
            }
            "no_such_file" => ("no such file, here or in Dropbox".to_owned(), FAILED),
            _ => ("could not finish".to_owned(), UNFINISHED),
        };
        if self.again && !common.quiet {
            print(&format!("{} sent again\n", counted(answer.sent_again, "file is", "files are")))?;
        }
        if code != OK {
            anstream::eprintln!("ferrybox: {text}{reason}");
        } else if !common.quiet {
            print(&format!("{text}{reason}\n"))?;
        }
        Ok(code)
    }
}
