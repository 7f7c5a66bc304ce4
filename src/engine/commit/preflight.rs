//! A last look into the folders that are about to be deleted in Dropbox.
//!
//! A folder goes in one entry with all that is in it, and no revision protects what another device has put there a moment ago: the cache may not
//! have heard of it. So each folder of a batch is listed just before the call, and whatever is in it that nobody decided to delete takes it out of
//! the batch. Files go by themselves before their folder, each at its revision, so that any file is a stranger here. What can come between this
//! look and the deletion are the milliseconds that the API leaves.
//!
//! Only the topmost folders are listed and sent. Those below them go along and are settled with them (`store::batches`), so that a tree of many
//! folders costs one listing.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use futures_util::stream::{FuturesOrdered, StreamExt as _};

use crate::dropbox::CallError;
use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::blocking::blocking;
use crate::engine::folder::Folder;
use crate::engine::folder::answered::answered;
use crate::env;
use crate::env::now_ms;
use crate::model::listing::{Entry, Page, Question, What};
use crate::model::{Batch, Change, ChangeId, Failure, Outcome, RelPath, RemoteChange, RemotePath, UnixMs};
use crate::plan::commit::batch::topmost;
use crate::plan::listing::key_of;
use crate::store::StoreError;

/// Folders that are listed for one batch: the first of them should not wait long for its deletion. The others follow in the next.
const MOST: usize = 64;
/// Listings under way at once.
const AT_ONCE: usize = 8;
/// A folder that could not be listed is tried again after this long, in ms.
const AGAIN_MS: UnixMs = 2_000;

/// One that goes with a folder of another batch is taken up again after this long, in ms.
const SOON_MS: UnixMs = 300;
/// What lies below one that Dropbox does not find any more waits this long for the listing, which then takes it back, in ms.
const LISTED_MS: UnixMs = 10_000;
/// It waits at most this long for a folder above it that is yet to be staged, in ms.
const PATIENCE_MS: UnixMs = 20_000;

/// What a folder was found to hold.
enum Found {
    /// Nothing but what was decided to go, and all of it was seen.
    Ours,
    /// Something else, or something that cannot be seen: why it stays.
    Kept(Failure),
    /// Dropbox does not find the folder.
    Gone,
    /// It could not be listed.
    Failed,
}

/// The batch without folders that hold anything else than what was decided to go. Those are looked at again; what could not be looked into waits,
/// and so does what goes with a folder above it.
pub(crate) async fn without(account: &Arc<Account>, batch: &Batch) -> Result<Batch, Fatal> {
    let is_folder = |c: &&Change| matches!(c.what, RemoteChange::DeleteFolder { .. });
    // One that Dropbox has refused (there may be too much in it) takes no others along.
    let (folders, refused): (Vec<&Change>, Vec<&Change>) =
        batch.changes.iter().filter(is_folder).partition(|change| change.attempts == 0);
    let now = now_ms();
    let (mut later, mut strange) = (Vec::new(), Vec::new());
    let keys: Vec<String> = folders.iter().map(|change| key_of(change.what.place().as_str())).collect();
    let mut asked = refused;
    for (i, (change, top)) in folders.iter().zip(topmost(&keys)).enumerate() {
        if top != i {
            later.push((change.id, now));
        } else if account.store.goes_with_one_above(change.folder, &change.path, PATIENCE_MS, now).await? {
            later.push((change.id, now + SOON_MS));
        } else if asked.len() >= MOST {
            later.push((change.id, now));
        } else {
            asked.push(*change);
        }
    }
    for some in asked.chunks(AT_ONCE) {
        let mut looks = FuturesOrdered::new();
        for change in some {
            looks.push_back(look(account, change));
        }
        for change in some {
            match looks.next().await.unwrap_or(Ok(Found::Failed))? {
                Found::Ours => {}
                Found::Kept(failure) => strange.push((change.id, Some(failure))),
                // Nobody has seen what is in it: it is looked at again with what the listing says by then, and no call is made for it.
                Found::Gone => {
                    strange.push((change.id, Some(not_found())));
                    account.store.rest_below(change.folder, &change.path, now + LISTED_MS).await?;
                }
                Found::Failed => later.push((change.id, now + AGAIN_MS)),
            }
        }
    }
    if later.is_empty() && strange.is_empty() {
        return Ok(batch.clone());
    }
    let left: HashSet<ChangeId> = later.iter().map(|(id, _)| *id).chain(strange.iter().map(|(id, _)| *id)).collect();
    account.store.leave_batch(batch.id, later, strange, now).await?;
    let changes: Vec<Change> = batch.changes.iter().filter(|change| !left.contains(&change.id)).cloned().collect();
    Ok(Batch { entries: changes.len(), changes, ..batch.clone() })
}

/// Of what lay below a folder that went, the cache is not believed before it shows that.
pub(crate) fn echo(account: &Account, batch: &Batch, outcomes: &[(ChangeId, Outcome)]) {
    let gone: HashSet<ChangeId> =
        outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Settled(None)).map(|(id, _)| *id).collect();
    for change in batch.changes.iter().filter(|change| gone.contains(&change.id)) {
        if let RemoteChange::DeleteFolder { path } = &change.what {
            account.remote.echo_trees(change.folder, [path.clone()]);
        }
    }
}

