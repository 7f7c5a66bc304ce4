//! What clients of the socket ask, answered in one place.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::api::attention;
use crate::api::dry_run;
use crate::api::explain;
use crate::api::lists;
use crate::api::lists::usize_of;
use crate::api::locate;
use crate::api::locate::Place;
use crate::api::restore;
use crate::api::status::Progress;
use crate::control::{Entries, EntriesOf, Request};
use crate::engine::approvals;
use crate::engine::approvals::Verdict;
use crate::engine::blocking::Fatal;
use crate::engine::blocking::blocking;
use crate::engine::folder::Look;
use crate::engine::heartbeat::{Beats, rest};
use crate::engine::work::preview;
use crate::engine::work::preview::Viewed;
use crate::env;
use crate::env::lock;
use crate::env::{ms, now_ms};
use crate::model::api::PauseAnswer;
use crate::model::status::{Answered, SyncAnswer};
use crate::model::{RelPath, RemotePath};
use crate::plan::listing::within;
use crate::store::{StoreError, WalkAt};

/// What fails for one who asks does not end a daemon: the tasks of that account meet it themselves. Only a damaged database is for whoever opened it.
pub(crate) fn survive(fatal: Fatal) -> Result<(), Fatal> {
    if matches!(fatal, Fatal::Store(StoreError::Corrupt { .. })) {
        return Err(fatal);
    }
    tracing::warn!(reason = %fatal, "a request on the socket failed");
    Ok(())
}

/// How often what goes on in memory only is looked at, while something is waited for.
const ONCE_MORE: Duration = Duration::from_secs(1);

/// Somebody asks over the socket for the configuration to be read again. The answer is one sentence if it is not taken over.
pub type ReloadAsked = oneshot::Sender<Result<(), String>>;

/// Answers requests for ever; long answers do not hold up short ones. `failed` judges what an answer fails with.
pub(crate) async fn run(
    progress: Arc<Progress>,
    mut requests: mpsc::Receiver<Request>,
    beats: Arc<Beats>,
    reload: mpsc::Sender<ReloadAsked>,
    failed: fn(Fatal) -> Result<(), Fatal>,
) -> Result<(), Fatal> {
    let mut waiting = JoinSet::new();
    loop {
        tokio::select! {
            request = requests.recv() => match request {
                Some(request) => {
                    let (progress, ours) = (Arc::clone(&progress), reload.clone());
                    // A person waits for it, and may: only its work on the disk is listened to.
                    let answered = rest(async move { answer(&progress, &ours, request).await });
                    waiting.spawn(beats.drive("an answer on the socket".to_owned(), answered));
                }
                None => return std::future::pending().await,
            },
            Some(done) = waiting.join_next() => match done {
                Ok(Ok(())) => {}
                // The tasks meet the full disk themselves; whoever asked is told that nothing came of it.
                Ok(Err(Fatal::Store(StoreError::Full { .. }))) => {}
                Ok(Err(fatal)) => failed(fatal)?,
                Err(error) => failed(Fatal::Task(format!("an answer on the socket died: {error}")))?,
            },
        }
    }
}

async fn answer(progress: &Progress, reload: &mpsc::Sender<ReloadAsked>, request: Request) -> Result<(), Fatal> {
    match request {
        Request::Status(reply) => {
            let _ = reply.send(progress.status().await?);
        }
        Request::Health(reply) => {
            let _ = reply.send(progress.health().await);
        }
        Request::Problems { offset, limit, reply } => {
            let _ = reply.send(lists::problems(progress, offset, limit).await?);
        }
        Request::Conflicts { offset, limit, reply } => {
            let _ = reply.send(lists::conflicts(progress, offset, limit).await?);
        }
        Request::History { path, offset, limit, reply } => {
            let _ = reply.send(lists::history(progress, path.as_deref(), offset, limit).await?);
        }
        Request::Explain { path, reply } => {
            let _ = reply.send(explain::explain(progress, &path).await?);
        }
        Request::Plan { path, after, limit, reply } => {
            let _ = reply.send(dry_run::plan(progress, path.as_deref(), &after, usize_of(limit)).await?);
        }
        Request::Versions { path, mut reply } => {
            let found = tokio::select! {
                found = restore::versions(progress, &path) => found?,
                () = reply.closed() => return Ok(()),
            };
            let _ = reply.send(found);
        }
        Request::Restore { path, rev, mut reply } => {
            let done = tokio::select! {
                done = restore::restore(progress, &path, rev.as_deref()) => done?,
                // The client left: a download breaks off, and what is in its place already stays.
                () = reply.closed() => return Ok(()),
            };
            let _ = reply.send(done);
        }
        Request::Entries { what, reply } => {
            let _ = reply.send(entries(progress, what).await?);
        }
        Request::Held { offset, limit, reply } => {
            let _ = reply.send(crate::api::approvals::list(&progress.accounts, offset, limit).await?);
        }
        Request::Reload { reply } => {
            // Whoever reads the configuration answers, since this life ends with the answer.
            // If nobody can answer, the question is dropped, and whoever asked is told so.
            drop(reload.send(reply).await);
        }
        Request::Pause { account, time, reply } => {
            let _ = reply.send(pause(progress, account.as_deref(), Some(time)).await?);
        }
        Request::Resume { account, reply } => {
            let _ = reply.send(pause(progress, account.as_deref(), None).await?);
        }
        Request::Answer { token, approve, reply } => {
            if let Some(answered) = listing_answered(progress, &token, approve).await? {
                let _ = reply.send(answered);
                return Ok(());
            }
            let verdict = if approve { Verdict::Approve } else { Verdict::Reject };
            let _ = reply.send(approvals::judge(&progress.accounts, &token, verdict).await?);
        }
        Request::Sync { path, wait, again, mut reply } => {
            let done = tokio::select! {
                done = sync(progress, path, wait, again) => done?,
                // The client left; the scan goes on, the wait does not.
                () = reply.closed() => return Ok(()),
            };
            let _ = reply.send(done);
        }
    }
    Ok(())
}

