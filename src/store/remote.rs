//! The remote cache: listings, their trees, and what becomes of a tree.
//!
//! A listing has a *live* tree, which readers see, and while Dropbox lists again a *next* one, which takes the live one's place when it is
//! complete and believed. Every reader finds an entry through `remote_dir`, so a folder that is taken out there is gone for all of them at
//! once, however much lies below it; [`Store::free_remote`] frees the rows later, in slices.

pub(super) mod approval;
pub(super) mod compare;
pub(super) mod compared;
pub(super) mod inbound;
pub(super) mod key;
pub(super) mod marks;
pub(super) mod names;
pub(super) mod namespace;
pub(super) mod page;
pub(super) mod read_only;
pub(super) mod refused;
pub(super) mod root;
pub(super) mod touched;
pub(super) mod view;
pub(super) mod walk;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Store;
use crate::model::UnixMs;
use crate::model::listing::{Kind, Page, Rule, What};
use crate::store::db::error::{Fault, Step, StoreError};
use crate::store::db::row;
use crate::store::remote::page::Applied;

/// A listing's number in its account's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListingId(pub i64);

/// A tree's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TreeId(pub i64);

/// One listing as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Its number.
    pub id: ListingId,
    /// The remote folder.
    pub scope: String,
    /// What readers see.
    pub live: Option<Tree>,
    /// What is being listed, first or anew.
    pub next: Option<Tree>,
    /// Why the next tree, complete as it is, is not believed.
    pub held: Option<String>,
    /// Whether base is yet to be compared with what was listed.
    pub comparing: bool,
    /// Whether a comparison of everything was asked for and has not come to its end.
    pub whole: bool,
    /// Whether it was asked for less than before, and what its answer lacks is yet to be let go of.
    pub narrowed: bool,
    /// Whether it leaves out what lies in mounted folders.
    pub hides: bool,
}

impl Listing {
    /// The tree that the next page belongs to.
    pub fn followed(&self) -> Option<&Tree> {
        self.next.as_ref().or(self.live.as_ref())
    }

    /// What readers can see by now: the live tree, or the first one as far as it has come.
    pub fn seen(&self) -> Option<&Tree> {
        self.live.as_ref().or(self.next.as_ref())
    }
}

/// One tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Its number.
    pub id: TreeId,
    /// Where its listing goes on; `None`: it must begin anew.
    pub cursor: Option<String>,
    /// Whether the last page said that more is ready.
    pub running: bool,
    /// Whether a run of pages has ended once.
    pub complete: bool,
    /// Files and folders in it.
    pub entries: u64,
    /// Pages stored.
    pub pages: u64,
    /// When the last page was stored.
    pub updated_at: UnixMs,
}

/// Where a page belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It is the first of a new tree. `here` is false if Dropbox has no such folder: a tree that is complete and empty.
    First {
        /// Whether the folder is there.
        here: bool,
    },
    /// It follows this cursor of this tree.
    After(TreeId, String),
}

/// The rule of `plan::listing`, which the store carries out.
pub type RuleOf = fn(Option<Kind>, &What) -> Rule;

