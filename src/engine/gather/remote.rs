//! The remote cache as the other tasks see it: which listing covers what, what it says of a path, how it stands.
//!
//! `api::cache_reader` is the same for programs that look into the database without a daemon (`ferrybox ls`).

mod answers;
mod kept;
mod rest;
mod roots;

pub(crate) use roots::{Lost, NoFolder};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use crate::config;
use crate::engine::account::Account;
use crate::engine::folder::Folder;
use crate::engine::gather::fence::Echo;
use crate::env;
use crate::env::Instant;
use crate::env::lock;
use crate::env::now_ms;
use crate::model::key::{is_sure, loose_key_of};
use crate::model::listing::Question;
use crate::model::{Agreed, Claimed, Disk, FolderId, Job, JobId, RelPath, Remote, RemotePath, UnixMs, status};
use crate::plan::listing::{Followed, followed, says_less};
use crate::plan::reconcile::facts::Gate;
use crate::store::{Compared, Listing, ListingId, Respelled, Sought, Store, StoreError, TreeId, WalkAt};

/// The listings of one account.
pub(crate) struct RemoteCache {
    pub(crate) lanes: Vec<Arc<Lane>>,
}

/// One listing: a remote folder that is followed.
pub(crate) struct Lane {
    pub(crate) id: ListingId,
    pub(crate) scope: RemotePath,
    /// What is asked for.
    pub(crate) question: Question,
    /// The folders that it covers.
    pub(crate) folders: Vec<Compared>,
    pub(crate) now: Mutex<LaneNow>,
    /// Another step is worth its while: rows wait for our own commits to be listed, or what is known has changed. It ends no failure's wait.
    pub(crate) nudge: Notify,
    /// A person asks for a look now: it ends any wait, a failure's too.
    pub(crate) ask: Notify,
    /// Our own commits that it may not show yet.
    pub(crate) echo: Echo,
    /// What has other letters in Dropbox since the last change there, and has yet to get them here. In memory only: what a restart forgets keeps its
    /// letters, which is no harm.
    pub(crate) respelled: Mutex<HashMap<(FolderId, RelPath), String>>,
    /// When everything is to be compared once more.
    pub(crate) again: Mutex<Vec<Instant>>,
}

/// So many names with other letters are remembered.
const RESPELLED: usize = 50_000;

/// Two spellings of one directory are one again after these times.
const SETTLING: [Duration; 2] = [Duration::from_secs(40), Duration::from_mins(5)];

/// Entries walked at once.
const WALK: usize = 1000;

/// What the cache says of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) remote: Remote,
    /// It is unlisted only because the listing has not caught up with our own last commit.
    pub(crate) late: bool,
    /// That commit was of this very path, in a folder that only sends: its revision is known.
    pub(crate) sent: bool,
}

/// Where a path is looked up, and by what our own commits to it are remembered.
struct At {
    at: Sought,
    echo: String,
}

/// A listing's state in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct LaneNow {
    /// When Dropbox last said how things are.
    pub(crate) confirmed: Option<UnixMs>,
    /// Its last call failed.
    pub(crate) failing: Option<Failing>,
    /// It is listed folder by folder, and how far that has come.
    pub(crate) walk: Option<String>,
    /// Whether uploads need not wait for the first listing (any more).
    pub(crate) let_go: bool,
    /// Whether everything that there was to fetch has been fetched once since the start.
    pub(crate) rested: bool,
    /// Folders whose remote root is gone, or is another one.
    pub(crate) lost: BTreeMap<FolderId, Lost>,
    /// Folders whose remote root was seen or lost in an earlier run, and not yet looked at in this one.
    pub(crate) unseen: BTreeSet<FolderId>,
    /// Those of `unseen` whose root an earlier run found missing: they wait until this one has looked, however long that takes.
    pub(crate) lost_before: BTreeSet<FolderId>,
    /// The folder that is listed is not there.
    pub(crate) no_folder: Option<NoFolder>,
    /// Whole comparisons that were asked for when everything was last compared; `None`: never in this run.
    pub(crate) compared: Option<u64>,
    /// How often a person has asked for a look, and up to which of these questions a call that began later has ended, well or not.
    pub(crate) asked: u64,
    pub(crate) tried: u64,
    /// Entries without a path.
    pub(crate) unmounted: u64,
    /// Entries of unknown kinds, by tag.
    pub(crate) unknown: BTreeMap<String, u64>,
    /// Changes that would come down, and are too many to come unasked.
    pub(crate) held: Option<HeldChanges>,
    /// The cache shows changes that the inbound guard has not let through.
    pub(crate) unweighed: bool,
}

