//! Local renames that need one another's places: what changed places, went around, or moved up in a line.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::harness::World;
use crate::harness::renames::{MOVE, assert_moved, ids, rename, sent, until_idle, world};
use ferrybox_standin::{Effect, Entries, Fault, Standin};

/// Each of these is where the next one was; the last one where the first was.
fn around(world: &World, names: &[&str]) {
    rename(world, names[0], "on its way");
    for pair in names.windows(2) {
        rename(world, pair[1], pair[0]);
    }
    rename(world, "on its way", names[names.len() - 1]);
}

/// Directories of that many files, some of which have a name that only one of them has.
fn fill(world: &World, names: &[&str], files: usize) {
    for name in names {
        for i in 0..files {
            world.write(&format!("{name}/{}/{i}", i % 5), format!("{name} {i}"));
        }
        world.write(&format!("{name}/only {name}/x"), format!("only in {name}"));
    }
    world.write("keep", "k");
}

/// Where the files are that were at `before`, each below its directory's new name.
fn assert_same_files(world: &World, before: &BTreeMap<String, String>, went: &[(&str, &str)]) {
    let now = ids(world);
    for (id, path) in before {
        let to =
            went.iter().find_map(|(from, to)| Some(format!("/T/{to}{}", path.strip_prefix(&format!("/T/{from}"))?)));
        assert_eq!(now.get(id), Some(&to.unwrap_or_else(|| path.clone())));
    }
}

fn no_leftovers(world: &World) {
    let there = world.standin.folders().into_iter().chain(world.standin.files().into_iter().map(|f| f.path_display));
    let left: Vec<_> = there.filter(|path| path.contains(".ferrybox")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// H2: two directories that changed places are three moves, whoever saw it, and no byte goes up.
#[test]
fn h2_two_directories_that_changed_places_are_three_moves() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        fill(&world, &["a", "b", "p/c", "p/q/c"], 300);
        world.once_in_sync();
        for (pair, is_seen) in [(["a", "b"], true), (["p/c", "b"], false), (["a", "p/q/c"], true)] {
            let before = ids(&world);
            world.standin.reset_counters();
            if is_seen {
                let daemon = world.daemon();
                until_idle(&world);
                world.standin.reset_counters();
                around(&world, &pair);
                world.until("the moves", |s| s.calls_of(MOVE) == 3);
                until_idle(&world);
                daemon.stop();
            } else {
                around(&world, &pair);
            }
            world.once_in_sync();
            world.assert_equal();
            assert_moved(&world, 3, 0);
            assert_same_files(&world, &before, &[(pair[0], pair[1]), (pair[1], pair[0])]);
            no_leftovers(&world);
        }
        world.assert_clean();
    }
}

/// H2: three that went around are four moves.
#[test]
fn h2_three_directories_that_went_around_are_four_moves() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        fill(&world, &["a", "b", "c"], 60);
        world.once_in_sync();
        let before = ids(&world);
        world.standin.reset_counters();
        around(&world, &["a", "b", "c"]);
        world.once_in_sync();
        world.assert_equal();
        assert_moved(&world, 4, 0);
        assert_same_files(&world, &before, &[("a", "c"), ("b", "a"), ("c", "b")]);
        no_leftovers(&world);
        world.assert_clean();
    }
}

/// H2: each took the place of the next one, and only the last place is new.
#[test]
fn h2_a_line_of_directories_moves_up() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        fill(&world, &["log", "log.1", "log.2"], 60);
        world.once_in_sync();
        let before = ids(&world);
        world.standin.reset_counters();
        for (from, to) in [("log.2", "log.3"), ("log.1", "log.2"), ("log", "log.1")] {
            rename(&world, from, to);
        }
        // And the first one is made anew.
        world.write("log/0/1", "a new log");
        world.once_in_sync();
        world.assert_equal();
        assert!(world.standin.calls_of(MOVE) <= 4, "{mode} {}", world.standin.calls_of(MOVE));
        assert!(sent(&world.standin) < 100, "{}", sent(&world.standin));
        // Only the file that is new may have the id of the old one of its name.
        let before = before.into_iter().filter(|(_, path)| path != "/T/log/0/1").collect();
        assert_same_files(&world, &before, &[("log/", "log.1/"), ("log.1/", "log.2/"), ("log.2/", "log.3/")]);
        no_leftovers(&world);
        world.assert_clean();
    }
}

/// H2: large files change places in Dropbox; small ones are sent, and each place keeps its history.
#[test]
fn h2_large_files_that_changed_places_are_moved() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        for (name, size) in [("a", 5 << 20), ("b", 6 << 20), ("c", 5 << 20), ("small", 10), ("other", 20)] {
            world.write(name, name.repeat(size));
        }
        world.once_in_sync();
        let before = ids(&world);
        world.standin.reset_counters();
        around(&world, &["a", "b"]);
        world.once_in_sync();
        world.assert_equal();
        assert_moved(&world, 3, 0);
        assert_same_files(&world, &before, &[("a", "b"), ("b", "a")]);
        // One takes the place of another, and that one's place is new.
        world.standin.reset_counters();
        rename(&world, "c", "d");
        rename(&world, "a", "c");
        world.once_in_sync();
        world.assert_equal();
        assert_moved(&world, 2, 0);
        around(&world, &["small", "other"]);
        // Over another one that is gone by that: a change of it.
        rename(&world, "c", "d");
        world.standin.reset_counters();
        world.once_in_sync();
        world.assert_equal();
        assert_eq!(world.standin.calls_of(MOVE), 0);
        assert_eq!((world.standin.file("/T/small").unwrap().revisions, world.standin.file_count()), (2, 4));
        no_leftovers(&world);
        world.assert_clean();
    }
}

