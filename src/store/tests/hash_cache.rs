//! What files hold: only for the very file, after a meeting was forgotten too, and bounded.

use super::{based, home, stat};
use crate::model::{ContentHash, Settled, Stat};

fn file(ino: u64) -> Stat {
    Stat { ino, mtime_ns: 1_000_000, ctime_ns: 1_000_000, ..stat(7) }
}

#[tokio::test]
async fn only_the_very_file_is_known() {
    let home = home().await;
    let (hash, now) = (ContentHash([9; 32]), 10_000);
    home.store.note_hashes(vec![(file(1), hash)], now).await.unwrap();
    assert_eq!(home.store.known_hash_blocking(&file(1)).unwrap(), Some(hash));
    for other in [
        Stat { ino: 2, ..file(1) },
        Stat { dev: file(1).dev + 1, ..file(1) },
        Stat { size: 8, ..file(1) },
        Stat { mtime_ns: 1, ..file(1) },
        Stat { ctime_ns: 1, ..file(1) },
    ] {
        assert_eq!(home.store.known_hash_blocking(&other).unwrap(), None, "{other:?}");
    }
    // M4: what was written to a moment before it was read may be something else by now.
    let fresh = Stat { ctime_ns: 9_000_000_000, ..file(1) };
    home.store.note_hashes(vec![(fresh, hash)], now).await.unwrap();
    assert_eq!(home.store.known_hash_blocking(&fresh).unwrap(), None);
}

#[tokio::test]
async fn what_was_agreed_on_is_known_after_it_was_forgotten() {
    let home = home().await;
    home.enqueue(&["a"]).await;
    let jobs = home.claim(1).await;
    let base = based(3);
    let done = jobs.into_iter().map(|c| (c.job, Settled::InSync(Some(base.clone())))).collect();
    home.store.settle(done, 2).await.unwrap();
    assert_eq!(home.store.known_hash_blocking(&base.stat).unwrap(), None, "base itself says it");
    home.store.forget(home.folder).await.unwrap();
    assert_eq!(home.store.known_hash_blocking(&base.stat).unwrap(), Some(base.content_hash));
}

#[tokio::test]
async fn old_rows_go_and_the_oldest_of_too_many() {
    let home = home().await;
    let hash = ContentHash([1; 32]);
    for i in 0..8_u8 {
        home.store.note_hashes(vec![(file(i.into()), hash)], 10_000 + i64::from(i)).await.unwrap();
    }
    assert_eq!(home.store.prune_hashes(20_000).await.unwrap(), 3);
    let known = |ino| home.store.known_hash_blocking(&file(ino)).unwrap().is_some();
    assert_eq!((known(2), known(3), known(7)), (false, true, true));
    assert_eq!(home.store.prune_hashes(100 * 24 * 3600 * 1000).await.unwrap(), 5);
}
