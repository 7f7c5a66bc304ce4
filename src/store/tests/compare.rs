//! Comparing a listing with base: which paths get rows, under which names, and what a crash between two slices does.

mod random;

use std::collections::BTreeSet;

use super::{Home, based};
use crate::model::listing::{Entry, FileFacts, FolderFacts, Marks, Page, What};
use crate::model::{Base, ContentHash, Disk, Mode, RemotePath, Settled};
use crate::plan::listing::{collapsed, holds, rule};
use crate::store::remote::compare::{SLICE, carry_out, slice};
use crate::store::{Compared, ListingId, Naming, Place, Store};

const NAMING: Naming = Naming { holds };

/// Under `/R`, which is `super::home`'s folder `/r` as people write it.
fn file(path: &str, rev: &str, size: u64) -> Entry {
    entry(path, What::File(Box::new(facts(path, rev, size))))
}

fn facts(path: &str, rev: &str, size: u64) -> FileFacts {
    let id = path.to_lowercase().replace('/', "-");
    FileFacts { id, rev: rev.to_owned(), size, content_hash: Some(ContentHash([7; 32])), ..FileFacts::default() }
}

fn folder(path: &str) -> Entry {
    entry(path, What::Folder(FolderFacts::default()))
}

fn deleted(path: &str) -> Entry {
    entry(path, What::Deleted)
}

fn entry(path: &str, what: What) -> Entry {
    let key = RemotePath::parse(&path.to_lowercase()).unwrap();
    Entry { key, name: path.rsplit('/').next().unwrap().to_owned(), above: None, what }
}

/// The directories above these paths.
fn dirs_of<'a>(paths: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let above = |path: &'a str| path.match_indices('/').map(move |(at, _)| path[..at].to_owned());
    paths.flat_map(above).collect()
}

impl Home {
    async fn listing(&self) -> ListingId {
        self.store.open_listings(&["/R".to_owned()], "q").await.unwrap()[0].id
    }

    async fn page(&self, id: ListingId, entries: Vec<Entry>, has_more: bool) {
        let place = match self.store.listing(id).await.unwrap().followed() {
            None => Place::First { here: true },
            Some(tree) => Place::After(tree.id, tree.cursor.clone().unwrap()),
        };
        let cursor = match &place {
            Place::First { .. } => "c".to_owned(),
            Place::After(_, before) => format!("{before}c"),
        };
        let page = Page { entries: collapsed(entries), cursor, has_more, ..Page::default() };
        assert!(self.store.stage_page(id, place, page, rule, 1).await.unwrap().stored);
    }

    /// A first listing, complete and adopted.
    async fn listed(&self, entries: Vec<Entry>) -> ListingId {
        let id = self.listing().await;
        self.page(id, entries, false).await;
        self.store.adopt_listing(id).await.unwrap();
        id
    }

    fn compared(&self, down: bool) -> Vec<Compared> {
        vec![Compared { folder: self.folder, remote: RemotePath::parse("/R").unwrap(), down, disk: Disk::Plain }]
    }

    /// To the end; how many slices that took.
    async fn compare(&self, id: ListingId, down: bool) -> usize {
        let mut slices = 0;
        while self.store.compare_listing(id, self.compared(down), NAMING, 9).await.unwrap().more {
            slices += 1;
            assert!(slices < 10_000);
        }
        slices
    }

    /// Paths and sizes of the rows.
    fn found(&self) -> Vec<String> {
        self.texts("SELECT path || ' ' || size FROM job ORDER BY path")
    }

    fn clear(&self) {
        rusqlite::Connection::open(self.store.path()).unwrap().execute("DELETE FROM job", []).unwrap();
    }

    /// Both sides agree on these, at revision `r1`.
    async fn agreed(&self, files: &[(&str, Option<&str>)]) {
        let paths: Vec<&str> = files.iter().map(|(path, _)| *path).collect();
        self.enqueue(&paths).await;
        let mut done = Vec::new();
        for claimed in self.claim(0).await {
            let id = files.iter().find(|(path, _)| *path == claimed.job.path.as_str()).unwrap().1;
            let base = Base { file_id: id.map(|id| format!("id:{id}")), ..based(3) };
            done.push((claimed.job, Settled::InSync(Some(base))));
        }
        self.store.settle(done, 1).await.unwrap();
        // The directories that they brought into base are looked at, and no path else.
        let dirs: Vec<String> = dirs_of(paths.iter().copied()).into_iter().map(|dir| format!("{dir} 0")).collect();
        assert!(self.found().iter().all(|row| dirs.contains(row)), "{:?}", self.found());
        self.clear();
        let conn = rusqlite::Connection::open(self.store.path()).unwrap();
        for dir in dirs_of(paths.iter().copied()) {
            let (parent, name) = dir.rsplit_once('/').unwrap_or(("", &dir));
            let row = rusqlite::params![self.folder.0, parent, name];
            conn.execute("INSERT OR IGNORE INTO base_dir VALUES (?1, ?2, ?3, 0, 0)", row).unwrap();
        }
    }
}

