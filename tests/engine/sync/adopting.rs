//! Meetings that are made anew: what was read once and has not changed is not read again.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;

use crate::harness::World;

/// What a daemon's whole life until it is in sync has read, in bytes, its database and what came from the network included.
#[cfg(target_os = "linux")]
fn read_in_a_life(world: &World) -> u64 {
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let io = fs::read_to_string(format!("/proc/{}/io", daemon.child.id())).unwrap();
    let read = io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap();
    assert_eq!(daemon.stop().0, Some(0));
    read
}

#[cfg(target_os = "linux")]
#[test]
fn n6_a_meeting_made_anew_reads_no_file_twice() {
    const ALL: u64 = 20 << 20;
    let mut world = World::new();
    world.mode = "two-way";
    for i in 0..20_u8 {
        let content = vec![i; 1 << 20];
        world.write(&format!("d/{i}"), &content);
        world.standin.write(&format!("/T/d/{i}"), content);
    }
    assert!(read_in_a_life(&world) > ALL, "the first meeting compares contents");
    assert!(read_in_a_life(&world) < ALL / 2, "a restart reads nothing");
    // As if the state came from an older copy: what was agreed on is forgotten.
    fs::remove_file(world.folder.join(".ferrybox/run-id")).unwrap();
    // One file has changed meanwhile, without a change of its size or its time.
    let before = fs::metadata(world.folder.join("d/7")).unwrap().modified().unwrap();
    world.write("d/7", vec![77; 1 << 20]);
    fs::File::options().write(true).open(world.folder.join("d/7")).unwrap().set_modified(before).unwrap();
    world.standin.reset_counters();
    assert!(read_in_a_life(&world) < ALL / 2);
    assert_eq!(world.standin.calls_of("files/download"), 1, "the one that differs is kept twice");
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(world.disk().len(), 21);
    world.assert_clean();
}
