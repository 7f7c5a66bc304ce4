//! Local renames on their way to the committer: workers propose them, and the committer looks at them once more and stages them. The rules, and why
//! it is done so, are in [`plan::moves`](crate::plan::rename::detect).

mod alike;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use self::alike::{Large, alike};
use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::blocking::blocking;
use crate::engine::commit::cycles::seems_moved;
use crate::engine::folder::{Folder, stands};
use crate::env;
use crate::env::Instant;
use crate::env::lock;
use crate::env::{ms, now_ms};
use crate::local::{Kind, Root};
use crate::model::{Base, Closed, FolderId, Job, Local, RelPath, Settled, Stat, WriteMode};
use crate::plan::name::allowed;
use crate::plan::reconcile::Verdict;
use crate::plan::rename::cycles::WORTH_IT;
use crate::plan::rename::detect::{
    ComesAs, How, Old, Shows, Spelling, above, candidate, comes_as, same_file, spelling,
};
use crate::store::StoreError;

/// A row whose path is part of a proposed move is looked at again after this long, in ms.
const SOON_MS: i64 = 300;
/// What was here and is another one in Dropbox may have been renamed here: that is seen within this time, in ms.
const RENAMED_MS: i64 = 2_500;
/// And where a file is here under other letters of its name, within this time.
const LETTERS_MS: i64 = 60_000;
/// For so long at the most the listing is waited for after a move.
const LISTED: Duration = Duration::from_secs(10);
/// A proposal is looked at within this time, unless something is in its way.
pub(crate) const MOMENTS: Duration = Duration::from_secs(2);
/// For so long a refused move is not proposed again.
const REFUSED: Duration = Duration::from_mins(10);
/// For so long a deletion waits for what is sent in a refused move's place.
const SENT: Duration = Duration::from_secs(30);
/// A directory that is gone is forgotten after so many times the time for which it is waited for.
const GONE_AGAIN: u32 = 10;
/// So many refusals, and so many directories that are gone, are remembered.
const REMEMBERED: usize = 20_000;

/// What one account's workers propose, and what was refused.
#[derive(Debug, Default)]
pub(crate) struct Moves(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    proposed: BTreeMap<(FolderId, RelPath), Proposal>,
    refused: HashMap<(FolderId, RelPath, RelPath), Refusal>,
    moved: BTreeMap<FolderId, Instant>,
    /// Directories that were not here when something was to come down into them, since when.
    gone: HashMap<(FolderId, RelPath), Instant>,
    /// The large directory that was read last.
    large: Option<Large>,
}

/// A move or a copy that a worker proposes.
#[derive(Debug, Clone)]
pub(crate) struct Proposal {
    pub(crate) from: RelPath,
    /// A directory, with all that is in it.
    pub(crate) dir: bool,
    pub(crate) how: How,
    pub(crate) since: Instant,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal {
    at: Instant,
    /// A move is not allowed there, a copy may be.
    copy: bool,
}

impl Moves {
    /// Closes what nothing is claimed of while something is proposed. That is looked at within moments, and before anything else of its folder; but what
    /// cannot be looked at by then, since somebody is at work there, say, closes its two places only.
    fn close(&self, closed: &mut Closed) {
        let state = lock(&self.0);
        let stuck = |proposal: &Proposal| proposal.since.elapsed() >= MOMENTS;
        let waits: BTreeSet<_> = state.proposed.iter().filter(|(_, p)| stuck(p)).map(|((of, _), _)| *of).collect();
        for ((folder, to), proposal) in &state.proposed {
            if waits.contains(folder) {
                closed.place(*folder, to);
                closed.place(*folder, &proposal.from);
            } else {
                closed.folders([*folder]);
            }
        }
    }

    /// Folders in which something is proposed.
    fn folders(&self) -> Vec<FolderId> {
        let mut folders: Vec<_> = lock(&self.0).proposed.keys().map(|(folder, _)| *folder).collect();
        folders.dedup();
        folders
    }

