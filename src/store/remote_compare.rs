//! Comparing what was listed with base: rows for the queue, only where they differ.

use rusqlite::{Connection, OptionalExtension, params};

use super::error::{Step, StoreError};
use super::remote::ListingId;
use super::remote_view::{Sought, view};
use super::row::{self, at_or_below};
use super::{Store, base};
use crate::model::{Base, FolderId, RelPath, Remote, RemotePath, UnixMs};

/// Guesses the server's key of a path; `plan::listing` has it.
pub type KeyOf = fn(&str) -> String;

/// A folder of the configuration, as the comparison needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Its number.
    pub folder: FolderId,
    /// Its remote path.
    pub remote: RemotePath,
}

/// Rows of base read in one slice.
const SLICE: usize = 1000;

impl Store {
    /// One slice of the comparison of base with what the listing says; rows are made for the paths that differ, and for no others. What we
    /// are committing ourselves right now is no difference. `true` while there is more to compare.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub async fn compare_listing(
        &self,
        id: ListingId,
        folders: Vec<Compared>,
        key_of: KeyOf,
        now: UnixMs,
    ) -> Result<bool, StoreError> {
        let known = folders.clone();
        let slice = self.read(move |conn| slice(conn, id, &known, key_of)).await?;
        let Some(slice) = slice else { return Ok(false) };
        self.write_rows(usize::MAX, move |conn| {
            let mut insert = conn.prepare_cached(
                "INSERT INTO job (folder, path, generation, state, size, since, due_at) VALUES (?1, ?2, 1, 'due', ?3, ?4, ?4)
                 ON CONFLICT (folder, path) DO UPDATE SET generation = generation + 1",
            )?;
            for (folder, path, size) in &slice.differing {
                insert.execute(params![folder.0, path.as_str(), row::int(*size), now])?;
            }
            match &slice.next {
                Next::Whole(position) => {
                    conn.prepare_cached("UPDATE remote_listing SET compare_at = ?2 WHERE id = ?1")?
                        .execute(params![id.0, position])?;
                }
                Next::Touched(paths) => {
                    let mut delete =
                        conn.prepare_cached("DELETE FROM remote_touched WHERE listing = ?1 AND path = ?2")?;
                    for path in paths {
                        delete.execute(params![id.0, path])?;
                    }
                }
            }
            Ok(())
        })
        .await?;
        Ok(true)
    }
}

struct Slice {
    differing: Vec<(FolderId, RelPath, u64)>,
    next: Next,
}

enum Next {
    /// The whole base: on from here, `None` when it is done.
    Whole(Option<String>),
    /// These touched paths are done.
    Touched(Vec<String>),
}

fn slice(conn: &Connection, id: ListingId, folders: &[Compared], key_of: KeyOf) -> Step<Option<Slice>> {
    let position: Option<Option<String>> = conn
        .prepare_cached("SELECT compare_at FROM remote_listing WHERE id = ?1")?
        .query_row([id.0], |r| r.get(0))
        .optional()?;
    match position.flatten() {
        Some(position) => whole(conn, id, folders, key_of, &position).map(Some),
        None => touched(conn, id, folders, key_of),
    }
}

fn whole(conn: &Connection, id: ListingId, folders: &[Compared], key_of: KeyOf, position: &str) -> Step<Slice> {
    let (dir, name) = position.split_once('/').unwrap_or(("0", ""));
    let dir: i64 = dir.parse().unwrap_or(0);
    let mut select = conn.prepare_cached(
        "SELECT d.folder, iif(d.path = '', '', d.path || '/') || b.name, b.size, b.mtime_ns, b.ctime_ns, b.ino, b.dev, b.content_hash,
                b.rev, b.remote, b.file_id, b.dir, b.name
           FROM base b JOIN dir d ON d.id = b.dir WHERE (b.dir, b.name) > (?1, ?2) ORDER BY b.dir, b.name LIMIT ?3",
    )?;
    let rows = select.query_map(params![dir, name, row::limit(SLICE)], |r| {
        let at = format!("{}/{}", r.get::<_, i64>(11)?, r.get::<_, String>(12)?);
        Ok((FolderId(r.get(0)?), row::rel(r, 1)?, row::base(r, 2)?, at))
    })?;
    let (mut differing, mut seen, mut last) = (Vec::new(), 0, None);
    for found in rows {
        let (folder, path, base, at) = found?;
        seen += 1;
        last = Some(at);
        if let Some(folder) = folders.iter().find(|f| f.folder == folder)
            && differs(conn, id, folder, &path, &base, key_of)?
        {
            differing.push((folder.folder, path, base.stat.size));
        }
    }
    Ok(Slice { differing, next: Next::Whole(last.filter(|_| seen == SLICE)) })
}

