//! What the store's steps cost: `cargo bench --bench store`. Prints a table and asserts nothing.

#![allow(clippy::disallowed_methods, reason = "a benchmark asks the clock itself")]

use std::error::Error;
use std::time::Instant;

use ferrybox::model::{
    Base, BatchKind, Closed, ContentHash, Due, Mode, Outcome, RelPath, RemoteChange, RemotePath, Settled, Stat,
    WriteMode,
};
use ferrybox::store::{Claim, Store};

const ROWS: usize = 100_000;

fn told(what: &str, n: usize, since: Instant) {
    let seconds = since.elapsed().as_secs_f64();
    let rate = f64::from(u32::try_from(n).unwrap_or(u32::MAX)) / seconds;
    println!("{what:<42} {n:>8} {seconds:>8.2} s {rate:>10.0} /s");
}

fn due(i: usize) -> Result<Due, Box<dyn Error>> {
    let path =
        RelPath::parse(&format!("projects/client-{:03}/drafts-{:02}/chapter-{i:06}.txt", i / 1000, i / 100 % 10))?;
    Ok(Due { path, size: 4096, due_at: 0 })
}

fn base() -> Base {
    let stat = Stat { size: 4096, mtime_ns: 1, ctime_ns: 2, ino: 3, dev: 4 };
    Base {
        stat,
        content_hash: ContentHash([1; 32]),
        rev: "015f0a1b2c3d4e5f60718".to_owned(),
        remote: None,
        file_id: None,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("bench.db");
    let store = Store::open(&path)?;
    // To see what the log of what was done costs: FERRYBOX_BENCH_HISTORY=0 keeps none.
    if let Some(rows) = std::env::var("FERRYBOX_BENCH_HISTORY").ok().and_then(|n| n.parse().ok()) {
        store.set_history(rows);
    }
    let folder = store.folder("/l", "/r", Mode::Mirror).await?.id;
    let limit = Claim { max_files: 1000, max_bytes: u64::MAX, small: 1 << 22, now: 1 };

    for what in ["enqueue, new rows", "enqueue, the same rows again"] {
        let all = (0..ROWS).map(due).collect::<Result<Vec<_>, _>>()?;
        let since = Instant::now();
        for some in all.chunks(1000) {
            store.enqueue(folder, some.to_vec(), 0).await?;
        }
        told(what, ROWS, since);
    }

    let since = Instant::now();
    for _ in 0..1000 {
        store.due_summary(1, 1 << 22, &Closed::default()).await?;
    }
    told("due_summary with 100,000 rows due", 1000, since);

    let since = Instant::now();
    for _ in 0..ROWS / 2000 {
        let claimed = store.claim(limit).await?;
        store.settle(claimed.into_iter().map(|c| (c.job, Settled::InSync(Some(base())))).collect(), 1).await?;
    }
    told("claim and settle in sync, 1,000 a time", ROWS / 2, since);

    let since = Instant::now();
    for _ in 0..ROWS / 2000 {
        let claimed = store.claim(limit).await?;
        let staged = claimed.into_iter().map(|c| {
            let what = RemoteChange::Upload {
                session: format!("pid_upload_session:{:040}", c.job.id.0),
                size: 4096,
                content_hash: ContentHash([2; 32]),
                stat: base().stat,
                to: RemotePath::default().join(&c.job.path),
                mode: WriteMode::Add,
            };
            (c.job, what)
        });
        store.stage(staged.collect(), 1).await?;
    }
    told("claim and stage, 1,000 a time", ROWS / 2, since);

    let since = Instant::now();
    while let Some(batch) = store.begin_batch(BatchKind::Upload, 1000, &[], 1).await? {
        let done = batch.changes.iter().map(|c| (c.id, Outcome::Settled(Some(base())))).collect();
        store.settle_batch(batch.id, done, 1).await?;
    }
    told("begin_batch and settle_batch, 1,000 a time", ROWS / 2, since);

    let since = Instant::now();
    for i in 0..1000 {
        let dir = RelPath::parse(&format!("projects/client-{:03}/drafts-{:02}", i / 10, i % 10))?;
        store.base_children_blocking(folder, &dir)?;
    }
    told("children of a directory of 100", 1000, since);

    let since = Instant::now();
    let gone = store.enqueue_gone(folder, &RelPath::root(), true, 1, 1).await?;
    told("enqueue_gone of all of base", gone, since);

    let since = Instant::now();
    for i in 0..200 {
        store.set_account_id(&i.to_string()).await?;
    }
    told("one commit after another", 200, since);
    let bytes = std::fs::symlink_metadata(&path)?.len();
    store.close().await?;
    println!("database: {} MiB", bytes >> 20);
    Ok(())
}
