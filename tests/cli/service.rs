//! The service manager's side: what it is told, the watchdog, the units, and what the log holds.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::namespace::Namespace;
use crate::harness::{Daemon, PATIENCE, World, look_for, text};
use rustix::process::{Pid, Signal, kill_process};

/// A service manager that only listens.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn new(world: &World) -> Self {
        let socket = UnixDatagram::bind(world.dir.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        Self { socket }
    }

    fn start(&self, world: &World) -> Daemon {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferrybox"));
        command
            .env("NOTIFY_SOCKET", world.dir.path().join("notify"))
            .env("WATCHDOG_USEC", "1200000")
            .env("FERRYBOX_TEST_ROUND", "1200")
            .env("FERRYBOX_TEST_WEDGE", world.dir.path().join("wedge"));
        world.daemon_by(command)
    }

    /// The lines of the next message, if one comes soon.
    fn next(&self) -> Option<Vec<String>> {
        let mut buffer = [0; 4096];
        let n = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..n]).lines().map(ToOwned::to_owned).collect())
    }

    /// The first line that begins like this, with all that came in the same message.
    fn until(&self, start: &str, world: &World) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(lines) = self.next()
                && lines.iter().any(|line| line.starts_with(start))
            {
                return lines;
            }
        }
        panic!("the manager was never told {start}\n{}", world.log());
    }
}

fn signal(daemon: &Daemon, signal: Signal) {
    kill_process(Pid::from_child(&daemon.child), signal).unwrap();
}

#[test]
fn the_manager_is_told_of_everything_from_ready_to_stopping() {
    let world = World::new();
    world.write("a", "1");
    let manager = Manager::new(&world);
    let mut daemon = manager.start(&world);
    manager.until("READY=1", &world);
    manager.until("STATUS=", &world);
    manager.until("WATCHDOG=1", &world);
    manager.until("STATUS=1 files in sync", &world);

    // A good configuration: over again, with the monotonic time that newer managers ask for.
    signal(&daemon, Signal::HUP);
    let told = manager.until("RELOADING=1", &world);
    assert!(told.iter().any(|line| line.starts_with("MONOTONIC_USEC=")), "{told:?}");
    manager.until("READY=1", &world);
    manager.until("WATCHDOG=1", &world);

    // A bad one: the old one stays, and the manager does not wait for ever.
    std::fs::write(world.config_file(), "[nonsense]\n").unwrap();
    signal(&daemon, Signal::HUP);
    manager.until("RELOADING=1", &world);
    manager.until("READY=1", &world);
    world.write("b", "2");
    world.until("the old configuration's work", |s| s.file("/T/b").is_some());

    signal(&daemon, Signal::TERM);
    manager.until("STOPPING=1", &world);
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0), "{}", world.log());
    world.assert_clean();
}