/// Pauses one account or all (`Some`: until when, if that is set), or resumes them. `Err`: there is no such account.
async fn pause(
    progress: &Progress,
    name: Option<&str>,
    pause: Option<Option<Duration>>,
) -> Result<Result<Vec<PauseAnswer>, String>, Fatal> {
    let mut answers = Vec::new();
    for account in progress.accounts.iter().filter(|a| name.is_none_or(|name| a.name == name)) {
        answers.push(match pause {
            Some(time) => account.pause(time.map(|time| now_ms().saturating_add(ms(time)))).await?,
            None => account.resume().await?,
        });
    }
    match (answers.is_empty(), name) {
        (true, Some(name)) => {
            let known: Vec<&str> = progress.accounts.iter().map(|a| a.name.as_str()).collect();
            Ok(Err(format!("the daemon runs no account `{name}` (there is {})", known.join(", "))))
        }
        _ => Ok(Ok(answers)),
    }
}

/// A person's verdict on a held listing; `None` if no listing is held under this token.
async fn listing_answered(
    progress: &Progress,
    token: &str,
    approve: bool,
) -> Result<Option<Result<Answered, String>>, Fatal> {
    for account in &progress.accounts {
        match account.remote.answer_root(&account.store, token, approve).await? {
            Some(Ok((folder, answered))) => {
                // What is here is to be looked at again, all of it.
                let index = account.folders.iter().position(|f| f.id == folder);
                if let Some(looks) = index.and_then(|index| account.looks.get(index)) {
                    let _ = looks.send(Look { under: RelPath::root(), done: None }).await;
                }
                return Ok(Some(Ok(answered)));
            }
            Some(Err(text)) => return Ok(Some(Err(text))),
            None => {}
        }
        if let Some(answered) = account.remote.answer(&account.store, token, approve).await? {
            return Ok(Some(Ok(answered)));
        }
    }
    Ok(None)
}

async fn entries(progress: &Progress, what: EntriesOf) -> Result<Result<Entries, String>, Fatal> {
    let mut accounts = progress.accounts.iter().filter(|a| what.account.as_ref().is_none_or(|name| *name == a.name));
    let account = match (accounts.next(), accounts.next()) {
        (Some(account), None) => account,
        (None, _) => return Ok(Err("there is no such account: `ferrybox status` lists them".to_owned())),
        (Some(_), Some(_)) => return Ok(Err("there are several accounts: say which with account=".to_owned())),
    };
    let path = match RemotePath::parse(&what.path) {
        Ok(path) => path,
        Err(error) => return Ok(Err(format!("`{}` is not a remote path: {error}", what.path))),
    };
    let Some(lane) = account
        .remote
        .lanes
        .iter()
        .filter(|lane| within(&path, &lane.scope))
        // A folder with a question of its own has a listing of its own, below another one.
        .max_by_key(|lane| lane.scope.as_str().len())
    else {
        return Ok(Err(format!("no synced folder covers {path}: `ferrybox ls --online` asks Dropbox itself")));
    };
    let complete = account.store.listing(lane.id).await?.live.is_some();
    let limit = usize_of(what.limit.unwrap_or(1));
    let root = account.store.remote_key(lane.id, path.as_str().to_owned()).await?;
    let at = WalkAt { root, recursive: what.recursive, after: what.after };
    let items = account.store.remote_entries(lane.id, at, limit).await?;
    let next = items.last().filter(|_| items.len() == limit).map(|last| last.path_lower.clone());
    Ok(Ok(Entries { items, next, complete }))
}

