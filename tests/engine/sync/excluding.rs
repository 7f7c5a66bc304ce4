//! What is not synced: `exclude` and `ignore`, in both directions. Leaving something out deletes it nowhere, taking it back in neither.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;

use super::{read, remote};
use crate::harness::{World, text};

fn world(extra: &str) -> World {
    let mut world = World::new();
    world.mode = "two-way";
    world.folder_extra = extra.into();
    // So few files that any deletion is a large part of them.
    world.extra = "[safety]\nmax_deletion_share = \"100%\"\n".into();
    world
}

#[test]
fn an_excluded_folder_is_nobodys_business_on_either_side() {
    let world = world("exclude = [\"/Photos/Raw\", \"one.txt\"]");
    let standin = &world.standin;
    standin.write("/T/Photos/Raw/deep/a", "there");
    standin.write("/T/Photos/b", "b");
    standin.write("/T/one.txt", "there");
    // In other letters, as Dropbox takes for the same.
    world.write("Photos/raw/mine", "here");
    world.write("up", "u");
    world.once_in_sync();
    assert_eq!(read(&world, "Photos/b").as_deref(), Some("b"));
    assert!(!world.folder.join("Photos/Raw").exists() && !world.folder.join("one.txt").exists());
    assert_eq!(remote(&world, "Photos/raw/mine"), None);
    assert_eq!(read(&world, "Photos/raw/mine").as_deref(), Some("here"));
    standin.delete("/T/Photos/Raw/deep/a");
    standin.write("/T/Photos/Raw/new", "n");
    fs::remove_file(world.folder.join("Photos/raw/mine")).unwrap();
    world.once_in_sync();
    assert!(!world.folder.join("Photos/Raw").exists());
    assert_eq!(standin.calls_of("files/download"), 1);
    world.assert_clean();
}

/// T3, T4: leaving out what was in sync, and taking it back in after both sides went their ways.
#[test]
fn t4_excluding_and_including_again_deletes_nothing() {
    let mut world = world("");
    for path in ["x/both", "x/deleted here", "x/deleted there", "x/edited here", "x/edited both", "keep"] {
        world.write(path, "old");
    }
    world.once_in_sync();
    for left_out in ["exclude = [\"/X\"]", "ignore = [\"x/\"]"] {
        world.folder_extra = left_out.into();
        world.once_in_sync();
        world.assert_equal();
        assert_eq!(world.disk().len(), 6, "nothing went");
        fs::remove_file(world.folder.join("x/deleted here")).unwrap();
        world.standin.delete("/T/x/deleted there");
        world.write("x/edited here", left_out);
        world.write("x/edited both", "here");
        world.standin.write("/T/x/edited both", left_out);
        let (there, calls) = (world.remote(), world.deletions());
        world.once_in_sync();
        assert_eq!(world.remote(), there, "while it is left out, nothing is done there");
        assert!(!world.folder.join("x/deleted here").exists());

        world.folder_extra = String::new();
        world.once_in_sync();
        world.once_in_sync();
        world.assert_equal();
        assert_eq!(world.deletions(), calls, "and nothing is deleted when it is back");
        for path in ["x/both", "x/deleted here", "x/deleted there"] {
            assert_eq!(read(&world, path).as_deref(), Some("old"), "{path}");
        }
        assert_eq!(read(&world, "x/edited both").as_deref(), Some(left_out));
        let copies = world.disk().into_keys().filter(|p| p.contains("conflicted copy"));
        let contents: Vec<_> = copies.map(|p| read(&world, &p).unwrap()).collect();
        assert!(contents.contains(&"here".to_owned()), "{contents:?}");
        for path in world.disk().into_keys().filter(|p| p.contains("conflicted copy")) {
            fs::remove_file(world.folder.join(path)).unwrap();
        }
        world.write("x/edited both", "old");
        world.write("x/edited here", "old");
        world.once_in_sync();
        assert_eq!(world.disk().len(), 6);
    }
    world.assert_clean();
}