#[test]
fn l9_the_watchdog_is_fed_under_work_and_not_when_the_work_is_stuck() {
    let world = World::new();
    for i in 0..2_000 {
        world.write(&format!("d{}/{i}", i % 40), format!("{i}"));
    }
    let manager = Manager::new(&world);
    let daemon = manager.start(&world);
    manager.until("READY=1", &world);
    // While it works, no two beats are further apart than the manager allows.
    let mut last = Instant::now();
    let mut longest = Duration::ZERO;
    while world.standin.files().len() < 2_000 {
        if manager.next().is_some_and(|lines| lines.iter().any(|l| l == "WATCHDOG=1")) {
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        assert!(last.elapsed() < PATIENCE, "{}", world.log());
    }
    println!("longest pause between two beats: {longest:?}");
    assert!(longest < Duration::from_secs(10), "{longest:?}");
    manager.until("WATCHDOG=1", &world);

    // The database's writer never comes back: the process lives, its runtime runs, and yet no beat is sent.
    let said = || world.log().matches("the database of account").count();
    let before = said();
    std::fs::write(world.dir.path().join("wedge"), "").unwrap();
    let noticed = look_for(Duration::from_secs(3), || (said() > before).then_some(()));
    assert!(noticed.is_some(), "{}", world.log());
    while manager.next().is_some() {}
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(4) {
        let lines = manager.next().unwrap_or_default();
        assert!(!lines.iter().any(|l| l == "WATCHDOG=1"), "a stuck daemon feeds the watchdog");
    }
    daemon.kill();
    world.assert_clean();
}

#[test]
fn the_log_holds_no_token_and_no_name_unless_asked() {
    for (paths, level) in [(false, "info"), (false, "debug")] {
        let mut world = World::new();
        world.extra = format!("[log]\nlevel = \"{level}\"\nformat = \"json\"\npaths = {paths}\n");
        world.write("secret-name/file", "1");
        world.write("secret-name/bad\u{1}:name ", "2");
        std::os::unix::fs::symlink("/etc", world.folder.join("secret-name/link")).unwrap();
        let daemon = world.daemon();
        world.until("the file", |s| s.file("/T/secret-name/file").is_some());
        world.until_folder("in_sync");
        std::fs::rename(&world.folder, world.dir.path().join("away")).unwrap();
        world.until_folder("root_missing");
        std::fs::rename(world.dir.path().join("away"), &world.folder).unwrap();
        world.until_folder("in_sync");
        daemon.stop();
        let log = world.log();
        assert!(!log.contains(&world.standin.refresh_token()), "{log}");
        assert!(!log.to_lowercase().contains("bearer "), "{log}");
        let lines: Vec<serde_json::Value> =
            log.lines().filter(|l| l.starts_with('{')).map(|l| serde_json::from_str(l).unwrap()).collect();
        assert!(lines.iter().any(|l| l["fields"]["message"] == "running"), "{log}");
        let public = |l: &&serde_json::Value| matches!(l["level"].as_str(), Some("INFO" | "WARN" | "ERROR"));
        for line in lines.iter().filter(public) {
            assert!(!line.to_string().contains("secret-name"), "{line}");
        }
        // One message when the folder stops, one when it is back.
        let stops =
            lines.iter().filter(|l| l["fields"]["message"].as_str().is_some_and(|m| m.contains("stops"))).count();
        assert_eq!(stops, 1, "{log}");
        world.assert_clean();
    }
}

#[test]
fn a_printed_unit_names_this_program_and_these_folders_and_passes_the_threshold() {
    let world = World::new();
    world.write_config();
    let out = world.command(&["service", "print"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    let unit = String::from_utf8(out.stdout).unwrap();
    let config = world.config_file();
    let start = format!("ExecStart={} --config {} run", env!("CARGO_BIN_EXE_ferrybox"), config.display());
    for line in [
        start.as_str(),
        &format!("ReadWritePaths=-{}", world.folder.display()),
        &format!("ReadWritePaths={}", world.state().display()),
        "RestartPreventExitStatus=64",
        "PrivateUsers=yes",
        "WatchdogSec=60",
    ] {
        assert!(unit.lines().any(|l| l == line), "{line} is missing in\n{unit}");
    }
    let system = world.command(&["service", "print", "--system", "--user", "alice"]).output().unwrap();
    let system = text(&system);
    for line in
        [format!("BindPaths={}", world.folder.display()), format!("RequiresMountsFor={}", world.folder.display())]
    {
        assert!(system.lines().any(|l| l == line), "{line} is missing in\n{system}");
    }
    if Path::new("/usr/bin/systemd-analyze").exists() {
        let file = world.dir.path().join("ferrybox.service");
        std::fs::write(&file, &unit).unwrap();
        let scored = Command::new("systemd-analyze")
            .args(["security", "--no-pager", "--offline=yes", "--threshold=20"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(scored.status.success(), "{}", text(&scored));
    }
    for wrong in [
        &["service", "print", "--system"][..],
        &["service", "print", "--system", "--user", "../x"],
        &["service", "print", "--user", "a"],
    ] {
        assert_eq!(world.command(wrong).output().unwrap().status.code(), Some(64), "{wrong:?}");
    }
    world.assert_clean();
}

#[test]
fn without_systemd_install_refuses_and_writes_nothing() {
    let namespace = Namespace::new();
    let world = World::new();
    world.write_config();
    namespace.run("mount -t tmpfs tmpfs /run");
    let home = world.dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    for what in ["install", "uninstall"] {
        let mut command = namespace.command(env!("CARGO_BIN_EXE_ferrybox"));
        command.env("HOME", &home).env_remove("XDG_CONFIG_HOME");
        let out = command.arg("--config").arg(world.config_file()).args(["service", what]).output().unwrap();
        assert_eq!(out.status.code(), Some(64), "{}", text(&out));
        assert!(text(&out).contains("ferrybox run"), "{}", text(&out));
    }
    assert_eq!(std::fs::read_dir(&home).unwrap().count(), 0);
    world.assert_clean();
}

/// A `systemctl` that writes down what it is asked stands in for the real one.
#[test]
fn install_and_uninstall_do_what_they_say() {
    use std::os::unix::fs::PermissionsExt;
    let namespace = Namespace::new();
    let world = World::new();
    world.write_config();
    namespace.run("mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system");
    let (home, bin, asked) =
        (world.dir.path().join("home"), world.dir.path().join("bin"), world.dir.path().join("asked"));
    std::fs::create_dir(&home).unwrap();
    std::fs::create_dir(&bin).unwrap();
    std::fs::write(bin.join("systemctl"), format!("#!/bin/sh\necho \"$@\" >>{}\n", asked.display())).unwrap();
    std::fs::set_permissions(bin.join("systemctl"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let unit = home.join(".config/systemd/user/ferrybox.service");
    let service = |what: &str| {
        let mut command = namespace.command(env!("CARGO_BIN_EXE_ferrybox"));
        command.env("HOME", &home).env_remove("XDG_CONFIG_HOME");
        command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        let out = command.arg("--config").arg(world.config_file()).args(["service", what]).output().unwrap();
        assert_eq!(out.status.code(), Some(0), "{}", text(&out));
        text(&out)
    };
    let said = service("install");
    assert!(said.contains(&format!("wrote {}", unit.display())), "{said}");
    assert!(said.contains("enable-linger"), "{said}");
    assert!(unit.exists() && world.state().is_dir());
    let said = service("uninstall");
    assert!(said.contains(&format!("removed {}", unit.display())), "{said}");
    assert!(!unit.exists());
    assert_eq!(
        std::fs::read_to_string(asked).unwrap().lines().collect::<Vec<_>>(),
        [
            "--user daemon-reload",
            "--user enable ferrybox.service",
            "--user restart ferrybox.service",
            "--user disable --now ferrybox.service",
            "--user daemon-reload"
        ]
    );
    world.assert_clean();
}
