//! Comparing what was listed with base: rows for the queue, only where they differ.
//!
//! A whole comparison (a new tree was adopted, a folder is new or has another mode) reads base first, then, for folders that bring things down,
//! what is listed below them. In between the runs of pages say what they have touched, and only that is compared. Both go in slices of a fixed
//! number of rows, each one read and one short step of the writer, and both go on after a crash where they were.

use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::model::failure::GONE_IN_DROPBOX;
use crate::model::listing::Listed;
use crate::model::{Base, ContentHash, FolderId, RelPath, Remote, UnixMs};
use crate::store::base::{dirs, key_override};
use crate::store::db::error::{Fault, Step, StoreError};
use crate::store::db::row;
use crate::store::remote;
use crate::store::remote::compared::{Compared, Naming};
use crate::store::remote::key;
use crate::store::remote::names::Names;
use crate::store::remote::view;
use crate::store::remote::view::{Sought, WalkAt, view};
use crate::store::remote::{ListingId, TreeId};
use crate::store::{Store, base};

/// Rows looked at in one slice.
pub(crate) const SLICE: usize = if cfg!(test) { 7 } else { 1000 };

/// Where a comparison goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Position {
    /// In base, after this row.
    Base { dir: i64, name: String },
    /// In the agreed directories, after this one.
    Dirs { folder: i64, parent: String, name: String },
    /// In what is listed below this folder (or the next one that brings things down), after this key.
    Listed { folder: i64, after: String },
    /// In base below a path that was touched, after this row.
    Below { path: String, folder: i64, dir: String, name: String },
}

impl Position {
    /// Of the column; what cannot be read begins anew.
    pub(crate) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self::Base { dir: 0, name: String::new() })
    }
}

/// One path that differs.
pub(crate) struct Found {
    pub(crate) folder: FolderId,
    pub(crate) path: RelPath,
    pub(crate) size: u64,
    pub(crate) down: bool,
    /// And every directory at or below it that was agreed on.
    pub(crate) dirs_below: bool,
    /// Of a file of base: what became of it.
    pub(crate) was: Option<Was>,
}

/// A file of base that is another one in Dropbox, or none.
pub(crate) struct Was {
    pub(crate) fate: Fate,
    /// Dropbox's revision; empty if it is gone.
    pub(crate) rev: String,
    /// As base knows it.
    pub(crate) id: Option<String>,
    pub(crate) content_hash: ContentHash,
}

/// What became in Dropbox of a file that both sides had agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing, or a folder, is there.
    Gone,
    /// Another content is there.
    Replaced,
    /// The same content, this one, under another revision.
    Same(ContentHash),
}

/// What one slice of the comparison came to.
#[derive(Debug, Default)]
pub struct Ran {
    /// There was something to compare: there may be more.
    pub more: bool,
    /// What was agreed on, and goes by other letters in Dropbox since the last change there.
    pub respelled: Vec<Respelled>,
}

/// A file or a folder that has another name of the same key in Dropbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respelled {
    /// The folder of the configuration.
    pub folder: FolderId,
    /// Its path here.
    pub path: RelPath,
    /// The last component, as Dropbox shows it.
    pub shown: String,
}

/// What one slice came to.
pub(crate) struct Slice {
    /// `compare_at` as it was read: should it be another by now, it stays.
    before: Option<String>,
    differing: Vec<Found>,
    position: Option<Position>,
    /// Touched paths that are done, with their keys.
    done: Vec<(String, String)>,
    respelled: Vec<Respelled>,
}

impl Store {
    /// One slice of the comparison of base with what the listing says; rows are made for the paths that differ, and for no others. What we
    /// are committing ourselves right now is no difference. Nothing is compared before the listing is
    /// complete, nor in the middle of a run of pages; a comparison that is done twice makes the same rows.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub async fn compare_listing(
        &self,
        id: ListingId,
        folders: Vec<Compared>,
        naming: Naming,
        now: UnixMs,
    ) -> Result<Ran, StoreError> {
        let slice = self.read(move |conn| slice(conn, id, &folders, naming)).await?;
        let Some(mut slice) = slice else { return Ok(Ran::default()) };
        let respelled = std::mem::take(&mut slice.respelled);
        self.write_rows(usize::MAX, move |conn| carry_out(conn, id, &slice, now)).await?;
        Ok(Ran { more: true, respelled })
    }
}

