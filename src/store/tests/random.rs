//! Any sequence of steps, against a model in plain maps.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::{Batch, Failure, Outcome, Settled};

const PATHS: [&str; 8] = ["a/x", "a/b/y", "a.b/x", "a0", "A0", "b", "b2/z", "c/d/e/f"];
const DIRS: [&str; 5] = ["", "a", "a/b", "b", "c/d"];

#[derive(Debug, Clone)]
enum Op {
    Enqueue { path: usize, size: u64, wait: i64 },
    Gone { dir: usize },
    Wake { dir: usize },
    Claim { files: usize },
    Settle { which: usize, how: usize },
    Stage { which: usize, delete: bool },
    Begin { delete: bool },
    SettleBatch { how: Vec<usize> },
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..PATHS.len(), 0..99_u64, 0..30_i64).prop_map(|(path, size, wait)| Op::Enqueue { path, size, wait }),
        1 => (0..DIRS.len()).prop_map(|dir| Op::Gone { dir }),
        1 => (0..DIRS.len()).prop_map(|dir| Op::Wake { dir }),
        3 => (1..4_usize).prop_map(|files| Op::Claim { files }),
        4 => (0..4_usize, 0..6_usize).prop_map(|(which, how)| Op::Settle { which, how }),
        3 => (0..4_usize, any::<bool>()).prop_map(|(which, delete)| Op::Stage { which, delete }),
        2 => any::<bool>().prop_map(|delete| Op::Begin { delete }),
        2 => proptest::collection::vec(0..7_usize, 4).prop_map(|how| Op::SettleBatch { how }),
        1 => Just(Op::Crash),
    ]
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    generation: i64,
    state: &'static str,
    size: u64,
    due_at: i64,
    failed: bool,
    /// Begun afresh since it failed: it shows that failure until it turns out to be over.
    fresh: bool,
}

#[derive(Default)]
struct Model {
    rows: BTreeMap<String, Row>,
    base: BTreeMap<String, u64>,
    hand: Vec<Claimed>,
    batch: Option<Batch>,
    now: i64,
}

impl Model {
    fn see(&mut self, path: &str, size: u64, due_at: i64) {
        let row = self.rows.entry(path.to_owned()).or_insert(Row {
            generation: 0,
            state: "due",
            size,
            due_at,
            failed: false,
            fresh: true,
        });
        if row.state == "wedged" {
            (row.state, row.fresh) = ("due", true);
        }
        (row.generation, row.size, row.due_at) = (row.generation + 1, size, due_at);
    }

    fn finish(&mut self, path: &str, generation: i64) {
        let row = self.rows.get_mut(path).unwrap();
        if row.generation == generation {
            self.rows.remove(path);
        } else {
            (row.state, row.failed, row.fresh) = ("due", false, true);
        }
    }

    fn fail(&mut self, path: &str, generation: i64, at: Option<i64>, failed: bool) {
        let row = self.rows.get_mut(path).unwrap();
        let same = row.generation == generation;
        (row.state, row.failed) = ("due", failed || row.failed && row.fresh);
        row.fresh &= !failed;
        match at {
            Some(at) => row.due_at = if same { at } else { at.max(row.due_at) },
            None if same => row.state = "wedged",
            None => {}
        }
    }

    fn put(&mut self, path: &str, base: Option<u64>) {
        match base {
            Some(size) => self.base.insert(path.to_owned(), size),
            None => self.base.remove(path),
        };
    }
}

fn failure() -> Failure {
    Failure::wedge("x", "Because.")
}

