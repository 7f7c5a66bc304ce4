//! Batches: launching their jobs, checking them, and the rule that an account's commits come one after the other.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::session::{FinishArg, empty_hash_fits};
use super::write::{DeleteArg, RelocationPath};
use crate::call::Call;
use crate::fault::{Effect, Verdict};
use crate::path::Form;
use crate::settings::{Overlap, Settings};
use crate::shared::Shared;
use crate::state::AccountKey;
use crate::state::account::Committing;
use crate::state::job::{Job, JobState, Operation};
use crate::violation::ViolationKind;
use crate::wire::{self, Refusal};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FinishBatchArg {
    entries: Vec<FinishArg>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteBatchArg {
    entries: Vec<DeleteArg>,
}

/// `RelocationBatchArgBase`, and `allow_ownership_transfer` of `MoveBatchArg`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RelocationBatchArg {
    entries: Vec<RelocationPath>,
    #[serde(default)]
    autorename: bool,
    #[serde(default, rename = "allow_ownership_transfer")]
    _allow_ownership_transfer: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateFolderBatchArg {
    paths: Vec<String>,
    #[serde(default)]
    autorename: bool,
    #[serde(default)]
    force_async: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PollArg {
    async_job_id: String,
}

/// One entry, or the error that it has already.
struct Planned {
    operation: Result<Operation, Value>,
    /// What a fault looks at to choose entries.
    argument: String,
}

/// files.stone, `upload_session/finish_batch`: a job, one at a time for an account.
pub(crate) async fn finish_batch(call: &Call) -> Result<Value, Refusal> {
    let planned = plan_finish(call)?;
    launch(call, planned, call.settings.complete_at_once).await
}

/// files.stone, `upload_session/finish_batch:2`: the same, and the reply waits for it.
pub(crate) async fn finish_batch_v2(call: &Call) -> Result<Value, Refusal> {
    let planned = plan_finish(call)?;
    if let Some(refused) = poisoned(call, &planned) {
        return refused;
    }
    let running = run(call, planned, true)?;
    let mut waiting = Waiting { shared: &call.shared, account: call.account, number: running.number, answered: false };
    let results = running.wait().await;
    waiting.answered = true;
    Ok(json!({ "entries": results }))
}

fn plan_finish(call: &Call) -> Result<Vec<Planned>, Refusal> {
    let FinishBatchArg { entries } = call.parse()?;
    call.at_most(entries.len(), call.settings.max_entries)?;
    let mut planned = Vec::with_capacity(entries.len());
    let mut seen = std::collections::HashSet::new();
    let mut world = call.shared.world();
    for entry in &entries {
        let id = &entry.cursor.session_id;
        if call.expires_sessions() {
            world.sessions.remove(id);
        }
        if !seen.insert(id.as_str()) {
            call.violate(ViolationKind::DuplicateSession, format!("session {id}"));
        }
        if world.sessions.get(id).is_some_and(|session| !session.closed) {
            // "close needs to be true for the last upload_session/start or append:2 call".
            call.violate(ViolationKind::UnclosedSession, format!("session {id}"));
        }
        let commit = entry.commit.check(call)?;
        let argument = format!("{} {:?}", id, commit.target);
        let operation = if empty_hash_fits(entry.content_hash.as_deref()) {
            Ok(Operation::Finish { session: id.clone(), offset: entry.cursor.offset, commit })
        } else {
            Err(wire::union("content_hash_mismatch"))
        };
        planned.push(Planned { operation, argument });
    }
    Ok(planned)
}

/// files.stone, `delete_batch`.
pub(crate) async fn delete_batch(call: &Call) -> Result<Value, Refusal> {
    let DeleteBatchArg { entries } = call.parse()?;
    call.at_most(entries.len(), call.settings.max_entries)?;
    let plan = |entry: &DeleteArg| {
        let (target, parent_rev) = entry.check(call)?;
        Ok(Planned { argument: format!("{target:?}"), operation: Ok(Operation::Delete { target, parent_rev }) })
    };
    let planned = entries.iter().map(plan).collect::<Result<_, Refusal>>()?;
    launch(call, planned, call.settings.complete_at_once).await
}

/// files.stone, `move_batch:2` and `copy_batch:2`: at least one entry, at most 1000.
pub(crate) async fn relocate_batch(call: &Call, copy: bool) -> Result<Value, Refusal> {
    let RelocationBatchArg { entries, autorename, .. } = call.parse()?;
    call.at_most(entries.len(), call.settings.max_entries)?;
    if entries.is_empty() {
        return Err(call.bad("entries: list must be at least 1 items"));
    }
    let plan = |entry: &RelocationPath| {
        let (from, to) = entry.check(call)?;
        let argument = format!("{from:?} {to:?}");
        Ok(Planned { argument, operation: Ok(Operation::Relocate { copy, from, to, autorename }) })
    };
    let planned = entries.iter().map(plan).collect::<Result<_, Refusal>>()?;
    launch(call, planned, call.settings.complete_at_once).await
}

/// files.stone, `create_folder_batch`: at most 10,000 paths; a job for large batches, or when asked for.
pub(crate) async fn create_folder_batch(call: &Call) -> Result<Value, Refusal> {
    let CreateFolderBatchArg { paths, autorename, force_async } = call.parse()?;
    call.at_most(paths.len(), 10_000)?;
    let plan = |path: &String| {
        let target = call.reference(Form::WritePath, path)?;
        Ok(Planned { argument: path.clone(), operation: Ok(Operation::Folder { target, autorename }) })
    };
    let planned: Vec<Planned> = paths.iter().map(plan).collect::<Result<_, Refusal>>()?;
    // What a large batch is, is not said; 100 paths is a guess.
    let at_once = !force_async && planned.len() < 100;
    launch(call, planned, at_once || call.settings.complete_at_once).await
}

/// Begins a job, and answers its id, or its result when that is wanted at once.
async fn launch(call: &Call, planned: Vec<Planned>, at_once: bool) -> Result<Value, Refusal> {
    if let Some(refused) = poisoned(call, &planned) {
        return refused;
    }
    let running = run(call, planned, false)?;
    if at_once {
        let results = running.wait().await;
        return Ok(json!({ ".tag": "complete", "entries": results }));
    }
    Ok(json!({ ".tag": "async_job_id", "async_job_id": running.job }))
}

/// A fault's [`Effect::Poison`].
fn poisoned(call: &Call, planned: &[Planned]) -> Option<Result<Value, Refusal>> {
    let (what, unreadable) = call.verdict.poison(|text| planned.iter().any(|p| p.argument.contains(text)))?;
    if unreadable {
        return Some(Ok(json!({})));
    }
    // Raw, since it is not the client's fault.
    let body = format!("Error in call to API function \"{}\": entries: {what:?} is not understood", call.route.name);
    Some(Err(Refusal::Raw { status: 400, kind: "text/plain", retry_after: None, body: body.into_bytes() }))
}

/// A batch that is being committed.
struct Running {
    job: String,
    number: u64,
    results: oneshot::Receiver<Vec<Value>>,
}

impl Running {
    async fn wait(self) -> Vec<Value> {
        // The task only ends without results when the server stops.
        self.results.await.unwrap_or_default()
    }
}

/// A client that waits for its commit. One that goes away cannot know when the commit ends, so what it does next is no violation.
struct Waiting<'a> {
    shared: &'a Shared,
    account: AccountKey,
    number: u64,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered {
            let mut world = self.shared.world();
            let account = world.account_mut(self.account);
            for commit in account.committing.iter_mut().filter(|commit| commit.number == self.number) {
                commit.unknowable = true;
            }
        }
    }
}

