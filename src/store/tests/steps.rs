use super::*;
use crate::model::{ChangeId, Failure, Outcome, Settled};
use crate::store::folder::consent;
use crate::store::lane::sessions;
use crate::store::{HeldDeletions, MayGo, Placing};

fn no(code: &str) -> Failure {
    Failure::wedge(code, "It cannot be. Change it.")
}

/// A18: what changed during the work is looked at again, whatever the work came to.
#[tokio::test]
async fn a_change_while_claimed_is_not_lost() {
    for settled in [in_sync(1), Settled::InSync(None), Settled::Nothing, Settled::Wedge(no("x")), Settled::Release] {
        let home = home().await;
        home.enqueue(&["a"]).await;
        let claimed = home.claim(0).await;
        home.store.enqueue(home.folder, vec![due("a", 9, 70)], 60).await.unwrap();
        let code = if matches!(settled, Settled::Wedge(_)) { "x" } else { "-" };
        home.store.settle(vec![(claimed[0].job.clone(), settled)], 80).await.unwrap();
        assert_eq!(home.rows(), [format!("a 2 due 70 {code}")]);
        home.counts_agree();
        assert!(home.claim(69).await.is_empty());
        assert_eq!(home.claim(70).await[0].job.generation, 2);
    }
}

#[tokio::test]
async fn a_change_while_staged_is_not_lost() {
    let home = home().await;
    let batch = home.batch(&["a", "b"]).await;
    home.store.enqueue(home.folder, vec![due("a", 9, 70)], 60).await.unwrap();
    assert!(home.claim(100).await.is_empty(), "a staged row is nobody else's");
    let done = batch.changes.iter().map(|c| (c.id, Outcome::Settled(Some(based(1))))).collect();
    home.store.settle_batch(batch.id, done, 80).await.unwrap();
    assert_eq!(home.rows(), ["a 2 due 70 -"]);
    assert_eq!(home.store.base(home.folder, &rel("a")).await.unwrap(), Some(based(1)));
    assert_eq!(home.store.summary(home.folder).await.unwrap().last_synced_at, Some(80));
    home.counts_agree();
}

#[tokio::test]
async fn a_late_report_hits_nobody_else() {
    let home = home().await;
    home.enqueue(&["a"]).await;
    let first = home.claim(0).await;
    home.store.settle(vec![(first[0].job.clone(), Settled::Nothing)], 1).await.unwrap();
    home.enqueue(&["a"]).await;
    home.claim(0).await;
    home.store.settle(vec![(first[0].job.clone(), in_sync(4))], 1).await.unwrap();
    assert_eq!(home.rows(), ["a 1 claimed 0 -"]);
    assert_eq!(home.store.base(home.folder, &rel("a")).await.unwrap(), None);
}

#[tokio::test]
async fn a_gone_directory_takes_what_is_below_it_and_no_sibling() {
    let home = home().await;
    let files = ["a/x", "a/y/z", "a.b/x", "a0", "a0/x", "b", "a-/x", "a\u{1}/x", "ax"];
    home.synced(&files).await;
    assert_eq!(home.store.enqueue_gone(home.folder, &rel("a"), true, 9, 8).await, Ok(2));
    assert_eq!(home.rows(), ["a/x 1 due 9 -", "a/y/z 1 due 9 -"]);
    assert_eq!(
        home.store.enqueue_gone(home.folder, &rel("b"), true, 9, 8).await,
        Ok(1),
        "a file is its own directory's end"
    );
    assert_eq!(home.store.enqueue_gone(home.folder, &rel("nothing"), true, 9, 8).await, Ok(0));
    assert_eq!(home.store.enqueue_gone(home.folder, &RelPath::root(), true, 9, 8).await, Ok(files.len()));
    home.counts_agree();
}

#[tokio::test]
async fn a_directory_that_goes_while_its_files_are_on_their_way_is_not_forgotten() {
    let home = home().await;
    let batch = home.batch(&["d/a", "e"]).await;
    assert_eq!(home.store.knows_below_blocking(home.folder, &rel("d")), Ok(true));
    assert_eq!(home.store.enqueue_gone(home.folder, &rel("d"), true, 9, 8).await, Ok(1));
    let done = batch.changes.iter().map(|c| (c.id, Outcome::Settled(Some(based(1))))).collect();
    home.store.settle_batch(batch.id, done, 20).await.unwrap();
    assert_eq!(home.rows(), ["d/a 2 due 9 -"]);
    home.counts_agree();
}

