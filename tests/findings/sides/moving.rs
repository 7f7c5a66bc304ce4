//! What is renamed while it comes down, and what was moved in Dropbox between folders.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ferrybox_standin::{Effect, Fault};

use crate::harness::World;

#[test]
fn c13_a_folder_renamed_here_during_its_first_download_is_whole_under_its_new_name() {
    const FILES: usize = 80;
    let mut world = World::new();
    world.mode = "two-way";
    let daemon = world.in_sync_with(&["keep"]);
    world.standin.quietly(|a| {
        for n in 0..FILES {
            a.write(&format!("/T/first/sub/f{n:02}"), format!("content {n}"));
        }
    });
    let slow = Fault::always("files/download", Effect::StallReply(Duration::from_millis(700)));
    world.standin.faults().add(slow);
    world.standin.tell();
    world.eventually("some of it", || world.disk().len() > 12);
    fs::rename(world.folder.join("first"), world.folder.join("second")).unwrap();
    // Those under way in this moment, too, have no place under the old name any more.
    world.never_seen("the old name is back", Duration::from_secs(4), || world.folder.join("first").exists());
    world.standin.faults().clear();
    world.eventually("all of it", || world.disk().len() == FILES + 1 && world.disk() == world.remote());
    let strays: Vec<_> = world.disk().into_keys().filter(|path| path.starts_with("first")).collect();
    assert!(strays.is_empty() && !world.folder.join("first").exists(), "{strays:?}");
    assert!(!world.standin.folder("/T/first"));
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// Two folders of one account, and so two listings; the second one's directory.
fn two_folders() -> (World, PathBuf) {
    two_folders_of("two-way")
}

fn two_folders_of(mode: &str) -> (World, PathBuf) {
    let mut world = World::new();
    world.mode = "two-way";
    let second = world.dir.path().join("second");
    fs::create_dir(&second).unwrap();
    world.folder_extra = format!("[[account.folder]]\nlocal = {second:?}\nremote = \"/U\"\nmode = \"{mode}\"\n");
    world.standin.make_folder("/U");
    (world, second)
}

fn until_both_in_sync(world: &World) {
    world.until_status("both folders are in sync", |s| {
        s["accounts"][0]["folders"].as_array().unwrap().iter().all(|folder| folder["state"] == "in_sync")
    });
}

#[test]
fn q7_a_directory_moved_in_the_web_to_another_folder_comes_from_this_disk() {
    const FILES: usize = 23;
    let (world, second) = two_folders();
    for n in 0..FILES {
        world.standin.write(&format!("/T/D/sub/f{n:02}"), format!("content {n}"));
    }
    world.standin.write("/T/D/large", vec![7_u8; 3 << 20]);
    for n in 0..80 {
        world.write(&format!("keep/k{n}"), format!("kept {n}"));
    }
    let daemon = world.daemon();
    world.eventually("the first sync", || world.remote().len() == 81 + FILES && world.disk() == world.remote());
    until_both_in_sync(&world);
    let downloads = world.standin.calls_of("files/download");
    // Whichever of the two listings is the first to tell.
    for (from, to, at, gone) in [
        ("/T/D", "/U/D", second.join("D"), world.folder.join("D")),
        ("/U/D", "/T/E", world.folder.join("E"), second.join("D")),
    ] {
        assert!(world.standin.rename(from, to));
        world.eventually("it is here", || {
            let all = (0..FILES).all(|n| {
                fs::read_to_string(at.join(format!("sub/f{n:02}"))).is_ok_and(|text| text == format!("content {n}"))
            });
            all && fs::read(at.join("large")).is_ok_and(|bytes| bytes == [7; 3 << 20]) && !gone.exists()
        });
        until_both_in_sync(&world);
        assert_eq!(world.standin.calls_of("files/download"), downloads, "from {from} to {to}");
    }
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// Most of the folder's files go, and the other listing tells that they were moved.
#[test]
fn c11_a_folder_moved_in_dropbox_to_another_listing_is_no_deletion_whatever_its_size() {
    let (world, second) = two_folders();
    for n in 0..20 {
        world.standin.write(&format!("/T/other/f{n}"), format!("other {n}"));
    }
    for n in 0..60 {
        world.standin.write(&format!("/T/V/f{n}"), format!("v {n}"));
    }
    let daemon = world.daemon();
    world.eventually("the first sync", || world.disk().len() == 80);
    until_both_in_sync(&world);
    world.standin.rename("/T/V", "/U/V");
    world.eventually("it has moved", || {
        !world.folder.join("V").exists() && fs::read_dir(second.join("V")).is_ok_and(|files| files.count() == 60)
    });
    until_both_in_sync(&world);
    // But a deletion is one.
    world.standin.delete("/U/V");
    world.until_status("it is held", |s| !s["accounts"][0]["remote"]["held"].is_null());
    assert_eq!(fs::read_dir(second.join("V")).unwrap().count(), 60);
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// From a folder that only sends nothing comes down: what is moved there would be here no more.
#[test]
fn c11_a_folder_moved_in_dropbox_to_one_that_only_sends_is_a_deletion() {
    let (world, _) = two_folders_of("backup");
    world.write("keep", "k");
    for n in 0..60 {
        world.standin.write(&format!("/T/V/f{n}"), format!("v {n}"));
    }
    let daemon = world.daemon();
    world.eventually("the first sync", || world.disk().len() == 61);
    until_both_in_sync(&world);
    world.standin.rename("/T/V", "/U/V");
    world.until_status("it is held", |s| !s["accounts"][0]["remote"]["held"].is_null());
    world.never_seen("it goes", Duration::from_secs(3), || world.disk().len() < 61);
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}
