//! Batches: the intent before the call, and what became of each entry after it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, params};

use super::changes::{LATELY, folders_below, of_batch};
use super::{moves, uploads};
use crate::model::key::key_of;
use crate::model::{Batch, BatchKind, Change, ChangeId, Failure, FolderId, Outcome, RemoteChange, RemotePath, UnixMs};
use crate::store::base::{by_content, dirs};
use crate::store::db::error::{Fault, Step, StoreError};
use crate::store::db::row;
use crate::store::history::Log;
use crate::store::lane::cycles;
use crate::store::queue::settle;
use crate::store::{Looked, Store, base};

impl Store {
    /// Writes down that a batch is about to be committed: the oldest changes of this kind that may go now, at most `limit`, none of the folders in
    /// `skip_folders`. Two changes of one remote path (however its letters are cased) never share a batch. `None`: there is nothing to commit.
    ///
    /// # Errors
    /// When another batch is still open (of those to the local trash one may be, beside one of the others), or the database cannot be written.
    pub async fn begin_batch(
        &self,
        kind: BatchKind,
        limit: usize,
        skip_folders: &[FolderId],
        now: UnixMs,
    ) -> Result<Option<Batch>, StoreError> {
        let skip = skip_folders.to_vec();
        // Deletions that are no longer meant give their rows back to the workers, who must hear of it.
        let wakes = matches!(kind, BatchKind::Delete | BatchKind::Trash);
        self.inner.writer.step(wakes, limit, move |conn| begin(conn, kind, limit, &skip, i64::MAX, now)).await
    }

    /// As [`Store::begin_batch`] for uploads, but only those of no bytes: what can be committed while the account has no room for more.
    ///
    /// # Errors
    /// As there.
    pub async fn begin_empty_batch(
        &self,
        limit: usize,
        skip: &[FolderId],
        now: UnixMs,
    ) -> Result<Option<Batch>, StoreError> {
        let skip = skip.to_vec();
        self.inner.writer.step(false, limit, move |conn| begin(conn, BatchKind::Upload, limit, &skip, 0, now)).await
    }

    /// The server took the batch and named its job.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn launched(&self, batch: i64, async_job_id: &str) -> Result<(), StoreError> {
        let async_job_id = async_job_id.to_owned();
        self.write(move |conn| {
            conn.prepare_cached("UPDATE batch SET async_job_id = ?2 WHERE id = ?1")?
                .execute(params![batch, async_job_id])?;
            Ok(())
        })
        .await
    }

    /// Batches that were begun and not settled: after a crash, what may be under way. At most one, by [`Store::begin_batch`], and one to the local
    /// trash. Its job must come to its end before another batch begins, even if all its changes were dropped with their folder.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn open_batches(&self) -> Result<Vec<Batch>, StoreError> {
        self.read(|conn| {
            let mut select = conn.prepare_cached("SELECT id, kind, async_job_id, entries FROM batch ORDER BY id")?;
            let heads = select
                .query_map([], |r| Ok((r.get(0)?, row::kind(r, 1)?, r.get(2)?, row::count(r, 3)?)))?
                .collect::<Result<Vec<_>, _>>()?;
            heads
                .into_iter()
                .map(|(id, kind, async_job_id, entries)| {
                    let entries = usize::try_from(entries).unwrap_or(usize::MAX);
                    Ok(Batch { id, kind, async_job_id, entries, changes: of_batch(conn, id)? })
                })
                .collect()
        })
        .await
    }

    /// What became of the entries of a batch, in one step; the batch is closed. A change that `outcomes` does not name is ready again, and one
    /// that is not of this batch is left alone. A batch that is closed already stays so, and nothing happens.
    ///
    /// # Errors
    /// When the database cannot be written; then all of it is as it was.
    pub async fn settle_batch(
        &self,
        batch: i64,
        outcomes: Vec<(ChangeId, Outcome)>,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        self.settle_moves(batch, outcomes, HashMap::new(), now).await
    }

    /// As [`Store::settle_batch`]. With a move that went through go the rows that were looked at before it, unless something was seen since.
    ///
    /// # Errors
    /// When the database cannot be written; then all of it is as it was.
    pub async fn settle_moves(
        &self,
        batch: i64,
        outcomes: Vec<(ChangeId, Outcome)>,
        looked: HashMap<ChangeId, Vec<Looked>>,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let kept = self.history_kept();
        let rows = looked.values().map(Vec::len).sum::<usize>() + outcomes.len();
        self.write_rows(rows, move |conn| {
            let log = Log::new(conn, kept, now);
            let moved: Vec<_> =
                outcomes.iter().filter(|(_, o)| matches!(o, Outcome::Moved(_))).map(|(id, _)| *id).collect();
            close(conn, &log, batch, outcomes, now)?;
            for id in moved {
                moves::drop_looked(conn, looked.get(&id).map(Vec::as_slice).unwrap_or_default())?;
            }
            log.cut()
        })
        .await
    }
}

