//! The remote cache, end to end: the real binary against the stand-in server. The names carry the rows of group E of the faults' catalogue;
//! for rows about downloads or two-way folders the cache's part is tried: nothing is lost, invented or sent.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::time::{Duration, Instant};

use crate::harness::cache::{cached, eventually, filled, ls, served, status, until_equal};
use crate::harness::{CONTINUE, LONGPOLL, World};
use ferrybox_standin::{Effect, Fault, Garbage, Settings};
use serde_json::{Value, json};

fn small_pages() -> Settings {
    Settings { page_size: 5, empty_page_every: 6, ..Settings::default() }
}

#[test]
fn what_changes_there_is_known_here_and_survives_a_restart() {
    let world = filled(small_pages(), 40);
    let daemon = world.daemon();
    until_equal(&world);
    world.standin.write("/T/new", "n");
    world.standin.delete("/T/d1");
    world.standin.rename("/T/d2", "/T/moved");
    until_equal(&world);
    daemon.kill();
    world.standin.write("/T/while away", "n");
    let calls = world.standin.calls_of("files/list_folder");
    let _daemon = world.daemon();
    until_equal(&world);
    assert_eq!(world.standin.calls_of("files/list_folder"), calls, "the stored cursor was not used");
    let remote = status(&world)["accounts"][0]["remote"].clone();
    assert_eq!(remote["entries"], served(&world).len() + 1, "{remote}");
    assert!(remote["cursor_age_s"].as_u64().is_some_and(|age| age < 60) && remote["listing"] == false, "{remote}");
    world.assert_clean();
}

#[test]
fn a_folder_that_dropbox_does_not_have_yet_is_found_when_it_appears() {
    let world = World::new();
    let _daemon = world.daemon();
    eventually("it waits for changes above", &world, || world.standin.calls_of(LONGPOLL) > 0);
    world.standin.write("/T/a/b", "x");
    until_equal(&world);
    world.standin.delete("/T");
    eventually("a folder that is gone", &world, || cached(&world).is_empty());
    world.standin.write("/T/again", "x");
    until_equal(&world);
    world.assert_clean();
}

#[test]
fn e1_a_reset_lists_anew_and_loses_nothing() {
    let world = filled(small_pages(), 60);
    let daemon = world.daemon();
    until_equal(&world);
    world.standin.set(|s| s.listing_time = Duration::from_millis(20));
    world.standin.reset_cursors();
    world.standin.delete("/T/d3");
    world.standin.write("/T/x", "x");
    let seen = world.standin.calls_of(CONTINUE);
    eventually("the second listing has begun", &world, || world.standin.calls_of(CONTINUE) > seen + 3);
    // Killed in the middle of it, twice: the stored pages are not asked for again, and nothing is missing.
    daemon.kill();
    let daemon = world.daemon();
    let seen = world.standin.calls_of(CONTINUE);
    eventually("it goes on", &world, || world.standin.calls_of(CONTINUE) > seen + 2);
    daemon.kill();
    let _daemon = world.daemon();
    until_equal(&world);
    assert_eq!(world.standin.calls_of("files/list_folder"), 2);
    world.assert_clean();
}

#[test]
fn a_kill_between_and_inside_pages_loses_and_doubles_nothing() {
    let world = filled(Settings { listing_time: Duration::from_millis(4), ..small_pages() }, 200);
    for round in 1..=12_u64 {
        let seen = world.standin.calls_of(CONTINUE);
        let daemon = world.daemon();
        world.standin.wait_for_blocking(Duration::from_secs(5), |s| s.calls_of(CONTINUE) > seen + round / 3);
        // Not only at the moment a call begins: anywhere within a page.
        std::thread::sleep(Duration::from_millis(round));
        daemon.kill();
        world.standin.write(&format!("/T/d{round}/between"), "x");
    }
    let _daemon = world.daemon();
    until_equal(&world);
    let remote = status(&world)["accounts"][0]["remote"].clone();
    assert_eq!(remote["entries"], served(&world).len() + 1, "{remote}");
    world.assert_clean();
}

