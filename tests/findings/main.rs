//! What broke in use, kind by kind: each test carries the id of its row in `docs/findings.md`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods, unreachable_pub)]

#[path = "../harness/mod.rs"]
mod harness;

mod commands;
mod data;
mod hostile;
mod lane;
mod service;
mod sides;
mod status;
mod storms;
mod wire;
