//! What an entry without a path leaves open, and what not.

use serde_json::json;

use super::*;
use crate::model::Remote;
use crate::store::Sought;

/// A file is deleted while the cursor is lost, and the new listing has an entry without a path.
async fn relisted(entry: serde_json::Value) -> (Store, Remote) {
    let (standin, _dir, store, mut follower) = world(Settings::default()).await;
    for name in ["a", "b", "gone", "odd"] {
        standin.write(&format!("/{name}"), name);
    }
    standin.decorate("/odd", entry);
    rest(&mut follower).await;
    standin.reset_cursors();
    standin.delete("/gone");
    rest(&mut follower).await;
    assert!(cached(&store, &follower).await.contains_key("/b"));
    let sought = Sought { listing: follower.lane.id, key: "/gone".to_owned(), sure: true };
    let gone = store.remote_views_blocking(&[Some(sought)]).unwrap().remove(0);
    (store, gone)
}

#[tokio::test]
async fn e6_what_is_not_mounted_leaves_no_deletion_open() {
    let (store, gone) = relisted(json!({"path_lower": null, "path_display": null})).await;
    assert_eq!((gone, store.remote_odd_count().await.unwrap()), (Remote::Absent, 0));
}

#[tokio::test]
async fn h6_deletions_that_nobody_knows_of_are_a_problem() {
    let (store, gone) = relisted(json!({".tag": "shortcut", "path_lower": null, "path_display": null})).await;
    let odd = store.remote_odd(0, 10).await.unwrap();
    assert_eq!((gone, odd.len()), (Remote::Unlisted, 1), "{odd:?}");
    assert!(odd[0].2.contains("not deleted here"), "{odd:?}");
}
