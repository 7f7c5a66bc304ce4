//! Folders whose remote root is gone, or is another one: nothing of them is worked on until the same one is back, or a person has decided.

use super::{Lane, LaneNow, RemoteCache};
use crate::engine::gather::fence::Echo;
use crate::env::lock;
use crate::env::{now_ms, rfc3339};
use crate::model::status::{Answered, Held};
use crate::model::{FolderId, UnixMs};
use crate::plan::delete::guard::Seal;
use crate::plan::listing::remote_root::{Facts, Seen, Verdict, Why, judge};
use crate::store::{AtRoot, Compared, Listing, RootFacts, Store, StoreError};

/// Why a folder stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lost {
    /// What happened to its remote root.
    pub(crate) why: Why,
    /// The same for people, with what to do.
    pub(crate) reason: String,
    /// What `approve` names it by.
    pub(crate) token: String,
    /// Since when.
    pub(crate) since: UnixMs,
}

/// What Dropbox says where the folder that is listed is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoFolder {
    /// Nothing is there.
    Gone,
    /// A file is there.
    File,
}

impl Lane {
    /// Judges the remote roots of all its folders. With `none` the listed folder itself is not there; else the live tree is believed, if it is whole.
    pub(crate) async fn judge_roots(
        &self,
        store: &Store,
        listing: &Listing,
        none: Option<NoFolder>,
    ) -> Result<(), StoreError> {
        let whole = listing.next.is_none()
            && listing.live.as_ref().is_some_and(|live| live.complete && !live.running && live.cursor.is_some());
        if none.is_none() && !whole {
            return Ok(());
        }
        for folder in self.folders.iter().filter(|folder| !folder.remote.as_str().is_empty()) {
            let facts = store.remote_root(self.id, folder.folder, folder.remote.to_string()).await?;
            match verdict(&facts, none, &self.echo) {
                Verdict::Fine => self.found_again(store, folder).await?,
                Verdict::Learn(id) => {
                    store.set_remote_root(folder.folder, &id).await?;
                    self.found_again(store, folder).await?;
                }
                Verdict::Unknown => {}
                Verdict::Stop(why) => self.lose_root(store, folder, why, facts.known.as_deref()).await?,
            }
        }
        Ok(())
    }

    async fn lose_root(
        &self,
        store: &Store,
        folder: &Compared,
        why: Why,
        known: Option<&str>,
    ) -> Result<(), StoreError> {
        if self.root_lost(folder.folder).is_some_and(|lost| lost.why == why) {
            return Ok(());
        }
        // Before anything follows from it: a run that cannot list Dropbox has nothing else to know it by.
        store.set_remote_lost(folder.folder, true).await?;
        let mut seal = Seal::new("remote root");
        seal.add(known.unwrap_or_default(), why.word());
        let token = format!("remote-{}-{}", folder.folder.0, seal.token());
        let reason = why.reason(folder.remote.as_str(), &token);
        tracing::warn!(folder = folder.folder.0, %reason, "the folder stops");
        let lost = Lost { why, reason, token, since: now_ms() };
        self.set(|now| {
            now.lost_before.remove(&folder.folder);
            now.lost.insert(folder.folder, lost);
        });
        store.poke();
        Ok(())
    }

    async fn found_again(&self, store: &Store, folder: &Compared) -> Result<(), StoreError> {
        if !lock(&self.now).is_lost(folder.folder) {
            return Ok(());
        }
        tracing::info!(folder = folder.folder.0, remote = %folder.remote, "the remote folder is back: syncing goes on");
        // What was touched while it stopped was compared for the other folders only. The mark goes last: it is what a run that ends here leaves.
        store.compare_anew().await?;
        store.set_remote_lost(folder.folder, false).await?;
        self.set(|now| now.forget_loss(folder.folder));
        store.poke();
        Ok(())
    }

    /// Why this folder stops.
    pub(crate) fn root_lost(&self, folder: FolderId) -> Option<Lost> {
        lock(&self.now).lost.get(&folder).cloned()
    }

    /// The folders whose remote root is there, or may be made.
    pub(crate) fn folders_there(&self) -> Vec<Compared> {
        let now = lock(&self.now);
        self.folders.iter().filter(|folder| !now.is_lost(folder.folder)).cloned().collect()
    }

    /// Whether the folder that is listed is not there.
    pub(crate) fn is_without_folder(&self) -> bool {
        lock(&self.now).no_folder.is_some()
    }

