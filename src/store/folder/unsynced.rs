//! Paths that are not synced any more: what was agreed on there goes, with the work that waits.

use rusqlite::params;

use crate::model::{FolderId, RelPath, UnixMs};
use crate::store::db::error::StoreError;
use crate::store::db::row;
use crate::store::remote::compare::compare_again;
use crate::store::{Store, base};

impl Store {
    /// At most `most` paths of a folder of which something is known (agreed on, or waiting in a row) and which `wanted` takes; the truth value it is
    /// given says that the path is a directory. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn known_paths_blocking(
        &self,
        folder: FolderId,
        most: usize,
        wanted: &mut dyn FnMut(&RelPath, bool) -> bool,
    ) -> Result<Vec<RelPath>, StoreError> {
        self.read_blocking(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT iif(d.path = '', '', d.path || '/') || b.name, 0 FROM dir d JOIN base b ON b.dir = d.id WHERE d.folder = ?1
                 UNION ALL SELECT iif(parent = '', '', parent || '/') || name, 1 FROM base_dir WHERE folder = ?1
                 UNION ALL SELECT path, 0 FROM job WHERE folder = ?1
                    AND NOT EXISTS (SELECT 1 FROM change WHERE change.job = job.id AND change.batch IS NOT NULL)",
            )?;
            let mut rows = select.query([folder.0])?;
            let mut found = Vec::new();
            while found.len() < most
                && let Some(r) = rows.next()?
            {
                let path = row::rel(r, 0)?;
                if wanted(&path, r.get(1)?) {
                    found.push(path);
                }
            }
            Ok(found)
        })
    }

    /// How many files were agreed on at or below a directory. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn files_below_blocking(&self, folder: FolderId, dir: &RelPath) -> Result<u64, StoreError> {
        self.read_blocking(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT count(*) FROM dir d JOIN base b ON b.dir = d.id WHERE d.folder = ?1 AND d.path >= ?2 AND d.path < ?3",
            )?;
            let mut sum = 0;
            for span in row::at_or_below(dir) {
                sum += select.query_row(params![folder.0, span.low, span.high], |r| row::count(r, 0))?;
            }
            Ok(sum)
        })
    }

    /// Forgets what was agreed on at these paths, and the work that waits there; what is being committed is committed.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn disagree(&self, folder: FolderId, paths: Vec<RelPath>, now: UnixMs) -> Result<(), StoreError> {
        self.write_rows(paths.len().saturating_mul(3), move |conn| {
            for path in &paths {
                base::put(conn, folder, path, None, now)?;
                let of = params![folder.0, path.as_str()];
                conn.prepare_cached(
                    "DELETE FROM change WHERE batch IS NULL
                        AND job = (SELECT id FROM job WHERE folder = ?1 AND path = ?2)",
                )?
                .execute(of)?;
                conn.prepare_cached(
                    "DELETE FROM job WHERE folder = ?1 AND path = ?2
                        AND NOT EXISTS (SELECT 1 FROM change WHERE change.job = job.id)",
                )?
                .execute(of)?;
            }
            Ok(())
        })
        .await
    }

    /// Every listing is compared with base from its beginning.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn compare_anew(&self) -> Result<(), StoreError> {
        let _asking = self.inner.comparisons.ask();
        self.write_and_wake(compare_again).await
    }
}
