//! The disk: observe, list, read, scan, watch, write. Everything below a folder's root goes through one directory handle that no symlink leads out of.
//!
//! Nothing here decides: a path that cannot be looked at is [`Local::Unknown`](crate::model::Local::Unknown), never absent; a directory that cannot be listed says
//! so instead of being empty; an event of the kernel is only a hint to look. All functions block, except the stream [`FileRange`] and what [`Watcher`]
//! sends: call them from `spawn_blocking`.

use std::sync::Arc;

use crate::model::RelPath;

mod attend;
mod case_folding;
mod error;
mod fs_kind;
mod install;
mod private_dir;
mod read;
mod root;
mod scan;
mod trash;
mod watch;

pub use crate::local::error::{LocalError, Refused};
pub use crate::local::install::Placed;
pub use crate::local::install::incoming::Incoming;
pub use crate::local::install::sidecar::{Recovered, is_left_over};
pub use crate::local::private_dir::marker::RootId;
pub use crate::local::read::list::{Kind, Listing};
pub use crate::local::read::range::{Changed, FileRange};
pub use crate::local::read::snapshot::Snapshot;
pub use crate::local::root::make::{Removed, Space};
pub use crate::local::trash::inventory::{Keep, Left, Purged};
pub use crate::local::trash::journal::Going;
pub use crate::local::trash::restore::beside;
pub use attend::{Attendant, attended, piece};
pub use fs_kind::{InotifyLimits, inotify_limits};
pub use read::{SmallRead, hash_file, read_small, read_through};
pub use root::{Gone, Root, stat_of};
pub use scan::{ScanEnd, Scanned, scan};
pub use trash::Trashed;
pub use watch::{Seen, WatchTrouble, Watcher};

/// Whether a path is not synced; the second argument says whether it is a directory. Must say yes for everything below an ignored directory.
pub type Ignored = Arc<dyn Fn(&RelPath, bool) -> bool + Send + Sync>;

#[cfg(test)]
mod tests;
