//! The service manager's watchdog: a daemon that is at work, or waits for something outside, is never taken for one that hangs.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use ferrybox_standin::Settings;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Daemon, PATIENCE, World, look_for};

/// What the manager allows between two beats.
const ALLOWED: Duration = Duration::from_secs(2);

/// A service manager that only listens, on a thread of its own: no beat waits for the test.
struct Manager {
    beats: std::sync::Arc<std::sync::Mutex<Vec<(Instant, String)>>>,
}

impl Manager {
    /// Starts the daemon under a watchdog of two seconds; a loop that is at work has one second for its round.
    fn start(world: &World) -> (Self, Daemon) {
        Self::start_with(world, "1000")
    }

    fn start_with(world: &World, round_ms: &str) -> (Self, Daemon) {
        let path = world.dir.path().join("notify");
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        let beats = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let heard = std::sync::Arc::clone(&beats);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n) = socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
                heard.lock().unwrap().extend(text.lines().map(|line| (Instant::now(), line.to_owned())));
            }
        });
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferrybox"));
        command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "2000000").env("FERRYBOX_TEST_ROUND", round_ms);
        let daemon = world.daemon_by(command);
        let manager = Self { beats };
        manager.until("WATCHDOG=1", 1, world);
        (manager, daemon)
    }

    fn told(&self, line: &str) -> Vec<Instant> {
        self.beats.lock().unwrap().iter().filter(|(_, told)| told == line).map(|(at, _)| *at).collect()
    }

    /// Waits until the manager was told so for the `times`th time.
    fn until(&self, line: &str, times: usize, world: &World) {
        let told = look_for(PATIENCE, || (self.told(line).len() >= times).then_some(()));
        assert!(told.is_some(), "the manager was not told {line} {times} times\n{}", world.log());
    }

    /// No two beats since `from` are further apart than is allowed, and none is missing now. Returns the longest time without one.
    fn was_fed_since(&self, from: Instant, world: &World) -> Duration {
        let mut last = from;
        let mut longest = Duration::ZERO;
        for at in self.told("WATCHDOG=1").into_iter().filter(|at| *at > from).chain([Instant::now()]) {
            longest = longest.max(at - last);
            last = at;
        }
        assert!(!world.log().contains("stuck"), "{}", world.log());
        assert!(longest < ALLOWED, "{longest:?} without a beat\n{}", world.log());
        longest
    }

    /// Listens for a while that is long enough for several rounds.
    fn is_fed_for(&self, how_long: Duration, world: &World) {
        let from = Instant::now();
        let stuck = look_for(how_long, || world.log().contains("stuck").then_some(()));
        assert!(stuck.is_none(), "{}", world.log());
        self.was_fed_since(from, world);
    }
}

fn hang_up(daemon: &Daemon) {
    kill_process(Pid::from_child(&daemon.child), Signal::HUP).unwrap();
}

fn read_so_far(daemon: &Daemon) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{}/io", daemon.child.id())).unwrap_or_default();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok()).unwrap_or(0)
}

/// Waits until the daemon is in the middle of hashing the file that Dropbox has, too, with the same size.
fn until_it_hashes(daemon: &Daemon, world: &World) {
    let before = read_so_far(daemon);
    world.eventually("the file is being hashed", || read_so_far(daemon) > before + (32 << 20));
}

/// A sparse file that is in Dropbox, too, as its listing says: to tell whether the two are the same, the whole file has to be read.
fn large_on_both_sides(world: &World, name: &str, bytes: u64) {
    world.standin.write(&format!("/T/{name}"), "");
    world.standin.decorate(&format!("/T/{name}"), serde_json::json!({ "size": bytes }));
    std::fs::File::create(world.folder.join(name)).unwrap().set_len(bytes).unwrap();
}

#[test]
fn v2_a_full_account_is_not_a_stuck_one() {
    let world = World::new();
    world.standin.set_quota(10_000);
    world.write("large", vec![1; 50_000]);
    let (manager, _daemon) = Manager::start(&world);
    world.until_status("quota_full", |s| s["accounts"][0]["state"] == "quota_full");
    manager.is_fed_for(Duration::from_secs(4), &world);
    world.assert_clean();
}

#[test]
fn v2_workers_that_are_all_in_large_downloads_are_not_stuck() {
    let mut world = World::with(Settings { bandwidth: Some(1 << 20), ..Settings::default() });
    world.mode = "download";
    world.extra = "[upload]\nworkers = 2\nchunk_size = \"4 MiB\"".to_owned();
    for name in ["a", "b"] {
        world.standin.write(&format!("/T/{name}"), vec![7; 24 << 20]);
    }
    let (manager, _daemon) = Manager::start(&world);
    world.until_status("both come down", |s| {
        s["accounts"][0]["folders"][0]["active"].as_array().is_some_and(|active| active.len() == 2)
    });
    manager.is_fed_for(Duration::from_secs(4), &world);
    world.assert_clean();
}

