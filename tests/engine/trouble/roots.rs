//! The root: unmounted, renamed, emptied, replaced, never there. Nothing is deleted in Dropbox, and the folder goes on by itself.
//!
//! Mounts are made in user namespaces, so no test needs root; where a system allows none, these tests fail and say so.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::pause;
use crate::harness::namespace::Namespace;
use crate::harness::{World, text};
use ferrybox_standin::Standin;

fn mirror() -> World {
    let mut world = World::new();
    world.mode = "mirror";
    world
}

/// A wrong belief would reach the server this long after the loss: the look, the deletions' rest, and a good second.
const LONG_ENOUGH: Duration = Duration::from_millis(4_500);

/// Waits that long for what must not come.
fn assert_no_deletion(world: &World) {
    let deleted = |s: &Standin| s.calls().keys().any(|route| route.contains("delete"));
    world.never("a deletion reached the server", LONG_ENOUGH, deleted);
}

#[test]
fn q1_a_known_folder_that_is_missing_at_the_start_is_waited_for() {
    let world = mirror();
    world.write("a", "1");
    world.write("b", "2");
    world.once_in_sync();
    let away = world.dir.path().join("away");
    fs::rename(&world.folder, &away).unwrap();
    let daemon = world.daemon();
    let reason = world.until_folder("root_missing");
    assert!(reason.contains("mount"), "{reason}");
    assert!(!world.folder.exists(), "nothing is made where the folder was");
    fs::write(away.join("c"), "3").unwrap();
    fs::rename(&away, &world.folder).unwrap();
    world.until("the new file", |s| s.file("/T/c").is_some());
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!(world.deletions(), 0);
    world.assert_clean();
}

#[test]
fn q1_a_folder_that_was_never_met_must_be_there() {
    let world = mirror();
    fs::remove_dir(&world.folder).unwrap();
    let out = world.once();
    assert_eq!(out.status.code(), Some(64), "{}", text(&out));
    assert!(text(&out).contains("does not exist"), "{}", text(&out));
    assert!(!world.folder.exists());
    world.assert_clean();
}

/// Q9: a home that is not unlocked yet is a directory with other things in it, and the right one is mounted over it later.
#[test]
fn q9_a_home_that_is_not_unlocked_yet_is_waited_for() {
    let namespace = Namespace::new();
    let world = mirror();
    // What is seen while it is locked.
    world.write("ACCESS-YOUR-PRIVATE-DATA.desktop", "unlock me");
    world.write("ECRYPTFS_FNEK_ENCRYPTED.FWaxyz/ECRYPTFS_FNEK_ENCRYPTED.FXb", "not ours");
    let clear = world.dir.path().join("clear");
    fs::create_dir(&clear).unwrap();
    for name in ["a", "deep/b"] {
        fs::create_dir_all(clear.join(name).parent().unwrap()).unwrap();
        fs::write(clear.join(name), name).unwrap();
    }
    let unlock = format!("mount --bind {} {}", clear.display(), world.folder.display());
    namespace.run(&unlock);
    let daemon = world.daemon_by(namespace.command(env!("CARGO_BIN_EXE_ferrybox")));
    world.until("the files", |s| s.file_count() == 2);
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    namespace.run(&format!("umount {}", world.folder.display()));
    let daemon = world.daemon_by(namespace.command(env!("CARGO_BIN_EXE_ferrybox")));
    let reason = world.until_folder("root_missing");
    assert!(reason.contains("mount"), "{reason}");
    assert!(!world.folder.join(".ferrybox").exists(), "nothing is made there");
    fs::write(clear.join("c"), "3").unwrap();
    namespace.run(&unlock);
    world.until("the new file", |s| s.file("/T/c").is_some());
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!((world.deletions(), world.standin.file_count()), (0, 3));
    world.assert_clean();
}

