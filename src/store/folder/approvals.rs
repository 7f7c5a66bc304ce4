//! Deletions that wait for a person: reading them in order, and giving them up.

use rusqlite::{OptionalExtension, params};

use crate::model::{ChangeId, Failure, FolderId, JobId, RelPath, UnixMs};
use crate::store::base::dirs;
use crate::store::db::error::StoreError;
use crate::store::db::row;
use crate::store::folder::consent;
use crate::store::queue::fresh::FRESH;
use crate::store::queue::settle;
use crate::store::{Store, base};

/// With [`FRESH`], in SQL: a row that nobody has looked at since its path was seen. One that was looked at and waits was put off, and its run of changes
/// begins there.
const NOT_PUT_OFF: &str = "NOT (burst > since AND burst >= due_at)";

/// When the last of a folder's deletions was staged: numbers only grow, so that no other need be read.
pub(crate) const NEWEST: &str = "SELECT created_at FROM change
    WHERE folder = ?1 AND kind IN ('delete', 'trash') AND batch IS NULL ORDER BY id DESC LIMIT 1";

/// The next rows of all folders, and whether nobody has looked at them: what a page costs depends on nothing but its length.
pub(crate) fn unlooked_page() -> String {
    format!(
        "SELECT id, folder = ?1 AND state IN ('due', 'claimed') AND since <= ?3 AND size > 0 AND {FRESH} AND {NOT_PUT_OFF}, generation, path, state = 'claimed'
           FROM job WHERE id > ?2 ORDER BY id LIMIT ?4"
    )
}

/// A row that nobody has looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlooked {
    /// The row.
    pub id: JobId,
    /// Its generation.
    pub generation: i64,
    /// Its path.
    pub path: RelPath,
    /// A worker has it: it may have been looked at.
    pub claimed: bool,
}

