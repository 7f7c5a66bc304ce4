//! The three views of a path: local (the disk), remote (Dropbox), base (what both last agreed on).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::content_hash::ContentHash;
use super::failure::Failure;
use super::path::RemotePath;

/// What `fstat` says of a file; two equal ones mean that nobody has written in between, as far as the file system can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970, clamped to what 64 bits hold.
    pub mtime_ns: i64,
    /// Nanoseconds since 1970: the inode's own time, which `touch -r` cannot restore.
    pub ctime_ns: i64,
    /// Inode number.
    pub ino: u64,
    /// Device number.
    pub dev: u64,
}

/// Which directory it was; zeros where that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DirStat {
    /// Inode number.
    pub ino: u64,
    /// Device number.
    pub dev: u64,
}

/// The local view.
#[derive(Debug, Clone, PartialEq)]
pub enum Local {
    /// Looked at, and nothing is there.
    Absent,
    /// A regular file.
    File(Stat),
    /// A directory.
    Dir,
    /// A symlink, FIFO, socket or device: never opened, never followed.
    Other(&'static str),
    /// Looking failed: neither there nor gone.
    Unknown(Failure),
}

/// The base: what disk and Dropbox last agreed on for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The file as it was when its bytes were read.
    pub stat: Stat,
    /// The hash of those bytes.
    pub content_hash: ContentHash,
    /// Dropbox's revision that holds them.
    pub rev: String,
    /// Dropbox's id of the file (`id:...`). Two local names that Dropbox folds into one path meet in one id.
    pub file_id: Option<String>,
    /// Where they lie in Dropbox, when that is not the path's own place: a conflicted copy.
    pub remote: Option<RemotePath>,
}

/// What both sides last agreed on for a path, of whatever kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreed<'a> {
    /// Nothing: they never met here, or it is gone on both sides.
    Nothing,
    /// A file.
    File(&'a Base),
    /// A directory.
    Dir,
}

/// The remote view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// Not listed yet: what is there is known only from base, and Dropbox itself is the judge when a commit arrives.
    Unlisted,
    /// Listed, and nothing is there.
    Absent,
    /// A file.
    File {
        /// The hash of its content, where Dropbox says.
        content_hash: Option<ContentHash>,
        /// Its revision.
        rev: String,
        /// Bytes.
        size: u64,
        /// Dropbox's id of the file (`id:...`).
        id: String,
    },
    /// A folder.
    Folder,
}

/// Which names a folder's disk can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Disk {
    /// Anything but NUL and `/`, up to 255 bytes.
    #[default]
    Plain,
    /// As Windows has it (FAT, exFAT, NTFS): no `< > : " | ? * \`, no control characters, no dot or space at the end, up to 255 UTF-16 units.
    Windows,
}

/// What a folder passes on, and in which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Both sides meet.
    TwoWay,
    /// Local changes go up; nothing comes down; local deletions are not passed on.
    Backup,
    /// As backup, deletions too.
    Mirror,
    /// Remote changes come down; nothing goes up.
    Download,
}

impl Mode {
    /// Whether it brings down what only Dropbox has.
    pub const fn brings_down(self) -> bool {
        matches!(self, Self::TwoWay | Self::Download)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TwoWay => "two-way",
            Self::Backup => "backup",
            Self::Mirror => "mirror",
            Self::Download => "download",
        })
    }
}

impl FromStr for Mode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "two-way" => Ok(Self::TwoWay),
            "backup" => Ok(Self::Backup),
            "mirror" => Ok(Self::Mirror),
            "download" => Ok(Self::Download),
            other => Err(format!("unknown mode `{other}`: one of two-way, backup, mirror, download")),
        }
    }
}