async fn sync(
    progress: &Progress,
    path: Option<PathBuf>,
    wait: bool,
    again: bool,
) -> Result<Result<SyncAnswer, String>, Fatal> {
    let targets = match locate::all(progress, path.as_deref()) {
        Ok(targets) => targets,
        Err(text) => return Ok(Err(text)),
    };
    let mut sent_again = 0;
    for target in targets.iter().filter(|target| again && !target.folder.comes_down()) {
        sent_again += target.account.store.send_again(target.folder.id, &target.path, now_ms()).await?;
    }
    let mut scans = Vec::new();
    let mut asked = Vec::with_capacity(targets.len());
    for target in &targets {
        target.account.hurry();
        // Dropbox is looked at again, too.
        asked.push(target.account.remote.lane_of(target.folder.id).map_or(0, |lane| lane.asks()));
        target.account.store.wake(target.folder.id, &target.path, now_ms()).await?;
        let (done, ended) = oneshot::channel();
        if let Some(looks) = target.account.looks.get(target.index)
            && looks.send(Look { under: target.path.clone(), done: Some(done) }).await.is_ok()
        {
            scans.push(ended);
        }
    }
    if !wait {
        let reason = targets.iter().find_map(|target| target.account.paused_reason());
        return Ok(Ok(SyncAnswer { outcome: "accepted".to_owned(), problems: 0, reason, sent_again }));
    }
    let stands_still = || {
        let still =
            |target: &Place| lock(&target.account.stopped).clone().or_else(|| lock(&target.account.full).clone());
        let failed = || progress.unopened();
        targets.iter().find_map(still).or_else(|| path.is_none().then(failed).flatten())
    };
    for mut scan in scans {
        // Whoever would scan may have ended, on a full disk or for a damaged database.
        while stands_still().is_none() && env::timeout(ONCE_MORE, &mut scan).await.is_err() {}
    }
    if let Some(why) = stands_still() {
        let outcome = "unfinished".to_owned();
        return Ok(Ok(SyncAnswer { outcome, problems: 0, reason: Some(why), sent_again }));
    }
    let (mut problems, mut reason) = (0, None);
    for (target, asked) in targets.iter().zip(asked) {
        match settled(target, asked).await? {
            Ok(n) => problems += n,
            Err(why) => reason = Some(why),
        }
    }
    let outcome = match (&reason, problems) {
        (Some(_), _) => "unfinished",
        (None, 0) if !is_somewhere(&targets).await? => "no_such_file",
        (None, 0) => "in_sync",
        (None, _) => "problems",
    };
    Ok(Ok(SyncAnswer { outcome: outcome.to_owned(), problems, reason, sent_again }))
}

/// Whether any of the places is known: on the disk, in Dropbox, or by a row.
async fn is_somewhere(targets: &[Place]) -> Result<bool, Fatal> {
    for target in targets {
        let (at, of, paths) = (target.account.clone(), target.folder.clone(), [target.path.clone()]);
        if target.path.is_root() || target.account.store.row_of(target.folder.id, &target.path).await?.is_some() {
            return Ok(true);
        }
        if blocking(move || preview::of_blocking(&at, &of, &paths)).await?.iter().any(Viewed::is_somewhere) {
            return Ok(true);
        }
    }
    Ok(targets.is_empty())
}

/// Waits until nothing under the target is pending, and its listing has answered this question; the number of problems there, or why it cannot be
/// finished now.
async fn settled(target: &Place, asked: u64) -> Result<Result<u64, String>, Fatal> {
    let (account, folder) = (&target.account, &target.folder);
    let mut changed = account.store.changed();
    let mut trouble = account.trouble.subscribe();
    loop {
        changed.borrow_and_update();
        trouble.borrow_and_update();
        let (whole, stands) = attention::below(account, folder, &target.path, asked).await?;
        if let Some(why) = whole.stuck.or(stands.stuck) {
            return Ok(Err(why));
        }
        if !stands.busy {
            return Ok(Ok(stands.problems));
        }
        tokio::select! {
            _ = changed.changed() => {}
            _ = trouble.changed() => {}
            // What goes on in memory only (a hold, a root) rings no bell of the store's.
            () = env::sleep(Duration::from_secs(1)) => {}
        }
    }
}
