//! What becomes of a row when the work on it has ended.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::problems;
use crate::model::history::Deed;
use crate::model::{Failure, FolderId, Job, JobId, RelPath, Settled, Stat, UnixMs};
use crate::store::base::dirs;
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;
use crate::store::db::row::at_or_below;
use crate::store::history::{Log, Note};
use crate::store::lane::moves;
use crate::store::queue::install_intent;
use crate::store::{Store, base};

impl Store {
    /// Ends the work on claimed rows, in one step. A row that is not claimed any more (its folder was forgotten) is left alone, its base too.
    ///
    /// A row goes only if its generation is the one that was claimed; else it is due again when its latest change said so.
    ///
    /// # Errors
    /// When the database cannot be written; then none is settled.
    pub async fn settle(&self, done: Vec<(Job, Settled)>, now: UnixMs) -> Result<(), StoreError> {
        if done.is_empty() {
            return Ok(());
        }
        let kept = self.history_kept();
        self.write_rows(done.len(), move |conn| {
            let log = Log::new(conn, kept, now);
            let mut synced = BTreeSet::new();
            for (job, settled) in &done {
                if !is_claimed(conn, job.id)? {
                    continue;
                }
                if matches!(settled, Settled::Nothing | Settled::Wedge(_) | Settled::Refused(..)) {
                    install_intent::settled(conn, job.folder, &job.path)?;
                }
                match settled {
                    Settled::InSync(base) => {
                        log.in_sync(job.folder, &job.path, base.as_ref())?;
                        base::put(conn, job.folder, &job.path, base.as_ref(), now)?;
                        finish(conn, job.id, job.generation, now)?;
                        synced.insert(job.folder);
                    }
                    Settled::Arrived(base) => {
                        let note = Note { size: Some(base.stat.size), rev: Some(&base.rev), place: None };
                        log.note(job.folder, &job.path, Deed::Downloaded, &note)?;
                        base::put(conn, job.folder, &job.path, Some(base), now)?;
                        finish(conn, job.id, job.generation, now)?;
                        synced.insert(job.folder);
                    }
                    Settled::InSyncDir(stat) => {
                        dirs::put(conn, job.folder, &job.path, *stat, now)?;
                        finish(conn, job.id, job.generation, now)?;
                        synced.insert(job.folder);
                    }
                    Settled::Again(base) => {
                        base::put(conn, job.folder, &job.path, base.as_ref(), now)?;
                        put_off(conn, job.id, job.generation, now, None)?;
                    }
                    Settled::Aside { copy, place } => {
                        let note = Note { size: None, rev: None, place: Some(place.as_str()) };
                        log.note(job.folder, &job.path, Deed::Conflict, &note)?;
                        base::put(conn, job.folder, &job.path, None, now)?;
                        crate::store::history::note_conflict(conn, job.folder, &job.path, place, Some(copy), now)?;
                        dirs::look(conn, job.folder, copy, 0, now)?;
                        put_off(conn, job.id, job.generation, now, None)?;
                    }
                    Settled::Rather(place) => {
                        finish(conn, job.id, job.generation, now)?;
                        dirs::look(conn, job.folder, place, 0, now)?;
                    }
                    Settled::Respelled { to, moved } => {
                        match &moved.base {
                            Some(_) => {
                                base::put(conn, job.folder, &job.path, None, now)?;
                                base::put(conn, job.folder, to, moved.base.as_ref(), now)?;
                            }
                            None => {
                                look_below(conn, job, to, now)?;
                                moves::rekey(conn, job.folder, moved, to, now)?;
                            }
                        }
                        finish(conn, job.id, job.generation, now)?;
                        dirs::look(conn, job.folder, to, 0, now)?;
                    }
                    Settled::Wait(at) => put_off(conn, job.id, job.generation, *at, None)?,
                    Settled::Nothing => finish(conn, job.id, job.generation, now)?,
                    Settled::PutOff { at, failure } => put_off(conn, job.id, job.generation, *at, Some(failure))?,
                    Settled::Wedge(failure) => wedge(conn, job.id, job.generation, failure)?,
                    Settled::Refused(failure, stat) => refuse(conn, job.id, job.generation, failure, stat, now)?,
                    Settled::Release => {
                        conn.prepare_cached("UPDATE job SET state = 'due' WHERE id = ?1")?.execute([job.id.0])?;
                    }
                }
            }
            log.cut()?;
            note_synced(conn, &synced, now)
        })
        .await
    }
}

