//! Workers: they take due rows, gather facts, decide, and carry the decision out.

pub(crate) mod at_hand;
pub(crate) mod download;
pub(crate) mod preview;
pub(crate) mod two_way;
pub(crate) mod upload;
pub(crate) mod worker;
