//! Whose listing it is, and whether it is believed: other accounts' tokens, other namespaces, empty listings and waves of changes;
//! and that every call says whose it is.
//! The names carry the rows of group E of the faults' catalogue.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::time::Duration;

use crate::harness::cache::{cached, eventually, filled, status, until_equal};
use crate::harness::{CONTINUE, Daemon, LONGPOLL, World, link, text, told};
use ferrybox_standin::{AccountSpec, Effect, Fault, Settings, content_hash};
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

/// Ten files on both sides, and a daemon that keeps them so.
fn ten(path_root: Option<&str>) -> (World, Daemon) {
    let mut world = World::new();
    world.mode = "two-way";
    world.account_extra = path_root.map(|id| format!("path_root = \"{id}\"")).unwrap_or_default();
    for i in 0..10 {
        world.standin.write(&format!("/T/f{i}"), format!("{i}"));
    }
    let daemon = world.daemon();
    eventually("all are here", &world, || world.disk().len() == 10 && world.disk() == world.remote());
    world.until_status("it is idle", |s| s["accounts"][0]["state"] == "idle");
    (world, daemon)
}

#[test]
fn e8_what_another_home_namespace_lacks_is_held_and_no_deletion() {
    let (world, _daemon) = ten(None);
    let mine = world.disk();
    // Pages take their time, so that the first one that is served is the other namespace's.
    world.standin.set(|s| s.listing_time = Duration::from_millis(500));
    world.standin.set_home_namespace_id("777000");
    world.standin.reset_cursors();
    for i in 0..3 {
        world.standin.delete(&format!("/T/f{i}"));
    }
    let remote =
        &world.until_status("it is held", |s| !s["accounts"][0]["remote"]["held"].is_null())["accounts"][0]["remote"];
    let (token, why) = (remote["held"]["token"].as_str().unwrap(), remote["reason"].as_str().unwrap());
    assert!(why.contains("another namespace") && why.contains("3 of the 11") && why.contains("path_root"), "{why}");
    assert_eq!(world.disk(), mine);
    assert_eq!(world.deletions(), 0);
    // A person has looked.
    assert_eq!(world.command(&["approve", token]).output().unwrap().status.code(), Some(0));
    eventually("the three go", &world, || world.disk() == world.remote());
    assert_eq!(world.disk().len(), 7);
    world.assert_clean();
}

#[test]
fn e8_another_home_namespace_that_has_everything_is_taken_over_at_the_next_look() {
    let (world, _daemon) = ten(None);
    let mine = world.disk();
    let lists = world.standin.calls_of("files/list_folder");
    world.standin.set_home_namespace_id("777000");
    assert_eq!(world.command(&["sync"]).output().unwrap().status.code(), Some(0));
    world.until("it lists anew", |s| s.calls_of("files/list_folder") == lists + 1);
    world.standin.write("/T/later", "l");
    eventually("what is new comes", &world, || world.disk().len() == 11);
    let remote = &status(&world)["accounts"][0]["remote"];
    assert!(remote["held"].is_null() && remote["listed"] == 0, "{remote}");
    assert!(mine.iter().all(|(path, hash)| world.disk().get(path) == Some(hash)));
    world.assert_clean();
}

