//! What outlives a reload: the life that runs now, as the watchdog's keeper sees it, and what the last one left running.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::requests::ReloadAsked;
use crate::api::status::Progress;
use crate::dropbox::Gates;
use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::heartbeat::{Beat, Beats};
use crate::engine::lock::{Lock, LockError};
use crate::env;
use crate::env::lock;

/// After this long it is said that something of the last life is still waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The program from its start to its end, over all reloads.
pub struct Process {
    /// What goes on.
    pub(crate) beats: Arc<Beats>,
    /// The life that runs; `None` between two.
    now: Mutex<Option<Arc<Progress>>>,
    /// How many lives came so far. When the first one has, missing credentials end no other one.
    ready: AtomicU64,
    ask: mpsc::Sender<ReloadAsked>,
    asked: Mutex<Option<mpsc::Receiver<ReloadAsked>>>,
    /// When opening or closing last came a step further.
    between: Beat,
    /// What is left of a life that has ended: it still holds what is the next one's.
    left: Mutex<Left>,
    /// By the account's name: a wait that Dropbox asked for is no shorter because of a reload.
    gates: Mutex<HashMap<String, Gates>>,
    /// The state directory and its lock, held between two lives, too: whoever meets it there knows that a daemon is at work.
    state: Mutex<Option<(PathBuf, Lock)>>,
}

/// A life that has ended, and those of its tasks that did not end in time.
#[derive(Default)]
pub(crate) struct Left {
    /// Whose folders are still locked.
    pub(crate) accounts: Vec<Arc<Account>>,
    pub(crate) tasks: Vec<JoinSet<Result<(), Fatal>>>,
    pub(crate) servers: Vec<JoinSet<()>>,
}

impl Default for Process {
    fn default() -> Self {
        let (ask, asked) = mpsc::channel(4);
        Self {
            beats: Arc::default(),
            now: Mutex::default(),
            ready: AtomicU64::new(0),
            ask,
            asked: Mutex::new(Some(asked)),
            between: Beat::default(),
            left: Mutex::default(),
            gates: Mutex::default(),
            state: Mutex::default(),
        }
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process").finish_non_exhaustive()
    }
}

impl Process {
    /// The life that runs now.
    pub(crate) fn now(&self) -> Option<Arc<Progress>> {
        lock(&self.now).clone()
    }

    /// Everything is open and at work; or (`None`) a life ends.
    pub(crate) fn set(&self, now: Option<Arc<Progress>>) {
        self.step();
        if now.is_some() {
            self.ready.fetch_add(1, Ordering::Relaxed);
        }
        *lock(&self.now) = now;
    }

    /// Where reloads that are asked for over the socket arrive; there is one who answers them.
    pub fn reloads(&self) -> Option<mpsc::Receiver<ReloadAsked>> {
        lock(&self.asked).take()
    }

    /// Where a reload is asked for.
    pub(crate) fn reload(&self) -> mpsc::Sender<ReloadAsked> {
        self.ask.clone()
    }

    /// How many lives so far had everything open.
    pub fn times_ready(&self) -> u64 {
        self.ready.load(Ordering::Relaxed)
    }

    /// Whether this program has been at work before: then it waits for what is missing and does not end.
    pub(crate) fn has_been_ready(&self) -> bool {
        self.times_ready() > 0
    }

    /// Takes the lock of the state directory, if this process does not hold it yet. That of another one is let go of when this one is had.
    pub(crate) fn lock_state(&self, dir: &Path) -> Result<(), LockError> {
        let path = dir.join("lock");
        let mut state = lock(&self.state);
        if !state.as_ref().is_some_and(|(held, lock)| held == dir && lock.is_at(&path)) {
            let taken = Lock::take(&path, dir)?;
            *state = Some((dir.to_owned(), taken));
        }
        Ok(())
    }

    /// A life begins.
    pub(crate) fn begin(&self) {
        self.step();
    }

    /// Opening or closing has come a step further.
    pub(crate) fn step(&self) {
        self.between.strike();
    }

    /// How long ago that was.
    pub(crate) fn silence(&self) -> Duration {
        self.between.silence()
    }

    /// The gates of the account of this name.
    pub(crate) fn gates(&self, account: &str) -> Gates {
        lock(&self.gates).entry(account.to_owned()).or_default().clone()
    }

    /// What is left of a life.
    pub(crate) fn leave(&self, left: Left) {
        let mut all = lock(&self.left);
        all.accounts.extend(left.accounts);
        all.tasks.extend(left.tasks);
        all.servers.extend(left.servers);
    }

    /// Waits until nothing of the last life is left: its locks, its socket and its databases are free then. `false`: asked to stop meanwhile.
    pub(crate) async fn last_life_has_ended(&self, stop: &CancellationToken) -> bool {
        let Left { accounts, mut tasks, mut servers } = std::mem::take(&mut *lock(&self.left));
        let ended = async {
            for set in &mut tasks {
                while set.join_next().await.is_some() {}
            }
            for set in &mut servers {
                while set.join_next().await.is_some() {}
            }
            self.beats.work_has_ended().await;
            // A watcher's thread, which only looks, may hold the folder a moment longer.
            accounts.iter().flat_map(|account| &account.folders).for_each(|folder| *lock(&folder.lock) = None);
        };
        let told = async {
            env::sleep(PATIENCE).await;
            tracing::warn!(
                "something on the disk that was begun before is still under way: starting over waits for its end"
            );
            std::future::pending::<()>().await;
        };
        let all = tokio::select! {
            () = ended => true,
            () = told => false,
            () = stop.cancelled() => false,
        };
        if !all {
            // The life after this one waits for them.
            self.leave(Left { accounts, tasks, servers });
        }
        all
    }
}
