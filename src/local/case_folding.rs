//! Disks that take one name for another: letters of either case, composed and decomposed ones, `ß` for `ss`. Dropbox tells some of those apart.

use std::collections::HashMap;
use std::sync::PoisonError;

use rustix::fs::{AtFlags, Dir, OFlags, fstat, statat};

use super::Root;
use super::root::device;
use crate::local::private_dir::OWN;
use crate::model::RelPath;

impl Root {
    /// Whether the disk takes names in other letters for each other: our own directory answers to another spelling.
    pub fn folds(&self) -> bool {
        let Ok(handle) = self.handle() else { return false };
        let identity = |name: &str| {
            let stat = statat(handle.top(), name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
            Some((device(&stat), stat.st_ino))
        };
        identity(OWN).is_some_and(|own| identity(&OWN.to_uppercase()) == Some(own))
    }

    /// The name under which its directory lists what `path` leads to, where that is another one. `None`: `path` is listed under its own name, or
    /// nothing is there, or it cannot be told. Lists the directory, unless it is unchanged since that was done last.
    pub fn other_name(&self, path: &RelPath) -> Option<String> {
        let handle = self.handle().ok()?;
        let dir = self.open_dir(&path.parent()?, OFlags::RDONLY).ok()?;
        let wanted = statat(&dir, path.name(), AtFlags::SYMLINK_NOFOLLOW).ok()?.st_ino;
        let stat = fstat(&dir).ok()?;
        let stamp = (device(&stat), stat.st_ino, stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
        let mut known = handle.names.lock().unwrap_or_else(PoisonError::into_inner);
        // A name that is not there may have come in the same moment as the last change: only what is there is believed.
        if known.as_ref().is_some_and(|names| names.stamp == stamp && names.inos.contains_key(path.name())) {
            return None;
        }
        let mut inos = HashMap::new();
        let mut entries = Dir::new(dir).ok()?;
        while let Some(entry) = entries.read() {
            let entry = entry.ok()?;
            if let Ok(name) = entry.file_name().to_str() {
                inos.insert(name.to_owned(), entry.ino());
            }
        }
        let own = inos.contains_key(path.name());
        let other = inos.iter().find(|(_, ino)| **ino == wanted).map(|(name, _)| name.clone());
        *known = Some(Names { stamp, inos });
        other.filter(|_| !own)
    }
}

/// One directory's names with their inode numbers.
#[derive(Debug)]
pub(super) struct Names {
    stamp: (u64, u64, i64, u64, i64, u64),
    inos: HashMap<String, u64>,
}