#[test]
fn v2_a_look_at_a_large_directory_that_was_moved_is_not_stuck() {
    let mut world = World::new();
    world.mode = "mirror";
    for i in 0..4_000 {
        world.write(&format!("old/{}/{i}", i % 10), format!("{i}"));
    }
    let (manager, _daemon) = Manager::start(&world);
    world.until("all of it", |s| s.file_count() == 4_000);
    world.until_folder("in_sync");
    let from = Instant::now();
    std::fs::rename(world.folder.join("old"), world.folder.join("new")).unwrap();
    world.until("the move", |s| s.folder("/T/new/9") && !s.folder("/T/old"));
    manager.was_fed_since(from, &world);
}

/// A disk that others keep busy lets a commit of the database wait for seconds.
#[test]
fn v2_a_database_that_waits_for_its_disk_is_not_stuck() {
    let world = World::new();
    world.write("a", "1");
    let (manager, _daemon) = Manager::start_with(&world, "60000");
    world.until_folder("in_sync");
    let other = rusqlite::Connection::open(world.state().join("test/state.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    world.write("b", "2");
    manager.is_fed_for(Duration::from_secs(4), &world);
    assert!(world.standin.file("/T/b").is_none(), "nothing waited for the database");
    other.execute_batch("ROLLBACK").unwrap();
    world.until("the work goes on", |s| s.file("/T/b").is_some());
    world.assert_clean();
}

#[test]
fn v2_hashing_a_large_file_is_not_stuck() {
    let mut world = World::new();
    world.mode = "two-way";
    large_on_both_sides(&world, "large", 10 << 30);
    let (manager, daemon) = Manager::start(&world);
    until_it_hashes(&daemon, &world);
    manager.is_fed_for(Duration::from_secs(4), &world);
}

/// The hour of the issue: `cargo test --release --test findings -- --ignored v2_an_hour`.
#[test]
#[ignore = "takes an hour and 20 GiB of sparse files: cargo test --test findings v2_an_hour -- --ignored"]
fn v2_an_hour_of_everything_without_a_gap() {
    let mut world = World::with(Settings { bandwidth: Some(64 << 10), ..Settings::default() });
    world.mode = "two-way";
    world.extra = "[upload]\nworkers = 4\nchunk_size = \"4 MiB\"".to_owned();
    large_on_both_sides(&world, "hashed", 10 << 30);
    world.standin.write("/T/comes", vec![7; 200 << 20]);
    for i in 0..100_000 {
        world.write(&format!("old/{}/{i}", i % 100), "");
    }
    let (manager, daemon) = Manager::start_with(&world, "60000");
    let from = Instant::now();
    let mut round = 0;
    while from.elapsed() < Duration::from_secs(3600) {
        let (one, other) = if round % 2 == 0 { ("old", "new") } else { ("new", "old") };
        std::fs::rename(world.folder.join(one), world.folder.join(other)).unwrap();
        world.standin.set_quota(if round % 2 == 0 { 1 } else { 1 << 40 });
        hang_up(&daemon);
        round += 1;
        let _ = look_for(Duration::from_secs(300), || world.log().contains("stuck").then_some(()));
        let longest = manager.was_fed_since(from, &world);
        println!("{:?}: {longest:?} without a beat at most", from.elapsed());
    }
}

#[test]
fn v3_a_reload_while_a_large_file_is_hashed_goes_on_with_the_new_configuration() {
    let mut world = World::new();
    world.mode = "two-way";
    large_on_both_sides(&world, "large", 10 << 30);
    let (manager, mut daemon) = Manager::start(&world);
    manager.until("READY=1", 1, &world);
    for life in 2..4 {
        until_it_hashes(&daemon, &world);
        let from = Instant::now();
        hang_up(&daemon);
        let ready = look_for(PATIENCE, || {
            let ended = daemon.child.try_wait().unwrap();
            assert!(ended.is_none(), "the reload ended the daemon: {ended:?}\n{}", world.log());
            (manager.told("READY=1").len() >= life).then_some(())
        });
        assert!(ready.is_some(), "{}", world.log());
        // Reading 10 GiB to their end would take far longer.
        assert!(from.elapsed() < Duration::from_secs(15), "{:?}\n{}", from.elapsed(), world.log());
        manager.was_fed_since(from, &world);
    }
    let (code, _) = daemon.stop();
    assert_eq!(code, Some(0), "{}", world.log());
}

#[test]
fn v3_a_database_that_turns_out_damaged_while_a_file_is_hashed_does_not_end_the_daemon() {
    let mut world = World::new();
    world.mode = "two-way";
    large_on_both_sides(&world, "large", 10 << 30);
    let mut daemon = world.daemon();
    crate::harness::wait_for_socket(&world);
    until_it_hashes(&daemon, &world);
    // Noticed with the next step that reads a page: every page but the first is overwritten.
    let path = world.state().join("test/state.db");
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let (page, end) = (4096, file.metadata().unwrap().len());
    for at in (page..end).step_by(4096) {
        std::os::unix::fs::FileExt::write_all_at(&file, &[0xA5; 4096], at).unwrap();
    }
    let log = path.with_extension("db-wal");
    if let Ok(log) = std::fs::File::options().write(true).open(log) {
        log.set_len(0).unwrap();
    }
    world.write("news", "1");
    world.eventually("the damaged database is set aside", || {
        let ended = daemon.child.try_wait().unwrap();
        assert!(ended.is_none(), "{ended:?}\n{}", world.log());
        world.log().contains("moved aside")
    });
    world.until("the new life's work", |s| s.file("/T/news").is_some());
}
