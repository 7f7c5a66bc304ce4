//! The one thread that writes. It gathers what has queued into one transaction, so that one fsync pays for many steps.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

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

enum Request {
    Step { work: Work, wakes: bool },
    Close { done: oneshot::Sender<Result<(), StoreError>> },
}

/// The writer thread's near end.
pub(super) struct Writer {
    queue: mpsc::Sender<Request>,
    changed: watch::Receiver<u64>,
    bell: watch::Sender<u64>,
    thread: Mutex<Option<JoinHandle<()>>>,
    path: PathBuf,
}

impl Writer {
    /// Starts the thread, which owns `conn` from now on.
    pub(super) fn start(conn: Connection, path: &Path) -> Result<Self, StoreError> {
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

    /// Counts the commits that others may wait for.
    pub(super) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }

    /// Wakes whoever waits for a commit, without one.
    pub(super) fn poke(&self) {
        self.bell.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Runs `f` in a savepoint of the next transaction and answers once that is on the disk.
    pub(super) async fn step<R: Send + 'static>(
        &self,
        wakes: bool,
        f: impl FnOnce(&Connection) -> Step<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        let (tx, rx) = oneshot::channel();
        let path = self.path.clone();
        let work: Work = Box::new(move |conn| {
            let result = conn.and_then(|conn| in_savepoint(conn, f).map_err(|fault| fault.at(&path)));
            let failure = result.as_ref().err().cloned();
            let answer = move |end: Result<(), StoreError>| {
                // Nobody waits any more when the caller was cancelled; the step stands all the same.
                tx.send(result.and_then(|r| end.map(|()| r))).ok();
            };
            (Box::new(answer), failure)
        });
        self.queue.send(Request::Step { work, wakes }).await.map_err(|_| self.gone())?;
        rx.await.map_err(|_| self.gone())?
    }

    /// Marks the end as clean and ends the thread; what was queued before is still done.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        let (done, rx) = oneshot::channel();
        self.queue.send(Request::Close { done }).await.map_err(|_| self.gone())?;
        let end = rx.await.map_err(|_| self.gone())?;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
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
    while let Some(request) = requests.blocking_recv() {
        let close = match request {
            Request::Step { work, wakes } => transaction(&conn, work, wakes, &mut requests, bell, path),
            Request::Close { done } => Some(done),
        };
        if let Some(done) = close {
            requests.close();
            while let Ok(late) = requests.try_recv() {
                match late {
                    Request::Step { work, wakes } => {
                        transaction(&conn, work, wakes, &mut requests, bell, path);
                    }
                    Request::Close { done } => {
                        done.send(Ok(())).ok();
                    }
                }
            }
            let end = super::schema::end(&conn).map_err(|e| of_sqlite(path, &e));
            drop(conn);
            done.send(end).ok();
            return;
        }
    }
}

/// One transaction for `first` and what has queued behind it. Gives back a request to close that it met on the way.
fn transaction(
    conn: &Connection,
    first: Work,
    wakes: bool,
    requests: &mut mpsc::Receiver<Request>,
    bell: &watch::Sender<u64>,
    path: &Path,
) -> Option<oneshot::Sender<Result<(), StoreError>>> {
    let began = Instant::now();
    let begun = conn.execute_batch("BEGIN IMMEDIATE").map_err(|e| of_sqlite(path, &e));
    let (mut answers, mut ring, mut lost, mut close) = (Vec::new(), false, None, None);
    let mut next = Some((first, wakes));
    while let Some((work, wakes)) = next.take() {
        let (answer, failure) = work(begun.clone().map(|()| conn));
        ring |= wakes && failure.is_none();
        answers.push(answer);
        if begun.is_err() {
            break;
        }
        if conn.is_autocommit() {
            lost = Some(failure.unwrap_or_else(|| StoreError::Other {
                path: path.to_owned(),
                what: "the transaction ended before its time".to_owned(),
            }));
            break;
        }
        if answers.len() < MOST_STEPS && began.elapsed() < LONGEST {
            match requests.try_recv() {
                Ok(Request::Step { work, wakes }) => next = Some((work, wakes)),
                Ok(Request::Close { done }) => close = Some(done),
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
    let done = end.is_ok();
    answers.into_iter().for_each(|answer| answer(end.clone()));
    if done && ring {
        bell.send_modify(|n| *n = n.wrapping_add(1));
    }
    close
}
