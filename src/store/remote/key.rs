//! The key of a path, as the listing says it.
//!
//! A path's key is never computed alone: where Dropbox may fold a name otherwise than we would, the entries of its folder are asked, in the letters
//! that people write. Each entry whose key is not our guess for its letters has that guess beside it (`alias`), so that this is a look into an index.

use rusqlite::{Connection, OptionalExtension, params};

use crate::model::key::{is_sure, key_of, other_key_of, same_letters};
use crate::store::Store;
use crate::store::db::error::{Step, StoreError};
use crate::store::remote;
use crate::store::remote::{ListingId, TreeId};

impl Store {
    /// The key of a remote path in what readers see of a listing: that of the entry that is there, or the likely one. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn remote_key_blocking(&self, id: ListingId, place: &str) -> Result<String, StoreError> {
        if is_sure(place) {
            return Ok(key_of(place));
        }
        self.read_blocking(|conn| {
            let listing = remote::get(conn, id)?;
            listing.seen().map_or_else(|| Ok(key_of(place)), |tree| key(conn, tree.id, place))
        })
    }

    /// As [`Store::remote_key_blocking`].
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn remote_key(&self, id: ListingId, place: String) -> Result<String, StoreError> {
        if is_sure(&place) {
            return Ok(key_of(&place));
        }
        self.read(move |conn| {
            let listing = remote::get(conn, id)?;
            listing.seen().map_or_else(|| Ok(key_of(&place)), |tree| key(conn, tree.id, &place))
        })
        .await
    }
}

/// The key of a path: each component that may be folded otherwise is looked up in its folder, and guessed where nothing of that name is there.
pub(crate) fn key(conn: &Connection, tree: TreeId, place: &str) -> Step<String> {
    Ok(look(conn, tree, place)?.0)
}

/// As [`key`], with whether every component that could be folded otherwise was found.
pub(crate) fn look(conn: &Connection, tree: TreeId, place: &str) -> Step<(String, bool)> {
    if is_sure(place) {
        return Ok((key_of(place), true));
    }
    let (mut key, mut known) = (String::with_capacity(place.len()), true);
    for name in place.split('/').skip(1) {
        let found = if is_sure(name) {
            Some(key_of(name))
        } else if known {
            named(conn, tree, &key, name)?
        } else {
            None
        };
        known &= found.is_some();
        key.push('/');
        key.push_str(&found.unwrap_or_else(|| key_of(name)));
    }
    Ok((key, known))
}

/// The last component of the key of what people call `name` in a folder: what is written exactly so, or what has the likeliest key.
fn named(conn: &Connection, tree: TreeId, dir: &str, name: &str) -> Step<Option<String>> {
    let mut select = conn.prepare_cached("SELECT id FROM remote_dir WHERE tree = ?1 AND path = ?2")?;
    let dir: Option<i64> = select.query_row(params![tree.0, dir], |r| r.get(0)).optional()?;
    let Some(dir) = dir else { return Ok(None) };
    let guess = key_of(name);
    let other = other_key_of(name);
    let mut select = conn.prepare_cached(
        "SELECT name, display FROM remote_entry WHERE dir = ?1 AND name IN (?2, ?3)
         UNION SELECT name, display FROM remote_entry WHERE dir = ?1 AND alias = ?2",
    )?;
    let rows = select.query_map(params![dir, guess, other.as_ref().unwrap_or(&guess)], |r| {
        Ok((r.get::<_, String>(0)?, r.get::<_, Option<String>>(1)?))
    })?;
    let mut likely: Option<String> = None;
    for row in rows {
        let (key, display) = row?;
        if same_letters(display.as_deref().unwrap_or(&key), name) {
            return Ok(Some(key));
        }
        if likely.is_none() || key == guess {
            likely = Some(key);
        }
    }
    Ok(likely)
}

/// What stands beside an entry whose key is not our guess for its letters.
pub(crate) fn alias(key: &str, name: &str) -> Option<String> {
    Some(key_of(name)).filter(|guess| guess != key)
}
