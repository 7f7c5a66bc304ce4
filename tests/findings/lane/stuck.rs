//! What cannot go on, or takes its time, keeps nothing else from going on.

use std::fs;
use std::process::Command;
use std::time::Duration;

use ferrybox_standin::{Effect, Fault};

use crate::harness::{APPEND_BATCH, World, preload};

/// A rename that has to wait, since a file of the directory is still being sent, keeps only that directory from being looked at.
#[test]
fn l7_a_rename_that_has_to_wait_stops_nothing_but_its_two_places() {
    let mut world = World::new();
    world.mode = "two-way";
    world.write("old/a", "1");
    world.write("old/d/b", "2");
    let daemon = world.daemon();
    world.until("the files", |s| s.file_count() == 2);
    world.until_folder("in_sync");
    world.standin.reset_counters();
    world.standin.faults().add(Fault::once(APPEND_BATCH, Effect::Stall(Duration::from_secs(15))));
    world.write("old/late", "3");
    world.until("it is being sent", |s| s.faults().hits().contains(&1));
    fs::rename(world.folder.join("old"), world.folder.join("new")).unwrap();
    // It waits, once a worker has looked at it.
    let waits = "SELECT path FROM job WHERE path = 'new/a' AND state = 'due' AND burst > since";
    world.eventually("the rename was seen", || !world.stored(waits).is_empty());
    world.write("other/file", "4");
    world.write("newer", "5");
    world.until("the others", |s| s.file("/T/other/file").is_some() && s.file("/T/newer").is_some());
    assert_eq!(world.standin.calls_of("files/move_batch_v2"), 0, "the rename has waited meanwhile\n{}", world.log());
    world.until("the rename", |s| s.folder("/T/new") && s.file("/T/new/late").is_some() && !s.folder("/T/old"));
    world.until_folder("in_sync");
    assert_eq!(world.standin.file("/T/new/a").unwrap().revisions, 1, "moved, and not sent");
    world.assert_equal();
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// While it is told a number, each note in the trash takes that many milliseconds.
const SLOW_TRASH: &str = r#"
ssize_t write(int fd, const void *at, size_t n) {
  if (told && *told > 0 && leads_to(fd, "/.ferrybox/notes/")) usleep(*told * 1000);
  return syscall(SYS_write, fd, at, n);
}
"#;

/// Files that go here because they went in Dropbox do not keep Dropbox from getting what is new here, however slow the disk is.
#[test]
fn l7_a_slow_local_trash_does_not_hold_up_the_commits() {
    let mut world = World::new();
    world.mode = "two-way";
    world.extra = "[safety]\nmax_deletion_share = \"100%\"\n".into();
    for n in 0..60 {
        world.write(&format!("gone/{n}"), format!("{n}"));
    }
    world.write("keep", "k");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferrybox"));
    let slow = preload::load(world.dir.path(), SLOW_TRASH, &mut command);
    let daemon = world.daemon_by(command);
    world.until("the files", |s| s.file_count() == 61);
    world.until_folder("in_sync");
    slow.set(250);
    assert!(world.standin.delete("/T/gone"));
    let left = || fs::read_dir(world.folder.join("gone")).map_or(0, Iterator::count);
    world.eventually("the first one goes", || left() < 60);
    world.write("new", "n");
    world.until("what is new", |s| s.file("/T/new").is_some());
    assert!(left() > 0, "the trash was done before\n{}", world.log());
    slow.set(0);
    world.eventually("all is gone", || !world.folder.join("gone").exists());
    world.until_folder("in_sync");
    world.assert_equal();
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}
