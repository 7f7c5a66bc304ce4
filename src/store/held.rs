//! Deletions that wait for a person: reading them in order, and giving them up.

use rusqlite::params;

use super::error::StoreError;
use super::{Store, base, row};
use crate::model::{ChangeId, FolderId, RelPath, UnixMs};

impl Store {
    /// Staged deletions of a folder's files, in no batch, with a number above `after`. Those of directories follow them.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn staged_deletes_after(&self, folder: FolderId, after: ChangeId) -> Result<u64, StoreError> {
        self.read(move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT count(*) FROM change WHERE folder = ?1 AND kind IN ('delete', 'trash') AND rev IS NOT NULL AND batch IS NULL
                    AND id > ?2",
            )?;
            Ok(select.query_row(params![folder.0, after.0], |r| row::count(r, 0))?)
        })
        .await
    }

    /// A page of a folder's staged deletions that are in no batch, with their revisions, ordered by path, from after the path `after` on.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn staged_deletes_by_path(
        &self,
        folder: FolderId,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(ChangeId, RelPath, String)>, StoreError> {
        let after = after.to_owned();
        self.read(move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT change.id, job.path, coalesce(change.rev, '') FROM job JOIN change ON change.job = job.id
                  WHERE job.folder = ?1 AND job.path > ?2 AND change.kind IN ('delete', 'trash') AND change.batch IS NULL
                  ORDER BY job.path LIMIT ?3",
            )?;
            let mut rows = select.query(params![folder.0, after, row::limit(limit)])?;
            let mut found = Vec::new();
            while let Some(r) = rows.next()? {
                found.push((ChangeId(r.get(0)?), row::rel(r, 1)?, r.get(2)?));
            }
            Ok(found)
        })
        .await
    }

    /// Gives up the staged deletions with numbers up to `last` that are in no batch: base forgets the paths, so that the side that still has them
    /// keeps them. With `again` they are looked at once more, which puts them back on the other side; else their rows go, and nothing asks about
    /// them until something is there.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget_deletions(
        &self,
        folder: FolderId,
        last: ChangeId,
        again: bool,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        self.write_rows(usize::MAX, move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT job.id, job.path FROM change JOIN job ON job.id = change.job
                  WHERE change.folder = ?1 AND change.kind IN ('delete', 'trash') AND change.batch IS NULL AND change.id <= ?2",
            )?;
            let mut given_up = Vec::new();
            let mut rows = select.query(params![folder.0, last.0])?;
            while let Some(r) = rows.next()? {
                given_up.push((r.get::<_, i64>(0)?, row::rel(r, 1)?));
            }
            for (job, path) in given_up {
                base::put(conn, folder, &path, None, now)?;
                if again {
                    conn.prepare_cached("DELETE FROM change WHERE job = ?1")?.execute([job])?;
                    conn.prepare_cached("UPDATE job SET state = 'due', due_at = ?2 WHERE id = ?1")?
                        .execute(params![job, now])?;
                } else {
                    conn.prepare_cached("DELETE FROM job WHERE id = ?1")?.execute([job])?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Forgets a value.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn unset_meta(&self, key: &str) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.write(move |conn| {
            conn.prepare_cached("DELETE FROM meta WHERE key = ?1")?.execute([key])?;
            Ok(())
        })
        .await
    }
}
