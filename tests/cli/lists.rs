//! The lists of what was done and of what is kept twice: `conflicts`, `history`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use crate::harness::{World, json, text, told};
use serde_json::Value;

#[test]
fn conflicts_are_listed_until_they_are_resolved() {
    let mut world = World::new();
    world.mode = "mirror";
    world.standin.write("/T/a.txt", "theirs");
    world.standin.write("/T/d/b", "theirs");
    world.write("a.txt", "ours!");
    world.write("d/b", "ours!");
    world.write("stays", "s");
    let daemon = world.daemon();
    world.until_status("two conflicts", |s| s["accounts"][0]["folders"][0]["conflicts"] == 2);
    world.until_folder("in_sync");
    let listed = json(&world, &["conflicts", "--json"]);
    assert_eq!(listed["total"], 2, "{listed}");
    let (first, second) = (&listed["items"][0], &listed["items"][1]);
    assert_eq!((&first["path"], &second["path"]), (&"a.txt".into(), &"d/b".into()));
    let copy = first["copy"].as_str().unwrap();
    assert!(copy.starts_with("/T/a (") && copy.contains("conflicted copy"), "{copy}");
    assert!(world.standin.file(copy).is_some(), "{copy}");
    assert_eq!(json(&world, &["conflicts", "--json", "--limit", "1"])["items"].as_array().unwrap().len(), 1);
    let shown = told(&world, &["conflicts", "--limit", "1"]);
    assert!(shown.contains("a.txt") && shown.contains("and 1 more\n"), "{shown}");
    assert!(told(&world, &["status"]).contains("2 conflicted copies: `ferrybox conflicts` lists them"));
    // A file that is gone has no two versions any more.
    std::fs::remove_file(world.folder.join("a.txt")).unwrap();
    world.until_status("one conflict", |s| s["accounts"][0]["folders"][0]["conflicts"] == 1);
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// What, path and size of each line, the oldest first.
fn lines(listed: &Value) -> Vec<(String, String, u64)> {
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let items = listed["items"].as_array().unwrap().iter().rev();
    items.map(|i| (text(&i["what"]), text(&i["path"]), i["size"].as_u64().unwrap_or_default())).collect()
}

fn line(what: &str, path: &str, size: u64) -> (String, String, u64) {
    (what.to_owned(), path.to_owned(), size)
}

#[test]
fn history_tells_what_was_done_across_restarts() {
    let mut world = World::new();
    world.mode = "mirror";
    world.standin.write("/T/same", "same");
    world.standin.write("/T/d/two", "theirs");
    world.write("same", "same");
    world.write("d/two", "ours!");
    world.write("keeps", "k");
    world.once_in_sync();
    world.write("keeps", "kk");
    world.once_in_sync();
    // Touched, and nothing else: that is no deed.
    world.write("keeps", "kk");
    world.once_in_sync();
    std::fs::remove_file(world.folder.join("same")).unwrap();
    world.once_in_sync();
    let daemon = world.daemon();
    world.until_folder("in_sync");

    let all = json(&world, &["history", "--json"]);
    let mut first = lines(&all);
    let then = first.split_off(first.len() - 2);
    first.sort();
    let began = [
        line("adopted", "same", 4),
        line("conflict", "d/two", 5),
        line("uploaded", "d/two", 5),
        line("uploaded", "keeps", 1),
    ];
    assert_eq!((first.as_slice(), all["total"].as_u64()), (&began[..], Some(6)), "{all}");
    assert_eq!(then, [line("uploaded", "keeps", 2), line("deleted", "same", 0)], "{all}");
    // One path, relative and absolute; a directory; a path that is gone.
    let keeps = json(&world, &["history", "--json", world.folder.join("keeps").to_str().unwrap()]);
    assert_eq!(lines(&keeps), [line("uploaded", "keeps", 1), line("uploaded", "keeps", 2)]);
    assert_eq!(keeps["items"][0]["rev"].as_str().unwrap(), world.standin.file("/T/keeps").unwrap().rev);
    let mut command = world.command(&["history", "--json", "same"]);
    let out = command.current_dir(&world.folder).output().unwrap();
    let same: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", text(&out)));
    assert_eq!(lines(&same), [line("adopted", "same", 4), line("deleted", "same", 0)]);
    let below = json(&world, &["history", "--json", world.folder.join("d").to_str().unwrap()]);
    assert_eq!(below["total"], 2, "{below}");
    assert!(below["items"][0]["place"].as_str().unwrap().contains("conflicted copy"), "{below}");
    // Pages.
    let page = json(&world, &["history", "--json", "--limit", "1"]);
    assert_eq!((lines(&page), &page["total"]), (vec![line("deleted", "same", 0)], &6.into()));
    let shown = told(&world, &["history", "--limit", "2"]);
    assert!(shown.contains("deleted") && shown.contains("and 4 more\n"), "{shown}");
    // Elsewhere.
    let out = world.command(&["history", "/nowhere"]).output().unwrap();
    assert_eq!(out.status.code(), Some(64), "{}", text(&out));
    assert!(text(&out).contains("/nowhere lies in no synced folder"), "{}", text(&out));
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

#[test]
fn history_keeps_as_many_rows_as_it_is_told() {
    let world = World::new();
    for i in 0..40 {
        world.write(&format!("{i:02}"), "x");
    }
    world.once_in_sync();
    world.write("last", "x");
    world.once_in_sync();
    let daemon = world.daemon();
    world.until_folder("in_sync");
    assert_eq!(json(&world, &["history", "--json", "--limit", "0"])["total"], 41);
    assert_eq!(daemon.stop().0, Some(0));
    let history = |command: &mut std::process::Command| {
        command.env("FERRYBOX__DAEMON__HISTORY", "3");
        let out = command.output().unwrap();
        assert_eq!(out.status.code(), Some(0), "{}", text(&out));
        out
    };
    world.write("one more", "x");
    history(&mut world.command(&["run", "--once"]));
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let left = json(&world, &["history", "--json"]);
    assert_eq!((&left["total"], &left["items"][0]["path"]), (&3.into(), &"one more".into()), "{left}");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// What an event and a scan both find is one problem, whichever comes first, and none when it is gone.
#[test]
fn a_problem_that_an_event_and_a_scan_find_is_listed_once() {
    let world = World::new();
    world.write("d/f", "1");
    let fifo = |name: &str| {
        let path = world.folder.join("d").join(name);
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    fifo("found by the scan");
    let daemon = world.daemon();
    let listed = || {
        let problems = crate::harness::json(&world, &["problems", "--json"]);
        let items = problems["items"].as_array().unwrap().clone();
        let mut paths: Vec<String> = items.iter().map(|p| p["path"].as_str().unwrap().to_owned()).collect();
        paths.sort();
        paths
    };
    let count = |n: u64| {
        world.until_status("the count", |s| s["accounts"][0]["folders"][0]["problems"] == n);
    };
    count(1);
    fifo("told by an event");
    count(2);
    // Touched, the first one is told by an event, too; and a scan finds both.
    let touch = |name: &str| {
        let path = world.folder.join("d").join(name);
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    };
    touch("found by the scan");
    for _ in 0..2 {
        world.eventually("the event", || world.stored("SELECT path FROM job WHERE code = 'type'").len() == 2);
        world.command(&["sync", "--wait"]).output().unwrap();
        assert_eq!(listed(), ["d/found by the scan", "d/told by an event"]);
        count(2);
    }
    std::fs::remove_file(world.folder.join("d/found by the scan")).unwrap();
    count(1);
    std::fs::remove_file(world.folder.join("d/told by an event")).unwrap();
    world.command(&["sync", "--wait"]).output().unwrap();
    count(0);
    assert_eq!(daemon.stop().0, Some(0));
}
