//! Connections that only read. They see the last commit and never wait for the writer.

use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

use rusqlite::Connection;

use super::error::{Fault, Step, StoreError};
use super::schema;

/// Two connections, for whoever comes first. Where both are at work, a caller takes the one that is free first.
pub(super) struct Readers {
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
        if let Some(conn) = self.conn.take() {
            self.from.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
            self.from.freed.notify_one();
        }
    }
}

impl Readers {
    /// Opens them; the database must be there.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let conns =
            (0..2).map(|_| schema::open_reader(path).map_err(|e| Fault::from(e).at(path))).collect::<Result<_, _>>()?;
        Ok(Self { idle: Mutex::new(conns), freed: Condvar::new() })
    }

    /// Runs `f` on a free connection, within one snapshot. Blocks.
    pub(super) fn with<R>(&self, f: impl FnOnce(&Connection) -> Step<R>) -> Step<R> {
        let taken = self.take();
        let conn = taken.conn.as_ref().ok_or_else(|| Fault::Said("it has no readers".to_owned()))?;
        let snapshot = conn.unchecked_transaction()?;
        let result = f(&snapshot)?;
        snapshot.finish()?;
        Ok(result)
    }

    fn take(&self) -> Taken<'_> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(conn) = idle.pop() {
                return Taken { conn: Some(conn), from: self };
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
}
