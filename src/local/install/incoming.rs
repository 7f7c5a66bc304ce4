//! A download on its way: a file in `.ferrybox/tmp` that a restart finds again and goes on with.
//!
//! Its name comes from its key (a revision), so that the same download meets the same file. Written from the front, the file's length says how far it
//! is. Written in several places, a second file beside it lists the ranges that arrived; that one is written first, so that a length is never
//! taken for content. Neither is trusted further than that: only the content hash says that the file is whole.

use std::fs::{File, TryLockError};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, RawMode, fstat, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::local::Root;
use crate::local::error::{failure, io_failure, write_failure};
use crate::local::private_dir::{TMP, create, look, own_place, wrote};
use crate::local::root::{device, local, stat_from};
use crate::model::{ContentHash, ContentHasher, Failure, Local, UnixMs};

/// What our files' names begin with.
const PREFIX: &str = "in-";
/// And those of what is moved or copied by way of here.
pub(crate) const MOVED: &str = "mv-";
/// The list of ranges, beside the file.
const RANGES: &str = ".ranges";
/// How much may have arrived without standing in the list: what a crash costs.
const UNSAVED: u64 = 32 << 20;
/// Room is claimed beforehand for files from this size on.
const CLAIM_FROM: u64 = 1 << 20;
const BUFFER: usize = 1 << 20;
const DOING: &str = "writing the download into `.ferrybox/tmp`";

/// A download on its way. When it goes, its file stays, for the next try; [`discard`](Incoming::discard) removes it.
#[derive(Debug)]
pub struct Incoming {
    pub(crate) root: Root,
    pub(crate) dir: OwnedFd,
    pub(crate) name: String,
    pub(crate) file: File,
    /// The permission bits of a new file, by the umask.
    pub(crate) plain_mode: RawMode,
    size: u64,
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    /// What has arrived: in order, apart from each other.
    have: Vec<Range<u64>>,
    hasher: ContentHasher,
    /// Whether there is a list of ranges beside the file.
    listed: bool,
    unsaved: u64,
    /// Placed, or discarded.
    pub(crate) gone: bool,
}

impl State {
    /// What the whole content of `size` bytes holds, if it was asked for before.
    pub(crate) fn hash(&self, size: u64) -> Option<ContentHash> {
        (self.hasher.total() == size).then(|| self.hasher.clone().finish())
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("have", &self.have).field("gone", &self.gone).finish_non_exhaustive()
    }
}

impl Root {
    /// Opens the download of `size` bytes that `key` (a revision) names, as far as an earlier try got; room for it is claimed.
    ///
    /// # Errors
    /// `disk_full`; `busy` if it is under way elsewhere; as writing.
    pub fn incoming(&self, key: &str, size: u64) -> Result<Incoming, Failure> {
        let fail = |error| write_failure(DOING, error);
        let root = self.pin();
        let dir = own_place(&*root.handle().map_err(fail)?, TMP).map_err(fail)?;
        let mut hasher = ContentHasher::new();
        hasher.update(key.as_bytes());
        let name = format!("{PREFIX}{}", hasher.finish());
        let file = open(dir.as_fd(), &name)?;
        let stat = fstat(&file).map_err(fail)?;
        let plain_mode = stat.st_mode & 0o777;
        let incoming = Incoming { root, dir, name, file, plain_mode, size, state: Mutex::default() };
        let len = stat_from(&stat).size;
        if len > size {
            incoming.restart()?;
        } else {
            let mut state = incoming.state();
            match incoming.read_ranges(len)? {
                Some(have) => (state.have, state.listed) = (have, true),
                None => add(&mut state.have, 0..len),
            }
        }
        incoming.claim()?;
        Ok(incoming)
    }

