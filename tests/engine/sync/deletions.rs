//! What is deleted here: passed on by a mirror and by nothing else, and never for an empty mount point, for what another device changed, or for
//! many files at once without a person.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::time::Duration;

use crate::harness::restless::Restless;
use crate::harness::{World, text, told};
use ferrybox_standin::{Effect, Fault, When};

fn two_way() -> World {
    let mut world = World::new();
    world.mode = "two-way";
    world.extra = "[safety]\nmax_deletion_share = \"100%\"\nmax_deletions = 100000\n".into();
    world
}

fn mkdirs(world: &World, paths: &[&str]) {
    paths.iter().for_each(|path| std::fs::create_dir_all(world.folder.join(path)).unwrap());
}

/// Both sides have it, and both know of each other's directories.
fn agreed(world: &World) {
    world.once_in_sync();
    world.once_in_sync();
}

#[test]
fn a_backup_keeps_what_is_deleted_here_and_a_mirror_passes_it_on() {
    for (mode, left) in [("backup", 3), ("mirror", 2)] {
        let mut world = World::new();
        world.mode = mode;
        for name in ["a", "dir/b", "c"] {
            world.write(name, name);
        }
        world.once_in_sync();
        std::fs::remove_file(world.folder.join("dir/b")).unwrap();
        std::fs::remove_dir(world.folder.join("dir")).unwrap();
        world.once_in_sync();
        assert_eq!(world.standin.files().len(), left, "{mode}");
        // What comes back is one more revision of the same file, or the file again; never a conflicted copy.
        world.write("dir/b", "other");
        world.once_in_sync();
        world.assert_equal();
        assert_eq!(world.remote().len(), 3, "{mode}");
        world.assert_clean();
    }
}

