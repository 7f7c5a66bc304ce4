//! Files of one content, and what becomes of copies of them.

use super::{Home, all, based, home, plan, rel, remote};
use crate::model::{Base, BatchKind, ContentHash, FolderId, Job, Outcome, Relocation, RemoteChange, Settled};
use crate::model::{Failure, Mode, Stat};

const LARGE: u64 = Relocation::SMALLEST_ALIKE;

fn of(size: u64, byte: u8) -> Base {
    Base { content_hash: ContentHash([byte; 32]), ..based(size) }
}

async fn synced(home: &Home, folder: FolderId, path: &str, base: Base) {
    let due = vec![super::due(path, 1, 0)];
    home.store.enqueue(folder, due, 0).await.unwrap();
    let done = home.claim(0).await.into_iter().map(|c| (c.job, Settled::InSync(Some(base.clone())))).collect();
    home.store.settle(done, 1).await.unwrap();
}

fn copy(job: &Job, from: &str) -> RemoteChange {
    RemoteChange::Relocate(Box::new(Relocation {
        from: remote("/r").join(&rel(from)),
        to: remote("/r").join(&job.path),
        source: rel(from),
        base: Some(of(LARGE, 1)),
        copy: true,
        alike: true,
        via: None,
    }))
}

/// Stages copies of these to those.
async fn staged(home: &Home, pairs: &[(&str, &str)]) {
    home.enqueue(&pairs.iter().map(|(_, to)| *to).collect::<Vec<_>>()).await;
    let claimed = home.claim(0).await.into_iter();
    let source = |job: &Job| pairs.iter().find(|(_, to)| *to == job.path.as_str()).unwrap().0;
    let changes = claimed.map(|c| (c.job.clone(), copy(&c.job, source(&c.job)))).collect();
    home.store.stage(changes, 5).await.unwrap();
}

#[tokio::test]
async fn the_same_content_is_found_in_all_folders_the_own_one_first() {
    let home = home().await;
    let other = home.store.folder("/l2", "/r2", Mode::Backup).await.unwrap().id;
    synced(&home, other, "a", of(LARGE, 1)).await;
    synced(&home, home.folder, "z", of(LARGE, 1)).await;
    synced(&home, home.folder, "d/another", of(LARGE, 2)).await;
    synced(&home, home.folder, "small", of(LARGE - 1, 1)).await;
    let aside = Base { remote: Some(remote("/r/copy")), ..of(LARGE, 1) };
    synced(&home, home.folder, "aside", aside).await;
    assert_eq!(home.store.has_size_blocking(LARGE), Ok(true));
    assert_eq!(home.store.has_size_blocking(LARGE + 1), Ok(false));
    assert_eq!(home.store.has_size_blocking(LARGE - 1), Ok(false), "small files are never asked for");
    let found = |size, byte| {
        let found = home.store.same_content_blocking(home.folder, size, ContentHash([byte; 32])).unwrap();
        found.into_iter().map(move |(folder, path, base)| {
            assert_eq!((base.stat.size, base.content_hash), (size, ContentHash([byte; 32])));
            (folder, path)
        })
    };
    assert_eq!(found(LARGE, 1).collect::<Vec<_>>(), [(home.folder, rel("z")), (other, rel("a"))]);
    assert_eq!(found(LARGE, 2).collect::<Vec<_>>(), [(home.folder, rel("d/another"))]);
    assert_eq!(found(LARGE, 3).count(), 0);
}

#[tokio::test]
async fn its_queries_use_the_index_of_large_files() {
    let home = home().await;
    for sql in crate::store::base::by_content::queries() {
        let plan = plan(&home.store, &sql);
        assert!(plan.contains("base_content") && !plan.contains("SCAN"), "{sql}: {plan}");
    }
    let moving = plan(&home.store, "SELECT 1 FROM change WHERE kind IN ('move', 'copy') AND alike = 0");
    assert!(moving.contains("change_move"), "{moving}");
}

#[tokio::test]
async fn nothing_waits_for_a_copy_and_what_it_brought_is_base() {
    let home = home().await;
    staged(&home, &[("a", "b"), ("a", "c")]).await;
    assert!(home.store.moving().await.unwrap().is_empty());
    let batch = home.store.begin_batch(BatchKind::Copy, 9, &[], 10).await.unwrap().unwrap();
    assert_eq!(batch.changes.len(), 2, "one source may be copied twice in a batch");
    let stored = home.store.open_batches().await.unwrap();
    assert_eq!(stored[0].changes, batch.changes, "it is what was stored");
    assert!(matches!(&batch.changes[0].what, RemoteChange::Relocate(r) if r.alike && r.copy));
    // The one is what was meant, the other is not.
    let other = Base { stat: Stat { ino: 0, ..of(3, 9).stat }, rev: "r9".to_owned(), ..of(3, 9) };
    let brought = [of(LARGE, 1), other.clone()];
    let outcomes = batch.changes.iter().zip(brought).map(|(c, base)| (c.id, Outcome::Moved(Some(base))));
    home.store.settle_batch(batch.id, outcomes.collect(), 20).await.unwrap();
    assert_eq!(home.store.base(home.folder, &rel("b")).await.unwrap(), Some(of(LARGE, 1)));
    assert_eq!(home.store.base(home.folder, &rel("c")).await.unwrap(), Some(other));
    assert_eq!(home.rows(), ["c 1 due 20 -"], "it is looked at again");
    home.counts_agree();
}

/// Whatever was refused once is tried without others of its source.
#[tokio::test]
async fn a_copy_that_was_refused_shares_its_source_with_none() {
    let home = home().await;
    staged(&home, &[("a", "b"), ("a", "c"), ("a", "d"), ("x", "y")]).await;
    let first = home.store.begin_batch(BatchKind::Copy, 9, &[], 10).await.unwrap().unwrap();
    assert_eq!(first.changes.len(), 4);
    let again = |id| (id, Outcome::Again { at: 30, failure: Failure::retry("changed", "refused") });
    let outcomes = first.changes.iter().map(|c| again(c.id)).collect();
    home.store.settle_batch(first.id, outcomes, 20).await.unwrap();
    let mut sizes = Vec::new();
    while let Some(batch) = home.store.begin_batch(BatchKind::Copy, 9, &[], 40).await.unwrap() {
        sizes.push(batch.changes.len());
        let outcomes = batch.changes.iter().map(|c| (c.id, Outcome::Moved(Some(of(LARGE, 1))))).collect();
        home.store.settle_batch(batch.id, outcomes, 50).await.unwrap();
    }
    assert_eq!(sizes, [2, 1, 1]);
    assert!(home.rows().is_empty());
    assert!(home.store.claim(all(100)).await.unwrap().is_empty());
}
