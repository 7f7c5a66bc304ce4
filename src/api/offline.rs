//! Questions that are answered without a daemon: from the databases as the last one left them, read-only.
//!
//! The accounts are opened as for the daemon, but no lock is taken, nothing is written, and no call is made. What only a running daemon knows (a
//! scan under way, rates, a wave of Dropbox's that is being weighed) is not known here.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::api::requests;
use crate::api::status::Progress;
use crate::config::{self, Config};
use crate::control::{self, Reply};
use crate::dropbox::{Credentials, Dropbox, Source, Tokens, install_tls_provider};
use crate::engine::account::Account;
use crate::engine::approvals;
use crate::engine::blocking::Fatal;
use crate::engine::folder::attach;
use crate::engine::gather::remote::RemoteCache;
use crate::engine::open::{OpenError, Parts, assemble, settings};
use crate::env;
use crate::env::now_ms;
use crate::plan::delete::guard;
use crate::store::Store;

/// Why a question cannot be answered without a daemon.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// No account has a database yet.
    #[error("no daemon has run yet: start it with `ferrybox run`")]
    NeverRun,
    /// A database cannot be read, or the configuration is wrong.
    #[error("the database cannot be asked while no daemon runs: {0}")]
    Closed(String),
}

/// What the daemon would answer to `GET path` if it ran.
///
/// # Errors
/// [`OfflineError`].
pub async fn get(config: &Config, path: &str) -> Result<Reply, OfflineError> {
    let stop = CancellationToken::new();
    let mut accounts = Vec::new();
    for account in &config.accounts {
        accounts.extend(one(config, account, &stop).await?.map(Arc::new));
    }
    if accounts.is_empty() {
        return Err(OfflineError::NeverRun);
    }
    let progress = Arc::new(Progress { accounts, failed: Mutex::default(), started: env::instant() });
    let (tx, questions) = mpsc::channel(1);
    tokio::select! {
        biased;
        answered = control::answer_here(tx, path) => Ok(answered),
        ended = requests::run(progress, questions, Arc::default(), mpsc::channel(1).0, Err) => Err(closed(match ended {
            Err(Fatal::Store(error)) => error.to_string(),
            Err(error) => format!("{error:?}"),
            Ok(()) => "the question was not answered".to_owned(),
        })),
    }
}

fn closed(why: impl Into<String>) -> OfflineError {
    OfflineError::Closed(why.into())
}

async fn one(
    config: &Config,
    account: &config::Account,
    stop: &CancellationToken,
) -> Result<Option<Account>, OfflineError> {
    let path = config.daemon.state_dir.join(&account.name).join("state.db");
    let opened = env::spawn_blocking(move || Store::open_read_only(&path)).await;
    let opened = opened.map_err(|e| closed(e.to_string()))?.map_err(|e| closed(e.to_string()))?;
    let Some(store) = opened else { return Ok(None) };
    let (mut folders, mut looks) = (Vec::new(), Vec::new());
    for folder in &account.folders {
        let folder = attach::look(&store, folder).await.map_err(|error| match error {
            OpenError::Usage(text) | OpenError::State(text) | OpenError::Full(text) => closed(text),
            OpenError::Damaged(error) => closed(error.to_string()),
        })?;
        if let Some(folder) = folder {
            looks.push(mpsc::channel(1).0);
            folders.push(Arc::new(folder));
        }
    }
    let failed = |e: crate::store::StoreError| closed(e.to_string());
    let remote = RemoteCache::look(&store, &config.listing, &account.question, &folders).await.map_err(failed)?;
    // Never asked: no question that is answered here makes a call.
    install_tls_provider();
    let settings = settings(config, account).map_err(|e| closed(e.to_string()))?;
    let nobody = Tokens::new(&account.name, Credentials::Access { access_token: String::new().into() });
    let dropbox = Dropbox::new(settings, nobody).map_err(|e| closed(e.to_string()))?;
    let parts = Parts { store, dropbox, source: Source::Keyring, folders, looks, remote, beats: Arc::default() };
    let account = assemble(config, account, parts, stop).await.map_err(failed)?;
    for folder in &account.folders {
        let waits = approvals::is_open(&account, folder).await;
        if waits.map_err(|e| closed(format!("{e:?}")))? {
            let reason = "they were held when the daemon stopped: start it with `ferrybox run`, then".to_owned();
            // As it was: nothing is written here.
            let all = match approvals::before(&account, folder).await.map_err(|e| closed(format!("{e:?}")))? {
                guard::Before::All(most) => Some(most),
                guard::Before::Nothing | guard::Before::TooMany => None,
            };
            let why = guard::Held { waiting: 0, all, reason };
            approvals::hold(&account, folder, &why, now_ms()).await.map_err(|e| closed(format!("{e:?}")))?;
        }
    }
    Ok(Some(account))
}
