//! Following one listing: which call is next, and what becomes of its answer. No waiting in here: who calls [`Follower::step`] decides when.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use crate::dropbox::{CallError, Dropbox};
use crate::engine::gather::remote::{Lane, NoFolder};
use crate::engine::listing::inbound_guard;
use crate::engine::listing::inbound_guard::InboundGuard;
use crate::env;
use crate::env::Instant;
use crate::env::now_ms;
use crate::model::Disk;
use crate::model::key::loose_key_of;
use crate::model::listing::{Page, Refused, What};
use crate::plan::delete::guard::Limits;
use crate::plan::listing::walk::Mark;
use crate::plan::listing::{believable, collapsed, holds, moved, rule, unholdable};
use crate::plan::rename::detect::is_halfway;
use crate::store::{Listing, Naming, Place, Store, StoreError, Tree, TreeId};

/// Pages of one run that are remembered, to tell one that brings nothing new.
const REMEMBERED: usize = 10_000;
/// So long after a refused cursor another one that is refused is believed to be worth nothing, too.
const BELIEVED: Duration = Duration::from_secs(600);

/// Follows one listing.
pub(crate) struct Follower {
    pub(crate) store: Store,
    pub(crate) dropbox: Dropbox,
    pub(crate) lane: Arc<Lane>,
    pub(crate) limits: Limits,
    inbound: InboundGuard,
    /// The path root of the last calls, where it is asked for by name.
    root: Option<String>,
    /// Pages of the run under way that had more to come, by their entries' hashes.
    pages: HashSet<u64>,
    by: RandomState,
    /// What a next tree of another namespace lacks: of this tree, after so many pages.
    lost: Option<(TreeId, u64, Option<u64>)>,
    /// When the last call began that had nothing more to fetch: our commits of before are in the cache, once that is compared.
    began: Option<u64>,
    /// When a cursor was refused, and no other one has led anywhere since.
    refused: Option<Instant>,
    /// Failures in a row of the recursive listing that a walk may get round.
    broken: u32,
    /// The tree that was walked last: changes since it began are being fetched.
    walked: Option<TreeId>,
    /// How often the cursor of the folder that is walked was refused.
    refused_pages: u32,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stepped {
    /// Something was done, and more may be waiting. The number of entries.
    Went(u64),
    /// A page brought nothing that an earlier one of its run had not, and more is to come.
    Barren,
    /// The cursor was refused: everything is to be listed again.
    Restarted(String),
    /// Everything that is ready was fetched; changes come after this cursor.
    AtRest(String),
    /// Dropbox has no such folder.
    Missing,
}

/// Why a step did not come to its end. Nothing of it was stored.
#[derive(Debug)]
pub(crate) enum Stuck {
    Call(CallError),
    Protocol(String),
    Store(StoreError),
}

impl From<StoreError> for Stuck {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Follower {
    pub(crate) fn new(store: Store, dropbox: Dropbox, lane: Arc<Lane>, limits: Limits) -> Self {
        Self {
            store,
            dropbox,
            lane,
            limits,
            inbound: InboundGuard::default(),
            root: None,
            pages: HashSet::new(),
            by: env::random_state(),
            lost: None,
            began: None,
            refused: None,
            broken: 0,
            walked: None,
            refused_pages: 0,
        }
    }

    /// One unit of work.
    pub(crate) async fn step(&mut self) -> Result<Stepped, Stuck> {
        let stepped = self.unit().await?;
        if matches!(stepped, Stepped::AtRest(_) | Stepped::Missing)
            && let Some(began) = self.began.take()
            && self.store.listing(self.lane.id).await?.next.is_none()
        {
            let moved = self.lane.echo.ended(began);
            self.lane.roots_looked_at(&self.store);
            self.store.poke();
            if !moved.is_empty() {
                self.store.touch_below(self.lane.id, moved).await?;
                return Ok(Stepped::Went(0));
            }
        }
        Ok(stepped)
    }

