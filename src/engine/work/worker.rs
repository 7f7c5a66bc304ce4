//! Workers: claim due rows, look at their paths, decide, and send what has to go up.
//!
//! A worker never commits. It leaves a closed upload session and a stored remote change behind, and the committer takes it from there.

mod look;
mod send;

use look::look;
pub(crate) use send::{Send, Source};

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::engine::account::{Account, AtWork, Looking};
use crate::engine::blocking::Fatal;
use crate::engine::blocking::blocking;
use crate::engine::drive::{Step, Task};
use crate::engine::gather::hash;
use crate::engine::heartbeat::rest;
use crate::engine::rename_proposals;
use crate::engine::work::download;
use crate::engine::work::download::Fetch;
use crate::engine::work::upload::{dedup_copy, large, pack};
use crate::env;
use crate::env::Instant;
use crate::env::until;
use crate::env::{chance, ms, now_ms};
use crate::model::{Claimed, Closed, Failure, Job, Next, RemoteChange, Settled, UnixMs};
use crate::plan::time::retry;
use crate::plan::transfer::pack::{GATHER_MS, Queue, SCAN_MS, claim_at, with_enough_workers};
use crate::store::Claim;
use tokio::sync::{OwnedMutexGuard, watch};

/// What one worker may hold of such files, in bytes.
const MEMORY: u64 = 2 << 20;
/// What is not known yet is looked at again after this long, in ms.
const SOON_MS: UnixMs = 300;

/// How often a full account is looked at again without news.
const WHILE_FULL: Duration = Duration::from_secs(2);

/// What looking at one row gave.
pub(crate) enum Looked {
    Done(Job, Settled),
    Stage(Job, RemoteChange),
    Send(Box<Send>),
    Fetch(Box<Fetch>),
}

/// Rows that were claimed, and what their claim is for others.
type Taken<'a> = (Vec<Claimed>, Looking<'a>, AtWork<'a>);

/// What a look at the queue came to.
enum Claiming<'a> {
    Taken(Taken<'a>),
    /// Nothing is due before that.
    NotBefore(Instant),
    /// Not now: the account waits, or somebody else was faster.
    Nothing,
}

/// One worker.
pub(crate) struct Uploader {
    account: Arc<Account>,
    bell: watch::Receiver<u64>,
    /// One worker at a time looks at the queue, and keeps its turn while it waits for rows: each change wakes one worker, and not all of them.
    turn: Option<OwnedMutexGuard<()>>,
}

impl Task for Uploader {
    async fn gate(&mut self) -> Result<(), Fatal> {
        self.account.may_work().await;
        if self.turn.is_none() {
            self.turn = Some(Arc::clone(&self.account.claim_turn).lock_owned().await);
        }
        Ok(())
    }

    /// One claim, from looking to staging.
    async fn step(&mut self) -> Result<Step, Fatal> {
        let account = Arc::clone(&self.account);
        self.bell.borrow_and_update();
        let full = account.is_full();
        if !full && account.upward.put_off.swap(false, Ordering::Relaxed) {
            account.store.due_now(now_ms()).await?;
        }
        let claiming = if full { claim_empty(&account).await? } else { claim(&account).await? };
        let (claimed, looking, at_work) = match claiming {
            Claiming::Taken(taken) => taken,
            Claiming::NotBefore(until) => return Ok(Step::Idle { until }),
            Claiming::Nothing => {
                self.turn = None;
                return Ok(Step::Worked);
            }
        };
        self.turn = None;
        let under_way = account.live.uploading(claimed.len());
        let looked = self.look(claimed, full).await?;
        let (sends, fetches) = self.record(looked).await?;
        // Not before: a move that was found takes the place of its deletion only where it is written down.
        drop(looking);
        let mut sends = rest(dedup_copy::instead(&account, sends)).await?;
        // What can only be sent waits for calls, as it waits for room.
        if full && account.is_spent() {
            look::put_off(&account, std::mem::take(&mut sends)).await?;
        }
        let chunk = account.config.upload.chunk_size;
        let (large, small): (Vec<_>, Vec<_>) = sends.into_iter().partition(|s| s.len() > chunk);
        if !small.is_empty() {
            rest(pack::send(&account, small)).await?;
        }
        for send in large {
            rest(large::send(&account, send)).await?;
        }
        drop(under_way);
        if !fetches.is_empty() {
            rest(download::all(&account, fetches)).await?;
        }
        // Before the others are told: there may be room for one of them.
        drop(at_work);
        account.store.poke();
        Ok(Step::Worked)
    }

    async fn news(&mut self) -> Result<(), Fatal> {
        // The store outlives its tasks.
        let _ = self.bell.changed().await;
        Ok(())
    }
}

/// Claims a pack of small files or one large one, if any are due.
async fn claim(account: &Account) -> Result<Claiming<'_>, Fatal> {
    let ceilings = account.pack_ceilings();
    let files = pack::files(ceilings);
    let mut closed = closed(account);
    let moving = rename_proposals::close(account, &mut closed).await?;
    // Their end is not always a change of the database.
    let again = moving.then(|| now_ms().saturating_add(SOON_MS));
    let now = now_ms();
    let due = account.store.due_summary(now, account.config.upload.chunk_size, &closed).await?;
    let gather = match due.next_due_at {
        _ if account.scanning() => SCAN_MS,
        Some(at) if at <= now + GATHER_MS => GATHER_MS,
        _ => 0,
    };
    let queue =
        Queue { small: due.due_small, bytes: due.due_bytes, large: due.due_large, oldest_due: due.oldest_due, gather };
    if account.is_full() || account.paused().is_some() || account.is_troubled() {
        return Ok(Claiming::Nothing);
    }
    let wait = match claim_at(queue, files, ceilings.body, now) {
        Some(at) if at <= now => None,
        Some(at) => Some(until(Some(at))),
        None => Some(until(due.next_due_at)),
    };
    if let Some(wait) = wait {
        return Ok(Claiming::NotBefore(again.map_or(wait, |again| wait.min(until(Some(again))))));
    }
    let looking = account.upward.look();
    let claimed = account.store.claim_skipping(limit(account), &closed).await?;
    tracing::debug!(account = %account.name, rows = claimed.len(), "claimed");
    Ok(taken(account, claimed, looking).map_or(Claiming::Nothing, Claiming::Taken))
}

