//! Following Dropbox's listings, and guarding what they bring down.

pub(crate) mod follower;
pub(crate) mod inbound_guard;
pub(crate) mod reconciler;
