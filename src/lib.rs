//! stub
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod dropbox;
pub mod logging;
pub mod model;
