//! Files of patterns that somebody else writes.

use serde_json::Value;

use crate::harness::{World, json, text};
use crate::status::get;

fn folder(status: &Value) -> &Value {
    &status["accounts"][0]["folders"][0]
}

/// A two-way world in sync, with these files of one byte each.
fn in_sync(paths: &[&str]) -> (World, crate::harness::Daemon) {
    let mut world = World::new();
    world.mode = "two-way";
    let daemon = world.in_sync_with(paths);
    (world, daemon)
}

/// The texts of the problems that name a file of patterns.
fn told(world: &World) -> Vec<String> {
    let problems = json(world, &["problems", "--json"]);
    let items = problems["items"].as_array().unwrap().iter();
    items.filter(|p| p["code"] == "ignore_file").map(|p| p["text"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn h5_a_file_of_patterns_that_came_down_is_told_and_can_be_mended() {
    let mut world = World::new();
    world.mode = "two-way";
    for name in ["a", "b", "c"] {
        world.write(name, name);
    }
    let _daemon = world.daemon();
    world.until("three files", |s| s.file_count() == 3);
    world.until_folder("in_sync");
    world.standin.write("/T/.ferryboxignore", "*\n");
    world.until_status("the problem, and what is ignored", |s| {
        let folder = &s["accounts"][0]["folders"][0];
        folder["problems"] == 1 && folder["ignored"] == 3
    });
    let problems = json(&world, &["problems", "--json"]);
    let told = problems.to_string();
    assert!(told.contains(".ferryboxignore") && told.contains("3 files"), "{told}");
    // Nothing was deleted anywhere, and what mends it comes down.
    assert_eq!(world.deletions(), 0);
    assert_eq!(world.disk().len(), 4);
    world.standin.write("/T/.ferryboxignore", "other\n");
    world.until_status("no problem, and all in base again", |s| {
        let folder = &s["accounts"][0]["folders"][0];
        folder["problems"] == 0 && folder["ignored"] == 0 && folder["files"] == 4 && folder["pending"]["uploads"] == 0
    });
    assert_eq!(world.deletions(), 0);
    world.assert_clean();
}

#[test]
fn h5_files_of_patterns_may_be_this_devices_own() {
    let mut world = World::new();
    world.mode = "two-way";
    world.folder_extra = "ignore_files = \"local\"".to_owned();
    world.write(".ferryboxignore", "*.tmp\n");
    world.write("a", "1");
    world.write("b.tmp", "2");
    world.standin.write("/T/sub/.ferryboxignore", "*\n");
    world.standin.write("/T/sub/c", "3");
    world.once_in_sync();
    assert_eq!(world.disk().keys().map(String::as_str).collect::<Vec<_>>(), [".ferryboxignore", "a", "b.tmp", "sub/c"]);
    assert!(world.standin.file("/T/.ferryboxignore").is_none() && world.standin.file("/T/a").is_some());
    world.assert_clean();
}

/// It is a problem, and no outage: all else goes on, and the service is well.
#[test]
fn h5_what_patterns_that_came_down_hide_is_a_problem_and_no_outage() {
    let (world, daemon) = in_sync(&["a", "d/b", "d/c"]);
    world.standin.write("/T/d/.ferryboxignore", "*\n");
    world.until_status("the problem", |s| folder(s)["problems"] == 1);
    let status = world.until_status("at rest", |s| folder(s)["state"] == "in_sync");
    assert_eq!(folder(&status)["problems"], 1, "{status}");
    let (health, body) = get(&world, "/v1/health");
    assert!(health == 200 && body["problems"] == 1, "{health} {body}");
    let texts = told(&world);
    for word in ["2 files", "ignore_files = \"local\"", "touch"] {
        assert!(texts[0].contains(word), "{texts:?}");
    }
    let out = world.command(&["sync", "--wait"]).output().unwrap();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    // Neither side's hidden files are anybody's deletions, whatever goes on there.
    std::fs::remove_file(world.folder.join("d/b")).unwrap();
    world.standin.delete("/T/d/c");
    world.write("e", "e");
    world.until("the new file", |s| s.file("/T/e").is_some());
    world.until_folder("in_sync");
    assert!(world.standin.file("/T/d/b").is_some() && world.folder.join("d/c").is_file());
    assert_eq!(world.deletions(), 0);
    // A restart forgets none of it.
    assert_eq!(daemon.stop().0, Some(0));
    let daemon = world.daemon();
    world.until_status("the problem", |s| folder(s)["problems"] == 1 && folder(s)["state"] == "in_sync");
    assert_eq!(told(&world), texts);
    // To take the patterns as one's own is to save the file here.
    let patterns = world.folder.join("d/.ferryboxignore");
    std::fs::File::options().write(true).open(&patterns).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    world.until_status("no problem", |s| folder(s)["problems"] == 0 && folder(s)["state"] == "in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    world.once_in_sync();
    assert!(world.standin.file("/T/d/b").is_some() && world.folder.join("d/c").is_file());
    world.assert_clean();
}

/// What is hidden no longer is no problem any more: the files went elsewhere.
#[test]
fn h5_files_that_are_moved_out_of_the_way_end_the_problem() {
    let (world, _daemon) = in_sync(&["keep", "a.log", "b.log"]);
    world.standin.write("/T/.ferryboxignore", "*.log\n");
    world.until_status("the problem", |s| folder(s)["problems"] == 1);
    for name in ["a", "b"] {
        std::fs::rename(world.folder.join(format!("{name}.log")), world.folder.join(name)).unwrap();
    }
    let out = world.command(&["sync", "--wait"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    world.until("both go up under their new names", |s| s.file("/T/a").is_some() && s.file("/T/b").is_some());
    world.until_status("no problem", |s| folder(s)["problems"] == 0);
    assert_eq!(world.deletions(), 0);
    world.assert_clean();
}

/// It need not come as a new file.
#[test]
fn h5_a_file_that_becomes_one_of_patterns_by_a_rename_is_told() {
    let (world, _daemon) = in_sync(&["a.log", "b.log", "notes"]);
    world.standin.write("/T/notes", "*.log\n");
    world.eventually("the text", || std::fs::read_to_string(world.folder.join("notes")).unwrap() == "*.log\n");
    world.until_folder("in_sync");
    assert!(world.standin.rename("/T/notes", "/T/.ferryboxignore"));
    world.until_status("the problem", |s| folder(s)["problems"] == 1);
    assert!(told(&world)[0].contains("2 files"), "{:?}", told(&world));
    assert_eq!(world.disk().len(), 3);
    assert_eq!(world.deletions(), 0);
    world.assert_clean();
}

/// Nor in one run with the scan that meets what it hides.
#[test]
fn h5_patterns_that_came_down_before_a_restart_are_told_by_the_next_scan() {
    let (world, daemon) = in_sync(&["d/a", "e/b"]);
    // It hides nothing yet.
    world.standin.write("/T/d/.ferryboxignore", "b\n");
    world.eventually("the patterns", || world.folder.join("d/.ferryboxignore").is_file());
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    // As after a stop right before the scan: in base, and hidden.
    let conn = rusqlite::Connection::open(world.state().join("test/state.db")).unwrap();
    let moved = conn.execute("UPDATE dir SET path = 'd/e' WHERE path = 'e'", []).unwrap();
    assert_eq!(moved, 1);
    drop(conn);
    std::fs::rename(world.folder.join("e"), world.folder.join("d/e")).unwrap();
    let _daemon = world.daemon();
    world.eventually("the problem", || told(&world).first().is_some_and(|text| text.contains("1 file that was")));
}

/// Whatever makes a folder compare all of it again: what is hidden by nobody's wish stays told.
#[test]
fn h5_the_problem_outlives_a_comparison_of_the_whole_folder() {
    let mut world = World::new();
    world.mode = "download";
    for name in ["a", "b"] {
        world.standin.write(&format!("/T/{name}"), name);
    }
    let daemon = world.daemon();
    world.until_folder("in_sync");
    world.standin.write("/T/.ferryboxignore", "a\n");
    world.eventually("the problem", || told(&world).len() == 1);
    assert_eq!(daemon.stop().0, Some(0));
    // What was deleted here meanwhile was nobody's business: base is dropped, and both sides meet.
    world.mode = "two-way";
    let _daemon = world.daemon();
    world.write("c", "c");
    world.until("the new mode's work", |s| s.file("/T/c").is_some());
    world.until_folder("in_sync");
    assert_eq!(told(&world).len(), 1, "{}", world.log());
    assert!(world.folder.join("a").is_file() && world.standin.file("/T/a").is_some());
    // Whoever saves it here accepts it.
    world.write(".ferryboxignore", "a\n# mine\n");
    world.eventually("no problem", || told(&world).is_empty());
    assert_eq!(world.deletions(), 0);
    world.assert_clean();
}
