//! Carries out what was decided for a path of a folder whose remote changes come down, as far as it needs no network: what does is handed on.
//!
//! Everything that touches the disk says what it expects to find there, and is refused when it finds something else: then the path is looked at again.

use std::sync::Arc;

use crate::engine::account::Account;
use crate::engine::commit::resolve::case_clash;
use crate::engine::folder;
use crate::engine::folder::Folder;
use crate::engine::folder::patterns;
use crate::engine::gather::hash;
use crate::engine::gather::hash::hash;
use crate::engine::gather::remote::{Gate, View};
use crate::engine::rescue::stamp;
use crate::engine::work::download::Fetch;
use crate::engine::work::worker::{Looked, failed, twin};
use crate::env::{day, now_ms};
use crate::local::{Going, Refused, Root};
use crate::model::{
    Base, ContentHash, DirStat, Failure, Job, Local, RelPath, Remote, RemoteChange, Settled, UnixMs, WriteMode,
};
use crate::plan::listing::key_of;
use crate::plan::name::{allowed, conflict};
use crate::plan::reconcile::two_way;
use crate::plan::reconcile::{Action, Wanted};
use crate::store::{Placing, StoreError};

pub(crate) mod respelled;

/// What is not known yet is looked at again after this long, in ms.
const SOON_MS: UnixMs = 300;

/// A file and a folder that stand in each other's way get out of it by themselves within this time, in ms, or not at all.
const STUCK_MS: UnixMs = 30_000;

/// Files of base that are read at once.
const PAGE: usize = 500;

/// One path, with its three views.
pub(crate) struct Meeting<'a> {
    pub(crate) account: &'a Account,
    pub(crate) folder: &'a Arc<Folder>,
    /// The handle that it was looked at with.
    pub(crate) root: &'a Root,
    pub(crate) job: Job,
    pub(crate) base: Option<Base>,
    pub(crate) local: Local,
    pub(crate) view: View,
}

/// What is left to do.
pub(crate) enum Met<'a> {
    Looked(Looked),
    /// The file goes up.
    Upload(Box<Meeting<'a>>, WriteMode),
}

