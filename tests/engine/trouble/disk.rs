//! A disk that fails: what it cannot read is not changed, what it lost in silence is not sent, and what it failed to write is not believed.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use crate::harness::{World, text};

/// While it is told 1, files with `rotten` in their names cannot be read.
const UNREADABLE: &str = r#"
ssize_t read(int fd, void *at, size_t n) {
  if (told && *told && leads_to(fd, "rotten")) { errno = EIO; return -1; }
  return syscall(SYS_read, fd, at, n);
}
ssize_t pread64(int fd, void *at, size_t n, off_t from) {
  if (told && *told && leads_to(fd, "rotten")) { errno = EIO; return -1; }
  return syscall(SYS_pread64, fd, at, n, from);
}
"#;

/// Each call to make a database's bytes last counts down; the one that comes to nought fails, and those after it do not.
const FORGETFUL: &str = r#"
static int fails(int fd) {
  return told && *told > 0 && leads_to(fd, "state.db") && __sync_sub_and_fetch(told, 1) == 0;
}
int fsync(int fd) { if (fails(fd)) { errno = EIO; return -1; } return (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { if (fails(fd)) { errno = EIO; return -1; } return (int)syscall(SYS_fdatasync, fd); }
"#;

#[test]
fn l5_a_synced_file_that_cannot_be_read_is_told_and_neither_sent_nor_deleted() {
    let mut world = World::new();
    world.mode = "mirror";
    world.extra = "rescan = \"2s\"\n".to_owned();
    world.write("rotten", vec![1; 300_000]);
    world.write("rotten-small", "small");
    world.write("sound", "1");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferrybox"));
    let broken = crate::harness::preload::load(world.dir.path(), UNREADABLE, &mut command);
    let daemon = world.daemon_by(command);
    world.until("the files", |s| s.file_count() == 3);
    world.until_folder("in_sync");
    let before = world.remote();
    broken.set(1);
    // Nothing but their times says that they are others now.
    let now = std::time::SystemTime::now();
    for name in ["rotten", "rotten-small"] {
        fs::File::options().write(true).open(world.folder.join(name)).unwrap().set_modified(now).unwrap();
    }
    world.write("sound", "22");
    world.until("the sound one", |s| s.file("/T/sound").is_some_and(|f| f.revisions == 2));
    world.until_status("problems", |s| s["accounts"][0]["folders"][0]["problems"] == 2);
    let out = world.command(&["problems", "--json"]).output().unwrap();
    assert!(text(&out).matches("\"io_error\"").count() == 2, "{}", text(&out));
    let remote = world.remote();
    assert!(["rotten", "rotten-small"].iter().all(|name| remote[*name] == before[*name]), "{remote:?}");
    assert_eq!(world.deletions(), 0);
    // The disk recovers: they are what they were.
    broken.set(0);
    let out = world.command(&["sync", "--wait"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    assert_eq!(daemon.stop().0, Some(0));
    assert!(["/T/rotten", "/T/rotten-small"].iter().all(|path| world.standin.file(path).unwrap().revisions == 1));
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn l6_what_changed_under_an_unchanged_stat_is_never_sent_by_itself() {
    let mut world = World::new();
    world.mode = "mirror";
    world.write("a", "precious");
    world.once_in_sync();
    // The disk flips bits: nothing of the file's stat moves. So base is given the stat that the test's own write has left.
    let path = world.folder.join("a");
    let file = fs::File::options().write(true).open(&path).unwrap();
    let time = file.metadata().unwrap().modified().unwrap();
    fs::write(&path, "prFcious").unwrap();
    file.set_modified(time).unwrap();
    let stat = path.metadata().unwrap();
    let ctime = stat.ctime() * 1_000_000_000 + stat.ctime_nsec();
    let base = rusqlite::Connection::open(world.state().join("test/state.db")).unwrap();
    assert_eq!(base.execute("UPDATE base SET ctime_ns = ?1", [ctime]).unwrap(), 1);
    drop(base);
    world.once_in_sync();
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let out = world.command(&["sync", "--wait"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!(world.standin.content("/T/a").unwrap(), "precious");
    assert_eq!(world.standin.file("/T/a").unwrap().revisions, 1);
    world.assert_clean();
}

/// Whatever was written in vain is written again from its source: after the failure nothing that it was about is believed.
#[test]
fn l7_a_database_that_once_did_not_last_loses_and_doubles_nothing() {
    let mut failed = 0;
    for nth in [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22] {
        let mut world = World::new();
        world.mode = "mirror";
        for i in 0..20 {
            world.write(&format!("d/{i}"), format!("{i}"));
        }
        world.write_config();
        let mut command = world.command(&["run", "--once"]);
        let countdown = crate::harness::preload::load(world.dir.path(), FORGETFUL, &mut command);
        countdown.set(nth);
        let out = command.output().unwrap();
        assert!(countdown.get() <= 0 || out.status.code() == Some(0), "{nth}: {}", text(&out));
        failed += usize::from(out.status.code() != Some(0));
        assert!(matches!(out.status.code(), Some(0 | 3 | 74)), "{nth}: {}", text(&out));
        world.once_in_sync();
        world.assert_equal();
        assert!(world.standin.files().iter().all(|f| f.revisions == 1), "{nth}");
        assert_eq!(world.deletions(), 0, "{nth}");
        world.assert_clean();
    }
    assert!(failed > 3, "the failures were felt: {failed}");
}
