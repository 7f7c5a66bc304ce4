//! The remote cache as the other tasks see it: which listing covers what, what it says of a path, how it stands.
//!
//! [`Reader`] is the same for programs that look into the database without a daemon (`ferrybox ls`).

mod reader;

pub use reader::{Covered, Reader, ReaderError, list_online};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::config;
use crate::daemon::account::Account;
use crate::daemon::clock::now_ms;
use crate::daemon::folder::Folder;
use crate::daemon::live::lock;
use crate::model::{Claimed, FolderId, RelPath, Remote, RemotePath, UnixMs, status};
use crate::plan::listing::{is_sure, key_of, scopes, within};
use crate::store::{Compared, ListingId, Sought, Store, StoreError, TreeId};

/// The listings of one account.
pub(crate) struct RemoteCache {
    pub(crate) lanes: Vec<Arc<Lane>>,
}

/// One listing: a remote folder that is followed.
pub(crate) struct Lane {
    pub(crate) id: ListingId,
    pub(crate) scope: RemotePath,
    /// The folders that it covers.
    pub(crate) folders: Vec<Compared>,
    pub(crate) now: Mutex<LaneNow>,
    /// Ends a wait early.
    pub(crate) nudge: Notify,
}

/// A listing's state in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct LaneNow {
    /// When Dropbox last said how things are.
    pub(crate) confirmed: Option<UnixMs>,
    /// Why it does not go on.
    pub(crate) failure: Option<String>,
    /// Whether uploads need not wait for the first listing (any more).
    pub(crate) let_go: bool,
    /// Whether this run knows how things are in Dropbox (or has given up for now): `run --once` ends no sooner.
    pub(crate) settled: bool,
    /// Entries without a path.
    pub(crate) unmounted: u64,
    /// Entries of unknown kinds, by tag.
    pub(crate) unknown: BTreeMap<String, u64>,
}

impl Lane {
    /// Changes what is known now.
    pub(crate) fn set(&self, change: impl FnOnce(&mut LaneNow)) {
        change(&mut lock(&self.now));
    }
}

impl RemoteCache {
    /// Finds or makes the listings that these folders need.
    pub(crate) async fn open(
        store: &Store,
        config: &config::Listing,
        folders: &[Arc<Folder>],
    ) -> Result<Self, StoreError> {
        let remotes: Vec<_> = folders.iter().map(|f| f.remote.clone()).collect();
        let scopes = scopes(&remotes, config.whole);
        let question = serde_json::to_string(&config.question).unwrap_or_default();
        let names: Vec<String> = scopes.iter().map(|s| s.as_str().to_owned()).collect();
        let listings = store.open_listings(&names, &question).await?;
        let lanes = listings.into_iter().zip(scopes).map(|(listing, scope)| {
            let covered = folders.iter().filter(|f| within(&f.remote, &scope));
            let folders = covered.map(|f| Compared { folder: f.id, remote: f.remote.clone() }).collect();
            let now = LaneNow { let_go: listing.live.is_some(), ..LaneNow::default() };
            Arc::new(Lane { id: listing.id, scope, folders, now: Mutex::new(now), nudge: Notify::new() })
        });
        Ok(Self { lanes: lanes.collect() })
    }

    fn lane_of(&self, folder: FolderId) -> Option<&Arc<Lane>> {
        self.lanes.iter().find(|lane| lane.folders.iter().any(|f| f.folder == folder))
    }

    /// Folders whose first listing is under way: what was never in sync waits for it, so that what Dropbox has is not sent again.
    /// Never for longer than `listing.patience`, and not while the listing fails.
    pub(crate) fn folders_to_wait_for(&self) -> Vec<FolderId> {
        let waiting = self.lanes.iter().filter(|lane| !lock(&lane.now).let_go);
        waiting.flat_map(|lane| lane.folders.iter().map(|f| f.folder)).collect()
    }

