//! A folder's root: the one handle through which everything below it is reached.

pub(super) mod beneath;
pub(super) mod make;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

use crate::local::case_folding::Names;
use crate::local::error::{LocalError, failure, is_absence};
use crate::local::private_dir::marker::RootId;
use crate::local::root::beneath::{Beneath, SEARCH};
use crate::model::{Failure, Local, RelPath, Stat};

/// A folder's place on the disk, and the open directory that stands there. Clones share both.
///
/// The handle holds the mount: a plain `umount` is refused while it is open. What was unmounted all the same (lazily, or by force) can still be
/// read through it, so nothing that is missing is believed missing before [`still_there`](Root::still_there) has said that the path leads to this
/// very directory. Who observes and then checks must do both on one [`pin`](Root::pin): the handle may be renewed in between.
#[derive(Debug, Clone)]
pub struct Root(Arc<Place>);

#[derive(Debug)]
struct Place {
    /// As the owner writes it; symlinks are the owner's choice.
    given: PathBuf,
    /// Absolute, without symlinks: where the folder stood when it was met.
    path: PathBuf,
    open: RwLock<Option<Arc<Handle>>>,
}

/// An open directory.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) beneath: Beneath,
    dev: u64,
    ino: u64,
    /// As on a file system that cannot exchange two entries, nor rename without replacing.
    pub(super) plain_renames: bool,
    /// The names of the directory that was listed last to find out what a name leads to.
    pub(super) names: Mutex<Option<Names>>,
}

impl Handle {
    fn open(path: &Path, beneath: impl FnOnce(OwnedFd) -> Beneath) -> rustix::io::Result<Self> {
        let top = open_top(path)?;
        let stat = fstat(&top)?;
        Ok(Self {
            beneath: beneath(top),
            dev: device(&stat),
            ino: stat.st_ino,
            plain_renames: false,
            names: Mutex::default(),
        })
    }

