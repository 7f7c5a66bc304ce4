//! What the service manager is told: ready, status, stopping, reloading, and that the tasks still make their rounds.
//!
//! The watchdog is fed by proof, not by a timer: something goes again and again through every database's writer and back, every loop that is not
//! resting makes its rounds, and every piece of work on the disk its steps (`engine/heartbeat`). A loop that waits for Dropbox, or sends, rests: its calls
//! end by their own time-outs. The keeper outlives a reload.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinSet;

use crate::api::status::Progress;
use crate::daemon::process::Process;
use crate::engine::account::Account;
use crate::env;
use crate::env::Instant;
use crate::env::lock;
use crate::model::status::{AccountState, FolderState, Status};

/// The watchdog is fed at least this often, and a status may take that long.
const EVERY: Duration = Duration::from_secs(5);
/// How often the status line is sent.
const STATUS: Duration = Duration::from_secs(1);
/// A loop that is at work, and does not wait for anything outside, makes its round within this.
const ROUND: Duration = Duration::from_secs(60);
/// One directory of a scan, or one look at the root, takes at most this long: disks that sleep and networks that stall are slow.
const DISK: Duration = Duration::from_mins(5);

/// One step of a start or of an end takes at most this long: a large database is checked in one.
const OPENING: Duration = Duration::from_mins(10);

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

/// Tells the manager for as long as the program runs, over all reloads; without a manager it waits for ever.
pub async fn run(process: Arc<Process>) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return std::future::pending().await;
    }
    tokio::join!(feed(&process), describe(&process));
}

/// Sends the status line.
async fn describe(process: &Process) {
    loop {
        if let Some(progress) = process.now()
            // A status that does not come is no news; the pulse judges.
            && let Ok(Ok(status)) = env::timeout(EVERY, progress.status()).await
        {
            tell(&[NotifyState::Status(&line(&status))]);
        }
        env::sleep(STATUS).await;
    }
}

/// Feeds the watchdog, four times as often as it asks for.
async fn feed(process: &Process) {
    let Some(within) = sd_notify::watchdog_enabled() else { return };
    #[cfg(debug_assertions)]
    let mut wedged = JoinSet::new();
    let mut pulses = Pulses::default();
    loop {
        let now = process.now();
        #[cfg(debug_assertions)]
        if let Some(progress) = &now {
            wedge_if_asked(progress, &mut wedged);
        }
        let stuck = match &now {
            Some(progress) => stuck(process, progress, &mut pulses, within),
            // Between two lives, databases are checked, and what the last one began is waited for.
            None => {
                pulses = Pulses::default();
                (process.silence() > OPENING).then(|| "the start with the new configuration".to_owned())
            }
        };
        match stuck {
            None => tell(&[NotifyState::Watchdog]),
            Some(what) => tracing::error!(%what, "stuck: the watchdog is not fed"),
        }
        env::sleep((within / 4).min(EVERY)).await;
    }
}

/// What went into each database's writer, and has not come back.
#[derive(Default)]
struct Pulses {
    under_way: JoinSet<String>,
    since: BTreeMap<String, Instant>,
}

impl Pulses {
    /// Whether one has been under way for longer than that.
    fn is_late(&mut self, account: &Account, within: Duration) -> bool {
        while let Some(Ok(name)) = self.under_way.try_join_next() {
            self.since.remove(&name);
        }
        if let Some(since) = self.since.get(&account.name) {
            return since.elapsed() > within;
        }
        let (store, name) = (account.store.clone(), account.name.clone());
        self.since.insert(name.clone(), env::instant());
        self.under_way.spawn(async move {
            // An error is an answer: whoever does work meets it, too.
            let _ = store.pulse().await;
            name
        });
        false
    }
}

/// What does not go round any more.
fn stuck(process: &Process, progress: &Progress, pulses: &mut Pulses, within: Duration) -> Option<String> {
    for account in &progress.accounts {
        // A writer waits for its disk, which others use, too: it has the time of any loop, however often the manager wants to hear.
        if pulses.is_late(account, within.max(round())) {
            return Some(format!("the database of account {}", account.name));
        }
        if lock(&account.full).is_some() || lock(&account.stopped).is_some() {
            continue;
        }
        if let Some(folder) = account.folders.iter().find(|f| f.beat.silence() > DISK) {
            return Some(format!("the look at folder {} of account {}", folder.id.0, account.name));
        }
    }
    process.beats.stuck(round(), DISK)
}

/// A test that is not to take a minute names a shorter round, in milliseconds.
fn round() -> Duration {
    #[cfg(debug_assertions)]
    if let Some(ms) = std::env::var("FERRYBOX_TEST_ROUND").ok().and_then(|ms| ms.parse().ok()) {
        return Duration::from_millis(ms);
    }
    ROUND
}

/// A test asks for a writer that never comes back, by making the file that this variable names.
#[cfg(debug_assertions)]
fn wedge_if_asked(progress: &Progress, wedged: &mut JoinSet<()>) {
    let asked = std::env::var_os("FERRYBOX_TEST_WEDGE").is_some_and(|file| std::fs::symlink_metadata(file).is_ok());
    if let (true, Some(account)) = (asked, progress.accounts.first()) {
        let store = account.store.clone();
        wedged.spawn(async move { store.wedge_for_a_test().await });
    }
}

/// The whole state in one line, without file names.
fn line(status: &Status) -> String {
    let folders = || status.accounts.iter().flat_map(|a| &a.folders);
    let to_send: u64 = folders().map(|f| f.pending.uploads + f.pending.remote_changes).sum();
    let to_fetch: u64 = folders().map(|f| f.pending.downloads + f.pending.local_changes).sum();
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
    if to_fetch > 0 {
        parts.push(format!("{to_fetch} to bring down"));
    }
    if to_send > 0 {
        parts.push(format!("{to_send} to send ({} MiB, {} KiB/s)", bytes >> 20, rate >> 10));
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
