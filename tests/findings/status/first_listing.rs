//! What is said while the first listing is read and compared.

use crate::harness::{World, status};

#[test]
fn t8_nothing_is_in_sync_before_what_the_listing_brought_is_here() {
    let mut world = World::new();
    world.mode = "two-way";
    for n in 0..300 {
        world.standin.write(&format!("/T/d{}/f{n}", n % 7), format!("file {n}"));
    }
    for life in 0..3 {
        // Nothing is known yet: every life begins with a first listing, and with an empty directory.
        let _ = std::fs::remove_dir_all(world.state());
        std::fs::remove_dir_all(&world.folder).unwrap();
        std::fs::create_dir(&world.folder).unwrap();
        let daemon = world.daemon();
        loop {
            let before = world.disk().len();
            let state = status(&world)["accounts"][0]["folders"][0]["state"].clone();
            if state == "in_sync" {
                // Looked at after the answer: all that was to come is here.
                assert_eq!(world.disk().len(), 300, "in sync with {before} files in life {life}\n{}", world.log());
                break;
            }
        }
        assert_eq!(daemon.stop().0, Some(0));
    }
    world.assert_clean();
}
