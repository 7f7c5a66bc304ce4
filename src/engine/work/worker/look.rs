//! One claimed row, looked at and decided: what has to be sent, fetched, staged or settled.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Looked, SOON_MS, Send, Source, failed};
use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::commit::resolve::case_clash;
use crate::engine::folder;
use crate::engine::folder::{Folder, stands};
use crate::engine::folder::{patterns, unsynced};
use crate::engine::gather::hash;
use crate::engine::gather::remote::View;
use crate::engine::rename_proposals;
use crate::engine::rename_proposals::Instead;
use crate::engine::work::preview::not_sent;
use crate::engine::work::two_way::{Meeting, Met};
use crate::engine::work::upload::dedup_copy;
use crate::env::lock;
use crate::env::{ms, now_ms, rfc3339};
use crate::local::{self, SmallRead};
use crate::model::{
    Agreed, Base, Claimed, Failure, Job, Local, Remote, RemoteChange, Settled, Stat, UnixMs, WriteMode,
};
use crate::plan::name::ignore::IGNORE_FILE;
use crate::plan::reconcile;
use crate::plan::reconcile::{Action, permitted};
use crate::plan::time::wait::is_ahead;

/// Files up to this size are read once and sent from memory; larger ones are read twice, once to hash and once to send.
const IN_MEMORY: u64 = 64 << 10;
/// The largest file that is copied because it never rests, where the file system cannot share its blocks.
const SNAPSHOT: u64 = 1 << 30;
/// So many failed tries make a file that is written now and then one that never rests.
const STUBBORN: u32 = 3;

/// How long a file that is to go up is left alone while the account is full, at most, in ms.
const FULL_MS: UnixMs = 600_000;

/// `full`: the account takes no more content, so that what would be sent is only judged.
pub(super) fn look(account: &Account, claimed: Claimed, view: View, memory: &mut u64, full: bool) -> Looked {
    let Claimed { job, base, dir } = claimed;
    // A folder that left the configuration: nothing is done for it any more, on either side.
    let Some(folder) = account.folder(job.folder) else { return Looked::Done(job, Settled::Nothing) };
    // Whatever is believed gone is believed only of the root that was synced, checked in this very round and on the same handle; and
    // a file that is there is not read from another root either.
    let root = folder.root.pin();
    let local = Folder::look_at(&root, &job.path, base.as_ref());
    if let Err(failure) = folder.vouch(&root) {
        return Looked::Done(job.clone(), failed(&job, failure));
    }
    // One that is not synced itself changes nothing here: comparing for it would make its row again, and so on for ever.
    if folder.comes_down() && job.path.name() == IGNORE_FILE && folder.ignored(&job.path, false).is_none() {
        account.upward.patterns.store(true, Ordering::Relaxed);
        if let Err(error) = patterns::look(&account.store, &job, base.as_ref(), &local) {
            tracing::warn!(%error, "what is known of a file of patterns could not be brought up to date; its next change is another try");
        }
    }
    let is_dir = local == Local::Dir || dir || matches!(view.remote, Remote::Folder);
    let agreed = match (&base, dir) {
        (Some(base), _) => Agreed::File(base),
        (None, true) => Agreed::Dir,
        (None, false) => Agreed::Nothing,
    };
    let news = reconcile::differs_there(agreed, &view.remote, folder.mode);
    if let Some(why) = folder.ignored(&job.path, is_dir) {
        let settled = unsynced::settled(&why, &job, base.is_some() || dir, folder.comes_down(), news);
        return Looked::Done(job, settled);
    }
    // K6: behind a symlink everything may be as it was; the link itself is the problem.
    if !news && matches!(&local, Local::Unknown(failure) if failure.code == "type") {
        return Looked::Done(job, Settled::Nothing);
    }
    let mut action = reconcile::decide(&local, agreed, &view.remote, folder.mode);
    if matches!(local, Local::Other("symlink")) && !folder.report_symlinks {
        return Looked::Done(job, Settled::Nothing);
    }
    let mut read_only = false;
    if touches_marked(&action) {
        let Ok(marks) = account.remote.marks_blocking(account, folder.id, &folder.home(&job.path)) else {
            return Looked::Done(job, Settled::Wait(now_ms() + 1000));
        };
        read_only = marks.read_only;
        action = permitted(action, &local, marks, folder.mode, folder.report_symlinks);
    }
    // What the listing was told to leave out is not deleted by what goes here.
    if matches!(action, Action::Delete { .. } | Action::DeleteFolder) && folder.comes_down() {
        match account.remote.may_hide_blocking(&account.store, folder.id, &folder.home(&job.path)) {
            Ok(false) => {}
            Ok(true) => action = Action::Forget,
            Err(_) => return Looked::Done(job, Settled::Wait(now_ms() + 1000)),
        }
    }
    let what = Instead::of(&action, &local, base.as_ref());
    if !read_only && let Some(settled) = rename_proposals::instead(account, folder, &root, &job, what) {
        return Looked::Done(job, settled);
    }
    if folder.comes_down() {
        let meeting = Meeting { account, folder, root: &root, job, base, local, view };
        return match meeting.act(action) {
            Met::Looked(looked) => looked,
            Met::Upload(meeting, mode) => {
                let Meeting { job, base, local, view, .. } = *meeting;
                upload(account, folder, job, base, view.remote, &local, mode, (read_only, full), memory)
            }
        };
    }
    let unchanged = action == Action::Nothing && base.is_some();
    let goes_up = matches!(action, Action::Upload(_) | Action::AdoptOrUpload(_));
    // It was moved with its folder, and its revision there is known soon; or it was sent, and the listing shows that soon. What was sent and has changed
    // here since goes up over the revision that it was sent as: a listing that fails does not hold it up.
    if view.late && (unchanged || goes_up && !view.sent) {
        account.remote.hurry(folder.id);
        return Looked::Done(job, Settled::Wait(now_ms() + SOON_MS));
    }
    let remote = view.remote;
    match action {
        Action::Nothing => Looked::Done(job, Settled::Nothing),
        Action::Adopt { rev } => Looked::Done(job, Settled::InSync(base.map(|base| Base { rev, ..base }))),
        Action::Wedge(failure) | Action::PutOff(failure) => Looked::Done(job.clone(), failed(&job, failure)),
        Action::Delete { rev } => {
            if local == Local::Dir && base.as_ref().is_some_and(|b| b.stat.dev != root.dev()) {
                return Looked::Done(job, Settled::Wedge(folder::mount_gone()));
            }
            let path = base.and_then(|b| b.remote).unwrap_or_else(|| folder.home(&job.path));
            Looked::Stage(job, RemoteChange::Delete { path, rev })
        }
        Action::Upload(mode) | Action::AdoptOrUpload(mode) => {
            upload(account, folder, job, base, remote, &local, mode, (read_only, full), memory)
        }
        // Those of the ways down, which `decide` gives to no other folder.
        Action::Download(_)
        | Action::Compare
        | Action::MoveAside
        | Action::Trash
        | Action::RemoveDir
        | Action::MakeDir
        | Action::AgreeDir
        | Action::CreateFolder
        | Action::DeleteFolder
        | Action::Forget
        | Action::Wait => Looked::Done(job, Settled::Nothing),
    }
}

