//! What is deleted here: passed on by a mirror and by nothing else, and never for an empty mount point, for what another device changed, or for
//! many files at once without a person.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod harness;

use harness::{World, text};

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
