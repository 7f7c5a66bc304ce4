//! The rules of a listing: the store, page by page, against a plain interpreter of the specification's own sentences.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::model::RemotePath;
use crate::model::listing::{Entry, FileFacts, FolderFacts, Marks, Page, What};
use crate::plan::listing::{collapsed, rule};
use crate::store::{ListingId, Place, Store, WalkAt};

const PATHS: [&str; 12] =
    ["/a", "/a/b", "/a/b/c", "/a/b/c/d", "/a.b", "/a.b/x", "/a0", "/a0/y", "/b", "/b/c", "/b/c/e", "/b!"];

/// What the interpreter holds at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Thing {
    folder: bool,
    rev: String,
    read_only: bool,
    shown: String,
}

/// `list_folder`'s text, sentence by sentence, over a map of paths. Slow and plain on purpose.
#[derive(Debug, Default)]
struct Interpreter(BTreeMap<String, Thing>);

impl Interpreter {
    fn remove_children(&mut self, path: &str) {
        self.0.retain(|other, _| !other.starts_with(&format!("{path}/")));
    }

    fn create_parents(&mut self, path: &str) {
        let ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0).collect();
        for end in ends {
            let parent = &path[..end];
            if !self.0.get(parent).is_some_and(|t| t.folder) {
                let shown = parent.rsplit('/').next().unwrap().to_owned();
                let made = Thing { folder: true, rev: String::new(), read_only: false, shown };
                self.0.insert(parent.to_owned(), made);
            }
        }
    }

    fn process(&mut self, entry: &Entry) {
        let path = entry.key.as_str();
        match &entry.what {
            What::File(facts) => {
                self.create_parents(path);
                self.remove_children(path);
                let thing = Thing {
                    folder: false,
                    rev: facts.rev.clone(),
                    read_only: facts.marks.read_only,
                    shown: entry.name.clone(),
                };
                self.0.insert(path.to_owned(), thing);
            }
            What::Folder(facts) => {
                self.create_parents(path);
                let read_only = facts.marks.read_only;
                self.0.insert(
                    path.to_owned(),
                    Thing { folder: true, rev: String::new(), read_only, shown: entry.name.clone() },
                );
                for (other, thing) in &mut self.0 {
                    if other.starts_with(&format!("{path}/")) {
                        thing.read_only = read_only;
                    }
                }
            }
            What::Deleted => {
                if self.0.remove(path).is_some() {
                    self.remove_children(path);
                }
            }
        }
    }

    /// path, folder?, rev, read-only, and the path as people write it.
    fn lines(&self) -> Vec<(String, bool, String, bool, String)> {
        let shown = |path: &str| {
            let ends = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0).chain([path.len()]);
            ends.map(|end| format!("/{}", self.0[&path[..end]].shown)).collect::<String>()
        };
        self.0.iter().map(|(p, t)| (p.clone(), t.folder, t.rev.clone(), t.read_only, shown(p))).collect()
    }
}

fn entry() -> impl Strategy<Value = Entry> {
    (0..PATHS.len(), 0..5_u8, any::<bool>(), any::<bool>(), 0..1000_u32).prop_map(
        |(path, what, read_only, upper, rev)| {
            let key = RemotePath::parse(PATHS[path]).unwrap();
            let name = if upper { key.name().to_uppercase() } else { key.name().to_owned() };
            let marks = Marks { read_only, ..Marks::default() };
            let what = match what {
                0 | 1 => What::File(Box::new(FileFacts { rev: format!("r{rev}"), marks, ..FileFacts::default() })),
                2 | 3 => What::Folder(FolderFacts { marks, ..FolderFacts::default() }),
                _ => What::Deleted,
            };
            Entry { key, name, above: None, what }
        },
    )
}

async fn lines(store: &Store, id: ListingId, step: usize) -> Vec<(String, bool, String, bool, String)> {
    let mut at = WalkAt { root: String::new(), recursive: true, after: String::new() };
    let mut all = Vec::new();
    loop {
        let page = store.remote_entries(id, at.clone(), step).await.unwrap();
        let done = page.len() < step;
        if let Some(last) = page.last() {
            at.after.clone_from(&last.path_lower);
        }
        all.extend(
            page.into_iter()
                .map(|e| (e.path_lower, e.kind == "folder", e.rev.unwrap_or_default(), e.read_only, e.path)),
        );
        if done {
            return all;
        }
    }
}

fn count(store: &Store, sql: &str) -> i64 {
    rusqlite::Connection::open(store.path()).unwrap().query_row(sql, [], |r| r.get(0)).unwrap()
}

