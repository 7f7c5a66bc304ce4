//! Names that differ in their letters only: to Dropbox they are one, and here they may be two.

use super::Meeting;
use crate::engine::folder::{Folder, stands};
use crate::engine::work::worker::Looked;
use crate::local::{Kind, Refused, Root};
use crate::model::{Base, Failure, Local, PathError, RelPath, Relocation, Settled, WriteMode};
use crate::plan::listing::key_of;
use crate::plan::reconcile::two_way;
use crate::plan::rename::detect::{Spelling, spelling};
use crate::store::StoreError;

/// Among more directories than this none is looked for by its letters.
const MANY: usize = 2_000;

impl Meeting<'_> {
    /// Whether the directory is here in other letters, its own or those of one above it. Among very many directories that is not looked for: a second one
    /// does no harm.
    /// `None`: it cannot be said.
    pub(super) fn is_here_respelled(&self) -> Option<bool> {
        let Some(above) = self.job.path.parent() else { return Some(false) };
        let known = self.account.store.agreed_dirs_blocking(self.job.folder, &above).ok()?;
        if known.len() <= MANY { is_here(self.root, &self.job.path) } else { Some(false) }
    }

    /// A directory beside this one that was agreed on as Dropbox's folder of this name, and is here.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(super) fn twin_dir(&self) -> Result<Option<RelPath>, StoreError> {
        let Some(above) = self.job.path.parent() else { return Ok(None) };
        let known = self.account.store.agreed_dirs_blocking(self.job.folder, &above)?;
        let (name, few) = (self.job.path.name(), known.len() <= MANY);
        let twins = known.iter().filter(|other| few && *other != name && key_of(other) == key_of(name));
        let mut places = twins.filter_map(|other| above.child(other).ok());
        Ok(places.find(|other| stands(self.root, other) == Local::Dir))
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
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(super) fn respelled(&self, file_id: &str) -> Result<Option<WriteMode>, StoreError> {
        let (store, job) = (&self.account.store, &self.job);
        let Some((folder, other)) = store.sharer_blocking(job.folder, &job.path, file_id)? else { return Ok(None) };
        let key = |path: &RelPath| key_of(self.folder.home(path).as_str());
        if folder != job.folder || key(&other) != key(&job.path) {
            return Ok(None);
        }
        let Some(base) = store.base_blocking(folder, &other)? else { return Ok(None) };
        if Folder::look_at(self.root, &other, Some(&base)) != Local::Absent {
            return Ok(None);
        }
        Ok(two_way::respelled(&base, &self.view.remote, self.folder.mode))
    }
}

/// Whether a directory that Dropbox does not tell from this one is there: then this one was only renamed, in its own letters or those of a
/// directory above it. `None`: a directory could not be read.
pub(super) fn is_here(root: &Root, path: &RelPath) -> Option<bool> {
    let names: Vec<&str> = path.components().collect();
    let mut ways = vec![(RelPath::root(), 0, false)];
    while let Some((at, depth, other)) = ways.pop() {
        let Some(name) = names.get(depth) else {
            if other {
                return Some(true);
            }
            continue;
        };
        let listing = root.read_dir(&at).ok().filter(|listing| listing.incomplete.is_none())?;
        for (found, kind) in listing.entries {
            if kind == Kind::Dir
                && key_of(&found) == key_of(name)
                && let Ok(dir) = at.child(&found)
            {
                ways.push((dir, depth + 1, other || found != *name));
            }
        }
    }
    Some(false)
}

/// Where a path belongs whose directory is not here under its name, but in other letters. Found by reading the directories above it, the nearest that
/// is here under its own name first: where its directory is here, nothing is read.
///
/// # Errors
/// A directory could not be read.
pub(crate) fn below(root: &Root, path: &RelPath) -> Result<Option<RelPath>, Failure> {
    let Some(dir) = path.parent().filter(|dir| !dir.is_root() && root.observe(dir) == Local::Absent) else {
        return Ok(None);
    };
    let wrong = |error: PathError| Failure::wedge("name", error.to_string());
    let (mut here, mut other) = (RelPath::root(), false);
    for name in dir.components() {
        let child = here.child(name).map_err(wrong)?;
        if root.observe(&child) == Local::Dir {
            here = child;
            continue;
        }
        // Below one that is yet to be made there is nothing to read.
        let there = match root.read_dir(&here) {
            Ok(listing) => listing.entries,
            Err(_) if matches!(root.observe(&here), Local::Absent | Local::File(_)) => Vec::new(),
            Err(failure) => return Err(failure),
        };
        let found = there.into_iter().find(|(found, kind)| *kind == Kind::Dir && key_of(found) == key_of(name));
        other |= found.is_some();
        here = match found {
            Some((found, _)) => here.child(&found).map_err(wrong)?,
            None => child,
        };
    }
    if other { here.child(path.name()).map(Some).map_err(wrong) } else { Ok(None) }
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
        let found = |path: &str| below(&root, &RelPath::parse(path).unwrap()).unwrap().map(|p| p.to_string());
        assert_eq!(found("aA/new"), Some("Aa/new".into()));
        assert_eq!(found("aa/B/new"), Some("Aa/b/new".into()));
        assert_eq!(found("aa/made/too/new"), Some("Aa/made/too/new".into()));
        assert_eq!(found("plain/sub/new"), Some("plain/Sub/new".into()));
        for as_it_is in ["new", "Aa/new", "Aa/made/new", "twin/new", "TWIN/new", "other/new", "file/new", "FILE/new"] {
            assert_eq!(found(as_it_is), None, "{as_it_is}");
        }
    }
}