/// Whether what Dropbox says of the path's nature matters for an action.
pub(crate) fn touches_marked(action: &Action) -> bool {
    matches!(
        action,
        Action::Upload(_)
            | Action::AdoptOrUpload(_)
            | Action::Delete { .. }
            | Action::CreateFolder
            | Action::DeleteFolder
            | Action::Download(_)
            | Action::Compare
            | Action::MoveAside
    )
}

/// A file that goes up, unless it turns out to be there already.
#[expect(clippy::too_many_arguments, reason = "the three views, and whose they are")]
fn upload(
    account: &Account,
    folder: &Arc<Folder>,
    job: Job,
    base: Option<Base>,
    remote: Remote,
    local: &Local,
    mode: WriteMode,
    (read_only, full): (bool, bool),
    memory: &mut u64,
) -> Looked {
    let Local::File(stat) = *local else { return Looked::Done(job, Settled::Nothing) };
    if base.is_none()
        && let Remote::File { id, .. } = &remote
        && let Some(settled) = twin(account, &job, id)
    {
        return Looked::Done(job, settled);
    }
    if let Some(failure) = not_sent(account, &job.path, &stat, base.as_ref()) {
        return Looked::Done(job, Settled::Wedge(failure));
    }
    let folder = Arc::clone(folder);
    let known = Send { job, folder, base, mode, remote, stat, source: Source::Disk };
    if known.may_be_there()
        && let Some(settled) = hash::known(account, &stat).and_then(|hash| known.unchanged(&hash))
    {
        return Looked::Done(known.job, settled);
    }
    // Where calls are spent, a copy in Dropbox costs none; where there is no room, an empty file needs none.
    let waits =
        full && if account.is_spent() { !dedup_copy::may_have_a_source(account, &known) } else { stat.size > 0 };
    if waits {
        return Looked::Done(known.job, wait_for_room(account));
    }
    if read_only {
        return match hash::hash(account, &known.folder.root, &known.job.path, &stat) {
            Ok(hash) => {
                hash::note(account, stat, hash);
                let settled = known.unchanged(&hash);
                Looked::Done(known.job, settled.unwrap_or_else(|| Settled::Wedge(reconcile::read_only())))
            }
            Err(failure) => Looked::Done(known.job.clone(), failed(&known.job, failure)),
        };
    }
    let Send { job, folder, base, mode, remote, .. } = known;
    let restless = match restless(account, &job, &stat) {
        Rest::Quiet => false,
        Rest::Due => true,
        Rest::Wait(settled) => return Looked::Done(job, settled),
    };
    if stat.size > IN_MEMORY || stat.size > *memory {
        if !restless {
            return Looked::Send(Box::new(Send { job, folder, base, mode, remote, stat, source: Source::Disk }));
        }
        return match folder.root.snapshot(&job.path, SNAPSHOT) {
            Ok(snapshot) => {
                let stat = snapshot.source;
                let source = Source::Snapshot(Box::new(snapshot));
                Looked::Send(Box::new(Send { job, folder, base, mode, remote, stat, source }))
            }
            Err(failure) => Looked::Done(job.clone(), failed(&job, failure)),
        };
    }
    match local::read_small(&folder.root, &job.path, IN_MEMORY) {
        Ok(SmallRead { bytes, stat, content_hash }) => {
            *memory = memory.saturating_sub(bytes.len() as u64);
            let source = Source::Memory(bytes, content_hash);
            let send = Send { job, folder, base, mode, remote, stat, source };
            match send.unchanged(&content_hash) {
                Some(settled) => Looked::Done(send.job, settled),
                None => Looked::Send(Box::new(send)),
            }
        }
        Err(failure) => Looked::Done(job.clone(), failed(&job, failure)),
    }
}

