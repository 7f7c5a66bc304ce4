//! What the service manager is told: ready, status, stopping, reloading, and that the tasks still make their rounds.
//!
//! The watchdog is fed by proof, not by a timer: each time, something goes once through every database's writer and back, all waiting tasks are
//! woken, and each must have made a round since. A task that waits for Dropbox, or sends, is not stuck: its calls end by their own time-outs.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::daemon::account::{Account, Fatal};
use crate::daemon::live::lock;
use crate::daemon::progress::Progress;
use crate::model::status::{AccountState, FolderState, Status};

/// How often the status line is sent at least.
const EVERY: Duration = Duration::from_secs(5);
/// A task that was woken makes its round within this.
const ROUND: Duration = Duration::from_secs(60);
/// One directory of a scan, or one look at the root, takes at most this long: disks that sleep and networks that stall are slow.
const DISK: Duration = Duration::from_mins(5);

/// Asked to stop.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// The configuration is read again; [`ready`] follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "the service manager is not told of the reload"),
    }
}

/// Everything is open and at work.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

fn tell(state: &[NotifyState<'_>]) {
    // Without a manager this does nothing; one that went away is no reason to stop.
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

/// Tells the manager for as long as the daemon runs; without a manager it waits for ever.
pub(crate) async fn run(progress: Arc<Progress>) -> Result<(), Fatal> {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return std::future::pending().await;
    }
    let watchdog = sd_notify::watchdog_enabled();
    let every = watchdog.map_or(EVERY, |within| (within / 3).min(EVERY));
    ready();
    loop {
        #[cfg(debug_assertions)]
        wedge_if_asked(&progress);
        // A status that does not come is no news; the pulse below judges.
        if let Ok(Ok(status)) = tokio::time::timeout(every, progress.status()).await {
            tell(&[NotifyState::Status(&line(&status))]);
        }
        if watchdog.is_some() {
            match stuck(&progress.accounts, every).await {
                None => tell(&[NotifyState::Watchdog]),
                Some(what) => tracing::error!(%what, "stuck: the watchdog is not fed"),
            }
        }
        tokio::time::sleep(every).await;
    }
}

/// What does not go round any more.
async fn stuck(accounts: &[Arc<Account>], within: Duration) -> Option<String> {
    for account in accounts {
        // An error is an answer: whoever does work meets it, too.
        if tokio::time::timeout(within, account.store.pulse()).await.is_err() {
            return Some(format!("the database of account {}", account.name));
        }
        account.store.poke();
        if lock(&account.full).is_some() {
            continue;
        }
        let calls = lock(&account.lane).since.is_some() || account.waits();
        if !calls && account.beats.committer_silence() > ROUND {
            return Some(format!("the committer of account {}", account.name));
        }
        let sends = account.live.uploads_under_way() > 0 || account.waits();
        if !sends && account.beats.uploader_silence() > ROUND {
            return Some(format!("the uploads of account {}", account.name));
        }
        if let Some(folder) = account.folders.iter().find(|f| f.beat.silence() > DISK) {
            return Some(format!("the look at folder {} of account {}", folder.id.0, account.name));
        }
    }
    None
}

/// A test asks for a writer that never comes back, by making the file that this variable names.
#[cfg(debug_assertions)]
fn wedge_if_asked(progress: &Progress) {
    let asked = std::env::var_os("FERRYBOX_TEST_WEDGE").is_some_and(|file| std::path::Path::new(&file).exists());
    if let (true, Some(account)) = (asked, progress.accounts.first()) {
        let store = account.store.clone();
        drop(tokio::spawn(async move { store.wedge_for_a_test().await }));
    }
}

/// The whole state in one line, without file names.
fn line(status: &Status) -> String {
    let folders = || status.accounts.iter().flat_map(|a| &a.folders);
    let pending: u64 = folders().map(|f| f.pending.uploads + f.pending.remote_changes).sum();
    let bytes: u64 = folders().map(|f| f.pending.bytes).sum();
    let rate: u64 = folders().map(|f| f.rate.up_bytes_s).sum();
    let files: u64 = folders().map(|f| f.files).sum();
    let problems: u64 = folders().map(|f| f.problems).sum();
    let mut parts = Vec::new();
    for account in &status.accounts {
        if !matches!(account.state, AccountState::Idle | AccountState::Syncing) {
            parts.push(format!("{}: {}", account.name, word(&account.state)));
        }
    }
    let stopped = folders().filter(|f| !matches!(f.state, FolderState::InSync | FolderState::Syncing)).count();
    if stopped > 0 {
        parts.push(format!("{stopped} folders need a look"));
    }
    if pending > 0 {
        parts.push(format!("{pending} to send ({} MiB, {} KiB/s)", bytes >> 20, rate >> 10));
    }
    if problems > 0 {
        parts.push(format!("{problems} problems"));
    }
    parts.push(format!("{files} files in sync"));
    parts.join("; ")
}

fn word(state: &AccountState) -> String {
    format!("{state:?}").chars().fold(String::new(), |mut text, letter| {
        if letter.is_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.extend(letter.to_lowercase());
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::status::{AccountStatus, FolderStatus, Pending};

    #[test]
    fn one_line_says_what_goes_on() {
        let folder = |state, uploads| FolderStatus {
            state,
            files: 3,
            pending: Pending { uploads, bytes: 5 << 20, ..Pending::default() },
            ..FolderStatus::default()
        };
        let account = |state, folders| AccountStatus { name: "a".into(), state, folders, ..AccountStatus::default() };
        let status = Status {
            accounts: vec![
                account(AccountState::RateLimited, vec![folder(FolderState::Syncing, 7)]),
                account(AccountState::Idle, vec![folder(FolderState::RootMissing, 0)]),
            ],
            ..Status::default()
        };
        assert_eq!(
            line(&status),
            "a: rate limited; 1 folders need a look; 7 to send (10 MiB, 0 KiB/s); 6 files in sync"
        );
    }
}
