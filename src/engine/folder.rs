//! One synced folder: its root, its rules and what is wrong with it.

pub(crate) mod answered;
pub(crate) mod attach;
pub(crate) mod patterns;
pub(crate) mod unsynced;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::{mpsc, oneshot};

use crate::engine::heartbeat::Beat;
use crate::engine::lock::Lock;
use crate::env::Instant;
use crate::env::lock;
use crate::local::{Gone, Root, RootId};
use crate::model::listing::Question;
use crate::model::{Base, Disk, Failure, FolderId, Local, Mode, RelPath, RemotePath, UnixMs};
use crate::plan::listing::{tells_apart, within};
use crate::plan::name::ignore::{NESTED, Rules, Why};
use crate::plan::reconcile::blocked::mount_gone;

/// One synced folder.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Its number in the account's database.
    pub(crate) id: FolderId,
    /// As configured.
    pub(crate) local: PathBuf,
    /// As configured.
    pub(crate) remote: RemotePath,
    /// What it passes on.
    pub(crate) mode: Mode,
    /// The local tree.
    pub(crate) root: Root,
    /// Which names its disk can hold, as far as it was there when the folder was opened.
    pub(crate) disk: Disk,
    /// The marker's id, as the database knows it; `None` for a backup of a folder that cannot be written.
    pub(crate) root_id: Mutex<Option<RootId>>,
    /// The root was seen in its place without its marker: what is there later may be a copy that is still being made.
    pub(crate) emptied: AtomicBool,
    /// Held while the root is open: one daemon a folder.
    pub(crate) lock: Mutex<Option<Lock>>,
    /// Whether symlinks are told as problems.
    pub(crate) report_symlinks: bool,
    /// What its listing asks for.
    pub(crate) question: Question,
    /// What is not synced.
    pub(crate) rules: Arc<Rules>,
    /// What is wrong, and what goes on.
    pub(crate) now: Mutex<FolderNow>,
    /// When its intake last made a round, or a step of a long one.
    pub(crate) beat: Beat,
    /// When its trash was last looked after.
    pub(crate) purged: Mutex<Option<Instant>>,
    /// Lives while its disk has not answered what was waited for no longer.
    pub(crate) unanswered: Mutex<Weak<()>>,
    /// The orders to its intake, which holds this while it runs.
    pub(crate) looks: Arc<tokio::sync::Mutex<mpsc::Receiver<Look>>>,
}

/// An order to look at a subtree now.
#[derive(Debug)]
pub(crate) struct Look {
    /// Where.
    pub(crate) under: RelPath,
    /// Told when the scan has ended.
    pub(crate) done: Option<oneshot::Sender<()>>,
}

/// A folder's state in memory.
#[derive(Debug, Default, Clone)]
pub(crate) struct FolderNow {
    /// The root is not the one that was synced.
    pub(crate) root_trouble: Option<Failure>,
    /// Deletions wait for a person.
    pub(crate) held: Option<HeldSet>,
    /// What staged deletions wait for, if they do.
    pub(crate) deletions_wait: Option<&'static str>,
    /// Not everything is watched.
    pub(crate) degraded: Option<String>,
    /// Scans under way or asked for.
    pub(crate) scans: u32,
    /// Files and directories that are not synced, as the last whole scan met them; an ignored directory counts as one.
    pub(crate) ignored: u64,
    /// Whether a whole scan has ended since the start.
    pub(crate) scanned: bool,
    /// Paths that had no row and needed one: each is an error of ours.
    pub(crate) overlooked: u64,
}

/// Deletions that wait for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldSet {
    /// What `approve` and `reject` name it by.
    pub(crate) token: String,
    /// How many.
    pub(crate) deletions: u64,
    /// Since when.
    pub(crate) since: UnixMs,
    /// Some of their paths.
    pub(crate) sample: Vec<String>,
    /// Why, and what to do.
    pub(crate) reason: String,
}

