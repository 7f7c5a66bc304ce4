//! What the operating system's errors mean for one path.

use std::io;

use rustix::io::Errno;
use thiserror::Error;

use crate::model::{Failure, RelPath};

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

/// What follows when writing met `error`: `doing` as in "putting it in its place".
pub(super) fn write_failure(doing: &str, error: Errno) -> Failure {
    match error {
        Errno::NOSPC | Errno::DQUOT => Failure::retry(
            "disk_full",
            format!("{doing} failed because the disk, or the quota on it, is full: make room; it is tried again"),
        ),
        Errno::ACCESS | Errno::PERM => Failure::wedge(
            "permission",
            format!("{doing} is not permitted: give the daemon's user the right to write into that directory"),
        ),
        Errno::NAMETOOLONG => Failure::wedge(
            "name",
            "the name or the path is longer than this file system can hold (255 bytes is usual): give it a shorter one in Dropbox",
        ),
        Errno::ILSEQ | Errno::INVAL => Failure::wedge(
            "name",
            format!(
                "{doing} failed ({error}): the file system does not take this name; give it another one in Dropbox"
            ),
        ),
        Errno::FBIG => Failure::wedge("too_large", "the file is larger than this file system can hold"),
        Errno::XDEV => Failure::wedge(
            "other_device",
            "another file system is mounted between the two places, so that it cannot be moved in one step",
        ),
        error => failure(doing, error),
    }
}

/// Why something on the disk was left as it is.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Refused {
    /// What stands there is not what the decision was made from: look again.
    #[error("it changed since it was looked at: it is looked at again")]
    Changed,
    /// A directory stands there.
    #[error("a directory stands in its place")]
    Dir,
    /// Something that is no directory stands where a parent directory is needed.
    #[error("`{0}` is no directory, and one is needed there")]
    InTheWay(RelPath),
    /// Anything else.
    #[error("{0}")]
    Failed(#[from] Failure),
}

impl Refused {
    /// As a row's failure: whoever has no better answer looks again.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            other => Failure::look("changed", other.to_string()),
        }
    }
}

/// For `map_err`: a failed write as a refusal.
pub(super) fn refuse(doing: &str) -> impl Fn(Errno) -> Refused + '_ {
    move |error| Refused::Failed(write_failure(doing, error))
}
