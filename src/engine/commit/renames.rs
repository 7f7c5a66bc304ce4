//! The committer's part in local renames: it looks at what is proposed, and stages what is so. The rules are in
//! [`plan::rename::verify`](crate::plan::rename::verify).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::blocking::blocking;
use crate::engine::commit::cycles::{Proposed, seems_moved, step, with_room};
use crate::engine::folder::{Folder, stands};
use crate::engine::rename_proposals::{MOMENTS, Proposal, old};
use crate::engine::work::upload::dedup_copy::has_source;
use crate::env::now_ms;
use crate::local::Root;
use crate::model::key::may_be_one;
use crate::model::{Base, Change, ChangeId, Due, FolderId, Local, RelPath, Relocation, Remote, RemoteChange};
use crate::plan::rename::cycles::{Together, searches, together};
use crate::plan::rename::detect::{Below, How, MOST, Spelling, by_way, same_file, spelling};
use crate::plan::rename::verify;
use crate::plan::rename::verify::{
    Staged, Stop, dir_there, file_there, is_free, is_given_up, is_new, is_still_so, may_be_told, may_stage,
};
use crate::store::{Looked, Planned, RowBelow, StoreError};

/// Files of base that are read at once.
const PAGE: usize = 1_000;

/// How the files below a directory stand, the paths that need no other look, and those that do.
type Compared = (Below, HashSet<RelPath>, Vec<RelPath>);

/// What a look at a directory's files found beside their being the same.
struct Seen {
    /// Rows that go with the move.
    rows: Vec<Looked>,
    /// New paths that have to be looked at after it.
    others: Vec<RelPath>,
}