impl Folder {
    /// A copy of what is known now.
    pub(crate) fn now(&self) -> FolderNow {
        lock(&self.now).clone()
    }

    /// Changes what is known now.
    pub(crate) fn set(&self, change: impl FnOnce(&mut FolderNow)) {
        change(&mut lock(&self.now));
    }

    /// Checks that the root is still the directory that was synced: same device and inode, and its marker unchanged.
    ///
    /// # Errors
    /// As [`Folder::vouch`].
    pub(crate) fn verify(&self) -> Result<(), Failure> {
        self.vouch(&self.root.pin())
    }

    /// Checks that what was seen through `seen` was seen in the folder itself: its path leads to that very directory, and the marker is the
    /// database's. Nothing may be believed gone unless this was so after looking, on one [`Root::pin`].
    ///
    /// # Errors
    /// The reason, which is also shown in the status until the root is back. The handle is closed then: only [`Folder::find_again`] opens another.
    pub(crate) fn vouch(&self, seen: &Root) -> Result<(), Failure> {
        let expected = lock(&self.root_id).clone();
        let outcome = seen.still_there(expected.as_ref());
        // What could not be read says nothing of a copy.
        if matches!(outcome, Err(Gone::Unmarked(_))) {
            self.emptied.store(true, Ordering::Relaxed);
        }
        let outcome = outcome.map_err(Gone::into_failure);
        if let Err(failure) = &outcome {
            self.root.let_go(seen);
            if !self.root.is_open() {
                self.lose(failure);
            }
        }
        outcome
    }

    /// Opens the root if the folder stands in its place again. What was seen before means nothing then: scan it, with new watches.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn find_again(&self) -> Result<(), Failure> {
        let expected = lock(&self.root_id).clone();
        let found = self.root.renew(expected.as_ref()).and_then(|()| self.take_lock());
        if let Err(failure) = &found {
            self.root.let_go(&self.root.pin());
            self.lose(failure);
        }
        found
    }

    /// The folder's work goes on.
    pub(crate) fn found(&self) {
        // Where it was away, no `.ferryboxignore` was to be seen.
        self.rules.forget_all();
        let lost = lock(&self.now).root_trouble.take();
        if lost.is_some() {
            tracing::info!(folder = self.id.0, "the folder is back: it is scanned, and syncing goes on");
        }
    }

    /// The root is not there: no row of the folder is worked on, and nothing is believed gone.
    pub(crate) fn lose(&self, failure: &Failure) {
        *lock(&self.lock) = None;
        let news = lock(&self.now).root_trouble.replace(failure.clone()).is_none();
        if news {
            tracing::warn!(folder = self.id.0, reason = %failure.text, "the folder stops; nothing is deleted");
        }
    }

    /// Locks the folder, so that no other daemon syncs it at the same time.
    ///
    /// # Errors
    /// Another one does.
    pub(crate) fn take_lock(&self) -> Result<(), Failure> {
        let mut held = lock(&self.lock);
        if held.is_none() {
            *held =
                Lock::of_folder(self.root.path()).map_err(|error| Failure::retry("root_missing", error.to_string()))?;
        }
        Ok(())
    }

    /// Why a path is not synced; `None` if it is.
    pub(crate) fn ignored(&self, path: &RelPath, is_dir: bool) -> Option<Why> {
        self.rules.matched(path, is_dir, &|dir| {
            // A folder of another daemon's inside this one, however that came to be.
            let held = if dir.is_root() { Ok(false) } else { Lock::is_held(&self.root.path().join(dir.as_str())) };
            if let Err(error) = &held {
                let text = format!("whether another ferrybox syncs this directory cannot be seen ({error}), so nothing in it is synced for now");
                return Err(Failure::retry("io_error", text));
            }
            if matches!(held, Ok(true)) {
                return Err(Failure::retry(NESTED, "another ferrybox syncs this directory at this moment, so nothing in it is synced from here: stop one of the two, or add the directory to `ignore`"));
            }
            self.root.ignore_text(dir)
        })
    }

    /// Looks at a path. What is absent where another file system used to be mounted is not gone but out of sight: its file's device is not the
    /// root's, and what stands where it was is on the root's.
    pub(crate) fn look_at(root: &Root, path: &RelPath, base: Option<&Base>) -> Local {
        let local = match (root.observe(path), base) {
            (Local::File(stat), Some(base)) if stat.ino == base.stat.ino => Local::File(stat),
            // Not there, but another one's name leads here: that is not this one's content.
            (Local::File(_) | Local::Dir, _) if taken_for(root, path).is_some() => Local::Absent,
            (local, _) => local,
        };
        let Some(base) = base.filter(|_| local == Local::Absent) else { return local };
        match root.nearest_dev(path) {
            Ok(dev) if dev == base.stat.dev => local,
            Ok(_) => Local::Unknown(mount_gone()),
            Err(failure) => Local::Unknown(failure),
        }
    }

    /// Whether changes in Dropbox come down here.
    pub(crate) fn comes_down(&self) -> bool {
        matches!(self.mode, Mode::TwoWay | Mode::Download)
    }

    /// Whether what goes away here goes away in Dropbox.
    pub(crate) fn passes_deletions(&self) -> bool {
        matches!(self.mode, Mode::TwoWay | Mode::Mirror)
    }

    /// The path's own place in Dropbox.
    pub(crate) fn home(&self, path: &RelPath) -> RemotePath {
        self.remote.join(path)
    }

    /// Where a place in Dropbox lies on this disk, for people; `None` outside of this folder.
    pub(crate) fn shown(&self, place: &RemotePath) -> Option<String> {
        if !within(place, &self.remote) {
            return None;
        }
        // The folder's own name may be written in other letters there, so names are counted, not compared.
        let above = self.remote.as_str().split('/').skip(1).count();
        let below: Vec<&str> = place.as_str().split('/').skip(1 + above).collect();
        Some(self.local.join(below.join("/")).to_string_lossy().into_owned())
    }
}

