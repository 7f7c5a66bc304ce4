//! Files of patterns that came down from Dropbox, until a person takes them for their own.

use rusqlite::params;

use crate::model::{FolderId, RelPath, UnixMs};
use crate::store::Store;
use crate::store::db::error::StoreError;
use crate::store::queue::problems;

impl Store {
    /// A file of patterns is about to come down.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn ignore_file_arrives(&self, folder: FolderId, path: &RelPath) -> Result<(), StoreError> {
        let path = path.clone();
        self.write(move |conn| {
            // A folder that left the configuration meanwhile wants nothing any more.
            conn.prepare_cached("INSERT OR IGNORE INTO ignore_file_arrival SELECT id, ?2 FROM folder WHERE id = ?1")?
                .execute(params![folder.0, path.as_str()])?;
            Ok(())
        })
        .await
    }

    /// Whether a file of patterns came down and nobody has saved it here since.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn ignore_file_arrived_blocking(&self, folder: FolderId, path: &RelPath) -> Result<bool, StoreError> {
        self.read_blocking(|conn| {
            let mut select =
                conn.prepare_cached("SELECT 1 FROM ignore_file_arrival WHERE folder = ?1 AND path = ?2")?;
            Ok(select.exists(params![folder.0, path.as_str()])?)
        })
    }

    /// A file of patterns was saved here, or is gone: it is a person's own from now on, and what it hides is no problem.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn own_ignore_file(&self, folder: FolderId, path: &RelPath, now: UnixMs) -> Result<(), StoreError> {
        // The usual case costs no commit.
        let look = path.clone();
        let known = self.read(move |conn| {
            let mut arrival =
                conn.prepare_cached("SELECT 1 FROM ignore_file_arrival WHERE folder = ?1 AND path = ?2")?;
            let mut odd = conn.prepare_cached("SELECT 1 FROM odd WHERE folder = ?1 AND dir = ?2")?;
            let of = params![folder.0, look.as_str()];
            Ok(arrival.exists(of)? || odd.exists(of)?)
        });
        if !known.await? {
            return Ok(());
        }
        let path = path.clone();
        self.write_and_wake(move |conn| {
            conn.prepare_cached("DELETE FROM ignore_file_arrival WHERE folder = ?1 AND path = ?2")?
                .execute(params![folder.0, path.as_str()])?;
            problems::replace_odd(conn, folder, &path, &[], now)
        })
        .await
    }
}
