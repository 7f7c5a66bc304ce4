//! The proof that the stand-in speaks Dropbox's protocol: Dropbox's own Rust SDK, which knows nothing of either of us, as the client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(deprecated, reason = "finish_batch is marked deprecated, and is what the client uses first")]

mod account;
mod changes;
mod client;
mod listing;
mod uploads;
