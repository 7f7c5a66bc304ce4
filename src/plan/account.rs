//! Rules for a whole account.

pub mod asking;
