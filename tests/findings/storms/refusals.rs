//! Calls that are refused as a whole, for ever.

use std::time::Duration;

use ferrybox_standin::{Contents, Effect, Fault, Settings};

use super::{assert_calm, until_problem};
use crate::harness::{APPEND_BATCH, FINISH_BATCH, World};

const START_BATCH: &str = "files/upload_session/start_batch";
const DOWNLOAD: &str = "files/download";

fn reply(code: u16, body: &str) -> Effect {
    Effect::Status { code, retry_after: None, body: Some(body.to_owned()) }
}

fn reason(status: &serde_json::Value) -> String {
    status["accounts"][0]["reason"].as_str().unwrap_or_default().to_owned()
}

fn invalid_root() -> Effect {
    reply(
        422,
        r#"{"error_summary": "invalid_root/..", "error": {".tag": "invalid_root", "invalid_root":
            {".tag": "team", "root_namespace_id": "7", "home_namespace_id": "8", "home_path": "/Somebody"}}}"#,
    )
}

#[test]
fn s4_an_invalid_root_that_stays_is_slow_and_says_so() {
    for root in ["home", "root"] {
        let mut world = World::new();
        world.account_extra = format!("path_root = \"{root}\"");
        for i in 0..20 {
            world.write(&format!("{i}"), format!("{i}"));
        }
        world.standin.faults().add(Fault::always("files/*", invalid_root()));
        let daemon = world.daemon();
        world.until_status("a reason", |s| reason(s).contains("invalid_root"));
        assert_calm(&world, root, Duration::from_secs(12));
        world.standin.faults().clear();
        // At the next try, which a person need not wait for.
        assert!(world.command(&["sync"]).output().unwrap().status.success());
        world.until("the files", |s| s.file_count() == 20);
        drop(daemon);
    }
}

#[test]
fn s4_a_root_that_has_moved_once_costs_no_wait() {
    let mut world = World::new();
    world.account_extra = "path_root = \"root\"".to_owned();
    let daemon = world.daemon();
    world.until("a call with its root", |s| s.heads().iter().any(|head| head.path_root.is_some()));
    world.standin.faults().add(Fault::once(APPEND_BATCH, reply(422, &moved_to(&world))));
    world.write("a", "1");
    world.until("the file", |s| s.file("/T/a").is_some());
    drop(daemon);
    world.assert_clean();
}

/// The root that the stand-in's account really has.
fn moved_to(world: &World) -> String {
    let told = world.standin.heads().into_iter().find_map(|head| head.path_root).unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let root = told["root"].as_str().unwrap();
    format!(
        r#"{{"error_summary": "invalid_root/..", "error": {{".tag": "invalid_root", "invalid_root": {{".tag": "user", "root_namespace_id": "{root}", "home_namespace_id": "{root}"}}}}}}"#
    )
}

#[test]
fn s6_tokens_that_are_refused_as_soon_as_they_are_renewed_need_a_person() {
    let world = World::new();
    for i in 0..20 {
        world.write(&format!("{i}"), format!("{i}"));
    }
    let daemon = world.daemon();
    world.until("the first", |s| s.file_count() == 20);
    world.standin.faults().add(Fault::always("*", Effect::TokenExpired));
    for i in 0..20 {
        world.write(&format!("more/{i}"), format!("{i}"));
    }
    world.until_status("a reason", |s| reason(s).contains("renew"));
    assert_calm(&world, "401", Duration::from_secs(15));
    world.until_status("a person is needed", |s| s["accounts"][0]["state"] == "auth_required");
    assert_calm(&world, "401 that stays", Duration::from_secs(5));
    drop(daemon);
}