/// The candidates of one folder: `not_before`, id, `to_path`.
pub(crate) const CANDIDATES: &str = "SELECT not_before, id, to_path FROM change
    WHERE kind = ?1 AND folder = ?2 AND batch IS NULL AND not_before <= ?3 AND size <= ?5
    ORDER BY not_before, id LIMIT ?4";

fn begin(
    conn: &Connection,
    kind: BatchKind,
    limit: usize,
    skip: &[FolderId],
    most: i64,
    now: UnixMs,
) -> Step<Option<Batch>> {
    // What is made on this disk only has nothing to do with the commits.
    let open = "SELECT id FROM batch WHERE (kind = 'trash') = ?1";
    if let Some(open) = conn.query_row(open, [kind == BatchKind::Trash], |r| r.get::<_, i64>(0)).optional()? {
        return Err(Fault::Said(format!("batch {open} is not settled yet: batches of one account never overlap")));
    }
    let mut candidates: Vec<(UnixMs, i64, String)> = Vec::new();
    {
        // A move that has to wait for another one must not keep that out of the batch.
        let some = if kind == BatchKind::Move { usize::MAX } else { limit };
        let mut select = conn.prepare_cached(CANDIDATES)?;
        for folder in row::folders_without(conn, skip)? {
            let found = select.query_map(params![kind.word(), folder.0, now, row::limit(some), most], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?))
            })?;
            for candidate in found {
                candidates.push(candidate?);
            }
        }
    }
    if matches!(kind, BatchKind::Delete | BatchKind::Trash) {
        let mut meant = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            if still_meant(conn, candidate.1, now)? {
                meant.push(candidate);
            }
        }
        candidates = meant;
    }
    if kind == BatchKind::Move {
        let waiting = cycles::without_room(conn)?;
        candidates.retain(|(_, id, _)| !waiting.contains(id));
    }
    candidates.sort_unstable();
    let mut taken = HashSet::new();
    let mut ids = Vec::new();
    let mut sources = by_content::Sources::default();
    for (_, id, to) in candidates {
        if ids.len() < limit && !taken.contains(&key_of(&to)) && (kind != BatchKind::Copy || sources.take(conn, id)?) {
            taken.insert(key_of(&to));
            ids.push(id);
        }
    }
    if ids.is_empty() {
        return Ok(None);
    }
    conn.prepare_cached("INSERT INTO batch (kind, created_at, entries) VALUES (?1, ?2, ?3)")?.execute(params![
        kind.word(),
        now,
        row::limit(ids.len())
    ])?;
    let batch = conn.last_insert_rowid();
    let mut assign = conn.prepare_cached("UPDATE change SET batch = ?2, pos = ?3 WHERE id = ?1")?;
    for (pos, id) in ids.iter().enumerate() {
        assign.execute(params![id, batch, row::limit(pos)])?;
    }
    Ok(Some(Batch { id: batch, kind, async_job_id: None, entries: ids.len(), changes: of_batch(conn, batch)? }))
}

