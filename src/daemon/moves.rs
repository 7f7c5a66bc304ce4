//! Local renames on their way to the committer: workers propose them, and the committer looks at them once more and stages them. The rules, and why
//! it is done so, are in [`plan::moves`](crate::plan::moves).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::daemon::account::{Account, Fatal};
use crate::daemon::clock::{ms, now_ms};
use crate::daemon::folder::Folder;
use crate::daemon::intake::blocking;
use crate::daemon::live::lock;
use crate::local::{Kind, Root};
use crate::model::{Base, Change, ChangeId, Due, FolderId, Job, Local, RelPath, Relocation, Remote, RemoteChange, Settled, Stat};
use crate::plan::listing::key_of;
use crate::plan::moves::{Below, How, MOST, Old, Spelling, above, apart, by_way, candidate, same_file, spelling};
use crate::plan::names;
use crate::store::{Looked, Planned, RowBelow, StoreError};

/// A row whose path is part of a proposed move is looked at again after this long, in ms.
const SOON_MS: i64 = 300;
/// Proposals wait this long for company: a worker looks at many rows at once.
const GATHER: Duration = Duration::from_millis(50);
/// What was here and is another one in Dropbox may have been renamed here: that is seen within this time, in ms.
const RENAMED_MS: i64 = 2_500;
/// A scan that still runs is waited for so long: the rows that it makes below a renamed directory then go with the move.
const SCANNING: Duration = Duration::from_secs(2);
/// A proposal that could not be looked at, or has others at work in its paths, for this long is none.
const LONGEST: Duration = Duration::from_secs(30);
/// For so long at the most the listing is waited for after a move.
const LISTED: Duration = Duration::from_secs(10);
/// For so long a refused move is not proposed again.
const REFUSED: Duration = Duration::from_mins(10);
/// Files of base that are read at once.
const PAGE: usize = 1_000;
/// So many refusals are remembered.
const REMEMBERED: usize = 20_000;

/// What one account's workers propose, and what was refused.
#[derive(Debug, Default)]
pub(crate) struct Moves(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    proposed: BTreeMap<(FolderId, RelPath), Proposal>,
    refused: HashMap<(FolderId, RelPath, RelPath), Refusal>,
    moved: BTreeMap<FolderId, Instant>,
}

#[derive(Debug, Clone)]
struct Proposal {
    from: RelPath,
    dir: bool,
    how: How,
    since: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Refusal {
    at: Instant,
    /// A move is not allowed there, a copy may be.
    copy: bool,
}

impl Moves {
    /// Folders in which something is proposed: it is looked at before anything else is claimed there.
    fn folders(&self) -> Vec<FolderId> {
        let mut folders: Vec<_> = lock(&self.0).proposed.keys().map(|(folder, _)| *folder).collect();
        folders.dedup();
        folders
    }

    /// A folder's directory was moved.
    pub(crate) fn moved(&self, folder: FolderId) {
        lock(&self.0).moved.insert(folder, Instant::now());
    }

    /// Folders in which a directory was moved a moment ago, and whose listing does not show that yet: all that could be said of its files is that it is
    /// too early.
    fn unlisted(&self, account: &Account) -> Vec<FolderId> {
        let mut state = lock(&self.0);
        state.moved.retain(|folder, at| at.elapsed() < LISTED && account.remote.lags_behind(*folder));
        state.moved.keys().copied().collect()
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
        state.refused.insert((folder, from.clone(), to.clone()), Refusal { at: Instant::now(), copy });
    }

    fn refusal(&self, folder: FolderId, from: &RelPath, to: &RelPath) -> Option<Refusal> {
        let refused = lock(&self.0).refused.get(&(folder, from.clone(), to.clone())).copied();
        refused.filter(|refusal| refusal.at.elapsed() < REFUSED)
    }

