//! The words of the program as data: no clock, no disk, no network, no async.
//!
//! Everything here can be built in a test by hand, compared and printed. What is *decided* from it stands in [`crate::plan`].

pub mod api;
pub mod attention;
pub mod closed;
pub mod content_hash;
pub mod failure;
pub mod history;
pub mod job;
pub mod key;
pub mod listing;
pub mod path;
pub mod shown;
pub mod status;
pub mod views;

pub use crate::model::views::{Agreed, Base, DirStat, Disk, Local, Mode, Remote, Stat};
pub use closed::Closed;
pub use content_hash::{BLOCK_SIZE, BlockHashes, ContentHash, ContentHasher};
pub use failure::{Failure, Next};
pub use job::{
    Batch, BatchKind, Change, ChangeId, Claimed, Due, FolderId, Job, JobId, Outcome, Relocation, RemoteChange, Settled,
    WriteMode,
};
pub use path::{PathError, RelPath, RemotePath};

/// Milliseconds since 1970-01-01T00:00:00Z. Written into the database and the status; never the ground of a decision about content.
pub type UnixMs = i64;
