//! Whether Dropbox has nothing at a place whose key nobody can be sure of: letters have a case that a server may fold in its own way.

use super::{Lane, WALK};
use crate::model::{Remote, RemotePath};
use crate::plan::listing::{key_of, may_be_one};
use crate::store::{Sought, Store, StoreError, WalkAt};

/// Goes down from the listed folder by the likely keys. The first name that is not found under its own is surely absent, with all below it, if nothing
/// beside it could be that name in any folding. Blocks.
pub(super) fn is_absent(store: &Store, lane: &Lane, place: &RemotePath) -> Result<bool, StoreError> {
    if !store.knows_absence_blocking(lane.id)? {
        return Ok(false);
    }
    let found = |key: &str| {
        let sought = Sought { listing: lane.id, key: key.to_owned(), sure: false };
        Ok::<_, StoreError>(store.remote_views_blocking(&[Some(sought)])?.into_iter().next())
    };
    let names = place.as_str().split('/').skip(lane.scope.as_str().split('/').count());
    let mut at = key_of(lane.scope.as_str());
    // Even the listed folder's own key is a guess.
    if found(&at)? != Some(Remote::Folder) {
        return Ok(false);
    }
    for name in names {
        let key = format!("{at}/{}", key_of(name));
        match found(&key)? {
            Some(Remote::Folder) => at = key,
            Some(Remote::Unlisted) => {
                // Asked again: pages that came meanwhile may have been half of a change.
                return Ok(!has_like(store, lane, &at, name)? && store.knows_absence_blocking(lane.id)?);
            }
            // The file itself; or one above it, which says nothing that its own row will not.
            _ => return Ok(false),
        }
    }
    Ok(false)
}

/// Whether a listed folder has an entry that could be this one.
fn has_like(store: &Store, lane: &Lane, dir: &str, name: &str) -> Result<bool, StoreError> {
    let mut at = WalkAt { root: dir.to_owned(), recursive: false, after: String::new() };
    loop {
        let page = store.remote_entries_blocking(lane.id, &at, WALK)?;
        let last = |path: &str| path.rsplit_once('/').map_or(String::new(), |(_, name)| name.to_owned());
        if page.iter().any(|e| may_be_one(&last(&e.path), name) || may_be_one(&last(&e.path_lower), name)) {
            return Ok(true);
        }
        match page.last() {
            Some(entry) if page.len() == WALK => entry.path_lower.clone_into(&mut at.after),
            _ => return Ok(false),
        }
    }
}
