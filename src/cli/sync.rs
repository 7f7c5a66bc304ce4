//! `ferrybox sync`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::client::Client;
use super::render::{counted, escape};
use super::{Common, OK, PROBLEMS, UNFINISHED, Usage, block_on, print};
use crate::config::Config;
use crate::model::status::SyncAnswer;

/// Look again now, at everything or below one path
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox sync ~/Documents/report.odt --wait

Exit codes: 0 asked for, or in sync with --wait; 3 finished, but some paths have problems; 4 could not
finish, or no daemon runs; 64 the command line or the configuration is wrong")]
pub(super) struct Sync {
    /// A file or directory in a synced folder; everything if left out
    path: Option<PathBuf>,
    /// Wait until that is in sync
    #[arg(long, short)]
    wait: bool,
}

#[derive(Serialize)]
struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    wait: bool,
}

impl Sync {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        let loaded = common.load_lightly()?;
        let path = self.path.as_deref().map(|p| in_a_folder(p, &loaded.config)).transpose()?;
        let client = Client::new(&loaded.config.daemon.socket);
        let body = Body { path, wait: self.wait };
        let answer: SyncAnswer = block_on(client.post("/v1/sync", &body, self.wait))?;
        let reason = answer.reason.as_deref().map(|r| format!(": {}", escape(r))).unwrap_or_default();
        let (text, code) = match answer.outcome.as_str() {
            "in_sync" => ("in sync".to_owned(), OK),
            "accepted" => ("the daemon looks again".to_owned(), OK),
            "problems" => {
                let paths = counted(answer.problems, "path has a problem", "paths have problems");
                (format!("finished, but {paths} (`ferrybox problems`)"), PROBLEMS)
            }
            _ => ("could not finish".to_owned(), UNFINISHED),
        };
        if code != OK {
            anstream::eprintln!("ferrybox: {text}{reason}");
        } else if !common.quiet {
            print(&format!("{text}{reason}\n"))?;
        }
        Ok(code)
    }
}

/// The path as the daemon knows it: below a folder's directory as the configuration writes that. A path that came through a
/// symlink is looked up by where it really is; the file itself may be gone.
fn in_a_folder(path: &Path, config: &Config) -> anyhow::Result<PathBuf> {
    let whole = std::path::absolute(path)?;
    let folders = || config.accounts.iter().flat_map(|a| &a.folders).map(|f| f.local.as_path());
    let dots = whole.components().any(|c| c == std::path::Component::ParentDir);
    if !dots && folders().any(|local| whole.starts_with(local)) {
        return Ok(whole);
    }
    let real = match (fs::canonicalize(&whole), whole.parent(), whole.file_name()) {
        (Ok(real), ..) => Some(real),
        (Err(_), Some(parent), Some(name)) => fs::canonicalize(parent).ok().map(|p| p.join(name)),
        _ => None,
    };
    let found = real.and_then(|real| {
        folders().find_map(|local| {
            let below = real.strip_prefix(fs::canonicalize(local).ok()?).ok()?.to_owned();
            Some(if below.as_os_str().is_empty() { local.to_owned() } else { local.join(below) })
        })
    });
    found.ok_or_else(|| {
        let known: Vec<String> = folders().map(|f| f.display().to_string()).collect();
        let known = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
        Usage(format!("{} lies in no synced folder (they are: {known})", path.display())).into()
    })
}
