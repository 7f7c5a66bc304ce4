//! Rules for deletions: the guard, the last look before a call, and how long the trash keeps what it has.

pub mod burst;
pub mod consent;
pub mod guard;
pub mod inbound;
pub mod last_look;
pub mod preflight;
pub mod removal;
pub mod trash_age;