/// Loss 34: a crash at any moment while the exclusion takes effect, and whatever the configuration says next, deletes nothing.
#[test]
fn loss_34_a_crash_while_excluding_deletes_nothing() {
    let mut world = world("");
    for i in 0..300 {
        world.write(&format!("x/{}/{i}", i % 7), format!("{i}"));
    }
    world.write("keep", "k");
    world.once_in_sync();
    for round in 0..8_u64 {
        world.folder_extra = if round % 2 == 0 { "exclude = [\"/x\"]" } else { "" }.into();
        let daemon = world.daemon();
        // Any moment will do; these are spread over the first steps of a start.
        std::thread::sleep(std::time::Duration::from_millis(40 * (1 + round % 4)));
        daemon.kill();
    }
    // Excluded for once, as far as its owner can tell: what is deleted here now is not meant for Dropbox.
    world.folder_extra = "exclude = [\"/x\"]".into();
    let daemon = world.daemon();
    // In the middle of its start.
    std::thread::sleep(std::time::Duration::from_millis(150));
    daemon.kill();
    world.once_in_sync();
    fs::remove_dir_all(world.folder.join("x/3")).unwrap();
    assert_eq!(world.standin.file_count(), 301);
    world.folder_extra = String::new();
    world.once_in_sync();
    assert_eq!((world.standin.file_count(), world.disk().len(), world.deletions()), (301, 301, 0));
    world.assert_equal();
    world.assert_clean();
}

/// A change that waits for its commit does not go through once its path is left out: here a deletion that is held.
#[test]
fn a_held_deletion_is_dropped_by_excluding() {
    let mut world = world("");
    world.extra = String::new();
    for i in 0..60 {
        world.write(&format!("x/{i}"), format!("{i}"));
    }
    world.write("keep", "k");
    world.once_in_sync();
    fs::remove_dir_all(world.folder.join("x")).unwrap();
    let daemon = world.daemon();
    world.until_folder("held");
    assert_eq!(daemon.stop().0, Some(0));
    world.folder_extra = "exclude = [\"/x\"]".into();
    world.once_in_sync();
    assert_eq!((world.standin.file_count(), world.deletions()), (61, 0));
    world.assert_clean();
}

/// An ignored name is neither downloaded nor made nor deleted, whichever side has it; a pattern for directories fits those of Dropbox, too.
#[test]
fn ignored_names_of_either_side_stay_there() {
    let world = world("ignore = [\"*.tmp\", \"node_modules/\"]");
    let standin = &world.standin;
    standin.write("/T/a.tmp", "there");
    standin.write("/T/p/node_modules/m/index", "there");
    standin.write("/T/p/src", "s");
    world.write("b.tmp", "here");
    world.write("q/node_modules/n", "here");
    world.write("q/main", "m");
    world.once_in_sync();
    assert_eq!(read(&world, "p/src").as_deref(), Some("s"));
    assert!(!world.folder.join("a.tmp").exists() && !world.folder.join("p/node_modules").exists());
    assert!(remote(&world, "b.tmp").is_none() && !standin.folder("/T/q/node_modules"));
    fs::remove_file(world.folder.join("b.tmp")).unwrap();
    standin.delete("/T/a.tmp");
    world.write("a.tmp", "mine");
    standin.write("/T/b.tmp", "theirs");
    world.once_in_sync();
    assert_eq!((read(&world, "a.tmp").as_deref(), read(&world, "b.tmp")), (Some("mine"), None));
    assert_eq!((remote(&world, "a.tmp"), remote(&world, "b.tmp").as_deref()), (None, Some("theirs")));
    assert_eq!(world.deletions(), 0);
    world.assert_clean();
}

/// The directory above something excluded is deleted here: its files go there, the folder stays with what is excluded, and it is said.
#[test]
fn a_folder_that_holds_something_excluded_stays() {
    let world = world("exclude = [\"d/raw\"]");
    world.standin.write("/T/d/raw/big", "excluded");
    world.write("d/synced", "s");
    world.write("keep", "k");
    world.once_in_sync();
    fs::remove_dir_all(world.folder.join("d")).unwrap();
    let out = world.once();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    assert_eq!(remote(&world, "d/raw/big").as_deref(), Some("excluded"));
    assert_eq!(remote(&world, "d/synced"), None);
    assert!(!world.folder.join("d").exists());
    // Once that is gone there, the folder goes, too.
    world.standin.delete("/T/d/raw");
    world.once_in_sync();
    assert!(!world.standin.folder("/T/d"));
    world.assert_clean();
}

