//! What a comparison would bring down over files that both sides had agreed on, before it is let do so.

use rusqlite::{Connection, params};

use crate::model::listing::Listed;
use crate::model::{ContentHash, FolderId, RelPath, UnixMs};
use crate::store::base::dirs;
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;
use crate::store::remote::compare::{Fate, Look, Position, SLICE, Was};
use crate::store::remote::compared::{Compared, Naming};
use crate::store::remote::key;
use crate::store::remote::view;
use crate::store::remote::view::WalkAt;
use crate::store::remote::{ListingId, TreeId};
use crate::store::{Store, base};

/// One file of base that is another one in Dropbox, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    /// Whose.
    pub folder: FolderId,
    /// Which.
    pub path: RelPath,
    /// What became of it.
    pub fate: Fate,
    /// Dropbox's revision; empty if it is gone.
    pub rev: String,
    /// Dropbox's id of the file that was agreed on.
    pub id: Option<String>,
    /// What that held.
    pub content_hash: ContentHash,
}

impl Store {
    /// Tells `each` of all files of base that the comparison under way is yet to make rows for, in folders that bring things down. Reads in
    /// slices, and holds none of them. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn inbound_blocking(
        &self,
        id: ListingId,
        folders: &[Compared],
        naming: Naming,
        each: &mut dyn FnMut(Inbound),
    ) -> Result<(), StoreError> {
        self.read_blocking(|conn| inbound(conn, id, folders, naming, each))
    }

    /// Tells `each` of all files that may have turned up in these folders with the comparison under way: Dropbox's id, the content, and whether base
    /// knows the file nowhere. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn arrivals_blocking(
        &self,
        id: ListingId,
        folders: &[Compared],
        naming: Naming,
        each: &mut dyn FnMut(&str, Option<&ContentHash>, bool),
    ) -> Result<(), StoreError> {
        self.read_blocking(|conn| arrivals(conn, id, folders, naming, each))
    }

    /// Tells `each` of Dropbox's ids of all files in the account's other listings of which base knows nothing there: they may have turned up there from
    /// these folders. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn arrivals_elsewhere_blocking(
        &self,
        id: ListingId,
        folders: &[Compared],
        each: &mut dyn FnMut(&str),
    ) -> Result<(), StoreError> {
        self.read_blocking(|conn| arrivals_elsewhere(conn, id, folders, each))
    }

    /// How many pages all listings of the account have had: another number says that one of them has gone on.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn pages_of_listings(&self) -> Result<u64, StoreError> {
        self.read(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT coalesce(sum(t.pages), 0) FROM remote_listing l JOIN remote_tree t ON t.id = l.live",
            )?;
            Ok(select.query_row([], |r| row::count(r, 0))?)
        })
        .await
    }

    /// How many files a folder has in base.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn files_in_sync(&self, folder: FolderId) -> Result<u64, StoreError> {
        self.read(move |conn| {
            let mut select = conn.prepare_cached("SELECT files FROM tally WHERE folder = ?1")?;
            Ok(select.query_row([folder.0], |r| row::count(r, 0))?)
        })
        .await
    }

    /// Nothing is agreed on any more at these paths, and they are looked at again: what is on either side is kept.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget_paths(&self, paths: Vec<(FolderId, RelPath)>, now: UnixMs) -> Result<(), StoreError> {
        self.write_rows(paths.len(), move |conn| {
            for (folder, path) in &paths {
                base::put(conn, *folder, path, None, now)?;
                dirs::look(conn, *folder, path, 0, now)?;
            }
            Ok(())
        })
        .await
    }
}

fn inbound(
    conn: &Connection,
    id: ListingId,
    folders: &[Compared],
    naming: Naming,
    each: &mut dyn FnMut(Inbound),
) -> Step<()> {
    let down: Vec<Compared> = folders.iter().filter(|f| f.down).cloned().collect();
    if down.is_empty() {
        return Ok(());
    }
    let Some((look, before)) = Look::new(conn, id, &down, naming)? else { return Ok(()) };
    let mut position = before.as_deref().map(Position::read);
    let mut after = String::new();
    loop {
        let found = match position {
            Some(Position::Base { dir, name }) => {
                let (found, next) = look.base(dir, &name)?;
                position = next;
                found
            }
            // Only directories and what Dropbox alone has are left.
            Some(Position::Dirs { .. } | Position::Listed { .. }) => return Ok(()),
            at => {
                let Some((found, next, done)) = look.touched(at, &after)? else { return Ok(()) };
                position = next;
                if let Some((last, _)) = done.into_iter().next_back() {
                    after = last;
                }
                found
            }
        };
        for found in found {
            if let Some(Was { fate, rev, id, content_hash }) = found.was {
                each(Inbound { folder: found.folder, path: found.path, fate, rev, id, content_hash });
            }
        }
    }
}

