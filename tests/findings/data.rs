//! What could lose data (group D).

mod removals;
mod unseen;
