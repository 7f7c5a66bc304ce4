//! Deletions that wait for a person: reading them in order, and giving them up.

use rusqlite::{OptionalExtension, params};

use super::error::StoreError;
use super::{Store, base, row, settle};
use crate::model::{ChangeId, Failure, FolderId, JobId, RelPath, UnixMs};

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

    /// Whether the deletion of a folder above this one is staged, too, and was not refused yet: then this one goes with it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn goes_with_one_above(&self, folder: FolderId, path: &RelPath) -> Result<bool, StoreError> {
        let path = path.clone();
        self.read(move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT 1 FROM job JOIN change ON change.job = job.id
                  WHERE job.folder = ?1 AND job.path = ?2 AND change.kind = 'delete' AND change.rev IS NULL AND change.attempts = 0",
            )?;
            let mut above = path.parent();
            while let Some(dir) = above.filter(|dir| !dir.is_root()) {
                if select.exists(params![folder.0, dir.as_str()])? {
                    return Ok(true);
                }
                above = dir.parent();
            }
            Ok(false)
        })
        .await
    }

    /// Tells `each` of all directories below one that both sides agreed on. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn agreed_below_each_blocking(
        &self,
        folder: FolderId,
        dir: &RelPath,
        each: &mut dyn FnMut(&RelPath),
    ) -> Result<(), StoreError> {
        self.read_blocking(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT iif(parent = '', '', parent || '/') || name FROM base_dir
                  WHERE folder = ?1 AND parent >= ?2 AND parent < ?3",
            )?;
            for span in row::at_or_below(dir) {
                let mut rows = select.query(params![folder.0, span.low, span.high])?;
                while let Some(r) = rows.next()? {
                    each(&row::rel(r, 0)?);
                }
            }
            Ok(())
        })
    }

    /// Takes changes out of a batch whose call has not been made: those of `later` are ready again at their times, those of `dropped` are no longer
    /// meant, and their paths are looked at again after a second for each try.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn leave_batch(
        &self,
        batch: i64,
        later: Vec<(ChangeId, UnixMs)>,
        dropped: Vec<(ChangeId, Failure)>,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        self.write_and_wake(move |conn| {
            for (id, at) in &later {
                conn.prepare_cached(
                    "UPDATE change SET batch = NULL, pos = NULL, not_before = ?3 WHERE id = ?1 AND batch = ?2",
                )?
                .execute(params![id.0, batch, at])?;
            }
            for (id, failure) in &dropped {
                let mut delete =
                    conn.prepare_cached("DELETE FROM change WHERE id = ?1 AND batch = ?2 RETURNING job, generation")?;
                let of = delete.query_row(params![id.0, batch], |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
                let Some((job, generation)) = of else { continue };
                let tries: i64 =
                    conn.query_row("SELECT min(attempts, 30) FROM job WHERE id = ?1", [job], |r| r.get(0))?;
                let at = now.saturating_add(1000 * (tries + 1));
                settle::put_off(conn, JobId(job), generation, at, Some(failure))?;
            }
            conn.prepare_cached(
                "UPDATE batch SET entries = (SELECT count(*) FROM change WHERE batch = ?1) WHERE id = ?1",
            )?
            .execute([batch])?;
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
