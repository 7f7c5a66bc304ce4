//! The commit lane: the one task of an account that changes Dropbox's tree, and what it looks at before and after a call.

pub(crate) mod committer;
pub(crate) mod cycles;
pub(crate) mod deletions;
pub(crate) mod last_look;
pub(crate) mod pending_renames;
pub(crate) mod preflight;
pub(crate) mod renames;
pub(crate) mod resolve;
pub(crate) mod resolve_moves;
pub(crate) mod unlisted;