/// Makes the rows, and notes how far the comparison has come: unless it was begun anew since the slice was read.
pub(crate) fn carry_out(conn: &Connection, id: ListingId, slice: &Slice, now: UnixMs) -> Step<()> {
    for found in &slice.differing {
        enqueue(conn, found, now)?;
    }
    // Without a position the comparison would count as ended.
    let position = slice.position.as_ref().map(serde_json::to_string).transpose();
    let position = position.map_err(|error| Fault::Said(format!("how far a comparison has come: {error}")))?;
    conn.prepare_cached("UPDATE remote_listing SET compare_at = ?2 WHERE id = ?1 AND compare_at IS ?3")?
        .execute(params![id.0, position, slice.before])?;
    let mut delete = conn.prepare_cached("DELETE FROM remote_touched WHERE listing = ?1 AND path = ?2")?;
    for (path, _) in &slice.done {
        delete.execute(params![id.0, path])?;
    }
    Ok(())
}

/// How often whole comparisons were asked for since the start. A listing whose last whole comparison is older than that is not in sync, however
/// little waits: base may have lost the rows that say so.
#[derive(Debug, Default)]
pub(crate) struct Comparisons {
    asked: watch::Sender<u64>,
    asking: AtomicU32,
}

/// A step that asks for a whole comparison is under way.
pub(crate) struct Asking<'a>(&'a Comparisons);

impl Comparisons {
    /// Before such a step.
    pub(crate) fn ask(&self) -> Asking<'_> {
        self.asking.fetch_add(1, Ordering::SeqCst);
        Asking(self)
    }
}

impl Drop for Asking<'_> {
    /// The step is on the disk, or was cut off: in both cases one comparison too many does no harm.
    fn drop(&mut self) {
        self.0.asked.send_modify(|asked| *asked += 1);
        self.0.asking.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Store {
    /// How often whole comparisons were asked for since the start; wakes those who make them. `None` while one is being asked for.
    pub fn comparisons_asked(&self) -> Option<u64> {
        let comparisons = &self.inner.comparisons;
        (comparisons.asking.load(Ordering::SeqCst) == 0).then(|| *comparisons.asked.borrow())
    }

    /// Changes whenever a whole comparison is asked for.
    pub fn comparisons(&self) -> watch::Receiver<u64> {
        self.inner.comparisons.asked.subscribe()
    }
}

/// All listings are compared from the beginning: base has lost rows, or a folder wants to know of more.
pub(crate) fn compare_again(conn: &Connection) -> Step<()> {
    conn.prepare_cached("UPDATE remote_listing SET compare_at = '' WHERE live IS NOT NULL")?.execute([])?;
    Ok(())
}

fn enqueue(conn: &Connection, found: &Found, now: UnixMs) -> Step<()> {
    // A folder that we moved gives all its files new revisions: base takes them, whatever the disk holds, without a look at each.
    if let Some(Was { fate: Fate::Same(hash), rev, .. }) = &found.was
        && base::renew(conn, found.folder, &found.path, *hash, rev)?
    {
        return Ok(());
    }
    if found.dirs_below {
        let seen = "ON CONFLICT (folder, path) DO UPDATE SET generation = generation + 1,
            attempts = iif(state = 'wedged', 0, attempts), state = iif(state = 'wedged', 'due', state)";
        dirs::enqueue_gone(conn, found.folder, &found.path, now, now, seen)?;
        if found.path.is_root() || dirs::has(conn, found.folder, &found.path)? {
            return Ok(());
        }
    }
    // What goes up is sized by who sees the disk. What comes down is sized here, and what was given up is looked at again.
    let known = if found.down {
        "generation = generation + 1, size = iif(state = 'staged', size, max(size, excluded.size)),
         seen = iif(state = 'wedged', 2, seen | 2), attempts = iif(state = 'wedged', 0, attempts),
         state = iif(state = 'wedged', 'due', state)"
    } else {
        // What Dropbox had no longer is looked at again: it may be back.
        "generation = generation + 1, state = iif(code IS 'gone_in_dropbox', 'due', state),
         text = iif(code IS 'gone_in_dropbox', NULL, text), code = iif(code IS 'gone_in_dropbox', NULL, code)"
    };
    conn.prepare_cached(&format!(
        "INSERT INTO job (folder, path, generation, state, size, since, due_at, seen) VALUES (?1, ?2, 1, 'due', ?3, ?4, ?4, 2)
         ON CONFLICT (folder, path) DO UPDATE SET {known}"
    ))?
    .execute(params![found.folder.0, found.path.as_str(), row::int(found.size), now])?;
    Ok(())
}

/// Looks at the next slice; `None` if there is nothing to compare, or not yet.
pub(crate) fn slice(conn: &Connection, id: ListingId, folders: &[Compared], naming: Naming) -> Step<Option<Slice>> {
    let Some((look, before)) = Look::new(conn, id, folders, naming)? else { return Ok(None) };
    let mut respelled = Vec::new();
    let (mut differing, position, done) = match before.as_deref().map(Position::read) {
        Some(Position::Base { dir, name }) => {
            let (differing, position) = look.base(dir, &name)?;
            (differing, position, Vec::new())
        }
        Some(Position::Dirs { folder, parent, name }) => {
            let (differing, position) = look.dirs(folder, &parent, &name)?;
            (differing, position, Vec::new())
        }
        Some(Position::Listed { folder, after }) => {
            let (differing, position) = look.listed(folder, after)?;
            (differing, position, Vec::new())
        }
        at => match look.touched(at, "")? {
            Some(touched) => {
                // Only what has changed: two sides that have met under different letters keep them.
                for (_, key) in &touched.2 {
                    respelled.extend(look.respelled(key)?);
                }
                touched
            }
            None if before.is_some() => (Vec::new(), None, Vec::new()),
            None => return Ok(None),
        },
    };
    // A file has another revision, too, and so a row of its own; a folder gets one.
    let rows = respelled.iter().filter(|one| !differing.iter().any(|found| found.path == one.path)).map(|one| Found {
        folder: one.folder,
        path: one.path.clone(),
        size: 0,
        down: true,
        dirs_below: false,
        was: None,
    });
    let rows: Vec<_> = rows.collect();
    differing.extend(rows);
    Ok(Some(Slice { before, differing, position, done, respelled }))
}

/// One look at base and at the live tree.
pub(crate) struct Look<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) id: ListingId,
    pub(crate) tree: TreeId,
    /// Whether what is not in the tree is surely not in Dropbox.
    pub(crate) absence: bool,
    pub(crate) folders: &'a [Compared],
    pub(crate) naming: Naming,
    /// Whether the listing leaves out what lies in mounted folders.
    hides: bool,
}