    /// The new places of refused moves of a folder: what was to be moved is sent to them instead, before the old one is deleted.
    fn refused_places(&self, folder: FolderId) -> Vec<RelPath> {
        let state = lock(&self.0);
        let mine = state.refused.iter().filter(|((of, ..), refusal)| *of == folder && refusal.at.elapsed() < REFUSED);
        let mut places: Vec<_> = mine.map(|((_, _, to), _)| to.clone()).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    fn snapshot(&self) -> Vec<((FolderId, RelPath), Proposal)> {
        lock(&self.0).proposed.iter().map(|(key, proposal)| (key.clone(), proposal.clone())).collect()
    }

    fn done(&self, folder: FolderId, to: &RelPath) {
        lock(&self.0).proposed.remove(&(folder, to.clone()));
    }
}

/// Folders of which nothing is claimed for now.
pub(crate) async fn busy(account: &Account) -> Result<Vec<FolderId>, Fatal> {
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
    /// A new directory is Dropbox's folder of that name.
    Agreed,
    /// A folder is deleted in Dropbox.
    Deleted,
    /// Dropbox's file or folder is brought down to where nothing is. With base: it was there.
    Fetched(Option<&'a Base>),
    /// Anything else.
    Other,
}

/// If what is new here is something that base knows under another path, a move is proposed, and the row waits for it. So does every row below a
/// directory that is about to be moved.
pub(crate) fn instead(account: &Account, folder: &Folder, root: &Root, job: &Job, what: Instead<'_>) -> Option<Settled> {
    let wait = || Some(Settled::Wait(now_ms() + SOON_MS));
    if account.moves.covers(folder.id, &job.path) {
        return wait();
    }
    let (stat, taken) = match what {
        Instead::Sent(stat) => (stat, false),
        Instead::Compared(stat) => (stat, true),
        Instead::Agreed | Instead::Deleted => {
            return respelled(account, folder, root, &job.path, matches!(what, Instead::Deleted));
        }
        Instead::Fetched(base) => return fetched(account, folder, root, job, base.is_some()),
        Instead::Other => return None,
    };
    if names::disallowed(&job.path).is_some() {
        return None;
    }
    let known = account.store.had_inode_blocking(folder.id, stat).ok()?;
    for (from, base) in known {
        if from == job.path || folder.ignored(&from, false).is_some() {
            continue;
        }
        let old = old(root, &from, &base, stat);
        let Some(how) = candidate(&base, stat, old, folder.mode) else { continue };
        match spelling(&from, &job.path) {
            Spelling::Other if !taken => {}
            Spelling::Letters if how == How::Move => {}
            Spelling::Other | Spelling::Letters | Spelling::Form => continue,
        }
        let Some((to, proposal)) = choose(account, folder, root, (from, job.path.clone()), how) else { continue };
        account.moves.propose(folder.id, to, proposal);
        return wait();
    }
    None
}

/// What comes down to where nothing is. If it was there, and is another one in Dropbox by now, it may only have been renamed here: that is looked for
/// first. If it stands here in another spelling, it is here, unless Dropbox shows the new one.
fn fetched(account: &Account, folder: &Folder, root: &Root, job: &Job, was: bool) -> Option<Settled> {
    let waited = now_ms().saturating_sub(job.since);
    if was {
        return (folder.now().scans > 0 || (0..RENAMED_MS).contains(&waited)).then(|| Settled::Wait(now_ms() + SOON_MS));
    }
    let parent = job.path.parent()?;
    let listing = root.read_dir(&parent).ok()?;
    let same = |name: &str| parent.child(name).is_ok_and(|other| spelling(&job.path, &other) != Spelling::Other);
    let other = listing.entries.iter().map(|(name, _)| name).find(|name| **name != *job.path.name() && same(name))?;
    let agreed = account.store.agreed_below_blocking(folder.id, &parent.child(other).ok()?).ok()?;
    let shown = account.remote.name_blocking(account, folder.id, &job.path).ok()?;
    (agreed && shown.as_deref() != Some(job.path.name())).then_some(Settled::Nothing)
}

/// A directory whose name changed only its letters is one folder in Dropbox: that gets the new name, and is never deleted.
fn respelled(account: &Account, folder: &Folder, root: &Root, path: &RelPath, was: bool) -> Option<Settled> {
    let parent = path.parent()?;
    let same = |name: &str| {
        let other = parent.child(name).ok()?;
        (spelling(path, &other) == Spelling::Letters).then_some(other)
    };
    let (from, to) = if was {
        let listing = root.read_dir(&parent).ok()?;
        let to = listing.entries.iter().filter(|(_, kind)| *kind == Kind::Dir).find_map(|(name, _)| same(name))?;
        (path.clone(), to)
    } else {
        let agreed = account.store.agreed_dirs_blocking(folder.id, &parent).ok()?;
        (agreed.iter().find_map(|name| same(name)).filter(|from| root.observe(from) == Local::Absent)?, path.clone())
    };
    if !folder.passes_deletions() || account.moves.refusal(folder.id, &from, &to).is_some() {
        return was.then_some(Settled::Again(None));
    }
    account.moves.propose(folder.id, to, Proposal { from, dir: true, how: How::Move, since: Instant::now() });
    Some(Settled::Wait(now_ms() + SOON_MS))
}

/// What stands at the old path of the file that is `now` elsewhere.
fn old(root: &Root, from: &RelPath, base: &Base, now: &Stat) -> Old {
    match Folder::look_at(root, from, Some(base)) {
        Local::Absent | Local::Dir | Local::Other(_) => Old::Left,
        Local::File(there) if (there.dev, there.ino) != (now.dev, now.ino) => Old::Left,
        Local::File(there) if same_file(base, &there) => Old::Linked,
        Local::File(_) | Local::Unknown(_) => Old::Unknown,
    }
}

/// The highest directories that may have been renamed as one, or else the file itself.
fn choose(
    account: &Account,
    folder: &Folder,
    root: &Root,
    (from, to): (RelPath, RelPath),
    how: How,
) -> Option<(RelPath, Proposal)> {
    let since = Instant::now();
    let mut how = how;
    let pairs = above(&from, &to);
    for (old, new) in pairs.into_iter().rev() {
        let refusal = account.moves.refusal(folder.id, &old, &new);
        if refusal.is_some_and(|refusal| refusal.copy) {
            how = How::Copy;
        }
        let may_be = how == How::Move
            && refusal.is_none()
            && root.observe(&old) == Local::Absent
            && root.observe(&new) == Local::Dir
            && folder.ignored(&old, true).is_none()
            && !account.store.agreed_below_blocking(folder.id, &new).unwrap_or(true);
        if may_be {
            return Some((new, Proposal { from: old, dir: true, how, since }));
        }
    }
    match account.moves.refusal(folder.id, &from, &to) {
        Some(Refusal { copy: true, .. }) if how == How::Move => how = How::Copy,
        Some(_) => return None,
        None => {}
    }
    Some((to, Proposal { from, dir: false, how, since }))
}

/// What a look at a directory's files found beside their being the same.
struct Seen {
    /// Rows that go with the move.
    rows: Vec<Looked>,
    /// New paths that have to be looked at after it.
    others: Vec<RelPath>,
}

/// What a look at a proposal gave.
enum Verdict {
    /// It is so.
    Go(Box<Planned>, Seen),
    /// It is not, or cannot be done.
    No,
    /// It cannot be said yet.
    Later,
}

/// The committer's part.
pub(crate) struct Mover {
    account: Arc<Account>,
    /// Rows that were looked at before a staged move, and go with it.
    looked: HashMap<ChangeId, Vec<Looked>>,
}

impl Mover {
    pub(crate) fn new(account: Arc<Account>) -> Self {
        Self { account, looked: HashMap::new() }
    }

    /// The rows that go with these moves.
    pub(crate) fn take_looked(&mut self, changes: &[Change]) -> HashMap<ChangeId, Vec<Looked>> {
        changes.iter().filter_map(|change| Some((change.id, self.looked.remove(&change.id)?))).collect()
    }

    /// Looks at what is proposed, and stages what is so. Gives whether some of it has to wait.
    pub(crate) async fn stage(&mut self) -> Result<bool, Fatal> {
        let account = Arc::clone(&self.account);
        let proposed = account.moves.snapshot();
        if proposed.is_empty() {
            return Ok(false);
        }
        let moving = account.store.moving().await?;
        let mut waits = false;
        for folder in &account.folders {
            let mine: Vec<_> = proposed.iter().filter(|((of, _), _)| *of == folder.id).collect();
            if mine.is_empty() {
                continue;
            }
            let ages = || mine.iter().map(|(_, proposal)| proposal.since.elapsed());
            let fresh = ages().all(|age| age < SCANNING);
            let gathers = ages().any(|age| age < GATHER) && ages().all(|age| age < GATHER * 10);
            if gathers || moving.contains(&folder.id) || folder.now().root_trouble.is_some() || folder.now().scans > 0 && fresh {
                waits = true;
                continue;
            }
            let pairs: Vec<_> = mine.iter().map(|((_, to), proposal)| (proposal.from.clone(), to.clone())).collect();
            let now = apart(&pairs);
            let (mut plans, mut all_seen) = (Vec::new(), Vec::new());
            for (i, ((_, to), proposal)) in mine.into_iter().enumerate() {
                if !now.contains(&i) {
                    // Its row proposes it again, should it still be so by then.
                    account.moves.done(folder.id, to);
                    continue;
                }
                match self.look(folder, to, proposal).await? {
                    Verdict::Go(planned, seen) => {
                        plans.push(*planned);
                        all_seen.push(seen);
                    }
                    Verdict::Later if proposal.since.elapsed() < LONGEST => waits = true,
                    Verdict::No | Verdict::Later => {
                        tracing::debug!(from = %proposal.from, %to, "no move");
                        account.moves.refuse(folder.id, &proposal.from, to, false);
                        account.moves.done(folder.id, to);
                    }
                }
            }
            let paths: Vec<_> = plans.iter().map(|planned| planned.path.clone()).collect();
            let staged = account.store.stage_moves(plans, now_ms()).await?;
            for ((id, seen), to) in staged.into_iter().zip(all_seen).zip(paths) {
                match id {
                    Some(id) => {
                        self.looked.insert(id, seen.rows);
                        let now = now_ms();
                        let due = seen.others.into_iter().map(|path| Due { path, size: 0, due_at: now });
                        // Nothing is claimed there before the move is settled.
                        account.store.enqueue(folder.id, due.collect(), now).await?;
                        account.moves.done(folder.id, &to);
                    }
                    None => waits = true,
                }
            }
        }
        if !waits {
            account.store.poke();
        }
        Ok(waits)
    }

    async fn look(&self, folder: &Arc<Folder>, to: &RelPath, proposal: &Proposal) -> Result<Verdict, Fatal> {
        let (account, folder) = (Arc::clone(&self.account), Arc::clone(folder));
        let (to, proposal) = (to.clone(), proposal.clone());
        blocking(move || {
            let look = Look { account: &account, folder: &folder, root: folder.root.pin(), to: &to, from: &proposal.from };
            if proposal.dir { look.dir() } else { look.file(proposal.how) }
        })
        .await
    }

    /// Takes back staged moves that are not so any more; those that are halfway go on.
    pub(crate) async fn look_again(&mut self) -> Result<(), Fatal> {
        let account = Arc::clone(&self.account);
        let staged = account.store.staged_moves().await?;
        let old: Vec<_> = staged.into_iter().filter(|change| !self.looked.contains_key(&change.id)).collect();
        if old.is_empty() {
            return Ok(());
        }
        let ours = Arc::clone(&account);
        let not_so = blocking(move || Ok(old.iter().filter(|c| !still_so(&ours, c)).map(|c| c.id).collect::<Vec<_>>())).await?;
        account.store.withdraw(not_so, now_ms()).await?;
        Ok(())
    }
}

/// Whether a staged move is what the disk says.
fn still_so(account: &Account, change: &Change) -> bool {
    let RemoteChange::Relocate(relocation) = &change.what else { return true };
    let Some(folder) = account.folder(change.folder) else { return false };
    let root = folder.root.pin();
    let now = root.observe(&change.path);
    let so = match (&relocation.base, now) {
        (Some(base), Local::File(stat)) => same_file(base, &stat),
        (None, Local::Dir) => root.observe(&relocation.source) == Local::Absent,
        // On its way by another name: it has to go on, whatever became of it here.
        _ => false,
    };
    so && folder.vouch(&root).is_ok()
}

/// One proposal, looked at.
struct Look<'a> {
    account: &'a Account,
    folder: &'a Folder,
    root: Root,
    from: &'a RelPath,
    to: &'a RelPath,
}

impl Look<'_> {
    fn dir(&self) -> Result<Verdict, StoreError> {
        let (store, folder) = (&self.account.store, self.folder);
        // Before the disk is: what changes from now on has another generation.
        let mut rows = store.rows_below_blocking(folder.id, self.from)?;
        let behind = rows.len();
        rows.extend(store.rows_below_blocking(folder.id, self.to)?);
        if store.agreed_below_blocking(folder.id, self.to)? {
            return Ok(Verdict::No);
        }
        let Some((found, clean, others)) = self.compare()? else { return Ok(Verdict::Later) };
        let here = (self.root.observe(self.from), self.root.observe(self.to));
        if folder.vouch(&self.root).is_err() {
            return Ok(Verdict::Later);
        }
        // One folder in Dropbox, whatever is in it.
        let one = spelling(self.from, self.to) == Spelling::Letters && found.all() <= MOST;
        if here != (Local::Absent, Local::Dir) || !found.is_moved() && !one {
            return Ok(Verdict::No);
        }
        match self.remote(self.from)? {
            None => return Ok(Verdict::Later),
            Some(Remote::Folder | Remote::Unlisted) => {}
            Some(Remote::File { .. } | Remote::Absent) => return Ok(Verdict::No),
        }
        if !self.is_free()? {
            return Ok(Verdict::No);
        }
        // What was agreed on among the directories goes along, too.
        let is_clean = |row: &RowBelow| clean.contains(&row.path) || row.path != *self.to && self.was_agreed(&row.path);
        let looked = rows.iter().enumerate().filter(|(i, row)| *i < behind || is_clean(row));
        let looked = looked.filter(|(_, row)| row.path != *self.to).map(|(_, row)| (row.id, row.generation)).collect();
        Ok(self.go(&rows, Seen { rows: looked, others }, None, false))
    }

