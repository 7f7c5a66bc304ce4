//! A file and a folder in each other's place.

use std::fs;

use crate::harness::World;

/// The folder's files were changed in Dropbox meanwhile, and an edit beats a deletion: they need the folder, and so the file stands aside.
#[test]
fn c2_a_file_in_the_place_of_a_folder_whose_files_were_changed_there_stands_aside() {
    let mut world = World::new();
    world.mode = "two-way";
    for name in ["D/edited", "D/sub/edited", "D/removed", "keep"] {
        world.write(name, name);
    }
    world.standin.make_folder("/T/D/empty");
    let daemon = world.daemon();
    world.eventually("both sides are equal", || world.remote().len() == 4 && world.folder.join("D/empty").is_dir());
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    let dir = world.folder.join("D");
    fs::remove_dir_all(&dir).unwrap();
    fs::write(&dir, "a file here").unwrap();
    for name in ["edited", "sub/edited", "new"] {
        world.standin.write(&format!("/T/D/{name}"), format!("{name} there"));
    }
    let daemon = world.daemon();
    world.eventually("both sides have all of it", || {
        let disk = world.disk();
        disk == world.remote() && disk.len() == 5
    });
    for name in ["edited", "sub/edited", "new"] {
        assert_eq!(fs::read_to_string(dir.join(name)).unwrap(), format!("{name} there"));
    }
    let copy = world.disk().into_keys().find(|path| path.starts_with("D (") && path.contains("conflicted copy"));
    assert_eq!(fs::read_to_string(world.folder.join(copy.unwrap())).unwrap(), "a file here");
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}
