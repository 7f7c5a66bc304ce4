//! The guard of what comes down: a comparison that would delete or overwrite most of a folder's files makes no rows before a person agrees.
//!
//! The cache itself always follows Dropbox; what waits is the work. The token names exactly the files and the revisions that would come over
//! them, so that another wave has another token. What was approved stays approved until that comparison has ended, across restarts.
//!
//! What was approved here passes the guard, too, for exactly those files: a person is asked once for one wave.
//!
//! A file that turns up elsewhere in Dropbox, by its id or its content, was moved: that weighs nothing. In another listing of the account, too, which may
//! tell of it later: what is held is weighed again when any of them has gone on.
//!
//! A wave that comes in slices is weighed together with what came down of late. A person's word, whichever it is, begins that count anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::account::Account;
use crate::engine::gather::remote::{HeldChanges, Lane};
use crate::env;
use crate::env::now_ms;
use crate::model::{FolderId, RelPath};
use crate::plan::delete::burst::{Passed, Recent};
use crate::plan::delete::guard;
use crate::plan::delete::guard::{Limits, Seal, Wave, digest};
use crate::plan::delete::inbound::{Facts, Inbound, Need, Weighed as Found, Word, inbound};
use crate::plan::listing::holds;
use crate::plan::rename::elsewhere::Elsewhere;
use crate::store::{Fate, Inbound as Loss, InboundWord, Naming, Passing, Store, StoreError, Tree, TreeId};

/// So many files that go are looked for in no other listing, unless they are held.
const FEW: u64 = 20;
/// Paths that are shown.
const SAMPLE: usize = 5;
/// Files of a rejected wave that are put back in one step.
const AT_ONCE: usize = 20_000;

/// What one listing's guard remembers between steps.
#[derive(Debug, Default)]
pub(crate) struct InboundGuard {
    /// The comparison under way may go on to its end.
    cleared: bool,
    /// What was weighed and held: this tree, after so many pages of all listings.
    weighed: Option<(TreeId, u64)>,
}

/// What a comparison comes to.
struct Weighed {
    held: Option<HeldChanges>,
    waves: BTreeMap<FolderId, Passed>,
    recent: BTreeMap<i64, Recent>,
    /// What goes because it was moved to another listing of the account: the guard is not to take it for a deletion either.
    moved: BTreeMap<FolderId, Vec<u64>>,
}

impl InboundGuard {
    /// Whether the comparison may make rows.
    pub(crate) async fn lets(
        &mut self,
        store: &Store,
        lane: &Arc<Lane>,
        limits: Limits,
        live: &Tree,
    ) -> Result<bool, StoreError> {
        let (mut word, mut pages, mut found, mut same_as_held) = (None, 0, None, None);
        loop {
            let facts = Facts {
                cleared: self.cleared,
                comes_down: lane.folders.iter().any(|f| f.down),
                word: word.as_ref().map(stored),
                same_as_held,
                weighed: found.as_ref().map(weighed),
            };
            match inbound(&facts) {
                Inbound::Go => return Ok(true),
                Inbound::StaysHeld | Inbound::Unread => return Ok(false),
                Inbound::GoesOn => {
                    self.cleared = true;
                    return Ok(true);
                }
                Inbound::Need(Need::Word) => word = Some(store.inbound_word(lane.id).await?),
                Inbound::Need(Need::SameAsHeld) => {
                    // Read before it is weighed: what comes meanwhile is weighed again.
                    pages = store.pages_of_listings().await?;
                    same_as_held = Some(self.weighed == Some((live.id, pages)));
                }
                Inbound::Need(Need::Weighed) => found = Some(weigh(store, lane, limits).await?),
                Inbound::Hold { forget_word } => {
                    let Some(held) = found.flatten().and_then(|weighed| weighed.held) else { return Ok(false) };
                    hold(store, lane, held, forget_word).await?;
                    self.weighed = Some((live.id, pages));
                    return Ok(false);
                }
                Inbound::Agreed => {
                    let Some(Weighed { moved, .. }) = found.flatten() else { return Ok(false) };
                    let Some(agreed) = let_through(store, lane).await? else { return Ok(false) };
                    let passing = Passing { remembered: true, forget_recent: true, recent: None, agreed, moved };
                    store.pass_inbound(lane.id, passing).await?;
                    return Ok(self.passes(lane));
                }
                Inbound::Pass => {
                    let Some(Weighed { waves, recent: mut late, moved, .. }) = found.flatten() else {
                        return Ok(false);
                    };
                    // What goes without being asked about is remembered until the comparison has made its rows.
                    let mut passing = Passing { remembered: !moved.is_empty(), moved, ..Passing::default() };
                    if !waves.is_empty() {
                        for (folder, wave) in waves {
                            late.entry(folder.0).or_default().pass(wave);
                        }
                        passing.recent = Some(serde_json::to_string(&late).map_err(|error| StoreError::Other {
                            path: store.path().to_owned(),
                            what: format!("what comes down cannot be written: {error}"),
                        })?);
                    }
                    if passing != Passing::default() {
                        store.pass_inbound(lane.id, passing).await?;
                    }
                    return Ok(self.passes(lane));
                }
            }
        }
    }

