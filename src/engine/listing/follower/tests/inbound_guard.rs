//! E12: a mass restore, or a program that encrypts everything, is known here and brought down only when a person agrees.

use super::*;
use crate::model::{Base, Disk, Due, FolderId, Mode, Settled, Stat};
use crate::store::{Claim, Compared, InboundWord, Passing};

/// A folder that brings things down, in sync with 100 files.
async fn in_sync(standin: &Standin, store: &Store) -> (Follower, FolderId) {
    for i in 0..100 {
        standin.write(&format!("/T/f{i:02}"), format!("mine {i}"));
    }
    let folder = store.folder("/l", "/T", Mode::TwoWay).await.unwrap().id;
    let mut follower = follower(store, client(standin, standin), "/T").await;
    let remote = RemotePath::parse("/T").unwrap();
    let lane = Lane::new(
        follower.lane.id,
        remote.clone(),
        Question::default(),
        vec![Compared { folder, remote, down: true, disk: Disk::Plain }],
    );
    follower.lane = Arc::new(lane);
    rest(&mut follower).await;
    assert_eq!(claimed(store).await.len(), 100, "all of it is new here, and nothing of that is a wave");
    let all = Claim { max_files: 1000, max_bytes: u64::MAX, small: u64::MAX, now: i64::MAX };
    store.release_claims().await.unwrap();
    let mut done = Vec::new();
    for claimed in store.claim(all).await.unwrap() {
        let file = standin.file(&format!("/T/{}", claimed.job.path)).unwrap();
        let stat = Stat { size: file.size, mtime_ns: 0, ctime_ns: 0, ino: 1, dev: 1 };
        let base = Base {
            stat,
            content_hash: file.content_hash.parse().unwrap(),
            rev: file.rev,
            file_id: Some(file.id),
            remote: None,
        };
        done.push((claimed.job, Settled::InSync(Some(base))));
    }
    store.settle(done, 1).await.unwrap();
    (follower, folder)
}

/// The paths that are to be looked at.
async fn claimed(store: &Store) -> Vec<String> {
    store.release_claims().await.unwrap();
    let all = Claim { max_files: 1000, max_bytes: u64::MAX, small: u64::MAX, now: i64::MAX };
    let mut paths: Vec<_> = store.claim(all).await.unwrap().into_iter().map(|c| c.job.path.to_string()).collect();
    paths.sort();
    paths
}

fn encrypt(standin: &Standin, files: usize) {
    for i in 0..files {
        standin.write(&format!("/T/f{i:02}"), "ransom");
    }
}

/// A restart: nothing but the store is left.
fn restarted(follower: &Follower) -> Follower {
    let old = &follower.lane;
    let lane = Lane::new(old.id, old.scope.clone(), old.question.clone(), old.folders.clone());
    Follower::new(follower.store.clone(), follower.dropbox.clone(), Arc::new(lane), LIMITS)
}

/// A stop right after the last rows of a comparison that was let through leaves the word that it is under way.
#[tokio::test]
async fn e12_a_word_that_an_earlier_run_left_is_no_consent_to_what_comes_next() {
    let (standin, _dir, store, _) = world(Settings::default()).await;
    let (follower, _) = in_sync(&standin, &store).await;
    store.pass_inbound(follower.lane.id, Passing { remembered: true, ..Passing::default() }).await.unwrap();
    encrypt(&standin, 60);
    // The first step of a run compares what it finds: nothing is left. Then it fetches.
    let mut follower = restarted(&follower);
    assert!(matches!(follower.step().await, Ok(Stepped::AtRest(_))));
    rest(&mut follower).await;
    assert_eq!(claimed(&store).await, [""; 0]);
    assert_eq!(follower.lane.held().map(|held| held.changes), Some(60));
    assert_eq!(store.inbound_word(follower.lane.id).await.unwrap(), InboundWord::default());
}

