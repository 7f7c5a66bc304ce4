//! Remote changes on their way to a commit.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::uploads;
use crate::model::{
    Base, BatchKind, Change, ChangeId, ContentHash, FolderId, Job, JobId, RelPath, Relocation, RemoteChange,
    RemotePath, UnixMs, WriteMode,
};
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;
use crate::store::queue::settle;
use crate::store::{Store, base};

/// So much earlier than the commit that may fill the account again, in ms, is looked at what waited for that it has room: workers of a full account
/// look every two seconds.
const OTHERS_FIRST: i64 = 3_000;
/// Counts in a [`Ready`] stop here.
const COUNTED: i64 = 2000;
/// How long a deletion counts as one of late, in milliseconds.
pub(crate) const LATELY: i64 = 24 * 3600 * 1000;

/// What could go into the next batch of one kind. Counts stop at 2,000 changes a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// Which call.
    pub kind: BatchKind,
    /// Changes that may be committed now.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the first of them was staged.
    pub oldest: Option<UnixMs>,
    /// When the last of them was staged.
    pub newest: Option<UnixMs>,
    /// When the next of those that were put off may be committed.
    pub next_not_before: Option<UnixMs>,
}

impl Store {
    /// The work on claimed rows ended in remote changes, which wait for their commit from now on. A row that is not claimed any more is left
    /// alone. Gives how many were staged.
    ///
    /// # Errors
    /// When the database cannot be written; then none is staged.
    pub async fn stage(&self, changes: Vec<(Job, RemoteChange)>, now: UnixMs) -> Result<usize, StoreError> {
        if changes.is_empty() {
            return Ok(0);
        }
        self.write_rows(changes.len(), move |conn| {
            let mut staged = 0;
            for (job, what) in &changes {
                if !settle::is_claimed(conn, job.id)? {
                    continue;
                }
                // What was moved here meanwhile is no deletion, and the guard must not count it as one.
                if let RemoteChange::Trash { rev: Some(rev), .. } = what
                    && base::get(conn, job.folder, &job.path)?.is_none_or(|base| base.rev != *rev)
                {
                    conn.prepare_cached("UPDATE job SET state = 'due', due_at = ?2 WHERE id = ?1")?
                        .execute(params![job.id.0, now])?;
                    continue;
                }
                insert(conn, job, what, now)?;
                staged += 1;
            }
            Ok(staged)
        })
        .await
    }

