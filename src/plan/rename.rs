//! Rules for renames and copies: content that is known already does not travel again.

pub mod cycles;
pub mod dedup_copy;
pub mod detect;
pub mod elsewhere;
pub mod pending;
pub mod reply;
pub mod verify;
