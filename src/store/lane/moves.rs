//! Moves and copies in Dropbox's tree: finding what an inode was, staging them, and giving base its new keys.

use rusqlite::{Connection, OptionalExtension, params};

use super::changes;
use crate::model::{Base, Change, ChangeId, FolderId, Job, JobId, RelPath, Relocation, RemoteChange, Stat, UnixMs};
use crate::store::base::dirs;
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;
use crate::store::db::row::{Span, at_or_below};
use crate::store::remote::view;
use crate::store::{ListingId, Store, base, queue, remote};

/// A row as it was when its path was looked at: it goes with the move if nothing was seen since.
pub type Looked = (JobId, i64);

/// A move or a copy that is about to be staged, for the row of `path`.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Whose.
    pub folder: FolderId,
    /// The new path.
    pub path: RelPath,
    /// The row's generation when the disk was looked at; `None`: it had none.
    pub generation: Option<i64>,
    /// What to do.
    pub relocation: Relocation,
}

/// A row at or below a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowBelow {
    /// The row.
    pub id: JobId,
    /// Its generation.
    pub generation: i64,
    /// Its path.
    pub path: RelPath,
}

impl Store {
    /// The files of base that had this inode. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn had_inode_blocking(&self, folder: FolderId, stat: &Stat) -> Result<Vec<(RelPath, Base)>, StoreError> {
        let stat = *stat;
        self.read_blocking(move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT iif(d.path = '', '', d.path || '/') || b.name, b.size, b.mtime_ns, b.ctime_ns, b.ino, b.dev, b.content_hash,
                        b.rev, b.remote, b.file_id
                   FROM base b JOIN dir d ON d.id = b.dir WHERE b.ino = ?1 AND b.dev = ?2 AND d.folder = ?3",
            )?;
            let ino = params![stat.ino.cast_signed(), stat.dev.cast_signed(), folder.0];
            let rows = select.query_map(ino, |r| Ok((row::rel(r, 0)?, row::base(r, 1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Whether anything was agreed on at or below a path. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn agreed_below_blocking(&self, folder: FolderId, path: &RelPath) -> Result<bool, StoreError> {
        let path = path.clone();
        self.read_blocking(move |conn| agreed_below(conn, folder, &path))
    }

    /// A page of base below a directory: files with their paths, by directory and name, from after one of them on; fewer than `limit` only at the end.
    /// Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn base_below_blocking(
        &self,
        folder: FolderId,
        dir: &RelPath,
        after: Option<&RelPath>,
        limit: usize,
    ) -> Result<Vec<(RelPath, Base)>, StoreError> {
        self.read_blocking(|conn| {
            let mut found = Vec::new();
            let mut select = conn.prepare_cached(
                "SELECT d.path || '/' || b.name, b.size, b.mtime_ns, b.ctime_ns, b.ino, b.dev, b.content_hash, b.rev, b.remote, b.file_id
                   FROM dir d CROSS JOIN base b ON b.dir = d.id
                  WHERE d.folder = ?1 AND d.path >= max(?2, ?4) AND d.path < ?3 AND (d.path > ?4 OR b.name > ?5)
                  ORDER BY d.path, b.name LIMIT ?6",
            )?;
            let at = after.and_then(RelPath::parent).unwrap_or_default();
            let name = after.map(RelPath::name).unwrap_or_default();
            for span in at_or_below(dir) {
                let left = row::limit(limit - found.len());
                let rows = select.query_map(params![folder.0, span.low, span.high, at.as_str(), name, left], |r| {
                    Ok((row::rel(r, 0)?, row::base(r, 1)?))
                })?;
                for one in rows {
                    found.push(one?);
                }
            }
            Ok(found)
        })
    }

    /// The rows at or below a path that nobody works on, by path. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn rows_below_blocking(&self, folder: FolderId, path: &RelPath) -> Result<Vec<RowBelow>, StoreError> {
        self.read_blocking(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT id, generation, path FROM job WHERE folder = ?1 AND path >= ?2 AND path < ?3 AND state <> 'claimed'",
            )?;
            let mut found = Vec::new();
            for span in at_or_below(path) {
                let rows = select.query_map(params![folder.0, span.low, span.high], |r| {
                    Ok(RowBelow { id: JobId(r.get(0)?), generation: r.get(1)?, path: row::rel(r, 2)? })
                })?;
                for one in rows {
                    found.push(one?);
                }
            }
            Ok(found)
        })
    }

