//! Problems whose cause lies in a directory above: they end with it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Daemon, World, json};

fn world() -> World {
    let mut world = World::new();
    world.mode = "two-way";
    world
}

/// Path and code of each problem.
fn problems(world: &World) -> Vec<(String, String)> {
    let listed = json(world, &["problems", "--json"]);
    let word = |item: &Value, key: &str| item[key].as_str().unwrap().to_owned();
    listed["items"].as_array().unwrap().iter().map(|item| (word(item, "path"), word(item, "code"))).collect()
}

fn permit(world: &World, path: &str, mode: u32) {
    fs::set_permissions(world.folder.join(path), fs::Permissions::from_mode(mode)).unwrap();
}

/// The program with no more rights than modes give: root is asked to, but for the power to pass them over.
fn plain() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]);
    command.arg(env!("CARGO_BIN_EXE_ferrybox"));
    command
}

fn daemon(world: &World) -> Daemon {
    world.daemon_by(plain())
}

#[test]
fn c10_what_a_directory_kept_out_comes_when_its_mode_changes() {
    let world = world();
    for path in ["ro/edit", "ro/gone", "ro/deep/edit", "keep"] {
        world.write(path, "before");
    }
    let _daemon = daemon(&world);
    world.until_folder("in_sync");
    permit(&world, "ro/deep", 0o555);
    permit(&world, "ro", 0o555);
    for path in ["ro/edit", "ro/new", "ro/deep/edit"] {
        world.standin.write(&format!("/T/{path}"), "after");
    }
    world.standin.delete("/T/ro/gone");
    world.eventually("four problems", || problems(&world).len() == 4);
    permit(&world, "ro/deep", 0o755);
    permit(&world, "ro", 0o755);
    world.eventually("all of it", || world.disk() == world.remote());
    world.eventually("no problem", || problems(&world).is_empty());
    world.until_folder("in_sync");
    world.assert_clean();
}

#[test]
fn c10_a_start_tries_again_what_a_directory_kept_out() {
    let world = world();
    world.write("ro/edit", "before");
    world.write("keep", "k");
    world.once_in_sync();
    permit(&world, "ro", 0o555);
    world.standin.write("/T/ro/edit", "after");
    let once = || {
        let mut command = plain();
        command.arg("--config").arg(world.config_file()).args(["run", "--once"]);
        command.output().unwrap().status.code()
    };
    assert_eq!(once(), Some(3));
    assert_eq!(once(), Some(3), "it is a problem for as long as it cannot be written");
    permit(&world, "ro", 0o755);
    assert_eq!(once(), Some(0));
    world.assert_equal();
    world.assert_clean();
}

/// K6: the same with and without a daemon: one problem, which ends with the symlink; and what Dropbox changed behind it meanwhile comes down then.
#[test]
fn c10_a_symlink_in_the_place_of_a_directory_is_one_problem_and_ends_with_it() {
    let world = world();
    for i in 0..20 {
        world.write(&format!("big/{i}"), format!("{i}"));
    }
    world.write("big/sub/x", "x");
    world.write("keep", "k");
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let elsewhere = world.dir.path().join("elsewhere");
    let away = || {
        fs::rename(world.folder.join("big"), &elsewhere).unwrap();
        symlink(&elsewhere, world.folder.join("big")).unwrap();
    };
    let back = || {
        fs::remove_file(world.folder.join("big")).unwrap();
        fs::rename(&elsewhere, world.folder.join("big")).unwrap();
    };
    let only_big = [("big".to_owned(), "type".to_owned())];
    away();
    world.eventually("one problem", || problems(&world) == only_big);
    world.standin.write("/T/big/0", "changed there");
    world.standin.write("/T/big/new", "new there");
    world.standin.write("/T/seen", "a mark: the page has been read");
    world.eventually("the page", || world.disk().contains_key("seen"));
    // What cannot come down is a problem of its own, with a daemon and without.
    let all = ["big", "big/0", "big/new"].map(|path| (path.to_owned(), "type".to_owned()));
    world.eventually("what Dropbox changed behind it", || problems(&world) == all);
    back();
    world.eventually("both sides are equal", || world.disk() == world.remote());
    world.eventually("no problem", || problems(&world).is_empty());
    away();
    world.eventually("one problem", || problems(&world) == only_big);
    assert_eq!(daemon.stop().0, Some(0));
    let out = world.once();
    assert_eq!(out.status.code(), Some(3));
    assert_eq!(world.stored("SELECT path FROM job WHERE code IS NOT NULL UNION SELECT path_text FROM odd"), ["big"]);
    back();
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(world.deletions(), 0);
    world.assert_clean();
}

/// A problem that a start tries again stays in the list until that has succeeded: in between, it is not known to be over.
#[test]
fn c10_a_problem_is_shown_until_its_try_has_succeeded() {
    let world = world();
    world.write("keep", "k");
    world.standin.write("/T/dir/theirs", "1");
    world.once_in_sync();
    permit(&world, "dir", 0o555);
    world.standin.write("/T/dir/theirs", "2");
    // Of a changed file here that Dropbox refuses, and of one from there that cannot be written.
    let malformed = ferrybox_standin::Effect::EntryFailure {
        tag: "path/malformed_path".to_owned(),
        entries: ferrybox_standin::Entries::Containing("mine".to_owned()),
    };
    world.standin.faults().add(ferrybox_standin::Fault::always(crate::harness::FINISH_BATCH, malformed));
    world.write("mine", "m");
    let first = daemon(&world);
    world.eventually("two problems", || problems(&world).len() == 2);
    let known = problems(&world);
    assert_eq!(first.stop().0, Some(0));
    world.write("mine", "changed");
    let _second = daemon(&world);
    crate::harness::wait_for_socket(&world);
    // From its first word on, through the scan and the tries.
    let mut scanned = 0;
    world.eventually("the tries", || {
        let now = problems(&world);
        assert_eq!(now.len(), known.len(), "{now:?} {known:?} {}", world.log());
        let status = crate::harness::status(&world);
        assert_eq!(status["accounts"][0]["folders"][0]["problems"], 2, "{status}");
        scanned += u32::from(status["accounts"][0]["folders"][0]["state"] == "in_sync");
        scanned > 3
    });
    permit(&world, "dir", 0o755);
    world.standin.faults().clear();
    world.write("mine", "again");
    world.eventually("no problem", || problems(&world).is_empty());
    world.assert_equal();
}
