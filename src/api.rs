//! Answers to what people and programs ask: status, lists, explanations, and what would be done.

pub(crate) mod approvals;
pub(crate) mod attention;
pub mod cache_reader;
pub(crate) mod dry_run;
pub(crate) mod explain;
pub(crate) mod lists;
pub(crate) mod locate;
pub(crate) mod offline;
pub(crate) mod requests;
pub(crate) mod restore;
pub(crate) mod status;