    /// Every file of base below the old path, looked at under the new one; which of them need no other look, and which do. `None`: one of them cannot
    /// be seen.
    fn compare(&self) -> Result<Option<(Below, HashSet<RelPath>, Vec<RelPath>)>, StoreError> {
        let (mut found, mut clean, mut others) = (Below::default(), HashSet::new(), Vec::new());
        let mut after: Option<RelPath> = None;
        loop {
            let page = self.account.store.base_below_blocking(self.folder.id, self.from, after.as_ref(), PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(Some((found, clean, others))) };
            after = Some(last.clone());
            for (path, base) in &page {
                let Some(at) = path.moved(self.from, self.to) else { continue };
                match self.root.observe(&at) {
                    _ if self.folder.ignored(&at, false).is_some() => found.missing += 1,
                    Local::File(now) if same_file(base, &now) => {
                        found.same += 1;
                        if now == base.stat {
                            clean.insert(at);
                        }
                    }
                    Local::File(_) => {
                        found.changed += 1;
                        others.push(at);
                    }
                    Local::Unknown(_) => return Ok(None),
                    Local::Absent | Local::Dir | Local::Other(_) => {
                        found.missing += 1;
                        others.push(at);
                    }
                }
            }
            if found.all() > MOST {
                return Ok(Some((found, clean, others)));
            }
        }
    }

