//! What was done, for people: a log that is written in the transaction of the step itself, and cut off at its beginning.
//!
//! There is no index beside the number: adding a row costs next to nothing, and looking for a path reads the whole log, which is bounded.

use std::sync::atomic::Ordering;

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::{Store, base};
use crate::model::history::Deed;
use crate::model::{Base, Change, FolderId, RelPath, RemoteChange, RemotePath, UnixMs};
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;
use crate::store::db::row::at_or_below;

/// Rows that the log keeps unless [`Store::set_history`] says otherwise.
pub(super) const KEPT: u64 = 100_000;

/// A loss is seen within this time, in ms.
const SHORTLY_MS: UnixMs = 1_000;

/// One deed, on its way into the log.
#[derive(Debug, Clone, Default)]
pub(super) struct Note<'a> {
    /// Bytes of the file.
    pub(super) size: Option<u64>,
    /// The revision that it is about.
    pub(super) rev: Option<&'a str>,
    /// The other path that it concerns.
    pub(super) place: Option<&'a str>,
}

/// One row of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// Orders the log.
    pub id: i64,
    /// Whose path.
    pub folder: FolderId,
    /// Which path.
    pub path: RelPath,
    /// What was done.
    pub what: Deed,
    /// Bytes of the file.
    pub size: Option<u64>,
    /// Dropbox's revision that it is about.
    pub rev: Option<String>,
    /// The other path that it concerns.
    pub place: Option<String>,
    /// When.
    pub at: UnixMs,
}

/// The log, as a step writes it: in its own transaction, and only if anything is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Log<'a> {
    conn: &'a Connection,
    kept: u64,
    now: UnixMs,
}

impl<'a> Log<'a> {
    pub(super) fn new(conn: &'a Connection, kept: u64, now: UnixMs) -> Self {
        Self { conn, kept, now }
    }

    /// Notes a deed.
    pub(super) fn note(&self, folder: FolderId, path: &RelPath, what: Deed, note: &Note<'_>) -> Step<()> {
        if self.kept == 0 {
            return Ok(());
        }
        let size = note.size.map(row::int);
        self.conn
            .prepare_cached(
                "INSERT INTO history (folder, path, what, size, rev, place, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![folder.0, path.as_str(), what.word(), size, note.rev, note.place, self.now])?;
        Ok(())
    }

    /// A path came in sync without a transfer: that is worth a line if base knew nothing of this revision before. Called before base is put.
    pub(super) fn in_sync(&self, folder: FolderId, path: &RelPath, new: Option<&Base>) -> Step<()> {
        let Some(new) = new.filter(|_| self.kept > 0) else { return Ok(()) };
        if base::get(self.conn, folder, path)?.is_some_and(|old| old.rev == new.rev) {
            return Ok(());
        }
        let place = new.remote.as_ref().map(RemotePath::as_str);
        let note = Note { size: Some(new.stat.size), rev: Some(&new.rev), place };
        self.note(folder, path, Deed::Adopted, &note)
    }

    /// A commit went through.
    pub(super) fn committed(&self, change: &Change, base: Option<&Base>) -> Step<()> {
        let (what, note) = match &change.what {
            RemoteChange::Upload { size, .. } => {
                let place = base.and_then(|base| base.remote.as_ref()).map(RemotePath::as_str);
                (Deed::Uploaded, Note { size: Some(*size), rev: base.map(|base| base.rev.as_str()), place })
            }
            RemoteChange::Delete { rev, .. } => (Deed::Deleted, Note { rev: Some(rev), ..Note::default() }),
            RemoteChange::DeleteFolder { .. } => (Deed::FolderDeleted, Note::default()),
            RemoteChange::Relocate(relocation) => {
                let what = if relocation.copy { Deed::Copied } else { Deed::Moved };
                let size = base.map(|base| base.stat.size);
                (what, Note { size, rev: base.map(|base| base.rev.as_str()), place: Some(relocation.from.as_str()) })
            }
            RemoteChange::CreateFolder { .. } => (Deed::FolderCreated, Note::default()),
            RemoteChange::Trash { rev, .. } => (Deed::Trashed, Note { rev: rev.as_deref(), ..Note::default() }),
        };
        self.note(change.folder, &change.path, what, &note)
    }

    /// Dropbox held something else at the path: the upload goes to `place` instead.
    pub(super) fn conflict(&self, change: &Change, place: &RemotePath) -> Step<()> {
        let size = if let RemoteChange::Upload { size, .. } = &change.what { Some(*size) } else { None };
        let note = Note { size, rev: None, place: Some(place.as_str()) };
        self.note(change.folder, &change.path, Deed::Conflict, &note)
    }

    /// Cuts the log off at its beginning; once a step, after its notes.
    pub(super) fn cut(&self) -> Step<()> {
        self.conn
            .prepare_cached("DELETE FROM history WHERE id <= (SELECT max(id) FROM history) - ?1")?
            .execute([row::int(self.kept)])?;
        Ok(())
    }
}

impl Store {
    /// How many rows the log keeps; 0: none.
    pub fn set_history(&self, rows: u64) {
        self.inner.history.store(rows, Ordering::Relaxed);
    }

