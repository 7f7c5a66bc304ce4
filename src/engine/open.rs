//! Putting one account together from its parts, and why that can fail.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config};
use crate::dropbox::{self, Dropbox, Going, Source};
use crate::engine::account::{Account, Lane, Upward};
use crate::engine::folder::Folder;
use crate::engine::folder::Look;
use crate::engine::gate::{call_budget, pause};
use crate::engine::gather::remote::RemoteCache;
use crate::engine::heartbeat::Beats;
use crate::engine::metrics::Live;
use crate::engine::rename_proposals::Moves;
use crate::engine::work::at_hand::AtHand;
use crate::engine::work::upload::dedup_copy::Copies;
use crate::env::lock;
use crate::env::steady_ms;
use crate::model::UnixMs;
use crate::plan::time::governor::Governor;
use crate::store::{Store, StoreError};

/// Why an account, or one of its folders, cannot be opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The configuration, or another daemon.
    Usage(String),
    /// The state directory or a database.
    State(String),
    /// No room for a database.
    Full(String),
    /// A database turned out damaged while it was opened: it is to be moved aside.
    Damaged(StoreError),
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full { .. } => Self::Full(error.to_string()),
            StoreError::Corrupt { .. } => Self::Damaged(error),
            StoreError::Untrusted { .. } => Self::Usage(error.to_string()),
            _ => Self::State(error.to_string()),
        }
    }
}

/// An account whose state could not be opened.
#[derive(Debug, Clone)]
pub(crate) struct Unopened {
    pub(crate) name: String,
    pub(crate) why: String,
    /// When it is tried again; 0: not by this run.
    pub(crate) next: UnixMs,
}

/// What an account is made of, however it was opened.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) dropbox: Dropbox,
    pub(crate) source: Source,
    pub(crate) folders: Vec<Arc<Folder>>,
    pub(crate) looks: Vec<mpsc::Sender<Look>>,
    pub(crate) remote: RemoteCache,
    pub(crate) beats: Arc<Beats>,
}

/// Puts an account together, with what the database remembers of it.
pub(crate) async fn assemble(
    config: &Config,
    account: &config::Account,
    parts: Parts,
    stop: &CancellationToken,
) -> Result<Account, StoreError> {
    let Parts { store, dropbox, source, folders, looks, remote, beats } = parts;
    let governor = govern(&dropbox, &account.name);
    call_budget::meter(&dropbox, &store, account.data_transport_budget);
    let paused = pause::remembered(&store).await?;
    let ceilings = store.ceilings().await?;
    let ceilings = ceilings.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(Account {
        name: account.name.clone(),
        config: config.clone(),
        budget: account.data_transport_budget,
        store,
        dropbox,
        folders,
        remote,
        looks,
        live: Live::default(),
        who: watch::channel(None).0,
        recheck: tokio::sync::Notify::new(),
        trouble: watch::channel(None).0,
        paused: watch::channel(paused).0,
        ceilings: Mutex::new(ceilings),
        lane: Mutex::new(Lane::default()),
        claim_turn: Arc::default(),
        pool_turn: tokio::sync::Mutex::new(()),
        sessions_wanted: std::sync::atomic::AtomicU64::new(0),
        connections: Semaphore::new(config.upload.workers.max(1)),
        full: Mutex::default(),
        stopped: Mutex::default(),
        beats,
        host: host.split('.').next().unwrap_or_default().to_owned(),
        credentials: source,
        upward: Upward::default(),
        governor,
        moves: Moves::default(),
        copies: Copies::default(),
        at_hand: AtHand::default(),
        stop: stop.clone(),
    })
}

/// Has the account's calls counted, so that no loop of them goes on at full speed.
fn govern(dropbox: &Dropbox, account: &str) -> Arc<Mutex<Governor>> {
    let governor = Arc::new(Mutex::new(Governor::default()));
    let (counts, account) = (Arc::clone(&governor), account.to_owned());
    dropbox.govern(Box::new(move |class, going| {
        let now = steady_ms();
        let mut counts = lock(&counts);
        match going {
            Going::Call => {}
            Going::Look => {
                return Duration::from_millis(u64::try_from(counts.waits(class, now)).unwrap_or(0));
            }
            Going::Carried => {
                counts.carried(class);
                return Duration::ZERO;
            }
        }
        let before = counts.slowed(now);
        let wait = counts.call(class, now);
        if let Some(slowed) = counts.slowed(now).filter(|slowed| before != Some(*slowed)) {
            let for_s = slowed.until.saturating_sub(now) / 1000;
            tracing::warn!(
                account,
                class = slowed.class,
                limit = slowed.limit,
                for_s,
                "far too many calls were made in a minute: they are slowed down"
            );
        }
        Duration::from_millis(u64::try_from(wait).unwrap_or(0))
    }));
    governor
}

/// What the client of an account is built from.
///
/// # Errors
/// An address of the configuration is none.
pub(crate) fn settings(config: &Config, account: &config::Account) -> Result<dropbox::Settings, dropbox::SetupError> {
    let path_root = match &account.path_root {
        config::PathRoot::Home => dropbox::PathRoot::Home,
        config::PathRoot::Root => dropbox::PathRoot::Root,
        config::PathRoot::Namespace(id) => dropbox::PathRoot::Namespace(id.clone()),
    };
    let e = &account.endpoints;
    let mut settings = dropbox::Settings::new(dropbox::Endpoints::new(&e.api, &e.content, &e.notify, &e.web)?);
    settings.path_root = path_root;
    settings.select_user.clone_from(&account.select_user);
    settings.select_admin.clone_from(&account.select_admin);
    settings.ca_file.clone_from(&e.ca_file);
    settings.connections = config.upload.workers.max(1);
    settings.bandwidth = config.upload.bandwidth;
    Ok(settings)
}