    /// Whether a directory below the new path is one that was agreed on below the old one.
    fn was_agreed(&self, path: &RelPath) -> bool {
        let Some(old) = path.moved(self.to, self.from) else { return false };
        self.account.store.agreed_dir_blocking(self.folder.id, &old).unwrap_or(false)
            && self.root.observe(path) == Local::Dir
    }

    fn file(&self, how: How) -> Result<Verdict, StoreError> {
        let (store, folder) = (&self.account.store, self.folder);
        let mut rows = store.rows_below_blocking(folder.id, self.from)?;
        rows.extend(store.rows_below_blocking(folder.id, self.to)?);
        let Some(base) = store.base_blocking(folder.id, self.from)? else { return Ok(Verdict::No) };
        if store.agreed_below_blocking(folder.id, self.to)? {
            return Ok(Verdict::No);
        }
        let Local::File(now) = self.root.observe(self.to) else { return Ok(Verdict::No) };
        let old = old(&self.root, self.from, &base, &now);
        let left = self.root.observe(self.from) == Local::Absent;
        if folder.vouch(&self.root).is_err() || old == Old::Unknown {
            return Ok(Verdict::Later);
        }
        let meant = candidate(&base, &now, old, folder.mode);
        if meant.is_none() || meant == Some(How::Copy) && how == How::Move {
            return Ok(Verdict::No);
        }
        let theirs = match self.remote(self.from)? {
            None => return Ok(Verdict::Later),
            Some(remote) => remote,
        };
        let known = match &theirs {
            Remote::Unlisted => true,
            Remote::File { content_hash, .. } if how == How::Copy => *content_hash == Some(base.content_hash),
            Remote::File { id, rev, .. } => base.file_id.as_ref().map_or(*rev == base.rev, |known| known == id),
            Remote::Absent | Remote::Folder => false,
        };
        if !known || !self.is_free()? {
            return Ok(Verdict::No);
        }
        let gone = rows.iter().filter(|row| left && row.path == *self.from);
        let looked = gone.map(|row| (row.id, row.generation)).collect();
        let seen = Seen { rows: looked, others: Vec::new() };
        Ok(self.go(&rows, seen, Some(Base { stat: now, ..base }), how == How::Copy))
    }

