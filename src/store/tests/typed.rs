//! What is remembered in columns: of the account, of a folder, of a listing.

use super::*;
use crate::model::ChangeId;
use crate::store::{HeldDeletions, InboundWord, MayGo, Passing, Pause, Placing, RootMemory, TrashClock};

#[tokio::test]
async fn what_is_known_of_the_account() {
    let home = home().await;
    assert_eq!(home.store.account_id().await, Ok(None));
    home.store.set_account_id("dbid:x").await.unwrap();
    assert_eq!(home.store.account_id().await, Ok(Some("dbid:x".to_owned())));
    assert_eq!(home.store.pause().await, Ok(None));
    for pause in [Pause { since: 5, until: Some(9) }, Pause { since: 6, until: None }] {
        home.store.set_pause(Some(pause)).await.unwrap();
        assert_eq!(home.store.pause().await, Ok(Some(pause)));
    }
    home.store.set_pause(None).await.unwrap();
    assert_eq!(home.store.pause().await, Ok(None));
    assert_eq!(home.store.ceilings().await, Ok(None));
    home.store.set_ceilings("{}").await.unwrap();
    assert_eq!(home.store.ceilings().await, Ok(Some("{}".to_owned())));
}

#[tokio::test]
async fn a_root_and_the_database_remember_each_other() {
    let home = home().await;
    let (store, folder) = (&home.store, home.folder);
    assert_eq!(store.root_memory(folder).await, Ok(RootMemory::default()));
    store.set_root_id(folder, "root", "/disk/l").await.unwrap();
    store.set_root_device(folder, u64::MAX).await.unwrap();
    store.begin_run(folder, 1 << 63, Some("one")).await.unwrap();
    let known = RootMemory {
        place: Some("/disk/l".to_owned()),
        dev: Some(u64::MAX),
        ino: Some(1 << 63),
        mark: None,
        next_mark: Some("one".to_owned()),
        emptied: false,
    };
    assert_eq!(store.root_memory(folder).await.as_ref(), Ok(&known));
    store.run_marked(folder).await.unwrap();
    // Without a mark to write, the last one stays on both sides.
    store.begin_run(folder, 7, None).await.unwrap();
    store.device_renamed(folder, u64::MAX, 3).await.unwrap();
    store.root_emptied(folder).await.unwrap();
    let known = RootMemory { dev: Some(3), ino: Some(7), mark: Some("one".to_owned()), emptied: true, ..known };
    assert_eq!(store.root_memory(folder).await.as_ref(), Ok(&known));
    // Both sides meet again: that it had lost its marker is over with that.
    store.forget(folder).await.unwrap();
    assert_eq!(store.root_memory(folder).await, Ok(RootMemory { emptied: false, ..known }));

    assert_eq!((store.rules(folder).await, store.trash_clock(folder).await), (Ok(None), Ok(None)));
    store.set_rules(folder, "[]").await.unwrap();
    store.set_trash_clock(folder, TrashClock { ms: 1, at: 2 }).await.unwrap();
    assert_eq!(store.rules(folder).await, Ok(Some("[]".to_owned())));
    assert_eq!(store.trash_clock(folder).await, Ok(Some(TrashClock { ms: 1, at: 2 })));
}

#[tokio::test]
async fn an_approval_lifts_its_hold_in_the_same_step() {
    let home = home().await;
    let (store, folder) = (&home.store, home.folder);
    assert_eq!((store.held_deletions(folder).await, store.approved_upto(folder).await), (Ok(None), Ok(None)));
    let held = HeldDeletions { since: 5, salt: "s".to_owned(), all: Some(12) };
    store.hold_deletions(folder, held.clone()).await.unwrap();
    assert_eq!(store.held_deletions(folder).await, Ok(Some(held.clone())));
    store.approve_deletions(folder, ChangeId(77)).await.unwrap();
    assert_eq!(
        (store.held_deletions(folder).await, store.approved_upto(folder).await),
        (Ok(None), Ok(Some(ChangeId(77))))
    );
    store.hold_deletions(folder, HeldDeletions { all: None, ..held }).await.unwrap();
    store.lift_hold(folder).await.unwrap();
    assert_eq!(store.held_deletions(folder).await, Ok(None));
}

