//! The commit lane (group L).

mod budget;
mod renames;
mod stuck;
mod torn;
mod two_daemons;
use std::time::Duration;

use ferrybox_standin::{Effect, Fault, Garbage, Pace, Settings, ViolationKind};

use crate::harness::{FINISH_BATCH, World, text};

/// Commits take this long, in seconds.
fn slow(seconds: u64) -> Settings {
    let per_batch = Duration::from_secs(seconds);
    Settings { commit: Pace { per_batch, ..Pace::default() }, ..Settings::default() }
}

const CHECK: &str = "files/upload_session/finish_batch/check";

/// A check that fails while the job runs says nothing about the job: nothing else is committed beside it.
#[test]
fn l1_a_check_that_fails_while_the_job_runs_starts_no_other_job() {
    for (effect, times) in [
        (Effect::EndpointError("internal_error".into()), 1),
        (Effect::EndpointError("invalid_async_job_id".into()), 1),
        (Effect::Status { code: 400, retry_after: None, body: Some("Error in call to API function".into()) }, 1),
        // What is no answer says nothing either, however often it comes.
        (Effect::Garbage(Garbage::Html), 6),
    ] {
        let world = World::with(slow(6));
        for n in 0..40 {
            world.write(&format!("{n}"), format!("{n}"));
        }
        world.standin.faults().add(Fault::times(CHECK, times, effect.clone()));
        let _daemon = world.daemon();
        world.until("all", |s| s.file_count() == 40);
        world.until_folder("in_sync");
        assert_eq!(world.standin.calls_of(FINISH_BATCH), 1, "{effect:?}");
        assert!(world.standin.files().iter().all(|f| f.revisions == 1), "{effect:?}");
        world.assert_clean();
    }
}

/// A lost reply says nothing of the job either, and there is no name to ask for it by.
#[test]
fn l1_a_lost_reply_to_the_commit_itself_starts_no_other_job_while_that_may_run() {
    let world = World::with(slow(12));
    for n in 0..5 {
        world.write(&format!("{n}"), format!("{n}"));
    }
    world.standin.faults().add(Fault::once(FINISH_BATCH, Effect::DropAfter));
    let _daemon = world.daemon();
    let status = world.until_status("the reason", |s| s["accounts"][0]["commit"]["state"] == "waiting");
    let reason = status["accounts"][0]["commit"]["reason"].as_str().unwrap();
    assert!(reason.contains("nothing else is committed meanwhile"), "{reason}");
    world.until("all", |s| s.file_count() == 5);
    world.until_folder("in_sync");
    assert_eq!(world.standin.calls_of(FINISH_BATCH), 1);
    assert!(world.standin.files().iter().all(|f| f.revisions == 1));
    world.assert_clean();
}

/// A gateway may fail after it has passed the call on.
#[test]
fn l1_an_error_of_a_gateway_says_nothing_of_the_job_that_may_run() {
    let world = World::with(slow(7));
    for n in 0..5 {
        world.write(&format!("{n}"), format!("{n}"));
    }
    world.standin.faults().add(Fault::once(FINISH_BATCH, Effect::StatusAfter(504)));
    let _daemon = world.daemon();
    let status = world.until_status("the reason", |s| s["accounts"][0]["commit"]["state"] == "waiting");
    let reason = status["accounts"][0]["commit"]["reason"].as_str().unwrap();
    assert!(reason.contains("answered the last commit with an error"), "{reason}");
    world.until("all", |s| s.file_count() == 5);
    world.until_folder("in_sync");
    assert_eq!(world.standin.calls_of(FINISH_BATCH), 1);
    world.assert_clean();
}

/// The name of the job was lost in a crash.
#[test]
fn l1_a_crash_in_the_middle_of_the_call_starts_no_other_job_while_that_may_run() {
    let world = World::with(slow(10));
    for n in 0..5 {
        world.write(&format!("{n}"), format!("{n}"));
    }
    world.standin.faults().add(Fault::once(FINISH_BATCH, Effect::StallReply(Duration::from_secs(20))));
    let daemon = world.daemon();
    world.until("the job", |s| s.running_commits() > 0);
    daemon.kill();
    let _daemon = world.daemon();
    world.until("all", |s| s.file_count() == 5);
    world.until_folder("in_sync");
    assert_eq!(world.standin.calls_of(FINISH_BATCH), 1);
    world.assert_clean();
}