    /// Folders in which a move, or a copy of a file to where it lies too, is staged or under way: nothing else is decided there until it is settled.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn moving(&self) -> Result<Vec<FolderId>, StoreError> {
        self.read(|conn| {
            let mut select =
                conn.prepare_cached("SELECT DISTINCT folder FROM change WHERE kind IN ('move', 'copy') AND alike = 0")?;
            let rows = select.query_map([], |r| r.get(0).map(FolderId))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Moves and copies that are staged and in no batch, those that are on their way by another name left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn staged_moves(&self) -> Result<Vec<Change>, StoreError> {
        self.read(changes::of_moves).await
    }

    /// How people write what a listing has at a key. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn shown_blocking(&self, listing: ListingId, key: &str) -> Result<Option<String>, StoreError> {
        self.read_blocking(|conn| {
            let listing = remote::get(conn, listing)?;
            let Some(tree) = listing.seen() else { return Ok(None) };
            Ok(view::one(conn, tree.id, key)?.map(|entry| entry.path))
        })
    }

    /// Whether any file's row at or below a path waits for its work, problems aside. What is gone, or a directory, sends nothing, and may itself wait
    /// for a deletion.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn busy_at(&self, folder: FolderId, path: &RelPath) -> Result<bool, StoreError> {
        let path = path.clone();
        self.read(move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT 1 FROM job WHERE folder = ?1 AND path >= ?2 AND path < ?3 AND state <> 'wedged' AND size > 0 LIMIT 1",
            )?;
            for span in at_or_below(&path) {
                if select.exists(params![folder.0, span.low, span.high])? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
        .await
    }
}

impl Store {
    /// Whether the deletion of anything above a path is staged in Dropbox.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn is_below_deletion(&self, folder: FolderId, path: &RelPath) -> Result<bool, StoreError> {
        let path = path.clone();
        self.read(move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT 1 FROM job JOIN change ON change.job = job.id
                  WHERE job.folder = ?1 AND job.path = ?2 AND change.kind = 'delete'",
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
}

pub(crate) fn agreed_below(conn: &Connection, folder: FolderId, path: &RelPath) -> Step<bool> {
    if base::get(conn, folder, path)?.is_some() || dirs::has(conn, folder, path)? {
        return Ok(true);
    }
    let mut select = conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM dir WHERE folder = ?1 AND path >= ?2 AND path < ?3)
             OR EXISTS (SELECT 1 FROM base_dir WHERE folder = ?1 AND parent >= ?2 AND parent < ?3)",
    )?;
    for span in at_or_below(path) {
        if select.query_row(params![folder.0, span.low, span.high], |r| r.get(0))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The rows that a move is about.
fn sides(planned: &Planned) -> impl Iterator<Item = Span> {
    at_or_below(&planned.relocation.source).into_iter().chain(at_or_below(&planned.path))
}

/// Whether somebody works at or below one of its paths.
pub(crate) fn is_busy(conn: &Connection, planned: &Planned) -> Step<bool> {
    let mut busy = conn.prepare_cached(
        "SELECT 1 FROM job LEFT JOIN change ON change.job = job.id
          WHERE job.folder = ?1 AND job.path >= ?2 AND job.path < ?3
            AND (job.state = 'claimed' OR change.batch IS NOT NULL OR change.kind NOT IN ('delete', 'trash', 'folder')) LIMIT 1",
    )?;
    for span in sides(planned) {
        if busy.exists(params![planned.folder.0, span.low, span.high])? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes back what was staged at or below its paths and is in no batch.
pub(crate) fn take_back(conn: &Connection, planned: &Planned) -> Step<()> {
    for span in sides(planned) {
        let rows = params![planned.folder.0, span.low, span.high];
        let taken_back = conn
            .prepare_cached(
                "DELETE FROM change WHERE batch IS NULL AND job IN
                   (SELECT id FROM job WHERE folder = ?1 AND path >= ?2 AND path < ?3 AND state = 'staged')",
            )?
            .execute(rows)?;
        if taken_back > 0 {
            conn.prepare_cached(
                "UPDATE job SET state = 'due' WHERE folder = ?1 AND path >= ?2 AND path < ?3 AND state = 'staged'",
            )?
            .execute(rows)?;
        }
    }
    Ok(())
}

/// The change itself.
pub(crate) fn put(conn: &Connection, planned: &Planned, now: UnixMs) -> Step<ChangeId> {
    let Planned { folder, path, generation, relocation } = planned;
    let known: Option<(i64, i64)> = conn
        .prepare_cached("SELECT id, generation FROM job WHERE folder = ?1 AND path = ?2")?
        .query_row(params![folder.0, path.as_str()], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?;
    let (id, now_at) = match known {
        Some(known) => known,
        None => {
            conn.prepare_cached(
                "INSERT INTO job (folder, path, generation, state, size, since, due_at, burst) VALUES (?1, ?2, 1, 'due', 0, ?3, ?3, ?3)",
            )?
            .execute(params![folder.0, path.as_str(), now])?;
            (conn.last_insert_rowid(), 1)
        }
    };
    conn.prepare_cached("UPDATE job SET code = NULL, text = NULL, state = 'due' WHERE id = ?1")?.execute([id])?;
    let generation = generation.unwrap_or(if known.is_some() { now_at - 1 } else { now_at });
    let job = Job { id: JobId(id), folder: *folder, path: path.clone(), generation, attempts: 0, since: now };
    changes::insert(conn, &job, &RemoteChange::Relocate(Box::new(relocation.clone())), now)?;
    Ok(ChangeId(conn.last_insert_rowid()))
}

/// Base as it is after a move or a copy, and the rows that nothing has happened to since the disk was looked at.
pub(crate) fn settle(
    conn: &Connection,
    change: &Change,
    relocation: &Relocation,
    new: Option<&Base>,
    now: UnixMs,
) -> Step<()> {
    let Some(new) = new else {
        rekey(conn, change.folder, relocation, &change.path, now)?;
        // The directory changed while it was moved in Dropbox. Should it have gone on to another name, no event told of what is in it: base knew
        // that under the old one.
        let moved_on = conn
            .prepare_cached("SELECT 1 FROM job WHERE id = ?1 AND generation <> ?2")?
            .exists(params![change.job.0, change.generation])?;
        return if moved_on { queue::look_below(conn, change.folder, &change.path, now) } else { Ok(()) };
    };
    let source = &relocation.source;
    if !relocation.copy
        && let (Some(old), Some(meant)) = (base::get(conn, change.folder, source)?, &relocation.base)
        && old.file_id == meant.file_id
        && old.rev == meant.rev
    {
        base::put(conn, change.folder, source, None, now)?;
    }
    base::put(conn, change.folder, &change.path, Some(new), now)
}

/// A directory has its new path, and so has everything that was agreed on in it.
pub(crate) fn rekey(
    conn: &Connection,
    folder: FolderId,
    relocation: &Relocation,
    to: &RelPath,
    now: UnixMs,
) -> Step<()> {
    let from = &relocation.source;
    // What base has there already is what is there.
    let taken = agreed_below(conn, folder, to)?;
    let stat = dirs::get(conn, folder, from)?;
    for span in at_or_below(from) {
        let span = params![folder.0, span.low, span.high, from.as_str(), to.as_str()];
        conn.prepare_cached(
            "UPDATE OR IGNORE dir SET path = ?5 || substr(path, length(?4) + 1) WHERE folder = ?1 AND path >= ?2 AND path < ?3",
        )?
        .execute(span)?;
        conn.prepare_cached(
            "UPDATE OR REPLACE base_dir SET parent = ?5 || substr(parent, length(?4) + 1) WHERE folder = ?1 AND parent >= ?2 AND parent < ?3",
        )?
        .execute(span)?;
        conn.prepare_cached(
            "UPDATE OR REPLACE conflict SET path = ?5 || substr(path, length(?4) + 1) WHERE folder = ?1 AND path >= ?2 AND path < ?3",
        )?
        .execute(span)?;
    }
    // Conflicted copies that lay in the folder have moved along.
    for span in at_or_below(to) {
        conn.prepare_cached(
            "UPDATE base SET remote = ?5 || substr(remote, length(?4) + 1)
              WHERE remote IS NOT NULL AND substr(remote, 1, length(?4) + 1) = ?4 || '/'
                AND dir IN (SELECT id FROM dir WHERE folder = ?1 AND path >= ?2 AND path < ?3)",
        )?
        .execute(params![folder.0, span.low, span.high, relocation.from.as_str(), relocation.to.as_str()])?;
    }
    for span in at_or_below(to) {
        conn.prepare_cached(
            "UPDATE base SET moved = 1 WHERE dir IN (SELECT id FROM dir WHERE folder = ?1 AND path >= ?2 AND path < ?3)",
        )?
        .execute(params![folder.0, span.low, span.high])?;
    }
    if taken {
        // Only what could not be given a new key is left behind: it is looked at where it was, and found gone.
        tracing::warn!(from = %from, to = %to, "a directory was moved to where something was agreed on already");
    }
    if let Some(stat) = stat {
        dirs::forget(conn, folder, from)?;
        dirs::put(conn, folder, to, stat, now)?;
        dirs::put_above(conn, folder, to, now)?;
    }
    Ok(())
}

/// Rows whose paths were looked at before the move, and found to be what it brings about.
pub(crate) fn drop_looked(conn: &Connection, looked: &[Looked]) -> Step<()> {
    let mut delete = conn.prepare_cached("DELETE FROM job WHERE id = ?1 AND generation = ?2 AND state = 'due'")?;
    for (id, generation) in looked {
        delete.execute(params![id.0, generation])?;
    }
    Ok(())
}