    /// Whether every listing has been brought up to date since the start, or does not get on.
    pub(crate) fn settled(&self) -> bool {
        self.lanes.iter().all(|lane| lock(&lane.now).settled)
    }

    /// The remote views of claimed rows, in their order. Blocks.
    pub(crate) fn views_blocking(&self, account: &Account, claimed: &[Claimed]) -> Result<Vec<Remote>, StoreError> {
        let sought: Vec<_> = claimed.iter().map(|c| self.sought(account, c.job.folder, &c.job.path)).collect();
        account.store.remote_views_blocking(&sought)
    }

    /// The remote views of a folder's paths, in their order. Blocks.
    pub(crate) fn views_of_blocking(
        &self,
        account: &Account,
        folder: FolderId,
        paths: &[RelPath],
    ) -> Result<Vec<Remote>, StoreError> {
        let sought: Vec<_> = paths.iter().map(|path| self.sought(account, folder, path)).collect();
        account.store.remote_views_blocking(&sought)
    }

    fn sought(&self, account: &Account, folder: FolderId, path: &RelPath) -> Option<Sought> {
        let lane = self.lane_of(folder)?;
        let place = account.folder(folder)?.home(path);
        Some(Sought { listing: lane.id, key: key_of(place.as_str()), sure: is_sure(place.as_str()) })
    }

    /// For the status.
    pub(crate) async fn status(&self, store: &Store) -> Result<status::RemoteCache, StoreError> {
        let mut sum =
            status::RemoteCache { problems: store.remote_odd_count().await?, ..status::RemoteCache::default() };
        let mut oldest: Option<UnixMs> = None;
        for lane in &self.lanes {
            let listing = store.listing(lane.id).await?;
            let now = lock(&lane.now).clone();
            sum.entries += listing.seen().map_or(0, |tree| tree.entries);
            sum.pages += listing.followed().map_or(0, |tree| tree.pages);
            sum.listed += listing.next.as_ref().map_or(0, |tree| tree.entries);
            sum.listing |= listing.followed().is_none_or(|t| t.running || !t.complete) || listing.live.is_none();
            sum.unmounted += now.unmounted;
            sum.unknown += now.unknown.values().sum::<u64>();
            let fresh = now.confirmed.or_else(|| listing.followed().map(|t| t.updated_at));
            oldest = match (oldest, fresh) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            if let (Some(why), Some(next)) = (&listing.held, &listing.next) {
                sum.held.get_or_insert(status::HeldListing {
                    token: token(next.id),
                    reason: why.clone(),
                    known: listing.live.as_ref().map_or(0, |live| live.entries),
                    found: next.entries,
                });
            }
            sum.reason = sum.reason.or(now.failure);
        }
        sum.reason = sum.held.as_ref().map(|held| format!("{} (token {})", held.reason, held.token)).or(sum.reason);
        sum.cursor_age_s = oldest.map(|at| u64::try_from(now_ms().saturating_sub(at) / 1000).unwrap_or(0));
        Ok(sum)
    }

    /// A person's verdict on a held listing: it is used, or thrown away and asked for anew. `None`: no listing of that token is held here.
    pub(crate) async fn answer(
        &self,
        store: &Store,
        text: &str,
        approve: bool,
    ) -> Result<Option<status::Answered>, StoreError> {
        for lane in &self.lanes {
            let listing = store.listing(lane.id).await?;
            let (Some(_), Some(next)) = (&listing.held, &listing.next) else { continue };
            if token(next.id) != text {
                continue;
            }
            let known = listing.live.as_ref().map_or(0, |live| live.entries);
            let outcome = if approve { "approved" } else { "rejected" }.to_owned();
            if approve {
                store.approve_listing(next.id).await?;
            } else {
                store.lose_cursor(lane.id).await?;
            }
            lane.nudge.notify_one();
            return Ok(Some(status::Answered { outcome, deletions: known.saturating_sub(next.entries) }));
        }
        Ok(None)
    }
}

fn token(tree: TreeId) -> String {
    format!("listing-{}", tree.0)
}