#[test]
fn e2_pages_whose_replies_are_lost_cut_or_garbled_come_again() {
    let world = filled(small_pages(), 60);
    for (n, what) in [
        (2, Effect::DropAfter),
        (3, Effect::Garbage(Garbage::TruncatedJson)),
        (4, Effect::Garbage(Garbage::Html)),
        (6, Effect::Garbage(Garbage::EmptyObject)),
        (7, Effect::CutReply(50)),
        (9, Effect::Status { code: 500, retry_after: None, body: None }),
    ] {
        world.standin.faults().add(Fault::nth(CONTINUE, n, what));
    }
    let _daemon = world.daemon();
    until_equal(&world);
    world.assert_clean();
}

#[test]
fn e5_e6_letters_case_is_identity_for_nobody_and_shown_from_each_ones_own_entry() {
    let world = World::with(Settings { sloppy_display: true, ..Settings::default() });
    world.standin.write("/T/Grüße/Unter Ordner/Ein Brief.TXT", "x");
    world.write("mine.txt", "m");
    world.once_in_sync();
    let shown: Vec<_> = ls(&world, &["-R"]).iter().map(|e| e["path"].as_str().unwrap().to_owned()).collect();
    assert!(shown.contains(&"/T/Grüße/Unter Ordner/Ein Brief.TXT".to_owned()), "{shown:?}");
    // A change of case alone is never reported; it makes no conflict and no deletion.
    world.standin.rename("/T/mine.txt", "/T/MINE.txt");
    world.standin.reset_counters();
    world.once_in_sync();
    assert_eq!(world.standin.data_transport_calls(), 0);
    assert_eq!(world.standin.file_count(), 2);
    world.assert_clean();
}

#[test]
fn e7_a_shared_folder_left_and_mounted_elsewhere_costs_no_local_file() {
    let world = World::new();
    world.write("shared/a", "1");
    world.write("shared/b", "2");
    let _daemon = world.daemon();
    world.until("both are there", |s| s.file_count() == 2);
    until_equal(&world);
    world.standin.rename("/T/shared", "/T/shared (1)");
    until_equal(&world);
    assert_eq!(world.disk().len(), 2);
    assert_eq!(world.standin.file_count(), 2, "a backup does not send again what somebody moved in Dropbox");
    world.assert_clean();
}

#[test]
fn e10_a_new_revision_of_the_same_content_is_taken_over_without_a_byte() {
    let world = World::new();
    world.write("a", "same");
    world.once_in_sync();
    world.standin.write("/T/a", "other");
    world.standin.write("/T/a", "same");
    let daemon = world.daemon();
    until_equal(&world);
    world.standin.reset_counters();
    // The proof that base knows the new revision: the next edit goes over it, and nobody gets a conflicted copy.
    eventually("nothing is left to do", &world, || status(&world)["accounts"][0]["state"] == "idle");
    assert_eq!(world.standin.data_transport_calls(), 0);
    world.write("a", "edited");
    world.until("the edit", |s| s.content("/T/a").is_some_and(|c| c == "edited"));
    assert_eq!(world.standin.file_count(), 1);
    drop(daemon);
    world.assert_clean();
}

#[test]
fn what_dropbox_has_is_adopted_by_a_new_database_without_a_transfer() {
    for mode in ["backup", "mirror"] {
        let mut world = World::new();
        world.mode = mode;
        world.extra = "[upload]\nchunk_size = \"4 MiB\"".to_owned();
        world.write("small", "s");
        world.write("sub/Medium", vec![5; 300_000]);
        world.write("sub/large", vec![7; 9 << 20]);
        world.write("Grüße/ß", "fold me");
        world.once_in_sync();
        std::fs::remove_dir_all(world.state()).unwrap();
        world.standin.reset_counters();
        world.once_in_sync();
        assert_eq!(world.standin.data_transport_calls(), 0, "{:?}", world.standin.calls());
        // And what differs still goes up.
        world.write("small", "t");
        world.once_in_sync();
        world.assert_equal();
        world.assert_clean();
    }
}

#[test]
fn e11_without_a_hash_nothing_is_adopted_by_its_size() {
    let world = World::new();
    world.standin.write("/T/a", "server");
    world.standin.decorate("/T/a", json!({"content_hash": null}));
    world.write("a", "client");
    world.once_in_sync();
    assert_eq!(world.standin.content("/T/a").unwrap(), "server");
    assert_eq!(world.standin.file_count(), 2, "both are kept");
    world.assert_clean();
}

