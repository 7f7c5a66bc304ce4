//! The wall clock jumps while the daemon runs: what is saved goes up all the same, and what waits does not wait for the clock.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::process::Command;
use std::time::Duration;

use crate::harness::preload::Told;
use crate::harness::{Daemon, PATIENCE, World};
use ferrybox_standin::{Effect, Fault, Settings};

/// A wall clock that is as many seconds off as it is told.
const CLOCK: &str = r#"
int clock_gettime(clockid_t id, struct timespec *ts) {
  int result = (int)syscall(SYS_clock_gettime, id, ts);
  if (result == 0 && id == CLOCK_REALTIME && told) ts->tv_sec += *told;
  return result;
}
"#;

const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;

/// A daemon with a clock of its own.
fn start(world: &World) -> (Told, Daemon) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferrybox"));
    let clock = crate::harness::preload::load(world.dir.path(), CLOCK, &mut command);
    (clock, world.daemon_by(command))
}

/// Wherever the clock jumps to: a year's worth of errors in a row, back and forth.
#[test]
fn m1_what_is_saved_after_the_clock_was_set_goes_up() {
    let mut world = World::new();
    world.mode = "mirror";
    world.write("first", "1");
    let (clock, daemon) = start(&world);
    world.until("the first", |s| s.file("/T/first").is_some());
    for (i, off) in [10 * YEAR, -DAY, DAY, -50 * YEAR, 0, -3600, 200 * YEAR, 0].into_iter().enumerate() {
        clock.set(off);
        world.write(&format!("new-{i}"), format!("{i}"));
        world.write("first", format!("edit {i}"));
        let hash = ferrybox_standin::content_hash(format!("edit {i}").as_bytes());
        world.until("what was saved", |s| {
            s.file(&format!("/T/new-{i}")).is_some() && s.file("/T/first").is_some_and(|f| f.content_hash == hash)
        });
        std::fs::remove_file(world.folder.join(format!("new-{i}"))).unwrap();
        world.until("what was deleted", |s| s.file(&format!("/T/new-{i}")).is_none());
    }
    assert!(world.log().contains("\n2036-"), "the daemon has seen the clock jump: {}", world.log());
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_equal();
    assert_eq!(world.standin.file("/T/first").unwrap().revisions, 9);
    world.assert_clean();
}

/// A file that is put off, a commit that is put off, a busy server and a lost network: none of them waits until the clock has caught up.
#[test]
fn m1_what_waits_for_its_next_try_when_the_clock_is_set_back_is_tried() {
    let busy = |after: Option<&str>| Effect::Status { code: 503, retry_after: after.map(Into::into), body: None };
    let limited = Effect::RateLimited { reason: "too_many_requests".into(), retry_after: Some("2".into()) };
    for (what, route, times, effect) in [
        ("the upload", "files/upload_session/append_batch", 3, busy(None)),
        ("the commit", "files/upload_session/finish_batch", 3, busy(None)),
        ("the server's word", "files/upload_session/append_batch", 1, limited),
        ("the network", "*", 8, Effect::DropBefore),
    ] {
        let world = World::with(Settings::default());
        world.write("first", "1");
        let (clock, daemon) = start(&world);
        clock.set(YEAR);
        world.until("the first", |s| s.file("/T/first").is_some());
        let fault = world.standin.faults();
        fault.add(Fault::times(route, times, effect));
        world.write("late", "2");
        world.until(what, |s| s.faults().hits().iter().any(|hits| *hits > 0));
        clock.set(-YEAR);
        let came = |s: &ferrybox_standin::Standin| s.file("/T/late").is_some();
        // Whoever sleeps looks at the clock again after a minute at the latest.
        assert!(world.standin.wait_for_blocking(PATIENCE * 2, came), "{what}: in vain\n{}", world.log());
        assert_eq!(daemon.stop().0, Some(0));
        world.assert_equal();
        world.assert_clean();
    }
}

/// M5: by a clock that is ten years ahead every token has expired, and by one that is behind none ever will.
#[test]
fn m5_a_wrong_clock_neither_keeps_nor_loses_a_token() {
    for off in [10 * YEAR, -10 * YEAR] {
        let world = World::with(Settings::default());
        world.write("first", "1");
        let (clock, daemon) = start(&world);
        world.until("the first", |s| s.file("/T/first").is_some());
        clock.set(off);
        // The server's clock alone decides when it has expired.
        world.standin.advance(Duration::from_secs(5 * 3600));
        world.write("late", "2");
        world.until("the second", |s| s.file("/T/late").is_some());
        let renewals = world.standin.calls_of("oauth2/token");
        assert!(renewals <= 3, "{renewals}");
        assert_eq!(daemon.stop().0, Some(0));
        world.assert_equal();
        world.assert_clean();
    }
}
