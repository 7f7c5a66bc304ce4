//! Files of patterns that came down from Dropbox: what they hide here was hidden by nobody here, and is a problem until a person has looked.
//!
//! That a file came down is noted before it is in its place, so that the scan that meets what it hides knows it, whatever happens in between. Whoever
//! saves the file here takes it for their own.

use std::collections::BTreeMap;

use tokio::runtime::Handle;

use crate::engine::folder::Folder;
use crate::env::now_ms;
use crate::model::{Base, Failure, FolderId, Job, Local, RelPath};
use crate::plan::name::ignore::IGNORE_FILE;
use crate::store::{Store, StoreError};

/// A file is about to come down: one of patterns is remembered.
pub(crate) async fn note_arrival(store: &Store, folder: FolderId, path: &RelPath) -> Result<(), StoreError> {
    if path.name() == IGNORE_FILE { store.ignore_file_arrives(folder, path).await } else { Ok(()) }
}

/// The same on a thread that may block.
pub(crate) fn note_arrival_blocking(store: &Store, folder: FolderId, path: &RelPath) -> Result<(), StoreError> {
    if path.name() == IGNORE_FILE { Handle::current().block_on(note_arrival(store, folder, path)) } else { Ok(()) }
}

/// A file of patterns is looked at: if it was saved here since it came down, or is gone, it is a person's own from now on. Blocks.
pub(crate) fn look(store: &Store, job: &Job, base: Option<&Base>, local: &Local) -> Result<(), StoreError> {
    let (folder, path) = (job.folder, &job.path);
    let own = match (local, base) {
        (Local::Absent, _) => true,
        (Local::File(stat), Some(base)) => (stat.size, stat.mtime_ns) != (base.stat.size, base.stat.mtime_ns),
        // Without a base nobody knows who saved it: all of the folder may be compared again.
        _ => false,
    };
    // One that was placed right before a stop is not in base yet.
    if !own || store.placing_blocking(folder, path)?.is_some() {
        return Ok(());
    }
    Handle::current().block_on(store.own_ignore_file(folder, path, now_ms()))
}

/// After a scan of `under`: a file of patterns that came down is a problem for as long as it hides anything. `hidden`: what files of patterns hide
/// there, each with how many files of it were in sync until now. Blocks.
pub(crate) fn tell(
    handle: &Handle,
    store: &Store,
    folder: &Folder,
    under: &RelPath,
    hidden: &BTreeMap<RelPath, u64>,
) -> Result<(), StoreError> {
    let now = now_ms();
    let own = folder.rules.has_own_files();
    for (at, in_sync) in hidden.iter().filter(|(_, in_sync)| **in_sync > 0 && !own) {
        if store.ignore_file_arrived_blocking(folder.id, at)? {
            let failure = Failure::wedge("ignore_file", text(*in_sync));
            handle.block_on(store.set_odd(folder.id, at, vec![(at.to_string(), failure)], now))?;
        }
    }
    for at in store.odd_dirs_blocking(folder.id, under)? {
        if at.name() == IGNORE_FILE && (own || !hidden.contains_key(&at)) {
            handle.block_on(store.set_odd(folder.id, &at, Vec::new(), now))?;
        }
    }
    Ok(())
}

fn text(in_sync: u64) -> String {
    let many = if in_sync == 1 { "1 file that was".to_owned() } else { format!("{in_sync} files that were") };
    format!(
        "it came down from Dropbox and hides {many} in sync: nothing was deleted on either side, and nothing of that is synced any more. Take the \
         pattern out of it, here or in Dropbox, or move what it hides elsewhere; to keep others' files of patterns from this device, set \
         `ignore_files = \"local\"` for this folder. If it is meant so, accept it: save the file here (`touch` is enough)"
    )
}
