//! `ferrybox sync`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::MultiProgress;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::client::Client;
use super::place::in_a_folder;
use super::progress::{self, View};
use super::render::{counted, escape};
use super::{Common, FAILED, OK, PROBLEMS, UNFINISHED, block_on, print};
use crate::env;
use crate::model::status::{Status, SyncAnswer};

/// Between two looks at the status while a person waits.
const SHOW_EVERY: Duration = Duration::from_millis(500);

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
        let bars = (self.wait && !common.quiet && std::io::stderr().is_terminal()).then(MultiProgress::new);
        let asked = client.post("/v1/sync", &body, self.wait);
        let answer: SyncAnswer = match bars {
            Some(bars) => block_on(watched(&client, body.path.as_deref(), asked, bars))?,
            None => block_on(asked)?,
        };
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

/// Shows how the folders get on while an answer is waited for; of one that holds `path`, if that was asked about.
async fn watched<T>(
    client: &Client,
    path: Option<&Path>,
    asked: impl Future<Output = anyhow::Result<T>>,
    bars: MultiProgress,
) -> anyhow::Result<T> {
    let (tx, rx) = watch::channel(Status::default());
    let mut view = JoinSet::new();
    view.spawn(progress::show(rx, View::Bars(bars.clone())));
    let feed = async {
        loop {
            // What goes wrong here goes wrong with the question, too, and is told there.
            if let Ok(mut status) = client.get::<Status>("/v1/status").await {
                for account in &mut status.accounts {
                    account.folders.retain(|folder| path.is_none_or(|path| path.starts_with(&folder.local)));
                }
                tx.send_replace(status);
            }
            env::sleep(SHOW_EVERY).await;
        }
    };
    let answer = tokio::select! {
        answer = asked => answer,
        never = feed => never,
    };
    view.shutdown().await;
    // The answer says how it ended: what was drawn is older than that.
    let _ = bars.clear();
    answer
}
