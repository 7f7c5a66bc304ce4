//! Opening everything before the first task starts, so that what is wrong is said at once and nothing is half running.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config};
use crate::daemon::process::Process;
use crate::dropbox::{self, Credentials, Dropbox, Source, Tokens};
use crate::engine::account::Account;
use crate::engine::folder::attach;
use crate::engine::gate::identify;
use crate::engine::gather::remote::RemoteCache;
use crate::engine::heartbeat::on_the_disk;
use crate::engine::open::{OpenError, Parts, Unopened, assemble, settings};
use crate::engine::state_file;
use crate::env::{ms, now_ms, rfc3339};
use crate::model::Failure;
use crate::store::{Store, StoreError, set_aside};

/// Everything that is open while the daemon runs.
pub(crate) struct Opened {
    pub(crate) accounts: Vec<Arc<Account>>,
    /// Those whose state could not be opened, and why: the others go on.
    pub(crate) failed: Vec<Unopened>,
}

/// Opens all accounts. `worked`: the same configuration could be opened before, so that one account's fault in it is that account's trouble alone.
pub(crate) async fn all(
    config: &Config,
    stop: &CancellationToken,
    process: &Process,
    worked: bool,
) -> Result<Opened, OpenError> {
    let state_dir = &config.daemon.state_dir;
    private_dir(state_dir)?;
    process.lock_state(state_dir).map_err(|e| OpenError::Usage(e.to_string()))?;
    if config.accounts.iter().all(|a| a.folders.is_empty()) {
        return Err(OpenError::Usage(
            "no folder is configured: link an account with `ferrybox link`, then add a folder with `ferrybox add LOCAL REMOTE`".to_owned(),
        ));
    }
    let (mut accounts, mut failed) = (Vec::new(), Vec::new());
    // No account's trouble is another's: what cannot be opened now is left out, as long as any other can.
    let mut first: Option<OpenError> = None;
    for account in config.accounts.iter().filter(|a| !a.folders.is_empty()) {
        process.step();
        let error = match one(config, account, stop, process).await {
            Ok(account) => {
                accounts.push(Arc::new(account));
                continue;
            }
            Err(OpenError::Damaged(error)) => match &error {
                StoreError::Corrupt { path, what } if mark_damaged(path, what) => {
                    return Err(OpenError::Damaged(error));
                }
                _ => OpenError::State(error.to_string()),
            },
            Err(error) => error,
        };
        let why = match &error {
            OpenError::State(why) | OpenError::Full(why) => why.clone(),
            OpenError::Usage(why) if worked => why.clone(),
            _ => return Err(error),
        };
        failed.push(Unopened { name: account.name.clone(), why, next: 0 });
        first.get_or_insert(error);
    }
    if let Some(error) = first.filter(|_| accounts.is_empty()) {
        return Err(error);
    }
    for Unopened { name, why, .. } in &failed {
        tracing::error!(account = name, reason = why, "the account is left out; the others go on");
    }
    Ok(Opened { accounts, failed })
}

/// Tries whether an account that could not be opened can be by now: everything is opened as at a start, and closed again.
///
/// # Errors
/// Why it still cannot be.
pub(crate) async fn try_again(
    config: &Config,
    name: &str,
    stop: &CancellationToken,
    process: &Process,
) -> Result<(), String> {
    let Some(account) = config.accounts.iter().find(|account| account.name == name) else { return Ok(()) };
    let opened = match one(config, account, &stop.child_token(), process).await {
        Ok(opened) => opened,
        // The next life moves it aside.
        Err(OpenError::Damaged(StoreError::Corrupt { path, what })) if mark_damaged(&path, &what) => return Ok(()),
        Err(OpenError::Damaged(error)) => return Err(error.to_string()),
        Err(OpenError::Usage(why) | OpenError::State(why) | OpenError::Full(why)) => return Err(why),
    };
    opened.store.clone().close().await.map_err(|error| error.to_string())
}

