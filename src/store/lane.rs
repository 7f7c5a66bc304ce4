//! The commit lane's rows: remote changes, their batches, and the upload sessions that they close.

pub(super) mod batches;
pub(super) mod changes;
pub(super) mod cycles;
pub(super) mod moves;
pub(super) mod sessions;
pub(super) mod uploads;
