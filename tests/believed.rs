//! Whose listing it is, and whether it is believed: other accounts' tokens, other namespaces, empty listings and waves of changes.
//! The names carry the rows of group E of the faults' catalogue.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

#[path = "harness/cache.rs"]
mod cache;
mod harness;

use std::time::Duration;

use cache::{cached, eventually, filled, status, until_equal};
use ferrybox_standin::{AccountSpec, Settings};
use harness::{CONTINUE, LONGPOLL, World, link, text};
use serde_json::{Value, json};

#[test]
fn e8_a_root_that_changed_is_listed_anew_beside_what_is_known() {
    let mut world = filled(Settings::default(), 10);
    world.account_extra = "path_root = \"root\"".to_owned();
    let daemon = world.daemon();
    until_equal(&world);
    let before = cached(&world);
    let calls = |route: &str| world.standin.calls_of(route);
    assert_eq!(calls("files/list_folder"), 1);
    assert_eq!(calls("users/get_current_account"), 2, "the root's namespace was not asked for");
    // The new root's listing takes its time: what is known stays in use until it is complete.
    world.standin.set(|s| (s.listing_time, s.page_size) = (Duration::from_millis(200), 2));
    world.standin.set_root_namespace_id("777000");
    world.standin.write("/T/after", "x");
    eventually("it lists anew", &world, || status(&world)["accounts"][0]["remote"]["listed"].as_u64() > Some(0));
    assert_eq!(cached(&world), before);
    until_equal(&world);
    // One more call met the old root and was refused.
    assert_eq!(calls("files/list_folder"), 2);
    // The same while nobody looks.
    drop(daemon);
    world.standin.set_root_namespace_id("888000");
    let _daemon = world.daemon();
    eventually("it lists anew after a restart", &world, || calls("files/list_folder") == 3);
    until_equal(&world);
    world.assert_clean();
}

#[test]
fn e9_another_accounts_token_changes_nothing() {
    let world = filled(Settings::default(), 10);
    world.once_in_sync();
    let before = cached(&world);
    assert_eq!(before.len(), 15);
    let other = world.standin.add_account(AccountSpec::default());
    world.write_config();
    link(&world, &other.refresh_token());
    world.standin.reset_counters();
    let out = world.command(&["run", "--once"]).output().unwrap();
    assert_eq!(out.status.code(), Some(4), "{}", text(&out));
    for route in ["files/list_folder", CONTINUE, LONGPOLL] {
        assert_eq!(world.standin.calls_of(route), 0, "{route}");
    }
    assert_eq!(cached(&world), before);
    world.assert_clean();
}

#[test]
fn e8_e9_a_token_of_another_account_while_it_runs_lists_nothing_of_that_account() {
    let world = filled(Settings::default(), 10);
    let _daemon = world.daemon();
    until_equal(&world);
    let before = cached(&world);
    let other = world.standin.add_account(AccountSpec::default());
    other.write("/T/theirs", "x");
    world.standin.revoke_refresh();
    world.standin.reset_cursors();
    link(&world, &other.refresh_token());
    world.standin.reset_counters();
    let account = world.until_status("it says whose token it is", |s| s["accounts"][0]["state"] == "account_mismatch")
        ["accounts"][0]
        .clone();
    assert!(account["reason"].as_str().is_some_and(|why| why.contains("another account")), "{account}");
    let out = world.command(&["--quiet", "ls", "-R", "--json"]).output().unwrap();
    assert!(!text(&out).contains("theirs") && text(&out).matches("path_lower").count() == before.len());
    for route in ["files/list_folder", CONTINUE] {
        let served = world.standin.calls().get(route).map_or(0, |stats| stats.statuses.get(&200).copied().unwrap_or(0));
        assert_eq!(served, 0, "{route}");
    }
}

#[test]
fn e12_a_mass_rewrite_by_another_client_changes_nothing_here() {
    let world = World::new();
    for i in 0..60 {
        world.write(&format!("f{i}"), format!("mine {i}"));
    }
    world.once_in_sync();
    let mine = world.disk();
    for i in 0..60 {
        world.standin.write(&format!("/T/f{i}"), "ransom");
    }
    let daemon = world.daemon();
    until_equal(&world);
    eventually("it is idle", &world, || status(&world)["accounts"][0]["state"] == "idle");
    assert_eq!(world.disk(), mine);
    drop(daemon);
    world.assert_clean();
}

#[test]
fn e4_an_account_that_lists_as_empty_is_held_shown_and_a_persons_to_judge() {
    let world = filled(Settings::default(), 120);
    world.once_in_sync();
    let before = cached(&world);
    // The deletions are seen only in a new listing, as after an outage on the other side.
    for i in 0..5 {
        world.standin.delete(&format!("/T/d{i}"));
    }
    world.standin.reset_cursors();
    let _daemon = world.daemon();
    let shown = || status(&world)["accounts"][0]["remote"].clone();
    eventually("it is held", &world, || !shown()["held"].is_null());
    assert_eq!(cached(&world), before);
    let remote = shown();
    let token = remote["held"]["token"].as_str().unwrap().to_owned();
    assert!(remote["reason"].as_str().is_some_and(|why| why.contains(&token)), "{remote}");
    let listed = || -> Value {
        let out = world.command(&["approve", "--json"]).output().unwrap();
        serde_json::from_slice::<Value>(&out.stdout).unwrap()["items"].clone()
    };
    let held = listed();
    assert_eq!(held.as_array().unwrap().len(), 1, "{held}");
    assert_eq!(held[0]["token"], token.as_str());
    assert_eq!((&held[0]["kind"], &held[0]["folder"]), (&json!("listing"), &json!("/T")));
    assert_eq!((&held[0]["deletions"], held[0]["sample"].as_array().unwrap().len()), (&json!(125), 5), "{held}");
    // Rejected: Dropbox is asked once more, and says the same, under another token.
    let calls = world.standin.calls_of("files/list_folder");
    assert_eq!(world.command(&["reject", &token]).output().unwrap().status.code(), Some(0));
    eventually("it is held again", &world, || listed()[0]["token"].as_str().is_some_and(|t| t != token));
    assert_eq!(world.standin.calls_of("files/list_folder"), calls + 1);
    assert_eq!(cached(&world), before);
    assert_eq!(world.command(&["approve", &token]).output().unwrap().status.code(), Some(64), "it serves once");
    let token = listed()[0]["token"].as_str().unwrap().to_owned();
    let out = world.command(&["approve", &token]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    until_equal(&world);
    assert_eq!(listed(), json!([]));
    world.assert_clean();
}
