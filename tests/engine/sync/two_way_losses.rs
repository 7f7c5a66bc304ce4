//! Courses of events in which something was lost once, or never came to rest.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;
use std::time::Duration;

use super::{read, remote};
use crate::harness::{World, look_for};
use ferrybox_standin::{Effect, Fault, Settings};

fn world(mode: &'static str) -> World {
    let mut world = World::with(Settings::default());
    world.mode = mode;
    world
}

/// `run --once` that must come to an end by itself.
fn comes_to_rest(world: &World) -> i32 {
    world.write_config();
    let log = fs::File::create(world.dir.path().join("daemon.log")).unwrap();
    let mut child = world
        .command(&["--log", "info", "run", "--once"])
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    if let Some(status) = look_for(Duration::from_secs(45), || child.try_wait().unwrap()) {
        return status.code().unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let rows = world.stored("SELECT path || ' ' || state || ' ' || generation || ' ' || coalesce(text, '') FROM job");
    panic!("it never comes to rest: {rows:?}\n{:?}\n{}", world.disk(), world.log());
}

/// B9: a folder goes with all that is in it, and no revision protects that. It waited since the last run, and meanwhile somebody wrote into it.
#[test]
fn b9_a_folder_s_deletion_of_the_last_run_takes_nobody_s_new_file() {
    let world = world("two-way");
    world.write("d/a", "1");
    world.write("keep", "k");
    world.once_in_sync();
    let daemon = world.daemon();
    crate::harness::wait_for_socket(&world);
    world.until_status("watching", |s| s["accounts"][0]["folders"][0]["state"] == "in_sync");
    fs::remove_dir_all(world.folder.join("d")).unwrap();
    world.until("the file's deletion", |s| s.file("/T/d/a").is_none());
    let staged = || world.stored("SELECT kind FROM change WHERE kind = 'delete' AND batch IS NULL AND rev IS NULL");
    world.eventually("the folder's deletion is staged", || !staged().is_empty());
    daemon.kill();
    assert!(world.standin.folder("/T/d"), "the folder was to wait for its turn");
    world.standin.write("/T/d/new", "somebody's work");
    // Longer than deletions rest.
    world.standin.faults().add(Fault::always("files/list_folder/continue", Effect::Stall(Duration::from_secs(4))));
    assert_eq!(comes_to_rest(&world), 0);
    assert_eq!(remote(&world, "d/new").as_deref(), Some("somebody's work"));
    assert_eq!(read(&world, "d/new").as_deref(), Some("somebody's work"));
    world.assert_clean();
}

/// What went missing on a side whose deletions were nobody's business is no deletion when the mode makes it one.
#[test]
fn another_mode_makes_no_deletion_of_what_is_gone_already() {
    let cases = [
        ("backup", "two-way"),
        ("backup", "mirror"),
        ("backup", "download"),
        ("mirror", "two-way"),
        ("mirror", "download"),
        ("download", "two-way"),
        ("download", "mirror"),
    ];
    for (before, after) in cases {
        let mut world = world(before);
        for i in 0..6 {
            if before == "download" {
                world.standin.write(&format!("/T/{i}"), format!("{i}"));
            } else {
                world.write(&format!("{i}"), format!("{i}"));
            }
        }
        world.once_in_sync();
        if before != "mirror" {
            fs::remove_file(world.folder.join("0")).unwrap();
        }
        if before != "download" {
            world.standin.delete("/T/1");
        }
        // D5: what Dropbox has no longer is a problem where nothing comes down.
        let out = world.once();
        assert_eq!(out.status.code(), Some(if before == "download" { 0 } else { 3 }), "{}", crate::harness::text(&out));
        world.mode = after;
        world.standin.reset_counters();
        world.once_in_sync();
        assert!(remote(&world, "0").is_some(), "{before} to {after}: it was deleted in Dropbox");
        assert!(read(&world, "1").is_some(), "{before} to {after}: it was deleted here");
        assert_eq!(world.standin.calls_of("files/delete_batch"), 0);
        world.assert_clean();
    }
}

/// H7: a file, a directory and an empty one are renamed in their letters only: they keep the new ones, and nothing goes on either side.
#[test]
fn h7_a_name_in_other_letters_is_kept() {
    let world = world("two-way");
    world.write("foo.txt", "0");
    world.write("Docs/a", "1");
    world.write("Docs/Sub/b", "2");
    world.write("keep", "k");
    fs::create_dir(world.folder.join("Empty")).unwrap();
    world.once_in_sync();
    for (old, new) in [("foo.txt", "FOO.txt"), ("Docs/Sub", "Docs/sub"), ("Docs", "docs"), ("Empty", "empty")] {
        fs::rename(world.folder.join(old), world.folder.join(new)).unwrap();
    }
    for _ in 0..2 {
        assert_eq!(comes_to_rest(&world), 0);
        let disk: Vec<_> = world.disk().into_keys().collect();
        assert_eq!(disk, ["FOO.txt", "docs/a", "docs/sub/b", "keep"]);
        assert!(world.folder.join("empty").is_dir() && !world.folder.join("Empty").exists());
        assert!(!world.folder.join("Docs").exists() && !world.folder.join("docs/Sub").exists());
        assert!(world.standin.folder("/T/Empty") && world.standin.file_count() == 4);
    }
    // What comes into it comes under the new name.
    world.standin.write("/T/Docs/new", "3");
    assert_eq!(comes_to_rest(&world), 0);
    assert_eq!(read(&world, "docs/new").as_deref(), Some("3"));
    assert!(!world.folder.join("Docs").exists());
    world.assert_clean();
}

/// I1: the twin of a synced file goes again. It was never in Dropbox, and the synced one keeps its name.
#[test]
fn i1_a_twin_that_goes_takes_nothing_along() {
    let world = world("two-way");
    world.write("foo.txt", "1");
    world.write("keep", "k");
    world.once_in_sync();
    world.write("FOO.txt", "2");
    assert_eq!(comes_to_rest(&world), 3);
    fs::remove_file(world.folder.join("FOO.txt")).unwrap();
    for _ in 0..2 {
        assert_eq!(comes_to_rest(&world), 0);
        assert_eq!(read(&world, "foo.txt").as_deref(), Some("1"));
        assert_eq!(world.disk().len(), 2);
        assert_eq!(world.standin.file_count(), 2);
    }
    world.assert_clean();
}

/// B9: a directory is deleted here, and in Dropbox its folder holds what never came down. It stays, that is said, and the run ends. When it goes
/// there, too, nothing is left to say.
#[test]
fn b9_a_folder_that_stays_for_what_is_ignored_comes_to_rest() {
    let mut world = world("two-way");
    world.folder_extra = "ignore = [\"*.tmp\"]".into();
    world.write("d/a", "1");
    world.write("keep", "k");
    world.standin.write("/T/d/x.tmp", "theirs");
    world.once_in_sync();
    fs::remove_dir_all(world.folder.join("d")).unwrap();
    assert_eq!(comes_to_rest(&world), 3);
    assert_eq!(remote(&world, "d/x.tmp").as_deref(), Some("theirs"));
    assert!(world.standin.file("/T/d/a").is_none());
    world.standin.delete("/T/d");
    assert_eq!(comes_to_rest(&world), 0);
    assert!(!world.folder.join("d").exists());
    world.assert_clean();
}

/// B9: a folder is deleted in Dropbox, and here it holds what cannot be sent. It stays, that is said, and the run ends. When that goes, so does it.
#[test]
fn b9_a_directory_that_stays_for_what_cannot_be_sent_comes_to_rest() {
    let world = world("two-way");
    world.write("d/a", "1");
    world.write("keep", "k");
    world.once_in_sync();
    world.write("d/x.", "2");
    assert_eq!(comes_to_rest(&world), 3);
    world.standin.delete("/T/d");
    assert_eq!(comes_to_rest(&world), 3);
    assert_eq!(read(&world, "d/x.").as_deref(), Some("2"));
    fs::remove_file(world.folder.join("d/x.")).unwrap();
    assert_eq!(comes_to_rest(&world), 0);
    assert!(!world.folder.join("d").exists() && !world.standin.folder("/T/d"));
    world.assert_clean();
}

/// B5: the same version of a file is put aside twice, and somebody works in the first copy: there are two.
#[test]
fn b5_a_conflicted_copy_whose_name_is_taken_gets_another() {
    let world = world("two-way");
    world.write("f", "base");
    world.once_in_sync();
    let ours = || {
        world.write("f", "ours");
        let file = fs::File::options().write(true).open(world.folder.join("f")).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap();
    };
    world.standin.write("/T/f", "theirs");
    ours();
    world.once_in_sync();
    let copy = world.disk().into_keys().find(|p| p.contains("conflicted")).unwrap();
    world.write(&copy, "edited in the copy");
    world.once_in_sync();
    world.standin.write("/T/f", "theirs 2");
    ours();
    assert_eq!(comes_to_rest(&world), 0);
    world.assert_equal();
    let mut all: Vec<_> = world.disk().into_keys().map(|p| read(&world, &p).unwrap()).collect();
    all.sort();
    assert_eq!(all, ["edited in the copy", "ours", "theirs 2"]);
    world.assert_clean();
}

/// H10: a file is moved in Dropbox from one synced folder to another: it does not come back where it was.
#[test]
fn h10_a_move_there_between_two_folders_is_one_here() {
    let mut world = world("two-way");
    let other = world.dir.path().join("other");
    fs::create_dir(&other).unwrap();
    world.folder_extra = format!("[[account.folder]]\nlocal = {other:?}\nremote = \"/U\"\nmode = \"two-way\"\n");
    for i in 0..6 {
        world.write(&format!("{i}"), format!("{i}"));
    }
    fs::write(other.join("x"), "x").unwrap();
    world.once_in_sync();
    world.standin.rename("/T/0", "/U/0");
    for _ in 0..2 {
        assert_eq!(comes_to_rest(&world), 0);
        assert_eq!(fs::read_to_string(other.join("0")).unwrap(), "0");
        assert!(read(&world, "0").is_none() && remote(&world, "0").is_none());
    }
    world.assert_clean();
}

/// I2: letters whose case a server may fold in its own way keep no deletion from coming down, and a name that is only like another one's does.
#[test]
fn i2_names_with_umlauts_are_deleted_too() {
    let world = world("two-way");
    for i in 0..9 {
        world.write(&format!("{i}"), format!("{i}"));
    }
    world.write("Grüße.txt", "1");
    world.write("Büro/Österreich/a", "2");
    world.write("Büro/b", "3");
    fs::create_dir(world.folder.join("Äpfel")).unwrap();
    world.once_in_sync();
    world.standin.delete("/T/Grüße.txt");
    world.standin.delete("/T/Äpfel");
    world.standin.delete("/T/Büro/Österreich");
    assert_eq!(comes_to_rest(&world), 0);
    world.assert_equal();
    assert!(!world.folder.join("Äpfel").exists() && !world.folder.join("Büro/Österreich").exists());
    // Gone on both sides.
    world.standin.delete("/T/Büro");
    fs::remove_dir_all(world.folder.join("Büro")).unwrap();
    assert_eq!(comes_to_rest(&world), 0);
    world.assert_equal();
    world.assert_clean();
}

/// I2: Dropbox folds a name in a way that nobody would guess. That it is not found under its likely key does not mean that it is gone.
#[test]
fn i2_a_name_that_is_folded_otherwise_is_not_gone() {
    let world =
        World { mode: "two-way", ..World::with(Settings { fold: vec![('ß', "ss".into())], ..Settings::default() }) };
    world.write("Straße/İ.txt", "1");
    world.write("Straße/b", "2");
    world.write("keep", "k");
    world.once_in_sync();
    world.standin.write("/T/Straße/b", "changed there");
    world.standin.write("/T/keep", "changed there, too");
    assert_eq!(comes_to_rest(&world), 0);
    assert_eq!(world.disk().len(), 3);
    assert_eq!(world.standin.file_count(), 3);
    assert_eq!(read(&world, "keep").as_deref(), Some("changed there, too"));
    world.assert_clean();
}

/// A move there and back gives the same content another revision: a deletion here is still one of that file.
#[test]
fn what_was_moved_there_and_back_can_be_deleted() {
    let world = world("two-way");
    for i in 0..8 {
        world.write(&format!("kept {i}"), "k");
    }
    world.write("dir/in.txt", "one");
    world.once_in_sync();
    let before = world.standin.file("/T/dir/in.txt").unwrap().rev;
    world.standin.rename("/T/dir", "/T/elsewhere");
    world.standin.rename("/T/elsewhere", "/T/dir");
    assert_ne!(world.standin.file("/T/dir/in.txt").unwrap().rev, before);
    fs::remove_file(world.folder.join("dir/in.txt")).unwrap();
    assert_eq!(comes_to_rest(&world), 0);
    assert!(world.standin.file("/T/dir/in.txt").is_none());
    world.assert_equal();
    world.assert_clean();
}

/// A file that was moved there, and in whose old place a folder stands by now, comes to its new place.
#[test]
fn what_was_moved_and_replaced_by_a_folder_comes_down() {
    let world = world("two-way");
    for i in 0..8 {
        world.write(&format!("kept {i}"), "k");
    }
    world.write("d/c", "one");
    world.once_in_sync();
    world.once_in_sync();
    world.standin.rename("/T/d/c", "/T/a/c");
    world.standin.write("/T/d/c/new", "two");
    assert_eq!(comes_to_rest(&world), 0);
    assert_eq!((read(&world, "a/c").as_deref(), read(&world, "d/c/new").as_deref()), (Some("one"), Some("two")));
    world.assert_equal();
    world.assert_clean();
}

/// A file takes a folder's place in Dropbox, and here an empty directory was made in it: it cannot be made there, and keeps nothing waiting for ever.
#[test]
fn b10_an_empty_directory_keeps_no_file_out() {
    let world = world("two-way");
    for i in 0..8 {
        world.write(&format!("kept {i}"), "k");
    }
    world.write("d/x", "one");
    world.once_in_sync();
    world.standin.delete("/T/d");
    world.standin.write("/T/d", "a file");
    fs::create_dir(world.folder.join("d/new")).unwrap();
    let rested = comes_to_rest(&world);
    let rows = world.stored("SELECT path || ' ' || state || ' ' || coalesce(text, '') FROM job");
    assert_eq!(rested, 0, "{rows:?}\n{}", world.log());
    assert_eq!(read(&world, "d").as_deref(), Some("a file"));
    world.assert_equal();
    let dirs = fs::read_dir(&world.folder).unwrap().map(|e| e.unwrap().path()).filter(|path| path.join("new").is_dir());
    assert_eq!(dirs.count(), 1, "the directory is kept under another name");
    world.assert_clean();
}
