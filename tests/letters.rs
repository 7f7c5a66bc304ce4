//! Names in letters whose folding nobody but Dropbox knows: they come down, go up and go away like any others, and where Dropbox folds them unlike our
//! guess nothing is believed gone that is there.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod harness;

use std::fs;

use ferrybox_standin::Settings;
use harness::World;

fn two_way(settings: Settings) -> World {
    let mut world = World::with(settings);
    world.mode = "two-way";
    world
}

fn assert_gone(world: &World, path: &str) {
    assert!(!world.folder.join(path).exists(), "{path} is still here");
}

/// What another device deletes and moves there goes and moves here.
#[test]
fn i8_deletions_and_moves_come_down_whatever_the_letters() {
    let world = two_way(Settings::default());
    let standin = &world.standin;
    for i in 0..8 {
        world.write(&format!("kept {i}"), "k");
    }
    standin.write("/T/Änderungen/Übung.txt", "one");
    standin.write("/T/Änderungen/weg.txt", "two");
    standin.make_folder("/T/ÉTÉ");
    world.write("Größe.txt", "three");
    world.once_in_sync();
    standin.rename("/T/Änderungen/Übung.txt", "/T/ÉTÉ/Übung.txt");
    standin.delete("/T/Änderungen/weg.txt");
    standin.delete("/T/Größe.txt");
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(fs::read_to_string(world.folder.join("ÉTÉ/Übung.txt")).unwrap(), "one");
    assert_gone(&world, "Änderungen/Übung.txt");
    assert_gone(&world, "Änderungen/weg.txt");
    assert_gone(&world, "Größe.txt");
    standin.delete("/T/Änderungen");
    world.once_in_sync();
    assert_gone(&world, "Änderungen");
    assert_eq!(standin.calls_of("files/download"), 2);
    world.assert_clean();
}

/// Dropbox keys `Ø` in a way that nobody would guess: our files there are not taken for gone, and their real ends are still seen.
#[test]
fn i8_another_folding_than_the_guess_deletes_nothing() {
    let settings = Settings { fold: vec![('Ø', "oe".to_owned()), ('ø', "oe".to_owned())], ..Settings::default() };
    let world = two_way(settings);
    let standin = &world.standin;
    for i in 0..8 {
        world.write(&format!("kept {i}"), "k");
    }
    world.write("Øre.txt", "mine");
    world.write("Øst/in.txt", "inside");
    fs::create_dir(world.folder.join("Øde")).unwrap();
    world.once_in_sync();
    assert_eq!(standin.file("/T/Øre.txt").unwrap().path_display, "/T/Øre.txt");
    // Every comparison, after a restart and after a change nearby, leaves them alone.
    for i in 0..2 {
        standin.write(&format!("/T/near {i}"), "n");
        world.once_in_sync();
        world.assert_equal();
        assert!(world.folder.join("Øde").is_dir() && standin.folder("/T/Øde"));
    }
    assert_eq!(world.deletions(), 0);
    assert!(!world.folder.join(".ferrybox/trash").read_dir().is_ok_and(|mut t| t.next().is_some()));
    world.write("Øre.txt", "mine again");
    world.once_in_sync();
    assert_eq!(standin.file("/T/Øre.txt").unwrap().revisions, 2);
    standin.delete("/T/Øre.txt");
    standin.delete("/T/Øst/in.txt");
    world.once_in_sync();
    assert_gone(&world, "Øre.txt");
    assert_gone(&world, "Øst/in.txt");
    world.assert_clean();
}