/// What becomes of a path if another one is there whose base is the remote file at this one's place. A name that only changed its letters is no twin: the
/// other is gone. Nor is a name under which the disk shows the other one, too.
pub(crate) fn twin(account: &Account, job: &Job, file_id: &str) -> Option<Settled> {
    let (folder, other) = match account.store.sharer_blocking(job.folder, &job.path, file_id) {
        Ok(found) => found?,
        // Not known to be none.
        Err(_) => return Some(Settled::Wait(now_ms() + SOON_MS)),
    };
    if stands(&account.folder(folder)?.root, &other) == Local::Absent {
        return None;
    }
    let is_shown = stands(&account.folder(job.folder)?.root, &job.path) == Local::Absent;
    Some(if is_shown { Settled::Nothing } else { Settled::Wedge(case_clash(&other)) })
}

/// Nothing but room, or a call, is missing. When there is some, the row is due.
fn wait_for_room(account: &Account) -> Settled {
    account.upward.put_off.store(true, Ordering::Relaxed);
    Settled::Wait(now_ms() + FULL_MS)
}

/// Puts off what would have to be sent.
pub(super) async fn put_off(account: &Account, sends: Vec<Send>) -> Result<(), Fatal> {
    let done = sends.into_iter().map(|send| (send.job, wait_for_room(account))).collect();
    Ok(account.store.settle(done, now_ms()).await?)
}

/// Whether a file has come to rest.
enum Rest {
    /// It has, or may yet.
    Quiet,
    /// It never does: it is sent as it is at one moment.
    Due,
    /// It never does, and its last copy is not old enough.
    Wait(Settled),
}

/// A file that is still being written long after its first change never rests: one copy of it goes up now and then. As soon as it rests, it is
/// like any other.
fn restless(account: &Account, job: &Job, stat: &Stat) -> Rest {
    let watch = &account.config.watch;
    let now = now_ms();
    let touched = stat.mtime_ns.max(stat.ctime_ns).div_euclid(1_000_000);
    // A file that failed again and again while it was read is written slowly, but all the time.
    let quiet = if job.attempts >= STUBBORN { watch.restless } else { watch.settle };
    // A row of before the clock was set back is as old as can be.
    let young = job.since <= now && now - job.since < ms(watch.restless);
    if touched > now || now - touched >= ms(quiet) || young {
        return Rest::Quiet;
    }
    let mut known = lock(&account.upward.restless);
    let key = (job.folder, job.path.clone());
    let wait = ms(watch.snapshot_every);
    if let Some(next) = known.get(&key).copied().filter(|next| is_ahead(*next, now, wait)) {
        let text = format!(
            "the file never rests (watch.restless): a copy of it was sent, and the next goes at {}, or as soon as it rests",
            rfc3339(next)
        );
        return Rest::Wait(Settled::PutOff { at: next, failure: Failure::look("busy", text) });
    }
    known.retain(|_, next| *next > now);
    known.insert(key, now.saturating_add(wait));
    Rest::Due
}