/// What differs, where it goes on, and the touched paths that are done.
pub(crate) type Touched = (Vec<Found>, Option<Position>, Vec<(String, String)>);

impl<'a> Look<'a> {
    /// With `compare_at`; `None` while nothing can be compared.
    pub(crate) fn new(
        conn: &'a Connection,
        id: ListingId,
        folders: &'a [Compared],
        naming: Naming,
    ) -> Step<Option<(Self, Option<String>)>> {
        let listing = remote::get(conn, id)?;
        let Some(live) = listing.live.as_ref().filter(|live| live.complete && !live.running) else { return Ok(None) };
        let before: Option<String> = conn
            .prepare_cached("SELECT compare_at FROM remote_listing WHERE id = ?1")?
            .query_row([id.0], |r| r.get(0))
            .optional()?
            .flatten();
        let absence = view::knows_absence(&listing);
        Ok(Some((Self { conn, id, tree: live.id, absence, folders, naming, hides: listing.hides }, before)))
    }

    pub(crate) fn base(&self, dir: i64, name: &str) -> Step<(Vec<Found>, Option<Position>)> {
        let mut select = self.conn.prepare_cached(
            "SELECT d.folder, iif(d.path = '', '', d.path || '/') || b.name, b.size, b.mtime_ns, b.ctime_ns, b.ino, b.dev, b.content_hash,
                    b.rev, b.remote, b.file_id, b.dir, b.name
               FROM base b JOIN dir d ON d.id = b.dir WHERE (b.dir, b.name) > (?1, ?2) ORDER BY b.dir, b.name LIMIT ?3",
        )?;
        let rows = select.query_map(params![dir, name, row::limit(SLICE)], |r| {
            let at = Position::Base { dir: r.get(11)?, name: r.get(12)? };
            Ok((FolderId(r.get(0)?), row::rel(r, 1)?, row::base(r, 2)?, at))
        })?;
        let (mut differing, mut seen, mut last) = (Vec::new(), 0, None);
        for found in rows {
            let (folder, path, base, at) = found?;
            seen += 1;
            last = Some(at);
            if let Some(folder) = self.folders.iter().find(|f| f.folder == folder) {
                differing.extend(self.differs(folder, path, &base)?);
            }
        }
        let first = || Some(Position::Dirs { folder: i64::MIN, parent: String::new(), name: String::new() });
        Ok((differing, last.filter(|_| seen == SLICE).or_else(first)))
    }

