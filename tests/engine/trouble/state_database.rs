//! The state database: newer, damaged, gone, an older copy, another account's, on a full disk. Nothing is deleted on either side.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::harness::namespace::Namespace;
use crate::harness::{World, text};

fn mirror(files: usize) -> World {
    let mut world = World::new();
    world.mode = "mirror";
    for i in 0..files {
        world.write(&format!("d{}/{i}", i % 7), format!("content {i}"));
    }
    world.once_in_sync();
    world
}

fn database(world: &World) -> PathBuf {
    world.state().join("test/state.db")
}

fn kept_aside(world: &World) -> usize {
    let names = fs::read_dir(world.state().join("test")).unwrap();
    let names = names.map(|n| n.unwrap().file_name().into_string().unwrap());
    names.filter(|n| n.starts_with("state.db.corrupt-") && !n.ends_with("-wal") && !n.ends_with("-shm")).count()
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn n5_a_newer_database_is_refused_and_left_alone() {
    let world = mirror(3);
    // The header's user_version.
    overwrite(&database(&world), 60, &99_u32.to_be_bytes());
    let before = fs::read(database(&world)).unwrap();
    let out = world.once();
    assert_eq!(out.status.code(), Some(74), "{}", text(&out));
    assert!(text(&out).contains("schema 99"), "{}", text(&out));
    assert_eq!(fs::read(database(&world)).unwrap(), before);
    assert_eq!(kept_aside(&world), 0);
    world.assert_clean();
}

/// What was written before the first release has schemas 2 to 14 of other tables: no damage, and nothing that a newer ferrybox could read.
#[test]
fn n5_a_database_from_before_the_first_release_is_refused_and_left_alone() {
    let world = mirror(3);
    // The header's user_version and application_id.
    overwrite(&database(&world), 60, &14_u32.to_be_bytes());
    overwrite(&database(&world), 68, b"FerB");
    let before = fs::read(database(&world)).unwrap();
    let out = world.once();
    assert_eq!(out.status.code(), Some(74), "{}", text(&out));
    assert!(text(&out).contains("before the first release") && text(&out).contains("move it away"), "{}", text(&out));
    assert_eq!(fs::read(database(&world)).unwrap(), before);
    assert_eq!(kept_aside(&world), 0);
    // What the message says to do.
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(world.state().join(format!("test/state.db{ending}")));
    }
    world.once_in_sync();
    assert_eq!((world.deletions(), world.standin.files().len()), (0, 3));
    world.assert_clean();
}

#[test]
fn n1_a_database_that_is_gone_is_built_from_both_sides() {
    let world = mirror(40);
    fs::remove_dir_all(world.state().join("test")).unwrap();
    fs::remove_file(world.folder.join("d1/1")).unwrap();
    world.write("new", "n");
    world.write("d2/2", "changed");
    world.once_in_sync();
    assert_eq!(world.deletions(), 0);
    assert!(world.standin.file("/T/d1/1").is_some(), "what is on one side only stays there");
    assert!(world.standin.file("/T/new").is_some());
    // Neither version of what differs is lost.
    let versions = world
        .standin
        .files()
        .iter()
        .filter(|f| f.path_display == "/T/d2/2" || f.path_display.starts_with("/T/d2/2 ("))
        .count();
    assert_eq!((versions, world.standin.file("/T/d2/2").unwrap().revisions), (2, 1));
    assert_eq!(world.standin.file("/T/d3/3").unwrap().revisions, 1);
    world.assert_clean();
}

