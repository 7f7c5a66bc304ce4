//! Entries of a listing that no honest server would send: each is refused by itself, and said.

use serde_json::{Value, json};

use crate::harness::{World, json, text};

/// Path -> code, of the problems with what Dropbox lists.
pub(super) fn problems(world: &World) -> Vec<(String, String)> {
    let listed = json(world, &["problems", "--json"]);
    let word = |p: &Value, key: &str| p[key].as_str().unwrap_or_default().to_owned();
    listed["items"].as_array().unwrap().iter().map(|p| (word(p, "path"), word(p, "code"))).collect()
}

fn two_way() -> World {
    let mut world = World::new();
    world.mode = "two-way";
    world
}

/// The names below the folder.
fn names(world: &World) -> Vec<String> {
    world.disk().into_keys().collect()
}

#[test]
fn h1_a_lying_size_is_refused_for_that_entry_and_ends_nothing() {
    let world = two_way();
    for name in ["a", "b", "c", "liar", "large"] {
        world.standin.write(&format!("/T/{name}"), name.to_owned());
    }
    world.standin.decorate("/T/liar", json!({"size": i64::MAX}));
    world.standin.decorate("/T/large", json!({"size": u64::MAX}));
    let daemon = world.daemon();
    world.eventually("the others", || names(&world) == ["a", "b", "c"]);
    world.eventually("both are said", || problems(&world).len() == 2);
    assert!(problems(&world).iter().all(|(_, code)| code == "protocol"), "{:?}", problems(&world));
    // As soon as the server is honest, they come.
    for name in ["liar", "large"] {
        world.standin.decorate(&format!("/T/{name}"), json!({}));
        world.standin.write(&format!("/T/{name}"), "honest");
    }
    world.eventually("all of them", || names(&world).len() == 5 && problems(&world).is_empty());
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

#[test]
fn h1_sums_of_sizes_saturate() {
    let world = two_way();
    // What Dropbox can hold, more often than a number of the database can count together.
    for n in 0..3 {
        world.standin.write(&format!("/T/f{n}"), "x");
    }
    world.once_in_sync();
    let mut conn = rusqlite::Connection::open(world.state().join("test/state.db")).unwrap();
    let huge = i64::MAX / 2;
    let step = conn.transaction().unwrap();
    // On a busy machine, the last events of the run may have come after its end was known.
    step.execute("DELETE FROM job", []).unwrap();
    for n in 0..3 {
        step.execute("UPDATE base SET size = ?1 WHERE name = ?2", rusqlite::params![huge, format!("f{n}")]).unwrap();
        step.execute(
            "INSERT INTO job (folder, path, generation, state, size, since, due_at) VALUES (1, ?1, 1, 'due', ?2, 0, 0)",
            rusqlite::params![format!("f{n}"), huge],
        )
        .unwrap();
    }
    let sum =
        |column: &str| step.query_row(&format!("SELECT {column} FROM tally"), [], |r| r.get::<_, i64>(0)).unwrap();
    assert_eq!((sum("pending_bytes"), sum("bytes")), (i64::MAX, i64::MAX));
    step.execute("DELETE FROM job", []).unwrap();
    step.execute("UPDATE base SET size = 1", []).unwrap();
    assert_eq!((sum("pending_bytes"), sum("bytes")), (i64::MAX, i64::MAX), "they have lost count");
    step.commit().unwrap();
    drop(conn);
    world.once_in_sync();
    // What was too much to be counted is counted again.
    let sums = world.stored("SELECT bytes || ' ' || pending_bytes FROM tally");
    assert_eq!(sums, ["3 0"]);
    world.assert_clean();
}

#[test]
fn h1_an_account_whose_database_fails_stops_alone() {
    let mut world = two_way();
    let other = world.dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let credentials = world.dir.path().join("other.json");
    let account = world.standin.add_account(ferrybox_standin::AccountSpec::default());
    crate::harness::write_secret(&credentials, &account.refresh_token());
    let table = world.account("second", &credentials, "");
    // The first account's table of folders ends, and the second account begins.
    world.folder_extra =
        format!("{table}\n[[account.folder]]\nlocal = {other:?}\nremote = \"/T\"\nmode = \"two-way\"\n");
    world.standin.write("/T/a", "a");
    account.write("/T/a", "a");
    world.once_in_sync();
    let mut daemon = world.daemon();
    world.until_status("both are at rest", |s| s["accounts"].as_array().unwrap().iter().all(|a| a["state"] == "idle"));
    // Not damaged, and yet every new row fails.
    let conn = rusqlite::Connection::open(world.state().join("test/state.db")).unwrap();
    conn.execute_batch("CREATE TRIGGER fails BEFORE INSERT ON job BEGIN SELECT RAISE(ABORT, 'it fails'); END").unwrap();
    world.standin.write("/T/b", "b");
    let failed = |s: &Value| s["accounts"][0]["state"] == "failed" && s["accounts"][1]["state"] == "idle";
    let status = world.until_status("the first account has failed", failed);
    assert!(status["accounts"][0]["reason"].as_str().unwrap().contains("it fails"), "{status}");
    account.write("/T/b", "b");
    world.eventually("the second account goes on", || other.join("b").exists());
    assert!(daemon.child.try_wait().unwrap().is_none());
    // It is tried again, and needs no restart.
    conn.execute_batch("DROP TRIGGER fails").unwrap();
    world.eventually("the first account goes on, too", || world.folder.join("b").exists());
    world.until_status("both are at rest", |s| s["accounts"][0]["state"] == "idle");
    assert_eq!(daemon.stop().0, Some(0));
    let out = world.once();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    world.assert_clean();
}

#[test]
fn h2_a_deep_path_in_a_listing_is_refused_and_ends_nothing() {
    let world = two_way();
    world.standin.write("/T/plain", "p");
    world.standin.write("/T/deep", "d");
    world.standin.write("/T/deeper", "d");
    let deep = |n: usize| format!("/t{}/deep", "/d".repeat(n));
    // Without entries for its parents. The first may lie on a disk.
    world.standin.write("/T/fine", "f");
    world.standin.decorate("/T/deep", json!({"path_lower": deep(3000), "path_display": deep(3000)}));
    world.standin.decorate("/T/deeper", json!({"path_lower": format!("/t{}/deeper", "/d".repeat(200_000))}));
    let daemon = world.daemon();
    world.eventually("the others", || names(&world) == ["fine", "plain"]);
    world.eventually("both are said", || problems(&world).len() == 2);
    assert!(problems(&world).iter().all(|(_, code)| code == "bad_name"), "{:?}", problems(&world));
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

#[test]
fn h6_each_malformed_entry_is_refused_by_itself_and_counted() {
    let world = two_way();
    for name in ["a", "b", "size", "name", "text", "rev", "sharing"] {
        world.standin.write(&format!("/T/{name}"), name.to_owned());
    }
    world.standin.decorate("/T/size", json!({"size": -1}));
    // Not the last component of its path.
    world.standin.decorate("/T/name", json!({"name": "other"}));
    world.standin.decorate("/T/text", json!({"size": "five"}));
    world.standin.decorate("/T/rev", json!({"rev": 7}));
    // What is not needed makes nothing unreadable.
    world.standin.decorate("/T/sharing", json!({"has_explicit_shared_members": "x", "symlink_info": null}));
    let daemon = world.daemon();
    world.eventually("the others", || names(&world) == ["a", "b", "sharing"]);
    world.eventually("each is said", || problems(&world).len() == 4);
    let told = problems(&world);
    for name in ["size", "name", "text", "rev"] {
        assert!(told.iter().any(|(path, _)| path == &format!("t/{name}")), "{name}: {told:?}");
    }
    world.until_status("it is counted, and all else is done", |s| {
        let account = &s["accounts"][0];
        account["remote"]["problems"] == 4 && account["state"] == "idle"
    });
    // Said as long as it is so.
    world.standin.delete("/T/size");
    world.eventually("no more than three", || problems(&world).len() == 3);
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}