    async fn unit(&mut self) -> Result<Stepped, Stuck> {
        if self.elsewhere().await? {
            return Ok(Stepped::Went(0));
        }
        if self.lane.compares_again() {
            self.store.compare_anew().await?;
        }
        // Before the listing is read: what is asked for later is not compared in this step.
        let asked = self.store.comparisons_asked();
        let listing = self.store.listing(self.lane.id).await?;
        if self.settle(&listing).await? {
            return Ok(Stepped::Went(0));
        }
        self.lane.judge_roots(&self.store, &listing, None).await?;
        // A live tree without a cursor is that of the question before: the narrower one has yet to be asked.
        if listing.narrowed
            && listing.live.as_ref().is_some_and(|live| live.complete && !live.running && live.cursor.is_some())
            && listing.next.is_none()
        {
            self.lane.set(|now| now.unweighed = true);
            inbound_guard::let_go_of(&self.store, &self.lane).await?;
            self.store.believe_narrowed(self.lane.id).await?;
            return Ok(Stepped::Went(0));
        }
        if listing.live.is_some() && !listing.whole {
            self.lane.set(|now| now.compared = asked.or(now.compared));
        }
        if !listing.comparing {
            self.inbound.ended(&self.store, &self.lane).await?;
            self.lane.set(|now| now.unweighed = false);
        } else if let Some(live) = listing.live.as_ref().filter(|live| live.complete && !live.running)
            && self.lane.echo.halfway().is_none()
            && self.inbound.lets(&self.store, &self.lane, self.limits, live).await?
        {
            self.lane.set(|now| now.unweighed = false);
            let folders = self.lane.folders_there();
            let ran = self.store.compare_listing(self.lane.id, folders, Naming { holds }, now_ms()).await?;
            self.lane.respell(ran.respelled);
            if ran.more {
                return Ok(Stepped::Went(0));
            }
        }
        match listing.followed() {
            Some(Tree { id, cursor: Some(cursor), running: true, .. }) => {
                let (id, cursor) = (*id, cursor.clone());
                self.next(id, cursor).await
            }
            Some(Tree { cursor: Some(cursor), .. }) => Ok(Stepped::AtRest(cursor.clone())),
            followed => {
                let known_missing = followed.is_some_and(|t| t.complete && t.entries == 0 && t.pages > 0);
                self.first(&listing, known_missing).await
            }
        }
    }

    /// Fetches what comes after the cursor at which the listing rests.
    pub(crate) async fn fetch(&mut self) -> Result<Stepped, Stuck> {
        let listing = self.store.listing(self.lane.id).await?;
        match listing.followed() {
            Some(Tree { id, cursor: Some(cursor), .. }) => {
                let (id, cursor) = (*id, cursor.clone());
                self.next(id, cursor).await
            }
            _ => Ok(Stepped::Went(0)),
        }
    }

    /// The page after a cursor, or the next one of a walk.
    async fn next(&mut self, id: TreeId, cursor: String) -> Result<Stepped, Stuck> {
        match Mark::read(&cursor) {
            Some(mark) => self.walk(id, cursor, mark).await,
            None => self.after(id, cursor).await,
        }
    }

    /// A complete next tree is believed or held. `true` if it was believed.
    async fn settle(&mut self, listing: &Listing) -> Result<bool, StoreError> {
        let Some(next) = listing.next.as_ref().filter(|next| next.complete && !next.running) else { return Ok(false) };
        let known = listing.live.as_ref().map_or(0, |live| live.entries);
        let approved = listing.held.as_deref() == Some("approved");
        let lost = match self.lost {
            Some((tree, pages, lost)) if (tree, pages) == (next.id, next.pages) => lost,
            _ => self.store.lost_elsewhere(listing.id).await?,
        };
        self.lost = Some((next.id, next.pages, lost));
        let elsewhere = lost.map_or(Ok(()), |lost| moved(known, lost));
        // What a narrower question leaves out was deleted by nobody: it is let go of below, and no file is touched for it. That the folder is not there
        // at all was judged already.
        let gone = next.cursor.is_none() && self.lane.is_without_folder() && !self.lane.has_folder_without_identity();
        let believed = if listing.narrowed || gone { Ok(()) } else { believable(known, next.entries, self.limits) };
        match elsewhere.and(believed) {
            Err(why) if !approved => {
                if listing.held.as_ref() != Some(&why) {
                    tracing::warn!(scope = %self.lane.scope, %why, "a new listing is held");
                    self.store.hold_listing(listing.id, Some(why)).await?;
                }
                Ok(false)
            }
            _ => {
                tracing::info!(entries = next.entries, pages = next.pages, "a listing is complete");
                self.lane.set(|now| now.unweighed = true);
                self.store.adopt_listing(listing.id).await?;
                Ok(true)
            }
        }
    }

