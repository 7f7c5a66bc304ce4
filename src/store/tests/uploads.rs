//! Sessions with owners: what a restart finds, and what is gone when it must be.

use super::*;
use crate::model::{BlockHashes, Failure, JobId, Settled};
use crate::store::{Part, Session, Whole};

async fn claimed(home: &Home, path: &str, size: u64) -> Job {
    home.store.enqueue(home.folder, vec![due(path, size, 0)], 0).await.unwrap();
    let claim = Claim { max_files: 1, max_bytes: u64::MAX, small: 1 << 30, now: 0 };
    home.store.claim(claim).await.unwrap().remove(0).job
}

fn whole(job: &Job) -> Whole {
    Whole { job: job.id, stat: stat(3), content_hash: ContentHash([1; 32]) }
}

#[tokio::test]
async fn a_pack_s_sessions_have_owners_until_they_are_staged_or_returned() {
    let home = home().await;
    let (a, b) = (claimed(&home, "a", 3).await, claimed(&home, "b", 3).await);
    home.store.add_sessions(vec!["s1".into()], 5).await.unwrap();
    assert_eq!(home.store.begin_pack(vec![whole(&a), whole(&b)], 0, 9).await.unwrap(), None, "all of them or none");
    assert_eq!(home.store.sessions(0).await.unwrap(), 1);
    home.store.add_sessions(vec!["s2".into(), "old".into()], 4).await.unwrap();
    let given = home.store.begin_pack(vec![whole(&a), whole(&b)], 0, 9).await.unwrap().unwrap();
    assert_eq!(given.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["old", "s2"], "the oldest first");

    // A restart finds them.
    let Home { dir, store, folder } = home;
    let path = store.path().to_owned();
    store.close().await.unwrap();
    let home = Home { dir, store: Store::open(&path).unwrap(), folder };
    let begun = home.store.begun(vec![a.id, b.id, JobId(99)]).await.unwrap();
    assert_eq!(begun[0].as_ref().map(|x| (x.session.id.as_str(), x.chunk, x.begun_at)), Some(("old", 0, 9)));
    assert_eq!(begun[1].as_ref().and_then(|x| x.content_hash), Some(ContentHash([1; 32])));
    assert!(begun[2].is_none());

    let a = claimed(&home, "a", 3).await;
    home.store.stage(vec![(a.clone(), upload(&a, 3))], 10).await.unwrap();
    home.store.return_uploads(vec![b.id]).await.unwrap();
    assert_eq!(home.store.begun(vec![a.id, b.id]).await.unwrap(), [None, None]);
    assert_eq!(home.store.sessions(0).await.unwrap(), 2, "b's is back, a's is its change's");
}

#[tokio::test]
async fn parts_stay_until_the_session_is_replaced_or_the_row_goes() {
    let home = home().await;
    let job = claimed(&home, "large", 99).await;
    let session = |id: &str| Session { id: id.into(), born_at: 7 };
    let part = |at: u64, closing: bool| {
        let digests = BlockHashes::from_bytes(vec![u8::from(closing); 32]).unwrap();
        Part { at, digests, closing }
    };
    home.store.put_part(job.id, part(0, false)).await.unwrap();
    assert_eq!(home.store.begun(vec![job.id]).await.unwrap(), [None], "no part without a session");
    home.store.begin_parts(job.id, session("one"), 4 << 20, stat(99), 8).await.unwrap();
    for p in [part(4 << 20, false), part(0, false), part(8 << 20, true)] {
        home.store.put_part(job.id, p).await.unwrap();
    }
    let begun = home.store.begun(vec![job.id]).await.unwrap().remove(0).unwrap();
    assert_eq!(begun.parts, [part(0, false), part(4 << 20, false), part(8 << 20, true)]);
    assert_eq!((begun.stat, begun.chunk), (stat(99), 4 << 20));

    home.store.begin_parts(job.id, session("two"), 4 << 20, stat(99), 8).await.unwrap();
    assert!(home.store.begun(vec![job.id]).await.unwrap().remove(0).unwrap().parts.is_empty());
    // Put off: the session is kept. Gone: it is not.
    let failure = Failure::retry("offline", "x");
    home.store.settle(vec![(job.clone(), Settled::PutOff { at: 5, failure })], 5).await.unwrap();
    assert!(home.store.begun(vec![job.id]).await.unwrap()[0].is_some());
    let claim = Claim { max_files: 1, max_bytes: u64::MAX, small: 1, now: 5 };
    let again = home.store.claim(claim).await.unwrap().remove(0).job;
    home.store.settle(vec![(again, Settled::Nothing)], 6).await.unwrap();
    assert_eq!(home.store.begun(vec![job.id]).await.unwrap(), [None]);
}

#[tokio::test]
async fn a_run_of_changes_puts_a_row_off_but_not_for_ever() {
    let home = home().await;
    home.store.set_longest(60_000);
    let next = async |now: UnixMs| home.store.due_summary(now, 1, &Closed::default()).await.unwrap();
    for now in (0..59_000).step_by(500) {
        home.store.enqueue(home.folder, vec![due("busy", 1, now + 1_000)], now).await.unwrap();
        assert_eq!(next(now).await.next_due_at, Some(now + 1_000), "at {now}");
    }
    for now in [59_500, 59_900] {
        home.store.enqueue(home.folder, vec![due("busy", 1, now + 1_000)], now).await.unwrap();
        assert_eq!(next(now).await.next_due_at, Some(60_000), "a minute after the first");
    }
    // The row was due: what comes now is another run.
    home.store.enqueue(home.folder, vec![due("busy", 1, 62_000)], 61_000).await.unwrap();
    assert_eq!(next(61_000).await.next_due_at, Some(62_000));
}
