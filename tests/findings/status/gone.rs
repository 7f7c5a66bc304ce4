//! What Dropbox has no longer, in folders that only send.

use std::time::Duration;

use ferrybox_standin::{Effect, Fault};
use serde_json::Value;

use super::{code, folder, get};
use crate::harness::{World, json, text, told};

fn gone(world: &World) -> Vec<String> {
    let problems = json(world, &["problems", "--json"]);
    let items = problems["items"].as_array().unwrap().iter();
    let mut paths: Vec<String> = items
        .filter(|problem| problem["code"] == "gone_in_dropbox")
        .map(|problem| problem["path"].as_str().unwrap().to_owned())
        .collect();
    paths.sort();
    paths
}

fn files(status: &Value) -> u64 {
    folder(status)["files"].as_u64().unwrap()
}

#[test]
fn d5_what_dropbox_has_no_longer_is_a_problem_and_goes_up_again_when_a_person_says_so() {
    for mode in ["backup", "mirror"] {
        let mut world = World::new();
        world.mode = mode;
        for path in ["a", "b", "c", "dir/x", "dir/y"] {
            world.write(path, path);
        }
        let daemon = world.daemon();
        world.until("the tree", |s| s.file_count() == 5);
        world.until_status("in sync", |s| folder(s)["state"] == "in_sync" && files(s) == 5);
        world.standin.delete("/T/a");
        world.standin.delete("/T/dir");
        let status = world.until_status("the problems", |s| folder(s)["problems"] == 3);
        assert_eq!(files(&status), 2, "{mode} {status}");
        assert_eq!(gone(&world), ["a", "dir/x", "dir/y"], "{mode}");
        assert!(told(&world, &["explain", "a"]).contains("--again"), "{mode}");
        assert!(told(&world, &["plan"]).contains("3 blocked"), "{mode}");
        let (health, body) = get(&world, "/v1/health");
        assert!(health == 200 && body["problems"] == 3, "{mode} {health} {body}");
        // It stays so through a restart and another look.
        assert_eq!(daemon.stop().0, Some(0));
        let out = world.once();
        assert_eq!(code(&out), 3, "{mode} {}", text(&out));
        assert_eq!(world.standin.file_count(), 2, "{mode}");
        let daemon = world.daemon();
        let status = world.until_status("the problems", |s| folder(s)["problems"] == 3);
        assert_eq!(files(&status), 2, "{mode} {status}");
        // What comes back by itself is no problem any more.
        world.standin.write("/T/dir/x", "dir/x");
        world.until_status("one less", |s| folder(s)["problems"] == 2 && files(s) == 3);
        let out = world.command(&["sync", "--again", "--wait"]).output().unwrap();
        assert_eq!(code(&out), 0, "{mode} {}", text(&out));
        assert!(text(&out).contains("2 files are sent again"), "{mode} {}", text(&out));
        world.until_status("all in sync", |s| files(s) == 5 && folder(s)["problems"] == 0);
        assert_eq!(daemon.stop().0, Some(0));
        world.assert_equal();
        world.assert_clean();
    }
}

/// Nor is it noticed only while the daemon runs.
#[test]
fn d5_what_went_from_dropbox_between_two_runs_is_a_problem_of_the_next() {
    let world = World::new();
    world.write("a", "a");
    world.write("b", "b");
    world.once_in_sync();
    world.standin.delete("/T/a");
    let out = world.once();
    assert_eq!(code(&out), 3, "{}", text(&out));
    assert_eq!(world.stored("SELECT path FROM job WHERE code = 'gone_in_dropbox'"), ["a"]);
    // The file here is another one by now: that goes up as any change does.
    world.write("a", "another");
    world.once_in_sync();
    world.assert_equal();
    world.assert_clean();
}

/// Nor does a conflicted copy go unnoticed, which lies under another name there.
#[test]
fn d5_a_conflicted_copy_that_dropbox_has_no_longer_is_a_problem_too() {
    for mode in ["backup", "mirror"] {
        let mut world = World::new();
        world.mode = mode;
        world.write("a", "agreed");
        world.once_in_sync();
        world.standin.write("/T/a", "theirs");
        world.write("a", "mine");
        world.once_in_sync();
        let copy =
            world.standin.files().into_iter().map(|f| f.path_display).find(|p| p.contains("conflicted")).unwrap();
        let daemon = world.daemon();
        world.until_status("in sync", |s| folder(s)["state"] == "in_sync" && files(s) == 1);
        world.standin.delete(&copy);
        let status = world.until_status("the problem", |s| folder(s)["problems"] == 1);
        assert_eq!(files(&status), 0, "{mode} {status}");
        assert_eq!(gone(&world), ["a"], "{mode}");
        // Between two runs, too.
        assert_eq!(daemon.stop().0, Some(0));
        assert_eq!(code(&world.once()), 3, "{mode}");
        // The other version is where it was, and ours goes up again beside it when a person says so.
        let daemon = world.daemon();
        world.until_status("the problem", |s| folder(s)["problems"] == 1);
        let out = world.command(&["sync", "--again", "--wait"]).output().unwrap();
        assert_eq!(code(&out), 0, "{mode} {}", text(&out));
        world.until("both versions", |s| s.file_count() == 2);
        assert_eq!(world.standin.content("/T/a").unwrap(), "theirs");
        assert_eq!(daemon.stop().0, Some(0));
        world.assert_clean();
    }
}

/// The listing fails from the first commit on, so that it does not show the file: that says nothing of it, and what is saved here goes up all the same.
#[test]
fn d5_edits_of_a_file_that_was_just_sent_go_up_while_the_listing_fails() {
    let world = World::new();
    world.write("keep", "k");
    world.once_in_sync();
    let _daemon = world.daemon();
    world.until_status("listed", |s| folder(s)["state"] == "in_sync" && files(s) == 1);
    world.until("the listing", |s| s.calls_of("files/list_folder/longpoll") > 0);
    let down = Effect::Status { code: 500, retry_after: None, body: None };
    world.standin.faults().add(Fault::always("files/list_folder/continue", down));
    world.write("f", "1");
    world.until("the first version", |s| s.file("/T/f").is_some());
    world.until_status("it is settled", |s| files(s) == 2);
    world.write("f", "a longer second");
    world.until("the second version", |s| s.file("/T/f").is_some_and(|f| f.revisions == 2));
    world.never_seen("a problem of what is there", Duration::from_secs(1), || !gone(&world).is_empty());
    world.assert_clean();
}
