//! Directories inside a two-way folder that are mounts of their own, and come and go: nothing is deleted on either side, and nothing is written where a
//! disk used to be.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::namespace::Namespace;
use crate::harness::{World, text};

fn two_way() -> World {
    let mut world = World::new();
    world.mode = "two-way";
    world.write("keep", "k");
    world.write("keep too", "k");
    world
}

fn synced(world: &World, what: &str) {
    let out = world.command(&["sync", "--wait"]).output().unwrap();
    assert!(matches!(out.status.code(), Some(0 | 3)), "{what}: {}", text(&out));
}

fn problems(world: &World) -> String {
    crate::harness::told(world, &["problems", "--json"])
}

/// A tmpfs on `disk`, with files in it, and the daemon that has synced them.
fn with_disk(namespace: &Namespace, world: &World) -> (crate::harness::Daemon, PathBuf) {
    let disk = world.folder.join("disk");
    fs::create_dir(&disk).unwrap();
    namespace.run(&format!("mount -t tmpfs tmpfs {}", disk.display()));
    let inside = namespace.path(&disk);
    for i in 0..5 {
        fs::write(inside.join(format!("{i}")), "old").unwrap();
    }
    let daemon = world.daemon_by(namespace.command(env!("CARGO_BIN_EXE_ferrybox")));
    world.until("the files", |s| s.file_count() == 7);
    world.until_folder("in_sync");
    synced(world, "at first");
    (daemon, inside)
}

/// Q5: everything of a directory is away (a bind mount of the same disk, so that no device number tells), the deletions are held, and it is mounted again.
#[test]
fn q5_a_hold_lifts_itself_when_the_directory_is_mounted_again() {
    let namespace = Namespace::new();
    let world = two_way();
    let (d, kept) = (world.folder.join("d"), world.dir.path().join("kept"));
    fs::create_dir(&d).unwrap();
    fs::create_dir(&kept).unwrap();
    for i in 0..120 {
        fs::write(kept.join(format!("{i}")), format!("{i}")).unwrap();
    }
    let bind = || namespace.run(&format!("mount --bind {} {}", kept.display(), d.display()));
    bind();
    let daemon = world.daemon_by(namespace.command(env!("CARGO_BIN_EXE_ferrybox")));
    world.until("the files", |s| s.file_count() == 122);
    world.until_folder("in_sync");
    for round in 0..2 {
        namespace.run(&format!("umount --lazy {}", d.display()));
        world.command(&["sync"]).output().unwrap();
        let reason = world.until_folder("held");
        assert!(reason.contains("120 deletions are held"), "{round}: {reason}");
        // What is changed there meanwhile is still theirs.
        world.standin.write("/T/d/0", format!("theirs {round}"));
        bind();
        world.command(&["sync"]).output().unwrap();
        world.until_folder("in_sync");
        world
            .eventually("theirs", || fs::read(kept.join("0")).is_ok_and(|b| b == format!("theirs {round}").as_bytes()));
        assert_eq!((world.deletions(), world.standin.file_count()), (0, 122), "{round}");
        assert_eq!(fs::read_dir(&kept).unwrap().count(), 120, "{round}");
    }
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// Q6: a disk mounted inside goes and comes back. Meanwhile nothing is known of it: not that it was deleted, not that it may be written to.
#[test]
fn q6_a_disk_inside_a_two_way_folder_goes_and_comes_back() {
    let namespace = Namespace::new();
    let world = two_way();
    let (daemon, inside) = with_disk(&namespace, &world);
    let kept = world.dir.path().join("kept");
    let disk = world.folder.join("disk");
    // It stays alive elsewhere, as a disk does that is taken out.
    fs::create_dir(&kept).unwrap();
    namespace.run(&format!("mount --bind {} {}", disk.display(), kept.display()));
    namespace.run(&format!("umount --lazy {}", disk.display()));
    synced(&world, "without the disk");
    assert!(problems(&world).contains("mount_gone"), "{}", problems(&world));
    world.standin.write("/T/disk/0", "theirs");
    world.standin.delete("/T/disk/1");
    synced(&world, "with changes there");
    assert!(!disk.join("0").exists(), "nothing is written where the disk was");
    assert_eq!(world.deletions(), 0);
    namespace.run(&format!("mount --bind {} {}", kept.display(), disk.display()));
    synced(&world, "with the disk");
    world.eventually("theirs", || {
        fs::read(inside.join("0")).is_ok_and(|b| b == b"theirs") && !inside.join("1").exists()
    });
    world.until_folder("in_sync");
    assert_eq!(problems(&world).matches("mount_gone").count(), 0, "{}", problems(&world));
    // On the disk, what really goes still goes.
    fs::remove_file(inside.join("2")).unwrap();
    world.until("the deletion", |s| s.file("/T/disk/2").is_none());
    assert_eq!((world.standin.file_count(), names(&inside)), (5, ["0", "3", "4"].map(str::to_owned).to_vec()));
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// Q6: another disk is mounted over a directory: what is below it is out of sight, and not deleted.
#[test]
fn q6_a_disk_mounted_over_synced_files_deletes_none_of_them() {
    let namespace = Namespace::new();
    let world = two_way();
    for i in 0..5 {
        world.write(&format!("d/{i}"), "x");
    }
    let daemon = world.daemon_by(namespace.command(env!("CARGO_BIN_EXE_ferrybox")));
    world.until("the files", |s| s.file_count() == 7);
    world.until_folder("in_sync");
    synced(&world, "at first");
    let d = world.folder.join("d");
    namespace.run(&format!("mount -t tmpfs tmpfs {}", d.display()));
    synced(&world, "covered");
    world.never("a deletion", std::time::Duration::from_secs(4), |s| s.file_count() < 7);
    assert!(problems(&world).contains("mount_gone"), "{}", problems(&world));
    namespace.run(&format!("umount {}", d.display()));
    synced(&world, "uncovered");
    assert_eq!(problems(&world).matches("mount_gone").count(), 0, "{}", problems(&world));
    assert_eq!((world.deletions(), world.standin.file_count(), names(&d).len()), (0, 7, 5));
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
