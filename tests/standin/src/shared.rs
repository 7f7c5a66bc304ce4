//! What all connections share: the state behind its lock, the clock, the faults, the record, and the pulse that wakes who waits.

use std::collections::{HashMap, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::fault::Faults;
use crate::settings::Settings;
use crate::state::World;
use crate::state::job::Now;
use crate::stats::{Stats, Told};
use crate::violation::{Violation, ViolationKind};

/// Locks, and goes on after a panic elsewhere: a test that failed should not make others fail.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A promise that a route is not to be called before some time.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    since: Duration,
    until: Duration,
    argument: [u8; 32],
}

/// What has been seen of the clients.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) stats: Stats,
    pub(crate) violations: Vec<Violation>,
    /// By account and route.
    gates: HashMap<(String, String), Gate>,
    /// Listings under way, by account, route and argument.
    listings: HashSet<(String, String, [u8; 32])>,
    pub(crate) requests: u64,
    pub(crate) heads: Vec<Told>,
    /// The last arguments, by route.
    pub(crate) arguments: HashMap<&'static str, String>,
}

/// Heads that are kept, the first ones.
const HEADS: usize = 100_000;

impl Record {
    pub(crate) fn tell(&mut self, told: Told) {
        if self.heads.len() < HEADS {
            self.heads.push(told);
        }
    }
}

/// Wakes tasks and threads when anything has changed.
pub(crate) struct Pulse {
    beats: watch::Sender<u64>,
    count: Mutex<u64>,
    changed: Condvar,
}

impl Pulse {
    pub(crate) fn beat(&self) {
        self.beats.send_modify(|n| *n += 1);
        *lock(&self.count) += 1;
        self.changed.notify_all();
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.beats.subscribe()
    }

    /// How often it has beaten.
    pub(crate) fn count(&self) -> u64 {
        *lock(&self.count)
    }

    /// Blocks this thread until it has beaten more than `seen` times, or the time is up.
    pub(crate) fn wait_past(&self, seen: u64, timeout: Duration) {
        let guard = lock(&self.count);
        drop(self.changed.wait_timeout_while(guard, timeout, |count| *count <= seen));
    }
}

pub(crate) struct Shared {
    pub(crate) settings: RwLock<Settings>,
    pub(crate) world: Mutex<World>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) record: Mutex<Record>,
    pub(crate) pulse: Pulse,
    /// Batches that are being committed; they outlive the connection that began them, and end with the server.
    tasks: Mutex<JoinSet<()>>,
    started: Instant,
    /// How far the server's clock has been put forward.
    ahead: Mutex<Duration>,
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            world: Mutex::new(World::new(settings.seed)),
            settings: RwLock::new(settings),
            faults: Mutex::default(),
            record: Mutex::default(),
            pulse: Pulse { beats: watch::Sender::new(0), count: Mutex::new(0), changed: Condvar::new() },
            tasks: Mutex::default(),
            started: Instant::now(),
            ahead: Mutex::default(),
        }
    }

    /// The settings as they are now.
    pub(crate) fn settings(&self) -> Settings {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// Runs work that no connection waits for.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(work);
    }

    /// Ends all such work.
    pub(crate) fn stop(&self) {
        lock(&self.tasks).abort_all();
    }

    pub(crate) fn now(&self) -> Now {
        let ahead = *lock(&self.ahead);
        let seconds = i64::try_from(ahead.as_secs()).unwrap_or(0);
        Now { unix: Timestamp::now().as_second().saturating_add(seconds), clock: self.started.elapsed() + ahead }
    }

    pub(crate) fn advance(&self, by: Duration) {
        *lock(&self.ahead) += by;
        self.pulse.beat();
    }

    pub(crate) fn violate(&self, kind: ViolationKind, route: &str, account: Option<&str>, detail: String) {
        let at_ms = u64::try_from(self.now().clock.as_millis()).unwrap_or(u64::MAX);
        let violation = Violation { kind, route: route.to_owned(), account: account.map(str::to_owned), detail, at_ms };
        lock(&self.record).violations.push(violation);
        self.pulse.beat();
    }

    /// Remembers that this call was told to wait.
    pub(crate) fn shut_gate(&self, account: &str, route: &str, argument: [u8; 32], wait: Duration) {
        let since = self.now().clock;
        let gate = Gate { since, until: since + wait, argument };
        lock(&self.record).gates.insert((account.to_owned(), route.to_owned()), gate);
    }

    /// How a call comes before the time that an earlier one was told, for a person to read. What arrived before that was told was on its way, and so
    /// was another call that arrives soon after it, since the reply takes its time, too; the argument, where it tells the work, says whether it is
    /// another.
    pub(crate) fn is_early(
        &self,
        account: &str,
        route: &str,
        argument: Option<[u8; 32]>,
        arrived: Duration,
        grace: Duration,
    ) -> Option<String> {
        let record = lock(&self.record);
        let gate = record.gates.get(&(account.to_owned(), route.to_owned()))?;
        let (before, left) = (arrived.checked_sub(gate.since)?, gate.until.checked_sub(arrived)?);
        let repeated = argument == Some(gate.argument);
        if left.is_zero() || (!repeated && before < grace) {
            return None;
        }
        let (before, left) = (before.as_millis(), left.as_millis());
        let which = if repeated { "the same call" } else { "another call" };
        Some(format!("{route}: {which} arrived {before} ms after a Retry-After was sent, {left} ms too early"))
    }

    /// Notes that a listing is under way; `None` when the same one is already.
    pub(crate) fn begin_listing(&self, account: &str, route: &str, argument: [u8; 32]) -> Option<Listing<'_>> {
        let key = (account.to_owned(), route.to_owned(), argument);
        let new = lock(&self.record).listings.insert(key.clone());
        new.then_some(Listing { shared: self, key })
    }
}

/// A listing under way; ends when it is dropped.
pub(crate) struct Listing<'a> {
    shared: &'a Shared,
    key: (String, String, [u8; 32]),
}

impl Drop for Listing<'_> {
    fn drop(&mut self) {
        lock(&self.shared.record).listings.remove(&self.key);
    }
}
