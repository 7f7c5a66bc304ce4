//! What stays in a folder of Dropbox when everything that is synced has gone from it, and what may be done at a path there.

use super::{RemoteCache, WALK};
use crate::engine::account::Account;
use crate::engine::folder::Folder;
use crate::model::key::key_of;
use crate::model::listing::{Listed, Marks};
use crate::model::{Failure, FolderId, RelPath, RemotePath};
use crate::plan::name::ignore::Source;
use crate::store::{Store, StoreError, WalkAt};

/// Names shown of what stays.
const SHOWN: usize = 3;

impl RemoteCache {
    /// Why the folder `place` cannot go from Dropbox although nothing of it is synced any more: everything that is left in it never comes down
    /// (documents that live in Dropbox only, what is excluded or ignored). `None`: something else is in it too, or nothing. Blocks.
    pub(crate) fn stays_blocking(
        &self,
        account: &Account,
        folder: &Folder,
        place: &RemotePath,
    ) -> Result<Option<Failure>, StoreError> {
        let Some(lane) = self.lane_of(folder.id) else { return Ok(None) };
        let above = folder.remote.as_str().split('/').filter(|name| !name.is_empty()).count();
        let root = account.store.remote_key_blocking(lane.id, place.as_str())?;
        let mut at = WalkAt { root, recursive: true, after: String::new() };
        let mut names = Vec::new();
        let mut cloud_only = false;
        loop {
            let page = account.store.remote_entries_blocking(lane.id, &at, WALK)?;
            for entry in page.iter().filter(|entry| entry.kind == "file") {
                if !entry.is_downloadable || entry.symlink {
                    cloud_only = true;
                } else if !is_unsynced(folder, entry, above) {
                    return Ok(None);
                }
                if names.len() < SHOWN {
                    names.push(format!("`{}`", entry.path.rsplit('/').next().unwrap_or_default()));
                }
            }
            match page.last() {
                Some(last) if page.len() == WALK => last.path_lower.clone_into(&mut at.after),
                _ => break,
            }
        }
        if names.is_empty() {
            return Ok(None);
        }
        let (code, what) = match cloud_only {
            true => ("cloud_only", "it holds what exists in Dropbox only and cannot be downloaded"),
            false => ("dir_kept", "it holds what is not synced (`ignore` or `exclude`)"),
        };
        Ok(Some(Failure::wedge(
            code,
            format!(
                "it was deleted here, and its folder is kept in Dropbox because {what} ({}): delete the folder in Dropbox if that is to go, or make the \
                 directory again",
                names.join(", ")
            ),
        )))
    }

    /// The key of a place: that of the entry that the listing shows there, or the likely one. Blocks.
    pub(crate) fn key_blocking(
        &self,
        store: &Store,
        folder: FolderId,
        place: &RemotePath,
    ) -> Result<String, StoreError> {
        let Some(lane) = self.lane_of(folder) else { return Ok(key_of(place.as_str())) };
        store.remote_key_blocking(lane.id, place.as_str())
    }

    /// Whether Dropbox shows a path in exactly these letters. Blocks.
    pub(crate) fn shows_blocking(
        &self,
        account: &Account,
        folder: FolderId,
        place: &RemotePath,
    ) -> Result<bool, StoreError> {
        let Some(lane) = self.lane_of(folder) else { return Ok(false) };
        let shown = account
            .store
            .remote_shown_blocking(lane.id, account.store.remote_key_blocking(lane.id, place.as_str())?)?;
        Ok(shown.is_some_and(|shown| shown == place.as_str()))
    }

    /// The marks of what is at a path; if nothing is there, whether the folder that it would lie in may be written. Blocks.
    pub(crate) fn marks_blocking(
        &self,
        account: &Account,
        folder: FolderId,
        place: &RemotePath,
    ) -> Result<Marks, StoreError> {
        let Some(lane) = self.lane_of(folder) else { return Ok(Marks::default()) };
        account.store.remote_marks_blocking(lane.id, account.store.remote_key_blocking(lane.id, place.as_str())?)
    }
}

/// Whether an entry lies at a path of the folder that is not synced. `above`: components of the folder's own remote path.
fn is_unsynced(folder: &Folder, entry: &Listed, above: usize) -> bool {
    let names: Vec<&str> = entry.path.split('/').filter(|name| !name.is_empty()).skip(above).collect();
    let Ok(path) = RelPath::parse(&names.join("/")) else { return true };
    folder.ignored(&path, false).is_some_and(|why| !matches!(why.source, Source::Unreadable(..)))
}
