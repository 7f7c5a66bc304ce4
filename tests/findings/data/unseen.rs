//! What the listing leaves out, or may not show, and a folder that looks empty because of that.

use std::fs;
use std::time::Duration;

use ferrybox_standin::{Mount, Rights};
use serde_json::json;

use crate::harness::{self, World};

fn two_way() -> World {
    let mut world = World::new();
    world.mode = "two-way";
    world.write("keep", "k");
    world
}

fn problems(world: &World) -> String {
    harness::told(world, &["problems"])
}

/// A folder that came down empty, since the listing was told to leave out what is in it, is not empty.
#[test]
fn d1_removing_an_empty_looking_folder_keeps_what_the_listing_leaves_out() {
    let mut world = two_way();
    world.extra = "[listing]\ninclude_non_downloadable_files = false\ninclude_mounted_folders = false\n".to_owned();
    let standin = &world.standin;
    for path in ["/T/Docs/plan.gdoc", "/T/Shared/a.txt", "/T/Shared/sub/b.txt", "/T/above/Team/c.txt"] {
        standin.write(path, path);
    }
    standin.decorate("/T/Docs/plan.gdoc", json!({ "is_downloadable": false, "export_info": { "export_as": "docx" } }));
    standin.mount("/T/Shared", Mount::Shared);
    standin.mount("/T/above/Team", Mount::App);
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let at = |path: &str| world.folder.join(path);
    world.eventually("the folders", || at("Docs").is_dir() && at("Shared").is_dir() && at("above/Team").is_dir());
    for dir in ["Docs", "Shared", "above/Team", "above"] {
        fs::remove_dir(at(dir)).unwrap();
    }
    world.eventually("a word on why they stay", || {
        let told = problems(&world);
        ["plan.gdoc", "a.txt", "c.txt"].iter().all(|name| told.contains(name))
    });
    assert_eq!((standin.file_count(), world.deletions()), (5, 0), "{}", world.log());
    assert!(standin.folder("/T/Docs") && standin.folder("/T/Shared/sub") && standin.folder("/T/above/Team"));
    // Looked into again, but less and less often.
    standin.reset_counters();
    world.never("a storm of looks", Duration::from_secs(5), |s| s.calls_of("files/list_folder") > 20);
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// A folder that this account may not look into is never deleted, and neither is one that it lies in.
#[test]
fn d1_what_may_not_be_looked_into_is_never_deleted() {
    let world = two_way();
    let standin = &world.standin;
    for path in ["/T/shut/a", "/T/walk/b", "/T/above/shut/c", "/T/plain/d"] {
        standin.write(path, path);
    }
    standin.set_rights("/T/shut", Rights { no_access: true, ..Rights::default() });
    standin.set_rights("/T/walk", Rights { traverse_only: true, ..Rights::default() });
    standin.set_rights("/T/above/shut", Rights { no_access: true, ..Rights::default() });
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let at = |path: &str| world.folder.join(path);
    world.eventually("the folders", || at("shut").is_dir() && at("walk").is_dir() && at("above/shut").is_dir());
    fs::remove_dir(at("shut")).unwrap();
    fs::remove_dir(at("walk")).unwrap();
    fs::remove_dir_all(at("above")).unwrap();
    fs::remove_dir_all(at("plain")).unwrap();
    world.until("what may go", |s| !s.folder("/T/plain"));
    // They are here again, or a problem says why they are not.
    world.eventually("the end of it", || {
        let told = problems(&world);
        ["shut", "walk", "above"].iter().all(|dir| at(dir).is_dir() || told.contains(dir))
    });
    world.never("one of them went", Duration::from_secs(3), |s| {
        !s.folder("/T/shut") || !s.folder("/T/walk") || !s.folder("/T/above/shut")
    });
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}
