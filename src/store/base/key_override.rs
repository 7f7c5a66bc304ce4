//! Keys that Dropbox gives to our paths, where they are not the ones that we would guess.
//!
//! Nobody outside knows how Dropbox folds letters (I8). A path's key is guessed, and the guess is proven when the path is found under it or committed
//! under it; where it was committed under another one, that is kept here.

use rusqlite::{Connection, OptionalExtension, params};

use crate::model::{FolderId, RelPath};
use crate::store::Store;
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;

impl Store {
    /// Dropbox has committed these paths: under another key than the guess, or (`None`) under the guess.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn note_keys(&self, keys: Vec<(FolderId, RelPath, Option<String>)>) -> Result<(), StoreError> {
        self.write_rows(keys.len(), move |conn| {
            let mut insert = conn.prepare_cached(
                "INSERT INTO odd_key (folder, path, key) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET key = excluded.key",
            )?;
            let mut delete = conn.prepare_cached("DELETE FROM odd_key WHERE folder = ?1 AND path = ?2")?;
            for (folder, path, key) in &keys {
                match key {
                    Some(key) => insert.execute(params![folder.0, path.as_str(), key])?,
                    None => delete.execute(params![folder.0, path.as_str()])?,
                };
            }
            Ok(())
        })
        .await
    }

    /// The key of a path, if it is not the guess. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn odd_key_blocking(&self, folder: FolderId, path: &RelPath) -> Result<Option<String>, StoreError> {
        self.read_blocking(|conn| get(conn, folder, path))
    }

    /// Whether there is such a key at a path or below it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn has_odd_keys_blocking(&self, folder: FolderId, path: &RelPath) -> Result<bool, StoreError> {
        self.read_blocking(|conn| {
            for span in row::at_or_below(path) {
                let mut select = conn
                    .prepare_cached("SELECT 1 FROM odd_key WHERE folder = ?1 AND path >= ?2 AND path < ?3 LIMIT 1")?;
                if select.exists(params![folder.0, span.low, span.high])? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }
}

/// The key of a path, if it is not the guess.
pub(crate) fn get(conn: &Connection, folder: FolderId, path: &RelPath) -> Step<Option<String>> {
    let mut select = conn.prepare_cached("SELECT key FROM odd_key WHERE folder = ?1 AND path = ?2")?;
    Ok(select.query_row(params![folder.0, path.as_str()], |r| r.get(0)).optional()?)
}
