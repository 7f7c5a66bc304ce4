//! Names in letters whose folding nobody but Dropbox knows: they come down, go up and go away like any others, and where Dropbox folds them unlike our
//! guess nothing is believed gone that is there.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;
use std::time::Duration;

use crate::harness::{CONTINUE, World};
use ferrybox_standin::Settings;

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

/// A device that renames by way of another name is halfway for a moment: nothing is moved here twice, and what is written meanwhile stays where it was
/// written.
#[test]
fn h7_a_move_by_way_of_another_name_is_followed_when_it_has_ended() {
    let world = two_way(Settings { longpoll_limit: Some(Duration::from_secs(2)), ..Settings::default() });
    let standin = &world.standin;
    for i in 0..8 {
        world.write(&format!("kept {i}"), "k");
    }
    standin.write("/T/dir/in.txt", "one");
    standin.write("/T/dir/deeper/in.txt", "two");
    let _daemon = world.daemon();
    world.eventually("both are here", || world.disk().len() == 10);
    world.until_folder("in_sync");
    let downloads = standin.calls_of("files/download");
    standin.rename("/T/dir", "/T/.ferrybox-moving-0123456789abcdef");
    standin.write("/T/told", "that the listing has come this far");
    let lists = standin.calls_of(CONTINUE);
    world.until("the half is listed", |s| s.calls_of(CONTINUE) > lists);
    world.write("dir/new.txt", "three");
    world.never("it goes up under a name that nobody gave", Duration::from_secs(2), |s| {
        s.file("/T/.ferrybox-moving-0123456789abcdef/new.txt").is_some()
    });
    assert!(world.folder.join("dir/deeper/in.txt").exists(), "{}", world.log());
    assert!(!world.folder.join(".ferrybox-moving-0123456789abcdef").exists(), "{}", world.log());
    standin.rename("/T/.ferrybox-moving-0123456789abcdef", "/T/Other");
    world.eventually("all are equal", || {
        world.disk() == world.remote() && world.disk().len() == 12 && world.folder.join("Other/in.txt").exists()
    });
    let named = |path: &str| fs::read_to_string(world.folder.join(path)).unwrap();
    assert_eq!((named("Other/deeper/in.txt"), named("dir/new.txt")), ("two".into(), "three".into()));
    assert_eq!(standin.calls_of("files/download") - downloads, 1, "only what was new: {}", world.log());
    world.assert_clean();
}

/// A device that has stopped halfway leaves a folder of that name, and nothing that was in it is lost.
#[test]
fn h7_a_move_that_never_ends_is_taken_as_it_is() {
    let world = two_way(Settings::default());
    for i in 0..8 {
        world.write(&format!("kept {i}"), "k");
    }
    world.standin.write("/T/dir/in.txt", "one");
    world.once_in_sync();
    world.standin.rename("/T/dir", "/T/.ferrybox-moving-0123456789abcdef");
    world.once_in_sync();
    world.assert_equal();
    assert!(!world.folder.join("dir/in.txt").exists());
    world.assert_clean();
}

/// What is new in a folder that was just renamed here in its letters comes into the directory that is here, not into a second one.
#[test]
fn h7_what_is_new_comes_into_the_directory_of_other_letters() {
    let world = two_way(Settings::default());
    for i in 0..8 {
        world.write(&format!("kept {i}"), "k");
    }
    world.write("Dir/Deep/in.txt", "one");
    world.once_in_sync();
    fs::rename(world.folder.join("Dir"), world.folder.join("dIr")).unwrap();
    world.standin.write("/T/Dir/new.txt", "two");
    world.standin.write("/T/Dir/Deep/new.txt", "three");
    world.standin.write("/T/Dir/made/new.txt", "four");
    world.once_in_sync();
    let here: Vec<_> = fs::read_dir(&world.folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(here.iter().any(|n| n == "dIr") && here.iter().all(|n| n != "Dir"), "{here:?}");
    for (path, content) in
        [("new.txt", "two"), ("Deep/new.txt", "three"), ("made/new.txt", "four"), ("Deep/in.txt", "one")]
    {
        assert_eq!(fs::read_to_string(world.folder.join("dIr").join(path)).unwrap(), content);
    }
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(world.deletions(), 0);
    world.assert_clean();
}

/// Other letters in Dropbox are a rename here: of files, of directories with all that is in them, and of what was written meanwhile.
#[test]
fn h7_other_letters_in_dropbox_are_a_rename_here() {
    let world = two_way(Settings::default());
    let standin = &world.standin;
    for path in ["Dir/Deep/in.txt", "Dir/top.txt", "File.TXT", "Both/a.txt", "kept"] {
        world.write(path, path);
    }
    // Once more: what is listed for the first time is no change.
    world.once_in_sync();
    world.once_in_sync();
    standin.reset_counters();
    let respell = |from: &str, to: &str| {
        standin.rename(&format!("/T/{from}"), "/T/aside");
        standin.rename("/T/aside", &format!("/T/{to}"));
    };
    respell("Dir", "DIR");
    respell("DIR/Deep", "DIR/dEEP");
    respell("File.TXT", "file.txt");
    world.write("Dir/top.txt", "written meanwhile");
    world.write("Dir/new.txt", "new");
    // Renamed on both sides: here is where it was done last, as far as anybody knows.
    respell("Both", "BOTH");
    fs::rename(world.folder.join("Both"), world.folder.join("both")).unwrap();
    world.once_in_sync();
    world.once_in_sync();
    let here: Vec<_> = world.disk().into_keys().collect();
    assert_eq!(here, ["DIR/dEEP/in.txt", "DIR/new.txt", "DIR/top.txt", "both/a.txt", "file.txt", "kept"]);
    world.assert_equal();
    assert_eq!(fs::read_to_string(world.folder.join("DIR/top.txt")).unwrap(), "written meanwhile");
    assert_eq!((standin.calls_of("files/download"), world.deletions()), (0, 0), "{:#?}", standin.calls());
    world.assert_clean();
}

/// Two sides that meet under different letters keep them, whatever is written.
#[test]
fn h7_sides_that_met_under_different_letters_keep_them() {
    let world = two_way(Settings::default());
    world.standin.write("/T/Docs/a.txt", "one");
    world.write("docs/a.txt", "one");
    world.once_in_sync();
    world.write("docs/a.txt", "two");
    world.once_in_sync();
    world.standin.write("/T/Docs/new.txt", "three");
    world.once_in_sync();
    assert_eq!(world.disk().into_keys().collect::<Vec<_>>(), ["docs/a.txt", "docs/new.txt"]);
    assert_eq!(world.remote().len(), 2);
    world.assert_clean();
}
