//! `ferrybox restore`: earlier versions come back to their place, from the trash or from Dropbox's revisions, and nothing is lost for it.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;

use super::{read, remote};
use crate::harness::{World, text, wait_for_socket};
use serde_json::Value;

fn world() -> World {
    let mut world = World::new();
    world.mode = "two-way";
    // So few files that any deletion is a large part of them.
    world.extra = "[safety]\nmax_deletion_share = \"100%\"\n".into();
    world
}

/// `restore` with these arguments: its code, and what it printed as JSON.
fn restore(world: &World, path: &str, args: &[&str]) -> (i32, Value, String) {
    let whole = world.folder.join(path);
    let mut all = vec!["restore", whole.to_str().unwrap(), "--json"];
    all.extend(args);
    let out = world.command(&all).output().unwrap();
    let json = serde_json::from_slice(&out.stdout).unwrap_or_default();
    (out.status.code().unwrap(), json, text(&out))
}

fn versions(world: &World, path: &str, from: &str) -> Vec<String> {
    let (code, json, all) = restore(world, path, &["--list"]);
    assert_eq!(code, 0, "{all}");
    let items = json["items"].as_array().unwrap().iter().filter(|item| item["from"] == from);
    items.map(|item| item["version"].as_str().unwrap().to_owned()).collect()
}

fn until_read(world: &World, path: &str, wanted: Option<&str>) {
    world.eventually(&format!("{path} is {wanted:?}"), || read(world, path).as_deref() == wanted);
}

