//! What one account does: its tasks, and what they share. Nothing of sockets, processes or commands is known here.

pub(crate) mod account;
pub(crate) mod approvals;
pub(crate) mod blocking;
pub(crate) mod commit;
pub(crate) mod drive;
pub(crate) mod folder;
pub(crate) mod gate;
pub(crate) mod gather;
pub(crate) mod heartbeat;
pub(crate) mod intake;
pub(crate) mod listing;
pub(crate) mod local_removal;
pub(crate) mod lock;
pub(crate) mod metrics;
pub(crate) mod open;
pub(crate) mod overlooked;
pub(crate) mod rename_proposals;
pub(crate) mod rescue;
pub(crate) mod state_file;
pub(crate) mod work;
