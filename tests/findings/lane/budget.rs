//! A budget of data-transport calls.

use std::fs;
use std::time::Duration;

use ferrybox_standin::{Contents, Effect, Fault, Settings, Standin};

use crate::harness::{APPEND_BATCH, FINISH_BATCH, World};

fn with_budget(calls: u64, mode: &'static str) -> World {
    let mut world = World::with(Settings { contents: Contents::Keep, ..Settings::default() });
    world.mode = mode;
    world.account_extra = format!("data_transport_budget = {calls}");
    world
}

fn says_spent(status: &serde_json::Value) -> bool {
    let account = &status["accounts"][0];
    account["state"] == "rate_limited"
        && account["reason"].as_str().unwrap_or_default().contains("data_transport_budget")
}

/// The program's own count of all months, while no daemon runs.
fn counted(world: &World) -> String {
    world.stored("SELECT cast(coalesce(sum(calls), 0) AS TEXT) FROM transport").concat()
}

#[test]
fn l3_a_spent_budget_stops_nothing_that_costs_nothing() {
    let world = with_budget(3, "two-way");
    for name in ["gone", "moved", "source"] {
        world.write(name, name.repeat(300_000));
    }
    world.write("empty folder's neighbour", "1");
    let daemon = world.daemon();
    world.until("the first files", |s| s.file_count() == 4);
    world.until_folder("in_sync");
    assert_eq!(world.standin.data_transport_calls(), 3);
    world.write("waits", "new");
    world.write("waits, too", "");
    world.until_status("the reason", says_spent);
    world.standin.write("/T/theirs", "2");
    world.eventually("a download", || world.disk().contains_key("theirs"));
    fs::remove_file(world.folder.join("gone")).unwrap();
    world.until("a deletion", |s| s.file("/T/gone").is_none());
    fs::rename(world.folder.join("moved"), world.folder.join("arrived")).unwrap();
    world.until("a move", |s| s.file("/T/arrived").is_some() && s.file("/T/moved").is_none());
    fs::create_dir(world.folder.join("made")).unwrap();
    world.until("a folder", |s| s.folder("/T/made"));
    fs::copy(world.folder.join("source"), world.folder.join("copied")).unwrap();
    world.until("a copy", |s| s.file("/T/copied").is_some());
    let calls = |s: &Standin| s.calls_of(APPEND_BATCH) + s.calls_of(FINISH_BATCH);
    assert_eq!((world.standin.data_transport_calls(), calls(&world.standin)), (3, 2));
    world.until_status("still the reason", says_spent);
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!(counted(&world), "3");
    // More of it, and what waited goes.
    let more = World { account_extra: "data_transport_budget = 6".to_owned(), ..world };
    let _daemon = more.daemon();
    more.until("what waited", |s| s.file("/T/waits").is_some() && s.file("/T/waits, too").is_some());
    assert!(more.standin.data_transport_calls() <= 6);
    more.assert_clean();
}

#[test]
fn l3_a_budget_is_never_overshot() {
    for budget in [5, 12] {
        let mut world = with_budget(budget, "backup");
        world.extra = "[upload]\nchunk_size = \"4 MiB\"".to_owned();
        for n in 0..6_u8 {
            world.write(&format!("large {n}"), vec![n; 9 << 20]);
        }
        for n in 0..30 {
            world.write(&format!("{n}"), format!("{n}"));
        }
        let daemon = world.daemon();
        world.until_status("the reason", says_spent);
        world.never("one more than the budget", Duration::from_secs(2), |s| s.data_transport_calls() > budget);
        daemon.stop();
        assert_eq!(counted(&world), world.standin.data_transport_calls().to_string());
        world.assert_clean();
    }
}

/// Two files of three calls each, and the seventh: were it spent on the third file, nothing would be committed at all.
#[test]
fn l3_the_last_call_of_a_budget_commits_what_has_arrived() {
    let mut world = with_budget(7, "backup");
    world.extra = "[upload]\nchunk_size = \"4 MiB\"\nworkers = 1".to_owned();
    for n in 0..4_u8 {
        world.write(&format!("large {n}"), vec![n; 5 << 20]);
    }
    let daemon = world.daemon();
    world.until_status("the reason", says_spent);
    world.until("a commit of what has arrived", |s| s.file_count() == 2);
    world.until_status("still the reason", says_spent);
    assert_eq!(world.standin.data_transport_calls(), 7);
    daemon.stop();
    assert_eq!(counted(&world), "7");
    world.assert_clean();
}

#[test]
fn l3_a_kill_loses_no_call_of_the_count() {
    let world = World::new();
    for n in 0..20 {
        world.write(&format!("{n}"), format!("{n}"));
    }
    world.standin.faults().add(Fault::always(APPEND_BATCH, Effect::StallReply(Duration::from_secs(20))));
    let daemon = world.daemon();
    world.until("a call under way", |s| s.calls_of(APPEND_BATCH) > 0);
    daemon.kill();
    assert_eq!(counted(&world), world.standin.data_transport_calls().to_string());
}
