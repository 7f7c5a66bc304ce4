//! Any base, any listing, any change of it: the rows are those of a plain answer.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{deleted, file, folder};
use crate::model::listing::Entry;
use crate::store::tests::Home;

/// What a remote path holds: a file's revision and size, or a folder.
type Tree = BTreeMap<String, Option<(String, u64)>>;

const KEYS: [&str; 11] = ["a", "a/b", "a/b/c", "a/b/d", "a.b", "a.b/x", "b", "b/c", "b/c/e", "b!", "a0"];

fn tree() -> impl Strategy<Value = Tree> {
    proptest::collection::btree_map(0..KEYS.len(), proptest::option::of((0..3_u8, 0..9_u64)), 0..8).prop_map(|picked| {
        let mut tree = Tree::new();
        for (key, what) in picked {
            let key = KEYS[key];
            let ends = key.match_indices('/').map(|(at, _)| at);
            for end in ends {
                tree.insert(key[..end].to_owned(), None);
            }
            // Never a file where something else needs a folder.
            tree.entry(key.to_owned()).or_insert_with(|| what.map(|(rev, size)| (format!("r{rev}"), size)));
        }
        let files: Vec<String> = tree.iter().filter(|(_, what)| what.is_some()).map(|(k, _)| k.clone()).collect();
        for file in files {
            tree.retain(|key, _| !key.starts_with(&format!("{file}/")));
        }
        tree
    })
}

/// How Dropbox shows a key: every second letter's case is turned by the mask.
fn cased(key: &str, mask: u8) -> String {
    let turn = |(i, c): (usize, char)| if mask >> (i % 4) & 1 == 1 { c.to_ascii_uppercase() } else { c };
    key.chars().enumerate().map(turn).collect()
}

fn remote_entry(key: &str, what: &Option<(String, u64)>, shown: u8) -> Entry {
    let path = format!("/R/{}", cased(key, shown));
    match what {
        Some((rev, size)) => file(&path, rev, *size),
        None => folder(&path),
    }
}

/// The plain answer: every path whose remote view differs from base, by its local name.
fn difference(base: &BTreeSet<String>, tree: &Tree, here: u8, shown: u8) -> BTreeSet<(String, u64)> {
    // A component has the disk's letters as long as base has something at or below it, and is no file there.
    let local = |key: &str, file: bool, file_of_base: bool| {
        let ends = key.match_indices('/').map(|(at, _)| at).chain([key.len()]);
        let mut start = 0;
        let mut path = String::new();
        for end in ends {
            let below = base.iter().any(|b| b.starts_with(&format!("{}/", &key[..end])));
            let known = if file && end == key.len() { file_of_base } else { below };
            path.push_str(&cased(key, if known { here } else { shown })[start..end]);
            start = end;
        }
        path
    };
    let mut rows = BTreeSet::new();
    for key in base {
        match tree.get(key) {
            Some(Some((rev, _))) if rev == "r1" => {}
            Some(Some((_, size))) => drop(rows.insert((local(key, true, true), *size))),
            _ => drop(rows.insert((local(key, true, true), 0))),
        }
    }
    for (key, what) in tree {
        match what {
            Some((_, size)) if !base.contains(key) => drop(rows.insert((local(key, true, false), *size))),
            None if !base.iter().any(|b| b.starts_with(&format!("{key}/"))) => {
                let _new = rows.insert((local(key, false, false), 0));
            }
            _ => {}
        }
    }
    for dir in super::dirs_of(base.iter().map(String::as_str)) {
        if !matches!(tree.get(&dir), Some(None)) {
            let path = local(&dir, false, false);
            if !rows.iter().any(|(known, _)| *known == path) {
                rows.insert((path, 0));
            }
        }
    }
    rows
}

fn rows_of(home: &Home) -> BTreeSet<(String, u64)> {
    let pair = |text: String| {
        let (path, size) = text.rsplit_once(' ').unwrap();
        (path.to_owned(), size.parse().unwrap())
    };
    home.found().into_iter().map(pair).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    /// Any base, any listing, then any change of it: the rows are those of the plain answer.
    #[test]
    fn rows_are_made_for_what_differs_and_for_nothing_else(
        base in tree(), first in tree(), second in tree(), here in 0..16_u8, shown in 0..16_u8, ids in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let home = super::super::home().await;
            let base: BTreeSet<String> = base.into_iter().filter(|(_, what)| what.is_some()).map(|(key, _)| key).collect();
            let agreed: Vec<(String, String)> =
                base.iter().map(|key| (cased(key, here), format!("-r-{}", key.replace('/', "-")))).collect();
            let agreed: Vec<_> = agreed.iter().map(|(path, id)| (path.as_str(), ids.then_some(id.as_str()))).collect();
            home.agreed(&agreed).await;
            let mut entries = vec![folder("/R")];
            entries.extend(first.iter().map(|(key, what)| remote_entry(key, what, shown)));
            let id = home.listed(entries).await;
            home.compare(id, true).await;
            let before = difference(&base, &first, here, shown);
            assert_eq!(rows_of(&home), before);
            home.clear();
            let gone: BTreeSet<&String> = first.keys().filter(|key| second.get(*key).map(Option::is_some) != first.get(*key).map(Option::is_some)).collect();
            let mut entries: Vec<Entry> = gone.iter().map(|key| deleted(&format!("/R/{}", cased(key, shown)))).collect();
            let new = second.iter().filter(|(key, what)| gone.contains(key) || first.get(*key) != Some(what)
                || gone.iter().any(|g| key.starts_with(&format!("{g}/"))));
            entries.extend(new.map(|(key, what)| remote_entry(key, what, shown)));
            home.page(id, entries, false).await;
            home.compare(id, true).await;
            let (after, rows) = (difference(&base, &second, here, shown), rows_of(&home));
            // A directory that a file had replaced before has its row from then, which was not worked on here.
            let dirs = super::dirs_of(base.iter().map(String::as_str));
            let known = |path: &str| {
                dirs.contains(&path.to_lowercase()) && before.iter().any(|(p, _)| p.eq_ignore_ascii_case(path))
            };
            let missing: Vec<_> = after
                .difference(&before)
                .filter(|row| !(rows.contains(*row) || row.1 == 0 && known(&row.0)))
                .collect();
            assert!(missing.is_empty(), "{missing:?}, {rows:?}");
            // A folder that went is looked at, too, with all directories in it.
            let mut went: BTreeSet<String> = gone.iter().map(|key| key.to_lowercase()).collect();
            went.extend(super::dirs_of(base.iter().map(String::as_str)).into_iter().filter(|dir| {
                went.iter().any(|gone| dir == gone || dir.starts_with(&format!("{gone}/")))
            }).collect::<Vec<_>>());
            // One that is shown in other letters than here gets them.
            let other_letters = |path: &str| {
                let key = path.to_lowercase();
                dirs.contains(&key) && cased(&key, here) != cased(&key, shown)
            };
            let surplus: Vec<_> = rows
                .difference(&after)
                .filter(|(path, size)| *size > 0 || !went.contains(&path.to_lowercase()) && !other_letters(path))
                .collect();
            assert!(surplus.is_empty(), "{surplus:?}");
            home.counts_agree();
        });
    }
}