    /// Removes downloads that nobody has touched since `before`, and what else an earlier run left in `.ferrybox/tmp`. Says how many files went.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn sweep_tmp(&self, before: UnixMs) -> Result<u64, Failure> {
        let doing = "tidying `.ferrybox/tmp`";
        let fail = |error| write_failure(doing, error);
        let dir = own_place(&*self.handle().map_err(fail)?, TMP).map_err(fail)?;
        let mut removed = 0;
        for entry in Dir::read_from(&dir).map_err(fail)?.flatten() {
            let Ok(name) = entry.file_name().to_str() else { continue };
            if !name.starts_with(PREFIX) && !name.starts_with(MOVED) {
                continue;
            }
            let Some(Local::File(stat)) = look(dir.as_fd(), name).map_err(fail)?.as_ref().map(local) else { continue };
            // The inode's own time: a download may carry the time of its content already.
            if stat.ctime_ns / 1_000_000 < before && !in_use(dir.as_fd(), name) {
                unlinkat(&dir, name, AtFlags::empty()).map_err(fail)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Whether a download is under way in this file.
fn in_use(dir: BorrowedFd<'_>, name: &str) -> bool {
    let how = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let name = name.strip_suffix(RANGES).unwrap_or(name);
    openat(dir, name, how, Mode::empty())
        .is_ok_and(|file| matches!(File::from(file).try_lock(), Err(TryLockError::WouldBlock)))
}

/// Opens or makes the file `name`, which must be ours alone: regular, of one name, and in no other task's hands.
fn open(dir: BorrowedFd<'_>, name: &str) -> Result<File, Failure> {
    let fail = |error| write_failure(DOING, error);
    let under_way = || Failure::retry("busy", "the same version is being downloaded already: it is tried again");
    for _ in 0..8 {
        // The umask decides on a new file's permissions, as it does for any program; our directory is closed to others.
        match create(dir, name, Mode::from_raw_mode(0o666)) {
            Ok(file) => {
                remove(dir, &format!("{name}{RANGES}")).map_err(fail)?;
                return match file.try_lock() {
                    Err(TryLockError::WouldBlock) => Err(under_way()),
                    _ => Ok(file),
                };
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(fail(error)),
        }
        let how = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(dir, name, how, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => continue,
            // Not ours: a symlink, a device, a directory.
            Err(Errno::LOOP | Errno::NXIO | Errno::ISDIR | Errno::ACCESS) => {
                remove(dir, name).map_err(fail)?;
                continue;
            }
            Err(error) => return Err(fail(error)),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(under_way()),
            Err(TryLockError::Error(error)) => tracing::debug!(%error, "the file system of the folder has no locks"),
        }
        // Whoever had it may have put it in its place before the lock was ours.
        let ours = fstat(&file).map_err(fail)?;
        match look(dir, name).map_err(fail)? {
            Some(there) if (device(&there), there.st_ino) != (device(&ours), ours.st_ino) => {}
            Some(_) if matches!(local(&ours), Local::File(_)) && ours.st_nlink == 1 => return Ok(file),
            Some(_) => remove(dir, name).map_err(fail)?,
            None => {}
        }
    }
    Err(under_way())
}

fn remove(dir: BorrowedFd<'_>, name: &str) -> rustix::io::Result<()> {
    match unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => unlinkat(dir, name, AtFlags::REMOVEDIR),
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

impl Incoming {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes the whole file has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes are there already.
    pub fn len(&self) -> u64 {
        self.state().have.iter().map(|range| range.end - range.start).sum()
    }

    /// Whether nothing is there yet.
    pub fn is_empty(&self) -> bool {
        self.state().have.is_empty()
    }

    /// What is still to come, in order. Nothing if it is complete.
    pub fn missing(&self) -> Vec<Range<u64>> {
        let state = self.state();
        let starts = std::iter::once(0).chain(state.have.iter().map(|range| range.end));
        let ends = state.have.iter().map(|range| range.start).chain(std::iter::once(self.size));
        starts.zip(ends).filter(|(start, end)| start < end).map(|(start, end)| start..end).collect()
    }

    /// Writes `bytes` at `offset`. Several tasks may write in several places; each byte needs to be written once only.
    ///
    /// # Errors
    /// `disk_full`; `bad_content` if it would become longer than announced.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        let end = offset.saturating_add(bytes.len() as u64);
        if end > self.size {
            return Err(too_long(self.size));
        }
        {
            let mut state = self.state();
            if state.gone {
                return Err(gone());
            }
            let front = state.have.first().filter(|first| first.start == 0).map_or(0, |first| first.end);
            if offset > front && !state.listed {
                self.save(&mut state)?;
            }
        }
        self.file.write_all_at(bytes, offset).map_err(|error| wrote(DOING, &error))?;
        let mut state = self.state();
        if offset == state.hasher.total() {
            state.hasher.update(bytes);
        } else if offset < state.hasher.total() {
            // Written anew: what was hashed may be another content.
            state.hasher = ContentHasher::new();
        }
        add(&mut state.have, offset..end);
        state.unsaved += bytes.len() as u64;
        if state.listed && state.unsaved >= UNSAVED {
            self.file.sync_data().map_err(|error| wrote(DOING, &error))?;
            self.save(&mut state)?;
        }
        Ok(())
    }

    /// The hash of the whole content. What was written from the front is hashed already; the rest is read.
    ///
    /// # Errors
    /// `bad_content` if something is missing.
    pub fn hash(&self) -> Result<ContentHash, Failure> {
        self.complete()?;
        let mut state = self.state();
        let mut buffer = Vec::new();
        while state.hasher.total() < self.size {
            crate::local::attend::go_on()?;
            buffer.resize(BUFFER, 0);
            match self.file.read_at(&mut buffer, state.hasher.total()) {
                Ok(0) => return Err(incomplete()),
                Ok(n) => state.hasher.update(buffer.get(..n).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io_failure("reading the download", &error)),
            }
        }
        Ok(state.hasher.clone().finish())
    }

    /// Forgets all that was written: the next byte is the first. For content whose hash is wrong.
    ///
    /// # Errors
    /// As writing.
    pub fn restart(&self) -> Result<(), Failure> {
        let mut state = self.state();
        if state.gone {
            return Err(gone());
        }
        self.file.set_len(0).map_err(|error| wrote(DOING, &error))?;
        remove(self.dir.as_fd(), &self.ranges()).map_err(|error| write_failure(DOING, error))?;
        *state = State::default();
        drop(state);
        self.claim()
    }

    /// Removes the file.
    pub fn discard(self) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.gone, true) {
            let _ = remove(self.dir.as_fd(), &self.name);
            let _ = remove(self.dir.as_fd(), &self.ranges());
        }
    }

    pub(crate) fn complete(&self) -> Result<(), Failure> {
        if self.state().gone {
            return Err(gone());
        }
        if self.missing().is_empty() { Ok(()) } else { Err(incomplete()) }
    }

    /// It has left: what was beside it goes.
    pub(crate) fn left(&self, state: &mut State) {
        state.gone = true;
        if state.listed {
            let _ = remove(self.dir.as_fd(), &self.ranges());
        }
    }

    fn ranges(&self) -> String {
        format!("{}{RANGES}", self.name)
    }

    /// Claims the room, so that a full disk is met before the first byte. Where the file system cannot, it is met on the way.
    #[cfg(target_os = "linux")]
    fn claim(&self) -> Result<(), Failure> {
        use rustix::fs::{FallocateFlags, fallocate};
        if self.size < CLAIM_FROM {
            return Ok(());
        }
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, self.size) {
            Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => {
                // What was claimed of it, if anything, is given back.
                let _ = self.file.metadata().and_then(|meta| self.file.set_len(meta.len()));
                Err(write_failure("claiming room for the download", error))
            }
            _ => Ok(()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn claim(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Writes the list of ranges, whole or not at all.
    fn save(&self, state: &mut State) -> Result<(), Failure> {
        let fail = |error| write_failure(DOING, error);
        let text: String = state.have.iter().map(|range| format!("{} {}\n", range.start, range.end)).collect();
        let (list, new) = (self.ranges(), format!("{}.new", self.ranges()));
        remove(self.dir.as_fd(), &new).map_err(fail)?;
        let file = create(self.dir.as_fd(), &new, Mode::RUSR | Mode::WUSR).map_err(fail)?;
        file.write_all_at(text.as_bytes(), 0).map_err(|error| wrote(DOING, &error))?;
        file.sync_data().map_err(|error| wrote(DOING, &error))?;
        renameat(&self.dir, new.as_str(), &self.dir, list.as_str()).map_err(fail)?;
        (state.listed, state.unsaved) = (true, 0);
        Ok(())
    }

    /// The list of ranges, if there is one; an unreadable one says that nothing arrived.
    fn read_ranges(&self, len: u64) -> Result<Option<Vec<Range<u64>>>, Failure> {
        let how = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.dir, self.ranges().as_str(), how, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(failure("reading how far the download is", error)),
        };
        let text = io::read_to_string(file).unwrap_or_default();
        let mut have = Vec::new();
        for line in text.lines() {
            let range = line.split_once(' ').and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
            match range {
                Some(range) if range.end <= len => add(&mut have, range),
                _ => return Ok(Some(Vec::new())),
            }
        }
        Ok(Some(have))
    }
}

/// Adds a range to those that are there: in order, and apart from each other.
fn add(have: &mut Vec<Range<u64>>, new: Range<u64>) {
    if new.is_empty() {
        return;
    }
    let from = have.partition_point(|range| range.end < new.start);
    let to = have.partition_point(|range| range.start <= new.end);
    let touched = have.get(from..to).unwrap_or_default();
    let start = touched.first().map_or(new.start, |first| first.start.min(new.start));
    let end = touched.last().map_or(new.end, |last| last.end.max(new.end));
    have.splice(from..to.max(from), std::iter::once(start..end));
}

fn too_long(size: u64) -> Failure {
    Failure::look(
        "bad_content",
        format!("Dropbox sent more than the {size} bytes that it announced: it is looked at again"),
    )
}

fn incomplete() -> Failure {
    Failure::look("bad_content", "the download is not complete: it goes on")
}

fn gone() -> Failure {
    Failure::look("busy", "this download is over: it is looked at again")
}