/// Q3: renamed away, replaced by an empty directory, by a link, by a file; in each case it goes on by itself.
#[test]
fn q3_a_root_that_is_replaced_stops_the_folder_until_it_is_back() {
    let world = mirror();
    for i in 0..60 {
        world.write(&format!("d{}/{i}", i % 5), format!("{i}"));
    }
    let daemon = world.daemon();
    world.until("the tree", |s| s.files().len() == 60);
    world.until_folder("in_sync");
    let away = world.dir.path().join("away");
    let elsewhere = world.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("not-ours"), "x").unwrap();
    let folder = world.folder.clone();
    let replacements: [(&str, &dyn Fn()); 5] = [
        ("nothing", &|| {}),
        ("an empty directory", &|| fs::create_dir(&folder).unwrap()),
        ("a link to another directory", &|| std::os::unix::fs::symlink(&elsewhere, &folder).unwrap()),
        ("a link to itself, moved", &|| std::os::unix::fs::symlink(&away, &folder).unwrap()),
        ("a file", &|| fs::write(&folder, "").unwrap()),
    ];
    for (i, (what, put)) in replacements.iter().enumerate() {
        fs::rename(&folder, &away).unwrap();
        put();
        let reason = world.until_folder("root_missing");
        assert!(!reason.is_empty(), "{what}");
        assert_no_deletion(&world);
        assert!(!elsewhere.join(".ferrybox").exists(), "{what}");
        let _ = fs::remove_dir(&folder);
        let _ = fs::remove_file(&folder);
        fs::write(away.join(format!("new{i}")), "n").unwrap();
        fs::rename(&away, &folder).unwrap();
        world.until(what, |s| s.file(&format!("/T/new{i}")).is_some());
        // Events arrive again, too.
        world.write(&format!("after{i}"), "a");
        world.until(what, |s| s.file(&format!("/T/after{i}")).is_some());
    }
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!(world.deletions(), 0);
    assert!(world.standin.file("/T/not-ours").is_none());
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn q3_a_link_that_leads_elsewhere_at_the_start_is_not_followed() {
    let world = mirror();
    world.write("a", "1");
    world.once_in_sync();
    let elsewhere = world.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("not-ours"), "x").unwrap();
    let away = world.dir.path().join("away");
    fs::rename(&world.folder, &away).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &world.folder).unwrap();
    let out = world.once();
    assert_eq!(out.status.code(), Some(4), "{}", text(&out));
    assert!(text(&out).contains("leads to another directory"), "{}", text(&out));
    fs::remove_file(&world.folder).unwrap();
    fs::rename(&away, &world.folder).unwrap();
    world.once_in_sync();
    assert_eq!((world.deletions(), world.standin.files().len()), (0, 1));
    world.assert_clean();
}

