//! The queue: paths to look at, and the taking of them.

pub(super) mod counts;
pub(super) mod fresh;
pub(super) mod inspect;
pub(super) mod install_intent;
pub(super) mod problems;
pub(super) mod settle;

use std::sync::atomic::Ordering;

use rusqlite::{Connection, params};

use super::{Store, base};
use crate::model::closed::Places;
use crate::model::failure::GONE_IN_DROPBOX;
use crate::model::{Claimed, Closed, Due, FolderId, Job, JobId, RelPath, Stat, UnixMs};
use crate::store::base::dirs;
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;
use crate::store::db::row::at_or_below;
use crate::store::queue::fresh::FRESH;

/// Counts in a [`DueSummary`] stop here, so that they cost the same with ten rows and with ten million.
const COUNTED: i64 = 2000;

/// Paths that are sent again in one step.
const AGAIN: usize = 1000;

/// How much a worker takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Files at most.
    pub max_files: usize,
    /// Bytes at most; a first file may be larger.
    pub max_bytes: u64,
    /// A file above this many bytes is claimed alone.
    pub small: u64,
    /// The time: what is due later is left.
    pub now: UnixMs,
}

/// What there is to claim. Counts and bytes of due rows stop at 2,000 rows a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DueSummary {
    /// Due files that fit in a pack.
    pub due_small: u64,
    /// Due files that are claimed alone.
    pub due_large: u64,
    /// Bytes of both.
    pub due_bytes: u64,
    /// The earliest time among the due.
    pub oldest_due: Option<UnixMs>,
    /// When the next of the others becomes due.
    pub next_due_at: Option<UnixMs>,
    /// Rows in workers' hands.
    pub claimed: u64,
    /// Rows that are not due yet.
    pub waiting: u64,
}

/// What a change of a path does to a row that is there already. The newest word on when wins, but an unbroken run of changes (each before the
/// row was due) puts it off no longer than `{longest}` ms from the first; a wedged row starts afresh, and stays a problem until it turns out to be none.
const SEEN_AGAIN: &str = "ON CONFLICT (folder, path) DO UPDATE SET
    generation = generation + 1, size = excluded.size, seen = iif(state = 'wedged', 1, seen | 1),
    burst = iif(excluded.burst > due_at, excluded.burst, burst),
    due_at = min(excluded.due_at, iif(excluded.burst > due_at, excluded.burst, burst)
                                  + max({longest}, excluded.due_at - excluded.burst)),
    attempts = iif(state = 'wedged', 0, attempts), state = iif(state = 'wedged', 'due', state)";

