//! Files of patterns that somebody else writes.

use crate::harness::{World, json};

#[test]
fn h5_a_file_of_patterns_that_came_down_is_told_and_can_be_mended() {
    let mut world = World::new();
    world.mode = "two-way";
    for name in ["a", "b", "c"] {
        world.write(name, name);
    }
    let _daemon = world.daemon();
    world.until("three files", |s| s.file_count() == 3);
    world.until_folder("in_sync");
    world.standin.write("/T/.ferryboxignore", "*\n");
    world.until_status("the problem, and what is ignored", |s| {
        let folder = &s["accounts"][0]["folders"][0];
        folder["problems"] == 1 && folder["ignored"] == 3
    });
    let problems = json(&world, &["problems", "--json"]);
    let told = problems.to_string();
    assert!(told.contains(".ferryboxignore") && told.contains("3 files and directories"), "{told}");
    // Nothing was deleted anywhere, and what mends it comes down.
    assert_eq!(world.deletions(), 0);
    assert_eq!(world.disk().len(), 4);
    world.standin.write("/T/.ferryboxignore", "other\n");
    world.until_status("no problem, and all in base again", |s| {
        let folder = &s["accounts"][0]["folders"][0];
        folder["problems"] == 0 && folder["ignored"] == 0 && folder["files"] == 4 && folder["pending"]["uploads"] == 0
    });
    assert_eq!(world.deletions(), 0);
    world.assert_clean();
}

#[test]
fn h5_files_of_patterns_may_be_this_devices_own() {
    let mut world = World::new();
    world.mode = "two-way";
    world.folder_extra = "ignore_files = \"local\"".to_owned();
    world.write(".ferryboxignore", "*.tmp\n");
    world.write("a", "1");
    world.write("b.tmp", "2");
    world.standin.write("/T/sub/.ferryboxignore", "*\n");
    world.standin.write("/T/sub/c", "3");
    world.once_in_sync();
    assert_eq!(world.disk().keys().map(String::as_str).collect::<Vec<_>>(), [".ferryboxignore", "a", "b.tmp", "sub/c"]);
    assert!(world.standin.file("/T/.ferryboxignore").is_none() && world.standin.file("/T/a").is_some());
    world.assert_clean();
}
