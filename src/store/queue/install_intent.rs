//! What is about to be put in its place: so that a file that a kill left there, before its row was settled, is known to be Dropbox's and no edit.

use rusqlite::{Connection, OptionalExtension, params};

use crate::model::history::Deed;
use crate::model::{ContentHash, FolderId, RelPath, RemotePath, UnixMs};
use crate::store::base::dirs;
use crate::store::db::error::{Step, StoreError};
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
            // A folder that left the configuration meanwhile wants nothing any more.
            let mut insert = conn.prepare_cached(
                "INSERT OR REPLACE INTO install_intent (folder, path, content_hash, rev, file_id)
                 SELECT id, ?2, ?3, ?4, ?5 FROM folder WHERE id = ?1",
            )?;
            for (folder, path, placing) in &coming {
                let Placing { content_hash, rev, file_id } = placing;
                insert.execute(params![folder.0, path.as_str(), content_hash.0, rev, file_id])?;
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
        self.read_blocking(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT content_hash, rev, file_id FROM install_intent WHERE folder = ?1 AND path = ?2",
            )?;
            let found = select.query_row(params![folder.0, path.as_str()], |r| {
                Ok(Placing { content_hash: ContentHash(r.get(0)?), rev: r.get(1)?, file_id: r.get(2)? })
            });
            Ok(found.optional()?)
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
            history::note_conflict(conn, folder, &path, &place, Some(&copy), now)?;
            dirs::look(conn, folder, &copy, 0, now)
        })
        .await
    }
}

/// The path's row is settled.
pub(crate) fn settled(conn: &Connection, folder: FolderId, path: &RelPath) -> Step<()> {
    conn.prepare_cached("DELETE FROM install_intent WHERE folder = ?1 AND path = ?2")?
        .execute(params![folder.0, path.as_str()])?;
    Ok(())
}

/// Nothing is agreed on in the folder any more.
pub(crate) fn drop_all(conn: &Connection, folder: FolderId) -> Step<()> {
    conn.execute("DELETE FROM install_intent WHERE folder = ?1", [folder.0])?;
    Ok(())
}