    /// What could be committed now, outside of the folders in `skip`: one entry a kind: uploads, folders, deletions, trash, moves, copies.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn ready(&self, now: UnixMs, skip: &[FolderId]) -> Result<Vec<Ready>, StoreError> {
        let skip = skip.to_vec();
        self.read(move |conn| {
            let folders = row::folders_without(conn, &skip)?;
            [
                BatchKind::Upload,
                BatchKind::Folder,
                BatchKind::Delete,
                BatchKind::Trash,
                BatchKind::Move,
                BatchKind::Copy,
            ]
            .into_iter()
            .map(|kind| count_ready(conn, kind, &folders, now))
            .collect()
        })
        .await
    }

    /// Deletions on either side that are staged or under way.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn staged_deletions(&self, folder: FolderId) -> Result<u64, StoreError> {
        self.read(move |conn| {
            let mut select =
                conn.prepare_cached("SELECT coalesce(max(staged_deletes), 0) FROM tally WHERE folder = ?1")?;
            Ok(select.query_row([folder.0], |r| row::count(r, 0))?)
        })
        .await
    }

    /// A page of a folder's staged deletions that are in no batch, by number, from after `after` on: for looking at their paths once more.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn staged_deletes(
        &self,
        folder: FolderId,
        after: ChangeId,
        limit: usize,
    ) -> Result<Vec<Change>, StoreError> {
        self.read(move |conn| {
            let mut select = conn.prepare_cached(&format!(
                "{CHANGE} WHERE change.kind IN ('delete', 'trash') AND change.folder = ?1 AND change.batch IS NULL AND change.id > ?2
                  ORDER BY change.id LIMIT ?3",
            ))?;
            let mut rows = select.query(params![folder.0, after.0, row::limit(limit)])?;
            let mut found = Vec::new();
            while let Some(r) = rows.next()? {
                found.push(change(r)?);
            }
            Ok(found)
        })
        .await
    }

    /// Takes staged changes back that are in no batch: their paths are looked at again, at once.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn withdraw(&self, changes: Vec<ChangeId>, now: UnixMs) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.write_and_wake(move |conn| {
            for id in &changes {
                let job: Option<i64> = conn
                    .prepare_cached("DELETE FROM change WHERE id = ?1 AND batch IS NULL RETURNING job")?
                    .query_row([id.0], |r| r.get(0))
                    .optional()?;
                if let Some(job) = job {
                    conn.prepare_cached("UPDATE job SET state = 'due', due_at = ?2 WHERE id = ?1")?
                        .execute(params![job, now])?;
                }
            }
            Ok(())
        })
        .await
    }

    /// The account is full, or was: commits that were refused before and whose file has shrunk since are taken back, since what it is now may fit.
    /// With `again` there may be room: those whose file has changed at all are taken back, and the others may be tried a moment later. Gives how
    /// many were taken back.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn look_for_room(&self, again: bool, now: UnixMs) -> Result<usize, StoreError> {
        self.write(move |conn| {
            let outdated: Vec<i64> = conn
                .prepare_cached(
                    "DELETE FROM change WHERE batch IS NULL AND kind = 'upload' AND attempts > 0 AND EXISTS
                       (SELECT 1 FROM job WHERE job.id = change.job AND job.generation > change.generation
                           AND (?1 OR job.size < change.read_size)) RETURNING job",
                )?
                .query_map([again], |r| r.get(0))?
                .collect::<Result<_, _>>()?;
            for job in &outdated {
                conn.prepare_cached("UPDATE job SET state = 'due', code = NULL, text = NULL WHERE id = ?1")?
                    .execute([job])?;
            }
            if again {
                conn.prepare_cached(
                    "UPDATE change SET not_before = ?1
                      WHERE batch IS NULL AND kind = 'upload' AND attempts > 0 AND not_before > ?1",
                )?
                .execute([now.saturating_add(OTHERS_FIRST)])?;
            }
            Ok(outdated.len())
        })
        .await
    }

    /// Deletions that were made in Dropbox at or after `since`; those of more than a day ago are not known any more.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn deletions_since(&self, folder: FolderId, since: UnixMs) -> Result<u64, StoreError> {
        self.read(move |conn| {
            let mut select =
                conn.prepare_cached("SELECT coalesce(sum(n), 0) FROM deletion WHERE folder = ?1 AND at >= ?2")?;
            Ok(select.query_row(params![folder.0, since], |r| row::count(r, 0))?)
        })
        .await
    }
}

pub(crate) fn insert(conn: &Connection, job: &Job, what: &RemoteChange, now: UnixMs) -> Step<()> {
    match what {
        RemoteChange::Upload { session, size, content_hash, stat, to, mode } => {
            let rev = match mode {
                WriteMode::Add => None,
                WriteMode::Update(rev) => Some(rev),
            };
            conn.prepare_cached(
                "INSERT INTO change (job, folder, kind, generation, to_path, rev, session, size, mtime_ns, ctime_ns, ino, dev,
                                     read_size, content_hash, created_at, not_before)
                 VALUES (?1, ?2, 'upload', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14)",
            )?
            .execute(params![
                job.id.0,
                job.folder.0,
                job.generation,
                to.as_str(),
                rev,
                session,
                row::int(*size),
                stat.mtime_ns,
                stat.ctime_ns,
                stat.ino.cast_signed(),
                stat.dev.cast_signed(),
                row::int(stat.size),
                content_hash.0,
                now,
            ])?;
        }
        RemoteChange::Delete { path, rev } => plain(conn, job, BatchKind::Delete, path, Some(rev), now)?,
        RemoteChange::DeleteFolder { path } => plain(conn, job, BatchKind::Delete, path, None, now)?,
        RemoteChange::CreateFolder { path } => plain(conn, job, BatchKind::Folder, path, None, now)?,
        RemoteChange::Trash { path, rev } => plain(conn, job, BatchKind::Trash, path, rev.as_deref(), now)?,
        RemoteChange::Relocate(relocation) => relocate(conn, job, relocation, now)?,
    }
    // The session is the change's from now on.
    uploads::forget(conn, job.id)?;
    conn.prepare_cached("UPDATE job SET state = 'staged' WHERE id = ?1")?.execute([job.id.0])?;
    Ok(())
}