/// Calls of a listing that fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failing {
    /// What fails, and why.
    pub(crate) reason: String,
    /// How many in a row.
    pub(crate) tries: u32,
    /// Since when.
    pub(crate) since: UnixMs,
}

/// Changes that would come down, and wait for a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HeldChanges {
    pub(crate) token: String,
    pub(crate) since: UnixMs,
    /// The remote folder.
    pub(crate) place: String,
    /// Files that would go or get another content, of how many.
    pub(crate) changes: u64,
    pub(crate) files: u64,
    pub(crate) sample: Vec<String>,
    pub(crate) reason: String,
}

impl LaneNow {
    /// Whether the folder's remote root is gone or another one, as far as is known.
    fn is_lost(&self, folder: FolderId) -> bool {
        self.lost.contains_key(&folder) || self.lost_before.contains(&folder)
    }

    /// It is there, or both sides meet again.
    fn forget_loss(&mut self, folder: FolderId) {
        self.lost.remove(&folder);
        self.lost_before.remove(&folder);
        self.unseen.remove(&folder);
    }
}

impl Lane {
    pub(crate) fn new(id: ListingId, scope: RemotePath, question: Question, folders: Vec<Compared>) -> Self {
        Self {
            id,
            scope,
            question,
            folders,
            now: Mutex::default(),
            nudge: Notify::new(),
            ask: Notify::new(),
            echo: Echo::default(),
            respelled: Mutex::default(),
            again: Mutex::default(),
        }
    }

    /// Changes what is known now.
    pub(crate) fn set(&self, change: impl FnOnce(&mut LaneNow)) {
        change(&mut lock(&self.now));
    }

    /// Dropbox has answered: how things are is known as of now.
    pub(crate) fn confirm(&self) {
        self.set(|now| now.confirmed = Some(now_ms()));
    }

    /// The listing gets on.
    pub(crate) fn gets_on(&self) {
        self.set(|now| now.failing = None);
    }

    /// A call failed.
    pub(crate) fn fail(&self, reason: String) {
        self.set(|now| {
            let (tries, since) = now.failing.as_ref().map_or_else(|| (0, now_ms()), |was| (was.tries, was.since));
            now.failing = Some(Failing { reason, tries: tries.saturating_add(1), since });
        });
    }

    /// A person wants to know how things are now. Gives the question's number.
    pub(crate) fn asks(&self) -> u64 {
        let mut asked = 0;
        self.set(|now| {
            now.asked += 1;
            asked = now.asked;
        });
        self.ask.notify_one();
        asked
    }

    /// The last question so far: to be read before a call that answers it.
    pub(crate) fn asked(&self) -> u64 {
        lock(&self.now).asked
    }

    /// The last question, if no call that began after it has ended.
    pub(crate) fn question(&self) -> Option<u64> {
        let now = lock(&self.now);
        (now.asked > now.tried).then_some(now.asked)
    }

    /// A call that began after this question has ended.
    pub(crate) fn tried(&self, asked: u64) {
        self.set(|now| now.tried = now.tried.max(asked));
    }

    /// These have other letters in Dropbox now.
    pub(crate) fn respell(&self, these: Vec<Respelled>) {
        let mut known = lock(&self.respelled);
        let room = RESPELLED.saturating_sub(known.len());
        known.extend(these.into_iter().take(room).map(|one| ((one.folder, one.path), one.shown)));
    }

    /// Whether everything is to be compared once more by now. Asked once.
    pub(crate) fn compares_again(&self) -> bool {
        let mut again = lock(&self.again);
        let before = again.len();
        again.retain(|at| *at > env::instant());
        again.len() < before
    }

    /// When the next of those times is.
    pub(crate) fn next_comparison(&self) -> Option<Instant> {
        lock(&self.again).iter().min().copied()
    }

