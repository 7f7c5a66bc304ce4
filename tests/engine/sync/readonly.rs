//! What Dropbox does not let this account do, or cannot give: read-only shared folders, documents without a file, symlinks of others.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;

use super::{read, remote};
use crate::harness::{World, text};
use ferrybox_standin::Settings;
use serde_json::{Value, json};

fn world() -> World {
    let mut world = World::with(Settings { read_only: vec!["/t/shared".into()], ..Settings::default() });
    world.mode = "two-way";
    world.extra = "[safety]\nmax_deletion_share = \"100%\"\n".into();
    world
}

/// The folder's owner writes there, who may.
fn owner(world: &World, path: &str, content: &str) {
    world.standin.set(|s| s.read_only.clear());
    assert!(world.standin.write(&format!("/T/{path}"), content.to_owned()).is_some());
    world.standin.set(|s| s.read_only = vec!["/t/shared".to_owned()]);
}

fn problems(world: &World) -> Vec<(String, String)> {
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    let out = world.command(&["problems", "--json"]).output().unwrap();
    let json: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", text(&out)));
    let word = |item: &Value, key: &str| item[key].as_str().unwrap().to_owned();
    let items = json["items"].as_array().unwrap().iter();
    let mut found: Vec<_> = items.map(|item| (word(item, "path"), word(item, "code"))).collect();
    found.sort();
    found
}

fn of<const N: usize>(all: [(&str, &str); N]) -> Vec<(String, String)> {
    all.map(|(path, code)| (path.to_owned(), code.to_owned())).to_vec()
}

/// K4: in a folder that may only be read, an edit and a new file stay here with a problem, what is deleted or renamed comes down again, and nothing of
/// it is ever sent.
#[test]
fn k4_nothing_is_sent_to_a_read_only_folder() {
    let world = world();
    for name in ["edited", "deleted", "renamed", "touched", "dir/in it"] {
        owner(&world, &format!("Shared/{name}"), name.trim_start_matches("dir/"));
    }
    world.standin.write("/T/mine", "m");
    world.once_in_sync();
    world.write("Shared/edited", "my edit");
    fs::remove_file(world.folder.join("Shared/deleted")).unwrap();
    fs::rename(world.folder.join("Shared/renamed"), world.folder.join("Shared/new name")).unwrap();
    fs::remove_dir_all(world.folder.join("Shared/dir")).unwrap();
    world.write("Shared/new/deep", "n");
    fs::create_dir(world.folder.join("Shared/empty")).unwrap();
    world.write("Shared/touched", "touched");
    let there = world.remote();
    world.standin.reset_counters();
    for _ in 0..2 {
        let out = world.once();
        assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    }
    assert_eq!(world.remote(), there);
    assert_eq!((world.standin.data_transport_calls(), world.deletions()), (0, 0), "{:?}", world.standin.calls());
    assert_eq!(read(&world, "Shared/edited").as_deref(), Some("my edit"));
    assert_eq!(read(&world, "Shared/deleted").as_deref(), Some("deleted"));
    assert_eq!(read(&world, "Shared/renamed").as_deref(), Some("renamed"));
    assert_eq!(read(&world, "Shared/dir/in it").as_deref(), Some("in it"));
    let told = of([
        ("Shared/edited", "read_only"),
        ("Shared/empty", "read_only"),
        ("Shared/new", "read_only"),
        ("Shared/new name", "read_only"),
        ("Shared/new/deep", "read_only"),
    ]);
    assert_eq!(problems(&world), told);
    // The owner's edit meets ours: both are here, and still nothing is sent.
    owner(&world, "Shared/edited", "the owner's");
    let out = world.once();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    assert_eq!(read(&world, "Shared/edited").as_deref(), Some("the owner's"));
    let copy = world.disk().into_keys().find(|p| p.contains("conflicted copy")).unwrap();
    assert_eq!(read(&world, &copy).as_deref(), Some("my edit"));
    assert_eq!(world.standin.data_transport_calls(), 0);
    // Moved to where this account may write, it is synced, and the problem is over.
    fs::rename(world.folder.join("Shared/new/deep"), world.folder.join("deep")).unwrap();
    fs::remove_dir(world.folder.join("Shared/new")).unwrap();
    world.once();
    assert_eq!(remote(&world, "deep").as_deref(), Some("n"));
    world.assert_clean();
}