impl Store {
    /// Paths that may have changed: a new row each, or one generation more and the new due time. Gives how many there were.
    ///
    /// A thousand at a time is a good measure.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn enqueue(&self, folder: FolderId, due: Vec<Due>, now: UnixMs) -> Result<usize, StoreError> {
        if due.is_empty() {
            return Ok(0);
        }
        let seen_again = self.seen_again();
        self.write_rows(due.len(), move |conn| {
            let mut insert = conn.prepare_cached(&format!(
                "INSERT INTO job (folder, path, generation, state, size, since, due_at, burst)
                 VALUES (?1, ?2, 1, 'due', ?3, ?4, ?5, ?4) {seen_again}"
            ))?;
            for Due { path, size, due_at } in &due {
                insert.execute(params![folder.0, path.as_str(), row::int(*size), now, due_at])?;
            }
            Ok(due.len())
        })
        .await
    }

    /// How long an unbroken run of changes may put a row off, in ms; a minute unless this is called.
    pub fn set_longest(&self, ms: UnixMs) {
        self.inner.longest.store(ms, Ordering::Relaxed);
    }

    fn seen_again(&self) -> String {
        SEEN_AGAIN.replace("{longest}", &self.inner.longest.load(Ordering::Relaxed).to_string())
    }

    /// A directory (or a file) is gone: every path of base at or below it is to be looked at (unless `base` says that deletions are nobody's
    /// business here), and so is every row there that waits after a failure. What a scan found odd there is forgotten. Gives how many paths.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn enqueue_gone(
        &self,
        folder: FolderId,
        dir: &RelPath,
        base: bool,
        due_at: UnixMs,
        now: UnixMs,
    ) -> Result<usize, StoreError> {
        let dir = dir.clone();
        let seen_again = self.seen_again();
        self.write_rows(usize::MAX, move |conn| {
            let mut paths = 0;
            for span in at_or_below(&dir) {
                conn.prepare_cached("DELETE FROM odd WHERE folder = ?1 AND dir >= ?2 AND dir < ?3")?
                    .execute(params![folder.0, span.low, span.high])?;
                if !base {
                    continue;
                }
                paths += conn
                    .prepare_cached(&format!(
                        "INSERT INTO job (folder, path, generation, state, size, since, due_at, burst)
                         SELECT ?1, iif(dir.path = '', '', dir.path || '/') || base.name, 1, 'due', 0, ?4, ?5, ?4
                           FROM dir CROSS JOIN base ON base.dir = dir.id
                          WHERE dir.folder = ?1 AND dir.path >= ?2 AND dir.path < ?3 {seen_again}"
                    ))?
                    .execute(params![folder.0, span.low, span.high, now, due_at])?;
            }
            if base && base::get(conn, folder, &dir)?.is_some() {
                paths += conn
                    .prepare_cached(&format!(
                        "INSERT INTO job (folder, path, generation, state, size, since, due_at, burst)
                         VALUES (?1, ?2, 1, 'due', 0, ?3, ?4, ?3) {seen_again}"
                    ))?
                    .execute(params![folder.0, dir.as_str(), now, due_at])?;
            }
            if base {
                paths += dirs::enqueue_gone(conn, folder, &dir, due_at, now, &seen_again)?;
            }
            // What is on its way up is not in base yet: it is looked at once more when it has got there.
            for span in at_or_below(&dir).into_iter().filter(|_| base) {
                paths += conn
                    .prepare_cached(
                        "UPDATE job SET generation = generation + 1, size = 0, due_at = ?4
                          WHERE folder = ?1 AND path >= ?2 AND path < ?3 AND state IN ('claimed', 'staged')",
                    )?
                    .execute(params![folder.0, span.low, span.high, due_at])?;
            }
            for span in at_or_below(&dir) {
                paths += conn
                    .prepare_cached(
                        "UPDATE job SET generation = generation + 1, state = 'due', size = 0, attempts = 0, code = NULL,
                                text = NULL, due_at = ?4
                          WHERE folder = ?1 AND path >= ?2 AND path < ?3 AND code IS NOT NULL
                            AND (state = 'wedged' OR state = 'due' AND due_at > ?4)",
                    )?
                    .execute(params![folder.0, span.low, span.high, due_at])?;
            }
            Ok(paths)
        })
        .await
    }

    /// "Look again now": what waits at or below a path is due at once and starts afresh, commits that were put off too. Gives how many rows.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn wake(&self, folder: FolderId, under: &RelPath, now: UnixMs) -> Result<usize, StoreError> {
        let under = under.clone();
        self.write_rows(usize::MAX, move |conn| {
            let mut woken = 0;
            for span in at_or_below(&under) {
                let span = params![folder.0, span.low, span.high, now];
                conn.prepare_cached(
                    "UPDATE change SET not_before = ?4, attempts = 0 WHERE batch IS NULL AND not_before > ?4
                        AND job IN (SELECT id FROM job WHERE folder = ?1 AND path >= ?2 AND path < ?3 AND code IS NOT NULL)",
                )?
                .execute(span)?;
                woken += conn
                    .prepare_cached(
                        "UPDATE job SET state = iif(state = 'wedged', 'due', state), due_at = min(due_at, ?4), attempts = 0
                          WHERE folder = ?1 AND path >= ?2 AND path < ?3 AND (code IS NOT NULL OR state = 'due' AND due_at > ?4)",
                    )?
                    .execute(span)?;
            }
            Ok(woken)
        })
        .await
    }

    /// A run that is to end tries each path at least once: what waits after a failure is due now and starts afresh. What Dropbox refused as it is
    /// is left alone.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn try_all(&self, folder: FolderId, now: UnixMs) -> Result<usize, StoreError> {
        self.write_rows(usize::MAX, move |conn| {
            conn.prepare_cached(
                "UPDATE change SET not_before = ?2, attempts = 0 WHERE batch IS NULL AND not_before > ?2
                    AND job IN (SELECT id FROM job WHERE folder = ?1 AND code IS NOT NULL AND state = 'staged')",
            )?
            .execute(params![folder.0, now])?;
            Ok(conn
                .prepare_cached(
                    "UPDATE job SET state = iif(state = 'wedged', 'due', state), due_at = min(due_at, ?2), attempts = 0
                      WHERE folder = ?1 AND code IS NOT NULL AND refused_at IS NULL",
                )?
                .execute(params![folder.0, now])?)
        })
        .await
    }

    /// What was put off without a failure is due now: what it waited for has come.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn due_now(&self, now: UnixMs) -> Result<usize, StoreError> {
        self.write_rows(usize::MAX, move |conn| {
            let sql = format!("UPDATE job SET due_at = ?1 WHERE state = 'due' AND {FRESH} AND due_at > ?1");
            Ok(conn.execute(&sql, [now])?)
        })
        .await
    }

    /// A person wants to send again what Dropbox has no longer: nothing is agreed on at those paths any more, and they are due. Gives how many.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn send_again(&self, folder: FolderId, under: &RelPath, now: UnixMs) -> Result<u64, StoreError> {
        let mut sent = 0;
        loop {
            let under = under.clone();
            let some = self
                .write_rows(AGAIN, move |conn| {
                    let mut some = Vec::new();
                    for span in at_or_below(&under) {
                        let mut select = conn.prepare_cached(
                            "SELECT id, path FROM job WHERE folder = ?1 AND path >= ?2 AND path < ?3 AND code = ?4 LIMIT ?5",
                        )?;
                        let span = params![folder.0, span.low, span.high, GONE_IN_DROPBOX, row::limit(AGAIN)];
                        let rows = select.query_map(span, |r| Ok((r.get::<_, i64>(0)?, row::rel(r, 1)?)))?;
                        for one in rows {
                            some.push(one?);
                        }
                    }
                    for (id, path) in &some {
                        base::put(conn, folder, path, None, now)?;
                        conn.prepare_cached(
                            "UPDATE job SET generation = generation + 1, state = 'due', due_at = ?2, attempts = 0, code = NULL, text = NULL,
                                    seen = 1
                              WHERE id = ?1",
                        )?
                        .execute(params![id, now])?;
                    }
                    Ok(some.len())
                })
                .await?;
            if some == 0 {
                return Ok(sent);
            }
            sent += some as u64;
        }
    }

    /// What is put off for longer than `longest` ms was put off before the clock was set back: it may go now. Gives how many rows and changes.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub async fn shorten_waits(&self, longest: i64, now: UnixMs) -> Result<usize, StoreError> {
        let last = now.saturating_add(longest);
        let any = self
            .read(move |conn| {
                let rows = "SELECT 1 FROM job WHERE folder = ?1 AND state = 'due' AND due_at > ?2";
                let changes =
                    "SELECT 1 FROM change WHERE kind IN ('upload', 'delete', 'folder', 'trash') AND folder = ?1 AND batch IS NULL AND not_before > ?2";
                for folder in row::folders_without(conn, &[])? {
                    for sql in [rows, changes] {
                        if conn.prepare_cached(sql)?.exists(params![folder.0, last])? {
                            return Ok(true);
                        }
                    }
                }
                Ok(false)
            })
            .await?;
        if !any {
            return Ok(0);
        }
        self.write_rows(usize::MAX, move |conn| {
            let rows = conn.execute("UPDATE job SET due_at = ?2 WHERE state = 'due' AND due_at > ?1", [last, now])?;
            let changes =
                conn.execute("UPDATE change SET not_before = ?2 WHERE batch IS NULL AND not_before > ?1", [last, now])?;
            Ok(rows + changes)
        })
        .await
    }

    /// Takes work, oldest due first: one file above `small`, or many that are not.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn claim(&self, limit: Claim) -> Result<Vec<Claimed>, StoreError> {
        self.claim_skipping(limit, &Closed::default()).await
    }

    /// As [`Store::claim`], but nothing of what is closed: paused folders, say, or the places of a move that waits.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn claim_skipping(&self, limit: Claim, closed: &Closed) -> Result<Vec<Claimed>, StoreError> {
        let closed = closed.clone();
        self.inner.writer.step(false, limit.max_files, move |conn| take(conn, &limit, &closed, i64::MAX)).await
    }

    /// As [`Store::claim_skipping`], but only paths that were seen empty or gone here, or of which only Dropbox has told (their runs of local
    /// changes never began): what goes on while the account has no room for more.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn claim_empty(&self, limit: Claim, closed: &Closed) -> Result<Vec<Claimed>, StoreError> {
        let closed = closed.clone();
        self.inner.writer.step(false, limit.max_files, move |conn| take(conn, &limit, &closed, 0)).await
    }

    /// What there is to claim outside of what is closed; files above `small` bytes are the large ones.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn due_summary(&self, now: UnixMs, small: u64, closed: &Closed) -> Result<DueSummary, StoreError> {
        let closed = closed.clone();
        self.read(move |conn| summarize(conn, now, small, &closed)).await
    }
}

