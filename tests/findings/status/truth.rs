//! In sync is only what was looked at: one model on every surface.

use std::time::{Duration, Instant};

use ferrybox_standin::{Effect, Fault, Garbage};

use super::{account, code, folder, get, reason, wait};
use crate::harness::{CONTINUE, text, told, two_way};

fn failed() -> Effect {
    Effect::Status { code: 500, retry_after: None, body: None }
}

#[test]
fn t1_a_run_that_cannot_read_dropbox_ends_with_4_and_says_so() {
    let world = two_way(0);
    world.once_in_sync();
    world.standin.write("/T/remote.txt", "r");
    let effects =
        [failed(), Effect::Status { code: 400, retry_after: None, body: Some("no".into()) }, Effect::DropBefore];
    for effect in effects.into_iter().chain([Effect::CutReply(20), Effect::Garbage(Garbage::Html)]) {
        world.standin.faults().add(Fault::always("files/list_folder*", effect.clone()));
        let out = world.once();
        assert_eq!(code(&out), 4, "{effect:?} {}", text(&out));
        assert!(text(&out).contains("could not finish"), "{effect:?} {}", text(&out));
        world.standin.faults().clear();
    }
    assert!(!world.folder.join("remote.txt").exists());
    world.once_in_sync();
    world.assert_equal();
}

#[test]
fn t1_a_first_run_that_cannot_list_ends_with_4() {
    for mode in ["two-way", "backup"] {
        let mut world = two_way(0);
        world.mode = mode;
        world.standin.make_folder("/T");
        world.standin.faults().add(Fault::always("files/list_folder*", failed()));
        let out = world.once();
        assert_eq!(code(&out), 4, "{mode} {}", text(&out));
        // What only goes up need not wait for the listing.
        assert_eq!(world.standin.file_count(), if mode == "backup" { 9 } else { 0 }, "{mode}");
    }
}

#[test]
fn t1_a_daemon_that_cannot_read_dropbox_is_nowhere_in_sync() {
    let world = two_way(0);
    let daemon = world.daemon();
    world.until_folder("in_sync");
    world.standin.faults().add(Fault::always(CONTINUE, failed()));
    world.standin.write("/T/remote.txt", "r");
    let status = world.until_status("the reason", |s| !reason(folder(s)).is_empty());
    assert_eq!(folder(&status)["state"], "syncing", "{status}");
    assert_ne!(account(&status)["state"], "idle", "{status}");
    let out = wait(&world);
    assert_eq!(code(&out), 4, "{}", text(&out));
    assert!(text(&out).contains("cannot be read"), "{}", text(&out));
    assert!(told(&world, &["explain", "keep/1"]).contains("as far as is known"));
    let plan = told(&world, &["plan"]);
    assert!(plan.contains("cannot be read") && !plan.contains("Nothing is to be done"), "{plan}");
    // It is not ill before it has failed for minutes.
    assert_eq!(get(&world, "/v1/health").0, 200);
    world.standin.faults().clear();
    // A person's question does not wait for the end of a pause.
    let began = Instant::now();
    let out = wait(&world);
    assert_eq!(code(&out), 0, "{}", text(&out));
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(world.folder.join("remote.txt").exists());
    assert_eq!(daemon.stop().0, Some(0));
}

/// The question is not answered from what was known before it.
#[test]
fn t1_sync_with_wait_looks_at_dropbox_first() {
    let world = two_way(0);
    // The longpoll tells of nothing.
    world.standin.faults().add(Fault::always(crate::harness::LONGPOLL, Effect::Stall(Duration::from_secs(30))));
    let daemon = world.daemon();
    world.until_folder("in_sync");
    world.standin.write("/T/remote.txt", "r");
    let out = wait(&world);
    assert_eq!(code(&out), 0, "{}", text(&out));
    assert!(world.folder.join("remote.txt").exists());
    daemon.kill();
}