impl<'a> Meeting<'a> {
    /// Carries out an action.
    pub(crate) fn act(mut self, action: Action) -> Met<'a> {
        let agreed = |dir: &RelPath| self.account.store.agreed_dir_blocking(self.job.folder, dir).unwrap_or(false);
        if self.base.is_none()
            && matches!(self.view.remote, Remote::File { .. } | Remote::Folder)
            && let Some(failure) = folder::case_conflict(self.root, &self.job.path, agreed)
        {
            return Met::Looked(self.fail(failure));
        }
        if let Some(looked) = self.respell(&agreed) {
            return Met::Looked(looked);
        }
        if matches!(action, Action::Download(_) | Action::MakeDir | Action::Nothing)
            && self.local == Local::Absent
            && let Some(place) = match respelled::below(self.root, &self.job.path) {
                Ok(place) => place,
                Err(failure) => return Met::Looked(self.fail(failure)),
            }
        {
            // If its directory was renamed a moment ago, that is agreed on first.
            if !agreed(&place.parent().unwrap_or_default()) && !self.is_stuck() {
                return Met::Looked(self.again_soon());
            }
            // What was agreed on under letters that nobody has here is no file's any more.
            let settled = if self.base.is_none() { Settled::Rather(place) } else { Settled::Again(None) };
            return Met::Looked(self.done(settled));
        }
        if matches!(action, Action::Upload(_) | Action::AdoptOrUpload(_) | Action::Compare | Action::Nothing)
            && let Some(base) = self.placed()
        {
            return Met::Looked(self.done(Settled::Again(Some(base))));
        }
        match action {
            Action::Upload(mode) | Action::AdoptOrUpload(mode) => {
                if mode == WriteMode::Add {
                    // What was agreed on lies elsewhere, or is gone: the file is new there.
                    let agreed = self.base.take().is_some();
                    if self.below_a_file() {
                        // Forgotten, so that the directory above holds nothing but news, and stands aside.
                        return Met::Looked(if agreed { self.done(Settled::Again(None)) } else { self.wait() });
                    }
                }
                Met::Upload(Box::new(self), mode)
            }
            Action::Compare => self.compare(),
            action => Met::Looked(self.settle_down(action)),
        }
    }

    /// What would take something away here passes the brake, or is one of those that are held: then the comparison looks at it when they are let go.
    fn settle_down(self, action: Action) -> Looked {
        let takes = match &action {
            Action::Trash | Action::RemoveDir => true,
            Action::Download(_) => self.base.is_some(),
            _ => false,
        };
        match self.account.remote.gate(self.job.folder) {
            Gate::Weighing if takes => self.wait(),
            Gate::Held if takes => self.done(Settled::Nothing),
            _ => self.settle(action),
        }
    }

    fn settle(self, action: Action) -> Looked {
        match action {
            Action::Nothing if self.view.late => self.wait(),
            Action::Nothing => self.done(Settled::Nothing),
            Action::Wait if !self.view.late && self.is_stuck() => self.fail(unlisted()),
            Action::Wait => self.wait(),
            Action::Adopt { rev } => {
                let base = self.base.clone().map(|base| Base { rev, ..base });
                self.done(Settled::InSync(base))
            }
            Action::Wedge(failure) | Action::PutOff(failure) => self.fail(failure),
            Action::Forget => self.done(Settled::Again(None)),
            Action::AgreeDir => {
                let settled = match self.twin_dir() {
                    // A disk that takes names in other letters for each other shows the same directory under both.
                    Ok(Some(_)) if folder::stands(self.root, &self.job.path) != Local::Dir => Settled::Nothing,
                    Ok(Some(other)) => Settled::Wedge(case_clash(&other)),
                    Ok(None) => Settled::InSyncDir(DirStat::default()),
                    Err(_) => return self.wait(),
                };
                self.done(settled)
            }
            Action::MakeDir => match self.is_here_respelled() {
                None => self.wait(),
                Some(true) => self.done(Settled::Nothing),
                Some(false) => match self.root.make_dir(&self.job.path) {
                    Ok(_) => self.done(Settled::InSyncDir(DirStat::default())),
                    Err(refused) => self.refused(refused),
                },
            },
            // A file took the folder's place in Dropbox, and here are files in it that nobody there knows: they cannot go up below a file.
            Action::RemoveDir if matches!(self.view.remote, Remote::File { .. }) && self.holds_news() => {
                self.move_aside()
            }
            Action::RemoveDir => {
                let path = self.home();
                self.stage(RemoteChange::Trash { path, rev: None })
            }
            Action::Trash => {
                let path = self.home();
                match &self.base {
                    Some(base) => {
                        let rev = Some(base.rev.clone());
                        self.stage(RemoteChange::Trash { path, rev })
                    }
                    None => self.done(Settled::Again(None)),
                }
            }
            // Dropbox refuses a folder below a file. That file is about to be deleted there, or to make room for the directory that stands here.
            Action::CreateFolder if self.file_above(true) => self.wait(),
            Action::CreateFolder => self.create_folder(),
            Action::DeleteFolder => self.delete_folder(),
            Action::Delete { rev } => {
                if self.local == Local::Dir && self.base.as_ref().is_some_and(|b| b.stat.dev != self.root.dev()) {
                    return self.done(Settled::Wedge(folder::mount_gone()));
                }
                // A deletion goes with the revision that was agreed on; that of a file that was moved there and back is agreed on first.
                if let Some(base) = self.base.clone().filter(|base| base.rev != rev) {
                    return self.done(Settled::Again(Some(Base { rev, ..base })));
                }
                let path = self.home();
                self.stage(RemoteChange::Delete { path, rev })
            }
            Action::Download(wanted) => self.download(wanted),
            Action::MoveAside => self.move_aside(),
            Action::Upload(_) | Action::AdoptOrUpload(_) | Action::Compare => self.wait(),
        }
    }

    /// Whether the directory holds files, and none of them was agreed on: those go by themselves. After a while it is whatever it holds.
    fn holds_news(&self) -> bool {
        if self.is_stuck_for_good() {
            return self.root.read_dir(&self.job.path).is_ok_and(|listing| !listing.entries.is_empty());
        }
        let agreed = self.account.store.busy_below_blocking(self.job.folder, &self.job.path).unwrap_or(true);
        !agreed && holds_a_file(self.root, &self.job.path)
    }

    /// Whether paths that wait for each other have done so for long enough: then keeping both is the way out that loses nothing.
    fn is_stuck(&self) -> bool {
        now_ms().saturating_sub(self.job.since) > STUCK_MS
    }

    /// As [`Meeting::is_stuck`], and it is not our own changes of what was agreed on that this waits for: those are nobody else's version, and may be
    /// held for as long as a person takes.
    fn is_stuck_for_good(&self) -> bool {
        self.is_stuck()
            && matches!(self.account.store.changes_below_blocking(self.job.folder, &self.job.path), Ok(false))
    }

    /// Whether every file below that was agreed on is another one in Dropbox by now, and no change of ours is under way there: all of them have to come
    /// down, and none of them goes by itself.
    fn is_theirs_below(&self) -> bool {
        let (store, folder) = (&self.account.store, self.job.folder);
        let changed = |path: &RelPath, base: &Base| {
            let view = self.account.remote.view_blocking(self.account, folder, path);
            matches!(view, Ok(View { remote, late: false, .. }) if two_way::is_changed(base, &remote))
        };
        if !matches!(store.stages_below_blocking(folder, &self.job.path), Ok(false)) {
            return false;
        }
        let mut after: Option<RelPath> = None;
        loop {
            let Ok(page) = store.base_below_blocking(folder, &self.job.path, after.as_ref(), PAGE) else {
                return false;
            };
            if !page.iter().all(|(path, base)| changed(path, base)) {
                return false;
            }
            match page.into_iter().next_back() {
                Some((last, _)) => after = Some(last),
                None => return after.is_some(),
            }
        }
    }

    /// Whether Dropbox still has a file where a directory above this path needs a folder: it is on its way out, or this path is moved aside.
    fn below_a_file(&self) -> bool {
        self.file_above(false)
    }

    /// Whether Dropbox has a file where a directory above this path needs a folder; with `agreed` also where that directory is agreed on.
    fn file_above(&self, agreed: bool) -> bool {
        let (store, folder) = (&self.account.store, self.job.folder);
        let mut at = self.job.path.parent();
        while let Some(dir) = at.filter(|dir| !dir.is_root()) {
            if !agreed && store.agreed_dir_blocking(folder, &dir).unwrap_or(false) {
                return false;
            }
            let there = self.account.remote.view_blocking(self.account, folder, &dir);
            if there.is_ok_and(|view| matches!(view.remote, Remote::File { .. })) {
                return true;
            }
            at = dir.parent();
        }
        false
    }

    /// What is agreed on, if the file is what came down before a kill, and nobody has written to it since: the row was not settled then.
    fn placed(&self) -> Option<Base> {
        let Local::File(stat) = self.local else { return None };
        if self.base.as_ref().is_some_and(|base| base.stat == stat) {
            return None;
        }
        let Placing { content_hash, rev, file_id } =
            self.account.store.placing_blocking(self.job.folder, &self.job.path).ok()??;
        let holds = hash(self.account, self.root, &self.job.path, &stat).ok()?;
        (holds == content_hash).then_some(Base { stat, content_hash, rev, file_id: Some(file_id), remote: None })
    }

    /// Reads the file, and goes on from what it holds.
    fn compare(mut self) -> Met<'a> {
        let Local::File(stat) = self.local else { return Met::Looked(self.wait()) };
        if self.base.is_none()
            && let Remote::File { id, .. } = &self.view.remote
            && let Some(settled) = twin(self.account, &self.job, id)
        {
            return Met::Looked(self.done(settled));
        }
        let hash = match hash(self.account, self.root, &self.job.path, &stat) {
            Ok(hash) => hash,
            Err(failure) => return Met::Looked(self.fail(failure)),
        };
        let action = two_way::compared(&hash, self.base.as_ref(), &self.view.remote, self.folder.mode);
        if !matches!(action, Action::Adopt { .. }) {
            hash::note(self.account, stat, hash);
        }
        match (action, &self.view.remote) {
            (Action::Adopt { rev }, Remote::File { id, .. }) => {
                let base = Base { stat, content_hash: hash, rev, file_id: Some(id.clone()), remote: None };
                Met::Looked(self.done(Settled::InSync(Some(base))))
            }
            // Only its times are new: that is written down first, since whatever goes on the disk goes by what was agreed on.
            (Action::Trash | Action::Download(_), _) => {
                let base = self.base.take().map(|base| Base { stat, ..base });
                Met::Looked(self.done(Settled::Again(base)))
            }
            (Action::MoveAside, Remote::File { id, .. }) if self.base.is_none() => match self.respelled(id) {
                Ok(Some(mode)) => Met::Upload(Box::new(self), mode),
                Ok(None) => self.act(Action::MoveAside),
                Err(_) => Met::Looked(self.wait()),
            },
            (action, _) => self.act(action),
        }
    }

    /// A directory becomes a folder in Dropbox by itself when the first file in it is committed; an empty one has to be made.
    fn create_folder(self) -> Looked {
        if let Some(failure) = allowed::disallowed(&self.job.path) {
            return self.done(Settled::Wedge(failure));
        }
        let Ok(listing) = self.root.read_dir(&self.job.path) else { return self.wait() };
        let goes_up = |name: &str, kind: &crate::local::Kind| {
            let is_dir = *kind == crate::local::Kind::Dir;
            let path = self.job.path.child(name);
            matches!(kind, crate::local::Kind::Dir | crate::local::Kind::File(_))
                && path.is_ok_and(|path| self.folder.ignored(&path, is_dir).is_none())
        };
        if listing.incomplete.is_some() || listing.entries.iter().any(|(name, kind)| goes_up(name, kind)) {
            return self.done(Settled::Nothing);
        }
        let path = self.home();
        self.stage(RemoteChange::CreateFolder { path })
    }

    /// A folder goes in one entry, and only when no file is left in it: none that was agreed on, none that the listing shows.
    fn delete_folder(self) -> Looked {
        let store = &self.account.store;
        if self.local == Local::Absent {
            match respelled::is_here(self.root, &self.job.path) {
                Some(true) => {
                    self.account.remote.compare_again(self.job.folder, false);
                    return self.done(Settled::InSync(None));
                }
                Some(false) => {}
                None => return self.wait(),
            }
        }
        let here = store.busy_below_blocking(self.job.folder, &self.job.path);
        let there = self.account.remote.has_files_blocking(store, self.job.folder, &self.home());
        match (here, there) {
            // What another device put into it was found just before its deletion, and cannot come down where a file stands.
            (_, Ok(_)) if matches!(self.local, Local::File(_)) && self.job.attempts > 0 && self.is_stuck_for_good() => {
                self.move_aside()
            }
            (Ok(false), Ok(Some(false))) => {
                let path = self.home();
                self.stage(RemoteChange::DeleteFolder { path })
            }
            // Somebody put files into it that were never here, or changed those that were: the folder stays, since an edit beats a deletion, and the
            // file in its place here stands aside.
            (here, Ok(Some(true)))
                if matches!(self.local, Local::File(_))
                    && (matches!(here, Ok(false)) || self.is_theirs_below() || self.is_stuck_for_good()) =>
            {
                self.move_aside()
            }
            (here, there) => {
                if let (Ok(false), Ok(Some(true)), Local::Absent) = (&here, &there, &self.local)
                    && let Ok(Some(failure)) =
                        self.account.remote.stays_blocking(self.account, self.folder, &self.home())
                {
                    return self.done(Settled::Wedge(failure));
                }
                // Nor do they come down: ignored here, or a problem of their own.
                if let (Ok(false), Ok(Some(true))) = (&here, &there)
                    && matches!(store.moves_below_blocking(self.job.folder, &self.job.path), Ok(false))
                {
                    return self.done(Settled::Wedge(stays()));
                }
                if matches!(there, Ok(None)) {
                    self.account.remote.hurry(self.job.folder);
                }
                self.wait()
            }
        }
    }

    /// Dropbox's file comes down, unless it is one that is here already under another name.
    fn download(self, wanted: Wanted) -> Looked {
        if self.base.is_none() && self.local == Local::Absent {
            let (store, job) = (&self.account.store, &self.job);
            match store.sharer_blocking(job.folder, &job.path, &wanted.id) {
                Ok(Some((folder, other))) if folder == job.folder => match self.renamed(&other) {
                    Ok(Some(looked)) => return looked,
                    Ok(None) => {}
                    Err(_) => return self.wait(),
                },
                Ok(_) => {}
                Err(_) => return self.wait(),
            }
        }
        let Meeting { folder, job, local, .. } = self;
        Looked::Fetch(Box::new(Fetch { job, folder: Arc::clone(folder), expected: local, wanted }))
    }

    /// Dropbox's file was moved: the local file goes along, with whatever was written into it meanwhile.
    /// `None`: there is no such file.
    ///
    /// # Errors
    /// When the database cannot be read.
    fn renamed(&self, other: &RelPath) -> Result<Option<Looked>, StoreError> {
        let account = self.account;
        let Some(base) = account.store.base_blocking(self.job.folder, other)? else { return Ok(None) };
        let (here, there) = (self.folder.home(&self.job.path), self.folder.home(other));
        if key_of(here.as_str()) == key_of(there.as_str()) {
            // It is here, in other letters: those of whoever renamed it last. Renamed once more, each name's row would take it from the other. Where
            // it is not there either, a directory above it got other letters, too, and that name's own row finds it.
            return Ok(Some(Looked::Done(self.job.clone(), Settled::Nothing)));
        }
        let stat = match Folder::look_at(self.root, other, Some(&base)) {
            Local::File(stat) => stat,
            Local::Unknown(_) => return Ok(Some(self.again_soon())),
            Local::Absent | Local::Dir | Local::Other(_) => return Ok(None),
        };
        // Moved, if nothing is at the old place any more. If that is not known yet, it will be.
        let view = account.remote.view_blocking(account, self.job.folder, other)?;
        let replaced = view.remote == Remote::Folder;
        match view.remote {
            Remote::Absent | Remote::Folder => {}
            Remote::Unlisted => return Ok(Some(self.again_soon())),
            Remote::File { .. } => return Ok(None),
        }
        // A twin of it was here for a while: Dropbox's file is where it was.
        if !replaced && account.remote.shows_blocking(account, self.job.folder, &there)? {
            return Ok(Some(Looked::Done(self.job.clone(), Settled::Nothing)));
        }
        if !matches!(respelled::below(self.root, &self.job.path), Ok(None)) {
            return Ok(Some(self.again_soon()));
        }
        // As for one that is fetched.
        patterns::note_arrival_blocking(&account.store, self.job.folder, &self.job.path)?;
        match self.root.rename(other, &self.job.path, &Local::File(stat)) {
            Ok(Local::File(now)) => {
                tracing::debug!(from = %other, to = %self.job.path, "moved in Dropbox: moved here, too");
                // The rename itself changes the inode's time; a file that was written since it was agreed on stays one.
                let untouched = stat == base.stat && now.size == stat.size && now.mtime_ns == stat.mtime_ns;
                let stat = if untouched { now } else { base.stat };
                Ok(Some(Looked::Done(self.job.clone(), Settled::Again(Some(Base { stat, ..base })))))
            }
            Ok(_) | Err(Refused::Changed) => Ok(Some(self.again_soon())),
            Err(_) => Ok(None),
        }
    }

    /// Both are kept: what is here gets a conflicted copy's name, and the path is free for what is there.
    fn move_aside(self) -> Looked {
        let hash = match self.local {
            Local::File(stat) => match hash(self.account, self.root, &self.job.path, &stat) {
                Ok(hash) => hash,
                Err(failure) => return self.fail(failure),
            },
            // A directory has no content of its own to be named after, and it may happen to one name twice a day. A crash repeats nothing: once it has
            // its new name, it is nobody's old one.
            _ => stamp(now_ms()),
        };
        let mtime = if let Local::File(stat) = self.local { stat.mtime_ns.div_euclid(1_000_000) } else { now_ms() };
        let home = self.home();
        let above = self.job.path.parent().unwrap_or_default();
        let named = |hash: &ContentHash| {
            let wrong = |error: &dyn std::fmt::Display| Failure::wedge("name", error.to_string());
            let place = conflict::copy_path(&home, &self.account.host, &day(mtime), hash).map_err(|e| wrong(&e))?;
            let copy = above.child(place.name()).map_err(|e| wrong(&e))?;
            Ok((place, copy))
        };
        let (mut place, mut copy) = match named(&hash) {
            Ok(named) => named,
            Err(failure) => return self.fail(failure),
        };
        if let (Local::File(stat), Local::File(there)) = (&self.local, self.root.observe(&copy))
            && self::hash(self.account, self.root, &copy, &there).is_ok_and(|there| there == hash)
        {
            // This very content was put aside before: once is enough.
            return match self.root.trash(
                &self.job.path,
                &Local::File(*stat),
                Going { when: now_ms(), holds: Some(hash) },
            ) {
                Ok(_) => self.done(Settled::Aside { copy, place }),
                Err(refused) => self.refused(refused),
            };
        }
        // Somebody works in that copy, or gave something else its name: this one gets a name of its own.
        if self.root.observe(&copy) != Local::Absent {
            (place, copy) = match named(&stamp(now_ms())) {
                Ok(named) => named,
                Err(failure) => return self.fail(failure),
            };
        }
        match self.root.rename(&self.job.path, &copy, &self.local) {
            Ok(_) => {
                tracing::info!(account = %self.account.name, "both sides changed a file: both versions are kept (see `ferrybox conflicts`)");
                self.done(Settled::Aside { copy, place })
            }
            Err(refused) => self.refused(refused),
        }
    }

    fn home(&self) -> crate::model::RemotePath {
        self.folder.home(&self.job.path)
    }

    fn stage(self, change: RemoteChange) -> Looked {
        Looked::Stage(self.job, change)
    }

    fn done(self, settled: Settled) -> Looked {
        Looked::Done(self.job, settled)
    }

    fn fail(self, failure: Failure) -> Looked {
        let settled = failed(&self.job, failure);
        Looked::Done(self.job, settled)
    }

    fn refused(self, refused: Refused) -> Looked {
        match refused {
            Refused::Failed(failure) => self.fail(failure),
            // Somebody was faster: what is there now is looked at.
            Refused::Changed | Refused::Dir | Refused::InTheWay(_) => self.wait(),
        }
    }

    fn wait(self) -> Looked {
        if self.view.late {
            self.account.remote.hurry(self.job.folder);
        }
        self.again_soon()
    }

    fn again_soon(&self) -> Looked {
        Looked::Done(self.job.clone(), Settled::Wait(now_ms() + SOON_MS))
    }
}

/// The failure of a folder that stays in Dropbox although its directory is gone.
fn stays() -> Failure {
    Failure::wedge(
        "dir_kept",
        "it was deleted here, and in Dropbox it stays because of what is in it and is not synced here (ignored, not to be downloaded, or a problem of \
         its own): delete it there if it is not needed",
    )
}

/// The failure of a path that the listing says nothing about, again and again.
fn unlisted() -> Failure {
    Failure::look(
        "unlisted",
        "the listing does not say whether Dropbox still has it: it is listed anew, or has a name very like another one; it is looked at again",
    )
}

fn holds_a_file(root: &Root, dir: &RelPath) -> bool {
    let mut dirs = vec![dir.clone()];
    while let Some(dir) = dirs.pop() {
        let Ok(listing) = root.read_dir(&dir) else { continue };
        for (name, kind) in listing.entries {
            match kind {
                crate::local::Kind::Dir => dirs.extend(dir.child(&name).ok()),
                _ => return true,
            }
        }
    }
    false
}
