//! Names that Dropbox does not tell apart, names that it does not take, and our own names.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;

use crate::harness::{World, text};

#[test]
fn h7_a_rename_in_case_or_composition_only_never_deletes() {
    for (from, to) in [("Report.txt", "report.txt"), ("Cafe\u{301}", "Caf\u{e9}")] {
        let mut world = World::new();
        world.mode = "mirror";
        world.write(from, "precious");
        world.write("sub/other", "x");
        world.once_in_sync();
        fs::rename(world.folder.join(from), world.folder.join(to)).unwrap();
        world.once_in_sync();
        assert_eq!(world.standin.content(&format!("/T/{to}")).as_deref(), Some(b"precious".as_slice()), "{from}");
        // And it is still known as synced: an edit is a revision, a deletion is passed on.
        world.write(to, "edited");
        world.once_in_sync();
        assert_eq!(world.standin.content(&format!("/T/{to}")).as_deref(), Some(b"edited".as_slice()));
        assert_eq!(world.standin.file_count(), 2);
        fs::remove_file(world.folder.join(to)).unwrap();
        world.once_in_sync();
        assert!(world.standin.file(&format!("/T/{to}")).is_none());
        world.assert_clean();
    }
}

#[test]
fn i1_twins_that_dropbox_does_not_tell_apart_share_nothing() {
    let mut world = World::new();
    world.mode = "mirror";
    world.write("FOO", "same");
    world.once_in_sync();
    world.write("foo", "same");
    world.write("bar", "x");
    let out = world.once();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    // Deleting the second, or editing it, leaves the first one's file alone.
    fs::remove_file(world.folder.join("foo")).unwrap();
    world.once_in_sync();
    assert_eq!(world.standin.content("/T/FOO").unwrap(), "same");
    world.write("foo", "other");
    world.once();
    assert_eq!(world.standin.content("/T/FOO").unwrap(), "same");
    world.assert_clean();
}

/// I2: two spellings of one name, which Dropbox does not tell apart; the disk does, and its bytes stay as they are.
#[test]
fn i2_two_compositions_of_one_name_never_share_a_file() {
    let mut world = World::new();
    world.mode = "mirror";
    let (composed, decomposed) = ("Caf\u{e9}", "Cafe\u{301}");
    world.write(composed, "composed");
    world.write(&format!("sub/{decomposed}/x"), "below");
    world.once_in_sync();
    world.write(decomposed, "decomposed");
    let out = world.once();
    assert!(matches!(out.status.code(), Some(0 | 3)), "{}", text(&out));
    let names = world.disk().into_keys().filter(|name| !name.contains('/')).collect::<Vec<_>>();
    assert_eq!(names, [decomposed, composed], "nothing is renamed here");
    // The second is a problem, or (where Dropbox's listing did not tell of the first in time) lies beside it as a conflicted copy.
    let hash = ferrybox_standin::content_hash(b"decomposed");
    assert_eq!(world.remote().values().any(|h| *h == hash), out.status.code() == Some(0));
    let first = |world: &World| {
        let file = world.standin.file(&format!("/T/{composed}")).unwrap();
        (file.revisions, file.content_hash == ferrybox_standin::content_hash(b"composed"))
    };
    assert_eq!(first(&world), (1, true));
    // Deleting or editing the second leaves the first one's file alone.
    world.write(decomposed, "edited");
    world.once();
    assert_eq!(first(&world), (1, true));
    fs::remove_file(world.folder.join(decomposed)).unwrap();
    world.once_in_sync();
    assert_eq!(first(&world), (1, true));
    assert_eq!(world.standin.file_count(), 2);
    world.assert_clean();
}

