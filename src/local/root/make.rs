//! Directories made, entries removed and moved: each step through a handle that no symlink leads out of, and nothing over anything else.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, accessat, fstatvfs, linkat, mkdirat, renameat, unlinkat};
use rustix::io::Errno;

use super::beneath::{SEARCH, enter};
use crate::local::Root;
use crate::local::error::{Refused, failure, is_absence, refuse, write_failure};
use crate::local::private_dir;
use crate::local::private_dir::{is_same, look, not_ours, sync_dir};
use crate::local::root::{Handle, device, local};
use crate::model::{Failure, Local, RelPath};

/// How often a directory is made again that somebody removes at the same time.
const MAX_TRIES: usize = 32;

/// What became of a directory that was to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Yes,
    /// It was gone already.
    Absent,
    /// Something is still in it: it stays.
    NotEmpty,
}

/// Room on the disk that holds a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that the daemon's user can still write.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

impl Root {
    /// Room on the disk.
    ///
    /// # Errors
    /// The root is gone, or the file system does not say.
    pub fn space(&self) -> Result<Space, Failure> {
        let doing = "asking for the disk's free space";
        let handle = self.handle().map_err(|error| failure(doing, error))?;
        let stat = fstatvfs(handle.top()).map_err(|error| failure(doing, error))?;
        let unit = if stat.f_frsize > 0 { stat.f_frsize } else { stat.f_bsize };
        Ok(Space { free: stat.f_bavail.saturating_mul(unit), total: stat.f_blocks.saturating_mul(unit) })
    }

    /// Makes the directory `path`, and those above it. `false`: it was there already.
    ///
    /// # Errors
    /// [`Refused::InTheWay`] if something else has one of the names.
    pub fn make_dir(&self, path: &RelPath) -> Result<bool, Refused> {
        not_ours(path)?;
        Ok(dirs(self, path)?.1)
    }

    /// Removes the directory `path` if nothing is in it.
    ///
    /// # Errors
    /// [`Refused::Changed`] if it is no directory.
    pub fn remove_dir(&self, path: &RelPath) -> Result<Removed, Refused> {
        let doing = "removing the directory";
        not_ours(path)?;
        let parent = match above(self, path) {
            Ok(parent) => parent,
            Err(error) if is_absence(error) => return Ok(Removed::Absent),
            Err(error) => return Err(refuse(doing)(error)),
        };
        match unlinkat(&parent, path.name(), AtFlags::REMOVEDIR) {
            Ok(()) => sync_dir(parent.as_fd()).map(|()| Removed::Yes).map_err(refuse(doing)),
            Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(Removed::Absent),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(Removed::NotEmpty),
            Err(Errno::NOTDIR) => Err(Refused::Changed),
            Err(error) => Err(refuse(doing)(error)),
        }
    }