/// Everything that was agreed on at or below a directory is looked at: what happened to it while it had another path nobody could tell.
pub(super) fn look_below(conn: &Connection, folder: FolderId, dir: &RelPath, now: UnixMs) -> Step<()> {
    let again = "ON CONFLICT (folder, path) DO UPDATE SET generation = generation + 1";
    for span in at_or_below(dir) {
        conn.prepare_cached(&format!(
            "INSERT INTO job (folder, path, generation, state, size, since, due_at, burst)
             SELECT ?1, iif(dir.path = '', '', dir.path || '/') || base.name, 1, 'due', 0, ?4, ?4, ?4
               FROM dir CROSS JOIN base ON base.dir = dir.id
              WHERE dir.folder = ?1 AND dir.path >= ?2 AND dir.path < ?3 {again}"
        ))?
        .execute(params![folder.0, span.low, span.high, now])?;
    }
    dirs::enqueue_gone(conn, folder, dir, now, now, again)?;
    Ok(())
}

/// The candidates of one folder: `due_at`, id, size, path.
pub(super) const CANDIDATES: &str = "SELECT due_at, id, size, path FROM job
    WHERE folder = ?1 AND state = 'due' AND due_at <= ?2 AND (size <= ?4 OR burst = 0) ORDER BY due_at LIMIT ?3";
