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
