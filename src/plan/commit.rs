//! Rules of the commit lane: when a batch goes, how large it is, and what its outcome means.

pub mod batch;
pub mod blame;
pub mod budget;
pub mod fallback;
pub mod job;
pub mod lost_reply;
pub mod order;
pub mod outcome;
pub mod pace;
pub mod unlisted;
