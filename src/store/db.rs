//! The database itself: its connections, its one writer, its schema, and its errors.

pub(super) mod error;
pub(super) mod reader;
pub(super) mod row;
pub(super) mod schema;
pub(super) mod writer;
