//! One claimed row: its facts are gathered until its path can be decided on, and that is carried out.

use std::sync::atomic::Ordering;

use super::{Looked, Send, failed};
use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::folder::{Folder, patterns};
use crate::engine::gather::facts::{Asker, Unread, Views};
use crate::engine::gather::hash;
use crate::engine::gather::remote::View;
use crate::engine::rename_proposals;
use crate::engine::rename_proposals::Instead;
use crate::engine::work::apply::{FULL_MS, Row, SOON_MS, apply};
use crate::engine::work::upload::dedup_copy;
use crate::env::now_ms;
use crate::model::{Claimed, Job, Local, Settled};
use crate::plan::commit::budget::Full;
use crate::plan::name::ignore::IGNORE_FILE;
use crate::plan::reconcile::facts::{Content, Rename};
use crate::plan::reconcile::{Action, Decision, Facts, Need, WaitFor};

/// `full`: the account takes no more content, so that what would be sent is only judged.
pub(super) fn look(account: &Account, claimed: Claimed, view: View, memory: &mut u64, full: bool) -> Looked {
    let Claimed { job, base, dir } = claimed;
    // A folder that left the configuration: nothing is done for it any more, on either side.
    let Some(folder) = account.folder(job.folder) else { return Looked::Done(job, Settled::Nothing) };
    // Whatever is believed gone is believed only of the root that was synced, checked in this very round and on the same handle; and
    // a file that is there is not read from another root either.
    let root = folder.root.pin();
    let local = Folder::look_at(&root, &job.path, base.as_ref());
    let untrusted = folder.vouch(&root).err();
    let asker = Asker { account, folder, root: &root };
    let mut facts = asker.begin(&job, Views { local, base, dir, view, untrusted });
    if !full {
        facts.full = Full::No;
    }
    note_patterns(&asker, &job, &facts);
    let decided = asker.decide(&mut facts, |facts, need| answer(&asker, &job, facts, need));
    let decision = match decided {
        Ok(decision) => decision,
        // What cannot be read is no evidence.
        Err(Unread::Store(error)) => {
            tracing::debug!(%error, path = %job.path, "the database could not be read: the path is looked at again");
            return Looked::Done(job, Settled::Wait(now_ms() + 1000));
        }
        // For a moment it may be in somebody's hands; what stays unreadable is told, and tried less and less often.
        Err(Unread::Directory(failure)) if facts.is_stuck() => {
            let settled = failed(&job, failure);
            return Looked::Done(job, settled);
        }
        Err(Unread::Directory(failure)) => {
            tracing::debug!(reason = %failure.text, path = %job.path, "a directory could not be read: the path is looked at again");
            return Looked::Done(job, Settled::Wait(now_ms() + SOON_MS));
        }
        Err(Unread::Path(failure)) => {
            let settled = failed(&job, failure);
            return Looked::Done(job, settled);
        }
    };
    remember(account, &job, &facts, &decision);
    apply(Row { asker, job, facts }, decision, memory)
}

/// A file of patterns was changed. One that is not synced itself changes nothing here: comparing for it would make its row again, and so on for ever.
fn note_patterns(asker: &Asker<'_>, job: &Job, facts: &Facts) {
    let (account, folder) = (asker.account, asker.folder);
    let is_one = folder.comes_down() && job.path.name() == IGNORE_FILE && facts.untrusted.is_none();
    if is_one && folder.ignored(&job.path, false).is_none() {
        account.upward.patterns.store(true, Ordering::Relaxed);
        if let Err(error) = patterns::look(&account.store, job, facts.base.as_ref(), &facts.local) {
            tracing::warn!(%error, "what is known of a file of patterns could not be brought up to date; its next change is another try");
        }
    }
}

/// Answers what is known to the workers only: which renames are on their way, and what may be copied.
fn answer(asker: &Asker<'_>, job: &Job, facts: &mut Facts, need: &Need) -> Result<bool, Unread> {
    match need {
        Need::Rename(verdict) => {
            let what = Instead::of(verdict, &facts.local, facts.base.as_ref());
            let found = rename_proposals::instead(asker.account, asker.folder, asker.root, job, what);
            facts.found.rename = Some(match found {
                None => Rename::No,
                Some(Settled::Nothing) => Rename::IsHere,
                Some(Settled::Rather(path)) => Rename::Rather(path),
                Some(Settled::Again(_)) => Rename::Forget,
                Some(_) => Rename::Wait,
            });
        }
        Need::Source => {
            facts.found.source = Some(dedup_copy::may_have_a_source(asker.account, job.folder, facts)?);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// What was read is remembered, unless base will say what the file holds; letters that Dropbox gave the path count once, unless they are waited for.
fn remember(account: &Account, job: &Job, facts: &Facts, decision: &Decision) {
    let is_agreed = matches!(decision, Decision::Do(Action::Adopt(_) | Action::Renew(_)));
    if let (Some(Content::Is(hash)), Local::File(stat), false) = (facts.found.content_hash, &facts.local, is_agreed) {
        hash::note(account, *stat, hash);
    }
    if let Some(Some(letters)) = &facts.found.letters
        && !matches!(decision, Decision::Later(WaitFor::Path(path)) if *path == letters.to)
    {
        account.remote.take_respelled(job.folder, &job.path);
    }
}

/// Puts off what would have to be sent.
pub(super) async fn put_off(account: &Account, sends: Vec<Send>) -> Result<(), Fatal> {
    account.upward.put_off.store(true, Ordering::Relaxed);
    let done = sends.into_iter().map(|send| (send.job, Settled::Wait(now_ms() + FULL_MS))).collect();
    Ok(account.store.settle(done, now_ms()).await?)
}
