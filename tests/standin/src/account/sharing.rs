//! Shared folders, rights, locks, and what is in the way: how a test sets them up.

use super::Account;
use crate::state::sharing::{Lock, Mount, Obstacle, Rights};

impl Account {
    /// Something is mounted at a folder from now on: a listing without `include_mounted_folders` shows nothing below it. Other listings tell of it as
    /// deleted and made again, as they do when a folder is shared. False: there is no such folder.
    pub fn mount(&self, path: &str, mount: Mount) -> bool {
        let key = self.fold(path);
        self.change(|account| account.mount(&key, Some(mount)))
    }

    /// Nothing is mounted there any more.
    pub fn unmount(&self, path: &str) -> bool {
        let key = self.fold(path);
        self.change(|account| account.mount(&key, None))
    }

    /// A folder has these rights from now on; `None` takes them back. When only `read_only` changes, listings tell of the folder's entry alone
    /// (files.stone, `list_folder`: "Check the new entry's FolderSharingInfo.read_only and set all its children's read-only statuses to match").
    pub fn set_rights(&self, path: &str, rights: impl Into<Option<Rights>>) -> bool {
        let key = self.fold(path);
        let rights = rights.into();
        self.change(|account| account.set_rights(&key, rights))
    }

    /// A file is locked by somebody of this name, so that nobody else may write, move or delete it.
    pub fn lock(&self, path: &str, holder: &str) -> bool {
        let (key, created) = (self.fold(path), self.shared.now().unix);
        self.change(|account| account.set_lock(&key, Some(Lock { holder: Some(holder.to_owned()), created })))
    }

    /// A file is locked by the account itself.
    pub fn lock_own(&self, path: &str) -> bool {
        let (key, created) = (self.fold(path), self.shared.now().unix);
        self.change(|account| account.set_lock(&key, Some(Lock { holder: None, created })))
    }

    /// A file is not locked any more.
    pub fn unlock(&self, path: &str) -> bool {
        let key = self.fold(path);
        self.change(|account| account.set_lock(&key, None))
    }

    /// Something is in the way at a path that no listing shows, and hides what is there.
    pub fn obstruct(&self, path: &str, obstacle: Obstacle) {
        let key = self.fold(path);
        self.change(|account| account.sharing.obstacles.insert(key, obstacle));
    }

    /// Nothing unseen is in the way there any more.
    pub fn clear_way(&self, path: &str) {
        let key = self.fold(path);
        self.change(|account| account.sharing.obstacles.remove(&key));
    }
}
