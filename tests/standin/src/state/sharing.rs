//! Shared folders, rights, file locks, and what is in the way unseen (files.stone, `SharingInfo`, `FileLockMetadata`, `LookupError`, `WriteError`).

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::account::{Account, Lookup};
use super::commit::WriteResult;
use super::cursor::Cursor;
use super::tree::Kind;
use crate::path;
use crate::settings::Settings;
use crate::wire;

/// What is mounted at a folder: files.stone, `ListFolderArg.include_mounted_folders`, "app folder, shared folder and team folder".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mount {
    /// A shared folder; deleting it leaves it.
    Shared,
    /// A team folder, which no call may move or delete.
    Team,
    /// The folder of an app.
    App,
}

/// What the account may do in a folder and below it, until a folder further down says otherwise (files.stone, `FolderSharingInfo`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rights {
    /// Nothing may be written.
    pub read_only: bool,
    /// Of what is directly in it, only the folders that have rights of their own are seen.
    pub traverse_only: bool,
    /// Nothing in it is seen, whatever is further down.
    pub no_access: bool,
}

impl Rights {
    fn hides(self) -> bool {
        self.traverse_only || self.no_access
    }
}

/// Something that no listing shows and that is in the way of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// A file: `conflict/file` at its path, `conflict/file_ancestor` below it.
    File,
    /// A folder: `conflict/folder` at its path, `no_write_permission` below it.
    Folder,
    /// The Vault: `locked` for a look, `operation_suppressed` for a write.
    Vault,
    /// The backup of a computer: not there for a look, `operation_suppressed` for a write.
    Backup,
    /// What an admin has restricted: `restricted_content` for a look, `access_restricted` for a write.
    Restricted,
}

impl Obstacle {
    fn seen(self) -> &'static str {
        match self {
            Self::File | Self::Folder | Self::Backup => "not_found",
            Self::Vault => "locked",
            Self::Restricted => "restricted_content",
        }
    }

    fn written(self, below: bool) -> &'static str {
        match (self, below) {
            (Self::File, false) => "conflict/file",
            (Self::File, true) => "conflict/file_ancestor",
            (Self::Folder, false) => "conflict/folder",
            (Self::Folder, true) => "no_write_permission",
            (Self::Vault | Self::Backup, _) => "operation_suppressed",
            (Self::Restricted, _) => "access_restricted",
        }
    }
}

/// A lock on a file.
#[derive(Clone, Debug)]
pub(crate) struct Lock {
    /// The display name of who holds it; `None` is the account itself.
    pub(crate) holder: Option<String>,
    pub(crate) created: i64,
}

/// All of it, for one account. What is said of a folder or file goes by its id, so that it moves with it.
#[derive(Default)]
pub(crate) struct Sharing {
    pub(crate) mounts: HashMap<u64, Mount>,
    pub(crate) rights: HashMap<u64, Rights>,
    pub(crate) locks: HashMap<u64, Lock>,
    /// By key.
    pub(crate) obstacles: BTreeMap<String, Obstacle>,
    /// Somebody else acts, whom none of this binds.
    pub(crate) another: bool,
}

/// How much of what is in a folder is seen.
#[derive(Clone, Copy)]
enum Below {
    Open,
    Traverse,
    Shut,
}

impl Account {
    fn id_at(&self, key: &str) -> Option<u64> {
        match &self.tree.live(key)?.kind {
            Kind::Folder { id } => Some(*id),
            Kind::File(file) => Some(file.id),
            Kind::Deleted { .. } => None,
        }
    }

    fn mount_at(&self, key: &str) -> Option<(u64, Mount)> {
        let id = self.id_at(key)?;
        self.sharing.mounts.get(&id).map(|mount| (id, *mount))
    }

    /// The rights that a folder itself was given.
    fn own_rights(&self, key: &str) -> Option<Rights> {
        self.sharing.rights.get(&self.id_at(key)?).copied()
    }

    /// What the account may do at a key: what the nearest folder says that says something.
    pub(crate) fn rights(&self, settings: &Settings, key: &str) -> Rights {
        let mut rights = Rights::default();
        if !self.sharing.rights.is_empty() && !self.sharing.another {
            let nearest_last = path::ancestors(key).chain([key]).filter_map(|part| self.own_rights(part));
            rights = nearest_last.last().unwrap_or_default();
        }
        rights.read_only |= path::read_only(settings, key);
        rights
    }

