//! stub
pub mod model;
pub mod plan;
