//! stub
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod dropbox;
pub mod local;
pub mod logging;
pub mod model;
pub mod plan;
pub mod store;
