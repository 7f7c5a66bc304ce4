//! Looking at rows without taking them: for `explain` and `plan`.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::model::{BatchKind, FolderId, RelPath, UnixMs};
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;
use crate::store::db::row::at_or_below;
use crate::store::{Conflict, Store};

/// A row of the queue, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSeen {
    /// Its path.
    pub path: RelPath,
    /// `due`, `claimed`, `staged` or `wedged`.
    pub state: String,
    /// Changes of the path seen.
    pub generation: i64,
    /// Failed tries.
    pub attempts: u32,
    /// Bytes of the file, as last seen.
    pub size: u64,
    /// Since when the path is not in sync.
    pub since: UnixMs,
    /// Not before.
    pub due_at: UnixMs,
    /// The last failure: its word and its sentence.
    pub failure: Option<(String, String)>,
    /// The kind of its staged change.
    pub change: Option<BatchKind>,
}

/// A staged change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeSeen {
    /// Its kind.
    pub kind: BatchKind,
    /// The remote path it touches.
    pub to: String,
    /// The revision that must still be there.
    pub rev: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Failed commits.
    pub attempts: u32,
    /// Staged since.
    pub since: UnixMs,
    /// Not committed before.
    pub not_before: UnixMs,
    /// Whether a batch has it.
    pub in_batch: bool,
    /// That batch's job on the server.
    pub async_job_id: Option<String>,
}

const ROW: &str = "SELECT job.path, job.state, job.generation, job.attempts, job.size, job.since, job.due_at, job.code, job.text, change.kind
                     FROM job LEFT JOIN change ON change.job = job.id";

fn seen(r: &Row<'_>) -> rusqlite::Result<RowSeen> {
    let (code, text): (Option<String>, Option<String>) = (r.get(7)?, r.get(8)?);
    Ok(RowSeen {
        path: row::rel(r, 0)?,
        state: row::state(r, 1)?.to_owned(),
        generation: r.get(2)?,
        attempts: row::tries(r, 3)?,
        size: row::count(r, 4)?,
        since: r.get(5)?,
        due_at: r.get(6)?,
        failure: code.zip(text),
        change: match r.get_ref(9)? {
            ValueRef::Null => None,
            _ => Some(row::kind(r, 9)?),
        },
    })
}

impl Store {
    /// The row of a path, if it has one, and its staged change.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn row_of(
        &self,
        folder: FolderId,
        path: &RelPath,
    ) -> Result<Option<(RowSeen, Option<ChangeSeen>)>, StoreError> {
        let path = path.clone();
        self.read(move |conn| {
            let found = conn
                .prepare_cached(&format!("{ROW} WHERE job.folder = ?1 AND job.path = ?2"))?
                .query_row(params![folder.0, path.as_str()], seen)
                .optional()?;
            let Some(row) = found else { return Ok(None) };
            Ok(Some((row, change_of(conn, folder, &path)?)))
        })
        .await
    }

    /// A page of the rows at or below a path, by path, from after `after` on.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn rows_after(
        &self,
        folder: FolderId,
        under: &RelPath,
        after: &str,
        limit: usize,
    ) -> Result<Vec<RowSeen>, StoreError> {
        let (under, after) = (under.clone(), after.to_owned());
        self.read(move |conn| {
            let mut select = conn.prepare_cached(&format!(
                "{ROW} WHERE job.folder = ?1 AND job.path > ?2 AND job.path >= ?3 AND job.path < ?4 ORDER BY job.path LIMIT ?5"
            ))?;
            let mut found = Vec::new();
            for span in at_or_below(&under) {
                let left = row::limit(limit.saturating_sub(found.len()));
                let rows = select.query_map(params![folder.0, after, span.low, span.high, left], seen)?;
                for row in rows {
                    found.push(row?);
                }
            }
            Ok(found)
        })
        .await
    }

    /// The conflicted copy of a path that is not resolved.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn conflict_of(&self, folder: FolderId, path: &RelPath) -> Result<Option<Conflict>, StoreError> {
        let path = path.clone();
        self.read(move |conn| {
            let mut select =
                conn.prepare_cached("SELECT path, copy, at FROM conflict WHERE folder = ?1 AND path = ?2")?;
            let found = select.query_row(params![folder.0, path.as_str()], |r| {
                Ok(Conflict { path: row::rel(r, 0)?, copy: row::remote(r, 1)?, at: r.get(2)? })
            });
            Ok(found.optional()?)
        })
        .await
    }
}

fn change_of(conn: &Connection, folder: FolderId, path: &RelPath) -> Step<Option<ChangeSeen>> {
    let mut select = conn.prepare_cached(
        "SELECT change.kind, change.to_path, change.rev, change.size, change.attempts, change.created_at, change.not_before,
                change.batch IS NOT NULL, batch.async_job_id
           FROM job JOIN change ON change.job = job.id LEFT JOIN batch ON batch.id = change.batch
          WHERE job.folder = ?1 AND job.path = ?2",
    )?;
    let found = select.query_row(params![folder.0, path.as_str()], |r| {
        Ok(ChangeSeen {
            kind: row::kind(r, 0)?,
            to: r.get(1)?,
            rev: r.get(2)?,
            size: row::count(r, 3)?,
            attempts: row::tries(r, 4)?,
            since: r.get(5)?,
            not_before: r.get(6)?,
            in_batch: r.get(7)?,
            async_job_id: r.get(8)?,
        })
    });
    Ok(found.optional()?)
}
