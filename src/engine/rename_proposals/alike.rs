//! Names that Dropbox may take for one, side by side in a directory.

use std::collections::HashMap;
use std::time::Duration;

use super::{Moves, Unread, listed};
use crate::env;
use crate::env::Instant;
use crate::env::lock;
use crate::local::{Kind, Root};
use crate::model::key::loose_key_of;
use crate::model::{FolderId, RelPath};

/// A directory of more names than this is large: it is read again after [`LISTING_LASTS`] only.
const LARGE: usize = 1_000;
/// For so long the listing of a large directory is good enough to find names in other letters beside what comes down.
const LISTING_LASTS: Duration = Duration::from_secs(1);

/// What stood in a directory of many names when it was read, by the key that names have in common which Dropbox may take for one.
#[derive(Debug)]
pub(super) struct Large {
    of: (FolderId, RelPath),
    at: Instant,
    by_key: HashMap<String, Vec<(String, Kind)>>,
}

/// What stands beside a path under other letters of its name. A large directory is read once for the files that come down within [`LISTING_LASTS`]: read
/// for each of them, it would cost the square of their number, and to read it takes about as long.
pub(super) fn alike(
    moves: &Moves,
    folder: FolderId,
    root: &Root,
    path: &RelPath,
) -> Result<Vec<(String, Kind)>, Unread> {
    let Some(parent) = path.parent() else { return Ok(Vec::new()) };
    let (key, of) = (loose_key_of(path.name()), (folder, parent));
    let others = |entries: &[(String, Kind)]| -> Vec<(String, Kind)> {
        entries.iter().filter(|(name, _)| name != path.name() && loose_key_of(name) == key).cloned().collect()
    };
    if let Some(large) = lock(&moves.0).large.as_ref().filter(|l| l.of == of && l.at.elapsed() < LISTING_LASTS) {
        return Ok(large.by_key.get(&key).map(|entries| others(entries)).unwrap_or_default());
    }
    let at = env::instant();
    let entries = listed(root, &of.1)?;
    let found = others(&entries);
    if entries.len() > LARGE {
        let mut by_key: HashMap<_, Vec<_>> = HashMap::with_capacity(entries.len());
        for entry in entries {
            by_key.entry(loose_key_of(&entry.0)).or_default().push(entry);
        }
        lock(&moves.0).large = Some(Large { of, at, by_key });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use super::*;

    #[test]
    fn a_large_directory_is_read_once_for_many_files() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| std::fs::write(dir.path().join(name), "").unwrap();
        let (moves, root) = (Moves::default(), Root::open(dir.path()).unwrap());
        let names = |of: &str| -> Vec<String> {
            let found = alike(&moves, FolderId(1), &root, &RelPath::parse(of).unwrap()).unwrap_or_default();
            found.into_iter().map(|(name, _)| name).collect()
        };
        write("Ä");
        assert_eq!(names("ä"), ["Ä"]);
        assert_eq!(names("Ä"), Vec::<String>::new(), "the very name is no other");
        write("É");
        assert_eq!(names("é"), ["É"], "a small directory is read each time");
        for i in 0..=LARGE {
            write(&format!("File {i}"));
        }
        assert_eq!(names("file 7"), ["File 7"]);
        // It is remembered: what comes now is seen when the listing is too old.
        lock(&moves.0).large.as_mut().unwrap().at = Instant::now() + Duration::from_secs(3600);
        write("NEW");
        assert_eq!(names("file 8"), ["File 8"]);
        assert_eq!(names("new"), Vec::<String>::new());
        lock(&moves.0).large.as_mut().unwrap().at = Instant::now() - LISTING_LASTS;
        assert_eq!(names("new"), ["NEW"]);
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        assert_eq!(names("sub/file 7"), Vec::<String>::new(), "another directory is another one");
    }
}