    fn go(&self, rows: &[RowBelow], seen: Seen, base: Option<Base>, copy: bool) -> Verdict {
        let (from, to) = (self.folder.home(self.from), self.folder.home(self.to));
        let via = (spelling(self.from, self.to) == Spelling::Letters).then(|| by_way(&to, now_ms()));
        let Ok(via) = via.transpose() else { return Verdict::No };
        let relocation = Relocation { from, to, source: self.from.clone(), base, copy, via };
        let generation = rows.iter().find(|row| row.path == *self.to).map(|row| row.generation);
        let (folder, path) = (self.folder.id, self.to.clone());
        Verdict::Go(Box::new(Planned { folder, path, generation, relocation }), seen)
    }

    /// What Dropbox has at a path; `None`: the listing has to catch up first.
    fn remote(&self, path: &RelPath) -> Result<Option<Remote>, StoreError> {
        let view = self.account.remote.view_blocking(self.account, self.folder.id, path)?;
        if view.late {
            self.account.remote.hurry(self.folder.id);
        }
        Ok((!view.late).then_some(view.remote))
    }

    /// Whether nothing is known to be at the new place; Dropbox itself is the judge.
    fn is_free(&self) -> Result<bool, StoreError> {
        if key_of(self.from.as_str()) == key_of(self.to.as_str()) {
            return Ok(true);
        }
        let view = self.account.remote.view_blocking(self.account, self.folder.id, self.to)?;
        Ok(matches!(view.remote, Remote::Absent | Remote::Unlisted))
    }
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

/// Whether deletions of a folder must wait: something may have gone where nobody has looked yet, or is on its way to where it went.
pub(crate) async fn hold_deletions(account: &Account, folder: FolderId) -> Result<bool, Fatal> {
    if busy(account).await?.contains(&folder) {
        return Ok(true);
    }
    // What is full has to be emptied, and nothing is sent meanwhile.
    if account.is_full() {
        return Ok(false);
    }
    if account.store.due_before_deletions(folder).await? {
        return Ok(true);
    }
    for place in account.moves.refused_places(folder) {
        if account.store.busy_at(folder, &place).await? {
            return Ok(true);
        }
    }
    Ok(false)
}