    /// Whether all that was listed is compared with base, whatever was asked for since the start.
    pub(crate) fn is_compared(&self, store: &Store) -> bool {
        let compared = lock(&self.now).compared;
        compared.is_some() && compared == store.comparisons_asked()
    }

    /// Changes that wait for a person.
    pub(crate) fn held(&self) -> Option<HeldChanges> {
        lock(&self.now).held.clone()
    }
}

impl RemoteCache {
    /// Finds or makes the listings that these folders need.
    pub(crate) async fn open(
        store: &Store,
        config: &config::Listing,
        usual: &Question,
        folders: &[Arc<Folder>],
    ) -> Result<Self, StoreError> {
        let wanted = wanted(config, usual, folders);
        let questions: Vec<_> =
            wanted.iter().map(|one| (one.scope.as_str().to_owned(), written(&one.question))).collect();
        let listings = store.open_listings_of(questions, narrowed).await?;
        let cache = Self::of(listings.into_iter().zip(wanted), folders);
        let (seen, lost) = (store.known_remote_roots().await?, store.lost_remote_roots().await?);
        for lane in &cache.lanes {
            let folders = || lane.folders.iter().map(|f| f.folder);
            let known = folders().filter(|folder| seen.contains(folder) || lost.contains(folder));
            lane.set(|now| {
                now.unseen = known.collect();
                now.lost_before = folders().filter(|folder| lost.contains(folder)).collect();
            });
        }
        Ok(cache)
    }

    /// The listings as they stand, for a program that makes none.
    pub(crate) async fn look(
        store: &Store,
        config: &config::Listing,
        usual: &Question,
        folders: &[Arc<Folder>],
    ) -> Result<Self, StoreError> {
        let wanted = wanted(config, usual, folders);
        let names: Vec<String> = wanted.iter().map(|one| one.scope.as_str().to_owned()).collect();
        let known = store.known_listings(&names).await?;
        let scoped = known.into_iter().filter_map(|listing| {
            let one = wanted.iter().find(|one| one.scope.as_str() == listing.scope)?.clone();
            Some((listing, one))
        });
        let cache = Self::of(scoped, folders);
        // No commit of ours is under way: what the database has is what was known last.
        cache.lanes.iter().for_each(|lane| drop(lane.echo.ended(lane.echo.begin())));
        Ok(cache)
    }

    fn of(listings: impl Iterator<Item = (Listing, Followed)>, folders: &[Arc<Folder>]) -> Self {
        let lanes = listings.map(|(listing, followed)| {
            let covered = followed.folders.iter().filter_map(|i| folders.get(*i));
            let compared = covered.map(|f| compared(f)).collect();
            let lane = Lane::new(listing.id, followed.scope, followed.question, compared);
            lane.set(|now| now.let_go = listing.live.is_some());
            Arc::new(lane)
        });
        Self { lanes: lanes.collect() }
    }

    /// The listing that covers a folder.
    pub(crate) fn lane_of(&self, folder: FolderId) -> Option<&Arc<Lane>> {
        self.lanes.iter().find(|lane| lane.folders.iter().any(|f| f.folder == folder))
    }

    /// Folders whose first listing is under way: what was never in sync waits for it, so that what Dropbox has is not sent again.
    /// Never for longer than `listing.patience`, and not while the listing fails.
    pub(crate) fn folders_to_wait_for(&self) -> Vec<FolderId> {
        let waiting = self.lanes.iter().filter(|lane| !lock(&lane.now).let_go);
        waiting.flat_map(|lane| lane.folders.iter().map(|f| f.folder)).collect()
    }

    /// Whether the cache has been brought up to date since the start: what comes down waits for that, however long it takes.
    pub(crate) fn is_listed(&self, folder: FolderId) -> bool {
        self.lane_of(folder).is_some_and(|lane| lane.echo.listed())
    }

