//! The watcher: overflow, limits, and file systems that tell nothing. What changed arrives all the same.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;
use std::path::Path;
use std::process::Child;

use crate::harness::World;
use crate::harness::namespace::Namespace;
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn f1_an_overflow_of_the_kernels_queue_loses_no_change() {
    let mut world = World::new();
    world.mode = "mirror";
    for name in ["keep", "gone", "dir/file"] {
        world.write(name, "1");
    }
    let daemon = world.daemon();
    world.until("the files", |s| s.files().len() == 3);
    world.until_folder("in_sync");
    // While the daemon stands still, more happens than the kernel keeps (16,384 events, unless somebody raised that).
    let pid = Pid::from_child(&daemon.child);
    kill_process(pid, Signal::STOP).unwrap();
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let rounds = limit.trim().parse::<usize>().unwrap_or(16_384).min(200_000) / 4 + 1_000;
    for i in 0..rounds {
        let path = world.folder.join(["noise-a.tmp", "noise-b.tmp"][i % 2]);
        fs::write(&path, "x").unwrap();
        fs::remove_file(&path).unwrap();
    }
    world.write("late", "after the queue was full");
    world.write("new/deep/file", "n");
    fs::remove_file(world.folder.join("gone")).unwrap();
    world.write("keep", "22");
    kill_process(pid, Signal::CONT).unwrap();
    world.until("what was lost", |s| s.file("/T/late").is_some() && s.file("/T/new/deep/file").is_some());
    world.until("the deletion", |s| s.file("/T/gone").is_none());
    world.until("the edit", |s| s.file("/T/keep").is_some_and(|f| f.revisions == 2));
    assert!(world.log().contains("overflowed"), "{}", world.log());
    // The new watches work.
    world.write("new/deep/later", "l");
    world.until("the next change", |s| s.file("/T/new/deep/later").is_some());
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn f3_f5_f8_new_moved_and_renamed_directories_are_seen_whole() {
    let world = World::new();
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let outside = world.dir.path().join("outside");
    fs::create_dir_all(outside.join("a/b")).unwrap();
    fs::write(outside.join("a/b/moved-in"), "m").unwrap();
    for i in 0..30 {
        world.write(&format!("fast/{i}/x/y/file"), "f");
    }
    fs::rename(&outside, world.folder.join("came")).unwrap();
    world.until("both trees", |s| s.file("/T/came/a/b/moved-in").is_some() && s.files().len() == 31);
    // Renamed, then written into: the event must be told of the new name.
    fs::rename(world.folder.join("came"), world.folder.join("went")).unwrap();
    world.write("went/a/b/after", "a");
    world.until("the file in the renamed directory", |s| s.file("/T/went/a/b/after").is_some());
    world.until("its old file", |s| s.file("/T/went/a/b/moved-in").is_some());
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

#[test]
fn f4_f9_a_file_replaced_within_the_settling_time_is_never_deleted() {
    let mut world = World::new();
    world.mode = "mirror";
    world.write("a", "0");
    world.write("b", "b");
    let daemon = world.daemon();
    world.until("the files", |s| s.files().len() == 2);
    for i in 1..=20 {
        fs::remove_file(world.folder.join("a")).unwrap();
        world.write("a", format!("{i}"));
        // Shorter than the settling time: that it does not pass is what is tried.
        std::thread::sleep(std::time::Duration::from_millis(40));
    }
    let hash = ferrybox_standin::content_hash(b"20");
    world.until("the last version", |s| s.file("/T/a").is_some_and(|f| f.content_hash == hash));
    assert_eq!(world.deletions(), 0);
    // Moved out: a deletion, once it has rested.
    fs::rename(world.folder.join("a"), world.dir.path().join("a")).unwrap();
    world.until("the deletion", |s| s.file("/T/a").is_none());
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

#[test]
fn f14_content_that_changes_under_its_old_size_and_time_is_seen() {
    let world = World::new();
    world.write("a", "one");
    world.once_in_sync();
    let file = fs::File::options().write(true).open(world.folder.join("a")).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    fs::write(world.folder.join("a"), "two").unwrap();
    file.set_modified(before).unwrap();
    drop(file);
    world.once_in_sync();
    assert_eq!(world.standin.file("/T/a").unwrap().revisions, 2);
    world.assert_clean();
}

#[test]
fn f16_beyond_the_watch_limit_the_rest_is_scanned_and_the_reason_says_what_to_raise() {
    let namespace = Namespace::new();
    let mut world = World::new();
    world.extra = "rescan = \"3s\"\n".to_owned();
    for i in 0..30 {
        world.write(&format!("d{i:02}/file"), "x");
    }
    namespace.run("echo 12 > /proc/sys/user/max_inotify_watches");
    let daemon = world.daemon_by(namespace.command(env!("CARGO_BIN_EXE_ferrybox")));
    world.until("the tree", |s| s.files().len() == 30);
    let reason = world.until_folder("degraded_watch");
    assert!(reason.contains("sysctl user.max_inotify_watches=524288"), "{reason}");
    assert!(reason.contains("of 12"), "{reason}");
    // Nowhere is a change missed.
    for i in 0..30 {
        world.write(&format!("d{i:02}/new"), "n");
    }
    world.until("the changes", |s| s.files().len() == 60);
    // And with a higher limit it is watched as ever.
    namespace.run("echo 10000 > /proc/sys/user/max_inotify_watches");
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// No watcher at all, and later one: F11's and F17's way back.
#[test]
fn f11_f17_without_a_watcher_the_folder_is_scanned_and_watched_again_when_that_is_possible() {
    let namespace = Namespace::new();
    let mut world = World::new();
    world.extra = "rescan = \"3s\"\n".to_owned();
    world.write("a", "1");
    namespace.run("echo 0 > /proc/sys/user/max_inotify_instances");
    let daemon = world.daemon_by(namespace.command(env!("CARGO_BIN_EXE_ferrybox")));
    world.until("the file", |s| s.files().len() == 1);
    let reason = world.until_folder("degraded_watch");
    assert!(reason.contains("max_user_instances") || reason.contains("max_inotify_instances"), "{reason}");
    world.write("sub/b", "2");
    world.until("the change", |s| s.file("/T/sub/b").is_some());
    namespace.run("echo 100 > /proc/sys/user/max_inotify_instances");
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

#[test]
fn f15_an_unmount_below_the_root_is_looked_at_and_takes_nothing_along() {
    let namespace = Namespace::new();
    let mut world = World::new();
    world.mode = "mirror";
    world.write("here", "1");
    let sub = world.folder.join("sub");
    fs::create_dir(&sub).unwrap();
    namespace.run(&format!("mount -t tmpfs tmpfs {}", sub.display()));
    for i in 0..3 {
        fs::write(namespace.path(&sub).join(format!("{i}")), "x").unwrap();
    }
    let daemon = world.daemon_by(namespace.command(env!("CARGO_BIN_EXE_ferrybox")));
    world.until("the files", |s| s.files().len() == 4);
    world.until_folder("in_sync");
    // Not lazily: the kernel tells of this one.
    namespace.run(&format!("umount {}", sub.display()));
    world.until_status("problems", |s| s["accounts"][0]["folders"][0]["problems"] == 3);
    assert_eq!((world.deletions(), world.standin.files().len()), (0, 4));
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// Run in a namespace by the test below it: a file system of its own, until that is unmounted.
#[test]
#[ignore = "the inner half of f12_a_file_system_that_tells_nothing_is_scanned, which runs it in a namespace: cargo test --test engine f12"]
fn inside_serves_files_by_fuse() {
    let named = |name: &str| std::env::var(name).unwrap();
    crate::harness::fuse::serve(Path::new(&named("FUSE_FROM")), Path::new(&named("FUSE_AT")));
}

/// A FUSE file system at `at` that serves `from`, in which there is a file `a`.
fn served(namespace: &Namespace, world: &World, from: &Path, at: &Path) -> Child {
    fs::create_dir(from).unwrap();
    fs::write(from.join("a"), "1").unwrap();
    let mut server = namespace
        .command(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "trouble::watching::inside_serves_files_by_fuse"])
        .env("FUSE_FROM", from)
        .env("FUSE_AT", at)
        .spawn()
        .unwrap();
    let seen = namespace.path(at).join("a");
    world.eventually("the file system is served", || {
        let ended = server.try_wait().unwrap();
        assert!(ended.is_none(), "it is not served: {ended:?}");
        seen.exists()
    });
    server
}

#[test]
fn f12_a_file_system_that_tells_nothing_is_scanned() {
    let namespace = Namespace::new();
    let mut world = World::new();
    world.extra = "rescan = \"2s\"\n".to_owned();
    let from = world.dir.path().join("elsewhere");
    let mut server = served(&namespace, &world, &from, &world.folder);
    let daemon = world.daemon_by(namespace.command(env!("CARGO_BIN_EXE_ferrybox")));
    world.until("the file", |s| s.file("/T/a").is_some());
    let reason = world.until_folder("degraded_watch");
    assert!(reason.contains("FUSE") && reason.contains("scanned"), "{reason}");
    // Made where this kernel does not see it.
    fs::write(from.join("b"), "2").unwrap();
    fs::write(from.join("a"), "changed").unwrap();
    world.until("what changed", |s| s.file("/T/b").is_some() && s.file("/T/a").is_some_and(|f| f.revisions == 2));
    assert_eq!(daemon.stop().0, Some(0));
    namespace.run(&format!("umount {}", world.folder.display()));
    assert!(server.wait().unwrap().success());
    assert_eq!(world.standin.files().len(), 2);
    world.assert_clean();
}

/// A process that stands still for as long as this lives.
struct Hangs(Pid);

impl Drop for Hangs {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// V11: a mount stops answering while paths of its folder wait. The daemon goes on to answer, and the other folder is synced in every way: what is
/// new, what is edited, and what is deleted, which takes the committer. What waited goes up when the mount answers again.
#[test]
fn v11_a_mount_that_hangs_holds_up_its_own_folder_only() {
    let namespace = Namespace::new();
    let mut world = World::new();
    world.extra = "rescan = \"2s\"\n".to_owned();
    let other = world.dir.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("kept"), "k").unwrap();
    fs::write(other.join("gone"), "g").unwrap();
    world.folder_extra = format!("[[account.folder]]\nlocal = {other:?}\nremote = \"/O\"\nmode = \"two-way\"\n");
    let from = world.dir.path().join("elsewhere");
    let mut server = served(&namespace, &world, &from, &world.folder);
    let daemon = world.daemon_by(namespace.command(env!("CARGO_BIN_EXE_ferrybox")));
    world
        .until("the files", |s| s.file("/T/a").is_some() && s.file("/O/kept").is_some() && s.file("/O/gone").is_some());
    crate::harness::told(&world, &["pause"]);
    // More than there are workers, each with a file of its own to read.
    for i in 0..40 {
        fs::write(from.join(format!("new {i}")), format!("{i}")).unwrap();
    }
    crate::harness::told(&world, &["sync"]);
    world.until_status("the paths wait", |s| s["accounts"][0]["folders"][0]["pending"]["uploads"] == 40);
    let hangs = Hangs(Pid::from_child(&server));
    kill_process(hangs.0, Signal::STOP).unwrap();
    crate::harness::told(&world, &["resume"]);
    for round in 0..3 {
        fs::write(other.join("kept"), format!("edited {round}")).unwrap();
        fs::write(other.join(format!("new {round}")), "n").unwrap();
        world.until("the other folder", |s| {
            s.file(&format!("/O/new {round}")).is_some() && s.file("/O/kept").is_some_and(|f| f.revisions == 2 + round)
        });
        world.until_status("an answer", |s| s["pid"] == daemon.child.id());
    }
    fs::remove_file(other.join("gone")).unwrap();
    world.until("the deletion", |s| s.file("/O/gone").is_none());
    world.standin.write("/O/theirs", "t");
    world.eventually("what comes down", || other.join("theirs").exists());
    assert!(world.standin.file("/T/new 0").is_none());
    drop(hangs);
    world.until("what waited", |s| (0..40).all(|i| s.file(&format!("/T/new {i}")).is_some()));
    assert_eq!(daemon.stop().0, Some(0));
    namespace.run(&format!("umount {}", world.folder.display()));
    assert!(server.wait().unwrap().success());
    world.assert_clean();
}

/// V11: deletions are held on a disk that stops answering, so that the committer looks at them now and then. It commits for the other folder all the same.
#[test]
fn v11_a_disk_that_hangs_below_held_deletions_stops_no_commit_of_another_folder() {
    let namespace = Namespace::new();
    let mut world = World::new();
    world.mode = "two-way";
    world.extra = "[safety]\nmax_deletions = 1\nmax_deletion_share = \"1%\"\n".to_owned();
    let (other, disk, from) =
        (world.dir.path().join("other"), world.folder.join("disk"), world.dir.path().join("elsewhere"));
    fs::create_dir(&other).unwrap();
    fs::create_dir(&disk).unwrap();
    world.folder_extra = format!("[[account.folder]]\nlocal = {other:?}\nremote = \"/O\"\nmode = \"two-way\"\n");
    let mut server = served(&namespace, &world, &from, &disk);
    for i in 0..10 {
        fs::write(from.join(format!("{i}")), format!("{i}")).unwrap();
    }
    let daemon = world.daemon_by(namespace.command(env!("CARGO_BIN_EXE_ferrybox")));
    world.until("the files", |s| s.file_count() == 11);
    world.until_folder("in_sync");
    for i in 0..10 {
        fs::remove_file(from.join(format!("{i}"))).unwrap();
    }
    crate::harness::told(&world, &["sync"]);
    world.until_folder("held");
    let hangs = Hangs(Pid::from_child(&server));
    kill_process(hangs.0, Signal::STOP).unwrap();
    world.eventually("it is noticed", || {
        // Each is committed, whether or not the committer waits for the disk at this moment.
        fs::write(other.join("edited"), format!("{:?}", std::time::Instant::now())).unwrap();
        world.log().contains("disk does not answer")
    });
    fs::write(other.join("last"), "l").unwrap();
    world.until("the other folder", |s| s.file("/O/last").is_some());
    drop(hangs);
    for i in 0..10 {
        fs::write(from.join(format!("{i}")), format!("{i}")).unwrap();
    }
    crate::harness::told(&world, &["sync"]);
    world.until_folder("in_sync");
    assert_eq!((world.deletions(), daemon.stop().0), (0, Some(0)));
    namespace.run(&format!("umount {}", disk.display()));
    assert!(server.wait().unwrap().success());
    world.assert_clean();
}
