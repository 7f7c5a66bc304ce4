//! The lists of what was done and of what is kept twice: `conflicts`, `history`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    missing_docs
)]

mod harness;

use harness::{World, text};
use serde_json::Value;

fn json(world: &World, args: &[&str]) -> Value {
    let out = world.command(args).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn told(world: &World, args: &[&str]) -> String {
    let out = world.command(args).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    String::from_utf8(out.stdout).unwrap()
}

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
