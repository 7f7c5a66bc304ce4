//! New files whose content Dropbox has already: workers stage a copy of it instead of sending the bytes. The rules, and why, are in
//! [`plan::copies`](crate::plan::rename::dedup_copy); what became of a copy is told with the moves.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::blocking::blocking;
use crate::engine::folder::Folder;
use crate::engine::gather::hash;
use crate::engine::work::worker::{Send, Source, failed};
use crate::env;
use crate::env::Instant;
use crate::env::lock;
use crate::env::{ms, now_ms};
use crate::model::key::may_be_one;
use crate::model::{
    Base, Change, ChangeId, Closed, ContentHash, FolderId, Job, Local, Outcome, RelPath, Relocation, Remote,
    RemoteChange, Settled, WriteMode,
};
use crate::plan::commit::batch::{Limits, Waiting, When, when};
use crate::plan::reconcile::{Action, Decision, Facts};
use crate::plan::rename::dedup_copy;
use crate::plan::rename::dedup_copy::may_be;
use crate::store::{Ready, StoreError};

/// For so long no copy is proposed for a path where one was refused.
const REFUSED: Duration = Duration::from_mins(10);
/// So many refusals are remembered.
const REMEMBERED: usize = 20_000;

/// The copies of one account.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    /// Where they were refused of late: these files are sent.
    refused: Mutex<HashMap<(FolderId, RelPath), Instant>>,
    /// Workers that look for sources.
    seeking: AtomicUsize,
}

/// Somebody looks for sources.
struct Seeking<'a>(&'a AtomicUsize);

impl Drop for Seeking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Copies {
    fn seek(&self) -> Seeking<'_> {
        self.seeking.fetch_add(1, Ordering::Relaxed);
        Seeking(&self.seeking)
    }

    /// Whether a new file is read, since base may have its content: what it will be copied from must not be deleted meanwhile.
    pub(crate) fn is_seeking(&self) -> bool {
        self.seeking.load(Ordering::Relaxed) > 0
    }

    /// No copy can be made here, for a while.
    pub(crate) fn refuse(&self, folder: FolderId, path: &RelPath) {
        let mut refused = lock(&self.refused);
        if refused.len() >= REMEMBERED {
            refused.retain(|_, at| at.elapsed() < REFUSED);
        }
        if refused.len() >= REMEMBERED {
            refused.clear();
        }
        refused.insert((folder, path.clone()), env::instant());
    }

    fn is_refused(&self, folder: FolderId, path: &RelPath) -> bool {
        let refused = lock(&self.refused);
        !refused.is_empty() && refused.get(&(folder, path.clone())).is_some_and(|at| at.elapsed() < REFUSED)
    }
}

/// A copy that was not understood so many times is none.
const NOT_UNDERSTOOD: u32 = 3;

/// What a look at a new file gave.
enum Found {
    /// Nothing like it: its bytes go up.
    Nothing(Box<Send>),
    Copy(Job, RemoteChange),
    Done(Job, Settled),
}

/// Stages those of these files as copies whose content Dropbox has; gives back the others.
pub(crate) async fn instead(account: &Arc<Account>, sends: Vec<Send>) -> Result<Vec<Send>, Fatal> {
    let (asked, mut rest): (Vec<_>, Vec<_>) = sends.into_iter().partition(|send| is_asked(account, send));
    if asked.is_empty() {
        return Ok(rest);
    }
    let _seeking = account.copies.seek();
    let ours = Arc::clone(account);
    let found =
        blocking(move || asked.into_iter().map(|send| look(&ours, send)).collect::<Result<Vec<_>, _>>()).await?;
    hash::keep(account).await?;
    let (mut staged, mut done) = (Vec::new(), Vec::new());
    for one in found {
        match one {
            Found::Nothing(send) => rest.push(*send),
            Found::Copy(job, change) => staged.push((job, change)),
            Found::Done(job, settled) => done.push((job, settled)),
        }
    }
    account.store.stage(staged, now_ms()).await?;
    account.store.settle(done, now_ms()).await?;
    Ok(rest)
}

fn is_asked(account: &Account, send: &Send) -> bool {
    matches!(send.source, Source::Disk)
        && may_be(send.stat.size, send.base.as_ref(), &send.mode, &send.remote)
        && !account.copies.is_refused(send.job.folder, &send.job.path)
}

/// Whether a copy may stand in for sending the file of these facts, as a new one. Blocks.
///
/// # Errors
/// When the database cannot be read.
pub(crate) fn may_have_a_source(account: &Account, folder: FolderId, facts: &Facts) -> Result<bool, StoreError> {
    let Local::File(stat) = facts.local else { return Ok(false) };
    let is_asked =
        may_be(stat.size, None, &WriteMode::Add, &facts.remote) && !account.copies.is_refused(folder, &facts.path);
    Ok(is_asked && account.store.has_size_blocking(stat.size)?)
}

