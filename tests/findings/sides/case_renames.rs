//! Names that changed only their letters.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ferrybox_standin::{Effect, Fault};

use crate::harness::restless::Restless;
use crate::harness::{Daemon, World};

/// A two-way folder with these files in sync. What changes has to rest for seconds before it is looked at.
fn in_sync(paths: &[&str]) -> (World, Daemon) {
    let mut world = World::new();
    (world.mode, world.settle) = ("two-way", "3s");
    let daemon = world.in_sync_with(paths);
    (world, daemon)
}

/// The new name's row comes late: the former name does not come down beside it meanwhile.
#[test]
fn c4_renamed_in_its_letters_here_and_edited_there_is_one_file_with_the_new_letters_and_content() {
    let (world, daemon) = in_sync(&["Name.txt", "keep"]);
    let new = world.folder.join("NAME.txt");
    fs::rename(world.folder.join("Name.txt"), &new).unwrap();
    stays_away(&world, &new);
    world.eventually("one file on both sides, in capitals", || {
        let disk = world.disk();
        disk == world.remote() && disk.len() == 2 && disk.contains_key("NAME.txt")
    });
    assert_eq!(fs::read_to_string(&new).unwrap(), "after");
    let status = world.until_status("rest", |s| s["accounts"][0]["folders"][0]["state"] == "in_sync");
    assert_eq!(status["accounts"][0]["folders"][0]["problems"], 0, "{status}");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// Dropbox's `Name.txt` changes while the row of `late`, its other spelling here, comes late as on a busy machine. It does not come down beside it meanwhile.
fn stays_away(world: &World, late: &Path) {
    let restless = Restless::new(late.to_owned());
    world.standin.write("/T/Name.txt", "after");
    world
        .never_seen("Name.txt came down beside it", Duration::from_secs(6), || world.folder.join("Name.txt").is_file());
    drop(restless);
}

/// The file has a new inode under its new letters, so that nothing but its name tells that it is the one that was renamed.
#[test]
fn c4_renamed_in_its_letters_and_saved_anew_here_and_edited_there_ends_with_both_versions() {
    let (world, daemon) = in_sync(&["Name.txt", "keep"]);
    let new = world.folder.join("NAME.txt");
    fs::rename(world.folder.join("Name.txt"), &new).unwrap();
    fs::write(world.folder.join(".save.tmp"), "saved here").unwrap();
    fs::rename(world.folder.join(".save.tmp"), &new).unwrap();
    stays_away(&world, &new);
    both_versions(&world, "saved here");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// Nothing was agreed on under either name.
#[test]
fn c4_new_here_and_new_there_in_other_letters_ends_with_both_versions() {
    let (world, daemon) = in_sync(&["keep"]);
    let here = world.folder.join("NAME.txt");
    fs::write(&here, "saved here").unwrap();
    stays_away(&world, &here);
    both_versions(&world, "saved here");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// It comes down while it is renamed there: under the new letters only, and not twice under both.
#[test]
fn c4_renamed_in_its_letters_there_while_it_comes_down_is_one_file_here() {
    let (world, daemon) = in_sync(&["keep"]);
    let slow = Fault::nth("files/download", 1, Effect::StallReply(Duration::from_secs(4)));
    world.standin.faults().add(slow);
    world.standin.write("/T/Name.txt", "one");
    world.until("its download", |s| s.calls_of("files/download") == 1);
    world.standin.quietly(|a| a.rename("/T/Name.txt", "/T/other") && a.rename("/T/other", "/T/NAME.txt"));
    world.standin.tell();
    let twice = || ["Name.txt", "NAME.txt"].iter().all(|name| world.folder.join(name).exists());
    world.never_seen("it is here twice", Duration::from_secs(6), twice);
    world.eventually("one file", || world.disk() == world.remote() && world.disk().len() == 2);
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// Dropbox's version has the name, and the local one is a conflicted copy, on both sides, with no problem left.
fn both_versions(world: &World, here: &str) {
    world.eventually("both versions on both sides", || {
        let disk = world.disk();
        disk == world.remote() && disk.len() == 3
    });
    let status = world.until_status("rest", |s| s["accounts"][0]["folders"][0]["state"] == "in_sync");
    assert_eq!(status["accounts"][0]["folders"][0]["problems"], 0, "{status}");
    let contents: Vec<(String, String)> = (world.disk().into_keys())
        .map(|path| (path.clone(), fs::read_to_string(world.folder.join(path)).unwrap()))
        .collect();
    let holds =
        |copy: bool, text: &str| contents.iter().any(|(p, c)| p.contains("conflicted copy") == copy && c == text);
    assert!(holds(false, "after") && holds(true, here), "{contents:?}");
}

/// Dropbox gives a file other letters while it comes down, and what has those letters here is nothing that could be agreed on. The row of the former
/// letters ends; that of the new ones says what is in the way.
#[test]
fn c4_what_is_in_the_way_of_the_letters_that_dropbox_shows_is_a_problem_and_no_download_without_end() {
    let mut world = World::new();
    world.mode = "two-way";
    rustix::fs::mkfifoat(rustix::fs::CWD, world.folder.join("A.txt"), rustix::fs::Mode::RUSR).unwrap();
    let _daemon = world.daemon();
    let pending = |s: &serde_json::Value, what: &str| s["accounts"][0]["folders"][0]["pending"][what].as_u64().unwrap();
    world.until_status("the FIFO is a problem", |s| s["accounts"][0]["folders"][0]["problems"] == 1);
    world.standin.faults().add(Fault::once("files/download", Effect::StallReply(Duration::from_secs(3))));
    world.standin.write("/T/a.txt", "1");
    world.until("the download", |s| s.calls_of("files/download") > 0);
    world.standin.quietly(|s| assert!(s.rename("/T/a.txt", "/T/on its way")));
    assert!(world.standin.rename("/T/on its way", "/T/A.txt"));
    world.eventually("the row of the former letters ends", || {
        world.stored("SELECT path FROM job") == ["A.txt"] && world.stored("SELECT code FROM job") == ["type"]
    });
    let status = world.until_status("rest", |s| pending(s, "downloads") == 0);
    assert_eq!(status["accounts"][0]["folders"][0]["problems"], 1, "{status}");
    assert_eq!(world.remote().len(), 1);
    world.assert_clean();
}