#[tokio::test]
async fn a_gone_directory_takes_wedged_rows_and_odd_names_along() {
    let home = home().await;
    home.enqueue(&["a/w", "a.b/w"]).await;
    let wedged = home.claim(0).await.into_iter().map(|c| (c.job, Settled::Wedge(no("permission")))).collect();
    home.store.settle(wedged, 1).await.unwrap();
    home.store.set_odd(home.folder, &rel("a/d"), vec![("a/d/\u{fffd}".to_owned(), no("name"))], 1).await.unwrap();
    assert_eq!(home.store.problems_under(home.folder, &rel("a")).await, Ok(2));
    assert_eq!(home.store.enqueue_gone(home.folder, &rel("a"), true, 9, 8).await, Ok(1));
    assert_eq!(home.rows(), ["a.b/w 1 wedged 0 permission", "a/w 2 due 9 -"]);
    assert_eq!(home.store.problems_under(home.folder, &rel("a")).await, Ok(0));
    home.counts_agree();
}

#[tokio::test]
async fn a_scan_leaves_a_refused_file_alone_until_it_is_another_one_or_a_day_has_gone_by() {
    let home = home().await;
    let batch = home.batch(&["refused", "wedged"]).await;
    let refused = Outcome::Refused(no("name"));
    let outcomes = vec![(batch.changes[0].id, refused), (batch.changes[1].id, Outcome::Wedge(no("name")))];
    home.store.settle_batch(batch.id, outcomes, 100).await.unwrap();
    assert_eq!(home.rows(), ["refused 1 wedged 0 name", "wedged 1 wedged 0 name"]);
    let day = 24 * 3600 * 1000;
    let seen = |path: &str, stat: Stat, now: UnixMs| {
        let seen = vec![(due(path, stat.size, now), stat)];
        !home.store.without_refused_blocking(home.folder, seen, now).unwrap().is_empty()
    };
    assert!(!seen("refused", stat(1), 100) && !seen("refused", stat(1), 100 + day));
    assert!(
        seen("refused", stat(1), 101 + day) && seen("refused", stat(1), 99),
        "a clock that was set back is no reason"
    );
    assert!(seen("refused", stat(2), 100) && seen("refused", Stat { ino: 3, ..stat(1) }, 100));
    assert!(seen("refused", Stat { dev: 3, ..stat(1) }, 100) && seen("refused", Stat { ctime_ns: 3, ..stat(1) }, 100));
    assert!(seen("refused", Stat { mtime_ns: 3, ..stat(1) }, 100));
    assert!(seen("wedged", stat(1), 100) && seen("new", stat(1), 100));
    // Asked for by a person, or wedged for another reason since: it is looked at.
    home.store.wake(home.folder, &RelPath::root(), 200).await.unwrap();
    assert!(seen("refused", stat(1), 200));
    let again = home.claim(300).await.into_iter().map(|c| (c.job, Settled::Wedge(no("type")))).collect();
    home.store.settle(again, 300).await.unwrap();
    assert!(seen("refused", stat(1), 300));
    home.counts_agree();
}

#[tokio::test]
async fn a_clock_that_was_set_back_puts_nothing_off() {
    let home = home().await;
    let batch = home.batch(&["staged"]).await;
    let later = |at| Outcome::Again { at, failure: Failure::retry("busy", "Later.") };
    home.store.settle_batch(batch.id, vec![(batch.changes[0].id, later(9_000_000))], 8_000_000).await.unwrap();
    home.store.enqueue(home.folder, vec![due("bogus", 1, 9_000_000), due("legit", 1, 1_600)], 0).await.unwrap();
    assert_eq!(home.store.shorten_waits(600, 8_999_900).await, Ok(0), "as long as the clock is right");
    assert_eq!(home.store.shorten_waits(600, 1_000).await, Ok(2));
    assert_eq!(home.rows(), ["bogus 1 due 1000 -", "legit 1 due 1600 -", "staged 1 staged 0 busy"]);
    assert_eq!(home.store.ready(1_000, &[]).await.unwrap()[0].entries, 1);
    assert_eq!(home.store.shorten_waits(600, 1_000).await, Ok(0));
    // What was staged before and may go at once, whatever it is.
    home.enqueue(&["dir"]).await;
    let staged = home.claim(1_600).await.into_iter().find(|c| c.job.path == rel("dir")).unwrap().job;
    let trash = RemoteChange::Trash { path: remote("/r/dir"), rev: None };
    home.store.stage(vec![(staged, trash)], 9_000_000).await.unwrap();
    assert_eq!(home.store.shorten_waits(600, 1_000).await, Ok(1));
    let by_index = plan(&home.store, "SELECT 1 FROM job WHERE folder = ?1 AND state = 'due' AND due_at > ?2");
    assert!(by_index.contains("job_due (folder=? AND due_at>?)"), "{by_index}");
    home.counts_agree();
}

