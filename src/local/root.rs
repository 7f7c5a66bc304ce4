//! A folder's root: the one handle through which everything below it is reached.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

use super::beneath::{Beneath, SEARCH};
use super::marker::RootId;
use super::trouble::{LocalError, failure, is_absence};
use crate::model::{Failure, Local, RelPath, Stat};

/// An open root. Clones share the handle, which holds the mount: unmounting needs the folder to be stopped first.
#[derive(Debug, Clone)]
pub struct Root(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    beneath: Beneath,
    dev: u64,
    ino: u64,
}

impl Root {
    /// Opens the directory `path`. Symlinks in `path` itself are the owner's choice: they are resolved now, once.
    ///
    /// # Errors
    /// It is missing, no directory, or may not be searched.
    pub fn open(path: &Path) -> Result<Self, LocalError> {
        Self::open_with(path, Beneath::new)
    }

    /// As on a kernel without `openat2`.
    #[cfg(test)]
    pub(super) fn open_walking(path: &Path) -> Result<Self, LocalError> {
        Self::open_with(path, Beneath::walking)
    }

    fn open_with(path: &Path, beneath: impl FnOnce(OwnedFd) -> Beneath) -> Result<Self, LocalError> {
        let path = path.canonicalize()?;
        let top = open_top(&path).map_err(io::Error::from)?;
        let stat = fstat(&top).map_err(io::Error::from)?;
        Ok(Self(Arc::new(Inner { path, beneath: beneath(top), dev: device(&stat), ino: stat.st_ino })))
    }

    /// Where the root was when it was opened: absolute, without symlinks.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The root's device number. Another one further down is another file system, mounted there.
    pub fn dev(&self) -> u64 {
        self.0.dev
    }

    /// Whether the path still leads to the directory that was opened, and whether its marker is still `expected` (if there is one to expect).
    ///
    /// # Errors
    /// `root_missing`, with what to do. Nothing that was observed since this last succeeded is evidence of a deletion.
    pub fn still_there(&self, expected: Option<&RootId>) -> Result<(), Failure> {
        let missing = |text: &str| Err(Failure::retry("root_missing", text));
        let Ok(stat) = open_top(&self.0.path).and_then(fstat) else {
            return missing(
                "the folder is not there: mount the disk that holds it, or give its new place with `relink-root`",
            );
        };
        if (device(&stat), stat.st_ino) != (self.0.dev, self.0.ino) {
            return missing(
                "another directory stands in the folder's place: mount the disk that holds the folder; if the new directory is meant, use `relink-root`",
            );
        }
        let Some(expected) = expected else { return Ok(()) };
        match self.marker()? {
            Some(found) if found == *expected => Ok(()),
            Some(_) => missing(
                "the folder's marker `.ferrybox/root-id` is another folder's: mount the right disk; if this directory is meant, use `relink-root`",
            ),
            None => missing(
                "the folder's marker `.ferrybox/root-id` is gone, so this may be an empty mount point: mount the disk; if the files are all there, use `relink-root`",
            ),
        }
    }

    /// Looks at `path` without opening or following it.
    pub fn observe(&self, path: &RelPath) -> Local {
        if path.is_root() {
            return match fstat(self.top()) {
                Ok(_) => Local::Dir,
                Err(error) => Local::Unknown(failure("looking at it", error)),
            };
        }
        match self.stat_beneath(path) {
            Ok(stat) => local(&stat),
            Err(error) if is_absence(error) && self.is_linked() => Local::Absent,
            Err(error) if is_absence(error) => Local::Unknown(Failure::retry(
                "root_missing",
                "the folder was removed: nothing can be said of what was in it",
            )),
            Err(error) => Local::Unknown(failure("looking at it", error)),
        }
    }

    /// Opens the regular file `path` for reading, together with what `fstat` says of it. FIFOs and devices are not opened.
    ///
    /// # Errors
    /// `type`, `permission`, `busy` (it vanished), `resources`, `io_error`.
    pub fn open_file(&self, path: &RelPath) -> Result<(File, Stat), Failure> {
        let doing = "opening it";
        let fail = |error| failure(doing, error);
        let dir = self.parent_of(path).map_err(fail)?;
        let name = path.name();
        // Opening alone can move a tape or wake a writer, so the kind is looked at before, and once more after: it may have been swapped.
        must_be_file(&statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?)?;
        let how = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = open_without_atime(&dir, name, how).map_err(fail)?;
        let stat = fstat(&file).map_err(fail)?;
        must_be_file(&stat)?;
        Ok((File::from(file), stat_from(&stat)))
    }