    fn dirs(&self, folder: i64, parent: &str, name: &str) -> Step<(Vec<Found>, Option<Position>)> {
        let mut select = self.conn.prepare_cached(
            "SELECT folder, iif(parent = '', '', parent || '/') || name, parent, name FROM base_dir
              WHERE (folder, parent, name) > (?1, ?2, ?3) ORDER BY folder, parent, name LIMIT ?4",
        )?;
        let rows = select.query_map(params![folder, parent, name, row::limit(SLICE)], |r| {
            let at = Position::Dirs { folder: r.get(0)?, parent: r.get(2)?, name: r.get(3)? };
            Ok((FolderId(r.get(0)?), row::rel(r, 1)?, at))
        })?;
        let (mut differing, mut seen, mut last) = (Vec::new(), 0, None);
        for found in rows {
            let (folder, path, at) = found?;
            seen += 1;
            last = Some(at);
            let Some(of) = self.folders.iter().find(|f| f.folder == folder && f.down) else { continue };
            let key = self.key(folder, &path, of.remote.join(&path).as_str())?;
            let there = view(self.conn, &Sought { listing: self.id, key, sure: true })?;
            // A mounted folder that is left out says nothing of a directory here.
            if self.hides && there == Remote::Absent {
                continue;
            }
            if !matches!(there, Remote::Folder | Remote::Unlisted) {
                differing.push(Found { folder, path, size: 0, down: true, dirs_below: false, was: None });
            }
        }
        Ok((differing, last.filter(|_| seen == SLICE).or_else(|| self.next_down(i64::MIN))))
    }

    /// The key of a path that was agreed on: what we were told, or what the tree says.
    fn key(&self, folder: FolderId, path: &RelPath, place: &str) -> Step<String> {
        let told = if place.is_ascii() { None } else { key_override::get(self.conn, folder, path)? };
        told.map_or_else(|| key::key(self.conn, self.tree, place), Ok)
    }

    /// The key of a folder of the configuration.
    pub(crate) fn home(&self, folder: &Compared) -> Step<String> {
        key::key(self.conn, self.tree, folder.remote.as_str())
    }

    /// Whether what was touched, and was agreed on, has another name in the tree than here.
    fn respelled(&self, key: &str) -> Step<Vec<Respelled>> {
        let mut found = Vec::new();
        let Some(entry) = view::one(self.conn, self.tree, key)? else { return Ok(found) };
        let Some((_, shown)) = entry.path.rsplit_once('/') else { return Ok(found) };
        for folder in self.folders.iter().filter(|folder| folder.down) {
            let home = self.home(folder)?;
            if !key.strip_prefix(&home).is_some_and(|rest| rest.starts_with('/')) {
                continue;
            }
            let mut names = Names::new(self.conn, self.tree, folder, self.naming, &home, std::iter::once(key));
            let path = if entry.kind == "folder" {
                let dir = names.dir(key, &entry.path)?.filter(|dir| dir.known);
                dir.map(|dir| dir.path)
            } else {
                let file = names.file(key, &entry.path, Some(&entry.id))?;
                // Our own commit changes no name.
                file.and_then(|(path, base)| Some((path, base?)))
                    .filter(|(_, base)| Some(&base.rev) != entry.rev.as_ref())
                    .map(|(path, _)| path)
            };
            if let Some(path) = path.filter(|path| path.name() != shown) {
                found.push(Respelled { folder: folder.folder, path, shown: shown.to_owned() });
            }
        }
        Ok(found)
    }

    /// The first folder at or after this number that brings things down.
    fn next_down(&self, from: i64) -> Option<Position> {
        let down = self.folders.iter().filter(|f| f.down && f.folder.0 >= from);
        down.map(|f| f.folder.0).min().map(|folder| Position::Listed { folder, after: String::new() })
    }

    pub(crate) fn listed(&self, folder: i64, after: String) -> Step<(Vec<Found>, Option<Position>)> {
        let Some(of) = self.folders.iter().find(|f| f.down && f.folder.0 == folder) else {
            return Ok((Vec::new(), self.next_down(folder.saturating_add(1))));
        };
        let home = self.home(of)?;
        let at = WalkAt { root: home.clone(), recursive: true, after };
        let entries = view::walk(self.conn, self.tree, &at, SLICE)?;
        let keys = entries.iter().map(|e| e.path_lower.as_str());
        let mut names = Names::new(self.conn, self.tree, of, self.naming, &home, keys);
        let mut differing = Vec::new();
        for entry in &entries {
            if let (Some(path), None) = self.place(&mut names, entry)? {
                let size = entry.size.unwrap_or_default();
                differing.push(Found { folder: of.folder, path, size, down: true, dirs_below: false, was: None });
            }
        }
        let next = match entries.last() {
            Some(last) if entries.len() == SLICE => Some(Position::Listed { folder, after: last.path_lower.clone() }),
            _ => self.next_down(folder.saturating_add(1)),
        };
        Ok((differing, next))
    }

