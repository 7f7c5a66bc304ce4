//! Two daemons on one account: what the server saw of both (P5, for L2).

use std::collections::BTreeMap;
use std::time::Duration;

use ferrybox_standin::{Standin, ViolationKind};

use crate::harness::{Daemon, World};

/// Violations by kind.
fn seen(standin: &Standin) -> BTreeMap<ViolationKind, usize> {
    let mut kinds = BTreeMap::new();
    for violation in standin.violations() {
        *kinds.entry(violation.kind).or_default() += 1;
    }
    kinds
}

fn saves(world: &World, name: &str, files: usize) {
    for n in 0..files {
        world.write(&format!("{name}/{n}"), format!("{name} saved {n}"));
    }
}

/// Both save at once, and come to rest equal.
fn both_save(worlds: [&World; 2]) -> [Daemon; 2] {
    let daemons = worlds.map(World::daemon);
    for (world, name) in worlds.iter().zip(["a", "b"]) {
        saves(world, name, 30);
    }
    let all = |world: &World| world.disk().len() == 60;
    worlds[0].until("all files in Dropbox", |s| s.file_count() == 60);
    worlds[0].eventually("both have all", || all(worlds[0]) && all(worlds[1]));
    daemons
}

fn two() -> [World; 2] {
    let mut first = World::new();
    let mut second = first.sibling();
    first.mode = "two-way";
    second.mode = "two-way";
    first.standin.set_commit_duration(Duration::from_millis(400));
    [first, second]
}

#[test]
fn p5_two_daemons_whose_commits_fail_each_other_come_to_rest_equal() {
    let [first, second] = two();
    let daemons = both_save([&first, &second]);
    // Nothing but what two devices do to one another: a single one has no violation at all.
    let mut kinds = seen(&first.standin);
    for expected in
        [ViolationKind::OverlappingCommits, ViolationKind::IdenticalListings, ViolationKind::RetryBeforeRetryAfter]
    {
        kinds.remove(&expected);
    }
    assert_eq!(kinds, BTreeMap::new());
    for daemon in daemons {
        assert_eq!(daemon.stop().0, Some(0));
    }
    first.assert_equal();
    second.assert_equal();
}

#[test]
fn p5_two_daemons_of_one_host_share_one_lane() {
    let [first, second] = two();
    let one = first.daemon();
    first.until_folder("in_sync");
    second.write_config();
    let mut command = second.command(&["run"]);
    command.env("FERRYBOX_HOST", first.host());
    let _other = second.spawn(command);
    second.until_status("refused", |s| s["accounts"][0]["state"] == "failed");
    // Both save at the same moments, again and again.
    for round in 0..6 {
        saves(&first, &format!("a {round}"), 3);
        saves(&second, &format!("b {round}"), 3);
        first.until("the round is committed", |s| s.file_count() == 3 * (round + 1));
    }
    assert_eq!(seen(&first.standin).get(&ViolationKind::OverlappingCommits), None);
    assert_eq!(one.stop().0, Some(0));
}