/// What came down before decides whether a slice belongs to a wave. Where that cannot be read, the database is damaged, and nothing is let through.
#[tokio::test]
async fn e12_what_came_down_recently_and_cannot_be_read_lets_nothing_through() {
    let (standin, _dir, store, _) = world(Settings::default()).await;
    let (mut follower, _) = in_sync(&standin, &store).await;
    let broken = Passing { recent: Some("{".to_owned()), ..Passing::default() };
    store.pass_inbound(follower.lane.id, broken).await.unwrap();
    encrypt(&standin, 10);
    let mut stuck = None;
    for _ in 0..20 {
        match follower.step().await {
            Ok(Stepped::AtRest(_)) => follower.fetch().await.map(drop).unwrap(),
            Ok(_) => {}
            Err(error) => stuck = Some(error),
        }
    }
    assert!(matches!(&stuck, Some(Stuck::Store(StoreError::Corrupt { .. }))), "{stuck:?}");
    assert_eq!(claimed(&store).await, [""; 0]);
}

#[tokio::test]
async fn e12_a_wave_of_changes_waits_for_a_person_across_restarts() {
    let (standin, _dir, store, _) = world(Settings::default()).await;
    let (mut follower, _) = in_sync(&standin, &store).await;
    encrypt(&standin, 60);
    standin.write("/T/new", "n");
    rest(&mut follower).await;
    assert_eq!(claimed(&store).await, [""; 0]);
    let held = follower.lane.held().unwrap();
    assert_eq!((held.changes, held.files, held.sample.len()), (60, 100, 5));
    assert!(held.reason.contains(&held.token) && held.reason.contains("60 got another content"), "{}", held.reason);
    // The cache follows all the same.
    assert_eq!(cached(&store, &follower).await.len(), 102);
    let mut follower = restarted(&follower);
    rest(&mut follower).await;
    assert_eq!(follower.lane.held().map(|h| h.token), Some(held.token.clone()));
    // More of it is another wave: the old word does not cover it.
    encrypt(&standin, 61);
    store.approve_inbound(follower.lane.id, &held.token).await.unwrap();
    rest(&mut follower).await;
    let second = follower.lane.held().unwrap();
    assert_ne!(second.token, held.token);
    assert_eq!(claimed(&store).await, [""; 0]);
    store.approve_inbound(follower.lane.id, &second.token).await.unwrap();
    // A crash between the word and the work asks nobody again.
    follower.step().await.unwrap();
    let mut follower = restarted(&follower);
    rest(&mut follower).await;
    assert_eq!(claimed(&store).await.len(), 62);
    assert_eq!(follower.lane.held(), None);
    assert_eq!(store.inbound_word(follower.lane.id).await.unwrap(), InboundWord::default());
    assert!(standin.violations().is_empty(), "{:#?}", standin.violations());
}

#[tokio::test]
async fn e12_what_was_restored_in_dropbox_is_let_go_and_a_few_changes_never_wait() {
    let (standin, _dir, store, _) = world(Settings::default()).await;
    let (mut follower, _) = in_sync(&standin, &store).await;
    encrypt(&standin, 20);
    rest(&mut follower).await;
    assert_eq!(claimed(&store).await.len(), 20);
    assert_eq!(follower.lane.held(), None);
    // Gone and overwritten count together.
    for i in 20..60 {
        standin.delete(&format!("/T/f{i:02}"));
    }
    for i in 0..16 {
        standin.write(&format!("/T/f{i:02}"), "more");
    }
    rest(&mut follower).await;
    assert_eq!(follower.lane.held().unwrap().changes, 56);
    for i in 0..60 {
        standin.write(&format!("/T/f{i:02}"), format!("mine {i}"));
    }
    rest(&mut follower).await;
    assert_eq!(follower.lane.held(), None);
    assert_eq!(claimed(&store).await.len(), 60, "other revisions of the same content");
    assert!(standin.violations().is_empty(), "{:#?}", standin.violations());
}

#[tokio::test]
async fn e12_what_is_rejected_goes_up_again() {
    let (standin, _dir, store, _) = world(Settings::default()).await;
    let (mut follower, folder) = in_sync(&standin, &store).await;
    encrypt(&standin, 99);
    rest(&mut follower).await;
    let held = follower.lane.held().unwrap();
    let cache = crate::engine::gather::remote::RemoteCache { lanes: vec![Arc::clone(&follower.lane)] };
    assert_eq!(cache.answer(&store, "another", false).await.unwrap(), None);
    let answered = cache.answer(&store, &held.token, false).await.unwrap().unwrap();
    assert_eq!((answered.outcome.as_str(), answered.deletions), ("rejected", 99));
    rest(&mut follower).await;
    assert_eq!(follower.lane.held(), None);
    // Each is looked at as for the first time: what differs is kept twice, what is gone there goes up.
    assert_eq!(claimed(&store).await.len(), 99);
    assert_eq!(store.files_in_sync(folder).await.unwrap(), 1);
    standin.write("/T/f99", "an ordinary edit");
    rest(&mut follower).await;
    assert_eq!(claimed(&store).await.len(), 100);
    assert!(standin.violations().is_empty(), "{:#?}", standin.violations());
}

