//! Entries of a commit that are refused again and again.

use std::time::Duration;

use ferrybox_standin::{Effect, Entries, Fault, content_hash};

use super::{assert_calm, until_problem};
use crate::harness::{APPEND_BATCH, FINISH_BATCH, World, json, text, told};

const CREATE_FOLDERS: &str = "files/create_folder_batch";
const SIZE: usize = 100_000;

fn failing(tag: &str) -> Effect {
    Effect::EntryFailure { tag: tag.to_owned(), entries: Entries::All }
}

fn bytes_in(world: &World) -> u64 {
    world.standin.calls().get(APPEND_BATCH).map_or(0, |stats| stats.bytes_in)
}

/// One file whose every commit is refused so: slow from its third try on, a problem, and there as soon as the refusal ends and somebody asks.
fn a_refused_commit(mode: &'static str, tag: &str, sent_again: bool, said: &str) {
    let mut world = World::new();
    world.mode = mode;
    world.write("a.bin", vec![7; SIZE]);
    world.standin.faults().add(Fault::always(FINISH_BATCH, failing(tag)));
    let daemon = world.daemon();
    world.until("some tries", |s| s.calls_of(FINISH_BATCH) >= 3);
    until_problem(&world, "a problem that says so", |p| {
        p["path"].as_str().is_some_and(|p| p.ends_with("a.bin")) && p["text"].as_str().unwrap().contains(said)
    });
    assert_calm(&world, tag, Duration::from_secs(12));
    let (tries, sent) = (world.standin.calls_of(FINISH_BATCH), bytes_in(&world));
    let once = SIZE as u64;
    if sent_again {
        assert!(sent <= once * tries, "{tag}: {sent} bytes in {tries} tries");
    } else {
        assert_eq!(sent, once, "{tag}: the server has the content, and it went again");
    }
    let explained = json(&world, &["explain", "a.bin", "--json"]);
    assert!(explained["row"]["attempts"].as_u64().unwrap() >= 2, "{explained:#}");
    world.standin.faults().clear();
    told(&world, &["sync", "a.bin"]);
    world.until("the file", |s| s.file("/T/a.bin").is_some());
    assert_eq!(world.standin.file("/T/a.bin").unwrap().content_hash, content_hash(&vec![7; SIZE]));
    drop(daemon);
    world.assert_clean();
}

#[test]
fn s1_a_lost_session_is_sent_again_at_a_growing_pace() {
    a_refused_commit("backup", "lookup_failed/not_found", true, "sent again");
}

#[test]
fn s1_a_commit_that_misses_data_is_sent_again_at_a_growing_pace() {
    a_refused_commit("backup", "concurrent_session_missing_data", true, "sent again");
}

#[test]
fn s1_a_session_that_the_server_has_is_committed_again_and_not_sent() {
    a_refused_commit("backup", "lookup_failed/not_closed", false, "not_closed");
}

#[test]
fn s1_a_session_that_is_too_large_is_a_problem_at_once() {
    let world = World::new();
    world.write("a.bin", vec![7; SIZE]);
    world.standin.faults().add(Fault::always(FINISH_BATCH, failing("lookup_failed/too_large")));
    let daemon = world.daemon();
    let problem = until_problem(&world, "a problem", |p| p["code"] == "too_large");
    assert!(problem.contains("larger"), "{problem}");
    world.never("the file goes up again", Duration::from_secs(5), |s| s.calls_of(FINISH_BATCH) > 1);
    assert_eq!(bytes_in(&world), SIZE as u64);
    drop(daemon);
    world.assert_clean();
}

#[test]
fn s2_a_conflict_that_the_listing_does_not_show_is_a_problem_and_slow() {
    a_refused_commit("two-way", "path/conflict/folder", false, "/T/a.bin");
}

#[test]
fn s2_a_file_above_that_nobody_shows_is_a_problem_and_slow() {
    a_refused_commit("two-way", "path/conflict/file_ancestor", false, "/T");
}

#[test]
fn s2_the_file_that_stands_in_a_folders_place_is_named() {
    let world = World::new();
    world.standin.write("/T/deep/d", "a file where a folder is needed");
    world.write("deep/d/e/x", "1");
    let daemon = world.daemon();
    let problem =
        until_problem(&world, "a problem that names it", |p| p["text"].as_str().unwrap().contains("/T/deep/d"));
    assert!(!problem.contains("/T/deep/d/e"), "{problem}");
    assert_calm(&world, "file_ancestor", Duration::from_secs(12));
    drop(daemon);
    world.assert_clean();
}

#[test]
fn s2_a_folder_that_the_listing_does_not_show_is_a_problem_and_slow() {
    let mut world = World::new();
    world.mode = "two-way";
    std::fs::create_dir(world.folder.join("new")).unwrap();
    world.standin.faults().add(Fault::always(CREATE_FOLDERS, failing("path/conflict/folder")));
    let daemon = world.daemon();
    world.until("some tries", |s| s.calls_of(CREATE_FOLDERS) >= 3);
    let problem = until_problem(&world, "a problem", |p| p["path"].as_str().is_some_and(|p| p.ends_with("new")));
    assert!(problem.contains("/T/new"), "{problem}");
    assert_calm(&world, "create_folder", Duration::from_secs(10));
    world.standin.faults().clear();
    told(&world, &["sync", "new"]);
    world.until("the folder", |s| s.folder("/T/new"));
    drop(daemon);
    world.assert_clean();
}

#[test]
fn c9_a_passing_refusal_of_the_right_to_write_ends_by_itself() {
    let world = World::new();
    world.write("a.bin", vec![7; SIZE]);
    let refused = Fault::times(FINISH_BATCH, 1, failing("path/no_write_permission"));
    world.standin.faults().add(refused);
    let daemon = world.daemon();
    let problem = until_problem(&world, "a problem", |p| p["code"] == "permission");
    assert!(problem.contains("right to write"), "{problem}");
    world.until("the file, by itself", |s| s.file("/T/a.bin").is_some());
    world.until_folder("in_sync");
    assert_eq!(bytes_in(&world), SIZE as u64, "the session still held it");
    drop(daemon);
    world.assert_clean();
}

#[test]
fn c9_run_once_does_not_wait_for_a_standing_refusal() {
    let world = World::new();
    world.write("a.bin", "1");
    world.standin.faults().add(Fault::always(FINISH_BATCH, failing("path/operation_suppressed")));
    let began = std::time::Instant::now();
    let out = world.once();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    // The next run tries it again, and by now it is allowed.
    world.standin.faults().clear();
    world.once_in_sync();
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn r3_a_deletion_without_room_closes_no_uploads() {
    let mut world = World::new();
    world.write("old", "1");
    world.write("keep", "1");
    world.extra = "[safety]\nmax_deletion_share = \"100%\"\n".into();
    world.mode = "mirror";
    let daemon = world.daemon();
    world.until("both", |s| s.file_count() == 2);
    world.until_folder("in_sync");
    world.standin.faults().add(Fault::always("files/delete_batch", failing("path_write/insufficient_space")));
    std::fs::remove_file(world.folder.join("old")).unwrap();
    world.until("the refusal", |s| s.calls_of("files/delete_batch") >= 1);
    until_problem(&world, "its problem", |p| p["path"].as_str().is_some_and(|p| p.ends_with("old")));
    world.write("new", "2");
    world.until("the upload", |s| s.file("/T/new").is_some());
    let status = json(&world, &["status", "--json"]);
    assert_ne!(status["accounts"][0]["state"], "quota_full", "{status:#}");
    drop(daemon);
    world.assert_clean();
}
