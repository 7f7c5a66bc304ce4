//! Held deletions: what a person is shown, and what `approve` and `reject` do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;
use std::time::{Duration, Instant};

use crate::harness::{World, text, two_way, wait_for_socket};

fn mirror() -> World {
    let mut world = World::new();
    world.mode = "mirror";
    world
}

/// Gives a held set's token once the deletions of `d` are held.
fn held(world: &World, deletions: u64) -> String {
    // While other rows are looked at, the folder says that it works.
    let status = world.until_status("held", |s| {
        let folder = &s["accounts"][0]["folders"][0];
        folder["held"]["deletions"] == deletions && folder["state"] == "held"
    });
    let folder = &status["accounts"][0]["folders"][0];
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

/// The token of what is held of Dropbox's changes.
fn braked(world: &World) -> String {
    let status = world.until_status("held", |s| s["accounts"][0]["remote"]["held"].is_object());
    status["accounts"][0]["remote"]["held"]["token"].as_str().unwrap().to_owned()
}

/// Whether anything is held but what that token names: an answer takes a moment to have its effect.
fn asked_again(world: &World, token: &str) -> bool {
    let held = crate::harness::json(world, &["approve", "--json"]);
    held["items"].as_array().unwrap().iter().any(|one| one["token"] != token)
}

/// One wave from Dropbox is one question, also when the daemon is killed in the middle of carrying it out.
#[test]
fn q10_a_wave_that_was_approved_once_is_not_asked_about_again() {
    let world = two_way(120);
    let daemon = world.daemon();
    world.until("the tree", |s| s.file_count() == 129);
    world.until_folder("in_sync");
    world.standin.delete("/T/d");
    let token = braked(&world);
    assert_eq!(world.disk().len(), 129);
    let done = world.command(&["approve", &token]).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    world.eventually("the work on it", || {
        assert!(!asked_again(&world, &token), "{}", world.log());
        !world.stored("SELECT kind FROM change WHERE kind = 'trash'").is_empty() || world.disk().len() < 129
    });
    daemon.kill();
    let daemon = world.daemon();
    crate::harness::wait_for_socket(&world);
    world.eventually("the deletions here", || {
        assert!(!asked_again(&world, &token), "{}", world.log());
        world.disk().len() == 9
    });
    world.until_folder("in_sync");
    // It speaks for that wave only.
    let kept = "SELECT CAST(file AS TEXT) FROM consent";
    world.eventually("the end of it", || world.stored(kept).is_empty());
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_equal();
    world.assert_clean();
}

/// What is deleted here while an approved wave comes down is another set, and is held by itself.
#[test]
fn q10_an_approved_wave_lets_nothing_else_through() {
    let world = two_way(120);
    for i in 0..90 {
        world.write(&format!("mine/{i}"), format!("{i}"));
    }
    let daemon = world.daemon();
    world.until("the tree", |s| s.file_count() == 219);
    world.until_folder("in_sync");
    world.standin.delete("/T/d");
    let token = braked(&world);
    // Both wait for the guard together.
    fs::remove_dir_all(world.folder.join("mine")).unwrap();
    world.command(&["approve", &token]).output().unwrap();
    // What was approved may still come down for a moment.
    let held = |folder: &serde_json::Value| folder["held"]["kind"] == "deletions" && folder["state"] == "held";
    let status = world.until_status("held", |s| held(&s["accounts"][0]["folders"][0]));
    let reason = status["accounts"][0]["folders"][0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("90 deletions are held"), "{reason}");
    assert_eq!(world.standin.file_count(), 99, "nothing of it went in Dropbox");
    let token = status["accounts"][0]["folders"][0]["held"]["token"].as_str().unwrap().to_owned();
    let done = world.command(&["approve", &token]).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    world.until("the deletions there", |s| s.file_count() == 9);
    world.eventually("the deletions here", || world.disk().len() == 9);
    assert_eq!(daemon.stop().0, Some(0));
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