    fn may_not(&self, settings: &Settings, key: &str) -> bool {
        let rights = self.rights(settings, key);
        rights.read_only || rights.hides()
    }

    /// The obstacle at or above a key, and whether it is above.
    fn obstacle(&self, key: &str) -> Option<(Obstacle, bool)> {
        if self.sharing.obstacles.is_empty() || self.sharing.another {
            return None;
        }
        path::ancestors(key)
            .map(|part| (part, true))
            .chain([(key, false)])
            .find_map(|(part, below)| Some((*self.sharing.obstacles.get(part)?, below)))
    }

    /// Whether a path may be looked at: the tag of a `LookupError` otherwise.
    pub(crate) fn may_see(&self, key: &str) -> Lookup<()> {
        if let Some((obstacle, _)) = self.obstacle(key) {
            return Err(obstacle.seen());
        }
        if self.is_seen(key) { Ok(()) } else { Err("not_found") }
    }

    /// Whether rights let the account see that there is something at a key.
    fn is_seen(&self, key: &str) -> bool {
        if self.sharing.rights.is_empty() || self.sharing.another {
            return true;
        }
        let mut below = Below::Open;
        for part in path::ancestors(key).chain([key]) {
            let own = self.own_rights(part);
            match (below, own) {
                (Below::Shut, _) | (Below::Traverse, None) => return false,
                (Below::Open, None) => below = Below::Open,
                (_, Some(own)) if own.no_access => below = Below::Shut,
                (_, Some(own)) if own.traverse_only => below = Below::Traverse,
                (_, Some(_)) => below = Below::Open,
            }
        }
        true
    }

    /// Whether a listing shows what is at a key.
    pub(crate) fn is_listed(&self, cursor: &Cursor, key: &str) -> bool {
        if self.may_see(key).is_err() || (cursor.recursive && self.is_omitted(cursor, key)) {
            return false;
        }
        if !cursor.mounted && !self.sharing.mounts.is_empty() {
            // "entries under mounted folders": the mount has its entry, and what is listed is taken as it is asked for [guess].
            let mut between = path::ancestors(key).filter(|part| path::is_below(part, &cursor.folder));
            if between.any(|part| self.mount_at(part).is_some()) {
                return false;
            }
        }
        cursor.undownloadable || !self.is_undownloadable(key)
    }

    /// Whether a recursive listing has no entry for a folder, though it shows what is in it.
    fn is_omitted(&self, cursor: &Cursor, key: &str) -> bool {
        let parent = || self.tree.is_folder(key) && self.tree.has_children(key);
        self.omitted.contains(key) || (cursor.orphans && parent())
    }

    fn is_undownloadable(&self, key: &str) -> bool {
        let live = self.tree.live(key).is_some_and(|node| node.file().is_some());
        live && self.extras.get(key).and_then(|extra| extra.get("is_downloadable")) == Some(&Value::Bool(false))
    }

    /// Whether something may be written at a key, as far as rights and obstacles go.
    pub(crate) fn may_write_at(&self, settings: &Settings, key: &str) -> WriteResult<()> {
        if let Some((obstacle, below)) = self.obstacle(key) {
            return Err(obstacle.written(below));
        }
        let top = path::ancestors(key).next().and_then(|top| self.tree.born.get(top));
        let settles = top.is_some_and(|born| !self.sharing.another && born.elapsed() < settings.top_folders_settle);
        if settles || self.may_not(settings, key) || !self.is_seen(key) { Err("no_write_permission") } else { Ok(()) }
    }

    /// Whether a new content may take a file's place.
    pub(crate) fn may_replace(&self, key: &str) -> WriteResult<()> {
        // "A locked file is writable only by the lock holder" (Dropbox's reference); the tag is a guess.
        if self.is_locked(key) { Err("no_write_permission") } else { Ok(()) }
    }

    fn is_locked(&self, key: &str) -> bool {
        let lock = self.id_at(key).filter(|_| !self.sharing.another).and_then(|id| self.sharing.locks.get(&id));
        lock.is_some_and(|lock| lock.holder.is_some())
    }

    /// Whether what is at a key may be moved away or deleted.
    pub(crate) fn may_remove(&self, settings: &Settings, key: &str) -> WriteResult<()> {
        match self.mount_at(key) {
            Some((_, Mount::Team)) => return Err("team_folder"),
            // It is left, not deleted: that is a right of whoever is a member.
            Some((_, Mount::Shared)) => return Ok(()),
            _ => {}
        }
        if self.may_not(settings, key) || self.is_locked(key) { Err("no_write_permission") } else { Ok(()) }
    }

