//! Connections that only read. They see the last commit and never wait for the writer.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use rusqlite::Connection;

use super::error::{Fault, Step, StoreError};
use super::schema;

/// Two connections: one for the tasks, one for a scan, in no fixed order.
pub(super) struct Readers {
    conns: Vec<Mutex<Connection>>,
    turn: AtomicUsize,
}

impl Readers {
    /// Opens them; the database must be there.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let conns = (0..2)
            .map(|_| schema::open_reader(path).map(Mutex::new).map_err(|e| Fault::from(e).at(path)))
            .collect::<Result<_, _>>()?;
        Ok(Self { conns, turn: AtomicUsize::new(0) })
    }

    /// Runs `f` on a free connection, within one snapshot. Blocks.
    pub(super) fn with<R>(&self, f: impl FnOnce(&Connection) -> Step<R>) -> Step<R> {
        let conn = self.free().ok_or_else(|| Fault::Said("it has no readers".to_owned()))?;
        let snapshot = conn.unchecked_transaction()?;
        let result = f(&snapshot)?;
        snapshot.finish()?;
        Ok(result)
    }

    fn free(&self) -> Option<MutexGuard<'_, Connection>> {
        for conn in &self.conns {
            match conn.try_lock() {
                Ok(guard) => return Some(guard),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(self.conns.len())?;
        Some(self.conns.get(turn)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
