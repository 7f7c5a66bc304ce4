//! Looking into the remote cache: one path, or a walk in the order of keys.

use std::collections::VecDeque;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::model::listing::{Kind, Listed, Marks};
use crate::model::{ContentHash, Remote};
use crate::store::Store;
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;
use crate::store::remote;
use crate::store::remote::{Listing, ListingId, TreeId};
use crate::store::remote::{key, refused};

/// A path to look up: the key that Dropbox most likely gives it, and whether that guess is sure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// Which listing covers it.
    pub listing: ListingId,
    /// Its likely key.
    pub key: String,
    /// Whether nobody can fold the path otherwise.
    pub sure: bool,
}

/// Where a walk goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WalkAt {
    /// The folder that is listed, by key.
    pub root: String,
    /// Whether what lies below its folders is listed, too.
    pub recursive: bool,
    /// The key of the last entry that was given; empty at the beginning.
    pub after: String,
}

impl Store {
    /// The remote views of these paths, in one look. What is not found is [`Remote::Absent`] only if the listing is complete, no run of
    /// pages is under way, the key is sure, and no entry was refused that may be of this path; else it is [`Remote::Unlisted`]. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn remote_views_blocking(&self, sought: &[Option<Sought>]) -> Result<Vec<Remote>, StoreError> {
        self.read_blocking(|conn| {
            sought.iter().map(|one| one.as_ref().map_or(Ok(Remote::Unlisted), |one| view(conn, one))).collect()
        })
    }

    /// Whether what a listing does not show is surely not in Dropbox, as of its last page. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn knows_absence_blocking(&self, id: ListingId) -> Result<bool, StoreError> {
        self.read_blocking(|conn| Ok(knows_absence(&remote::get(conn, id)?)))
    }

    /// Whether a listing may leave out what is at a key because of what it was asked for. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn may_hide_blocking(&self, id: ListingId, key: &str) -> Result<bool, StoreError> {
        self.read_blocking(|conn| {
            let listing = remote::get(conn, id)?;
            listing.seen().map_or(Ok(listing.hides), |tree| may_hide(conn, &listing, tree.id, key))
        })
    }

    /// The next entries of a walk, at most `limit`; fewer only at its end.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn remote_entries(&self, id: ListingId, at: WalkAt, limit: usize) -> Result<Vec<Listed>, StoreError> {
        self.read(move |conn| {
            let listing = remote::get(conn, id)?;
            listing.seen().map_or(Ok(Vec::new()), |tree| walk(conn, tree.id, &at, limit))
        })
        .await
    }

    /// As [`Store::remote_entries`]. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn remote_entries_blocking(&self, id: ListingId, at: &WalkAt, limit: usize) -> Result<Vec<Listed>, StoreError> {
        self.read_blocking(|conn| {
            let listing = remote::get(conn, id)?;
            listing.seen().map_or(Ok(Vec::new()), |tree| walk(conn, tree.id, at, limit))
        })
    }

    /// The marks of the entry with this key; if there is none, the read-only mark of the nearest folder above it. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn remote_marks_blocking(&self, id: ListingId, key: String) -> Result<Marks, StoreError> {
        self.read_blocking(move |conn| {
            let listing = remote::get(conn, id)?;
            let Some(tree) = listing.seen() else { return Ok(Marks::default()) };
            let mut select = conn.prepare_cached(
                "SELECT marks FROM remote_entry
                  WHERE dir = (SELECT id FROM remote_dir WHERE tree = ?1 AND path = ?2) AND name = ?3",
            )?;
            let mut at = key.as_str();
            while let Some((parent, name)) = at.rsplit_once('/') {
                if let Some(bits) = select.query_row(params![tree.id.0, parent, name], |r| r.get(0)).optional()? {
                    let marks = Marks::of_bits(bits);
                    let inherited = Marks { read_only: marks.read_only, ..Marks::default() };
                    return Ok(if at.len() == key.len() { marks } else { inherited });
                }
                at = parent;
            }
            Ok(Marks::default())
        })
    }
}

impl Store {
    /// How people write the path with this key, if something is there. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn remote_shown_blocking(&self, id: ListingId, key: String) -> Result<Option<String>, StoreError> {
        self.read_blocking(move |conn| {
            let listing = remote::get(conn, id)?;
            let Some(tree) = listing.seen() else { return Ok(None) };
            Ok(one(conn, tree.id, &key)?.map(|entry| entry.path))
        })
    }
}

/// Entries of the live tree that are looked at for a sample of those that the next tree has not.
const LOOKED_AT: usize = 20_000;

