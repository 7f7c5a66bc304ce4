//! Symlinks, special files and hard links: never followed, never opened, never made.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use crate::harness::{World, text};
use serde_json::Value;

fn world() -> World {
    let mut world = World::new();
    world.mode = "two-way";
    world
}

fn problems(world: &World) -> Vec<(String, String)> {
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    let out = world.command(&["problems", "--json"]).output().unwrap();
    let json: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", text(&out)));
    let word = |item: &Value, key: &str| item[key].as_str().unwrap().to_owned();
    let mut found: Vec<_> =
        json["items"].as_array().unwrap().iter().map(|item| (word(item, "path"), word(item, "code"))).collect();
    found.sort();
    found
}

fn mkfifo(world: &World, path: &str) {
    let at = world.folder.join(path);
    rustix::fs::mknodat(rustix::fs::CWD, &at, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
}

/// K5: a FIFO and a socket are told and never opened: opening one would hang, since nobody writes to it.
#[test]
fn k5_special_files_are_never_opened() {
    let world = world();
    world.write("d/ok", "1");
    mkfifo(&world, "d/fifo");
    let _socket = std::os::unix::net::UnixListener::bind(world.folder.join("d/socket")).unwrap();
    let out = world.once();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    assert_eq!(world.standin.file_count(), 1);
    // One that takes the place of a file that was synced.
    fs::remove_file(world.folder.join("d/ok")).unwrap();
    mkfifo(&world, "d/ok");
    world.standin.write("/T/d/ok", "changed there");
    let out = world.once();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    assert_eq!(world.standin.file_count(), 1, "its file in Dropbox stays");
    let found = problems(&world);
    let told = [("d/fifo", "type"), ("d/ok", "type"), ("d/socket", "type")];
    assert_eq!(found, told.map(|(path, code)| (path.to_owned(), code.to_owned())));
    world.assert_clean();
}

/// K2: a directory that cannot be read, or not entered, is unknown with all that is in it: nothing of it is deleted, overwritten or brought down a second
/// time, it is told, and what happened in Dropbox meanwhile comes when it can be read again.
#[test]
fn k2_an_unreadable_directory_deletes_nothing() {
    let permit = |at: &std::path::Path, mode: u32| {
        fs::set_permissions(at, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    for (mode, closed) in [("two-way", 0o000), ("two-way", 0o400), ("mirror", 0o000), ("mirror", 0o600)] {
        let mut world = world();
        world.mode = mode;
        world.extra = "[safety]\nmax_deletion_share = \"100%\"\n".into();
        for i in 0..5 {
            world.write(&format!("d/in/{i}"), format!("{i}"));
        }
        world.write("keep", "k");
        world.once_in_sync();
        permit(&world.folder.join("d"), closed);
        if mode == "two-way" {
            world.standin.write("/T/d/in/0", "changed there");
            world.standin.delete("/T/d/in/1");
        }
        let there = world.remote();
        for _ in 0..2 {
            // Root reads everything, but for the power to do so.
            let mut command = std::process::Command::new("setpriv");
            command.args(["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]);
            command.arg(env!("CARGO_BIN_EXE_ferrybox")).arg("--config").arg(world.config_file());
            let out = command.args(["run", "--once"]).output().unwrap();
            assert_eq!(out.status.code(), Some(3), "{mode} {closed:o}: {}", text(&out));
            assert_eq!((world.remote(), world.deletions()), (there.clone(), 0), "{mode} {closed:o}");
        }
        let told = world.stored("SELECT path_text FROM odd UNION SELECT path FROM job WHERE code = 'permission'");
        assert!(told.iter().any(|path| path == "d" || path.starts_with("d/")), "{mode} {closed:o}: {told:?}");
        permit(&world.folder.join("d"), 0o755);
        assert_eq!(world.disk().len(), 6, "nothing of it was touched");
        world.once_in_sync();
        world.assert_equal();
        assert_eq!(world.standin.file_count(), if mode == "two-way" { 5 } else { 6 });
        world.assert_clean();
    }
}

/// K6: symlinks of every kind are told, never followed, and never sent as what they lead to.
#[test]
fn k6_symlinks_are_never_followed() {
    let mut world = world();
    let outside = world.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "s").unwrap();
    world.write("real/f", "1");
    for (target, link) in [
        (outside.join("secret"), "to file"),
        (outside.clone(), "to dir"),
        (world.folder.join("real"), "inside"),
        ("nowhere".into(), "dangling"),
        (".".into(), "loop"),
    ] {
        symlink(target, world.folder.join(link)).unwrap();
    }
    let out = world.once();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    let files: Vec<_> = world.remote().into_keys().collect();
    assert_eq!(files, ["real/f"]);
    let found = problems(&world);
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(found.iter().all(|(_, code)| code == "type"), "{found:?}");
    // What Dropbox has under the name of a link to a directory does not go through it.
    world.standin.write("/T/to dir/new", "n");
    world.once();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    world.standin.delete("/T/to dir");
    // And by the setting, nothing is said of them.
    world.folder_extra = "symlinks = \"ignore\"".into();
    world.once_in_sync();
    assert_eq!(world.remote().into_keys().collect::<Vec<_>>(), ["real/f"]);
    world.assert_clean();
}

/// K6: a directory that moved away and left a symlink to itself is no deletion of what is in it, however little that would be.
#[test]
fn k6_a_directory_replaced_by_a_link_to_itself_deletes_nothing() {
    for policy in ["report", "ignore"] {
        let mut world = world();
        world.folder_extra = format!("symlinks = \"{policy}\"");
        world.extra = "[safety]\nmax_deletion_share = \"100%\"\n".into();
        for i in 0..5 {
            world.write(&format!("d/{i}"), format!("{i}"));
        }
        world.write("f", "a file");
        world.write("keep", "k");
        world.once_in_sync();
        let elsewhere = world.dir.path().join("elsewhere");
        fs::rename(world.folder.join("d"), &elsewhere).unwrap();
        symlink(&elsewhere, world.folder.join("d")).unwrap();
        fs::rename(world.folder.join("f"), world.dir.path().join("f")).unwrap();
        symlink(world.dir.path().join("f"), world.folder.join("f")).unwrap();
        let out = world.once();
        assert_eq!(out.status.code(), Some(if policy == "report" { 3 } else { 0 }), "{}", text(&out));
        assert_eq!((world.standin.file_count(), world.deletions()), (7, 0));
        if policy == "report" {
            let found = problems(&world);
            let told = [("d", "type"), ("f", "type")];
            assert_eq!(found, told.map(|(path, code)| (path.to_owned(), code.to_owned())), "one for the whole tree");
        }
        // Put back, all is as it was.
        fs::remove_file(world.folder.join("d")).unwrap();
        fs::remove_file(world.folder.join("f")).unwrap();
        fs::rename(&elsewhere, world.folder.join("d")).unwrap();
        fs::rename(world.dir.path().join("f"), world.folder.join("f")).unwrap();
        world.once_in_sync();
        world.assert_equal();
        assert_eq!((world.standin.file_count(), world.deletions()), (7, 0));
        world.assert_clean();
    }
}

/// R3: whatever is planted at the names that downloads use in `.ferrybox/tmp` is neither followed nor waited for.
#[test]
fn r3_what_is_planted_at_a_temporary_name_is_not_used() {
    let world = world();
    world.write("keep", "k");
    world.once_in_sync();
    let outside = world.dir.path().join("outside");
    fs::write(&outside, "untouched").unwrap();
    // A download that was broken off tells the name; the next run would go on with it.
    world.standin.write("/T/new", vec![b'x'; 200_000]);
    let tmp = world.folder.join(".ferrybox/tmp");
    fs::create_dir_all(&tmp).unwrap();
    let rev = world.standin.file("/T/new").unwrap().rev;
    let name = format!("in-{}", ferrybox_standin::content_hash(rev.as_bytes()));
    symlink(&outside, tmp.join(&name)).unwrap();
    world.once_in_sync();
    assert_eq!(fs::read(&outside).unwrap(), b"untouched");
    assert_eq!(fs::metadata(world.folder.join("new")).unwrap().len(), 200_000);
    assert!(!fs::symlink_metadata(world.folder.join("new")).unwrap().is_symlink());
    world.standin.write("/T/newer", vec![b'y'; 200_000]);
    let rev = world.standin.file("/T/newer").unwrap().rev;
    mkfifo(&world, &format!(".ferrybox/tmp/in-{}", ferrybox_standin::content_hash(rev.as_bytes())));
    world.once_in_sync();
    assert!(fs::metadata(world.folder.join("newer")).unwrap().is_file());
    world.assert_clean();
}

/// R4, K7: a file with a second name outside the folder is replaced, not written into.
#[test]
fn r4_a_hard_link_to_the_outside_keeps_its_content() {
    let world = world();
    world.write("f", "old");
    world.write("keep", "k");
    let outside = world.dir.path().join("outside");
    fs::hard_link(world.folder.join("f"), &outside).unwrap();
    world.once_in_sync();
    world.standin.write("/T/f", "from there");
    world.once_in_sync();
    assert_eq!(fs::read(world.folder.join("f")).unwrap(), b"from there");
    assert_eq!(fs::read(&outside).unwrap(), b"old");
    assert_ne!(fs::metadata(&outside).unwrap().ino(), fs::metadata(world.folder.join("f")).unwrap().ino());
    world.assert_clean();
}
