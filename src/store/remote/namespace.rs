//! The namespace that paths are in. A member who joins or leaves a team, or gets another root, has another tree under the same paths.

use rusqlite::{Connection, params};

use crate::store::Store;
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;
use crate::store::remote;
use crate::store::remote::{ListingId, begin_anew};

impl Store {
    /// The tree that Dropbox shows is that of this namespace. If it was another one's before, every listing begins anew beside what is known,
    /// in the same step; `true` then. Until such a listing has been adopted, [`Store::lost_elsewhere`] counts what it lacks.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn set_namespace(&self, namespace: &str) -> Result<bool, StoreError> {
        let namespace = namespace.to_owned();
        self.write_rows(usize::MAX, move |conn| {
            let before: Option<String> =
                conn.prepare_cached("SELECT namespace FROM account")?.query_row([], |r| r.get(0))?;
            if before.as_ref() == Some(&namespace) {
                return Ok(false);
            }
            conn.prepare_cached("UPDATE account SET namespace = ?1")?.execute([namespace])?;
            if before.is_none() {
                return Ok(false);
            }
            let ids: Vec<i64> = conn
                .prepare_cached("SELECT id FROM remote_listing")?
                .query_map([], |r| r.get(0))?
                .collect::<Result<_, _>>()?;
            for id in ids.into_iter().map(ListingId) {
                begin_anew(conn, id)?;
                conn.prepare_cached("UPDATE remote_listing SET elsewhere = 1 WHERE id = ?1")?.execute([id.0])?;
            }
            Ok(true)
        })
        .await
    }

    /// Of a complete next tree that is another namespace's than the live one: how many entries of the live one it has not. `None`: it is the
    /// same namespace's, or there are not two trees. Reads both, so a million entries take their time.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn lost_elsewhere(&self, id: ListingId) -> Result<Option<u64>, StoreError> {
        self.read(move |conn| {
            let moved =
                conn.prepare_cached("SELECT 1 FROM remote_listing WHERE id = ?1 AND elsewhere = 1")?.exists([id.0])?;
            let listing = remote::get(conn, id)?;
            let (true, Some(live), Some(next)) = (moved, &listing.live, &listing.next) else { return Ok(None) };
            let mut lost = conn.prepare_cached(
                "SELECT count(*) FROM remote_dir d JOIN remote_entry e ON e.dir = d.id
                  WHERE d.tree = ?1 AND NOT EXISTS (SELECT 1 FROM remote_entry n
                        WHERE n.dir = (SELECT id FROM remote_dir WHERE tree = ?2 AND path = d.path) AND n.name = e.name)",
            )?;
            Ok(Some(lost.query_row(params![live.id.0, next.id.0], |r| row::count(r, 0))?))
        })
        .await
    }
}

/// The listing's tree is that of the namespace that calls are made in.
pub(crate) fn arrived(conn: &Connection, id: ListingId) -> Step<()> {
    conn.prepare_cached("UPDATE remote_listing SET elsewhere = 0 WHERE id = ?1")?.execute([id.0])?;
    Ok(())
}
