//! Local renames that meet something else: other letters, uploads under way, somebody else's changes, kills, limits.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;
use std::time::Duration;

use crate::harness::renames::{COPY, MOVE, assert_moved, holding, ids, rename, sent, until_idle, world};
use crate::harness::{APPEND_BATCH, World};
use ferrybox_standin::{Effect, Entries, Fault, Settings};

/// H6: made and renamed while its upload is under way: the file is there once, under its new name.
#[test]
fn h6_renamed_while_it_goes_up() {
    for mode in ["mirror", "two-way"] {
        let world = holding(mode, &[]);
        world.standin.reset_counters();
        let daemon = world.daemon();
        until_idle(&world);
        world.standin.faults().add(Fault::once(APPEND_BATCH, Effect::Stall(Duration::from_millis(700))));
        world.write("first name", vec![7; 30_000]);
        world.until("the upload", |s| s.calls_of(APPEND_BATCH) > 0);
        rename(&world, "first name", "second name");
        world.until("the new name", |s| s.file("/T/second name").is_some() && s.file("/T/first name").is_none());
        until_idle(&world);
        assert_eq!(world.standin.file_count(), 2);
        world.assert_equal();
        daemon.stop();
        world.assert_clean();
    }
}

/// H7: a name that changed only its letters is moved by way of another name, and never deleted.
#[test]
fn h7_letters_of_names_change_without_a_deletion() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        world.write("Readme.TXT", "read me");
        for i in 0..10 {
            world.write(&format!("Docs/{i}"), format!("doc {i}"));
        }
        world.write("keep", "k");
        if mode == "two-way" {
            fs::create_dir(world.folder.join("Empty")).unwrap();
        }
        world.once_in_sync();
        let before = ids(&world);
        world.standin.reset_counters();
        rename(&world, "Readme.TXT", "README.txt");
        rename(&world, "Docs", "docs");
        if mode == "two-way" {
            rename(&world, "Empty", "empty");
        }
        world.once_in_sync();
        world.assert_equal();
        assert_eq!((sent(&world.standin), world.deletions()), (0, 0), "{mode} {:#?}", world.standin.calls());
        assert_eq!(ids(&world).keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
        let folders = world.standin.folders();
        assert!(folders.contains(&"/T/docs".to_owned()), "{folders:?}");
        if mode == "two-way" {
            assert!(folders.contains(&"/T/empty".to_owned()), "{folders:?}");
            assert!(world.folder.join("empty").is_dir());
        }
        // Nothing more is done about it.
        world.standin.reset_counters();
        world.once_in_sync();
        assert_eq!(world.standin.calls_of(MOVE), 0);
        world.assert_clean();
    }
}

/// H7: a name in another normal form is the same name in Dropbox: nothing is sent, moved or deleted.
#[test]
fn h7_another_normal_form_is_the_same_name() {
    for mode in ["mirror", "two-way"] {
        let world = holding(mode, &[("cafe\u{301}", "coffee")]);
        world.standin.reset_counters();
        rename(&world, "cafe\u{301}", "caf\u{e9}");
        world.once_in_sync();
        assert_moved(&world, 0, 0);
        assert_eq!(world.standin.file("/T/caf\u{e9}").unwrap().revisions, 1);
        assert!(world.folder.join("caf\u{e9}").exists());
        world.assert_clean();
    }
}

/// H7: two files whose names Dropbox folds into one: the one that is not synced takes nothing from the other.
#[test]
fn h7_a_twin_stays() {
    let world = holding("mirror", &[("foo", "first")]);
    // A mirror does not wait for the listing, and would find a conflict instead.
    let daemon = world.daemon();
    world.until_status("it is listed", |s| s["accounts"][0]["remote"]["entries"].as_u64() >= Some(2));
    daemon.stop();
    world.write("Foo", "second");
    assert_eq!(world.once().status.code(), Some(3));
    rename(&world, "Foo", "FOO");
    assert_eq!(world.once().status.code(), Some(3));
    assert_eq!(world.standin.content("/T/foo").unwrap(), "first");
    assert_eq!(world.standin.file_count(), 2);
    assert_eq!(world.standin.calls_of(MOVE), 0);
    world.assert_clean();
}