#[test]
fn n2_n4_damage_of_every_kind_is_moved_aside_and_nothing_is_deleted() {
    type Damage = (&'static str, fn(&Path));
    let kinds: [Damage; 8] = [
        ("garbage", |p| fs::write(p, vec![0xa5; 70_000]).unwrap()),
        ("zeros", |p| fs::write(p, vec![0; 70_000]).unwrap()),
        ("zero pages inside", |p| overwrite(p, 4096, &vec![0; 8 * 4096])),
        ("half of it", |p| fs::OpenOptions::new().write(true).open(p).unwrap().set_len(20_000).unwrap()),
        ("nothing in it", |p| fs::write(p, "").unwrap()),
        ("another program's", |p| overwrite(p, 68, b"LITE")),
        ("a letter of its tables", |p| {
            let bytes = fs::read(p).unwrap();
            let at = bytes.windows(14).enumerate().filter(|(_, some)| *some == b"account_id   T");
            at.for_each(|(at, _)| overwrite(p, at as u64, b"w"));
        }),
        ("a letter of the account's id", |p| {
            let (bytes, id) = (fs::read(p).unwrap(), b"dbid:");
            let found: Vec<_> = bytes.windows(id.len()).enumerate().filter(|(_, some)| *some == id).collect();
            assert_eq!(found.len(), 1, "nothing but the row of the account has it");
            let at = found[0].0 + id.len();
            overwrite(p, at as u64, &[bytes[at] ^ 1]);
        }),
    ];
    for (i, (what, damage)) in kinds.iter().enumerate() {
        let world = mirror(60);
        damage(&database(&world));
        world.write("new", what);
        fs::remove_file(world.folder.join("d0/0")).unwrap();
        let out = world.once();
        assert_eq!(out.status.code(), Some(0), "{what}: {}", text(&out));
        assert_eq!(world.deletions(), 0, "{what}");
        assert_eq!(world.standin.files().len(), 61, "{what}");
        assert_eq!(kept_aside(&world), usize::from(i != 4), "{what}: what was there is kept");
        world.assert_clean();
    }
}

/// Bits turn at random places. Whatever that does, no file of Dropbox is deleted, and the tree stays in sync. `FERRYBOX_LONG=1` turns 1,000.
#[test]
fn n2_bytes_flipped_at_random_offsets_cost_no_file() {
    let world = mirror(150);
    let whole = fs::read(database(&world)).unwrap();
    let mut random = fs::File::open("/dev/urandom").unwrap();
    let mut number = move || {
        let mut bytes = [0; 8];
        random.read_exact(&mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    };
    let rounds = if std::env::var("FERRYBOX_LONG").is_ok_and(|long| long == "1") { 250 } else { 40 };
    for round in 0..rounds {
        let mut bytes = whole.clone();
        let at = (0..4).map(|_| usize::try_from(number() % bytes.len() as u64).unwrap()).collect::<Vec<_>>();
        for at in &at {
            bytes[*at] ^= 1 << (number() % 8);
        }
        fs::write(database(&world), &bytes).unwrap();
        for ending in ["-wal", "-shm"] {
            let _ = fs::remove_file(world.state().join(format!("test/state.db{ending}")));
        }
        let out = world.once();
        let code = out.status.code();
        // A number that only a later version could have written is refused, as it must be.
        let refused = code == Some(74) && text(&out).contains("schema");
        assert!(matches!(code, Some(0 | 3)) || refused, "round {round}, offsets {at:?}: {}", text(&out));
        assert_eq!(world.standin.files().iter().filter(|f| !f.path_display.contains("conflicted")).count(), 150);
    }
    world.assert_clean();
}

/// A database and its log in a directory of their own, as a crash might have left them.
struct Copy {
    dir: tempfile::TempDir,
}

impl Copy {
    fn of(database: &[u8], log: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("state.db"), database).unwrap();
        fs::write(dir.path().join("state.db-wal"), log).unwrap();
        Self { dir }
    }

    fn open(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.dir.path().join("state.db")).unwrap()
    }

    fn sound(&self) -> rusqlite::Connection {
        let conn = self.open();
        let found: String = conn.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
        assert_eq!(found, "ok");
        conn
    }
}

