//! What goes up and comes down: saves, deletions, moves, copies, folders, conflicts, what is excluded or read-only.

mod adopting;
mod copies;
mod copies_in_trouble;
mod daemon;
mod deletions;
mod down;
mod editor_saves;
mod excluding;
mod folding_disk;
mod held;
mod links;
mod moves;
mod moves_crossed;
mod moves_in_trouble;
mod moves_storm;
mod moves_swapped;
mod name_folding;
mod names;
mod readonly;
mod restore;
mod several_daemons;
mod trash;
mod two_way;
mod two_way_losses;

use crate::harness::World;

/// What the file holds here, if it is there.
fn read(world: &World, path: &str) -> Option<String> {
    std::fs::read(world.folder.join(path)).ok().map(|bytes| String::from_utf8(bytes).unwrap())
}

/// What the file holds in Dropbox, if it is there.
fn remote(world: &World, path: &str) -> Option<String> {
    world.standin.content(&format!("/T/{path}")).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}