#[tokio::test]
async fn what_only_dropbox_has_gets_rows_where_things_come_down_and_nowhere_else() {
    let home = super::home().await;
    let agreed = [("same", None), ("older", None), ("gone", None), ("sub/in base", None)];
    home.agreed(&agreed).await;
    let mut doc = facts("/R/doc.gdoc", "1", 5);
    doc.marks = Marks { not_downloadable: true, ..Marks::default() };
    let id = home
        .listed(vec![
            folder("/R"),
            file("/R/same", "r1", 3),
            file("/R/older", "r2", 70),
            folder("/R/Sub"),
            file("/R/Sub/in base", "r1", 3),
            file("/R/Sub/New", "1", 80),
            folder("/R/Empty"),
            folder("/R/Far"),
            file("/R/Far/away", "1", 90),
            entry("/R/doc.gdoc", What::File(Box::new(doc))),
            folder("/R/.ferrybox"),
            file("/R/.ferrybox/marker", "1", 1),
            file(&format!("/R/{}", "é".repeat(200)), "1", 1),
            file("/Rest/of it", "1", 1),
        ])
        .await;
    home.compare(id, false).await;
    assert_eq!(home.found(), ["gone 3", "older 3"], "a backup asks for nothing that only Dropbox has");
    home.clear();
    // Another mode: what only Dropbox has concerns it now. It passes more deletions, so that nothing is agreed on before both have met.
    home.store.folder("/l", "/r", Mode::TwoWay).await.unwrap();
    assert_eq!(home.store.base(home.folder, &super::rel("same")).await, Ok(None));
    home.agreed(&agreed).await;
    home.compare(id, true).await;
    let expected = ["Empty 0", "Far 0", "Far/away 90", "gone 0", "older 70", "sub/New 80"];
    assert_eq!(home.found(), expected);
    // Once more: the same rows.
    home.store.folder("/l", "/r", Mode::Download).await.unwrap();
    home.compare(id, true).await;
    assert_eq!(home.found(), expected);
    home.counts_agree();
    assert_eq!(home.compare(id, true).await, 0, "nothing is left to compare");
    // The same mode again is no reason to begin anew; a base that is forgotten is.
    home.store.folder("/l", "/r", Mode::Download).await.unwrap();
    assert_eq!(home.compare(id, true).await, 0);
    home.store.forget(home.folder).await.unwrap();
    home.compare(id, true).await;
    assert_eq!(home.found().len(), 8);
}

#[tokio::test]
async fn what_the_disk_cannot_hold_gets_no_row() {
    let home = super::home().await;
    let id =
        home.listed(vec![folder("/R"), file("/R/12:30", "1", 1), folder("/R/why?"), file("/R/why?/x", "1", 1)]).await;
    let folders = |disk| vec![Compared { disk, ..home.compared(true).remove(0) }];
    while home.store.compare_listing(id, folders(Disk::Windows), NAMING, 9).await.unwrap().more {}
    assert!(home.found().is_empty());
    home.store.folder("/l", "/r", Mode::Download).await.unwrap();
    while home.store.compare_listing(id, folders(Disk::Plain), NAMING, 9).await.unwrap().more {}
    assert_eq!(home.found(), ["12:30 1", "why? 0", "why?/x 1"]);
}

#[tokio::test]
async fn nothing_is_compared_before_the_listing_is_complete_or_within_a_run_of_pages() {
    let home = super::home().await;
    home.agreed(&[("kept", None), ("lost", None)]).await;
    let id = home.listing().await;
    home.page(id, vec![folder("/R"), file("/R/new", "1", 1)], true).await;
    assert_eq!(home.compare(id, true).await, 0);
    home.page(id, vec![file("/R/kept", "r1", 3), file("/R/lost", "r1", 3)], false).await;
    assert_eq!(home.compare(id, true).await, 0, "it is complete, but nobody has believed it yet");
    home.store.adopt_listing(id).await.unwrap();
    home.compare(id, true).await;
    assert_eq!(home.found(), ["new 1"]);
    home.clear();
    // Deleted and there again within one run of pages: nothing has happened.
    home.page(id, vec![deleted("/R/kept"), deleted("/R/lost")], true).await;
    assert_eq!(home.compare(id, true).await, 0);
    home.page(id, vec![file("/R/kept", "r1", 3)], false).await;
    home.compare(id, true).await;
    assert_eq!(home.found(), ["lost 0"]);
}

