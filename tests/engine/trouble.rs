//! What goes wrong around it: kills, faults of server, disk, clock and database, roots and mounts that vanish.

mod clocks;
mod crash;
mod disk;
mod emptied_sides;
mod faults;
mod listing_trust;
mod mounts;
mod repair;
mod roots;
mod state_database;
mod watching;

/// Lets a random time pass, the moment being what is tried; a failure prints the round.
fn pause(up_to_ms: u64) {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
    std::thread::sleep(std::time::Duration::from_millis(u64::from(nanos / 1000) % up_to_ms.max(1)));
}