#[test]
fn q7_a_marker_that_is_gone_or_wrong_stops_the_folder() {
    let world = mirror();
    world.write("a", "1");
    let daemon = world.daemon();
    world.until("the file", |s| s.files().len() == 1);
    world.until_folder("in_sync");
    let marker = world.folder.join(".ferrybox/root-id");
    let id = fs::read_to_string(&marker).unwrap();
    fs::remove_file(&marker).unwrap();
    let reason = world.until_folder("root_missing");
    assert!(reason.contains(id.trim()), "the reason says how to mend it: {reason}");
    fs::write(&marker, "0123456789abcdef0123456789abcdef\n").unwrap();
    assert_no_deletion(&world);
    let reason = world.until_folder("root_missing");
    assert!(reason.contains("another folder's"), "{reason}");
    fs::write(&marker, &id).unwrap();
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// Where ten folders stand: on binds of directories, so that an unmount leaves an empty mount point.
fn many(world: &mut World, names: &[String], folders: &Path) {
    for name in names {
        world.folder_extra.push_str(&format!(
            "\n[[account.folder]]\nlocal = {:?}\nremote = \"/T-{name}\"\nmode = \"mirror\"\n",
            folders.join(name)
        ));
    }
}

fn states(status: &serde_json::Value) -> Vec<String> {
    let folders = status["accounts"][0]["folders"].as_array().unwrap();
    folders.iter().skip(1).map(|f| f["state"].as_str().unwrap().to_owned()).collect()
}

fn fill(dir: &Path, round: usize) {
    for i in 0..12 {
        let sub = dir.join(format!("d{}", i % 3));
        fs::create_dir_all(&sub).unwrap();
        fs::write(sub.join(format!("r{round}-{i}")), vec![b'x'; 1 + i * 997]).unwrap();
    }
}

/// Ten folders, ten rounds: each time a lazy unmount at a random moment of the upload, and the mount again.
#[test]
fn q2_100_unmounts_at_random_moments_delete_nothing() {
    let namespace = Namespace::new();
    let mut world = mirror();
    let names: Vec<String> = (0..10).map(|i| format!("m{i}")).collect();
    let (trees, disks) = (world.dir.path().join("trees"), world.dir.path().join("disks"));
    for name in &names {
        fs::create_dir_all(trees.join(name)).unwrap();
        fs::create_dir_all(disks.join(name)).unwrap();
    }
    let bind = |name: &str| {
        let (disk, tree) = (disks.join(name), trees.join(name));
        namespace.run(&format!("mount --bind {} {}", disk.display(), tree.display()));
    };
    many(&mut world, &names, &trees);
    names.iter().for_each(|name| bind(name));
    let daemon = world.daemon_by(namespace.command(env!("CARGO_BIN_EXE_ferrybox")));
    // It has met the folders before their disks go: an empty mount point that it meets first is an empty folder.
    crate::harness::wait_for_socket(&world);
    let mut unmounts = 0;
    for round in 0..10 {
        for name in &names {
            fill(&disks.join(name), round);
            if round % 2 == 0 {
                pause(60);
            }
        }
        for name in &names {
            pause(40);
            namespace.run(&format!("umount --lazy {}", trees.join(name).display()));
            unmounts += 1;
        }
        world.until_status("all folders stop", |s| states(s).iter().all(|s| s == "root_missing"));
        assert_no_deletion(&world);
        for name in &names {
            assert_eq!(fs::read_dir(trees.join(name)).unwrap().count(), 0, "something was made on the mount point");
            bind(name);
        }
        if round % 3 == 0 {
            world.until_status("all folders go on", |s| states(s).iter().all(|s| s == "in_sync"));
        }
    }
    world.until_status("all folders go on", |s| states(s).iter().all(|s| s == "in_sync"));
    assert_eq!((unmounts, world.deletions()), (100, 0));
    assert_eq!(world.standin.files().len(), 10 * 10 * 12);
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").args(["-a", "--"]).arg(from.join(".")).arg(to).status().unwrap();
    assert!(status.success());
}

/// Ten folders, ten rounds: emptied with the marker or without it, at a random moment, and filled again from a copy.
#[test]
fn q3_q4_q5_100_emptied_roots_at_random_moments_delete_nothing() {
    let mut world = mirror();
    let names: Vec<String> = (0..10).map(|i| format!("e{i}")).collect();
    let (trees, copies) = (world.dir.path().join("trees"), world.dir.path().join("copies"));
    for name in &names {
        fs::create_dir_all(trees.join(name)).unwrap();
    }
    many(&mut world, &names, &trees);
    let daemon = world.daemon();
    let mut emptied = 0;
    for round in 0..10 {
        let _ = fs::remove_dir_all(&copies);
        for name in &names {
            fill(&trees.join(name), round);
        }
        if round == 0 {
            world.until_status("the first files", |s| states(s).iter().all(|s| s == "in_sync"));
        }
        for (i, name) in names.iter().enumerate() {
            pause(40);
            fs::create_dir_all(copies.join(name)).unwrap();
            copy(&trees.join(name), &copies.join(name));
            let all = (i + round) % 2 == 0;
            for entry in fs::read_dir(trees.join(name)).unwrap() {
                let path: PathBuf = entry.unwrap().path();
                if all || !path.ends_with(".ferrybox") {
                    fs::remove_dir_all(path).unwrap();
                }
            }
            emptied += 1;
        }
        assert_no_deletion(&world);
        world.until_status("all folders stop", |s| states(s).iter().all(|s| s == "root_missing" || s == "held"));
        for name in &names {
            copy(&copies.join(name), &trees.join(name));
        }
        world.until_status("all folders go on", |s| states(s).iter().all(|s| s == "in_sync"));
    }
    assert_eq!((emptied, world.deletions()), (100, 0));
    assert_eq!(world.standin.files().len(), 10 * 10 * 12);
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

/// The disk is mounted anew with another device number and, being a copy, other inodes: nothing is sent twice, nothing is deleted.
#[test]
fn q2_a_disk_with_another_device_number_is_the_same_folder() {
    let namespace = Namespace::new();
    let world = mirror();
    let tree = world.folder.display().to_string();
    let kept = world.dir.path().join("kept");
    fs::create_dir(&kept).unwrap();
    namespace.run(&format!("mount -t tmpfs tmpfs {tree}"));
    fill(&namespace.path(&world.folder), 0);
    let daemon = world.daemon_by(namespace.command(env!("CARGO_BIN_EXE_ferrybox")));
    world.until_folder("in_sync");
    let sent = world.standin.data_transport_calls();
    namespace.run(&format!("cp -a {tree}/. {}/ && umount --lazy {tree}", kept.display()));
    world.until_folder("root_missing");
    namespace.run(&format!("mount -t tmpfs tmpfs {tree} && cp -a {}/. {tree}/", kept.display()));
    world.until_folder("in_sync");
    assert_eq!((world.standin.data_transport_calls(), world.deletions()), (sent, 0));
    // It is watched on the new disk.
    fs::write(namespace.path(&world.folder).join("new"), "n").unwrap();
    world.until("the new file", |s| s.file("/T/new").is_some());
    fs::remove_file(namespace.path(&world.folder).join("new")).unwrap();
    world.until("its deletion", |s| s.file("/T/new").is_none());
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!(world.standin.files().len(), 12);
    world.assert_clean();
}

#[test]
fn q6_a_disk_mounted_inside_the_folder_takes_nothing_along_when_it_goes() {
    let namespace = Namespace::new();
    let world = mirror();
    let sub = world.folder.join("disk");
    fs::create_dir(&sub).unwrap();
    world.write("here", "1");
    namespace.run(&format!("mount -t tmpfs tmpfs {}", sub.display()));
    for i in 0..5 {
        fs::write(namespace.path(&sub).join(format!("{i}")), "x").unwrap();
    }
    let daemon = world.daemon_by(namespace.command(env!("CARGO_BIN_EXE_ferrybox")));
    world.until("the files", |s| s.files().len() == 6);
    world.until_folder("in_sync");
    namespace.run(&format!("umount --lazy {}", sub.display()));
    world.command(&["sync", "--wait"]).output().unwrap();
    assert_no_deletion(&world);
    let status = world.until_status("problems", |s| s["accounts"][0]["folders"][0]["problems"] == 5);
    assert_eq!(status["accounts"][0]["folders"][0]["state"], "in_sync");
    let problems = world.command(&["problems", "--json"]).output().unwrap();
    assert!(String::from_utf8_lossy(&problems.stdout).contains("mount_gone"), "{}", text(&problems));
    // What really goes still goes.
    fs::remove_file(world.folder.join("here")).unwrap();
    world.until("the deletion", |s| s.files().len() == 5);
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

#[test]
fn l4_a_file_system_that_turns_read_only_deletes_nothing() {
    let namespace = Namespace::new();
    let world = mirror();
    let tree = world.folder.display().to_string();
    namespace.run(&format!("mount -t tmpfs tmpfs {tree}"));
    fill(&namespace.path(&world.folder), 0);
    let daemon = world.daemon_by(namespace.command(env!("CARGO_BIN_EXE_ferrybox")));
    world.until_folder("in_sync");
    namespace.run(&format!("mount -o remount,ro {tree}"));
    assert_no_deletion(&world);
    namespace.run(&format!("mount -o remount,rw {tree}"));
    fs::write(namespace.path(&world.folder).join("new"), "n").unwrap();
    world.until("the new file", |s| s.file("/T/new").is_some());
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!(world.deletions(), 0);
    world.assert_clean();
}

/// Nothing is mounted over the file any more, and no event says so.
#[test]
fn an_ignore_file_that_cannot_be_read_for_a_while_hides_its_directory_until_it_can() {
    let namespace = Namespace::new();
    let world = mirror();
    world.write("d/.ferryboxignore", "secret\n");
    world.write("d/gone", "1");
    world.write("other", "2");
    world.once_in_sync();
    world.write("d/new", "3");
    world.write("d/secret", "4");
    fs::remove_file(world.folder.join("d/gone")).unwrap();
    let rules = world.folder.join("d/.ferryboxignore").display().to_string();
    namespace.run(&format!("mount --bind /dev/null {rules}"));
    let daemon = world.daemon_by(namespace.command(env!("CARGO_BIN_EXE_ferrybox")));
    world.until_status("the problem", |s| s["accounts"][0]["folders"][0]["problems"].as_u64() > Some(0));
    let out = world.command(&["problems"]).output().unwrap();
    assert!(text(&out).contains("d/.ferryboxignore"), "{}", text(&out));
    world.write("late", "5");
    world.write("d/late", "6");
    world.until("what lies elsewhere", |s| s.file("/T/late").is_some());
    let there = |world: &World| world.remote().into_keys().collect::<Vec<_>>();
    assert_eq!(there(&world), ["d/.ferryboxignore", "d/gone", "late", "other"]);
    assert_eq!(world.deletions(), 0);
    namespace.run(&format!("umount {rules}"));
    world.until("all but what is ignored", |s| s.file("/T/d/late").is_some() && s.file("/T/d/gone").is_none());
    world.until_folder("in_sync");
    assert_eq!(there(&world), ["d/.ferryboxignore", "d/late", "d/new", "late", "other"]);
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

#[test]
fn q7_a_read_only_folder_is_backed_up_without_a_marker_and_never_mirrored() {
    let namespace = Namespace::new();
    let mut world = World::new();
    world.write("a", "1");
    let tree = world.folder.display().to_string();
    namespace.run(&format!("mount --bind {tree} {tree} && mount -o remount,bind,ro {tree}"));
    let once = |world: &World| {
        world.write_config();
        let mut command = namespace.command(env!("CARGO_BIN_EXE_ferrybox"));
        command.arg("--config").arg(world.config_file()).args(["run", "--once"]).output().unwrap()
    };
    for _ in 0..2 {
        let out = once(&world);
        assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    }
    assert_eq!(world.standin.files().len(), 1);
    assert!(!world.folder.join(".ferrybox").exists());
    world.mode = "mirror";
    let out = once(&world);
    assert_eq!(out.status.code(), Some(64), "{}", text(&out));
    assert!(text(&out).contains("marker") && text(&out).contains("backup"), "{}", text(&out));
    world.assert_clean();
}

#[test]
fn p2_a_second_daemon_may_not_sync_the_same_folder_or_one_inside_it() {
    let mut world = World::new();
    let outer = world.dir.path().join("outer");
    world.folder = outer.join("tree");
    world.write("sub/a", "1");
    let daemon = world.daemon();
    world.until("the file", |s| s.files().len() == 1);
    let mut other = World::new();
    for folder in [world.folder.clone(), world.folder.join("sub")] {
        other.folder = folder;
        let out = other.once();
        assert_eq!(out.status.code(), Some(64), "{}", text(&out));
        assert!(text(&out).contains("another ferrybox"), "{}", text(&out));
    }
    assert!(other.standin.files().is_empty());
    // One around it leaves it to its own daemon, says so, and goes on with the rest.
    other.folder = outer;
    other.write("mine", "2");
    let second = other.daemon();
    other.until("the rest", |s| s.file("/T/mine").is_some());
    other.until_status("the problem", |s| s["accounts"][0]["folders"][0]["problems"] == 1);
    let out = other.command(&["problems", "--json"]).output().unwrap();
    assert!(text(&out).contains("nested") && text(&out).contains("\"tree\""), "{}", text(&out));
    world.write("sub/b", "3");
    world.until("the inner one", |s| s.files().len() == 2);
    assert_eq!(other.standin.file_count(), 1);
    // It is nobody's when its daemon has ended.
    assert_eq!(daemon.stop().0, Some(0));
    other.until("what the other left", |s| s.file("/T/tree/sub/a").is_some() && s.file("/T/tree/sub/b").is_some());
    assert_eq!(second.stop().0, Some(0));
    world.assert_clean();
    other.assert_clean();
}
