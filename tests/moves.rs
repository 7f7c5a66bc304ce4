//! Local renames: they go up as moves, and no byte travels twice.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use ferrybox_standin::{Effect, Entries, Fault, Settings, Standin};
use harness::World;

const MOVE: &str = "files/move_batch_v2";
const COPY: &str = "files/copy_batch_v2";
const APPEND_BATCH: &str = "files/upload_session/append_batch";

fn world(mode: &'static str) -> World {
    let mut world = World::with(Settings::default());
    world.mode = mode;
    world
}

fn rename(world: &World, from: &str, to: &str) {
    let to = world.folder.join(to);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::rename(world.folder.join(from), to).unwrap();
}

/// Bytes of content that went up.
fn sent(standin: &Standin) -> u64 {
    let calls = standin.calls();
    let content = calls.iter().filter(|(name, _)| name.contains("append") || name.as_str() == "files/upload");
    content.map(|(_, stats)| stats.bytes_in).sum()
}

/// Nothing went up, came down or was deleted; so many calls moved or copied.
fn assert_moved(world: &World, moves: u64, copies: u64) {
    let standin = &world.standin;
    let calls: BTreeMap<_, _> = standin.calls().into_iter().map(|(route, stats)| (route, stats.calls)).collect();
    assert_eq!(sent(standin), 0, "{calls:#?}");
    assert_eq!(standin.calls_of("files/download"), 0, "{calls:#?}");
    assert_eq!(world.deletions(), 0, "{calls:#?}");
    assert_eq!((standin.calls_of(MOVE), standin.calls_of(COPY)), (moves, copies), "{calls:#?}");
}

/// Waits until nothing is left to do.
fn until_idle(world: &World) {
    world.until_status("idle", |s| {
        let pending = &s["accounts"][0]["folders"][0]["pending"];
        s["accounts"][0]["state"] == "idle" && pending["uploads"] == 0 && pending["remote_changes"] == 0
    });
}

fn ids(world: &World) -> BTreeMap<String, String> {
    world.standin.files().into_iter().map(|f| (f.id, f.path_display)).collect()
}

#[test]
fn a_renamed_directory_is_one_move() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        for i in 0..500 {
            world.write(&format!("old/{}/{i}", i % 7), format!("content {i}"));
        }
        world.write("keep", "k");
        world.once_in_sync();
        let before = ids(&world);
        for (from, to) in [("old", "new"), ("new", "deep/er")] {
            let daemon = world.daemon();
            until_idle(&world);
            world.standin.reset_counters();
            rename(&world, from, to);
            world.until("the move", |s| !s.folder(&format!("/T/{from}")) && s.folder(&format!("/T/{to}")));
            until_idle(&world);
            assert_moved(&world, 1, 0);
            daemon.stop();
            world.once_in_sync();
            world.assert_equal();
            assert_moved(&world, 1, 0);
        }
        // The very same files.
        assert_eq!(ids(&world).keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
        world.assert_clean();
    }
}

/// H1: ten thousand files in a directory that is renamed are one move, and the daemon is idle in less than five seconds.
#[test]
fn h1_ten_thousand_files_are_one_move() {
    for mode in ["mirror", "two-way"] {
        // With the folder itself that is one more than the limit that is documented.
        let mut world = World::with(Settings { max_tree: 10_001, ..Settings::default() });
        world.mode = mode;
        for i in 0..10_000 {
            let (path, content) = (format!("old/{i:05}"), format!("content {i}"));
            world.standin.write(&format!("/T/{path}"), content.clone());
            world.write(&path, content);
        }
        world.write("keep", "k");
        world.once_in_sync();
        let _daemon = world.daemon();
        until_idle(&world);
        world.standin.reset_counters();
        let began = Instant::now();
        rename(&world, "old", "new");
        world.until("the move", |s| !s.folder("/T/old") && s.folder("/T/new"));
        let moved = began.elapsed();
        until_idle(&world);
        let idle = began.elapsed();
        assert_moved(&world, 1, 0);
        let calls: BTreeMap<_, _> =
            world.standin.calls().into_iter().map(|(route, stats)| (route, stats.calls)).collect();
        eprintln!("{mode}: moved after {moved:?}, idle after {idle:?}: {calls:?}");
        // Five seconds on a machine of its own; here others are at work, too.
        assert!(idle < Duration::from_secs(25), "{idle:?}");
        world.assert_equal();
        world.assert_clean();
    }
}

