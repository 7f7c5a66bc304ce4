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
        self.places.entry(folder).or_default().insert(path);
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
    /// Takes a path in. Whether it is a new one.
    pub fn insert(&mut self, path: &RelPath) -> bool {
        self.0.insert(path.as_str().to_owned())
    }

    /// Whether a path is at, below or above one of these. Asked of row after row of a long queue.
    pub fn meet(&self, path: &str) -> bool {
        // The folder's own root is above all.
        if self.0.contains("") || path.is_empty() && !self.0.is_empty() {
            return true;
        }
        let above = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        if self.0.contains(path) || above.into_iter().any(|dir| self.0.contains(dir)) {
            return true;
        }
        let below = format!("{path}/");
        self.0.range(below.clone()..).next().is_some_and(|next| next.starts_with(&below))
    }
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
        for (path, met) in
            [("", true), ("a", true), ("a/old", true), ("a/old/x/y", true), ("b/new/x", true), ("a/older", false)]
                .into_iter()
                .chain(["a/old.txt", "a/x", "b/ne", "c", "c/a/old"].map(|path| (path, false)))
        {
            assert_eq!(places.meet(path), met, "{path}");
        }
        assert_eq!(closed.places(FolderId(2)), None);
        assert!(!Places::default().meet(""), "nothing is closed");
        closed.place(FolderId(3), &RelPath::root());
        assert!(closed.places(FolderId(3)).unwrap().meet("a/b"), "all lies below the root");
        assert!(!closed.has_folder(FolderId(1)));
        closed.folders([FolderId(2)]);
        assert!(closed.has_folder(FolderId(2)));
    }
}
