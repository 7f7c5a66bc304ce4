//! The one committer of an account: every change to Dropbox's tree goes through here, one batch at a time. What only this disk has to do with is
//! done beside that ([`beside`]).
//!
//! The batch is stored before the call (the intent), the job's id before it is polled. Whatever interrupts, the next start asks what became of it.

mod beside;
mod calls;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::dropbox::{EntryError, Metadata};
use crate::engine::account::{Account, Lane};
use crate::engine::blocking::Fatal;
use crate::engine::commit::deletions::Deletions;
use crate::engine::commit::preflight;
use crate::engine::commit::renames::Mover;
use crate::engine::commit::resolve::Judge;
use crate::engine::commit::unlisted;
use crate::engine::drive::{Step, Task};
use crate::engine::gate::call_budget;
use crate::engine::heartbeat::rest;
use crate::engine::local_removal;
use crate::engine::work::upload::dedup_copy;
use crate::env::lock;
use crate::env::until;
use crate::env::{ms, now_ms};
use crate::model::{Batch, BatchKind, Change, ChangeId, Closed, Failure, FolderId, Outcome};
use crate::plan::commit::batch::{Limits, Waiting, When, when};
use crate::plan::commit::fallback::Fallback;
use crate::plan::commit::job::Said;
use crate::plan::commit::order;
use crate::plan::commit::order::{Asks, Uploads};
use crate::plan::commit::pace::{Pace, Seen};
use crate::plan::commit::unlisted::is_done;
use crate::store::Ready;
use beside::Beside;
use tokio::sync::watch;

/// Moves that have to wait for others at work in their paths are looked at again after this long, in ms.
const LOOK_AGAIN_MS: i64 = 100;
/// A batch whose files are as large as this in all is full: the server's time for a commit grows with them.
const MAX_BYTES: u64 = 16 << 30;

/// What a batch's call came to.
enum Results {
    /// The result of each, in their order.
    Each(Vec<Result<Metadata, EntryError>>),
    /// The job has ended, or is believed to have, and says nothing of its entries: every one is verified.
    Unknown,
    /// No answer names the job that the call may have begun, for this reason: that is waited for, then every entry is verified.
    Lost(Said, String),
    /// What came back cannot be read: perhaps an entry is to blame. Unless it says that the job has `ended`, that is waited for.
    Unreadable { failure: Failure, ended: bool },
    /// The call did nothing; all entries wait.
    Refused(Failure),
    /// The call was refused for what it holds: an entry is to blame.
    Suspect(Failure),
}

/// The committer of one account.
pub(crate) struct Committer {
    account: Arc<Account>,
    bell: watch::Receiver<u64>,
    /// What was under way at the last stop is settled.
    has_settled: bool,
    deletions: Deletions,
    mover: Mover,
    /// What is made on the disk only.
    beside: Beside,
    pace: Pace,
    /// The next batch not before this.
    not_before: i64,
    /// A batch has gone through since an entry was last blamed for its call's refusal.
    others: bool,
    /// Whether the last reply could not be read.
    unreadable: bool,
    /// Whether `finish_batch_v2` stands in for `finish_batch`.
    fallback: Fallback,
}

impl Task for Committer {
    async fn gate(&mut self) -> Result<(), Fatal> {
        self.account.may_work().await;
        Ok(())
    }

