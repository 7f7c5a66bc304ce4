use std::io::{Seek, SeekFrom, Write};

use rusqlite::Connection;

use super::*;

#[tokio::test]
async fn a_new_file_is_ours_private_and_opens_again() {
    use std::os::unix::fs::PermissionsExt;
    let home = home().await;
    home.store.set_meta("cursor", "x").await.unwrap();
    let path = home.store.path().to_owned();
    home.store.close().await.unwrap();
    assert_eq!(std::fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let conn = Connection::open(&path).unwrap();
    let clean: String =
        conn.query_row("SELECT value FROM meta WHERE key = 'store.clean_shutdown'", [], |r| r.get(0)).unwrap();
    assert_eq!(clean, "1");
    drop(conn);
    let store = Store::open(&path).unwrap();
    assert_eq!(store.meta("cursor").await.unwrap().as_deref(), Some("x"));
    assert_eq!(store.meta("nothing").await.unwrap(), None);
    let again = store.folder("/l", "/r", "backup").await.unwrap();
    assert_eq!((again.id, again.fresh), (home.folder, true), "nobody has told its root's identity yet");
    store.set_root_id(again.id, "root").await.unwrap();
    assert!(!store.folder("/l", "/r", "backup").await.unwrap().fresh);
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
    assert_eq!(refused, StoreError::Newer { path: path.clone(), found: 99, known: crate::store::db::schema::known() });
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

/// R6: what is no longer asked for was off nearly everywhere, and a million entries are not listed anew for it.
#[test]
fn r6_a_question_that_asked_for_nothing_that_is_gone_stays_the_same() {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch("CREATE TABLE remote_listing (question TEXT)").unwrap();
    let old = |on: &str| {
        let flag = |name: &str| format!("\"{name}\":{}", name == on);
        format!(
            "{{\"limit\":2000,{},{},\"include_has_explicit_shared_members\":false,\"include_mounted_folders\":true,\
             \"include_property_groups\":[],\"include_non_downloadable_files\":true,{}}}",
            flag("include_deleted"),
            flag("include_media_info"),
            flag("include_restorable_info")
        )
    };
    let now = serde_json::to_string(&crate::model::listing::Question::default()).unwrap();
    for on in ["", "include_deleted", "include_media_info", "include_restorable_info"] {
        conn.execute("DELETE FROM remote_listing", []).unwrap();
        conn.execute("INSERT INTO remote_listing VALUES (?1)", [old(on)]).unwrap();
        conn.execute_batch(include_str!("../../../migrations/14-questions/up.sql")).unwrap();
        let kept: String = conn.query_row("SELECT question FROM remote_listing", [], |r| r.get(0)).unwrap();
        assert_eq!(kept == now, on.is_empty(), "{kept}");
    }
}
