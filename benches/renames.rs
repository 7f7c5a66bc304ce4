//! What renames cost: `cargo bench --bench renames [FILES]`. Starts the real program, in two-way mode and with its usual quiet time of 1 s, against the
//! stand-in on loopback, renames directories in its folder, and prints a table: calls, bytes of content, and seconds from the rename until it is idle.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::time::Instant;

use ferrybox_standin::{Contents, Settings};
use harness::World;
use harness::renames::{COPY, MOVE, rename, sent, until_idle};

/// A folder in sync with two directories of that many files.
fn filled(files: usize) -> World {
    // Dropbox counts the folders, too.
    let settings = Settings { contents: Contents::HashOnly, max_tree: files + 101, ..Settings::default() };
    let mut world = World::with(settings);
    world.mode = "two-way";
    for dir in ["a", "b"] {
        for i in 0..files {
            let (path, content) = (format!("{dir}/{}/{i:05}", i % 100), format!("{dir} {i}"));
            world.standin.write(&format!("/T/{path}"), content.clone());
            world.write(&path, content);
        }
    }
    world.write("keep", "k");
    world.once_in_sync();
    let text = std::fs::read_to_string(world.config_file()).unwrap();
    std::fs::write(world.config_file(), text.replace("settle = \"200ms\"", "settle = \"1s\"")).unwrap();
    world
}

fn row(what: &str, files: usize, moves: u64, make: impl FnOnce(&World)) {
    let world = filled(files);
    let daemon = world.spawn(world.command(&["--log", "error", "run"]));
    until_idle(&world);
    world.standin.reset_counters();
    let began = Instant::now();
    make(&world);
    world.until("the moves", |s| s.calls_of(MOVE) == moves && s.running_commits() == 0);
    until_idle(&world);
    let seconds = began.elapsed().as_secs_f64();
    let standin = &world.standin;
    let (moved, copied, deleted) = (standin.calls_of(MOVE), standin.calls_of(COPY), world.deletions());
    let (up, down) = (sent(standin), standin.calls_of("files/download"));
    println!("| {what} | {files} | {seconds:.1} | {moved} | {} | {up} | {down} |", copied + deleted);
    daemon.stop();
    world.assert_equal();
    world.assert_clean();
}

fn main() {
    let files = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(10_000);
    println!("| what | files each | seconds | moves | copies and deletions | bytes sent | downloads |");
    println!("|---|---|---|---|---|---|---|");
    row("a directory is renamed", files, 1, |world| rename(world, "a", "c"));
    row("two directories change places", files, 3, |world| {
        rename(world, "a", "on its way");
        rename(world, "b", "a");
        rename(world, "on its way", "b");
    });
}
