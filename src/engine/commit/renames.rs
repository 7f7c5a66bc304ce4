//! The committer's part in local renames: it looks at what is proposed, and stages what is so. The rules are in
//! [`plan::rename::verify`](crate::plan::rename::verify).

mod look;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::blocking::blocking;
use crate::engine::commit::cycles::{Proposed, seems_moved, step, with_room};
use crate::engine::folder::{Folder, stands};
use crate::engine::rename_proposals::{MOMENTS, Proposal};
use crate::engine::work::upload::dedup_copy::has_source;
use crate::env::now_ms;
use crate::model::{Change, ChangeId, Due, FolderId, Local, RelPath, RemoteChange};
use crate::plan::rename::cycles::{Together, searches, together};
use crate::plan::rename::detect::{Spelling, by_way, spelling};
use crate::plan::rename::verify;
use crate::plan::rename::verify::{Staged, Stop, is_given_up, is_still_so, may_be_told, may_stage};
use crate::store::{Looked, Planned, StoreError};
use look::{Look, Mates, Seen, Verdict};

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
            let root = folder.root.pin();
            Look { account: &account, folder: &folder, root, to: &to, from: &proposal.from, mates }.verdict(&proposal)
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