    /// This comparison may go on to its end, and nothing is held any more.
    fn passes(&mut self, lane: &Lane) -> bool {
        lane.set(|now| now.held = None);
        self.cleared = true;
        true
    }

    /// There is nothing to compare (any more): the next wave is weighed anew.
    pub(crate) async fn ended(&mut self, store: &Store, lane: &Lane) -> Result<(), StoreError> {
        if lane.folders.iter().any(|f| f.down) {
            // Also if an earlier run let it through and ended before it said so here: the word would pass for consent to whatever comes next.
            if self.cleared || store.inbound_word(lane.id).await?.passing {
                store.end_inbound(lane.id).await?;
            }
        }
        *self = Self::default();
        lane.set(|now| now.held = None);
        Ok(())
    }
}

/// A person's word, as the rule sees it.
fn stored(word: &InboundWord) -> Word<'_> {
    match &word.approved {
        _ if word.passing => Word::UnderWay,
        None => Word::None,
        Some(token) => Word::Agrees(token),
    }
}

/// What was weighed, as the rule sees it.
fn weighed(found: &Option<Weighed>) -> Found<'_> {
    match found {
        None => Found::Unread,
        Some(Weighed { held: None, .. }) => Found::Little,
        Some(Weighed { held: Some(held), .. }) => Found::TooMuch(&held.token),
    }
}

/// Shows what is held.
async fn hold(store: &Store, lane: &Lane, held: HeldChanges, forget_word: bool) -> Result<(), StoreError> {
    if lane.held().as_ref().map(|h| &h.token) != Some(&held.token) {
        tracing::warn!(scope = %lane.scope, why = %held.reason, "changes of Dropbox's are held");
    }
    if forget_word {
        store.end_inbound(lane.id).await?;
    }
    lane.set(|now| now.held = Some(held));
    store.poke();
    Ok(())
}

/// A person says no: base forgets every file that the held changes would delete or replace, so that what is here goes up again, and where Dropbox has
/// another content both are kept.
pub(crate) async fn put_back(store: &Store, lane: &Arc<Lane>) -> Result<(), StoreError> {
    forget(store, lane, |fate| !matches!(fate, Fate::Same(_))).await
}

/// The listing was asked for less than before: base forgets every file that it lacks. What is here stays, and goes up again where it is wanted.
pub(crate) async fn let_go_of(store: &Store, lane: &Arc<Lane>) -> Result<(), StoreError> {
    forget(store, lane, |fate| *fate == Fate::Gone).await
}