    /// The remote views of claimed rows, in their order. Blocks. What may not show our own last commit yet is unlisted, and `late`.
    pub(crate) fn views_blocking(&self, account: &Account, claimed: &[Claimed]) -> Result<Vec<View>, StoreError> {
        let sought: Vec<Option<At>> = claimed
            .iter()
            .map(|c| {
                let elsewhere = c.base.as_ref().and_then(|base| base.remote.as_ref());
                self.sought(account, c.job.folder, &c.job.path, (c.agreed() != Agreed::Nothing, elsewhere))
            })
            .collect::<Result<_, _>>()?;
        // Asked before the cache is: what the listing catches up with in between is only waited for once more.
        let late: Vec<bool> = claimed
            .iter()
            .zip(&sought)
            .map(|(c, sought)| {
                let comes_down = account.folder(c.job.folder).is_some_and(|folder| folder.comes_down());
                let lane = self.lane_of(c.job.folder);
                if !comes_down {
                    return sought.as_ref().zip(lane).is_some_and(|(s, lane)| lane.echo.covers_tree(&s.echo));
                }
                sought.as_ref().is_none_or(|s| lane.is_none_or(|lane| lane.echo.covers(&s.echo)))
            })
            .collect();
        // What was agreed on and only sent: that Dropbox lacks it is not believed before our own commit of it is in the cache.
        let sent: Vec<bool> = claimed
            .iter()
            .zip(&sought)
            .map(|(c, sought)| {
                let only_sent = account.folder(c.job.folder).is_some_and(|folder| !folder.comes_down());
                let (Some(sought), Some(lane)) = (sought, self.lane_of(c.job.folder)) else { return false };
                only_sent && c.base.is_some() && lane.echo.covers_commit(&sought.echo)
            })
            .collect();
        let sought: Vec<_> = sought.into_iter().map(|sought| sought.map(|s| s.at)).collect();
        let remotes = account.store.remote_views_blocking(&sought)?;
        let views = remotes.into_iter().zip(late).zip(sent).map(|((remote, late), sent)| {
            let sent = !late && sent && matches!(remote, Remote::Absent | Remote::Folder);
            let late = late || sent;
            View { remote: if late { Remote::Unlisted } else { remote }, late, sent }
        });
        Ok(views.collect())
    }

    /// The remote view of one path. Blocks.
    pub(crate) fn view_blocking(
        &self,
        account: &Account,
        folder: FolderId,
        path: &RelPath,
    ) -> Result<View, StoreError> {
        let base = account.store.base_blocking(folder, path)?;
        let dir = account.store.agreed_dir_blocking(folder, path)?;
        let job = Job { id: JobId(0), folder, path: path.clone(), generation: 0, attempts: 0, since: 0 };
        let views = self.views_blocking(account, &[Claimed { job, base, dir }])?;
        Ok(views.into_iter().next().unwrap_or(View { remote: Remote::Unlisted, late: true, sent: false }))
    }

    /// Whether Dropbox has a file anywhere in one of its folders; `None`: the cache cannot say until it has caught up, with Dropbox since the start
    /// and with our own commits. Blocks.
    pub(crate) fn has_files_blocking(
        &self,
        store: &Store,
        folder: FolderId,
        place: &RemotePath,
    ) -> Result<Option<bool>, StoreError> {
        let Some(lane) = self.lane_of(folder) else { return Ok(None) };
        let root = store.remote_key_blocking(lane.id, place.as_str())?;
        let mut at = WalkAt { root, recursive: true, after: String::new() };
        let mut ours = false;
        loop {
            let page = store.remote_entries_blocking(lane.id, &at, WALK)?;
            for entry in page.iter().filter(|entry| entry.kind == "file") {
                if !lane.echo.covers(&loose_key_of(&entry.path)) {
                    return Ok(Some(true));
                }
                ours = true;
            }
            match page.last() {
                Some(last) if page.len() == WALK => last.path_lower.clone_into(&mut at.after),
                // None was seen; of an old listing, or half of one, that says nothing.
                _ => {
                    return Ok((!ours && lane.echo.listed() && store.knows_absence_blocking(lane.id)?).then_some(false));
                }
            }
        }
    }

    /// These places were committed, or may have been: until the listing has caught up, it is not believed about them.
    pub(crate) fn echo(&self, folder: FolderId, places: impl IntoIterator<Item = RemotePath>) {
        if let Some(lane) = self.lane_of(folder) {
            lane.echo.note(places.into_iter().map(|place| loose_key_of(place.as_str())));
        }
    }