    pub(super) fn top(&self) -> BorrowedFd<'_> {
        self.beneath.top()
    }

    /// A removed directory answers "no such file" for every name: that is no evidence.
    fn is_linked(&self) -> bool {
        fstat(self.top()).is_ok_and(|stat| stat.st_nlink > 0)
    }
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

    /// As on a file system that knows plain renames only.
    #[cfg(test)]
    pub(super) fn open_plain(path: &Path) -> Result<Self, LocalError> {
        let path = path.canonicalize()?;
        let handle = Handle::open(&path, Beneath::new).map_err(io::Error::from)?;
        Ok(Self::new(&path, path.clone(), Some(Arc::new(Handle { plain_renames: true, ..handle }))))
    }

    fn open_with(given: &Path, beneath: impl FnOnce(OwnedFd) -> Beneath) -> Result<Self, LocalError> {
        let path = given.canonicalize()?;
        let handle = Handle::open(&path, beneath).map_err(io::Error::from)?;
        Ok(Self::new(given, path, Some(Arc::new(handle))))
    }

    /// A root that is not there now: everything below it is unknown until [`renew`](Self::renew) finds it at `path`.
    pub fn awaited(given: &Path, path: PathBuf) -> Self {
        Self::new(given, path, None)
    }

    fn new(given: &Path, path: PathBuf, handle: Option<Arc<Handle>>) -> Self {
        Self(Arc::new(Place { given: given.to_owned(), path, open: RwLock::new(handle) }))
    }

    /// Where the root was when it was first opened: absolute, without symlinks.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The root's device number; 0 while it is not open. Another one further down is another file system, mounted there.
    pub fn dev(&self) -> u64 {
        self.handle().map_or(0, |handle| handle.dev)
    }

    /// Whether there is a handle.
    pub fn is_open(&self) -> bool {
        self.handle().is_ok()
    }

    /// The same root with the handle of this moment, which no renewal changes.
    #[must_use]
    pub fn pin(&self) -> Self {
        Self::new(&self.0.given, self.0.path.clone(), self.handle().ok())
    }

    /// The directory's inode number; 0 while it is not open.
    pub fn ino(&self) -> u64 {
        self.handle().map_or(0, |handle| handle.ino)
    }

    /// Closes the handle, unless it is another one than `seen` has: whoever unmounted the disk may want it back.
    pub fn let_go(&self, seen: &Self) {
        let mut open = self.0.open.write().unwrap_or_else(PoisonError::into_inner);
        let same = match (open.as_ref(), seen.handle().ok()) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, &theirs),
            _ => true,
        };
        if same {
            *open = None;
        }
    }

    /// Opens what stands at the root's path now, if that is the folder: the owner's path still leads there, and the marker is `expected`.
    ///
    /// # Errors
    /// `root_missing`, with what to do; then there is no handle.
    pub fn renew(&self, expected: Option<&RootId>) -> Result<(), Failure> {
        let handle = self.found().and_then(|handle| {
            let pinned = Self::new(&self.0.given, self.0.path.clone(), Some(Arc::clone(&handle)));
            pinned.still_there(expected)?;
            Ok(handle)
        });
        let handle = handle.map_err(Gone::into_failure);
        let mut open = self.0.open.write().unwrap_or_else(PoisonError::into_inner);
        match handle {
            Ok(handle) => {
                *open = Some(handle);
                Ok(())
            }
            Err(failure) => {
                *open = None;
                Err(failure)
            }
        }
    }

    fn found(&self) -> Result<Arc<Handle>, Gone> {
        match self.0.given.canonicalize() {
            Ok(path) if path == self.0.path => {}
            Ok(_) => return Err(Gone::Away(missing(LED_ASTRAY))),
            Err(error) => return Err(not_there(Errno::from_io_error(&error).unwrap_or(Errno::IO))),
        }
        Handle::open(&self.0.path, Beneath::new).map(Arc::new).map_err(not_there)
    }

    /// Whether the path still leads to the directory that was opened, and whether its marker is still `expected` (if there is one to expect).
    ///
    /// # Errors
    /// What is wrong, with what to do. Nothing that was observed since this last succeeded is evidence of a deletion.
    pub fn still_there(&self, expected: Option<&RootId>) -> Result<(), Gone> {
        let handle = self.handle().map_err(|_| Gone::Away(missing(NOT_THERE)))?;
        let stat = open_top(&self.0.path).and_then(fstat).map_err(not_there)?;
        if (device(&stat), stat.st_ino) != (handle.dev, handle.ino) {
            return Err(Gone::Away(missing(
                "another directory stands in the folder's place: mount the disk that holds the folder, or put the folder back; it goes on by itself then",
            )));
        }
        let Some(expected) = expected else { return Ok(()) };
        match self.marker_text().map_err(Gone::Unknown)?.map(|text| text.parse::<RootId>()) {
            Some(Ok(found)) if found == *expected => Ok(()),
            Some(Ok(_)) => Err(Gone::Unmarked(missing(
                "the folder's marker `.ferrybox/root-id` is another folder's: mount the right disk; it goes on by itself then",
            ))),
            Some(Err(damaged)) => Err(Gone::Unmarked(damaged)),
            None => Err(Gone::Unmarked(missing(&format!(
                "the folder's marker `.ferrybox/root-id` is gone, so this may be an empty mount point or an emptied folder: mount the disk, or put \
                 the files back; if they are all there, write {expected} into `.ferrybox/root-id`"
            )))),
        }
    }

    /// Looks at `path` without opening or following it.
    pub fn observe(&self, path: &RelPath) -> Local {
        super::attend::piece();
        let Ok(handle) = self.handle() else { return Local::Unknown(missing(NOT_THERE)) };
        if path.is_root() {
            return match fstat(handle.top()) {
                Ok(_) => Local::Dir,
                Err(error) => Local::Unknown(failure("looking at it", error)),
            };
        }
        match stat_beneath(&handle, path) {
            Ok(stat) => local(&stat),
            Err(error) if is_absence(error) && handle.is_linked() => Local::Absent,
            Err(error) if is_absence(error) => Local::Unknown(Failure::retry(
                "root_missing",
                "the folder was removed: nothing can be said of what was in it",
            )),
            Err(error) => Local::Unknown(failure("looking at it", error)),
        }
    }

    /// The device number of the nearest directory above `path` that is there: the file system on which `path` would lie.
    ///
    /// # Errors
    /// A directory that may be there could not be looked at.
    pub fn nearest_dev(&self, path: &RelPath) -> Result<u64, Failure> {
        let mut above = path.parent();
        while let Some(dir) = above {
            match self.open_dir(&dir, SEARCH).and_then(fstat) {
                Ok(stat) => return Ok(device(&stat)),
                Err(error) if is_absence(error) => above = dir.parent(),
                Err(error) => return Err(failure("looking at the directory above it", error)),
            }
        }
        Ok(self.dev())
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
            Local::File(stat) if stat.size > MOST_PATTERNS => Err(Failure::wedge(
                "ignore_file",
                "it is larger than 1 MiB, and ferrybox reads no more: nothing of its directory is synced; shorten it, or delete it",
            )),
            Local::File(_) => {
                let read = super::read_small(self, &file, MOST_PATTERNS)?;
                Ok(Some(String::from_utf8_lossy(&read.bytes).into_owned()))
            }
        }
    }

    pub(super) fn handle(&self) -> rustix::io::Result<Arc<Handle>> {
        let open = self.0.open.read().unwrap_or_else(PoisonError::into_inner);
        open.clone().ok_or(Errno::STALE)
    }

    pub(super) fn open_dir(&self, path: &RelPath, how: OFlags) -> rustix::io::Result<OwnedFd> {
        self.handle()?.beneath.open_dir(path, how)
    }

    fn parent_of(&self, path: &RelPath) -> rustix::io::Result<OwnedFd> {
        self.open_dir(&path.parent().ok_or(Errno::ISDIR)?, SEARCH)
    }
}

