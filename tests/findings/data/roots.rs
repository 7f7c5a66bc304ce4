//! The remote folder is gone, or is another one: nothing is removed here, and nothing is made there without a person's word.

use std::time::Duration;

use ferrybox_standin::{Effect, Fault};

use crate::harness::{World, json, text, told};

/// What is remembered of a lost remote root.
const LOST: &str = "SELECT local FROM folder WHERE remote_lost = 1";

/// Twelve files in sync, in this mode.
fn twelve(mode: &'static str) -> World {
    let mut world = World::new();
    world.mode = mode;
    if mode == "download" {
        for i in 0..12 {
            world.standin.write(&format!("/T/d/f{i}"), format!("text {i}"));
        }
    } else {
        for i in 0..12 {
            world.write(&format!("d/f{i}"), format!("text {i}"));
        }
    }
    world
}

fn in_sync(world: &World) {
    world.until_status("twelve files are in sync", |s| {
        let folder = &s["accounts"][0]["folders"][0];
        folder["state"] == "in_sync" && folder["files"] == 12
    });
}

fn commits(world: &World) -> u64 {
    world.standin.calls_of("files/upload_session/finish_batch") + world.standin.calls_of("files/create_folder_batch")
}

#[test]
fn d3_a_remote_folder_that_is_deleted_stops_its_folder_and_nothing_is_removed_or_made() {
    let world = twelve("two-way");
    let daemon = world.daemon();
    in_sync(&world);
    let (mine, before) = (world.disk(), commits(&world));
    world.standin.delete("/T");
    let reason = world.until_folder("remote_missing");
    assert!(
        reason.contains("/T is not in Dropbox any more") && reason.contains("ferrybox approve remote-"),
        "{reason}"
    );
    world.write("d/new", "saved meanwhile");
    world.never("something is sent", Duration::from_secs(3), |_| commits(&world) > before);
    assert_eq!(world.disk().len(), mine.len() + 1);
    // It says the same after a restart, and at once where somebody waits for the end.
    drop(daemon);
    let out = world.once();
    assert_eq!(out.status.code(), Some(4), "{}", text(&out));
    assert!(text(&out).contains("not in Dropbox any more"), "{}", text(&out));
    let _daemon = world.daemon();
    world.until_folder("remote_missing");
    let out = world.command(&["sync", "--wait"]).output().unwrap();
    assert_eq!(out.status.code(), Some(4), "{}", text(&out));
    assert_eq!(world.disk().len(), mine.len() + 1);
    assert_eq!(commits(&world), before);
    // A person wants it back.
    let held = json(&world, &["approve", "--json"]);
    assert_eq!(held["items"][0]["kind"], "remote_root", "{held}");
    let token = held["items"][0]["token"].as_str().unwrap();
    let out = world.command(&["approve", token]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    world.eventually("all is sent again", || world.remote() == world.disk() && world.disk().len() == mine.len() + 1);
    world.until_folder("in_sync");
    world.assert_clean();
}

#[test]
fn d3_the_same_folder_that_comes_back_goes_on_by_itself() {
    let world = twelve("two-way");
    let _daemon = world.daemon();
    in_sync(&world);
    let (mine, before) = (world.disk(), commits(&world));
    assert!(world.standin.rename("/T", "/Elsewhere"));
    world.until_folder("remote_missing");
    world.write("d/new", "saved meanwhile");
    assert!(world.standin.rename("/Elsewhere", "/T"));
    world.eventually("what was saved goes up", || {
        world.remote() == world.disk() && world.disk().len() == mine.len() + 1
    });
    world.until_folder("in_sync");
    assert!(mine.iter().all(|(path, hash)| world.disk().get(path) == Some(hash)));
    assert_eq!(commits(&world), before + 1);
    assert_eq!(world.deletions(), 0);
    world.assert_clean();
}

/// Calls that fail are no sign that the folder may be made again, before and after a restart.
#[test]
fn d3_a_loss_is_remembered_through_a_restart_whose_listing_calls_fail() {
    // What only goes up waits for no listing that fails.
    let world = twelve("backup");
    let daemon = world.daemon();
    in_sync(&world);
    let (mine, before) = (world.disk(), commits(&world));
    assert!(world.standin.rename("/T", "/Elsewhere"));
    world.until_folder("remote_missing");
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!(world.stored(LOST).len(), 1);
    let broken = Effect::Status { code: 503, retry_after: None, body: None };
    world.standin.faults().add(Fault::always("files/list_folder*", broken));
    world.write("d/new", "saved meanwhile");
    let daemon = world.daemon();
    world.until("some calls failed", |s| s.faults().hits()[0] > 4);
    world.never("something is sent", Duration::from_secs(3), |_| commits(&world) > before);
    assert!(!world.standin.folder("/T"));
    // The same folder comes back, and syncing goes on by itself.
    assert!(world.standin.rename("/Elsewhere", "/T"));
    world.standin.faults().clear();
    world.command(&["sync"]).output().unwrap();
    world.eventually("both sides are the same", || {
        world.remote() == world.disk() && world.disk().len() == mine.len() + 1
    });
    world.until_folder("in_sync");
    assert_eq!((commits(&world), world.deletions()), (before + 1, 0));
    // It is over, and a restart does not wait for it.
    assert_eq!(daemon.stop().0, Some(0));
    assert!(world.stored(LOST).is_empty());
    world.assert_clean();
}

#[test]
fn d3_another_folder_in_its_place_waits_for_a_person_and_then_both_sides_meet() {
    let world = twelve("two-way");
    let _daemon = world.daemon();
    in_sync(&world);
    let mine = world.disk();
    assert!(world.standin.rename("/T", "/Elsewhere"));
    world.standin.write("/T/theirs", "another folder's");
    world.eventually("it says so", || world.until_folder("remote_missing").contains("is not the one that was synced"));
    assert_eq!(world.disk(), mine);
    let held = json(&world, &["approve", "--json"]);
    let token = held["items"][0]["token"].as_str().unwrap();
    let out = world.command(&["reject", token]).output().unwrap();
    assert_ne!(out.status.code(), Some(0), "nothing is to be undone: {}", text(&out));
    let out = world.command(&["approve", token]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    world.eventually("both have both", || world.disk().len() == 13 && world.remote() == world.disk());
    assert_eq!(world.deletions(), 0);
    world.assert_clean();
}

#[test]
fn d3_every_mode_says_it_and_a_file_in_its_place_too() {
    for mode in ["backup", "mirror", "download"] {
        let world = twelve(mode);
        let daemon = world.daemon();
        in_sync(&world);
        let (mine, before) = (world.disk(), commits(&world));
        world.standin.delete("/T");
        assert!(world.until_folder("remote_missing").contains("not in Dropbox any more"), "{mode}");
        world.write("new", "saved meanwhile");
        world.never(mode, Duration::from_secs(2), |_| commits(&world) > before);
        // What waited at the last stop is not sent at the next start either.
        drop(daemon);
        world.standin.write("/T", "a file now");
        let _daemon = world.daemon();
        let reason = world.until_folder("remote_missing");
        assert!(reason.contains("/T is a file in Dropbox"), "{mode}: {reason}");
        world.never(mode, Duration::from_secs(2), |_| commits(&world) > before);
        assert_eq!(world.disk().len(), mine.len() + 1, "{mode}");
        assert_eq!(world.deletions(), 0, "{mode}");
        world.assert_clean();
    }
}

#[test]
fn d3_a_first_meeting_makes_the_folder() {
    for mode in ["two-way", "backup"] {
        let mut world = World::new();
        world.mode = mode;
        world.write("a", "a");
        world.once_in_sync();
        world.assert_equal();
        world.assert_clean();
    }
    let mut world = World::new();
    world.mode = "download";
    world.standin.write("/T", "a file");
    let out = world.once();
    assert_eq!(out.status.code(), Some(4), "{}", text(&out));
    assert!(text(&out).contains("/T is a file in Dropbox"), "{}", text(&out));
}

/// Many files: no count of lost entries hides what has happened.
#[test]
fn d3_a_large_folder_that_is_gone_is_no_held_listing() {
    let world = World::new();
    for i in 0..300 {
        world.write(&format!("d/f{i}"), format!("text {i}"));
    }
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    let mine = world.disk();
    world.standin.delete("/T");
    world.until_folder("remote_missing");
    let held = json(&world, &["approve", "--json"]);
    assert_eq!(held["total"], 1, "{held}");
    assert_eq!(held["items"][0]["deletions"], 300, "{held}");
    assert_eq!(world.disk(), mine);
}

/// All of Dropbox has no identity and cannot be missing: that it is not found is a call that failed.
#[test]
fn d3_all_of_dropbox_that_is_not_found_is_a_failed_call() {
    let world = World::new();
    for i in 0..12 {
        world.standin.write(&format!("/d/f{i}"), format!("text {i}"));
    }
    world.write_config();
    let config = std::fs::read_to_string(world.config_file()).unwrap();
    let config = config.replace("remote = \"/T\"", "remote = \"/\"").replace("mode = \"backup\"", "mode = \"two-way\"");
    std::fs::write(world.config_file(), config).unwrap();
    let _daemon = world.spawn(world.command(&["run"]));
    in_sync(&world);
    let (mine, before) = (world.disk(), commits(&world));
    assert_eq!(mine.len(), 12);
    world.standin.faults().add(Fault::always("files/list_folder", Effect::EndpointError("path/not_found".to_owned())));
    world.standin.reset_cursors();
    world.standin.write("/d/f0", "edited there");
    world.until("some calls failed", |s| s.faults().hits()[0] > 3);
    let status = world.until_status("the reason", |s| s.to_string().contains("cannot be read"));
    let said = status.to_string();
    assert!(!said.contains("listing-") && !said.contains("remote-"), "nothing waits for a person: {said}");
    assert_ne!(status["accounts"][0]["folders"][0]["state"], "remote_missing", "{said}");
    let listed = told(&world, &["ls", "-R"]);
    assert!(listed.contains("f7"), "what is known is kept: {listed}");
    assert_eq!(world.disk(), mine);
    world.standin.faults().clear();
    world.command(&["sync"]).output().unwrap();
    world.eventually("the edit comes down", || {
        std::fs::read_to_string(world.folder.join("d/f0")).is_ok_and(|text| text == "edited there")
    });
    in_sync(&world);
    assert_eq!((world.disk().len(), commits(&world), world.deletions()), (12, before, 0));
    world.assert_clean();
}
