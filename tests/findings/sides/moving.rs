//! What is renamed while it comes down, and what was moved in Dropbox between folders.

use std::fs;
use std::time::Duration;

use ferrybox_standin::{Effect, Fault};

use crate::harness::World;

#[test]
fn c13_a_folder_renamed_here_during_its_first_download_is_whole_under_its_new_name() {
    const FILES: usize = 80;
    let mut world = World::new();
    world.mode = "two-way";
    world.write("keep", "k");
    let daemon = world.daemon();
    world.eventually("it is in Dropbox", || world.remote().len() == 1);
    world.until_folder("in_sync");
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
    world.never("the old name is back", Duration::from_secs(4), |_| world.folder.join("first").exists());
    world.standin.faults().clear();
    world.eventually("all of it", || world.disk().len() == FILES + 1 && world.disk() == world.remote());
    let strays: Vec<_> = world.disk().into_keys().filter(|path| path.starts_with("first")).collect();
    assert!(strays.is_empty() && !world.folder.join("first").exists(), "{strays:?}");
    assert!(!world.standin.folder("/T/first"));
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}
