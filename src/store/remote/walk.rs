//! The order in which the folders of a tree are walked: a folder, then those in it, then the one beside it.

use rusqlite::{OptionalExtension, params};

use crate::store::Store;
use crate::store::db::error::StoreError;
use crate::store::remote::TreeId;

impl Store {
    /// The folder to be walked after the one whose key is `at`, below `root`; `None`: that was the last one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn next_folder(&self, tree: TreeId, root: String, at: String) -> Result<Option<String>, StoreError> {
        self.read(move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT name FROM remote_entry
                  WHERE dir = (SELECT id FROM remote_dir WHERE tree = ?1 AND path = ?2) AND name > ?3 AND folder = 1
                  ORDER BY name LIMIT 1",
            )?;
            let (mut dir, mut after) = (at.as_str(), "");
            loop {
                let found = select.query_row(params![tree.0, dir, after], |r| r.get::<_, String>(0)).optional()?;
                if let Some(name) = found {
                    return Ok(Some(format!("{dir}/{name}")));
                }
                if dir == root {
                    return Ok(None);
                }
                let Some(above) = dir.rsplit_once('/') else { return Ok(None) };
                (dir, after) = above;
            }
        })
        .await
    }
}
