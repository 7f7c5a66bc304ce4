//! What is remembered of a folder's root, its rules and its trash from one run to the next.

use rusqlite::{OptionalExtension, params};

use crate::model::{FolderId, UnixMs};
use crate::store::Store;
use crate::store::db::error::StoreError;

/// What the database remembers of a folder's root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RootMemory {
    /// Where it stood when both sides met, links resolved.
    pub place: Option<String>,
    /// Its device number.
    pub dev: Option<u64>,
    /// Its inode.
    pub ino: Option<u64>,
    /// The mark that the last run wrote into it.
    pub mark: Option<String>,
    /// The mark that was about to be written: a crash may have left either in the root.
    pub next_mark: Option<String>,
    /// Whether it was seen without its marker since both sides last met.
    pub emptied: bool,
}

/// For how long a folder's trash was under this program's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrashClock {
    /// So many milliseconds.
    pub ms: i64,
    /// The wall clock when that was counted.
    pub at: UnixMs,
}

impl Store {
    /// What is remembered of a folder's root; nothing for a folder that is not known.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn root_memory(&self, folder: FolderId) -> Result<RootMemory, StoreError> {
        self.read(move |conn| {
            let mut select =
                conn.prepare_cached("SELECT place, dev, ino, run_mark, next_mark, emptied FROM folder WHERE id = ?1")?;
            let found = select.query_row([folder.0], |r| {
                Ok(RootMemory {
                    place: r.get(0)?,
                    dev: r.get::<_, Option<i64>>(1)?.map(i64::cast_unsigned),
                    ino: r.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned),
                    mark: r.get(3)?,
                    next_mark: r.get(4)?,
                    emptied: r.get(5)?,
                })
            });
            Ok(found.optional()?.unwrap_or_default())
        })
        .await
    }

    /// The root was seen without its marker.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn root_emptied(&self, folder: FolderId) -> Result<(), StoreError> {
        self.write(move |conn| {
            conn.prepare_cached("UPDATE folder SET emptied = 1 WHERE id = ?1")?.execute([folder.0])?;
            Ok(())
        })
        .await
    }

    /// The root is on this device: nothing was remembered of that.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn set_root_device(&self, folder: FolderId, dev: u64) -> Result<(), StoreError> {
        self.write(move |conn| {
            conn.prepare_cached("UPDATE folder SET dev = ?2 WHERE id = ?1")?
                .execute(params![folder.0, dev.cast_signed()])?;
            Ok(())
        })
        .await
    }

    /// A run begins on the root with this inode, and is about to write this mark into it; `None`: it has none to write, and the last one stays.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn begin_run(&self, folder: FolderId, ino: u64, mark: Option<&str>) -> Result<(), StoreError> {
        let mark = mark.map(ToOwned::to_owned);
        self.write(move |conn| {
            conn.prepare_cached("UPDATE folder SET ino = ?2, next_mark = coalesce(?3, next_mark) WHERE id = ?1")?
                .execute(params![folder.0, ino.cast_signed(), mark])?;
            Ok(())
        })
        .await
    }

    /// The mark that was about to be written is in the root.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn run_marked(&self, folder: FolderId) -> Result<(), StoreError> {
        self.write(move |conn| {
            conn.prepare_cached("UPDATE folder SET run_mark = next_mark WHERE id = ?1")?.execute([folder.0])?;
            Ok(())
        })
        .await
    }

    /// The configuration's rules by which was last forgotten what is not synced any more, as [`Store::set_rules`] was given them.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn rules(&self, folder: FolderId) -> Result<Option<String>, StoreError> {
        self.read(move |conn| {
            let mut select = conn.prepare_cached("SELECT rules FROM folder WHERE id = ?1")?;
            Ok(select.query_row([folder.0], |r| r.get(0)).optional()?.flatten())
        })
        .await
    }

    /// What is not synced by these rules is forgotten.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn set_rules(&self, folder: FolderId, rules: &str) -> Result<(), StoreError> {
        let rules = rules.to_owned();
        self.write(move |conn| {
            conn.prepare_cached("UPDATE folder SET rules = ?2 WHERE id = ?1")?.execute(params![folder.0, rules])?;
            Ok(())
        })
        .await
    }

    /// For how long the folder's trash was watched; `None`: nobody has counted yet.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn trash_clock(&self, folder: FolderId) -> Result<Option<TrashClock>, StoreError> {
        self.read(move |conn| {
            let mut select =
                conn.prepare_cached("SELECT trash_ms, trash_at FROM folder WHERE id = ?1 AND trash_ms IS NOT NULL")?;
            Ok(select.query_row([folder.0], |r| Ok(TrashClock { ms: r.get(0)?, at: r.get(1)? })).optional()?)
        })
        .await
    }

    /// For how long the folder's trash was watched.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn set_trash_clock(&self, folder: FolderId, clock: TrashClock) -> Result<(), StoreError> {
        self.write(move |conn| {
            conn.prepare_cached("UPDATE folder SET trash_ms = ?2, trash_at = ?3 WHERE id = ?1")?
                .execute(params![folder.0, clock.ms, clock.at])?;
            Ok(())
        })
        .await
    }
}
