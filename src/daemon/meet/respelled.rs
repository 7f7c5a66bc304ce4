//! Names that differ in their letters only: to Dropbox they are one, and here they may be two.

use super::Meeting;
use crate::daemon::folder::{Folder, stands};
use crate::daemon::uploader::Looked;
use crate::local::{Kind, Refused, Root};
use crate::model::{Base, Local, RelPath, Relocation, Settled, WriteMode};
use crate::plan::listing::key_of;
use crate::plan::meet;
use crate::plan::moves::{Spelling, spelling};

/// Among more directories than this none is looked for by its letters.
const MANY: usize = 2_000;

impl Meeting<'_> {
    /// Whether the directory is here in other letters, its own or those of one above it. Among very many directories that is not looked for: a second one
    /// does no harm.
    pub(super) fn is_here_respelled(&self) -> bool {
        let Some(above) = self.job.path.parent() else { return false };
        let known = self.account.store.agreed_dirs_blocking(self.job.folder, &above).unwrap_or_default();
        known.len() <= MANY && is_here(self.root, &self.job.path)
    }

    /// A directory beside this one that was agreed on as Dropbox's folder of this name, and is here.
    pub(super) fn twin_dir(&self) -> Option<RelPath> {
        let above = self.job.path.parent()?;
        let known = self.account.store.agreed_dirs_blocking(self.job.folder, &above).ok()?;
        let (name, few) = (self.job.path.name(), known.len() <= MANY);
        let twins = known.iter().filter(|other| few && *other != name && key_of(other) == key_of(name));
        twins.filter_map(|other| above.child(other).ok()).find(|other| stands(self.root, other) == Local::Dir)
    }

    /// What was renamed in Dropbox in its letters only gets them here, too: by a rename, with whatever was written into it meanwhile. `None`: there is
    /// nothing of the kind to be done, or another thing has the name here.
    pub(super) fn respell(&self, agreed: &dyn Fn(&RelPath) -> bool) -> Option<Looked> {
        let (account, job, root) = (self.account, &self.job, self.root);
        let shown = account.remote.take_respelled(job.folder, &job.path)?;
        let to = job.path.parent()?.child(&shown).ok()?;
        let is_known = match self.local {
            Local::Dir => agreed(&job.path),
            Local::File(_) => self.base.is_some(),
            _ => false,
        };
        // Renamed here, too: that goes up. Keys that nobody could guess are known for the old place only.
        let odd = || account.store.has_odd_keys_blocking(job.folder, &job.path).unwrap_or(true);
        if !is_known || spelling(&job.path, &to) != Spelling::Letters || stands(root, &job.path) != self.local || odd()
        {
            return None;
        }
        let works = account.store.works_below_blocking(job.folder, &job.path).unwrap_or(true);
        let renamed =
            if works || self.view.late { Err(Refused::Changed) } else { root.rename(&job.path, &to, &self.local) };
        let now = match renamed {
            Ok(now) => now,
            // What is held below it may be held for long: then it keeps its letters.
            Err(Refused::Changed) if self.is_stuck() || stands(root, &to) != Local::Absent => return None,
            Err(Refused::Changed) => {
                account.remote.respelled_later(job.folder, job.path.clone(), shown);
                return Some(self.again_soon());
            }
            Err(_) => return None,
        };
        // Some disks take the two for links to one file, and rename nothing.
        if stands(root, &to) == Local::Absent {
            return None;
        }
        account.remote.compare_again(job.folder, false);
        account.remote.respelled_below(job.folder, &job.path, &to);
        tracing::debug!(from = %job.path, %to, "has other letters in Dropbox: renamed here, too");
        let base = self.base.clone().map(|base| match (self.local.clone(), now) {
            // The rename itself changes the inode's time; a file that was written since it was agreed on stays one.
            (Local::File(was), Local::File(now))
                if was == base.stat && (now.size, now.mtime_ns) == (was.size, was.mtime_ns) =>
            {
                Base { stat: now, ..base }
            }
            _ => base,
        });
        let (from, place) = (self.folder.home(&job.path), self.folder.home(&to));
        let source = job.path.clone();
        let moved = Relocation { from, to: place, source, base, copy: false, alike: false, via: None };
        Some(Looked::Done(job.clone(), Settled::Respelled { to, moved: Box::new(moved) }))
    }

    /// How the file goes over Dropbox's, if that was agreed on under other letters of the name that nobody has here any more.
    pub(super) fn respelled(&self, file_id: &str) -> Option<WriteMode> {
        let (store, job) = (&self.account.store, &self.job);
        let (folder, other) = store.sharer_blocking(job.folder, &job.path, file_id).ok()??;
        let key = |path: &RelPath| key_of(self.folder.home(path).as_str());
        if folder != job.folder || key(&other) != key(&job.path) {
            return None;
        }
        let base = store.base_blocking(folder, &other).ok()??;
        if Folder::look_at(self.root, &other, Some(&base)) != Local::Absent {
            return None;
        }
        meet::respelled(&base, &self.view.remote, self.folder.mode)
    }
}

