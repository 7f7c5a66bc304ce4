//! What is not claimed for now.

use std::collections::{BTreeMap, BTreeSet};

use super::{FolderId, RelPath};

/// Folders, and places in others, where something is to be settled before anybody looks at what is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closed {
    folders: BTreeSet<FolderId>,
    places: BTreeMap<FolderId, Places>,
}

impl Closed {
    /// Nothing of these folders is claimed.
    pub fn folders(&mut self, folders: impl IntoIterator<Item = FolderId>) {
        self.folders.extend(folders);
    }

    /// Nothing at, below or above this path is claimed.
    pub fn place(&mut self, folder: FolderId, path: &RelPath) {
        self.places.entry(folder).or_default().0.insert(path.as_str().to_owned());
    }

    /// What the other closes is closed, too.
    pub fn join(&mut self, other: Self) {
        self.folders.extend(other.folders);
        for (folder, places) in other.places {
            self.places.entry(folder).or_default().0.extend(places.0);
        }
    }

    /// Whether the whole folder is closed.
    pub fn has_folder(&self, folder: FolderId) -> bool {
        self.folders.contains(&folder)
    }

    /// The closed places of a folder; `None`: there are none.
    pub fn places(&self, folder: FolderId) -> Option<&Places> {
        self.places.get(&folder)
    }
}

/// Paths in one folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(BTreeSet<String>);

impl Places {
    /// Whether a path is at, below or above one of these. Asked of row after row of a long queue.
    pub fn meet(&self, path: &str) -> bool {
        let above = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        if self.0.contains(path) || above.into_iter().any(|dir| self.0.contains(dir)) {
            return true;
        }
        let below = format!("{path}/");
        self.0.range(below.clone()..).next().is_some_and(|next| next.starts_with(&below))
    }
}

/// Whether a path is at, below or above one of these.
pub fn meets(places: &BTreeSet<RelPath>, path: &RelPath) -> bool {
    let mut at = Some(path.clone());
    while let Some(here) = at {
        if places.contains(&here) {
            return true;
        }
        at = here.parent();
    }
    // No component begins with anything below U+0001, so what lies below stands from there on.
    path.child("\u{1}").is_ok_and(|first| places.range(first..).next().is_some_and(|next| next.is_under(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l7_a_place_closes_what_lies_at_below_and_above_it_and_nothing_else() {
        let rel = |path: &str| RelPath::parse(path).unwrap();
        let mut closed = Closed::default();
        closed.place(FolderId(1), &rel("a/old"));
        closed.place(FolderId(1), &rel("b/new"));
        let places = closed.places(FolderId(1)).unwrap();
        let known = BTreeSet::from([rel("a/old"), rel("b/new")]);
        for (path, met) in [("a", true), ("a/old", true), ("a/old/x/y", true), ("b/new/x", true), ("a/older", false)]
            .into_iter()
            .chain(["a/old.txt", "a/x", "b/ne", "c", "c/a/old"].map(|path| (path, false)))
        {
            assert_eq!((places.meet(path), meets(&known, &rel(path))), (met, met), "{path}");
        }
        assert_eq!(closed.places(FolderId(2)), None);
        assert!(!closed.has_folder(FolderId(1)));
        closed.folders([FolderId(2)]);
        assert!(closed.has_folder(FolderId(2)));
    }
}