fn paths(conn: &rusqlite::Connection, sql: &str) -> BTreeSet<String> {
    let mut select = conn.prepare(sql).unwrap();
    select.query_map([], |r| r.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

const IN_BASE: &str =
    "SELECT iif(dir.path = '', '', dir.path || '/') || base.name FROM dir JOIN base ON base.dir = dir.id";

/// The database and log of a daemon that was killed when it had synced this many files.
fn killed_in_sync(files: usize) -> (World, Vec<u8>, Vec<u8>) {
    let world = World::new();
    for i in 0..files {
        world.write(&format!("d{}/{i}", i % 7), format!("content {i}"));
    }
    let daemon = world.daemon();
    world.until_folder("in_sync");
    daemon.kill();
    let [database, log] = ["", "-wal"].map(|end| fs::read(format!("{}{end}", database(&world).display())).unwrap());
    (world, database, log)
}

/// The log is cut where the power may have failed: after each of its pages, and in the middle of them.
#[test]
fn a13_a_file_is_in_the_queue_or_in_base_at_every_moment_and_never_in_both() {
    let (_world, database, log) = killed_in_sync(60);
    const HEADER: usize = 32;
    const FRAME: usize = 4096 + 24;
    let frames = (log.len() - HEADER) / FRAME;
    assert!(frames > 50, "the whole story is in the log: {frames}");
    let mut before = BTreeSet::new();
    let (mut queued, mut settled) = (false, false);
    for frame in 0..=frames {
        for cut in [HEADER + frame * FRAME, HEADER + frame * FRAME + FRAME / 2] {
            let copy = Copy::of(&database, &log[..cut.min(log.len())]);
            let conn = copy.sound();
            if !conn.table_exists(None, "upload").unwrap() {
                continue;
            }
            let jobs = paths(&conn, "SELECT path FROM job");
            let base = paths(&conn, IN_BASE);
            assert!(jobs.is_disjoint(&base), "frame {frame}");
            queued |= !jobs.is_empty();
            settled |= !base.is_empty();
            let known: BTreeSet<_> = jobs.union(&base).cloned().collect();
            assert!(known.is_superset(&before), "frame {frame}: something was forgotten");
            before = known;
            let torn = "SELECT path FROM job WHERE (state = 'staged') <> EXISTS (SELECT 1 FROM change WHERE change.job = job.id)";
            assert!(paths(&conn, torn).is_empty(), "frame {frame}");
        }
    }
    assert!(queued && settled && before.len() == 60);
}

#[test]
fn a15_a_checkpoint_that_is_cut_short_damages_nothing() {
    let (_world, database, log) = killed_in_sync(200);
    let copy = Copy::of(&database, &log);
    let conn = copy.sound();
    let all = paths(&conn, IN_BASE);
    assert_eq!(all.len(), 200);
    let busy: i64 = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |r| r.get(0)).unwrap();
    assert_eq!(busy, 0);
    let done = fs::read(copy.dir.path().join("state.db")).unwrap();
    drop(conn);
    assert!(done.len() > database.len());
    // Any of its pages may have been written, and one of them by half.
    for page in 0..done.len() / 4096 {
        let mut torn = done[..page * 4096 + 2048].to_vec();
        torn.extend(database.get(torn.len()..).unwrap_or_default());
        assert_eq!(paths(&Copy::of(&torn, &log).sound(), IN_BASE), all, "page {page}");
    }
}

/// Enough rows that the log is folded into the file again and again meanwhile.
#[test]
fn a15_kills_in_the_middle_of_heavy_writing_leave_a_sound_database() {
    let world = World::new();
    let mut files = 0;
    for round in 0..8_u64 {
        for _ in 0..1_500 {
            world.write(&format!("d{}/{files}", files % 50), format!("{files}"));
            files += 1;
        }
        let before = world.standin.file_count();
        let daemon = world.daemon();
        let some = before + usize::try_from(200 + round * 150).unwrap();
        world.until("some", |s| s.file_count() >= some.min(files));
        daemon.kill();
        let conn = Copy::of(
            &fs::read(database(&world)).unwrap(),
            &fs::read(format!("{}-wal", database(&world).display())).unwrap_or_default(),
        )
        .sound();
        let known: i64 = conn
            .query_row("SELECT (SELECT count(*) FROM job) + (SELECT count(*) FROM base)", [], |r| r.get(0))
            .unwrap();
        let known = usize::try_from(known).unwrap();
        assert!(known >= before, "{known} of {before} that were settled at the last kill are known");
    }
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(kept_aside(&world), 0);
    assert!(world.standin.files().iter().all(|f| f.revisions == 1));
    world.assert_clean();
}

/// The disk's last seconds are gone: the log ends early, and what the daemon had begun to write lies about.
#[test]
fn a17_after_a_power_loss_no_leftover_is_uploaded_and_nothing_is_sent_twice() {
    let (world, whole, log) = killed_in_sync(40);
    let sent = |world: &World| world.standin.calls()["files/upload_session/append_batch"].bytes_in;
    let before = sent(&world);
    for cut in [log.len() * 9 / 10, log.len() / 2, log.len() / 5] {
        fs::write(database(&world), &whole).unwrap();
        fs::write(format!("{}-wal", database(&world).display()), &log[..cut]).unwrap();
        let _ = fs::remove_file(format!("{}-shm", database(&world).display()));
        let tmp = world.folder.join(".ferrybox/tmp");
        fs::create_dir_all(&tmp).unwrap();
        for name in ["snapshot-1", "0-half"] {
            fs::write(tmp.join(name), "").unwrap();
        }
        world.once_in_sync();
        world.assert_equal();
        assert!(world.standin.files().iter().all(|f| f.revisions == 1), "{cut}");
        assert_eq!(sent(&world), before, "{cut}: what Dropbox has is recognised and not sent");
    }
    assert_eq!(world.deletions(), 0);
    world.assert_clean();
}

/// The disk knew of the file's last write, and lost its bytes.
#[test]
fn a17_a_file_that_was_cut_off_under_its_old_time_is_told_and_not_sent() {
    let world = mirror(1);
    for name in ["empty", "half", "shorter", "left"] {
        world.write(name, name.repeat(50));
    }
    world.once_in_sync();
    let before = world.remote();
    for (name, len) in [("empty", 0), ("half", 100), ("shorter", 100)] {
        let file = fs::File::options().write(true).open(world.folder.join(name)).unwrap();
        let time = file.metadata().unwrap().modified().unwrap();
        file.set_len(len).unwrap();
        if name != "shorter" {
            file.set_modified(time).unwrap();
        }
    }
    let out = world.once();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    let remote = world.remote();
    assert_eq!((&remote["empty"], &remote["half"]), (&before["empty"], &before["half"]));
    assert_ne!(remote["shorter"], before["shorter"], "somebody wrote that one");
    // A daemon says so too, and whoever asks learns why.
    let daemon = world.daemon();
    world.until_status("problems", |s| s["accounts"][0]["folders"][0]["problems"] == 2);
    // The scan of a start looks at each once more (C10), and for that moment neither is known to be a problem.
    let said = |command: &str, words: [&str; 2]| {
        let out = world.command(&[command]).output().unwrap();
        words.iter().all(|word| text(&out).contains(word))
    };
    world.eventually("the reason", || said("problems", ["100 of the 200 bytes", "touch"]));
    world.eventually("the plan", || said("plan", ["loss of power", "half"]));
    // Put back as it was, or said to be right: both are in sync again.
    world.write("half", "half".repeat(50));
    let file = fs::File::options().write(true).open(world.folder.join("empty")).unwrap();
    file.set_modified(std::time::SystemTime::now()).unwrap();
    world.until("the empty one", |s| s.file("/T/empty").is_some_and(|f| f.size == 0));
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0));
    assert_eq!(world.standin.file("/T/half").unwrap().revisions, 1);
    assert_eq!(world.deletions(), 0);
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn n4_a_log_that_is_lost_with_a_killed_daemon_loses_no_file() {
    for ending in ["-wal", "-shm"] {
        let mut world = World::new();
        world.mode = "mirror";
        world.write("a", "1");
        let daemon = world.daemon();
        world.until("the file", |s| s.files().len() == 1);
        world.until_folder("in_sync");
        daemon.kill();
        let beside = world.state().join(format!("test/state.db{ending}"));
        if ending == "-shm" {
            fs::write(&beside, vec![0xff; 32_768]).unwrap();
        } else {
            fs::remove_file(&beside).unwrap();
        }
        world.write("b", "2");
        world.once_in_sync();
        assert_eq!((world.standin.files().len(), world.deletions()), (2, 0), "{ending}");
        assert_eq!(world.standin.file("/T/a").unwrap().revisions, 1);
        world.assert_clean();
    }
}