/// What a look at a proposal gave: what is to be staged, or why nothing is.
type Verdict = Result<(Box<Planned>, Seen), Stop>;

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
            let ages: Vec<Duration> = mine.iter().map(|(_, proposal)| proposal.since.elapsed()).collect();
            let now = folder.now();
            let stands = verify::Folder {
                moving: moving.contains(&folder.id),
                root_trouble: now.root_trouble.is_some(),
                remote_root_away: account.remote.folders_without_root().contains(&folder.id),
                scanning: now.scans > 0,
            };
            if !may_stage(&ages, stands, MOMENTS) {
                waits = true;
                continue;
            }
            let mine: Vec<_> = mine.into_iter().map(|((_, to), proposal)| (to.clone(), proposal.clone())).collect();
            let (ours, of) = (Arc::clone(&account), Arc::clone(folder));
            let summary = account.store.summary(folder.id).await?;
            let searches = searches(summary.due + summary.claimed + summary.staged_uploads + summary.staged_deletes);
            let mine = blocking(move || with_room(&ours, &of, &mine, searches)).await?;
            let groups = together(&mine.iter().map(step).collect::<Vec<_>>());
            let now: BTreeSet<usize> = groups.iter().flat_map(|group| group.steps.iter().copied()).collect();
            // What is not among them is proposed again by its row, should it still be so by then.
            let rest = mine.iter().enumerate().filter(|(i, _)| !now.contains(i));
            rest.for_each(|(_, (to, _))| account.moves.done(folder.id, to));
            waits |= !self.stage_groups(folder, &mine, &groups).await?;
        }
        if !waits {
            account.store.poke();
        }
        Ok(waits)
    }

    /// Looks at groups of moves, and stages those that are so. Gives whether none has to wait.
    async fn stage_groups(
        &mut self,
        folder: &Arc<Folder>,
        mine: &[Proposed],
        groups: &[Together],
    ) -> Result<bool, Fatal> {
        let account = Arc::clone(&self.account);
        let (mut plans, mut all_seen, mut done) = (Vec::new(), Vec::new(), true);
        for group in groups {
            let members: Vec<_> = group.steps.iter().filter_map(|i| mine.get(*i)).collect();
            match self.look_at_group(folder, &members, group.circle).await? {
                Some((planned, seen)) if !planned.is_empty() => {
                    plans.push(planned);
                    all_seen.push((members, seen));
                }
                Some(_) => {}
                None => done = false,
            }
        }
        // What others work at is waited for, and then done without: nothing is written, and nobody woken, for that.
        let free = account.store.are_free(plans.clone()).await?;
        let (mut free_plans, mut free_seen) = (Vec::new(), Vec::new());
        for ((free, plan), (members, seen)) in free.into_iter().zip(plans).zip(all_seen) {
            if free {
                free_plans.push(plan);
                free_seen.push((members, seen));
            } else if members.iter().any(|(_, proposal)| is_given_up(proposal.since.elapsed())) {
                for (to, proposal) in members {
                    refuse(&account, folder.id, &proposal.from, to);
                    account.moves.done(folder.id, to);
                }
            } else {
                done = false;
            }
        }
        let (plans, mut all_seen) = (free_plans, free_seen);
        let now = now_ms();
        let others =
            all_seen.iter_mut().flat_map(|(_, seen): &mut (_, Vec<Seen>)| seen).flat_map(|seen| seen.others.drain(..));
        let due = others.map(|path| Due { path, size: 0, due_at: now }).collect();
        // Before the moves, so that a stop between the two forgets none. Nothing is claimed there before those are settled.
        account.store.enqueue(folder.id, due, now).await?;
        for (ids, (members, seen)) in account.store.stage_together(plans, now).await?.into_iter().zip(all_seen) {
            done &= ids.is_some();
            for ((id, seen), (to, _)) in ids.into_iter().flatten().zip(seen).zip(members) {
                self.looked.insert(id, seen.rows);
                account.moves.done(folder.id, to);
            }
        }
        Ok(done)
    }

    /// Looks at moves that are made one after the other: all are so, or none is made. `None`: it cannot be said yet.
    async fn look_at_group(
        &self,
        folder: &Arc<Folder>,
        group: &[&Proposed],
        circle: bool,
    ) -> Result<Option<(Vec<Planned>, Vec<Seen>)>, Fatal> {
        let moves = &self.account.moves;
        let (mut plans, mut all_seen, mut so, mut later) = (Vec::new(), Vec::new(), true, false);
        for (to, proposal) in group.iter().copied() {
            let leaves = group.iter().any(|(_, other)| other.from == *to);
            let comes = group.iter().any(|(other, _)| *other == proposal.from);
            let may_come = may_be_told(folder.now().scans > 0, proposal.since.elapsed());
            match self.look(folder, to, proposal, Mates { leaves, comes, may_come }).await? {
                Ok((mut planned, seen)) => {
                    if circle && plans.is_empty() && planned.relocation.via.is_none() {
                        let via = by_way(&planned.relocation.to, now_ms());
                        so &= via.is_ok();
                        planned.relocation.via = via.ok();
                    }
                    plans.push(*planned);
                    all_seen.push(seen);
                }
                Err(Stop::Later) if !is_given_up(proposal.since.elapsed()) => later = true,
                Err(Stop::No | Stop::Later) => {
                    tracing::debug!(from = %proposal.from, %to, "no move");
                    refuse(&self.account, folder.id, &proposal.from, to);
                    so = false;
                }
            }
        }
        if !so {
            // The others would find their places taken: what is left of them is proposed anew.
            group.iter().for_each(|(to, _)| moves.done(folder.id, to));
            return Ok(Some((Vec::new(), Vec::new())));
        }
        Ok((!later).then_some((plans, all_seen)))
    }

    async fn look(
        &self,
        folder: &Arc<Folder>,
        to: &RelPath,
        proposal: &Proposal,
        mates: Mates,
    ) -> Result<Verdict, Fatal> {
        let (account, folder) = (Arc::clone(&self.account), Arc::clone(folder));
        let (to, proposal) = (to.clone(), proposal.clone());
        blocking(move || {
            // Keys that nobody could guess are known for the old places only.
            if account.store.has_odd_keys_blocking(folder.id, &proposal.from)? {
                return Ok(Err(Stop::No));
            }
            let root = folder.root.pin();
            let look = Look { account: &account, folder: &folder, root, to: &to, from: &proposal.from, mates };
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
        let not_so = blocking(move || {
            let mut not_so = Vec::new();
            for change in &old {
                if !still_so(&ours, change)? {
                    not_so.push(change.id);
                }
            }
            Ok(not_so)
        })
        .await?;
        account.store.withdraw(not_so, now_ms()).await?;
        Ok(())
    }
}

/// It is no move. If only letters were changed, base knows one directory under two spellings for a while.
fn refuse(account: &Account, folder: FolderId, from: &RelPath, to: &RelPath) {
    account.moves.refuse(folder, from, to, false);
    if spelling(from, to) == Spelling::Letters {
        account.remote.compare_again(folder, true);
    }
}

/// Whether a staged move is what the disk says.
fn still_so(account: &Account, change: &Change) -> Result<bool, StoreError> {
    let RemoteChange::Relocate(relocation) = &change.what else { return Ok(true) };
    let Some(folder) = account.folder(change.folder) else { return Ok(false) };
    let root = folder.root.pin();
    let now = root.observe(&change.path);
    let has_source = if relocation.alike { Some(has_source(account, relocation)?) } else { None };
    let has_left = relocation.base.is_none()
        && (stands(&root, &relocation.source) == Local::Absent
            || seems_moved(account, folder, &root, &relocation.source, &change.path)?);
    let root_synced = folder.vouch(&root).is_ok();
    Ok(is_still_so(Staged { base: relocation.base.as_ref(), new: &now, has_source, has_left, root_synced }))
}

/// What others of its round do about a move's places.
#[derive(Debug, Clone, Copy)]
struct Mates {
    /// What base has at the new path leaves it first.
    leaves: bool,
    /// What lies at the old path now comes from elsewhere.
    comes: bool,
    /// It may yet be told where something has gone.
    may_come: bool,
}

/// One proposal, looked at.
struct Look<'a> {
    account: &'a Account,
    folder: &'a Folder,
    root: Root,
    from: &'a RelPath,
    to: &'a RelPath,
    mates: Mates,
}

