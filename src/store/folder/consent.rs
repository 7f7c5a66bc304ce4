//! Deletions that are held, and what a person, or a move to another listing, has agreed to.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use crate::model::{ChangeId, FolderId, UnixMs};
use crate::store::Store;
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;

/// A folder's deletions that wait for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldDeletions {
    /// Since when.
    pub since: UnixMs,
    /// A random word for their token.
    pub salt: String,
    /// So many files at most were all that the folder had; `None`: they are held for their number.
    pub all: Option<u64>,
}

/// Why a file may go from the disk without being asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MayGo {
    /// A person has agreed.
    Agreed,
    /// It is in another listing of the account by now.
    Moved,
}

impl Store {
    /// The folder's deletions that wait for a person, as they were first held.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn held_deletions(&self, folder: FolderId) -> Result<Option<HeldDeletions>, StoreError> {
        self.read(move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT held_since, held_salt, held_all FROM folder WHERE id = ?1 AND held_since IS NOT NULL",
            )?;
            let found = select.query_row([folder.0], |r| {
                let all: Option<i64> = r.get(2)?;
                Ok(HeldDeletions { since: r.get(0)?, salt: r.get(1)?, all: all.map(row::uint) })
            });
            Ok(found.optional()?)
        })
        .await
    }

    /// The folder's deletions wait for a person.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn hold_deletions(&self, folder: FolderId, held: HeldDeletions) -> Result<(), StoreError> {
        self.write(move |conn| {
            conn.prepare_cached("UPDATE folder SET held_since = ?2, held_salt = ?3, held_all = ?4 WHERE id = ?1")?
                .execute(params![folder.0, held.since, held.salt, held.all.map(row::int)])?;
            Ok(())
        })
        .await
    }

    /// None of the folder's deletions wait for a person any more.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn lift_hold(&self, folder: FolderId) -> Result<(), StoreError> {
        self.write(move |conn| lift(conn, folder)).await
    }

    /// A person lets the held deletions with numbers up to `upto` through: they are held no longer, in the same step.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn approve_deletions(&self, folder: FolderId, upto: ChangeId) -> Result<(), StoreError> {
        self.write(move |conn| {
            conn.prepare_cached("UPDATE folder SET approved_upto = ?2 WHERE id = ?1")?
                .execute(params![folder.0, upto.0])?;
            lift(conn, folder)
        })
        .await
    }

    /// The last staged deletion that a person has agreed to, with all before it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn approved_upto(&self, folder: FolderId) -> Result<Option<ChangeId>, StoreError> {
        self.read(move |conn| {
            let mut select = conn.prepare_cached("SELECT approved_upto FROM folder WHERE id = ?1")?;
            Ok(select.query_row([folder.0], |r| r.get::<_, Option<i64>>(0)).optional()?.flatten().map(ChangeId))
        })
        .await
    }

    /// Why each of these files, by its digest, may go without being asked about; `None`: it may not.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn consents(&self, folder: FolderId, files: Vec<u64>) -> Result<Vec<Option<MayGo>>, StoreError> {
        self.read(move |conn| {
            let mut select = conn.prepare_cached("SELECT min(moved) FROM consent WHERE folder = ?1 AND file = ?2")?;
            let mut found = Vec::with_capacity(files.len());
            for file in files {
                let moved: Option<bool> = select.query_row(params![folder.0, file.cast_signed()], |r| r.get(0))?;
                found.push(moved.map(|moved| if moved { MayGo::Moved } else { MayGo::Agreed }));
            }
            Ok(found)
        })
        .await
    }

    /// Whether any of the folder's files may go without being asked about.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn has_consents(&self, folder: FolderId) -> Result<bool, StoreError> {
        self.read(move |conn| Ok(conn.prepare_cached("SELECT 1 FROM consent WHERE folder = ?1")?.exists([folder.0])?))
            .await
    }

    /// Nothing that may go waits any more: the next deletion of such a file is another one.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget_consents(&self, folder: FolderId) -> Result<(), StoreError> {
        if !self.has_consents(folder).await? {
            return Ok(());
        }
        self.write_rows(usize::MAX, move |conn| {
            conn.execute("DELETE FROM consent WHERE folder = ?1", [folder.0])?;
            Ok(())
        })
        .await
    }
}

/// The token has served: a set that is held later has another one.
pub(crate) fn lift(conn: &Connection, folder: FolderId) -> Step<()> {
    conn.prepare_cached("UPDATE folder SET held_since = NULL, held_salt = NULL, held_all = NULL WHERE id = ?1")?
        .execute([folder.0])?;
    Ok(())
}

/// These files may go, besides those that may already.
pub(crate) fn add(conn: &Connection, files: &BTreeMap<FolderId, Vec<u64>>, why: MayGo) -> Step<()> {
    // A folder that left the configuration meanwhile has nothing to be asked about.
    let mut insert = conn.prepare_cached(
        "INSERT OR IGNORE INTO consent (folder, file, moved) SELECT id, ?2, ?3 FROM folder WHERE id = ?1",
    )?;
    for (folder, files) in files {
        for file in files {
            insert.execute(params![folder.0, file.cast_signed(), why == MayGo::Moved])?;
        }
    }
    Ok(())
}
