//! A disk that takes names for one another which Dropbox tells apart, as those of Macs and of many NAS boxes do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    missing_docs
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Instant;

use crate::harness::namespace::Namespace;
use crate::harness::{World, look_for, text};
use serde_json::Value;

/// Run in a namespace by the tests below it: a disk of its own, until that is unmounted.
#[test]
#[ignore = "the inner half of the tests of this file, which run it in a namespace: cargo test --test engine folding_disk"]
fn inside_serves_a_folding_disk() {
    let named = |name: &str| std::env::var(name).unwrap();
    crate::harness::folding::serve(Path::new(&named("FUSE_FROM")), Path::new(&named("FUSE_AT")));
}

/// A two-way folder on such a disk.
struct Folding {
    world: World,
    namespace: Namespace,
    /// The ordinary directory beneath it.
    from: PathBuf,
    server: Child,
}

impl Folding {
    fn new() -> Self {
        Self::of("two-way")
    }

    fn of(mode: &'static str) -> Self {
        let namespace = Namespace::new();
        let mut world = World::new();
        world.mode = mode;
        world.extra = "rescan = \"1s\"\n".to_owned();
        let from = world.dir.path().join("elsewhere");
        fs::create_dir(&from).unwrap();
        fs::write(from.join("Seen"), "").unwrap();
        let mut server = namespace
            .command(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "sync::folding_disk::inside_serves_a_folding_disk"])
            .env("FUSE_FROM", &from)
            .env("FUSE_AT", &world.folder)
            .spawn()
            .unwrap();
        let seen = namespace.path(&world.folder).join("seen");
        let until = Instant::now() + crate::harness::PATIENCE;
        while !seen.exists() {
            let ended = server.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "the disk is not served: {ended:?}");
            std::thread::yield_now();
        }
        fs::remove_file(seen).unwrap();
        Self { world, namespace, from, server }
    }

    fn daemon(&self) -> crate::harness::Daemon {
        let daemon = self.world.daemon_by(self.namespace.command(env!("CARGO_BIN_EXE_ferrybox")));
        self.world.until_status("it is known", |s| s["accounts"][0]["account_id"].is_string());
        daemon
    }

    /// What is on the disk, without our own directory.
    fn disk(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        walk(&self.from, &self.from, &mut found);
        found
    }

    fn eventually(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let found = look_for(crate::harness::PATIENCE, || done(self).then_some(()));
        assert!(found.is_some(), "in vain: {what}\n{:#?}\n{:#?}\n{}", self.disk(), self.problems(), self.world.log());
    }

    /// Path below the folder -> code.
    fn problems(&self) -> BTreeMap<String, String> {
        let out = self.world.command(&["problems", "--json"]).output().unwrap();
        let listed: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", text(&out)));
        let line = |p: &Value| (p["path"].as_str().unwrap().to_owned(), p["code"].as_str().unwrap().to_owned());
        listed["items"].as_array().unwrap().iter().map(line).collect()
    }

    fn end(mut self, daemon: crate::harness::Daemon) {
        assert_eq!(daemon.stop().0, Some(0));
        self.namespace.run(&format!("umount {}", self.world.folder.display()));
        assert!(self.server.wait().unwrap().success());
        self.world.assert_clean();
    }
}

fn walk(root: &Path, dir: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with(".ferrybox") {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, found);
        } else if let Ok(content) = fs::read_to_string(&path) {
            found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), content);
        }
    }
}