async fn forget(store: &Store, lane: &Arc<Lane>, which: fn(&Fate) -> bool) -> Result<(), StoreError> {
    loop {
        let (at, of) = (store.clone(), Arc::clone(lane));
        let read = env::spawn_blocking(move || {
            let mut some = Vec::new();
            let mut each = |change: Loss, moved: bool| {
                if !moved && which(&change.fate) && some.len() < AT_ONCE {
                    some.push((change.folder, change.path));
                }
            };
            losses_blocking(&at, &of, Beyond::Too, &mut each)?;
            Ok::<_, StoreError>(some)
        });
        let Ok(some) = read.await else { return Ok(()) };
        let some = some?;
        if some.is_empty() {
            return Ok(());
        }
        store.forget_paths(some, now_ms()).await?;
    }
}

/// The files that a person has agreed may go here, with their revisions in base: the guard is told. `None`: that could not be read.
async fn let_through(store: &Store, lane: &Arc<Lane>) -> Result<Option<BTreeMap<FolderId, Vec<u64>>>, StoreError> {
    let (at, of) = (store.clone(), Arc::clone(lane));
    let read = env::spawn_blocking(move || {
        let mut gone = Vec::new();
        let mut each = |change: Loss, moved: bool| {
            if !moved && change.fate == Fate::Gone {
                gone.push((change.folder, change.path));
            }
        };
        losses_blocking(&at, &of, Beyond::Too, &mut each)?;
        at_their_revisions(&at, gone)
    });
    read.await.ok().transpose()
}

/// These files at the revisions that base has. Blocks.
fn at_their_revisions(
    store: &Store,
    files: Vec<(FolderId, RelPath)>,
) -> Result<BTreeMap<FolderId, Vec<u64>>, StoreError> {
    let mut through: BTreeMap<FolderId, Vec<u64>> = BTreeMap::new();
    for (folder, path) in files {
        if let Some(base) = store.base_blocking(folder, &path)? {
            through.entry(folder).or_default().push(digest(path.as_str(), &base.rev));
        }
    }
    Ok(through)
}

/// Whether a comparison that was let through is under way: more of its deletions may be staged.
pub(crate) async fn is_running(account: &Account, folder: FolderId) -> Result<bool, StoreError> {
    let lane = account.remote.lanes.iter().find(|lane| lane.folders.iter().any(|f| f.folder == folder));
    let Some(lane) = lane else { return Ok(false) };
    Ok(account.store.inbound_word(lane.id).await? != InboundWord::default())
}

/// Whether what is gone is looked for in the account's other listings, too: that reads all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beyond {
    Not,
    Too,
}

/// Tells `each` of all files of base that the comparison under way would take away here or replace. What has only moved in Dropbox is no loss, and
/// what has a new revision of the same content is none; what was moved to another listing is told with `true`. Blocks.
fn losses_blocking(
    store: &Store,
    lane: &Lane,
    beyond: Beyond,
    each: &mut dyn FnMut(Loss, bool),
) -> Result<(), StoreError> {
    let (listing, folders, naming) = (lane.id, &lane.folders_there(), Naming { holds });
    let (mut elsewhere, mut abroad) = (Elsewhere::default(), Elsewhere::default());
    store.inbound_blocking(listing, folders, naming, &mut |change| {
        if change.fate == Fate::Gone {
            elsewhere.gone(change.id.as_deref(), &change.content_hash);
            abroad.gone(change.id.as_deref(), &change.content_hash);
        }
    })?;
    if !elsewhere.is_empty() {
        store.arrivals_blocking(listing, folders, naming, &mut |id, content, new| {
            elsewhere.arrived(id, content, new);
        })?;
        if beyond == Beyond::Too {
            store.arrivals_elsewhere_blocking(listing, folders, &mut |id| abroad.arrived(id, None, false))?;
        }
    }
    store.inbound_blocking(listing, folders, naming, &mut |change| match change.fate {
        Fate::Gone if elsewhere.was_moved(change.id.as_deref(), &change.content_hash) => {}
        Fate::Gone if abroad.was_moved(change.id.as_deref(), &change.content_hash) => each(change, true),
        Fate::Gone | Fate::Replaced => each(change, false),
        Fate::Same(_) => {}
    })
}

