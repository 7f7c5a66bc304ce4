//! One account: everything its tasks share. Tasks meet in the store; what stands here is configuration, the wire and what goes on right now.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::daemon::beats::Beats;
use crate::daemon::clock::{chance, moment, ms, now_ms};
use crate::daemon::folder::Folder;
use crate::daemon::intake::Look;
use crate::daemon::live::{Live, lock};
use crate::daemon::remote::RemoteCache;
use crate::dropbox::{CallError, Dropbox};
use crate::model::status::{AccountState, Space};
use crate::model::{Failure, FolderId, Next, RelPath, UnixMs};
use crate::plan::pack::Ceilings;
use crate::plan::retry;
use crate::store::{Store, StoreError};

/// What the tasks of one account share.
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) config: config::Config,
    pub(crate) budget: Option<u64>,
    pub(crate) store: Store,
    pub(crate) dropbox: Dropbox,
    pub(crate) folders: Vec<Arc<Folder>>,
    /// What Dropbox's listings say.
    pub(crate) remote: RemoteCache,
    /// Where each folder's intake takes orders to look again.
    pub(crate) looks: Vec<mpsc::Sender<Look>>,
    pub(crate) live: Live,
    /// Whose account it is, once Dropbox has said so and it is the database's.
    pub(crate) who: watch::Sender<Option<Who>>,
    /// What stops the whole account, until when.
    pub(crate) trouble: watch::Sender<Option<Trouble>>,
    pub(crate) ceilings: Mutex<Ceilings>,
    pub(crate) lane: Mutex<Lane>,
    /// One worker at a time decides what to claim.
    pub(crate) claim_turn: tokio::sync::Mutex<()>,
    /// Sessions are taken from the pool by one worker at a time; the number says how many others wait for.
    pub(crate) pool_turn: tokio::sync::Mutex<()>,
    pub(crate) sessions_wanted: std::sync::atomic::AtomicU64,
    /// One permit a request with content.
    pub(crate) connections: Semaphore,
    pub(crate) host: String,
    /// Why nothing is worked on although nothing of Dropbox's stands in the way: the database's disk is full.
    pub(crate) full: Mutex<Option<String>>,
    /// When its tasks last made a round.
    pub(crate) beats: Beats,
    pub(crate) stop: CancellationToken,
}

/// Whose account it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Who {
    pub(crate) account_id: String,
    pub(crate) email: String,
    pub(crate) space: Option<Space>,
}

/// Why the whole account waits.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    pub(crate) state: AccountState,
    pub(crate) reason: String,
    /// The next try.
    pub(crate) until: UnixMs,
    /// Failed tries in a row.
    pub(crate) attempts: u32,
}

/// What the committer does, for the status.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lane {
    pub(crate) entries: u64,
    pub(crate) job_id: Option<String>,
    pub(crate) since: Option<UnixMs>,
}

/// What ends an account's tasks: the queue itself cannot be trusted or reached any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fatal {
    /// The state database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task ended that never should.
    #[error("{0}")]
    Task(String),
}

impl Account {
    /// The folder with this number, unless the configuration no longer has it.
    pub(crate) fn folder(&self, id: FolderId) -> Option<&Arc<Folder>> {
        self.folders.iter().find(|f| f.id == id)
    }

    /// Whether a failure concerns the whole account; then everything waits, with backoff, and the path has no part in it.
    pub(crate) fn note(&self, failure: &Failure) {
        if failure.next != Next::Account {
            return;
        }
        let state = match failure.code.as_str() {
            "auth_required" => AccountState::AuthRequired,
            "account_mismatch" | "path_root" => AccountState::AccountMismatch,
            "quota_full" => AccountState::QuotaFull,
            "rate_limited" => AccountState::RateLimited,
            _ => AccountState::Offline,
        };
        self.trouble.send_modify(|trouble| {
            // Several workers meet the same trouble at once: that is one failed try, not eight.
            if trouble.as_ref().is_some_and(|t| t.until > now_ms()) {
                return;
            }
            let attempts = trouble.as_ref().map_or(0, |t| t.attempts.saturating_add(1));
            let wait = match state {
                // A person or a quota has to act: look now and then.
                AccountState::AuthRequired | AccountState::AccountMismatch | AccountState::QuotaFull => {
                    Duration::from_mins(1)
                }
                _ => retry::backoff(attempts, chance()),
            };
            tracing::warn!(account = %self.name, state = ?state, reason = %failure.text, next_try_s = wait.as_secs_f32(), "the account waits");
            *trouble = Some(Trouble { state, reason: failure.text.clone(), until: now_ms() + ms(wait), attempts });
        });
    }

    /// A call went through: whatever the trouble was, it is over.
    pub(crate) fn works(&self) {
        self.trouble.send_if_modified(|trouble| {
            let over = trouble.take();
            if let Some(over) = &over {
                tracing::info!(account = %self.name, was = ?over.state, "the account works again");
            }
            over.is_some()
        });
    }

    /// What a failed call means, noted if it is the account's. `Ok` calls end a trouble.
    pub(crate) fn judge<T>(&self, outcome: Result<T, CallError>) -> Result<T, CallError> {
        match &outcome {
            Ok(_) => self.works(),
            Err(error) => self.note(&error.failure()),
        }
        outcome
    }

