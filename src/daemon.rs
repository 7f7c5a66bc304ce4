//! The process: everything is opened, the tasks of all accounts run until one ends or the program is told to stop, and what is open is closed.
//!
//! Tasks meet in the store and nowhere else; what they share in memory ([`crate::engine::account::Account`]) is configuration, the wire and
//! what goes on right now. So a crash is the same as a restart, and a start is a scan plus whatever the store still holds.
//!
//! ```text
//!  intake (1 a folder)     events and scans -> rows
//!  worker (N)              rows -> looked at, decided, sent -> stored remote changes
//!  committer (1)           remote changes -> Dropbox, one batch at a time -> base
//!  reconciler (1)          Dropbox's listings -> the remote cache, and rows where that differs from base
//!  identify (1)            whose account it is, before anything of it is touched
//!  requests (1)            the socket's questions
//! ```
//! The first one that ends stops the program.

pub mod notify;

pub(crate) mod open;
pub(crate) mod process;
mod reopening;
mod run_once;
mod socket_note;
mod tasks;

pub use crate::api::offline::{OfflineError, get as answer_offline};
/// The id of the Dropbox account whose database stands, or once stood, in an account's state directory; none if that was never known.
pub use crate::engine::gate::identify::remembered as known_account;
pub use socket_note::noted_socket;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use crate::api::requests::ReloadAsked;
use crate::api::status::Progress;
use crate::config::Config;
use crate::control;
use crate::daemon::process::Left;
pub use crate::daemon::process::Process;
use crate::daemon::reopening::Reopening;
use crate::daemon::tasks::Tasks;
use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::heartbeat::on_the_disk;
pub(crate) use crate::engine::lock::Lock;
use crate::engine::open::OpenError;
use crate::env;
use crate::env::lock as lock_of;
use crate::model::status::Status;
use crate::store::StoreError;

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

/// How long a full disk is left alone before it is looked at again.
const FULL_WAIT: Duration = Duration::from_secs(2);
/// So much must be free again before work goes on.
const ROOM: u64 = 8 << 20;

/// Runs until everything is in sync (`once`), until `stop`, or until it cannot go on. `process` is the same for all runs of one program.
pub async fn run(
    config: Config,
    options: RunOptions,
    status: watch::Sender<Status>,
    stop: CancellationToken,
    process: Arc<Process>,
) -> End {
    let mut reopening = Reopening::default();
    let before = process.times_ready();
    loop {
        let worked = process.times_ready() > before;
        let life = one_life(&config, options, &status, &stop, &process, (&mut reopening, worked)).await;
        process.set(None);
        match life {
            Life::Over(end) => return end,
            Life::Again => {}
            Life::Full => {
                tokio::select! {
                    () = stop.cancelled() => return End::InSync,
                    () = env::sleep(FULL_WAIT) => {}
                }
            }
        }
    }
}

/// What follows from the end of one life.
enum Life {
    Over(End),
    /// The databases have to be opened anew.
    Again,
    /// There is no room to begin with.
    Full,
}

/// From the opening of the databases to their closing.
async fn one_life(
    config: &Config,
    options: RunOptions,
    status: &watch::Sender<Status>,
    stop: &CancellationToken,
    process: &Arc<Process>,
    (reopening, worked): (&mut Reopening, bool),
) -> Life {
    let stop = stop.child_token();
    process.begin();
    // Whoever reads a large file for the last life holds its folder's lock.
    if !process.last_life_has_ended(&stop).await {
        return Life::Over(End::InSync);
    }
    let opened = match open::all(config, &stop, process, worked).await {
        Ok(opened) => opened,
        Err(OpenError::Usage(text)) => return Life::Over(End::Usage(text)),
        Err(OpenError::State(text)) => return Life::Over(End::State(text)),
        Err(OpenError::Damaged(error)) => return damage(&error),
        Err(OpenError::Full(text)) if options.once => return Life::Over(End::State(text)),
        Err(OpenError::Full(text)) => {
            tracing::error!(reason = %text, "waiting for room");
            return Life::Full;
        }
    };
    let progress = Arc::new(Progress {
        accounts: opened.accounts.clone(),
        failed: Mutex::new(opened.failed.clone()),
        started: env::instant(),
    });
    reopening.begin(&progress, options.once);
    let (tx, requests) = mpsc::channel(64);
    let socket = match control::serve(&config.daemon.socket, tx, stop.clone()) {
        Ok(socket) => socket,
        Err(error) => return Life::Over(End::Usage(error.to_string())),
    };
    socket_note::write(&config.daemon);
    let mut views: JoinSet<Result<(), Fatal>> = JoinSet::new();
    views.spawn(crate::api::requests::run(
        Arc::clone(&progress),
        requests,
        Arc::clone(&process.beats),
        process.reload(),
        crate::api::requests::survive,
    ));
    let (publisher, to) = (Arc::clone(&progress), status.clone());
    views.spawn(async move { publisher.publish(&to).await.map_err(Fatal::Store) });
    let mut server = JoinSet::new();
    server.spawn(socket);
    tracing::info!(accounts = opened.accounts.len(), socket = %config.daemon.socket.display(), "running");

    process.set(Some(Arc::clone(&progress)));
    notify::ready();
    let mut tasks = Tasks::new(&opened.accounts);
    // A try to open what could not be: a database's check may take minutes, and the others are looked after meanwhile.
    let mut trying = None;
    let life = loop {
        tasks.start();
        let finished = async {
            let end = run_once::finished(&opened.accounts).await;
            opened.failed.iter().fold(end, |end, failed| run_once::worse(end, End::State(failed.why.clone())))
        };
        let ended = tokio::select! {
            () = stop.cancelled() => break Life::Over(End::InSync),
            end = finished, if options.once => break Life::Over(end),
            next = tasks.next() => match next {
                Some((which, ended)) => (Some(which), ended),
                // One that was stopped is tried again.
                None => continue,
            },
            Some(ended) = views.join_next() => (None, ended),
            () = reopening.until(), if trying.is_none() => {
                // What waits for the disk, for another process or for Dropbox rests; the work on the disk itself is listened to.
                let one = crate::engine::heartbeat::rest(reopening::try_again(config, &stop, process, &progress));
                trying = Some(Box::pin(process.beats.drive("the opening of an account".to_owned(), one)));
                continue;
            }
            again = tried(&mut trying) => {
                trying = None;
                if again {
                    break Life::Again;
                }
                reopening.failed(&progress);
                continue;
            }
        };
        match ended {
            (_, Ok(Err(Fatal::Store(full @ StoreError::Full { .. })))) if !options.once => {
                if sit_out(&opened.accounts, &mut tasks, &full, &stop, process).await {
                    break Life::Over(End::InSync);
                }
            }
            (_, Ok(Err(Fatal::Store(damaged @ StoreError::Corrupt { .. })))) => break damage(&damaged),
            (which, ended) => {
                let end = match ended {
                    Ok(Ok(())) => End::Failed("a task ended that never should".to_owned()),
                    Ok(Err(fatal)) => fatal.into(),
                    Err(error) => End::Failed(format!("a task died: {error}")),
                };
                // One account's trouble is not the others'.
                match which {
                    Some(which) if tasks.stop_one(which, &end).await => {}
                    _ => break Life::Over(end),
                }
            }
        }
    };
    drop(trying);
    // The last word, so that what is shown at the end is the end.
    if let Ok(last) = progress.status().await {
        status.send_replace(last);
    }
    process.set(None);
    drop(progress);
    stop.cancel();
    close(tasks.into_sets().chain([views]).collect(), server, opened.accounts, process).await;
    life
}