/// The claim itself.
pub(super) const TAKE: &str =
    "UPDATE job SET state = 'claimed' WHERE id = ?1 RETURNING folder, path, generation, attempts, since";

/// Claims rows of one folder, the one whose row has been due for longest: a disk that does not answer holds up the rows beside it.
fn take(conn: &Connection, limit: &Claim, closed: &Closed, most: i64) -> Step<Vec<Claimed>> {
    let mut candidates: Vec<(UnixMs, i64, i64)> = Vec::new();
    {
        let mut select = conn.prepare_cached(CANDIDATES)?;
        for folder in open_folders(conn, closed)? {
            let (wanted, places) = (limit.max_files.max(1), closed.places(folder));
            // Any number of those that are passed over may come first.
            let rows = if places.is_some() { i64::MAX } else { row::limit(wanted) };
            let mut found = select.query(params![folder.0, limit.now, rows, most])?;
            let mut of_folder = Vec::new();
            while let Some(r) = found.next()? {
                if let Some(places) = places
                    && places.meet(row::text(r, 3)?)
                {
                    continue;
                }
                of_folder.push((r.get(0)?, r.get(1)?, r.get(2)?));
                if of_folder.len() >= wanted {
                    break;
                }
            }
            of_folder.sort_unstable();
            if candidates.is_empty() || of_folder.first().is_some_and(|first| Some(first) < candidates.first()) {
                candidates = of_folder;
            }
        }
    }
    let mut claimed = Vec::new();
    let mut bytes = 0_u64;
    let mut update = conn.prepare_cached(TAKE)?;
    for (_, id, size) in candidates {
        let size = row::uint(size);
        let large = size > limit.small;
        if large && !claimed.is_empty() {
            continue;
        }
        bytes = bytes.saturating_add(size);
        if !claimed.is_empty() && (claimed.len() >= limit.max_files || bytes > limit.max_bytes) {
            break;
        }
        let job = update.query_row([id], |r| {
            Ok(Job {
                id: JobId(id),
                folder: FolderId(r.get(0)?),
                path: row::rel(r, 1)?,
                generation: r.get(2)?,
                attempts: row::tries(r, 3)?,
                since: r.get(4)?,
            })
        })?;
        let base = base::get(conn, job.folder, &job.path)?;
        let dir = base.is_none() && dirs::has(conn, job.folder, &job.path)?;
        claimed.push(Claimed { job, base, dir });
        if large {
            break;
        }
    }
    Ok(claimed)
}