#[test]
fn from_the_trash_and_what_stood_there_goes_there() {
    let world = world();
    world.write("f.txt", "one");
    world.write("keep", "k");
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    world.standin.write("/T/f.txt", "two, from there");
    until_read(&world, "f.txt", Some("two, from there"));
    let (_, json, all) = restore(&world, "f.txt", &[]);
    assert_eq!(
        (&json["from"], &json["replaced"], &json["place"]),
        (&"trash".into(), &true.into(), &"f.txt".into()),
        "{all}"
    );
    assert_eq!(read(&world, "f.txt").as_deref(), Some("one"));
    world.until("it goes up", |_| remote(&world, "f.txt").as_deref() == Some("one"));
    // And back again: nothing was lost on the way.
    let stamps = versions(&world, "f.txt", "trash");
    assert_eq!(stamps.len(), 1, "what came back is in the trash no more");
    let (code, _, all) = restore(&world, "f.txt", &["--rev", &stamps[0]]);
    assert_eq!(code, 0, "{all}");
    assert_eq!(read(&world, "f.txt").as_deref(), Some("two, from there"));
    world.until("it goes up, too", |_| remote(&world, "f.txt").as_deref() == Some("two, from there"));
    let (code, _, all) = restore(&world, "f.txt", &["--rev", "2020-01-01T00-00-00Z"]);
    assert_eq!(code, 64, "{all}");
    let log = world.command(&["history", "--json"]).output().unwrap();
    assert!(text(&log).contains("restored"), "{}", text(&log));
    world.until_folder("in_sync");
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn a_file_and_a_whole_directory_that_were_deleted_there() {
    let world = world();
    for i in 0..5 {
        world.write(&format!("d/sub/{i}"), format!("{i}"));
    }
    world.write("d/top", "t");
    world.write("keep", "k");
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    world.standin.delete("/T/d/top");
    until_read(&world, "d/top", None);
    world.standin.delete("/T/d/sub/3");
    world.standin.delete("/T/d/sub/4");
    until_read(&world, "d/sub/3", None);
    until_read(&world, "d/sub/4", None);
    world.write("d/sub/4", "another one by now");
    let (code, json, all) = restore(&world, "d", &[]);
    assert_eq!((code, &json["files"], &json["version"]), (0, &2.into(), &Value::Null), "{all}");
    assert_eq!(read(&world, "d/top").as_deref(), Some("t"));
    assert_eq!(read(&world, "d/sub/3").as_deref(), Some("3"));
    assert_eq!(read(&world, "d/sub/4").as_deref(), Some("another one by now"), "what is there stays");
    world.until("they go up", |_| remote(&world, "d/top").is_some() && remote(&world, "d/sub/3").is_some());
    world.until_folder("in_sync");
    world.assert_equal();
    assert_eq!(versions(&world, "d/sub/4", "trash").len(), 1);
    world.assert_clean();
}

#[test]
fn from_a_revision_of_dropbox() {
    let world = world();
    world.write("f.txt", "one");
    world.write("keep", "k");
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    for content in ["two!", "three"] {
        world.write("f.txt", content);
        world.until(content, |_| remote(&world, "f.txt").as_deref() == Some(content));
    }
    world.until_folder("in_sync");
    // There is a choice, so nothing is done.
    let (code, json, all) = restore(&world, "f.txt", &[]);
    assert_eq!(code, 3, "{all}");
    let items = json["items"].as_array().unwrap();
    assert_eq!(items.len(), 3, "{all}");
    assert_eq!(
        (&items[0]["current"], &items[1]["current"], &items[1]["size"]),
        (&true.into(), &false.into(), &4.into())
    );
    assert_eq!(read(&world, "f.txt").as_deref(), Some("three"));

    let (code, json, all) = restore(&world, "f.txt", &["--rev", items[2]["version"].as_str().unwrap()]);
    assert_eq!((code, &json["from"], &json["replaced"]), (0, &"dropbox".into(), &true.into()), "{all}");
    assert_eq!(read(&world, "f.txt").as_deref(), Some("one"));
    world.until("it goes up", |_| remote(&world, "f.txt").as_deref() == Some("one"));
    assert_eq!(versions(&world, "f.txt", "trash").len(), 1, "what stood there is in the trash");

    // A file that is gone on both sides.
    fs::remove_file(world.folder.join("f.txt")).unwrap();
    world.until("the deletion", |_| remote(&world, "f.txt").is_none());
    let revs = versions(&world, "f.txt", "dropbox");
    let (code, _, all) = restore(&world, "f.txt", &["--rev", &revs[1]]);
    assert_eq!(code, 0, "{all}");
    assert_eq!(read(&world, "f.txt").as_deref(), Some("three"));
    world.until("it is back there", |_| remote(&world, "f.txt").as_deref() == Some("three"));

    let (code, _, all) = restore(&world, "f.txt", &["--rev", "0123456789abcdef"]);
    assert_eq!(code, 64, "{all}");
    let (code, _, all) = restore(&world, "never", &[]);
    assert_eq!(code, 64, "{all}");
    world.until_folder("in_sync");
    world.assert_equal();
    world.assert_clean();
}

/// A directory has the name by now: it stays, and the file gets one beside it. The same for both sources.
#[test]
fn a_directory_in_the_way_stays() {
    let world = world();
    world.write("f.txt", "one");
    world.write("keep", "k");
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    world.standin.delete("/T/f.txt");
    until_read(&world, "f.txt", None);
    // Before the directory is known there, too: a folder has no revisions.
    let revs = versions(&world, "f.txt", "dropbox");
    world.write("f.txt/inside", "i");
    let (code, json, all) = restore(&world, "f.txt", &["--rev", &revs[0]]);
    assert_eq!((code, &json["place"]), (0, &"f (restored).txt".into()), "{all}");
    let stamps = versions(&world, "f.txt", "trash");
    let (code, json, all) = restore(&world, "f.txt", &["--rev", &stamps[0]]);
    assert_eq!(code, 0, "{all}");
    let place = json["place"].as_str().unwrap();
    assert!(place.starts_with("f (restored"), "{all}");
    assert_eq!(read(&world, place).as_deref(), Some("one"));
    assert_eq!(read(&world, "f.txt/inside").as_deref(), Some("i"));
    world.assert_clean();
}

/// In `download` mode a restored version stays here and is sent nowhere.
#[test]
fn in_a_folder_that_sends_nothing() {
    let mut world = world();
    world.mode = "download";
    world.standin.write("/T/f", "1");
    world.standin.write("/T/keep", "k");
    let _daemon = world.daemon();
    until_read(&world, "f", Some("1"));
    world.standin.write("/T/f", "22");
    until_read(&world, "f", Some("22"));
    let (code, _, all) = restore(&world, "f", &[]);
    assert_eq!(code, 0, "{all}");
    world.until_folder("in_sync");
    assert_eq!((read(&world, "f").as_deref(), remote(&world, "f").as_deref()), (Some("1"), Some("22")));
    world.assert_clean();
}

/// The socket, as a script uses it.
#[test]
fn without_a_daemon_and_with_nonsense() {
    let world = world();
    world.write("f", "1");
    world.write_config();
    let (code, _, all) = restore(&world, "f", &[]);
    assert_eq!(code, 4, "{all}");
    let _daemon = world.daemon();
    wait_for_socket(&world);
    let out = world.command(&["restore", "/nowhere/at/all"]).output().unwrap();
    assert_eq!(out.status.code(), Some(64), "{}", text(&out));
}