fn stat_beneath(handle: &Handle, path: &RelPath) -> rustix::io::Result<rustix::fs::Stat> {
    match path.parent() {
        Some(parent) if !parent.is_root() => {
            statat(handle.beneath.open_dir(&parent, SEARCH)?, path.name(), AtFlags::SYMLINK_NOFOLLOW)
        }
        _ => statat(handle.top(), path.name(), AtFlags::SYMLINK_NOFOLLOW),
    }
}

/// Bytes of one `.ferryboxignore`.
const MOST_PATTERNS: u64 = 1 << 20;

const NOT_THERE: &str =
    "the folder is not there: mount the disk that holds it, or put it back; it goes on by itself then";
const LED_ASTRAY: &str = "the folder's path leads to another directory now (a symbolic link?): put the folder back in its place; if it was moved on \
     purpose, run `ferrybox remove` for it, start ferrybox once, and add its new place: nothing is deleted by that";

fn missing(text: &str) -> Failure {
    Failure::retry("root_missing", text)
}

/// Why a folder's root cannot be vouched for.
#[derive(Debug, Clone, PartialEq)]
pub enum Gone {
    /// The directory stands in its place, and its marker is not there, is damaged, or is another folder's: it may be a copy that is being made.
    Unmarked(Failure),
    /// The path leads to nothing, to something else, or to what may not be looked at.
    Away(Failure),
    /// It could not be looked at: neither there nor gone.
    Unknown(Failure),
}

impl Gone {
    /// The reason, as a row's failure.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Unmarked(failure) | Self::Away(failure) | Self::Unknown(failure) => failure,
        }
    }
}

/// The path of the root could not be opened.
fn not_there(error: Errno) -> Gone {
    match error {
        Errno::LOOP => Gone::Away(missing(LED_ASTRAY)),
        Errno::NOENT | Errno::NOTDIR => Gone::Away(missing(NOT_THERE)),
        Errno::ACCESS | Errno::PERM => Gone::Away(missing(
            "the folder may not be looked at any more: give the daemon's user the right to it, or mount the disk that holds it",
        )),
        Errno::NOTCONN | Errno::NODEV | Errno::NXIO | Errno::STALE => Gone::Away(missing(&format!(
            "the folder cannot be looked at ({error}): check the disk that holds it and its mount"
        ))),
        error => Gone::Unknown(failure("looking at the folder", error)),
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
