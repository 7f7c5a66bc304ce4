//! What a listing asks for, and what becomes of one that does not work as asked.

use crate::harness::{World, text};

#[test]
fn r6_what_would_be_thrown_away_is_not_asked_and_its_setting_is_refused_with_the_reason() {
    let mut world = World::new();
    world.standin.write("/T/a", "a");
    let daemon = world.daemon();
    world.until_folder("in_sync");
    drop(daemon);
    let asked = world.standin.last_argument("files/list_folder");
    for key in ["include_deleted", "include_media_info", "include_restorable_info"] {
        assert!(asked.get(key).is_none_or(|value| value == false), "{asked}");
        for (at, value) in [(0, true), (1, true), (2, true), (0, false)] {
            let table = ["listing", "account.listing", "account.folder.listing"][at];
            let section = format!("[{table}]\n{key} = {value}\n");
            (world.extra, world.account_extra, world.folder_extra) = Default::default();
            *[&mut world.extra, &mut world.account_extra, &mut world.folder_extra][at] = section;
            world.write_config();
            let out = world.command(&["config", "check"]).output().unwrap();
            let said = text(&out);
            assert!(!out.status.success(), "{said}");
            assert!(said.contains(&format!("{table}.{key} in ")) && said.contains("Take the line out"), "{said}");
            assert!(!said.contains("did you mean"), "{said}");
        }
    }
}
