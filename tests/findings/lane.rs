//! The commit lane (group L).

mod two_daemons;
mod renames;
