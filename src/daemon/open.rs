//! Opening everything before the first task starts, so that what is wrong is said at once and nothing is half running.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config};
use crate::daemon::account::{Account, Lane, Upward};
use crate::daemon::clock::ms;
use crate::daemon::folder::Folder;
use crate::daemon::intake::Look;
use crate::daemon::live::Live;
use crate::daemon::lock::Lock;
use crate::dropbox::{self, Dropbox, Source, Tokens};
use crate::local::{Root, RootId};
use crate::plan::ignore::Rules;
use crate::store::Store;

/// Why the daemon does not start.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The configuration, or another daemon.
    Usage(String),
    /// The state directory or a database.
    State(String),
}

/// Everything that is open while the daemon runs.
pub(crate) struct Opened {
    pub(crate) accounts: Vec<Arc<Account>>,
    /// For each account, the orders to its folders' intakes.
    pub(crate) looks: Vec<Vec<mpsc::Receiver<Look>>>,
    pub(crate) locks: Vec<Lock>,
}

/// Opens all accounts.
pub(crate) async fn all(config: &Config, stop: &CancellationToken) -> Result<Opened, OpenError> {
    let state_dir = &config.daemon.state_dir;
    private_dir(state_dir)
        .map_err(|e| OpenError::State(format!("cannot make daemon.state_dir {}: {e}", state_dir.display())))?;
    let mut locks = vec![take_lock(&state_dir.join("lock"), state_dir)?];
    if config.accounts.iter().all(|a| a.folders.is_empty()) {
        return Err(OpenError::Usage(
            "no folder is configured: link an account with `ferrybox link`, then add a folder with `ferrybox add LOCAL REMOTE`".to_owned(),
        ));
    }
    let (mut accounts, mut looks) = (Vec::new(), Vec::new());
    for account in config.accounts.iter().filter(|a| !a.folders.is_empty()) {
        let (opened, orders) = one(config, account, &mut locks, stop).await?;
        accounts.push(Arc::new(opened));
        looks.push(orders);
    }
    Ok(Opened { accounts, looks, locks })
}

async fn one(
    config: &Config,
    account: &config::Account,
    locks: &mut Vec<Lock>,
    stop: &CancellationToken,
) -> Result<(Account, Vec<mpsc::Receiver<Look>>), OpenError> {
    let usage = |text: String| OpenError::Usage(format!("account {}: {text}", account.name));
    let dir = config.daemon.state_dir.join(&account.name);
    private_dir(&dir).map_err(|e| OpenError::State(format!("cannot make {}: {e}", dir.display())))?;
    let state = |e: crate::store::StoreError| OpenError::State(e.to_string());
    let store = Store::open(&dir.join("state.db")).map_err(state)?;

    store.set_longest(ms(config.watch.restless));

    let source: Source = account.credentials.parse().map_err(&usage)?;
    let credentials = source.load(&account.name).await.map_err(|e| usage(e.to_string()))?;
    dropbox::install_tls_provider();
    let settings = settings(config, account).map_err(|e| usage(e.to_string()))?;
    let tokens = Tokens::new(&account.name, credentials);
    let dropbox = Dropbox::new(settings, tokens).map_err(|e| usage(e.to_string()))?;

    let (mut folders, mut senders, mut receivers) = (Vec::new(), Vec::new(), Vec::new());
    for folder in &account.folders {
        folders.push(Arc::new(open_folder(&store, folder, locks).await?));
        let (tx, rx) = mpsc::channel(16);
        senders.push(tx);
        receivers.push(rx);
    }
    let ids: Vec<_> = folders.iter().map(|f| f.id).collect();
    store.forget_folders_except(&ids).await.map_err(state)?;
    let ceilings = store.meta("ceilings").await.map_err(state)?;
    let ceilings = ceilings.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let opened = Account {
        name: account.name.clone(),
        config: config.clone(),
        budget: account.data_transport_budget,
        store,
        dropbox,
        folders,
        looks: senders,
        live: Live::default(),
        who: watch::channel(None).0,
        trouble: watch::channel(None).0,
        ceilings: Mutex::new(ceilings),
        lane: Mutex::new(Lane::default()),
        claim_turn: tokio::sync::Mutex::new(()),
        pool_turn: tokio::sync::Mutex::new(()),
        sessions_wanted: std::sync::atomic::AtomicU64::new(0),
        connections: Semaphore::new(config.upload.workers.max(1)),
        host: host.split('.').next().unwrap_or_default().to_owned(),
        credentials: source,
        upward: Upward::default(),
        stop: stop.clone(),
    };
    Ok((opened, receivers))
}

fn settings(config: &Config, account: &config::Account) -> Result<dropbox::Settings, dropbox::SetupError> {
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

async fn open_folder(store: &Store, folder: &config::Folder, locks: &mut Vec<Lock>) -> Result<Folder, OpenError> {
    let state = |e: crate::store::StoreError| OpenError::State(e.to_string());
    let usage = |text: String| OpenError::Usage(format!("folder {}: {text}", folder.local.display()));
    let root = Root::open(&folder.local).map_err(|e| usage(e.to_string()))?;
    let local = root.path().to_string_lossy().into_owned();
    let known = store.folder(&local, folder.remote.as_str(), &folder.mode.to_string()).await.map_err(state)?;
    let marker = root.marker().map_err(|f| usage(f.text))?;
    let root_id = match (known.root_id, marker) {
        // Whether the marker is there and the right one is checked at each round: a folder that is not mounted yet is waited for.
        (Some(id), _) => id.parse::<RootId>().map_err(|f| OpenError::State(f.text))?,
        // Another database has met this folder before. Without a base nothing here can be believed gone, so the marker may serve both.
        (None, Some(id)) => {
            store.set_root_id(known.id, id.as_str()).await.map_err(state)?;
            id
        }
        (None, None) => {
            let id = RootId::new().map_err(|f| usage(f.text))?;
            root.write_marker(&id).map_err(|f| usage(f.text))?;
            store.set_root_id(known.id, id.as_str()).await.map_err(state)?;
            id
        }
    };
    let lock = root.path().join(".ferrybox").join("lock");
    if lock.parent().is_some_and(|p| p.symlink_metadata().is_ok_and(|m| m.is_dir())) {
        locks.push(take_lock(&lock, root.path())?);
    }
    let rules = Rules::new(&folder.ignore).map_err(|e| usage(e.to_string()))?;
    Ok(Folder {
        id: known.id,
        local: folder.local.clone(),
        remote: folder.remote.clone(),
        mode: folder.mode,
        root,
        root_id,
        rules: Arc::new(rules),
        now: Mutex::default(),
    })
}

fn take_lock(path: &Path, what: &Path) -> Result<Lock, OpenError> {
    Lock::take(path, what).map_err(|e| OpenError::Usage(e.to_string()))
}

fn private_dir(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