async fn one(
    config: &Config,
    account: &config::Account,
    stop: &CancellationToken,
    process: &Process,
) -> Result<Account, OpenError> {
    let usage = |text: String| OpenError::Usage(format!("account {}: {text}", account.name));
    let dir = config.daemon.state_dir.join(&account.name);
    private_dir(&dir)?;
    set_aside_if_marked(&dir)?;
    let store = database(&dir).await?;

    store.set_longest(ms(config.watch.restless));
    store.set_history(config.daemon.history);

    let source: Source = account.credentials.parse().map_err(&usage)?;
    let (credentials, unlinked) = match source.load(&account.name).await {
        Ok(credentials) => (credentials, None),
        // After a reload it waits for the next link, as it does when Dropbox takes the token no more.
        Err(error) if process.has_been_ready() => {
            (Credentials::Access { access_token: String::new().into() }, Some(error.to_string()))
        }
        Err(error) => return Err(usage(error.to_string())),
    };
    dropbox::install_tls_provider();
    let settings = settings(config, account).map_err(|e| usage(e.to_string()))?;
    let tokens = Tokens::new(&account.name, credentials);
    let dropbox = Dropbox::behind(process.gates(&account.name), settings, tokens).map_err(|e| usage(e.to_string()))?;

    let (mut folders, mut looks) = (Vec::new(), Vec::new());
    for folder in &account.folders {
        let (tx, rx) = mpsc::channel(16);
        folders.push(Arc::new(attach::open(&store, folder, rx).await?));
        looks.push(tx);
    }
    let ids: Vec<_> = folders.iter().map(|f| f.id).collect();
    store.forget_folders_except(&ids).await?;
    let remote = RemoteCache::open(&store, &config.listing, &account.question, &folders).await?;
    let beats = Arc::clone(&process.beats);
    let account =
        assemble(config, account, Parts { store, dropbox, source, folders, looks, remote, beats }, stop).await?;
    if let Some(why) = unlinked {
        account.note(&Failure::account("auth_required", why));
    }
    Ok(account)
}

/// Opens the database on a thread that may block: a large one is checked.
async fn opened(path: &Path) -> Result<Result<Store, StoreError>, OpenError> {
    let path = path.to_owned();
    let opened = on_the_disk(move || Store::open(&path)).await;
    opened.map_err(|error| OpenError::State(format!("the opening of a database died: {error}")))
}

/// Opens an account's database. A damaged one is moved aside: an empty one takes its place, both sides are compared anew, and nothing is deleted.
async fn database(dir: &Path) -> Result<Store, OpenError> {
    let path = dir.join("state.db");
    let known = identify::remembered(dir);
    let error = match opened(&path).await? {
        Ok(store) => return whose(store, known).await,
        Err(error) => error,
    };
    match &error {
        StoreError::Corrupt { .. } => {}
        // A database of ours that is damaged where it says so. Where none of ours ever was, it is left alone.
        StoreError::NotOurs { .. } if known.is_some() => {}
        _ => return Err(error.into()),
    }
    aside(&path, &error)?;
    whose(opened(&path).await??, known).await
}

/// A database that does not know whose it is gets it from the file beside it: it is a new one in an old one's place.
async fn whose(store: Store, known: Option<String>) -> Result<Store, OpenError> {
    if let (None, Some(account_id)) = (store.account_id().await?, known) {
        store.set_account_id(&account_id).await?;
    }
    Ok(store)
}

/// Moves a damaged database aside and says so.
pub(crate) fn aside(path: &Path, why: &StoreError) -> Result<(), StoreError> {
    let mark = rfc3339(now_ms()).replace([':', '-'], "");
    let kept = set_aside(path, &mark)?;
    tracing::error!(%why, kept = %kept.display(), "the state database is damaged and was moved aside: both sides are compared anew, and nothing is deleted");
    Ok(())
}

/// Lies beside a database that has to be moved aside.
const DAMAGED: &str = "state.db.damaged";

/// Notes that a database is damaged; `false` if not even that can be written.
pub(crate) fn mark_damaged(database: &Path, what: &str) -> bool {
    state_file::write(&database.with_file_name(DAMAGED), what.as_bytes()).is_ok()
}

/// Moves an account's database aside that was found damaged while it was used.
fn set_aside_if_marked(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join("state.db");
    let note = path.with_file_name(DAMAGED);
    let Ok(Some(what)) = state_file::read(&note) else { return Ok(()) };
    aside(&path, &StoreError::Corrupt { path: path.clone(), what })?;
    std::fs::remove_file(&note).map_err(|e| StoreError::Io { path: note, what: e.to_string() })
}

fn private_dir(path: &Path) -> Result<(), OpenError> {
    state_file::directory(path).map_err(|refused| match refused {
        state_file::Refused::Io(error) => {
            OpenError::State(format!("cannot make {} (see daemon.state_dir): {error}", path.display()))
        }
        state_file::Refused::Untrusted(text) => OpenError::Usage(text),
    })
}
