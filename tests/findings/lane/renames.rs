//! Renames of large directories.

use std::fs;
use std::time::{Duration, Instant};

use crate::harness::World;

/// While the new tree is being scanned, its subdirectories are not matched before the directory above them is.
#[test]
#[ignore = "left to the rebuild of the engine; 10,000 files take their time: cargo test --test findings l5_ -- --ignored"]
fn l5_a_directory_of_many_files_in_many_subdirectories_is_renamed_by_one_call() {
    let mut world = World::new();
    world.mode = "two-way";
    for dir in 0..100 {
        for file in 0..100 {
            world.write(&format!("old/{dir}/{file}"), format!("{dir} {file}"));
        }
    }
    world.write("keep", "k");
    let daemon = world.daemon();
    world.until("all in Dropbox", |s| s.file_count() == 10_001);
    world.until_folder("in_sync");
    world.standin.reset_counters();
    let began = Instant::now();
    fs::rename(world.folder.join("old"), world.folder.join("new")).unwrap();
    world.until("the new name", |s| s.folder("/T/new") && !s.folder("/T/old"));
    eprintln!("renamed after {:?}", began.elapsed());
    world.until_folder("in_sync");
    world.never("anything else is sent", Duration::from_millis(500), |s| {
        s.calls_of("files/move_batch_v2") > 1 || s.calls_of("files/delete_batch") > 0
    });
    assert_eq!(world.standin.calls_of("files/move_batch_v2"), 1);
    assert_eq!(world.standin.calls_of("files/delete_batch"), 0);
    assert_eq!(world.deletions(), 0);
    world.assert_equal();
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}
