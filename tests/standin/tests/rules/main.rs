//! The rules that the SDK cannot show: what a badly behaved client is told, what is recorded of it, and faults on command.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod commits;
mod faults;
mod listings;
mod oauth;
mod raw;
mod requests;
mod sessions;
mod sharing;
mod trouble;
mod writing;
