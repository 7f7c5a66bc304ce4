//! The main job, end to end: the real binary, real files, a real server process's protocol over TCP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, missing_docs)]

mod harness;

use harness::World;

#[test]
fn a_tree_arrives_byte_for_byte() {
    let world = World::new();
    world.write("a.txt", "one");
    world.write("deep/er/b.bin", vec![7; 300_000]);
    world.write("empty", "");
    world.write("ünï/çödé ☂.txt", "x");
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(world.remote().len(), 4);
    world.assert_clean();
}