    /// Whether it covers a folder that is all of Dropbox: that has no id, so that nothing tells a loss of it from an answer that is wrong.
    pub(crate) fn has_folder_without_identity(&self) -> bool {
        self.folders.iter().any(|folder| folder.remote.as_str().is_empty())
    }

    /// This run has looked at the remote roots, or cannot. Those that were lost are not believed to be there for that.
    pub(crate) fn roots_looked_at(&self, store: &Store) {
        let mut waited = false;
        self.set(|now| {
            let before = now.unseen.len();
            let LaneNow { unseen, lost_before, .. } = now;
            unseen.retain(|folder| lost_before.contains(folder));
            waited = unseen.len() < before;
        });
        if waited {
            store.poke();
        }
    }

    /// What of it waits for a person: its token, and what it holds.
    pub(crate) fn lost(&self) -> Vec<(FolderId, Lost)> {
        lock(&self.now).lost.iter().map(|(folder, lost)| (*folder, lost.clone())).collect()
    }
}

fn verdict(facts: &RootFacts, none: Option<NoFolder>, echo: &Echo) -> Verdict {
    let seen = match (none, &facts.at) {
        (Some(NoFolder::Gone), _) | (None, AtRoot::Nothing) => Seen::Nothing,
        (Some(NoFolder::File), _) | (None, AtRoot::File) => Seen::File,
        (None, AtRoot::Folder(id)) => Seen::Folder(Some(id.as_str()).filter(|id| !id.is_empty())),
    };
    judge(Facts { known: facts.known.as_deref(), agreed: facts.agreed, lags: !echo.is_quiet(), seen })
}

impl RemoteCache {
    /// Folders that nothing is done for: their remote root is gone or another one, or has yet to be looked at in this run.
    pub(crate) fn folders_without_root(&self) -> Vec<FolderId> {
        let mut all = Vec::new();
        for lane in &self.lanes {
            let now = lock(&lane.now);
            all.extend(now.lost.keys().copied().chain(now.unseen.iter().copied()));
        }
        all
    }

    /// Lost roots as something that waits for a person, unless only Dropbox's side can change it.
    pub(super) async fn held_roots(store: &Store, account: &str, lane: &Lane) -> Result<Vec<Held>, StoreError> {
        let mut all = Vec::new();
        for (folder, lost) in lane.lost().into_iter().filter(|(_, lost)| lost.why.can_be_approved()) {
            let remote = lane.folders.iter().find(|f| f.folder == folder).map(|f| f.remote.to_string());
            all.push(Held {
                kind: "remote_root".to_owned(),
                token: lost.token,
                account: account.to_owned(),
                folder: remote.unwrap_or_default(),
                deletions: store.files_in_sync(folder).await?,
                since: rfc3339(lost.since),
                sample: Vec::new(),
                reason: lost.reason,
            });
        }
        Ok(all)
    }

    /// A person's word on a remote root. `None`: no root has this token. The folder's number comes with it: it is to be scanned.
    pub(crate) async fn answer_root(
        &self,
        store: &Store,
        token: &str,
        approve: bool,
    ) -> Result<Option<Result<(FolderId, Answered), String>>, StoreError> {
        for lane in &self.lanes {
            let Some((folder, lost)) = lane.lost().into_iter().find(|(_, lost)| lost.token == token) else { continue };
            if !approve {
                let text = "nothing is to be undone: nothing was removed here, and nothing is sent until the folder is back in Dropbox or \
                            `ferrybox approve` is given this token; `ferrybox remove` ends syncing the folder";
                return Ok(Some(Err(text.to_owned())));
            }
            if !lost.why.can_be_approved() {
                return Ok(Some(Err(lost.reason)));
            }
            let deletions = store.files_in_sync(folder).await?;
            let id = if let Why::Another(id) = &lost.why { Some(id.clone()) } else { None };
            let gone = lock(&lane.now).no_folder.map(|_| lane.id);
            store.meet_again(folder, id, gone).await?;
            lane.set(|now| now.forget_loss(folder));
            store.poke();
            lane.nudge.notify_one();
            tracing::info!(folder = folder.0, "a person has decided on the remote folder: both sides meet again");
            return Ok(Some(Ok((folder, Answered { outcome: "approved".to_owned(), deletions }))));
        }
        Ok(None)
    }
}