    /// A folder's directory was moved.
    pub(crate) fn moved(&self, folder: FolderId) {
        lock(&self.0).moved.insert(folder, env::instant());
    }

    /// Folders in which a directory was moved a moment ago, and whose listing does not show that yet: all that could be said of its files is that it is
    /// too early.
    fn unlisted(&self, account: &Account) -> Vec<FolderId> {
        let mut state = lock(&self.0);
        state.moved.retain(|folder, at| at.elapsed() < LISTED && account.remote.lags_behind(*folder));
        let folders: Vec<_> = state.moved.keys().copied().collect();
        folders.iter().for_each(|folder| account.remote.hurry(*folder));
        folders
    }

    /// Whether a path is part of a proposed move.
    fn covers(&self, folder: FolderId, path: &RelPath) -> bool {
        let state = lock(&self.0);
        let mut at = (!state.proposed.is_empty()).then(|| path.clone());
        let mut key = (folder, RelPath::root());
        while let Some(here) = at.filter(|here| !here.is_root()) {
            at = here.parent();
            key.1 = here;
            if state.proposed.contains_key(&key) {
                return true;
            }
        }
        false
    }

    fn propose(&self, folder: FolderId, to: RelPath, proposal: Proposal) {
        lock(&self.0).proposed.entry((folder, to)).or_insert(proposal);
    }

    /// This cannot be moved so, for a while. With `copy` it may be copied.
    pub(crate) fn refuse(&self, folder: FolderId, from: &RelPath, to: &RelPath, copy: bool) {
        let mut state = lock(&self.0);
        if state.refused.len() >= REMEMBERED {
            state.refused.retain(|_, refusal| refusal.at.elapsed() < REFUSED);
        }
        if state.refused.len() >= REMEMBERED {
            state.refused.clear();
        }
        state.refused.insert((folder, from.clone(), to.clone()), Refusal { at: env::instant(), copy });
    }

    pub(crate) fn refusal(&self, folder: FolderId, from: &RelPath, to: &RelPath) -> Option<Refusal> {
        let refused = lock(&self.0).refused.get(&(folder, from.clone(), to.clone())).copied();
        refused.filter(|refusal| refusal.at.elapsed() < REFUSED)
    }