async fn look(account: &Arc<Account>, change: &Change) -> Result<Found, Fatal> {
    let Some(folder) = account.folder(change.folder) else { return Ok(Found::Failed) };
    let place = change.what.place();
    let known = Arc::new(Known::read(account, folder, &change.path).await?);
    // Whatever the configuration leaves out: it would go, too.
    let question = Question {
        include_mounted_folders: true,
        include_non_downloadable_files: true,
        ..account.config.listing.question.clone()
    };
    let mut reply = account.dropbox.list_folder(place, &question).await;
    loop {
        let page = match account.judge(reply) {
            Ok(page) => page,
            Err(error) if error.is("path/not_found") => {
                account.remote.hurry(change.folder);
                return Ok(Found::Gone);
            }
            Err(CallError::Api(error)) if error.status == 409 => {
                return Ok(Found::Kept(unseen(last(place))));
            }
            Err(_) => return Ok(Found::Failed),
        };
        let (more, cursor) = (page.has_more, page.cursor.clone());
        let (ours, of) = (Arc::clone(&known), Arc::clone(folder));
        // What is left out here is known from files of patterns.
        match answered(folder, move || Ok(ours.stranger(&of, &page))).await? {
            Some(None) => {}
            Some(Some(failure)) => return Ok(Found::Kept(failure)),
            None => return Ok(Found::Failed),
        }
        if !more {
            return Ok(Found::Ours);
        }
        reply = account.dropbox.list_continue(&cursor).await;
    }
}

/// The folders below one that both sides had agreed on: they went here with it. By the hashes of their keys, since they may be many.
struct Known {
    /// The folder's own.
    top: String,
    keys: HashSet<u64>,
    by: RandomState,
}

impl Known {
    async fn read(account: &Arc<Account>, folder: &Arc<Folder>, dir: &RelPath) -> Result<Self, Fatal> {
        let (account, store, folder, dir) =
            (Arc::clone(account), account.store.clone(), Arc::clone(folder), dir.clone());
        blocking(move || {
            let by = env::random_state();
            let odd = store.has_odd_keys_blocking(folder.id, &dir)?;
            let mut keys = HashSet::new();
            let mut failed = None;
            store.agreed_below_each_blocking(folder.id, &dir, &mut |path| {
                let told = if odd { store.odd_key_blocking(folder.id, path) } else { Ok(None) };
                let listed = || account.remote.key_blocking(&account.store, folder.id, &folder.home(path));
                match told.and_then(|told| told.map_or_else(listed, Ok)) {
                    Ok(key) => {
                        keys.insert(by.hash_one(key));
                    }
                    Err(error) => failed = Some(error),
                }
            })?;
            failed.map_or(Ok(()), Err::<(), StoreError>)?;
            let top = account.remote.key_blocking(&account.store, folder.id, &folder.home(&dir))?;
            Ok(Self { top, keys, by })
        })
        .await
    }

    /// Why the folder stays: something that nobody decided to delete, or that cannot be seen.
    fn stranger(&self, folder: &Folder, page: &Page) -> Option<Failure> {
        if let Some(refused) = page.refused.first() {
            return Some(stranger(&refused.text));
        }
        if page.unmounted > 0 || !page.unknown.is_empty() {
            return Some(stranger("something of an unknown kind"));
        }
        let hidden = |entry: &&Entry| matches!(&entry.what, What::Folder(facts) if facts.marks.unseen);
        if let Some(entry) = page.entries.iter().find(hidden) {
            return Some(unseen(&entry.name));
        }
        let strange = |entry: &&Entry| match entry.what {
            What::File(_) => true,
            What::Folder(_) => {
                let key = entry.key.as_str();
                key != self.top && !self.keys.contains(&self.by.hash_one(key)) && !is_ignored(folder, entry)
            }
            What::Deleted => false,
        };
        page.entries.iter().find(strange).map(|entry| stranger(&entry.name))
    }
}

/// An empty folder that is left out here has nothing that could be lost.
fn is_ignored(folder: &Folder, entry: &Entry) -> bool {
    let above = folder.remote.as_str().split('/').filter(|name| !name.is_empty()).count();
    let names: Vec<&str> = entry.key.as_str().split('/').filter(|name| !name.is_empty()).skip(above).collect();
    let Some((_, parents)) = names.split_last() else { return false };
    let path = parents.iter().copied().chain([entry.name.as_str()]).collect::<Vec<_>>().join("/");
    RelPath::parse(&path).is_ok_and(|path| folder.ignored(&path, true).is_some())
}

fn last(place: &RemotePath) -> &str {
    place.as_str().rsplit('/').next().unwrap_or_default()
}

/// The failure of a folder in which something was found.
fn stranger(name: &str) -> Failure {
    Failure::look(
        "dir_kept",
        format!(
            "it was deleted here, but its folder in Dropbox holds something that is not here (`{name}`), so it stays: it came from elsewhere a moment \
             ago, or is left out by `[listing]`; delete the folder in Dropbox if that is to go, or make the directory again"
        ),
    )
}

/// The failure of a folder of which not everything can be seen.
fn unseen(name: &str) -> Failure {
    Failure::look(
        "dir_kept",
        format!(
            "it was deleted here, but its folder in Dropbox stays, since this account may not look into `{name}`, and what may not be seen is not \
             deleted: ask its owner for access, or delete the folder in Dropbox"
        ),
    )
}

/// The failure of a folder that the listing shows and Dropbox does not find.
fn not_found() -> Failure {
    Failure::look(
        "dir_kept",
        "it was deleted here, and Dropbox does not find its folder although the listing shows it: the listing is waited for",
    )
}