fn relocate(conn: &Connection, job: &Job, relocation: &Relocation, now: UnixMs) -> Step<()> {
    let kind = if relocation.copy { BatchKind::Copy } else { BatchKind::Move };
    let base = relocation.base.as_ref();
    let stat = base.map(|base| base.stat);
    conn.prepare_cached(
        "INSERT INTO change (job, folder, kind, generation, to_path, rev, mtime_ns, ctime_ns, ino, dev, read_size, content_hash,
                             created_at, not_before, from_path, source, file_id, via, alike)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?
    .execute(params![
        job.id.0,
        job.folder.0,
        kind.word(),
        job.generation,
        relocation.to.as_str(),
        base.map(|base| &base.rev),
        stat.map(|stat| stat.mtime_ns),
        stat.map(|stat| stat.ctime_ns),
        stat.map(|stat| stat.ino.cast_signed()),
        stat.map(|stat| stat.dev.cast_signed()),
        stat.map(|stat| row::int(stat.size)),
        base.map(|base| base.content_hash.0),
        now,
        relocation.from.as_str(),
        relocation.source.as_str(),
        base.and_then(|base| base.file_id.as_ref()),
        relocation.via.as_ref().map(|via| via.as_str()),
        relocation.alike,
    ])?;
    Ok(())
}

/// A change without bytes.
fn plain(conn: &Connection, job: &Job, kind: BatchKind, path: &RemotePath, rev: Option<&str>, now: UnixMs) -> Step<()> {
    conn.prepare_cached(
        "INSERT INTO change (job, folder, kind, generation, to_path, rev, created_at, not_before)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
    )?
    .execute(params![job.id.0, job.folder.0, kind.word(), job.generation, path.as_str(), rev, now])?;
    Ok(())
}

/// When the last of what is ready was staged: numbers only grow, so that what is before it need not be read.
pub(crate) const LAST_READY: &str = "SELECT created_at FROM change
    WHERE +kind = ?1 AND folder = ?2 AND batch IS NULL AND not_before <= ?3 ORDER BY id DESC LIMIT 1";

fn count_ready(conn: &Connection, kind: BatchKind, folders: &[FolderId], now: UnixMs) -> Step<Ready> {
    let mut ready = Ready { kind, entries: 0, bytes: 0, oldest: None, newest: None, next_not_before: None };
    let mut open = conn.prepare_cached(
        "SELECT count(*), CAST(total(size) AS INTEGER), min(created_at), max(created_at) FROM
           (SELECT size, created_at FROM change
             WHERE kind = ?1 AND folder = ?2 AND batch IS NULL AND not_before <= ?3 ORDER BY not_before LIMIT ?4)",
    )?;
    let mut newest = conn.prepare_cached(LAST_READY)?;
    let mut later = conn.prepare_cached(
        "SELECT min(not_before) FROM change WHERE kind = ?1 AND folder = ?2 AND batch IS NULL AND not_before > ?3",
    )?;
    for folder in folders {
        let counted = open.query_row(params![kind.word(), folder.0, now, COUNTED], |r| {
            ready.entries += row::count(r, 0)?;
            ready.bytes = ready.bytes.saturating_add(row::count(r, 1)?);
            ready.oldest = ready.oldest.into_iter().chain(r.get::<_, Option<_>>(2)?).min();
            ready.newest = ready.newest.into_iter().chain(r.get::<_, Option<_>>(3)?).max();
            r.get::<_, i64>(0)
        })?;
        // Above what is counted, the last one staged is not among the first: deletions must know when they rest.
        if kind == BatchKind::Delete && counted >= COUNTED {
            let of = params![kind.word(), folder.0, now];
            let last: Option<UnixMs> = newest.query_row(of, |r| r.get(0)).optional()?;
            ready.newest = ready.newest.into_iter().chain(last).max();
        }
        let next: Option<UnixMs> = later.query_row(params![kind.word(), folder.0, now], |r| r.get(0))?;
        ready.next_not_before = ready.next_not_before.into_iter().chain(next).min();
    }
    Ok(ready)
}