/// Begins to commit, in a task of its own: a client that goes away does not stop it.
fn run(call: &Call, planned: Vec<Planned>, v2: bool) -> Result<Running, Refusal> {
    let (send, results) = oneshot::channel();
    let stuck =
        call.verdict.find(|effect| if let Effect::StuckJob { applied } = effect { Some(*applied) } else { None });
    let unknowable = stuck.is_some()
        || call
            .verdict
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::DropAfter | Effect::CutReply(_) | Effect::Garbage(_)));
    let (job, number, contended) = {
        let mut world = call.shared.world();
        let job = world.name("", 24);
        world
            .jobs
            .insert(job.clone(), Job { account: call.account, route: call.route.name, state: JobState::InProgress });
        let (number, contended) = begin_commit(call, &mut world, unknowable, stuck.is_some(), v2);
        (job, number, contended)
    };
    call.shared.pulse.beat();
    let work = Work {
        shared: Arc::clone(&call.shared),
        settings: call.settings.clone(),
        account: call.account,
        verdict: call.verdict.clone(),
        job: job.clone(),
        number,
        stuck,
        contended: contended && call.settings.overlap == Overlap::Fails,
    };
    call.shared.spawn(work.run(planned, send));
    Ok(Running { job, number, results })
}

/// Notes that an account's commit has begun, and says whether another one holds the lock. One that overlaps another whose end its client could have
/// known is a violation.
fn begin_commit(call: &Call, world: &mut crate::state::World, unknowable: bool, stuck: bool, v2: bool) -> (u64, bool) {
    let number = world.serial();
    let account = world.account_mut(call.account);
    let free = |route: &str| call.settings.parallel_v2 && route.ends_with("finish_batch_v2");
    let alone = v2 && call.settings.parallel_v2;
    let mut others = account.committing.iter().filter(|other| !alone && !free(other.route));
    let contended = others.clone().any(|other| !other.stuck);
    if let Some(other) = others.find(|other| !other.unknowable) {
        // "For the same account, this route should be executed serially."
        call.violate(ViolationKind::OverlappingCommits, format!("while a {} is not complete", other.route));
    }
    account.committing.push(Committing { number, route: call.route.name, unknowable, stuck });
    (number, contended)
}

