//! The committer's calls: one for each kind of batch, and the polling of its job.

use tokio::time::Instant;

use super::{Committer, Results};
use crate::config::{LoneFile, Route};
use crate::daemon::account::Fatal;
use crate::daemon::clock::chance;
use crate::daemon::judge::Judge;
use crate::daemon::live::lock;
use crate::dropbox::{CallError, DeleteEntry, EntryError, FinishEntry, Launch, Poll, RelocateEntry, TransportKind};
use crate::model::{Batch, BatchKind, Change, Failure, RemoteChange};
use crate::plan::job::{self, Limits, Next, Said};
use crate::plan::retry;

impl Committer {
    /// Makes the batch's call.
    pub(super) async fn call(&mut self, batch: &Batch) -> Result<Results, Fatal> {
        match batch.kind {
            BatchKind::Upload => self.commit(batch).await,
            BatchKind::Delete => self.delete(batch).await,
            BatchKind::Folder => self.make_folders(batch).await,
            BatchKind::Move | BatchKind::Copy => self.relocate(batch).await,
            // Made on the disk, before it comes to this.
            BatchKind::Trash => Ok(Results::Unknown),
        }
    }

    async fn relocate(&self, batch: &Batch) -> Result<Results, Fatal> {
        let account = &self.account;
        let entries: Vec<_> = batch.changes.iter().filter_map(relocate_entry).collect();
        let reply = match batch.kind {
            BatchKind::Copy => account.dropbox.copy_batch(&entries).await,
            _ => account.dropbox.move_batch(&entries).await,
        };
        match account.judge(reply) {
            Ok(Launch::Done(results)) => Ok(Results::Moved(results)),
            Ok(Launch::Job(job)) => {
                account.store.launched(batch.id, &job).await?;
                self.poll(batch, &job).await
            }
            Err(error) => Ok(broken(&error)),
        }
    }

    async fn make_folders(&self, batch: &Batch) -> Result<Results, Fatal> {
        let account = &self.account;
        let paths: Vec<_> = batch.changes.iter().map(|change| change.what.place()).collect();
        match account.judge(account.dropbox.create_folder_batch(&paths).await) {
            Ok(Launch::Done(results)) => Ok(Results::Made(results)),
            Ok(Launch::Job(job)) => {
                account.store.launched(batch.id, &job).await?;
                self.poll(batch, &job).await
            }
            Err(error) => Ok(broken(&error)),
        }
    }

    async fn commit(&mut self, batch: &Batch) -> Result<Results, Fatal> {
        let account = &self.account;
        let entries: Vec<FinishEntry<'_>> = batch.changes.iter().filter_map(finish_entry).collect();
        if let ([only], LoneFile::Finish) = (entries.as_slice(), account.config.commit.lone_file) {
            let reply = account.judge(account.dropbox.finish(only).await);
            return Ok(match reply {
                Ok(metadata) => Results::Files(vec![Ok(metadata)]),
                Err(CallError::Api(error)) if error.status == 409 => {
                    Results::Files(vec![Err(EntryError { tags: error.tags, value: error.error })])
                }
                Err(error) => broken(&error),
            });
        }
        let now = Instant::now();
        let v2 = account.config.commit.route == Route::FinishBatchV2 || self.fallback.is_used(now.into_std());
        if v2 {
            let reply = account.judge(account.dropbox.finish_batch_v2(&entries).await);
            return Ok(reply.map_or_else(|e| broken(&e), Results::Files));
        }
        let reply = account.judge(account.dropbox.finish_batch(&entries).await);
        match reply {
            Ok(Launch::Done(results)) => {
                self.fallback.works();
                Ok(Results::Files(results))
            }
            Ok(Launch::Job(job)) => {
                self.fallback.works();
                account.store.launched(batch.id, &job).await?;
                self.poll(batch, &job).await
            }
            Err(error) if error.unknown_route() => {
                let pause = self.fallback.unknown(now.into_std());
                tracing::warn!(account = %account.name, for_s = pause.as_secs(), "the server does not know finish_batch: finish_batch_v2 is used for a while");
                Ok(Results::Refused(Failure::retry(
                    "route",
                    "the server does not know finish_batch; finish_batch_v2 is used for a while",
                )))
            }
            Err(error) => Ok(broken(&error)),
        }
    }

