//! What could lose data (group D).

mod removals;
mod roots;
mod unseen;
