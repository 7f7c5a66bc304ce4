//! Entries of a listing that were refused, and what nobody can say because of them.
//!
//! An entry that cannot be read is no deletion: what may be at its path is neither there nor absent. Where nobody knows the path of what was refused while
//! a tree was being filled, nothing that the tree lacks is surely absent, until Dropbox lists again. A deletion that names its path is believed all the
//! same.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use crate::model::UnixMs;
use crate::model::key::key_of;
use crate::model::listing::{Entry, Page, What};
use crate::store::Store;
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;
use crate::store::remote;
use crate::store::remote::ListingId;
use crate::store::remote::key;

/// Reasons that are kept of entries that were refused, at most.
const ODD: i64 = 10_000;

/// What stands for the mark among the refused entries.
const NOWHERE: &str = "(an entry without a usable path)";
const NOWHERE_WHY: &str = "Dropbox lists something and does not say at which path, so that anything it does not list may be there all the same: what is missing \
                           there is not deleted here until Dropbox has listed everything again; what you know to be gone you can delete here";

/// Everything above a path, the nearest first, and not the root.
fn above(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(key), |at| Some(at.rsplit_once('/')?.0)).skip(1).filter(|at| !at.is_empty())
}

impl Store {
    /// How many entries were refused at or below a remote path, or nobody knows where.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn refused_under(&self, id: ListingId, place: String) -> Result<u64, StoreError> {
        self.read(move |conn| {
            if !any(conn, id)? {
                return Ok(0);
            }
            let listing = remote::get(conn, id)?;
            let key = listing.seen().map_or_else(|| Ok(key_of(&place)), |tree| key::key(conn, tree.id, &place))?;
            let mut count = conn.prepare_cached(
                "SELECT count(*) FROM remote_odd
                  WHERE listing = ?1 AND (text = ?2 OR text >= ?3 AND text < ?4 OR substr(text, 1, 1) <> '/')",
            )?;
            Ok(count.query_row(params![id.0, key, format!("{key}/"), format!("{key}0")], |r| row::count(r, 0))?)
        })
        .await
    }
}

/// Nothing of this listing was refused: it is listed from its beginning, or is no more.
pub(crate) fn clear(conn: &Connection, id: ListingId) -> Step<()> {
    conn.execute("DELETE FROM remote_odd WHERE listing = ?1", [id.0])?;
    conn.execute("DELETE FROM remote_deleted WHERE listing = ?1", [id.0])?;
    conn.execute("UPDATE remote_listing SET unplaced = 0 WHERE id = ?1", [id.0])?;
    Ok(())
}

/// Whether anything was refused.
pub(crate) fn any(conn: &Connection, id: ListingId) -> Step<bool> {
    let odd = conn.prepare_cached("SELECT 1 FROM remote_odd WHERE listing = ?1")?.exists([id.0])?;
    Ok(odd || is_unplaced(conn, id)?)
}

/// Whether something was refused while the tree was being filled, at a path that the page did not say.
fn is_unplaced(conn: &Connection, id: ListingId) -> Step<bool> {
    Ok(conn.prepare_cached("SELECT 1 FROM remote_listing WHERE id = ?1 AND unplaced = 1")?.exists([id.0])?)
}

/// Whether an entry that was refused may be of this path, of one above it or of one below it, so that the path may be there although the tree lacks it.
pub(crate) fn leaves_open(conn: &Connection, id: ListingId, key: &str) -> Step<bool> {
    if !any(conn, id)? {
        return Ok(false);
    }
    let at_or_below = conn
        .prepare_cached("SELECT 1 FROM remote_odd WHERE listing = ?1 AND (text = ?2 OR text >= ?3 AND text < ?4)")?
        .exists(params![id.0, key, format!("{key}/"), format!("{key}0")])?;
    if at_or_below {
        return Ok(true);
    }
    let mut deleted = conn.prepare_cached("SELECT 1 FROM remote_deleted WHERE listing = ?1 AND key = ?2")?;
    for at in std::iter::once(key).chain(above(key)) {
        if deleted.exists(params![id.0, at])? {
            return Ok(false);
        }
    }
    let mut odd = conn.prepare_cached("SELECT 1 FROM remote_odd WHERE listing = ?1 AND text = ?2")?;
    for at in above(key) {
        if odd.exists(params![id.0, at])? {
            return Ok(true);
        }
    }
    is_unplaced(conn, id)
}