    async fn delete(&self, batch: &Batch) -> Result<Results, Fatal> {
        let account = &self.account;
        let entries: Vec<DeleteEntry<'_>> = batch
            .changes
            .iter()
            .filter_map(|change| match &change.what {
                RemoteChange::Delete { path, rev } => Some(DeleteEntry { path, parent_rev: Some(rev.as_str()) }),
                RemoteChange::DeleteFolder { path } => Some(DeleteEntry { path, parent_rev: None }),
                RemoteChange::Upload { .. }
                | RemoteChange::CreateFolder { .. }
                | RemoteChange::Relocate(_)
                | RemoteChange::Trash { .. } => None,
            })
            .collect();
        match account.judge(account.dropbox.delete_batch(&entries).await) {
            Ok(Launch::Done(results)) => Ok(Results::Deleted(results)),
            Ok(Launch::Job(job)) => {
                account.store.launched(batch.id, &job).await?;
                self.poll(batch, &job).await
            }
            Err(error) => Ok(broken(&error)),
        }
    }

    /// Polls a stored job until it is done. Another batch may start only after that.
    pub(super) async fn poll(&self, batch: &Batch, job: &str) -> Result<Results, Fatal> {
        let account = &self.account;
        lock(&account.lane).job_id = Some(job.to_owned());
        let (began, limits) = (Instant::now(), Limits::of(account.config.commit.job_deadline));
        let (mut running, mut asked_in_vain) = (0_u32, 0_u32);
        let (mut failed, mut in_vain_since) = (0, None);
        loop {
            let (done, error) = match batch.kind {
                BatchKind::Upload => {
                    match account.judge(account.dropbox.finish_batch_check(job, batch.entries).await) {
                        Ok(Poll::Done(results)) => (Some(Results::Files(results)), None),
                        Ok(Poll::Failed(error)) => (Some(job_failed(&error)), None),
                        Ok(Poll::InProgress) => (None, None),
                        Err(error) => (None, Some(error)),
                    }
                }
                BatchKind::Folder => {
                    match account.judge(account.dropbox.create_folder_batch_check(job, batch.entries).await) {
                        Ok(Poll::Done(results)) => (Some(Results::Made(results)), None),
                        Ok(Poll::Failed(error)) => (Some(job_failed(&error)), None),
                        Ok(Poll::InProgress) => (None, None),
                        Err(error) => (None, Some(error)),
                    }
                }
                BatchKind::Trash => return Ok(Results::Unknown),
                BatchKind::Move | BatchKind::Copy => {
                    let polled = match batch.kind {
                        BatchKind::Copy => account.dropbox.copy_batch_check(job, batch.entries).await,
                        _ => account.dropbox.move_batch_check(job, batch.entries).await,
                    };
                    match account.judge(polled) {
                        Ok(Poll::Done(results)) => (Some(Results::Moved(results)), None),
                        Ok(Poll::Failed(error)) => (Some(job_failed(&error)), None),
                        Ok(Poll::InProgress) => (None, None),
                        Err(error) => (None, Some(error)),
                    }
                }
                BatchKind::Delete => {
                    match account.judge(account.dropbox.delete_batch_check(job, batch.entries).await) {
                        Ok(Poll::Done(results)) => (Some(Results::Deleted(results)), None),
                        Ok(Poll::Failed(error)) => (Some(job_failed(&error)), None),
                        Ok(Poll::InProgress) => (None, None),
                        Err(error) => (None, Some(error)),
                    }
                }
            };
            match (done, error) {
                (Some(results), _) => return Ok(results),
                // The question failed, or its answer is none: that says nothing about the job. It may still run, and nothing else is committed
                // beside it.
                (None, Some(error)) if matches!(error, CallError::Api(_)) || is_unreadable(&error) => {
                    let why = format!(
                        "Dropbox does not say whether its last commit has ended ({error}); nothing else is committed meanwhile"
                    );
                    lock(&account.lane).reason = Some(why);
                    let said = if error.is("invalid_async_job_id") { Said::Unknown } else { Said::Nothing };
                    let since = *in_vain_since.get_or_insert_with(Instant::now);
                    if self.has_ended(batch, said, asked_in_vain, (since, limits)).await {
                        return Ok(Results::Unknown);
                    }
                    asked_in_vain = asked_in_vain.saturating_add(1);
                }
                (None, Some(error)) => {
                    // No answer is waited for for ever: then the tree itself has to tell.
                    if began.elapsed() > limits.running {
                        tracing::warn!(account = %account.name, "a commit job cannot be asked for; looking at its files one by one");
                        return Ok(Results::Unknown);
                    }
                    account.note(&error.failure());
                    account.ready().await;
                    tokio::time::sleep(retry::backoff(failed, chance())).await;
                    failed = failed.saturating_add(1);
                }
                (None, None) => {
                    lock(&account.lane).reason = None;
                    (asked_in_vain, in_vain_since) = (0, None);
                    if self.has_ended(batch, Said::InProgress, running, (began, limits)).await {
                        return Ok(Results::Unknown);
                    }
                    running = running.saturating_add(1);
                }
            }
        }
    }