/// What lies where this path would, under a name that only the disk does not tell from this one's.
fn taken_for(root: &Root, path: &RelPath) -> Option<RelPath> {
    let listed = root.folds().then(|| root.other_name(path)).flatten()?;
    tells_apart(path.name(), &listed).then(|| path.parent()?.child(&listed).ok()).flatten()
}

/// What stands at a path under this very name: a disk that takes names in other letters for each other shows there what was renamed in its letters, too.
pub(crate) fn stands(root: &Root, path: &RelPath) -> Local {
    let local = root.observe(path);
    if !matches!(local, Local::File(_) | Local::Dir) || !root.folds() {
        return local;
    }
    let mut at = Some(path.clone());
    while let Some(here) = at.filter(|here| !here.is_root()) {
        if root.other_name(&here).is_some() {
            return Local::Absent;
        }
        at = here.parent();
    }
    local
}

/// The failure of a path that cannot come down, because the disk takes it (or a directory above it that is not `agreed` on) for something else that is
/// there already: neither may be written over the other.
///
/// # Errors
/// As `agreed`.
pub(crate) fn case_conflict<E>(
    root: &Root,
    path: &RelPath,
    agreed: impl Fn(&RelPath) -> Result<bool, E>,
) -> Result<Option<Failure>, E> {
    if !root.folds() {
        return Ok(None);
    }
    let mut at = Some(path.clone());
    while let Some(place) = at.filter(|place| !place.is_root()) {
        if agreed(&place)? {
            break;
        }
        if let Some(other) = taken_for(root, &place) {
            return Ok(Some(Failure::wedge(
                "case_conflict",
                format!(
                    "this disk does not tell `{place}` from `{other}`, which is there already: it is not brought down, and both stay as they are; \
                     rename one of them in Dropbox to have both here"
                ),
            )));
        }
        at = place.parent();
    }
    Ok(None)
}
