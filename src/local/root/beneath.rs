//! Opening what lies beneath one directory, and never anything else: no `..`, no symlink, whoever swaps directories meanwhile.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};
use rustix::io::{Errno, Result};

use crate::model::RelPath;

/// For directories that are only passed through: the right to search is enough.
#[cfg(target_os = "linux")]
pub(crate) const SEARCH: OFlags = OFlags::PATH;
/// For directories that are only passed through.
#[cfg(not(target_os = "linux"))]
pub(crate) const SEARCH: OFlags = OFlags::RDONLY;

/// A rename anywhere on the host can make one `openat2` fail with EAGAIN; after this many, the path is walked. As many times a walk looks again at a
/// name that is swapped under it.
const MAX_AGAIN: usize = 32;

/// The kernel takes at most 4,096 bytes of path at once; longer ones are walked.
#[cfg(target_os = "linux")]
const MAX_AT_ONCE: usize = 4000;

#[derive(Debug)]
pub(crate) struct Beneath {
    top: OwnedFd,
    /// Whether the kernel has `openat2` and lets us call it.
    #[cfg(target_os = "linux")]
    at_once: AtomicBool,
}

impl Beneath {
    pub(crate) fn new(top: OwnedFd) -> Self {
        Self {
            top,
            #[cfg(target_os = "linux")]
            at_once: AtomicBool::new(true),
        }
    }

    /// As on a kernel without `openat2`.
    #[cfg(test)]
    pub(crate) fn walking(top: OwnedFd) -> Self {
        let beneath = Self::new(top);
        #[cfg(target_os = "linux")]
        beneath.at_once.store(false, Ordering::Relaxed);
        beneath
    }

    pub(crate) fn top(&self) -> BorrowedFd<'_> {
        self.top.as_fd()
    }

    /// Opens the directory `path`. A symlink anywhere in it is [`Errno::LOOP`]; another kind of file is [`Errno::NOTDIR`].
    pub(crate) fn open_dir(&self, path: &RelPath, how: OFlags) -> Result<OwnedFd> {
        let how = how | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if path.is_root() {
            return openat(&self.top, ".", how, Mode::empty());
        }
        #[cfg(target_os = "linux")]
        if self.at_once.load(Ordering::Relaxed) && path.as_str().len() < MAX_AT_ONCE {
            match open_at_once(&self.top, path, how) {
                Err(Errno::NOSYS | Errno::PERM) => self.at_once.store(false, Ordering::Relaxed),
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        self.walk(path, how)
    }

    fn walk(&self, path: &RelPath, how: OFlags) -> Result<OwnedFd> {
        let mut dir: Option<OwnedFd> = None;
        let mut components = path.components().peekable();
        while let Some(name) = components.next() {
            let above = dir.as_ref().map_or_else(|| self.top(), AsFd::as_fd);
            let how = if components.peek().is_some() { SEARCH | OFlags::DIRECTORY | OFlags::CLOEXEC } else { how };
            dir = Some(enter(above, name, how | OFlags::NOFOLLOW)?);
        }
        dir.ok_or(Errno::INVAL)
    }
}

/// Opens the directory `name`. Kernels say `ENOTDIR` for a symlink too, which must stay distinct from a plain file: below a file nothing can be.
pub(crate) fn enter(above: BorrowedFd<'_>, name: &str, how: OFlags) -> Result<OwnedFd> {
    for _ in 0..MAX_AGAIN {
        match openat(above, name, how, Mode::empty()) {
            Err(Errno::NOTDIR) => {
                match FileType::from_raw_mode(statat(above, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode) {
                    FileType::Symlink => return Err(Errno::LOOP),
                    // Swapped in between: what was there before is not known.
                    FileType::Directory => {}
                    _ => return Err(Errno::NOTDIR),
                }
            }
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

#[cfg(target_os = "linux")]
fn open_at_once(top: &OwnedFd, path: &RelPath, how: OFlags) -> Result<OwnedFd> {
    use rustix::fs::{ResolveFlags, openat2};
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..MAX_AGAIN {
        match openat2(top, path.as_str(), how, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}
