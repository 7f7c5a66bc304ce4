//! What disk and Dropbox last agreed on.

pub(super) mod by_content;
pub(super) mod dirs;
pub(super) mod hash_cache;
pub(super) mod key_override;

use std::collections::BTreeSet;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};

use super::Store;
use crate::model::{Base, ContentHash, FolderId, RelPath, Stat, UnixMs};
use crate::store::db::error::{Fault, Step, StoreError};
use crate::store::db::row;
use crate::store::queue::install_intent;

impl Store {
    /// The first other path whose base is this remote file, for threads that may block.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn sharer_blocking(
        &self,
        folder: FolderId,
        path: &RelPath,
        file_id: &str,
    ) -> Result<Option<(FolderId, RelPath)>, StoreError> {
        let (path, file_id) = (path.clone(), file_id.to_owned());
        self.read_blocking(move |conn| Ok(sharers(conn, folder, &path, &file_id)?.into_iter().next()))
    }

    /// The base of one file, for threads that may block.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn base_blocking(&self, folder: FolderId, path: &RelPath) -> Result<Option<Base>, StoreError> {
        let path = path.clone();
        self.read_blocking(move |conn| get(conn, folder, &path))
    }

    /// Whether anything is known below a directory: files of base, or what a scan found odd there, or rows that wait after a failure.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn knows_below_blocking(&self, folder: FolderId, dir: &RelPath) -> Result<bool, StoreError> {
        let dir = dir.clone();
        self.read_blocking(move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM dir WHERE folder = ?1 AND path >= ?2 AND path < ?3)
                     OR EXISTS (SELECT 1 FROM base_dir WHERE folder = ?1 AND parent >= ?2 AND parent < ?3)
                     OR EXISTS (SELECT 1 FROM odd WHERE folder = ?1 AND dir >= ?2 AND dir < ?3)
                     OR EXISTS (SELECT 1 FROM job WHERE folder = ?1 AND path > ?2 AND path < ?3
                                 AND (code IS NOT NULL OR state IN ('claimed', 'staged')))",
            )?;
            for span in row::at_or_below(&dir) {
                if select.query_row(params![folder.0, span.low, span.high], |r| r.get(0))? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// For each path, the first other path whose base is the same remote file (`file_id`), if there is one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn sharing(
        &self,
        paths: Vec<(FolderId, RelPath, String)>,
    ) -> Result<Vec<Option<(FolderId, RelPath)>>, StoreError> {
        self.read(move |conn| {
            paths
                .iter()
                .map(|(folder, path, file_id)| Ok(sharers(conn, *folder, path, file_id)?.into_iter().next()))
                .collect()
        })
        .await
    }

    /// The base of one file.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn base(&self, folder: FolderId, path: &RelPath) -> Result<Option<Base>, StoreError> {
        let path = path.clone();
        self.read(move |conn| get(conn, folder, &path)).await
    }

    /// The names and stats of the files directly in a directory, ordered by the bytes of their names. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn base_children_blocking(&self, folder: FolderId, dir: &RelPath) -> Result<Vec<(String, Stat)>, StoreError> {
        self.read_blocking(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT name, size, mtime_ns, ctime_ns, ino, dev FROM base
                  WHERE dir = (SELECT id FROM dir WHERE folder = ?1 AND path = ?2) ORDER BY name",
            )?;
            let rows = select.query_map(params![folder.0, dir.as_str()], |r| Ok((r.get(0)?, row::stat(r, 1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The directories directly in a directory that hold files of base, however deep, ordered. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn base_dirs_blocking(&self, folder: FolderId, dir: &RelPath) -> Result<Vec<RelPath>, StoreError> {
        self.read_blocking(|conn| {
            let (mut found, mut wrong) = (BTreeSet::new(), None);
            each_dir(conn, folder, dir, &mut |name| match dir.child(name) {
                Ok(path) => drop(found.insert(path)),
                Err(e) => wrong = Some(format!("it holds {e}: {name:?}")),
            })?;
            wrong.map_or(Ok(found.into_iter().collect()), |what| Err(Fault::Damaged(what)))
        })
    }
}

/// The names of the directories directly in a directory that hold files of base, however deep; some of them twice. Leaps from one to the
/// next: one look-up each, however much lies below them.
pub(super) fn each_dir(conn: &Connection, folder: FolderId, dir: &RelPath, each: &mut dyn FnMut(&str)) -> Step<()> {
    let mut next = conn
        .prepare_cached("SELECT path FROM dir WHERE folder = ?1 AND path >= ?2 AND path < ?3 ORDER BY path LIMIT 1")?;
    let prefix = if dir.is_root() { String::new() } else { format!("{}/", dir.as_str()) };
    // The root's own row is the empty text, which U+0001 leaves out.
    let mut low = if dir.is_root() { "\u{1}".to_owned() } else { prefix.clone() };
    let high = if dir.is_root() { Value::Blob(Vec::new()) } else { Value::Text(format!("{}0", dir.as_str())) };
    loop {
        let path: Option<String> = next.query_row(params![folder.0, low, high], |r| r.get(0)).optional()?;
        let Some(path) = path else { return Ok(()) };
        let rest = path.strip_prefix(&prefix).unwrap_or_default();
        let (name, below) = rest.split_once('/').map_or((rest, false), |(name, _)| (name, true));
        // After `a/...` comes `a0`; after `a` itself perhaps `a.b`, and `a/...` later.
        low = format!("{prefix}{name}{}", if below { '0' } else { '\u{1}' });
        each(name);
    }
}

/// The names of the files of base directly in a directory.
pub(super) fn each_file(conn: &Connection, folder: FolderId, dir: &RelPath, each: &mut dyn FnMut(&str)) -> Step<()> {
    let mut select =
        conn.prepare_cached("SELECT name FROM base WHERE dir = (SELECT id FROM dir WHERE folder = ?1 AND path = ?2)")?;
    let mut rows = select.query(params![folder.0, dir.as_str()])?;
    while let Some(row) = rows.next()? {
        each(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?);
    }
    Ok(())
}

/// The base of one file.
pub(super) fn get(conn: &Connection, folder: FolderId, path: &RelPath) -> Step<Option<Base>> {
    let parent = path.parent().unwrap_or_default();
    let mut select = conn.prepare_cached(
        "SELECT size, mtime_ns, ctime_ns, ino, dev, content_hash, rev, remote, file_id FROM base
          WHERE dir = (SELECT id FROM dir WHERE folder = ?1 AND path = ?2) AND name = ?3",
    )?;
    Ok(select.query_row(params![folder.0, parent.as_str(), path.name()], |r| row::base(r, 0)).optional()?)
}

/// The other paths whose base is this remote file.
pub(super) fn sharers(
    conn: &Connection,
    folder: FolderId,
    path: &RelPath,
    file_id: &str,
) -> Step<Vec<(FolderId, RelPath)>> {
    let mut select = conn.prepare_cached(
        "SELECT dir.folder, iif(dir.path = '', '', dir.path || '/') || base.name
           FROM base JOIN dir ON dir.id = base.dir WHERE base.file_id = ?1",
    )?;
    let mut rows = select.query([file_id])?;
    let mut found = Vec::new();
    while let Some(r) = rows.next()? {
        let other = (FolderId(r.get(0)?), row::rel(r, 1)?);
        if (other.0, &other.1) != (folder, path) {
            found.push(other);
        }
    }
    Ok(found)
}

/// Sets the base of one file, or takes it away. One remote file has one base: a row of another path for it goes (the file was renamed in
/// letters that Dropbox does not tell apart), and with it that path's staged deletion, which would take the renamed file. A conflict is resolved once its path lies in its own place again, or nowhere.
pub(super) fn put(conn: &Connection, folder: FolderId, path: &RelPath, base: Option<&Base>, now: UnixMs) -> Step<()> {
    if base.is_none_or(|base| base.remote.is_none()) {
        conn.prepare_cached("DELETE FROM conflict WHERE folder = ?1 AND path = ?2 AND aside IS NULL")?
            .execute(params![folder.0, path.as_str()])?;
    }
    install_intent::settled(conn, folder, path)?;
    let parent = path.parent().unwrap_or_default();
    let Some(base) = base else {
        conn.prepare_cached("DELETE FROM conflict WHERE folder = ?1 AND aside = ?2")?
            .execute(params![folder.0, path.as_str()])?;
        // Whoever had to stand back for this path may try again.
        conn.prepare_cached(
            "UPDATE job SET state = 'due', due_at = ?2 WHERE folder = ?1 AND code IN ('case_clash', 'case_conflict') AND state = 'wedged'",
        )?
        .execute(params![folder.0, now])?;
        let files = conn
            .prepare_cached(
                "DELETE FROM base WHERE dir = (SELECT id FROM dir WHERE folder = ?1 AND path = ?2) AND name = ?3",
            )?
            .execute(params![folder.0, parent.as_str(), path.name()])?;
        // A file that was agreed on went: a directory in its place, which the first file in it has brought, stays agreed on.
        return if files == 0 { dirs::forget(conn, folder, path) } else { Ok(()) };
    };
    dirs::forget(conn, folder, path)?;
    if base.remote.is_none() {
        dirs::put_above(conn, folder, path, now)?;
    }
    if let Some(file_id) = &base.file_id {
        for (other_folder, other) in sharers(conn, folder, path, file_id)? {
            // Folders lie apart in Dropbox: a file that came here from another one was moved, and what is left there goes by its own row.
            if other_folder != folder {
                continue;
            }
            put(conn, other_folder, &other, None, now)?;
            conn.prepare_cached(
                "DELETE FROM change WHERE kind IN ('delete', 'trash') AND batch IS NULL
                    AND job = (SELECT id FROM job WHERE folder = ?1 AND path = ?2)",
            )?
            .execute(params![other_folder.0, other.as_str()])?;
            conn.prepare_cached(
                "UPDATE job SET state = 'due' WHERE folder = ?1 AND path = ?2 AND state = 'staged'
                    AND NOT EXISTS (SELECT 1 FROM change WHERE change.job = job.id)",
            )?
            .execute(params![other_folder.0, other.as_str()])?;
        }
    }
    let stat = &base.stat;
    conn.prepare_cached(
        "INSERT INTO base (dir, name, size, mtime_ns, ctime_ns, ino, dev, content_hash, rev, remote, synced_at, file_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (dir, name) DO UPDATE SET
           size = excluded.size, mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns, ino = excluded.ino,
           dev = excluded.dev, content_hash = excluded.content_hash, rev = excluded.rev, remote = excluded.remote,
           synced_at = excluded.synced_at, file_id = excluded.file_id, moved = 0",
    )?
    .execute(params![
        dir_id(conn, folder, &parent)?,
        path.name(),
        row::int(stat.size),
        stat.mtime_ns,
        stat.ctime_ns,
        stat.ino.cast_signed(),
        stat.dev.cast_signed(),
        base.content_hash.0,
        base.rev,
        base.remote.as_ref().map(|remote| remote.as_str()),
        now,
        base.file_id,
    ])?;
    Ok(())
}

/// Dropbox has the content of a file that was moved with its directory, under the revision that it got by that: base takes that, unless somebody works on
/// the file. Says whether it did.
pub(super) fn renew(
    conn: &Connection,
    folder: FolderId,
    path: &RelPath,
    content_hash: ContentHash,
    rev: &str,
) -> Step<bool> {
    let busy = conn
        .prepare_cached("SELECT 1 FROM job WHERE folder = ?1 AND path = ?2 AND state IN ('claimed', 'staged')")?
        .exists(params![folder.0, path.as_str()])?;
    let parent = path.parent().unwrap_or_default();
    let taken = !busy
        && conn
            .prepare_cached(
                "UPDATE base SET rev = ?5, moved = 0 WHERE dir = (SELECT id FROM dir WHERE folder = ?1 AND path = ?2) AND name = ?3
                    AND content_hash = ?4 AND moved = 1 AND remote IS NULL",
            )?
            .execute(params![folder.0, parent.as_str(), path.name(), content_hash.0, rev])?
            > 0;
    Ok(taken)
}

fn dir_id(conn: &Connection, folder: FolderId, dir: &RelPath) -> Step<i64> {
    let mut select = conn.prepare_cached("SELECT id FROM dir WHERE folder = ?1 AND path = ?2")?;
    if let Some(id) = select.query_row(params![folder.0, dir.as_str()], |r| r.get(0)).optional()? {
        return Ok(id);
    }
    conn.prepare_cached("INSERT INTO dir (folder, path) VALUES (?1, ?2)")?.execute(params![folder.0, dir.as_str()])?;
    Ok(conn.last_insert_rowid())
}
