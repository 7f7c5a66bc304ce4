//! Looks on the disk for names that differ in their letters only: to Dropbox they are one, and here they may be two.

use crate::engine::folder::stands;
use crate::local::{Kind, Root};
use crate::model::{Failure, FolderId, Local, PathError, RelPath};
use crate::plan::listing::key_of;
use crate::store::{Store, StoreError};

/// Among more directories than this none is looked for by its letters: a second one does no harm.
const MANY: usize = 2_000;

/// Whether there are so many directories beside this one that none is looked for by its letters.
///
/// # Errors
/// When the database cannot be read.
pub(super) fn are_many(store: &Store, folder: FolderId, path: &RelPath) -> Result<bool, StoreError> {
    let Some(above) = path.parent() else { return Ok(false) };
    Ok(store.agreed_dirs_blocking(folder, &above)?.len() > MANY)
}

/// A directory beside this one that was agreed on as Dropbox's folder of this name, and is here.
///
/// # Errors
/// When the database cannot be read.
pub(super) fn twin_dir(
    store: &Store,
    folder: FolderId,
    root: &Root,
    path: &RelPath,
) -> Result<Option<RelPath>, StoreError> {
    let Some(above) = path.parent() else { return Ok(None) };
    let known = store.agreed_dirs_blocking(folder, &above)?;
    let (name, few) = (path.name(), known.len() <= MANY);
    let twins = known.iter().filter(|other| few && *other != name && key_of(other) == key_of(name));
    let mut places = twins.filter_map(|other| above.child(other).ok());
    Ok(places.find(|other| stands(root, other) == Local::Dir))
}

/// Whether a directory that Dropbox does not tell from this one is there: then this one was only renamed, in its own letters or those of a
/// directory above it.
///
/// # Errors
/// A directory could not be read, or not completely.
pub(super) fn is_here(root: &Root, path: &RelPath) -> Result<bool, Failure> {
    let names: Vec<&str> = path.components().collect();
    let mut ways = vec![(RelPath::root(), 0, false)];
    while let Some((at, depth, other)) = ways.pop() {
        let Some(name) = names.get(depth) else {
            if other {
                return Ok(true);
            }
            continue;
        };
        let listing = whole(root, &at)?;
        for (found, kind) in listing {
            if kind == Kind::Dir
                && key_of(&found) == key_of(name)
                && let Ok(dir) = at.child(&found)
            {
                ways.push((dir, depth + 1, other || found != *name));
            }
        }
    }
    Ok(false)
}

/// Everything in a directory.
///
/// # Errors
/// It could not be read, or not completely.
pub(super) fn whole(root: &Root, dir: &RelPath) -> Result<Vec<(String, Kind)>, Failure> {
    let listing = root.read_dir(dir)?;
    listing.incomplete.map_or(Ok(listing.entries), Err)
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