    /// Whether a folder may be moved or copied to another place, as far as sharing goes: the tag of a `RelocationError` otherwise.
    pub(crate) fn may_relocate(&self, copy: bool, from: &str, to: &str) -> Result<(), &'static str> {
        if !matches!(self.mount_at(from), Some((_, Mount::Shared | Mount::Team))) {
            return Ok(());
        }
        if copy {
            return Err("cant_copy_shared_folder");
        }
        let inside = path::ancestors(to).any(|part| self.mount_at(part).is_some());
        if inside { Err("cant_nest_shared_folder") } else { Ok(()) }
    }

    /// `sharing_info` of a folder or file, where it has one.
    pub(crate) fn sharing_info(&self, settings: &Settings, key: &str, folder: bool) -> Option<Value> {
        let rights = self.rights(settings, key);
        let own = self.mount_at(key).filter(|(_, mount)| *mount != Mount::App);
        let parent =
            path::ancestors(key).filter_map(|part| self.mount_at(part)).filter(|(_, m)| *m != Mount::App).last();
        if own.is_none() && parent.is_none() && rights == Rights::default() {
            return None;
        }
        let mut info = Map::new();
        info.insert("read_only".to_owned(), json!(rights.read_only));
        // What has rights lies in something that is shared, whether a test said so or not.
        match parent {
            Some((id, _)) => drop(info.insert("parent_shared_folder_id".to_owned(), json!(shared_id(id)))),
            None if !folder => drop(info.insert("parent_shared_folder_id".to_owned(), json!("84528192421"))),
            None => {}
        }
        if let Some((id, _)) = own {
            info.insert("shared_folder_id".to_owned(), json!(shared_id(id)));
        }
        if folder {
            let itself = self.own_rights(key).unwrap_or_default();
            info.insert("traverse_only".to_owned(), json!(itself.traverse_only));
            info.insert("no_access".to_owned(), json!(itself.no_access));
        }
        Some(Value::Object(info))
    }

    /// `file_lock_info` of a file.
    pub(crate) fn lock_info(&self, id: u64) -> Option<Value> {
        let lock = self.sharing.locks.get(&id)?;
        let holder = lock.holder.as_deref().unwrap_or(&self.spec.name);
        let created = wire::timestamp(lock.created);
        Some(json!({ "is_lockholder": lock.holder.is_none(), "lockholder_name": holder, "created": created }))
    }

    /// Mounts something at a folder, or unmounts it; listings tell of the folder as deleted, then of all that is in it as new.
    pub(crate) fn mount(&mut self, key: &str, mount: Option<Mount>) -> bool {
        let Some(id) = self.id_at(key).filter(|_| self.tree.is_folder(key)) else { return false };
        match mount {
            Some(mount) => drop(self.sharing.mounts.insert(id, mount)),
            None => drop(self.sharing.mounts.remove(&id)),
        }
        self.tree.leave(key);
        self.tree.come_back(key);
        true
    }

    /// Gives a folder rights of its own, or takes them back. Listings tell of the folder; of what is in it only when more or less of it is seen.
    pub(crate) fn set_rights(&mut self, key: &str, rights: Option<Rights>) -> bool {
        let Some(id) = self.id_at(key).filter(|_| self.tree.is_folder(key)) else { return false };
        let old = match rights {
            Some(rights) => self.sharing.rights.insert(id, rights),
            None => self.sharing.rights.remove(&id),
        };
        if old.unwrap_or_default().hides() || rights.unwrap_or_default().hides() {
            self.tree.leave(key);
            self.tree.come_back(key);
        } else {
            self.tree.touch(key);
        }
        true
    }

    /// Locks a file, or unlocks it.
    pub(crate) fn set_lock(&mut self, key: &str, lock: Option<Lock>) -> bool {
        let Some(id) = self.id_at(key).filter(|_| !self.tree.is_folder(key)) else { return false };
        match lock {
            Some(lock) => drop(self.sharing.locks.insert(id, lock)),
            None => drop(self.sharing.locks.remove(&id)),
        }
        self.tree.touch(key);
        true
    }
}

fn shared_id(id: u64) -> String {
    (84_528_000_000 + id).to_string()
}