fn look(account: &Account, send: Send) -> Result<Found, StoreError> {
    let size = send.stat.size;
    if !account.store.has_size_blocking(size)? {
        return Ok(Found::Nothing(Box::new(send)));
    }
    let hash = match hash::hash(account, &send.folder.root, &send.job.path, &send.stat) {
        Ok(hash) => hash,
        Err(failure) => {
            let settled = failed(&send.job, failure);
            return Ok(Found::Done(send.job, settled));
        }
    };
    // Should it be looked at again, it need not be read again.
    hash::note(account, send.stat, hash);
    Ok(match source(account, &send, size, hash)? {
        Some(relocation) => Found::Copy(send.job, RemoteChange::Relocate(Box::new(relocation))),
        None => Found::Nothing(Box::new(send)),
    })
}

/// The file of base that is copied to where this one goes: the surest.
fn source(
    account: &Account,
    send: &Send,
    size: u64,
    content_hash: ContentHash,
) -> Result<Option<Relocation>, StoreError> {
    let to = send.folder.home(&send.job.path);
    let mut best: Option<(dedup_copy::Source, Relocation)> = None;
    for (of, path, base) in account.store.same_content_blocking(send.job.folder, size, content_hash)? {
        let Some(folder) = account.folder(of) else { continue };
        let from = folder.home(&path);
        // What is ignored is nobody's business, and a name that differs in its letters only is one file with the new one.
        if folder.ignored(&path, false).is_some() || may_be_one(from.as_str(), to.as_str()) {
            continue;
        }
        let remote = account.remote.view_blocking(account, of, &path)?.remote;
        let known = dedup_copy::source(&base, &remote, &content_hash);
        if known == dedup_copy::Source::No || best.as_ref().is_some_and(|(best, _)| *best <= known) {
            continue;
        }
        let base = Some(Base { stat: send.stat, ..base });
        let (to, source) = (to.clone(), path);
        best = Some((known, Relocation { from, to, source, base, copy: true, alike: true, via: None }));
    }
    let found = best.map(|(_, relocation)| relocation);
    if let Some(Relocation { from, to, .. }) = &found {
        tracing::debug!(%from, %to, "the same content is copied in Dropbox");
    }
    Ok(found)
}

/// Whether base still has the content of a staged copy where it is copied from.
pub(crate) fn has_source(account: &Account, relocation: &Relocation) -> Result<bool, StoreError> {
    let Some(folder) = account.folders.iter().find(|folder| folder.home(&relocation.source) == relocation.from) else {
        return Ok(false);
    };
    let base = account.store.base_blocking(folder.id, &relocation.source)?;
    let hash = |base: &Base| base.content_hash;
    Ok(base.filter(|base| base.remote.is_none()).map(|base| hash(&base)) == relocation.base.as_ref().map(hash))
}

/// When copies go: with the moves, if there are any, since those wait for nothing; else they gather like uploads.
pub(crate) async fn when_copied(account: &Account, ready: &Ready, entries: usize, now: i64) -> Result<When, Fatal> {
    if !account.store.moving().await?.is_empty() {
        return Ok(When::Now);
    }
    let due = account.store.due_summary(now, account.config.upload.chunk_size, &Closed::default()).await?;
    let more = account.live.uploads_under_way() > 0 || due.due_small + due.due_large > 0;
    let max_age_ms = ms(account.config.commit.max_age);
    let limits = Limits { max_entries: entries as u64, max_bytes: u64::MAX, max_age_ms };
    Ok(when(Waiting { entries: ready.entries, bytes: 0, oldest: ready.oldest }, more, limits, now))
}

/// A copy whose call is refused, or not understood again and again, is no reason to leave the file out: its bytes are sent.
pub(crate) fn sent_instead(
    account: &Account,
    changes: &[Change],
    mut outcomes: Vec<(ChangeId, Outcome)>,
) -> Vec<(ChangeId, Outcome)> {
    for (id, outcome) in &mut outcomes {
        let in_vain = match outcome {
            Outcome::Refused(_) => 0,
            Outcome::Again { failure, .. } if failure.code == "protocol" => NOT_UNDERSTOOD,
            _ => continue,
        };
        let Some(change) = changes.iter().find(|change| change.id == *id) else { continue };
        let alike = matches!(&change.what, RemoteChange::Relocate(relocation) if relocation.alike);
        if alike && change.attempts >= in_vain {
            account.copies.refuse(change.folder, &change.path);
            *outcome = Outcome::Look { at: now_ms(), failure: None };
        }
    }
    outcomes
}

/// What `explain` and `plan` say beside it of a file that goes up as a new one: nothing is read to find out. Blocks.
pub(crate) fn perhaps(
    account: &Account,
    folder: &Folder,
    path: &RelPath,
    (decision, local, base, remote): (&Decision, &Local, Option<&Base>, &Remote),
) -> Option<&'static str> {
    let (Decision::Do(Action::Upload(mode)), Local::File(stat)) = (decision, local) else { return None };
    let asked = may_be(stat.size, base, mode, remote)
        && !account.copies.is_refused(folder.id, path)
        && account.store.has_size_blocking(stat.size).unwrap_or(false);
    asked
        .then_some("; if a file of its size that is synced has the same content, that one is copied in Dropbox instead")
}
