//! Directories that disk and Dropbox agreed on.

use rusqlite::{Connection, OptionalExtension, params};

use crate::model::{DirStat, FolderId, RelPath, UnixMs};
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;
use crate::store::db::row::at_or_below;
use crate::store::queue::fresh::FRESH;
use crate::store::{Store, base};

impl Store {
    /// The names of the directories directly in a directory that both sides agreed on, ordered by their bytes. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn agreed_dirs_blocking(&self, folder: FolderId, dir: &RelPath) -> Result<Vec<String>, StoreError> {
        self.read_blocking(|conn| {
            let mut select =
                conn.prepare_cached("SELECT name FROM base_dir WHERE folder = ?1 AND parent = ?2 ORDER BY name")?;
            let rows = select.query_map(params![folder.0, dir.as_str()], |r| r.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Whether both sides agreed on a directory here. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn agreed_dir_blocking(&self, folder: FolderId, dir: &RelPath) -> Result<bool, StoreError> {
        self.read_blocking(|conn| has(conn, folder, dir))
    }

    /// Whether any file is agreed on below a directory. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn busy_below_blocking(&self, folder: FolderId, dir: &RelPath) -> Result<bool, StoreError> {
        self.read_blocking(|conn| {
            let mut select =
                conn.prepare_cached("SELECT 1 FROM dir WHERE folder = ?1 AND path >= ?2 AND path < ?3 LIMIT 1")?;
            for span in at_or_below(dir) {
                if select.exists(params![folder.0, span.low, span.high])? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }
}

impl Store {
    /// Whether anything below a directory is agreed on, or has yet to be looked at: it may go by itself. What failed does not. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn moves_below_blocking(&self, folder: FolderId, dir: &RelPath) -> Result<bool, StoreError> {
        self.read_blocking(|conn| {
            let mut select = conn.prepare_cached(&format!(
                "SELECT EXISTS (SELECT 1 FROM dir WHERE folder = ?1 AND path >= ?2 AND path < ?3)
                     OR EXISTS (SELECT 1 FROM job WHERE folder = ?1 AND path >= ?2 AND path < ?3 AND path <> ?4 AND {FRESH})",
            ))?;
            for span in at_or_below(dir) {
                if select.query_row(params![folder.0, span.low, span.high, dir.as_str()], |r| r.get(0))? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// Whether somebody works on anything below a path, or has staged it. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn works_below_blocking(&self, folder: FolderId, path: &RelPath) -> Result<bool, StoreError> {
        self.read_blocking(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT 1 FROM job WHERE folder = ?1 AND path >= ?2 AND path < ?3 AND path <> ?4 AND state IN ('claimed', 'staged') LIMIT 1",
            )?;
            for span in at_or_below(path) {
                if select.exists(params![folder.0, span.low, span.high, path.as_str()])? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// Whether a change to Dropbox of anything below a path is staged. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn stages_below_blocking(&self, folder: FolderId, path: &RelPath) -> Result<bool, StoreError> {
        self.read_blocking(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT 1 FROM job WHERE folder = ?1 AND path >= ?2 AND path < ?3 AND path <> ?4 AND state = 'staged' LIMIT 1",
            )?;
            for span in at_or_below(path) {
                if select.exists(params![folder.0, span.low, span.high, path.as_str()])? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// Whether anything below a path that was agreed on as a file is about to change: staged, or to be looked at. What failed, or was given up, is not.
    /// Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn changes_below_blocking(&self, folder: FolderId, path: &RelPath) -> Result<bool, StoreError> {
        self.read_blocking(|conn| {
            let mut select = conn.prepare_cached(&format!(
                "SELECT path FROM job WHERE folder = ?1 AND path >= ?2 AND path < ?3 AND path <> ?4
                    AND (state = 'staged' OR state <> 'wedged' AND {FRESH})",
            ))?;
            for span in at_or_below(path) {
                let mut rows = select.query(params![folder.0, span.low, span.high, path.as_str()])?;
                while let Some(r) = rows.next()? {
                    if base::get(conn, folder, &row::rel(r, 0)?)?.is_some() {
                        return Ok(true);
                    }
                }
            }
            Ok(false)
        })
    }

    /// Whether a path has a row, in whatever state. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn has_row_blocking(&self, folder: FolderId, path: &RelPath) -> Result<bool, StoreError> {
        self.read_blocking(|conn| {
            let mut select = conn.prepare_cached("SELECT 1 FROM job WHERE folder = ?1 AND path = ?2")?;
            Ok(select.exists(params![folder.0, path.as_str()])?)
        })
    }

    /// Whether a path has been given up until it changes. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn is_wedged_blocking(&self, folder: FolderId, path: &RelPath) -> Result<bool, StoreError> {
        self.read_blocking(|conn| is_wedged(conn, folder, path))
    }
}

/// Whether a path has been given up until it changes.
pub(crate) fn is_wedged(conn: &Connection, folder: FolderId, path: &RelPath) -> Step<bool> {
    let mut select = conn.prepare_cached("SELECT 1 FROM job WHERE folder = ?1 AND path = ?2 AND state = 'wedged'")?;
    Ok(select.exists(params![folder.0, path.as_str()])?)
}

/// Whether a directory was agreed on.
pub(crate) fn has(conn: &Connection, folder: FolderId, path: &RelPath) -> Step<bool> {
    let Some(parent) = path.parent() else { return Ok(false) };
    let mut select = conn.prepare_cached("SELECT 1 FROM base_dir WHERE folder = ?1 AND parent = ?2 AND name = ?3")?;
    Ok(select.exists(params![folder.0, parent.as_str(), path.name()])?)
}

/// Which directory was agreed on; zeros where that is not known.
pub(crate) fn get(conn: &Connection, folder: FolderId, path: &RelPath) -> Step<Option<DirStat>> {
    let Some(parent) = path.parent() else { return Ok(None) };
    let mut select =
        conn.prepare_cached("SELECT ino, dev FROM base_dir WHERE folder = ?1 AND parent = ?2 AND name = ?3")?;
    let found = select.query_row(params![folder.0, parent.as_str(), path.name()], |r| {
        Ok(DirStat { ino: r.get::<_, i64>(0)?.cast_unsigned(), dev: r.get::<_, i64>(1)?.cast_unsigned() })
    });
    Ok(found.optional()?)
}

/// The names of the agreed directories directly in a directory.
pub(crate) fn each(conn: &Connection, folder: FolderId, dir: &RelPath, take: &mut dyn FnMut(&str)) -> Step<()> {
    let mut select = conn.prepare_cached("SELECT name FROM base_dir WHERE folder = ?1 AND parent = ?2")?;
    let mut rows = select.query(params![folder.0, dir.as_str()])?;
    while let Some(r) = rows.next()? {
        take(r.get_ref(0)?.as_str().unwrap_or_default());
    }
    Ok(())
}

/// A directory is agreed on; a file is not any more.
pub(crate) fn put(conn: &Connection, folder: FolderId, path: &RelPath, stat: DirStat, now: UnixMs) -> Step<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    if base::get(conn, folder, path)?.is_some() {
        base::put(conn, folder, path, None, now)?;
    }
    conn.prepare_cached(
        "INSERT INTO base_dir (folder, parent, name, ino, dev) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (folder, parent, name) DO UPDATE SET ino = excluded.ino, dev = excluded.dev",
    )?
    .execute(params![folder.0, parent.as_str(), path.name(), stat.ino.cast_signed(), stat.dev.cast_signed()])?;
    Ok(())
}

/// A file is agreed on, and so are the directories above it; only where changes come down, since elsewhere directories are nobody's business. Those that
/// are new are looked at: they may have gone while the file was on its way, and nobody knew of them then.
pub(crate) fn put_above(conn: &Connection, folder: FolderId, path: &RelPath, now: UnixMs) -> Step<()> {
    let mut insert = conn.prepare_cached(
        "INSERT OR IGNORE INTO base_dir (folder, parent, name, ino, dev)
         SELECT id, ?2, ?3, 0, 0 FROM folder WHERE id = ?1 AND mode IN ('two-way', 'download')",
    )?;
    let mut at = path.parent();
    while let Some(dir) = at.filter(|dir| !dir.is_root()) {
        let parent = dir.parent().unwrap_or_default();
        // Known already, and then so are those above it.
        if insert.execute(params![folder.0, parent.as_str(), dir.name()])? == 0 {
            break;
        }
        look(conn, folder, &dir, 0, now)?;
        at = Some(parent);
    }
    Ok(())
}

/// A directory is no longer agreed on.
pub(crate) fn forget(conn: &Connection, folder: FolderId, path: &RelPath) -> Step<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    conn.prepare_cached("DELETE FROM base_dir WHERE folder = ?1 AND parent = ?2 AND name = ?3")?.execute(params![
        folder.0,
        parent.as_str(),
        path.name()
    ])?;
    Ok(())
}

/// Rows for the agreed directories at or below one that is gone.
pub(crate) fn enqueue_gone(
    conn: &Connection,
    folder: FolderId,
    dir: &RelPath,
    due_at: UnixMs,
    now: UnixMs,
    seen_again: &str,
) -> Step<usize> {
    let mut paths = 0;
    for span in at_or_below(dir) {
        paths += conn
            .prepare_cached(&format!(
                "INSERT INTO job (folder, path, generation, state, size, since, due_at, burst)
                 SELECT ?1, iif(parent = '', '', parent || '/') || name, 1, 'due', 0, ?4, ?5, ?4
                   FROM base_dir WHERE folder = ?1 AND parent >= ?2 AND parent < ?3 {seen_again}"
            ))?
            .execute(params![folder.0, span.low, span.high, now, due_at])?;
    }
    if has(conn, folder, dir)? {
        paths += conn
            .prepare_cached(&format!(
                "INSERT INTO job (folder, path, generation, state, size, since, due_at, burst)
                 VALUES (?1, ?2, 1, 'due', 0, ?3, ?4, ?3) {seen_again}"
            ))?
            .execute(params![folder.0, dir.as_str(), now, due_at])?;
    }
    Ok(paths)
}

/// Of whom nothing is known any more.
pub(crate) fn drop_all(conn: &Connection, folder: FolderId) -> Step<()> {
    conn.execute("DELETE FROM base_dir WHERE folder = ?1", [folder.0])?;
    Ok(())
}

/// "Look at it now": the path's row, new or not, is due at once.
pub(crate) fn look(conn: &Connection, folder: FolderId, path: &RelPath, size: u64, now: UnixMs) -> Step<()> {
    conn.prepare_cached(
        "INSERT INTO job (folder, path, generation, state, size, since, due_at, burst) VALUES (?1, ?2, 1, 'due', ?3, ?4, ?4, ?4)
         ON CONFLICT (folder, path) DO UPDATE SET generation = generation + 1, due_at = min(due_at, excluded.due_at),
            attempts = iif(state = 'wedged', 0, attempts),
            state = iif(state = 'wedged', 'due', state)",
    )?
    .execute(params![folder.0, path.as_str(), row::int(size), now])?;
    Ok(())
}