    /// One batch, if there is one whose time has come.
    async fn step(&mut self) -> Result<Step, Fatal> {
        if !self.has_settled {
            self.settle_left_over().await?;
            return Ok(Step::Worked);
        }
        let account = Arc::clone(&self.account);
        self.bell.borrow_and_update();
        let now = now_ms();
        let full = account.is_full();
        let removing = self.beside.is_busy()?;
        account.store.shorten_waits(account.longest_wait(), now).await?;
        let was_full = account.upward.quota.borrow().is_some();
        if was_full && account.store.look_for_room(!full, now).await? > 0 {
            account.room();
        }
        let proposed = self.mover.stage().await?;
        // What was staged before its remote folder went stays staged.
        let away = account.remote.folders_without_root();
        let mut waiting = account.store.ready(now_ms(), &away).await?;
        waiting.sort_by_key(|ready| order::rank(ready.kind));
        let copies_wait = waiting.iter().any(|ready| ready.kind == BatchKind::Copy && ready.entries > 0);
        let mut next: Option<i64> = proposed.then(|| now + LOOK_AGAIN_MS);
        for ready in &waiting {
            next = [next, ready.next_not_before].into_iter().flatten().min();
            let (mut skip, at) = match order::asks(ready.kind, ready.entries) {
                Asks::Never => (Vec::new(), When::Never),
                Asks::Nothing => (Vec::new(), When::Now),
                Asks::Uploads => {
                    let budget = if ready.entries > 0 { Some(call_budget::may_commit(&account).await?) } else { None };
                    match order::uploads(budget) {
                        Uploads::Ask => (Vec::new(), self.uploads_when(ready, now).await?),
                        Uploads::None => continue,
                        Uploads::OnlyEmpty => {
                            match account.store.begin_empty_batch(self.pace.entries, &away, now).await? {
                                Some(batch) => return self.finish(batch, false).await.map(|()| Step::Worked),
                                None => continue,
                            }
                        }
                    }
                }
                Asks::Copies => (Vec::new(), dedup_copy::when_copied(&account, ready, self.pace.entries, now).await?),
                Asks::Deletions => self.deletions.when(ready, removing, now).await?,
            };
            skip.extend(away.iter().copied());
            match order::paced(ready.kind, at, self.not_before, self.pace.gap_ms, now) {
                When::Never => {}
                When::At(at) => next = Some(next.map_or(at, |n| n.min(at))),
                When::Now => {
                    let limit = self.pace.entries;
                    for &kind in order::tried(ready.kind, copies_wait) {
                        let skip = if matches!(kind, BatchKind::Move | BatchKind::Copy) {
                            self.mover.look_again().await?;
                            away.as_slice()
                        } else {
                            skip.as_slice()
                        };
                        if let Some(batch) = account.store.begin_batch(kind, limit, skip, now_ms()).await? {
                            if kind == BatchKind::Trash {
                                self.beside.begin(&account, batch);
                                return Ok(Step::Worked);
                            }
                            return self.finish(batch, false).await.map(|()| Step::Worked);
                        }
                    }
                }
            }
        }
        Ok(Step::Idle { until: until(next) })
    }

    async fn news(&mut self) -> Result<(), Fatal> {
        tokio::select! {
            biased;
            ended = self.beside.ended() => ended,
            _ = self.bell.changed() => Ok(()),
        }
    }
}

impl Committer {
    pub(crate) fn new(account: Arc<Account>) -> Self {
        let pace = Pace::new(account.config.commit.max_entries);
        let deletions = Deletions::new(Arc::clone(&account));
        Self {
            deletions,
            mover: Mover::new(Arc::clone(&account)),
            beside: Beside::default(),
            bell: account.store.changed(),
            has_settled: false,
            account,
            pace,
            not_before: 0,
            others: false,
            unreadable: false,
            fallback: Fallback::default(),
        }
    }

    /// Settles what was under way at the last stop.
    async fn settle_left_over(&mut self) -> Result<(), Fatal> {
        for batch in self.account.store.open_batches().await? {
            tracing::info!(account = %self.account.name, entries = batch.entries, "finding out what became of a batch of the last run");
            self.finish(batch, true).await?;
        }
        self.has_settled = true;
        Ok(())
    }

    async fn uploads_when(&self, ready: &Ready, now: i64) -> Result<When, Fatal> {
        let account = &self.account;
        let commit = &account.config.commit;
        let due = account.store.due_summary(now, account.config.upload.chunk_size, &Closed::default()).await?;
        let more = account.live.uploads_under_way() > 0 || due.due_small + due.due_large > 0;
        let limits =
            Limits { max_entries: self.pace.entries as u64, max_bytes: MAX_BYTES, max_age_ms: ms(commit.max_age) };
        let waiting = Waiting { entries: ready.entries, bytes: ready.bytes, oldest: ready.oldest };
        Ok(when(waiting, more, limits, now))
    }

    /// Carries a stored batch to its end: calls (unless it is `left over` from the last run, when nobody knows whether the call was made),
    /// polls, and settles every entry.
    async fn finish(&mut self, batch: Batch, left_over: bool) -> Result<(), Fatal> {
        let account = Arc::clone(&self.account);
        if batch.kind == BatchKind::Trash {
            return rest(beside::carry_out(&account, &batch)).await;
        }
        *lock(&account.lane) = Lane {
            entries: batch.entries as u64,
            job_id: batch.async_job_id.clone(),
            since: Some(now_ms()),
            reason: None,
        };
        // Its calls end by their own time-outs, and its work on the disk is listened to by itself.
        let outcome = rest(self.settle(&batch, left_over)).await;
        *lock(&account.lane) = Lane::default();
        account.upward.committed.notify_one();
        outcome
    }

