//! What the first contact with the real service may bring, as settings of the stand-in (R9).

use std::time::Duration;

use ferrybox_standin::{Effect, Fault, Mount, Obstacle, Rights, Settings};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{FINISH_BATCH, World, json};

/// Commits of files so far.
fn commits(world: &World) -> u64 {
    world.standin.calls_of(FINISH_BATCH) + world.standin.calls_of("files/upload_session/finish_batch_v2")
}

fn problem_paths(world: &World) -> Vec<String> {
    let problems = json(world, &["problems", "--json"]);
    let items = problems["items"].as_array().unwrap();
    items.iter().filter_map(|one| one["path"].as_str().map(str::to_owned)).collect()
}

#[test]
fn r9_a_new_folder_of_a_team_space_that_refuses_its_children_for_a_moment_is_filled() {
    let settings = Settings { top_folders_settle: Duration::from_secs(3600), ..Settings::default() };
    let mut world = World::with(settings);
    world.mode = "two-way";
    for n in 0..5 {
        world.write(&format!("file {n}"), format!("text {n}"));
    }
    let daemon = world.daemon();
    world.until_status("the refusal is a problem", |s| s["accounts"][0]["folders"][0]["problems"].as_u64() > Some(0));
    // Neither a storm nor silence: each is a problem with its path.
    world.eventually("each refused path is named", || problem_paths(&world).len() >= 4);
    world.never("no storm of commits", Duration::from_secs(4), |_| commits(&world) > 12);
    world.standin.set(|settings| settings.top_folders_settle = Duration::ZERO);
    let out = world.command(&["sync"]).arg(&world.folder).output().unwrap();
    assert!(out.status.success(), "{}", crate::harness::text(&out));
    world.until("all of it", |s| s.file_count() == 5);
    world.eventually("no problem is left", || problem_paths(&world).is_empty());
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn r9_a_vault_and_a_backup_in_the_way_hold_up_nothing_else() {
    let mut world = World::new();
    world.mode = "two-way";
    world.standin.obstruct("/T/Vault", Obstacle::Vault);
    world.standin.obstruct("/T/My PC", Obstacle::Backup);
    for path in ["Vault/secret", "My PC/Desktop/letter", "ordinary"] {
        world.write(path, path);
    }
    let daemon = world.daemon();
    world.until("the ordinary file", |s| s.file("/T/ordinary").is_some());
    world.eventually("what is refused is named", || {
        let paths = problem_paths(&world).join("\n");
        paths.contains("Vault") && paths.contains("My PC")
    });
    let before = world.standin.calls().values().map(|stats| stats.calls).sum::<u64>();
    let calls = |s: &ferrybox_standin::Standin| s.calls().values().map(|stats| stats.calls).sum::<u64>();
    world.never("at most a call a second at rest", Duration::from_secs(4), |s| calls(s) > before + 10);
    assert!(world.folder.join("Vault/secret").is_file() && world.folder.join("My PC/Desktop/letter").is_file());
    assert_eq!((daemon.stop().0, world.deletions()), (Some(0), 0));
    world.assert_clean();
}

#[test]
fn r9_a_folder_without_access_comes_down_empty_and_hinders_nothing() {
    let mut world = World::new();
    world.mode = "two-way";
    world.standin.write("/T/Team/secret/plan", "not for us").unwrap();
    world.standin.write("/T/Team/open", "for all").unwrap();
    world.standin.mount("/T/Team", Mount::Shared);
    world.standin.set_rights("/T/Team/secret", Rights { no_access: true, ..Rights::default() });
    let daemon = world.daemon();
    world.eventually("what may be seen", || world.folder.join("Team/open").is_file());
    world.until_folder("in_sync");
    world.write("Team/secret/mine", "no way in");
    world.write("Team/ours", "a way in");
    world.until("the other file", |s| s.file("/T/Team/ours").is_some());
    world.eventually("the refused one is named", || problem_paths(&world).iter().any(|path| path.contains("secret")));
    // Nobody deleted anything, and access brings the rest.
    world.standin.set_rights("/T/Team/secret", None);
    world.eventually("the plan", || world.folder.join("Team/secret/plan").is_file());
    assert_eq!((daemon.stop().0, world.deletions()), (Some(0), 0));
    assert!(world.folder.join("Team/secret/mine").is_file());
    world.assert_clean();
}

#[test]
fn r9_a_job_of_seconds_whose_check_fails_is_waited_for() {
    let world = World::new();
    world.standin.set_commit_duration(Duration::from_secs(4));
    world.standin.faults().add(Fault::once(
        "files/upload_session/finish_batch/check",
        Effect::EndpointError("internal_error".to_owned()),
    ));
    for n in 0..20 {
        world.write(&format!("file {n}"), format!("text {n}"));
    }
    let daemon = world.daemon();
    world.until("all files", |s| s.file_count() == 20);
    world.until_folder("in_sync");
    assert_eq!((commits(&world), daemon.stop().0), (1, Some(0)));
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn r9_five_minutes_asked_for_by_one_call_are_kept_and_told() {
    let mut world = World::new();
    world.mode = "two-way";
    world.standin.write("/T/there", "there").unwrap();
    let limited = Effect::RateLimited { reason: "too_many_requests".to_owned(), retry_after: Some("300".to_owned()) };
    world.standin.faults().add(Fault::once("files/download", limited));
    let daemon = world.daemon();
    world.until("the refusal", |s| s.faults().hits() == [1]);
    world.until_status("the wait is told", |s| s.to_string().contains("asked for a pause"));
    world.write("here", "here");
    world.never("a call in the meantime", Duration::from_secs(3), |s| {
        s.calls_of(FINISH_BATCH) > 0 || s.calls_of("files/download") > 1
    });
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

#[test]
fn r9_a_listing_that_is_reset_at_the_same_place_is_begun_again_with_pauses() {
    let mut world = World::with(Settings { page_size: 2, listing_breaks_after: Some(2), ..Settings::default() });
    world.mode = "two-way";
    for n in 0..8 {
        world.standin.write(&format!("/T/{n}"), "x").unwrap();
    }
    let daemon = world.daemon();
    world.until("the first reset", |s| s.calls_of("files/list_folder") >= 2);
    world.never("a storm of listings", Duration::from_secs(6), |s| s.calls_of("files/list_folder") > 6);
    world.standin.set(|settings| settings.listing_breaks_after = None);
    world.eventually("all of it", || world.disk().len() == 8);
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

#[test]
fn r9_an_app_with_a_folder_of_its_own_syncs_that_folder() {
    let mut world = World::with(Settings { app_folder: true, ..Settings::default() });
    world.mode = "two-way";
    world.standin.write("/theirs", "theirs").unwrap();
    world.write("ours", "ours");
    world.write_config();
    let config = std::fs::read_to_string(world.config_file()).unwrap().replace("remote = \"/T\"", "remote = \"/\"");
    std::fs::write(world.config_file(), config).unwrap();
    let out = world.command(&["run", "--once"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", crate::harness::text(&out));
    assert!(world.folder.join("theirs").is_file() && world.standin.file("/ours").is_some());
    world.assert_clean();
}

#[test]
fn s10_a_reload_keeps_the_wait_that_dropbox_asked_for() {
    let mut world = World::new();
    world.mode = "two-way";
    world.standin.write("/T/there", "there").unwrap();
    let limited = Effect::RateLimited { reason: "too_many_requests".to_owned(), retry_after: Some("300".to_owned()) };
    world.standin.faults().add(Fault::once("files/download", limited));
    let daemon = world.daemon();
    world.until_status("the wait is told", |s| s.to_string().contains("asked for a pause"));
    let asked = |s: &ferrybox_standin::Standin| {
        let calls = s.calls();
        // A new access token is another matter, with a wait of its own.
        let counted = calls.iter().filter(|(route, _)| route.starts_with("files/") && !route.ends_with("longpoll"));
        counted.map(|(_, stats)| stats.calls).sum::<u64>()
    };
    let before = asked(&world.standin);
    kill_process(Pid::from_child(&daemon.child), Signal::HUP).unwrap();
    world.never("a call after the reload", Duration::from_secs(4), |s| asked(s) > before);
    world.until_status("the wait is told again", |s| {
        s["uptime_s"].as_u64() < Some(60) && s.to_string().contains("asked for a pause")
    });
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}