/// The letters of the disk stay: what is new comes to lie beside what is there.
#[tokio::test]
async fn e5_e6_rows_have_the_names_that_base_knows() {
    let home = super::home().await;
    home.agreed(&[("photos/one.JPG", None), ("photos/ÄRGER/x", None), ("moved", Some("-r-target"))]).await;
    let id = home
        .listed(vec![
            folder("/R"),
            folder("/R/Photos"),
            file("/R/Photos/One.jpg", "r1", 3),
            file("/R/Photos/Two.jpg", "1", 5),
            folder("/R/Photos/Ärger"),
            file("/R/Photos/Ärger/Y", "1", 6),
            file("/R/Photos/Ärger/X", "r1", 3),
            file("/R/Target", "r1", 3),
        ])
        .await;
    home.compare(id, true).await;
    // Its id alone says nothing: the file lies at another path now, and both have to be looked at.
    assert_eq!(home.found(), ["Target 3", "moved 0", "photos/Two.jpg 5", "photos/ÄRGER/Y 6"]);
    home.clear();
    home.page(
        id,
        vec![file("/R/photos/THREE.jpg", "1", 7), file("/R/PHOTOS/ONE.jpg", "r9", 8), folder("/R/PHOTOS/New")],
        false,
    )
    .await;
    home.compare(id, true).await;
    assert_eq!(home.found(), ["photos/New 0", "photos/THREE.jpg 7", "photos/one.JPG 8"]);
}

#[tokio::test]
async fn a_conflicted_copys_base_is_not_the_file_at_its_path() {
    let home = super::home().await;
    home.enqueue(&["a"]).await;
    let place = RemotePath::parse("/r/a (copy)").unwrap();
    let copy = Base { remote: Some(place), file_id: Some("id:-r-a (copy)".to_owned()), ..based(3) };
    let done = home.claim(0).await.into_iter().map(|c| (c.job, Settled::InSync(Some(copy.clone())))).collect();
    home.store.settle(done, 1).await.unwrap();
    let id = home.listed(vec![folder("/R"), file("/R/a", "5", 9), file("/R/a (copy)", "r1", 3)]).await;
    home.compare(id, true).await;
    assert_eq!(home.found(), ["a 9"]);
}

#[tokio::test]
async fn our_own_commit_is_nothing_new_and_what_was_given_up_is_looked_at_again() {
    let home = super::home().await;
    let batch = home.batch(&["mine"]).await;
    home.enqueue(&["stuck"]).await;
    let failure = crate::model::Failure::wedge("why", "not now");
    let stuck = home.claim(0).await.into_iter().map(|c| (c.job, Settled::Wedge(failure.clone()))).collect();
    home.store.settle(stuck, 1).await.unwrap();
    let mut mine = facts("/R/mine", "1", 1);
    mine.content_hash = Some(ContentHash([9; 32]));
    let id =
        home.listed(vec![folder("/R"), entry("/R/mine", What::File(Box::new(mine))), file("/R/stuck", "1", 40)]).await;
    home.compare(id, true).await;
    assert_eq!(home.rows(), ["mine 1 staged 0 -", "stuck 2 due 0 why"]);
    assert_eq!(home.found(), ["mine 1", "stuck 40"]);
    assert_eq!(batch.changes.len(), 1);
    home.counts_agree();
}

