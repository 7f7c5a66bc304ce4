//! What is about to be put in its place: so that a file that a kill left there, before its row was settled, is known to be Dropbox's and no edit.

use rusqlite::{Connection, OptionalExtension, params};

use crate::model::history::Deed;
use crate::model::{ContentHash, FolderId, RelPath, RemotePath, UnixMs};
use crate::store::base::dirs;
use crate::store::db::error::{Step, StoreError};
use crate::store::lane::batches;
use crate::store::{Store, history};

/// A revision that comes down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placing {
    /// What it holds.
    pub content_hash: ContentHash,
    /// The revision.
    pub rev: String,
    /// Whose.
    pub file_id: String,
}

impl Store {
    /// Notes what is about to come down to these paths. A row that is settled takes the note along.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn placing(&self, coming: Vec<(FolderId, RelPath, Placing)>) -> Result<(), StoreError> {
        if coming.is_empty() {
            return Ok(());
        }
        self.write_rows(coming.len(), move |conn| {
            let mut insert = conn.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?;
            for (folder, path, placing) in &coming {
                let value = format!("{} {} {}", placing.content_hash, placing.rev, placing.file_id);
                insert.execute(params![key(*folder, path), value])?;
            }
            Ok(())
        })
        .await
    }

    /// What was about to come down to a path when its row was last worked on, for threads that may block.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn placing_blocking(&self, folder: FolderId, path: &RelPath) -> Result<Option<Placing>, StoreError> {
        let key = key(folder, path);
        self.read_blocking(move |conn| {
            let mut select = conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
            let value: Option<String> = select.query_row([key], |r| r.get(0)).optional()?;
            Ok(value.as_deref().and_then(parse))
        })
    }

    /// Notes that a version of the file `path` that nobody else has is kept at `copy`, which is looked at.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn note_aside(
        &self,
        folder: FolderId,
        path: &RelPath,
        copy: &RelPath,
        place: &RemotePath,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let (path, copy, place) = (path.clone(), copy.clone(), place.clone());
        let kept = self.history_kept();
        self.write(move |conn| {
            let log = history::Log::new(conn, kept, now);
            let note = history::Note { size: None, rev: None, place: Some(place.as_str()) };
            log.note(folder, &path, Deed::Conflict, &note)?;
            log.cut()?;
            batches::note_conflict(conn, folder, &path, &place, Some(&copy), now)?;
            dirs::look(conn, folder, &copy, 0, now)
        })
        .await
    }
}

fn key(folder: FolderId, path: &RelPath) -> String {
    format!("store.placing.{}/{path}", folder.0)
}

fn parse(value: &str) -> Option<Placing> {
    let mut words = value.splitn(3, ' ');
    let content_hash = words.next()?.parse().ok()?;
    Some(Placing { content_hash, rev: words.next()?.to_owned(), file_id: words.next()?.to_owned() })
}

/// The path's row is settled.
pub(crate) fn settled(conn: &Connection, folder: FolderId, path: &RelPath) -> Step<()> {
    conn.prepare_cached("DELETE FROM meta WHERE key = ?1")?.execute([key(folder, path)])?;
    Ok(())
}

/// Nothing is agreed on in the folder any more.
pub(crate) fn drop_all(conn: &Connection, folder: FolderId) -> Step<()> {
    let (low, high) = (format!("store.placing.{}/", folder.0), format!("store.placing.{}0", folder.0));
    conn.execute("DELETE FROM meta WHERE key >= ?1 AND key < ?2", params![low, high])?;
    Ok(())
}
