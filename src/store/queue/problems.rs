//! What is not in sync, and why.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::model::{Failure, FolderId, JobId, RelPath, RemotePath, UnixMs};
use crate::store::Store;
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;
use crate::store::db::row::at_or_below;

/// What is due within this many ms is on its way, whatever refused it before.
const SOON: i64 = 5_000;

/// One path that is not in sync, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemRow {
    /// Whose path.
    pub folder: FolderId,
    /// Below the folder; for people, since it need not be a path of ours.
    pub path: String,
    /// The failure's word.
    pub code: String,
    /// The failure's sentence.
    pub text: String,
    /// Since when the path is not in sync.
    pub since: UnixMs,
    /// When it is tried again; `None` when only a change of the path can help.
    pub next_try: Option<UnixMs>,
    /// Failed tries so far.
    pub attempts: u32,
}

/// A conflicted copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The path whose versions met.
    pub path: RelPath,
    /// Where the other version was kept.
    pub copy: RemotePath,
    /// When.
    pub at: UnixMs,
}

impl Store {
    /// A page of the problems of one folder or of all, ordered by folder and path.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn problems(
        &self,
        folder: Option<FolderId>,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<ProblemRow>, StoreError> {
        self.read(move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT folder, path, code, text, since,
                        CASE state WHEN 'wedged' THEN NULL WHEN 'staged' THEN (SELECT not_before FROM change WHERE job = job.id)
                                   ELSE due_at END, attempts
                   FROM job WHERE code IS NOT NULL AND folder BETWEEN ?1 AND ?2
                 UNION ALL
                 SELECT folder, path_text, code, text, since, NULL, 1 FROM odd WHERE folder BETWEEN ?1 AND ?2
                 ORDER BY 1, 2 LIMIT ?4 OFFSET ?3",
            )?;
            let (first, last) = folder.map_or((i64::MIN, i64::MAX), |id| (id.0, id.0));
            let rows = select.query_map(params![first, last, row::limit(offset), row::limit(limit)], |r| {
                Ok(ProblemRow {
                    folder: FolderId(r.get(0)?),
                    path: r.get(1)?,
                    code: r.get(2)?,
                    text: r.get(3)?,
                    since: r.get(4)?,
                    next_try: r.get(5)?,
                    attempts: row::tries(r, 6)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// How many problems there are at or below a path.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn problems_under(&self, folder: FolderId, under: &RelPath) -> Result<u64, StoreError> {
        let under = under.clone();
        self.read(move |conn| {
            let rows = "SELECT count(*) FROM job WHERE folder = ?1 AND path >= ?2 AND path < ?3 AND code IS NOT NULL";
            let odd = "SELECT count(*) FROM odd WHERE folder = ?1 AND dir >= ?2 AND dir < ?3";
            Ok(count_under(conn, rows, folder, &under)? + count_under(conn, odd, folder, &under)?)
        })
        .await
    }

    /// How many rows at or below a path are on their way and have no failure: with [`Store::problems_under`], all that is not in sync.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn pending_under(&self, folder: FolderId, under: &RelPath) -> Result<u64, StoreError> {
        let under = under.clone();
        self.read(move |conn| {
            let rows = "SELECT count(*) FROM job WHERE folder = ?1 AND path >= ?2 AND path < ?3 AND code IS NULL";
            count_under(conn, rows, folder, &under)
        })
        .await
    }

    /// How many rows at or below a path are still on their way: not wedged, failed less often than `attempts`, and not refused for a right that
    /// somebody else has to give.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn trying_under(
        &self,
        folder: FolderId,
        under: &RelPath,
        attempts: u32,
        now: UnixMs,
    ) -> Result<u64, StoreError> {
        let (under, soon) = (under.clone(), now.saturating_add(SOON));
        self.read(move |conn| {
            let rows = format!(
                "SELECT count(*) FROM job WHERE folder = ?1 AND path >= ?2 AND path < ?3 AND state <> 'wedged' AND attempts < {attempts}
                    AND NOT (state = 'due' AND code = 'permission' AND due_at > {soon})"
            );
            count_under(conn, &rows, folder, &under)
        })
        .await
    }

    /// A scan of one directory found exactly these that cannot be synced directly in it: others noted there before are gone. Says whether there were
    /// any, and are none any more.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub async fn set_odd(
        &self,
        folder: FolderId,
        dir: &RelPath,
        found: Vec<(String, Failure)>,
        now: UnixMs,
    ) -> Result<bool, StoreError> {
        let dir = dir.clone();
        let over = found.is_empty();
        if over {
            // The usual case, once a directory a scan: it costs no commit.
            let look = dir.clone();
            let known = self.read(move |conn| Ok(!odd_in(conn, folder, &look)?.is_empty())).await?;
            if !known {
                return Ok(false);
            }
        }
        self.write_and_wake(move |conn| replace_odd(conn, folder, &dir, &found, now)).await?;
        Ok(over)
    }

    /// A page of the paths at or below `under` that wait for their path to change, from after `after` on, in their order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn wedged_blocking(
        &self,
        folder: FolderId,
        under: &RelPath,
        after: &str,
        limit: usize,
    ) -> Result<Vec<RelPath>, StoreError> {
        self.read_blocking(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT path FROM job WHERE folder = ?1 AND path > ?2 AND path >= ?3 AND path < ?4 AND code IS NOT NULL AND state = 'wedged'
                  ORDER BY path LIMIT ?5",
            )?;
            let mut found = Vec::new();
            for span in at_or_below(under) {
                let left = row::limit(limit.saturating_sub(found.len()));
                let rows = select
                    .query_map(params![folder.0, after, span.low, span.high, left], |r| row::rel(r, 0))?;
                for path in rows {
                    found.push(path?);
                }
            }
            Ok(found)
        })
    }

    /// What waits for its path to change, at or below `under`, is looked at once more: its cause may lie in a directory above it, or in another path.
    /// It stays a problem until it turns out to be none. What Dropbox refused waits for another file, or for a day. Gives how many rows.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub async fn try_wedged(&self, folder: FolderId, under: &RelPath, now: UnixMs) -> Result<usize, StoreError> {
        const WHICH: &str =
            "folder = ?1 AND path >= ?2 AND path < ?3 AND state = 'wedged' AND code IS NOT NULL AND refused_at IS NULL";
        let spans = at_or_below(under);
        let look = at_or_below(under);
        let any = self
            .read(move |conn| {
                let mut select = conn.prepare_cached(&format!("SELECT 1 FROM job WHERE {WHICH} LIMIT 1"))?;
                for span in &look {
                    if select.exists(params![folder.0, span.low, span.high])? {
                        return Ok(true);
                    }
                }
                Ok(false)
            })
            .await?;
        // The usual case, once a scan: it costs no commit.
        if !any {
            return Ok(0);
        }
        self.write_rows(usize::MAX, move |conn| {
            let mut rows = 0;
            let mut update =
                conn.prepare_cached(&format!("UPDATE job SET state = 'due', due_at = ?4, attempts = 0 WHERE {WHICH}"))?;
            for span in &spans {
                rows += update.execute(params![folder.0, span.low, span.high, now])?;
            }
            Ok(rows)
        })
        .await
    }

    /// The directories at or below `under` in which a scan found something odd.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn odd_dirs_blocking(&self, folder: FolderId, under: &RelPath) -> Result<Vec<RelPath>, StoreError> {
        let under = under.clone();
        self.read_blocking(move |conn| {
            let mut select = conn.prepare_cached("SELECT DISTINCT dir FROM odd WHERE folder = ?1")?;
            let mut rows = select.query([folder.0])?;
            let mut found = Vec::new();
            while let Some(r) = rows.next()? {
                let dir = row::rel(r, 0)?;
                if dir.is_under(&under) {
                    found.push(dir);
                }
            }
            Ok(found)
        })
    }

    /// A page of the conflicts of a folder, ordered by path.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn conflicts(&self, folder: FolderId, offset: usize, limit: usize) -> Result<Vec<Conflict>, StoreError> {
        self.read(move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT path, copy, at FROM conflict WHERE folder = ?1 ORDER BY path LIMIT ?3 OFFSET ?2",
            )?;
            let rows = select.query_map(params![folder.0, row::limit(offset), row::limit(limit)], |r| {
                Ok(Conflict { path: row::rel(r, 0)?, copy: row::remote(r, 1)?, at: r.get(2)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn count_under(conn: &Connection, sql: &str, folder: FolderId, under: &RelPath) -> Step<u64> {
    let mut select = conn.prepare_cached(sql)?;
    let mut sum = 0;
    for span in at_or_below(under) {
        sum += select.query_row(params![folder.0, span.low, span.high], |r| row::count(r, 0))?;
    }
    Ok(sum)
}

fn odd_in(conn: &Connection, folder: FolderId, dir: &RelPath) -> Step<BTreeMap<String, (String, String)>> {
    let mut select = conn.prepare_cached("SELECT path_text, code, text FROM odd WHERE folder = ?1 AND dir = ?2")?;
    let rows = select.query_map(params![folder.0, dir.as_str()], |r| Ok((r.get(0)?, (r.get(1)?, r.get(2)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A row has a problem: what a scan noted of its path is the same one, and goes.
pub(crate) fn tell_once(conn: &Connection, job: JobId) -> Step<()> {
    let of = conn
        .prepare_cached("SELECT folder, path FROM job WHERE id = ?1")?
        .query_row([job.0], |r| Ok((r.get::<_, i64>(0)?, row::rel(r, 1)?)))
        .optional()?;
    let Some((folder, path)) = of else { return Ok(()) };
    let Some(dir) = path.parent() else { return Ok(()) };
    conn.prepare_cached("DELETE FROM odd WHERE folder = ?1 AND dir = ?2 AND path_text = ?3")?.execute(params![
        folder,
        dir.as_str(),
        path.as_str()
    ])?;
    Ok(())
}

pub(crate) fn replace_odd(
    conn: &Connection,
    folder: FolderId,
    dir: &RelPath,
    found: &[(String, Failure)],
    now: UnixMs,
) -> Step<()> {
    let mut gone = odd_in(conn, folder, dir)?;
    let mut insert = conn.prepare_cached(
        "INSERT INTO odd (folder, dir, path_text, code, text, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (folder, dir, path_text) DO UPDATE SET code = excluded.code, text = excluded.text",
    )?;
    let mut told = conn.prepare_cached("SELECT 1 FROM job WHERE folder = ?1 AND path = ?2 AND code IS NOT NULL")?;
    for (path, failure) in found {
        // Its row says so already.
        if *path != *dir.as_str() && told.exists(params![folder.0, path])? {
            continue;
        }
        gone.remove(path);
        insert.execute(params![folder.0, dir.as_str(), path, failure.code, failure.text, now])?;
    }
    let mut delete = conn.prepare_cached("DELETE FROM odd WHERE folder = ?1 AND dir = ?2 AND path_text = ?3")?;
    for path in gone.keys() {
        delete.execute(params![folder.0, dir.as_str(), path])?;
    }
    Ok(())
}
