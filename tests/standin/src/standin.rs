//! The server as a test sees it: starting, stopping, waiting, and what was recorded.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::{Arc, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::account::Account;
use crate::fault::Fault;
use crate::http;
use crate::routes;
use crate::settings::{Pace, Settings};
use crate::shared::{Shared, lock};
use crate::state::AccountKey;
use crate::state::account::{Account as AccountState, AccountSpec};
use crate::stats::{RouteStats, Told};
use crate::violation::{Violation, ViolationKind};

/// A running server. It derefs to its default [`Account`]; dropping it stops it.
pub struct Standin {
    shared: Arc<Shared>,
    address: SocketAddr,
    default: Account,
    running: Running,
}

enum Running {
    /// On the runtime that started it.
    Task(JoinSet<()>),
    /// On a thread of its own, which ends when the sender is dropped.
    Thread(Option<(oneshot::Sender<()>, JoinHandle<()>)>),
}

impl Standin {
    /// Starts a server on the current tokio runtime.
    ///
    /// # Errors
    /// The port cannot be bound.
    pub async fn start(settings: Settings) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port)).await?;
        let address = listener.local_addr()?;
        let shared = prepare(settings);
        let mut task = JoinSet::new();
        task.spawn(http::accept(listener, Arc::clone(&shared)));
        Ok(Self::new(shared, address, Running::Task(task)))
    }

    /// Starts a server on a thread and a runtime of its own, for tests that block.
    ///
    /// # Errors
    /// The port cannot be bound, or the runtime cannot be made.
    pub fn spawn_thread(settings: Settings) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (send, receive) = mpsc::channel();
        let port = settings.port;
        let shared = prepare(settings);
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("standin".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
                    Ok(listener) => listener,
                    Err(error) => return drop(send.send(Err(error))),
                };
                drop(send.send(listener.local_addr()));
                tokio::select! {
                    () = http::accept(listener, served) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        })?;
        let address = receive.recv().map_err(|_| std::io::Error::other("the stand-in's thread ended"))??;
        Ok(Self::new(shared, address, Running::Thread(Some((stop, thread)))))
    }

    fn new(shared: Arc<Shared>, address: SocketAddr, running: Running) -> Self {
        let default = Account::new(Arc::clone(&shared), AccountKey(0));
        Self { shared, address, default, running }
    }

    /// `http://127.0.0.1:port`, without a slash at its end; every host of Dropbox is this one.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds an account with its own tree and tokens.
    pub fn add_account(&self, spec: AccountSpec) -> Account {
        let key = add_account(&self.shared, spec);
        Account::new(Arc::clone(&self.shared), key)
    }

    /// The account of this key.
    #[must_use]
    pub fn account(&self, key: AccountKey) -> Account {
        Account::new(Arc::clone(&self.shared), key)
    }

    /// What clients did against the protocol since the start or [`Standin::reset_counters`].
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        lock(&self.shared.record).violations.clone()
    }

    /// Forgets violations of this kind: for tests that provoke them.
    pub fn forgive(&self, kind: ViolationKind) {
        lock(&self.shared.record).violations.retain(|violation| violation.kind != kind);
    }

    /// Calls and bytes by route, such as `files/upload`.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<String, RouteStats> {
        lock(&self.shared.record).stats.routes.clone()
    }

    /// The heads of the requests since the start or [`Standin::reset_counters`], in their order, refused ones too; at most the first 100,000.
    #[must_use]
    pub fn heads(&self) -> Vec<Told> {
        lock(&self.shared.record).heads.clone()
    }

    /// The argument of the last call of a route, as it came; null if there was none.
    #[must_use]
    pub fn last_argument(&self, route: &str) -> serde_json::Value {
        let record = lock(&self.shared.record);
        record.arguments.get(route).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// How often one route was called.
    #[must_use]
    pub fn calls_of(&self, route: &str) -> u64 {
        lock(&self.shared.record).stats.routes.get(route).map_or(0, |stats| stats.calls)
    }

    /// Whether a route's text says that its calls count as data transport calls.
    #[must_use]
    pub fn is_data_transport(&self, route: &str) -> bool {
        routes::ROUTES.iter().any(|known| known.transport && known.name == route)
    }

    /// Calls of the routes whose text says that they count as data transport calls.
    #[must_use]
    pub fn data_transport_calls(&self) -> u64 {
        routes::ROUTES.iter().filter(|route| route.transport).map(|route| self.calls_of(route.name)).sum()
    }

    /// Forgets counts and violations; state and faults stay.
    pub fn reset_counters(&self) {
        let mut record = lock(&self.shared.record);
        record.stats.reset();
        record.violations.clear();
        record.heads.clear();
    }

    /// The faults of this server.
    #[must_use]
    pub fn faults(&self) -> FaultPlan<'_> {
        FaultPlan { shared: &self.shared }
    }

    /// Changes settings for the calls that come from now on.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared.settings.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Sets the delay before each request is processed.
    pub fn set_latency(&self, latency: Duration) {
        self.set(|settings| settings.latency = latency);
    }

    /// Sets how long a batch takes to commit, whatever its size.
    pub fn set_commit_duration(&self, per_batch: Duration) {
        self.set(|settings| settings.commit = Pace { per_batch, per_entry: Duration::ZERO });
    }

    /// Sets the bytes a second of each connection.
    pub fn set_bandwidth(&self, bandwidth: Option<u64>) {
        self.set(|settings| settings.bandwidth = bandwidth);
    }

    /// Puts the server's clock forward: tokens, sessions, Retry-After and `server_modified` go by it.
    pub fn advance(&self, by: Duration) {
        self.shared.advance(by);
    }

    /// Upload sessions that are neither committed nor expired.
    #[must_use]
    pub fn open_sessions(&self) -> usize {
        let (now, life) = (self.shared.now().clock, self.shared.settings().session_life);
        let world = self.shared.world();
        world.sessions.values().filter(|session| !session.committed && !session.has_expired(now, life)).count()
    }

    /// All upload sessions have expired.
    pub fn expire_sessions(&self) {
        self.shared.world().sessions.clear();
        self.shared.pulse.beat();
    }

    /// Batches that are being committed now, of all accounts.
    #[must_use]
    pub fn running_commits(&self) -> usize {
        self.shared.world().accounts.iter().map(|account| account.committing.len()).sum()
    }

    /// Waits until `done` holds, which is looked at after every change of anything. False: the time was up.
    pub async fn wait_for(&self, timeout: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let deadline = tokio::time::Instant::now() + timeout;
        let mut beats = self.shared.pulse.subscribe();
        loop {
            beats.borrow_and_update();
            if done(self) {
                return true;
            }
            if tokio::time::timeout_at(deadline, beats.changed()).await.is_err() {
                return done(self);
            }
        }
    }

    /// As [`Standin::wait_for`], for tests that block.
    pub fn wait_for_blocking(&self, timeout: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        loop {
            let seen = self.shared.pulse.count();
            if done(self) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.shared.pulse.wait_past(seen, left);
        }
    }

    /// Stops the server; connections are closed.
    pub fn stop(self) {
        drop(self);
    }
}

