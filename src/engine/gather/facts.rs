//! Gathers what the decision about a path asks for, from the disk, the database and the remote cache.
//!
//! Everything here can fail, and what fails is no fact: the path is then decided on another time. The decision itself is in [`plan::reconcile`](crate::plan::reconcile).

use std::sync::Arc;

use super::remote::View;
use super::{hash, letters};
use crate::engine::account::Account;
use crate::engine::folder::{Folder, case_conflict, stands};
use crate::env::{booted_ms, lock, ms, now_ms};
use crate::local::{Kind, Root};
use crate::model::{Base, Failure, Job, Local, RelPath, Remote};
use crate::plan::listing::key_of;
use crate::plan::reconcile::facts::{
    Content, Found, Installed, Letters, LocalBelow, OldPlace, Place, RemoteBelow, RestRules, Twin,
};
use crate::plan::reconcile::{Decision, Facts, Need, decide, two_way};
use crate::plan::rename::detect::{Spelling, spelling};
use crate::store::StoreError;

/// Files of base that are read at once.
const PAGE: usize = 500;

/// Why a fact could not be gathered.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The database cannot be read.
    Store(StoreError),
    /// A directory cannot be read now: that proves nothing, and is tried again.
    Directory(Failure),
    /// The path cannot be worked on: the failure is its own.
    Path(Failure),
}

impl From<StoreError> for Unread {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Whose facts are gathered, and through which handle of the folder they are seen.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) account: &'a Account,
    pub(crate) folder: &'a Arc<Folder>,
    pub(crate) root: &'a Root,
}

/// The three views of one path, and whether they count.
pub(crate) struct Views {
    pub(crate) local: Local,
    pub(crate) base: Option<Base>,
    pub(crate) dir: bool,
    pub(crate) view: View,
    /// What was seen was not seen in the folder that is synced.
    pub(crate) untrusted: Option<Failure>,
}

