//! Another question to the listing is no evidence of a deletion, and each folder may have a question of its own.

use std::time::Duration;

use ferrybox_standin::Mount;

use crate::harness::{World, json, text};

/// Five files in sync, of which two lie in a folder that is mounted.
fn five() -> World {
    let mut world = World::new();
    world.mode = "two-way";
    for path in ["a.txt", "d/b.txt", "d/c.txt", "Shared/a.txt", "Shared/sub/b.txt"] {
        world.standin.write(&format!("/T/{path}"), format!("text of {path}"));
    }
    assert!(world.standin.mount("/T/Shared", Mount::Shared));
    world
}

fn until_five(world: &World) {
    world.until_status("five files are in sync", |s| {
        let folder = &s["accounts"][0]["folders"][0];
        folder["state"] == "in_sync" && folder["files"] == 5
    });
}

#[test]
fn d2_a_narrower_question_to_the_listing_trashes_nothing() {
    for option in ["include_mounted_folders", "include_non_downloadable_files"] {
        let mut world = five();
        let daemon = world.daemon();
        until_five(&world);
        let (mine, theirs) = (world.disk(), world.remote());
        drop(daemon);
        world.extra = format!("[listing]\n{option} = false\n");
        let lists = world.standin.calls_of("files/list_folder");
        let daemon = world.daemon();
        world.until("it is listed again", |s| s.calls_of("files/list_folder") > lists);
        world.until_folder("in_sync");
        // What is compared once more says the same.
        world.write("a.txt", "changed");
        world.eventually("a change goes up", || world.remote() == world.disk());
        assert_eq!(world.disk().len(), mine.len(), "{option}: {:?}", world.disk());
        drop(daemon);
        let _daemon = world.daemon();
        world.until_folder("in_sync");
        assert_eq!((world.disk().len(), world.deletions()), (5, 0), "{option}");
        assert_eq!(world.remote().len(), theirs.len());
        world.assert_clean();
    }
}

/// So much is left out that a listing of the same question would be held.
#[test]
fn d2_a_narrower_question_that_leaves_out_most_entries_is_no_held_listing() {
    let mut world = World::new();
    world.mode = "two-way";
    for i in 0..20 {
        world.standin.write(&format!("/T/d/f{i}"), format!("text {i}"));
    }
    for i in 0..60 {
        world.standin.write(&format!("/T/Shared/f{i}"), format!("shared {i}"));
    }
    assert!(world.standin.mount("/T/Shared", Mount::Shared));
    world.once_in_sync();
    assert_eq!(world.disk().len(), 80);
    world.extra = "[listing]\ninclude_mounted_folders = false\n".to_owned();
    let lists = world.standin.calls_of("files/list_folder");
    let daemon = world.daemon();
    world.until("it is listed again", |s| s.calls_of("files/list_folder") > lists);
    world.until_folder("in_sync");
    // The narrower listing is the one that is followed: a change of the other files comes down.
    world.standin.write("/T/d/f0", "changed there");
    world.eventually("a change comes down", || {
        std::fs::read_to_string(world.folder.join("d/f0")).is_ok_and(|text| text == "changed there")
    });
    let held = json(&world, &["approve", "--json"]);
    assert_eq!(held["total"], 0, "{held}");
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!((world.disk().len(), world.remote().len(), world.deletions()), (80, 80, 0));
    world.assert_clean();
}

#[test]
fn d2_what_the_listing_leaves_out_is_not_deleted_by_a_removal_here() {
    let mut world = five();
    let daemon = world.daemon();
    until_five(&world);
    drop(daemon);
    world.extra = "[listing]\ninclude_mounted_folders = false\n".to_owned();
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    std::fs::remove_file(world.folder.join("Shared/a.txt")).unwrap();
    std::fs::remove_file(world.folder.join("d/b.txt")).unwrap();
    // The other one, which the listing does show, goes.
    world.eventually("it goes", || !world.remote().contains_key("d/b.txt"));
    world.never("what is left out goes, too", Duration::from_secs(3), |s| s.file("/T/Shared/a.txt").is_none());
    world.assert_clean();
}

/// `[account.folder.listing]` over `[account.listing]` over `[listing]`, kept through restarts.
#[test]
fn d2_each_folder_has_its_own_question_to_the_listing() {
    let mut world = five();
    world.extra = "[listing]\nlimit = 500\n".to_owned();
    world.account_extra = "[account.listing]\ninclude_has_explicit_shared_members = true\n".to_owned();
    world.folder_extra = "[account.folder.listing]\ninclude_mounted_folders = false\nlimit = 300\n".to_owned();
    let daemon = world.daemon();
    world.eventually("three files come down", || world.disk().len() == 3);
    world.until_folder("in_sync");
    let asked = world.standin.last_argument("files/list_folder");
    assert_eq!(
        (&asked["limit"], &asked["include_has_explicit_shared_members"], &asked["include_mounted_folders"]),
        (&300.into(), &true.into(), &false.into()),
        "{asked}"
    );
    let lists = world.standin.calls_of("files/list_folder");
    drop(daemon);
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    assert_eq!(world.standin.calls_of("files/list_folder"), lists, "the same question is not asked again");
    let shown = json(&world, &["config", "show", "--json"]);
    assert!(shown.to_string().contains("account[0].folder[0].listing.limit"), "{shown}");
    world.folder_extra = "[account.folder.listing]\nlimits = 300\n".to_owned();
    world.write_config();
    let out = world.command(&["config", "check"]).output().unwrap();
    assert!(text(&out).contains("did you mean account.folder.listing.limit?"), "{}", text(&out));
}

/// Another root is another tree: what it lacks was never deleted, and what it has instead was never edited.
#[test]
fn d2_another_path_root_deletes_and_replaces_nothing() {
    let mut world = World::new();
    world.mode = "two-way";
    for path in ["a", "b", "c", "d/e"] {
        world.standin.write(&format!("/T/{path}"), path);
    }
    world.once_in_sync();
    let mine = world.disk();
    world.standin.set_root_namespace_id("777000");
    world.standin.delete("/T/a");
    world.standin.delete("/T/d");
    world.standin.write("/T/b", "of the other tree");
    world.account_extra = "path_root = \"root\"".to_owned();
    let daemon = world.daemon();
    let why = world.until_folder("held");
    assert!(why.contains("another namespace") && why.contains("path_root"), "{why}");
    assert_eq!((world.disk(), world.deletions()), (mine, 0));
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// What `exclude` leaves out, and takes back in, is no deletion on either side.
#[test]
fn d2_what_is_excluded_and_included_again_is_no_deletion() {
    let mut world = World::new();
    world.mode = "two-way";
    for path in ["a", "d/b", "d/c"] {
        world.standin.write(&format!("/T/{path}"), path);
    }
    world.once_in_sync();
    world.folder_extra = "exclude = [\"/d\"]".to_owned();
    world.once_in_sync();
    assert_eq!((world.disk().len(), world.remote().len()), (3, 3));
    // Meanwhile each side loses one of them.
    std::fs::remove_file(world.folder.join("d/b")).unwrap();
    world.standin.delete("/T/d/c");
    world.once_in_sync();
    world.folder_extra = String::new();
    world.once_in_sync();
    // Both come back, as where sides meet for the first time.
    assert_eq!((world.disk().len(), world.deletions()), (3, 0));
    world.assert_equal();
    world.assert_clean();
}
