//! Both directions: what another device does in Dropbox arrives on the disk, what is done on the disk arrives in Dropbox, and where both did something
//! nobody loses anything.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;

use super::{read, remote};
use crate::harness::{World, text, wait_for_socket};

fn world() -> World {
    let mut world = World::new();
    world.mode = "two-way";
    world
}

fn folders(world: &World) -> Vec<String> {
    let folders = world.standin.folders().into_iter();
    folders.filter_map(|f| f.strip_prefix("/T/").map(str::to_owned)).collect()
}

fn dirs(world: &World) -> Vec<String> {
    fn walk(root: &std::path::Path, at: &std::path::Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with(".ferrybox") {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
                walk(root, &path, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(&world.folder, &world.folder, &mut found);
    found.sort();
    found
}

/// Waits for something of the disk.
fn until_disk(world: &World, what: &str, done: impl FnMut() -> bool) {
    world.eventually(what, done);
}

/// Both sides hold the same files and folders.
fn assert_same(world: &World) {
    world.assert_equal();
    let mut there = folders(world);
    there.sort();
    assert_eq!(dirs(world), there);
}

fn trash(world: &World) -> Vec<String> {
    fn walk(at: &std::path::Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(at).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = Vec::new();
    walk(&world.folder.join(".ferrybox/trash"), &mut found);
    found.sort();
    found
}

#[test]
fn both_directions_one_run_after_the_other() {
    let world = world();
    let standin = &world.standin;
    standin.write("/T/there.txt", "from there");
    standin.write("/T/deep/down/x", "deep");
    standin.write("/T/nothing", "");
    standin.make_folder("/T/empty there");
    world.write("here.txt", "from here");
    world.write("a/b/y", "up");
    fs::create_dir(world.folder.join("empty here")).unwrap();
    world.once_in_sync();
    assert_same(&world);
    assert_eq!(read(&world, "there.txt").as_deref(), Some("from there"));
    assert_eq!(read(&world, "nothing").as_deref(), Some(""));
    assert!(standin.folder("/T/empty here") && world.folder.join("empty there").is_dir());

    // A second run has nothing to do.
    standin.reset_counters();
    world.once_in_sync();
    assert_eq!(standin.data_transport_calls(), 0);
    assert_eq!(standin.calls_of("files/download"), 0);

    standin.write("/T/there.txt", "changed there");
    world.write("here.txt", "changed here");
    standin.write("/T/deep/new", "n");
    world.once_in_sync();
    assert_same(&world);
    assert_eq!(read(&world, "there.txt").as_deref(), Some("changed there"));
    assert_eq!(remote(&world, "here.txt").as_deref(), Some("changed here"));
    assert_eq!(trash(&world), ["from there"], "what was replaced is in the trash");

    // Deletions pass in both directions, with folders.
    standin.delete("/T/there.txt");
    fs::remove_file(world.folder.join("a/b/y")).unwrap();
    fs::remove_dir_all(world.folder.join("empty here")).unwrap();
    standin.delete("/T/empty there");
    world.once_in_sync();
    assert_same(&world);
    assert!(read(&world, "there.txt").is_none() && remote(&world, "a/b/y").is_none());
    assert!(world.folder.join("a/b").is_dir(), "its directory was not deleted");
    assert_eq!(trash(&world), ["changed there", "from there"]);
    world.assert_clean();
}

#[test]
fn what_happens_while_it_runs_arrives() {
    let world = world();
    // A folder that loses all it has is asked about.
    for i in 0..8 {
        world.write(&format!("kept {i}"), "k");
    }
    let _daemon = world.daemon();
    wait_for_socket(&world);
    let standin = &world.standin;
    world.write("up.txt", "1");
    world.until("the upload", |s| s.file("/T/up.txt").is_some());
    standin.write("/T/down.txt", "2");
    until_disk(&world, "the download", || read(&world, "down.txt").is_some());
    world.write("down.txt", "3");
    world.until("the edit of it", |_| remote(&world, "down.txt").as_deref() == Some("3"));
    standin.write("/T/up.txt", "4");
    until_disk(&world, "the other's edit", || read(&world, "up.txt").as_deref() == Some("4"));
    fs::remove_file(world.folder.join("up.txt")).unwrap();
    world.until("the deletion", |s| s.file("/T/up.txt").is_none());
    standin.delete("/T/down.txt");
    until_disk(&world, "the other's deletion", || read(&world, "down.txt").is_none());
    standin.write("/T/d/e/f", "5");
    until_disk(&world, "a tree", || read(&world, "d/e/f").is_some());
    fs::remove_dir_all(world.folder.join("d")).unwrap();
    world.until("the tree's end", |s| !s.folder("/T/d"));
    world.assert_clean();
}

/// The first meeting adopts what is equal without a transfer, keeps both of what differs, and deletes nothing.
#[test]
fn a_first_meeting_transfers_only_what_differs() {
    let world = world();
    let standin = &world.standin;
    for i in 0..50 {
        standin.write(&format!("/T/same/{i}"), format!("equal {i}"));
        world.write(&format!("same/{i}"), format!("equal {i}"));
    }
    standin.write("/T/both.txt", "theirs");
    world.write("both.txt", "ours");
    standin.reset_counters();
    world.once_in_sync();
    assert_same(&world);
    assert_eq!(standin.calls_of("files/download"), 1, "only the one that differs came down");
    assert_eq!(read(&world, "both.txt").as_deref(), Some("theirs"));
    let copies: Vec<_> = world.disk().into_keys().filter(|p| p.contains("conflicted copy")).collect();
    assert_eq!(copies.len(), 1);
    assert_eq!(read(&world, &copies[0]).as_deref(), Some("ours"));
    assert_eq!(world.disk().len(), 52);
    world.assert_clean();
}

/// Both sides changed one file while nobody looked: both versions are kept on both sides, once.
#[test]
fn b5_a_conflict_keeps_both() {
    let world = world();
    world.write("f.txt", "base");
    world.once_in_sync();
    world.standin.write("/T/f.txt", "theirs");
    world.write("f.txt", "ours!");
    world.once_in_sync();
    world.once_in_sync();
    assert_same(&world);
    let contents: Vec<_> = world.disk().into_keys().map(|p| read(&world, &p).unwrap()).collect();
    assert_eq!(contents, ["ours!", "theirs"]);
    assert_eq!(read(&world, "f.txt").as_deref(), Some("theirs"));
    // The same change on both sides is none.
    world.standin.write("/T/f.txt", "agreed");
    world.write("f.txt", "agreed");
    world.once_in_sync();
    assert_same(&world);
    assert_eq!(world.disk().len(), 2);
    world.assert_clean();
}

/// B7, B8: an edit beats a delete, whoever made which.
#[test]
fn b8_an_edit_beats_a_delete() {
    let world = world();
    world.write("edited here", "1");
    world.write("edited there", "1");
    world.write("stays", "1");
    world.once_in_sync();
    world.write("edited here", "22");
    world.standin.delete("/T/edited here");
    world.standin.write("/T/edited there", "22");
    fs::remove_file(world.folder.join("edited there")).unwrap();
    world.once_in_sync();
    assert_same(&world);
    assert_eq!(read(&world, "edited here").as_deref(), Some("22"));
    assert_eq!(read(&world, "edited there").as_deref(), Some("22"));
    world.assert_clean();
}

/// A move in Dropbox is a rename here: nothing comes down.
#[test]
fn a_move_there_is_a_rename_here() {
    let world = world();
    world.write("old/one.bin", vec![7; 100_000]);
    world.write("old/two.bin", vec![8; 100_000]);
    world.write("keep", "k");
    world.once_in_sync();
    assert!(world.standin.rename("/T/old", "/T/new"));
    world.standin.reset_counters();
    world.once_in_sync();
    assert_same(&world);
    assert_eq!(world.standin.calls_of("files/download"), 0);
    assert!(world.folder.join("new/two.bin").exists(), "{:?}", world.disk());
    assert!(!world.folder.join("old").exists(), "{:?}", dirs(&world));
    assert!(trash(&world).is_empty());
    world.assert_clean();
}

/// B10: a file replaced by a folder, a folder by a file, on either side.
#[test]
fn b10_files_and_folders_change_places() {
    let world = world();
    world.write("a", "file");
    world.write("b/inside", "x");
    world.write("c", "file");
    world.write("d/inside", "y");
    world.write("keep", "k");
    world.once_in_sync();
    fs::remove_file(world.folder.join("a")).unwrap();
    world.write("a/now/a/folder", "1");
    fs::remove_dir_all(world.folder.join("b")).unwrap();
    world.write("b", "now a file");
    world.standin.delete("/T/c");
    world.standin.write("/T/c/now", "2");
    world.standin.delete("/T/d");
    world.standin.write("/T/d", "now a file");
    world.once_in_sync();
    assert_same(&world);
    assert_eq!(read(&world, "a/now/a/folder").as_deref(), Some("1"));
    assert_eq!(remote(&world, "b").as_deref(), Some("now a file"));
    assert_eq!(read(&world, "c/now").as_deref(), Some("2"));
    assert_eq!(read(&world, "d").as_deref(), Some("now a file"));
    world.assert_clean();
}

/// Q10: a mass deletion in Dropbox waits for a person, and `reject` puts the files back there.
#[test]
fn q10_a_mass_deletion_there_is_held() {
    for verdict in ["approve", "reject"] {
        let world = world();
        for i in 0..20 {
            world.write(&format!("d/{i}"), format!("{i}"));
        }
        let _daemon = world.daemon();
        world.until("the uploads", |s| s.file_count() == 20);
        world.standin.delete("/T/d");
        let status = world.until_status("held", |s| s["accounts"][0]["remote"]["held"].is_object());
        assert_eq!(world.disk().len(), 20, "nothing is deleted before somebody agrees");
        let token = status["accounts"][0]["remote"]["held"]["token"].as_str().unwrap().to_owned();
        let out = world.command(&[verdict, &token]).output().unwrap();
        assert!(out.status.success(), "{}", text(&out));
        if verdict == "approve" {
            until_disk(&world, "the deletions", || world.disk().is_empty());
            assert_eq!(trash(&world).len(), 20);
        } else {
            world.until("the files back in Dropbox", |s| s.file_count() == 20);
            assert_eq!(world.disk().len(), 20);
        }
        world.assert_clean();
    }
}

/// B9: ignored files keep their directory, and it is said.
#[test]
fn b9_ignored_files_keep_a_directory() {
    let mut world = world();
    world.folder_extra = "ignore = [\"*.tmp\"]".into();
    world.write("d/synced", "1");
    world.write("d/mine.tmp", "2");
    world.write("keep", "k");
    world.once_in_sync();
    world.standin.delete("/T/d");
    let out = world.once();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    assert!(!world.folder.join("d/synced").exists());
    assert_eq!(read(&world, "d/mine.tmp").as_deref(), Some("2"));
    assert!(!world.standin.folder("/T/d"), "the directory does not come back in Dropbox");
    world.assert_clean();
}

/// What has been in the trash for long enough goes at the next scan, and nothing else.
#[test]
fn the_trash_is_purged_by_age_and_by_size() {
    let mut world = world();
    for i in 0..4 {
        world.write(&format!("f{i}"), format!("{i}"));
    }
    world.once_in_sync();
    world.standin.delete("/T/f0");
    world.once_in_sync();
    assert_eq!(trash(&world), ["0"]);
    // As if it had been there for as long as it is kept.
    let db = rusqlite::Connection::open(world.state().join("test/state.db")).unwrap();
    world.standin.delete("/T/f1");
    world.once_in_sync();
    assert_eq!(trash(&world), ["0", "1"]);
    db.execute("UPDATE folder SET trash_ms = ?1, trash_at = 0", [31_i64 * 24 * 3600 * 1000]).unwrap();
    world.once_in_sync();
    assert_eq!(trash(&world), ["1"], "this one is seen there for the first time");
    world.extra = "[safety]\ntrash_size = 0\n".into();
    world.once_in_sync();
    assert!(trash(&world).is_empty());
    world.assert_clean();
}

/// `download` brings everything down and sends nothing.
#[test]
fn download_sends_nothing() {
    let mut world = world();
    world.mode = "download";
    world.standin.write("/T/a", "1");
    world.standin.write("/T/d/b", "2");
    world.write("mine", "stays here");
    world.once_in_sync();
    world.write("d/b", "edited here");
    fs::remove_file(world.folder.join("a")).unwrap();
    world.once_in_sync();
    assert_eq!(world.standin.file_count(), 2);
    assert_eq!((read(&world, "a"), read(&world, "d/b").as_deref()), (None, Some("edited here")));
    world.standin.write("/T/a", "again");
    world.standin.write("/T/d/b", "edited there");
    world.once_in_sync();
    assert_eq!(read(&world, "a").as_deref(), Some("again"));
    assert_eq!(read(&world, "d/b").as_deref(), Some("edited there"));
    assert!(world.disk().keys().any(|p| p.contains("conflicted copy")), "the local edit is kept");
    assert_eq!(world.standin.file_count(), 2);
    assert_eq!(world.standin.calls_of("files/upload_session/finish_batch"), 0);
    world.assert_clean();
}