    /// Waits until the account is known and has no trouble, or its next try is due.
    pub(crate) async fn ready(&self) {
        let mut who = self.who.subscribe();
        let _ = who.wait_for(Option::is_some).await;
        let mut trouble = self.trouble.subscribe();
        loop {
            let until = trouble.borrow_and_update().as_ref().map(|t| t.until);
            match until {
                Some(until) if until > now_ms() => {
                    tokio::select! {
                        () = tokio::time::sleep_until(moment(until)) => {}
                        _ = trouble.changed() => {}
                    }
                }
                _ => return,
            }
        }
    }

    /// Ends the wait of a trouble early: somebody asked, or the network came back.
    pub(crate) fn hurry(&self) {
        self.trouble.send_modify(|trouble| {
            if let Some(trouble) = trouble {
                trouble.until = now_ms();
            }
        });
    }

    /// The ceilings of one `append_batch` as learned so far.
    pub(crate) fn ceilings(&self) -> Ceilings {
        *lock(&self.ceilings)
    }

    /// Sets the ceilings, and remembers them for the next start.
    pub(crate) async fn learn(&self, ceilings: Ceilings) -> Result<(), Fatal> {
        *lock(&self.ceilings) = ceilings;
        if let Ok(text) = serde_json::to_string(&ceilings) {
            self.store.set_meta("ceilings", &text).await?;
        }
        Ok(())
    }

    /// Folders whose root is not the one that was synced: their rows wait until a scan finds it again.
    pub(crate) fn folders_without_root(&self) -> Vec<FolderId> {
        self.folders.iter().filter(|f| f.now().root_trouble.is_some()).map(|f| f.id).collect()
    }

    /// Whether any folder's scan runs: then more rows may come at any moment.
    pub(crate) fn scanning(&self) -> bool {
        self.folders.iter().any(|f| f.now().scans > 0)
    }
}

impl Account {
    /// All tasks have ended, and others begin: what the old ones had under way is nobody's.
    pub(crate) fn begin_anew(&self) {
        *lock(&self.lane) = Lane::default();
        self.sessions_wanted.store(0, std::sync::atomic::Ordering::Relaxed);
        for folder in &self.folders {
            folder.set(|now| now.scans = 0);
        }
    }

    /// Whether everything waits: for the account to be known, or for the end of a trouble.
    pub(crate) fn waits(&self) -> bool {
        self.who.borrow().is_none() || self.trouble.borrow().as_ref().is_some_and(|t| t.until > now_ms())
    }
}

/// Rows that failed this often no longer keep `run --once` from ending; they are problems.
pub(crate) const ONCE_ATTEMPTS: u32 = 3;

impl Account {
    /// Waits out a trouble, or a moment if there is none.
    pub(crate) async fn wait_out_trouble(&self) {
        let until = self.trouble.borrow().as_ref().map_or_else(|| now_ms() + 1_000, |t| t.until);
        let mut trouble = self.trouble.subscribe();
        tokio::select! {
            () = tokio::time::sleep_until(moment(until)) => {}
            _ = trouble.changed() => {}
        }
    }

    /// Local activity ends the wait of an offline account: the network may be back.
    pub(crate) fn hurry_offline(&self) {
        if self.trouble.borrow().as_ref().is_some_and(|t| t.state == AccountState::Offline) {
            self.hurry();
        }
    }

    /// Resolves when there is nothing left to do: `true` if some paths have problems.
    ///
    /// # Errors
    /// The end of the run, when it cannot be finished: offline, a link needed, the root gone, deletions held.
    pub(crate) async fn finished(&self) -> Result<bool, super::End> {
        let mut changed = self.store.changed();
        let mut trouble = self.trouble.subscribe();
        loop {
            changed.borrow_and_update();
            let stuck = trouble
                .borrow_and_update()
                .as_ref()
                .filter(|t| t.attempts >= ONCE_ATTEMPTS || needs_a_person(t.state))
                .map(|t| t.reason.clone());
            if let Some(reason) = stuck {
                return Err(super::End::Unfinished(format!("account {}: {reason}", self.name)));
            }
            let (mut pending, mut problems, mut waiting) = (u64::from(!self.remote.settled()), 0, None);
            for folder in &self.folders {
                let now = folder.now();
                let summary = self.store.summary(folder.id).await.map_err(|e| super::End::State(e.to_string()))?;
                if !now.scanned || now.scans > 0 {
                    pending += 1;
                }
                let rows = summary.due + summary.claimed + summary.staged_uploads + summary.staged_deletes;
                pending += rows.saturating_sub(summary.failing);
                if pending == 0 && rows > 0 {
                    pending += self
                        .store
                        .trying_under(folder.id, &RelPath::root(), ONCE_ATTEMPTS)
                        .await
                        .map_err(|e| super::End::State(e.to_string()))?;
                }
                problems += summary.problems;
                if let Some(failure) = now.root_trouble {
                    waiting = Some(failure.text);
                } else if let Some(held) = now.held
                    && summary.due + summary.claimed + summary.staged_uploads == 0
                {
                    waiting = Some(held.reason);
                }
            }
            if let Some(reason) = waiting {
                return Err(super::End::Unfinished(format!("account {}: {reason}", self.name)));
            }
            if pending == 0 {
                return Ok(problems > 0);
            }
            tokio::select! {
                _ = changed.changed() => {}
                _ = trouble.changed() => {}
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }
}

/// Troubles that no waiting ends.
fn needs_a_person(state: AccountState) -> bool {
    matches!(state, AccountState::AuthRequired | AccountState::AccountMismatch | AccountState::QuotaFull)
}
