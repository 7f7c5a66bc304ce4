//! The disk: observe, list, read, scan, watch, write. Everything below a folder's root goes through one directory handle that no symlink leads out of.
//!
//! Nothing here decides: a path that cannot be looked at is [`Local::Unknown`](crate::model::Local::Unknown), never absent; a directory that cannot be listed says
//! so instead of being empty; an event of the kernel is only a hint to look. All functions block, except the stream [`FileRange`] and what [`Watcher`]
//! sends: call them from `spawn_blocking`.

use std::sync::Arc;

use crate::model::RelPath;

mod attend;
mod beneath;
mod bin;
mod dress;
mod fill;
mod folds;
mod fs_kind;
mod incoming;
mod list;
mod make;
mod marker;
mod notes;
mod own;
mod place;
mod range;
mod read;
mod restore;
mod root;
mod scan;
mod side;
mod snapshot;
mod trash;
mod trouble;
mod watch;
mod writers;

pub use attend::{Attendant, attended, piece};
pub use bin::{Keep, Left, Purged};
pub use fs_kind::{InotifyLimits, inotify_limits};
pub use incoming::Incoming;
pub use list::{Kind, Listing};
pub use make::{Removed, Space};
pub use marker::RootId;
pub use notes::Going;
pub use place::Placed;
pub use range::{Changed, FileRange};
pub use read::{SmallRead, hash_file, read_small, read_through};
pub use restore::beside;
pub use root::{Gone, Root, stat_of};
pub use scan::{ScanEnd, Scanned, scan};
pub use side::{Recovered, is_left_over};
pub use snapshot::Snapshot;
pub use trash::Trashed;
pub use trouble::{LocalError, Refused};
pub use watch::{Seen, WatchTrouble, Watcher};

/// Whether a path is not synced; the second argument says whether it is a directory. Must say yes for everything below an ignored directory.
pub type Ignored = Arc<dyn Fn(&RelPath, bool) -> bool + Send + Sync>;

#[cfg(test)]
mod tests;
