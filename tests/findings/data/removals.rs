//! What is removed here, and how sure the program is before it goes in Dropbox.

use std::fs;
use std::time::Duration;

use ferrybox_standin::{Effect, Fault, When};
use rustix::process::{Resource, Rlimit};

use crate::harness::{Daemon, FINISH_BATCH, World};

const DELETE_BATCH: &str = "files/delete_batch";

fn two_way() -> World {
    let mut world = World::new();
    world.mode = "two-way";
    world.extra = "[safety]\nmax_deletion_share = \"100%\"\nmax_deletions = 100000\n".into();
    world
}

/// However many deletions wait: what is put back while the first of them are under way is not deleted with the next.
#[test]
fn d8_what_is_put_back_between_two_batches_of_deletions_stays() {
    let mut world = two_way();
    world.extra.push_str("[commit]\nmax_entries = 300\n");
    for i in 0..1200 {
        world.write(&format!("d/{i}"), format!("{i}"));
    }
    for i in 0..20 {
        world.write(&format!("keep/{i}"), format!("{i}"));
    }
    world.once_in_sync();
    let daemon = world.daemon();
    world.until_folder("in_sync");
    // The first call takes a moment, in which the directory comes back.
    let slow = Effect::StallReply(Duration::from_millis(300));
    world.standin.faults().add(Fault { when: When::Times(1), ..Fault::always(DELETE_BATCH, slow) });
    world.standin.reset_counters();
    let away = world.dir.path().join("away");
    fs::rename(world.folder.join("d"), &away).unwrap();
    world.until("the first deletions", |s| s.file_count() < 1220);
    fs::rename(&away, world.folder.join("d")).unwrap();
    world.until("all of it again", |s| s.file_count() == 1220);
    world.until_folder("in_sync");
    assert_eq!(world.standin.calls_of(DELETE_BATCH), 1, "{}", world.log());
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_equal();
    world.assert_clean();
}

/// Where Dropbox asks to wait before the next commit, the last look comes after that wait.
#[test]
fn d8_what_is_put_back_while_a_call_waits_for_its_turn_stays() {
    let world = two_way();
    for name in ["a", "b", "c"] {
        world.write(name, name);
    }
    world.once_in_sync();
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let busy = Effect::RateLimited { reason: "too_many_write_operations".into(), retry_after: Some("5".into()) };
    world.standin.faults().add(Fault { when: When::Times(1), ..Fault::always(FINISH_BATCH, busy) });
    world.write("new", "new");
    world.until("the word to wait", |s| s.calls_of(FINISH_BATCH) > 0);
    let away = world.dir.path().join("away");
    fs::rename(world.folder.join("a"), &away).unwrap();
    world.eventually("the deletion's batch", || world.stored("SELECT kind FROM batch").contains(&"delete".to_owned()));
    fs::rename(&away, world.folder.join("a")).unwrap();
    world.until("the new file", |s| s.file("/T/new").is_some());
    world.until_folder("in_sync");
    assert_eq!(world.deletions(), 0, "{}", world.log());
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_equal();
    world.assert_clean();
}

/// Leaves a process that many free file descriptors, or as many as it likes.
fn descriptors(daemon: &Daemon, free: Option<u64>) {
    let pid = rustix::process::Pid::from_child(&daemon.child);
    let open: Vec<u64> = fs::read_dir(format!("/proc/{}/fd", daemon.child.id()))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    let limit = free.map_or(1024, |free| (0..).filter(|fd| !open.contains(fd)).nth(free as usize).unwrap());
    let limit = Rlimit { current: Some(limit), maximum: Some(1024) };
    rustix::process::prlimit(Some(pid), Resource::Nofile, limit).unwrap();
}

/// A marker that cannot be read is not a marker that is gone: what is deleted in Dropbox meanwhile goes here, and nothing comes back.
#[test]
fn d7_a_marker_that_cannot_be_read_is_not_a_lost_marker() {
    let world = two_way();
    for i in 0..20 {
        world.write(&format!("f{i}"), format!("{i}"));
    }
    world.once_in_sync();
    let daemon = world.daemon();
    world.until_folder("in_sync");
    // One descriptor: the root opens, its marker does not.
    descriptors(&daemon, Some(1));
    world.eventually("the folder stops", || world.log().contains("the folder stops"));
    world.standin.delete("/T/f1");
    descriptors(&daemon, None);
    world.eventually("the folder is back", || world.log().contains("the folder is back"));
    world.eventually("the deletion", || !world.folder.join("f1").exists());
    world.until_folder("in_sync");
    assert!(world.standin.file("/T/f1").is_none());
    let log = world.log();
    assert!(log.contains("short of memory or file handles") && !log.contains("compared anew"), "{log}");
    let asked = log.lines().find(|line| line.contains("the folder stops")).unwrap();
    assert!(!asked.contains("mount"), "{asked}");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_equal();
    world.assert_clean();
}
