//! What people and programs see: commands, configuration, status, lists, the control socket, units.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

#[path = "../harness/mod.rs"]
mod harness;

mod account_states;
mod commands;
mod config;
mod control;
mod explaining;
mod listing;
mod lists;
mod ls;
mod pausing;
mod service;