/// Of a whole comparison everything that is there may have turned up; else what the pages have touched.
fn arrivals(
    conn: &Connection,
    id: ListingId,
    folders: &[Compared],
    naming: Naming,
    each: &mut dyn FnMut(&str, Option<&ContentHash>, bool),
) -> Step<()> {
    let Some((look, before)) = Look::new(conn, id, folders, naming)? else { return Ok(()) };
    let mut tell = |entry: &Listed| {
        if entry.kind == "file" {
            let known = !base::sharers(conn, FolderId(0), &RelPath::root(), &entry.id)?.is_empty();
            each(&entry.id, entry.content_hash.as_ref(), !known);
        }
        Step::Ok(())
    };
    let mut homes = Vec::new();
    for folder in folders.iter().filter(|folder| folder.down) {
        homes.push(look.home(folder)?);
    }
    if before.is_some() {
        for home in homes {
            let mut at = WalkAt { root: home, recursive: true, after: String::new() };
            loop {
                let entries = view::walk(conn, look.tree, &at, SLICE)?;
                entries.iter().try_for_each(&mut tell)?;
                match entries.last() {
                    Some(last) if entries.len() == SLICE => last.path_lower.clone_into(&mut at.after),
                    _ => break,
                }
            }
        }
        return Ok(());
    }
    let inside =
        |key: &str| homes.iter().any(|home| key.strip_prefix(home.as_str()).is_some_and(|rest| rest.starts_with('/')));
    let mut select = conn.prepare_cached("SELECT key FROM remote_touched WHERE listing = ?1")?;
    let keys = select.query_map(params![id.0], |r| r.get::<_, String>(0))?;
    for key in keys {
        let key = key?;
        if inside(&key)
            && let Some(entry) = view::one(conn, look.tree, &key)?
        {
            tell(&entry)?;
        }
    }
    Ok(())
}

/// What another listing shows, and base knows there under this id, did not turn up: that listing only lags behind. Nor did what lies where nothing comes
/// down from: what is moved to a folder that only sends, or to none, goes here, and comes nowhere.
fn arrivals_elsewhere(conn: &Connection, id: ListingId, folders: &[Compared], each: &mut dyn FnMut(&str)) -> Step<()> {
    let is_mine = |folder: i64| folders.iter().any(|mine| mine.folder.0 == folder);
    let mut select = conn.prepare_cached("SELECT id, remote FROM folder WHERE mode IN ('two-way', 'download')")?;
    let down: Vec<(i64, String)> = select.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<Result<_, _>>()?;
    let mut select = conn.prepare_cached(
        "SELECT t.id FROM remote_listing l JOIN remote_tree t ON t.id = l.live AND t.complete = 1 WHERE l.id <> ?1",
    )?;
    let trees: Vec<TreeId> = select.query_map([id.0], |r| r.get(0).map(TreeId))?.collect::<Result<_, _>>()?;
    for tree in trees {
        let mut homes = Vec::new();
        for (_, remote) in down.iter().filter(|(folder, _)| !is_mine(*folder)) {
            homes.push(key::key(conn, tree, remote)?);
        }
        let mut select = conn.prepare_cached(
            "SELECT 'id:' || e.id, d.path FROM remote_dir d JOIN remote_entry e ON e.dir = d.id WHERE d.tree = ?1 AND e.folder = 0",
        )?;
        let mut entries = select.query([tree.0])?;
        while let Some(row) = entries.next()? {
            let (id, dir): (String, String) = (row.get(0)?, row.get(1)?);
            let comes_down = homes.iter().any(|home| {
                dir.strip_prefix(home.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
            if comes_down
                && base::sharers(conn, FolderId(0), &RelPath::root(), &id)?.iter().all(|(of, _)| is_mine(of.0))
            {
                each(&id);
            }
        }
    }
    Ok(())
}