#[test]
fn e11_what_comes_down_is_hashed_and_what_does_not_fit_is_put_nowhere() {
    let mut world = World::new();
    world.mode = "two-way";
    world.write("met", "client");
    for (name, content) in [("nohash", "content"), ("wrong", "content"), ("short", "content"), ("met", "server")] {
        world.standin.write(&format!("/T/{name}"), content);
    }
    world.standin.decorate("/T/nohash", json!({"content_hash": null}));
    world.standin.decorate("/T/met", json!({"content_hash": null}));
    world.standin.decorate("/T/wrong", json!({"content_hash": "0".repeat(64)}));
    world.standin.decorate("/T/short", json!({"size": 3}));
    let daemon = world.daemon();
    let read = |name: &str| std::fs::read_to_string(world.folder.join(name)).ok();
    eventually("what fits is here", &world, || read("nohash").is_some() && read("met").as_deref() == Some("server"));
    let told = || String::from_utf8(world.command(&["problems", "--json"]).output().unwrap().stdout).unwrap();
    eventually("the others are told", &world, || told().contains("wrong") && told().contains("short"));
    assert_eq!((read("nohash").as_deref(), read("wrong"), read("short")), (Some("content"), None, None));
    // Same size, no hash: nothing says that they are the same, and both are kept.
    eventually("both are kept", &world, || world.disk().len() == 3);
    for name in ["wrong", "short"] {
        world.standin.decorate(&format!("/T/{name}"), json!({}));
        world.standin.write(&format!("/T/{name}"), "right");
        eventually("what fits now comes", &world, || read(name).as_deref() == Some("right"));
    }
    drop(daemon);
    world.assert_clean();
}

#[test]
fn e5_a_rename_in_letters_only_that_a_new_listing_shows_costs_nothing() {
    let mut world = World::new();
    world.mode = "two-way";
    world.write("mine.txt", "m");
    world.write("dir/inner.txt", "i");
    world.once_in_sync();
    world.standin.rename("/T/mine.txt", "/T/MINE.txt");
    world.standin.rename("/T/dir", "/T/DIR");
    for reset in [false, true] {
        if reset {
            world.standin.reset_cursors();
        }
        world.standin.reset_counters();
        world.once_in_sync();
        assert_eq!(
            (world.standin.data_transport_calls(), world.standin.calls_of("files/download"), world.deletions()),
            (0, 0, 0)
        );
        let mut contents: Vec<_> = world.disk().into_values().collect();
        let mut theirs: Vec<_> = world.remote().into_values().collect();
        contents.sort();
        theirs.sort();
        assert_eq!((contents.len(), contents), (2, theirs));
    }
    // Still the same files to both sides.
    world.standin.write("/T/MINE.txt", "theirs");
    let inner = world.disk().into_keys().find(|path| path.to_lowercase() == "dir/inner.txt").unwrap();
    world.write(&inner, "ours");
    world.once_in_sync();
    assert_eq!((world.disk().len(), world.standin.file_count()), (2, 2));
    assert_eq!(world.standin.content("/T/dir/inner.txt").unwrap(), "ours");
    world.assert_clean();
}

