//! The tasks of the running program, and the only place that knows two neighbours.
//!
//! Tasks meet in the store and nowhere else; what they share in memory ([`account::Account`]) is configuration, the wire and what goes on
//! right now. So a crash is the same as a restart, and a start is a scan plus whatever the store still holds.
//!
//! ```text
//!  intake (1 a folder)     events and scans -> rows
//!  uploader (N)            rows -> looked at, decided, sent -> stored remote changes
//!  committer (1)           remote changes -> Dropbox, one batch at a time -> base
//!  identify (1)            whose account it is, before anything of it is touched
//!  requests (1)            the socket's questions
//! ```
//! Each has a `step()`, one unit of work, and a `run()` that loops over it. The first one that ends stops the program.

pub mod lock;

mod account;
mod clock;
mod committer;
mod deletions;
mod folder;
mod identify;
mod intake;
mod judge;
mod large;
mod live;
mod open;
mod pack;
mod pool;
mod progress;
mod requests;
mod transfer;
mod trouble;
mod uploader;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::control;
use crate::daemon::account::{Account, Fatal};
use crate::daemon::committer::Committer;
use crate::daemon::intake::{Intake, Look};
use crate::daemon::open::OpenError;
use crate::daemon::progress::Progress;
use crate::daemon::uploader::Uploader;
use crate::model::status::Status;

/// How long tasks may take to come to the end of their step once the daemon is asked to stop.
const DRAIN: Duration = Duration::from_secs(3);

/// How to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOptions {
    /// Bring everything into sync, then end.
    pub once: bool,
}

/// How a run ended; each has its exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// 0: everything in sync, or stopped as asked.
    InSync,
    /// 3: finished, but some paths have problems.
    Problems,
    /// 4: could not finish, and why.
    Unfinished(String),
    /// 64: usage or configuration.
    Usage(String),
    /// 74: the state database.
    State(String),
    /// 1: anything else.
    Failed(String),
}

impl From<Fatal> for End {
    fn from(fatal: Fatal) -> Self {
        match fatal {
            Fatal::Store(error) => Self::State(error.to_string()),
            Fatal::Task(text) => Self::Failed(text),
        }
    }
}

/// Runs until everything is in sync (`once`), until `stop`, or until it cannot go on.
pub async fn run(config: Config, options: RunOptions, status: watch::Sender<Status>, stop: CancellationToken) -> End {
    let opened = match open::all(&config, &stop).await {
        Ok(opened) => opened,
        Err(OpenError::Usage(text)) => return End::Usage(text),
        Err(OpenError::State(text)) => return End::State(text),
    };
    let progress = Arc::new(Progress { accounts: opened.accounts.clone(), started: Instant::now() });
    let (tx, requests) = mpsc::channel(64);
    let socket = match control::serve(&config.daemon.socket, tx, stop.clone()) {
        Ok(socket) => socket,
        Err(error) => return End::Usage(error.to_string()),
    };
    let mut tasks: JoinSet<Result<(), Fatal>> = JoinSet::new();
    for (account, looks) in opened.accounts.iter().zip(opened.looks) {
        start(&mut tasks, account, looks);
    }
    tasks.spawn(requests::run(Arc::clone(&progress), requests));
    let publisher = Arc::clone(&progress);
    tasks.spawn(async move { publisher.publish(&status).await.map_err(Fatal::Store) });
    let mut server = JoinSet::new();
    server.spawn(socket);
    tracing::info!(accounts = opened.accounts.len(), socket = %config.daemon.socket.display(), "running");

    let end = tokio::select! {
        () = stop.cancelled() => End::InSync,
        end = finished(&opened.accounts), if options.once => end,
        Some(ended) = tasks.join_next() => match ended {
            Ok(Ok(())) => End::Failed("a task ended that never should".to_owned()),
            Ok(Err(fatal)) => fatal.into(),
            Err(error) => End::Failed(format!("a task died: {error}")),
        },
    };
    stop.cancel();
    close(tasks, server, opened.accounts).await;
    drop(opened.locks);
    end
}

fn start(tasks: &mut JoinSet<Result<(), Fatal>>, account: &Arc<Account>, looks: Vec<mpsc::Receiver<Look>>) {
    for (folder, looks) in account.folders.iter().zip(looks) {
        tasks.spawn(Intake::new(Arc::clone(account), Arc::clone(folder), looks).run());
    }
    for _ in 0..account.config.upload.workers.max(1) {
        tasks.spawn(Uploader::new(Arc::clone(account)).run());
    }
    tasks.spawn(Committer::new(Arc::clone(account)).run());
    let account = Arc::clone(account);
    tasks.spawn(async move { identify::run(&account).await });
}

/// Ends the tasks and closes the databases. A request that is cut off costs nothing but itself: that is the same as a crash.
async fn close(mut tasks: JoinSet<Result<(), Fatal>>, mut server: JoinSet<()>, accounts: Vec<Arc<Account>>) {
    tasks.abort_all();
    let drained = tokio::time::timeout(DRAIN, async {
        while tasks.join_next().await.is_some() {}
        while server.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        tracing::warn!("some tasks did not end in time");
        server.abort_all();
    }
    for account in accounts {
        if let Err(error) = account.store.clone().close().await {
            tracing::warn!(account = %account.name, %error, "the state database was not closed cleanly; nothing is lost");
        }
    }
}

/// Resolves when every account has done what can be done.
async fn finished(accounts: &[Arc<Account>]) -> End {
    let mut problems = false;
    for account in accounts {
        match account.finished().await {
            Ok(some) => problems |= some,
            Err(end) => return end,
        }
    }
    if problems { End::Problems } else { End::InSync }
}
