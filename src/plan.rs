//! Pure rules: what to do is decided here and nowhere else. No clock, no disk, no network, no async: time, chance and text are passed in.

pub mod account;
pub mod commit;
pub mod delete;
pub mod listing;
pub mod name;
pub mod reconcile;
pub mod rename;
pub mod time;
pub mod transfer;
