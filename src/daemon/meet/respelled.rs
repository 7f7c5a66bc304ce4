//! Names that differ in their letters only: to Dropbox they are one, and here they may be two.

use super::Meeting;
use crate::daemon::folder::Folder;
use crate::local::{Kind, Root};
use crate::model::{Local, RelPath, WriteMode};
use crate::plan::listing::key_of;
use crate::plan::meet;

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
pub(super) fn below(root: &Root, path: &RelPath) -> Option<RelPath> {
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