    async fn settle(&mut self, batch: &Batch, left_over: bool) -> Result<(), Fatal> {
        let account = Arc::clone(&self.account);
        let account = &account;
        let batch = &match (batch.kind, &batch.async_job_id) {
            (BatchKind::Delete, None) if !left_over => {
                // What a look finds is soon old: the wait for a turn comes first.
                account.dropbox.until_commit().await;
                let batch = preflight::without(account, batch).await?;
                self.deletions.before_call(&batch).await?
            }
            _ => batch.clone(),
        };
        if batch.changes.is_empty() && !left_over {
            return Ok(account.store.settle_batch(batch.id, Vec::new(), now_ms()).await?);
        }
        let results = match &batch.async_job_id {
            Some(job) => self.poll(batch, job).await?,
            None if left_over => {
                Results::Lost(Said::Lost, "the daemon stopped before the answer to the last commit came".to_owned())
            }
            None => self.call(batch).await?,
        };
        let others = self.others;
        let again = std::mem::replace(&mut self.unreadable, matches!(results, Results::Unreadable { .. }));
        // A folder was dropped meanwhile: which of the results are whose is not known any more.
        let is_short = batch.changes.len() != batch.entries;
        if !is_short {
            self.keep_pace(batch, &results);
        }
        let judge = Judge::new(account);
        if let Results::Each(results) = &results {
            judge.find_obstacles(batch, results).await;
        }
        let outcomes = match results {
            Results::Each(results) if results.len() == batch.changes.len() && !is_short => {
                judge.each(batch, results).await
            }
            Results::Each(_) | Results::Unknown => judge.verify(batch).await,
            Results::Lost(said, why) => {
                self.outlive(batch, said, &why).await;
                judge.verify(batch).await
            }
            Results::Unreadable { failure, ended } => {
                if !ended {
                    let why = format!("the answer to the last commit cannot be read ({})", failure.text);
                    self.outlive(batch, if again { Said::Repeated } else { Said::Lost }, &why).await;
                }
                let found = judge.verify(batch).await;
                judge.isolated(batch, found, &failure)
            }
            Results::Suspect(failure) => judge.suspects(batch, &failure, others),
            Results::Refused(failure) => {
                account.note(&failure);
                batch.changes.iter().map(|c| (c.id, judge.again(c, failure.clone()))).collect()
            }
        };
        let outcomes = dedup_copy::sent_instead(account, &batch.changes, outcomes);
        let outcomes = judge.one_path_a_file(batch, outcomes).await?;
        let outcomes = local_removal::replaced(account, batch, outcomes).await?;
        tell(account, batch, &outcomes);
        unlisted::note(account, batch, &outcomes);
        let keys = judge.learned();
        if !keys.is_empty() {
            account.store.note_keys(keys).await?;
        }
        let looked = self.mover.take_looked(&batch.changes);
        account.store.settle_moves(batch.id, outcomes, looked, now_ms()).await?;
        if matches!(batch.kind, BatchKind::Move | BatchKind::Copy) {
            // The listing was not compared meanwhile.
            batch.changes.iter().for_each(|change| account.remote.hurry(change.folder));
        }
        Ok(())
    }

    /// What a batch's results say about the next: how large, how soon, and whether the account has room.
    fn keep_pace(&mut self, batch: &Batch, results: &Results) {
        let tags: Vec<&EntryError> = match results {
            Results::Each(list) => list.iter().filter_map(|r| r.as_ref().err()).collect(),
            _ => Vec::new(),
        };
        let whole = matches!(results, Results::Each(_));
        let alone = matches!(results, Results::Suspect(_)) && batch.entries == 1;
        let seen = Seen {
            sent: batch.changes.len(),
            whole,
            busy: tags.iter().any(|e| e.retry_commit())
                || matches!(results, Results::Refused(f) if f.code == "rate_limited"),
            alone,
            others: self.others,
            mixed: tags.iter().any(|e| e.is("too_many_shared_folder_targets")),
            too_many: tags.iter().any(|e| e.too_many()),
        };
        self.pace = self.pace.after(seen, self.account.config.commit.max_entries);
        self.others = whole || self.others && !alone;
        self.not_before = now_ms().saturating_add(self.pace.gap_ms);
        // Only what brings bytes fills an account: a deletion or a new folder that is refused so is that path's own trouble.
        let brings = matches!(batch.kind, BatchKind::Upload | BatchKind::Copy);
        let full = tags.iter().find(|e| brings && e.tags.iter().any(|t| t == "insufficient_space"));
        match (results, full) {
            (_, Some(error)) => self.account.note(&error.failure()),
            (Results::Each(list), None) => {
                let filled =
                    |(result, change): (&Result<_, _>, &Change)| Result::is_ok(result) && change.what.bytes() > 0;
                if list.iter().zip(&batch.changes).any(filled) {
                    self.account.has_room();
                }
            }
            _ => {}
        }
    }
}

fn tell(account: &Account, batch: &Batch, outcomes: &[(ChangeId, Outcome)]) {
    let mut settled: BTreeMap<FolderId, u64> = BTreeMap::new();
    for (change, (_, outcome)) in batch.changes.iter().zip(outcomes) {
        if is_done(outcome) {
            *settled.entry(change.folder).or_default() += 1;
        }
    }
    for (folder, n) in &settled {
        account.live.settled(*folder, *n);
    }
    let done: u64 = settled.values().sum();
    tracing::debug!(account = %account.name, kind = ?batch.kind, entries = batch.changes.len(), settled = done, "committed a batch");
}
