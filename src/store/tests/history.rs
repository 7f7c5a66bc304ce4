//! The log of what was done: what makes a line, what does not, and its bound.

use super::{Home, based, due, home, rel, remote};
use crate::model::history::Deed;
use crate::model::{Base, BatchKind, Job, Outcome, Settled};
use crate::store::Claim;

const ALL: Claim = Claim { max_files: 100, max_bytes: u64::MAX, small: u64::MAX, now: 100 };

async fn claimed(home: &Home, paths: &[&str]) -> Vec<Job> {
    let rows = paths.iter().map(|path| due(path, 1, 0)).collect();
    home.store.enqueue(home.folder, rows, 0).await.unwrap();
    home.store.claim(ALL).await.unwrap().into_iter().map(|c| c.job).collect()
}

async fn in_sync(home: &Home, path: &str, base: Base) {
    let jobs = claimed(home, &[path]).await;
    let done = jobs.into_iter().map(|job| (job, Settled::InSync(Some(base.clone())))).collect();
    home.store.settle(done, 7).await.unwrap();
}

async fn words(home: &Home) -> Vec<(Deed, String)> {
    let (rows, total) = home.store.history(None, 0, 1000).await.unwrap();
    assert_eq!(rows.len() as u64, total);
    rows.into_iter().map(|row| (row.what, row.path.to_string())).collect()
}

#[tokio::test]
async fn only_what_is_new_makes_a_line() {
    let home = home().await;
    in_sync(&home, "a", based(1)).await;
    // The same revision with another stat: the file was touched.
    in_sync(&home, "a", based(2)).await;
    assert_eq!(words(&home).await, [(Deed::Adopted, "a".to_owned())]);
    in_sync(&home, "a", Base { rev: "r2".to_owned(), ..based(1) }).await;
    assert_eq!(words(&home).await.len(), 2);
    for settled in [Settled::Nothing, Settled::InSync(None)] {
        let jobs = claimed(&home, &["a"]).await;
        home.store.settle(jobs.into_iter().map(|job| (job, settled.clone())).collect(), 8).await.unwrap();
    }
    assert_eq!(words(&home).await.len(), 2);
}

/// A batch that is settled twice, as after a crash between the two, is one deed.
#[tokio::test]
async fn a_commit_is_one_line_however_often_it_is_settled() {
    let home = home().await;
    let jobs = claimed(&home, &["a", "a.b", "a/b"]).await;
    let staged = jobs.into_iter().map(|job| {
        let upload = super::upload(&job, 5);
        (job, upload)
    });
    home.store.stage(staged.collect(), 1).await.unwrap();
    let batch = home.store.begin_batch(BatchKind::Upload, 10, &[], 1).await.unwrap().unwrap();
    let ids: Vec<_> = batch.changes.iter().map(|c| (c.id, c.path.to_string())).collect();
    let outcomes: Vec<_> = ids
        .iter()
        .map(|(id, path)| match path.as_str() {
            "a" => (*id, Outcome::Elsewhere(remote("/r/copy"))),
            _ => (*id, Outcome::Settled(Some(based(5)))),
        })
        .collect();
    home.store.settle_batch(batch.id, outcomes.clone(), 9).await.unwrap();
    home.store.settle_batch(batch.id, outcomes, 9).await.unwrap();
    let mut all = words(&home).await;
    all.sort();
    let line = |what, path: &str| (what, path.to_owned());
    assert_eq!(all, [line(Deed::Uploaded, "a.b"), line(Deed::Uploaded, "a/b"), line(Deed::Conflict, "a")]);
    // At or below `a`, and not `a.b`.
    let (below, total) = home.store.history(Some((home.folder, rel("a"))), 0, 10).await.unwrap();
    assert_eq!((below.len(), total), (2, 2), "{below:?}");
    let conflict = below.iter().find(|row| row.what == Deed::Conflict).unwrap();
    assert_eq!((conflict.place.as_deref(), conflict.size, conflict.at), (Some("/r/copy"), Some(5), 9));
}

#[tokio::test]
async fn the_log_is_cut_off_at_its_beginning() {
    let home = home().await;
    home.store.set_history(3);
    for i in 0..10 {
        in_sync(&home, &format!("{i}"), based(1)).await;
    }
    let paths: Vec<_> = words(&home).await.into_iter().map(|(_, path)| path).collect();
    assert_eq!(paths, ["9", "8", "7"]);
    let (page, total) = home.store.history(None, 1, 1).await.unwrap();
    assert_eq!((page.first().unwrap().path.as_str(), total), ("8", 3));
    home.store.set_history(0);
    in_sync(&home, "x", based(1)).await;
    assert!(words(&home).await.is_empty());
    // A folder that leaves the configuration takes its lines along.
    home.store.set_history(3);
    in_sync(&home, "y", based(1)).await;
    home.store.forget(home.folder).await.unwrap();
    assert_eq!(words(&home).await.len(), 1);
    home.store.forget_folders_except(&[]).await.unwrap();
    assert!(words(&home).await.is_empty());
}
