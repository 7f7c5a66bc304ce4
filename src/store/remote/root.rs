//! The identity of a synced folder's remote root, and what the live tree shows at its path.

use rusqlite::{Connection, OptionalExtension, params};

use crate::model::FolderId;
use crate::store::Store;
use crate::store::db::error::{Step, StoreError};
use crate::store::folder::rows::drop_rows;
use crate::store::remote;
use crate::store::remote::ListingId;
use crate::store::remote::key;

/// What the live tree holds at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AtRoot {
    /// Nothing.
    Nothing,
    /// A file.
    File,
    /// A folder; its id is empty where it was never listed itself.
    Folder(String),
}

/// What is known of a remote root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootFacts {
    /// The id that was noted when both sides met.
    pub known: Option<String>,
    /// Whether both sides have agreed on anything in the folder.
    pub agreed: bool,
    /// What the live tree holds at its path.
    pub at: AtRoot,
}

impl Store {
    /// What is known of a folder's remote root, and what is at its path, `remote`, whose key the tree itself says.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn remote_root(
        &self,
        listing: ListingId,
        folder: FolderId,
        remote: String,
    ) -> Result<RootFacts, StoreError> {
        self.read(move |conn| {
            let known = conn
                .prepare_cached("SELECT remote_id FROM folder WHERE id = ?1")?
                .query_row([folder.0], |r| r.get(0))
                .optional()?
                .flatten();
            let agreed = conn
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM base WHERE dir IN (SELECT id FROM dir WHERE folder = ?1))
                         OR EXISTS (SELECT 1 FROM base_dir WHERE folder = ?1)",
                )?
                .query_row([folder.0], |r| r.get(0))?;
            Ok(RootFacts { known, agreed, at: at(conn, listing, &remote)? })
        })
        .await
    }

    /// Both sides have met: this is the remote root's id.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn set_remote_root(&self, folder: FolderId, id: &str) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.write(move |conn| {
            conn.prepare_cached("UPDATE folder SET remote_id = ?2 WHERE id = ?1")?.execute(params![folder.0, id])?;
            Ok(())
        })
        .await
    }

    /// Notes that the folder's remote root is gone or another one, or that it is there: what a run knows of that outlives it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn set_remote_lost(&self, folder: FolderId, lost: bool) -> Result<(), StoreError> {
        self.write(move |conn| {
            conn.prepare_cached("UPDATE folder SET remote_lost = ?2 WHERE id = ?1")?
                .execute(params![folder.0, lost])?;
            Ok(())
        })
        .await
    }

    /// Folders whose remote root was gone, or another one, when it was last looked at.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn lost_remote_roots(&self) -> Result<Vec<FolderId>, StoreError> {
        self.read(|conn| {
            let mut select = conn.prepare_cached("SELECT id FROM folder WHERE remote_lost = 1")?;
            let rows = select.query_map([], |r| Ok(FolderId(r.get(0)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// A person has decided that the two sides meet again, with the remote folder of this id, or with one that is yet to be made. What was agreed
    /// on is forgotten, nothing is touched; with `gone` the listing is forgotten, too, since its folder is not there.
    ///
    /// # Errors
    /// When the database cannot be written; then all of it is as it was.
    pub async fn meet_again(
        &self,
        folder: FolderId,
        id: Option<String>,
        gone: Option<ListingId>,
    ) -> Result<(), StoreError> {
        let _asking = self.inner.comparisons.ask();
        self.write_rows(usize::MAX, move |conn| {
            drop_rows(conn, folder)?;
            conn.execute("UPDATE folder SET remote_id = ?2, remote_lost = 0 WHERE id = ?1", params![folder.0, id])?;
            if let Some(listing) = gone {
                conn.execute("UPDATE remote_tree SET listing = NULL WHERE listing = ?1", [listing.0])?;
                conn.execute("DELETE FROM remote_touched WHERE listing = ?1", [listing.0])?;
                conn.execute(
                    "UPDATE remote_listing SET live = NULL, next = NULL, held = NULL, compare_at = NULL WHERE id = ?1",
                    [listing.0],
                )?;
            }
            Ok(())
        })
        .await
    }

    /// Folders whose remote root was seen once.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn known_remote_roots(&self) -> Result<Vec<FolderId>, StoreError> {
        self.read(|conn| {
            let mut select = conn.prepare_cached("SELECT id FROM folder WHERE remote_id IS NOT NULL")?;
            let rows = select.query_map([], |r| Ok(FolderId(r.get(0)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn at(conn: &Connection, listing: ListingId, remote: &str) -> Step<AtRoot> {
    let Some(live) = remote::get(conn, listing)?.live else { return Ok(AtRoot::Nothing) };
    let key = key::key(conn, live.id, remote)?;
    let Some((parent, name)) = key.rsplit_once('/') else { return Ok(AtRoot::Nothing) };
    let mut select = conn.prepare_cached(
        "SELECT folder, id FROM remote_entry
          WHERE dir = (SELECT id FROM remote_dir WHERE tree = ?1 AND path = ?2) AND name = ?3",
    )?;
    let found = select
        .query_row(params![live.id.0, parent, name], |r| {
            let folder: bool = r.get(0)?;
            Ok(if folder { AtRoot::Folder(r.get(1)?) } else { AtRoot::File })
        })
        .optional()?;
    Ok(found.unwrap_or(AtRoot::Nothing))
}
