//! One account's memory: a SQLite file, and all SQL of the program.
//!
//! A method that writes is one transaction named for the step that it completes, and it answers when that step is on the disk. Tasks meet
//! only here; [`Store::changed`] wakes them without saying why. Time is always passed in, in milliseconds since 1970.
//!
//! Who writes: one thread, which joins the steps that have queued into one commit ([`crate::store::db::writer`]). Who reads: two connections that see the last
//! commit ([`crate::store::db::reader`]). Methods that end in `_blocking` are for threads that may block, such as a scan's; all others are async.
//!
//! A row of the queue is *due*, then *claimed* by a worker, who settles it or *stages* a remote change for it; the committer puts staged changes
//! in a *batch* and settles that. A *wedged* row waits for its path to change. Each change of a path adds one to its row's generation, and a row
//! goes only if its generation is still the one that the work began with: what changed meanwhile is looked at again.

mod account;
mod base;
mod db;
mod folder;
mod history;
mod lane;
mod queue;
mod remote;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use rusqlite::Connection;
use tokio::sync::watch;

use crate::env;
use crate::store::db::error::{Fault, Step};
use crate::store::db::reader::Readers;
use crate::store::db::writer::Writer;
use crate::store::remote::compare::Comparisons;

pub use crate::store::account::Pause;
pub use crate::store::db::error::StoreError;
pub use crate::store::db::schema::set_aside;
pub use crate::store::folder::Folder;
pub use crate::store::folder::approvals::Unlooked;
pub use crate::store::folder::consent::{HeldDeletions, MayGo};
pub use crate::store::folder::overlooked::KnownAt;
pub use crate::store::folder::state::{RootMemory, TrashClock};
pub use crate::store::lane::changes::Ready;
pub use crate::store::lane::moves::{Looked, Planned, RowBelow};
pub use crate::store::lane::sessions::Session;
pub use crate::store::lane::uploads::{Begun, Part, Whole};
pub use crate::store::queue::counts::FolderSummary;
pub use crate::store::queue::inspect::{ChangeSeen, RowSeen};
pub use crate::store::queue::install_intent::Placing;
pub use crate::store::queue::problems::{Conflict, ProblemRow};
pub use crate::store::remote::approval::{InboundWord, Passing};
pub use crate::store::remote::compare::{Fate, Ran, Respelled};
pub use crate::store::remote::compared::{Compared, Holds, Naming};
pub use crate::store::remote::inbound::Inbound;
pub use crate::store::remote::page::Applied;
pub use crate::store::remote::read_only::ReadOnly;
pub use crate::store::remote::root::{AtRoot, RootFacts};
pub use crate::store::remote::view::{Sought, WalkAt};
pub use history::HistoryRow;
pub use queue::{Claim, DueSummary};
pub use remote::{Listing, ListingId, Place, RuleOf, Tree, TreeId};

/// One account's database. Clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    writer: Writer,
    readers: Readers,
    longest: AtomicI64,
    history: AtomicU64,
    comparisons: Comparisons,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database, or creates it. Blocks: it may check the whole file. Rows that were claimed when the last process ended are due again.
    ///
    /// One process a file: whoever opens it makes sure of that, with a lock beside it.
    ///
    /// # Errors
    /// [`StoreError::NotOurs`], [`StoreError::Newer`] and [`StoreError::BeforeFirstRelease`] leave the file as it was; [`StoreError::Corrupt`] when it is damaged; others as everywhere.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let conn = crate::store::db::schema::open_writer(path)?;
        queue::recover(&conn).map_err(|fault| fault.at(path))?;
        let readers = Readers::open(path)?;
        let writer = Writer::start(conn, path)?;
        let (longest, history) = (AtomicI64::new(60_000), AtomicU64::new(history::KEPT));
        let comparisons = Comparisons::default();
        Ok(Self { inner: Arc::new(Inner { path: path.to_owned(), writer, readers, longest, history, comparisons }) })
    }

    /// Opens the database for reading only; `None` if there is none. Blocks. Every step that would write fails.
    ///
    /// # Errors
    /// As [`Store::open`], and [`StoreError::Other`] for a database of an older version, which only the daemon brings up to date.
    pub fn open_read_only(path: &Path) -> Result<Option<Self>, StoreError> {
        match path.try_exists() {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(e) => return Err(StoreError::Io { path: path.to_owned(), what: e.to_string() }),
        }
        match crate::store::db::schema::inspect(path)? {
            0 => return Ok(None),
            found if found < crate::store::db::schema::known() => {
                let what =
                    "it is of an older version: start the daemon once (`ferrybox run`), which brings it up to date";
                return Err(StoreError::Other { path: path.to_owned(), what: what.to_owned() });
            }
            _ => {}
        }
        let (writer, readers) = (Writer::closed(path), Readers::open(path)?);
        let (longest, history) = (AtomicI64::new(60_000), AtomicU64::new(history::KEPT));
        Ok(Some(Self {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                writer,
                readers,
                longest,
                history,
                comparisons: Comparisons::default(),
            }),
        }))
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Changes after each commit that may concern a waiting task. The number means nothing.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.inner.writer.changed()
    }

    /// Wakes those who wait on [`Store::changed`] without a change of the database: something in memory that they look at has changed.
    pub fn poke(&self) {
        self.inner.writer.poke();
    }

    /// Rows that were claimed are due again, as after a start: whoever held them has ended.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn release_claims(&self) -> Result<(), StoreError> {
        self.write_rows(usize::MAX, queue::recover).await
    }

    /// Goes once through the writer, and changes nothing: an answer says that it lives.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn pulse(&self) -> Result<(), StoreError> {
        self.write(|_| Ok(())).await
    }

    /// Holds the writer up for ever, so that a test sees what then happens.
    #[cfg(debug_assertions)]
    pub async fn wedge_for_a_test(&self) {
        let _ = self
            .write(|_| {
                loop {
                    std::thread::park();
                }
                #[expect(unreachable_code, reason = "says what the step would give")]
                Ok(())
            })
            .await;
    }

    /// Ends the writing for all clones, marks the end as clean and folds the log into the file.
    ///
    /// # Errors
    /// When that cannot be written; whatever was answered before is safe all the same.
    pub async fn close(self) -> Result<(), StoreError> {
        self.inner.writer.close().await
    }

    /// A step that concerns nobody who waits.
    async fn write<R: Send + 'static>(
        &self,
        f: impl FnOnce(&Connection) -> Step<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.inner.writer.step(false, 1, f).await
    }

    /// A step that others may wait for.
    async fn write_and_wake<R: Send + 'static>(
        &self,
        f: impl FnOnce(&Connection) -> Step<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.inner.writer.step(true, 1, f).await
    }

    /// A step that others may wait for and that may write this many rows.
    async fn write_rows<R: Send + 'static>(
        &self,
        rows: usize,
        f: impl FnOnce(&Connection) -> Step<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.inner.writer.step(true, rows, f).await
    }

    async fn read<R: Send + 'static>(
        &self,
        f: impl FnOnce(&Connection) -> Step<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        let store = self.clone();
        let read = env::spawn_blocking(move || store.read_blocking(f)).await;
        read.unwrap_or_else(|e| Err(Fault::Said(format!("a read did not end: {e}")).at(self.path())))
    }

    fn read_blocking<R>(&self, f: impl FnOnce(&Connection) -> Step<R>) -> Result<R, StoreError> {
        self.inner.readers.with(f).map_err(|fault| fault.at(self.path()))
    }
}
