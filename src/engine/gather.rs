//! Gathering facts about a path: what the remote cache says of it, and what its file holds.

pub(crate) mod fence;
pub(crate) mod hash;
pub(crate) mod remote;