#[tokio::test]
async fn a_file_of_patterns_that_came_down_is_ones_own_once_it_is_saved() {
    let home = home().await;
    let (store, folder, path) = (&home.store, home.folder, rel("d/.ferryboxignore"));
    assert_eq!(store.ignore_file_arrived_blocking(folder, &path), Ok(false));
    store.ignore_file_arrives(folder, &path).await.unwrap();
    store.ignore_file_arrives(folder, &path).await.unwrap();
    let hides = crate::model::Failure::wedge("ignore_file", "It hides. Look.");
    store.set_odd(folder, &path, vec![(path.to_string(), hides)], 1).await.unwrap();
    assert_eq!(store.ignore_file_arrived_blocking(folder, &path), Ok(true));
    store.own_ignore_file(folder, &path, 2).await.unwrap();
    assert_eq!(store.ignore_file_arrived_blocking(folder, &path), Ok(false));
    assert_eq!(store.summary(folder).await.unwrap().problems, 0);
    let mut changed = store.changed();
    changed.mark_unchanged();
    store.own_ignore_file(folder, &path, 3).await.unwrap();
    assert!(!changed.has_changed().unwrap());
}

#[tokio::test]
async fn what_was_about_to_be_installed_goes_with_its_row() {
    let home = home().await;
    let (store, folder) = (&home.store, home.folder);
    let placing = Placing { content_hash: ContentHash([7; 32]), rev: "r 1".to_owned(), file_id: "id:x".to_owned() };
    store.placing(vec![(folder, rel("a"), placing.clone()), (FolderId(99), rel("a"), placing.clone())]).await.unwrap();
    let later = Placing { rev: "r2".to_owned(), ..placing };
    store.placing(vec![(folder, rel("a"), later.clone())]).await.unwrap();
    assert_eq!(store.placing_blocking(folder, &rel("a")), Ok(Some(later)));
    assert_eq!(store.placing_blocking(FolderId(99), &rel("a")), Ok(None), "it left the configuration");
    home.synced(&["a"]).await;
    assert_eq!(store.placing_blocking(folder, &rel("a")), Ok(None));
}

/// The guard for deletions relies on it: what may go unasked is never written without the word that its comparison is under way, and the other way round.
#[tokio::test]
async fn a_comparison_that_passes_is_written_down_whole_or_not_at_all() {
    let home = home().await;
    let (store, folder) = (&home.store, home.folder);
    let id = store.open_listings(&["/r".to_owned()], "{}").await.unwrap()[0].id;
    assert_eq!((store.inbound_word(id).await, store.recent_inbound(id).await), (Ok(InboundWord::default()), Ok(None)));
    store.pass_inbound(id, Passing { recent: Some("{}".to_owned()), ..Passing::default() }).await.unwrap();
    assert_eq!(store.recent_inbound(id).await, Ok(Some("{}".to_owned())));
    store.approve_inbound(id, "token").await.unwrap();
    let approved = InboundWord { passing: false, approved: Some("token".to_owned()) };
    assert_eq!(store.inbound_word(id).await, Ok(approved.clone()));

    let agreed = [(folder, vec![1, u64::MAX, 3]), (FolderId(99), vec![1])].into();
    let passing =
        Passing { remembered: true, forget_recent: true, recent: None, agreed, moved: [(folder, vec![3, 4])].into() };
    let boom = "CREATE TEMP TRIGGER boom BEFORE INSERT ON main.consent WHEN NEW.file = 4 BEGIN SELECT RAISE(ABORT, 'boom'); END";
    store.write(move |conn| Ok(conn.execute_batch(boom)?)).await.unwrap();
    assert!(store.pass_inbound(id, passing.clone()).await.is_err());
    assert_eq!((store.inbound_word(id).await, store.has_consents(folder).await), (Ok(approved), Ok(false)));
    store.write(|conn| Ok(conn.execute_batch("DROP TRIGGER boom")?)).await.unwrap();

    store.pass_inbound(id, passing).await.unwrap();
    assert_eq!(store.inbound_word(id).await, Ok(InboundWord { passing: true, approved: None }));
    assert_eq!(store.recent_inbound(id).await, Ok(None));
    let (agreed, moved) = (Some(MayGo::Agreed), Some(MayGo::Moved));
    // A person's word is worth more.
    assert_eq!(store.consents(folder, vec![1, 2, u64::MAX, 3, 4]).await, Ok(vec![agreed, None, agreed, agreed, moved]));
    store.end_inbound(id).await.unwrap();
    assert_eq!(store.inbound_word(id).await, Ok(InboundWord::default()));
    store.forget_consents(folder).await.unwrap();
    assert_eq!(store.has_consents(folder).await, Ok(false));
}