impl Store {
    /// Some of the entries that a complete next tree has lost, as people write them.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn lost_entries(&self, id: ListingId, limit: usize) -> Result<Vec<String>, StoreError> {
        self.read(move |conn| {
            let listing = remote::get(conn, id)?;
            let (Some(live), Some(next)) = (&listing.live, &listing.next) else { return Ok(Vec::new()) };
            let root = key::key(conn, live.id, &listing.scope)?;
            let mut at = WalkAt { root, recursive: true, after: String::new() };
            let (mut lost, mut seen) = (Vec::new(), 0);
            loop {
                let page = walk(conn, live.id, &at, 1000)?;
                seen += page.len();
                let Some(last) = page.last() else { return Ok(lost) };
                at.after.clone_from(&last.path_lower);
                for entry in page {
                    if look(conn, next.id, &entry.path_lower)?.is_none() {
                        lost.push(entry.path);
                        if lost.len() == limit {
                            return Ok(lost);
                        }
                    }
                }
                if seen >= LOOKED_AT {
                    return Ok(lost);
                }
            }
        })
        .await
    }
}

/// The remote view of one path.
pub(crate) fn view(conn: &Connection, sought: &Sought) -> Step<Remote> {
    let listing = remote::get(conn, sought.listing)?;
    let Some(tree) = listing.seen() else { return Ok(Remote::Unlisted) };
    Ok(look(conn, tree.id, &sought.key)?.unwrap_or(
        if sought.sure
            && knows_absence(&listing)
            && !may_hide(conn, &listing, tree.id, &sought.key)?
            && !refused::leaves_open(conn, listing.id, &sought.key)?
        {
            Remote::Absent
        } else {
            Remote::Unlisted
        },
    ))
}

/// Whether a listing that leaves out what lies in mounted folders may leave out what is at a key. Of a folder it shows what is in it, or nothing: what
/// would lie beside something that it shows is not there.
pub(crate) fn may_hide(conn: &Connection, listing: &Listing, tree: TreeId, key: &str) -> Step<bool> {
    let (true, Some((parent, _))) = (listing.hides, key.rsplit_once('/')) else { return Ok(false) };
    let shows = conn
        .prepare_cached("SELECT 1 FROM remote_dir WHERE tree = ?1 AND path = ?2 AND entries > 0")?
        .exists(params![tree.0, parent])?;
    Ok(!shows)
}

/// Whether what is not in the live tree is surely not in Dropbox, as of the last page.
pub(crate) fn knows_absence(listing: &Listing) -> bool {
    listing.live.as_ref().is_some_and(|live| live.complete && !live.running)
        && listing.next.is_none()
        && listing.live.as_ref().is_some_and(|live| live.cursor.is_some() || live.entries == 0)
}

fn look(conn: &Connection, tree: TreeId, key: &str) -> Step<Option<Remote>> {
    let Some((parent, name)) = key.rsplit_once('/') else { return Ok(Some(Remote::Folder)) };
    let mut select = conn.prepare_cached(
        "SELECT folder, rev, size, hash, id FROM remote_entry
          WHERE dir = (SELECT id FROM remote_dir WHERE tree = ?1 AND path = ?2) AND name = ?3",
    )?;
    let found = select.query_row(params![tree.0, parent, name], |r| {
        if r.get(0)? {
            return Ok(Remote::Folder);
        }
        Ok(Remote::File {
            content_hash: r.get::<_, Option<[u8; 32]>>(3)?.map(ContentHash),
            rev: r.get::<_, Option<String>>(1)?.unwrap_or_default(),
            size: row::uint(r.get::<_, Option<i64>>(2)?.unwrap_or_default()),
            id: format!("id:{}", r.get::<_, String>(4)?),
        })
    });
    Ok(found.optional()?)
}

/// How people write a folder: each component from its own entry.
pub(crate) fn shown(conn: &Connection, tree: TreeId, key: &str) -> Step<String> {
    let mut select = conn.prepare_cached(
        "SELECT display FROM remote_entry
          WHERE dir = (SELECT id FROM remote_dir WHERE tree = ?1 AND path = ?2) AND name = ?3",
    )?;
    let (mut shown, mut parent) = (String::new(), 0);
    for name in key.split('/').skip(1) {
        let path = key.get(..parent).unwrap_or_default();
        let display: Option<Option<String>> = select.query_row(params![tree.0, path, name], |r| r.get(0)).optional()?;
        shown.push('/');
        shown.push_str(display.flatten().as_deref().unwrap_or(name));
        parent += name.len() + 1;
    }
    Ok(shown)
}

const COLUMNS: &str =
    "name, display, folder, marks, id, rev, size, hash, client_modified, server_modified, members, more";

