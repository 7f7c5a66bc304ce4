//! The wire against a scripted server: what is sent, and what each kind of reply becomes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: Clippy's exemption covers test functions only"
)]

#[path = "harness/poll.rs"]
mod poll;
#[path = "wire/script.rs"]
mod script;

#[path = "wire/auth.rs"]
mod auth;
#[path = "wire/body.rs"]
mod body;
#[path = "wire/calls.rs"]
mod calls;
#[path = "wire/credentials.rs"]
mod credentials;
#[path = "wire/download.rs"]
mod download;
#[path = "wire/moves.rs"]
mod moves;
#[path = "wire/replies.rs"]
mod replies;
#[path = "wire/standin.rs"]
mod standin;
