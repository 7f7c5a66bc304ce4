//! Uploads under way: sessions with an owner, written before their bytes are sent, so that a restart goes on where the last run was.

use rusqlite::{Connection, OptionalExtension, params};

use super::sessions::{self, Session};
use crate::model::{BlockHashes, Change, ContentHash, JobId, RemoteChange, Stat, UnixMs};
use crate::store::Store;
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;

/// What a session was opened for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Which session.
    pub session: Session,
    /// When this was written.
    pub begun_at: UnixMs,
    /// Bytes of a part; 0: the file goes whole, in a pack, or has all gone up before.
    pub chunk: u64,
    /// The file as it was.
    pub stat: Stat,
    /// Where it goes whole: the hash of its bytes.
    pub content_hash: Option<ContentHash>,
    /// Parts by where they begin.
    pub parts: Vec<Part>,
}

/// One part of a large file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where in the file it begins.
    pub at: u64,
    /// Of its blocks.
    pub digests: BlockHashes,
    /// It is the last one: it may or may not have arrived, and the session may be closed.
    pub closing: bool,
}

/// A file that is about to go up whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// Its row.
    pub job: JobId,
    /// The file as it was read.
    pub stat: Stat,
    /// The hash of its bytes.
    pub content_hash: ContentHash,
}

impl Store {
    /// What is known to be under way for these rows, in their order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn begun(&self, jobs: Vec<JobId>) -> Result<Vec<Option<Begun>>, StoreError> {
        self.read(move |conn| {
            // The usual case: nothing was interrupted.
            if !conn.prepare_cached("SELECT 1 FROM upload LIMIT 1")?.exists([])? {
                return Ok(vec![None; jobs.len()]);
            }
            jobs.into_iter().map(|job| begun(conn, job)).collect()
        })
        .await
    }

    /// Gives each file a session of the pool, oldest first, and writes that down: all of them, or none. Sessions born before `born_after` are
    /// dropped. `None`: the pool holds too few.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn begin_pack(
        &self,
        files: Vec<Whole>,
        born_after: UnixMs,
        now: UnixMs,
    ) -> Result<Option<Vec<Session>>, StoreError> {
        self.inner
            .writer
            .step(false, files.len(), move |conn| {
                if sessions::young(conn, born_after)? < files.len() as u64 {
                    return Ok(None);
                }
                let taken = sessions::take(conn, files.len(), born_after)?;
                for (file, session) in files.iter().zip(&taken) {
                    insert(conn, file.job, session, 0, &file.stat, Some(&file.content_hash), now)?;
                }
                Ok(Some(taken))
            })
            .await
    }

    /// The session for a large file's parts, instead of any that it had.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn begin_parts(
        &self,
        job: JobId,
        session: Session,
        chunk: u64,
        stat: Stat,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        self.write(move |conn| insert(conn, job, &session, chunk, &stat, None, now)).await
    }

    /// A part has arrived, or the closing one is about to be sent.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn put_part(&self, job: JobId, part: Part) -> Result<(), StoreError> {
        self.write(move |conn| {
            conn.prepare_cached(
                "INSERT INTO part (job, at, digests, closing) SELECT job, ?2, ?3, ?4 FROM upload WHERE job = ?1
                 ON CONFLICT (job, at) DO UPDATE SET digests = excluded.digests, closing = excluded.closing",
            )?
            .execute(params![job.0, row::int(part.at), part.digests.as_bytes(), part.closing])?;
            Ok(())
        })
        .await
    }

    /// The sessions of these rows are of no use (any more): the next try begins anew.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget_uploads(&self, jobs: Vec<JobId>) -> Result<(), StoreError> {
        if jobs.is_empty() {
            return Ok(());
        }
        self.write(move |conn| jobs.iter().try_for_each(|job| forget(conn, *job))).await
    }

    /// The call was refused as a whole, so that the sessions of these rows are as they were: back into the pool with them.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn return_uploads(&self, jobs: Vec<JobId>) -> Result<(), StoreError> {
        if jobs.is_empty() {
            return Ok(());
        }
        self.write(move |conn| {
            for job in &jobs {
                conn.prepare_cached(
                    "INSERT INTO session SELECT session, born_at FROM upload WHERE job = ?1 AND chunk = 0
                     ON CONFLICT (id) DO NOTHING",
                )?
                .execute([job.0])?;
                forget(conn, *job)?;
            }
            Ok(())
        })
        .await
    }
}

/// A change was staged, or the session is of no use: what it holds is no longer this row's.
pub(crate) fn forget(conn: &Connection, job: JobId) -> Step<()> {
    conn.prepare_cached("DELETE FROM upload WHERE job = ?1")?.execute([job.0])?;
    Ok(())
}

/// A change is dropped whose session may still hold the content: as long as the file is the same, nothing is sent again.
pub(crate) fn keep(conn: &Connection, change: &Change, now: UnixMs) -> Step<()> {
    let RemoteChange::Upload { session, content_hash, stat, .. } = &change.what else { return Ok(()) };
    let session = Session { id: session.clone(), born_at: now };
    insert(conn, change.job, &session, 0, stat, Some(content_hash), now)
}

fn insert(
    conn: &Connection,
    job: JobId,
    session: &Session,
    chunk: u64,
    stat: &Stat,
    hash: Option<&ContentHash>,
    now: UnixMs,
) -> Step<()> {
    forget(conn, job)?;
    // A row that is gone (its folder was forgotten) has no upload either.
    conn.prepare_cached(
        "INSERT INTO upload (job, session, born_at, begun_at, chunk, size, mtime_ns, ctime_ns, ino, dev, content_hash)
         SELECT id, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 FROM job WHERE id = ?1",
    )?
    .execute(params![
        job.0,
        session.id,
        session.born_at,
        now,
        row::int(chunk),
        row::int(stat.size),
        stat.mtime_ns,
        stat.ctime_ns,
        stat.ino.cast_signed(),
        stat.dev.cast_signed(),
        hash.map(|h| h.0),
    ])?;
    Ok(())
}

fn begun(conn: &Connection, job: JobId) -> Step<Option<Begun>> {
    let mut select = conn.prepare_cached(
        "SELECT session, born_at, begun_at, chunk, content_hash, size, mtime_ns, ctime_ns, ino, dev
           FROM upload WHERE job = ?1",
    )?;
    let found = select
        .query_row([job.0], |r| {
            Ok(Begun {
                session: Session { id: r.get(0)?, born_at: r.get(1)? },
                begun_at: r.get(2)?,
                chunk: row::count(r, 3)?,
                content_hash: r.get::<_, Option<[u8; 32]>>(4)?.map(ContentHash),
                stat: row::stat(r, 5)?,
                parts: Vec::new(),
            })
        })
        .optional()?;
    let Some(mut found) = found else { return Ok(None) };
    let mut select = conn.prepare_cached("SELECT at, digests, closing FROM part WHERE job = ?1 ORDER BY at")?;
    let mut rows = select.query([job.0])?;
    while let Some(r) = rows.next()? {
        // Digests that are not whole are of no use: the part counts as not sent.
        if let Some(digests) = BlockHashes::from_bytes(r.get(1)?) {
            found.parts.push(Part { at: row::count(r, 0)?, digests, closing: r.get(2)? });
        }
    }
    Ok(Some(found))
}
