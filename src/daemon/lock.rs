//! One daemon a state directory, one daemon a folder: kernel-held locks, gone with the process that held them.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// A held lock; dropping it (or dying) lets it go.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("another ferrybox (pid {pid}) already uses {what}: stop it first, or use `ferrybox status` to talk to it")]
    Held {
        /// The holder, as it wrote itself down; `?` if it has not yet.
        pid: String,
        /// The state directory or folder.
        what: PathBuf,
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

/// `O_NOFOLLOW | O_NONBLOCK`: a symlink is an error, and a FIFO does not block.
fn nofollow() -> i32 {
    i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0)
}

impl Lock {
    /// Takes the lock file `path` for `what`, without waiting, and writes this process's pid into it.
    ///
    /// # Errors
    /// [`LockError::Held`] with the holder's pid.
    pub fn take(path: &Path, what: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io { path: path.to_owned(), source };
        // Somebody else may have put the file there: nothing is followed, and nothing is written until it is known to be a file of its own.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(nofollow())
            .open(path)
            .map_err(io)?;
        let found = file.metadata().map_err(io)?;
        if !found.is_file() || found.nlink() != 1 {
            return Err(LockError::Strange(path.to_owned()));
        }
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                let pid = pid.trim();
                let pid = if pid.is_empty() { "?" } else { pid }.to_owned();
                return Err(LockError::Held { pid, what: what.to_owned() });
            }
            Err(error) => return Err(io(error.into())),
        }
        file.set_len(0).map_err(io)?;
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { _file: file })
    }
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
        Lock::take(&path, dir.path()).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        std::fs::hard_link(&precious, &path).unwrap();
        Lock::take(&path, dir.path()).unwrap_err();
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "keep me");
    }
}
