//! What goes wrong around it: kills, faults of server, disk, clock and database, roots and mounts that vanish.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

#[path = "../harness/mod.rs"]
mod harness;

mod believed;
mod clocks;
mod crash;
mod disk;
mod faults;
mod moments;
mod mounts;
mod repair;
mod roots;
mod state;
mod watching;

/// Lets a random time pass, the moment being what is tried; a failure prints the round.
fn pause(up_to_ms: u64) {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
    std::thread::sleep(std::time::Duration::from_millis(u64::from(nanos / 1000) % up_to_ms.max(1)));
}