impl Look<'_> {
    fn dir(&self) -> Result<Verdict, StoreError> {
        let (store, folder) = (&self.account.store, self.folder);
        // Before the disk is: what changes from now on has another generation.
        let mut rows = store.rows_below_blocking(folder.id, self.from)?;
        let behind = rows.len();
        rows.extend(store.rows_below_blocking(folder.id, self.to)?);
        if let Err(stop) = self.is_new()? {
            return Ok(Err(stop));
        }
        let old = stands(&self.root, self.from);
        let left = old == Local::Absent;
        let compared = self.compare(left)?;
        let (old_after, new) = (stands(&self.root, self.from), self.root.observe(self.to));
        let so = verify::dir(verify::Dir {
            old: &old,
            old_after: &old_after,
            new: &new,
            below: compared.as_ref().map(|(below, ..)| *below),
            spelling: spelling(self.from, self.to),
            root_synced: folder.vouch(&self.root).is_ok(),
        });
        let (Ok(()), Some((_, clean, mut others))) = (so, compared) else {
            return Ok(Err(so.err().unwrap_or(Stop::Later)));
        };
        let there = self.remote(self.from)?;
        if let Err(stop) = dir_there(there.as_ref()).and(self.is_free()?) {
            return Ok(Err(stop));
        }
        if !left {
            // Directories that stand where base loses one of that name: no event tells of them.
            let dirs = store.agreed_dirs_below_blocking(folder.id, self.from)?.into_iter();
            others.extend(dirs.filter(|dir| self.root.observe(dir) == Local::Dir));
            if !self.mates.comes {
                others.push(self.from.clone());
            }
        }
        // What was agreed on among the directories goes along, too.
        let is_clean = |row: &RowBelow| clean.contains(&row.path) || row.path != *self.to && self.was_agreed(&row.path);
        let looked = rows.iter().enumerate().filter(|(i, row)| if *i < behind { left } else { is_clean(row) });
        let looked = looked.filter(|(_, row)| row.path != *self.to).map(|(_, row)| (row.id, row.generation)).collect();
        Ok(self.go(&rows, Seen { rows: looked, others }, None, false))
    }

    /// Every file of base below the old path, looked at under the new one; which of them need no other look, and which do. `None`: one of them cannot
    /// be seen.
    fn compare(&self, left: bool) -> Result<Option<Compared>, StoreError> {
        let (mut found, mut clean, mut others) = (Below::default(), HashSet::new(), Vec::new());
        let mut after: Option<RelPath> = None;
        loop {
            let page = self.account.store.base_below_blocking(self.folder.id, self.from, after.as_ref(), PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(Some((found, clean, others))) };
            after = Some(last.clone());
            for (path, base) in &page {
                let Some(at) = path.moved(self.from, self.to) else { continue };
                if !left && matches!(self.root.observe(path), Local::File(now) if same_file(base, &now)) {
                    found.stayed += 1;
                    others.extend([at, path.clone()]);
                    continue;
                }
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
        let Some(base) = store.base_blocking(folder.id, self.from)? else { return Ok(Err(Stop::No)) };
        if let Err(stop) = self.is_new()? {
            return Ok(Err(stop));
        }
        let new = self.root.observe(self.to);
        let Local::File(now) = new else { return Ok(Err(Stop::No)) };
        let old = old(&self.root, self.from, &base, &now);
        let left = stands(&self.root, self.from) == Local::Absent;
        let root_synced = folder.vouch(&self.root).is_ok();
        let so = verify::file(verify::File { base: &base, new: &new, old, mode: folder.mode, how, root_synced });
        if let Err(stop) = so {
            return Ok(Err(stop));
        }
        let there = self.remote(self.from)?;
        if let Err(stop) = file_there(&base, how, there.as_ref()).and(self.is_free()?) {
            return Ok(Err(stop));
        }
        // After a copy the old path is still to be decided.
        let gone = rows.iter().filter(|row| left && how == How::Move && row.path == *self.from);
        let looked = gone.map(|row| (row.id, row.generation)).collect();
        let seen = Seen { rows: looked, others: Vec::new() };
        Ok(self.go(&rows, seen, Some(Base { stat: now, ..base }), how == How::Copy))
    }

    fn go(&self, rows: &[RowBelow], seen: Seen, base: Option<Base>, copy: bool) -> Verdict {
        let (from, to) = (self.folder.home(self.from), self.folder.home(self.to));
        let via = (spelling(self.from, self.to) == Spelling::Letters).then(|| by_way(&to, now_ms()));
        let Ok(via) = via.transpose() else { return Err(Stop::No) };
        let relocation = Relocation { from, to, source: self.from.clone(), base, copy, alike: false, via };
        let generation = rows.iter().find(|row| row.path == *self.to).map(|row| row.generation);
        let (folder, path) = (self.folder.id, self.to.clone());
        Ok((Box::new(Planned { folder, path, generation, relocation }), seen))
    }

    /// What Dropbox has at a path; `None`: the listing has to catch up first.
    fn remote(&self, path: &RelPath) -> Result<Option<Remote>, StoreError> {
        let view = self.account.remote.view_blocking(self.account, self.folder.id, path)?;
        if view.late {
            self.account.remote.hurry(self.folder.id);
        }
        Ok((!view.late).then_some(view.remote))
    }

    /// Whether base knows nothing at the new place, or that leaves it first.
    fn is_new(&self) -> Result<Result<(), Stop>, StoreError> {
        let agreed = !self.mates.leaves && self.account.store.agreed_below_blocking(self.folder.id, self.to)?;
        Ok(is_new(agreed, self.mates.leaves, self.mates.may_come))
    }

    /// Whether nothing is known to be at the new place in Dropbox.
    fn is_free(&self) -> Result<Result<(), Stop>, StoreError> {
        if self.mates.leaves || may_be_one(self.from.as_str(), self.to.as_str()) {
            return Ok(Ok(()));
        }
        let view = self.account.remote.view_blocking(self.account, self.folder.id, self.to)?;
        Ok(is_free(&view.remote))
    }
}
