//! What files hold, without reading them where that is known already.

use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::folder::Folder;
use crate::env::lock;
use crate::env::now_ms;
use crate::local::{self, Root};
use crate::model::{ContentHash, ContentHasher, Failure, RelPath, Stat};
use crate::store::StoreError;

/// The hash of the file with exactly this stat, if it was read before.
///
/// # Errors
/// When the database cannot be read.
pub(crate) fn known(account: &Account, stat: &Stat) -> Result<Option<ContentHash>, StoreError> {
    let fresh = lock(&account.upward.hashed).iter().find(|(seen, _)| seen == stat).map(|(_, hash)| *hash);
    fresh.map_or_else(|| account.store.known_hash_blocking(stat), |hash| Ok(Some(hash)))
}

/// The content hash of a file that is as `stat` says, before and after.
///
/// # Errors
/// As reading it.
pub(crate) fn hash(account: &Account, root: &Root, path: &RelPath, stat: &Stat) -> Result<ContentHash, Failure> {
    // Where the database does not say, the file does.
    if let Ok(Some(hash)) = known(account, stat) {
        return Ok(hash);
    }
    let (blocks, now) = local::hash_file(root, path, None)?;
    if now != *stat {
        return Err(Failure::look("busy", "the file changed since it was looked at: it is looked at again"));
    }
    Ok(blocks.content_hash())
}

/// The content hash of a file, and how it was then, where the watchdog listens for the folder's beat: it is struck with each piece that is read.
///
/// # Errors
/// As reading it.
pub(crate) fn with_beat(folder: &Folder, root: &Root, path: &RelPath) -> Result<(ContentHash, Stat), Failure> {
    let mut hasher = ContentHasher::new();
    let stat = local::read_through(root, path, None, &mut |bytes| {
        folder.beat.strike();
        hasher.update(bytes);
    })?;
    Ok((hasher.finish(), stat))
}

/// It was read, and base will not say what it holds: that is remembered.
pub(crate) fn note(account: &Account, stat: Stat, hash: ContentHash) {
    lock(&account.upward.hashed).push((stat, hash));
}

/// Writes down what was noted since.
pub(crate) async fn keep(account: &Account) -> Result<(), Fatal> {
    let read = std::mem::take(&mut *lock(&account.upward.hashed));
    if !read.is_empty() {
        account.store.note_hashes(read, now_ms()).await?;
    }
    Ok(())
}
