//! Courses of events in which something was lost once, or never came to rest.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod harness;

use std::fs;
use std::time::{Duration, Instant};

use ferrybox_standin::{Effect, Fault, Settings};
use harness::{PATIENCE, World};

fn world(mode: &'static str) -> World {
    let mut world = World::with(Settings::default());
    world.mode = mode;
    world
}

fn read(world: &World, path: &str) -> Option<String> {
    fs::read(world.folder.join(path)).ok().map(|bytes| String::from_utf8(bytes).unwrap())
}

fn remote(world: &World, path: &str) -> Option<String> {
    world.standin.content(&format!("/T/{path}")).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

/// `run --once` that must come to an end by itself.
fn comes_to_rest(world: &World) -> i32 {
    world.write_config();
    let log = fs::File::create(world.dir.path().join("daemon.log")).unwrap();
    let mut child = world.command(&["--log", "info", "run", "--once"]).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(45);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap();
        }
        if Instant::now() > until {
            child.kill().unwrap();
            child.wait().unwrap();
            let rows = world.stored("SELECT path || ' ' || state || ' ' || generation || ' ' || coalesce(text, '') FROM job");
            panic!("it never comes to rest: {rows:?}\n{:?}\n{}", world.disk(), world.log());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// B9: a folder goes with all that is in it, and no revision protects that. It waited since the last run, and meanwhile somebody wrote into it.
#[test]
fn b9_a_folder_s_deletion_of_the_last_run_takes_nobody_s_new_file() {
    let world = world("two-way");
    world.write("d/a", "1");
    world.write("keep", "k");
    world.once_in_sync();
    let daemon = world.daemon();
    harness::wait_for_socket(&world);
    world.until_status("watching", |s| s["accounts"][0]["folders"][0]["state"] == "in_sync");
    fs::remove_dir_all(world.folder.join("d")).unwrap();
    world.until("the file's deletion", |s| s.file("/T/d/a").is_none());
    let until = Instant::now() + PATIENCE;
    while world.stored("SELECT kind FROM change WHERE kind = 'delete' AND batch IS NULL AND rev IS NULL").is_empty() {
        assert!(Instant::now() < until, "{}", world.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    daemon.kill();
    assert!(world.standin.folder("/T/d"), "the folder was to wait for its turn");
    world.standin.write("/T/d/new", "somebody's work");
    // Longer than deletions rest.
    world.standin.faults().add(Fault::always("files/list_folder/continue", Effect::Stall(Duration::from_secs(4))));
    assert_eq!(comes_to_rest(&world), 0);
    assert_eq!(remote(&world, "d/new").as_deref(), Some("somebody's work"));
    assert_eq!(read(&world, "d/new").as_deref(), Some("somebody's work"));
    world.assert_clean();
}

/// What went missing on a side whose deletions were nobody's business is no deletion when the mode makes it one.
#[test]
fn another_mode_makes_no_deletion_of_what_is_gone_already() {
    let cases = [
        ("backup", "two-way"),
        ("backup", "mirror"),
        ("backup", "download"),
        ("mirror", "two-way"),
        ("mirror", "download"),
        ("download", "two-way"),
        ("download", "mirror"),
    ];
    for (before, after) in cases {
        let mut world = world(before);
        for i in 0..6 {
            if before == "download" {
                world.standin.write(&format!("/T/{i}"), format!("{i}"));
            } else {
                world.write(&format!("{i}"), format!("{i}"));
            }
        }
        world.once_in_sync();
        if before != "mirror" {
            fs::remove_file(world.folder.join("0")).unwrap();
        }
        if before != "download" {
            world.standin.delete("/T/1");
        }
        world.once_in_sync();
        world.mode = after;
        world.standin.reset_counters();
        world.once_in_sync();
        assert!(remote(&world, "0").is_some(), "{before} to {after}: it was deleted in Dropbox");
        assert!(read(&world, "1").is_some(), "{before} to {after}: it was deleted here");
        assert_eq!(world.standin.calls_of("files/delete_batch"), 0);
        world.assert_clean();
    }
}
