//! Held deletions: what a person is shown, and what `approve` and `reject` do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod harness;

use std::fs;
use std::time::{Duration, Instant};

use harness::{World, text};

fn mirror() -> World {
    let mut world = World::new();
    world.mode = "mirror";
    world
}

/// Gives a held set's token once the deletions of `d` are held.
fn held(world: &World, deletions: u64) -> String {
    let status = world.until_status("held", |s| s["accounts"][0]["folders"][0]["held"]["deletions"] == deletions);
    let folder = &status["accounts"][0]["folders"][0];
    assert_eq!(folder["state"], "held");
    let token = folder["held"]["token"].as_str().unwrap().to_owned();
    assert!(folder["reason"].as_str().unwrap().contains(&format!("ferrybox approve {token}")), "{folder}");
    token
}

#[test]
fn q4_approve_lets_exactly_the_held_set_through_once_and_across_restarts() {
    let world = mirror();
    for i in 0..120 {
        world.write(&format!("d/{i:03}"), format!("{i}"));
    }
    world.write("stays", "s");
    let daemon = world.daemon();
    world.until("the tree", |s| s.files().len() == 121);
    world.until_folder("in_sync");
    let away = world.dir.path().join("away");
    fs::rename(world.folder.join("d"), &away).unwrap();
    let first = held(&world, 120);
    // The same set has the same token after a restart ...
    assert_eq!(daemon.stop().0, Some(0));
    let daemon = world.daemon();
    assert_eq!(held(&world, 120), first);
    // ... another set another one, and the old one is worth nothing.
    fs::create_dir(world.folder.join("d")).unwrap();
    fs::rename(away.join("007"), world.folder.join("d/007")).unwrap();
    world.command(&["sync"]).output().unwrap();
    let second = held(&world, 119);
    assert_ne!(first, second);
    let stale = world.command(&["approve", &first]).output().unwrap();
    assert_eq!(stale.status.code(), Some(64), "{}", text(&stale));
    let listed = world.command(&["approve"]).output().unwrap();
    assert!(text(&listed).contains(&second) && text(&listed).contains("d/000"), "{}", text(&listed));
    assert_eq!(world.deletions(), 0);
    let done = world.command(&["approve", &second]).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    world.until("the deletions", |s| s.files().len() == 2);
    let again = world.command(&["approve", &second]).output().unwrap();
    assert_eq!(again.status.code(), Some(64), "{}", text(&again));
    // What a person agreed to does not count against what comes after it.
    world.until_folder("in_sync");
    fs::remove_file(world.folder.join("d/007")).unwrap();
    world.until("one more", |s| s.files().len() == 1);
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn q4_reject_keeps_the_files_in_dropbox_and_is_not_asked_again() {
    let mut world = mirror();
    world.extra = "rescan = \"2s\"\n".to_owned();
    for i in 0..80 {
        world.write(&format!("d/{i}"), format!("{i}"));
    }
    world.write("stays", "s");
    let daemon = world.daemon();
    world.until("the tree", |s| s.files().len() == 81);
    world.until_folder("in_sync");
    fs::remove_dir_all(world.folder.join("d")).unwrap();
    let token = held(&world, 80);
    let done = world.command(&["reject", &token, "--json"]).output().unwrap();
    assert!(text(&done).contains("\"deletions\": 80"), "{}", text(&done));
    world.until_folder("in_sync");
    // Scans go on, and a restart comes: nobody asks again.
    world.never("a deletion was sent", Duration::from_secs(5), |s| {
        s.calls().keys().any(|route| route.contains("delete"))
    });
    assert_eq!(daemon.stop().0, Some(0));
    world.once_in_sync();
    assert_eq!((world.standin.files().len(), world.deletions()), (81, 0));
    // A path that is written again is simply a file again.
    world.write("d/1", "1");
    world.once_in_sync();
    assert_eq!(world.standin.file("/T/d/1").unwrap().revisions, 1);
    world.assert_clean();
}

#[test]
fn q5_a_hold_lifts_itself_when_the_files_are_back() {
    let world = mirror();
    for i in 0..120 {
        world.write(&format!("d/{i}"), format!("{i}"));
    }
    let daemon = world.daemon();
    world.until("the tree", |s| s.files().len() == 120);
    let away = world.dir.path().join("away");
    fs::rename(world.folder.join("d"), &away).unwrap();
    held(&world, 120);
    fs::rename(&away, world.folder.join("d")).unwrap();
    let began = Instant::now();
    world.until_folder("in_sync");
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!((world.deletions(), world.standin.files().len()), (0, 120));
    world.assert_clean();
}