/// K4 in a mirror, which brings nothing down: nothing is sent, and each change is told.
#[test]
fn k4_a_mirror_sends_nothing_either() {
    let mut world = world();
    owner(&world, "Shared/equal", "equal");
    owner(&world, "Shared/other", "theirs");
    world.mode = "mirror";
    world.write("Shared/equal", "equal");
    world.write("Shared/other", "ours!!");
    world.write("Shared/new", "n");
    world.write("mine", "m");
    let out = world.once();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    fs::remove_file(world.folder.join("Shared/equal")).unwrap();
    let out = world.once();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    assert_eq!((world.standin.file_count(), world.deletions()), (3, 0));
    let told = of([("Shared/equal", "read_only"), ("Shared/new", "read_only"), ("Shared/other", "read_only")]);
    assert_eq!(problems(&world), told);
    world.assert_clean();
}

/// B13: what exists in Dropbox only does not come down and is no problem; the folder that holds it survives the deletion of its directory here.
#[test]
fn b13_a_folder_with_documents_that_cannot_be_downloaded_is_kept() {
    let world = world();
    for path in ["d/Plan.paper", "alone/Notes.gdoc"] {
        world.standin.write(&format!("/T/{path}"), "cloud");
        world.standin.decorate(&format!("/T/{path}"), json!({"is_downloadable": false}));
    }
    world.write("d/file", "f");
    world.write("keep", "k");
    world.once_in_sync();
    assert_eq!(world.standin.calls_of("files/download"), 0);
    assert!(!world.folder.join("d/Plan.paper").exists() && world.folder.join("alone").is_dir());
    fs::remove_dir_all(world.folder.join("d")).unwrap();
    fs::remove_dir_all(world.folder.join("alone")).unwrap();
    let out = world.once();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    assert!(remote(&world, "d/Plan.paper").is_some() && remote(&world, "alone/Notes.gdoc").is_some());
    assert_eq!(remote(&world, "d/file"), None, "what was synced goes");
    assert_eq!(problems(&world), of([("alone", "cloud_only"), ("d", "cloud_only")]));
    // Something of that name here: both stay as they are.
    world.write("alone/Notes.gdoc", "mine");
    let out = world.once();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    assert_eq!(read(&world, "alone/Notes.gdoc").as_deref(), Some("mine"));
    assert!(problems(&world).contains(&("alone/Notes.gdoc".to_owned(), "cloud_only".to_owned())));
    world.assert_clean();
}

/// R7, B15: a symlink of somebody else's, wherever it leads, is not made here, nor downloaded as a file; a file that became one stays.
#[test]
fn r7_a_symlink_in_dropbox_is_not_made_here() {
    let mut world = world();
    world.write("was a file", "content");
    world.write("keep", "k");
    world.once_in_sync();
    world.standin.write("/T/link", "");
    world.standin.write("/T/was a file", "");
    for path in ["/T/link", "/T/was a file"] {
        world.standin.decorate(path, json!({"symlink_info": {"target": "../../etc/passwd"}}));
    }
    let out = world.once();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    assert!(fs::symlink_metadata(world.folder.join("link")).is_err());
    assert_eq!(read(&world, "was a file").as_deref(), Some("content"));
    assert_eq!(problems(&world), of([("link", "symlink"), ("was a file", "symlink")]));
    world.folder_extra = "symlinks = \"ignore\"".into();
    world.once_in_sync();
    assert!(fs::symlink_metadata(world.folder.join("link")).is_err());
    assert_eq!(read(&world, "was a file").as_deref(), Some("content"));
    world.assert_clean();
}