/// Found only while it is used: the pages of a table that the start does not read in full.
#[test]
fn n2_damage_that_shows_while_it_runs_is_moved_aside_too() {
    let world = mirror(300);
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let path = database(&world);
    let size = fs::metadata(&path).unwrap().len();
    // Behind SQLite's back; its caches know nothing of it, so that the damage shows when a page is read anew.
    overwrite(&path, 4096, &vec![0xee; usize::try_from(size - 4096).unwrap()]);
    fs::remove_file(world.folder.join("d1/1")).unwrap();
    for i in 0..40 {
        world.write(&format!("new/{i}"), format!("n{i}"));
    }
    world.until("the new files", |s| s.file("/T/new/39").is_some());
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0), "{}", world.log());
    world.once_in_sync();
    assert!(world.standin.file("/T/d2/2").is_some());
    world.assert_clean();
}

#[test]
fn n6_an_older_copy_of_the_database_deletes_and_overwrites_nothing() {
    let world = mirror(30);
    let copy = fs::read(database(&world)).unwrap();
    world.write("d1/1", "second version");
    world.write("later", "l");
    world.once_in_sync();
    assert_eq!(world.standin.file("/T/d1/1").unwrap().revisions, 2);
    fs::write(database(&world), copy).unwrap();
    fs::remove_file(world.folder.join("d2/2")).unwrap();
    let out = world.once();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    assert!(text(&out).contains("older copy"), "{}", text(&out));
    assert_eq!(world.deletions(), 0, "an old base proves no deletion");
    assert_eq!(world.standin.files().len(), 31, "no conflicted copy of what is the same");
    assert_eq!(world.standin.file("/T/d1/1").unwrap().revisions, 2);
    world.assert_clean();
}

