//! `ferrybox explain` and `ferrybox plan`: what is known of a path, what would be done, and that asking does nothing.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use crate::harness::{World, json, text, told, wait_for_socket};
use serde_json::Value;

fn explain(world: &World, path: &str) -> Value {
    json(world, &["explain", path, "--json"])
}

fn starts(value: &Value, with: &str) {
    assert!(value.as_str().unwrap_or_default().starts_with(with), "{value}");
}

#[test]
fn explain_tells_the_views_the_rule_and_the_log() {
    let mut world = World::new();
    world.folder_extra = "ignore = [\"*.tmp\"]".to_owned();
    world.write("a.txt", "one");
    world.write("notes.tmp", "x");
    world.write("d/.ferryboxignore", "build/\n");
    world.write("d/build/x", "x");
    world.standin.write("/T/met", "theirs");
    world.write("met", "ours!");
    std::os::unix::fs::symlink("a.txt", world.folder.join("link")).unwrap();
    let daemon = world.daemon();
    world.until_folder("in_sync");

    let a = explain(&world, "a.txt");
    let rev = world.standin.file("/T/a.txt").unwrap().rev;
    assert_eq!((&a["path"], &a["remote_path"], &a["mode"]), (&"a.txt".into(), &"/T/a.txt".into(), &"backup".into()));
    assert_eq!((&a["summary"], &a["action"]), (&"in sync".into(), &"nothing".into()), "{a}");
    assert_eq!((&a["local"]["kind"], &a["local"]["size"]), (&"file".into(), &3.into()));
    assert_eq!(
        (&a["base"]["rev"], a["row"].is_null(), a["change"].is_null()),
        (&rev.clone().into(), true, true),
        "{a}"
    );
    assert_eq!((&a["history"][0]["what"], &a["history"][0]["rev"]), (&"uploaded".into(), &rev.into()), "{a}");
    // What the listing says of it arrives by itself.
    world.eventually("the listing", || explain(&world, "a.txt")["remote"]["kind"] == "file");
    let absolute = world.folder.join("a.txt");
    assert_eq!(explain(&world, absolute.to_str().unwrap())["path"], "a.txt");

    let tmp = explain(&world, "notes.tmp");
    assert_eq!(
        tmp["ignored"],
        serde_json::json!({"at": "notes.tmp", "pattern": "*.tmp", "source": "the configuration"})
    );
    starts(&tmp["summary"], "not synced: `*.tmp` ignores it");
    assert_eq!(tmp["action"], "nothing", "{tmp}");
    let below = explain(&world, "d/build/x");
    let rule = serde_json::json!({"at": "d/build", "pattern": "build/", "source": "d/.ferryboxignore"});
    assert_eq!(below["ignored"], rule, "{below}");
    starts(&below["summary"], "not synced: `build/` ignores the directory `d/build` above it");
    let met = explain(&world, "met");
    assert!(met["conflict"].as_str().unwrap().contains("conflicted copy"), "{met}");
    let link = explain(&world, "link");
    assert_eq!((&link["local"]["kind"], &link["action"]), (&"other".into(), &"blocked".into()), "{link}");
    // T5: a path that is nowhere is no success.
    let out = world.command(&["explain", "gone", "--json"]).current_dir(&world.folder).output().unwrap();
    assert_eq!(out.status.code(), Some(1), "{}", crate::harness::text(&out));
    let gone: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&gone["local"]["kind"], &gone["base"]), (&"absent".into(), &Value::Null), "{gone}");
    let root = explain(&world, ".");
    assert_eq!((&root["path"], &root["local"]["kind"]), (&"".into(), &"folder".into()), "{root}");
    let shown = told(&world, &["explain", "met"]);
    for part in ["in sync", "backup, account test", "lies at /T/met (", "conflicted copy", "uploaded"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    let mut command = world.command(&["explain", "a.txt"]);
    let out = command.current_dir(world.dir.path()).output().unwrap();
    assert_eq!(out.status.code(), Some(64), "{}", text(&out));
    assert!(text(&out).contains("a.txt lies in no synced folder (they are: "), "{}", text(&out));
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

#[test]
fn plan_tells_what_would_be_done_and_does_nothing() {
    let mut world = World::new();
    world.mode = "mirror";
    for i in 0..3 {
        world.write(&format!("d/{i}"), "old");
    }
    world.write("goes", "g");
    let daemon = world.daemon();
    world.until_folder("in_sync");
    assert_eq!(told(&world, &["plan"]), "Nothing is to be done.\n");
    assert_eq!(world.command(&["pause"]).output().unwrap().status.code(), Some(0));
    world.write("new", "12345");
    world.write("d/1", "other");
    std::fs::remove_file(world.folder.join("goes")).unwrap();
    world.write("bad\\name", "x");
    // T4: a deletion is a change of Dropbox, and no upload.
    let rows = |s: &Value| {
        let pending = &s["accounts"][0]["folders"][0]["pending"];
        pending["uploads"] == 3 && pending["remote_changes"] == 1
    };
    let status = world.until_status("rows", rows);
    let before = (status["accounts"][0]["folders"][0]["pending"].clone(), world.standin.data_transport_calls());

    let plan = json(&world, &["plan", "--json"]);
    let counts = serde_json::json!({"blocked": 1, "delete": 1, "upload": 2});
    assert_eq!((&plan["counts"], &plan["total"], &plan["complete"]), (&counts, &4.into(), &true.into()), "{plan}");
    assert_eq!(plan["bytes"], 10);
    let item = |path: &str| plan["items"].as_array().unwrap().iter().find(|i| i["path"] == path).unwrap().clone();
    assert_eq!((&item("goes")["action"], &item("goes")["state"]), (&"delete".into(), &"due".into()));
    starts(&item("new")["text"], "the file goes up as a new one");
    starts(&item("d/1")["text"], "the file goes up over revision ");
    // A part of it; the list bounded, the counts not.
    let below = json(&world, &["plan", "d", "--json"]);
    assert_eq!((&below["total"], &below["items"][0]["path"]), (&1.into(), &"d/1".into()), "{below}");
    let short = told(&world, &["plan", "--limit", "1"]);
    assert!(short.contains("4 paths: 1 blocked, 1 delete, 2 upload; ") && short.contains("and 3 more\n"), "{short}");
    // A row as explain shows it while the account is paused.
    let new = explain(&world, "new");
    assert_eq!((&new["row"]["state"], &new["action"]), (&"due".into(), &"upload".into()), "{new}");
    assert!(new["summary"].as_str().unwrap().contains("the account waits: paused by a person"), "{new}");
    // Nothing was done about any of it.
    let status = crate::harness::status(&world);
    let pending = status["accounts"][0]["folders"][0]["pending"].clone();
    assert_eq!((pending, world.standin.data_transport_calls()), before);
    assert_eq!(world.remote().len(), 4);

    assert_eq!(world.command(&["resume"]).output().unwrap().status.code(), Some(0));
    world.until("all of it", |s| s.file("/T/goes").is_none() && s.file("/T/new").is_some());
    world.until_folder("in_sync");
    let bad = explain(&world, "bad\\name");
    assert_eq!((&bad["row"]["state"], &bad["row"]["next_try"]), (&"wedged".into(), &Value::Null), "{bad}");
    starts(&bad["summary"], "waits for a change of the path: ");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

#[test]
fn held_deletions_are_planned_as_held() {
    let mut world = World::new();
    world.mode = "mirror";
    for i in 0..60 {
        world.write(&format!("d/{i:02}"), "x");
    }
    let daemon = world.daemon();
    world.until("the tree", |s| s.files().len() == 60);
    world.until_folder("in_sync");
    std::fs::remove_dir_all(world.folder.join("d")).unwrap();
    world.until_folder("held");
    let plan = json(&world, &["plan", "--json"]);
    assert_eq!(
        (&plan["counts"], &plan["held"][0]["deletions"]),
        (&serde_json::json!({"held": 60}), &60.into()),
        "{plan}"
    );
    let one = explain(&world, "d/07");
    assert_eq!((&one["change"]["kind"], &one["change"]["state"]), (&"delete".into(), &"held".into()), "{one}");
    starts(&one["summary"], "its deletion is held: `ferrybox approve`");
    assert_eq!(world.deletions(), 0);
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// More rows than one page: no row is left out or told twice.
#[test]
fn a_plan_of_many_pages_has_each_row_once() {
    let world = World::new();
    let daemon = world.daemon();
    wait_for_socket(&world);
    assert_eq!(world.command(&["pause"]).output().unwrap().status.code(), Some(0));
    for i in 0..2500 {
        world.write(&format!("{}/{i}", i % 7), "x");
    }
    // Before Dropbox was listed, they are only known to differ (T4).
    let pending = |s: &Value, what: &str| s["accounts"][0]["folders"][0]["pending"][what].as_u64().unwrap_or(0);
    world.until_status("rows", |s| pending(s, "uploads") + pending(s, "comparing") == 2500);
    let plan = json(&world, &["plan", "--json", "--limit", "10000"]);
    assert_eq!(plan["total"], 2500);
    let paths: std::collections::BTreeSet<_> =
        plan["items"].as_array().unwrap().iter().map(|i| i["path"].as_str().unwrap()).collect();
    assert_eq!(paths.len(), 2500);
    assert_eq!(daemon.stop().0, Some(0));
}