    /// Moves `from`, which must still be as `expected` (a file, or a directory), to `to`, where nothing may be: not even an empty directory. A new
    /// spelling of the same name is a move too, on disks that do not tell the two apart. Says what stands there afterwards.
    ///
    /// # Errors
    /// [`Refused::Changed`] if `from` is another file now or something is at `to`, [`Refused::Dir`] if that is a directory.
    pub fn rename(&self, from: &RelPath, to: &RelPath, expected: &Local) -> Result<Local, Refused> {
        let doing = "moving it";
        not_ours(from)?;
        not_ours(to)?;
        if to != from && to.is_under(from) {
            return Err(
                Failure::look("changed", "a directory cannot be moved into itself: it is looked at again").into()
            );
        }
        let handle = self.handle().map_err(refuse(doing))?;
        let source = match above(self, from) {
            Ok(source) => source,
            Err(error) if is_absence(error) => return Err(Refused::Changed),
            Err(error) => return Err(refuse(doing)(error)),
        };
        let before = as_expected(source.as_fd(), from.name(), expected, doing)?;
        let target = parent(self, to)?;
        let (a, b) = (source.as_fd(), target.as_fd());
        private_dir::moment("checked");
        let moved = match private_dir::rename_new(&handle, a, from.name(), b, to.name()) {
            Err(Errno::NOTSUP) if look(b, to.name()).map_err(refuse(doing))?.is_some() => Err(Errno::EXIST),
            other => other,
        };
        match moved {
            Ok(()) => {}
            Err(Errno::NOTSUP) => Self::move_plainly(&handle, (a, from.name()), (b, to.name()), &before)?,
            Err(Errno::EXIST) => {
                let there = look(b, to.name()).map_err(refuse(doing))?;
                let other_spelling = there.as_ref().is_some_and(|there| same_inode(there, &before))
                    && from.parent() == to.parent()
                    && !self.lists(to)?;
                if !other_spelling {
                    return Err(occupied(b, to.name(), doing));
                }
                // Nothing stands in the way but the file itself, and it has one of the two names at every moment.
                renameat(a, from.name(), b, to.name()).map_err(refuse(doing))?;
            }
            Err(Errno::NOENT) => return Err(Refused::Changed),
            Err(error) => return Err(refuse(doing)(error)),
        }
        let now = look(b, to.name()).map_err(refuse(doing))?;
        if let Local::File(seen) = expected
            && !is_same(seen, now.as_ref())
        {
            // Somebody saved over it in the last moment: that file goes back to where it was saved.
            if now.is_some() {
                let _ = private_dir::move_out(&handle, b, to.name(), a, from.name());
            }
            return Err(Refused::Changed);
        }
        for dir in [b, a] {
            sync_dir(dir).map_err(refuse(doing))?;
        }
        now.as_ref().map(local).ok_or(Refused::Changed)
    }