/// Whatever was to be looked at below a directory is looked at below its new path, too.
fn look_below(conn: &Connection, job: &Job, to: &RelPath, now: UnixMs) -> Step<()> {
    let mut select = conn.prepare_cached(
        "SELECT path, size FROM job WHERE folder = ?1 AND path >= ?2 AND path < ?3 AND path <> ?4 AND state <> 'wedged'",
    )?;
    let mut rows = Vec::new();
    for span in at_or_below(&job.path) {
        let found = select.query_map(params![job.folder.0, span.low, span.high, job.path.as_str()], |r| {
            Ok((row::rel(r, 0)?, row::count(r, 1)?))
        })?;
        for one in found {
            rows.push(one?);
        }
    }
    for (path, size) in rows {
        if let Some(path) = path.moved(&job.path, to) {
            dirs::look(conn, job.folder, &path, size, now)?;
        }
    }
    Ok(())
}

/// Whether the row is in a worker's hands.
pub(crate) fn is_claimed(conn: &Connection, job: JobId) -> Step<bool> {
    Ok(conn.prepare_cached("SELECT 1 FROM job WHERE id = ?1 AND state = 'claimed'")?.exists([job.0])?)
}

/// The views agreed at `generation`: the row goes, or it is due for what came after.
pub(crate) fn finish(conn: &Connection, job: JobId, generation: i64, now: UnixMs) -> Step<()> {
    let gone = conn
        .prepare_cached("DELETE FROM job WHERE id = ?1 AND generation = ?2")?
        .execute(params![job.0, generation])?;
    if gone == 0 {
        conn.prepare_cached(
            "UPDATE job SET state = 'due', attempts = 0, code = NULL, text = NULL, since = ?2 WHERE id = ?1",
        )?
        .execute(params![job.0, now])?;
    }
    Ok(())
}

/// To be looked at again, not before `at`; what changed meanwhile can make that later, not sooner. A row that was begun afresh still shows its problem of
/// before: waiting is no success.
pub(crate) fn put_off(
    conn: &Connection,
    job: JobId,
    generation: i64,
    at: UnixMs,
    failure: Option<&Failure>,
) -> Step<()> {
    conn.prepare_cached(
        "UPDATE job SET state = 'due', due_at = iif(generation = ?2, ?3, max(?3, due_at)), burst = max(?3, burst),
                attempts = attempts + (?4 IS NOT NULL), code = iif(?4 IS NULL AND attempts = 0, code, ?4),
                text = iif(?4 IS NULL AND attempts = 0, text, ?5) WHERE id = ?1",
    )?
    .execute(params![job.0, generation, at, failure.map(|f| &f.code), failure.map(|f| &f.text)])?;
    if failure.is_some() { problems::tell_once(conn, job) } else { Ok(()) }
}

/// Waits until the path changes; if it has changed already, it is due.
pub(crate) fn wedge(conn: &Connection, job: JobId, generation: i64, failure: &Failure) -> Step<()> {
    conn.prepare_cached(
        "UPDATE job SET state = iif(generation = ?2, 'wedged', 'due'), attempts = attempts + 1, code = ?3, text = ?4, refused_at = NULL
          WHERE id = ?1",
    )?
    .execute(params![job.0, generation, failure.code, failure.text])?;
    problems::tell_once(conn, job)
}

/// Waits until the file is another one than the one that Dropbox refused at `now`.
pub(crate) fn refuse(
    conn: &Connection,
    job: JobId,
    generation: i64,
    failure: &Failure,
    stat: &Stat,
    now: UnixMs,
) -> Step<()> {
    wedge(conn, job, generation, failure)?;
    conn.prepare_cached(
        "UPDATE job SET refused_at = ?2, refused_size = ?3, refused_mtime_ns = ?4, refused_ctime_ns = ?5, refused_ino = ?6, refused_dev = ?7
          WHERE id = ?1",
    )?
    .execute(params![
        job.0,
        now,
        row::int(stat.size),
        stat.mtime_ns,
        stat.ctime_ns,
        stat.ino.cast_signed(),
        stat.dev.cast_signed(),
    ])?;
    Ok(())
}

/// Something of these folders came in sync.
pub(crate) fn note_synced(conn: &Connection, folders: &BTreeSet<FolderId>, now: UnixMs) -> Step<()> {
    let mut update = conn.prepare_cached("UPDATE tally SET last_synced_at = ?2 WHERE folder = ?1")?;
    for folder in folders {
        update.execute(params![folder.0, now])?;
    }
    Ok(())
}
