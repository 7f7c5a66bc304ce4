//! Carries a decision out, as far as it needs no network: what does is handed on. Nothing is decided here.
//!
//! Everything that touches the disk says what it expects to find there, and is refused when it finds something else: then the path is looked at again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::aside;
use super::download::Fetch;
use super::worker::{Looked, Send, Source, failed};
use crate::engine::folder::{patterns, stands};
use crate::engine::gather::facts::Asker;
use crate::env::{lock, ms, now_ms, rfc3339};
use crate::local::{self, Refused, SmallRead};
use crate::model::{
    Base, DirStat, Failure, Job, Local, RelPath, Relocation, RemoteChange, RemotePath, Settled, Stat, UnixMs, WriteMode,
};
use crate::plan::reconcile::decision::Follow;
use crate::plan::reconcile::{Action, Decision, Facts, WaitFor};

/// Files up to this size are read once and sent from memory; larger ones are read twice, once to hash and once to send.
const IN_MEMORY: u64 = 64 << 10;
/// The largest file that is copied because it never rests, where the file system cannot share its blocks.
const SNAPSHOT: u64 = 1 << 30;
/// How long a file that is to go up is left alone while the account is full, at most, in ms.
pub(super) const FULL_MS: UnixMs = 600_000;
/// What is not known yet is looked at again after this long, in ms.
pub(super) const SOON_MS: UnixMs = 300;

/// A claimed row with all that was found out about its path.
pub(super) struct Row<'a> {
    pub(super) asker: Asker<'a>,
    pub(super) job: Job,
    pub(super) facts: Facts,
}

/// Carries out what was decided. `memory`: bytes of small files that may still be read into memory.
pub(super) fn apply(row: Row<'_>, decision: Decision, memory: &mut u64) -> Looked {
    match decision {
        Decision::Do(action) => act(row, action, memory),
        Decision::Later(wait) => later(row, &wait),
        Decision::Blocked(failure) => row.fail(failure),
        Decision::Need(_) => row.soon(),
    }
}

fn act(row: Row<'_>, action: Action, memory: &mut u64) -> Looked {
    let store = &row.asker.account.store;
    match action {
        Action::Nothing => row.done(Settled::Nothing),
        Action::Unsync => row.done(Settled::InSync(None)),
        Action::Upload(mode) | Action::AdoptOrUpload(mode) => send(row, mode, false, memory),
        Action::UploadCopy(mode) => {
            copies(&row);
            send(row, mode, true, memory)
        }
        Action::Compare => row.soon(),
        Action::Adopt(base) => row.done(Settled::InSync(Some(*base))),
        Action::Renew(base) => row.done(Settled::Again(Some(*base))),
        Action::Forget => row.done(Settled::Again(None)),
        Action::Delete { rev } => {
            let path = row.facts.base.as_ref().and_then(|base| base.remote.clone()).unwrap_or_else(|| row.home());
            row.stage(RemoteChange::Delete { path, rev })
        }
        Action::CreateFolder => {
            let path = row.home();
            row.stage(RemoteChange::CreateFolder { path })
        }
        Action::DeleteFolder => {
            let path = row.home();
            row.stage(RemoteChange::DeleteFolder { path })
        }
        Action::Trash { rev } => {
            let path = row.home();
            row.stage(RemoteChange::Trash { path, rev: Some(rev) })
        }
        Action::RemoveDir => {
            let path = row.home();
            row.stage(RemoteChange::Trash { path, rev: None })
        }
        Action::Download(wanted) => {
            let Row { asker, job, facts } = row;
            Looked::Fetch(Box::new(Fetch { job, folder: Arc::clone(asker.folder), expected: facts.local, wanted }))
        }
        // As for one that is fetched.
        Action::Follow(follow) => match patterns::note_arrival_blocking(store, row.job.folder, &row.job.path) {
            Ok(()) => go_along(row, *follow),
            Err(_) => row.soon(),
        },
        Action::MoveAside => aside::put(row),
        Action::MakeDir => match row.asker.root.make_dir(&row.job.path) {
            Ok(_) => row.done(Settled::InSyncDir(DirStat::default())),
            Err(refused) => row.refused(refused),
        },
        Action::AgreeDir => row.done(Settled::InSyncDir(DirStat::default())),
        Action::Relettered => {
            row.asker.account.remote.compare_again(row.job.folder, false);
            row.done(Settled::InSync(None))
        }
        Action::Respell(to) => respell(row, to),
        Action::Rather(path) => row.done(Settled::Rather(path)),
    }
}

fn later(row: Row<'_>, wait: &WaitFor) -> Looked {
    match wait {
        WaitFor::Listing => {
            row.asker.account.remote.hurry(row.job.folder);
            row.soon()
        }
        WaitFor::Rename | WaitFor::Path(_) | WaitFor::Below => row.soon(),
        // The comparison looks at it when it is let go.
        WaitFor::Approval => row.done(Settled::Nothing),
        // When there is some, the row is due.
        WaitFor::Room => {
            row.asker.account.upward.put_off.store(true, Ordering::Relaxed);
            row.done(Settled::Wait(now_ms() + FULL_MS))
        }
        WaitFor::Rest(next) => {
            let text = format!(
                "the file never rests (watch.restless): a copy of it was sent, and the next goes at {}, or as soon as it rests",
                rfc3339(*next)
            );
            row.done(Settled::PutOff { at: *next, failure: Failure::look("busy", text) })
        }
    }
}

