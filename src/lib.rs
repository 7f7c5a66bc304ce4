//! stub
pub mod local;
pub mod model;
pub mod plan;
