//! Accounts that wait for a person: refused credentials, and state that cannot be opened.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use ferrybox_standin::AccountSpec;
use serde_json::Value;

use crate::harness::{World, link, text};

const TOKEN: &str = "oauth2/token";

#[test]
fn s6_refused_credentials_are_tried_again_with_growing_pauses_and_others_at_once() {
    let world = World::new();
    world.write("a", "1");
    let _daemon = world.daemon();
    world.until("the first", |s| s.file("/T/a").is_some());
    world.standin.revoke_refresh();
    world.write("b", "2");
    world.until_status("link needed", |s| s["accounts"][0]["state"] == "auth_required");
    let calls = || world.standin.calls_of(TOKEN);
    for wrong in ["no such token", "neither is this"] {
        let before = calls();
        link(&world, wrong);
        world.until("they are tried", |s| s.calls_of(TOKEN) > before);
        let tried = calls();
        world.never("they are tried again", Duration::from_secs(5), |s| s.calls_of(TOKEN) > tried);
    }
    // Another account's are refused after one question, too.
    let other = world.standin.add_account(AccountSpec::default());
    link(&world, &other.refresh_token());
    world.until_status("the wrong account", |s| s["accounts"][0]["state"] == "account_mismatch");
    let tried = calls();
    world.never("they are tried again", Duration::from_secs(5), |s| s.calls_of(TOKEN) > tried);
    link(&world, &world.standin.refresh_token());
    world.until("the second", |s| s.file("/T/b").is_some());
    world.assert_clean();
}

/// A database of a newer program, which this one does not open.
fn spoil(database: &std::path::Path) {
    std::fs::create_dir_all(database.parent().unwrap()).unwrap();
    let conn = rusqlite::Connection::open(database).unwrap();
    conn.execute_batch("PRAGMA application_id = 0x46626f78; PRAGMA user_version = 999; CREATE TABLE x (y);").unwrap();
    drop(conn);
    for (path, mode) in [(database, 0o600), (database.parent().unwrap(), 0o700)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Beside the world's account another one, `again`, with a folder of its own, and a database that cannot be opened: that account, and the database.
fn with_closed_account(world: &mut World) -> (ferrybox_standin::Account, std::path::PathBuf) {
    let own = world.dir.path().join("own");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("b"), "2").unwrap();
    let other = world.standin.add_account(AccountSpec::default());
    let second = world.dir.path().join("second.json");
    crate::harness::write_secret(&second, &other.refresh_token());
    world.folder_extra = format!(
        "{}\n[[account.folder]]\nlocal = {own:?}\nremote = \"/U\"\nmode = \"backup\"\n",
        world.account("again", &second, "")
    );
    world.write("a", "1");
    let database = world.state().join("again/state.db");
    spoil(&database);
    std::fs::set_permissions(world.state(), std::fs::Permissions::from_mode(0o700)).unwrap();
    (other, database)
}

fn of(status: &Value, name: &str) -> Value {
    status["accounts"].as_array().unwrap().iter().find(|a| a["name"] == name).cloned().unwrap_or_default()
}

#[test]
fn v3_any_end_before_the_new_configuration_is_at_work_leaves_the_old_one_at_work() {
    let world = World::new();
    let mut daemon = world.daemon();
    world.until_folder("in_sync");
    let good = std::fs::read_to_string(world.config_file()).unwrap();
    let elsewhere = world.dir.path().join("elsewhere");
    spoil(&elsewhere.join("test/state.db"));
    std::fs::set_permissions(&elsewhere, std::fs::Permissions::from_mode(0o700)).unwrap();
    let old = format!("state_dir = {:?}", world.state());
    assert!(good.contains(&old));
    std::fs::write(world.config_file(), good.replace(&old, &format!("state_dir = {elsewhere:?}"))).unwrap();
    let out = world.command(&["reload"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    world.eventually("the old configuration again", || world.log().contains("goes on with the old one"));
    world.write("later", "1");
    world.until("the old configuration's work", |s| s.file("/T/later").is_some());
    assert!(daemon.child.try_wait().unwrap().is_none(), "{}", world.log());
    // And the next reload finds it mended.
    let more = world.dir.path().join("more");
    std::fs::create_dir(&more).unwrap();
    std::fs::write(more.join("last"), "1").unwrap();
    let mended = format!("{good}\n[[account.folder]]\nlocal = {more:?}\nremote = \"/U\"\nmode = \"backup\"\n");
    std::fs::write(world.config_file(), mended).unwrap();
    let out = world.command(&["reload"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    world.until("the mended configuration's work", |s| s.file("/U/last").is_some());
    assert_eq!(daemon.stop().0, Some(0), "{}", world.log());
    world.assert_clean();
}

#[test]
fn v3_an_account_whose_state_cannot_be_opened_is_tried_again_by_itself() {
    let mut world = World::new();
    let (other, database) = with_closed_account(&mut world);
    let daemon = world.daemon();
    world.until("the other account's file", |s| s.file("/T/a").is_some());
    let status = world.until_status("it has failed", |s| of(s, "again")["state"] == "failed");
    let reason = of(&status, "again")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("tried again by itself") && reason.contains("next try at"), "{reason}");
    let (health, body) = crate::status::get(&world, "/v1/health");
    assert!(health == 503 && body["reason"].as_str().unwrap().contains("again"), "{health} {body}");
    // Mended: nobody restarts anything.
    std::fs::remove_file(&database).unwrap();
    world.eventually("its file", || other.file("/U/b").is_some());
    world.until_status("both work", |s| of(s, "again")["state"] == "idle" && of(s, "test")["state"] == "idle");
    assert_eq!(daemon.stop().0, Some(0), "{}", world.log());
    world.assert_clean();
}

#[test]
fn v3_an_account_that_cannot_be_opened_when_another_one_is_back_does_not_end_the_daemon() {
    let mut world = World::new();
    let (other, database) = with_closed_account(&mut world);
    let mut daemon = world.daemon();
    world.until("the other account's file", |s| s.file("/T/a").is_some());
    world.until_status("it has failed", |s| of(s, "again")["state"] == "failed");
    // From here on the directory of the account that works is one that is not to be trusted; it is met when everything starts over with the other.
    let mode =
        |mode| std::fs::set_permissions(world.state().join("test"), std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o777);
    std::fs::remove_file(&database).unwrap();
    world.eventually("its file", || other.file("/U/b").is_some());
    let status = world.until_status("the other one waits", |s| of(s, "test")["state"] == "failed");
    let reason = of(&status, "test")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("chmod 700") && reason.contains("next try at"), "{reason}");
    assert!(daemon.child.try_wait().unwrap().is_none(), "{}", world.log());
    mode(0o700);
    world.until_status("both work", |s| of(s, "again")["state"] == "idle" && of(s, "test")["state"] == "idle");
    assert_eq!(daemon.stop().0, Some(0), "{}", world.log());
    world.assert_clean();
}
