//! A state database whose rows contradict each other: what cannot be believed is looked at again, and costs nobody a file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    missing_docs
)]

use crate::harness::{World, text};

/// As a bug or a hand could leave them: each is sound for SQLite, and none can be made through the program.
const CONTRADICTIONS: [(&str, &str); 12] = [
    ("files of a directory that is not there", "DELETE FROM dir WHERE path = 'd'"),
    ("a directory of no folder", "UPDATE dir SET folder = 77 WHERE path = 'd'"),
    ("files that nobody counted", "UPDATE tally SET files = 3"),
    (
        "a row of no folder",
        "INSERT INTO job (folder, path, generation, state, size, since, due_at) VALUES (77, 'x', 1, 'due', 1, 1, 1)",
    ),
    (
        "a staged row without its change",
        "INSERT INTO job (folder, path, generation, state, size, since, due_at) SELECT id, 'd/1', 1, 'staged', 1, 1, 1 FROM folder",
    ),
    (
        "a claimed row that nobody holds",
        "INSERT INTO job (folder, path, generation, state, size, since, due_at) SELECT id, 'd/2', 1, 'claimed', 1, 1, 1 FROM folder",
    ),
    (
        "a deletion of no row",
        "INSERT INTO change (job, folder, kind, generation, to_path, rev, created_at, not_before)
         SELECT 999, folder.id, 'delete', 1, '/T/d/3', (SELECT rev FROM base WHERE name = '3'), 1, 1 FROM folder",
    ),
    (
        "an upload of no row",
        "INSERT INTO change (job, folder, kind, generation, to_path, session, size, read_size, mtime_ns, ctime_ns, ino, dev, content_hash,
                             created_at, not_before)
         SELECT 999, folder.id, 'upload', 1, '/T/d/4', 'never-was', 1, 1, 1, 1, 1, 1, zeroblob(32), 1, 1 FROM folder",
    ),
    ("a batch of nothing", "INSERT INTO batch (kind, async_job_id, created_at, entries) VALUES ('delete', NULL, 1, 0)"),
    (
        "a job that the server never had",
        "INSERT INTO batch (kind, async_job_id, created_at, entries) VALUES ('upload', 'never-was', 1, 2)",
    ),
    (
        "bytes on their way for no row",
        "INSERT INTO upload (job, session, born_at, begun_at, chunk, size, mtime_ns, ctime_ns, ino, dev)
         VALUES (999, 'never-was', 1, 1, 4194304, 9, 1, 1, 1, 1)",
    ),
    ("a part of no upload", "INSERT INTO part (job, at, digests, closing) VALUES (999, 0, zeroblob(32), 0)"),
];

#[test]
fn n9_rows_that_contradict_each_other_cost_no_file() {
    for (what, sql) in CONTRADICTIONS {
        eprintln!("{what}");
        let mut world = World::new();
        world.mode = "mirror";
        for i in 0..6 {
            world.write(&format!("d/{i}"), format!("{i}"));
        }
        world.once_in_sync();
        let state = world.state().join("test/state.db");
        let base = rusqlite::Connection::open(&state).unwrap();
        base.pragma_update(None, "foreign_keys", false).unwrap();
        assert!(base.execute(sql, []).unwrap() > 0, "{what}");
        drop(base);
        let out = world.once();
        assert_eq!(out.status.code(), Some(0), "{what}: {}", text(&out));
        world.assert_equal();
        assert_eq!(world.deletions(), 0, "{what}");
        let revisions = |name: &str| world.standin.file(&format!("/T/d/{name}")).unwrap().revisions;
        assert!((0..6).all(|i| revisions(&i.to_string()) == 1), "{what}: nothing is sent that is there");
        // And it knows what it knew: an edit is a revision, a deletion is passed on, and only that one.
        world.write("d/5", "edited");
        std::fs::remove_file(world.folder.join("d/0")).unwrap();
        world.once_in_sync();
        world.assert_equal();
        assert_eq!((world.standin.file_count(), revisions("5")), (5, 2), "{what}");
        world.assert_clean();
    }
}