#[test]
fn a_running_mirror_passes_deletions_and_moved_away_directories_on() {
    let mut world = World::new();
    world.mode = "mirror";
    for name in ["keep/1", "keep/2", "keep/3", "dir/a", "dir/sub/b", "c"] {
        world.write(name, name);
    }
    let daemon = world.daemon();
    world.until("the tree", |s| s.files().len() == 6);
    std::fs::remove_file(world.folder.join("c")).unwrap();
    std::fs::rename(world.folder.join("dir"), world.dir.path().join("away")).unwrap();
    world.until("the deletions", |s| s.files().len() == 3);
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn q4_a_mass_deletion_is_held_and_lifts_itself_when_the_files_are_back() {
    let mut world = World::new();
    world.mode = "mirror";
    for i in 0..120 {
        world.write(&format!("d/{i}"), format!("{i}"));
    }
    world.once_in_sync();
    let away = world.dir.path().join("away");
    std::fs::rename(world.folder.join("d"), &away).unwrap();
    let out = world.once();
    assert_eq!(out.status.code(), Some(4), "{}", text(&out));
    assert!(text(&out).contains("120 deletions are held"), "{}", text(&out));
    assert_eq!(world.standin.files().len(), 120);
    std::fs::rename(&away, world.folder.join("d")).unwrap();
    world.once_in_sync();
    assert_eq!(world.standin.files().len(), 120);
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn q1_an_empty_mount_point_deletes_nothing() {
    let mut world = World::new();
    world.mode = "mirror";
    world.write("a", "1");
    world.write("b", "2");
    world.once_in_sync();
    // The disk is not mounted: the same path, an empty directory.
    std::fs::rename(&world.folder, world.dir.path().join("disk")).unwrap();
    std::fs::create_dir(&world.folder).unwrap();
    let out = world.once();
    assert_eq!(out.status.code(), Some(4), "{}", text(&out));
    assert!(text(&out).contains("mount"), "{}", text(&out));
    assert_eq!(world.standin.files().len(), 2);
    assert_eq!(std::fs::read_dir(&world.folder).unwrap().count(), 0, "nothing is made in a directory that is not ours");
    // The disk is back.
    std::fs::remove_dir(&world.folder).unwrap();
    std::fs::rename(world.dir.path().join("disk"), &world.folder).unwrap();
    world.once_in_sync();
    world.assert_clean();
}

#[test]
fn a_deletion_spares_what_another_device_changed() {
    let mut world = World::new();
    world.mode = "mirror";
    world.write("a", "1");
    world.write("b", "2");
    world.once_in_sync();
    world.standin.write("/T/a", "theirs");
    std::fs::remove_file(world.folder.join("a")).unwrap();
    let out = world.once();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    assert!(text(&out).contains("Dropbox's version is kept"), "{}", text(&out));
    assert_eq!(world.standin.content("/T/a").unwrap(), "theirs");
    // Settled for good: it is neither a problem nor asked for again, and a file of that name meets theirs as a stranger.
    let asked = world.deletions();
    world.once_in_sync();
    assert_eq!(world.deletions(), asked);
    world.write("a", "ours");
    world.once_in_sync();
    assert_eq!(world.standin.content("/T/a").unwrap(), "theirs");
    assert_eq!(world.standin.files().len(), 3, "both are kept");
    world.assert_clean();
}

/// E18: what another device put into a folder a moment ago, before any cursor tells of it, stays there with the folder, however the folder is deleted here.
#[test]
fn e18_what_the_cache_does_not_know_is_not_taken_along_with_its_folder() {
    let world = two_way();
    let standin = &world.standin;
    mkdirs(&world, &["d/a/deep", "d/b", "e/a"]);
    for path in ["d/file", "d/b/file", "keep", "keep 2"] {
        world.write(path, path);
    }
    agreed(&world);
    let daemon = world.daemon();
    world.until_folder("in_sync");
    standin.quietly(|other| {
        other.write("/T/d/a/deep/theirs", "theirs");
        other.make_folder("/T/e/a/new");
    });
    std::fs::remove_dir_all(world.folder.join("d")).unwrap();
    std::fs::remove_dir_all(world.folder.join("e")).unwrap();
    // Everything that was known goes.
    world.until("the deletions", |s| s.file_count() == 3 && !s.folder("/T/d/b"));
    let problems = |world: &World| crate::harness::told(world, &["problems"]);
    world.eventually("a word on why they stay", || {
        let told = problems(&world);
        told.contains("`theirs`") && told.contains("`new`")
    });
    assert_eq!(standin.content("/T/d/a/deep/theirs").unwrap(), "theirs");
    assert!(standin.folder("/T/e/a/new"));
    // Now it is known, and comes down.
    standin.tell();
    world.eventually("theirs", || {
        std::fs::read(world.folder.join("d/a/deep/theirs")).is_ok_and(|bytes| bytes == b"theirs")
            && world.folder.join("e/a/new").is_dir()
    });
    world.until_folder("in_sync");
    assert!(problems(&world).contains("no problems") || !problems(&world).contains("dir_kept"), "{}", problems(&world));
    assert_eq!(daemon.stop().0, Some(0));
    world.once_in_sync();
    world.assert_equal();
    assert!(!world.folder.join("d/b").exists() && standin.folder("/T/e/a/new") && standin.file_count() == 3);
    world.assert_clean();
}

/// E18: many small folders cost one look, that of the topmost one. So many directories that wait for their files hold no deletion of a file.
#[test]
fn e18_a_tree_of_many_folders_is_looked_into_once() {
    let world = two_way();
    for i in 0..1100 {
        world.write(&format!("d/{}/{i}/file", i % 10), format!("{i}"));
    }
    mkdirs(&world, &["d/3/empty/deep"]);
    world.write("keep", "k");
    agreed(&world);
    let daemon = world.daemon();
    world.until_folder("in_sync");
    world.standin.reset_counters();
    // On a busy machine the removal takes seconds, and what is gone already would be deleted in slices: it is all gone before the first of them.
    told(&world, &["pause"]);
    std::fs::remove_dir_all(world.folder.join("d")).unwrap();
    world.eventually("all of it is noticed", || {
        world
            .stored("SELECT CAST(count(*) AS TEXT) FROM job WHERE path LIKE '%file'")
            .first()
            .is_some_and(|n| n == "1100")
    });
    told(&world, &["resume"]);
    world.until("the end of it", |s| !s.folder("/T/d"));
    world.until_folder("in_sync");
    let looked = world.standin.calls_of("files/list_folder");
    assert!(looked <= 8, "{looked} listings for one tree of 1,113 folders");
    // The files in two calls, the folder in another; a few more if the work came in slices.
    assert!(world.standin.calls_of("files/delete_batch") <= 5, "{:?}", world.standin.calls());
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!(world.stored("SELECT parent || name FROM base_dir"), Vec::<String>::new());
    world.once_in_sync();
    world.assert_equal();
    world.assert_clean();
}

/// E18: folders beside one another are each looked into, a few at a time, and one that cannot be listed holds up no other.
#[test]
fn e18_a_folder_that_cannot_be_listed_waits_alone() {
    let world = two_way();
    let names: Vec<String> = (0..70).map(|i| format!("d{i}/x")).collect();
    mkdirs(&world, &names.iter().map(String::as_str).collect::<Vec<_>>());
    world.write("keep", "k");
    agreed(&world);
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let broken = Effect::Status { code: 500, retry_after: None, body: None };
    world.standin.faults().add(Fault { when: When::Times(3), ..Fault::always("files/list_folder", broken) });
    for name in &names {
        std::fs::remove_dir_all(world.folder.join(name).parent().unwrap()).unwrap();
    }
    world.until("the end of it", |s| s.folders().len() == 1);
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// H9: a deletion does not wait for rows that nobody has looked at yet, and one that is half of a move does, however long that takes.
#[test]
fn h9_a_deletion_waits_for_the_move_that_it_is_half_of_and_for_nothing_else() {
    let mut world = two_way();
    world.settle = "3s";
    for path in ["gone", "moves", "a", "b"] {
        world.write(path, path);
    }
    agreed(&world);
    let standin = &world.standin;
    let daemon = world.daemon();
    world.until_folder("in_sync");
    world.write("new", "new");
    let restless = Restless::new(world.folder.join("new"));
    std::fs::remove_file(world.folder.join("gone")).unwrap();
    world.until("the deletion", |s| s.file("/T/gone").is_none());
    assert!(standin.file("/T/new").is_none(), "that row was not looked at all the time");
    restless.end();
    world.until("the new file", |s| s.file("/T/new").is_some());
    let deletions = world.deletions();
    standin.reset_counters();
    std::fs::rename(world.folder.join("moves"), world.folder.join("moved")).unwrap();
    let restless = Restless::new(world.folder.join("moved"));
    world.never("it was deleted before anybody looked where it went", Duration::from_secs(10), |s| {
        s.file("/T/moves").is_none()
    });
    assert!(deletions > 0 && standin.file("/T/moved").is_none());
    restless.end();
    world.until("the move", |s| s.file("/T/moved").is_some() && s.file("/T/moves").is_none());
    assert_eq!((standin.calls_of("files/move_batch_v2"), world.deletions()), (1, 0));
    assert_eq!(daemon.stop().0, Some(0));
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
