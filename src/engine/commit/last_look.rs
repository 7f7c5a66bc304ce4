//! The last look at the paths of staged deletions: again and again while they wait, and at each batch just before its call, however many wait
//! behind it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::folder::Folder;
use crate::engine::folder::answered::answered;
use crate::engine::local_removal;
use crate::env::now_ms;
use crate::local::Root;
use crate::model::{Batch, Change, ChangeId, FolderId, Local, Remote, RemoteChange};
use crate::plan::delete::last_look::{AGAIN_MS, Fate, Root as Standing, Seen, Target, fate, still_meant};
use crate::plan::delete::removal;

/// The batch without deletions that are no longer meant: their paths are looked at again. Of a folder whose root is not the one that was synced
/// nothing goes. To be called right before the call, with nothing between the two that takes time.
pub(crate) async fn before_call(account: &Arc<Account>, batch: &Batch) -> Result<(Batch, BTreeSet<FolderId>), Fatal> {
    let (mut later, mut back) = (BTreeSet::new(), BTreeSet::new());
    let folders: BTreeSet<FolderId> = batch.changes.iter().map(|change| change.folder).collect();
    for id in folders {
        let of: Vec<Change> = batch.changes.iter().filter(|change| change.folder == id).cloned().collect();
        let ids: Vec<ChangeId> = of.iter().map(|change| change.id).collect();
        let fates = match account.folder(id).cloned() {
            None => None,
            Some(folder) => {
                let (ours, at) = (Arc::clone(account), Arc::clone(&folder));
                answered(&folder, move || Ok(fates(&ours, &at, &of, Asked::Wholly))).await?
            }
        };
        // Where the disk does not answer, nothing is known.
        let Some(fates) = fates else {
            later.extend(ids);
            continue;
        };
        for (id, fate) in fates {
            match fate {
                Fate::Stays => {}
                Fate::Withdrawn => {
                    back.insert(id);
                }
                Fate::Unknown => {
                    later.insert(id);
                }
            }
        }
    }
    if later.is_empty() && back.is_empty() {
        return Ok((batch.clone(), BTreeSet::new()));
    }
    let now = now_ms();
    let put_off = later.iter().map(|id| (*id, now + AGAIN_MS)).collect();
    let dropped = back.iter().map(|id| (*id, None)).collect();
    account.store.leave_batch(batch.id, put_off, dropped, now).await?;
    let stays = |change: &&Change| !later.contains(&change.id) && !back.contains(&change.id);
    let changes: Vec<Change> = batch.changes.iter().filter(stays).cloned().collect();
    let folders = batch.changes.iter().filter(|change| back.contains(&change.id)).map(|change| change.folder).collect();
    Ok((Batch { entries: changes.len(), changes, ..batch.clone() }, folders))
}

/// Of these deletions of one folder, those that are no longer meant. Blocks.
pub(crate) fn withdrawn(account: &Account, folder: &Arc<Folder>, changes: &[Change]) -> Vec<ChangeId> {
    let fates = fates(account, folder, changes, Asked::InPassing);
    fates.into_iter().filter(|(_, fate)| *fate == Fate::Withdrawn).map(|(id, _)| id).collect()
}

/// What is asked of the folder's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Whether it can be looked into: nothing goes yet.
    InPassing,
    /// Whether it is the one that was synced.
    Wholly,
}

/// What becomes of each of these deletions of one folder. Blocks.
fn fates(account: &Account, folder: &Arc<Folder>, changes: &[Change], asked: Asked) -> Vec<(ChangeId, Fate)> {
    let root = folder.root.pin();
    if asked == Asked::InPassing && !root.is_open() {
        return changes.iter().map(|change| (change.id, fate(false, Standing::Away))).collect();
    }
    let meant: Vec<(ChangeId, bool)> =
        changes.iter().map(|change| (change.id, is_meant(account, folder, &root, change))).collect();
    // After looking, on the handle that was looked through.
    let is_away = asked == Asked::Wholly && folder.vouch(&root).is_err();
    let standing = if is_away { Standing::Away } else { Standing::Synced };
    meant.into_iter().map(|(id, meant)| (id, fate(meant, standing))).collect()
}

fn is_meant(account: &Account, folder: &Arc<Folder>, root: &Root, change: &Change) -> bool {
    let (store, id, path) = (&account.store, change.folder, &change.path);
    let target = match &change.what {
        // Whether it may go is asked when it goes.
        RemoteChange::Trash { rev, .. } => {
            let view = account.remote.view_blocking(account, id, path);
            return removal::is_meant(local_removal::target(rev.as_deref()), view.as_ref().map(|view| &view.remote));
        }
        RemoteChange::Delete { rev, .. } => Target::File { rev },
        RemoteChange::DeleteFolder { .. } => Target::Folder,
        _ => return true,
    };
    let found = store.base_blocking(id, path);
    let (base, base_known) = match found {
        Ok(base) => (base, Ok(())),
        Err(error) => (None, Err(error)),
    };
    // Its own device says whether a disk is away that was mounted inside the folder.
    let local = Folder::look_at(root, path, base.as_ref());
    let asks = target == Target::Folder && folder.comes_down() && matches!(local, Local::Absent | Local::File(_));
    let holds_files =
        if asks { account.remote.has_files_blocking(store, id, &folder.home(path)) } else { Ok(Some(false)) };
    let there = || account.remote.view_blocking(account, id, path).map(|view| view.remote);
    let seen = Seen {
        folder: if asks { there().map(|remote| matches!(remote, Remote::Folder | Remote::Unlisted)) } else { Ok(true) },
        local: &local,
        base: base_known.map(|()| base.as_ref()),
        ignored: folder.ignored(path, target == Target::Folder).is_some(),
        passes: folder.passes_deletions(),
        holds_files,
    };
    still_meant(target, &seen)
}
