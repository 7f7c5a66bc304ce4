//! One synced folder: its root, its rules and what is wrong with it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::daemon::live::lock;
use crate::local::{Root, RootId};
use crate::model::{Failure, FolderId, Mode, RelPath, RemotePath};
use crate::plan::ignore::{Rules, Why};

/// One synced folder.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Its number in the account's database.
    pub(crate) id: FolderId,
    /// As configured.
    pub(crate) local: PathBuf,
    /// As configured.
    pub(crate) remote: RemotePath,
    /// What it passes on.
    pub(crate) mode: Mode,
    /// The local tree.
    pub(crate) root: Root,
    /// The marker's id, as the database knows it.
    pub(crate) root_id: RootId,
    /// What is not synced.
    pub(crate) rules: Arc<Rules>,
    /// What is wrong, and what goes on.
    pub(crate) now: Mutex<FolderNow>,
}

/// A folder's state in memory.
#[derive(Debug, Default, Clone)]
pub(crate) struct FolderNow {
    /// The root is not the one that was synced.
    pub(crate) root_trouble: Option<Failure>,
    /// Deletions wait for a person.
    pub(crate) held: Option<String>,
    /// Not everything is watched.
    pub(crate) degraded: Option<String>,
    /// Scans under way or asked for.
    pub(crate) scans: u32,
    /// Whether a whole scan has ended since the start.
    pub(crate) scanned: bool,
}

impl Folder {
    /// A copy of what is known now.
    pub(crate) fn now(&self) -> FolderNow {
        lock(&self.now).clone()
    }

    /// Changes what is known now.
    pub(crate) fn set(&self, change: impl FnOnce(&mut FolderNow)) {
        change(&mut lock(&self.now));
    }

    /// Checks that the root is still the directory that was synced: same device and inode, and its marker unchanged.
    /// Nothing may be believed gone unless this was so in the same round.
    ///
    /// # Errors
    /// The reason, which is also shown in the status until the root is back.
    pub(crate) fn verify(&self) -> Result<(), Failure> {
        let outcome = self.root.still_there(Some(&self.root_id));
        self.set(|now| now.root_trouble = outcome.as_ref().err().cloned());
        outcome
    }

    /// Why a path is not synced; `None` if it is.
    pub(crate) fn ignored(&self, path: &RelPath, is_dir: bool) -> Option<Why> {
        self.rules.matched(path, is_dir, &|dir| self.root.ignore_text(dir))
    }

    /// The path's own place in Dropbox.
    pub(crate) fn home(&self, path: &RelPath) -> RemotePath {
        self.remote.join(path)
    }
}