/// Slices are small and go on where they were, also after a kill; a folder above many files goes in slices, too.
#[tokio::test]
async fn memory_is_bounded_by_the_slice_and_a_crash_repeats_no_more_than_one() {
    let mut home = super::home().await;
    let names: Vec<String> = (0..60).map(|i| format!("d{}/s{}/f{i:02}", i % 3, 9 - i % 30 / 6)).collect();
    home.agreed(&names.iter().take(30).map(|n| (n.as_str(), None)).collect::<Vec<_>>()).await;
    let mut entries = vec![folder("/R")];
    entries.extend(names.iter().map(|name| file(&format!("/R/{name}"), "r1", 3)));
    let id = home.listed(entries).await;
    let mut most = 0;
    let mut slices = 0;
    loop {
        let before = home.found().len();
        let more = home.store.compare_listing(id, home.compared(true), NAMING, 9).await.unwrap().more;
        most = most.max(home.found().len() - before);
        if !more {
            break;
        }
        slices += 1;
        // A crash: nothing but the file is left.
        let path = home.store.path().to_owned();
        home.store.close().await.unwrap();
        home.store = Store::open(&path).unwrap();
    }
    assert!(slices > 10 && most <= SLICE, "{slices} {most}");
    assert_eq!(home.found().len(), 30);
    assert!(home.rows().iter().all(|row| row.contains(" 1 due ")), "a path was compared twice: {:?}", home.rows());
    home.clear();
    // Ten files of base lie in each of the folders.
    home.page(id, vec![deleted("/R/d0"), deleted("/R/d2"), file("/R/z", "1", 1)], false).await;
    let (mut most, mut slices) = (0, 0);
    loop {
        slices += 1;
        assert!(slices < 100);
        let before = home.found().len();
        let more = home.store.compare_listing(id, home.compared(true), NAMING, 9).await.unwrap().more;
        most = most.max(home.found().len() - before);
        if !more {
            break;
        }
        let path = home.store.path().to_owned();
        home.store.close().await.unwrap();
        home.store = Store::open(&path).unwrap();
    }
    // The rows of the directories come beside a full slice, those of one deleted folder at once.
    assert!(most <= SLICE + 6, "{most}");
    let expected: BTreeSet<String> =
        names[..30].iter().filter(|n| !n.starts_with("d1")).map(|n| format!("{n} 0")).collect();
    let found: BTreeSet<String> = home.found().into_iter().collect();
    let gone = names[..30].iter().map(String::as_str).filter(|n| !n.starts_with("d1"));
    let own = dirs_of(gone).into_iter().map(|dir| format!("{dir} 0")).chain(["z 1".to_owned()]);
    assert_eq!(found, expected.into_iter().chain(own).collect());
    assert!(home.rows().iter().all(|row| row.contains(" 1 due ")), "{:?}", home.rows());
    // As a backup the same deletion asks for base's files only.
    home.clear();
    home.page(id, vec![deleted("/R/d1"), folder("/R/d9"), file("/R/d9/x", "1", 1)], false).await;
    home.compare(id, false).await;
    assert_eq!(home.found().len(), 10);
}

#[tokio::test]
async fn a_comparison_that_is_begun_anew_meanwhile_stays_begun_anew() {
    let home = super::home().await;
    home.agreed(&[("a", None)]).await;
    let id = home.listed(vec![folder("/R"), file("/R/a", "r1", 3), file("/R/b", "1", 1)]).await;
    let folders = home.compared(true);
    assert!(home.store.compare_listing(id, folders.clone(), NAMING, 9).await.unwrap().more);
    let read = home.store.read_blocking(|conn| slice(conn, id, &folders, NAMING)).unwrap().unwrap();
    home.store.forget(home.folder).await.unwrap();
    home.store.write_rows(99, move |conn| carry_out(conn, id, &read, 9)).await.unwrap();
    home.compare(id, true).await;
    assert_eq!(home.found(), ["a 3", "b 1"]);
}

#[tokio::test]
async fn a_folder_above_the_synced_one_takes_it_along() {
    let home = super::home().await;
    home.agreed(&[("x", None)]).await;
    let folders = vec![Compared {
        folder: home.folder,
        remote: RemotePath::parse("/Top/R").unwrap(),
        down: true,
        disk: Disk::Plain,
    }];
    let id = home.listed(vec![folder("/Top"), folder("/Top/R"), file("/Top/R/x", "r1", 3)]).await;
    while home.store.compare_listing(id, folders.clone(), NAMING, 9).await.unwrap().more {}
    assert!(home.found().is_empty());
    home.page(id, vec![deleted("/Top")], false).await;
    while home.store.compare_listing(id, folders.clone(), NAMING, 9).await.unwrap().more {}
    assert_eq!(home.found(), ["x 0"]);
}

#[tokio::test]
async fn another_folders_base_is_none_of_this_ones() {
    let home = super::home().await;
    let other = home.store.folder("/m", "/R/sub", Mode::Mirror).await.unwrap().id;
    home.agreed(&[("a", None)]).await;
    let id = home.listed(vec![folder("/R"), file("/R/a", "r1", 3), folder("/R/sub"), file("/R/sub/b", "1", 2)]).await;
    let remote = |text: &str| RemotePath::parse(text).unwrap();
    let folders = |first: bool, second: bool| {
        vec![
            Compared { folder: home.folder, remote: remote("/R"), down: first, disk: Disk::Plain },
            Compared { folder: other, remote: remote("/R/sub"), down: second, disk: Disk::Plain },
        ]
    };
    while home.store.compare_listing(id, folders(false, true), NAMING, 9).await.unwrap().more {}
    let rows = || home.texts("SELECT folder || ' ' || path FROM job ORDER BY folder, path");
    assert_eq!(rows(), [format!("{} b", other.0)]);
    home.clear();
    home.page(id, vec![file("/R/sub/c", "1", 2)], false).await;
    while home.store.compare_listing(id, folders(true, true), NAMING, 9).await.unwrap().more {}
    assert_eq!(rows(), [format!("{} sub/c", home.folder.0), format!("{} c", other.0)]);
}