/// The end of the try under way, if there is one.
async fn tried<F: Future<Output = bool>>(trying: &mut Option<Pin<Box<F>>>) -> bool {
    match trying {
        Some(trying) => trying.as_mut().await,
        None => std::future::pending().await,
    }
}

/// A database that turned out damaged while it was used: noted beside it, so that the next opening (even after a crash) moves it aside.
fn damage(error: &StoreError) -> Life {
    match error {
        StoreError::Corrupt { path, what } if open::mark_damaged(path, what) => Life::Again,
        error => Life::Over(End::State(error.to_string())),
    }
}

/// The database's disk is full: all work ends, nothing new is begun, and what is known is shown, until there is room. `true`: stopped meanwhile.
async fn sit_out(
    accounts: &[Arc<Account>],
    tasks: &mut Tasks,
    full: &StoreError,
    stop: &CancellationToken,
    process: &Process,
) -> bool {
    tracing::error!(reason = %full, "no new work until there is room");
    process.beats.end_work();
    tasks.shutdown().await;
    process.beats.work_has_ended().await;
    for account in accounts {
        *lock_of(&account.full) = Some(full.to_string());
        account.begin_anew();
        account.store.poke();
    }
    loop {
        tokio::select! {
            () = stop.cancelled() => return true,
            () = env::sleep(FULL_WAIT) => {}
        }
        let mut room = true;
        for account in accounts {
            let path = account.store.path().to_owned();
            let free =
                on_the_disk(move || rustix::fs::statvfs(&path).map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize)));
            let free = free.await.unwrap_or(0);
            // As after a start: nobody holds a row.
            room &= free >= ROOM && account.store.release_claims().await.is_ok();
        }
        if room {
            break;
        }
    }
    for account in accounts {
        *lock_of(&account.full) = None;
        account.store.poke();
    }
    tracing::info!("there is room again: work goes on");
    false
}

/// Ends the tasks and closes the databases. A request that is cut off costs nothing but itself: that is the same as a crash.
async fn close(
    tasks: Vec<JoinSet<Result<(), Fatal>>>,
    server: JoinSet<()>,
    accounts: Vec<Arc<Account>>,
    process: &Process,
) {
    let mut left = Left { accounts: accounts.clone(), tasks, servers: vec![server] };
    process.beats.end_work();
    left.tasks.iter_mut().for_each(JoinSet::abort_all);
    let drained = env::timeout(DRAIN, async {
        for set in &mut left.tasks {
            while set.join_next().await.is_some() {}
        }
        for set in &mut left.servers {
            while set.join_next().await.is_some() {}
        }
    });
    if drained.await.is_err() {
        tracing::warn!("some tasks did not end in time");
        left.servers.iter_mut().for_each(JoinSet::abort_all);
    }
    process.leave(left);
    accounts.iter().for_each(|account| crate::engine::gate::lane_lock::release(&account.name));
    for account in accounts {
        process.step();
        if let Err(error) = account.store.clone().close().await {
            tracing::warn!(account = %account.name, %error, "the state database was not closed cleanly; nothing is lost");
        }
    }
}
