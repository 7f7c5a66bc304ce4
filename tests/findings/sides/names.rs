//! Letters, marks and names that change in Dropbox.

use ferrybox_standin::Rights;
use serde_json::json as value;

use crate::harness::{World, json, told};

fn two_way() -> World {
    let mut world = World::new();
    world.mode = "two-way";
    world
}

#[test]
fn c16_parents_without_entries_of_their_own_come_down_in_their_letters() {
    let world = two_way();
    world.standin.write("/T/Photos/Summer 2020/IMG.txt", "i");
    // An entry of an unknown kind is left out.
    for folder in ["/T/Photos", "/T/Photos/Summer 2020"] {
        world.standin.decorate(folder, value!({".tag": "nothing"}));
    }
    let daemon = world.daemon();
    world.eventually("the file", || world.disk().contains_key("Photos/Summer 2020/IMG.txt"));
    world.until_folder("in_sync");
    assert_eq!(world.disk().len(), 1, "{:?}", world.disk());
    // The folder's own entry has the last word.
    let file = "/T/Letters/Sub/x";
    for folder in ["/T/Letters", "/T/Letters/Sub"] {
        world.standin.make_folder(folder);
        world.standin.decorate(folder, value!({".tag": "nothing"}));
    }
    world.standin.decorate(file, value!({"path_display": "/T/letters/Sub/x"}));
    world.standin.write(file, "x");
    world.eventually("the file", || world.disk().contains_key("letters/Sub/x"));
    world.until_folder("in_sync");
    world.standin.decorate("/T/Letters", value!({}));
    world.standin.set_rights("/T/Letters", Rights { read_only: true, ..Rights::default() });
    world.eventually("its letters", || world.disk().contains_key("Letters/Sub/x"));
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!(world.disk().len(), 2, "{:?}", world.disk());
    world.assert_clean();
}

#[test]
fn c8_a_read_only_mark_that_is_lifted_wakes_what_waits_below_it() {
    let world = two_way();
    world.standin.write("/T/Shared/sub/old.txt", "o");
    let mark = |read_only: bool| {
        assert!(world.standin.set_rights("/T/Shared", Rights { read_only, ..Rights::default() }));
    };
    let daemon = world.daemon();
    world.eventually("what is there", || world.disk().len() == 1);
    mark(true);
    world.eventually("the mark", || told(&world, &["ls", "-R", "--json", "/T/Shared"]).contains(r#""read_only":true"#));
    world.write("Shared/sub/old.txt", "edited");
    world.write("Shared/new.txt", "n");
    world.write("plain.txt", "p");
    let problems = || json(&world, &["problems", "--json"])["items"].as_array().unwrap().len();
    world.eventually("two problems", || problems() == 2);
    mark(false);
    world.eventually("both go up", || world.disk() == world.remote() && problems() == 0);
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

#[test]
fn c11_a_folder_renamed_in_dropbox_is_no_deletion_whatever_its_size() {
    let world = two_way();
    for n in 0..20 {
        world.standin.write(&format!("/T/other/f{n}"), format!("other {n}"));
    }
    for n in 0..60 {
        world.standin.write(&format!("/T/V/f{n}"), format!("v {n}"));
    }
    let daemon = world.daemon();
    world.eventually("the first sync", || world.disk().len() == 80);
    world.until_folder("in_sync");
    world.standin.rename("/T/V", "/T/V2");
    world.eventually("the rename", || world.disk() == world.remote());
    world.until_folder("in_sync");
    // Renames do not add up, either.
    for (from, to) in [("V2", "V3"), ("other", "o2"), ("V3", "V4")] {
        world.standin.rename(&format!("/T/{from}"), &format!("/T/{to}"));
        world.eventually("another rename", || world.disk() == world.remote());
    }
    world.until_folder("in_sync");
    assert_eq!(world.standin.calls_of("files/download"), 80);
    // But a deletion is one, also beside a rename.
    world.standin.quietly(|a| {
        a.rename("/T/o2", "/T/o3");
        a.delete("/T/V4");
    });
    world.standin.tell();
    world.until_status("it is held", |s| !s["accounts"][0]["remote"]["held"].is_null());
    assert_eq!(world.disk().keys().filter(|path| path.starts_with("V4/")).count(), 60);
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}
