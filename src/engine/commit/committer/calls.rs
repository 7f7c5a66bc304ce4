//! The committer's calls: one for each kind of batch, and how far its job is, which is waited for in the same way whatever the kind.

use std::time::Duration;

use super::{Committer, Results};
use crate::config::{LoneFile, Route};
use crate::dropbox::{
    CallError, DeleteEntry, EntryError, FileMetadata, FinishEntry, Launch, Metadata, Poll, RelocateEntry, TransportKind,
};
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
    /// Makes the batch's call, and waits for the end of the job that it may begin.
    pub(super) async fn call(&mut self, batch: &Batch) -> Result<Results, Fatal> {
        match self.launch(batch).await {
            Ok(Launch::Done(results)) => Ok(Results::Each(results)),
            Ok(Launch::Unreadable(error)) => Ok(unreadable(&error.into(), true)),
            Ok(Launch::Job(job)) => {
                self.account.store.launched(batch.id, &job).await?;
                self.poll(batch, &job).await
            }
            Err(results) => Ok(results),
        }
    }

    /// The call of a batch, by its kind. `Err`: it began nothing, or nobody knows.
    async fn launch(&mut self, batch: &Batch) -> Result<Launch<Metadata>, Results> {
        let (account, changes) = (&self.account, &batch.changes);
        let dropbox = &account.dropbox;
        let reply = match batch.kind {
            BatchKind::Upload => return self.commit(batch).await,
            BatchKind::Delete => dropbox.delete_batch(&entries(changes, delete_entry)).await,
            BatchKind::Folder => {
                dropbox.create_folder_batch(&entries(changes, |change| Some(change.what.place()))).await
            }
            BatchKind::Move => dropbox.move_batch(&entries(changes, relocate_entry)).await,
            BatchKind::Copy => dropbox.copy_batch(&entries(changes, relocate_entry)).await,
            // Made on the disk, before it comes to this.
            BatchKind::Trash => return Err(Results::Unknown),
        };
        account.judge(reply).map_err(|error| broken(&error))
    }

    /// Files have three routes: one alone, the usual one, and the one that stands in for it.
    async fn commit(&mut self, batch: &Batch) -> Result<Launch<Metadata>, Results> {
        let account = &self.account;
        let entries = entries(&batch.changes, finish_entry);
        if let ([only], LoneFile::Finish) = (entries.as_slice(), account.config.commit.lone_file) {
            return match account.judge(account.dropbox.finish(only).await) {
                Ok(file) => Ok(Launch::Done(vec![Ok(Metadata::File(file))])),
                Err(CallError::Api(error)) if error.status == 409 => {
                    Ok(Launch::Done(vec![Err(EntryError { tags: error.tags, value: error.error })]))
                }
                Err(error) => Err(broken(&error)),
            };
        }
        let now = env::instant();
        let v2 = account.config.commit.route == Route::FinishBatchV2 || self.fallback.is_used(now.into_std());
        if v2 {
            let reply = account.judge(account.dropbox.finish_batch_v2(&entries).await);
            return reply.map(|results| Launch::Done(files(results))).map_err(|error| broken(&error));
        }
        match account.judge(account.dropbox.finish_batch(&entries).await) {
            Err(error) if error.unknown_route() => {
                let pause = self.fallback.unknown(now.into_std());
                tracing::warn!(account = %account.name, for_s = pause.as_secs(), "the server does not know finish_batch: finish_batch_v2 is used for a while");
                Err(Results::Refused(Failure::retry(
                    "route",
                    "the server does not know finish_batch; finish_batch_v2 is used for a while",
                )))
            }
            Err(error) => Err(broken(&error)),
            Ok(launch) => {
                self.fallback.works();
                Ok(match launch {
                    Launch::Job(job) => Launch::Job(job),
                    Launch::Done(results) => Launch::Done(files(results)),
                    Launch::Unreadable(error) => Launch::Unreadable(error),
                })
            }
        }
    }

    /// How far a batch's job is.
    async fn check(&self, batch: &Batch, job: &str) -> Result<Poll<Metadata>, CallError> {
        let (account, entries) = (&self.account, batch.entries);
        let dropbox = &account.dropbox;
        account.judge(match batch.kind {
            BatchKind::Upload => dropbox.finish_batch_check(job, entries).await.map(|poll| match poll {
                Poll::InProgress => Poll::InProgress,
                Poll::Done(results) => Poll::Done(files(results)),
                Poll::Unreadable(error) => Poll::Unreadable(error),
                Poll::Failed(error) => Poll::Failed(error),
            }),
            BatchKind::Folder => dropbox.create_folder_batch_check(job, entries).await,
            BatchKind::Move => dropbox.move_batch_check(job, entries).await,
            BatchKind::Copy => dropbox.copy_batch_check(job, entries).await,
            BatchKind::Delete => dropbox.delete_batch_check(job, entries).await,
            // A removal on the disk has no job, and so no results.
            BatchKind::Trash => return Ok(Poll::Done(Vec::new())),
        })
    }

    /// Polls a stored job until it is done. Another batch may start only after that.
    pub(super) async fn poll(&self, batch: &Batch, job: &str) -> Result<Results, Fatal> {
        let account = &self.account;
        lock(&account.lane).job_id = Some(job.to_owned());
        let (began, limits) = (env::instant(), Limits::of(account.config.commit.job_deadline));
        let (mut running, mut failed, mut useless) = (0_u32, 0, Useless::default());
        loop {
            match ended(self.check(batch, job).await) {
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
fn ended(polled: Result<Poll<Metadata>, CallError>) -> Result<Option<Results>, CallError> {
    Ok(match polled? {
        Poll::InProgress => None,
        Poll::Done(results) => Some(Results::Each(results)),
        Poll::Unreadable(error) => Some(unreadable(&error.into(), true)),
        Poll::Failed(error) => Some(job_failed(&error)),
    })
}

fn files(results: Vec<Result<FileMetadata, EntryError>>) -> Vec<Result<Metadata, EntryError>> {
    results.into_iter().map(|result| result.map(Metadata::File)).collect()
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

/// What a call says of each change, in their order.
fn entries<'a, T>(changes: &'a [Change], entry: impl Fn(&'a Change) -> Option<T>) -> Vec<T> {
    changes.iter().filter_map(entry).collect()
}

fn delete_entry(change: &Change) -> Option<DeleteEntry<'_>> {
    match &change.what {
        RemoteChange::Delete { path, rev } => Some(DeleteEntry { path, parent_rev: Some(rev.as_str()) }),
        RemoteChange::DeleteFolder { path } => Some(DeleteEntry { path, parent_rev: None }),
        RemoteChange::Upload { .. }
        | RemoteChange::CreateFolder { .. }
        | RemoteChange::Relocate(_)
        | RemoteChange::Trash { .. } => None,
    }
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
