//! What stands in the place of our own files: other people's, links, pipes.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};
use std::time::Duration;

use crate::harness::{World, json, look_for, text};

fn mode(path: &std::path::Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

/// `run --once` with no umask at all, ended by force if it hangs.
fn once(world: &World) -> Output {
    world.write_config();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0; exec timeout -k 1 30 \"$@\"", "sh", env!("CARGO_BIN_EXE_ferrybox")]);
    command.arg("--config").arg(world.config_file()).args(["run", "--once"]).env("NO_COLOR", "1").process_group(0);
    command.output().unwrap()
}

#[test]
fn h7_the_state_directory_is_ours_and_closed_or_nothing_starts() {
    let world = World::new();
    world.write("a", "1");
    let out = once(&world);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    let account = world.state().join("test");
    for file in ["state.db", "account-id"] {
        assert_eq!(mode(&account.join(file)), 0o600, "{file}");
    }
    assert_eq!(mode(&world.state()), 0o700);
    let refused = |what: &str| {
        let out = once(&world);
        assert_eq!(out.status.code(), Some(64), "{what}: {}", text(&out));
        assert!(text(&out).contains("chmod") || text(&out).contains("move it away"), "{what}: {}", text(&out));
    };
    for dir in [world.state(), account.clone()] {
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        refused("a directory that others can write");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let database = account.join("state.db");
    fs::set_permissions(&database, fs::Permissions::from_mode(0o666)).unwrap();
    refused("a database that others can write");
    fs::set_permissions(&database, fs::Permissions::from_mode(0o600)).unwrap();
    let elsewhere = world.dir.path().join("elsewhere.db");
    fs::rename(&database, &elsewhere).unwrap();
    symlink(&elsewhere, &database).unwrap();
    refused("a database that is a link");
    fs::remove_file(&database).unwrap();
    fs::rename(&elsewhere, &database).unwrap();
    let out = once(&world);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    world.assert_clean();
}

#[test]
fn h8_a_pipe_in_the_place_of_a_file_hangs_nothing() {
    let world = World::new();
    world.write("a", "1");
    world.once_in_sync();
    let account = world.state().join("test");
    let pipe = |path: &std::path::Path| {
        let _ = fs::remove_file(path);
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let ended = |mut command: Command, what: &str, codes: &[i32]| {
        let mut child =
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        let code = look_for(Duration::from_secs(20), || child.try_wait().unwrap());
        let _ = child.kill();
        let code = code.unwrap_or_else(|| panic!("{what}: it hangs")).code();
        assert!(codes.iter().any(|c| Some(*c) == code), "{what}: {code:?}");
    };
    // It is no more than a note: the database knows it, too.
    pipe(&account.join("account-id"));
    ended(world.command(&["run", "--once"]), "account-id", &[0]);
    let kept = world.dir.path().join("kept.db");
    fs::rename(account.join("state.db"), &kept).unwrap();
    pipe(&account.join("state.db"));
    for args in [&["run", "--once"][..], &["ls"], &["status"]] {
        ended(world.command(args), "state.db", &[1, 4, 64, 74]);
    }
    fs::remove_file(account.join("state.db")).unwrap();
    fs::rename(&kept, account.join("state.db")).unwrap();
    // A folder inside a directory in which somebody made such a thing.
    fs::create_dir(world.dir.path().join(".ferrybox")).unwrap();
    pipe(&world.dir.path().join(".ferrybox/lock"));
    ended(world.command(&["run", "--once"]), "a lock above the folder", &[0]);
    pipe(&world.config_file());
    for args in [&["run", "--once"][..], &["status"], &["config", "check"], &["add", "/srv", "/Srv"]] {
        ended(world.command(args), "the configuration", &[1, 64]);
    }
    world.assert_clean();
}

#[test]
fn h12_no_time_is_longer_than_it_can_mean() {
    let mut world = World::new();
    for (extra, key) in [
        ("restless = \"9000000000000h\"", "watch.restless"),
        ("[upload]\nsession_lifetime = \"192h\"", "upload.session_lifetime"),
    ] {
        world.extra = extra.to_owned();
        world.write_config();
        let out = world.command(&["config", "check"]).output().unwrap();
        assert_eq!(out.status.code(), Some(64), "{}", text(&out));
        assert!(text(&out).contains(key) && text(&out).contains("too long"), "{}", text(&out));
    }
    world.extra = String::new();
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    let out = Command::new("curl")
        .args(["-s", "-X", "POST", "-d", "{\"for_s\": 18446744073709551615}", "--unix-socket"])
        .arg(world.socket())
        .arg("http://ferrybox/v1/pause")
        .output()
        .unwrap();
    assert!(text(&out).contains("for_s must be"), "{}", text(&out));
    assert_eq!(crate::harness::status(&world)["accounts"][0]["state"], "idle");
}

#[test]
fn q3_a_limit_on_file_sizes_is_an_error_and_kills_nothing() {
    let world = World::new();
    world.write("a", "1");
    world.write_config();
    let mut command = Command::new("prlimit");
    command.args(["--fsize=20000", "--", env!("CARGO_BIN_EXE_ferrybox"), "--config"]).arg(world.config_file());
    let out = command.args(["run", "--once"]).output().unwrap();
    assert_eq!(out.status.code(), Some(74), "{}", text(&out));
}

/// A tree of 3,000 levels took the processor for minutes, and another file waited for it.
#[test]
fn h13_a_tree_deeper_than_any_is_a_problem_and_holds_up_nothing() {
    let mut world = World::new();
    world.mode = "two-way";
    let mut above = std::fs::File::open(&world.folder).unwrap();
    for level in 0..3_000 {
        rustix::fs::mkdirat(&above, "d", rustix::fs::Mode::RWXU).unwrap();
        let next = rustix::fs::openat(&above, "d", rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
        above = std::fs::File::from(next);
        if level == 100 || level == 2_500 {
            let file = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
            drop(rustix::fs::openat(&above, "file", file, rustix::fs::Mode::RUSR).unwrap());
        }
    }
    world.write("zz", "z");
    let daemon = world.daemon();
    world.until("what is not too deep", |s| s.file("/T/zz").is_some() && s.files().len() == 2);
    world.until_folder("in_sync");
    let told = json(&world, &["problems", "--json"]);
    let items = told["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{told}");
    assert_eq!(items[0]["code"], "too_deep", "{told}");
    // What is made in there later changes nothing about it.
    let file = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    drop(rustix::fs::openat(&above, "late", file, rustix::fs::Mode::RUSR).unwrap());
    world.write("later", "l");
    world.until("another file", |s| s.file("/T/later").is_some());
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!(world.deletions(), 0);
    world.assert_clean();
}
