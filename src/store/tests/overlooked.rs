use super::*;
use crate::model::{Outcome, Settled};
use crate::store::KnownAt;

async fn two_way() -> Home {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("a.db")).unwrap();
    let folder = store.folder("/l", "/r", Mode::TwoWay).await.unwrap().id;
    Home { dir, store, folder }
}

/// C2: directories that a file brings into base get rows of their own: they may have gone while it was on its way.
#[tokio::test]
async fn c2_directories_that_come_into_base_with_a_file_are_looked_at() {
    let home = two_way().await;
    home.synced(&["d/sub/x"]).await;
    assert_eq!(home.rows(), ["d 1 due 1 -", "d/sub 1 due 1 -"]);
    home.counts_agree();
}

/// C2: a file's end does not take the directory out of base that stands in its place by now.
#[tokio::test]
async fn c2_a_file_that_went_leaves_the_directory_in_its_place_agreed_on() {
    let home = two_way().await;
    home.synced(&["p"]).await;
    let batch = home.batch(&["p"]).await;
    home.synced(&["p/inside"]).await;
    let gone = batch.changes.iter().map(|c| (c.id, Outcome::Settled(None))).collect();
    home.store.settle_batch(batch.id, gone, 9).await.unwrap();
    assert_eq!(home.store.base(home.folder, &rel("p")).await, Ok(None));
    assert!(home.store.agreed_dir_blocking(home.folder, &rel("p")).unwrap());
}

/// C2: the look at rest sees every path that is known, page by page, and passes over those of which somebody knows.
#[tokio::test]
async fn c2_every_known_path_is_seen_at_rest() {
    let home = two_way().await;
    let files = ["a", "d/1", "d/2", "d/e/3", "z"];
    home.synced(&files).await;
    let dirs = home.claim(9).await.into_iter().map(|c| (c.job, Settled::Nothing)).collect();
    home.store.settle(dirs, 9).await.unwrap();
    let (mut seen, mut at) = (Vec::new(), Some(KnownAt::first()));
    while let Some(from) = at {
        let (page, next) = home.store.known_page_blocking(home.folder, &from, 2).unwrap();
        seen.extend(page);
        at = next;
    }
    let mut expected: Vec<RelPath> = files.iter().chain(&["d", "d/e"]).map(|path| rel(path)).collect();
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
    let mark = home.store.work_mark_blocking().unwrap();
    home.enqueue(&["d/1"]).await;
    assert_ne!(home.store.work_mark_blocking().unwrap(), mark);
    let silent = home.store.without_row_blocking(home.folder, vec![rel("a"), rel("d/1"), rel("d/2")]).unwrap();
    assert_eq!(silent, [rel("a"), rel("d/2")]);
}
