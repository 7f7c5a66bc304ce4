//! More than one daemon: for one configuration, and on one account.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::process::Stdio;
use std::time::Duration;

use crate::harness::{Daemon, World, look_for};
use ferrybox_standin::{Settings, ViolationKind};

/// P1, P4: a hundred times two daemons start at once, right after the last one was killed. One of them runs, and the other is told its pid.
#[test]
fn p1_of_two_daemons_that_start_at_once_one_runs_a_hundred_times() {
    let world = World::new();
    world.write_config();
    for round in 0..100 {
        let start = || {
            let mut command = world.command(&["run"]);
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let mut both = [start(), start()];
        let pids = both.each_ref().map(std::process::Child::id);
        let loser = look_for(crate::harness::PATIENCE, || (0..2).find(|i| both[*i].try_wait().unwrap().is_some()));
        let loser = loser.unwrap_or_else(|| panic!("round {round}: both run"));
        let winner = 1 - loser;
        assert_eq!(both[loser].wait().unwrap().code(), Some(64), "round {round}");
        let mut said = String::new();
        both[loser].stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(said.contains(&format!("pid {}", pids[winner])), "round {round}: {said}");
        // Every tenth gets as far as to answer; the others are killed wherever they are.
        if round % 10 == 0 {
            world.until_status("its answer", |s| s["pid"] == pids[winner]);
        }
        assert!(both[winner].try_wait().unwrap().is_none(), "round {round}: nobody runs");
        both[winner].kill().unwrap();
        both[winner].wait().unwrap();
    }
    world.once_in_sync();
}

fn contents(world: &World) -> BTreeSet<String> {
    world.disk().keys().map(|path| fs::read_to_string(world.folder.join(path)).unwrap_or_default()).collect()
}

/// P5: three devices save the same paths at once, again and again, none knowing of the others. Everything that anybody saved last is kept by all of
/// them, each loser once, and then there is peace.
#[test]
fn p5_three_devices_that_save_the_same_paths_keep_every_version_and_come_to_rest() {
    let settings = Settings { longpoll_limit: Some(Duration::from_secs(2)), ..Settings::default() };
    let mut first = World::with(settings);
    first.mode = "two-way";
    let mut worlds = vec![first];
    for _ in 0..2 {
        let mut sibling = worlds[0].sibling();
        sibling.mode = "two-way";
        worlds.push(sibling);
    }
    let agree = |what: &str| {
        let equal = || worlds.iter().all(|world| world.disk() == world.remote());
        // Equal for a while, or it is between two steps.
        let mut since = None;
        let rested = look_for(crate::harness::PATIENCE * 2, || {
            if !equal() {
                since = None;
                return None;
            }
            (since.get_or_insert_with(std::time::Instant::now).elapsed() > Duration::from_secs(3)).then_some(())
        });
        let disks: Vec<_> = worlds.iter().map(World::disk).collect();
        assert!(rested.is_some(), "{what}: {disks:#?}\n{:#?}\n{}", worlds[0].remote(), worlds[0].log());
    };
    let daemons: Vec<Daemon> = worlds.iter().map(World::daemon).collect();
    for path in ["a", "b", "d/c"] {
        worlds[0].write(path, path);
    }
    agree("the first files");
    let mut saved = BTreeSet::new();
    for round in 0..3 {
        for path in ["a", "b", "d/c"] {
            for (device, world) in worlds.iter().enumerate() {
                let content = format!("{path} by {device} in round {round}");
                world.write(path, &content);
                saved.insert(content);
            }
        }
        agree(&format!("round {round}"));
        for world in &worlds {
            let kept = contents(world);
            // Whoever came first was seen by the others, who saved something else.
            let lost: Vec<_> = saved
                .iter()
                .filter(|content| content.ends_with(&format!("{round}")) && !kept.contains(*content))
                .collect();
            assert!(lost.is_empty(), "round {round}: {lost:?} is nowhere");
            let copies = world.disk().into_keys().filter(|path| path.contains("conflicted copy")).count();
            assert!(copies <= 6 * (round + 1), "round {round}: {copies} copies, though each loser has one");
        }
    }
    // No ping-pong: nothing is sent any more.
    let before = worlds[0].standin.changes();
    worlds[0].never("something was changed by nobody", Duration::from_secs(5), |s| s.changes() != before);
    for daemon in daemons {
        assert_eq!(daemon.stop().0, Some(0));
    }
    for kind in
        [ViolationKind::OverlappingCommits, ViolationKind::IdenticalListings, ViolationKind::RetryBeforeRetryAfter]
    {
        worlds[0].standin.forgive(kind);
    }
    worlds[0].assert_clean();
}
