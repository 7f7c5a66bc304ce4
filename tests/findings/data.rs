//! What could lose data (group D).

mod names;
mod questions;
mod removals;
mod roots;
mod unseen;
