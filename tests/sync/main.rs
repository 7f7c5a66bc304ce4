//! What goes up and comes down: saves, deletions, moves, copies, folders, conflicts, what is excluded or read-only.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

#[path = "../harness/mod.rs"]
mod harness;

mod adopting;
mod copies;
mod copies_in_trouble;
mod corners;
mod daemon;
mod deletions;
mod down;
mod excluding;
mod folding;
mod held;
mod letters;
mod links;
mod moves;
mod moves_crossed;
mod moves_in_trouble;
mod moves_storm;
mod moves_swapped;
mod readonly;
mod restore;
mod saves;
mod several;
mod trash;
mod two_way;
mod two_way_losses;
