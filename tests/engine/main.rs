//! What the program does with files, with the real server protocol on the other side: `sync` as it should go, `trouble` when something breaks,
//! `devices` with two of them at once.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

#[path = "../harness/mod.rs"]
mod harness;

mod devices;
mod sync;
mod trouble;
