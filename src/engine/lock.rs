//! One daemon a state directory, one daemon a folder: kernel-held locks, gone with the process that held them.

use crate::env;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// Where a folder keeps what is ferrybox's own.
const OWN_DIR: &str = ".ferrybox";

/// Within this time a lock's holder has written its pid into it.
const NAMED: Duration = Duration::from_secs(1);

/// A held lock; dropping it (or dying) lets it go.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Another process holds it.
    #[error("another ferrybox (pid {pid}) already uses {what}: stop it first, or use `ferrybox status` to talk to it")]
    Held {
        /// The holder, as it wrote itself down; `?` if it has not yet.
        pid: String,
        /// The state directory or folder.
        what: PathBuf,
    },
    /// A directory above it is a folder of another process.
    #[error(
        "{what} lies inside {above}, which another ferrybox syncs at this moment: a file must have one daemon only"
    )]
    Nested {
        /// The folder.
        what: PathBuf,
        /// The other process's.
        above: PathBuf,
    },
    /// Something else is in the lock file's place.
    #[error("{0} is not a lock file of ours: look at what put it there, then remove it")]
    Strange(PathBuf),
    /// The lock file could not be made.
    #[error("cannot lock {path}: {source}; check who owns it")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Whether the error says that there is no lock to be seen: nothing is there, something else is, or it may not be looked at, which stays so.
fn is_none(error: &io::Error) -> bool {
    use ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    let strange = [Errno::LOOP, Errno::NXIO, Errno::NAMETOOLONG];
    matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
        || strange.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// `O_NOFOLLOW | O_NONBLOCK`: a symlink is an error, and a FIFO does not block.
fn careful() -> i32 {
    i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0)
}

impl Lock {
    /// Takes the lock of the folder `root`; `None` where no lock file can be made: it is a backup of something that cannot be written.
    ///
    /// # Errors
    /// Another daemon syncs this folder, or one that it lies in.
    pub(crate) fn of_folder(root: &Path) -> Result<Option<Self>, LockError> {
        for above in root.ancestors().skip(1) {
            let lock = above.join(OWN_DIR).join("lock");
            let file = match OpenOptions::new().read(true).custom_flags(careful()).open(&lock) {
                Ok(file) => file,
                Err(error) if is_none(&error) => continue,
                Err(source) => return Err(LockError::Io { path: lock, source }),
            };
            if flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK) {
                return Err(LockError::Nested { what: root.to_owned(), above: above.to_owned() });
            }
        }
        let dir = root.join(OWN_DIR);
        match dir.symlink_metadata() {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Ok(None),
            Err(error) if is_none(&error) => return Ok(None),
            Err(source) => return Err(LockError::Io { path: dir, source }),
        }
        match Self::take(&dir.join("lock"), root) {
            Err(LockError::Io { source, .. })
                if matches!(source.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied) =>
            {
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    /// Whether a daemon syncs the directory `inside`, which lies in a folder of this one's.
    ///
    /// # Errors
    /// There may be a lock, and it cannot be looked at.
    pub(crate) fn is_held(inside: &Path) -> io::Result<bool> {
        match OpenOptions::new().read(true).custom_flags(careful()).open(inside.join(OWN_DIR).join("lock")) {
            Ok(file) => Ok(flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)),
            Err(error) if is_none(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a process holds the lock file `path`.
    pub(crate) fn is_held_at(path: &Path) -> bool {
        let file = OpenOptions::new().read(true).custom_flags(careful()).open(path);
        file.is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK))
    }

    /// Whether the file that is held is the one at `path`.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        let held = self.file.metadata().map(|held| (held.dev(), held.ino()));
        path.symlink_metadata().is_ok_and(|there| held.is_ok_and(|held| held == (there.dev(), there.ino())))
    }

    /// Takes the lock file `path` for `what`, without waiting, and writes this process's pid into it.
    ///
    /// # Errors
    /// [`LockError::Held`] with the holder's pid.
    pub(crate) fn take(path: &Path, what: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io { path: path.to_owned(), source };
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists && path.symlink_metadata().is_err() => {
                return Err(io(error));
            }
            _ => {}
        }
        // Held for reading only: a file system with a file open for writing cannot be remounted read-only.
        // Somebody else may have put it there: nothing is followed, and nothing is written until it is known to be a file of its own.
        let mut file = match OpenOptions::new().read(true).custom_flags(careful()).open(path) {
            Ok(file) => file,
            Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                return Err(LockError::Strange(path.to_owned()));
            }
            Err(error) => return Err(io(error)),
        };
        let found = file.metadata().map_err(io)?;
        if !found.is_file() || found.nlink() != 1 {
            return Err(LockError::Strange(path.to_owned()));
        }
        let began = env::instant();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) => {}
                Err(error) => return Err(io(error.into())),
            }
            // Who has just taken it is yet to write itself down, over the pid of one that has ended.
            let pid = holder(&mut file);
            // Nor does this process hold it, if what is written there is of one of its own earlier locks.
            let own = std::process::id().to_string();
            if began.elapsed() >= NAMED || pid.as_deref().is_some_and(|pid| pid != own && is_alive(pid)) {
                let pid = pid.unwrap_or_else(|| "?".to_owned());
                return Err(LockError::Held { pid, what: what.to_owned() });
            }
            wait_a_moment();
        }
        if let Err(error) = name_holder(path, found.ino()) {
            // Whoever meets the lock is not told whose it is; it holds all the same.
            tracing::debug!(%error, "the lock file does not name its holder");
        }
        Ok(Self { file })
    }
}

/// Only while another process is in the middle of its start, and then this one ends.
fn wait_a_moment() {
    env::hold(NAMED / 50);
}

/// What the lock file says of its holder.
fn holder(file: &mut File) -> Option<String> {
    let mut pid = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut pid).ok()?;
    Some(pid.trim().to_owned()).filter(|pid| !pid.is_empty())
}

/// Whether there is such a process, as far as can be seen from here.
fn is_alive(pid: &str) -> bool {
    let pid = pid.parse().ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

/// Writes this process's pid into the lock file that was looked at.
fn name_holder(path: &Path, ino: u64) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).custom_flags(careful()).open(path)?;
    if file.metadata()?.ino() != ino {
        return Err(ErrorKind::NotFound.into());
    }
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_the_first_ones_pid() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::take(&path, dir.path()).unwrap();
        let refused = Lock::take(&path, dir.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("pid {}", std::process::id())), "{refused}");
        drop(first);
        Lock::take(&path, dir.path()).unwrap();
    }

    #[test]
    fn i10_what_a_link_leads_to_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let precious = dir.path().join("precious");
        std::fs::write(&precious, "keep me").unwrap();
        let path = dir.path().join("lock");
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        assert!(matches!(Lock::take(&path, dir.path()), Err(LockError::Strange(_))));
        std::fs::remove_file(&path).unwrap();
        std::fs::hard_link(&precious, &path).unwrap();
        assert!(matches!(Lock::take(&path, dir.path()), Err(LockError::Strange(_))));
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "keep me");
    }
}