/// A `.ferryboxignore` that is changed while the daemon runs.
#[test]
fn t4_a_pattern_in_the_tree_comes_and_goes() {
    let world = world("");
    world.write("x/f", "old");
    world.write("g.dat", "old");
    world.write("keep", "k");
    let daemon = world.daemon();
    world.until("all", |s| s.file_count() == 3);
    world.until_folder("in_sync");
    world.write(".ferryboxignore", "x/\n*.dat\n");
    world.until("the patterns", |s| s.file("/T/.ferryboxignore").is_some());
    let out = world.command(&["sync", "--wait"]).output().unwrap();
    assert!(out.status.success(), "{}", text(&out));
    fs::remove_dir_all(world.folder.join("x")).unwrap();
    fs::remove_file(world.folder.join("g.dat")).unwrap();
    let out = world.command(&["sync", "--wait"]).output().unwrap();
    assert!(out.status.success(), "{}", text(&out));
    assert_eq!(daemon.stop().0, Some(0));
    fs::remove_file(world.folder.join(".ferryboxignore")).unwrap();
    world.once_in_sync();
    world.once_in_sync();
    assert_eq!((remote(&world, "x/f").as_deref(), remote(&world, "g.dat").as_deref()), (Some("old"), Some("old")));
    assert_eq!((read(&world, "x/f").as_deref(), read(&world, "g.dat").as_deref()), (Some("old"), Some("old")));
    world.assert_clean();
}

/// T4: what was deleted here while it was left out is no deletion when it is taken back in, in no mode, and comes back only where things come down. What
/// went on both sides meanwhile comes back on none.
#[test]
fn t4_what_was_deleted_while_it_was_left_out_is_deleted_nowhere_else() {
    for mode in ["two-way", "mirror", "backup", "download"] {
        for left_out in ["exclude = [\"x\"]", "ignore = [\"x/\"]"] {
            let mut world = world("");
            world.mode = mode;
            for path in ["x/here", "x/both", "x/stays", "keep"] {
                if mode == "download" {
                    world.standin.write(&format!("/T/{path}"), path);
                } else {
                    world.write(path, path);
                }
            }
            world.once_in_sync();
            world.once_in_sync();
            world.folder_extra = left_out.into();
            // Seen by a daemon that runs, and found at a start.
            let daemon = world.daemon();
            world.until_folder("in_sync");
            fs::remove_file(world.folder.join("x/here")).unwrap();
            let out = world.command(&["sync", "--wait"]).output().unwrap();
            assert!(out.status.success(), "{mode}: {}", text(&out));
            assert_eq!(daemon.stop().0, Some(0));
            fs::remove_file(world.folder.join("x/both")).unwrap();
            world.standin.delete("/T/x/both");
            world.once_in_sync();
            world.folder_extra = String::new();
            world.once_in_sync();
            world.once_in_sync();
            let why = format!("{mode} {left_out}");
            assert_eq!(world.deletions(), 0, "{why}");
            assert_eq!(remote(&world, "x/here").as_deref(), Some("x/here"), "{why}");
            assert_eq!(remote(&world, "x/stays").as_deref(), Some("x/stays"), "{why}");
            assert_eq!(read(&world, "x/stays").as_deref(), Some("x/stays"), "{why}");
            assert_eq!(read(&world, "x/here").is_some(), matches!(mode, "two-way" | "download"), "{why}");
            assert!(read(&world, "x/both").is_none() && remote(&world, "x/both").is_none(), "{why}");
            world.assert_clean();
        }
    }
}

#[test]
fn an_ignore_file_that_cannot_be_read_is_a_problem_and_not_a_silence() {
    let world = World::new();
    world.write("d/.ferryboxignore", vec![b'#'; (1 << 20) + 1]);
    world.write("d/x", "1");
    let out = world.once();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    world.write("d/.ferryboxignore", "nothing\n");
    world.once_in_sync();
    assert!(world.standin.file("/T/d/x").is_some());
    world.assert_clean();
}
