//! Real SQLite files in directories of their own.

mod compare;
mod copies;
mod deletions;
mod hash_cache;
mod history;
mod opening;
mod overlooked;
mod problems;
mod random;
mod remote;
mod steps;
mod typed;
mod uploads;
mod writing;

use tempfile::TempDir;

use super::{Claim, Store};
use crate::model::{
    Base, BatchKind, Claimed, Closed, ContentHash, Due, FolderId, Job, Mode, RelPath, RemoteChange, RemotePath, Stat,
    UnixMs, WriteMode,
};
use crate::store::db::error::StoreError;

/// A store in a directory that goes with it.
struct Home {
    dir: TempDir,
    store: Store,
    folder: FolderId,
}

async fn home() -> Home {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("a.db")).unwrap();
    let folder = store.folder("/l", "/r", Mode::Mirror).await.unwrap().id;
    Home { dir, store, folder }
}

fn rel(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn remote(text: &str) -> RemotePath {
    RemotePath::parse(text).unwrap()
}

fn due(path: &str, size: u64, due_at: UnixMs) -> Due {
    Due { path: rel(path), size, due_at }
}

fn stat(size: u64) -> Stat {
    Stat { size, mtime_ns: -5, ctime_ns: i64::MAX, ino: u64::MAX, dev: 1 << 63 }
}

fn based(size: u64) -> Base {
    Base { stat: stat(size), content_hash: ContentHash([7; 32]), rev: "r1".to_owned(), file_id: None, remote: None }
}

fn upload(job: &Job, size: u64) -> RemoteChange {
    RemoteChange::Upload {
        session: format!("s{}", job.id.0),
        size,
        content_hash: ContentHash([9; 32]),
        stat: stat(size),
        to: remote("/r").join(&job.path),
        mode: WriteMode::Update("r1".to_owned()),
    }
}

fn all(now: UnixMs) -> Claim {
    Claim { max_files: 1000, max_bytes: u64::MAX, small: u64::MAX, now }
}

impl Home {
    async fn enqueue(&self, paths: &[&str]) {
        let due = paths.iter().map(|path| due(path, 1, 0)).collect();
        self.store.enqueue(self.folder, due, 0).await.unwrap();
    }

    async fn claim(&self, now: UnixMs) -> Vec<Claimed> {
        self.store.claim(all(now)).await.unwrap()
    }

    /// Rows as `path generation state due_at code`, ordered by path.
    fn rows(&self) -> Vec<String> {
        let sql = "SELECT format('%s %d %s %d %s', path, generation, state, due_at, coalesce(code, '-')) FROM job ORDER BY path";
        self.texts(sql)
    }

    fn texts(&self, sql: &str) -> Vec<String> {
        self.store
            .read_blocking(|conn| {
                let mut select = conn.prepare(sql)?;
                Ok(select.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?)
            })
            .unwrap()
    }

    /// Puts files into base by the ordinary way.
    async fn synced(&self, paths: &[&str]) {
        self.enqueue(paths).await;
        let done = self.claim(0).await.into_iter().map(|c| (c.job, super::tests::in_sync(3))).collect();
        self.store.settle(done, 1).await.unwrap();
    }

    /// Stages one upload a path and begins their batch.
    async fn batch(&self, paths: &[&str]) -> crate::model::Batch {
        self.enqueue(paths).await;
        let staged = self.claim(0).await.into_iter().map(|c| (c.job.clone(), upload(&c.job, 1))).collect();
        self.store.stage(staged, 5).await.unwrap();
        self.store.begin_batch(BatchKind::Upload, 100, &[], 10).await.unwrap().unwrap()
    }

    /// The kept counts must be what counting gives.
    fn counts_agree(&self) {
        let sql = "SELECT format('%d: %d %d, %d %d %d %d %d %d, %d %d, %d %d', folder, files, bytes, due, claimed, staged, wedged, failing,
                                 pending_bytes, staged_uploads, staged_deletes, odd, conflicts) FROM tally ORDER BY folder";
        let counted = "SELECT format('%d: %d %d, %d %d %d %d %d %d, %d %d, %d %d', f.id,
              (SELECT count(*) FROM base JOIN dir ON dir.id = base.dir WHERE dir.folder = f.id),
              (SELECT sum(size) FROM base JOIN dir ON dir.id = base.dir WHERE dir.folder = f.id),
              (SELECT count(*) FROM job WHERE folder = f.id AND state = 'due'),
              (SELECT count(*) FROM job WHERE folder = f.id AND state = 'claimed'),
              (SELECT count(*) FROM job WHERE folder = f.id AND state = 'staged'),
              (SELECT count(*) FROM job WHERE folder = f.id AND state = 'wedged'),
              (SELECT count(*) FROM job WHERE folder = f.id AND state <> 'wedged' AND code IS NOT NULL),
              (SELECT sum(size) FROM job WHERE folder = f.id AND state <> 'wedged'),
              (SELECT count(*) FROM change WHERE folder = f.id AND kind NOT IN ('delete', 'trash')),
              (SELECT count(*) FROM change WHERE folder = f.id AND kind IN ('delete', 'trash')),
              (SELECT count(*) FROM odd WHERE folder = f.id),
              (SELECT count(*) FROM conflict WHERE folder = f.id)) FROM folder f ORDER BY f.id";
        assert_eq!(self.texts(sql), self.texts(counted));
        let empty = "SELECT path FROM dir WHERE NOT EXISTS (SELECT 1 FROM base WHERE base.dir = dir.id)";
        assert!(self.texts(empty).is_empty(), "directories without files");
        let torn =
            "SELECT path FROM job WHERE (state = 'staged') <> EXISTS (SELECT 1 FROM change WHERE change.job = job.id)";
        assert!(self.texts(torn).is_empty(), "staged rows and changes belong together");
    }
}

fn in_sync(size: u64) -> crate::model::Settled {
    crate::model::Settled::InSync(Some(based(size)))
}

/// How SQLite would run a statement; numbered parameters stay unbound.
fn plan(store: &Store, sql: &str) -> String {
    store
        .read_blocking(|conn| {
            let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let mut rows = explain.raw_query();
            let mut lines = Vec::new();
            while let Some(line) = rows.next()? {
                lines.push(line.get::<_, String>(3)?);
            }
            Ok(lines.join("; "))
        })
        .unwrap()
}
