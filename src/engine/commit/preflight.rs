//! Lists the folders that are about to be deleted in Dropbox, just before the call, and takes those out of the batch that hold anything else than what was
//! decided to go. What can come between this look and the deletion are the milliseconds that the API leaves. The rules are in
//! [`plan::delete::preflight`](crate::plan::delete::preflight).

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
use crate::model::listing::{Entry, Page, Question};
use crate::model::{Batch, Change, ChangeId, Failure, RelPath, RemoteChange, RemotePath};
use crate::plan::commit::batch::topmost;
use crate::plan::delete::preflight::{Fate, Found, PATIENCE_MS, Place, Turn, fate, turn, unexpected, unseen};
use crate::plan::listing::key_of;
use crate::store::StoreError;

/// Listings under way at once.
const AT_ONCE: usize = 8;

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
    let mut asked = Vec::new();
    let places = refused.into_iter().map(|change| (change, Some(Place::Refused)));
    let below = folders.iter().zip(topmost(&keys)).enumerate();
    let places = places.chain(below.map(|(i, (change, top))| (*change, (top != i).then_some(Place::BelowAnother))));
    for (change, place) in places {
        let place = match place {
            Some(place) => place,
            None if account.store.goes_with_one_above(change.folder, &change.path, PATIENCE_MS, now).await? => {
                Place::GoesWithOneAbove
            }
            None => Place::Topmost,
        };
        match turn(place, asked.len()) {
            Turn::List => asked.push(change),
            Turn::Later(after) => later.push((change.id, now + after)),
        }
    }
    for some in asked.chunks(AT_ONCE) {
        let mut looks = FuturesOrdered::new();
        for change in some {
            looks.push_back(look(account, change));
        }
        for change in some {
            match fate(looks.next().await.unwrap_or(Ok(Found::Failed))?) {
                Fate::Goes => {}
                Fate::Stays(failure, below) => {
                    strange.push((change.id, Some(failure)));
                    if let Some(after) = below {
                        account.store.rest_below(change.folder, &change.path, now + after).await?;
                    }
                }
                Fate::Later(after) => later.push((change.id, now + after)),
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
        match answered(folder, move || Ok(ours.unexpected(&of, &page))).await? {
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

    /// Why the folder stays for what this page shows.
    fn unexpected(&self, folder: &Folder, page: &Page) -> Option<Failure> {
        let is_known = |key: &str| key == self.top || self.keys.contains(&self.by.hash_one(key));
        unexpected(page, is_known, |entry| is_ignored(folder, entry))
    }
}

/// Whether a folder is left out here.
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