    /// Without a rename that never replaces: a file gets the second name before it loses the first; a directory cannot replace more than an empty one.
    fn move_plainly(
        handle: &Handle,
        (a, from): (BorrowedFd<'_>, &str),
        (b, to): (BorrowedFd<'_>, &str),
        before: &rustix::fs::Stat,
    ) -> Result<(), Refused> {
        let doing = "moving it";
        if FileType::from_raw_mode(before.st_mode) == FileType::Directory {
            return renameat(a, from, b, to).map_err(refuse(doing));
        }
        // Through our own directory, so that what is removed is what was moved.
        let tmp = private_dir::own_place(handle, private_dir::TMP).map_err(refuse(doing))?;
        let name = private_dir::random_name("mv-")?;
        // It has its new name before it loses the old one: a crash in between leaves both. A name that cannot go must not be joined by another.
        accessat(a, ".", Access::WRITE_OK, AtFlags::EACCESS).map_err(refuse(doing))?;
        let made = linkat(a, from, b, to, AtFlags::empty());
        let is_it = |dir, name| look(dir, name).ok().flatten().is_some_and(|there| same_inode(&there, before));
        match made {
            Err(Errno::EXIST) => return Err(occupied(b, to, doing)),
            Err(error) if is_it(a, from) => return Err(refuse(doing)(error)),
            Err(_) => return Err(Refused::Changed),
            Ok(()) if is_it(b, to) => {}
            // Another file had the old name by then, and has it still.
            Ok(()) => {
                unlinkat(b, to, AtFlags::empty()).map_err(refuse(doing))?;
                return Err(Refused::Changed);
            }
        }
        private_dir::moment("linked");
        if let Err(error) = renameat(a, from, &tmp, name.as_str()) {
            let _ = unlinkat(b, to, AtFlags::empty());
            return Err(if error == Errno::NOENT { Refused::Changed } else { refuse(doing)(error) });
        }
        private_dir::moment("aside");
        if look(tmp.as_fd(), &name).map_err(refuse(doing))?.is_some_and(|there| same_inode(&there, before)) {
            return unlinkat(&tmp, name.as_str(), AtFlags::empty()).map_err(refuse(doing));
        }
        // Somebody saved over the old name meanwhile: that stays there, and what they saved over goes.
        private_dir::move_out(handle, tmp.as_fd(), &name, a, from).map_err(refuse(doing))?;
        unlinkat(b, to, AtFlags::empty()).map_err(refuse(doing))?;
        Err(Refused::Changed)
    }

    /// Whether the directory above `path` has an entry of exactly this name.
    fn lists(&self, path: &RelPath) -> Result<bool, Refused> {
        let dir = path.parent().unwrap_or_default();
        Ok(self.read_dir(&dir)?.entries.iter().any(|(name, _)| name == path.name()))
    }
}

fn same_inode(a: &rustix::fs::Stat, b: &rustix::fs::Stat) -> bool {
    let kind = |stat: &rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode);
    (device(a), a.st_ino, kind(a)) == (device(b), b.st_ino, kind(b))
}

/// The directory that holds `path`, opened.
pub(crate) fn above(root: &Root, path: &RelPath) -> rustix::io::Result<OwnedFd> {
    root.open_dir(&path.parent().ok_or(Errno::ISDIR)?, SEARCH)
}

/// The directory that is to hold `path`, made where it is not there yet.
pub(crate) fn parent(root: &Root, path: &RelPath) -> Result<OwnedFd, Refused> {
    Ok(dirs(root, &path.parent().unwrap_or_default())?.0)
}

/// Opens the directory `path`, made where it is not there yet; says whether the last one was made.
fn dirs(root: &Root, path: &RelPath) -> Result<(OwnedFd, bool), Refused> {
    let doing = "making the directory";
    match root.open_dir(path, SEARCH) {
        Ok(dir) => return Ok((dir, false)),
        Err(error) if is_absence(error) => {}
        Err(error) => return Err(refuse(doing)(error)),
    }
    let how = SEARCH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = RelPath::root();
    let mut dir = root.open_dir(&at, SEARCH).map_err(refuse(doing))?;
    let mut made = false;
    for name in path.components() {
        at = at.child(name).map_err(|error| Failure::wedge("name", error.to_string()))?;
        made = false;
        let mut tries = 0;
        dir = loop {
            tries += 1;
            match enter(dir.as_fd(), name, how) {
                Ok(next) => break next,
                Err(error) if tries > MAX_TRIES => return Err(refuse(doing)(error)),
                Err(Errno::NOTDIR) => return Err(Refused::InTheWay(at)),
                Err(Errno::NOENT) => {}
                Err(error) => return Err(refuse(doing)(error)),
            }
            match mkdirat(&dir, name, Mode::from_raw_mode(0o777)) {
                Ok(()) => {
                    made = true;
                    sync_dir(dir.as_fd()).map_err(refuse(doing))?;
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(refuse(doing)(error)),
            }
        };
    }
    Ok((dir, made))
}

/// What stands at `name`, if that is as `expected`.
pub(crate) fn as_expected(
    dir: BorrowedFd<'_>,
    name: &str,
    expected: &Local,
    doing: &str,
) -> Result<rustix::fs::Stat, Refused> {
    let now = look(dir, name).map_err(refuse(doing))?.ok_or(Refused::Changed)?;
    match (expected, local(&now)) {
        (Local::File(seen), Local::File(found)) if *seen == found => Ok(now),
        (Local::Dir, Local::Dir) => Ok(now),
        (Local::File(_), Local::Dir) => Err(Refused::Dir),
        _ => Err(Refused::Changed),
    }
}

/// Something has the name that was to be free.
pub(crate) fn occupied(dir: BorrowedFd<'_>, name: &str, doing: &str) -> Refused {
    match look(dir, name) {
        Ok(Some(there)) if local(&there) == Local::Dir => Refused::Dir,
        Ok(_) => Refused::Changed,
        Err(error) => Refused::Failed(write_failure(doing, error)),
    }
}
