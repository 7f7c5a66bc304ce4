//! What makes a whole account wait, and what ends the wait.

pub(crate) mod account_state;
pub(crate) mod call_budget;
pub(crate) mod identify;
pub(crate) mod lane_lock;
pub(crate) mod pause;