/// The folders that are not closed as a whole.
fn open_folders(conn: &Connection, closed: &Closed) -> Step<Vec<FolderId>> {
    Ok(row::folders_without(conn, &[])?.into_iter().filter(|folder| !closed.has_folder(*folder)).collect())
}

/// Of a folder's due rows those outside of the closed places, as far as they are counted: how many, how many of them large, their bytes and the
/// earliest time.
fn due_outside(conn: &Connection, folder: FolderId, places: &Places, (now, small): (UnixMs, u64)) -> Step<DueSummary> {
    let mut sum = DueSummary::default();
    let mut select = conn.prepare_cached(CANDIDATES)?;
    let mut rows = select.query(params![folder.0, now, i64::MAX, i64::MAX])?;
    while let Some(r) = rows.next()?.filter(|_| sum.due_small + sum.due_large < row::uint(COUNTED)) {
        if places.meet(row::text(r, 3)?) {
            continue;
        }
        let size = row::count(r, 2)?;
        if size > small {
            sum.due_large += 1;
        } else {
            sum.due_small += 1;
        }
        sum.due_bytes = sum.due_bytes.saturating_add(size);
        sum.oldest_due = sum.oldest_due.or(r.get(0)?);
    }
    Ok(sum)
}

fn summarize(conn: &Connection, now: UnixMs, small: u64, closed: &Closed) -> Step<DueSummary> {
    let mut sum = DueSummary::default();
    let mut due = conn.prepare_cached(
        "SELECT count(*), coalesce(sum(size > ?3), 0), CAST(total(size) AS INTEGER), min(due_at) FROM
           (SELECT size, due_at FROM job WHERE folder = ?1 AND state = 'due' AND due_at <= ?2 ORDER BY due_at LIMIT ?4)",
    )?;
    let mut later = conn.prepare_cached(
        "SELECT count(*), min(due_at) FROM
           (SELECT due_at FROM job WHERE folder = ?1 AND state = 'due' AND due_at > ?2 ORDER BY due_at LIMIT ?3)",
    )?;
    let mut claimed = conn.prepare_cached("SELECT claimed FROM tally WHERE folder = ?1")?;
    let earlier = |a: Option<UnixMs>, b: Option<UnixMs>| a.into_iter().chain(b).min();
    for folder in open_folders(conn, closed)? {
        let found = match closed.places(folder) {
            Some(places) => due_outside(conn, folder, places, (now, small))?,
            None => due.query_row(params![folder.0, now, row::int(small), COUNTED], |r| {
                let (all, due_large) = (row::count(r, 0)?, row::count(r, 1)?);
                let (due_small, due_bytes) = (all.saturating_sub(due_large), row::count(r, 2)?);
                Ok(DueSummary { due_small, due_large, due_bytes, oldest_due: r.get(3)?, ..DueSummary::default() })
            })?,
        };
        sum.due_large += found.due_large;
        sum.due_small += found.due_small;
        sum.due_bytes = sum.due_bytes.saturating_add(found.due_bytes);
        sum.oldest_due = earlier(sum.oldest_due, found.oldest_due);
        later.query_row(params![folder.0, now, COUNTED], |r| {
            sum.waiting += row::count(r, 0)?;
            sum.next_due_at = earlier(sum.next_due_at, r.get(1)?);
            Ok(())
        })?;
        sum.claimed += claimed.query_row([folder.0], |r| row::count(r, 0))?;
    }
    Ok(sum)
}