/// N4: the log of a killed daemon is cut off, or ends in garbage, so that the database is an older, sound one. What it has forgotten is found again: no
/// version is overwritten or sent twice, and a file that it believes in at an old revision is not deleted at the new one.
#[test]
fn n4_a_log_that_is_cut_off_costs_no_file() {
    for damage in ["cut", "cut early", "garbage", "zeros"] {
        let mut world = World::new();
        world.mode = "two-way";
        for i in 0..40 {
            world.write(&format!("d/{i}"), "first");
        }
        world.once_in_sync();
        world.once_in_sync();
        let daemon = world.daemon();
        world.until_folder("in_sync");
        let sound = std::fs::metadata(world.state().join("test/state.db")).unwrap().len();
        for i in 0..20 {
            world.write(&format!("d/{i}"), format!("second {i}"));
        }
        world.write("late", "l");
        world.until("the edits", |s| {
            s.file("/T/late").is_some() && (0..20).all(|i| s.file(&format!("/T/d/{i}")).unwrap().revisions == 2)
        });
        world.until_folder("in_sync");
        daemon.kill();
        let log = world.state().join("test/state.db-wal");
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&log).unwrap();
        let whole = file.metadata().unwrap().len();
        assert!(whole > 0 && sound > 0, "the log is in use");
        match damage {
            "cut" => file.set_len(whole / 2).unwrap(),
            "cut early" => file.set_len(whole / 10).unwrap(),
            _ => {
                let byte = if damage == "zeros" { 0 } else { 0xa5 };
                let half = usize::try_from(whole - whole / 2).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&file, &vec![byte; half], whole / 2).unwrap();
            }
        }
        drop(file);
        let _ = std::fs::remove_file(world.state().join("test/state.db-shm"));
        world.standin.write("/T/d/30", "theirs");
        world.once_in_sync();
        world.once_in_sync();
        world.assert_equal();
        assert_eq!((world.deletions(), world.disk().len()), (0, 41), "{damage}: {:?}", world.disk().keys());
        let revisions = |name: String| world.standin.file(&name).unwrap().revisions;
        assert!((0..20).all(|i| revisions(format!("/T/d/{i}")) == 2), "{damage}: an edit was sent twice");
        assert_eq!(world.standin.content("/T/d/30").unwrap(), "theirs", "{damage}");
        world.assert_clean();
    }
}

/// N6: an older copy of the database, in a folder that goes both ways: what both sides did since is met anew, and nothing of it undone.
#[test]
fn n6_an_older_copy_of_the_database_undoes_nothing_in_a_two_way_folder() {
    let mut world = World::new();
    world.mode = "two-way";
    for i in 0..30 {
        world.write(&format!("d/{i}"), "first");
    }
    world.once_in_sync();
    world.once_in_sync();
    let state = world.state().join("test/state.db");
    let copy = std::fs::read(&state).unwrap();
    world.write("d/1", "second");
    std::fs::remove_file(world.folder.join("d/2")).unwrap();
    world.standin.write("/T/d/3", "theirs");
    world.standin.delete("/T/d/4");
    world.write("late", "l");
    world.once_in_sync();
    world.once_in_sync();
    let sent = world.deletions();
    std::fs::write(&state, copy).unwrap();
    // Nothing of this can be told from what was never there.
    std::fs::remove_file(world.folder.join("d/5")).unwrap();
    world.standin.delete("/T/d/6");
    let out = world.once();
    assert!(text(&out).contains("older copy"), "{}", text(&out));
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(world.deletions(), sent, "an old base proves no deletion");
    let held = |name: &str| std::fs::read_to_string(world.folder.join(name)).ok();
    assert_eq!(held("d/1").as_deref(), Some("second"));
    assert_eq!(held("d/3").as_deref(), Some("theirs"));
    assert_eq!((held("d/5").as_deref(), held("d/6").as_deref()), (Some("first"), Some("first")));
    assert_eq!((held("d/2"), held("d/4")), (None, None), "what had gone on both sides stays gone");
    assert_eq!(world.disk().len(), 29, "{:?}", world.disk().keys());
    world.assert_clean();
}

/// Q8: the folder is put back from an older copy, and goes both ways: the newer version stays in Dropbox and comes down, the older one is kept beside it,
/// and what the copy lacks comes down again.
#[test]
fn q8_a_two_way_folder_restored_from_an_old_copy_undoes_nothing() {
    let mut world = World::new();
    world.mode = "two-way";
    for i in 0..20 {
        world.write(&format!("d/{i}"), format!("{i}"));
    }
    world.once_in_sync();
    world.once_in_sync();
    let copy = world.dir.path().join("copy");
    assert!(std::process::Command::new("cp").arg("-a").arg(&world.folder).arg(&copy).status().unwrap().success());
    world.write("d/1", "second version");
    world.write("later", "l");
    std::fs::remove_file(world.folder.join("d/2")).unwrap();
    world.once_in_sync();
    world.once_in_sync();
    let sent = world.deletions();
    std::fs::remove_dir_all(&world.folder).unwrap();
    std::fs::rename(&copy, &world.folder).unwrap();
    world.once_in_sync();
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(world.deletions(), sent);
    let read = |name: &str| std::fs::read_to_string(world.folder.join(name)).unwrap();
    assert_eq!((read("d/1").as_str(), read("later").as_str()), ("second version", "l"));
    let copies: Vec<String> = world.disk().into_keys().filter(|path| path.contains("conflicted copy")).collect();
    assert_eq!(copies.iter().map(|path| read(path)).collect::<Vec<_>>(), ["1"]);
    // It cannot be told from a file that is new here: it is kept.
    assert_eq!((read("d/2").as_str(), world.disk().len()), ("2", 22));
    world.assert_clean();
}