/// Whether a staged deletion still has the base that it was decided from. If not, it is dropped and its path looked at again: the remote file
/// may belong to another path by now.
fn still_meant(conn: &Connection, change: i64, now: UnixMs) -> Step<bool> {
    let (job, folder, path, rev) = conn
        .prepare_cached(
            "SELECT change.job, job.folder, job.path, change.rev FROM change JOIN job ON job.id = change.job WHERE change.id = ?1",
        )?
        .query_row([change], |r| {
            Ok((r.get::<_, i64>(0)?, FolderId(r.get(1)?), row::rel(r, 2)?, r.get::<_, Option<String>>(3)?))
        })?;
    let meant = match rev {
        Some(rev) => base::get(conn, folder, &path)?.is_some_and(|base| base.rev == rev),
        None => dirs::has(conn, folder, &path)?,
    };
    if meant {
        return Ok(true);
    }
    conn.prepare_cached("DELETE FROM change WHERE id = ?1")?.execute([change])?;
    conn.prepare_cached("UPDATE job SET state = 'due', due_at = ?2 WHERE id = ?1")?.execute(params![job, now])?;
    Ok(false)
}

fn close(conn: &Connection, log: &Log<'_>, batch: i64, outcomes: Vec<(ChangeId, Outcome)>, now: UnixMs) -> Step<()> {
    let mut outcomes: HashMap<ChangeId, Outcome> = outcomes.into_iter().collect();
    let mut deleted: BTreeMap<FolderId, i64> = BTreeMap::new();
    let mut synced = BTreeSet::new();
    for change in of_batch(conn, batch)? {
        match outcomes.remove(&change.id) {
            None => reopen(conn, &change, None)?,
            Some(Outcome::Settled(base)) => {
                log.committed(&change, base.as_ref())?;
                base::put(conn, change.folder, &change.path, base.as_ref(), now)?;
                drop_change(conn, &change)?;
                settle::finish(conn, change.job, change.generation, now)?;
                if is_deletion(&change) {
                    *deleted.entry(change.folder).or_default() += 1;
                }
                if matches!(change.what, RemoteChange::DeleteFolder { .. }) {
                    gone_along(conn, log, &change, now)?;
                }
                synced.insert(change.folder);
            }
            Some(Outcome::Replaced) => {
                log.committed(&change, None)?;
                base::put(conn, change.folder, &change.path, None, now)?;
                drop_change(conn, &change)?;
                settle::put_off(conn, change.job, change.generation, now, None)?;
                if is_deletion(&change) {
                    *deleted.entry(change.folder).or_default() += 1;
                }
            }
            Some(Outcome::SettledDir(stat)) => {
                log.committed(&change, None)?;
                dirs::put(conn, change.folder, &change.path, stat, now)?;
                drop_change(conn, &change)?;
                settle::finish(conn, change.job, change.generation, now)?;
                synced.insert(change.folder);
            }
            Some(Outcome::Elsewhere(place)) if matches!(change.what, RemoteChange::Upload { .. }) => {
                elsewhere(conn, log, &change, &place, now)?;
            }
            Some(Outcome::Moved(base)) => {
                log.committed(&change, base.as_ref())?;
                if let RemoteChange::Relocate(relocation) = &change.what {
                    moves::settle(conn, &change, relocation, base.as_ref(), now)?;
                }
                drop_change(conn, &change)?;
                if by_content::other_content(&change, base.as_ref()) {
                    settle::put_off(conn, change.job, change.generation, now, None)?;
                    continue;
                }
                settle::finish(conn, change.job, change.generation, now)?;
                synced.insert(change.folder);
            }
            Some(Outcome::Halfway) => cycles::halfway(conn, &change, now)?,
            // There is no other place for a deletion: the path is looked at again.
            Some(Outcome::Elsewhere(_)) => {
                drop_change(conn, &change)?;
                settle::put_off(conn, change.job, change.generation, now, None)?;
            }
            Some(Outcome::Again { at, failure }) => reopen(conn, &change, Some((at, &failure)))?,
            Some(Outcome::Look { at, failure }) => look(conn, &change, at, failure.as_ref(), now)?,
            Some(Outcome::Keep { at, failure }) => {
                look(conn, &change, at, failure.as_ref(), now)?;
                uploads::keep(conn, &change, now)?;
            }
            Some(Outcome::Wedge(failure)) => {
                cycles::given_up(conn, &change, now)?;
                drop_change(conn, &change)?;
                settle::wedge(conn, change.job, change.generation, &failure)?;
            }
            Some(Outcome::Refused(failure)) => {
                cycles::given_up(conn, &change, now)?;
                drop_change(conn, &change)?;
                match &change.what {
                    RemoteChange::Upload { stat, .. } => {
                        settle::refuse(conn, change.job, change.generation, &failure, stat, now)?;
                    }
                    _ => settle::wedge(conn, change.job, change.generation, &failure)?,
                }
            }
        }
    }
    if !outcomes.is_empty() {
        tracing::warn!(
            batch,
            entries = outcomes.len(),
            "results for changes that are not in this batch were left aside"
        );
    }
    conn.prepare_cached("DELETE FROM batch WHERE id = ?1")?.execute([batch])?;
    settle::note_synced(conn, &synced, now)?;
    count_deletions(conn, &deleted, now)
}