/// H9: the directory is renamed while a file in it goes up: the file is there once, at the new path.
#[test]
fn h9_a_directory_renamed_while_a_file_in_it_goes_up() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        for i in 0..10 {
            world.write(&format!("old/{i}"), format!("content {i}"));
        }
        world.write("keep", "k");
        world.once_in_sync();
        world.standin.reset_counters();
        let daemon = world.daemon();
        until_idle(&world);
        world.standin.faults().add(Fault::once(APPEND_BATCH, Effect::Stall(Duration::from_millis(700))));
        world.write("old/late", vec![7; 30_000]);
        world.until("the upload", |s| s.calls_of(APPEND_BATCH) > 0);
        rename(&world, "old", "new");
        world.until("the move", |s| s.file("/T/new/late").is_some() && s.file("/T/new/3").is_some());
        until_idle(&world);
        daemon.stop();
        world.once_in_sync();
        world.assert_equal();
        assert_eq!(world.standin.file_count(), 12);
        world.assert_clean();
    }
}

/// H10: what may not leave its place by a move is copied; the old one is deleted only when the copy is there.
#[test]
fn h10_out_of_a_shared_folder_it_is_a_copy_and_then_a_deletion() {
    for (mode, tag) in [("mirror", "cant_move_shared_folder"), ("two-way", "cant_transfer_ownership")] {
        let world = world(mode);
        for i in 0..10 {
            world.write(&format!("shared/{i}"), format!("content {i}"));
        }
        world.write("keep", "k");
        world.once_in_sync();
        world.standin.reset_counters();
        let refused = Effect::EntryFailure { entries: Entries::All, tag: format!("relocation_error/{tag}") };
        world.standin.faults().add(Fault::always(MOVE, refused));
        // The copy is slow: a deletion that did not wait for it would be there first.
        world.standin.faults().add(Fault::once(COPY, Effect::Stall(Duration::from_secs(4))));
        rename(&world, "shared", "own");
        let daemon = world.daemon();
        world.until("the copies", |s| s.file("/T/own/9").is_some());
        assert!(world.standin.file("/T/shared/9").is_some(), "deleted before it was copied");
        world.until("the deletions", |s| s.file_count() == 11);
        until_idle(&world);
        daemon.stop();
        world.once_in_sync();
        world.assert_equal();
        assert_eq!(sent(&world.standin), 0);
        world.assert_clean();
    }
}

/// H11: a file is renamed in Dropbox onto a name that a file here has which was never synced: both are kept.
#[test]
fn h11_a_rename_there_onto_a_name_that_is_taken_here() {
    let world = holding("two-way", &[("theirs", "their content")]);
    world.standin.rename("/T/theirs", "/T/taken");
    world.write("taken", "never synced");
    world.once_in_sync();
    world.once_in_sync();
    world.assert_equal();
    let read = |path: &str| fs::read_to_string(world.folder.join(path)).unwrap();
    let contents: Vec<_> = world.disk().into_keys().map(|path| read(&path)).collect();
    assert!(contents.contains(&"their content".to_owned()) && contents.contains(&"never synced".to_owned()));
    assert_eq!(read("taken"), "their content");
    world.assert_clean();
}

/// H12: the file was edited in Dropbox just before it was moved. That is treated like anybody's edit, and nothing is lost.
#[test]
fn h12_the_file_was_another_one_when_it_was_moved() {
    for mode in ["mirror", "two-way"] {
        let world = holding(mode, &[("a", "ours")]);
        // The listing does not tell before the move is made.
        world.standin.faults().add(Fault::always("files/list_folder/longpoll", Effect::Stall(Duration::from_secs(5))));
        let daemon = world.daemon();
        until_idle(&world);
        world.standin.write("/T/a", "edited there");
        rename(&world, "a", "b");
        world.until("the move", |s| s.file("/T/b").is_some());
        world.standin.faults().clear();
        daemon.stop();
        let _ = world.once();
        let _ = world.once();
        let files = world.standin.files();
        let there: Vec<_> = files.iter().map(|f| world.standin.content(&f.path_display).unwrap()).collect();
        assert!(there.iter().any(|content| content == "edited there"), "{there:?}");
        if mode == "two-way" {
            world.assert_equal();
            assert_eq!(fs::read_to_string(world.folder.join("b")).unwrap(), "edited there");
        }
        world.assert_clean();
    }
}