/// What was claimed, all of it of one folder, as work under way; `None` if that is nothing.
fn taken<'a>(account: &'a Account, claimed: Vec<Claimed>, looking: Looking<'a>) -> Option<Taken<'a>> {
    let folder = claimed.first()?.job.folder;
    Some((claimed, looking, account.upward.works_on(folder)))
}

/// Folders that nothing is claimed of now.
fn closed(account: &Account) -> Closed {
    let mut closed = Closed::default();
    closed.folders(account.folders_without_root());
    closed.folders(account.remote.folders_without_root());
    closed.folders(account.remote.folders_to_wait_for());
    // What comes down is decided from a listing of this run, or not at all.
    let down = account.folders.iter().filter(|f| f.comes_down() && !account.remote.is_listed(f.id));
    closed.folders(down.map(|f| f.id));
    let (workers, folders) = (account.config.upload.workers, account.folders.len());
    closed.folders(with_enough_workers(&account.upward.at_work(), workers, folders));
    closed
}

fn limit(account: &Account) -> Claim {
    let ceilings = account.pack_ceilings();
    Claim {
        max_files: pack::files(ceilings),
        max_bytes: ceilings.body,
        small: account.config.upload.chunk_size,
        now: now_ms(),
    }
}

/// While the account is full: what needs no room, as deletions and downloads; then the others, for what is to be said of them without a call.
async fn claim_empty(account: &Account) -> Result<Claiming<'_>, Fatal> {
    let mut closed = closed(account);
    rename_proposals::close(account, &mut closed).await?;
    let looking = account.upward.look();
    let mut claimed = account.store.claim_empty(limit(account), &closed).await?;
    if claimed.is_empty() {
        claimed = account.store.claim_skipping(limit(account), &closed).await?;
    }
    let later = env::instant() + WHILE_FULL;
    Ok(taken(account, claimed, looking).map_or(Claiming::NotBefore(later), Claiming::Taken))
}

impl Uploader {
    pub(crate) fn new(account: Arc<Account>) -> Self {
        Self { bell: account.store.changed(), account, turn: None }
    }

    /// Observes and decides, on a blocking thread; small files are read there, too.
    async fn look(&self, claimed: Vec<Claimed>, full: bool) -> Result<Vec<Looked>, Fatal> {
        let account = Arc::clone(&self.account);
        blocking(move || {
            let mut memory = MEMORY;
            let views = account.remote.views_blocking(&account, &claimed)?;
            let rows = claimed.into_iter().zip(views);
            Ok(rows.map(|(claimed, view)| look(&account, claimed, view, &mut memory, full)).collect())
        })
        .await
    }

    /// Settles and stages what needs no upload; gives back what does.
    async fn record(&self, looked: Vec<Looked>) -> Result<(Vec<Send>, Vec<Fetch>), Fatal> {
        let (mut done, mut staged, mut sends, mut fetches) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for one in looked {
            match one {
                Looked::Done(job, settled) => done.push((job, settled)),
                Looked::Stage(job, change) => staged.push((job, change)),
                Looked::Send(send) => sends.push(*send),
                Looked::Fetch(fetch) => fetches.push(*fetch),
            }
        }
        let account = &self.account;
        hash::keep(account).await?;
        if account.upward.patterns.swap(false, Ordering::Relaxed) {
            account.store.compare_anew().await?;
        }
        for (job, settled) in &done {
            if matches!(settled, Settled::InSync(_) | Settled::InSyncDir(_)) {
                account.live.settled(job.folder, 1);
            }
        }
        if !done.is_empty() {
            account.store.settle(done, now_ms()).await?;
        }
        if !staged.is_empty() {
            account.store.stage(staged, now_ms()).await?;
        }
        Ok((sends, fetches))
    }
}

/// When a row that failed is due again.
pub(crate) fn later(attempts: u32, failure: &Failure) -> UnixMs {
    let wait = match failure.next {
        Next::Retry { after: Some(after) } => after,
        // The path is being written: look again when it may have come to rest.
        Next::Look => Duration::from_secs(1).saturating_mul(attempts.clamp(1, 30)),
        Next::Later => retry::standing(attempts, chance()),
        _ => retry::backoff(attempts, chance()),
    };
    now_ms().saturating_add(ms(wait))
}

/// What a failure of one row means for it. An account's trouble is not the row's fault: it goes back untouched.
pub(crate) fn failed(job: &Job, failure: Failure) -> Settled {
    match failure.next {
        Next::Wedge => Settled::Wedge(failure),
        Next::Account => Settled::Release,
        Next::Look | Next::Later | Next::Retry { .. } => Settled::PutOff { at: later(job.attempts, &failure), failure },
    }
}

/// What a failure of sending a file means for its row.
pub(crate) fn unsent(send: &Send, failure: Failure) -> Settled {
    if failure.next == Next::Wedge && failure.code == "too_large" {
        return Settled::Refused(failure, send.stat);
    }
    failed(&send.job, failure)
}