/// I8: letters that Rust folds, and Dropbox does not, or otherwise. Whatever Dropbox takes for one name: no file is lost or mixed.
#[test]
fn i8_letters_that_fold_in_odd_ways_mix_no_files() {
    let odd =
        ["\u{130}", "i\u{307}", "i", "\u{1e9e}", "\u{df}", "ss", "\u{212a}", "k", "\u{3a3}", "\u{3c3}", "\u{3c2}"];
    let folds = [
        Vec::new(),
        vec![('\u{130}', "i".to_owned()), ('\u{1e9e}', "ss".to_owned()), ('\u{3c2}', "\u{3c3}".to_owned())],
        vec![('\u{212a}', "\u{212a}".to_owned()), ('\u{1e9e}', "\u{df}".to_owned())],
    ];
    for fold in folds {
        let mut world = World::with(ferrybox_standin::Settings { fold, ..Default::default() });
        world.mode = "mirror";
        for name in odd {
            world.write(&format!("{name}.txt"), format!("of {name}"));
        }
        world.once();
        // Where Dropbox has one name for two, one of them has it, and the other lies beside it or is a problem. No content comes twice, or is new.
        let (remote, disk) = (world.remote(), world.disk());
        let contents: std::collections::BTreeSet<_> = remote.values().collect();
        assert!(contents.len() == remote.len() && contents.iter().all(|hash| disk.values().any(|h| h == *hash)));
        let own = |name: &String| remote.contains_key(name);
        assert!(disk.iter().filter(|(name, _)| own(name)).all(|(name, hash)| remote[name] == *hash), "{remote:?}");
        // Dropbox shows the Kelvin sign as the letter that it is composed of: where it came before `k`, it has its place under that name.
        let kelvin = usize::from(remote.contains_key("K.txt"));
        assert!(disk.keys().filter(|name| own(name)).count() + kelvin >= 6, "{remote:?}");
        // Those without a place of their own go, and take nothing along.
        for name in disk.keys().filter(|name| !own(name)) {
            fs::remove_file(world.folder.join(name)).unwrap();
        }
        world.once_in_sync();
        world.assert_equal();
        assert!(world.standin.files().iter().all(|f| f.revisions == 1));
        world.assert_clean();
    }
}

#[test]
fn i5_names_that_dropbox_does_not_take_stop_nobody_and_go_when_they_are_renamed() {
    let world = World::new();
    world.write("good", "1");
    world.write("bad\\name", "2");
    world.write("Icon\r", "3");
    world.write("~$office.docx", "4");
    let daemon = world.daemon();
    world.until("the good one", |s| s.file("/T/good").is_some());
    let out = world.command(&["sync", "--wait"]).output().unwrap();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    assert_eq!(world.remote().len(), 1);
    fs::rename(world.folder.join("bad\\name"), world.folder.join("better")).unwrap();
    world.until("the renamed one", |s| s.file("/T/better").is_some());
    drop(daemon);
    world.assert_clean();
}

#[test]
fn a_problem_goes_with_its_path() {
    let world = World::new();
    world.write("bad\\name", "1");
    fs::create_dir(world.folder.join("d")).unwrap();
    std::os::unix::fs::symlink("x", world.folder.join("d/link")).unwrap();
    world.write("good", "1");
    assert_eq!(world.once().status.code(), Some(3));
    fs::rename(world.folder.join("bad\\name"), world.folder.join("better")).unwrap();
    fs::remove_file(world.folder.join("d/link")).unwrap();
    fs::remove_dir(world.folder.join("d")).unwrap();
    world.once_in_sync();
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn i9_our_own_names_are_never_sent() {
    let world = World::new();
    world.write("a", "1");
    world.once_in_sync();
    world.write(".ferrybox/mine", "x");
    world.write("sub/.ferrybox", "x");
    world.once_in_sync();
    assert!(world.remote().keys().all(|name| !name.contains(".ferrybox")), "{:?}", world.remote());
    world.assert_clean();
}

/// A directory that was a folder of its own keeps its marker and its trash, and they stay here however the outer folder comes to look at them.
#[test]
fn i9_what_an_older_folder_left_inside_this_one_is_never_sent() {
    let mut inner = World::new();
    inner.mode = "two-way";
    inner.write("a", "1");
    inner.once_in_sync();
    let mut outer = World::new();
    outer.mode = "two-way";
    fs::rename(&inner.folder, outer.folder.join("was-one")).unwrap();
    outer.write("was-one/.ferrybox/trash/2026-01-01/old", "thrown away");
    outer.write("was-one/.ferrybox/tmp/half", "half a download");
    outer.once_in_sync();
    assert_eq!(outer.remote().keys().collect::<Vec<_>>(), ["was-one/a"]);
    let daemon = outer.daemon();
    outer.until_folder("in_sync");
    // By events too: one that changes, one that is made, and one that comes along with its directory.
    outer.write("was-one/.ferrybox/trash/2026-01-01/new", "thrown away");
    outer.write("made/deeper/.ferrybox/root-id", "0");
    fs::rename(outer.folder.join("was-one"), outer.folder.join("moved")).unwrap();
    outer.write("last", "l");
    outer.until("what is to go up", |s| s.file("/T/last").is_some() && s.file("/T/moved/a").is_some());
    let out = outer.command(&["sync", "--wait"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!(outer.remote().keys().collect::<Vec<_>>(), ["last", "moved/a"]);
    assert!(outer.standin.tree_hashes().keys().all(|path| !path.contains(".ferrybox")));
    assert_eq!(fs::read(outer.folder.join("moved/.ferrybox/trash/2026-01-01/new")).unwrap(), b"thrown away");
    outer.assert_clean();
}
