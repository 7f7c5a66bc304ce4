//! Comparing with base what a run of pages has touched: the paths themselves, and what lay below those that went.

use rusqlite::params;

use crate::model::RelPath;
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;
use crate::store::db::row::at_or_below;
use crate::store::remote::compare::{Found, Look, Position, SLICE, Touched};
use crate::store::remote::compared::Compared;
use crate::store::remote::key;
use crate::store::remote::names::Names;
use crate::store::remote::view;
use crate::store::{ListingId, Store, base, remote};

impl Store {
    /// Everything that was agreed on at or below these keys is compared with what is listed there, where a folder is listed.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn touch_below(&self, id: ListingId, keys: Vec<String>) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.write_and_wake(move |conn| {
            let mut insert = conn.prepare_cached(
                "INSERT INTO remote_touched (listing, path, below) VALUES (?1, ?2, 1) ON CONFLICT (listing, path) DO UPDATE SET below = 1",
            )?;
            let Some(live) = remote::get(conn, id)?.live else { return Ok(()) };
            for key in &keys {
                if let Some(entry) = view::one(conn, live.id, key)?.filter(|entry| entry.kind == "folder") {
                    insert.execute(params![id.0, entry.path])?;
                }
            }
            Ok(())
        })
        .await
    }
}

impl Look<'_> {
    /// What the pages since the last comparison have touched: at most so many paths after this one, and what lay below
    /// them.
    pub(crate) fn touched(&self, at: Option<Position>, after: &str) -> Step<Option<Touched>> {
        let mut select = self.conn.prepare_cached(
            "SELECT path, below, key FROM remote_touched WHERE listing = ?1 AND path > ?3 ORDER BY path LIMIT ?2",
        )?;
        let rows = select.query_map(params![self.id.0, row::limit(SLICE), after], |r| {
            Ok((r.get::<_, String>(0)?, r.get::<_, bool>(1)?, r.get::<_, String>(2)?))
        })?;
        let touched = rows.collect::<Result<Vec<_>, _>>()?;
        if touched.is_empty() {
            return Ok(None);
        }
        let (mut differing, mut done, mut left) = (Vec::new(), Vec::new(), SLICE);
        let mut resume = match at {
            Some(Position::Below { path, folder, dir, name }) => Some((path, folder, (dir, name))),
            _ => None,
        };
        for (path, below, key) in touched {
            let key = if key.is_empty() { key::key(self.conn, self.tree, &path)? } else { key };
            if left == 0 {
                break;
            }
            let mut from = resume
                .take()
                .filter(|(at, folder, _)| *at == path && below && self.folders.iter().any(|f| f.folder.0 == *folder));
            for folder in self.folders {
                let after = match &from {
                    Some((_, at, _)) if *at != folder.folder.0 => continue,
                    Some(_) => from.take().map(|(_, _, after)| after),
                    None => None,
                };
                let Some(rel) = self.touched_in(folder, (&path, &key), below, after.is_none(), &mut differing)? else {
                    continue;
                };
                if below && let Some((dir, name)) = self.under(folder, &rel, after, &mut left, &mut differing)? {
                    let position = Position::Below { path, folder: folder.folder.0, dir, name };
                    return Ok(Some((differing, Some(position), done)));
                }
            }
            left = left.saturating_sub(1);
            done.push((path, key));
        }
        Ok(Some((differing, None, done)))
    }

    /// A touched path itself in one folder: its local path, if it lies there or (where everything below it went) the folder lies in it.
    fn touched_in(
        &self,
        folder: &Compared,
        (path, key): (&str, &str),
        below: bool,
        itself: bool,
        differing: &mut Vec<Found>,
    ) -> Step<Option<RelPath>> {
        let home = self.home(folder)?;
        let Some(rest) = key.strip_prefix(&home).filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
            let above = below && home.strip_prefix(key).is_some_and(|rest| rest.starts_with('/'));
            if above && itself && folder.down {
                let path = RelPath::root();
                differing.push(Found { folder: folder.folder, path, size: 0, down: true, dirs_below: true, was: None });
            }
            return Ok(above.then(RelPath::root));
        };
        if rest.is_empty() {
            if below && itself && folder.down {
                let path = RelPath::root();
                differing.push(Found { folder: folder.folder, path, size: 0, down: true, dirs_below: true, was: None });
            }
            return Ok(Some(RelPath::root()));
        }
        if !folder.down {
            let skip = folder.remote.as_str().split('/').skip(1).count();
            let Ok(rel) = RelPath::parse(&path.split('/').skip(1 + skip).collect::<Vec<_>>().join("/")) else {
                return Ok(None);
            };
            if let Some(base) = base::get(self.conn, folder.folder, &rel)?.filter(|_| itself) {
                differing.extend(self.differs(folder, rel.clone(), &base)?);
            }
            return Ok(Some(rel));
        }
        let mut names = Names::new(self.conn, self.tree, folder, self.naming, &home, std::iter::once(key));
        let entry = view::one(self.conn, self.tree, key)?;
        if itself {
            let (place, base) = entry.as_ref().map_or(Ok((None, None)), |entry| self.place(&mut names, entry))?;
            match (place, base) {
                (Some(path), Some(base)) => differing.extend(self.differs(folder, path, &base)?),
                (Some(path), None) => {
                    let size = entry.as_ref().and_then(|e| e.size).unwrap_or_default();
                    differing.push(Found {
                        folder: folder.folder,
                        path,
                        size,
                        down: true,
                        dirs_below: false,
                        was: None,
                    });
                }
                (None, _) => {}
            }
            // A folder, or nothing, where a file of base was.
            if entry.as_ref().is_none_or(|e| e.kind == "folder")
                && let Some((path, Some(base))) = names.file(key, path, None)?
            {
                differing.extend(self.differs(folder, path, &base)?);
            }
        }
        if !below {
            return Ok(None);
        }
        let Some(dir) = names.dir(key, path)? else { return Ok(None) };
        if itself && (self.absence || entry.is_some()) {
            // A folder that went (and may be there again, or something else in its place), with all that was in it.
            let path = dir.path.clone();
            differing.push(Found { folder: folder.folder, path, size: 0, down: true, dirs_below: true, was: None });
        }
        Ok(Some(dir.path))
    }

    /// Base below a path, from after a row on; the last row if there is more.
    fn under(
        &self,
        folder: &Compared,
        rel: &RelPath,
        after: Option<(String, String)>,
        left: &mut usize,
        differing: &mut Vec<Found>,
    ) -> Step<Option<(String, String)>> {
        let (dir, name) = after.unwrap_or_default();
        for span in at_or_below(rel) {
            let mut select = self.conn.prepare_cached(
                "SELECT iif(d.path = '', '', d.path || '/') || b.name, b.size, b.mtime_ns, b.ctime_ns, b.ino, b.dev, b.content_hash, b.rev,
                        b.remote, b.file_id, d.path, b.name
                   FROM dir d CROSS JOIN base b ON b.dir = d.id
                  WHERE d.folder = ?1 AND d.path >= max(?2, ?4) AND d.path < ?3 AND (d.path > ?4 OR b.name > ?5)
                  ORDER BY d.path, b.name LIMIT ?6",
            )?;
            let numbers = params![folder.folder.0, span.low, span.high, dir, name, row::limit(*left)];
            let rows =
                select.query_map(numbers, |r| Ok((row::rel(r, 0)?, row::base(r, 1)?, (r.get(10)?, r.get(11)?))))?;
            let mut last = None;
            for found in rows {
                let (path, base, at) = found?;
                *left = left.saturating_sub(1);
                last = Some(at);
                differing.extend(self.differs(folder, path, &base)?);
            }
            if *left == 0 {
                // Perhaps there is nothing more: then the next slice finds out.
                return Ok(Some(last.unwrap_or_else(|| (dir.clone(), name.clone()))));
            }
        }
        Ok(None)
    }
}
