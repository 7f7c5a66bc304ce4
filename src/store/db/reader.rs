//! Connections that only read. They see the last commit and never wait for the writer.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

use rusqlite::Connection;

use super::error::{Fault, Step, StoreError};
use super::schema;

/// So many are kept.
const KEPT: usize = 2;

thread_local! {
    /// Connections that this thread has in use.
    static IN_USE: Cell<u32> = const { Cell::new(0) };
}

/// Two connections, for whoever comes first. Where both are at work, a caller takes the one that is free first. Whoever reads while reading gets one of
/// its own then: two of those would wait for each other for ever.
pub(crate) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    freed: Condvar,
}

/// A connection in use; back among the others when dropped, whatever became of the work.
struct Taken<'a> {
    conn: Option<Connection>,
    from: &'a Readers,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        IN_USE.set(IN_USE.get().saturating_sub(1));
        let Some(conn) = self.conn.take() else { return };
        let mut idle = self.from.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(conn);
            self.from.freed.notify_one();
        }
    }
}

impl Readers {
    /// Opens them; the database must be there.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let conns = (0..KEPT)
            .map(|_| schema::open_reader(path).map_err(|e| Fault::from(e).at(path)))
            .collect::<Result<_, _>>()?;
        Ok(Self { path: path.to_owned(), idle: Mutex::new(conns), freed: Condvar::new() })
    }

    /// Runs `f` on a free connection, within one snapshot. Blocks.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&Connection) -> Step<R>) -> Step<R> {
        let taken = self.take()?;
        let conn = taken.conn.as_ref().ok_or_else(|| Fault::Said("it has no readers".to_owned()))?;
        let snapshot = conn.unchecked_transaction()?;
        let result = f(&snapshot)?;
        snapshot.finish()?;
        Ok(result)
    }

    fn take(&self) -> Step<Taken<'_>> {
        let conn = self.free()?;
        IN_USE.set(IN_USE.get().saturating_add(1));
        Ok(Taken { conn: Some(conn), from: self })
    }

    fn free(&self) -> Step<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(conn) = idle.pop() {
                return Ok(conn);
            }
            if IN_USE.get() > 0 {
                drop(idle);
                return Ok(schema::open_reader(&self.path)?);
            }
            idle = self.freed.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use super::*;
    use crate::store::Store;

    /// Whoever waits takes the connection that is free first, however long the other one is at work.
    #[tokio::test]
    async fn q2_nobody_waits_for_one_connection_by_turn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        drop(Store::open(&path).unwrap());
        let readers = Readers::open(&path).unwrap();
        let (readers, patience) = (&readers, Duration::from_secs(20));
        std::thread::scope(|scope| {
            let long = |began: Sender<()>, until: Receiver<()>| {
                scope.spawn(move || {
                    readers.with(|_| {
                        began.send(()).unwrap();
                        until.recv().ok();
                        Ok(())
                    })
                });
            };
            let ((began, ready), (one, until_one), (two, until_two)) = (channel(), channel(), channel());
            long(began.clone(), until_one);
            long(began, until_two);
            ready.recv_timeout(patience).unwrap();
            ready.recv_timeout(patience).unwrap();
            let (done, all) = channel();
            for _ in 0..4 {
                let done = done.clone();
                scope.spawn(move || {
                    readers.with(|_| Ok(())).ok();
                    done.send(()).ok();
                });
            }
            drop(one);
            let served = (0..4).all(|_| all.recv_timeout(patience).is_ok());
            drop(two);
            assert!(served, "a caller waited for the connection that was at work");
        });
    }

    /// Some read while they read: with both connections at work in such hands, each would wait for the other's for ever, and the program with them.
    #[tokio::test]
    async fn c2_reading_while_reading_waits_for_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        drop(Store::open(&path).unwrap());
        let readers = std::sync::Arc::new(Readers::open(&path).unwrap());
        let (done, all) = channel();
        let both = std::sync::Arc::new(std::sync::Barrier::new(2));
        for _ in 0..2 {
            let (readers, both, done) = (readers.clone(), both.clone(), done.clone());
            // Not of a scope: should they wait for ever, the test does not.
            std::thread::spawn(move || {
                let read = readers.with(|_| {
                    both.wait();
                    readers.with(|conn| Ok(conn.query_row("SELECT 1", [], |r| r.get::<_, i64>(0))?))
                });
                done.send(read.ok()).ok();
            });
        }
        for _ in 0..2 {
            assert_eq!(all.recv_timeout(Duration::from_secs(10)).ok().flatten(), Some(1), "it waits for ever");
        }
        assert_eq!(readers.idle.lock().unwrap().len(), KEPT);
    }
}