    /// How many rows the log keeps.
    pub(super) fn history_kept(&self) -> u64 {
        self.inner.history.load(Ordering::Relaxed)
    }

    /// Notes that earlier versions were put back: path, bytes, and the revision if it came from Dropbox.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn note_restored(
        &self,
        folder: FolderId,
        files: Vec<(RelPath, u64, Option<String>)>,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let kept = self.history_kept();
        self.write_rows(files.len(), move |conn| {
            let log = Log::new(conn, kept, now);
            for (path, size, rev) in &files {
                let note = Note { size: Some(*size), rev: rev.as_deref(), place: None };
                log.note(folder, path, Deed::Restored, &note)?;
            }
            log.cut()
        })
        .await
    }

    /// A page of what was done at or below a path (everywhere if `None`), the newest first, and how many rows there are in all.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn history(
        &self,
        under: Option<(FolderId, RelPath)>,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<HistoryRow>, u64), StoreError> {
        self.read(move |conn| page(conn, under.as_ref(), offset, limit)).await
    }

    /// Files in sync that came down since the first loss was seen of those that a folder's staged deletions in Dropbox are about. Those that are
    /// themselves about to go, here or there, or have gone, are not among them. Not before `start`: what came down in an earlier run is what the
    /// folder has.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn arrived_beside_deletions(&self, folder: FolderId, start: UnixMs) -> Result<u64, StoreError> {
        self.read(move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT count(DISTINCT h.path) FROM history h
                  WHERE h.folder = ?1 AND h.what = ?2 AND h.at >= ?4
                    AND h.at >= (SELECT min(j.since) FROM job j JOIN change c ON c.job = j.id WHERE j.folder = ?1 AND c.kind = 'delete') - ?3
                    AND NOT EXISTS (SELECT 1 FROM job j JOIN change c ON c.job = j.id
                                     WHERE j.folder = h.folder AND j.path = h.path AND c.kind IN ('delete', 'trash'))
                    AND EXISTS (SELECT 1 FROM dir d JOIN base b ON b.dir = d.id
                                 WHERE d.folder = h.folder
                                   AND d.path = substr(h.path, 1, max(length(rtrim(h.path, replace(h.path, '/', ''))) - 1, 0))
                                   AND b.name = substr(h.path, length(rtrim(h.path, replace(h.path, '/', ''))) + 1))",
            )?;
            Ok(select.query_row(params![folder.0, Deed::Downloaded.word(), SHORTLY_MS, start], |r| row::count(r, 0))?)
        })
        .await
    }
}

fn page(
    conn: &Connection,
    under: Option<&(FolderId, RelPath)>,
    offset: usize,
    limit: usize,
) -> Step<(Vec<HistoryRow>, u64)> {
    let (mut filter, mut values) = (String::new(), Vec::new());
    if let Some((folder, path)) = under {
        let spans = at_or_below(path);
        let each = vec!["path >= ? AND path < ?"; spans.len()].join(" OR ");
        filter = format!("WHERE folder = ? AND ({each})");
        values.push(Value::Integer(folder.0));
        values.extend(spans.into_iter().flat_map(|span| [Value::Text(span.low), span.high]));
    }
    let total = conn
        .prepare_cached(&format!("SELECT count(*) FROM history {filter}"))?
        .query_row(params_from_iter(&values), |r| row::count(r, 0))?;
    values.extend([row::limit(limit), row::limit(offset)].map(Value::Integer));
    let mut select = conn.prepare_cached(&format!(
        "SELECT id, folder, path, what, size, rev, place, at FROM history {filter} ORDER BY id DESC LIMIT ? OFFSET ?"
    ))?;
    let rows = select.query_map(params_from_iter(&values), |r| {
        Ok(HistoryRow {
            id: r.get(0)?,
            folder: FolderId(r.get(1)?),
            path: row::rel(r, 2)?,
            what: row::deed(r, 3)?,
            size: r.get::<_, Option<i64>>(4)?.map(row::uint),
            rev: r.get(5)?,
            place: r.get(6)?,
            at: r.get(7)?,
        })
    })?;
    Ok((rows.collect::<Result<_, _>>()?, total))
}

/// Two versions of a path met, and one of them is at `place` now; `aside`: so it is on the disk.
pub(crate) fn note_conflict(
    conn: &Connection,
    folder: FolderId,
    path: &RelPath,
    place: &RemotePath,
    aside: Option<&RelPath>,
    now: UnixMs,
) -> Step<()> {
    conn.prepare_cached(
        "INSERT INTO conflict (folder, path, copy, at, aside) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (folder, path) DO UPDATE SET copy = excluded.copy, at = excluded.at, aside = excluded.aside",
    )?
    .execute(params![folder.0, path.as_str(), place.as_str(), now, aside.map(RelPath::as_str)])?;
    Ok(())
}