    /// The local path that a listed entry has or would have, and its base if it is a file that has one. No path: it is not to be looked at,
    /// because it cannot lie on a disk, or is a folder that was agreed on, or a file that we are sending.
    pub(crate) fn place(&self, names: &mut Names<'_>, entry: &Listed) -> Step<(Option<RelPath>, Option<Base>)> {
        if entry.kind == "folder" {
            let dir = names.dir(&entry.path_lower, &entry.path)?;
            let Some(dir) = dir else { return Ok((None, None)) };
            // What was given up is looked at again.
            let agreed = dir.path.is_root()
                || dirs::has(self.conn, names.folder(), &dir.path)?
                    && !dirs::is_wedged(self.conn, names.folder(), &dir.path)?;
            return Ok(((!agreed).then_some(dir.path), None));
        }
        if !entry.is_downloadable {
            return Ok((None, None));
        }
        Ok(match names.file(&entry.path_lower, &entry.path, Some(&entry.id))? {
            Some((path, None)) => {
                let ours = match entry.content_hash {
                    Some(hash) => self.ours(names.folder(), &path, hash)?,
                    None => false,
                };
                ((!ours).then_some(path), None)
            }
            Some((path, base)) => (Some(path), base),
            None => (None, None),
        })
    }

    /// Whether Dropbox has something else than base says.
    pub(crate) fn differs(&self, folder: &Compared, path: RelPath, base: &Base) -> Step<Option<Found>> {
        let place = base.remote.clone().unwrap_or_else(|| folder.remote.join(&path));
        let sought = Sought { listing: self.id, key: self.key(folder.folder, &path, place.as_str())?, sure: true };
        let remote = view(self.conn, &sought)?;
        let same = match &remote {
            Remote::File { content_hash, rev, .. }
                if *rev == base.rev && content_hash.is_none_or(|h| h == base.content_hash) =>
            {
                true
            }
            Remote::Unlisted => true,
            Remote::File { content_hash: Some(hash), .. } => self.ours(folder.folder, &path, *hash)?,
            Remote::File { .. } => false,
            Remote::Absent | Remote::Folder => self.our_deletion(folder.folder, &path)?,
        };
        // It is as it was, and was known to be gone: it is back.
        if same && !(matches!(remote, Remote::File { .. }) && self.was_gone(folder.folder, &path)?) {
            return Ok(None);
        }
        let (fate, rev, size) = match remote {
            Remote::File { content_hash: Some(hash), rev, size, .. } if hash == base.content_hash => {
                (Fate::Same(hash), rev, size)
            }
            Remote::File { rev, size, .. } => (Fate::Replaced, rev, size),
            _ => (Fate::Gone, String::new(), 0),
        };
        let size = if folder.down { size } else { base.stat.size };
        Ok(Some(Found {
            folder: folder.folder,
            path,
            size,
            down: folder.down,
            dirs_below: false,
            was: Some(Was { fate, rev, id: base.file_id.clone(), content_hash: base.content_hash }),
        }))
    }

    fn was_gone(&self, folder: FolderId, path: &RelPath) -> Step<bool> {
        let sql = "SELECT 1 FROM job WHERE folder = ?1 AND path = ?2 AND code = ?3";
        Ok(self.conn.prepare_cached(sql)?.exists(params![folder.0, path.as_str(), GONE_IN_DROPBOX])?)
    }

    /// Our own commit, seen in the listing before its reply was: base is about to be that.
    fn ours(&self, folder: FolderId, path: &RelPath, hash: ContentHash) -> Step<bool> {
        Ok(self
            .conn
            .prepare_cached(
                "SELECT 1 FROM change WHERE content_hash = ?3 AND job = (SELECT id FROM job WHERE folder = ?1 AND path = ?2)",
            )?
            .exists(params![folder.0, path.as_str(), hash.0])?)
    }

    /// Our own deletion, under way or yet to be made: nothing that is here would go.
    fn our_deletion(&self, folder: FolderId, path: &RelPath) -> Step<bool> {
        Ok(self
            .conn
            .prepare_cached(
                "SELECT 1 FROM change WHERE kind = 'delete' AND job = (SELECT id FROM job WHERE folder = ?1 AND path = ?2)",
            )?
            .exists(params![folder.0, path.as_str()])?)
    }
}