    /// The text of the directory's `.ferryboxignore`; `Ok(None)` if it has none.
    ///
    /// # Errors
    /// It is there and cannot be read, is no regular file, or is larger than 1 MiB.
    pub fn ignore_text(&self, dir: &RelPath) -> Result<Option<String>, Failure> {
        let file = dir.child(".ferryboxignore").map_err(|error| Failure::wedge("name", error.to_string()))?;
        match self.observe(&file) {
            Local::Absent | Local::Dir => Ok(None),
            Local::Unknown(failure) => Err(failure),
            Local::Other(kind) => {
                Err(Failure::wedge("type", format!("it is a {kind}: write the patterns into a regular file")))
            }
            Local::File(_) => {
                let read = super::read_small(self, &file, 1 << 20)?;
                Ok(Some(String::from_utf8_lossy(&read.bytes).into_owned()))
            }
        }
    }

    pub(super) fn top(&self) -> BorrowedFd<'_> {
        self.0.beneath.top()
    }

    pub(super) fn open_dir(&self, path: &RelPath, how: OFlags) -> rustix::io::Result<OwnedFd> {
        self.0.beneath.open_dir(path, how)
    }

    /// A removed directory answers "no such file" for every name: that is no evidence.
    pub(super) fn is_linked(&self) -> bool {
        fstat(self.top()).is_ok_and(|stat| stat.st_nlink > 0)
    }

    fn parent_of(&self, path: &RelPath) -> rustix::io::Result<OwnedFd> {
        self.open_dir(&path.parent().ok_or(Errno::ISDIR)?, SEARCH)
    }

    fn stat_beneath(&self, path: &RelPath) -> rustix::io::Result<rustix::fs::Stat> {
        match path.parent() {
            Some(parent) if !parent.is_root() => {
                statat(self.open_dir(&parent, SEARCH)?, path.name(), AtFlags::SYMLINK_NOFOLLOW)
            }
            _ => statat(self.top(), path.name(), AtFlags::SYMLINK_NOFOLLOW),
        }
    }
}

fn open_top(path: &Path) -> rustix::io::Result<OwnedFd> {
    openat(CWD, path, SEARCH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
}

/// Reading is no use by people: the access time stays, where the kernel allows that (it does to the file's owner).
#[cfg(target_os = "linux")]
fn open_without_atime(dir: impl AsFd, name: &str, how: OFlags) -> rustix::io::Result<OwnedFd> {
    match openat(&dir, name, how | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(&dir, name, how, Mode::empty()),
        other => other,
    }
}

#[cfg(not(target_os = "linux"))]
fn open_without_atime(dir: impl AsFd, name: &str, how: OFlags) -> rustix::io::Result<OwnedFd> {
    openat(dir, name, how, Mode::empty())
}

fn must_be_file(stat: &rustix::fs::Stat) -> Result<(), Failure> {
    match local(stat) {
        Local::File(_) => Ok(()),
        Local::Other(kind) => Err(Failure::wedge(
            "type",
            format!("it is a {kind}, and only files and directories are synced: remove or ignore it"),
        )),
        _ => Err(Failure::look("busy", "it is no file any more: it is looked at again")),
    }
}

pub(super) fn local(stat: &rustix::fs::Stat) -> Local {
    match kind_word(FileType::from_raw_mode(stat.st_mode)) {
        "file" => Local::File(stat_from(stat)),
        "directory" => Local::Dir,
        other => Local::Other(other),
    }
}

pub(super) fn kind_word(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "symlink",
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        _ => "file of an unknown kind",
    }
}

/// What `fstat` says of an open file.
///
/// # Errors
/// As `fstat`.
pub fn stat_of(file: &File) -> io::Result<Stat> {
    Ok(stat_from(&fstat(file)?))
}

pub(super) fn stat_from(stat: &rustix::fs::Stat) -> Stat {
    Stat {
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime_ns: nanoseconds(signed(stat.st_mtime), nanos(stat.st_mtime_nsec)),
        ctime_ns: nanoseconds(signed(stat.st_ctime), nanos(stat.st_ctime_nsec)),
        ino: stat.st_ino,
        dev: device(stat),
    }
}

fn nanoseconds(seconds: i64, nanos: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

// The fields differ in width and sign from system to system.
#[cfg(target_os = "linux")]
pub(super) fn device(stat: &rustix::fs::Stat) -> u64 {
    stat.st_dev
}

#[cfg(not(target_os = "linux"))]
pub(super) fn device(stat: &rustix::fs::Stat) -> u64 {
    u64::try_from(i64::from(stat.st_dev)).unwrap_or(u64::MAX)
}

/// Times before 1970 arrive as huge unsigned numbers where the field has no sign: the bits are the same.
fn signed<T: TryInto<i64> + TryInto<u64> + Copy>(value: T) -> i64 {
    value.try_into().unwrap_or_else(|_| {
        let bits: u64 = value.try_into().unwrap_or(0);
        bits.cast_signed()
    })
}

fn nanos<T: TryInto<i64>>(value: T) -> i64 {
    value.try_into().unwrap_or(0)
}
