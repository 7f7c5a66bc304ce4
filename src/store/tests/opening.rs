use std::io::{Seek, SeekFrom, Write};

use rusqlite::Connection;

use super::*;
use crate::store::ReadOnly;
use crate::store::db::schema;

#[tokio::test]
async fn a_new_file_is_ours_private_and_opens_again() {
    use std::os::unix::fs::PermissionsExt;
    let home = home().await;
    home.store.set_account_id("x").await.unwrap();
    let path = home.store.path().to_owned();
    home.store.close().await.unwrap();
    assert_eq!(std::fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let conn = Connection::open(&path).unwrap();
    assert_eq!(conn.query_row("SELECT clean FROM account", [], |r| r.get::<_, bool>(0)), Ok(true));
    drop(conn);
    let store = Store::open(&path).unwrap();
    assert_eq!(store.account_id().await.unwrap().as_deref(), Some("x"));
    assert_eq!(store.read(|conn| Ok(conn.query_row("SELECT clean FROM account", [], |r| r.get(0))?)).await, Ok(false));
    let again = store.folder("/l", "/r", Mode::Backup).await.unwrap();
    assert_eq!((again.id, again.fresh), (home.folder, true), "nobody has told its root's identity yet");
    store.set_root_id(again.id, "root", "/l").await.unwrap();
    assert!(!store.folder("/l", "/r", Mode::Backup).await.unwrap().fresh);
}

/// A2, A3: a crash is the same as a restart.
#[tokio::test]
async fn claims_are_released_at_open_and_staged_rows_stay() {
    let home = home().await;
    home.batch(&["s"]).await;
    home.enqueue(&["a"]).await;
    assert_eq!(home.claim(0).await.len(), 1);
    let path = home.store.path().to_owned();
    drop(home.store);
    let store = Store::open(&path).unwrap();
    let home = Home { store, ..home };
    assert_eq!(home.rows(), ["a 1 due 0 -", "s 1 staged 0 -"]);
    assert_eq!(home.store.open_batches().await.unwrap().len(), 1);
    home.counts_agree();
}

/// N5: refused, and not touched.
#[tokio::test]
async fn a_newer_schema_is_refused() {
    let home = home().await;
    let path = home.store.path().to_owned();
    home.store.close().await.unwrap();
    Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    let before = std::fs::read(&path).unwrap();
    let refused = Store::open(&path).unwrap_err();
    assert_eq!(refused, StoreError::Newer { path: path.clone(), found: 99, known: schema::known() });
    assert!(refused.to_string().contains("newer ferrybox"), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn another_programs_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (name, sql) in [("plain", "CREATE TABLE t (a)"), ("marked", "PRAGMA application_id = 7")] {
        let path = dir.path().join(name);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let before = std::fs::read(&path).unwrap();
        assert_eq!(Store::open(&path).unwrap_err(), StoreError::NotOurs { path: path.clone() });
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

/// A16: a kill while the database is made leaves a transaction of SQLite's older kind, which a connection that only reads cannot take back.
#[test]
fn a16_a_database_whose_making_was_cut_off_opens() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("state.db"), dir.path().join("copy.db"));
    let conn = Connection::open(&path).unwrap();
    // Made and emptied again: a header and nothing in it. Then more than the cache holds, so that journal and file are both written to.
    conn.execute_batch(
        "PRAGMA journal_mode = DELETE; CREATE TABLE a (x); DROP TABLE a; PRAGMA cache_size = 2; BEGIN; CREATE TABLE a (x);
         INSERT INTO a WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT zeroblob(900) FROM n",
    )
    .unwrap();
    for ending in ["", "-journal"] {
        let of = |path: &std::path::Path| format!("{}{ending}", path.display());
        std::fs::copy(of(&path), of(&copy)).unwrap();
    }
    drop(Store::open(&copy).unwrap());
    // What another program has not finished stays its own.
    conn.execute_batch("COMMIT").unwrap();
    assert_eq!(Store::open(&path).unwrap_err(), StoreError::NotOurs { path: path.clone() });
}

/// N2: said, not hidden.
#[tokio::test]
async fn damage_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let noise = dir.path().join("noise");
    std::fs::write(&noise, vec![0xa5; 20_000]).unwrap();
    assert!(matches!(Store::open(&noise), Err(StoreError::Corrupt { .. })));

    let home = home().await;
    let path = home.store.path().to_owned();
    for round in 0..5 {
        let rows = (0..200).map(|i| due(&format!("d{round}/{i}"), 1, 0)).collect();
        home.store.enqueue(home.folder, rows, 0).await.unwrap();
    }
    home.store.close().await.unwrap();
    let pages = std::fs::symlink_metadata(&path).unwrap().len() / 4096;
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start((pages - 2) * 4096)).unwrap();
    file.write_all(&[0xff; 4096]).unwrap();
    drop(file);
    let said = Store::open(&path).unwrap_err();
    assert!(matches!(said, StoreError::Corrupt { .. }), "{said}");
    assert!(said.to_string().contains("aside"), "{said}");

    let empty = dir.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    Store::open(&empty).unwrap();
    assert!(matches!(Store::open(&dir.path().join("no/such")), Err(StoreError::Io { .. })));
}