#[test]
fn e8_a_namespace_that_may_not_be_looked_into_stops_everything_with_its_reason() {
    let (world, daemon) = ten(Some("3235641"));
    let mine = world.disk();
    let before = cached(&world);
    world.standin.set_home_namespace_id("777000");
    world.standin.delete("/T/f0");
    world.standin.write("/T/f1", "theirs");
    let said = |s: &Value| s["accounts"][0]["state"] == "account_mismatch";
    let account = world.until_status("it says so", said)["accounts"][0].clone();
    let reason = account["reason"].as_str().unwrap();
    assert!(reason.contains("path_root") && reason.contains("no_permission"), "{account}");
    let calls = |route: &str| world.standin.calls_of(route);
    world.write("new", "n");
    std::fs::remove_file(world.folder.join("f9")).unwrap();
    let waits = |path: &str| {
        let whole = world.folder.join(path);
        told(&world, &["explain", whole.to_str().unwrap()]).contains("  queue ")
    };
    eventually("both are seen", &world, || waits("new") && waits("f9"));
    drop(daemon);
    // At a start, too.
    let out = world.command(&["run", "--once"]).output().unwrap();
    assert_eq!(out.status.code(), Some(4), "{}", text(&out));
    assert!(text(&out).contains("no_permission"), "{}", text(&out));
    assert_eq!(cached(&world), before);
    // Sessions may have been asked for at the start, and were refused like the rest: no byte went up.
    assert_eq!(calls("files/upload_session/append_batch"), 0);
    assert!(world.standin.file("/T/new").is_none());
    assert_eq!(world.deletions(), 0);
    let expected = mine.into_iter().filter(|(path, _)| path != "f9").map(|(path, _)| path);
    assert_eq!(world.disk().into_keys().filter(|path| path != "new").collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    assert_eq!(std::fs::read(world.folder.join("f1")).unwrap(), b"1");
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
fn e12_slices_of_a_mass_change_do_not_pass_one_by_one() {
    let mut world = World::new();
    world.mode = "two-way";
    for i in 0..100 {
        world.standin.write(&format!("/T/f{i}"), format!("{i}"));
    }
    let _daemon = world.daemon();
    eventually("all are here", &world, || world.disk().len() == 100 && world.disk() == world.remote());
    let ransomed = || world.disk().values().filter(|hash| **hash == content_hash(b"ransom")).count();
    let held = || status(&world)["accounts"][0]["remote"]["held"].clone();
    for slice in 0..2 {
        for i in slice * 20..slice * 20 + 20 {
            world.standin.write(&format!("/T/f{i}"), "ransom");
        }
        eventually("a slice comes down", &world, || ransomed() == slice * 20 + 20);
        world.until_status("it is idle", |s| s["accounts"][0]["state"] == "idle");
    }
    for i in 40..60 {
        world.standin.delete(&format!("/T/f{i}"));
    }
    eventually("the third is held", &world, || held()["reason"].as_str().is_some_and(|why| why.contains("40 others")));
    assert_eq!((ransomed(), world.disk().len()), (40, 100));
    // What we delete ourselves meanwhile is nobody's wave, and a person's word lets the rest come.
    std::fs::remove_file(world.folder.join("f99")).unwrap();
    world.until("our own deletion", |s| s.file("/T/f99").is_none());
    let token = held()["token"].as_str().unwrap().to_owned();
    assert_eq!(world.command(&["approve", &token]).output().unwrap().status.code(), Some(0));
    eventually("the third comes down", &world, || world.disk() == world.remote());
    assert_eq!(world.disk().len(), 79);
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

/// A member of a team, in the team's space.
fn of_a_team(mode: &'static str, select: &str) -> World {
    let mut world = World::new();
    world.mode = mode;
    world.account_extra = format!("path_root = \"root\"\n{select} = \"dbmid:A_member\"");
    world.extra = "[upload]\nchunk_size = \"4 MiB\"".to_owned();
    world
}

/// Every request says whose it is and below which root: but for the token's own call, the longpoll, which carries no token, and (of the root)
/// the call that asks for the root.
fn assert_heads(world: &World, select_user: Option<&str>, select_admin: Option<&str>) -> BTreeSet<String> {
    let root = format!(r#"{{".tag":"root","root":"{}"}}"#, world.standin.root_namespace_id());
    let mut routes = BTreeSet::new();
    for told in world.standin.heads() {
        let noauth = told.route.starts_with("oauth2/") || told.route == "files/list_folder/longpoll";
        let who = if noauth { (None, None) } else { (select_user, select_admin) };
        assert_eq!((told.select_user.as_deref(), told.select_admin.as_deref()), who, "{told:?}");
        assert_eq!(told.authorized, !noauth, "{told:?}");
        let rootless = noauth || told.route == "users/get_current_account";
        assert_eq!(told.path_root.as_deref(), Some(root.as_str()).filter(|_| !rootless), "{told:?}");
        routes.insert(told.route);
    }
    routes
}

#[test]
fn every_call_of_a_team_s_member_names_the_member_and_the_root() {
    let world = of_a_team("two-way", "select_user");
    world.standin.write("/T/theirs", "t");
    world.standin.write("/T/there/deep", "d");
    world.write("small", "s");
    world.write("large", vec![7; 9 << 20]);
    std::fs::create_dir(world.folder.join("empty")).unwrap();
    // A commit whose reply is lost is looked up.
    world.standin.faults().add(Fault::once("files/upload_session/finish_batch", Effect::DropAfter));
    let daemon = world.daemon();
    eventually("up and down", &world, || {
        world.standin.folder("/T/empty") && world.disk() == world.remote() && world.disk().len() == 4
    });
    world.until_status("it is idle", |s| s["accounts"][0]["state"] == "idle");
    std::fs::remove_file(world.folder.join("small")).unwrap();
    world.until("the deletion", |s| s.file_count() == 3);
    world.standin.write("/T/there/late", "l");
    eventually("what came later", &world, || world.disk() == world.remote());
    drop(daemon);
    let mut online = world.command(&["ls", "--online", "/"]);
    assert!(online.output().unwrap().status.success());
    let routes = assert_heads(&world, Some("dbmid:A_member"), None);
    for route in [
        "oauth2/token",
        "users/get_current_account",
        "users/get_space_usage",
        "files/list_folder",
        "files/list_folder/continue",
        "files/list_folder/longpoll",
        "files/download",
        "files/upload_session/start_batch",
        "files/upload_session/append_batch",
        "files/upload_session/append_v2",
        "files/upload_session/finish_batch",
        "files/create_folder_batch",
        "files/delete_batch",
        "files/get_metadata",
    ] {
        assert!(routes.contains(route), "{route} was never called: {routes:?}");
    }
    world.assert_clean();
}

#[test]
fn every_call_of_a_team_s_admin_names_the_admin_and_the_root() {
    let world = of_a_team("mirror", "select_admin");
    world.write("a", "1");
    world.once_in_sync();
    world.write("b", "2");
    std::fs::remove_file(world.folder.join("a")).unwrap();
    world.once();
    let routes = assert_heads(&world, None, Some("dbmid:A_member"));
    assert!(routes.contains("files/upload_session/finish_batch") && routes.len() > 5, "{routes:?}");
    world.assert_clean();
}