impl Store {
    /// When the last of a folder's deletions was staged that are in no batch; `None`: there is none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn newest_deletion(&self, folder: FolderId) -> Result<Option<UnixMs>, StoreError> {
        self.read(move |conn| Ok(conn.prepare_cached(NEWEST)?.query_row([folder.0], |r| r.get(0)).optional()?)).await
    }

    /// Of the next `limit` rows, by number, from after `after` on: those of a folder's files that were seen up to `until` and that nobody has looked
    /// at. And the last row that was read; `None`: that is the end.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn unlooked_before(
        &self,
        folder: FolderId,
        until: UnixMs,
        after: JobId,
        limit: usize,
    ) -> Result<(Vec<Unlooked>, Option<JobId>), StoreError> {
        self.read(move |conn| {
            let mut select = conn.prepare_cached(&unlooked_page())?;
            let mut rows = select.query(params![folder.0, after.0, until, row::limit(limit)])?;
            let (mut found, mut read, mut last) = (Vec::new(), 0, None);
            while let Some(r) = rows.next()? {
                (read, last) = (read + 1, Some(JobId(r.get(0)?)));
                if r.get(1)? {
                    let (id, generation, claimed) = (JobId(r.get(0)?), r.get(2)?, r.get(4)?);
                    found.push(Unlooked { id, generation, path: row::rel(r, 3)?, claimed });
                }
            }
            Ok((found, last.filter(|_| read == limit)))
        })
        .await
    }

    /// Of the rows that are due, these are claimed first.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn look_first(&self, rows: Vec<JobId>, now: UnixMs) -> Result<(), StoreError> {
        let changed = self.write(move |conn| {
            let mut changed = 0;
            // Not looked at yet, as far as its times tell.
            let mut update = conn.prepare_cached(
                "UPDATE job SET due_at = 1, burst = 1 WHERE id = ?1 AND state = 'due' AND due_at <= ?2 AND due_at > 1",
            )?;
            for id in &rows {
                changed += update.execute(params![id.0, now])?;
            }
            Ok(changed)
        });
        // Who asks again is not woken by its own question.
        if changed.await? > 0 {
            self.poke();
        }
        Ok(())
    }

    /// Whether more than `most` rows of a folder may yet become deletions: paths that were last seen gone (or empty), and that nobody has looked at.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn undecided_more_than(&self, folder: FolderId, most: u64) -> Result<bool, StoreError> {
        self.read(move |conn| {
            let mut select = conn.prepare_cached(&format!(
                "SELECT count(*) FROM (SELECT 1 FROM job WHERE folder = ?1 AND state IN ('due', 'claimed') AND size = 0
                    AND {FRESH} AND {NOT_PUT_OFF} LIMIT ?2)"
            ))?;
            let found = select.query_row(params![folder.0, row::int(most.saturating_add(1))], |r| row::count(r, 0))?;
            Ok(found > most)
        })
        .await
    }

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

    /// The highest number of a folder's staged deletions that are in no batch. Numbers only grow: what is staged later has a higher one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn last_staged_delete(&self, folder: FolderId) -> Result<Option<ChangeId>, StoreError> {
        self.read(move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT max(id) FROM change WHERE folder = ?1 AND kind IN ('delete', 'trash') AND batch IS NULL",
            )?;
            Ok(select.query_row([folder.0], |r| r.get::<_, Option<i64>>(0))?.map(ChangeId))
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

    /// Gives up the staged deletions with numbers up to `last` that are in no batch, and none is held any more: base forgets the paths, so that the side that still has them
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
            consent::lift(conn, folder)
        })
        .await
    }

    /// Whether a staged deletion of a folder should wait for one above it: that is staged, too, and was not refused yet, so that this one goes with it;
    /// or it may be in a moment, since nothing but directories is agreed on in it and its row is undecided. For that this one waits `patience` ms at
    /// most from when it was staged.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn goes_with_one_above(
        &self,
        folder: FolderId,
        path: &RelPath,
        patience: UnixMs,
        now: UnixMs,
    ) -> Result<bool, StoreError> {
        let path = path.clone();
        self.read(move |conn| {
            let young = conn
                .prepare_cached(
                    "SELECT 1 FROM job JOIN change ON change.job = job.id
                      WHERE job.folder = ?1 AND job.path = ?2 AND change.created_at > ?3 AND change.created_at <= ?4",
                )?
                .exists(params![folder.0, path.as_str(), now.saturating_sub(patience), now])?;
            let mut staged = conn.prepare_cached(
                "SELECT 1 FROM job JOIN change ON change.job = job.id
                  WHERE job.folder = ?1 AND job.path = ?2 AND change.kind = 'delete' AND change.rev IS NULL AND change.attempts = 0",
            )?;
            let mut undecided = conn.prepare_cached(&format!(
                "SELECT 1 FROM job WHERE folder = ?1 AND path = ?2 AND state IN ('due', 'claimed') AND {FRESH}"
            ))?;
            let mut files = conn.prepare_cached("SELECT 1 FROM dir WHERE folder = ?1 AND path >= ?2 AND path < ?3 LIMIT 1")?;
            let mut above = path.parent();
            while let Some(dir) = above.filter(|dir| !dir.is_root()) {
                let of = params![folder.0, dir.as_str()];
                if staged.exists(of)? {
                    return Ok(true);
                }
                if young && undecided.exists(of)? && dirs::has(conn, folder, &dir)? {
                    let mut holds_files = false;
                    for span in row::at_or_below(&dir) {
                        holds_files |= files.exists(params![folder.0, span.low, span.high])?;
                    }
                    if !holds_files {
                        return Ok(true);
                    }
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
    /// meant, and their paths are looked at again: those with a failure after a second, and twice as long each time, up to some minutes.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn leave_batch(
        &self,
        batch: i64,
        later: Vec<(ChangeId, UnixMs)>,
        dropped: Vec<(ChangeId, Option<Failure>)>,
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
                let at = if failure.is_some() { now.saturating_add(1000 << tries.clamp(0, 9)) } else { now };
                settle::put_off(conn, JobId(job), generation, at, failure.as_ref())?;
            }
            conn.prepare_cached(
                "UPDATE batch SET entries = (SELECT count(*) FROM change WHERE batch = ?1) WHERE id = ?1",
            )?
            .execute([batch])?;
            Ok(())
        })
        .await
    }

    /// The staged deletions of the folders below a path are not made before `until`.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn rest_below(&self, folder: FolderId, path: &RelPath, until: UnixMs) -> Result<(), StoreError> {
        let path = path.clone();
        self.write(move |conn| {
            for span in row::at_or_below(&path) {
                conn.prepare_cached(
                    "UPDATE change SET not_before = max(not_before, ?4)
                      WHERE kind = 'delete' AND rev IS NULL AND batch IS NULL
                        AND job IN (SELECT id FROM job WHERE folder = ?1 AND path >= ?2 AND path < ?3)",
                )?
                .execute(params![folder.0, span.low, span.high, until])?;
            }
            Ok(())
        })
        .await
    }
}