#[test]
fn e15_two_files_of_dropboxs_that_are_one_name_to_the_disk_overwrite_nothing() {
    let folding = Folding::new();
    let standin = &folding.world.standin;
    for (path, content) in [
        ("straße", "one"),
        ("strasse", "two"),
        ("Maße/a", "in one"),
        ("Masse/a", "in two"),
        ("Masse/b", "only in two"),
        ("plain", "p"),
    ] {
        standin.write(&format!("/T/{path}"), content);
    }
    let served = folding.world.remote();
    let daemon = folding.daemon();
    // One of each pair is here, and the other a problem.
    let shown = |f: &Folding| {
        f.problems().into_iter().filter(|(_, code)| code == "case_conflict").map(|(path, _)| path).collect::<Vec<_>>()
    };
    let whole = |f: &Folding| {
        let (disk, told) = (f.disk(), shown(f));
        let (sharp, double) = (told.contains(&"straße".to_owned()), told.contains(&"strasse".to_owned()));
        let (dir, other) = (told.contains(&"Maße".to_owned()), told.contains(&"Masse".to_owned()));
        sharp != double
            && dir != other
            && disk.get(if sharp { "strasse" } else { "straße" }).map(String::as_str)
                == Some(if sharp { "two" } else { "one" })
            && disk.get(if dir { "Masse/a" } else { "Maße/a" }).map(String::as_str)
                == Some(if dir { "in two" } else { "in one" })
            && disk.len() == if dir { 4 } else { 3 }
            && told.iter().filter(|path| path.contains('/')).count() == if dir { 1 } else { 2 }
    };
    folding.eventually("one of each is here", whole);
    assert_eq!(folding.world.remote(), served, "{}", folding.world.log());
    let (before, calls) = (folding.disk(), standin.data_transport_calls());
    // Nothing more comes of it, not with scans and not at a start.
    let scans = || folding.world.command(&["sync", "--wait"]).output().unwrap();
    scans();
    drop(daemon);
    let daemon = folding.daemon();
    folding.eventually("the same after a restart", |f| whole(f));
    scans();
    assert_eq!((folding.disk(), folding.world.remote()), (before, served));
    assert_eq!((standin.data_transport_calls(), folding.world.deletions()), (calls, 0));
    // Where the way is free, the other one comes.
    let (gone, content) = if folding.disk().contains_key("straße") { ("straße", "two") } else { ("strasse", "one") };
    let left = if gone == "straße" { "strasse" } else { "straße" };
    standin.delete(&format!("/T/{gone}"));
    folding.eventually("the other one comes", |f| f.disk().get(left).map(String::as_str) == Some(content));
    assert_eq!(standin.content(&format!("/T/{left}")).unwrap(), content);
    assert!(!folding.disk().contains_key(gone));
    folding.end(daemon);
}

#[test]
fn e15_a_file_that_went_is_not_taken_for_the_one_whose_name_leads_there() {
    let folding = Folding::new();
    let standin = &folding.world.standin;
    standin.write("/T/strasse", "two");
    let daemon = folding.daemon();
    folding.eventually("it is here", |f| f.disk().len() == 1);
    // In one blow, as far as a scan can see.
    fs::write(folding.from.join("straße"), "another file").unwrap();
    fs::remove_file(folding.from.join("strasse")).unwrap();
    folding.world.command(&["sync", "--wait"]).output().unwrap();
    folding.eventually("the new name goes up", |f| {
        f.world.standin.content("/T/straße").is_some_and(|content| content == "another file")
    });
    folding.eventually("the old one goes", |f| f.world.standin.file("/T/strasse").is_none());
    folding.world.command(&["sync", "--wait"]).output().unwrap();
    assert!(standin.file("/T/strasse").is_none(), "{}", folding.world.log());
    assert_eq!(folding.disk().into_keys().collect::<Vec<_>>(), ["straße"]);
    let revisions = standin.file("/T/straße").unwrap().revisions;
    assert_eq!(revisions, 1);
    folding.end(daemon);
}

