//! The committer's calls: one for each kind of batch, and the polling of its job.

use std::time::Duration;

use super::{Committer, Results};
use crate::config::{LoneFile, Route};
use crate::dropbox::{CallError, DeleteEntry, EntryError, FinishEntry, Launch, Poll, RelocateEntry, TransportKind};
use crate::engine::blocking::Fatal;
use crate::engine::commit::resolve::Judge;
use crate::env;
use crate::env::chance;
use crate::env::lock;
use crate::model::{Batch, BatchKind, Change, Failure, RemoteChange};
use crate::plan::commit::job;
use crate::plan::commit::job::{Limits, Next, Said, Useless};
use crate::plan::time::retry;

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
        self.launched(batch, account.judge(reply), Results::Moved).await
    }

    async fn make_folders(&self, batch: &Batch) -> Result<Results, Fatal> {
        let account = &self.account;
        let paths: Vec<_> = batch.changes.iter().map(|change| change.what.place()).collect();
        let reply = account.judge(account.dropbox.create_folder_batch(&paths).await);
        self.launched(batch, reply, Results::Made).await
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
        let now = env::instant();
        let v2 = account.config.commit.route == Route::FinishBatchV2 || self.fallback.is_used(now.into_std());
        if v2 {
            let reply = account.judge(account.dropbox.finish_batch_v2(&entries).await);
            return Ok(reply.map_or_else(|e| broken(&e), Results::Files));
        }
        let reply = account.judge(account.dropbox.finish_batch(&entries).await);
        match reply {
            Err(error) if error.unknown_route() => {
                let pause = self.fallback.unknown(now.into_std());
                tracing::warn!(account = %account.name, for_s = pause.as_secs(), "the server does not know finish_batch: finish_batch_v2 is used for a while");
                Ok(Results::Refused(Failure::retry(
                    "route",
                    "the server does not know finish_batch; finish_batch_v2 is used for a while",
                )))
            }
            reply => {
                if reply.is_ok() {
                    self.fallback.works();
                }
                self.launched(batch, reply, Results::Files).await
            }
        }
    }

    /// What a call that may begin a job came to, once that is over.
    async fn launched<T>(
        &self,
        batch: &Batch,
        reply: Result<Launch<T>, CallError>,
        of: impl FnOnce(Vec<Result<T, EntryError>>) -> Results,
    ) -> Result<Results, Fatal> {
        match reply {
            Ok(Launch::Done(results)) => Ok(of(results)),
            Ok(Launch::Unreadable(error)) => Ok(unreadable(&error.into(), true)),
            Ok(Launch::Job(job)) => {
                self.account.store.launched(batch.id, &job).await?;
                self.poll(batch, &job).await
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
        let reply = account.judge(account.dropbox.delete_batch(&entries).await);
        self.launched(batch, reply, Results::Deleted).await
    }

    /// Polls a stored job until it is done. Another batch may start only after that.
    pub(super) async fn poll(&self, batch: &Batch, job: &str) -> Result<Results, Fatal> {
        let account = &self.account;
        lock(&account.lane).job_id = Some(job.to_owned());
        let (began, limits) = (env::instant(), Limits::of(account.config.commit.job_deadline));
        let (mut running, mut failed, mut useless) = (0_u32, 0, Useless::default());
        loop {
            let dropbox = &account.dropbox;
            let ended = match batch.kind {
                BatchKind::Upload => {
                    ended(account.judge(dropbox.finish_batch_check(job, batch.entries).await), Results::Files)
                }
                BatchKind::Folder => {
                    ended(account.judge(dropbox.create_folder_batch_check(job, batch.entries).await), Results::Made)
                }
                BatchKind::Trash => return Ok(Results::Unknown),
                BatchKind::Move => {
                    ended(account.judge(dropbox.move_batch_check(job, batch.entries).await), Results::Moved)
                }
                BatchKind::Copy => {
                    ended(account.judge(dropbox.copy_batch_check(job, batch.entries).await), Results::Moved)
                }
                BatchKind::Delete => {
                    ended(account.judge(dropbox.delete_batch_check(job, batch.entries).await), Results::Deleted)
                }
            };
            match ended {
                Ok(Some(results)) => return Ok(results),
                // The question failed, or its answer is none: that says nothing about the job. It may still run, and nothing else is committed
                // beside it.
                Err(error) if matches!(error, CallError::Api(_)) || error.is_unreadable() => {
                    let why = format!(
                        "Dropbox does not say whether its last commit has ended ({error}); nothing else is committed meanwhile"
                    );
                    lock(&account.lane).reason = Some(why);
                    let said = if error.is("invalid_async_job_id") { Said::Unknown } else { Said::Nothing };
                    let (asked, age) = useless.hear(said, began.elapsed());
                    if self.has_ended(batch, said, asked, (age, limits)).await {
                        return Ok(Results::Unknown);
                    }
                }
                Err(error) => {
                    // No answer is waited for for ever: then the tree itself has to tell.
                    if began.elapsed() > limits.running {
                        tracing::warn!(account = %account.name, "a commit job cannot be asked for; looking at its files one by one");
                        return Ok(Results::Unknown);
                    }
                    account.note(&error.failure());
                    account.ready().await;
                    env::sleep(retry::backoff(failed, chance())).await;
                    failed = failed.saturating_add(1);
                }
                Ok(None) => {
                    lock(&account.lane).reason = None;
                    useless = Useless::default();
                    if self.has_ended(batch, Said::InProgress, running, (began.elapsed(), limits)).await {
                        return Ok(Results::Unknown);
                    }
                    running = running.saturating_add(1);
                }
            }
        }
    }

    /// No answer to the call itself names the job that it may have begun, for the reason `why`. Waits until Dropbox shows that it has ended, or for long
    /// enough to believe so.
    pub(super) async fn outlive(&self, batch: &Batch, said: Said, why: &str) {
        let account = &self.account;
        lock(&account.lane).reason =
            Some(format!("{why}, and it may still run in Dropbox; nothing else is committed meanwhile"));
        let (began, limits) = (env::instant(), Limits::of(account.config.commit.job_deadline));
        let mut asked = 0;
        while !self.has_ended(batch, said, asked, (began.elapsed(), limits)).await {
            asked += 1;
        }
        lock(&account.lane).reason = None;
    }

    /// Waits before a job is asked for again. `true`: it is believed to have ended, and its entries are to be looked up.
    async fn has_ended(&self, batch: &Batch, said: Said, asked: u32, (age, limits): (Duration, Limits)) -> bool {
        let account = &self.account;
        let pause = match job::next(said, asked, age, limits) {
            Next::Ask(pause) => pause,
            Next::LookAndAsk(pause) => {
                if Judge::new(account).shows(batch).await {
                    return true;
                }
                pause
            }
            Next::GiveUp => {
                tracing::warn!(account = %account.name, "{}; looking at its files one by one", said.over());
                return true;
            }
        };
        env::sleep(pause).await;
        false
    }
}

/// What the question for a job came to; none while it runs.
fn ended<T>(
    polled: Result<Poll<T>, CallError>,
    of: impl FnOnce(Vec<Result<T, EntryError>>) -> Results,
) -> Result<Option<Results>, CallError> {
    Ok(match polled? {
        Poll::InProgress => None,
        Poll::Done(results) => Some(of(results)),
        Poll::Unreadable(error) => Some(unreadable(&error.into(), true)),
        Poll::Failed(error) => Some(job_failed(&error)),
    })
}

fn unreadable(error: &CallError, ended: bool) -> Results {
    Results::Unreadable { failure: error.failure(), ended }
}

/// A call without a usable reply: did it act or not?
fn broken(error: &CallError) -> Results {
    match error {
        error if error.is_unreadable() => unreadable(error, false),
        // A gateway's error says nothing of what it may have passed on; who is too busy has passed on nothing.
        CallError::Transport(t) if t.kind == TransportKind::Server => Results::Lost(
            if t.status == Some(503) { Said::Busy } else { Said::Lost },
            format!("Dropbox answered the last commit with an error ({})", error.failure().text),
        ),
        error if error.outcome_unknown() => {
            Results::Lost(Said::Lost, format!("the answer to the last commit was lost ({})", error.failure().text))
        }
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
