use std::sync::mpsc;

use super::*;
use crate::store::db::error::Fault;

fn put(conn: &rusqlite::Connection, key: &str) -> super::super::Step<()> {
    conn.execute("INSERT INTO session VALUES (?1, 1)", [key])?;
    Ok(())
}

/// Holds the writer until the other steps have queued, so that they share a commit.
async fn gathered(home: &Home) -> mpsc::Sender<()> {
    let (go, wait) = mpsc::channel::<()>();
    let (began, begun) = tokio::sync::oneshot::channel();
    let store = home.store.clone();
    tokio::task::spawn_local(async move {
        store
            .write(move |_| {
                began.send(()).ok();
                wait.recv().ok();
                Ok(())
            })
            .await
    });
    begun.await.unwrap();
    go
}

#[tokio::test]
async fn a_failing_step_does_not_undo_its_neighbours() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let home = home().await;
            let bell = home.store.changed();
            let rung = *bell.borrow();
            let go = gathered(&home).await;
            let one = home.store.write_and_wake(|conn| put(conn, "one"));
            let two = home.store.write_and_wake(|conn| {
                put(conn, "two")?;
                Err::<(), _>(Fault::Said("no".to_owned()))
            });
            let three = home.store.write_and_wake(|conn| put(conn, "three"));
            let release = async {
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                drop(go);
            };
            let (one, two, three, ()) = tokio::join!(one, two, three, release);
            assert_eq!((one, three), (Ok(()), Ok(())));
            assert!(matches!(two, Err(StoreError::Other { what, .. }) if what == "no"));
            let kept = home.texts("SELECT id FROM session ORDER BY id");
            assert_eq!(kept, ["one", "three"]);
            assert_eq!(*bell.borrow(), rung + 1, "one commit for the three");
        })
        .await;
}

#[tokio::test]
async fn a_commit_that_fails_is_told_to_all_who_share_it() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let home = home().await;
            let go = gathered(&home).await;
            let one = home.store.write(|conn| put(conn, "one"));
            let two = home.store.write(|conn| {
                conn.execute_batch("PRAGMA defer_foreign_keys = ON; INSERT INTO dir (folder, path) VALUES (77, 'x')")?;
                Ok(())
            });
            let release = async {
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                drop(go);
            };
            let (one, two, ()) = tokio::join!(one, two, release);
            assert!(one.is_err() && one == two, "{one:?} {two:?}");
            assert_eq!(home.texts("SELECT id FROM session"), [""; 0]);
            home.store.set_account_id("after").await.unwrap();
        })
        .await;
}

#[tokio::test]
async fn a_full_disk_is_said_and_survived() {
    let home = home().await;
    let pages = |n: &str| {
        let sql = format!("PRAGMA max_page_count = {n}");
        home.store.write(move |conn| Ok(conn.query_row(&sql, [], |r| r.get::<_, i64>(0))?))
    };
    pages("1").await.unwrap();
    let many: Vec<_> = (0..5000).map(|i| due(&format!("some/longer/path/{i}"), 1, 0)).collect();
    let full = home.store.enqueue(home.folder, many.clone(), 0).await.unwrap_err();
    assert!(matches!(full, StoreError::Full { .. }), "{full:?}");
    assert!(full.to_string().contains("free some space"), "{full}");
    assert!(home.rows().is_empty());
    pages("1000000").await.unwrap();
    assert_eq!(home.store.enqueue(home.folder, many, 0).await, Ok(5000));
    home.counts_agree();
}

#[tokio::test]
async fn after_the_close_nobody_writes() {
    let home = home().await;
    let other = home.store.clone();
    home.store.close().await.unwrap();
    assert!(matches!(other.set_account_id("a").await, Err(StoreError::Other { .. })));
    assert!(other.close().await.is_err());
}

#[tokio::test]
async fn who_waits_is_woken_by_what_concerns_them() {
    let home = home().await;
    let mut changed = home.store.changed();
    changed.mark_unchanged();
    home.store.set_account_id("a").await.unwrap();
    assert!(!changed.has_changed().unwrap());
    home.enqueue(&["a"]).await;
    changed.changed().await.unwrap();
}

#[tokio::test]
async fn a_large_step_that_fails_undoes_all_of_itself_and_nothing_else() {
    let home = home().await;
    home.store.add_sessions(vec!["before".to_owned()], 1).await.unwrap();
    let failed = home.store.write_rows(1000, |conn| {
        put(conn, "half")?;
        put(conn, "before")
    });
    let (failed, after) = tokio::join!(failed, home.store.add_sessions(vec!["after".to_owned()], 1));
    assert!(failed.is_err() && after.is_ok());
    let kept = home.texts("SELECT id FROM session ORDER BY id");
    assert_eq!(kept, ["after", "before"]);
}