/// Dropbox has said itself that this path is gone, with everything below it.
pub(crate) fn gone(conn: &Connection, id: ListingId, key: &str) -> Step<()> {
    // One mark for all of it.
    conn.prepare_cached("DELETE FROM remote_deleted WHERE listing = ?1 AND key >= ?2 AND key < ?3")?
        .execute(params![id.0, format!("{key}/"), format!("{key}0")])?;
    // Of a listing that was dropped meanwhile nothing is noted.
    conn.prepare_cached("INSERT OR IGNORE INTO remote_deleted SELECT id, ?2 FROM remote_listing WHERE id = ?1")?
        .execute(params![id.0, key])?;
    Ok(())
}

/// Notes what a page refuses, and forgets what it says otherwise by now. `filling`: its tree is not complete yet.
pub(crate) fn note(conn: &Connection, id: ListingId, page: &Page, filling: bool, now: UnixMs) -> Step<()> {
    let mut forgotten = 0;
    let refused: HashMap<&str, usize> = page.refused.iter().map(|one| (one.text.as_str(), one.after)).collect();
    if !page.entries.is_empty() && conn.prepare_cached("SELECT 1 FROM remote_odd WHERE listing = ?1")?.exists([id.0])? {
        let mut forget = conn.prepare_cached("DELETE FROM remote_odd WHERE listing = ?1 AND text = ?2")?;
        let mut below =
            conn.prepare_cached("DELETE FROM remote_odd WHERE listing = ?1 AND text >= ?2 AND text < ?3")?;
        for (at, entry) in page.entries.iter().enumerate() {
            let key = entry.key.as_str();
            if !matches!(entry.what, What::Folder(_)) {
                forgotten += below.execute(params![id.0, format!("{key}/"), format!("{key}0")])?;
            }
            // What is refused after it was said is refused.
            if refused.get(key).is_none_or(|after| *after <= at) {
                forgotten += forget.execute(params![id.0, key])?;
            }
        }
    }
    let mut insert = conn.prepare_cached(
        "INSERT INTO remote_odd (listing, text, code, why, since)
         SELECT ?1, ?2, ?3, ?4, ?5 WHERE (SELECT count(*) FROM remote_odd) < ?6
         ON CONFLICT (listing, text) DO UPDATE SET code = excluded.code, why = excluded.why",
    )?;
    let mut lost = page.unplaced;
    for one in &page.refused {
        if page.entries.iter().skip(one.after).any(|entry| takes_back(entry, &one.text)) {
            continue;
        }
        let noted = insert.execute(params![id.0, one.text, one.code, one.why, now, ODD])? > 0;
        // There are too many to note each. What has an entry of its own needs no note.
        lost |= !noted && !page.entries.iter().any(|entry| entry.key.as_str() == one.text);
    }
    if filling && lost {
        conn.execute("UPDATE remote_listing SET unplaced = 1 WHERE id = ?1", [id.0])?;
        // A refused entry that came without its key stands for the mark.
        if page.refused.iter().all(|one| one.placed) {
            tell(conn, id, now)?;
        }
    } else if forgotten > 0 && is_unplaced(conn, id)? {
        // It may have been the one that stood for the mark, which stays: as long as anything is left to say, something is said.
        if !conn.prepare_cached("SELECT 1 FROM remote_odd WHERE listing = ?1")?.exists([id.0])? {
            tell(conn, id, now)?;
        }
    }
    Ok(())
}

/// Makes the mark a problem of its own, unless something else without a path is one.
fn tell(conn: &Connection, id: ListingId, now: UnixMs) -> Step<()> {
    conn.execute(
        "INSERT INTO remote_odd (listing, text, code, why, since) SELECT ?1, ?2, 'protocol', ?3, ?4
          WHERE NOT EXISTS (SELECT 1 FROM remote_odd WHERE listing = ?1 AND substr(text, 1, 1) <> '/')",
        params![id.0, NOWHERE, NOWHERE_WHY, now],
    )?;
    Ok(())
}

/// Whether an entry that came later says what is at the refused path, or that nothing is.
fn takes_back(entry: &Entry, text: &str) -> bool {
    let rest = text.strip_prefix(entry.key.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') && !matches!(entry.what, What::Folder(_)))
}