impl Deref for Standin {
    type Target = Account;

    fn deref(&self) -> &Account {
        &self.default
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.shared.stop();
        match &mut self.running {
            Running::Task(task) => task.abort_all(),
            Running::Thread(thread) => {
                if let Some((stop, thread)) = thread.take() {
                    let _ = stop.send(());
                    let _ = thread.join();
                }
            }
        }
    }
}

/// Faults on command.
pub struct FaultPlan<'a> {
    shared: &'a Shared,
}

impl FaultPlan<'_> {
    /// Adds a fault; several may hit one call.
    pub fn add(&self, fault: Fault) {
        lock(&self.shared.faults).add(fault);
    }

    /// Removes all faults.
    pub fn clear(&self) {
        lock(&self.shared.faults).clear();
    }

    /// How many calls each fault has hit, in the order of adding.
    #[must_use]
    pub fn hits(&self) -> Vec<u64> {
        lock(&self.shared.faults).hits()
    }
}

fn prepare(settings: Settings) -> Arc<Shared> {
    let (token, scopes) = (settings.token.clone(), settings.scopes.clone());
    let shared = Arc::new(Shared::new(settings));
    let account = add_account(&shared, AccountSpec::default());
    if let Some(token) = token {
        let access = crate::state::token::Access { account, refresh: None, scopes, expires: None, revoked: false };
        shared.world().tokens.access.insert(token, access);
    }
    shared
}

fn add_account(shared: &Shared, spec: AccountSpec) -> AccountKey {
    let quota = shared.settings().quota;
    let mut world = shared.world();
    let key = world.accounts.len();
    world.accounts.push(AccountState::new(key as u64, spec, quota));
    AccountKey(key)
}