fn touched(conn: &Connection, id: ListingId, folders: &[Compared], key_of: KeyOf) -> Step<Option<Slice>> {
    let mut select = conn.prepare_cached("SELECT path, below FROM remote_touched WHERE listing = ?1 LIMIT ?2")?;
    let rows =
        select.query_map(params![id.0, row::limit(SLICE)], |r| Ok((r.get::<_, String>(0)?, r.get::<_, bool>(1)?)))?;
    let touched = rows.collect::<Result<Vec<_>, _>>()?;
    if touched.is_empty() {
        return Ok(None);
    }
    let mut differing = Vec::new();
    for (path, below) in &touched {
        let key = key_of(path);
        for folder in folders {
            let home = key_of(folder.remote.as_str());
            let rest = key.strip_prefix(&home).filter(|rest| rest.is_empty() || rest.starts_with('/'));
            // Either the path lies in the folder, or (where a whole folder went) the folder lies in the path.
            let above = *below && (home == key || home.strip_prefix(&key).is_some_and(|rest| rest.starts_with('/')));
            let skip = folder.remote.as_str().split('/').skip(1).count();
            let rel = match rest {
                Some(_) => path.split('/').skip(1 + skip).collect::<Vec<_>>().join("/"),
                None if above => String::new(),
                None => continue,
            };
            let Ok(rel) = RelPath::parse(&rel) else { continue };
            if let Some(base) = base::get(conn, folder.folder, &rel)?
                && differs(conn, id, folder, &rel, &base, key_of)?
            {
                differing.push((folder.folder, rel.clone(), base.stat.size));
            }
            if *below {
                under(conn, id, folder, &rel, key_of, &mut differing)?;
            }
        }
    }
    let paths = touched.into_iter().map(|(path, _)| path).collect();
    Ok(Some(Slice { differing, next: Next::Touched(paths) }))
}

fn under(
    conn: &Connection,
    id: ListingId,
    folder: &Compared,
    rel: &RelPath,
    key_of: KeyOf,
    differing: &mut Vec<(FolderId, RelPath, u64)>,
) -> Step<()> {
    for span in at_or_below(rel) {
        let mut select = conn.prepare_cached(
            "SELECT iif(d.path = '', '', d.path || '/') || b.name, b.size, b.mtime_ns, b.ctime_ns, b.ino, b.dev, b.content_hash, b.rev,
                    b.remote, b.file_id FROM dir d CROSS JOIN base b ON b.dir = d.id WHERE d.folder = ?1 AND d.path >= ?2 AND d.path < ?3",
        )?;
        let rows = select
            .query_map(params![folder.folder.0, span.low, span.high], |r| Ok((row::rel(r, 0)?, row::base(r, 1)?)))?;
        for found in rows {
            let (path, base) = found?;
            if differs(conn, id, folder, &path, &base, key_of)? {
                differing.push((folder.folder, path, base.stat.size));
            }
        }
    }
    Ok(())
}

fn differs(
    conn: &Connection,
    id: ListingId,
    folder: &Compared,
    path: &RelPath,
    base: &Base,
    key_of: KeyOf,
) -> Step<bool> {
    let place = base.remote.clone().unwrap_or_else(|| folder.remote.join(path));
    let sought = Sought { listing: id, key: key_of(place.as_str()), sure: true };
    match view(conn, &sought)? {
        Remote::File { content_hash, rev, .. }
            if rev == base.rev && content_hash.is_none_or(|h| h == base.content_hash) =>
        {
            Ok(false)
        }
        Remote::Unlisted => Ok(false),
        Remote::File { content_hash: Some(hash), .. } => {
            // Our own commit, seen in the listing before its reply was: base is about to be that.
            let ours = conn
                .prepare_cached(
                    "SELECT 1 FROM change WHERE content_hash = ?3
                        AND job = (SELECT id FROM job WHERE folder = ?1 AND path = ?2)",
                )?
                .exists(params![folder.folder.0, path.as_str(), hash.0])?;
            Ok(!ours)
        }
        _ => Ok(true),
    }
}
