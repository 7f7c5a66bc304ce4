//! A folder in which things are renamed, and what that may cost.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::fs;

use ferrybox_standin::{Settings, Standin};

use super::World;

pub const MOVE: &str = "files/move_batch_v2";
pub const COPY: &str = "files/copy_batch_v2";

pub fn world(mode: &'static str) -> World {
    let mut world = World::with(Settings::default());
    world.mode = mode;
    world
}

/// A folder in sync that holds these files, and one more that nothing happens to.
pub fn holding(mode: &'static str, files: &[(&str, &str)]) -> World {
    let world = world(mode);
    for (path, content) in files {
        world.write(path, content);
    }
    world.write("keep", "k");
    world.once_in_sync();
    world
}

pub fn rename(world: &World, from: &str, to: &str) {
    let to = world.folder.join(to);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::rename(world.folder.join(from), to).unwrap();
}

/// Bytes of content that went up.
pub fn sent(standin: &Standin) -> u64 {
    let calls = standin.calls();
    let content = calls.iter().filter(|(name, _)| name.contains("append") || name.as_str() == "files/upload");
    content.map(|(_, stats)| stats.bytes_in).sum()
}

/// Nothing went up, came down or was deleted; so many calls moved or copied.
pub fn assert_moved(world: &World, moves: u64, copies: u64) {
    let standin = &world.standin;
    let calls: BTreeMap<_, _> = standin.calls().into_iter().map(|(route, stats)| (route, stats.calls)).collect();
    assert_eq!(sent(standin), 0, "{calls:#?}");
    assert_eq!(standin.calls_of("files/download"), 0, "{calls:#?}");
    assert_eq!(world.deletions(), 0, "{calls:#?}");
    assert_eq!((standin.calls_of(MOVE), standin.calls_of(COPY)), (moves, copies), "{calls:#?}");
}

/// Waits until nothing is left to do.
pub fn until_idle(world: &World) {
    world.until_status("idle", |s| {
        let pending = &s["accounts"][0]["folders"][0]["pending"];
        s["accounts"][0]["state"] == "idle" && pending["uploads"] == 0 && pending["remote_changes"] == 0
    });
}

pub fn ids(world: &World) -> BTreeMap<String, String> {
    world.standin.files().into_iter().map(|f| (f.id, f.path_display)).collect()
}
