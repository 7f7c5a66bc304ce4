//! What a comparison would bring down over files that both sides had agreed on, before it is let do so.

use rusqlite::Connection;

use super::error::{Step, StoreError};
use super::remote::ListingId;
use super::remote_compare::{Compared, Fate, Look, Naming, Position};
use super::{Store, base, base_dir, row};
use crate::model::{FolderId, RelPath, UnixMs};

/// One file of base that is another one in Dropbox, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    /// Whose.
    pub folder: FolderId,
    /// Which.
    pub path: RelPath,
    /// What became of it.
    pub fate: Fate,
    /// Dropbox's revision; empty if it is gone.
    pub rev: String,
}

impl Store {
    /// Tells `each` of all files of base that the comparison under way is yet to make rows for, in folders that bring things down. Reads in
    /// slices, and holds none of them. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn inbound_blocking(
        &self,
        id: ListingId,
        folders: &[Compared],
        naming: Naming,
        each: &mut dyn FnMut(Inbound),
    ) -> Result<(), StoreError> {
        self.read_blocking(|conn| inbound(conn, id, folders, naming, each))
    }

    /// How many files a folder has in base.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn files_in_sync(&self, folder: FolderId) -> Result<u64, StoreError> {
        self.read(move |conn| {
            let mut select = conn.prepare_cached("SELECT files FROM tally WHERE folder = ?1")?;
            Ok(select.query_row([folder.0], |r| row::count(r, 0))?)
        })
        .await
    }

    /// Nothing is agreed on any more at these paths, and they are looked at again: what is on either side is kept.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget_paths(&self, paths: Vec<(FolderId, RelPath)>, now: UnixMs) -> Result<(), StoreError> {
        self.write_rows(paths.len(), move |conn| {
            for (folder, path) in &paths {
                base::put(conn, *folder, path, None, now)?;
                base_dir::look(conn, *folder, path, 0, now)?;
            }
            Ok(())
        })
        .await
    }
}

fn inbound(
    conn: &Connection,
    id: ListingId,
    folders: &[Compared],
    naming: Naming,
    each: &mut dyn FnMut(Inbound),
) -> Step<()> {
    let down: Vec<Compared> = folders.iter().filter(|f| f.down).cloned().collect();
    if down.is_empty() {
        return Ok(());
    }
    let Some((look, before)) = Look::new(conn, id, &down, naming)? else { return Ok(()) };
    let mut position = before.as_deref().map(Position::read);
    let mut after = String::new();
    loop {
        let found = match position {
            Some(Position::Base { dir, name }) => {
                let (found, next) = look.base(dir, &name)?;
                position = next;
                found
            }
            // Only directories and what Dropbox alone has are left.
            Some(Position::Dirs { .. } | Position::Listed { .. }) => return Ok(()),
            at => {
                let Some((found, next, done)) = look.touched(at, &after)? else { return Ok(()) };
                position = next;
                if let Some(last) = done.into_iter().next_back() {
                    after = last;
                }
                found
            }
        };
        for found in found {
            if let Some((fate, rev)) = found.was {
                each(Inbound { folder: found.folder, path: found.path, fate, rev });
            }
        }
    }
}