/// A folder went with the folders in it: their own deletions are done.
fn gone_along(conn: &Connection, log: &Log<'_>, top: &Change, now: UnixMs) -> Step<()> {
    for change in folders_below(conn, top.folder, &top.path)? {
        log.committed(&change, None)?;
        base::put(conn, change.folder, &change.path, None, now)?;
        drop_change(conn, &change)?;
        settle::finish(conn, change.job, change.generation, now)?;
    }
    Ok(())
}

/// The change is dropped and its path looked at again. A commit in vain is a try of the path, whether or not there is something to tell.
fn look(conn: &Connection, change: &Change, at: UnixMs, failure: Option<&Failure>, now: UnixMs) -> Step<()> {
    cycles::given_up(conn, change, now)?;
    drop_change(conn, change)?;
    settle::put_off(conn, change.job, change.generation, at, failure)?;
    if failure.is_none() && !matches!(change.what, RemoteChange::Trash { .. } | RemoteChange::Relocate(_)) {
        conn.prepare_cached("UPDATE job SET attempts = attempts + 1 WHERE id = ?1")?.execute([change.job.0])?;
    }
    Ok(())
}

fn is_deletion(change: &Change) -> bool {
    matches!(change.what, RemoteChange::Delete { .. } | RemoteChange::Trash { rev: Some(_), .. })
}

fn drop_change(conn: &Connection, change: &Change) -> Step<()> {
    conn.prepare_cached("DELETE FROM change WHERE id = ?1")?.execute([change.id.0])?;
    Ok(())
}

/// Out of the batch and ready again: at once, or after a failure not before a time.
fn reopen(conn: &Connection, change: &Change, after: Option<(UnixMs, &Failure)>) -> Step<()> {
    conn.prepare_cached(
        "UPDATE change SET batch = NULL, pos = NULL, not_before = coalesce(?2, not_before), attempts = attempts + (?2 IS NOT NULL)
          WHERE id = ?1",
    )?
    .execute(params![change.id.0, after.map(|(at, _)| at)])?;
    if let Some((_, failure)) = after {
        conn.prepare_cached("UPDATE job SET attempts = attempts + 1, code = ?2, text = ?3 WHERE id = ?1")?
            .execute(params![change.job.0, failure.code, failure.text])?;
    }
    Ok(())
}

/// Both versions are kept: the upload is ready again for another place, and people are told.
fn elsewhere(conn: &Connection, log: &Log<'_>, change: &Change, place: &RemotePath, now: UnixMs) -> Step<()> {
    conn.prepare_cached(
        "UPDATE change SET batch = NULL, pos = NULL, to_path = ?2, rev = NULL, not_before = ?3 WHERE id = ?1",
    )?
    .execute(params![change.id.0, place.as_str(), now])?;
    crate::store::history::note_conflict(conn, change.folder, &change.path, place, None, now)?;
    log.conflict(change, place)
}

fn count_deletions(conn: &Connection, deleted: &BTreeMap<FolderId, i64>, now: UnixMs) -> Step<()> {
    for (folder, n) in deleted {
        conn.prepare_cached(
            "INSERT INTO deletion (folder, at, n) VALUES (?1, ?2, ?3) ON CONFLICT (folder, at) DO UPDATE SET n = n + excluded.n",
        )?
        .execute(params![folder.0, now, n])?;
    }
    conn.prepare_cached("DELETE FROM deletion WHERE at < ?1")?.execute([now.saturating_sub(LATELY)])?;
    Ok(())
}
