//! All that is known of a folder, a slice at a time: for the look at rest that misses nobody's row.

use rusqlite::params;

use crate::model::{FolderId, RelPath};
use crate::store::db::error::StoreError;
use crate::store::db::row;
use crate::store::remote::compare::{Look, Position};
use crate::store::remote::compared::{Compared, Naming};
use crate::store::{ListingId, Store};

/// Where such a look stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownAt {
    /// In the files that were agreed on, after this one.
    Files {
        /// Its directory.
        dir: String,
        /// Its name.
        name: String,
    },
    /// In the directories that were agreed on, after this one.
    Dirs {
        /// The directory above it.
        parent: String,
        /// Its name.
        name: String,
    },
}

impl KnownAt {
    /// The beginning.
    pub fn first() -> Self {
        // The root's own row is the empty text, and no name is.
        Self::Files { dir: String::new(), name: String::new() }
    }
}

impl Store {
    /// The next paths that both sides agreed on, and where it goes on; nowhere after the last. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn known_page_blocking(
        &self,
        folder: FolderId,
        at: &KnownAt,
        limit: usize,
    ) -> Result<(Vec<RelPath>, Option<KnownAt>), StoreError> {
        self.read_blocking(|conn| {
            let (sql, after) = match at {
                KnownAt::Files { dir, name } => (
                    "SELECT iif(d.path = '', '', d.path || '/') || b.name, d.path, b.name FROM dir d CROSS JOIN base b ON b.dir = d.id
                      WHERE d.folder = ?1 AND d.path >= ?2 AND (d.path > ?2 OR b.name > ?3) ORDER BY d.path, b.name LIMIT ?4",
                    (dir, name),
                ),
                KnownAt::Dirs { parent, name } => (
                    "SELECT iif(parent = '', '', parent || '/') || name, parent, name FROM base_dir
                      WHERE folder = ?1 AND (parent, name) > (?2, ?3) ORDER BY parent, name LIMIT ?4",
                    (parent, name),
                ),
            };
            let mut select = conn.prepare_cached(sql)?;
            let rows = select.query_map(params![folder.0, after.0, after.1, row::limit(limit)], |r| {
                Ok((row::rel(r, 0)?, r.get::<_, String>(1)?, r.get::<_, String>(2)?))
            })?;
            let (mut paths, mut last) = (Vec::new(), None);
            for found in rows {
                let (path, above, name) = found?;
                paths.push(path);
                last = Some((above, name));
            }
            let next = match (at, last.filter(|_| paths.len() == limit)) {
                (KnownAt::Files { .. }, Some((dir, name))) => Some(KnownAt::Files { dir, name }),
                (KnownAt::Dirs { .. }, Some((parent, name))) => Some(KnownAt::Dirs { parent, name }),
                (KnownAt::Files { .. }, None) => Some(KnownAt::Dirs { parent: String::new(), name: String::new() }),
                (KnownAt::Dirs { .. }, None) => None,
            };
            Ok((paths, next))
        })
    }

    /// The next paths that only Dropbox has, under the names that they have or would have here, after a key, and the key after which it goes on; nothing
    /// while the listing is not complete. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn unmet_page_blocking(
        &self,
        id: ListingId,
        folder: &Compared,
        naming: Naming,
        after: String,
    ) -> Result<(Vec<RelPath>, Option<String>), StoreError> {
        self.read_blocking(|conn| {
            let folders = std::slice::from_ref(folder);
            let Some((look, _)) = Look::new(conn, id, folders, naming)? else { return Ok((Vec::new(), None)) };
            let (found, next) = look.listed(folder.folder.0, after)?;
            let next = match next {
                Some(Position::Listed { folder: of, after }) if of == folder.folder.0 => Some(after),
                _ => None,
            };
            Ok((found.into_iter().map(|found| found.path).collect(), next))
        })
    }

    /// Those of these paths of which nothing is to be done and nothing is told: without a row, and no problem of a scan at or above them. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn without_row_blocking(&self, folder: FolderId, paths: Vec<RelPath>) -> Result<Vec<RelPath>, StoreError> {
        self.read_blocking(|conn| {
            let mut known = conn.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM job WHERE folder = ?1 AND path = ?2)
                     OR EXISTS (SELECT 1 FROM odd WHERE folder = ?1 AND dir IN (?2, ?3) AND path_text = ?2)",
            )?;
            let mut left = Vec::new();
            for path in paths {
                let (mut at, mut told) = (Some(path.clone()), false);
                while let Some(here) = at.filter(|here| !told && !here.is_root()) {
                    at = here.parent();
                    let above = at.clone().unwrap_or_default();
                    told = known.query_row(params![folder.0, here.as_str(), above.as_str()], |r| r.get(0))?;
                }
                if !told {
                    left.push(path);
                }
            }
            Ok(left)
        })
    }

    /// A text that is another one after any row was made, and after any page of a listing. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn work_mark_blocking(&self) -> Result<String, StoreError> {
        self.read_blocking(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT format('%d %d %d', coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'job'), 0),
                        (SELECT coalesce(sum(pages), 0) FROM remote_tree), (SELECT coalesce(max(id), 0) FROM remote_tree))",
            )?;
            Ok(select.query_row([], |r| r.get(0))?)
        })
    }

    /// Whether what the pages brought is still to be compared with what was agreed on. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn is_comparing_blocking(&self) -> Result<bool, StoreError> {
        self.read_blocking(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM remote_listing WHERE compare_at IS NOT NULL) OR EXISTS (SELECT 1 FROM remote_touched)
                     OR EXISTS (SELECT 1 FROM remote_tree WHERE listing IS NOT NULL AND running = 1)",
            )?;
            Ok(select.query_row([], |r| r.get(0))?)
        })
    }
}
