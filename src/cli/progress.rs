//! What `ferrybox run` and `sync --wait` show: bars or plain lines on a terminal, events in the log elsewhere.

use std::collections::HashMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::watch;

use super::render::{bytes, counted, escape, seconds, word, work};
use super::status::lines;
use crate::env;
use crate::env::Instant;
use crate::logging;
use crate::model::attention::Severity;
use crate::model::status::{AccountState, FolderState, FolderStatus, Pending, Status};

/// Between two lines while nothing but numbers changes.
const LINE_TIME: Duration = Duration::from_secs(30);
/// Between two pictures on a terminal.
const BAR_TIME: Duration = Duration::from_millis(200);

/// Where progress is shown.
#[derive(Debug, Clone)]
pub(super) enum View {
    /// On the terminal that standard error is.
    Bars(MultiProgress),
    /// On the terminal that standard output is.
    Lines,
    /// Nobody watches, and programs may read: as events of the log, in its format.
    Log,
}

/// Shows every status until the daemon has no more of them.
pub(super) async fn show(mut status: watch::Receiver<Status>, view: View) {
    match view {
        View::Bars(bars) => show_bars(&mut status, &bars).await,
        View::Lines => show_lines(&mut status).await,
        View::Log => show_events(&mut status).await,
    }
}

async fn show_bars(status: &mut watch::Receiver<Status>, all: &MultiProgress) {
    let style = ProgressStyle::with_template("{spinner} {prefix} [{bar:16}] {pos}/{len} files  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    let mut bars: HashMap<String, ProgressBar> = HashMap::new();
    while status.changed().await.is_ok() {
        let now = status.borrow_and_update().clone();
        for account in &now.accounts {
            for folder in &account.folders {
                let bar = bars.entry(format!("{} {}", account.name, folder.local)).or_insert_with(|| {
                    let bar = all.add(ProgressBar::new(0).with_style(style.clone()));
                    bar.set_prefix(escape(&folder.local));
                    bar
                });
                let pending = &folder.pending;
                // Files only: deletions and directories are no files, and a file that is compared is in sync or not.
                let left = pending.uploads.saturating_add(pending.downloads).saturating_add(pending.comparing);
                bar.set_length(folder.files.saturating_add(left));
                bar.set_position(folder.files);
                bar.set_message(message(folder));
                bar.tick();
            }
        }
        env::sleep(BAR_TIME).await;
    }
    for bar in bars.values() {
        // As it stands: what is left at the end is left.
        bar.abandon();
    }
}

fn message(folder: &FolderStatus) -> String {
    if let Some(reason) = folder.reason.as_deref() {
        return format!("{}: {}", word(&folder.state), escape(reason));
    }
    let mut text = match (folder.eta_s, work(folder)) {
        (_, work) if work.is_empty() => word(&folder.state),
        // What fits beside the bar on a narrow terminal: the numbers of files stand in it already.
        (eta, _) => {
            let rate = folder.rate.up_bytes_s.saturating_add(folder.rate.down_bytes_s);
            let left = eta.map(|left| format!(", {} left", seconds(left))).unwrap_or_default();
            format!("{} to go, {}/s{left}", bytes(folder.pending.bytes), bytes(rate))
        }
    };
    if folder.problems > 0 {
        text = format!("{text}, {}", counted(folder.problems, "problem", "problems"));
    }
    text
}

/// The lines that were printed last.
struct Said {
    when: Instant,
    text: String,
    states: Vec<(AccountState, FolderState)>,
}

async fn show_lines(status: &mut watch::Receiver<Status>) {
    let mut last: Option<Said> = None;
    while status.changed().await.is_ok() {
        let now = status.borrow_and_update().clone();
        let text = lines(&now);
        // A reason names the next try, so it changes with each of them: the states decide what is news.
        let states: Vec<_> = now.accounts.iter().flat_map(|a| a.folders.iter().map(|f| (a.state, f.state))).collect();
        let due = last
            .as_ref()
            .is_none_or(|said| said.states != states || (said.when.elapsed() >= LINE_TIME && said.text != text));
        if due {
            if super::print(&text).is_err() {
                // Nobody reads: the daemon works on.
                return;
            }
            last = Some(Said { when: env::instant(), text, states });
        }
    }
}

/// What was told of a folder last.
struct Told {
    when: Instant,
    state: FolderState,
    pending: Pending,
}

async fn show_events(status: &mut watch::Receiver<Status>) {
    let mut last: HashMap<(String, String), Told> = HashMap::new();
    while status.changed().await.is_ok() {
        let now = status.borrow_and_update().clone();
        for account in &now.accounts {
            for folder in &account.folders {
                let key = (account.name.clone(), folder.local.clone());
                let news = last.get(&key).is_none_or(|told| {
                    told.state != folder.state || (told.when.elapsed() >= LINE_TIME && told.pending != folder.pending)
                });
                if news {
                    event(&account.name, folder);
                    last.insert(key, Told { when: env::instant(), state: folder.state, pending: folder.pending });
                }
            }
        }
    }
}

/// The reasons are in the daemon's own messages: here they could name files.
fn event(account: &str, folder: &FolderStatus) {
    let (local, state, left) = (logging::path(&folder.local), word(&folder.state), work(folder));
    let (left, problems) = (if left.is_empty() { "nothing" } else { &left }, folder.problems);
    if folder.state.severity() == Severity::Attention {
        tracing::warn!(account, folder = %local, left, problems, "the folder's state: {state}");
    } else {
        tracing::info!(account, folder = %local, left, problems, "the folder's state: {state}");
    }
}