fn check(pages: Vec<Vec<Entry>>, live: bool, step: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let home = super::home().await;
        let store = &home.store;
        let id = store.open_listings(&[String::new()], "q").await.unwrap()[0].id;
        let mut model = Interpreter::default();
        let last = pages.len();
        for (i, entries) in pages.into_iter().enumerate() {
            entries.iter().for_each(|e| model.process(e));
            let cursor = format!("c{i}");
            let page = Page { entries: collapsed(entries), cursor, has_more: !live && i + 1 < last, ..Page::default() };
            let place = match store.listing(id).await.unwrap().followed() {
                None => Place::First { here: true },
                Some(tree) => Place::After(tree.id, tree.cursor.clone().unwrap()),
            };
            assert!(store.stage_page(id, place.clone(), page.clone(), rule, 1).await.unwrap().stored);
            if matches!(place, Place::After(..)) {
                // E2: the same page once more (its reply came twice, or a crash forgot that it was stored) changes nothing.
                assert!(!store.stage_page(id, place, page, rule, 1).await.unwrap().stored);
            }
            if live {
                store.adopt_listing(id).await.unwrap();
            }
        }
        let mut found = lines(store, id, step).await;
        found.sort();
        assert_eq!(found, model.lines());
        let listing = store.listing(id).await.unwrap();
        assert_eq!(listing.seen().map_or(0, |t| t.entries), model.0.len() as u64);
        while store.free_remote(3).await.unwrap() {}
        assert_eq!(count(store, "SELECT count(*) FROM remote_entry"), i64::try_from(model.0.len()).unwrap());
        let wrong = "SELECT count(*) FROM remote_dir d WHERE
            entries <> (SELECT count(*) FROM remote_entry WHERE dir = d.id)
            OR read_only <> (SELECT count(*) FROM remote_entry WHERE dir = d.id AND marks & 1)";
        assert_eq!(count(store, wrong), 0);
        assert_eq!(count(store, "SELECT count(*) FROM remote_entry WHERE dir NOT IN (SELECT id FROM remote_dir)"), 0);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    /// E3: child before parent, deletions of nothing, files over folders, folders over files, in any order.
    #[test]
    fn e3_the_rules_are_the_specifications(
        pages in proptest::collection::vec(proptest::collection::vec(entry(), 0..12), 1..5),
        live in any::<bool>(),
        step in 1..5_usize,
    ) {
        check(pages, live, step);
    }
}

fn file(path: &str, rev: &str) -> Entry {
    let key = RemotePath::parse(&path.to_lowercase()).unwrap();
    let name = path.rsplit('/').next().unwrap().to_owned();
    Entry {
        key,
        name,
        above: None,
        what: What::File(Box::new(FileFacts { rev: rev.to_owned(), ..FileFacts::default() })),
    }
}

fn page(entries: Vec<Entry>, cursor: &str, has_more: bool) -> Page {
    Page { entries, cursor: cursor.to_owned(), has_more, ..Page::default() }
}

/// E1, I4: while Dropbox lists again the old tree is what readers see; a listing that was given up leaves no trace.
#[tokio::test]
async fn e1_a_second_listing_stays_out_of_sight_until_it_is_complete() {
    let home = super::home().await;
    let store = &home.store;
    let id = store.open_listings(&[String::new()], "q").await.unwrap()[0].id;
    store
        .stage_page(id, Place::First { here: true }, page(vec![file("/A", "1"), file("/B", "1")], "c", false), rule, 1)
        .await
        .unwrap();
    store.adopt_listing(id).await.unwrap();
    let names = async || lines(store, id, 10).await.into_iter().map(|l| l.4).collect::<Vec<_>>();
    store.lose_cursor(id).await.unwrap();
    for round in 0..2 {
        store
            .stage_page(id, Place::First { here: true }, page(vec![file("/B", "2")], "d", true), rule, 2)
            .await
            .unwrap();
        assert_eq!(names().await, ["/A", "/B"]);
        if round == 0 {
            store.lose_cursor(id).await.unwrap();
            assert_eq!(names().await, ["/A", "/B"]);
        }
    }
    let tree = store.listing(id).await.unwrap().next.unwrap().id;
    store
        .stage_page(id, Place::After(tree, "d".into()), page(vec![file("/C", "1")], "e", false), rule, 3)
        .await
        .unwrap();
    assert_eq!(names().await, ["/A", "/B"]);
    store.adopt_listing(id).await.unwrap();
    assert_eq!(names().await, ["/B", "/C"]);
    while store.free_remote(100).await.unwrap() {}
    assert_eq!(count(store, "SELECT count(*) FROM remote_entry"), 2);
    assert_eq!(count(store, "SELECT count(*) FROM remote_tree"), 1);
    // Another question needs other cursors; what is known stays in use meanwhile.
    let listing = store.open_listings(&[String::new()], "another").await.unwrap().remove(0);
    assert!(listing.live.as_ref().is_some_and(|live| live.cursor.is_none()) && listing.next.is_none());
    assert_eq!(names().await, ["/B", "/C"]);
    store.open_listings(&[], "another").await.unwrap();
    while store.free_remote(100).await.unwrap() {}
    assert_eq!(count(store, "SELECT count(*) FROM remote_entry"), 0);
}
