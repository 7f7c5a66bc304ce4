//! Carrying out a page of a listing: entries in their order, each by the rule.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use crate::model::UnixMs;
use crate::model::listing::{Below, Entry, Here, Kind, Page, What};
use crate::store::db::error::Step;
use crate::store::db::row;
use crate::store::remote;
use crate::store::remote::{ListingId, Place, RuleOf, TreeId};
use crate::store::remote::{key, marks, refused};

/// What storing a page did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// Whether the page followed what was stored; if not, nothing was done.
    pub stored: bool,
    /// Entries in it that could be kept.
    pub entries: u64,
}

/// The step behind [`crate::store::Store::stage_page`].
pub(crate) fn stage(
    conn: &Connection,
    id: ListingId,
    place: &Place,
    page: &Page,
    rule: RuleOf,
    now: UnixMs,
) -> Step<Applied> {
    let listing = remote::get(conn, id)?;
    let tree = match place {
        Place::First { here } => {
            if let Some(old) = &listing.next {
                conn.execute("UPDATE remote_tree SET listing = NULL WHERE id = ?1", [old.id.0])?;
            }
            conn.execute(
                "INSERT INTO remote_tree (listing, running, complete, updated_at) VALUES (?1, ?2, 0, ?3)",
                params![id.0, here, now],
            )?;
            let tree = TreeId(conn.last_insert_rowid());
            conn.execute("UPDATE remote_listing SET next = ?2, held = NULL WHERE id = ?1", params![id.0, tree.0])?;
            // What cannot be a path here is said again by the pages that come.
            refused::clear(conn, id)?;
            tree
        }
        Place::After(tree, cursor) => {
            let follows = listing.followed().is_some_and(|t| t.id == *tree && t.cursor.as_ref() == Some(cursor));
            if !follows {
                return Ok(Applied::default());
            }
            *tree
        }
    };
    let live = listing.live.as_ref().is_some_and(|live| live.id == tree);
    // What such a tree lacks was never said to be gone. Of a complete one only deletions take away.
    let filling = matches!(place, Place::First { .. }) || listing.followed().is_some_and(|tree| !tree.complete);
    let mut applier = Applier {
        conn,
        tree,
        listing: id,
        touches: live.then_some(id),
        doubtful: page.unplaced || !page.refused.is_empty() || refused::any(conn, id)?,
        rule,
        dirs: HashMap::new(),
        shown: HashMap::new(),
        entries: 0,
    };
    for entry in &page.entries {
        applier.apply(entry)?;
    }
    applier.flush()?;
    let grown = applier.entries;
    let cursor = if matches!(place, Place::First { here: false }) { None } else { Some(&page.cursor) };
    conn.prepare_cached(
        "UPDATE remote_tree SET cursor = ?2, running = ?3, complete = max(complete, ?4), entries = entries + ?5,
                pages = pages + 1, updated_at = ?6 WHERE id = ?1",
    )?
    .execute(params![tree.0, cursor, page.has_more, !page.has_more, grown, now])?;
    refused::note(conn, id, page, filling, now)?;
    Ok(Applied { stored: true, entries: page.entries.len() as u64 })
}

/// What a page has changed of one folder and is yet to be written.
#[derive(Debug, Clone, Copy, Default)]
struct Dir {
    id: i64,
    entries: i64,
    read_only: i64,
}

struct Applier<'a> {
    conn: &'a Connection,
    tree: TreeId,
    listing: ListingId,
    /// The listing whose readers see this tree: they are told what has changed.
    touches: Option<ListingId>,
    /// Whether entries of this listing were refused.
    doubtful: bool,
    rule: RuleOf,
    /// Folders met on this page, by key.
    dirs: HashMap<String, Dir>,
    /// How people write them.
    shown: HashMap<String, String>,
    /// Entries more than before.
    entries: i64,
}

/// What an entry's path holds.
struct There {
    kind: Kind,
    read_only: bool,
    display: Option<String>,
}

const INSERT: &str = "INSERT INTO remote_entry
    (dir, name, display, folder, marks, id, rev, size, hash, client_modified, server_modified, members, more, alias)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) ON CONFLICT (dir, name)";