fn listed(r: &Row<'_>, parent: &str, shown: &str) -> rusqlite::Result<(Listed, Kind)> {
    let name: String = r.get(0)?;
    let display: Option<String> = r.get(1)?;
    let folder: bool = r.get(2)?;
    let marks = Marks::of_bits(r.get(3)?);
    let id: String = r.get(4)?;
    let entry = Listed {
        path: format!("{shown}/{}", display.as_deref().unwrap_or(&name)),
        path_lower: format!("{parent}/{name}"),
        kind: if folder { "folder" } else { "file" }.to_owned(),
        id: if id.is_empty() { id } else { format!("id:{id}") },
        rev: r.get(5)?,
        size: r.get::<_, Option<i64>>(6)?.map(row::uint),
        content_hash: r.get::<_, Option<[u8; 32]>>(7)?.map(ContentHash),
        client_modified: r.get(8)?,
        server_modified: r.get(9)?,
        read_only: marks.read_only,
        shared: marks.shared,
        is_downloadable: !marks.not_downloadable,
        symlink: marks.symlink,
        has_explicit_shared_members: r.get(10)?,
        more: r.get(11)?,
    };
    Ok((entry, if folder { Kind::Folder } else { Kind::File }))
}

pub(crate) fn one(conn: &Connection, tree: TreeId, key: &str) -> Step<Option<Listed>> {
    let Some((parent, name)) = key.rsplit_once('/') else { return Ok(None) };
    let above = shown(conn, tree, parent)?;
    let mut select = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM remote_entry
          WHERE dir = (SELECT id FROM remote_dir WHERE tree = ?1 AND path = ?2) AND name = ?3"
    ))?;
    Ok(select.query_row(params![tree.0, parent, name], |r| listed(r, parent, &above)).optional()?.map(|(e, _)| e))
}

/// One folder on the way down, with the children that were read ahead.
struct Level {
    dir: i64,
    key: String,
    shown: String,
    last: String,
    ahead: VecDeque<(Listed, Kind)>,
    done: bool,
}

/// Children read at once.
const AHEAD: i64 = 256;

pub(crate) fn walk(conn: &Connection, tree: TreeId, at: &WalkAt, limit: usize) -> Step<Vec<Listed>> {
    let mut levels = Vec::new();
    let inside = at.after.strip_prefix(&at.root).filter(|rest| rest.starts_with('/'));
    // The way back to the last entry: each of its parents goes on after the component that leads there.
    let mut key = at.root.clone();
    let mut names = inside.map(|rest| rest.split('/').skip(1)).into_iter().flatten().peekable();
    loop {
        let last = names.next().unwrap_or_default().to_owned();
        let Some(level) = level(conn, tree, &key, last.clone())? else { break };
        levels.push(level);
        if last.is_empty() || !at.recursive {
            break;
        }
        key = format!("{key}/{last}");
    }
    let mut found = Vec::new();
    while let Some(top) = levels.last_mut() {
        if found.len() >= limit {
            break;
        }
        if top.ahead.is_empty() && !top.done {
            read_ahead(conn, top)?;
        }
        let Some((entry, kind)) = top.ahead.pop_front() else {
            levels.pop();
            continue;
        };
        if kind == Kind::Folder && at.recursive {
            let below = level_shown(conn, tree, &entry.path_lower, &entry.path)?;
            levels.extend(below);
        }
        found.push(entry);
    }
    Ok(found)
}

fn level(conn: &Connection, tree: TreeId, key: &str, last: String) -> Step<Option<Level>> {
    let shown = shown(conn, tree, key)?;
    Ok(level_shown(conn, tree, key, &shown)?.map(|level| Level { last, ..level }))
}

fn level_shown(conn: &Connection, tree: TreeId, key: &str, shown: &str) -> Step<Option<Level>> {
    let mut select = conn.prepare_cached("SELECT id FROM remote_dir WHERE tree = ?1 AND path = ?2")?;
    let id: Option<i64> = select.query_row(params![tree.0, key], |r| r.get(0)).optional()?;
    Ok(id.map(|dir| Level {
        dir,
        key: key.to_owned(),
        shown: shown.to_owned(),
        last: String::new(),
        ahead: VecDeque::new(),
        done: false,
    }))
}

fn read_ahead(conn: &Connection, level: &mut Level) -> Step<()> {
    let mut select = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM remote_entry WHERE dir = ?1 AND name > ?2 ORDER BY name LIMIT ?3"
    ))?;
    let rows = select.query_map(params![level.dir, level.last, AHEAD], |r| listed(r, &level.key, &level.shown))?;
    for one in rows {
        level.ahead.push_back(one?);
    }
    level.done = level.ahead.len() < usize::try_from(AHEAD).unwrap_or(usize::MAX);
    if let Some((last, _)) = level.ahead.back() {
        level.last = last.path_lower.rsplit_once('/').map(|(_, name)| name.to_owned()).unwrap_or_default();
    }
    Ok(())
}
