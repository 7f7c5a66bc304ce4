//! Moves that make room for one another: staged in one step, made one after the other, and known at every moment between.

use std::collections::HashSet;

use rusqlite::{Connection, params};

use super::moves::{Planned, agreed_below, is_busy, put, rekey, take_back};
use crate::model::{Base, Change, ChangeId, FolderId, RelPath, Relocation, RemoteChange, UnixMs};
use crate::store::base::dirs;
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;
use crate::store::db::row::at_or_below;
use crate::store::{Store, base};

/// So many rows are told of, at most.
const CANDIDATES: usize = 64;

impl Store {
    /// Stages groups of moves and copies. Deletions and new folders that were staged at or below a path of one, and are in no batch, are taken back. Of
    /// each group all are staged, or none: `None`: somebody works at or below one of its paths, and it has to wait for that.
    ///
    /// # Errors
    /// When the database cannot be written; then none is staged.
    pub async fn stage_together(
        &self,
        groups: Vec<Vec<Planned>>,
        now: UnixMs,
    ) -> Result<Vec<Option<Vec<ChangeId>>>, StoreError> {
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        self.write_rows(usize::MAX, move |conn| groups.iter().map(|group| stage(conn, group, now)).collect()).await
    }

    /// Of groups of moves, which could be staged now: nobody works at or below a path of theirs.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn are_free(&self, groups: Vec<Vec<Planned>>) -> Result<Vec<bool>, StoreError> {
        self.read(move |conn| {
            let is_free = |group: &Vec<Planned>| {
                for planned in group {
                    if is_busy(conn, planned)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            };
            groups.iter().map(is_free).collect()
        })
        .await
    }

    /// Whether a free name that something has on its way is one of ours: a move that has to go on, or what was agreed on there. Its number is like no other.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn is_our_way(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.read(move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM change WHERE substr(via, -length(?1)) = ?1 OR substr(from_path, -length(?1)) = ?1)
                     OR EXISTS (SELECT 1 FROM base_dir WHERE name = ?1) OR EXISTS (SELECT 1 FROM base WHERE name = ?1)
                     OR EXISTS (SELECT 1 FROM dir WHERE substr(path, -length(?1)) = ?1)",
            )?;
            Ok(select.query_row([&name], |r| r.get(0))?)
        })
        .await
    }

    /// Paths whose rows wait to be looked at and that could be what a file has become: those that end so, or, without an end, of that many bytes. At
    /// most 64. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn waiting_like_blocking(
        &self,
        folder: FolderId,
        end: Option<&str>,
        size: u64,
    ) -> Result<Vec<RelPath>, StoreError> {
        self.read_blocking(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT path FROM job WHERE folder = ?1 AND state <> 'wedged'
                    AND iif(?2 IS NULL, size = ?3, substr(path, -length(?2)) = ?2) LIMIT ?4",
            )?;
            let of = params![folder.0, end, row::int(size), row::limit(CANDIDATES)];
            Ok(select.query_map(of, |r| row::rel(r, 0))?.collect::<Result<_, _>>()?)
        })
    }

    /// The directories at or below one that both sides agreed on. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn agreed_dirs_below_blocking(&self, folder: FolderId, dir: &RelPath) -> Result<Vec<RelPath>, StoreError> {
        self.read_blocking(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT iif(parent = '', '', parent || '/') || name FROM base_dir WHERE folder = ?1 AND parent >= ?2 AND parent < ?3",
            )?;
            let mut found = Vec::new();
            for span in at_or_below(dir) {
                for path in select.query_map(params![folder.0, span.low, span.high], |r| row::rel(r, 0))? {
                    found.push(path?);
                }
            }
            Ok(found)
        })
    }
}

/// Whether what is to be moved is still agreed on where it was when it was looked at.
fn has_source(conn: &Connection, planned: &Planned) -> Step<bool> {
    let (folder, relocation) = (planned.folder, &planned.relocation);
    Ok(relocation.copy
        || match relocation.base {
            Some(_) => base::get(conn, folder, &relocation.source)?.is_some(),
            None => agreed_below(conn, folder, &relocation.source)?,
        })
}

fn stage(conn: &Connection, group: &[Planned], now: UnixMs) -> Step<Option<Vec<ChangeId>>> {
    for planned in group {
        if is_busy(conn, planned)? || !has_source(conn, planned)? {
            return Ok(None);
        }
    }
    for planned in group {
        take_back(conn, planned)?;
    }
    group.iter().map(|planned| put(conn, planned, now)).collect::<Step<_>>().map(Some)
}