/// A change with its row's path.
const CHANGE: &str =
    "SELECT change.id, change.job, change.folder, job.path, change.generation, change.attempts, change.kind,
        change.to_path, change.rev, change.session, change.size, change.content_hash,
        change.read_size, change.mtime_ns, change.ctime_ns, change.ino, change.dev,
        change.from_path, change.source, change.file_id, change.via, change.alike, job.attempts
   FROM change JOIN job ON job.id = change.job";

/// Staged moves and copies that are in no batch and not halfway.
pub(crate) fn of_moves(conn: &Connection) -> Step<Vec<Change>> {
    let mut select = conn.prepare_cached(&format!(
        "{CHANGE} WHERE change.kind IN ('move', 'copy') AND change.batch IS NULL AND change.halfway = 0 ORDER BY change.id"
    ))?;
    let mut rows = select.query([])?;
    let mut changes = Vec::new();
    while let Some(found) = rows.next()? {
        changes.push(change(found)?);
    }
    Ok(changes)
}

/// The deletions of folders below a path that are staged and in no batch.
pub(crate) fn folders_below(conn: &Connection, folder: FolderId, path: &RelPath) -> Step<Vec<Change>> {
    let mut select = conn.prepare_cached(&format!(
        "{CHANGE} WHERE job.folder = ?1 AND job.path >= ?2 AND job.path < ?3 AND change.kind = 'delete' AND change.rev IS NULL
            AND change.batch IS NULL"
    ))?;
    let mut changes = Vec::new();
    for span in row::at_or_below(path) {
        let mut rows = select.query(params![folder.0, span.low, span.high])?;
        while let Some(found) = rows.next()? {
            changes.push(change(found)?);
        }
    }
    Ok(changes)
}

/// The changes of one batch, in the order of its entries.
pub(crate) fn of_batch(conn: &Connection, batch: i64) -> Step<Vec<Change>> {
    let mut select = conn.prepare_cached(&format!("{CHANGE} WHERE change.batch = ?1 ORDER BY change.pos"))?;
    let mut rows = select.query([batch])?;
    let mut changes = Vec::new();
    while let Some(found) = rows.next()? {
        changes.push(change(found)?);
    }
    Ok(changes)
}

fn change(r: &Row<'_>) -> Step<Change> {
    let to = row::remote(r, 7)?;
    let what = match row::kind(r, 6)? {
        BatchKind::Upload => RemoteChange::Upload {
            session: r.get(9)?,
            size: row::count(r, 10)?,
            content_hash: ContentHash(r.get(11)?),
            stat: row::stat(r, 12)?,
            to,
            mode: r.get::<_, Option<String>>(8)?.map_or(WriteMode::Add, WriteMode::Update),
        },
        BatchKind::Delete => match r.get(8)? {
            Some(rev) => RemoteChange::Delete { path: to, rev },
            None => RemoteChange::DeleteFolder { path: to },
        },
        BatchKind::Folder => RemoteChange::CreateFolder { path: to },
        BatchKind::Trash => RemoteChange::Trash { path: to, rev: r.get(8)? },
        kind @ (BatchKind::Move | BatchKind::Copy) => {
            let base = match r.get::<_, Option<[u8; 32]>>(11)? {
                Some(hash) => Some(Base {
                    stat: row::stat(r, 12)?,
                    content_hash: ContentHash(hash),
                    rev: r.get(8)?,
                    file_id: r.get(19)?,
                    remote: None,
                }),
                None => None,
            };
            RemoteChange::Relocate(Box::new(Relocation {
                from: row::remote(r, 17)?,
                to,
                source: row::rel(r, 18)?,
                base,
                copy: kind == BatchKind::Copy,
                alike: r.get(21)?,
                via: match r.get_ref(20)? {
                    rusqlite::types::ValueRef::Null => None,
                    _ => Some(row::remote(r, 20)?),
                },
            }))
        }
    };
    Ok(Change {
        id: ChangeId(r.get(0)?),
        job: JobId(r.get(1)?),
        folder: FolderId(r.get(2)?),
        path: row::rel(r, 3)?,
        generation: r.get(4)?,
        attempts: row::tries(r, 5)?,
        tries: row::tries(r, 22)?,
        what,
    })
}
