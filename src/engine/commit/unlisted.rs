//! Tells the listing's readers which places they are not to believe it about yet, since our own commit has just changed them. The rules are in
//! [`plan::commit::unlisted`](crate::plan::commit::unlisted).

use std::collections::{BTreeMap, HashMap};

use crate::engine::account::Account;
use crate::model::{Batch, ChangeId, FolderId, Outcome, RelPath, RemotePath};
use crate::plan::commit::unlisted::unlisted;

/// The listing may show these places as they were until it has caught up. Said before base knows of the commit, so that no worker sees the new base
/// beside the old listing.
pub(crate) fn note(account: &Account, batch: &Batch, outcomes: &[(ChangeId, Outcome)]) {
    let outcomes: HashMap<ChangeId, &Outcome> = outcomes.iter().map(|(id, outcome)| (*id, outcome)).collect();
    let mut paths: BTreeMap<FolderId, Vec<RemotePath>> = BTreeMap::new();
    for change in &batch.changes {
        let Some(outcome) = outcomes.get(&change.id) else { continue };
        let folder = account.folder(change.folder);
        let home = folder.map(|folder| move |path: &RelPath| folder.home(path));
        let found = unlisted(change, outcome, home.as_ref().map(|home| home as &dyn Fn(&RelPath) -> RemotePath));
        if !found.trees.is_empty() {
            account.remote.echo_trees(change.folder, found.trees);
        }
        if found.dir_moved {
            account.moves.moved(change.folder);
        }
        if !found.paths.is_empty() {
            paths.entry(change.folder).or_default().extend(found.paths);
        }
    }
    for (folder, places) in paths {
        account.remote.echo(folder, places);
    }
}