#[tokio::test]
async fn queries_on_the_hot_ways_use_their_indexes() {
    let home = home().await;
    let claim = plan(&home.store, super::super::queue::CANDIDATES);
    assert!(claim.contains("job_due") && !claim.contains("SCAN") && !claim.contains("TEMP"), "{claim}");
    let begin = plan(&home.store, crate::store::lane::batches::CANDIDATES);
    assert!(begin.contains("change_ready") && !begin.contains("SCAN") && !begin.contains("TEMP"), "{begin}");
    for sql in [
        super::super::queue::TAKE,
        "SELECT count(*) FROM job WHERE folder = ?1 AND path >= ?2 AND path < ?3 AND code IS NULL",
        "UPDATE job SET due_at = 1 WHERE folder = ?1 AND path >= ?2 AND path < ?3 AND (code IS NOT NULL OR state = 'due' AND due_at > ?4)",
        "SELECT min(not_before) FROM change WHERE kind = ?1 AND folder = ?2 AND batch IS NULL AND not_before > ?3",
        "SELECT id FROM change WHERE batch = ?1 ORDER BY pos",
        "DELETE FROM session WHERE born_at < ?1",
    ] {
        let plan = plan(&home.store, sql);
        assert!(plan.contains("SEARCH") && !plan.contains("SCAN") && !plan.contains("TEMP"), "{sql}: {plan}");
    }
}

/// What a later step of the schema may do: a column, with a value that it takes from the rows that are there.
const LATER: &str = "ALTER TABLE folder ADD COLUMN later TEXT; UPDATE folder SET later = local || '!'";