    async fn first(&mut self, listing: &Listing, known_missing: bool) -> Result<Stepped, Stuck> {
        let began = self.lane.echo.begin();
        self.pages.clear();
        match self.dropbox.list_folder(&self.lane.scope, &self.lane.question).await {
            Ok(page) => {
                self.broken = 0;
                self.lane.set(|now| (now.no_folder, now.walk) = (None, None));
                self.began = (!page.has_more).then_some(began);
                self.stage(Place::First { here: true }, page).await
            }
            // Nothing is there, or a file: no folder to list. All of Dropbox is always there, whatever an answer says.
            Err(error)
                if (error.is("path/not_found") || error.is("path/not_folder"))
                    && !self.lane.has_folder_without_identity() =>
            {
                self.began = Some(began);
                let none = if error.is("path/not_folder") { NoFolder::File } else { NoFolder::Gone };
                self.lane.set(|now| {
                    now.no_folder = Some(none);
                    now.confirmed = Some(now_ms());
                });
                // Before the cache is empty: what that means is for the roots' identity to say, and nothing comes down because of it.
                self.lane.judge_roots(&self.store, listing, Some(none)).await?;
                if !known_missing {
                    self.stage(Place::First { here: false }, Page::default()).await?;
                    return Ok(Stepped::Went(0));
                }
                Ok(Stepped::Missing)
            }
            Err(error) => self.way_round(error, false).await,
        }
    }

    async fn after(&mut self, tree: TreeId, cursor: String) -> Result<Stepped, Stuck> {
        let began = self.lane.echo.begin();
        match self.dropbox.list_continue(&cursor).await {
            Ok(page) => {
                self.broken = 0;
                self.began = (!page.has_more).then_some(began);
                let barren = page.has_more && (page.cursor == cursor || !self.is_new(&page));
                if !page.has_more {
                    self.pages.clear();
                }
                let stepped = self.stage(Place::After(tree, cursor), page).await?;
                Ok(if barren { Stepped::Barren } else { stepped })
            }
            Err(error) if error.is("path/not_found") || error.is("path/not_folder") => self.begin_anew(&error).await,
            Err(error) if self.is_lost(&error) => self.begin_anew(&error).await,
            // A listing that was never complete is read folder by folder instead. For what follows a complete one, or a walk, there is no way round.
            Err(error) => match self.store.listing(self.lane.id).await?.followed() {
                Some(followed) if !followed.complete && self.walked != Some(tree) => self.way_round(error, true).await,
                _ => Err(Stuck::Call(error)),
            },
        }
    }

    /// Whether the error says that the cursor is worth nothing: it was reset, or Dropbox does not know it for one. The latter is believed once in a while:
    /// should a new cursor be refused, too, the fault lies elsewhere, and a listing is no small thing to ask for.
    pub(crate) fn is_lost(&mut self, error: &CallError) -> bool {
        let unknown = matches!(error, CallError::Api(error) if error.status == 400);
        if !unknown || self.refused.is_some_and(|at| at.elapsed() < BELIEVED) {
            return error.is("reset");
        }
        self.refused = Some(env::instant());
        true
    }

    /// The cursor is worth nothing any more: everything is listed anew, beside what is known. Why that is so is asked first, since a tree of
    /// another namespace is not judged like one in which files were deleted.
    pub(crate) async fn begin_anew(&mut self, why: &CallError) -> Result<Stepped, Stuck> {
        let account = self.dropbox.current_account().await.map_err(Stuck::Call)?;
        if !self.enter(self.dropbox.namespace_of(&account)).await? {
            tracing::info!(%why, "the listing begins anew, beside the old one");
            self.store.lose_cursor(self.lane.id).await?;
        }
        Ok(Stepped::Restarted(why.to_string()))
    }

    /// Whether Dropbox shows another tree than that of the last call: the path root is asked for by name, and has become another. Then all
    /// listings have begun anew, beside what is known.
    async fn elsewhere(&mut self) -> Result<bool, StoreError> {
        let now = self.dropbox.asked_root().await;
        if now.is_none() || now == self.root {
            return Ok(false);
        }
        self.root.clone_from(&now);
        match now {
            Some(root) => self.enter(&root).await,
            None => Ok(false),
        }
    }

