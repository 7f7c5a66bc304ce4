//! Workers: they take due rows, gather facts, decide, and carry the decision out.

mod apply;
mod aside;
pub(crate) mod at_hand;
pub(crate) mod download;
pub(crate) mod preview;
pub(crate) mod upload;
pub(crate) mod worker;