#[tokio::test]
async fn an_older_database_is_copied_aside_and_brought_up_to_date() {
    use std::os::unix::fs::PermissionsExt;
    let home = home().await;
    home.enqueue(&["a"]).await;
    let path = home.store.path().to_owned();
    home.store.close().await.unwrap();
    let of_next: Vec<&str> = schema::STEPS.iter().copied().chain([LATER]).collect();
    let (old, new) = (schema::known(), schema::known() + 1);

    // A step that fails leaves the database at its schema, and so does a second one that fails.
    let broken: Vec<&str> =
        of_next.iter().copied().chain(["UPDATE folder SET later = 1; INSERT INTO nowhere VALUES (1)"]).collect();
    assert!(schema::open_writer_with(&path, &broken).is_err());
    let version = |path: &std::path::Path| -> i64 {
        Connection::open(path).unwrap().query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap()
    };
    assert!(version(&path) <= new);

    let conn = schema::open_writer_with(&path, &of_next).unwrap();
    let later: String = conn.query_row("SELECT later FROM folder", [], |r| r.get(0)).unwrap();
    assert_eq!((later.as_str(), version(&path)), ("/l!", new));
    assert_eq!(conn.query_row("SELECT count(*) FROM job", [], |r| r.get::<_, i64>(0)), Ok(1));
    drop(conn);
    drop(schema::open_writer_with(&path, &of_next).unwrap());

    // The copy is private, of the old schema, and what this program opens.
    let copy = path.with_file_name(format!("a.db.before-schema-{new}"));
    assert_eq!(std::fs::symlink_metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(version(&copy), old);
    let before = Store::open(&copy).unwrap();
    assert_eq!(before.rows_after(home.folder, &RelPath::root(), "", 9).await.unwrap().len(), 1);

    let refused = Store::open(&path).unwrap_err();
    assert_eq!(refused, StoreError::Newer { path, found: new, known: old });
}

/// The numbers of that time mean other tables: such a database is neither newer nor damaged, and it is left alone.
#[tokio::test]
async fn a_database_from_before_the_first_release_is_refused_and_left_alone() {
    let home = home().await;
    let path = home.store.path().to_owned();
    home.store.close().await.unwrap();
    for schema in [1, 2, 14] {
        Connection::open(&path)
            .unwrap()
            .execute_batch(&format!(
                "PRAGMA application_id = 0x46657242; PRAGMA user_version = {schema}; PRAGMA wal_checkpoint(TRUNCATE)"
            ))
            .unwrap();
        let before = std::fs::read(&path).unwrap();
        let refused = Store::open(&path).unwrap_err();
        assert_eq!(refused, StoreError::BeforeFirstRelease { path: path.clone(), found: schema });
        assert!(refused.to_string().contains("move it away"), "{refused}");
        assert_eq!(Store::open_read_only(&path).unwrap_err(), refused);
        assert_eq!(ReadOnly::open(&path).map(|_| ()), Err(refused));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

/// The kinds have no list in the schema: a word that nothing in the program knows is damage wherever it is read, and no default.
#[tokio::test]
async fn an_unknown_kind_is_damage() {
    let home = home().await;
    home.batch(&["a"]).await;
    home.synced(&["b"]).await;
    let damaged = |error: StoreError, word: &str| {
        assert!(matches!(&error, StoreError::Corrupt { what, .. } if what.contains(word)), "{error}");
    };
    let write = async |sql: &'static str| home.store.write(move |conn| Ok(conn.execute_batch(sql)?)).await.unwrap();

    write("UPDATE batch SET kind = 'glide'").await;
    damaged(home.store.open_batches().await.unwrap_err(), "unknown kind of change \"glide\"");
    write("UPDATE batch SET kind = 'upload'; UPDATE change SET kind = 'swim'").await;
    damaged(home.store.open_batches().await.unwrap_err(), "unknown kind of change \"swim\"");
    damaged(home.store.row_of(home.folder, &rel("a")).await.unwrap_err(), "unknown kind of change \"swim\"");
    damaged(home.store.rows_after(home.folder, &RelPath::root(), "", 9).await.unwrap_err(), "\"swim\"");
    let path = home.store.path().to_owned();
    home.store.clone().close().await.unwrap();
    damaged(Store::open(&path).unwrap_err(), "unknown kind of change \"swim\"");

    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "UPDATE change SET kind = 'upload'; UPDATE history SET what = 'flown'; UPDATE folder SET mode = 'sideways';
             PRAGMA ignore_check_constraints = ON; UPDATE job SET state = 'lost' WHERE path = 'a'",
        )
        .unwrap();
    damaged(Store::open(&path).unwrap_err(), "CHECK constraint failed in job");
    let store = Store::open_read_only(&path).unwrap().unwrap();
    damaged(store.row_of(home.folder, &rel("a")).await.unwrap_err(), "unknown state \"lost\"");
    damaged(store.history(None, 0, 9).await.unwrap_err(), "unknown deed \"flown\"");
    drop(store);

    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("UPDATE job SET state = 'staged'").unwrap();
    // The counts are those of a row that was lost.
    conn.execute_batch("UPDATE tally SET staged = (SELECT count(*) FROM job), due = 0").unwrap();
    drop(conn);
    let store = Store::open(&path).unwrap();
    damaged(store.folder("/l", "/r", Mode::Mirror).await.unwrap_err(), "unknown mode \"sideways\"");
}