#[test]
fn e13_longpolls_that_promise_nothing_are_no_busy_loop_and_backoff_is_honoured() {
    let world = filled(Settings::default(), 3);
    let empty_promise = Effect::Status { code: 200, retry_after: None, body: Some(r#"{"changes": true}"#.to_owned()) };
    world.standin.faults().add(Fault::always(LONGPOLL, empty_promise));
    let daemon = world.daemon();
    eventually("the first", &world, || world.standin.calls_of(LONGPOLL) >= 1);
    let began = Instant::now();
    eventually("the third", &world, || world.standin.calls_of(LONGPOLL) >= 3);
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    world.standin.faults().clear();
    drop(daemon);
    world.standin.set(|s| s.longpoll_limit = Some(Duration::from_millis(50)));
    world.standin.set_longpoll_backoff(Some(1));
    let seen = world.standin.calls_of(LONGPOLL);
    let _daemon = world.daemon();
    eventually("several longpolls with backoff", &world, || world.standin.calls_of(LONGPOLL) >= seen + 3);
    world.standin.write("/T/x", "x");
    until_equal(&world);
    world.assert_clean();
}

#[test]
fn e14_names_that_could_escape_are_problems_and_nothing_else() {
    let world = filled(Settings::default(), 2);
    world.standin.write("/T/bad", "x");
    world.standin.decorate("/T/bad", json!({"name": "..", "path_lower": "/t/../../etc/passwd"}));
    let long = "é".repeat(200);
    world.standin.write(&format!("/T/{long}"), "x");
    let _daemon = world.daemon();
    eventually("both are told", &world, || status(&world)["accounts"][0]["remote"]["problems"] == 2);
    let out = world.command(&["problems", "--json"]).output().unwrap();
    let listed: Value = serde_json::from_slice(&out.stdout).unwrap();
    let mut codes: Vec<_> = listed["items"].as_array().unwrap().iter().map(|p| p["code"].as_str().unwrap()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["bad_name", "name_too_long"]);
    assert!(ls(&world, &["-R"]).iter().all(|e| !e["path"].as_str().unwrap().contains("..")));
    world.assert_clean();
}

#[test]
fn e15_e16_the_servers_key_alone_is_identity() {
    let world = World::new();
    for name in ["straße", "strasse", "İ", "i", "K"] {
        world.standin.write(&format!("/T/{name}"), name.to_owned());
    }
    // An id that was used before says nothing about the path.
    world.standin.decorate("/T/straße", json!({"id": "id:reused"}));
    world.standin.decorate("/T/strasse", json!({"id": "id:reused"}));
    let _daemon = world.daemon();
    until_equal(&world);
    world.standin.delete("/T/straße");
    until_equal(&world);
    assert!(cached(&world).contains_key("/t/strasse"));
    world.assert_clean();
}

#[test]
fn e17_odd_times_change_nothing() {
    let world = World::new();
    world.write("a", "x");
    world.once_in_sync();
    for time in ["1601-01-01T00:00:00Z", "9999-12-31T23:59:60Z", "never"] {
        world.standin.decorate("/T/a", json!({"client_modified": time, "server_modified": time}));
        world.standin.reset_cursors();
        world.standin.reset_counters();
        world.once_in_sync();
        assert_eq!(world.standin.data_transport_calls(), 0);
    }
    world.assert_clean();
}

#[test]
fn e18_a_change_by_another_client_before_our_commit_keeps_both() {
    let world = World::new();
    world.write("a", "base");
    world.once_in_sync();
    world.standin.write("/T/a", "theirs");
    world.write("a", "mine and longer");
    world.once();
    assert_eq!(world.standin.content("/T/a").unwrap(), "theirs");
    assert_eq!(world.standin.file_count(), 2);
    world.assert_clean();
}

#[test]
fn uploads_do_not_wait_for_a_listing_that_fails() {
    let world = filled(Settings::default(), 3);
    world.standin.faults().add(Fault::always("files/list_folder*", Effect::Garbage(Garbage::EmptyObject)));
    world.write("mine", "x");
    let _daemon = world.daemon();
    world.until("the upload", |s| s.file("/T/mine").is_some());
    eventually("the reason is shown", &world, || status(&world)["accounts"][0]["remote"]["reason"].is_string());
    assert!(cached(&world).is_empty());
    world.standin.faults().clear();
    until_equal(&world);
    world.assert_clean();
}

#[test]
fn every_argument_of_the_listing_is_a_setting() {
    let mut world = filled(Settings::default(), 3);
    let configured = json!({
        "limit": 7,
        "include_has_explicit_shared_members": true,
        "include_mounted_folders": false,
        "include_property_groups": ["ptid:1a5n2i6d3OYEAAAAAAAAAYa"],
        "include_non_downloadable_files": false,
    });
    let lines = configured.as_object().unwrap().iter().map(|(key, value)| format!("{key} = {value}\n"));
    world.extra = format!("[listing]\n{}", lines.collect::<String>());
    world.standin.delete("/T/d1");
    let daemon = world.daemon();
    until_equal(&world);
    let asked = world.standin.last_argument("files/list_folder");
    for (key, value) in configured.as_object().unwrap() {
        let expected = if key == "include_property_groups" {
            json!({".tag": "filter_some", "filter_some": value})
        } else {
            value.clone()
        };
        assert_eq!(asked[key], expected, "{asked}");
    }
    assert_eq!((&asked["path"], &asked["recursive"]), (&json!("/T"), &json!(true)));
    drop(daemon);
    let listened = world.standin.calls_of(LONGPOLL);
    // Another question is listed anew, beside what is known, and followed by longpolls.
    world.extra = "[listing]\nlimit = 5\nlongpoll = \"45s\"".to_owned();
    let _daemon = world.daemon();
    eventually("it listens", &world, || world.standin.calls_of(LONGPOLL) > listened);
    let (asked, listens) = (world.standin.last_argument("files/list_folder"), world.standin.last_argument(LONGPOLL));
    assert_eq!((&asked["limit"], &asked["include_mounted_folders"]), (&json!(5), &json!(true)));
    assert!((30..=45).contains(&listens["timeout"].as_u64().unwrap()), "{listens}");
    until_equal(&world);
    world.assert_clean();
}

#[test]
fn a_kind_of_entry_that_is_not_known_is_told_once_and_hides_nothing() {
    let world = filled(small_pages(), 12);
    for i in 0..5 {
        world.standin.write(&format!("/T/odd {i}"), "x");
        world.standin.decorate(&format!("/T/odd {i}"), json!({".tag": "shortcut"}));
    }
    let _daemon = world.daemon();
    let good = || served(&world).into_iter().filter(|(path, _)| !path.contains("odd")).collect::<Vec<_>>();
    eventually("the others are here", &world, || cached(&world).into_iter().collect::<Vec<_>>() == good());
    world.standin.reset_cursors();
    world.standin.write("/T/later", "x");
    eventually("and after a reset", &world, || cached(&world).into_iter().collect::<Vec<_>>() == good());
    assert!(status(&world)["accounts"][0]["remote"]["unknown"].as_u64() >= Some(5));
    assert_eq!(world.log().matches("shortcut").count(), 1, "{}", world.log());
    world.assert_clean();
}

#[test]
fn e7_what_is_deleted_and_comes_back_in_one_run_of_pages_is_never_missing_here() {
    // Sharing or unsharing a folder looks like this; the pages between are many.
    let mut world =
        World::with(Settings { page_size: 2, listing_time: Duration::from_millis(100), ..Settings::default() });
    world.mode = "two-way";
    for i in 0..10 {
        world.standin.write(&format!("/T/shared/f{i}"), format!("{i}"));
    }
    world.once_in_sync();
    let before: Vec<_> = world.disk().keys().map(|path| world.folder.join(path)).collect();
    let inodes = || {
        before
            .iter()
            .map(|path| std::fs::metadata(path).map(|m| std::os::unix::fs::MetadataExt::ino(&m)).ok())
            .collect::<Vec<_>>()
    };
    let first = inodes();
    world.standin.reshare("/T/shared", |account| {
        for i in 0..6 {
            drop(account.write(&format!("/T/between {i}"), "x"));
        }
    });
    let downloads = world.standin.calls_of("files/download");
    let _daemon = world.daemon();
    while world.disk().len() < 16 {
        assert_eq!(inodes(), first, "{}", world.log());
        std::thread::yield_now();
    }
    eventually("it is idle", &world, || status(&world)["accounts"][0]["state"] == "idle");
    assert_eq!(inodes(), first);
    assert_eq!(world.standin.calls_of("files/download"), downloads + 6);
    world.assert_clean();
}

#[test]
fn e16_a_file_that_came_back_under_another_id_is_found_by_its_path_and_hash() {
    let mut world = World::new();
    world.mode = "two-way";
    world.write("kept", "same");
    world.write("reused", "mine");
    world.once_in_sync();
    let id = |path: &str| world.standin.file(path).unwrap().id;
    let (old, reused) = (id("/T/kept"), id("/T/reused"));
    // Moved into another namespace and back, or deleted and restored: another id; and that of another file is given out again.
    world.standin.delete("/T/kept");
    world.standin.write("/T/kept", "same");
    world.standin.delete("/T/reused");
    world.standin.write("/T/fresh", "theirs");
    world.standin.decorate("/T/fresh", json!({"id": reused}));
    assert_ne!(id("/T/kept"), old);
    let downloads = world.standin.calls_of("files/download");
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(std::fs::read_to_string(world.folder.join("fresh")).unwrap(), "theirs");
    assert!(world.standin.calls_of("files/download") <= downloads + 1);
    // The next edit goes over the file that is there now.
    world.write("kept", "edited");
    world.once_in_sync();
    assert_eq!((world.standin.content("/T/kept").unwrap(), world.standin.file_count()), ("edited".into(), 2));
    world.assert_clean();
}
