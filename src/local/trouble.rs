//! What the operating system's errors mean for one path.

use std::io;

use rustix::io::Errno;
use thiserror::Error;

use crate::model::Failure;

/// A folder's root cannot be opened. The path stands beside it.
#[derive(Debug, Error)]
pub enum LocalError {
    /// Nothing is there.
    #[error(
        "the folder does not exist: create it, or mount the disk that holds it; ferrybox never creates it by itself"
    )]
    Missing,
    /// It is a file, or something else.
    #[error("it is not a directory: give the directory that is to be synced")]
    NotADirectory,
    /// Anything else.
    #[error("the folder cannot be opened: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for LocalError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::NotADirectory => Self::NotADirectory,
            _ => Self::Io(error),
        }
    }
}

/// Whether the error proves that nothing is there: no such name, a file where a directory would be, or a name that the file system cannot hold.
pub(super) fn is_absence(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG)
}

/// What follows when `doing` (as in "reading it") met `error`.
pub(super) fn failure(doing: &str, error: Errno) -> Failure {
    if is_absence(error) {
        return Failure::look("busy", "it vanished while it was looked at: it is looked at again");
    }
    match error {
        Errno::ACCESS | Errno::PERM => Failure::wedge(
            "permission",
            format!("{doing} is not permitted: give the daemon's user the right to read it (chmod, chown or setfacl)"),
        ),
        Errno::LOOP | Errno::XDEV => Failure::wedge(
            "type",
            "a symlink stands in the path, and symlinks are never followed: put a real directory there, or ignore it",
        ),
        Errno::ROFS => Failure::wedge("permission", format!("{doing} is not possible: the file system is read-only")),
        Errno::STALE => Failure::retry("root_missing", "the disk that holds the folder is gone: mount it again"),
        Errno::MFILE | Errno::NFILE | Errno::NOMEM => Failure::retry(
            "resources",
            format!(
                "{doing} failed because the system is short of memory or file handles ({error}): raise LimitNOFILE, or free some"
            ),
        ),
        Errno::AGAIN | Errno::INTR | Errno::BUSY | Errno::TXTBSY => {
            Failure::retry("busy", format!("{doing} failed because it is in use ({error}): it is tried again"))
        }
        _ => Failure::retry(
            "io_error",
            format!("{doing} failed ({error}): it is tried again; check the disk if this stays"),
        ),
    }
}

/// As [`failure`], for errors of the standard library.
pub(super) fn io_failure(doing: &str, error: &io::Error) -> Failure {
    failure(doing, Errno::from_io_error(error).unwrap_or(Errno::IO))
}
