//! The folders of the account, and what goes when one of them goes.

pub(super) mod approvals;
pub(super) mod consent;
pub(super) mod ignore_files;
pub(super) mod overlooked;
pub(super) mod rows;
pub(super) mod state;
pub(super) mod unsynced;

use rusqlite::{Connection, OptionalExtension, params};

use super::Store;
use crate::model::{FolderId, Mode};
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;
use crate::store::folder::rows::drop_rows;
use crate::store::remote::compare::compare_again;

/// A folder as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Its number.
    pub id: FolderId,
    /// The root's identity on the disk, once [`Store::set_root_id`] has told it.
    pub root_id: Option<String>,
    /// Whether both sides have yet to meet: true from its creation (or a changed remote path) until [`Store::set_root_id`], across restarts.
    pub fresh: bool,
}

impl Store {
    /// Finds the folder of a local directory, or creates it. A changed remote path is a new meeting, and so is a mode that passes deletions which
    /// the last one did not: what was known of the old pair is dropped in the same step, and nothing on disk or in Dropbox is touched.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn folder(&self, local: &str, remote: &str, mode: Mode) -> Result<Folder, StoreError> {
        let (local, remote) = (local.to_owned(), remote.to_owned());
        let _asking = self.inner.comparisons.ask();
        self.write_rows(usize::MAX, move |conn| find_or_create(conn, &local, &remote, mode)).await
    }

    /// The folder of a local directory and a remote path, if there is one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn known_folder(&self, local: &str, remote: &str) -> Result<Option<Folder>, StoreError> {
        let (local, remote) = (local.to_owned(), remote.to_owned());
        self.read(move |conn| {
            let mut select = conn.prepare_cached("SELECT id, root_id FROM folder WHERE local = ?1 AND remote = ?2")?;
            let found = select.query_row([local, remote], |row| {
                let root_id: Option<String> = row.get(1)?;
                let fresh = root_id.is_none();
                Ok(Folder { id: FolderId(row.get(0)?), root_id, fresh })
            });
            Ok(found.optional()?)
        })
        .await
    }

    /// Both sides have met, on this root, which stands at this place.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn set_root_id(&self, folder: FolderId, root_id: &str, place: &str) -> Result<(), StoreError> {
        let (root_id, place) = (root_id.to_owned(), place.to_owned());
        self.write(move |conn| {
            conn.prepare_cached("UPDATE folder SET root_id = ?2, place = ?3 WHERE id = ?1")?
                .execute(params![folder.0, root_id, place])?;
            Ok(())
        })
        .await
    }

    /// Forgets what both sides agreed on, and all work: they meet anew, and nothing on disk or in Dropbox is touched.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget(&self, folder: FolderId) -> Result<(), StoreError> {
        let _asking = self.inner.comparisons.ask();
        self.write_rows(usize::MAX, move |conn| {
            conn.execute("UPDATE folder SET emptied = 0 WHERE id = ?1", [folder.0])?;
            drop_rows(conn, folder)
        })
        .await
    }

    /// The same disk has another device number after it was mounted anew: what is known of its files stays true.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn device_renamed(&self, folder: FolderId, from: u64, to: u64) -> Result<(), StoreError> {
        self.write_rows(usize::MAX, move |conn| {
            let numbers = params![folder.0, from.cast_signed(), to.cast_signed()];
            conn.execute(
                "UPDATE base SET dev = ?3 WHERE dev = ?2 AND dir IN (SELECT id FROM dir WHERE folder = ?1)",
                numbers,
            )?;
            conn.execute("UPDATE base_dir SET dev = ?3 WHERE dev = ?2 AND folder = ?1", numbers)?;
            conn.execute("UPDATE change SET dev = ?3 WHERE dev = ?2 AND folder = ?1", numbers)?;
            conn.execute("UPDATE folder SET dev = ?3 WHERE dev = ?2 AND id = ?1", numbers)?;
            Ok(())
        })
        .await
    }

    /// Drops what is known of all other folders: they left the configuration. Nothing on disk or in Dropbox is touched.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget_folders_except(&self, keep: &[FolderId]) -> Result<(), StoreError> {
        let keep = keep.to_vec();
        let _asking = self.inner.comparisons.ask();
        self.write_rows(usize::MAX, move |conn| {
            for folder in row::folders_without(conn, &keep)? {
                drop_rows(conn, folder)?;
                conn.execute("DELETE FROM odd WHERE folder = ?1", [folder.0])?;
                conn.execute("DELETE FROM folder WHERE id = ?1", [folder.0])?;
            }
            Ok(())
        })
        .await
    }
}

fn find_or_create(conn: &Connection, local: &str, remote: &str, mode: Mode) -> Step<Folder> {
    let known = conn
        .prepare_cached("SELECT id, remote, root_id, mode FROM folder WHERE local = ?1")?
        .query_row([local], |row| {
            let folder = Folder { id: FolderId(row.get(0)?), root_id: row.get(2)?, fresh: false };
            Ok((folder, row.get::<_, String>(1)?, row::mode(row, 3)?))
        })
        .optional()?;
    let Some((mut folder, old_remote, old_mode)) = known else {
        conn.execute(
            "INSERT INTO folder (local, remote, mode) VALUES (?1, ?2, ?3)",
            [local, remote, &mode.to_string()],
        )?;
        let id = FolderId(conn.last_insert_rowid());
        compare_again(conn)?;
        return Ok(Folder { id, root_id: None, fresh: true });
    };
    if old_remote != remote {
        drop_rows(conn, folder.id)?;
        conn.execute(
            "UPDATE folder SET remote = ?2, root_id = NULL, remote_id = NULL, remote_lost = 0 WHERE id = ?1",
            params![folder.id.0, remote],
        )?;
        folder.root_id = None;
    }
    if old_mode != mode {
        // What only Dropbox has may concern it now.
        compare_again(conn)?;
        if acts_on_more(old_mode, mode) {
            drop_rows(conn, folder.id)?;
        }
        conn.execute("UPDATE folder SET mode = ?2 WHERE id = ?1", params![folder.id.0, mode.to_string()])?;
    }
    folder.fresh = folder.root_id.is_none();
    Ok(folder)
}

/// Whether the new mode passes deletions in a direction in which the old one let them be. What went missing there meanwhile was nobody's business
/// then, so it is no deletion now: both sides meet anew.
fn acts_on_more(old: Mode, new: Mode) -> bool {
    let up = |mode| matches!(mode, Mode::TwoWay | Mode::Mirror);
    let down = |mode| matches!(mode, Mode::TwoWay | Mode::Download);
    up(new) && !up(old) || down(new) && !down(old)
}
