//! Conflicts on names that leave no room for the mark.

use crate::harness::{World, told};

/// The size of a name, as a disk and as Dropbox count it.
fn fits(name: &str) -> bool {
    name.len() <= 255 && name.encode_utf16().count() <= 255
}

#[test]
fn c5_a_conflict_on_a_long_name_of_several_bytes_a_letter_ends_with_both_versions() {
    // 243 bytes of Cyrillic, 252 of Chinese, 251 of emoji and 255 of umlauts; and 255 of ASCII, which were right.
    let names = [
        format!("{}.txt", "ж".repeat(119)),
        "漢".repeat(84),
        format!("{}.md", "😀".repeat(62)),
        format!("{}a", "ü".repeat(127)),
        format!("{}.txt", "x".repeat(251)),
    ];
    let mut world = World::new();
    world.mode = "two-way";
    for name in &names {
        assert!(fits(name));
        world.write(name, "before");
    }
    let _daemon = world.daemon();
    world.eventually("all of them in Dropbox", || world.remote().len() == names.len());
    world.until_folder("in_sync");
    told(&world, &["pause"]);
    for name in &names {
        world.write(name, format!("here {name}"));
        world.standin.write(&format!("/T/{name}"), format!("there {name}"));
    }
    told(&world, &["resume"]);
    world.eventually("both versions of each on both sides", || {
        world.disk().len() == 2 * names.len() && world.disk() == world.remote()
    });
    for name in &names {
        assert_eq!(std::fs::read_to_string(world.folder.join(name)).unwrap(), format!("there {name}"));
    }
    let copies: Vec<_> = world.disk().into_keys().filter(|name| name.contains("conflicted copy")).collect();
    assert_eq!(copies.len(), names.len());
    assert!(copies.iter().all(|name| fits(name)), "{copies:?}");
    world.until_folder("in_sync");
    world.assert_clean();
}
