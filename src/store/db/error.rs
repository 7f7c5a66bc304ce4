//! What can go wrong with the database, in words that say what to do.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// A failure of the database. Every one names the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No room for the database to grow.
    #[error("no room left for the database {}: free some space on that disk; nothing was lost, the last step was undone", path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// The disk would not read or write.
    #[error("cannot read or write the database {}: {what}. Check the disk, its mount and the rights of the directory", path.display())]
    Io {
        /// The database.
        path: PathBuf,
        /// SQLite's or the system's words.
        what: String,
    },
    /// Another process holds the database.
    #[error("the database {} is held by another process: stop it (`fuser {}` names it) and start again", path.display(), path.display())]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("the database {} is damaged ({what}): it has to be moved aside with its -wal and -shm files; it is built anew then by comparing both sides, and nothing is deleted", path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What the check found.
        what: String,
    },
    /// A later ferrybox wrote it.
    #[error("the database {} has schema {found}, and this ferrybox knows none above {known}: use the newer ferrybox again, or restore the copy made before its upgrade", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// A ferrybox of before the first release wrote it, with tables of its own.
    #[error("the database {} is of a ferrybox from before the first release (its schema {found}), which this one cannot read, and was left untouched: move it away with its -wal and -shm files and start again; a new one is built by comparing both sides, and nothing is deleted", path.display())]
    BeforeFirstRelease {
        /// The database.
        path: PathBuf,
        /// Its schema, by the numbers of that time.
        found: i64,
    },
    /// Some other program's database.
    #[error("{} is another program's database and was left untouched: point ferrybox at a directory of its own", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// Something else stands in its place, or others could change it.
    #[error("{} {what}", path.display())]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// Anything else; most likely a fault of this program.
    #[error("the database {}: {what}", path.display())]
    Other {
        /// The database.
        path: PathBuf,
        /// What happened.
        what: String,
    },
}

/// A failure inside a step, before it is known which file it was.
#[derive(Debug)]
pub(crate) enum Fault {
    /// SQLite's.
    Sql(rusqlite::Error),
    /// It holds what no version of this program writes.
    Damaged(String),
    /// Ours.
    Said(String),
}

/// What a step gives.
pub(crate) type Step<T> = Result<T, Fault>;

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Fault {
    /// Says which file it was.
    pub(crate) fn at(self, path: &Path) -> StoreError {
        match self {
            Self::Sql(error) => of_sqlite(path, &error),
            Self::Damaged(what) => StoreError::Corrupt { path: path.to_owned(), what },
            Self::Said(what) => StoreError::Other { path: path.to_owned(), what },
        }
    }
}

/// Which of ours an error of SQLite is.
pub(crate) fn of_sqlite(path: &Path, error: &rusqlite::Error) -> StoreError {
    let (path, what) = (path.to_owned(), error.to_string());
    // A value of a kind that is never written there: a byte has changed on the disk.
    if matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::InvalidColumnType(..)
    ) {
        return StoreError::Corrupt { path, what };
    }
    match error.sqlite_error().map(|e| e.extended_code) {
        // The file is shorter than it says.
        Some(rusqlite::ffi::SQLITE_IOERR_SHORT_READ) => return StoreError::Corrupt { path, what },
        // The shared index of the log is a file, too.
        Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE) => return StoreError::Full { path },
        _ => {}
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { path },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            StoreError::Busy { path }
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt { path, what },
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::NoLargeFileSupport,
        ) => StoreError::Io { path, what },
        _ => StoreError::Other { path, what },
    }
}
