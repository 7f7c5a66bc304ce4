//! What files hold that were read and are not in base: rows that wait, and files that both sides had agreed on before they met anew.
//!
//! A row counts only for the very file that was hashed: same device, inode, size and both times. It is a saving, never evidence: whoever finds
//! none reads the file.

use rusqlite::{Connection, OptionalExtension, params};

use crate::model::{ContentHash, FolderId, Stat, UnixMs};
use crate::store::Store;
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;

/// Rows that stay.
const KEPT: i64 = if cfg!(test) { 5 } else { 1_000_000 };
/// A row goes after this long, in ms.
const LIFE_MS: UnixMs = 60 * 24 * 3600 * 1000;
/// A file that was written to within this time before it was read may have been written to again at what its clock calls the same moment, in ms.
const RACY_MS: i64 = 2_000;

impl Store {
    /// The hash of the file that has exactly this stat, if it was noted; for threads that may block.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn known_hash_blocking(&self, stat: &Stat) -> Result<Option<ContentHash>, StoreError> {
        let stat = *stat;
        self.read_blocking(move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT content_hash FROM hash_cache
                  WHERE dev = ?1 AND ino = ?2 AND size = ?3 AND mtime_ns = ?4 AND ctime_ns = ?5",
            )?;
            let (dev, ino) = (stat.dev.cast_signed(), stat.ino.cast_signed());
            let of = params![dev, ino, row::int(stat.size), stat.mtime_ns, stat.ctime_ns];
            Ok(select.query_row(of, |r| Ok(ContentHash(r.get(0)?))).optional()?)
        })
    }

    /// Notes what files held when they had these stats, if they had been at rest by `now`.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn note_hashes(&self, mut read: Vec<(Stat, ContentHash)>, now: UnixMs) -> Result<(), StoreError> {
        read.retain(|(stat, _)| stat.mtime_ns.max(stat.ctime_ns).div_euclid(1_000_000) < now.saturating_sub(RACY_MS));
        if read.is_empty() {
            return Ok(());
        }
        self.write_rows(read.len(), move |conn| {
            let mut insert =
                conn.prepare_cached("INSERT OR REPLACE INTO hash_cache VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
            for (stat, hash) in &read {
                let (dev, ino) = (stat.dev.cast_signed(), stat.ino.cast_signed());
                insert.execute(params![dev, ino, row::int(stat.size), stat.mtime_ns, stat.ctime_ns, hash.0, now])?;
            }
            Ok(())
        })
        .await
    }

    /// Drops what is old, and the oldest of what is too much. Says how many rows went.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn prune_hashes(&self, now: UnixMs) -> Result<usize, StoreError> {
        self.write_rows(usize::MAX, move |conn| {
            let old = conn
                .prepare_cached("DELETE FROM hash_cache WHERE at < ?1 OR at > ?2")?
                .execute([now.saturating_sub(LIFE_MS), now.saturating_add(LIFE_MS)])?;
            let count: i64 = conn.prepare_cached("SELECT count(*) FROM hash_cache")?.query_row([], |r| r.get(0))?;
            let more = count.saturating_sub(KEPT);
            if more <= 0 {
                return Ok(old);
            }
            let many = conn
                .prepare_cached(
                    "DELETE FROM hash_cache WHERE (dev, ino) IN (SELECT dev, ino FROM hash_cache ORDER BY at LIMIT ?1)",
                )?
                .execute([more])?;
            Ok(old + many)
        })
        .await
    }
}

/// What was agreed on in a folder is forgotten; what its files hold is not.
pub(crate) fn keep_of_base(conn: &Connection, folder: FolderId) -> Step<()> {
    conn.execute(
        "INSERT OR REPLACE INTO hash_cache
         SELECT dev, ino, size, mtime_ns, ctime_ns, content_hash, synced_at FROM base
          WHERE dir IN (SELECT id FROM dir WHERE folder = ?1)",
        [folder.0],
    )?;
    Ok(())
}
