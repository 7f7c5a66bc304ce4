//! The one thread that writes. It gathers what has queued into one transaction, so that one fsync pays for many steps.

use crate::env;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::error::{Fault, Step, StoreError, of_sqlite};

/// At most this many steps share a commit ...
const MOST_STEPS: usize = 512;
/// ... and none waits longer than this for the others to run.
const LONGEST: Duration = Duration::from_millis(5);

type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Runs a step, or is told why it cannot run. Gives what answers the caller after the commit, and the step's own failure.
type Work = Box<dyn FnOnce(Result<&Connection, StoreError>) -> (Answer, Option<StoreError>) + Send>;

/// A step of more rows than this has a transaction of its own. It pays for its commit by itself, and it needs no savepoint: within one, SQLite
/// would log every page before every statement, which costs several times the work itself.
const FEW: usize = 32;

enum Request {
    Step(Queued),
    Close { done: oneshot::Sender<Result<(), StoreError>> },
}

struct Queued {
    work: Work,
    wakes: bool,
    alone: bool,
}

/// The writer thread's near end.
pub(crate) struct Writer {
    queue: mpsc::Sender<Request>,
    changed: watch::Receiver<u64>,
    bell: watch::Sender<u64>,
    thread: Mutex<Option<JoinHandle<()>>>,
    path: PathBuf,
}

impl Writer {
    /// Starts the thread, which owns `conn` from now on.
    pub(crate) fn start(conn: Connection, path: &Path) -> Result<Self, StoreError> {
        let (queue, requests) = mpsc::channel(1024);
        let (bell, changed) = watch::channel(0);
        let own = path.to_owned();
        let ring = bell.clone();
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || run(conn, requests, &ring, &own))
            .map_err(|e| StoreError::Other { path: path.to_owned(), what: format!("no thread to write it: {e}") })?;
        Ok(Self { queue, changed, bell, thread: Mutex::new(Some(thread)), path: path.to_owned() })
    }

    /// A writer that refuses every step, for a database that is only read.
    pub(crate) fn closed(path: &Path) -> Self {
        let (queue, _) = mpsc::channel(1);
        let (bell, changed) = watch::channel(0);
        Self { queue, changed, bell, thread: Mutex::new(None), path: path.to_owned() }
    }

    /// Counts the commits that others may wait for.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }

    /// Wakes whoever waits for a commit, without one.
    pub(crate) fn poke(&self) {
        self.bell.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Runs `f`, which may write this many `rows`, in the next transaction and answers once that is on the disk. If `f` fails, all that it did
    /// is undone, and only that.
    pub(crate) async fn step<R: Send + 'static>(
        &self,
        wakes: bool,
        rows: usize,
        f: impl FnOnce(&Connection) -> Step<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        let (tx, rx) = oneshot::channel();
        let path = self.path.clone();
        let alone = rows > FEW;
        let work: Work = Box::new(move |conn| {
            let result = conn.and_then(|conn| {
                let result = if alone { f(conn) } else { in_savepoint(conn, f) };
                result.map_err(|fault| fault.at(&path))
            });
            let failure = result.as_ref().err().cloned();
            let answer = move |end: Result<(), StoreError>| {
                // Nobody waits any more when the caller was cancelled; the step stands all the same.
                tx.send(result.and_then(|r| end.map(|()| r))).ok();
            };
            (Box::new(answer), failure)
        });
        self.queue.send(Request::Step(Queued { work, wakes, alone })).await.map_err(|_| self.gone())?;
        rx.await.map_err(|_| self.gone())?
    }

    /// Marks the end as clean and ends the thread; what was queued before is still done.
    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        let (done, rx) = oneshot::channel();
        self.queue.send(Request::Close { done }).await.map_err(|_| self.gone())?;
        let end = rx.await.map_err(|_| self.gone())?;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let joined = env::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                return Err(self.gone());
            }
        }
        end
    }

    fn gone(&self) -> StoreError {
        StoreError::Other {
            path: self.path.clone(),
            what: "it is closed: this process writes to it no more".to_owned(),
        }
    }
}

fn in_savepoint<R>(conn: &Connection, f: impl FnOnce(&Connection) -> Step<R>) -> Step<R> {
    conn.prepare_cached("SAVEPOINT step")?.execute([])?;
    let result = f(conn);
    if conn.is_autocommit() {
        // SQLite itself undid the whole transaction: there is no savepoint left to end.
        return result.and_then(|_| Err(Fault::Said("the transaction was undone under a step".to_owned())));
    }
    if result.is_err() {
        conn.prepare_cached("ROLLBACK TO step")?.execute([])?;
    }
    conn.prepare_cached("RELEASE step")?.execute([])?;
    result
}

fn run(conn: Connection, mut requests: mpsc::Receiver<Request>, bell: &watch::Sender<u64>, path: &Path) {
    let mut held_over = None;
    let mut closers = Vec::new();
    while let Some(request) = held_over.take().or_else(|| requests.blocking_recv()) {
        match request {
            Request::Step(first) => held_over = transaction(&conn, first, &mut requests, bell, path),
            Request::Close { done } => {
                // What was sent before is still received, and done.
                requests.close();
                closers.push(done);
            }
        }
    }
    if closers.is_empty() {
        return;
    }
    let end = super::schema::end(&conn).map_err(|e| of_sqlite(path, &e));
    drop(conn);
    for done in closers {
        done.send(end.clone()).ok();
    }
}

/// One transaction for `first` and what has queued behind it. Gives back a request that it met and did not do.
fn transaction(
    conn: &Connection,
    first: Queued,
    requests: &mut mpsc::Receiver<Request>,
    bell: &watch::Sender<u64>,
    path: &Path,
) -> Option<Request> {
    let began = env::instant();
    let begun = conn.execute_batch("BEGIN IMMEDIATE").map_err(|e| of_sqlite(path, &e));
    let (mut answers, mut ring, mut lost, mut held_over) = (Vec::new(), false, None, None);
    let mut next = Some(first);
    while let Some(Queued { work, wakes, alone }) = next.take() {
        let (answer, failure) = work(begun.clone().map(|()| conn));
        ring |= wakes && failure.is_none();
        answers.push(answer);
        if begun.is_err() {
            break;
        }
        if conn.is_autocommit() || alone && failure.is_some() {
            lost = Some(failure.unwrap_or_else(|| StoreError::Other {
                path: path.to_owned(),
                what: "the transaction ended before its time".to_owned(),
            }));
            break;
        }
        if !alone && answers.len() < MOST_STEPS && began.elapsed() < LONGEST {
            match requests.try_recv() {
                Ok(Request::Step(step)) if !step.alone => next = Some(step),
                Ok(other) => held_over = Some(other),
                Err(_) => {}
            }
        }
    }
    let end = match (begun, lost) {
        (Err(e), _) | (Ok(()), Some(e)) => Err(e),
        (Ok(()), None) => conn.execute_batch("COMMIT").map_err(|e| of_sqlite(path, &e)),
    };
    if end.is_err() && !conn.is_autocommit() {
        // Should this fail too, the next BEGIN says so.
        conn.execute_batch("ROLLBACK").ok();
    }
    if end.is_ok() && ring {
        bell.send_modify(|n| *n = n.wrapping_add(1));
    }
    answers.into_iter().for_each(|answer| answer(end.clone()));
    held_over
}
