//! Local renames: they go up as moves, and no byte travels twice.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;

use crate::harness::World;
use crate::harness::renames::{COPY, MOVE, assert_moved, ids, rename, sent, until_idle, world};
use ferrybox_standin::Settings;

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

/// H1: ten thousand files in a directory that is renamed are one move. What it takes is measured by `cargo bench --bench renames`.
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
        rename(&world, "old", "new");
        world.until("the move", |s| !s.folder("/T/old") && s.folder("/T/new"));
        until_idle(&world);
        assert_moved(&world, 1, 0);
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