/// Staged moves that have to wait: another one still leaves from where they go.
pub(crate) fn without_room(conn: &Connection) -> Step<HashSet<i64>> {
    let mut select = conn.prepare_cached(
        "SELECT id, folder, from_path, coalesce(via, to_path) FROM change WHERE kind = 'move' ORDER BY id",
    )?;
    let rows = select
        .query_map([], |r| Ok((r.get(0)?, r.get::<_, i64>(1)?, r.get::<_, String>(2)?, r.get::<_, String>(3)?)))?;
    let moves: Vec<(i64, i64, String, String)> = rows.collect::<Result<_, _>>()?;
    let leaving: HashSet<(i64, &str)> = moves.iter().map(|(_, folder, from, _)| (*folder, from.as_str())).collect();
    // A move never goes where it comes from.
    Ok(moves
        .iter()
        .filter(|(_, folder, _, to)| leaving.contains(&(*folder, to.as_str())))
        .map(|(id, ..)| *id)
        .collect())
}

/// It is where it had to go first: that is agreed on, and the change goes on from there.
pub(crate) fn halfway(conn: &Connection, change: &Change, now: UnixMs) -> Step<()> {
    let RemoteChange::Relocate(relocation) = &change.what else { return Ok(()) };
    let Some((via, at)) = relocation.via.as_ref().and_then(|via| Some((via, beside(&change.path, via.name())?))) else {
        return Ok(());
    };
    let folder = change.folder;
    match &relocation.base {
        Some(meant) => {
            let known = base::get(conn, folder, &relocation.source)?;
            if let Some(known) = known.filter(|known| known.file_id == meant.file_id && known.rev == meant.rev) {
                base::put(conn, folder, &relocation.source, None, now)?;
                base::put(conn, folder, &at, Some(&Base { stat: meant.stat, ..known }), now)?;
                // Its revision there is not known yet.
                conn.prepare_cached(
                    "UPDATE base SET moved = 1 WHERE dir = (SELECT id FROM dir WHERE folder = ?1 AND path = ?2) AND name = ?3",
                )?
                .execute(params![folder.0, at.parent().unwrap_or_default().as_str(), at.name()])?;
            }
        }
        None => rekey(conn, folder, &Relocation { to: via.clone(), ..(**relocation).clone() }, &at, now)?,
    }
    conn.prepare_cached(
        "UPDATE change SET batch = NULL, pos = NULL, from_path = via, source = ?3, via = NULL, halfway = 1, attempts = 0, not_before = ?2
          WHERE id = ?1",
    )?
    .execute(params![change.id.0, now, at.as_str()])?;
    Ok(())
}

/// A move is given up. What has got to a free name on its way is looked at there, as what is gone: no event tells of it.
pub(crate) fn given_up(conn: &Connection, change: &Change, now: UnixMs) -> Step<()> {
    let RemoteChange::Relocate(relocation) = &change.what else { return Ok(()) };
    let is_halfway =
        conn.prepare_cached("SELECT 1 FROM change WHERE id = ?1 AND halfway = 1")?.exists([change.id.0])?;
    if !is_halfway {
        return Ok(());
    }
    let (folder, at) = (change.folder, &relocation.source);
    let seen_already = "ON CONFLICT (folder, path) DO NOTHING";
    for span in at_or_below(at) {
        conn.prepare_cached(&format!(
            "INSERT INTO job (folder, path, generation, state, size, since, due_at, burst)
             SELECT ?1, dir.path || '/' || base.name, 1, 'due', 0, ?4, ?4, ?4
               FROM dir CROSS JOIN base ON base.dir = dir.id
              WHERE dir.folder = ?1 AND dir.path >= ?2 AND dir.path < ?3 {seen_already}"
        ))?
        .execute(params![folder.0, span.low, span.high, now])?;
    }
    dirs::enqueue_gone(conn, folder, at, now, now, seen_already)?;
    if base::get(conn, folder, at)?.is_some() {
        dirs::look(conn, folder, at, 0, now)?;
    }
    Ok(())
}

fn beside(path: &RelPath, name: &str) -> Option<RelPath> {
    path.parent()?.child(name).ok()
}
