//! The remote cache for a program that is not the daemon: read-only, with or without a daemon beside it.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::model::listing::Listed;
use crate::store::db::error::{Fault, Step, StoreError};
use crate::store::db::schema;
use crate::store::remote;
use crate::store::remote::key;
use crate::store::remote::view;
use crate::store::remote::view::WalkAt;
use crate::store::remote::{Listing, ListingId, TreeId};

/// A connection that can only look at the remote cache.
pub struct ReadOnly {
    conn: Connection,
    path: PathBuf,
}

impl ReadOnly {
    /// Opens the database of an account; `None` if there is none yet, or nothing is in it. Blocks.
    ///
    /// # Errors
    /// [`StoreError::NotOurs`], [`StoreError::Newer`], [`StoreError::BeforeFirstRelease`], and what reading can fail with.
    pub fn open(path: &Path) -> Result<Option<Self>, StoreError> {
        match path.try_exists() {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(e) => return Err(StoreError::Io { path: path.to_owned(), what: e.to_string() }),
        }
        if schema::inspect(path)? == 0 {
            return Ok(None);
        }
        let conn = schema::open_reader(path).map_err(|e| Fault::from(e).at(path))?;
        Ok(Some(Self { conn, path: path.to_owned() }))
    }

    fn with<R>(&self, f: impl FnOnce(&Connection) -> Step<R>) -> Result<R, StoreError> {
        let look = || {
            let snapshot = self.conn.unchecked_transaction()?;
            let found = f(&snapshot)?;
            snapshot.finish()?;
            Ok(found)
        };
        look().map_err(|fault: Fault| fault.at(&self.path))
    }

    /// All listings.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn listings(&self) -> Result<Vec<Listing>, StoreError> {
        self.with(|conn| {
            let mut select = conn.prepare_cached("SELECT id FROM remote_listing ORDER BY scope")?;
            let ids: Vec<i64> = select.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?;
            ids.into_iter().map(|id| remote::get(conn, ListingId(id))).collect()
        })
    }

    /// What is at a key.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn entry(&self, tree: TreeId, key: &str) -> Result<Option<Listed>, StoreError> {
        self.with(|conn| view::one(conn, tree, key))
    }

    /// The key of a path: that of the entry that is there, or the likely one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn key(&self, tree: TreeId, place: &str) -> Result<String, StoreError> {
        self.with(|conn| key::key(conn, tree, place))
    }

    /// The next entries of a walk, at most `limit`; fewer only at its end. Each call sees the last commit, so that a long walk holds nothing up.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn walk(&self, tree: TreeId, at: &WalkAt, limit: usize) -> Result<Vec<Listed>, StoreError> {
        self.with(|conn| view::walk(conn, tree, at, limit))
    }
}