    /// Paths are in this namespace. `true` if they were in another one.
    async fn enter(&self, namespace: &str) -> Result<bool, StoreError> {
        let moved = self.store.set_namespace(namespace).await?;
        if moved {
            tracing::warn!(scope = %self.lane.scope, "the account's paths are in another namespace now: everything is listed anew, and nothing is deleted");
        }
        Ok(moved)
    }

    /// Whether no earlier page of this run had the same entries. A page of a listing never comes twice, but for an empty one.
    fn is_new(&mut self, page: &Page) -> bool {
        let mut hasher = self.by.build_hasher();
        for entry in &page.entries {
            entry.key.as_str().hash(&mut hasher);
            match &entry.what {
                What::File(file) => (&file.id, &file.rev).hash(&mut hasher),
                What::Folder(folder) => folder.id.hash(&mut hasher),
                What::Deleted => "deleted".hash(&mut hasher),
            }
        }
        if self.pages.len() >= REMEMBERED {
            self.pages.clear();
        }
        self.pages.insert(hasher.finish())
    }

    async fn stage(&mut self, place: Place, mut page: Page) -> Result<Stepped, Stuck> {
        // The call itself may have met another root.
        if self.elsewhere().await? {
            return Ok(Stepped::Went(0));
        }
        let entries = page.entries.len() as u64;
        self.notice(&mut page).await?;
        page.entries = collapsed(std::mem::take(&mut page.entries));
        if matches!(place, Place::After(..)) {
            self.refused = None;
        }
        self.lane.set(|now| now.unweighed = true);
        self.watch_for_moves(&page).await?;
        let staged = self.store.stage_page(self.lane.id, place, page, rule, now_ms()).await?;
        self.lane.confirm();
        Ok(Stepped::Went(if staged.stored { entries } else { 0 }))
    }

    /// What another device renames by way of another name is waited for.
    async fn watch_for_moves(&self, page: &Page) -> Result<(), StoreError> {
        let is_down = self.lane.folders.iter().any(|folder| folder.down);
        for entry in page.entries.iter().filter(|_| is_down) {
            match entry.what {
                What::Deleted => self.lane.echo.arrived(entry.key.as_str()),
                // Our own has to go on.
                _ if is_halfway(&entry.name) && !self.store.is_our_way(&entry.name).await? => {
                    self.lane.echo.set_out([entry.key.as_str().to_owned()]);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What a page holds that cannot be used: counted, and said once.
    async fn notice(&self, page: &mut Page) -> Result<(), StoreError> {
        let mut homes = Vec::with_capacity(self.lane.folders.len());
        for folder in &self.lane.folders {
            // The first page of a first listing has only our guess: it is compared loosely.
            let home = self.store.remote_key(self.lane.id, folder.remote.to_string()).await?;
            homes.push((loose_key_of(&home), folder.disk));
        }
        for (at, entry) in page.entries.iter().enumerate().filter(|(_, e)| e.what != What::Deleted) {
            let parent = loose_key_of(entry.key.as_str().rsplit_once('/').map_or("", |(parent, _)| parent));
            let inside =
                |home: &str| parent.strip_prefix(home).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            let strictest = homes.iter().filter(|(home, _)| inside(home)).map(|(_, disk)| *disk);
            let disk =
                if strictest.into_iter().any(|disk| disk == Disk::Windows) { Disk::Windows } else { Disk::Plain };
            if let Some(failure) = unholdable(&entry.name, disk) {
                let text = entry.key.as_str().to_owned();
                let folder = matches!(entry.what, What::Folder(_));
                page.refused.push(Refused {
                    text,
                    after: at + 1,
                    code: failure.code,
                    why: failure.text,
                    folder,
                    placed: true,
                });
            }
        }
        if page.unknown.is_empty() && page.unmounted == 0 {
            return Ok(());
        }
        self.lane.set(|now| {
            now.unmounted += page.unmounted;
            for tag in &page.unknown {
                let count = now.unknown.entry(tag.clone()).or_default();
                if *count == 0 {
                    tracing::warn!(
                        tag,
                        "Dropbox lists entries of a kind that this version does not know; they are left out"
                    );
                }
                *count += 1;
            }
        });
        Ok(())
    }
}

mod walk;

#[cfg(test)]
mod tests;
