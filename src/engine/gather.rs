//! Gathering facts about a path: what the disk, base and the remote cache say of it, and what its file holds.

pub(crate) mod facts;
pub(crate) mod fence;
pub(crate) mod hash;
pub(crate) mod letters;
pub(crate) mod remote;
