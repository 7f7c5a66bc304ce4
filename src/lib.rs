//! stub
pub mod dropbox;
pub mod model;
pub mod plan;
pub mod store;
