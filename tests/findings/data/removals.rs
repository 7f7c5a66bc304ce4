//! What is removed here, and how sure the program is before it goes in Dropbox.

use std::fs;
use std::time::Duration;

use ferrybox_standin::{Effect, Entries, Fault, When};
use rustix::process::{Resource, Rlimit};

use crate::harness::{self, Daemon, FINISH_BATCH, World};

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
fn descriptors(daemon: &Daemon, free: Option<usize>) {
    let pid = rustix::process::Pid::from_child(&daemon.child);
    let open: Vec<u64> = fs::read_dir(format!("/proc/{}/fd", daemon.child.id()))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    let limit = free.map_or(1024, |free| (0..).filter(|fd| !open.contains(fd)).nth(free).unwrap());
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
    // One descriptor: the root opens, its marker does not. A connection that is closed meanwhile leaves another one.
    world.eventually("the folder stops", || {
        descriptors(&daemon, Some(1));
        world.log().contains("the folder stops")
    });
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

/// Everything below the folder, and no name of a conflicted copy among it.
fn names(world: &World) -> Vec<String> {
    let names: Vec<String> = world.disk().into_keys().collect();
    assert!(!names.iter().any(|name| name.contains("conflicted copy")), "{names:?}\n{}", world.log());
    names
}

/// Makes every row that much older, as if it had been seen then.
fn age(world: &World, ms: i64) {
    let conn = rusqlite::Connection::open(world.state().join("test/state.db")).unwrap();
    conn.execute("UPDATE job SET since = since - ?1", [ms]).unwrap();
}

/// A file in the place of a folder whose deletions are held waits for them, however long that takes, and then takes its place.
#[test]
fn d6_a_file_waits_for_the_held_deletions_of_the_folder_in_its_place() {
    let mut world = World::new();
    world.mode = "two-way";
    for name in ["dir/x", "dir/y"] {
        world.write(name, name);
    }
    world.once_in_sync();
    world.once_in_sync();
    let daemon = world.daemon();
    world.until_folder("in_sync");
    fs::remove_dir_all(world.folder.join("dir")).unwrap();
    fs::write(world.folder.join("dir"), "now a file").unwrap();
    world.until_folder("held");
    assert_eq!(daemon.stop().0, Some(0));
    age(&world, 120_000);
    let daemon = world.daemon();
    world.until_folder("held");
    // Its row is looked at several times a second.
    world.never("the deletions wait", Duration::from_secs(2), |s| s.file_count() != 2);
    assert_eq!(names(&world), ["dir"]);
    let status = harness::status(&world);
    let token = status["accounts"][0]["folders"][0]["held"]["token"].as_str().unwrap();
    harness::told(&world, &["approve", token]);
    world.until("the file in the folder's place", |s| s.content("/T/dir").is_some_and(|text| text == "now a file"));
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!((names(&world), world.standin.file_count()), (vec!["dir".to_owned()], 1));
    world.assert_equal();
    world.assert_clean();
}

/// A file moved into a new directory of its own name is sent below what Dropbox has as a file: that deletion waits for nothing.
#[test]
fn d6_deletions_and_uploads_do_not_wait_for_one_another() {
    let world = two_way();
    for name in ["A1", "dir/x", "dir/y"] {
        world.write(name, name);
    }
    world.once_in_sync();
    world.once_in_sync();
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let at = |path: &str| world.folder.join(path);
    fs::rename(at("A1"), at("t")).unwrap();
    fs::create_dir(at("A1")).unwrap();
    fs::rename(at("t"), at("A1/A1")).unwrap();
    fs::write(at("A1/other"), "1").unwrap();
    fs::remove_dir_all(at("dir")).unwrap();
    fs::write(at("dir"), "2").unwrap();
    world.until("both sides", |s| s.file("/T/dir").is_some() && s.file("/T/A1/A1").is_some() && s.file_count() == 3);
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!(names(&world), ["A1/A1", "A1/other", "dir"]);
    world.assert_equal();
    world.assert_clean();
}

/// What came down and is about to go again is nothing that came to stay: with files left beside them, deletions are not all that the folder has.
#[test]
fn c3_what_comes_and_goes_again_holds_no_deletions() {
    let mut world = World::new();
    world.mode = "two-way";
    // A call that was answered with an error may go on in Dropbox: it is waited for, and here not for a whole minute.
    world.extra = "[commit]\njob_deadline = \"5s\"\n".to_owned();
    for i in 0..10 {
        world.write(&format!("old/{i}"), format!("{i}"));
    }
    world.once_in_sync();
    world.once_in_sync();
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let broken = Effect::Status { code: 500, retry_after: None, body: None };
    world.standin.faults().add(Fault::always(DELETE_BATCH, broken));
    for i in 0..2 {
        fs::remove_file(world.folder.join(format!("old/{i}"))).unwrap();
    }
    world.until("a deletion in vain", |s| s.calls_of(DELETE_BATCH) > 0);
    let new = |i: u32| format!("new/{i}");
    for i in 0..14 {
        world.standin.write(&format!("/T/{}", new(i)), new(i));
    }
    world.eventually("the new files", || (0..14).all(|i| world.folder.join(new(i)).exists()));
    for i in 0..14 {
        world.standin.delete(&format!("/T/{}", new(i)));
    }
    world.eventually("16 deletions", || world.stored("SELECT to_path FROM change WHERE rev IS NOT NULL").len() == 16);
    world.standin.faults().clear();
    world.until("the deletions there", |s| s.file_count() == 8);
    world.eventually("the deletions here", || world.disk().len() == 8);
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_equal();
    world.assert_clean();
}

/// "Too many files in one request: retry with fewer." A batch is split, and a folder that is too much for one call goes piece by piece.
#[test]
fn r2_too_many_files_is_tried_again_with_fewer() {
    let world = two_way();
    for i in 0..12 {
        world.write(&format!("f{i}"), format!("{i}"));
    }
    for dir in ["d/a/x", "d/a/y", "d/b"] {
        fs::create_dir_all(world.folder.join(dir)).unwrap();
    }
    world.write("keep", "k");
    world.once_in_sync();
    world.once_in_sync();
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let standin = &world.standin;
    let too_many = || Effect::EntryFailure { tag: "too_many_files".to_owned(), entries: Entries::All };
    standin.reset_counters();
    standin.faults().add(Fault::times(DELETE_BATCH, 2, too_many()));
    (0..12).for_each(|i| fs::remove_file(world.folder.join(format!("f{i}"))).unwrap());
    world.until("the files", |s| s.file_count() == 1);
    let calls = standin.calls_of(DELETE_BATCH);
    assert!((4..=8).contains(&calls), "{calls} calls for 12 files, of which two were refused");
    standin.faults().clear();
    standin.faults().add(Fault::once(DELETE_BATCH, too_many()));
    fs::remove_dir_all(world.folder.join("d")).unwrap();
    world.until("the folders", |s| !s.folder("/T/d"));
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    world.once_in_sync();
    world.assert_equal();
    world.assert_clean();
}
