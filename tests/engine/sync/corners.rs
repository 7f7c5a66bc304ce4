//! Corners: names that Dropbox does not tell apart, things that change their kind, problems that outlive their path.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use crate::harness::{World, text, wait_for_socket};

#[test]
fn h7_a_rename_in_case_or_composition_only_never_deletes() {
    for (from, to) in [("Report.txt", "report.txt"), ("Cafe\u{301}", "Caf\u{e9}")] {
        let mut world = World::new();
        world.mode = "mirror";
        world.write(from, "precious");
        world.write("sub/other", "x");
        world.once_in_sync();
        std::fs::rename(world.folder.join(from), world.folder.join(to)).unwrap();
        world.once_in_sync();
        assert_eq!(world.standin.content(&format!("/T/{to}")).as_deref(), Some(b"precious".as_slice()), "{from}");
        // And it is still known as synced: an edit is a revision, a deletion is passed on.
        world.write(to, "edited");
        world.once_in_sync();
        assert_eq!(world.standin.content(&format!("/T/{to}")).as_deref(), Some(b"edited".as_slice()));
        assert_eq!(world.standin.file_count(), 2);
        std::fs::remove_file(world.folder.join(to)).unwrap();
        world.once_in_sync();
        assert!(world.standin.file(&format!("/T/{to}")).is_none());
        world.assert_clean();
    }
}

#[test]
fn i1_twins_that_dropbox_does_not_tell_apart_share_nothing() {
    let mut world = World::new();
    world.mode = "mirror";
    world.write("FOO", "same");
    world.once_in_sync();
    world.write("foo", "same");
    world.write("bar", "x");
    let out = world.once();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    // Deleting the second, or editing it, leaves the first one's file alone.
    std::fs::remove_file(world.folder.join("foo")).unwrap();
    world.once_in_sync();
    assert_eq!(world.standin.content("/T/FOO").unwrap(), "same");
    world.write("foo", "other");
    world.once();
    assert_eq!(world.standin.content("/T/FOO").unwrap(), "same");
    world.assert_clean();
}

#[test]
fn a_file_that_becomes_a_directory_and_back_is_followed_while_it_runs() {
    let mut world = World::new();
    world.mode = "mirror";
    world.write("a", "file");
    world.write("keep", "1");
    let daemon = world.daemon();
    world.until("the file", |s| s.file("/T/a").is_some());
    std::fs::remove_file(world.folder.join("a")).unwrap();
    world.write("a/x", "inside");
    world.until("the directory", |s| s.file("/T/a/x").is_some());
    std::fs::remove_file(world.folder.join("a/x")).unwrap();
    std::fs::remove_dir(world.folder.join("a")).unwrap();
    world.write("a", "file again");
    world.until("the deletion below", |s| s.file("/T/a/x").is_none());
    drop(daemon);
    world.assert_clean();
}

#[test]
fn a_problem_goes_with_its_path() {
    let world = World::new();
    world.write("bad\\name", "1");
    std::fs::create_dir(world.folder.join("d")).unwrap();
    std::os::unix::fs::symlink("x", world.folder.join("d/link")).unwrap();
    world.write("good", "1");
    assert_eq!(world.once().status.code(), Some(3));
    std::fs::rename(world.folder.join("bad\\name"), world.folder.join("better")).unwrap();
    std::fs::remove_file(world.folder.join("d/link")).unwrap();
    std::fs::remove_dir(world.folder.join("d")).unwrap();
    world.once_in_sync();
    world.assert_equal();
    world.assert_clean();
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

#[test]
fn deletions_that_never_stop_do_not_wait_for_ever() {
    const PACE: std::time::Duration = std::time::Duration::from_millis(700);
    let mut world = World::new();
    world.mode = "mirror";
    for i in 0..60 {
        world.write(&format!("{i}"), format!("{i}"));
    }
    let daemon = world.daemon();
    world.until("the files", |s| s.files().len() == 60);
    // One at a time, as a spool does it: the first are passed on while the last are yet to come.
    let made = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        let spool = scope.spawn(|| {
            for i in 0..40 {
                std::fs::remove_file(world.folder.join(format!("{i}"))).unwrap();
                made.store(i + 1, std::sync::atomic::Ordering::Relaxed);
                if world.standin.wait_for_blocking(PACE, |s| s.files().len() < 60) {
                    return;
                }
            }
        });
        spool.join().unwrap();
    });
    assert!(made.into_inner() < 40, "they waited until all were made");
    drop(daemon);
    world.assert_clean();
}

#[test]
fn sync_that_waits_is_told_of_a_hold() {
    let mut world = World::new();
    world.mode = "mirror";
    for i in 0..5 {
        world.write(&format!("d/{i}"), "x");
    }
    let daemon = world.daemon();
    world.until("the files", |s| s.files().len() == 5);
    wait_for_socket(&world);
    std::fs::rename(world.folder.join("d"), world.dir.path().join("away")).unwrap();
    let out = world.command(&["sync", "--wait"]).output().unwrap();
    assert_eq!(out.status.code(), Some(4), "{}", text(&out));
    assert!(text(&out).contains("deletions are held"), "{}", text(&out));
    assert_eq!(world.standin.files().len(), 5);
    drop(daemon);
    world.assert_clean();
}
