//! A state database whose rows contradict each other: what cannot be believed is looked at again, and costs nobody a file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    missing_docs
)]

mod harness;

use harness::{World, text};

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