struct Work {
    shared: Arc<Shared>,
    settings: Settings,
    account: AccountKey,
    verdict: Verdict,
    job: String,
    number: u64,
    stuck: Option<bool>,
    /// Another commit held the lock when this one began, and that makes its entries fail.
    contended: bool,
}

impl Work {
    async fn run(self, planned: Vec<Planned>, send: oneshot::Sender<Vec<Value>>) {
        let time = self.settings.commit.of(planned.len());
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        if self.stuck == Some(false) {
            return;
        }
        let mut results = Vec::with_capacity(planned.len());
        {
            let now = self.shared.now();
            let mut world = self.shared.world();
            for (index, entry) in planned.into_iter().enumerate() {
                let done = match self.verdict.entry_failure(index, &entry.argument) {
                    Some(tags) => Err(wire::union(tags)),
                    None if self.contended => entry.operation.and_then(|operation| Err(locked(&operation))),
                    None => entry
                        .operation
                        .and_then(|operation| world.operate(&self.settings, now, self.account, &operation)),
                };
                results.push(match done {
                    Ok(fields) => wire::tagged("success", fields),
                    Err(error) => json!({ ".tag": "failure", "failure": error }),
                });
            }
            if self.stuck.is_none() {
                let broken = self.verdict.has(&Effect::JobInternalError);
                lose(&self.verdict, &mut results);
                if let Some(job) = world.jobs.get_mut(&self.job) {
                    job.state = if broken { JobState::Broken } else { JobState::Complete(results.clone()) };
                }
                world.account_mut(self.account).committing.retain(|other| other.number != self.number);
            }
        }
        self.shared.pulse.beat();
        if self.stuck.is_none() {
            // Nobody listens when the batch is a job.
            let _ = send.send(results);
        }
    }
}

/// What an entry fails with when another commit holds the lock.
fn locked(operation: &Operation) -> Value {
    wire::union(match operation {
        // CreateFolderEntryError has only a WriteError.
        Operation::Folder { .. } => "path/too_many_write_operations",
        Operation::Finish { .. } | Operation::Delete { .. } | Operation::Relocate { .. } => "too_many_write_operations",
    })
}

/// A fault's missing results.
pub(crate) fn lose_results(call: &Call, results: &mut Vec<Value>) {
    lose(&call.verdict, results);
}

fn lose(verdict: &Verdict, results: &mut Vec<Value>) {
    let missing = verdict.find(|effect| if let Effect::MissingResults(n) = effect { Some(*n) } else { None });
    results.truncate(results.len().saturating_sub(missing.unwrap_or(0)));
}

/// The check of a job that `launcher` began (async.stone, `PollArg`, `PollError`).
pub(crate) fn check(call: &Call, launcher: &str) -> Result<Value, Refusal> {
    let PollArg { async_job_id } = call.parse()?;
    let world = call.shared.world();
    let job = world.jobs.get(&async_job_id).filter(|job| job.account == call.account && job.route == launcher);
    match job.filter(|_| !call.verdict.has(&Effect::JobForgotten)).map(|job| &job.state) {
        None => Err(Refusal::endpoint("invalid_async_job_id")),
        Some(JobState::Broken) => Err(Refusal::endpoint("internal_error")),
        Some(JobState::InProgress) => Ok(json!({ ".tag": "in_progress" })),
        Some(JobState::Complete(entries)) => Ok(json!({ ".tag": "complete", "entries": entries })),
    }
}