/// Whether a directory that Dropbox does not tell from this one is there: then this one was only renamed, in its own letters or those of a
/// directory above it.
pub(super) fn is_here(root: &Root, path: &RelPath) -> bool {
    fn finds(root: &Root, at: &RelPath, rest: &[&str], other: bool) -> bool {
        let Some((name, rest)) = rest.split_first() else { return other };
        let Ok(listing) = root.read_dir(at) else { return false };
        listing.entries.iter().any(|(found, kind)| {
            *kind == Kind::Dir
                && key_of(found) == key_of(name)
                && at.child(found).is_ok_and(|dir| finds(root, &dir, rest, other || found != name))
        })
    }
    finds(root, &RelPath::root(), &path.components().collect::<Vec<_>>(), false)
}

/// Where a path belongs whose directory is not here under its name, but in other letters. Found by reading the directories above it, the nearest that
/// is here under its own name first: where its directory is here, nothing is read.
pub(crate) fn below(root: &Root, path: &RelPath) -> Option<RelPath> {
    let dir = path.parent().filter(|dir| !dir.is_root() && root.observe(dir) == Local::Absent)?;
    let (mut here, mut other) = (RelPath::root(), false);
    for name in dir.components() {
        let child = here.child(name).ok()?;
        if root.observe(&child) == Local::Dir {
            here = child;
            continue;
        }
        // Below one that is yet to be made there is nothing to read.
        let mut there = root.read_dir(&here).map(|listing| listing.entries).unwrap_or_default().into_iter();
        let found = there.find(|(found, kind)| *kind == Kind::Dir && key_of(found) == key_of(name));
        other |= found.is_some();
        here = match found {
            Some((found, _)) => here.child(&found).ok()?,
            None => child,
        };
    }
    if other { here.child(path.name()).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_comes_below_the_directory_that_is_here() {
        let dir = tempfile::tempdir().unwrap();
        for made in ["Aa/b", "twin", "TWIN", "plain/Sub"] {
            std::fs::create_dir_all(dir.path().join(made)).unwrap();
        }
        std::fs::write(dir.path().join("FILE"), "").unwrap();
        let root = Root::open(dir.path()).unwrap();
        let found = |path: &str| below(&root, &RelPath::parse(path).unwrap()).map(|p| p.to_string());
        assert_eq!(found("aA/new"), Some("Aa/new".into()));
        assert_eq!(found("aa/B/new"), Some("Aa/b/new".into()));
        assert_eq!(found("aa/made/too/new"), Some("Aa/made/too/new".into()));
        assert_eq!(found("plain/sub/new"), Some("plain/Sub/new".into()));
        for as_it_is in ["new", "Aa/new", "Aa/made/new", "twin/new", "TWIN/new", "other/new", "file/new", "FILE/new"] {
            assert_eq!(found(as_it_is), None, "{as_it_is}");
        }
    }
}