#[tokio::test]
async fn directories_and_children_of_base() {
    let home = home().await;
    home.synced(&["r", "a/x", "a/b/c/d", "a.b/q", "a0/k/l", "a/b.c/d", "z/z/z"]).await;
    let dirs = |dir: &str| {
        let found = home.store.base_dirs_blocking(home.folder, &rel(dir)).unwrap();
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(dirs(""), ["a", "a.b", "a0", "z"]);
    assert_eq!(dirs("a"), ["a/b", "a/b.c"]);
    assert_eq!(dirs("a/b/c"), Vec::<String>::new());
    let names = |dir: &str| home.store.base_children_blocking(home.folder, &rel(dir)).unwrap();
    assert_eq!(names(""), [("r".to_owned(), stat(3))]);
    assert_eq!(names("a"), [("x".to_owned(), stat(3))]);
    assert_eq!(names("nothing"), []);
}

#[tokio::test]
async fn a_claim_is_one_large_file_or_a_pack_of_small_ones() {
    let home = home().await;
    let rows = vec![
        due("big1", 900, 1),
        due("s1", 10, 2),
        due("big2", 900, 3),
        due("s2", 10, 4),
        due("s3", 10, 5),
        due("later", 1, 99),
    ];
    home.store.enqueue(home.folder, rows, 0).await.unwrap();
    let mut closed = Closed::default();
    closed.folders([home.folder]);
    let sum = home.store.due_summary(50, 100, &Closed::default()).await.unwrap();
    assert_eq!((sum.due_small, sum.due_large, sum.due_bytes, sum.waiting, sum.claimed), (3, 2, 1830, 1, 0));
    assert_eq!((sum.oldest_due, sum.next_due_at), (Some(1), Some(99)));
    assert_eq!(home.store.due_summary(50, 100, &closed).await.unwrap(), crate::store::DueSummary::default());
    let limit = Claim { max_files: 5, max_bytes: 25, small: 100, now: 50 };
    assert!(home.store.claim_skipping(limit, &closed).await.unwrap().is_empty());
    let mut taken = Vec::new();
    for _ in 0..5 {
        let claimed = home.store.claim(limit).await.unwrap();
        taken.push(claimed.iter().map(|c| c.job.path.to_string()).collect::<Vec<_>>().join(" "));
    }
    assert_eq!(taken, ["big1", "s1 s2", "big2", "s3", ""]);
}

#[tokio::test]
async fn a_batch_is_settled_whole_or_not_at_all() {
    let home = home().await;
    let batch = home.batch(&["a", "boom"]).await;
    let boom = "CREATE TEMP TRIGGER boom BEFORE INSERT ON main.base WHEN NEW.name = 'boom' BEGIN SELECT RAISE(ABORT, 'boom'); END";
    home.store.write(move |conn| Ok(conn.execute_batch(boom)?)).await.unwrap();
    let outcomes = || batch.changes.iter().map(|c| (c.id, Outcome::Settled(Some(based(1))))).collect::<Vec<_>>();
    assert!(home.store.settle_batch(batch.id, outcomes(), 20).await.is_err());
    assert_eq!(home.store.open_batches().await.unwrap(), std::slice::from_ref(&batch));
    assert_eq!(home.store.base(home.folder, &rel("a")).await.unwrap(), None);
    assert_eq!(home.rows(), ["a 1 staged 0 -", "boom 1 staged 0 -"]);
    home.store.write(|conn| Ok(conn.execute_batch("DROP TRIGGER boom")?)).await.unwrap();
    home.store.settle_batch(batch.id, outcomes(), 20).await.unwrap();
    home.store.settle_batch(batch.id, outcomes(), 20).await.unwrap();
    assert!(home.rows().is_empty());
    home.counts_agree();
}

#[tokio::test]
async fn every_outcome_of_an_entry() {
    let home = home().await;
    let batch = home.batch(&["again", "else", "left", "look", "ok", "wedge"]).await;
    assert_eq!(batch.changes.len(), 6);
    assert!(home.store.begin_batch(BatchKind::Delete, 9, &[], 10).await.is_err(), "batches never overlap");
    home.store.launched(batch.id, "job-1").await.unwrap();
    assert_eq!(home.store.open_batches().await.unwrap()[0].async_job_id.as_deref(), Some("job-1"));
    let id = |path: &str| batch.changes.iter().find(|c| c.path.as_str() == path).unwrap().id;
    let outcomes = vec![
        (id("again"), Outcome::Again { at: 500, failure: Failure::retry("busy", "Later.") }),
        (id("else"), Outcome::Elsewhere(remote("/r/else (copy)"))),
        (id("look"), Outcome::Look { at: 300, failure: None }),
        (id("ok"), Outcome::Settled(Some(based(1)))),
        (id("wedge"), Outcome::Wedge(no("name"))),
        (ChangeId(4711), Outcome::Settled(None)),
    ];
    home.store.settle_batch(batch.id, outcomes, 20).await.unwrap();
    home.counts_agree();
    let rows = [
        "again 1 staged 0 busy",
        "else 1 staged 0 -",
        "left 1 staged 0 -",
        "look 1 due 300 -",
        "wedge 1 wedged 0 name",
    ];
    assert_eq!(home.rows(), rows);
    let ready = home.store.ready(20, &[]).await.unwrap();
    assert_eq!((ready[0].entries, ready[0].oldest, ready[0].next_not_before), (2, Some(5), Some(500)));
    assert_eq!(home.store.ready(20, &[home.folder]).await.unwrap()[0].entries, 0);
    let conflicts = home.store.conflicts(home.folder, 0, 9).await.unwrap();
    assert_eq!((conflicts[0].path.as_str(), conflicts[0].copy.as_str()), ("else", "/r/else (copy)"));
    let problems = home.store.problems(Some(home.folder), 0, 9).await.unwrap();
    let seen: Vec<_> = problems.iter().map(|p| (p.path.as_str(), p.next_try, p.attempts)).collect();
    assert_eq!(seen, [("again", Some(500), 1), ("wedge", None, 1)]);
    assert_eq!(home.store.problems(None, 1, 9).await.unwrap(), problems[1..]);

    let next = home.store.begin_batch(BatchKind::Upload, 9, &[], 20).await.unwrap().unwrap();
    let moved = next.changes.iter().find(|c| c.path.as_str() == "else").unwrap();
    let RemoteChange::Upload { to, mode, stat: read, .. } = &moved.what else { panic!("{moved:?}") };
    assert_eq!((to.as_str(), mode, read), ("/r/else (copy)", &WriteMode::Add, &stat(1)));
    let copy = Base { remote: Some(to.clone()), ..based(1) };
    home.store.settle_batch(next.id, vec![(moved.id, Outcome::Settled(Some(copy.clone())))], 30).await.unwrap();
    assert_eq!(home.store.base(home.folder, &rel("else")).await.unwrap(), Some(copy));
    assert_eq!(home.store.summary(home.folder).await.unwrap().conflicts, 1, "made, and not resolved");

    assert_eq!(home.store.wake(home.folder, &RelPath::root(), 40).await, Ok(3));
    // C10: what failed is a problem until it turns out to be none.
    let rows = ["again 1 staged 0 busy", "left 1 staged 0 -", "look 1 due 40 -", "wedge 1 due 0 name"];
    assert_eq!(home.rows(), rows);
    assert_eq!(home.store.ready(40, &[]).await.unwrap()[0].entries, 2);
    assert_eq!(home.store.pending_under(home.folder, &RelPath::root()).await, Ok(2));
    assert_eq!(home.store.problems_under(home.folder, &RelPath::root()).await, Ok(2));
    home.counts_agree();
}

#[tokio::test]
async fn one_remote_path_is_once_in_a_batch_and_the_oldest_go_first() {
    let home = home().await;
    let batch = home.batch(&["File", "b", "file", "FILE"]).await;
    assert_eq!(batch.changes.iter().map(|c| c.path.as_str()).collect::<Vec<_>>(), ["File", "b"]);
    assert_eq!(home.store.open_batches().await.unwrap(), [batch]);
}

#[tokio::test]
async fn deletions_are_counted_for_a_day() {
    let home = home().await;
    home.synced(&["a", "b"]).await;
    home.store.enqueue_gone(home.folder, &RelPath::root(), true, 0, 0).await.unwrap();
    let delete = |job: &Job| RemoteChange::Delete { path: remote("/r").join(&job.path), rev: "r1".to_owned() };
    let staged = home.claim(0).await.into_iter().map(|c| (c.job.clone(), delete(&c.job))).collect();
    assert_eq!(home.store.stage(staged, 5).await, Ok(2));
    assert_eq!(home.store.staged_deletions(home.folder).await, Ok(2));
    let batch = home.store.begin_batch(BatchKind::Delete, 9, &[], 10).await.unwrap().unwrap();
    let done = batch.changes.iter().map(|c| (c.id, Outcome::Settled(None))).collect();
    home.store.settle_batch(batch.id, done, 100).await.unwrap();
    assert_eq!(home.store.deletions_since(home.folder, 100).await, Ok(2));
    assert_eq!(home.store.deletions_since(home.folder, 101).await, Ok(0));
    assert_eq!(home.store.summary(home.folder).await.unwrap().files, 0);
    let later = home.batch(&["c"]).await;
    home.store.settle_batch(later.id, vec![], 101 + 24 * 3600 * 1000).await.unwrap();
    assert_eq!(home.store.deletions_since(home.folder, 0).await, Ok(0));
    home.counts_agree();
}

/// Something of everything that is remembered of a folder.
async fn remember(store: &Store, folder: FolderId) {
    let held = HeldDeletions { since: 1, salt: "x".to_owned(), all: Some(2) };
    store.hold_deletions(folder, held).await.unwrap();
    store.ignore_file_arrives(folder, &rel(".ferryboxignore")).await.unwrap();
    let placing = Placing { content_hash: ContentHash([7; 32]), rev: "r".to_owned(), file_id: "id:x".to_owned() };
    store.placing(vec![(folder, rel("x"), placing)]).await.unwrap();
    let agreed = [(folder, vec![u64::MAX])].into();
    store.write(move |conn| consent::add(conn, &agreed, MayGo::Agreed)).await.unwrap();
}

#[tokio::test]
async fn another_remote_path_is_a_new_meeting() {
    let home = home().await;
    home.synced(&["a", "d/b"]).await;
    home.store.set_root_id(home.folder, "root", "/l").await.unwrap();
    let other = home.store.folder("/l2", "/r2", Mode::Backup).await.unwrap();
    home.store.enqueue(other.id, vec![due("o", 1, 0)], 0).await.unwrap();
    // A claim is of one folder, a batch of all.
    let staged = home.claim(0).await.into_iter().map(|c| (c.job.clone(), upload(&c.job, 1))).collect();
    home.store.stage(staged, 5).await.unwrap();
    home.batch(&["c"]).await;
    home.store.set_odd(home.folder, &rel("d"), vec![("d/x".to_owned(), no("name"))], 1).await.unwrap();
    assert_eq!(home.store.open_batches().await.unwrap()[0].changes.len(), 2, "of both folders");
    let again = home.store.folder("/l", "/elsewhere", Mode::Mirror).await.unwrap();
    assert!(again.fresh && again.id == home.folder && again.root_id.is_none());
    assert_eq!(home.rows(), ["o 1 staged 0 -"]);
    let open = home.store.open_batches().await.unwrap();
    assert_eq!((open.len(), open[0].entries, open[0].changes.len()), (1, 2, 1));
    assert_eq!(home.store.summary(home.folder).await.unwrap(), crate::store::FolderSummary::default());
    home.counts_agree();
    remember(&home.store, home.folder).await;
    remember(&home.store, other.id).await;
    home.store.forget_folders_except(&[home.folder]).await.unwrap();
    // What was remembered of a folder goes with it (Q2).
    assert!(home.store.held_deletions(home.folder).await.unwrap().is_some());
    for of in ["consent", "ignore_file_arrival", "install_intent"] {
        assert_eq!(home.texts(&format!("SELECT CAST(folder AS TEXT) FROM {of}")), [home.folder.0.to_string()], "{of}");
    }
    assert!(home.rows().is_empty());
    let open = home.store.open_batches().await.unwrap();
    assert_eq!((open.len(), open[0].entries, open[0].changes.len()), (1, 2, 0));
    home.store.release_claims().await.unwrap();
    let begun = home.store.begin_batch(BatchKind::Upload, 9, &[], 10).await;
    assert!(begun.is_err(), "its job must end before another begins");
    home.store.settle_batch(open[0].id, vec![], 20).await.unwrap();
    assert!(home.store.open_batches().await.unwrap().is_empty());
    assert_ne!(
        home.store.folder("/l2", "/r2", Mode::Backup).await.unwrap().id,
        other.id,
        "numbers are never used twice"
    );
    home.counts_agree();
}

#[tokio::test]
async fn sessions_leave_the_pool_once_and_die_of_age() {
    let home = home().await;
    home.store.add_sessions(vec!["old".into()], 10).await.unwrap();
    home.store.add_sessions(vec!["b".into(), "a".into()], 20).await.unwrap();
    home.store.add_sessions(vec!["c".into()], 30).await.unwrap();
    assert_eq!(home.store.sessions(15).await, Ok(3));
    let take = async |n| home.store.write(move |conn| sessions::take(conn, n, 15)).await.unwrap();
    let taken = take(2).await;
    assert_eq!(taken.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(home.store.sessions(0).await, Ok(1), "the old one is gone");
    let rest = take(9).await;
    assert_eq!(rest.iter().map(|s| (s.id.as_str(), s.born_at)).collect::<Vec<_>>(), [("c", 30)]);
    let count = |month: &'static str, route: &'static str, below| home.store.count_transport(month, route, below);
    assert_eq!(count("2026-11", "append", 3).await, Ok(true));
    assert_eq!(count("2026-11", "append", 3).await, Ok(true));
    assert_eq!(count("2026-11", "finish", 3).await, Ok(true));
    // All routes together, and each month by itself.
    assert_eq!(count("2026-11", "finish", 3).await, Ok(false));
    assert_eq!(count("2026-11", "start", 3).await, Ok(false));
    assert_eq!(count("2026-12", "append", 1).await, Ok(true));
    assert_eq!(count("2026-11", "start", u64::MAX).await, Ok(true));
    assert_eq!(home.store.transport("2026-11").await, Ok(4));
    assert_eq!(home.store.transport("2026-12").await, Ok(1));
}

#[tokio::test]
async fn odd_names_are_what_the_last_scan_found() {
    let home = home().await;
    let odd = |name: &str| (name.to_owned(), no("name"));
    home.store.set_odd(home.folder, &rel("d"), vec![odd("d/1"), odd("d/2")], 10).await.unwrap();
    home.store.set_odd(home.folder, &rel("d/e"), vec![odd("d/e/1")], 10).await.unwrap();
    home.store.set_odd(home.folder, &rel("d"), vec![odd("d/2"), odd("d/3")], 20).await.unwrap();
    let problems = home.store.problems(None, 0, 9).await.unwrap();
    let seen: Vec<_> = problems.iter().map(|p| (p.path.as_str(), p.since)).collect();
    assert_eq!(seen, [("d/2", 10), ("d/3", 20), ("d/e/1", 10)]);
    home.store.set_odd(home.folder, &rel("d"), vec![], 30).await.unwrap();
    assert_eq!(home.store.summary(home.folder).await.unwrap().problems, 1);
    home.counts_agree();
}

/// What is staged after the number was read has a higher one, whatever its path, also where the last one went meanwhile.
#[tokio::test]
async fn the_last_staged_deletion_bounds_what_was_there() {
    let home = home().await;
    let stage = async |path: &str| {
        home.enqueue(&[path]).await;
        let job = home.claim(0).await[0].job.clone();
        let change = RemoteChange::Delete { path: remote("/r").join(&job.path), rev: "r1".to_owned() };
        home.store.stage(vec![(job, change)], 5).await.unwrap();
        home.store.last_staged_delete(home.folder).await.unwrap().unwrap()
    };
    assert_eq!(home.store.last_staged_delete(home.folder).await.unwrap(), None);
    let (b, c) = (stage("b").await, stage("c").await);
    assert!(b < c);
    home.store.withdraw(vec![c], 6).await.unwrap();
    assert_eq!(home.store.last_staged_delete(home.folder).await.unwrap(), Some(b));
    home.claim(9).await;
    assert!(stage("a").await > c);
}
