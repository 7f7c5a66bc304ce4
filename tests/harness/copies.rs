//! Large files, and copies of them.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, unreachable_pub)]

use std::fs;
use std::time::Duration;

use ferrybox_standin::{Effect, Fault};

use super::World;
use super::renames::world;

pub const MIB: usize = 1 << 20;

/// So many bytes that no other `seed` gives.
pub fn bytes(seed: u8, size: usize) -> Vec<u8> {
    (0..size).map(|i| u8::try_from((i / 977 + i % 251) % 256).unwrap() ^ seed).collect()
}

pub fn copy(world: &World, from: &str, to: &str) {
    let to = world.folder.join(to);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(world.folder.join(from), to).unwrap();
}

/// A world with one large file in sync, and counters at zero.
pub fn with_big(mode: &'static str) -> World {
    let world = world(mode);
    world.write("big", bytes(1, 2 * MIB));
    world.write("keep", "k");
    world.once_in_sync();
    world.standin.reset_counters();
    world
}

pub fn no_conflict(world: &World) {
    let all = world.remote();
    assert!(all.keys().all(|path| !path.contains("conflicted")), "{:?}", all.keys());
}

/// The longpoll tells nothing for a while.
pub fn deaf(world: &World) {
    world.standin.faults().add(Fault::always("files/list_folder/longpoll", Effect::Stall(Duration::from_secs(5))));
}