/// The rows of a slice are made, worked on, and settled as the new base.
async fn brought_down(standin: &Standin, store: &Store) {
    let all = Claim { max_files: 1000, max_bytes: u64::MAX, small: u64::MAX, now: i64::MAX };
    store.release_claims().await.unwrap();
    let done = store.claim(all).await.unwrap().into_iter().map(|claimed| {
        let stat = Stat { size: 1, mtime_ns: 0, ctime_ns: 0, ino: 1, dev: 1 };
        let base = standin.file(&format!("/T/{}", claimed.job.path)).map(|file| Base {
            stat,
            content_hash: file.content_hash.parse().unwrap(),
            rev: file.rev,
            file_id: Some(file.id),
            remote: None,
        });
        (claimed.job, Settled::InSync(base))
    });
    store.settle(done.collect(), 1).await.unwrap();
}

#[tokio::test]
async fn e12_a_wave_in_slices_is_weighed_as_one_across_restarts() {
    let (standin, _dir, store, _) = world(Settings::default()).await;
    let (mut follower, _) = in_sync(&standin, &store).await;
    // Each slice alone is nothing; the same files again are nothing new.
    for (slice, name) in [(0..20, "ransom"), (0..20, "ransom2"), (20..40, "ransom")] {
        for i in slice {
            standin.write(&format!("/T/f{i:02}"), name);
        }
        rest(&mut follower).await;
        assert_eq!(follower.lane.held(), None);
        assert_eq!(claimed(&store).await.len(), 20);
        brought_down(&standin, &store).await;
        follower = restarted(&follower);
    }
    for i in 40..51 {
        standin.delete(&format!("/T/f{i:02}"));
    }
    rest(&mut follower).await;
    let held = follower.lane.held().unwrap();
    assert_eq!(held.changes, 11);
    assert!(held.reason.contains("after 40 others of late"), "{}", held.reason);
    assert_eq!(claimed(&store).await, [""; 0]);
    // What a person lets through is not held against what comes later.
    store.approve_inbound(follower.lane.id, &held.token).await.unwrap();
    rest(&mut follower).await;
    assert_eq!(claimed(&store).await.len(), 11);
    brought_down(&standin, &store).await;
    standin.write("/T/f99", "an ordinary edit");
    rest(&mut follower).await;
    assert_eq!(follower.lane.held(), None);
    assert_eq!(claimed(&store).await, ["f99"]);
    assert!(standin.violations().is_empty(), "{:#?}", standin.violations());
}

#[tokio::test]
async fn e12_our_own_deletions_that_come_back_with_the_listing_are_no_wave() {
    let (standin, _dir, store, _) = world(Settings::default()).await;
    let (mut follower, folder) = in_sync(&standin, &store).await;
    let paths: Vec<_> = (0..90).map(|i| crate::model::RelPath::parse(&format!("f{i:02}")).unwrap()).collect();
    store.enqueue(folder, paths.into_iter().map(|path| Due { path, size: 0, due_at: 0 }).collect(), 0).await.unwrap();
    let all = Claim { max_files: 1000, max_bytes: u64::MAX, small: u64::MAX, now: i64::MAX };
    let staged = store.claim(all).await.unwrap().into_iter().map(|claimed| {
        let path = RemotePath::parse(&format!("/T/{}", claimed.job.path)).unwrap();
        (claimed.job, crate::model::RemoteChange::Delete { path, rev: claimed.base.unwrap().rev })
    });
    assert_eq!(store.stage(staged.collect(), 1).await.unwrap(), 90);
    // They are carried out, and the listing is here before the reply.
    for i in 0..90 {
        standin.delete(&format!("/T/f{i:02}"));
    }
    standin.delete("/T/f95");
    rest(&mut follower).await;
    assert_eq!(follower.lane.held(), None);
    assert_eq!(claimed(&store).await, ["f95"], "somebody else's");
    assert!(standin.violations().is_empty(), "{:#?}", standin.violations());
}
