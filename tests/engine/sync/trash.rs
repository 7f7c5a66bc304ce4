//! The local trash of the real binary: what is written to there, how long it is kept, and what a crash leaves beside its place.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::read;
use crate::harness::{World, json, told};

fn world() -> World {
    let mut world = World::new();
    world.mode = "two-way";
    world.extra = "rescan = \"1s\"\n[safety]\nmax_deletion_share = \"100%\"\ntrash_days = 0\n".into();
    world
}

/// What the trash holds.
fn trash(world: &World) -> Vec<String> {
    fn walk(dir: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            match fs::read_to_string(entry.path()) {
                Ok(text) => found.push(text),
                Err(_) => walk(&entry.path(), found),
            }
        }
    }
    let mut found = Vec::new();
    walk(&world.folder.join(".ferrybox/trash"), &mut found);
    found.sort();
    found
}

/// Where this content is on the disk, under which name of a conflicted copy.
fn copy_of(world: &World, content: &str) -> Option<String> {
    world
        .disk()
        .into_keys()
        .find(|path| path.contains("conflicted copy") && read(world, path).as_deref() == Some(content))
}

/// B6: a program keeps a file open that is replaced, or deleted, and writes to it afterwards: at once, or without a trace in the file's size and times.
/// What it writes is kept beside the file and goes up; until it has closed the file, that stays in the trash however old it is.
#[test]
fn b6_what_a_program_writes_to_a_replaced_file_is_kept() {
    let world = world();
    for name in ["replaced", "d/deleted", "secretly", "untouched"] {
        world.write(name, "one");
    }
    world.write("keep", "k");
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    let open = |name: &str| fs::File::options().read(true).write(true).open(world.folder.join(name)).unwrap();
    let [mut replaced, mut deleted, secretly, untouched] = ["replaced", "d/deleted", "secretly", "untouched"].map(open);
    for name in ["replaced", "secretly", "untouched"] {
        world.standin.write(&format!("/T/{name}"), "from there");
    }
    world.standin.delete("/T/d");
    for name in ["replaced", "secretly", "untouched"] {
        world.eventually(name, || read(&world, name).as_deref() == Some("from there"));
    }
    world.eventually("the deletion", || !world.folder.join("d").exists());
    // Each order is a scan, and a purge after it.
    for _ in 0..2 {
        told(&world, &["sync", "--wait"]);
    }
    assert_eq!(trash(&world), ["one"; 4], "they are open");
    replaced.write_all(b"one and more").unwrap();
    deleted.write_all(b"my two").unwrap();
    let before = secretly.metadata().unwrap().modified().unwrap();
    secretly.write_all_at(b"two", 0).unwrap();
    secretly.set_modified(before).unwrap();
    drop((replaced, deleted, secretly, untouched));
    for content in ["one and more", "my two", "two"] {
        world.eventually(content, || copy_of(&world, content).is_some());
        let copy = format!("/T/{}", copy_of(&world, content).unwrap());
        world.until(content, |s| s.content(&copy).is_some_and(|bytes| *bytes == *content.as_bytes()));
    }
    world.eventually("an empty trash", || trash(&world).is_empty());
    world.until_folder("in_sync");
    world.assert_equal();
    assert_eq!(world.disk().len(), 7, "{:?}", world.disk());
    let conflicts = json(&world, &["conflicts", "--json"]);
    let mut paths: Vec<_> =
        conflicts["items"].as_array().unwrap().iter().map(|c| c["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    assert!(
        ["d/deleted", "replaced", "secretly"].iter().all(|path| paths.iter().any(|found| found.ends_with(path))),
        "{conflicts}"
    );
    assert!(told(&world, &["history"]).contains("conflict"));
    world.assert_clean();
}

/// The age is by the time that the program has seen go by: a clock that was wrong when the file went, or is wrong at the purge, makes nothing old.
#[test]
fn the_trash_s_age_is_not_the_wall_clock_s() {
    let mut world = world();
    world.extra = world.extra.replace("trash_days = 0", "trash_days = 30");
    world.write("f", "gone");
    world.write("keep", "k");
    world.once_in_sync();
    world.standin.delete("/T/f");
    world.once_in_sync();
    // It went when the clock stood in 1980.
    let trashes = world.folder.join(".ferrybox/trash");
    let stamp = fs::read_dir(&trashes).unwrap().next().unwrap().unwrap().path();
    fs::rename(&stamp, trashes.join("1980-01-02T03-04-05Z")).unwrap();
    for _ in 0..2 {
        world.once_in_sync();
        assert_eq!(trash(&world), ["gone"]);
    }
    // The clock of the last run stood years ago: that is one day, and not thirty.
    let db = rusqlite::Connection::open(world.state().join("test/state.db")).unwrap();
    let lived = || world.stored("SELECT trash_ms || ' ' || trash_at FROM folder").remove(0);
    let set = |text: &str| {
        let (ms, at) = text.split_once(' ').unwrap();
        db.execute("UPDATE folder SET trash_ms = CAST(?1 AS INTEGER), trash_at = CAST(?2 AS INTEGER)", [ms, at])
            .unwrap()
    };
    let count = |text: &str| text.split_once(' ').unwrap().0.parse::<i64>().unwrap();
    let before = count(&lived());
    set(&format!("{before} 0"));
    world.once_in_sync();
    let day = 24 * 3600 * 1000;
    assert_eq!((count(&lived()) - before, trash(&world)), (day, vec!["gone".to_owned()]));
    // Thirty days of its own.
    set(&lived().replacen(&count(&lived()).to_string(), &(before + 30 * day).to_string(), 1));
    world.once_in_sync();
    assert!(trash(&world).is_empty());
    assert_eq!(fs::read_dir(world.folder.join(".ferrybox/notes")).unwrap().count(), 0);
    world.assert_clean();
}

/// B2: what a crash left beside its place is looked after at the next start: half a download and what was agreed on go to the trash, and what nobody
/// knows is kept and told.
#[test]
fn b2_what_a_crash_left_beside_its_place_is_looked_after() {
    let mut world = world();
    world.extra = world.extra.replace("trash_days = 0", "trash_days = 30");
    world.write("d/f", "agreed on");
    world.once_in_sync();
    let known: String = ferrybox_standin::content_hash(b"agreed on").chars().take(16).collect();
    let none = "0".repeat(16);
    for (name, content) in [
        (format!(".~ferrybox-new-{none}-f"), "half a downl"),
        (format!(".~ferrybox-old-{none}-{known}-{none}-f"), "agreed on"),
        (format!(".~ferrybox-old-{known}-{known}-{none}-f"), "an edit"),
        (".~ferrybox-mine".to_owned(), "somebody's own"),
    ] {
        world.write(&format!("d/{name}"), content);
    }
    world.once_in_sync();
    assert_eq!(trash(&world), ["agreed on", "half a downl"]);
    let copy = copy_of(&world, "an edit").unwrap();
    assert!(copy.starts_with("d/f ("), "{copy}");
    assert_eq!(world.remote().len(), 2);
    assert_eq!(world.remote().get(&copy), world.disk().get(&copy));
    let names: Vec<_> = world.disk().into_keys().filter(|path| path.contains(".~ferrybox")).collect();
    assert_eq!(names, ["d/.~ferrybox-mine"]);
    assert_eq!(world.stored("SELECT path FROM conflict"), ["d/f"]);
    world.assert_clean();
}