/// H7: `mv Foo foo` on such a disk is the same move in two steps that it is elsewhere, and nothing is sent, deleted or called a problem.
#[test]
fn h7_other_letters_are_a_move_and_no_deletion() {
    for mode in ["two-way", "mirror"] {
        let folding = Folding::of(mode);
        let standin = &folding.world.standin;
        for path in ["Readme.TXT", "Docs/a", "Docs/Sub/b", "keep"] {
            let at = folding.from.join(path);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(at, path).unwrap();
        }
        let daemon = folding.daemon();
        let shown = |f: &Folding| f.world.remote().into_keys().collect::<Vec<_>>();
        let all = |f: &Folding, names: [&str; 4]| f.problems().is_empty() && shown(f) == names;
        folding.eventually("all is there", |f| all(f, ["Docs/Sub/b", "Docs/a", "Readme.TXT", "keep"]));
        let before: BTreeMap<_, _> = standin.files().into_iter().map(|f| (f.id, f.content_hash)).collect();
        standin.reset_counters();
        // Beneath the disk: above it Linux takes both names for links to one file, and does nothing.
        let rename = |from: &str, to: &str| fs::rename(folding.from.join(from), folding.from.join(to)).unwrap();
        rename("Readme.TXT", "README.txt");
        rename("Docs", "docs");
        folding.world.command(&["sync", "--wait"]).output().unwrap();
        folding.eventually("the new letters", |f| all(f, ["README.txt", "docs/Sub/b", "docs/a", "keep"]));
        rename("docs/Sub", "docs/SUB");
        folding.world.command(&["sync", "--wait"]).output().unwrap();
        folding.eventually("the new letters below", |f| all(f, ["README.txt", "docs/SUB/b", "docs/a", "keep"]));
        // And nothing more comes of it, with a scan and after a start.
        let moves = standin.calls_of("files/move_batch_v2");
        drop(daemon);
        let daemon = folding.daemon();
        folding.world.command(&["sync", "--wait"]).output().unwrap();
        assert!(all(&folding, ["README.txt", "docs/SUB/b", "docs/a", "keep"]), "{:?}", shown(&folding));
        assert_eq!(folding.disk().into_keys().collect::<Vec<_>>(), ["README.txt", "docs/SUB/b", "docs/a", "keep"]);
        let after: BTreeMap<_, _> = standin.files().into_iter().map(|f| (f.id, f.content_hash)).collect();
        assert_eq!(after, before, "the very same files");
        assert_eq!((standin.data_transport_calls(), folding.world.deletions()), (0, 0), "{:#?}", standin.calls());
        assert_eq!((moves, standin.calls_of("files/download")), (standin.calls_of("files/move_batch_v2"), 0));
        folding.end(daemon);
    }
}

/// H7: the letters of a name change in Dropbox. It is the same file and the same folder: nothing is deleted, fetched or sent for it.
#[test]
fn h7_other_letters_in_dropbox_take_nothing_away() {
    let folding = Folding::new();
    let standin = &folding.world.standin;
    for path in ["Readme", "Docs/a", "keep"] {
        standin.write(&format!("/T/{path}"), path);
    }
    let daemon = folding.daemon();
    folding.eventually("all is here", |f| f.disk().len() == 3);
    let (before, fetched) = (folding.disk(), standin.calls_of("files/download"));
    for (old, new) in [("Readme", "README"), ("Docs", "docs")] {
        standin.rename(&format!("/T/{old}"), &format!("/T/{old} on its way"));
        standin.rename(&format!("/T/{old} on its way"), &format!("/T/{new}"));
    }
    standin.write("/T/docs/new", "new");
    folding.eventually("what came after it is here", |f| f.disk().values().any(|content| content == "new"));
    folding.world.command(&["sync", "--wait"]).output().unwrap();
    let (mut here, mut was) = (folding.disk(), before);
    here.retain(|_, content| content != "new");
    let lower = |disk: BTreeMap<String, String>| -> BTreeMap<String, String> {
        disk.into_iter().map(|(path, content)| (path.to_lowercase(), content)).collect()
    };
    (here, was) = (lower(here), lower(was));
    assert_eq!(here, was);
    assert_eq!((standin.file_count(), standin.data_transport_calls(), folding.world.deletions()), (4, 0, 0));
    assert!(standin.calls_of("files/download") <= fetched + 3, "{:#?}", standin.calls());
    assert!(folding.problems().is_empty(), "{:?}", folding.problems());
    folding.end(daemon);
}