const REPLACE: &str =
    "DO UPDATE SET display = excluded.display, folder = excluded.folder, marks = excluded.marks, id = excluded.id,
    rev = excluded.rev, size = excluded.size, hash = excluded.hash, client_modified = excluded.client_modified,
    server_modified = excluded.server_modified, members = excluded.members, more = excluded.more, alias = excluded.alias";

impl Applier<'_> {
    fn apply(&mut self, entry: &Entry) -> Step<()> {
        let key = entry.key.as_str();
        let Some((parent, name)) = key.rsplit_once('/') else { return Ok(()) };
        if entry.what == What::Deleted {
            return self.remove(entry, parent, name);
        }
        let dir = self.dir(parent, entry.above.as_deref())?;
        let read_only = marks_of(&entry.what) & 1;
        // Nearly always the place is free: one statement finds out and takes it.
        let free =
            (self.rule)(None, &entry.what).here == Here::Put && self.put(dir.id, name, entry, "DO NOTHING")? == 1;
        if free {
            self.count(parent, 1, read_only);
            self.entries += 1;
            // A folder, too: it may be new to folders that bring things down.
            self.touch(parent, name, &entry.name, false)?;
            return Ok(());
        }
        let Some(there) = self.there(dir.id, name)? else { return Ok(()) };
        let rule = (self.rule)(Some(there.kind), &entry.what);
        if rule.here == Here::Put {
            self.put(dir.id, name, entry, REPLACE)?;
            self.count(parent, 0, read_only - i64::from(there.read_only));
            self.shown.clear();
        }
        if rule.below == Below::Remove && self.doubtful {
            refused::gone(self.conn, self.listing, key)?;
        }
        self.below(rule.below, key)?;
        if read_only != i64::from(there.read_only) {
            self.lifted(key)?;
        }
        let swapped = there.kind == Kind::File && matches!(entry.what, What::Folder(_));
        let respelled = there.display.as_deref().unwrap_or(name) != entry.name;
        if swapped || respelled || matches!(entry.what, What::File(_)) {
            self.touch(parent, name, &entry.name, rule.below == Below::Remove)?;
        }
        Ok(())
    }

    fn remove(&mut self, entry: &Entry, parent: &str, name: &str) -> Step<()> {
        let doubt = self.doubtful && refused::leaves_open(self.conn, self.listing, entry.key.as_str())?;
        if doubt {
            refused::gone(self.conn, self.listing, entry.key.as_str())?;
        }
        let there = match self.known(parent)? {
            Some(dir) => self.there(dir.id, name)?.map(|there| (dir, there)),
            None => None,
        };
        let Some((dir, there)) = there else {
            // It was refused or never seen, and may have been agreed on: now it is known to be gone.
            return if doubt { self.touch(parent, name, &entry.name, true) } else { Ok(()) };
        };
        let rule = (self.rule)(Some(there.kind), &entry.what);
        if rule.here != Here::Remove {
            return Ok(());
        }
        let shown = there.display.unwrap_or_else(|| name.to_owned());
        self.touch(parent, name, &shown, rule.below == Below::Remove)?;
        self.conn
            .prepare_cached("DELETE FROM remote_entry WHERE dir = ?1 AND name = ?2")?
            .execute(params![dir.id, name])?;
        self.count(parent, -1, -i64::from(there.read_only));
        self.entries -= 1;
        self.below(rule.below, entry.key.as_str())
    }

    fn below(&mut self, below: Below, key: &str) -> Step<()> {
        match below {
            Below::Keep => Ok(()),
            Below::Remove => self.detach(key),
            Below::ReadOnly(flag) => self.mark(key, flag),
        }
    }

    /// Takes everything below a folder out of every reader's sight; the folder's own entry is the caller's.
    fn detach(&mut self, key: &str) -> Step<()> {
        self.flush()?;
        self.dirs.clear();
        self.shown.clear();
        let (low, high) = (format!("{key}/"), format!("{key}0"));
        let span = params![self.tree.0, key, low, high];
        let here = "FROM remote_dir WHERE tree = ?1 AND (path = ?2 OR path >= ?3 AND path < ?4)";
        let gone: i64 = self
            .conn
            .prepare_cached(&format!("SELECT coalesce(sum(entries), 0) {here}"))?
            .query_row(span, |r| r.get(0))?;
        self.conn.prepare_cached(&format!("INSERT INTO remote_gone SELECT id {here}"))?.execute(span)?;
        self.conn.prepare_cached(&format!("DELETE {here}"))?.execute(span)?;
        self.entries -= gone;
        Ok(())
    }

    /// Sets the read-only mark of everything below a folder. Folders whose entries all have it already are left alone: they are counted.
    fn mark(&mut self, key: &str, flag: bool) -> Step<()> {
        self.flush()?;
        let (low, high) = (format!("{key}/"), format!("{key}0"));
        let span = params![self.tree.0, key, low, high, flag];
        let other = "tree = ?1 AND (path = ?2 OR path >= ?3 AND path < ?4) AND read_only <> iif(?5, entries, 0)";
        let n = self
            .conn
            .prepare_cached(&format!(
                "UPDATE remote_entry SET marks = (marks & ~1) | ?5
                  WHERE dir IN (SELECT id FROM remote_dir WHERE {other}) AND (marks & 1) <> ?5"
            ))?
            .execute(span)?;
        if n > 0 {
            self.conn
                .prepare_cached(&format!("UPDATE remote_dir SET read_only = iif(?5, entries, 0) WHERE {other}"))?
                .execute(span)?;
            self.lifted(key)?;
        }
        Ok(())
    }

    /// Whoever may write there, or may not any more: what waits below is looked at again. In a tree that nobody sees yet that comes with its adoption.
    fn lifted(&self, key: &str) -> Step<()> {
        if self.touches.is_some() {
            marks::wake(self.conn, self.tree, key)?;
        }
        Ok(())
    }

    /// A folder's row, made if need be, and its parents with it. `shown`: how people write it, as far as anybody says; it is used for those folders that
    /// have no entry of their own yet.
    fn dir(&mut self, path: &str, shown: Option<&str>) -> Step<Dir> {
        let mut missing = Vec::new();
        let mut at = path;
        while self.known(at)?.is_none() {
            missing.push(at);
            let Some((above, _)) = at.rsplit_once('/') else { break };
            at = above;
        }
        let mut dir = self.known(path)?.unwrap_or_default();
        for path in missing.into_iter().rev() {
            self.parent(path, shown)?;
            self.conn
                .prepare_cached("INSERT INTO remote_dir (tree, path) VALUES (?1, ?2)")?
                .execute(params![self.tree.0, path])?;
            dir = Dir { id: self.conn.last_insert_rowid(), entries: 0, read_only: 0 };
            self.dirs.insert(path.to_owned(), dir);
        }
        Ok(dir)
    }

    /// The entry of a folder that something lies in, in the folder above, which is known. A file in its place gives way.
    fn parent(&mut self, path: &str, shown: Option<&str>) -> Step<()> {
        let Some((above, name)) = path.rsplit_once('/') else { return Ok(()) };
        let Some(dir) = self.known(above)? else { return Ok(()) };
        let there = self.there(dir.id, name)?;
        if there.as_ref().is_some_and(|there| there.kind == Kind::Folder) {
            return Ok(());
        }
        let display = shown.and_then(|shown| shown.split('/').nth(path.split('/').count() - 1)).unwrap_or(name);
        self.conn.prepare_cached(&format!("{INSERT} {REPLACE}"))?.execute(params![
            dir.id,
            name,
            (display != name).then_some(display),
            1,
            0,
            "",
            None::<String>,
            None::<i64>,
            None::<Vec<u8>>,
            None::<i64>,
            None::<i64>,
            None::<i64>,
            None::<String>,
            key::alias(name, display)
        ])?;
        match there {
            None => {
                self.count(above, 1, 0);
                self.entries += 1;
            }
            Some(file) => {
                self.count(above, 0, -i64::from(file.read_only));
                self.touch(above, name, display, false)?;
            }
        }
        Ok(())
    }

    fn known(&mut self, path: &str) -> Step<Option<Dir>> {
        if let Some(dir) = self.dirs.get(path) {
            return Ok(Some(*dir));
        }
        let id: Option<i64> = self
            .conn
            .prepare_cached("SELECT id FROM remote_dir WHERE tree = ?1 AND path = ?2")?
            .query_row(params![self.tree.0, path], |r| r.get(0))
            .optional()?;
        let dir = id.map(|id| Dir { id, entries: 0, read_only: 0 });
        if let Some(dir) = dir {
            self.dirs.insert(path.to_owned(), dir);
        }
        Ok(dir)
    }

    fn there(&self, dir: i64, name: &str) -> Step<Option<There>> {
        let mut select = self
            .conn
            .prepare_cached("SELECT folder, marks & 1, display FROM remote_entry WHERE dir = ?1 AND name = ?2")?;
        let found = select.query_row(params![dir, name], |r| {
            let kind = if r.get(0)? { Kind::Folder } else { Kind::File };
            Ok(There { kind, read_only: r.get(1)?, display: r.get(2)? })
        });
        Ok(found.optional()?)
    }

    fn put(&self, dir: i64, name: &str, entry: &Entry, conflict: &str) -> Step<usize> {
        let mut insert = self.conn.prepare_cached(&format!("{INSERT} {conflict}"))?;
        let display = (entry.name != name).then_some(&entry.name);
        let alias = key::alias(name, &entry.name);
        Ok(match &entry.what {
            What::File(f) => insert.execute(params![
                dir,
                name,
                display,
                0,
                f.marks.bits(),
                f.id,
                f.rev,
                row::int(f.size),
                f.content_hash.map(|hash| hash.0),
                f.client_modified,
                f.server_modified,
                f.explicit_members,
                f.more,
                alias
            ])?,
            What::Folder(f) => insert.execute(params![
                dir,
                name,
                display,
                1,
                f.marks.bits(),
                f.id,
                None::<String>,
                None::<i64>,
                None::<Vec<u8>>,
                None::<i64>,
                None::<i64>,
                None::<i64>,
                f.more,
                alias
            ])?,
            What::Deleted => 0,
        })
    }

    fn count(&mut self, dir: &str, entries: i64, read_only: i64) {
        if let Some(dir) = self.dirs.get_mut(dir) {
            dir.entries += entries;
            dir.read_only += read_only;
        }
    }

    /// Writes the counts that have changed.
    fn flush(&mut self) -> Step<()> {
        let mut update = self
            .conn
            .prepare_cached("UPDATE remote_dir SET entries = entries + ?2, read_only = read_only + ?3 WHERE id = ?1")?;
        for dir in self.dirs.values_mut().filter(|dir| dir.entries != 0 || dir.read_only != 0) {
            update.execute(params![dir.id, dir.entries, dir.read_only])?;
            (dir.entries, dir.read_only) = (0, 0);
        }
        Ok(())
    }

    /// Notes for the comparison with base that something has changed at a name in the folder `parent`: by its key, and as people write it.
    fn touch(&mut self, parent: &str, name: &str, display: &str, below: bool) -> Step<()> {
        let Some(listing) = self.touches else { return Ok(()) };
        if !self.shown.contains_key(parent) {
            let shown = crate::store::remote::view::shown(self.conn, self.tree, parent)?;
            self.shown.insert(parent.to_owned(), shown);
        }
        let above = self.shown.get(parent).map_or("", String::as_str);
        self.conn
            .prepare_cached(
                "INSERT INTO remote_touched (listing, path, below, key) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (listing, path) DO UPDATE SET below = max(below, excluded.below), key = excluded.key",
            )?
            .execute(params![listing.0, format!("{above}/{display}"), below, format!("{parent}/{name}")])?;
        Ok(())
    }
}

/// The marks of what an entry puts.
fn marks_of(what: &What) -> i64 {
    match what {
        What::File(facts) => facts.marks.bits(),
        What::Folder(facts) => facts.marks.bits(),
        What::Deleted => 0,
    }
}
