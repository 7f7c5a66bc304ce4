//! stub
pub mod dropbox;
pub mod model;