    /// The new places of refused moves of a folder: what was to be moved is sent to them instead, before the old one is deleted. Not for ever: what
    /// is sent may itself wait for the deletion.
    fn refused_places(&self, folder: FolderId) -> Vec<RelPath> {
        let state = lock(&self.0);
        let mine = state.refused.iter().filter(|((of, ..), refusal)| *of == folder && refusal.at.elapsed() < SENT);
        let mut places: Vec<_> = mine.map(|((_, _, to), _)| to.clone()).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Whether a directory was first found gone less than this long ago.
    fn has_gone_of_late(&self, folder: FolderId, dir: RelPath, within: Duration) -> bool {
        let mut state = lock(&self.0);
        if state.gone.len() >= REMEMBERED {
            state.gone.clear();
        }
        // Should it be back, and go again, that begins again.
        state.gone.retain(|_, since| since.elapsed() < within.saturating_mul(GONE_AGAIN));
        state.gone.entry((folder, dir)).or_insert_with(env::instant).elapsed() < within
    }

    /// All that is proposed, by folder and new path.
    pub(crate) fn snapshot(&self) -> Vec<((FolderId, RelPath), Proposal)> {
        lock(&self.0).proposed.iter().map(|(key, proposal)| (key.clone(), proposal.clone())).collect()
    }

    /// It is proposed no more.
    pub(crate) fn done(&self, folder: FolderId, to: &RelPath) {
        lock(&self.0).proposed.remove(&(folder, to.clone()));
    }
}

/// Closes what nothing is claimed of for now. Gives whether that is anything.
pub(crate) async fn close(account: &Account, closed: &mut Closed) -> Result<bool, Fatal> {
    let mut mine = Closed::default();
    mine.folders(account.store.moving().await?);
    mine.folders(account.moves.unlisted(account));
    account.moves.close(&mut mine);
    let any = mine != Closed::default();
    closed.join(mine);
    Ok(any)
}

/// Folders in which something is being moved, or may be in a moment.
async fn busy(account: &Account) -> Result<Vec<FolderId>, Fatal> {
    let mut folders = account.store.moving().await?;
    folders.extend(account.moves.folders());
    folders.extend(account.moves.unlisted(account));
    Ok(folders)
}

/// What a row is about to come to, as far as a move may take its place.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Instead<'a> {
    /// A new file is sent.
    Sent(&'a Stat),
    /// A new file is compared with the one that Dropbox has there.
    Compared(&'a Stat),
    /// Another file than base's is sent over that one.
    Replaced(&'a Stat),
    /// A new directory is Dropbox's folder of that name.
    Agreed,
    /// A folder is deleted in Dropbox.
    Deleted,
    /// Dropbox's file or folder is brought down to where nothing is. With base: it was there.
    Fetched(Option<&'a Base>),
    /// Anything else.
    Other,
}

impl<'a> Instead<'a> {
    /// Of what the three views say.
    pub(crate) fn of(verdict: &Verdict, local: &'a Local, base: Option<&'a Base>) -> Self {
        match (verdict, local, base) {
            (Verdict::Upload(WriteMode::Add), Local::File(stat), None) => Self::Sent(stat),
            (Verdict::AdoptOrUpload(_) | Verdict::Compare, Local::File(stat), None) => Self::Compared(stat),
            (Verdict::Upload(WriteMode::Update(_)), Local::File(stat), Some(base))
                if (stat.dev, stat.ino) != (base.stat.dev, base.stat.ino) && base.remote.is_none() =>
            {
                Self::Replaced(stat)
            }
            (Verdict::AgreeDir, ..) => Self::Agreed,
            (Verdict::DeleteFolder, ..) => Self::Deleted,
            (Verdict::Download(_) | Verdict::MakeDir, Local::Absent, base) => Self::Fetched(base),
            _ => Self::Other,
        }
    }
}

/// If what is new here is something that base knows under another path, a move is proposed, and the row waits for it. So does every row below a
/// directory that is about to be moved.
pub(crate) fn instead(
    account: &Account,
    folder: &Folder,
    root: &Root,
    job: &Job,
    what: Instead<'_>,
) -> Option<Settled> {
    // What cannot be read is no evidence that the path is new, or that it is gone.
    sought(account, folder, root, job, what).unwrap_or_else(|Unread| Some(Settled::Wait(now_ms() + SOON_MS)))
}

/// The disk, or the database, gave no answer.
struct Unread;

impl From<StoreError> for Unread {
    fn from(_: StoreError) -> Self {
        Self
    }
}

fn sought(
    account: &Account,
    folder: &Folder,
    root: &Root,
    job: &Job,
    what: Instead<'_>,
) -> Result<Option<Settled>, Unread> {
    let wait = || Ok(Some(Settled::Wait(now_ms() + SOON_MS)));
    if account.moves.covers(folder.id, &job.path) {
        return wait();
    }
    let (stat, place) = match what {
        Instead::Sent(stat) => (stat, Place::Free),
        Instead::Compared(stat) => (stat, Place::Theirs),
        Instead::Replaced(stat) => (stat, Place::Ours),
        Instead::Agreed | Instead::Deleted => {
            return respelled(account, folder, root, &job.path, matches!(what, Instead::Deleted));
        }
        Instead::Fetched(base) => return fetched(account, folder, root, job, base),
        Instead::Other => return Ok(None),
    };
    if allowed::disallowed(&job.path).is_some() {
        return Ok(None);
    }
    let known = account.store.had_inode_blocking(folder.id, stat)?;
    for (from, base) in known {
        if from == job.path || folder.ignored(&from, false).is_some() {
            continue;
        }
        let old = old(root, &from, &base, stat);
        let Some(how) = candidate(&base, stat, old, folder.mode) else { continue };
        match spelling(&from, &job.path) {
            Spelling::Other if place != Place::Theirs && (place == Place::Free || how == How::Move) => {}
            Spelling::Letters if how == How::Move && place != Place::Ours => {}
            Spelling::Other | Spelling::Letters | Spelling::Form => continue,
        }
        // What takes the place of another file is moved there only if that pays.
        let alone = place != Place::Ours || stat.size >= WORTH_IT;
        let Some((to, proposal)) = choose(account, folder, root, (from, job.path.clone()), how, alone)? else {
            continue;
        };
        account.moves.propose(folder.id, to, proposal);
        return wait();
    }
    Ok(None)
}

/// What stands in a directory; nothing, if it is not there.
fn listed(root: &Root, dir: &RelPath) -> Result<Vec<(String, Kind)>, Unread> {
    match root.read_dir(dir) {
        Ok(listing) if listing.incomplete.is_none() => Ok(listing.entries),
        Ok(_) => Err(Unread),
        Err(_) if matches!(root.observe(dir), Local::Unknown(_) | Local::Dir) => Err(Unread),
        Err(_) => Ok(Vec::new()),
    }
}

/// What is known of the place of a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing is there.
    Free,
    /// Dropbox has something there.
    Theirs,
    /// Base has another file there, which may have gone elsewhere.
    Ours,
}

/// What comes down to where nothing is. If it was there, and is another one in Dropbox by now, it may only have been renamed here: that is looked for
/// first. If it stands here in another spelling, it is here, unless Dropbox shows the new one.
fn fetched(
    account: &Account,
    folder: &Folder,
    root: &Root,
    job: &Job,
    base: Option<&Base>,
) -> Result<Option<Settled>, Unread> {
    let (waited, was) = (now_ms().saturating_sub(job.since), base.is_some());
    let Some(parent) = job.path.parent() else { return Ok(None) };
    let alike = alike(&account.moves, folder.id, root, &job.path)?;
    if (0..LETTERS_MS).contains(&waited) && is_here_in_letters(account, folder, &job.path, base, &alike)? {
        return Ok(Some(Settled::Wait(now_ms() + SOON_MS)));
    }
    let missing = missing_above(account, folder, root, &job.path)?;
    let scans = folder.now().scans > 0;
    if missing.is_some_and(|dir| account.moves.has_gone_of_late(folder.id, dir, gone_for(account)) || scans) {
        return Ok(Some(Settled::Wait(now_ms() + SOON_MS)));
    }
    if was {
        return Ok((scans || (0..RENAMED_MS).contains(&waited)).then(|| Settled::Wait(now_ms() + SOON_MS)));
    }
    let shown = account.remote.name_blocking(account, folder.id, &job.path)?;
    let shows = match &shown {
        Some(shown) if shown == job.path.name() => Shows::This,
        Some(shown) if in_letters(&job.path, shown) => Shows::OtherLetters,
        _ => Shows::Neither,
    };
    let agreed = match alike.first().and_then(|(name, _)| parent.child(name).ok()) {
        Some(other) => account.store.agreed_below_blocking(folder.id, &other)?,
        None => false,
    };
    Ok(match comes_as(agreed, shows) {
        ComesAs::This => None,
        ComesAs::Shown => shown.and_then(|shown| parent.child(&shown).ok()).map(Settled::Rather),
        ComesAs::IsHere => Some(Settled::Nothing),
    })
}

/// Whether this is the path's name in other letters, or in another form.
fn in_letters(path: &RelPath, name: &str) -> bool {
    let beside = path.parent().and_then(|parent| parent.child(name).ok());
    beside.is_some_and(|other| spelling(path, &other) != Spelling::Other)
}

/// Whether Dropbox shows what has just come down under other letters by now, and nothing was agreed on here under these: then those are the ones to come
/// down under. Blocks.
///
/// # Errors
/// When the database cannot be read.
pub(crate) fn is_shown_otherwise(account: &Account, folder: &Folder, path: &RelPath) -> Result<bool, StoreError> {
    if account.store.base_blocking(folder.id, path)?.is_some() {
        return Ok(false);
    }
    let shown = account.remote.name_blocking(account, folder.id, path)?;
    Ok(shown.is_some_and(|shown| shown != path.name() && in_letters(path, &shown)))
}

/// The nearest directory above a path that is not here, and in which something was agreed on.
fn missing_above(
    account: &Account,
    folder: &Folder,
    root: &Root,
    path: &RelPath,
) -> Result<Option<RelPath>, StoreError> {
    let mut above = path.parent().filter(|dir| !dir.is_root());
    while let Some(dir) = above.filter(|dir| root.observe(dir) == Local::Absent) {
        if account.store.agreed_below_blocking(folder.id, &dir)? {
            return Ok(Some(dir));
        }
        above = dir.parent().filter(|dir| !dir.is_root());
    }
    Ok(None)
}

/// For so long what is in a directory that is gone is not brought down: its new name is told within this time, and its files come down under that.
fn gone_for(account: &Account) -> Duration {
    Duration::from_millis(RENAMED_MS.unsigned_abs()).saturating_add(account.config.watch.settle)
}

/// Whether what has come down has lost its directory a moment ago, so that it would be made a second time. Blocks.
///
/// # Errors
/// When the database cannot be read.
pub(crate) fn has_lost_its_directory(account: &Account, folder: &Folder, path: &RelPath) -> Result<bool, StoreError> {
    let missing = missing_above(account, folder, &folder.root, path)?;
    Ok(missing.is_some_and(|dir| account.moves.has_gone_of_late(folder.id, dir, gone_for(account))))
}

/// Whether a file is here under other letters of the name, and its own row has yet to say what it is: the very file, on its way to that name in Dropbox,
/// or one of which nothing was agreed on, which is met with Dropbox's. Should Dropbox's come down under its own letters now, there would be two of
/// them, which Dropbox does not tell apart.
fn is_here_in_letters(
    account: &Account,
    folder: &Folder,
    path: &RelPath,
    base: Option<&Base>,
    alike: &[(String, Kind)],
) -> Result<bool, Unread> {
    let Some(parent) = path.parent() else { return Ok(false) };
    for (name, kind) in alike {
        let (Ok(other), Kind::File(stat)) = (parent.child(name), kind) else { continue };
        let spelling = spelling(path, &other);
        let moves = spelling == Spelling::Letters && base.is_some_and(|base| same_file(base, stat));
        if moves && account.moves.refusal(folder.id, path, &other).is_none() {
            return Ok(true);
        }
        let is_new = spelling != Spelling::Other && !moves && folder.ignored(&other, false).is_none();
        if is_new && account.store.base_blocking(folder.id, &other)?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A directory whose name changed only its letters is one folder in Dropbox: that gets the new name, and is never deleted.
fn respelled(
    account: &Account,
    folder: &Folder,
    root: &Root,
    path: &RelPath,
    was: bool,
) -> Result<Option<Settled>, Unread> {
    let Some(parent) = path.parent() else { return Ok(None) };
    let same = |name: &str| {
        let other = parent.child(name).ok()?;
        (spelling(path, &other) == Spelling::Letters).then_some(other)
    };
    let other = if was {
        let entries = listed(root, &parent)?;
        entries.iter().filter(|(_, kind)| *kind == Kind::Dir).find_map(|(name, _)| same(name))
    } else {
        let agreed = account.store.agreed_dirs_blocking(folder.id, &parent)?;
        agreed.iter().find_map(|name| same(name)).filter(|from| stands(root, from) == Local::Absent)
    };
    let Some(other) = other else { return Ok(None) };
    let (from, to) = if was { (path.clone(), other) } else { (other, path.clone()) };
    if !folder.passes_deletions() || account.moves.refusal(folder.id, &from, &to).is_some() {
        return Ok(was.then_some(Settled::Again(None)));
    }
    account.moves.propose(folder.id, to, Proposal { from, dir: true, how: How::Move, since: env::instant() });
    Ok(Some(Settled::Wait(now_ms() + SOON_MS)))
}

/// What stands at the old path of the file that is `now` elsewhere.
pub(crate) fn old(root: &Root, from: &RelPath, base: &Base, now: &Stat) -> Old {
    match Folder::look_at(root, from, Some(base)) {
        Local::Absent | Local::Dir | Local::Other(_) => Old::Left,
        Local::File(there) if (there.dev, there.ino) != (now.dev, now.ino) => Old::Left,
        Local::File(_) if stands(root, from) == Local::Absent => Old::Left,
        Local::File(there) if same_file(base, &there) => Old::Linked,
        Local::File(_) | Local::Unknown(_) => Old::Unknown,
    }
}

/// The highest directories that may have been renamed as one, or else, if it may go `alone`, the file itself.
fn choose(
    account: &Account,
    folder: &Folder,
    root: &Root,
    (from, to): (RelPath, RelPath),
    how: How,
    alone: bool,
) -> Result<Option<(RelPath, Proposal)>, Unread> {
    let since = env::instant();
    let mut how = how;
    let pairs = above(&from, &to);
    for (old, new) in pairs.into_iter().rev() {
        let refusal = account.moves.refusal(folder.id, &old, &new);
        if refusal.is_some_and(|refusal| refusal.copy) {
            how = How::Copy;
        }
        let may_be = how == How::Move
            && refusal.is_none()
            && root.observe(&new) == Local::Dir
            && folder.ignored(&old, true).is_none()
            && match (stands(root, &old), account.store.agreed_below_blocking(folder.id, &new)?) {
                (Local::Absent, false) => true,
                // Others may have come to its old place, and gone from its new one.
                (Local::Absent | Local::Dir, _) => seems_moved(account, folder, root, &old, &new)?,
                _ => false,
            };
        if may_be {
            return Ok(Some((new, Proposal { from: old, dir: true, how, since })));
        }
    }
    if !alone {
        return Ok(None);
    }
    match account.moves.refusal(folder.id, &from, &to) {
        Some(Refusal { copy: true, .. }) if how == How::Move => how = How::Copy,
        Some(_) => return Ok(None),
        None => {}
    }
    Ok(Some((to, Proposal { from, dir: false, how, since })))
}

/// Directories (or files) that are gone, with all that base knows in them: looked at only after the new ones have been scanned, since they may be the
/// same, and base knows that by then.
pub(crate) async fn gone(account: &Account, folder: &Arc<Folder>, paths: Vec<RelPath>) -> Result<(), Fatal> {
    let settle = ms(account.config.watch.settle);
    for path in paths {
        let (store, of, at) = (account.store.clone(), Arc::clone(folder), path.clone());
        let is_gone = blocking(move || {
            let gone = !matches!(of.root.observe(&at), Local::Dir | Local::Unknown(_));
            Ok(gone && store.knows_below_blocking(of.id, &at)?)
        });
        if is_gone.await? {
            let now = now_ms();
            account.store.enqueue_gone(folder.id, &path, folder.passes_deletions(), now + settle, now).await?;
        }
    }
    Ok(())
}

/// Whether something in the folder is being moved, or may be in a moment: a deletion of today may be where it comes from. Rows that nobody has looked at
/// are `engine/commit/pending_renames`'s.
pub(crate) async fn is_busy(account: &Account, folder: FolderId) -> Result<bool, Fatal> {
    Ok(busy(account).await?.contains(&folder))
}

/// Whether what is sent in the place of a refused move is still on its way.
pub(crate) async fn is_sent_instead(account: &Account, folder: FolderId) -> Result<bool, Fatal> {
    for place in account.moves.refused_places(folder) {
        // What is sent below a file that is itself to be deleted waits for that, and nothing waits in a circle.
        if account.store.busy_at(folder, &place).await? && !account.store.is_below_deletion(folder, &place).await? {
            return Ok(true);
        }
    }
    Ok(false)
}
