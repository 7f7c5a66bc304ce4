//! Content that is here already: what was moved in Dropbox from one folder of the account to another comes from this disk, and not over the wire.
//!
//! Where it is, base says by Dropbox's id, or for larger files by the content. The old folder's listing may have been faster than the new one's: then the
//! file lies in that folder's trash, and where, is remembered here. Whatever is found, only its hash says that it is the content.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Mutex;

use crate::engine::account::Account;
use crate::env::lock;
use crate::local::Incoming;
use crate::model::{Base, ContentHash, FolderId, RelPath, Relocation};
use crate::plan::reconcile::Wanted;
use crate::store::StoreError;

/// So many files in the trash are remembered.
const REMEMBERED: usize = 20_000;

/// What one account has moved to the trash of late, by Dropbox's id.
#[derive(Debug, Default)]
pub(crate) struct AtHand(Mutex<HashMap<String, (FolderId, RelPath, ContentHash)>>);

impl AtHand {
    /// This file of Dropbox's, with this content, lies here now, below the folder's root.
    pub(crate) fn trashed(&self, id: &str, content: ContentHash, folder: FolderId, place: &str) {
        let Ok(place) = RelPath::parse(place) else { return };
        let mut known = lock(&self.0);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(id.to_owned(), (folder, place, content));
    }

    fn place(&self, id: &str, content: ContentHash) -> Option<(FolderId, RelPath)> {
        let (folder, place, _) = lock(&self.0).get(id).filter(|(.., holds)| *holds == content).cloned()?;
        Some((folder, place))
    }
}

/// Fills a download from a file that holds the same content here. Gives that file's time of writing, in seconds since 1970; `None`: there is none, and the
/// content has to come. Blocks.
///
/// # Errors
/// When the database cannot be read.
pub(crate) fn fill(
    account: &Account,
    folder: FolderId,
    path: &RelPath,
    wanted: &Wanted,
    incoming: &Incoming,
) -> Result<Option<i64>, StoreError> {
    // What has come over the wire already is not put at stake: what does not fit begins again.
    let Some(hash) = wanted.content_hash.filter(|_| wanted.size > 0 && incoming.is_empty()) else { return Ok(None) };
    let mut known: Vec<(FolderId, RelPath, Base)> = Vec::new();
    if let Some((of, other)) = account.store.sharer_blocking(folder, path, &wanted.id)?
        && let Some(base) = account.store.base_blocking(of, &other)?
    {
        known.push((of, other, base));
    }
    if wanted.size >= Relocation::SMALLEST_ALIKE {
        known.extend(account.store.same_content_blocking(folder, wanted.size, hash)?);
    }
    let as_agreed = known.into_iter().filter(|(.., base)| base.content_hash == hash).filter_map(|(of, other, base)| {
        let (file, stat) = account.folder(of)?.root.pin().open_file(&other).ok()?;
        (stat == base.stat).then_some((file, stat))
    });
    let trashed = account.at_hand.place(&wanted.id, hash).and_then(|(of, place)| {
        let found = account.folder(of)?.root.pin().open_file(&place).ok()?;
        (found.1.size == wanted.size).then_some(found)
    });
    for (file, stat) in as_agreed.chain(trashed) {
        if is_filled(&file, wanted, incoming) {
            tracing::debug!(%path, "its content is here already: it is not downloaded");
            return Ok(Some(stat.mtime_ns.div_euclid(1_000_000_000)));
        }
    }
    Ok(None)
}

/// What fails here only means that the content has to come.
fn is_filled(file: &File, wanted: &Wanted, incoming: &Incoming) -> bool {
    let Some(hash) = wanted.content_hash else { return false };
    match incoming.fill(file, &hash) {
        Ok(filled) => filled,
        Err(failure) => {
            tracing::debug!(reason = %failure.text, "what is here already could not be copied: it is downloaded");
            false
        }
    }
}