impl Asker<'_> {
    /// The facts that every decision begins with.
    pub(crate) fn begin(&self, job: &Job, views: Views) -> Facts {
        let Views { local, base, dir, view, untrusted } = views;
        let (config, folder) = (&self.account.config, self.folder);
        let is_dir = local == Local::Dir || dir || matches!(view.remote, Remote::Folder);
        let ignored = if untrusted.is_none() { folder.ignored(&job.path, is_dir) } else { None };
        Facts {
            path: job.path.clone(),
            mode: folder.mode,
            report_symlinks: folder.report_symlinks,
            max_file_size: config.upload.max_file_size,
            root_dev: self.root.dev(),
            untrusted,
            ignored,
            local,
            base,
            dir,
            remote: view.remote,
            late: view.late,
            sent: view.sent,
            attempts: job.attempts,
            since: job.since,
            now: now_ms(),
            booted: booted_ms(),
            full: self.account.why_full(),
            rest: RestRules {
                settle: ms(config.watch.settle),
                restless: ms(config.watch.restless),
                every: ms(config.watch.snapshot_every),
            },
            found: Found::default(),
        }
    }

    /// Decides, and gathers what that needs. What `own` answers is not gathered here.
    ///
    /// # Errors
    /// A fact cannot be had.
    pub(crate) fn decide(
        &self,
        facts: &mut Facts,
        own: impl Fn(&mut Facts, &Need) -> Result<bool, Unread>,
    ) -> Result<Decision, Unread> {
        loop {
            match decide(facts) {
                Decision::Need(need) if own(facts, &need)? => {}
                Decision::Need(need) => self.gather(facts, need)?,
                other => return Ok(other),
            }
        }
    }

    /// One fact.
    fn gather(&self, facts: &mut Facts, need: Need) -> Result<(), Unread> {
        let Self { account, folder, root } = *self;
        let (store, remote, id) = (&account.store, &account.remote, folder.id);
        let path = facts.path.clone();
        let home = || folder.home(&path);
        let found = &mut facts.found;
        match need {
            Need::Marks => found.marks = Some(remote.marks_blocking(account, id, &home())?),
            Need::Hidden => found.hidden = Some(remote.may_hide_blocking(store, id, &home())?),
            Need::CaseConflict => {
                let agreed = |dir: &RelPath| store.agreed_dir_blocking(id, dir);
                found.case_conflict = Some(case_conflict(root, &path, agreed)?);
            }
            Need::Letters => found.letters = Some(self.letters(&path, &facts.local)?),
            Need::Place => {
                let place = letters::below(root, &path).map_err(Unread::Path)?;
                found.place = Some(place.map(|path| self.place(path)).transpose()?);
            }
            Need::Installed => {
                let came = store.placing_blocking(id, &path)?;
                found.installed = Some(came.map(|came| Installed {
                    content_hash: came.content_hash,
                    rev: came.rev,
                    file_id: came.file_id,
                }));
            }
            Need::ContentHash => {
                let Local::File(stat) = &facts.local else { return Err(Unread::Path(changed())) };
                let hash = hash::hash(account, root, &path, stat).map_err(Unread::Path)?;
                found.content_hash = Some(Content::Is(hash));
            }
            Need::InstalledHash => {
                let Local::File(stat) = &facts.local else { return Err(Unread::Path(changed())) };
                found.installed_hash = Some(match hash::hash(account, root, &path, stat) {
                    Ok(hash) => {
                        found.content_hash = Some(Content::Is(hash));
                        Content::Is(hash)
                    }
                    Err(failure) => {
                        tracing::debug!(%path, reason = %failure.text, "whether the file came down before a kill cannot be told now");
                        Content::NotRead
                    }
                });
            }
            Need::KnownHash => {
                let Local::File(stat) = &facts.local else { return Err(Unread::Path(changed())) };
                // Where the database does not say, the file is read.
                found.known_hash = Some(hash::known(account, stat).unwrap_or_else(|error| {
                    tracing::debug!(%path, %error, "what the file holds is not known without reading it");
                    None
                }));
            }
            Need::Twin(file) => found.twin = Some(self.twin(&path, &file)?),
            Need::TwinDirectory => {
                let twin = letters::twin_dir(store, id, root, &path)?;
                let is_here = stands(root, &path) == Local::Dir;
                found.twin_directory = Some(match twin {
                    None => Twin::None,
                    Some(_) if !is_here => Twin::Shown,
                    Some(other) => Twin::Beside(other),
                });
            }
            Need::GoneTwin(file) => found.gone_twin = Some(self.gone_twin(&path, &file)?),
            Need::OldPlace(file) => found.old_place = Some(self.old_place(&path, &file)?),
            // Of a directory that is to be made among very many others that is not looked for.
            Need::InLetters => {
                let is_sought = facts.dir || !letters::are_many(store, id, &path)?;
                let is_here = is_sought && letters::is_here(root, &path).map_err(Unread::Directory)?;
                found.in_letters = Some(is_here);
            }
            Need::FileAbove { beyond: false } => found.file_above = Some(self.has_file_above(&path, false)?),
            Need::FileAbove { beyond: true } => found.file_beyond = Some(self.has_file_above(&path, true)?),
            Need::Gate => found.gate = Some(remote.gate(id)),
            Need::LocalBelow => found.local_below = Some(self.local_below(&path)?),
            Need::Names => found.names = Some(self.has_names(&path)?),
            Need::RemoteBelow => {
                let agreed = store.busy_below_blocking(id, &path)?;
                found.remote_below =
                    Some(RemoteBelow { agreed, files: remote.has_files_blocking(store, id, &home())? });
            }
            Need::TheirsBelow => found.theirs_below = Some(self.are_theirs_below(&path)?),
            Need::ChangesBelow => found.changes_below = Some(store.changes_below_blocking(id, &path)?),
            Need::MovesBelow => found.moves_below = Some(store.moves_below_blocking(id, &path)?),
            Need::Stays => found.stays = Some(remote.stays_blocking(account, folder, &home())?),
            Need::LastCopy => found.last_copy = Some(lock(&account.upward.restless).get(&(id, path)).copied()),
            // Those that only who asks can answer: if that was left out, the path waits.
            Need::Rename(_) | Need::Source => return Err(Unread::Directory(changed())),
        }
        Ok(())
    }

    /// The letters that Dropbox gave the path since.
    fn letters(&self, path: &RelPath, local: &Local) -> Result<Option<Letters>, Unread> {
        let Self { account, folder, root } = *self;
        let Some(shown) = account.remote.shows_respelled(folder.id, path) else { return Ok(None) };
        let Some(to) = path.parent().and_then(|above| above.child(&shown).ok()) else { return Ok(None) };
        // Keys that cannot be guessed are known for the old place only.
        let applies = spelling(path, &to) == Spelling::Letters
            && stands(root, path) == *local
            && !account.store.has_odd_keys_blocking(folder.id, path)?;
        let works_below = account.store.works_below_blocking(folder.id, path)?;
        let is_taken = stands(root, &to) != Local::Absent;
        Ok(Some(Letters { to, applies, works_below, is_taken }))
    }

    fn place(&self, path: RelPath) -> Result<Place, Unread> {
        let above = path.parent().unwrap_or_default();
        let agreed = self.account.store.agreed_dir_blocking(self.folder.id, &above)?;
        Ok(Place { path, agreed })
    }

    /// Another path here that was agreed on as this file of Dropbox.
    fn twin(&self, path: &RelPath, file: &str) -> Result<Twin, Unread> {
        let account = self.account;
        let Some((of, other)) = account.store.sharer_blocking(self.folder.id, path, file)? else {
            return Ok(Twin::None);
        };
        let Some(folder) = account.folder(of) else { return Ok(Twin::None) };
        Ok(match (stands(&folder.root, &other), stands(&self.folder.root, path)) {
            (Local::Absent, _) => Twin::None,
            (_, Local::Absent) => Twin::Shown,
            (_, _) => Twin::Beside(other),
        })
    }

    /// What was agreed on as this file of Dropbox under other letters of the name that are not here any more.
    fn gone_twin(&self, path: &RelPath, file: &str) -> Result<Option<Base>, Unread> {
        let Self { account, folder, root } = *self;
        let Some((of, other)) = account.store.sharer_blocking(folder.id, path, file)? else { return Ok(None) };
        if of != folder.id || !self.is_one_name(path, &other) {
            return Ok(None);
        }
        let Some(base) = account.store.base_blocking(of, &other)? else { return Ok(None) };
        let is_gone = Folder::look_at(root, &other, Some(&base)) == Local::Absent;
        Ok(is_gone.then_some(base))
    }

    /// The path that was agreed on as this file of Dropbox, in this folder.
    fn old_place(&self, path: &RelPath, file: &str) -> Result<Option<OldPlace>, Unread> {
        let Self { account, folder, root } = *self;
        let (store, id) = (&account.store, folder.id);
        let Some((of, other)) = store.sharer_blocking(id, path, file)? else { return Ok(None) };
        if of != id {
            return Ok(None);
        }
        let Some(base) = store.base_blocking(id, &other)? else { return Ok(None) };
        let same_name = self.is_one_name(path, &other);
        let local = Folder::look_at(root, &other, Some(&base));
        let is_here = !same_name && matches!(local, Local::File(_));
        let remote = if is_here { account.remote.view_blocking(account, id, &other)?.remote } else { Remote::Unlisted };
        let is_gone = is_here && matches!(remote, Remote::Absent | Remote::Folder);
        let shown = is_gone && account.remote.shows_blocking(account, id, &folder.home(&other))?;
        let respelled = is_gone && letters::below(root, path).map_err(Unread::Directory)?.is_some();
        Ok(Some(OldPlace { path: other, base, same_name, local, remote, shown, respelled }))
    }

    fn is_one_name(&self, path: &RelPath, other: &RelPath) -> bool {
        let key = |path: &RelPath| key_of(self.folder.home(path).as_str());
        key(path) == key(other)
    }

    /// Whether Dropbox has a file where a directory above this path needs a folder; `beyond`: also where that directory is agreed on.
    fn has_file_above(&self, path: &RelPath, beyond: bool) -> Result<bool, Unread> {
        let Self { account, folder, .. } = *self;
        let mut at = path.parent();
        while let Some(dir) = at.filter(|dir| !dir.is_root()) {
            if !beyond && account.store.agreed_dir_blocking(folder.id, &dir)? {
                return Ok(false);
            }
            let there = account.remote.view_blocking(account, folder.id, &dir)?;
            if matches!(there.remote, Remote::File { .. }) {
                return Ok(true);
            }
            at = dir.parent();
        }
        Ok(false)
    }

    fn local_below(&self, dir: &RelPath) -> Result<LocalBelow, Unread> {
        let listing = self.root.read_dir(dir).map_err(Unread::Directory)?;
        let agreed = self.account.store.busy_below_blocking(self.folder.id, dir)?;
        let files = !agreed && self.has_files(dir)?;
        Ok(LocalBelow { agreed, files, anything: !listing.entries.is_empty() })
    }

    /// Whether a file is anywhere below a directory here.
    fn has_files(&self, dir: &RelPath) -> Result<bool, Unread> {
        let mut dirs = vec![dir.clone()];
        while let Some(dir) = dirs.pop() {
            for (name, kind) in letters::whole(self.root, &dir).map_err(Unread::Directory)? {
                match kind {
                    Kind::Dir => dirs.extend(dir.child(&name).ok()),
                    _ => return Ok(true),
                }
            }
        }
        Ok(false)
    }

    /// Whether anything that is synced is directly in the directory, or may be.
    fn has_names(&self, dir: &RelPath) -> Result<bool, Unread> {
        let listing = self.root.read_dir(dir).map_err(Unread::Directory)?;
        let goes_up = |name: &str, kind: &Kind| {
            let is_dir = *kind == Kind::Dir;
            matches!(kind, Kind::Dir | Kind::File(_))
                && dir.child(name).is_ok_and(|path| self.folder.ignored(&path, is_dir).is_none())
        };
        Ok(listing.incomplete.is_some() || listing.entries.iter().any(|(name, kind)| goes_up(name, kind)))
    }

    /// Whether every file below that was agreed on is another one in Dropbox by now, and no change of ours is under way there: all of them have to come
    /// down, and none of them goes by itself.
    fn are_theirs_below(&self, dir: &RelPath) -> Result<bool, Unread> {
        let Self { account, folder, .. } = *self;
        if account.store.stages_below_blocking(folder.id, dir)? {
            return Ok(false);
        }
        let mut after: Option<RelPath> = None;
        loop {
            let page = account.store.base_below_blocking(folder.id, dir, after.as_ref(), PAGE)?;
            for (path, base) in &page {
                let view = account.remote.view_blocking(account, folder.id, path)?;
                if view.late || !two_way::is_changed(base, &view.remote) {
                    return Ok(false);
                }
            }
            match page.into_iter().next_back() {
                Some((last, _)) => after = Some(last),
                None => return Ok(after.is_some()),
            }
        }
    }
}

fn changed() -> Failure {
    Failure::look("busy", "it changed since it was looked at: it is looked at again")
}
