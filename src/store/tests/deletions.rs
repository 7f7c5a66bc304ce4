//! Staged deletions: what becomes of those that are not meant any more, and what it costs to look at very many.

use super::*;

impl Home {
    /// Stages the deletions of these synced files in Dropbox.
    async fn deletions(&self, paths: &[&str]) {
        self.synced(paths).await;
        self.store.enqueue_gone(self.folder, &RelPath::root(), true, 0, 0).await.unwrap();
        let delete = |job: &Job| RemoteChange::Delete { path: remote("/r").join(&job.path), rev: "r1".to_owned() };
        let staged = self.claim(0).await.into_iter().map(|c| (c.job.clone(), delete(&c.job))).collect();
        self.store.stage(staged, 5).await.unwrap();
    }
}

/// A deletion that is not meant any more is taken back by two statements: if the second fails, the first is undone with the whole step.
#[tokio::test]
async fn c14_a_failure_while_a_deletion_is_taken_back_ends_the_step_and_undoes_it() {
    for boom in [
        "BEFORE UPDATE OF state ON main.job WHEN NEW.path = 'b' AND NEW.state = 'due'",
        "AFTER DELETE ON main.change WHEN OLD.to_path = '/r/b'",
    ] {
        let home = home().await;
        home.deletions(&["a", "b"]).await;
        // Base knows another revision by now.
        home.store.write(|conn| Ok(conn.execute_batch("UPDATE base SET rev = 'r2'")?)).await.unwrap();
        let rows = home.rows();
        let trigger = format!("CREATE TEMP TRIGGER boom {boom} BEGIN SELECT RAISE(ABORT, 'boom'); END");
        home.store.write(move |conn| Ok(conn.execute_batch(&trigger)?)).await.unwrap();
        // Alone in its transaction, and in one that others share.
        for limit in [100, 2] {
            let begun = home.store.begin_batch(BatchKind::Delete, limit, &[], 10).await;
            assert!(begun.is_err_and(|error| error.to_string().contains("boom")), "{boom} {limit}");
            assert_eq!(home.rows(), rows, "{boom} {limit}");
            home.counts_agree();
        }
        home.store.write(|conn| Ok(conn.execute_batch("DROP TRIGGER boom")?)).await.unwrap();
        assert_eq!(home.store.begin_batch(BatchKind::Delete, 100, &[], 10).await, Ok(None));
        assert_eq!(home.rows(), ["a 1 due 10 -", "b 1 due 10 -"], "looked at again");
        home.counts_agree();
    }
}

/// What is closed is passed over, however much of it comes first in the queue.
#[tokio::test]
async fn l7_closed_places_are_neither_claimed_nor_counted() {
    let home = home().await;
    let mut rows: Vec<_> = (0..3000).map(|n| due(&format!("old/{n}"), 1, 1)).collect();
    rows.extend([
        due("old", 1, 1),
        due("older", 1, 2),
        due("big", 900, 3),
        due("to/new/x", 1, 1),
        due("to/other", 7, 9),
    ]);
    home.store.enqueue(home.folder, rows, 0).await.unwrap();
    let mut closed = Closed::default();
    closed.place(home.folder, &rel("old"));
    closed.place(home.folder, &rel("to/new"));
    let sum = home.store.due_summary(50, 100, &closed).await.unwrap();
    assert_eq!((sum.due_small, sum.due_large, sum.due_bytes, sum.oldest_due), (2, 1, 908, Some(2)));
    let claimed = home.store.claim_skipping(Claim { max_files: 2, ..all(50) }, &closed).await.unwrap();
    assert_eq!(claimed.iter().map(|c| c.job.path.as_str()).collect::<Vec<_>>(), ["older", "big"]);
    let claimed = home.store.claim_skipping(all(50), &closed).await.unwrap();
    assert_eq!(claimed.iter().map(|c| c.job.path.as_str()).collect::<Vec<_>>(), ["to/other"]);
    assert_eq!(home.claim(50).await.len(), 1000);
}

/// What the committer asks in each step of the way costs the same with a thousand staged deletions and with a hundred thousand, beside as many rows that
/// nobody has looked at yet.
#[tokio::test]
async fn l6_a_step_reads_no_more_of_a_hundred_thousand_staged_deletions_than_of_a_thousand() {
    for n in [1_000, 100_000] {
        let home = home().await;
        let staged = format!(
            "WITH RECURSIVE i (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < {n})
             INSERT INTO job (folder, path, generation, state, size, since, due_at, burst) SELECT 1, 'd/' || n, 1, 'staged', 0, 5, 5, 5 FROM i;
             INSERT INTO change (job, folder, kind, generation, to_path, rev, created_at, not_before)
             SELECT id, 1, 'delete', 1, '/r/' || path, 'r1', id, 5 FROM job ORDER BY id;
             WITH RECURSIVE i (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < {n})
             INSERT INTO job (folder, path, generation, state, size, since, due_at, burst) SELECT 1, 'n/' || n, 1, 'due', 9, 5, 5, 5 FROM i;"
        );
        home.store.write_rows(usize::MAX, move |conn| Ok(conn.execute_batch(&staged)?)).await.unwrap();
        let page = crate::store::folder::approvals::unlooked_page();
        let values = [1, i64::MIN, n, 1000];
        for (sql, most) in [(crate::store::folder::approvals::NEWEST, 100), (page.as_str(), 60_000)] {
            let steps = home.store.read_blocking(|conn| {
                let mut select = conn.prepare(sql)?;
                for (i, value) in values.iter().enumerate().take(select.parameter_count()) {
                    select.raw_bind_parameter(i + 1, value)?;
                }
                let mut rows = select.raw_query();
                while rows.next()?.is_some() {}
                drop(rows);
                Ok(select.get_status(rusqlite::StatementStatus::VmStep))
            });
            assert!(steps.clone().is_ok_and(|steps| steps < most), "{n}: {steps:?} steps of {sql}");
        }
        assert_eq!(home.store.newest_deletion(home.folder).await, Ok(Some(n)));
        let ready = home.store.ready(10, &[]).await.unwrap();
        let deletions = ready.iter().find(|ready| ready.kind == BatchKind::Delete).unwrap();
        assert_eq!((deletions.entries, deletions.newest), (u64::try_from(n.min(2_000)).unwrap(), Some(n)));
        // Page after page to the end: all of them once, and none of those that are staged.
        let (mut after, mut found) = (crate::model::JobId(i64::MIN), 0);
        while let (page, Some(last)) = home.store.unlooked_before(home.folder, 9, after, 1000).await.unwrap() {
            assert!(page.iter().all(|row| row.path.as_str().starts_with("n/")));
            (after, found) = (last, found + page.len());
        }
        assert_eq!(found, usize::try_from(n).unwrap());
    }
}