#[test]
fn t2_what_dropbox_s_side_holds_is_held_on_every_surface() {
    let world = two_way(120);
    let daemon = world.daemon();
    world.until("the tree", |s| s.file_count() == 129);
    world.until_folder("in_sync");
    world.standin.delete("/T/d");
    let status = world.until_status("held", |s| folder(s)["state"] == "held");
    let approve = format!("ferrybox approve {}", folder(&status)["held"]["token"].as_str().unwrap());
    assert_eq!(folder(&status)["held"]["kind"], "changes");
    assert!(reason(folder(&status)).contains(&approve), "{status}");
    assert!(reason(account(&status)).contains(&approve), "{status}");
    let (health, body) = get(&world, "/v1/health");
    assert!(health == 503 && reason(&body).contains(&approve), "{health} {body}");
    let out = wait(&world);
    assert!(code(&out) == 4 && text(&out).contains(&approve), "{}", text(&out));
    let plan = told(&world, &["plan"]);
    assert!(plan.contains(&approve) && !plan.contains("Nothing is to be done"), "{plan}");
    let explained = told(&world, &["explain", "d/007"]);
    assert!(explained.contains("held") && explained.contains(&approve), "{explained}");
    world.eventually("the line", || world.log().contains(": held"));
    assert_eq!(daemon.stop().0, Some(0));
    let out = world.once();
    assert!(code(&out) == 4 && text(&out).contains(&approve), "{}", text(&out));
    world.assert_clean();
}

#[test]
fn t3_a_folder_waits_with_its_account_for_the_person_who_has_to_act() {
    let world = two_way(0);
    let daemon = world.daemon();
    world.until_folder("in_sync");
    world.standin.revoke_refresh();
    world.standin.expire_tokens();
    world.write("new", "n");
    let status = world.until_status("waiting", |s| folder(s)["state"] == "waiting");
    assert_eq!(account(&status)["state"], "auth_required");
    assert!(reason(folder(&status)).contains("ferrybox link"), "{status}");
    let (health, body) = get(&world, "/v1/health");
    assert!(health == 503 && reason(&body).contains("ferrybox link"), "{health} {body}");
    // T6: at once.
    let out = wait(&world);
    assert!(code(&out) == 4 && text(&out).contains("ferrybox link"), "{}", text(&out));
    let last = world.log();
    assert!(!last.contains("in sync: "), "{last}");
    daemon.kill();
    let out = world.command(&["run", "--once"]).output().unwrap();
    assert!(code(&out) == 4 && text(&out).contains("ferrybox link"), "{}", text(&out));
}

#[test]
fn t6_sync_with_wait_ends_at_once_where_the_account_is_full() {
    let mut world = two_way(0);
    world.extra = "rescan = \"2s\"\n[upload]\nmax_file_size = \"3 MB\"\n".to_owned();
    let daemon = world.daemon();
    world.until_folder("in_sync");
    world.standin.set_quota(world.standin.used() + 1_000);
    world.write("large", vec![7; 50_000]);
    let status = world.until_status("quota_full", |s| account(s)["state"] == "quota_full");
    assert_eq!(folder(&status)["state"], "waiting", "{status}");
    assert!(reason(folder(&status)).contains("the account waits"), "{status}");
    let out = wait(&world);
    assert_eq!(code(&out), 4, "{}", text(&out));
    // T7: what needs no call is judged meanwhile, and stays judged.
    world.write("trailing dot.", "x");
    world.write("too large", vec![1; 3_100_000]);
    let named = |code: &str| world.stored(&format!("SELECT path FROM job WHERE code = '{code}' AND state = 'wedged'"));
    world.eventually("the problems", || !named("name").is_empty() && !named("too_large").is_empty());
    let scan = world.command(&["sync"]).output().unwrap();
    assert_eq!(code(&scan), 0, "{}", text(&scan));
    world.eventually("the problems", || !named("name").is_empty() && !named("too_large").is_empty());
    // There is room again, and what waited goes.
    world.standin.set_quota(1 << 30);
    world.until("the file", |s| s.file("/T/large").is_some());
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn c12_a_run_tries_what_failed_in_the_run_before() {
    let world = two_way(0);
    world.once_in_sync();
    world.standin.write("/T/remote.txt", "r");
    world.standin.faults().add(Fault::always("files/download", failed()));
    let out = world.once();
    assert!(matches!(code(&out), 3 | 4), "{}", text(&out));
    world.standin.faults().clear();
    world.once_in_sync();
    assert!(world.folder.join("remote.txt").exists());
}