impl Store {
    /// Makes these the account's listings: new ones begin, those of other folders go. One whose question has changed begins anew, and its
    /// live tree is used until the new one is complete. In the order of `scopes`.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn open_listings(&self, scopes: &[String], question: &str) -> Result<Vec<Listing>, StoreError> {
        let wanted = scopes.iter().map(|scope| (scope.clone(), question.to_owned())).collect();
        self.open_listings_of(wanted, |_, _| false).await
    }

    /// As [`Store::open_listings`], each scope with its own question. `less` says whether the second question leaves out what the first one asked for:
    /// then the listing is [`Listing::narrowed`] until its answer is complete and base has let go of what it lacks.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn open_listings_of(
        &self,
        wanted: Vec<(String, String)>,
        less: fn(&str, &str) -> bool,
    ) -> Result<Vec<Listing>, StoreError> {
        self.write_rows(usize::MAX, move |conn| {
            let mut known = conn.prepare("SELECT id, scope FROM remote_listing")?;
            let known: Vec<(i64, String)> =
                known.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<Result<_, _>>()?;
            for (id, _) in known.iter().filter(|(_, scope)| !wanted.iter().any(|(wanted, _)| wanted == scope)) {
                conn.execute("UPDATE remote_tree SET listing = NULL WHERE listing = ?1", [id])?;
                conn.execute("DELETE FROM remote_touched WHERE listing = ?1", [id])?;
                refused::clear(conn, ListingId(*id))?;
                conn.execute("DELETE FROM remote_listing WHERE id = ?1", [id])?;
            }
            let mut all = Vec::with_capacity(wanted.len());
            for (scope, question) in &wanted {
                conn.execute(
                    "INSERT INTO remote_listing (scope, question) VALUES (?1, ?2) ON CONFLICT (scope) DO NOTHING",
                    [scope, question],
                )?;
                let (id, asked): (i64, String) =
                    conn.query_row("SELECT id, question FROM remote_listing WHERE scope = ?1", [scope], |r| {
                        Ok((r.get(0)?, r.get(1)?))
                    })?;
                if asked != *question {
                    begin_anew(conn, ListingId(id))?;
                    if less(&asked, question) {
                        conn.execute("UPDATE remote_listing SET narrowed = 1 WHERE id = ?1", [id])?;
                    }
                    conn.execute("UPDATE remote_listing SET question = ?2 WHERE id = ?1", params![id, question])?;
                }
                all.push(get(conn, ListingId(id))?);
            }
            Ok(all)
        })
        .await
    }

    /// The listings that there are of these scopes, in their order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn known_listings(&self, scopes: &[String]) -> Result<Vec<Listing>, StoreError> {
        let scopes = scopes.to_vec();
        self.read(move |conn| {
            let mut select = conn.prepare("SELECT id FROM remote_listing WHERE scope = ?1")?;
            let mut known = Vec::new();
            for scope in &scopes {
                if let Some(id) = select.query_row([scope], |r| r.get(0)).optional()? {
                    known.push(get(conn, ListingId(id))?);
                }
            }
            Ok(known)
        })
        .await
    }

    /// How a listing stands.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn listing(&self, id: ListingId) -> Result<Listing, StoreError> {
        self.read(move |conn| get(conn, id)).await
    }

    /// One page: its entries by the rule, its cursor and what it has touched, in one step. A page that does not follow the stored cursor
    /// (another one came first) changes nothing.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn stage_page(
        &self,
        id: ListingId,
        place: Place,
        page: Page,
        rule: RuleOf,
        now: UnixMs,
    ) -> Result<Applied, StoreError> {
        self.write_rows(usize::MAX, move |conn| crate::store::remote::page::stage(conn, id, &place, &page, rule, now))
            .await
    }

    /// The complete next tree takes the live one's place, whole, for every reader at once; base is compared with it from its beginning.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn adopt_listing(&self, id: ListingId) -> Result<(), StoreError> {
        self.write_and_wake(move |conn| {
            conn.execute(
                "UPDATE remote_tree SET listing = NULL
                  WHERE id = (SELECT live FROM remote_listing WHERE id = ?1 AND next IS NOT NULL)",
                [id.0],
            )?;
            conn.execute("DELETE FROM remote_touched WHERE listing = ?1", [id.0])?;
            conn.execute(
                "UPDATE remote_listing SET live = next, next = NULL, held = NULL, compare_at = ''
                  WHERE id = ?1 AND next IS NOT NULL",
                [id.0],
            )?;
            marks::wake_all(conn)?;
            namespace::arrived(conn, id)
        })
        .await
    }

    /// The complete next tree is not believed: the live one stays what readers see. `None`: it is not held any more.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn hold_listing(&self, id: ListingId, why: Option<String>) -> Result<(), StoreError> {
        self.write_and_wake(move |conn| {
            conn.execute("UPDATE remote_listing SET held = ?2 WHERE id = ?1", params![id.0, why])?;
            Ok(())
        })
        .await
    }

    /// A cursor is worth nothing any more: a next tree is thrown away, a live one is kept and listed anew beside itself.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn lose_cursor(&self, id: ListingId) -> Result<(), StoreError> {
        self.write_and_wake(move |conn| begin_anew(conn, id)).await
    }

    /// Base has let go of what a narrower question leaves out.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn believe_narrowed(&self, id: ListingId) -> Result<(), StoreError> {
        self.write_and_wake(move |conn| {
            conn.execute("UPDATE remote_listing SET narrowed = 0 WHERE id = ?1", [id.0])?;
            Ok(())
        })
        .await
    }

    /// Lets the next tree of this number through, whatever it lost: a person has looked. `true` if there was such a held tree.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn approve_listing(&self, tree: TreeId) -> Result<bool, StoreError> {
        self.write_and_wake(move |conn| {
            let n = conn.execute(
                "UPDATE remote_listing SET held = 'approved' WHERE next = ?1 AND held IS NOT NULL",
                [tree.0],
            )?;
            Ok(n > 0)
        })
        .await
    }

    /// What cannot be a path here, for people: text, code, why, since. At most `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn remote_odd(
        &self,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<(String, String, String, UnixMs)>, StoreError> {
        self.read(move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT text, code, why, since FROM remote_odd ORDER BY listing, text LIMIT ?2 OFFSET ?1",
            )?;
            let rows = select.query_map(params![row::limit(offset), row::limit(limit)], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// How many of those there are.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn remote_odd_count(&self) -> Result<u64, StoreError> {
        self.read(|conn| {
            Ok(conn.prepare_cached("SELECT count(*) FROM remote_odd")?.query_row([], |r| row::count(r, 0))?)
        })
        .await
    }

    /// Frees rows that nobody can reach any more, about `limit` of them. `false` once there are none.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn free_remote(&self, limit: usize) -> Result<bool, StoreError> {
        let idle = self
            .read(|conn| {
                let mut any = conn.prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM remote_gone) OR EXISTS (SELECT 1 FROM remote_tree WHERE listing IS NULL)",
                )?;
                Ok(!any.query_row([], |r| r.get::<_, bool>(0))?)
            })
            .await?;
        if idle {
            return Ok(false);
        }
        self.inner.writer.step(false, usize::MAX, move |conn| free(conn, limit)).await?;
        Ok(true)
    }
}

