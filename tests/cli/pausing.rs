//! `ferrybox pause` and `resume`: what stands still, what goes on, and what outlives a restart.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use crate::harness::{World, text, wait_for_socket};

fn said(world: &World, args: &[&str]) -> (Option<i32>, String) {
    let out = world.command(args).output().unwrap();
    (out.status.code(), text(&out))
}

/// Calls that reached the server, of those that a pause holds up.
fn calls(world: &World) -> u64 {
    let held_up = |route: &str| ["upload", "delete", "list_folder", "batch"].iter().any(|part| route.contains(part));
    world.standin.calls().iter().filter(|(route, _)| held_up(route)).map(|(_, stats)| stats.calls).sum()
}

fn paused(status: &serde_json::Value) -> bool {
    status["accounts"][0]["state"] == "paused" && status["accounts"][0]["folders"][0]["state"] == "paused"
}

/// Files that differ or go up, and deletions that are to be made in Dropbox (T4: each is counted as what it is).
fn waiting(status: &serde_json::Value) -> u64 {
    let pending = &status["accounts"][0]["folders"][0]["pending"];
    ["uploads", "comparing", "remote_changes"].iter().filter_map(|what| pending[*what].as_u64()).sum()
}

#[test]
fn a_paused_account_notices_changes_and_does_nothing_about_them_across_restarts() {
    let mut world = World::new();
    world.mode = "mirror";
    world.write("goes", "1");
    world.write("stays", "1");
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let (code, told) = said(&world, &["pause"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("test: paused until `ferrybox resume test`"), "{told}");
    let before = calls(&world);

    world.write("new", "2");
    std::fs::remove_file(world.folder.join("goes")).unwrap();
    let status = world.until_status("two rows", |s| waiting(s) == 2);
    assert!(paused(&status), "{status}");
    let reason = status["accounts"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("`ferrybox resume test` lets it go on"), "{reason}");
    let (code, told) = said(&world, &["sync", "--wait"]);
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains("could not finish: paused by a person"), "{told}");

    // A restart, and a run that should bring everything into sync.
    assert_eq!(daemon.stop().0, Some(0));
    let out = world.once();
    assert_eq!(out.status.code(), Some(4), "{}", text(&out));
    assert!(text(&out).contains("could not finish: account test: paused by a person"), "{}", text(&out));
    let daemon = world.daemon();
    world.until_status("paused", paused);
    world.until_status("two rows", |s| waiting(s) == 2);
    assert_eq!(calls(&world), before);
    assert_eq!(world.remote().len(), 2);

    let (code, told) = said(&world, &["resume", "test", "--json"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("\"paused\": false") && told.contains("\"changed\": true"), "{told}");
    world.until("both", |s| s.files().iter().map(|f| f.path_display.as_str()).eq(["/T/new", "/T/stays"]));
    world.until_folder("in_sync");
    assert!(said(&world, &["resume"]).1.contains("test: was not paused"));
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

#[test]
fn a_pause_with_a_time_ends_by_itself() {
    let world = World::new();
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let began = std::time::Instant::now();
    let (code, told) = said(&world, &["pause", "--for", "5s"]);
    assert_eq!(code, Some(0), "{told}");
    // What has passed by now on a busy machine is known: all else is left.
    let left = |seconds: u64| told.contains(&format!("goes on in {seconds}s"));
    assert!((4_u64.saturating_sub(began.elapsed().as_secs())..=5).any(left), "{told}");
    world.write("a", "1");
    let status = world.until_status("a row", |s| s["accounts"][0]["folders"][0]["pending"]["uploads"] == 1);
    assert!(paused(&status), "{status}");
    assert!(status["accounts"][0]["reason"].as_str().unwrap().contains(" until 20"), "{status}");
    world.until("the file", |s| s.file("/T/a").is_some());
    assert!(began.elapsed() >= std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

#[test]
fn who_is_paused_must_be_known_and_the_time_a_time() {
    let world = World::new();
    let _daemon = world.daemon();
    wait_for_socket(&world);
    let (code, told) = said(&world, &["pause", "work"]);
    assert_eq!(code, Some(64), "{told}");
    assert!(told.contains("the daemon runs no account `work` (there is test)"), "{told}");
    for bad in ["soon", "0s", "10ms"] {
        assert_eq!(said(&world, &["pause", "--for", bad]).0, Some(64), "{bad}");
    }
}

/// What the server has taken is found out and settled, and no more is begun.
#[test]
fn a_commit_under_way_comes_to_its_end() {
    let mut settings = ferrybox_standin::Settings::default();
    settings.commit.per_batch = std::time::Duration::from_secs(2);
    let world = World::with(settings);
    for i in 0..20 {
        world.write(&format!("{i}"), format!("{i}"));
    }
    let daemon = world.daemon();
    world.until_status("a job", |s| s["accounts"][0]["commit"]["job_id"].is_string());
    assert_eq!(said(&world, &["pause"]).0, Some(0));
    world.write("late", "late");
    let status = world.until_status("settled", |s| {
        s["accounts"][0]["commit"]["state"] == "idle" && s["accounts"][0]["folders"][0]["files"] == 20
    });
    assert!(paused(&status), "{status}");
    assert_eq!(world.remote().len(), 20);
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}