/// How long a scan leaves a file alone that Dropbox refused, in ms: whoever has the say there may have changed their mind since.
const REFUSED: i64 = 24 * 3600 * 1000;

impl Store {
    /// Of the files that a scan saw, those that have to be looked at: all but the ones that Dropbox has refused of late just as they are.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn without_refused_blocking(
        &self,
        folder: FolderId,
        seen: Vec<(Due, Stat)>,
        now: UnixMs,
    ) -> Result<Vec<Due>, StoreError> {
        self.read_blocking(move |conn| {
            let any: bool = conn
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM tally WHERE folder = ?1 AND wedged > 0)")?
                .query_row([folder.0], |r| r.get(0))?;
            let mut refused = conn.prepare_cached(
                "SELECT 1 FROM job WHERE folder = ?1 AND path = ?2 AND state = 'wedged' AND refused_at BETWEEN ?3 AND ?4
                    AND refused_size = ?5 AND refused_mtime_ns = ?6 AND refused_ctime_ns = ?7 AND refused_ino = ?8 AND refused_dev = ?9",
            )?;
            let mut rest = Vec::with_capacity(seen.len());
            for (due, stat) in seen {
                let left_alone = any
                    && refused.exists(params![
                        folder.0,
                        due.path.as_str(),
                        now.saturating_sub(REFUSED),
                        now,
                        row::int(stat.size),
                        stat.mtime_ns,
                        stat.ctime_ns,
                        stat.ino.cast_signed(),
                        stat.dev.cast_signed(),
                    ])?;
                if !left_alone {
                    rest.push(due);
                }
            }
            Ok(rest)
        })
    }
}

/// After a crash nobody holds a claim. What belongs to no row (there should be none) would never end: it goes. A staged row without its change
/// has to be looked at.
pub(super) fn recover(conn: &Connection) -> Step<()> {
    conn.execute_batch(
        "DELETE FROM change WHERE NOT EXISTS (SELECT 1 FROM job WHERE job.id = change.job);
         DELETE FROM upload WHERE NOT EXISTS (SELECT 1 FROM job WHERE job.id = upload.job);
         DELETE FROM part WHERE NOT EXISTS (SELECT 1 FROM upload WHERE upload.job = part.job);
         UPDATE job SET state = 'due' WHERE state = 'claimed'
             OR state = 'staged' AND NOT EXISTS (SELECT 1 FROM change WHERE change.job = job.id);",
    )?;
    Ok(())
}