    /// Whether a deletion or a new content may come down in this folder.
    pub(crate) fn gate(&self, folder: FolderId) -> Gate {
        let Some(lane) = self.lane_of(folder) else { return Gate::Weighing };
        let now = lock(&lane.now);
        if now.is_lost(folder) {
            return Gate::Held;
        }
        match (&now.held, now.unweighed) {
            (Some(_), _) => Gate::Held,
            (None, true) => Gate::Weighing,
            (None, false) => Gate::Open,
        }
    }

    /// As [`RemoteCache::echo`], of everything at or below these places.
    pub(crate) fn echo_trees(&self, folder: FolderId, places: impl IntoIterator<Item = RemotePath>) {
        if let Some(lane) = self.lane_of(folder) {
            lane.echo.note_trees(places.into_iter().map(|place| loose_key_of(place.as_str())));
        }
    }

    /// The last component of what the listing shows at a path, as people write it. Blocks.
    pub(crate) fn name_blocking(
        &self,
        account: &Account,
        folder: FolderId,
        path: &RelPath,
    ) -> Result<Option<String>, StoreError> {
        let Some(sought) = self.sought(account, folder, path, (true, None))? else { return Ok(None) };
        let shown = account.store.shown_blocking(sought.at.listing, &sought.at.key)?;
        Ok(shown.and_then(|shown| shown.rsplit_once('/').map(|(_, name)| name.to_owned())))
    }

    /// The name that this was given in Dropbox, if it differs in its letters from the one here.
    pub(crate) fn shows_respelled(&self, folder: FolderId, path: &RelPath) -> Option<String> {
        lock(&self.lane_of(folder)?.respelled).get(&(folder, path.clone())).cloned()
    }

    /// As [`RemoteCache::shows_respelled`], and it is forgotten.
    pub(crate) fn take_respelled(&self, folder: FolderId, path: &RelPath) -> Option<String> {
        lock(&self.lane_of(folder)?.respelled).remove(&(folder, path.clone()))
    }

    /// A directory has its new letters: what is to get some below it is below the new path.
    pub(crate) fn respelled_below(&self, folder: FolderId, from: &RelPath, to: &RelPath) {
        let Some(lane) = self.lane_of(folder) else { return };
        let mut known = lock(&lane.respelled);
        let below = known.keys().filter(|(of, path)| *of == folder && path.is_under(from));
        for key in below.cloned().collect::<Vec<_>>() {
            if let (Some(shown), Some(path)) = (known.remove(&key), key.1.moved(from, to)) {
                known.insert((folder, path), shown);
            }
        }
    }

    /// As it was before [`RemoteCache::take_respelled`]: it is too early.
    pub(crate) fn respelled_later(&self, folder: FolderId, path: RelPath, shown: String) {
        if let Some(lane) = self.lane_of(folder) {
            lane.respell(vec![Respelled { folder, path, shown }]);
        }
    }

    /// A directory was here under two spellings, and is not any more: what changed in Dropbox meanwhile may have been looked for under the other one.
    /// With `later` it may be so for some time: then everything is compared when that is over, as far as anybody knows.
    pub(crate) fn compare_again(&self, folder: FolderId, later: bool) {
        let Some(lane) = self.lane_of(folder) else { return };
        let waits: &[Duration] = if later { &SETTLING } else { &[Duration::ZERO] };
        let mut again = lock(&lane.again);
        if again.len() < SETTLING.len() * 2 {
            again.extend(waits.iter().map(|wait| env::instant() + *wait));
        }
        drop(again);
        lane.nudge.notify_one();
    }

    /// Whether the listing is yet to show a folder that we moved.
    pub(crate) fn lags_behind(&self, folder: FolderId) -> bool {
        self.lane_of(folder).is_some_and(|lane| lane.echo.awaits_tree())
    }

    /// A row waits for the listing to catch up with our own commits.
    pub(crate) fn hurry(&self, folder: FolderId) {
        if let Some(lane) = self.lane_of(folder).filter(|lane| lane.echo.is_wanted()) {
            lane.nudge.notify_one();
        }
    }