/// Renamed while no daemon ran.
#[test]
fn a_rename_that_nobody_saw_is_one_move() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        for i in 0..300 {
            world.write(&format!("z/old/{i}"), format!("content {i}"));
        }
        world.write("keep", "k");
        world.once_in_sync();
        world.standin.reset_counters();
        rename(&world, "z/old", "a/new");
        world.once_in_sync();
        world.assert_equal();
        assert_moved(&world, 1, 0);
        world.assert_clean();
    }
}

/// What was saved stays saved: in `backup` the files are copied.
#[test]
fn a_backup_copies_what_was_renamed() {
    let world = world("backup");
    for i in 0..20 {
        world.write(&format!("old/{i}"), format!("content {i}"));
    }
    world.once_in_sync();
    world.standin.reset_counters();
    rename(&world, "old", "new");
    world.once_in_sync();
    assert_eq!((sent(&world.standin), world.deletions(), world.standin.calls_of(MOVE)), (0, 0, 0));
    assert!(world.standin.calls_of(COPY) > 0);
    assert_eq!(world.standin.file_count(), 40);
    let there = world.remote();
    assert!(world.disk().iter().all(|(path, hash)| there.get(path) == Some(hash)));
    // An edit of a copy is an update of it.
    world.write("new/3", "edited");
    world.once_in_sync();
    assert_eq!(world.remote()["new/3"], world.disk()["new/3"]);
    assert_eq!(world.standin.file_count(), 40);
    world.assert_clean();
}

/// Files that were renamed one by one, and changed with it: what is proven to be the same moves, the rest is sent.
#[test]
fn files_are_moved_one_by_one() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        for i in 0..60 {
            world.write(&format!("d/{i}"), format!("content {i}"));
        }
        world.once_in_sync();
        let before = ids(&world);
        world.standin.reset_counters();
        for i in 0..50 {
            rename(&world, &format!("d/{i}"), &format!("e/{}/n{i}", i % 3));
        }
        world.once_in_sync();
        world.assert_equal();
        assert_eq!((sent(&world.standin), world.deletions()), (0, 0));
        assert_eq!(ids(&world).keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
        assert!(world.standin.calls_of(MOVE) <= 5, "{}", world.standin.calls_of(MOVE));
        // Moved, and written to at once: not proven to be that file, and sent.
        rename(&world, "d/55", "moved and edited");
        world.write("moved and edited", "another content");
        world.once_in_sync();
        world.assert_equal();
        assert!(world.standin.file("/T/d/55").is_none());
        world.assert_clean();
    }
}

/// A directory is renamed, and a file in it is edited, one is added and one deleted: one move, and only those go up.
#[test]
fn h4_a_renamed_directory_with_changed_children() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        for i in 0..40 {
            world.write(&format!("old/d/{i:02}"), format!("content {i}"));
        }
        world.write("keep", "k");
        world.once_in_sync();
        world.standin.reset_counters();
        rename(&world, "old", "new");
        world.write("new/d/07", "edited");
        world.write("new/d/00 added", "added");
        fs::remove_file(world.folder.join("new/d/09")).unwrap();
        world.once_in_sync();
        world.assert_equal();
        assert!(world.disk().keys().all(|path| !path.contains("conflicted")), "{:?}", world.disk().keys());
        assert_eq!(world.standin.calls_of(MOVE), 1, "{mode} {:#?}", world.standin.calls());
        assert!(world.standin.revisions("/T/new/d/07").len() > 1);
        assert!(sent(&world.standin) < 100, "{}", sent(&world.standin));
        world.assert_clean();
    }
}

/// H4: somebody edits a file, or adds one to a directory, that was renamed here: both are at the new place.
#[test]
fn h4_remote_edits_arrive_at_the_new_place() {
    let world = world("two-way");
    for name in ["old/edited", "old/same", "old/other", "lone", "keep"] {
        world.write(name, format!("{name} 1"));
    }
    world.once_in_sync();
    world.standin.write("/T/old/edited", "theirs");
    world.standin.write("/T/old/added", "added there");
    world.standin.write("/T/lone", "their lone");
    rename(&world, "old", "new");
    rename(&world, "lone", "moved");
    world.once_in_sync();
    world.once_in_sync();
    world.assert_equal();
    let read = |path: &str| fs::read_to_string(world.folder.join(path)).unwrap_or_default();
    assert_eq!(read("new/edited"), "theirs");
    assert_eq!(read("new/added"), "added there");
    assert_eq!(read("moved"), "their lone");
    assert!(!world.folder.join("old").exists() && !world.folder.join("lone").exists());
    assert_eq!(world.disk().len(), 6, "{:?}", world.disk().keys());
    world.assert_clean();
}

