//! Walking a folder: the truth behind the watcher's hints.

use std::ops::ControlFlow;

use super::{Kind, Root};
use crate::model::{Failure, RelPath, Stat};

/// One directory of a scan.
#[derive(Debug, Clone, PartialEq)]
pub enum Scanned {
    /// Listed whole. What belonged to it and is in none of these lists is gone.
    Dir {
        /// Which.
        dir: RelPath,
        /// Its files, sorted by name.
        files: Vec<(String, Stat)>,
        /// Its directories that are scanned next, sorted by name.
        dirs: Vec<String>,
        /// Files that are not synced: there, and not looked at.
        ignored_files: Vec<String>,
        /// Directories that are not synced: not entered.
        ignored_dirs: Vec<String>,
        /// Entries that are there and could not be looked at: unknown, not gone.
        unknown: Vec<(String, Failure)>,
        /// Names that cannot be written as text, made readable.
        odd: Vec<(String, Failure)>,
        /// Symlinks, FIFOs, sockets, devices.
        others: Vec<(String, &'static str)>,
        /// Another file system is mounted here, or above.
        other_device: bool,
    },
    /// Not listed, or not to its end: everything below is unknown, nothing of it is gone.
    Unreadable {
        /// Which.
        dir: RelPath,
        /// Why.
        failure: Failure,
    },
}

/// How a scan went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanEnd {
    /// Directories listed.
    pub dirs: u64,
    /// Files seen, without the ignored ones.
    pub files: u64,
    /// Directories that could not be listed.
    pub unreadable: u64,
    /// The sink stopped it: what was not reported is unknown.
    pub stopped: bool,
}

/// Scans `start` and everything below, depth first, each directory's entries in the order of their bytes, one directory in memory at a time.
///
/// `before_list` is told of directories before they are listed, a directory's children all at once, so that watches are in place first
/// and what is created from then on makes itself known. Whether the root is still there is the caller's to check, before and after.
pub fn scan(
    root: &Root,
    ignored: &dyn Fn(&RelPath, bool) -> bool,
    start: &RelPath,
    before_list: &mut dyn FnMut(&[RelPath]),
    sink: &mut dyn FnMut(Scanned) -> ControlFlow<()>,
) -> ScanEnd {
    let mut end = ScanEnd::default();
    before_list(std::slice::from_ref(start));
    // For each level, the directories that are still to be listed, the next one last.
    let mut levels = vec![vec![start.clone()]];
    while let Some(level) = levels.last_mut() {
        let Some(dir) = level.pop() else {
            levels.pop();
            continue;
        };
        let (scanned, mut children) = list(root, ignored, dir);
        match &scanned {
            Scanned::Dir { files, .. } => {
                end.dirs += 1;
                end.files += files.len() as u64;
            }
            Scanned::Unreadable { .. } => end.unreadable += 1,
        }
        if !children.is_empty() {
            before_list(&children);
        }
        if sink(scanned).is_break() {
            end.stopped = true;
            return end;
        }
        children.reverse();
        levels.push(children);
    }
    end
}

fn list(root: &Root, ignored: &dyn Fn(&RelPath, bool) -> bool, dir: RelPath) -> (Scanned, Vec<RelPath>) {
    let listing = match root.read_dir(&dir) {
        Ok(listing) => listing,
        Err(failure) => return (Scanned::Unreadable { dir, failure }, Vec::new()),
    };
    if let Some(failure) = listing.incomplete {
        return (Scanned::Unreadable { dir, failure }, Vec::new());
    }
    let (mut files, mut dirs, mut children) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ignored_files, mut ignored_dirs) = (Vec::new(), Vec::new());
    let (mut unknown, mut others) = (Vec::new(), Vec::new());
    for (name, kind) in listing.entries {
        let Ok(path) = dir.child(&name) else { continue };
        let is_dir = kind == Kind::Dir;
        match kind {
            _ if ignored(&path, is_dir) => (if is_dir { &mut ignored_dirs } else { &mut ignored_files }).push(name),
            Kind::File(stat) => files.push((name, stat)),
            Kind::Dir => {
                dirs.push(name);
                children.push(path);
            }
            Kind::Other(kind) => others.push((name, kind)),
            Kind::Unknown(failure) => unknown.push((name, failure)),
        }
    }
    let other_device = listing.dev != root.dev();
    let odd = listing.odd;
    (Scanned::Dir { dir, files, dirs, ignored_files, ignored_dirs, unknown, odd, others, other_device }, children)
}
