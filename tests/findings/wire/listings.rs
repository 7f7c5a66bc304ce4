//! What a listing asks for, and what becomes of one that does not work as asked.

use std::time::Duration;

use ferrybox_standin::{Effect, Fault, Settings};
use serde_json::Value;

use crate::harness::{World, json, text};

const LIST: &str = "files/list_folder";
const LATEST: &str = "files/list_folder/get_latest_cursor";

#[test]
fn r6_what_would_be_thrown_away_is_not_asked_and_its_setting_is_refused_with_the_reason() {
    let mut world = World::new();
    world.standin.write("/T/a", "a");
    let daemon = world.daemon();
    world.until_folder("in_sync");
    drop(daemon);
    let asked = world.standin.last_argument("files/list_folder");
    for key in ["include_deleted", "include_media_info", "include_restorable_info"] {
        assert!(asked.get(key).is_none_or(|value| value == false), "{asked}");
        for (at, value) in [(0, true), (1, true), (2, true), (0, false)] {
            let table = ["listing", "account.listing", "account.folder.listing"][at];
            let section = format!("[{table}]\n{key} = {value}\n");
            (world.extra, world.account_extra, world.folder_extra) = Default::default();
            *[&mut world.extra, &mut world.account_extra, &mut world.folder_extra][at] = section;
            world.write_config();
            let out = world.command(&["config", "check"]).output().unwrap();
            let said = text(&out);
            assert!(!out.status.success(), "{said}");
            assert!(said.contains(&format!("{table}.{key} in ")) && said.contains("Take the line out"), "{said}");
            assert!(!said.contains("did you mean"), "{said}");
        }
    }
}

/// Twelve files in seven folders, which lie beside each other in an order that is not that of their names' bytes. All at once they are too many.
fn large(settings: Settings) -> World {
    let mut world = World::with(Settings { page_size: 2, recursive_most: Some(5), ..settings });
    world.mode = "two-way";
    for path in [
        "one",
        "a/x",
        "a/y",
        "a/z",
        "a/inner/deep/file",
        "a/inner/deep/other",
        "a b/file",
        "a.b/file",
        "Ä/É/file",
        "z/1",
        "z/2",
        "z/3",
    ] {
        world.standin.write(&format!("/T/{path}"), path);
    }
    world.standin.make_folder("/T/empty/er");
    world
}

/// Holds up the listing of `a b`: three failed before the walk, whose first folders are `/T`, `a`, `a/inner` and `a/inner/deep`.
fn in_the_middle() -> Fault {
    Fault::nth(LIST, 8, Effect::StallReply(Duration::from_secs(2)))
}

fn remote_reason(status: &Value) -> &str {
    status["accounts"][0]["remote"]["reason"].as_str().unwrap_or_default()
}

#[test]
fn r4_a_listing_that_fails_as_a_whole_is_walked_folder_by_folder_and_changes_follow() {
    let world = large(Settings { listing_time: Duration::from_millis(150), ..Settings::default() });
    let daemon = world.daemon();
    world.until_status("the way round is told", |s| remote_reason(s).contains("folder by folder"));
    world.eventually("all comes down", || world.disk() == world.remote() && world.disk().len() == 12);
    assert!(world.folder.join("empty/er").is_dir());
    world.until_status("nothing is left to tell", |s| {
        remote_reason(s).is_empty() && s["accounts"][0]["folders"][0]["state"] == "in_sync"
    });
    // What changes afterwards is told by Dropbox, and nothing is walked again.
    let lists = world.standin.calls_of(LIST);
    world.standin.write("/T/a/inner/new", "new");
    world.standin.delete("/T/z/1");
    world.write("mine", "mine");
    world.eventually("changes go both ways", || world.disk() == world.remote() && world.disk().len() == 13);
    assert_eq!(world.standin.calls_of(LIST), lists);
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// The second walk takes place while files move from folders that it has yet to list to such that it has listed.
#[test]
fn r4_a_walk_is_not_of_one_moment_and_loses_nothing() {
    let world = large(Settings::default());
    let daemon = world.daemon();
    world.eventually("all comes down", || world.disk() == world.remote() && world.disk().len() == 12);
    world.until_folder("in_sync");
    world.standin.faults().add(in_the_middle());
    world.standin.reset_cursors();
    // The fault counts a call before its argument is kept.
    world.until("the walk is in its middle", |s| s.faults().hits()[0] > 0 && s.last_argument(LIST)["path"] == "/t/a b");
    world.standin.rename("/T/z/2", "/T/a/2");
    world.standin.rename("/T/a/inner", "/T/z/inner");
    world.standin.delete("/T/z/3");
    world.eventually("both sides are equal", || {
        world.disk() == world.remote() && world.folder.join("z/inner/deep/file").exists()
    });
    world.until_folder("in_sync");
    assert_eq!(world.disk().len(), 11, "{:?}", world.disk());
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

#[test]
fn r4_a_walk_goes_on_after_a_crash_and_waits_for_a_folder_that_cannot_be_read() {
    let world = large(Settings::default());
    world.standin.faults().add(in_the_middle());
    let daemon = world.daemon();
    world.until("the walk is in its middle", |s| s.faults().hits()[0] > 0);
    daemon.kill();
    world.standin.faults().clear();
    world.standin.faults().add(Fault::always(LIST, Effect::EndpointError("path/not_found".to_owned())));
    let _daemon = world.daemon();
    // Its folder above shows it, or cannot be read either: it is not taken for empty.
    world.until("it is asked again", |s| s.faults().hits()[0] > 3 && s.last_argument(LIST)["recursive"] == false);
    world.standin.faults().clear();
    world.eventually("all comes down", || world.disk() == world.remote() && world.disk().len() == 12);
    world.until_folder("in_sync");
    assert_eq!(world.standin.calls_of(LATEST), 1, "one walk only");
    assert_eq!(json(&world, &["problems", "--json"])["items"].as_array().unwrap().len(), 0);
    world.assert_clean();
}

/// Where single folders cannot be listed either, the fault lies elsewhere: nothing is walked, and the pace is that of any failure.
#[test]
fn r4_nothing_is_walked_while_dropbox_is_down() {
    let world = large(Settings::default());
    let down = || Effect::Status { code: 500, retry_after: None, body: None };
    world.standin.faults().add(Fault::always(LATEST, down()));
    let _daemon = world.daemon();
    world.until("it was tried", |s| s.calls_of(LATEST) > 1);
    assert!(!remote_reason(&json(&world, &["status", "--json"])).is_empty());
    assert_eq!(world.standin.last_argument(LIST)["recursive"], true);
    world.never("it is asked without a pause", Duration::from_secs(5), |s| s.calls_of(LIST) >= 30);
}
