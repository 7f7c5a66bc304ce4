//! What makes a whole account wait: tokens, the wrong account, a full account, no network; and that it goes on by itself.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::path::Path;
use std::time::Duration;

use crate::harness::{FINISH_BATCH, World, link, status, text, wait_for_socket, write_secret};
use ferrybox_standin::{AccountSpec, Effect, Fault, Settings};

/// Waits until the account is in this state, and gives the reason.
fn until_state(world: &World, state: &str) -> String {
    let status = world.until_status(state, |s| s["accounts"][0]["state"] == state);
    status["accounts"][0]["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn o2_a_revoked_link_keeps_queueing_and_goes_on_when_linked_again() {
    let world = World::new();
    world.write("before", "1");
    let daemon = world.daemon();
    world.until("the first", |s| s.file("/T/before").is_some());
    world.standin.revoke_refresh();
    world.write("meanwhile", "2");
    let reason = until_state(&world, "auth_required");
    assert!(reason.contains("ferrybox link test"), "{reason}");
    world.write("later", "3");
    world.until_status("both wait", |s| s["accounts"][0]["folders"][0]["pending"]["uploads"] == 2);
    let calls = world.standin.calls_of("oauth2/token");
    link(&world, &world.standin.refresh_token());
    world.until("both", |s| s.file_count() == 3);
    assert!(world.standin.calls_of("oauth2/token") <= calls + 2, "one to try it apart, one to use it");
    drop(daemon);
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn o5_another_account_s_token_touches_nothing() {
    let world = World::new();
    world.write("a", "1");
    let other = world.standin.add_account(AccountSpec::default());
    let daemon = world.daemon();
    world.until("the first", |s| s.file("/T/a").is_some());
    let own = world.standin.refresh_token();
    world.standin.revoke_refresh();
    link(&world, &other.refresh_token());
    world.write("b", "2");
    let reason = until_state(&world, "account_mismatch");
    assert!(reason.contains("another account"), "{reason}");
    drop(daemon);
    // At a start, too.
    let config = world.config_file();
    let before = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, before).unwrap();
    let out = world.command(&["run", "--once"]).output().unwrap();
    assert_eq!(out.status.code(), Some(4), "{}", text(&out));
    assert!(text(&out).contains("another account"), "{}", text(&out));
    assert_eq!(other.files().len(), 0);
    assert_ne!(own, "");
    link(&world, &world.standin.refresh_token());
    let out = world.command(&["run", "--once"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    world.assert_equal();
    assert_eq!(other.files().len(), 0);
    world.assert_clean();
}

#[test]
fn o3_a_broken_token_endpoint_is_no_lost_link() {
    let world = World::new();
    world.write("a", "1");
    let broken = Effect::Status { code: 503, retry_after: None, body: None };
    world.standin.faults().add(Fault::times("oauth2/token", 2, broken));
    let daemon = world.daemon();
    world.until("the file", |s| s.file("/T/a").is_some());
    drop(daemon);
    assert!(!world.log().contains("AuthRequired"), "{}", world.log());
    world.assert_clean();
}

#[test]
fn o3_the_token_server_is_not_asked_before_the_time_that_it_named() {
    for (code, wait) in [(503, "2"), (429, "3")] {
        let world = World::new();
        world.write("a", "1");
        let busy = Effect::Status { code, retry_after: Some(wait.into()), body: None };
        world.standin.faults().add(Fault::times("oauth2/token", 2, busy));
        let daemon = world.daemon();
        world.until("the file", |s| s.file("/T/a").is_some());
        assert_eq!(world.standin.calls_of("oauth2/token"), 3);
        drop(daemon);
        world.assert_clean();
    }
}

#[test]
fn o6_a_missing_scope_is_named() {
    let scopes = ["account_info.read", "files.metadata.read", "files.content.read"];
    let world = World::with(Settings { scopes: scopes.map(Into::into).to_vec(), ..Settings::default() });
    world.write("a", "1");
    let out = world.once();
    assert_eq!(out.status.code(), Some(4), "{}", text(&out));
    assert!(text(&out).contains("files.content.write"), "{}", text(&out));
}

#[test]
fn d6_a_full_account_holds_up_uploads_only_and_shows_when_it_has_room() {
    let mut world = World::new();
    world.mode = "mirror";
    world.write("old", vec![1; 60_000]);
    world.write("gone", vec![2; 1_000]);
    world.write("kept", "1");
    let daemon = world.daemon();
    world.until("the first", |s| s.file_count() == 3);
    world.standin.set_quota(100_000);
    world.write("large", vec![3; 80_000]);
    let reason = until_state(&world, "quota_full");
    assert!(reason.contains("full"), "{reason}");
    let sent = world.standin.calls()["files/upload_session/append_batch"].bytes_in;
    // Deletions go on, and the room that one makes is not enough.
    std::fs::remove_file(world.folder.join("gone")).unwrap();
    world.until("the deletion", |s| s.file("/T/gone").is_none());
    assert!(world.standin.file("/T/large").is_none());
    // Somebody makes room in Dropbox.
    world.standin.set_quota(1_000_000);
    world.until("the large one", |s| s.file("/T/large").is_some());
    until_state(&world, "idle");
    assert_eq!(
        world.standin.calls()["files/upload_session/append_batch"].bytes_in,
        sent,
        "only the commit was repeated"
    );
    // What does not fit may shrink.
    world.standin.set_quota(world.standin.used() + 5_000);
    world.write("next", vec![4; 50_000]);
    until_state(&world, "quota_full");
    world.write("next", vec![4; 500]);
    let out = world.command(&["sync"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    world.until("the smaller one", |s| s.file("/T/next").is_some_and(|f| f.size == 500));
    drop(daemon);
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn d7_d8_a_refused_name_or_place_is_one_path_s_problem_until_it_changes() {
    let settings = Settings {
        disallowed_names: vec!["*.forbidden".into()],
        read_only: vec!["/t/shared".into()],
        ..Settings::default()
    };
    let world = World::with(settings);
    world.write("a.forbidden", "1");
    world.write("shared/b", "2");
    world.write("c", "3");
    let daemon = world.daemon();
    world.until("the good one", |s| s.file("/T/c").is_some());
    wait_for_socket(&world);
    let out = world.command(&["sync", "--wait"]).output().unwrap();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    let out = world.command(&["problems", "--json"]).output().unwrap();
    assert!(text(&out).contains("\"name\"") && text(&out).contains("\"permission\""), "{}", text(&out));
    // Not tried again by itself, but when the path changes.
    let commits = world.standin.calls_of(FINISH_BATCH);
    world.never("it was tried again", Duration::from_secs(2), |s| s.calls_of(FINISH_BATCH) != commits);
    std::fs::rename(world.folder.join("a.forbidden"), world.folder.join("a.allowed")).unwrap();
    world.standin.set(|s| s.read_only.clear());
    world.write("shared/b", "2 again");
    world.until("both", |s| s.file_count() == 3);
    drop(daemon);
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn d7_what_dropbox_refused_is_not_sent_again_by_each_scan() {
    let world = World::with(Settings { disallowed_names: vec!["*.forbidden".into()], ..Settings::default() });
    world.write("a.forbidden", "1");
    let appends = |world: &World| world.standin.calls()["files/upload_session/append_batch"].calls;
    for _ in 0..3 {
        // Each start is a scan.
        let out = world.once();
        assert_eq!(out.status.code(), Some(3), "{}", text(&out));
        assert_eq!(appends(&world), 1);
    }
    // Another file is another question, and so is a person's.
    world.write("a.forbidden", "22");
    assert_eq!(world.once().status.code(), Some(3));
    assert_eq!(appends(&world), 2);
    world.standin.set(|s| s.disallowed_names.clear());
    let daemon = world.daemon();
    wait_for_socket(&world);
    let out = world.command(&["sync", "--wait"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    drop(daemon);
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn c1_offline_is_a_state_with_a_next_try_and_local_activity_ends_it() {
    let world = World::new();
    world.write("a", "1");
    let daemon = world.daemon();
    world.until("the first", |s| s.file("/T/a").is_some());
    world.standin.faults().add(Fault::always("*", Effect::DropBefore));
    for i in 0..200 {
        world.write(&format!("more/{i}"), format!("{i}"));
    }
    let reason = until_state(&world, "offline");
    assert!(reason.contains("next try at"), "{reason}");
    let status = status(&world);
    assert!(status["accounts"][0]["folders"][0]["problems"].as_u64().unwrap() <= 210, "{status:#}");
    world.standin.faults().clear();
    world.write("now", "1");
    world.until("all", |s| s.file_count() == 202);
    until_state(&world, "idle");
    let warnings = world.log().lines().filter(|l| l.contains("WARN")).count();
    assert!(warnings < 40, "{warnings} warnings\n{}", world.log());
    drop(daemon);
    world.assert_clean();
}

#[test]
fn d1_a_pause_that_dropbox_asked_for_is_kept_and_shown() {
    let world = World::new();
    world.write("a", "1");
    let effect = Effect::RateLimited { reason: "too_many_requests".into(), retry_after: Some("4".into()) };
    world.standin.faults().add(Fault::once("files/upload_session/append_batch", effect));
    let daemon = world.daemon();
    let reason = until_state(&world, "rate_limited");
    assert!(reason.contains("until"), "{reason}");
    assert!(status(&world)["accounts"][0]["rate_limited_until"].is_string());
    world.until("the file", |s| s.file("/T/a").is_some());
    drop(daemon);
    world.assert_clean();
}

#[test]
fn a_root_that_moved_is_asked_for_again() {
    let mut world = World::new();
    world.write("a", "1");
    world.account_extra = "path_root = \"root\"".into();
    let daemon = world.daemon();
    world.until("the first", |s| s.file("/T/a").is_some());
    world.standin.set_root_namespace_id("77777");
    world.write("b", "2");
    world.until("the second", |s| s.file("/T/b").is_some());
    drop(daemon);
    world.assert_clean();
}

/// Every file below a directory that holds these bytes.
fn grep(dir: &Path, needle: &[u8], found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            grep(&path, needle, found);
        } else if path.is_file()
            && !path.ends_with("credentials.json")
            && std::fs::read(&path).unwrap().windows(needle.len()).any(|w| w == needle)
        {
            found.push(path.display().to_string());
        }
    }
}

#[test]
fn t6_no_token_ends_up_in_a_log_a_reply_or_the_database() {
    let world = World::new();
    world.write_config();
    let canary = world.standin.refresh_token();
    let access = world.standin.short_lived_token();
    for i in 0..40 {
        world.write(&format!("{i}"), format!("{i}"));
    }
    for effect in [
        Effect::TokenExpired,
        Effect::Status { code: 500, retry_after: None, body: None },
        Effect::Status { code: 400, retry_after: None, body: None },
        Effect::DropAfter,
    ] {
        world.standin.faults().add(Fault::once("files/*", effect));
    }
    link(&world, &canary);
    let daemon = world.spawn(world.command(&["--log", "trace", "run"]));
    world.until("the files", |s| s.file_count() == 40);
    let mut replies = status(&world).to_string();
    replies.push_str(&text(&world.command(&["problems", "--json"]).output().unwrap()));
    replies.push_str(&text(&world.command(&["config", "show"]).output().unwrap()));
    assert_eq!(daemon.stop().0, Some(0));
    for secret in [&canary, &access] {
        assert!(!replies.contains(secret.as_str()));
        let mut found = Vec::new();
        grep(world.dir.path(), secret.as_bytes(), &mut found);
        assert!(found.is_empty(), "{found:?}");
    }
    // Access tokens that were made on the way are not known here; their header is.
    let mut found = Vec::new();
    grep(world.dir.path(), b"Bearer ", &mut found);
    assert!(found.is_empty(), "{found:?}");
}

/// A second account, with a folder of its own, in the configuration of a world.
fn with_another_account(world: &mut World, local: &Path, refresh_token: &str) {
    std::fs::create_dir(local).unwrap();
    let credentials = world.dir.path().join("other.json");
    write_secret(&credentials, refresh_token);
    let account = world.account("other", &credentials, "");
    world.folder_extra =
        format!("{account}\n[[account.folder]]\nlocal = {local:?}\nremote = \"/T\"\nmode = \"backup\"\n");
}

/// Files that keep a folder busy for some seconds after another one has shown its trouble.
fn busy(world: &World, local: &Path) {
    world.standin.set_commit_duration(Duration::from_secs(3));
    std::fs::create_dir(local.join("busy")).unwrap();
    for i in 0..30 {
        std::fs::write(local.join(format!("busy/{i}")), format!("{i}")).unwrap();
    }
}

#[test]
fn one_account_in_trouble_does_not_end_a_single_run_of_the_others() {
    let mut world = World::new();
    let other = world.standin.add_account(AccountSpec::default());
    let local = world.dir.path().join("other");
    with_another_account(&mut world, &local, &other.refresh_token());
    std::fs::write(local.join("a"), "1").unwrap();
    world.write("b", "2");
    world.once_in_sync();
    assert_eq!(other.file_count(), 1);
    // A root that is away ...
    let away = world.dir.path().join("away");
    std::fs::rename(&world.folder, &away).unwrap();
    busy(&world, &local);
    let out = world.once();
    assert_eq!(out.status.code(), Some(4), "{}", text(&out));
    assert!(text(&out).contains("account test"), "{}", text(&out));
    assert_eq!((world.standin.file_count(), other.file_count()), (1, 31));
    // ... and a link that was taken back.
    std::fs::rename(&away, &world.folder).unwrap();
    world.write("late", "3");
    world.standin.revoke_refresh();
    std::fs::write(local.join("more"), "4").unwrap();
    let out = world.command(&["run", "--once"]).output().unwrap();
    assert_eq!(out.status.code(), Some(4), "{}", text(&out));
    assert!(text(&out).contains("ferrybox link test"), "{}", text(&out));
    assert_eq!((world.standin.file_count(), other.file_count()), (1, 32));
    world.assert_clean();
}

#[test]
fn one_folder_in_trouble_does_not_end_a_single_run_of_the_others() {
    let mut world = World::new();
    let local = world.dir.path().join("second");
    std::fs::create_dir(&local).unwrap();
    std::fs::write(local.join("a"), "1").unwrap();
    world.folder_extra = format!("[[account.folder]]\nlocal = {local:?}\nremote = \"/U\"\nmode = \"mirror\"\n");
    world.write("b", "2");
    world.once_in_sync();
    std::fs::rename(&world.folder, world.dir.path().join("away")).unwrap();
    busy(&world, &local);
    let out = world.once();
    assert_eq!(out.status.code(), Some(4), "{}", text(&out));
    assert_eq!(world.standin.file_count(), 32);
    world.assert_clean();
}