/// H2: what was edited, added, removed, or taken out again on the way goes its own way.
#[test]
fn h2_swapped_directories_with_changed_children() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        fill(&world, &["a", "b"], 40);
        world.once_in_sync();
        world.standin.reset_counters();
        around(&world, &["a", "b"]);
        world.write("a/0/5", "edited");
        world.write("b/0/added", "added");
        world.write("b/new dir/added", "added, too");
        fs::remove_file(world.folder.join("a/1/6")).unwrap();
        // From one to the other: to where it was before, and to a name that the other one has.
        rename(&world, "b/2/7", "a/2/7");
        rename(&world, "b/3/8", "a/3/other");
        world.once_in_sync();
        world.assert_equal();
        assert!(world.disk().keys().all(|path| !path.contains("conflicted")), "{:?}", world.disk().keys());
        assert!(sent(&world.standin) < 200, "{mode} {} {:#?}", sent(&world.standin), world.standin.calls());
        no_leftovers(&world);
        world.standin.reset_counters();
        world.once_in_sync();
        assert_moved(&world, 0, 0);
        world.assert_clean();
    }
}

/// A directory is renamed, another one is made in its place, and some of the files go back there.
#[test]
fn h2_a_place_that_is_taken_again() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        fill(&world, &["a"], 40);
        world.once_in_sync();
        world.standin.reset_counters();
        rename(&world, "a", "b");
        world.write("a/new", "new");
        rename(&world, "b/0/5", "a/0/5");
        if mode == "two-way" {
            fs::create_dir_all(world.folder.join("a/1")).unwrap();
        }
        world.once_in_sync();
        world.assert_equal();
        assert!(sent(&world.standin) < 100, "{mode} {} {:#?}", sent(&world.standin), world.standin.calls());
        assert!(mode == "mirror" || world.standin.folder("/T/a/1"));
        no_leftovers(&world);
        world.assert_clean();
    }
}

/// How many of the three moves are made when `a` and `b` change places.
fn made(standin: &Standin) -> u64 {
    let arrived = ["/T/a/only b/x", "/T/b/only a/x"].iter().filter(|path| standin.file(path).is_some()).count();
    let is_on_its_way = standin.folders().iter().any(|path| path.contains(".ferrybox"));
    match (is_on_its_way, arrived) {
        (true, 0) => 1,
        (true, _) => 2,
        (false, 2) => 3,
        (false, _) => 0,
    }
}

/// Killed before, in and after each of the three moves: the next start goes on from there.
#[test]
fn h2_a_kill_at_any_of_the_moves_costs_nothing() {
    for mode in ["mirror", "two-way"] {
        for nth in 1..=3 {
            for effect in [Effect::Stall(Duration::from_secs(4)), Effect::StallReply(Duration::from_secs(4))] {
                let mut world = world(mode);
                // A call that a kill cut off may go on in Dropbox: longer than the stall, and no whole minute.
                world.extra += "\n[commit]\njob_deadline = \"6s\"\n";
                fill(&world, &["a", "b"], 30);
                world.once_in_sync();
                let before = ids(&world);
                let daemon = world.daemon();
                until_idle(&world);
                world.standin.reset_counters();
                world.standin.faults().add(Fault::nth(MOVE, nth, effect.clone()));
                around(&world, &["a", "b"]);
                world.until("the move", |s| s.calls_of(MOVE) == nth);
                if matches!(effect, Effect::StallReply(_)) {
                    world.until("it is made", |s| made(s) == nth);
                }
                daemon.kill();
                world.standin.faults().clear();
                world.once_in_sync();
                world.assert_equal();
                assert_eq!((sent(&world.standin), world.deletions()), (0, 0), "{mode} {nth} {effect:?}");
                assert_same_files(&world, &before, &[("a", "b"), ("b", "a")]);
                no_leftovers(&world);
                world.assert_clean();
            }
        }
    }
}

/// One of the moves is refused for good: what has got to the free name is not left there, and nothing is lost.
#[test]
fn h2_a_refusal_in_the_middle_leaves_nothing_behind() {
    for mode in ["mirror", "two-way"] {
        for nth in 1..=3 {
            let world = world(mode);
            fill(&world, &["a", "b"], 20);
            world.once_in_sync();
            world.standin.reset_counters();
            let refused = Effect::EntryFailure { entries: Entries::All, tag: "from_write/disallowed_name".into() };
            world.standin.faults().add(Fault::nth(MOVE, nth, refused));
            around(&world, &["a", "b"]);
            world.once_in_sync();
            world.once_in_sync();
            world.assert_equal();
            // Upwards, empty folders are nobody's business.
            if mode == "two-way" {
                no_leftovers(&world);
            }
            world.assert_clean();
        }
    }
}
