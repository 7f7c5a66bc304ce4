//! What a listing that was away, or a comparison that was asked for, owes both sides.

use std::time::{Duration, Instant};

use ferrybox_standin::{Effect, Fault};

use crate::harness::{World, json, text};

#[test]
fn c1_what_is_compared_again_loses_no_download() {
    let mut world = World::new();
    world.mode = "two-way";
    world.write("a", "a");
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    let download = "files/download";
    world.standin.faults().add(Fault::always(download, Effect::Stall(Duration::from_millis(1500))));
    for i in 0..40 {
        world.standin.write(&format!("/T/f{i}"), format!("text {i}"));
    }
    world.until("downloads are under way", |s| s.calls_of(download) > 0);
    let (marker, away) = (world.folder.join(".ferrybox/root-id"), world.dir.path().join("root-id"));
    std::fs::rename(&marker, &away).unwrap();
    world.until_folder("root_missing");
    world.standin.faults().clear();
    std::fs::rename(&away, &marker).unwrap();
    // In sync is said once all of it is here, and not before.
    world.until_status("it is in sync", |s| {
        let in_sync = s["accounts"][0]["folders"][0]["state"] == "in_sync";
        assert!(!in_sync || world.disk().len() == 41, "in sync with {} of 41 files", world.disk().len());
        in_sync
    });
    let out = world.command(&["sync", "--wait"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    assert_eq!(world.disk().len(), 41);
    world.assert_equal();
}

#[test]
fn c7_a_passing_not_found_blinds_no_folder() {
    let mut world = World::new();
    world.mode = "two-way";
    world.standin.write("/T/a.txt", "a");
    world.standin.faults().add(Fault::always("files/list_folder", Effect::EndpointError("path/not_found".to_owned())));
    let _daemon = world.daemon();
    world.until("it was looked for more than once", |s| s.faults().hits()[0] > 2);
    world.standin.faults().clear();
    world.eventually("it is found without a change of any kind", || world.disk().contains_key("a.txt"));
    world.standin.write("/T/b.txt", "b");
    world.eventually("what is new comes", || world.disk().contains_key("b.txt"));
}

#[test]
fn c7_sync_looks_for_a_missing_folder_at_once() {
    let mut world = World::new();
    world.mode = "two-way";
    world.standin.write("/T/a.txt", "a");
    world.standin.faults().add(Fault::always("files/list_folder", Effect::EndpointError("path/not_found".to_owned())));
    let _daemon = world.daemon();
    // The pause is eight seconds or more by now.
    world.until("it was looked for some times", |s| s.faults().hits()[0] > 4);
    let before = world.standin.calls_of("files/list_folder");
    let began = Instant::now();
    assert_eq!(world.command(&["sync"]).output().unwrap().status.code(), Some(0));
    world.until("it is looked for", |s| s.calls_of("files/list_folder") > before);
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    let status = json(&world, &["status", "--json"]);
    assert_ne!(status["accounts"][0]["folders"][0]["state"], "failed");
}
