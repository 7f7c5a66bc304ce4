//! Listings and longpolls that lead nowhere: at most 60 calls a minute, with the reason in the status.

use std::time::Duration;

use ferrybox_standin::{Effect, Fault, Settings};

use super::{assert_calm, is_long};
use crate::harness::{CONTINUE, LONGPOLL, World, text};

const LIST: &str = "files/list_folder";

fn reply(route: &str, body: &str) -> Fault {
    Fault::always(route, Effect::Status { code: 200, retry_after: None, body: Some(body.to_owned()) })
}

/// One file, in sync both ways.
fn one(settings: Settings) -> World {
    let mut world = World::with(settings);
    world.mode = "two-way";
    world.write("a", "a");
    world
}

/// Calls of a route within a time. With `FERRYBOX_LONG` all calls of a whole minute are held against the rate that is allowed, too.
fn calls_within(world: &World, route: &str, time: Duration) -> u64 {
    if is_long() {
        assert_calm(world, route, time);
    }
    let before = world.standin.calls_of(route);
    world.never("more calls than could ever be right", time, |s| s.calls_of(route) > before + 200);
    world.standin.calls_of(route) - before
}

fn until_reason(world: &World, part: &str) {
    world.until_status(part, |s| {
        s["accounts"][0]["remote"]["reason"].as_str().is_some_and(|reason| reason.contains(part))
    });
}

#[test]
fn s5_a_longpoll_that_ends_at_once_is_not_asked_again_at_once() {
    let world = one(Settings::default());
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    world.standin.faults().add(reply(LONGPOLL, r#"{"changes":false}"#));
    // Ends the longpoll under way.
    world.standin.write("/T/b", "b");
    world.until("the fault is met", |s| s.faults().hits()[0] > 0);
    let calls = calls_within(&world, LONGPOLL, Duration::from_secs(8));
    assert!(calls <= 5, "{calls} calls");
    // Nothing is deaf meanwhile: a change is seen within the pause.
    world.standin.faults().clear();
    world.standin.write("/T/c", "c");
    world.eventually("it comes down", || world.disk().len() == 3);
}

#[test]
fn h3_a_longpoll_s_backoff_is_bounded_and_ends_nothing() {
    let world = one(Settings::default());
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    world.standin.faults().add(Fault {
        route: LONGPOLL.to_owned(),
        ..reply(LONGPOLL, r#"{"changes":false,"backoff":18446744073709551615}"#)
    });
    world.standin.write("/T/b", "b");
    world.until("the fault is met", |s| s.faults().hits()[0] > 0);
    world.standin.faults().clear();
    // It lives, and a person does not have to wait for ten minutes.
    world.standin.write("/T/c", "c");
    world.eventually("a person's word ends the wait", || {
        let _ = world.command(&["sync"]).output();
        world.disk().len() == 3
    });
}

#[test]
fn s3_listings_that_are_reset_again_and_again_are_paced_and_said() {
    let mut world = World::with(Settings { page_size: 100, ..Settings::default() });
    world.mode = "two-way";
    for i in 0..450 {
        world.standin.write(&format!("/T/f{i}"), "f");
    }
    // Each listing gets two pages far.
    world.standin.faults().add(Fault::always(CONTINUE, Effect::EndpointError("reset".to_owned())));
    let _daemon = world.daemon();
    world.until("it was reset", |s| s.calls_of(CONTINUE) > 1);
    let calls = calls_within(&world, LIST, Duration::from_secs(10));
    assert!(calls <= 6, "{calls} listings");
    until_reason(&world, "refused again and again");
    world.standin.faults().clear();
    if is_long() {
        // After a minute of it the pause is as long as a test waits.
        assert!(world.command(&["sync"]).output().unwrap().status.success());
    }
    world.eventually("all comes down", || world.disk().len() == 450);
}

#[test]
fn s3_a_longpoll_that_resets_every_new_cursor_is_paced_and_said() {
    let world = one(Settings::default());
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    world.standin.faults().add(Fault::always(LONGPOLL, Effect::EndpointError("reset".to_owned())));
    world.standin.write("/T/b", "b");
    world.until("the fault is met", |s| s.faults().hits()[0] > 1);
    let calls = calls_within(&world, LIST, Duration::from_secs(8));
    assert!(calls <= 5, "{calls} listings");
    until_reason(&world, "refused again and again");
    world.standin.faults().clear();
    world.standin.write("/T/c", "c");
    if is_long() {
        // After a minute of it the pause is as long as a test waits.
        assert!(world.command(&["sync"]).output().unwrap().status.success());
    }
    world.eventually("it comes down", || world.disk().len() == 3);
}

#[test]
fn s7_pages_that_lead_nowhere_are_paced_and_said() {
    let bodies = [
        r#"{"entries":[],"cursor":"same","has_more":true}"#,
        r#"{"entries":[{".tag":"file","name":"x","path_lower":"/t/x","path_display":"/T/x","id":"id:x","rev":"015","size":1,"is_downloadable":true}],"cursor":"same","has_more":true}"#,
    ];
    for body in bodies {
        let world = one(Settings::default());
        let _daemon = world.daemon();
        world.until_folder("in_sync");
        world.standin.faults().add(reply(CONTINUE, body));
        world.standin.write("/T/b", "b");
        world.until("the fault is met", |s| s.faults().hits()[0] > 0);
        let calls = calls_within(&world, CONTINUE, Duration::from_secs(10));
        assert!(calls <= 25, "{calls} calls: {body}");
        until_reason(&world, "without anything new");
    }
}

#[test]
fn s8_rows_that_wait_for_the_listing_do_not_end_its_backoff() {
    let world = one(Settings::default());
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    world.standin.faults().add(Fault::always(CONTINUE, Effect::Status { code: 500, retry_after: None, body: None }));
    // Its commit is to be seen in the listing before anything else is done about it.
    world.write("a", "changed");
    world.until("it is committed, and the listing asked", |s| s.faults().hits()[0] > 0);
    world.write("a", "changed again");
    let calls = calls_within(&world, CONTINUE, Duration::from_secs(10));
    assert!(calls <= 12, "{calls} calls");
}

/// Dropbox refuses two equal listings at a time; a person's is another one than the daemon's.
#[test]
fn r5_ls_online_asks_no_question_that_the_daemon_may_be_asking() {
    let world = one(Settings::default());
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    world.standin.set(|s| s.listing_time = Duration::from_secs(2));
    let before = world.standin.calls_of(LIST);
    world.standin.reset_cursors();
    world.until("the daemon lists again", |s| s.calls_of(LIST) > before);
    let out = world.command(&["ls", "--online", "-R", "/T"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    world.assert_clean();
}
