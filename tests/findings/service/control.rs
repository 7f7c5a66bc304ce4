//! A running daemon, told to read its configuration again: by a signal, by a command, by the commands that change it.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{PATIENCE, World, look_for, text, wait_for_socket};

fn hang_up(pid: u64) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
}

#[test]
fn v4_add_and_remove_tell_the_running_daemon_themselves() {
    let world = World::new();
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let more = world.dir.path().join("more");
    std::fs::create_dir(&more).unwrap();
    std::fs::write(more.join("news"), "1").unwrap();
    let out = world.command(&["add", more.to_str().unwrap(), "/More", "--mode", "backup"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    assert!(text(&out).contains("takes this up now"), "{}", text(&out));
    world.until("the new folder's file", |s| s.file("/More/news").is_some());
    let out = world.command(&["remove", more.to_str().unwrap()]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    world.until_status("one folder", |s| s["accounts"][0]["folders"].as_array().is_some_and(|f| f.len() == 1));
    assert_eq!(daemon.stop().0, Some(0), "{}", world.log());
    let out = world.command(&["add", more.to_str().unwrap(), "/More", "--mode", "backup"]).output().unwrap();
    assert!(text(&out).contains("No daemon runs"), "{}", text(&out));
    world.assert_clean();
}

/// Whoever finds the state directory unlocked takes it that no daemon runs, and tells it nothing of a change.
#[test]
fn v3_the_state_directory_stays_locked_while_the_daemon_starts_over() {
    let world = World::new();
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let lock = std::fs::File::open(world.state().join("lock")).unwrap();
    let over = AtomicBool::new(false);
    let times_free = std::thread::scope(|scope| {
        let probe = scope.spawn(|| {
            let mut free = 0;
            while !over.load(Ordering::Relaxed) {
                if flock(&lock, FlockOperation::NonBlockingLockShared).is_ok() {
                    free += 1;
                    flock(&lock, FlockOperation::Unlock).unwrap();
                }
                std::thread::yield_now();
            }
            free
        });
        for (before, name) in ["one", "two", "three"].into_iter().enumerate() {
            let out = world.command(&["reload"]).output().unwrap();
            assert_eq!(out.status.code(), Some(0), "{}", text(&out));
            world.eventually("it starts over", || world.log().matches("starting over with it").count() > before);
            world.write(name, name);
            world.until("the next life's work", |s| s.file(&format!("/T/{name}")).is_some());
        }
        over.store(true, Ordering::Relaxed);
        probe.join().unwrap()
    });
    assert_eq!(times_free, 0);
    assert_eq!(daemon.stop().0, Some(0), "{}", world.log());
    assert!(flock(&lock, FlockOperation::NonBlockingLockShared).is_ok(), "its end lets it go");
    world.assert_clean();
}

#[test]
fn v4_reload_says_what_is_wrong_and_changes_nothing_then() {
    let world = World::new();
    world.write_config();
    assert_eq!(world.command(&["reload"]).output().unwrap().status.code(), Some(4));
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let good = std::fs::read_to_string(world.config_file()).unwrap();
    std::fs::write(world.config_file(), good.replace("settle = \"200ms\"", "settle = \"soon\"")).unwrap();
    // The command itself reads the same file to find the socket.
    let out = Command::new("curl")
        .args(["-s", "-X", "POST", "--unix-socket"])
        .arg(world.socket())
        .arg("http://ferrybox/v1/reload")
        .output()
        .unwrap();
    assert!(text(&out).contains("watch.settle"), "{}", text(&out));
    let out = world.command(&["reload"]).output().unwrap();
    assert_eq!(out.status.code(), Some(64), "{}", text(&out));
    std::fs::write(world.config_file(), good).unwrap();
    let out = world.command(&["reload"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    world.write("later", "1");
    world.until("the next life's work", |s| s.file("/T/later").is_some());
    assert_eq!(daemon.stop().0, Some(0), "{}", world.log());
    world.assert_clean();
}

#[test]
fn v4_a_configuration_that_cannot_be_opened_leaves_the_old_one_at_work() {
    let world = World::new();
    let mut daemon = world.daemon();
    world.until_folder("in_sync");
    let good = std::fs::read_to_string(world.config_file()).unwrap();
    // Right as far as a look at it can tell: it may be on a disk that is yet to come, but it was never met.
    let gone = world.dir.path().join("gone");
    let folder = format!("[[account.folder]]\nlocal = {gone:?}\nremote = \"/Gone\"\nmode = \"backup\"\n");
    std::fs::write(world.config_file(), format!("{good}\n{folder}")).unwrap();
    hang_up(u64::from(daemon.child.id()));
    world.eventually("the old configuration again", || world.log().contains("goes on with the old one"));
    world.write("later", "1");
    world.until("the old configuration's work", |s| s.file("/T/later").is_some());
    assert!(daemon.child.try_wait().unwrap().is_none(), "{}", world.log());
    world.assert_clean();
}

#[test]
fn v4_a_hangup_on_a_terminal_reloads_and_does_not_end_the_daemon() {
    let world = World::new();
    world.write_config();
    let line = format!("exec '{}' --config '{}' run", env!("CARGO_BIN_EXE_ferrybox"), world.config_file().display());
    // A terminal of its own.
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env("NO_COLOR", "1").stdin(std::process::Stdio::null()).process_group(0);
    let _terminal = world.spawn(command);
    wait_for_socket(&world);
    let first = world.until_status("it runs", |s| s["accounts"][0]["folders"][0]["state"] == "in_sync");
    world.eventually("some uptime", || crate::harness::status(&world)["uptime_s"].as_u64() > Some(1));
    hang_up(first["pid"].as_u64().unwrap());
    let again = world.until_status("it starts over", |s| s["uptime_s"].as_u64() < Some(2));
    assert_eq!(first["pid"], again["pid"]);
    world.write("later", "1");
    world.until("the next life's work", |s| s.file("/T/later").is_some());
    let pid = Pid::from_raw(i32::try_from(first["pid"].as_u64().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    world.assert_clean();
}

#[test]
fn v4_unlink_tells_the_daemon_which_waits_for_the_next_link() {
    let world = World::new();
    let mut daemon = world.daemon();
    world.until_folder("in_sync");
    let out = world.command(&["unlink", "test"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    world.until_status("link needed", |s| s["accounts"][0]["state"] == "auth_required");
    assert!(daemon.child.try_wait().unwrap().is_none(), "{}", world.log());
    crate::harness::link(&world, &world.standin.refresh_token());
    world.until_folder("in_sync");
}

#[test]
fn v1_quiet_keeps_what_needs_a_person() {
    let world = World::new();
    world.write_config();
    world.standin.revoke_refresh();
    let _daemon = world.spawn(world.command(&["--quiet", "run"]));
    let said = look_for(PATIENCE, || (world.log().contains("WARN") || world.log().contains("ERROR")).then_some(()));
    assert!(said.is_some(), "{}", world.log());
    assert!(!world.log().contains("INFO"), "{}", world.log());
}

#[test]
fn v9_add_says_that_an_installed_service_has_to_learn_of_the_folder() {
    let world = World::new();
    world.write_config();
    let home = world.dir.path().join("home");
    let units = home.join(".config/systemd/user");
    std::fs::create_dir_all(&units).unwrap();
    let more = world.dir.path().join("more");
    std::fs::create_dir(&more).unwrap();
    let add = |remote: &str| {
        let mut command = world.command(&["add", more.to_str().unwrap(), remote, "--mode", "backup"]);
        let out = command.env("HOME", &home).env_remove("XDG_CONFIG_HOME").output().unwrap();
        assert_eq!(out.status.code(), Some(0), "{}", text(&out));
        text(&out)
    };
    std::fs::write(
        units.join("ferrybox.service"),
        "[Service]\nExecStart=/usr/bin/ferrybox run\nReadWritePaths=-/srv\n",
    )
    .unwrap();
    let said = add("/More");
    assert!(said.contains("service install"), "{said}");
    world.write_config();
    std::fs::remove_file(units.join("ferrybox.service")).unwrap();
    let said = add("/More");
    assert!(!said.contains("service install"), "{said}");
}
