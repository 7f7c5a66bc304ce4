//! The wire against a scripted server: what is sent, and what each kind of reply becomes.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: Clippy's exemption covers test functions only"
)]

#[path = "../harness/poll.rs"]
mod poll;
mod script;

mod auth;
mod body;
mod calls;
mod credentials;
mod download;
mod moves;
mod replies;
mod standin;
