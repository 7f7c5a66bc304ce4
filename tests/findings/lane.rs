//! The commit lane (group L).

mod renames;
mod two_daemons;
