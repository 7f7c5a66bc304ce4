//! Names that changed only their letters.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::harness::World;

/// The new name's row comes late, as on a busy machine: its file's mode is changed again and again. The former name does not come down beside it meanwhile.
#[test]
fn c4_renamed_in_its_letters_here_and_edited_there_is_one_file_with_the_new_letters_and_content() {
    let mut world = World::new();
    world.mode = "two-way";
    world.write("Name.txt", "before");
    world.write("keep", "k");
    let daemon = world.daemon();
    world.eventually("both in Dropbox", || world.remote().len() == 2);
    world.until_folder("in_sync");
    let (old, new) = (world.folder.join("Name.txt"), world.folder.join("NAME.txt"));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        fs::rename(&old, &new).unwrap();
        scope.spawn(|| {
            for mode in [0o600, 0o640].into_iter().cycle().take(400).take_while(|_| !over.load(Ordering::Relaxed)) {
                let _ = fs::set_permissions(&new, fs::Permissions::from_mode(mode));
                std::thread::sleep(Duration::from_millis(30));
            }
        });
        world.standin.write("/T/Name.txt", "after");
        world.never("the former name came down again", Duration::from_secs(6), |_| old.is_file());
        over.store(true, Ordering::Relaxed);
    });
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