    /// The reply to the call itself was lost, or could not be read: a job may run that nobody can name. Waits until Dropbox shows that it has ended, or
    /// for long enough to believe so.
    pub(super) async fn outlive(&self, batch: &Batch, failure: &Failure) {
        let account = &self.account;
        lock(&account.lane).reason = Some(format!(
            "the answer to the last commit was lost ({}), and it may still run in Dropbox; nothing else is committed meanwhile",
            failure.text
        ));
        let since = (Instant::now(), Limits::of(account.config.commit.job_deadline));
        let mut asked = 0;
        while !self.has_ended(batch, Said::Lost, asked, since).await {
            asked += 1;
        }
        lock(&account.lane).reason = None;
    }

    /// Waits before a job is asked for again. `true`: it is believed to have ended, and its entries are to be looked up.
    async fn has_ended(&self, batch: &Batch, said: Said, asked: u32, (began, limits): (Instant, Limits)) -> bool {
        let account = &self.account;
        let pause = match job::next(said, asked, began.elapsed(), limits) {
            Next::Ask(pause) => pause,
            Next::LookAndAsk(pause) => {
                if Judge::new(account).shows(batch).await {
                    return true;
                }
                pause
            }
            Next::GiveUp => {
                tracing::warn!(account = %account.name, ?said, "a commit job does not come to an end; looking at its files one by one");
                return true;
            }
        };
        tokio::time::sleep(pause).await;
        false
    }
}

/// The call came through, and what came back is not an answer to it.
fn is_unreadable(error: &CallError) -> bool {
    matches!(error, CallError::Transport(t) if t.kind == TransportKind::Protocol)
}

/// A call without a usable reply: did it act or not?
fn broken(error: &CallError) -> Results {
    match error {
        error if is_unreadable(error) => Results::Unreadable(error.failure()),
        // An answer came, and says that it went wrong; what was done all the same is looked up.
        CallError::Transport(t) if t.kind == TransportKind::Server => Results::Unknown,
        error if error.outcome_unknown() => Results::Lost(error.failure()),
        CallError::Api(refusal) if matches!(refusal.status, 400 | 413 | 414 | 431) && !error.unknown_route() => {
            Results::Suspect(error.failure())
        }
        error => Results::Refused(error.failure()),
    }
}

/// A job that failed as a whole did nothing, if it says why in a way that only means "later"; otherwise its entries are looked up.
fn job_failed(error: &EntryError) -> Results {
    if error.retry_commit() { Results::Refused(error.failure()) } else { Results::Unknown }
}

fn finish_entry(change: &Change) -> Option<FinishEntry<'_>> {
    match &change.what {
        RemoteChange::Upload { session, size, stat, to, mode, .. } => Some(FinishEntry {
            session,
            offset: *size,
            to,
            mode,
            client_modified: jiff::Timestamp::from_second(stat.mtime_ns.div_euclid(1_000_000_000)).ok(),
            mute: true,
        }),
        RemoteChange::Delete { .. }
        | RemoteChange::DeleteFolder { .. }
        | RemoteChange::CreateFolder { .. }
        | RemoteChange::Relocate(_)
        | RemoteChange::Trash { .. } => None,
    }
}

fn relocate_entry(change: &Change) -> Option<RelocateEntry<'_>> {
    let RemoteChange::Relocate(relocation) = &change.what else { return None };
    Some(RelocateEntry { from: &relocation.from, to: relocation.next() })
}