#[test]
fn s7_start_batch_that_leads_nowhere_is_slow_and_a_problem() {
    let same = format!(r#"{{"session_ids": [{}]}}"#, vec![r#""pid_upload_session:A""#; 32].join(","));
    let malformed =
        format!(r#"{{"session_ids": [{}]}}"#, (0..32).map(|i| format!(r#""a b\n{i}""#)).collect::<Vec<_>>().join(","));
    let few = r#"{"session_ids": ["pid_upload_session:A"]}"#.to_owned();
    // Those that it gave before, in use or not.
    let stale = format!(
        r#"{{"session_ids": [{}]}}"#,
        (0..32).map(|i| format!(r#""pid_upload_session:{i}""#)).collect::<Vec<_>>().join(",")
    );
    for body in [same, malformed, few, stale] {
        let world = World::new();
        world.write("a", "1");
        world.write("b", "2");
        world.standin.faults().add(Fault::always(START_BATCH, reply(200, &body)));
        let daemon = world.daemon();
        let problem = until_problem(&world, "a problem", |_| true);
        assert!(problem.contains("session"), "{problem}");
        // From then on no call of the daemon's start is counted with them.
        world.until("some tries", |s| s.calls_of(START_BATCH) >= 4);
        assert_calm(&world, "start_batch", Duration::from_secs(8));
        world.standin.faults().clear();
        world.until("the files", |s| s.file_count() == 2);
        drop(daemon);
        world.assert_clean();
    }
}

#[test]
fn s9_a_large_download_stops_at_its_first_failed_part() {
    let mut world = World::with(Settings { contents: Contents::Keep, ..Settings::default() });
    world.mode = "download";
    world.extra = "[upload]\nchunk_size = \"4 MiB\"\n".into();
    world.standin.write("/T/large", vec![3; 60 << 20]);
    world.standin.faults().add(Fault::always(DOWNLOAD, Effect::EndpointError("path/not_found".into())));
    let daemon = world.daemon();
    until_problem(&world, "a problem", |_| true);
    let asked = world.standin.calls_of(DOWNLOAD);
    assert!(asked <= 10, "{asked} parts were asked for, of a revision that is gone");
    world.standin.faults().clear();
    world.eventually("the file", || world.disk().contains_key("large"));
    drop(daemon);
    world.assert_clean();
}

#[test]
fn s9_parts_that_come_down_share_the_accounts_connections() {
    let mut world = World::with(Settings { contents: Contents::Keep, ..Settings::default() });
    world.mode = "download";
    world.extra = "[upload]\nworkers = 2\nchunk_size = \"4 MiB\"\n".into();
    for i in 0..6 {
        world.standin.write(&format!("/T/{i}"), vec![i; 12 << 20]);
    }
    world.standin.faults().add(Fault::always(DOWNLOAD, Effect::Stall(Duration::from_millis(30))));
    let daemon = world.daemon();
    world.eventually("the files", || world.disk().len() == 6);
    let peak = world.standin.calls()[DOWNLOAD].peak;
    assert!(peak <= 2, "{peak} parts at once");
    drop(daemon);
    world.assert_clean();
}

#[test]
fn r1_a_403_of_one_file_is_that_files() {
    let mut world = World::with(Settings { contents: Contents::Keep, ..Settings::default() });
    world.mode = "two-way";
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let denied = reply(403, r#"{"error_summary": "no_permission/.", "error": {".tag": "no_permission"}}"#);
    world.standin.faults().add(Fault::once(DOWNLOAD, denied));
    world.standin.write("/T/one", "1");
    let problem = until_problem(&world, "its problem", |p| p["path"].as_str().is_some_and(|p| p.ends_with("one")));
    assert!(problem.contains("403") || problem.contains("denies"), "{problem}");
    // Nothing else waits for it, and it comes by itself.
    world.write("other", "2");
    world.until("another", |s| s.file("/T/other").is_some());
    let status = world.until_status("a status", |_| true);
    assert_ne!(status["accounts"][0]["state"], "failed", "{status:#}");
    world.eventually("the file, by itself", || world.disk().contains_key("one"));
    drop(daemon);
    world.assert_clean();
}

#[test]
fn r1_a_403_of_one_file_after_another_is_the_accounts() {
    let mut world = World::with(Settings { contents: Contents::Keep, ..Settings::default() });
    world.mode = "two-way";
    for i in 0..10 {
        world.standin.write(&format!("/T/{i}"), "1");
    }
    let denied = reply(403, r#"{"error_summary": "no_permission/.", "error": {".tag": "no_permission"}}"#);
    world.standin.faults().add(Fault::always(DOWNLOAD, denied));
    let daemon = world.daemon();
    let status = world.until_status("the account has failed", |s| s["accounts"][0]["state"] == "failed");
    assert!(reason(&status).contains("denies"), "{status:#}");
    drop(daemon);
}

#[test]
fn r1_a_limit_on_data_transport_is_known_in_every_language() {
    let mut world = World::with(Settings { contents: Contents::Keep, ..Settings::default() });
    world.mode = "two-way";
    let spent = reply(
        403,
        r#"{"error_summary": "invalid_account_type/feature/.", "error": {".tag": "invalid_account_type",
            "invalid_account_type": {".tag": "feature"}}, "user_message": {"locale": "de", "text": "Das Kontingent ist verbraucht."}}"#,
    );
    world.standin.faults().add(Fault::always("files/upload_session/*", spent));
    world.write("ours", "1");
    let daemon = world.daemon();
    world.until("a refusal", |s| s.calls_of(START_BATCH) >= 1);
    world.until_status("the reason", |s| reason(s).contains("data-transport"));
    world.standin.write("/T/theirs", "2");
    world.eventually("a download meanwhile", || world.disk().contains_key("theirs"));
    assert_eq!(world.standin.calls_of(FINISH_BATCH), 0);
    drop(daemon);
}