async fn run(op: &Op, home: &mut Home, model: &mut Model) {
    model.now += 10;
    let (now, folder) = (model.now, home.folder);
    match op {
        Op::Enqueue { path, size, wait } => {
            model.see(PATHS[*path], *size, now + wait);
            home.store.enqueue(folder, vec![due(PATHS[*path], *size, now + wait)], now).await.unwrap();
        }
        Op::Gone { dir } => {
            let dir = rel(DIRS[*dir]);
            let under = |path: &str| rel(path).is_under(&dir);
            let gone: Vec<_> = model.base.keys().filter(|p| under(p)).cloned().collect();
            gone.iter().for_each(|path| model.see(path, 0, now));
            let on_its_way = |row: &Row| matches!(row.state, "claimed" | "staged");
            let going: Vec<_> =
                model.rows.iter().filter(|(p, row)| under(p) && on_its_way(row)).map(|(p, _)| p.clone()).collect();
            going.iter().for_each(|path| model.see(path, 0, now));
            let waiting = |row: &Row| row.failed && (row.state == "wedged" || row.state == "due" && row.due_at > now);
            let mut waiting: Vec<_> =
                model.rows.iter().filter(|(p, row)| under(p) && waiting(row)).map(|(p, _)| p.clone()).collect();
            waiting.iter_mut().for_each(|path| {
                model.see(path, 0, now);
                let row = model.rows.get_mut(path).unwrap();
                (row.failed, row.fresh) = (false, true);
            });
            let n = home.store.enqueue_gone(folder, &dir, true, now, now).await.unwrap();
            assert_eq!(n, gone.len() + going.len() + waiting.len());
        }
        Op::Wake { dir } => {
            let dir = rel(DIRS[*dir]);
            for (path, row) in model.rows.iter_mut().filter(|(path, _)| rel(path).is_under(&dir)) {
                if row.failed || row.state == "due" && row.due_at > now {
                    row.fresh = true;
                    row.due_at = row.due_at.min(now);
                    row.state = if row.state == "wedged" { "due" } else { row.state };
                    // Tries are the row's: its change in an open batch has none now, either.
                    let open = model.batch.iter_mut().flat_map(|batch| &mut batch.changes);
                    open.filter(|change| change.path.as_str() == path).for_each(|change| change.tries = 0);
                }
            }
            home.store.wake(folder, &dir, now).await.unwrap();
        }
        Op::Claim { files } => {
            let free = model.rows.values().filter(|row| row.state == "due" && row.due_at <= now).count();
            let claimed = home.store.claim(Claim { max_files: *files, ..all(now) }).await.unwrap();
            assert_eq!(claimed.len(), free.min(*files));
            for claim in &claimed {
                let row = model.rows.get_mut(claim.job.path.as_str()).unwrap();
                assert!(row.state == "due" && row.due_at <= now && row.generation == claim.job.generation);
                assert_eq!(claim.base.as_ref().map(|b| b.stat.size), model.base.get(claim.job.path.as_str()).copied());
                row.state = "claimed";
            }
            model.hand.extend(claimed);
        }
        Op::Settle { which, how } if !model.hand.is_empty() => {
            let job = model.hand.remove(which % model.hand.len()).job;
            let (path, generation) = (job.path.as_str().to_owned(), job.generation);
            let settled = match how {
                0 | 1 => {
                    let base = (*how == 0).then_some(7);
                    model.put(&path, base);
                    model.finish(&path, generation);
                    Settled::InSync(base.map(based))
                }
                2 => {
                    model.finish(&path, generation);
                    Settled::Nothing
                }
                3 => {
                    model.fail(&path, generation, Some(now + 25), true);
                    Settled::PutOff { at: now + 25, failure: failure() }
                }
                4 => {
                    model.fail(&path, generation, None, true);
                    Settled::Wedge(failure())
                }
                _ => {
                    model.rows.get_mut(&path).unwrap().state = "due";
                    Settled::Release
                }
            };
            home.store.settle(vec![(job, settled)], now).await.unwrap();
        }
        Op::Stage { which, delete } if !model.hand.is_empty() => {
            let job = model.hand.remove(which % model.hand.len()).job;
            model.rows.get_mut(job.path.as_str()).unwrap().state = "staged";
            // A deletion is decided from a base, and stands only as long as that does.
            let change = if *delete && model.base.contains_key(job.path.as_str()) {
                RemoteChange::Delete { path: remote("/r").join(&job.path), rev: "r1".to_owned() }
            } else {
                upload(&job, 4)
            };
            assert_eq!(home.store.stage(vec![(job, change)], now).await, Ok(1));
        }
        Op::Begin { delete } if model.batch.is_none() => {
            let kind = if *delete { BatchKind::Delete } else { BatchKind::Upload };
            model.batch = home.store.begin_batch(kind, 4, &[], now).await.unwrap();
            let batch: &[_] = model.batch.as_ref().map_or(&[], |batch| &batch.changes);
            let places: std::collections::BTreeSet<_> = batch.iter().map(|c| c.path.as_str().to_lowercase()).collect();
            assert_eq!(places.len(), batch.len());
        }
        Op::SettleBatch { how } => {
            let Some(batch) = model.batch.take() else { return };
            assert_eq!(home.store.open_batches().await.unwrap(), std::slice::from_ref(&batch));
            let mut outcomes = Vec::new();
            for (change, how) in batch.changes.iter().zip(how) {
                let (path, generation) = (change.path.as_str().to_owned(), change.generation);
                let outcome = match how {
                    0 | 1 => {
                        let base = (*how == 0).then_some(8);
                        model.put(&path, base);
                        model.finish(&path, generation);
                        Outcome::Settled(base.map(based))
                    }
                    2 => {
                        let row = model.rows.get_mut(&path).unwrap();
                        (row.failed, row.fresh) = (true, false);
                        Outcome::Again { at: now + 25, failure: failure() }
                    }
                    3 => {
                        model.fail(&path, generation, Some(now + 5), false);
                        Outcome::Look { at: now + 5, failure: None }
                    }
                    4 => {
                        model.fail(&path, generation, None, true);
                        Outcome::Wedge(failure())
                    }
                    5 => {
                        model.fail(&path, generation, None, true);
                        Outcome::Refused(failure())
                    }
                    _ => continue,
                };
                outcomes.push((change.id, outcome));
            }
            home.store.settle_batch(batch.id, outcomes, now).await.unwrap();
        }
        Op::Crash => {
            let path = home.store.path().to_owned();
            home.store = Store::open(&path).unwrap();
            model.hand.clear();
            model.rows.values_mut().filter(|row| row.state == "claimed").for_each(|row| row.state = "due");
        }
        Op::Settle { .. } | Op::Stage { .. } | Op::Begin { .. } => {}
    }
}

fn agree(home: &Home, model: &Model) {
    let rows = model
        .rows
        .iter()
        .map(|(path, r)| format!("{path} {} {} {} {} {}", r.generation, r.state, r.size, r.due_at, u8::from(r.failed)));
    let sql = "SELECT format('%s %d %s %d %d %d', path, generation, state, size, due_at, code IS NOT NULL) FROM job ORDER BY path";
    assert_eq!(home.texts(sql), rows.collect::<Vec<_>>());
    let mut base = home.texts(
        "SELECT format('%s %d', iif(dir.path = '', '', dir.path || '/') || name, size) FROM base JOIN dir ON dir.id = base.dir",
    );
    base.sort();
    let mut expected: Vec<_> = model.base.iter().map(|(path, size)| format!("{path} {size}")).collect();
    expected.sort();
    assert_eq!(base, expected);
    home.counts_agree();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_base_and_counts_are_those_of_the_model(ops in proptest::collection::vec(op(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut home = home().await;
            let mut model = Model::default();
            for op in &ops {
                run(op, &mut home, &mut model).await;
                agree(&home, &model);
            }
            assert!(home.dir.path().is_dir());
        });
    }
}