/// kill -9 between the call and its settling: the next start finds out, sends no byte and moves nothing twice.
#[test]
fn a_kill_in_the_middle_of_a_move_costs_nothing() {
    for (mode, route, effect) in [
        ("mirror", MOVE, Effect::StallReply(Duration::from_secs(3))),
        ("two-way", MOVE, Effect::StallReply(Duration::from_secs(3))),
        ("two-way", "files/move_batch/check_v2", Effect::Stall(Duration::from_secs(3))),
    ] {
        let world = world(mode);
        for i in 0..200 {
            world.write(&format!("old/{i}"), format!("content {i}"));
        }
        world.write("lone", "lone");
        world.write("keep", "k");
        world.once_in_sync();
        let daemon = world.daemon();
        until_idle(&world);
        world.standin.reset_counters();
        world.standin.faults().add(Fault::once(route, effect));
        rename(&world, "old", "new");
        world.until("the move", |s| s.calls_of(route) > 0 && s.folder("/T/new") && !s.folder("/T/old"));
        daemon.kill();
        rename(&world, "lone", "lonely");
        world.once_in_sync();
        world.assert_equal();
        assert_eq!((sent(&world.standin), world.deletions()), (0, 0), "{mode} {route}");
        assert_eq!(world.standin.calls_of(MOVE), 2, "one each");
        assert_eq!(world.standin.calls_of("files/download"), 0);
        world.assert_clean();
    }
}

/// H7: a kill between the two moves of a name that changed its letters: the file is neither lost nor left under the other name.
#[test]
fn h7_a_kill_between_the_two_moves() {
    for mode in ["mirror", "two-way"] {
        let world = holding(mode, &[("Readme", "read me")]);
        let daemon = world.daemon();
        until_idle(&world);
        world.standin.reset_counters();
        world.standin.faults().add(Fault::nth(MOVE, 2, Effect::Stall(Duration::from_secs(3))));
        rename(&world, "Readme", "README");
        world.until("the first move", |s| s.file("/T/Readme").is_none());
        daemon.kill();
        world.once_in_sync();
        world.assert_equal();
        assert_eq!(world.standin.file("/T/README").unwrap().path_display, "/T/README");
        assert_eq!((sent(&world.standin), world.deletions()), (0, 0));
        world.assert_clean();
    }
}

/// A folder that Dropbox finds too large is moved in its parts.
#[test]
fn what_is_too_large_for_one_move_is_moved_in_parts() {
    let mut world = World::with(Settings { max_tree: 30, ..Settings::default() });
    world.mode = "two-way";
    for i in 0..100 {
        world.write(&format!("old/{}/{i}", i % 5), format!("content {i}"));
    }
    world.write("keep", "k");
    world.once_in_sync();
    world.standin.reset_counters();
    rename(&world, "old", "new");
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(sent(&world.standin), 0);
    assert!(!world.standin.folder("/T/old"));
    world.assert_clean();
}

/// The guard counts no moved file as a deletion.
#[test]
fn a_moved_tree_is_no_mass_deletion() {
    let mut world = world("mirror");
    world.extra = "[safety]\nmax_deletions = 10\n".into();
    for i in 0..100 {
        world.write(&format!("all/{i}"), format!("content {i}"));
    }
    world.once_in_sync();
    world.standin.reset_counters();
    rename(&world, "all", "everything");
    world.once_in_sync();
    world.assert_equal();
    assert_moved(&world, 1, 0);
    world.assert_clean();
}

/// A second link to a file is a copy of it in Dropbox.
#[test]
fn a_hard_link_is_a_copy() {
    for mode in ["mirror", "two-way", "backup"] {
        let world = world(mode);
        world.write("a", vec![7; 200_000]);
        world.write("keep", "k");
        world.once_in_sync();
        world.standin.reset_counters();
        fs::hard_link(world.folder.join("a"), world.folder.join("b")).unwrap();
        world.once_in_sync();
        world.assert_equal();
        assert_eq!((sent(&world.standin), world.standin.calls_of(COPY)), (0, 1));
        // Removing the first leaves the second.
        fs::remove_file(world.folder.join("a")).unwrap();
        world.once_in_sync();
        assert!(world.standin.file("/T/b").is_some());
        assert_eq!(sent(&world.standin), 0);
        world.assert_clean();
    }
}
