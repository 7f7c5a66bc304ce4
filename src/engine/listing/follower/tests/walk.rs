//! R4: ends that a walk must come to, whatever Dropbox answers on its way.

use ferrybox_standin::{Change, Entries, Next, PageEdit};
use serde_json::json;

use super::*;

const LIST: &str = "files/list_folder";
const CONTINUE: &str = "files/list_folder/continue";
/// More steps than any of these walks has.
const STEPS: u32 = 300;

/// Everything below `/T` is walked, page by page of two.
async fn walked() -> (Standin, tempfile::TempDir, Store, Follower) {
    let settings = Settings { page_size: 2, recursive_most: Some(1), ..Settings::default() };
    let standin = Standin::start(settings).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("state.db")).unwrap();
    store.set_namespace(&standin.root_namespace_id()).await.unwrap();
    for path in ["1", "2", "3", "4", "5", "a/x", "a/y", "b/z"] {
        standin.write(&format!("/T/{path}"), path);
    }
    let follower = follower(&store, client(&standin, &standin), "/T").await;
    (standin, dir, store, follower)
}

/// Steps until this is so of what a step came to.
async fn until(follower: &mut Follower, what: &str, so: impl Fn(&Result<Stepped, Stuck>) -> bool) {
    for _ in 0..STEPS {
        if so(&follower.step().await) {
            return;
        }
    }
    panic!("{what} never came");
}

/// Until the walk is between two pages of its first folder.
async fn begun(follower: &mut Follower, standin: &Standin) {
    until(follower, "the walk", |stepped| matches!(stepped, Ok(Stepped::Went(1..)))).await;
    assert_eq!(standin.calls_of(CONTINUE), 0);
}

/// How the next steps end: pages with something, pages without, failures.
async fn count(follower: &mut Follower, steps: u32) -> (u32, u32, u32) {
    let (mut went, mut barren, mut failed) = (0, 0, 0);
    for _ in 0..steps {
        match follower.step().await {
            Ok(Stepped::Barren) => barren += 1,
            Ok(_) => went += 1,
            Err(Stuck::Store(error)) => panic!("{error}"),
            Err(_) => failed += 1,
        }
    }
    (went, barren, failed)
}

/// The cursor of a folder's next page is no cursor to Dropbox any more.
#[tokio::test]
async fn r4_a_folders_cursor_that_dropbox_does_not_know_begins_that_folder_again() {
    let (standin, _dir, store, mut follower) = walked().await;
    begun(&mut follower, &standin).await;
    let listing = store.listing(follower.lane.id).await.unwrap();
    let tree = listing.followed().unwrap();
    let mark = Mark::read(tree.cursor.as_deref().unwrap()).unwrap();
    let bad = Mark { to: crate::plan::listing::walk::To::More("gone".to_owned()), ..mark };
    let stepped = follower.walk(tree.id, tree.cursor.clone().unwrap(), bad).await;
    assert!(stepped.is_ok(), "{stepped:?}");
    rest(&mut follower).await;
    assert_eq!(cached(&store, &follower).await.len(), served(&standin).len());
}

/// The folder that is listed goes away while it is walked: it is asked for again, and its loss is told.
#[tokio::test]
async fn r4_a_root_that_goes_away_during_a_walk_is_missing() {
    for renamed in [false, true] {
        let (standin, _dir, _store, mut follower) = walked().await;
        begun(&mut follower, &standin).await;
        if renamed {
            standin.rename("/T", "/U");
        } else {
            standin.delete("/T");
        }
        until(&mut follower, "the end of the walk", |stepped| matches!(stepped, Ok(Stepped::Missing))).await;
        assert_eq!(follower.lane.now.lock().unwrap().no_folder, Some(NoFolder::Gone), "renamed: {renamed}");
    }
}

/// H6: what a recursive listing gets over, a walk gets over, too.
#[tokio::test]
async fn h6_a_refused_file_does_not_hold_up_a_walk_and_a_refused_folder_does() {
    let (standin, _dir, store, mut follower) = walked().await;
    standin.decorate("/t/3", json!({"rev": 7}));
    until(&mut follower, "the end of the walk", |stepped| matches!(stepped, Ok(Stepped::AtRest(_)))).await;
    let odd = store.remote_odd(0, 10).await.unwrap();
    assert_eq!(odd.iter().map(|odd| odd.1.as_str()).collect::<Vec<_>>(), ["protocol"], "{odd:?}");
    assert!(cached(&store, &follower).await.contains_key("/t/b/z"));

    for (path, fields) in
        [("/t/a", json!({"name": "../a"})), ("/t/3", json!({".tag": "shortcut"})), ("/t/3", json!({"path_lower": 7}))]
    {
        let (standin, _dir, _store, mut follower) = walked().await;
        standin.decorate(path, fields.clone());
        for _ in 0..20 {
            let stepped = follower.step().await;
            assert!(!matches!(stepped, Ok(Stepped::AtRest(_))), "{path} {fields}");
        }
    }
}

/// A folder whose every second page is refused is listed from its beginning once at once, and after that with a pause.
#[tokio::test]
async fn s3_a_folder_that_is_reset_again_and_again_is_not_walked_without_pause() {
    let (standin, _dir, store, mut follower) = walked().await;
    standin.faults().add(Fault::always(CONTINUE, Effect::EndpointError("reset".to_owned())));
    begun(&mut follower, &standin).await;
    let (went, barren, failed) = count(&mut follower, 20).await;
    assert!(went <= 1 && failed >= 9 && barren <= 10, "{went} {barren} {failed}");
    standin.faults().clear();
    rest(&mut follower).await;
    assert_eq!(cached(&store, &follower).await.len(), served(&standin).len());
}

/// A folder that has always more to come, and never anything new, is told.
#[tokio::test]
async fn s7_a_folder_that_never_ends_is_told() {
    for cursor in [Next::Same, Next::Again] {
        let (standin, _dir, store, mut follower) = walked().await;
        let edit = PageEdit { cursor, has_more: Some(true), ..PageEdit::default() };
        standin.faults().add(Fault::always(CONTINUE, Effect::EditPage(edit)));
        begun(&mut follower, &standin).await;
        let (went, barren, failed) = count(&mut follower, 20).await;
        assert!(went <= 1 && barren >= 19 && failed == 0, "{cursor:?}: {went} {barren} {failed}");
        standin.faults().clear();
        rest(&mut follower).await;
        assert_eq!(cached(&store, &follower).await.len(), served(&standin).len());
    }
}

/// Whether a folder is gone is asked of the folder above it: one that never ends says nothing, and does not hold up the program.
#[tokio::test]
async fn s7_a_folder_above_that_never_ends_is_no_evidence() {
    let (standin, _dir, _store, mut follower) = walked().await;
    begun(&mut follower, &standin).await;
    until(&mut follower, "the end of the first folder", |_| standin.last_argument(LIST)["path"] == "/t/a").await;
    standin.delete("/T/b");
    let change = Change { entries: Entries::All, fields: json!({}) };
    let edit = PageEdit { change: vec![change], cursor: Next::Again, has_more: Some(true), ..PageEdit::default() };
    standin.faults().add(Fault::always(CONTINUE, Effect::EditPage(edit)));
    let steps = async { count(&mut follower, 5).await };
    let (_, _, failed) = tokio::time::timeout(Duration::from_secs(20), steps).await.expect("the step has an end");
    assert!(failed > 0);
}