/// Reads one listing.
pub(super) fn get(conn: &Connection, id: ListingId) -> Step<Listing> {
    let mut select = conn.prepare_cached(
        "SELECT scope, live, next, held, (compare_at IS NOT NULL OR EXISTS (SELECT 1 FROM remote_touched WHERE listing = l.id))
                -- Our own moves look like deletions until base knows of them.
                AND NOT EXISTS (SELECT 1 FROM change WHERE kind IN ('move', 'copy') AND alike = 0),
                compare_at IS NOT NULL, narrowed,
                instr(question, '\"include_mounted_folders\":false') > 0
           FROM remote_listing l WHERE id = ?1",
    )?;
    let found = select
        .query_row([id.0], |r| {
            Ok((
                r.get::<_, String>(0)?,
                r.get::<_, Option<i64>>(1)?,
                r.get::<_, Option<i64>>(2)?,
                r.get(3)?,
                r.get(4)?,
                (r.get(5)?, r.get(6)?, r.get(7)?),
            ))
        })
        .optional()?;
    let Some((scope, live, next, held, comparing, (whole, narrowed, hides))) = found else {
        return Err(Fault::Said(format!("it has no listing {}", id.0)));
    };
    let tree_of = |id: Option<i64>| id.map(|id| tree(conn, TreeId(id))).transpose();
    Ok(Listing { id, scope, live: tree_of(live)?, next: tree_of(next)?, held, comparing, whole, narrowed, hides })
}

fn tree(conn: &Connection, id: TreeId) -> Step<Tree> {
    let mut select = conn.prepare_cached(
        "SELECT cursor, running, complete, entries, pages, updated_at FROM remote_tree WHERE id = ?1",
    )?;
    let read = |r: &Row<'_>| {
        Ok(Tree {
            id,
            cursor: r.get(0)?,
            running: r.get(1)?,
            complete: r.get(2)?,
            entries: row::count(r, 3)?,
            pages: row::count(r, 4)?,
            updated_at: r.get(5)?,
        })
    };
    Ok(select.query_row([id.0], read)?)
}

pub(super) fn begin_anew(conn: &Connection, id: ListingId) -> Step<()> {
    conn.execute(
        "UPDATE remote_tree SET listing = NULL WHERE id = (SELECT next FROM remote_listing WHERE id = ?1)",
        [id.0],
    )?;
    conn.execute("UPDATE remote_listing SET next = NULL, held = NULL WHERE id = ?1", [id.0])?;
    conn.execute(
        "UPDATE remote_tree SET cursor = NULL, running = 0 WHERE id = (SELECT live FROM remote_listing WHERE id = ?1)",
        [id.0],
    )?;
    Ok(())
}

/// Folders of a dead tree that are handed to the freeing at once.
const DIRS: i64 = 2000;
/// Pages given back to the file system after each slice.
const VACUUM: &str = "PRAGMA incremental_vacuum(2000)";

fn free(conn: &Connection, limit: usize) -> Step<()> {
    let mut left = row::limit(limit);
    while left > 0 {
        let dir: Option<i64> =
            conn.prepare_cached("SELECT dir FROM remote_gone LIMIT 1")?.query_row([], |r| r.get(0)).optional()?;
        if let Some(dir) = dir {
            let freed = conn
                .prepare_cached(
                    "DELETE FROM remote_entry WHERE dir = ?1 AND name <= coalesce(
                       (SELECT name FROM remote_entry WHERE dir = ?1 ORDER BY name LIMIT 1 OFFSET ?2), x'')",
                )?
                .execute(params![dir, left])?;
            let rest = conn.prepare_cached("SELECT 1 FROM remote_entry WHERE dir = ?1")?.exists([dir])?;
            if !rest {
                conn.prepare_cached("DELETE FROM remote_gone WHERE dir = ?1")?.execute([dir])?;
            }
            left -= row::limit(freed).max(1);
            continue;
        }
        let tree: Option<i64> = conn
            .prepare_cached("SELECT id FROM remote_tree WHERE listing IS NULL LIMIT 1")?
            .query_row([], |r| r.get(0))
            .optional()?;
        let Some(tree) = tree else { break };
        let some = "SELECT id FROM remote_dir WHERE tree = ?1 ORDER BY path LIMIT ?2";
        conn.prepare_cached(&format!("INSERT INTO remote_gone {some}"))?.execute([tree, DIRS])?;
        let moved =
            conn.prepare_cached(&format!("DELETE FROM remote_dir WHERE id IN ({some})"))?.execute([tree, DIRS])?;
        if moved == 0 {
            conn.execute("DELETE FROM remote_tree WHERE id = ?1", [tree])?;
        }
    }
    let mut vacuum = conn.prepare_cached(VACUUM)?;
    let mut pages = vacuum.query([])?;
    while pages.next()?.is_some() {}
    Ok(())
}