    /// The remote views of a folder's paths, each with whether both sides ever agreed on it, and where if that is elsewhere, in their order. Blocks.
    pub(crate) fn views_of_blocking(
        &self,
        account: &Account,
        folder: FolderId,
        paths: impl Iterator<Item = (RelPath, (bool, Option<RemotePath>))>,
    ) -> Result<Vec<Remote>, StoreError> {
        let sought =
            paths.map(|(path, (agreed, elsewhere))| self.sought(account, folder, &path, (agreed, elsewhere.as_ref())));
        let sought: Vec<_> = sought.map(|s| Ok(s?.map(|s| s.at))).collect::<Result<_, StoreError>>()?;
        account.store.remote_views_blocking(&sought)
    }

    /// Where a path is looked up: under the key that we were told when it was committed, or that the listing says. What was agreed on was found there;
    /// in a folder that only sends, a conflicted copy was agreed on elsewhere.
    fn sought(
        &self,
        account: &Account,
        folder: FolderId,
        path: &RelPath,
        (agreed, elsewhere): (bool, Option<&RemotePath>),
    ) -> Result<Option<At>, StoreError> {
        let (Some(lane), Some(of)) = (self.lane_of(folder), account.folder(folder)) else { return Ok(None) };
        let place = elsewhere.filter(|_| !of.comes_down()).cloned().unwrap_or_else(|| of.home(path));
        let certain = is_sure(place.as_str());
        let told = if certain || !agreed { None } else { account.store.odd_key_blocking(folder, path)? };
        let key = told.map_or_else(|| account.store.remote_key_blocking(lane.id, place.as_str()), Ok)?;
        Ok(Some(At {
            at: Sought { listing: lane.id, key, sure: certain || agreed },
            echo: loose_key_of(place.as_str()),
        }))
    }

    /// Whether the listing may leave out what is at a path because of what it was asked for: then it is no deletion here that it goes. Blocks.
    pub(crate) fn may_hide_blocking(
        &self,
        store: &Store,
        folder: FolderId,
        place: &RemotePath,
    ) -> Result<bool, StoreError> {
        let Some(lane) = self.lane_of(folder) else { return Ok(false) };
        store.may_hide_blocking(lane.id, &store.remote_key_blocking(lane.id, place.as_str())?)
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
            // A page says as much as an answer that there are none.
            let fresh = now.confirmed.max(listing.followed().map(|t| t.updated_at));
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
            if let Some(held) = now.held {
                sum.held.get_or_insert(status::HeldListing {
                    token: held.token,
                    reason: held.reason,
                    known: held.files,
                    found: held.files.saturating_sub(held.changes),
                });
            }
            let lost = now.lost.into_values().next().map(|lost| lost.reason);
            sum.reason = sum.reason.or(lost).or(now.failing.map(|failing| failing.reason)).or(now.walk);
        }
        let told = |held: &status::HeldListing| {
            let said = held.reason.contains(&held.token);
            if said { held.reason.clone() } else { format!("{} (token {})", held.reason, held.token) }
        };
        sum.reason = sum.held.as_ref().map(told).or(sum.reason);
        sum.cursor_age_s = oldest.map(|at| u64::try_from(now_ms().saturating_sub(at) / 1000).unwrap_or(0));
        Ok(sum)
    }
}

/// The listings that these folders need.
fn wanted(config: &config::Listing, usual: &Question, folders: &[Arc<Folder>]) -> Vec<Followed> {
    let asked: Vec<_> = folders.iter().map(|f| (f.remote.clone(), f.question.clone())).collect();
    followed(&asked, config.whole, usual)
}

/// A question as the database keeps it.
fn written(question: &Question) -> String {
    serde_json::to_string(question).unwrap_or_default()
}

/// Whether the second question, as the database keeps it, leaves out what the first one asked for. What cannot be read may have asked for anything.
fn narrowed(before: &str, now: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<Question>(text).unwrap_or_default();
    says_less(&read(before), &read(now))
}

/// A folder as the comparison needs it.
fn compared(folder: &Folder) -> Compared {
    let down = folder.mode.brings_down();
    let disk = if down { folder.disk } else { Disk::Plain };
    Compared { folder: folder.id, remote: folder.remote.clone(), down, disk }
}

/// Why a listing is held, with the token that it is answered by.
pub(crate) fn held_listing(why: &str, next: TreeId) -> String {
    let token = token(next);
    if why.contains(&token) { why.to_owned() } else { format!("{why} (`ferrybox approve {token}` believes it)") }
}

fn token(tree: TreeId) -> String {
    format!("listing-{}", tree.0)
}