/// A copy of one moment goes now: when the next one may.
fn copies(row: &Row<'_>) {
    let now = now_ms();
    let mut known = lock(&row.asker.account.upward.restless);
    known.retain(|_, next| *next > now);
    let wait = ms(row.asker.account.config.watch.snapshot_every);
    known.insert((row.job.folder, row.job.path.clone()), now.saturating_add(wait));
}

/// Reads a file that goes up, if it is small, and hands it on.
fn send(row: Row<'_>, mode: WriteMode, restless: bool, memory: &mut u64) -> Looked {
    let Local::File(stat) = row.facts.local else { return row.soon() };
    let Row { asker, job, facts } = row;
    // What was agreed on lies elsewhere, or is gone, where the file is new.
    let base = facts.base.filter(|_| mode != WriteMode::Add);
    let folder = Arc::clone(asker.folder);
    let mut send = Send { job, folder, base, mode, remote: facts.remote, stat, source: Source::Disk };
    let read = if stat.size <= IN_MEMORY.min(*memory) {
        local::read_small(&send.folder.root, &send.job.path, IN_MEMORY).map(
            |SmallRead { bytes, stat, content_hash }| {
                *memory = memory.saturating_sub(bytes.len() as u64);
                (stat, Source::Memory(bytes, content_hash))
            },
        )
    } else if restless {
        let snapshot = send.folder.root.snapshot(&send.job.path, SNAPSHOT);
        snapshot.map(|snapshot| (snapshot.source, Source::Snapshot(Box::new(snapshot))))
    } else {
        Ok((stat, Source::Disk))
    };
    match read {
        Ok((stat, source)) => (send.stat, send.source) = (stat, source),
        Err(failure) => return Looked::Done(send.job.clone(), failed(&send.job, failure)),
    }
    let known = if let Source::Memory(_, hash) = &send.source { send.unchanged(hash) } else { None };
    match known {
        Some(settled) => Looked::Done(send.job, settled),
        None => Looked::Send(Box::new(send)),
    }
}

/// Dropbox's file was moved: the local file goes along, with whatever was written into it meanwhile. Where it cannot, Dropbox's comes down.
fn go_along(row: Row<'_>, follow: Follow) -> Looked {
    let Follow { from, stat, base, wanted } = follow;
    match row.asker.root.rename(&from, &row.job.path, &Local::File(stat)) {
        Ok(Local::File(now)) => {
            tracing::debug!(%from, to = %row.job.path, "moved in Dropbox: moved here, too");
            row.done(Settled::Again(Some(renamed(base, &stat, now))))
        }
        Ok(_) | Err(Refused::Changed) => row.soon(),
        Err(_) => act(row, Action::Download(wanted), &mut 0),
    }
}

/// What is agreed on of a file that was renamed: the rename itself changes the inode's time; a file that was written since it was agreed on stays one.
fn renamed(base: Base, was: &Stat, now: Stat) -> Base {
    let untouched = *was == base.stat && (now.size, now.mtime_ns) == (was.size, was.mtime_ns);
    if untouched { Base { stat: now, ..base } } else { base }
}

/// What was renamed in Dropbox in its letters only gets them here, too. Where that is refused, it keeps its letters, unless it only changed meanwhile.
fn respell(row: Row<'_>, to: RelPath) -> Looked {
    let (account, root, folder) = (row.asker.account, row.asker.root, row.job.folder);
    let source = row.job.path.clone();
    let now = match root.rename(&source, &to, &row.facts.local) {
        // Some disks take the two for links to one file, and rename nothing.
        Ok(now) if stands(root, &to) != Local::Absent => now,
        // Where that does not end, the file keeps its letters, and the row goes on.
        Err(Refused::Changed) if !row.facts.is_stuck() => {
            account.remote.respelled_later(folder, source, to.name().to_owned());
            return row.soon();
        }
        Ok(_) | Err(_) => return row.soon(),
    };
    account.remote.compare_again(folder, false);
    account.remote.respelled_below(folder, &source, &to);
    tracing::debug!(from = %source, %to, "has other letters in Dropbox: renamed here, too");
    let base = row.facts.base.clone().map(|base| match (&row.facts.local, now) {
        (Local::File(was), Local::File(now)) => renamed(base, was, now),
        _ => base,
    });
    let (from, place) = (row.home(), row.asker.folder.home(&to));
    let moved = Relocation { from, to: place, source, base, copy: false, alike: false, via: None };
    row.done(Settled::Respelled { to, moved: Box::new(moved) })
}

impl Row<'_> {
    pub(super) fn home(&self) -> RemotePath {
        self.asker.folder.home(&self.job.path)
    }

    fn stage(self, change: RemoteChange) -> Looked {
        Looked::Stage(self.job, change)
    }

    pub(super) fn done(self, settled: Settled) -> Looked {
        Looked::Done(self.job, settled)
    }

    pub(super) fn fail(self, failure: Failure) -> Looked {
        let settled = failed(&self.job, failure);
        self.done(settled)
    }

    pub(super) fn refused(self, refused: Refused) -> Looked {
        match refused {
            Refused::Failed(failure) => self.fail(failure),
            // Somebody was faster: what is there now is looked at.
            Refused::Changed | Refused::Dir | Refused::InTheWay(_) => self.soon(),
        }
    }

    /// It is looked at again in a moment.
    pub(super) fn soon(self) -> Looked {
        if self.facts.late {
            self.asker.account.remote.hurry(self.job.folder);
        }
        self.done(Settled::Wait(now_ms() + SOON_MS))
    }
}
