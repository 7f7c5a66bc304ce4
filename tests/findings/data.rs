//! What could lose data (group D).

mod questions;
mod removals;
mod roots;
mod unseen;