/// The metadata of one file cannot be read, wherever it stands. What says that the job is over is believed, and the others are settled at once; this
/// one becomes a problem, and holds up nobody.
#[test]
fn l1_an_entry_that_cannot_be_read_holds_up_nobody_else() {
    for complete_at_once in [true, false] {
        let world = World::with(Settings { complete_at_once, ..Settings::default() });
        for n in 0..20 {
            world.write(&format!("{n}"), format!("{n}"));
        }
        world.write("odd one", "x");
        for route in [FINISH_BATCH, CHECK, "files/get_metadata"] {
            world.standin.faults().add(Fault::always(route, Effect::WithoutRev("/odd one".to_owned())));
        }
        let _daemon = world.daemon();
        world.until_status("the others are settled", |s| {
            let folder = &s["accounts"][0]["folders"][0];
            folder["files"].as_u64() >= Some(20)
                && folder["pending"]["remote_changes"].as_u64().unwrap_or(9) + folder["problems"].as_u64().unwrap_or(9)
                    == 1
        });
        world.write("later", "1");
        world.until("what comes later", |s| s.file("/T/later").is_some());
        world.eventually("the problem", || {
            let told = text(&world.command(&["problems"]).output().unwrap());
            told.contains("odd one") && !told.contains("later")
        });
        assert!(world.standin.files().iter().all(|f| f.revisions == 1));
        world.assert_clean();
    }
}

/// As long as the server says nothing of the job, the status says why nothing is committed.
#[test]
fn l1_a_job_that_cannot_be_asked_for_is_told_and_waited_for() {
    let world = World::with(slow(5));
    world.write("a", "1");
    world.standin.faults().add(Fault::always(CHECK, Effect::EndpointError("internal_error".into())));
    let _daemon = world.daemon();
    let status = world.until_status("the reason", |s| s["accounts"][0]["commit"]["state"] == "waiting");
    let reason = status["accounts"][0]["commit"]["reason"].as_str().unwrap();
    assert!(reason.contains("nothing else is committed meanwhile"), "{reason}");
    world.until("the file", |s| s.file_count() == 1);
    // What Dropbox holds tells of the job's end, though no answer ever does.
    world.until_folder("in_sync");
    assert_eq!(world.standin.calls_of(FINISH_BATCH), 1);
    world.assert_clean();
}

/// One bare 404 of a gateway is no reason to leave the route for good.
#[test]
fn l4_an_unknown_route_is_left_for_a_while_only() {
    let world = World::new();
    world.write("a", "1");
    let page = Effect::Status { code: 404, retry_after: None, body: Some("<html>nothing here</html>".into()) };
    world.standin.faults().add(Fault::once(FINISH_BATCH, page));
    world.once_in_sync();
    world.write("b", "2");
    world.once_in_sync();
    assert_eq!(world.standin.calls_of(FINISH_BATCH), 2, "the next run tries it back");
    assert_eq!(world.standin.calls_of("files/upload_session/finish_batch_v2"), 1);
    world.assert_equal();
    world.assert_clean();
}

/// Two daemons of one host on one Dropbox account: the second waits, names the first one's pid, and takes over when that has ended.
#[test]
fn l2_the_second_daemon_of_an_account_on_a_host_is_refused_with_the_others_pid() {
    let first = World::new();
    let second = first.sibling();
    first.write("a", "1");
    second.write("b", "2");
    let one = first.daemon();
    first.until("the first", |s| s.file_count() == 1);
    second.write_config();
    let mut command = second.command(&["run"]);
    command.env("FERRYBOX_HOST", first.host());
    let _other = second.spawn(command);
    let status = second.until_status("refused", |s| s["accounts"][0]["state"] == "failed");
    let reason = status["accounts"][0]["reason"].as_str().unwrap();
    assert!(reason.contains(&format!("(pid {})", one.child.id())), "{reason}");
    assert_ne!(status["accounts"][0]["folders"][0]["state"], "in_sync");
    assert_eq!(first.standin.file_count(), 1, "nothing of the second is committed");
    one.stop();
    assert_eq!(second.command(&["sync"]).output().unwrap().status.code(), Some(0));
    second.until("the second takes over", |s| s.file_count() == 2);
    assert!(!first.standin.violations().iter().any(|v| v.kind == ViolationKind::OverlappingCommits));
}

/// The same under two names of one configuration.
#[test]
fn l2_one_account_under_two_names_has_one_lane() {
    let mut world = World::new();
    let own = world.dir.path().join("own");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("b"), "2").unwrap();
    world.folder_extra = format!(
        "{}\n[[account.folder]]\nlocal = {own:?}\nremote = \"/U\"\nmode = \"backup\"\n",
        world.account("again", &world.credentials(), "")
    );
    world.write("a", "1");
    let daemon = world.daemon();
    let states =
        |s: &serde_json::Value| [0, 1].map(|n| s["accounts"][n]["state"].as_str().unwrap_or_default().to_owned());
    let status = world.until_status("one is refused", |s| states(s).contains(&"failed".to_owned()));
    let refused = usize::from(states(&status)[1] == "failed");
    let reason = status["accounts"][refused]["reason"].as_str().unwrap();
    assert!(reason.contains("the same Dropbox account as"), "{reason}");
    world.until("the other one's file", |s| s.file_count() == 1);
    daemon.stop();
    let out = world.command(&["config", "check"]).output().unwrap();
    assert_eq!(out.status.code(), Some(64), "{}", text(&out));
    assert!(text(&out).contains("the same Dropbox account"), "{}", text(&out));
    world.assert_clean();
}