/// H2: files that changed places, in pairs and in a circle, keep their contents apart.
#[test]
fn h2_files_that_change_places_are_not_mixed() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        for name in ["a", "b", "x", "y", "z", "keep"] {
            world.write(name, format!("content of {name}"));
        }
        world.once_in_sync();
        for chain in [&["a", "b"][..], &["x", "y", "z"][..]] {
            rename(&world, chain[0], "tmp");
            for pair in chain.windows(2) {
                rename(&world, pair[1], pair[0]);
            }
            rename(&world, "tmp", chain[chain.len() - 1]);
        }
        world.once_in_sync();
        world.assert_equal();
        assert_eq!(world.standin.content("/T/a").unwrap(), "content of b");
        assert_eq!(world.standin.content("/T/z").unwrap(), "content of x");
        assert_eq!(world.standin.file_count(), 6);
        world.assert_clean();
    }
}

/// H2: directories that changed places: as with files.
#[test]
fn h2_directories_that_change_places_are_not_mixed() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        for i in 0..10 {
            world.write(&format!("a/{i}"), format!("a {i}"));
            world.write(&format!("b/{i}"), format!("b {i}"));
        }
        world.write("keep", "k");
        world.once_in_sync();
        rename(&world, "a", "tmp");
        rename(&world, "b", "a");
        rename(&world, "tmp", "b");
        world.once_in_sync();
        world.assert_equal();
        assert_eq!(world.standin.content("/T/a/3").unwrap(), "b 3");
        world.assert_clean();
    }
}

/// A move into a directory that was moved itself.
#[test]
fn a_move_into_a_moved_directory() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        for i in 0..10 {
            world.write(&format!("a/{i}"), format!("a {i}"));
            world.write(&format!("c/{i}"), format!("c {i}"));
        }
        world.write("x", "x");
        world.write("keep", "k");
        world.once_in_sync();
        let before = ids(&world);
        world.standin.reset_counters();
        rename(&world, "a", "b");
        rename(&world, "x", "b/x");
        rename(&world, "c", "b/c");
        rename(&world, "b/3", "three");
        world.once_in_sync();
        world.assert_equal();
        assert_eq!((sent(&world.standin), world.deletions()), (0, 0));
        assert_eq!(ids(&world).keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
        world.assert_clean();
    }
}

/// H5: `mv -f new old` is one change of the one and one deletion of the other.
#[test]
fn h5_a_file_moved_over_another() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        for name in ["old", "new", "keep"] {
            world.write(name, format!("{name} file"));
        }
        world.once_in_sync();
        rename(&world, "new", "old");
        world.once_in_sync();
        world.assert_equal();
        assert_eq!(world.standin.content("/T/old").unwrap(), "new file");
        assert_eq!(world.standin.file("/T/old").unwrap().revisions, 2);
        assert_eq!(world.standin.file_count(), 2);
        world.assert_clean();
    }
}

/// H6: made and renamed while its upload is under way: the file is there once, under its new name.
#[test]
fn h6_renamed_while_it_goes_up() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        world.write("keep", "k");
        world.once_in_sync();
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
        let world = world(mode);
        world.write("cafe\u{301}", "coffee");
        world.write("keep", "k");
        world.once_in_sync();
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
    let world = world("mirror");
    world.write("foo", "first");
    world.write("keep", "k");
    world.once_in_sync();
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
        let refused = Effect::EntryFailure { entries: Entries::All, tag: tag.into() };
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
    let world = world("two-way");
    world.write("theirs", "their content");
    world.write("keep", "k");
    world.once_in_sync();
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
        let world = world(mode);
        world.write("a", "ours");
        world.write("keep", "k");
        world.once_in_sync();
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
        let world = world(mode);
        world.write("Readme", "read me");
        world.write("keep", "k");
        world.once_in_sync();
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