/// What would come down, and whether that is too much to come unasked. `None`: it could not be weighed. Few deletions are weighed as they are.
async fn weigh(store: &Store, lane: &Arc<Lane>, limits: Limits) -> Result<Option<Weighed>, StoreError> {
    let weighed = weigh_with(store, lane, limits, Beyond::Not).await?;
    let is_small = weighed.as_ref().is_none_or(|(weighed, gone)| weighed.held.is_none() && *gone <= FEW);
    let weighed = if is_small { weighed } else { weigh_with(store, lane, limits, Beyond::Too).await? };
    Ok(weighed.map(|(weighed, _)| weighed))
}

/// With how many files would go.
async fn weigh_with(
    store: &Store,
    lane: &Arc<Lane>,
    limits: Limits,
    beyond: Beyond,
) -> Result<Option<(Weighed, u64)>, StoreError> {
    let (at, of) = (store.clone(), Arc::clone(lane));
    let read = env::spawn_blocking(move || {
        let mut waves: BTreeMap<FolderId, (Wave, Vec<String>, Passed)> = BTreeMap::new();
        let (mut seal, mut away) = (Seal::new("changes"), Vec::new());
        let mut each = |change: Loss, moved: bool| {
            if moved {
                return away.push((change.folder, change.path));
            }
            let (wave, sample, passed) = waves.entry(change.folder).or_default();
            let path = change.path.as_str();
            match change.fate {
                Fate::Gone => {
                    wave.gone += 1;
                    passed.gone(path);
                }
                Fate::Replaced => {
                    wave.replaced += 1;
                    passed.replaced(path);
                }
                Fate::Same(_) => return,
            }
            seal.add(path, &change.rev);
            if sample.len() < SAMPLE {
                sample.push(path.to_owned());
            }
        };
        losses_blocking(&at, &of, beyond, &mut each)?;
        waves.retain(|_, (wave, ..)| wave.gone + wave.replaced > 0);
        let moved = at_their_revisions(&at, away)?;
        Ok::<_, StoreError>((waves, seal.token(), moved))
    });
    let Ok(read) = read.await else { return Ok(None) };
    let (waves, token, moved) = read?;
    let late = store.recent_inbound(lane.id).await?;
    let all_gone = waves.values().map(|(wave, ..)| wave.gone).sum();
    // Without what came down before, a wave in slices would pass.
    let late: BTreeMap<i64, Recent> = match late {
        Some(text) => serde_json::from_str(&text).map_err(|error| StoreError::Corrupt {
            path: store.path().to_owned(),
            what: format!("what came down recently cannot be read: {error}"),
        })?,
        None => BTreeMap::new(),
    };
    let mut weighed = Weighed { held: None, waves: BTreeMap::new(), recent: late, moved };
    for (folder, (wave, sample, passed)) in waves {
        let wave = Wave { files: store.files_in_sync(folder).await?, ..wave };
        let late = weighed.recent.entry(folder.0).or_default().with(&passed, wave.files, now_ms());
        weighed.waves.insert(folder, passed);
        let Err(limit) = guard::inbound(wave, late, limits) else { continue };
        let place = lane.folders.iter().find(|f| f.folder == folder).map(|f| f.remote.to_string()).unwrap_or_default();
        let Wave { gone, replaced, files } = wave;
        let told = weighed.held.get_or_insert_with(|| HeldChanges {
            token: token.clone(),
            since: lane.held().map_or_else(now_ms, |held| held.since),
            ..HeldChanges::default()
        });
        told.changes += gone + replaced;
        told.files += files;
        told.sample.extend(sample.into_iter().take(SAMPLE - told.sample.len().min(SAMPLE)));
        let before = late.changed.saturating_sub(gone + replaced);
        let before = if before == 0 { String::new() } else { format!(", after {before} others of late") };
        told.reason = format!(
            "in Dropbox {gone} files of {place} were deleted and {replaced} got another content, of {files}{before} ({limit}): nothing of it is \
             brought down. `ferrybox approve {token}` lets it, `ferrybox reject {token}` sends what is here up again; or restore the files in Dropbox"
        );
        told.place = place;
    }
    Ok(Some((weighed, all_gone)))
}