#[test]
fn q8_a_root_restored_from_an_old_copy_overwrites_and_deletes_nothing() {
    let world = mirror(20);
    let copy = world.dir.path().join("copy");
    assert!(std::process::Command::new("cp").arg("-a").arg(&world.folder).arg(&copy).status().unwrap().success());
    world.write("d1/1", "second version");
    world.write("later", "l");
    world.once_in_sync();
    fs::remove_dir_all(&world.folder).unwrap();
    fs::rename(&copy, &world.folder).unwrap();
    world.once_in_sync();
    assert_eq!(world.deletions(), 0);
    let hash = ferrybox_standin::content_hash(b"second version");
    assert_eq!(world.standin.file("/T/d1/1").unwrap().content_hash, hash, "the newer version stays where it is");
    assert!(world.standin.file("/T/later").is_some());
    world.assert_clean();
}

#[test]
fn n7_a_rebuilt_database_still_belongs_to_its_account() {
    let world = mirror(3);
    fs::write(database(&world), vec![0xa5; 70_000]).unwrap();
    let other = crate::harness::World::new();
    // The same folder and state, another account's server and token.
    let mut stranger = World::new();
    stranger.folder = world.folder.clone();
    stranger.mode = "mirror";
    stranger.write_config();
    let mine = stranger.state();
    fs::rename(world.state(), &mine).unwrap();
    stranger.standin.add_account(ferrybox_standin::AccountSpec::default());
    fs::write(mine.join("test/account-id"), "dbid:somebody-else").unwrap();
    let out = stranger.once();
    assert_eq!(out.status.code(), Some(4), "{}", text(&out));
    assert!(text(&out).contains("another account"), "{}", text(&out));
    assert!(stranger.standin.files().is_empty());
    for world in [world, other, stranger] {
        world.assert_clean();
    }
}

#[test]
fn l2_a_full_state_disk_stops_new_work_until_there_is_room() {
    let namespace = Namespace::new();
    let mut world = World::new();
    world.mode = "mirror";
    for i in 0..100 {
        world.write(&format!("a/{i}"), format!("{i}"));
    }
    let state = world.state();
    fs::create_dir_all(&state).unwrap();
    namespace.run(&format!("mount -t tmpfs -o size=24m,mode=700 tmpfs {}", state.display()));
    let daemon = world.daemon_by(namespace.command(env!("CARGO_BIN_EXE_ferrybox")));
    world.until("the files", |s| s.files().len() == 100);
    world.until_folder("in_sync");
    let ballast = state.join("ballast");
    namespace.run(&format!("dd if=/dev/zero of={} bs=4k 2>/dev/null || true", ballast.display()));
    for i in 0..2_000 {
        world.write(&format!("b/{i}"), format!("{i}"));
    }
    let reason = world.until_folder("disk_full");
    assert!(reason.contains("free some space"), "{reason}");
    let status = world.until_status("paused", |s| s["accounts"][0]["state"] == "paused");
    assert!(status["accounts"][0]["reason"].as_str().is_some());
    namespace.run(&format!("rm {}", ballast.display()));
    world.until("the rest", |s| s.files().len() == 2_100);
    world.until_folder("in_sync");
    assert_eq!(daemon.stop().0, Some(0), "{}", world.log());
    world.assert_equal();
    assert_eq!(world.deletions(), 0);
    world.assert_clean();
}

#[test]
fn n8_a_state_directory_that_cannot_be_written_is_said_and_nothing_is_touched() {
    let namespace = Namespace::new();
    let mut world = World::new();
    world.write("a", "1");
    world.mode = "mirror";
    world.write_config();
    let state = world.state();
    fs::create_dir_all(&state).unwrap();
    namespace.run(&format!("mount -t tmpfs -o ro,mode=700 tmpfs {}", state.display()));
    let mut command = namespace.command(env!("CARGO_BIN_EXE_ferrybox"));
    let out = command.arg("--config").arg(world.config_file()).args(["run", "--once"]).output().unwrap();
    assert!(matches!(out.status.code(), Some(64 | 74)), "{}", text(&out));
    assert!(!world.folder.join(".ferrybox").exists());
    world.assert_clean();
}
