//! Which files have the same content, and the copies in Dropbox that come of it.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use crate::model::{Base, Change, ContentHash, FolderId, RelPath, Relocation, RemoteChange};
use crate::store::Store;
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;

/// So many files of one content are looked at.
const MOST: usize = 8;

/// Whether base has a file of `size` bytes, and which of them hold `content_hash`. The bound on the size is the index's, so that it is used.
pub(crate) fn queries() -> [String; 2] {
    let smallest = Relocation::SMALLEST_ALIKE;
    [
        format!("SELECT 1 FROM base WHERE size = ?1 AND size >= {smallest} LIMIT 1"),
        format!(
            "SELECT d.folder, iif(d.path = '', '', d.path || '/') || b.name, b.size, b.mtime_ns, b.ctime_ns, b.ino, b.dev, b.content_hash,
                    b.rev, b.remote, b.file_id
               FROM base b CROSS JOIN dir d ON d.id = b.dir
              WHERE b.size = ?1 AND b.content_hash = ?2 AND b.size >= {smallest} AND b.remote IS NULL
              ORDER BY d.folder <> ?3 LIMIT ?4"
        ),
    ]
}

impl Store {
    /// Whether any folder of the account agreed on a file of this size, at least [`Relocation::SMALLEST_ALIKE`] bytes. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn has_size_blocking(&self, size: u64) -> Result<bool, StoreError> {
        let [sized, _] = queries();
        self.read_blocking(move |conn| Ok(conn.prepare_cached(&sized)?.exists([row::int(size)])?))
    }

    /// Some files of the account that hold this content and lie at their own place in Dropbox, as base knows them; those of `folder` come first.
    /// Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn same_content_blocking(
        &self,
        folder: FolderId,
        size: u64,
        content_hash: ContentHash,
    ) -> Result<Vec<(FolderId, RelPath, Base)>, StoreError> {
        let [_, alike] = queries();
        self.read_blocking(move |conn| {
            let mut select = conn.prepare_cached(&alike)?;
            let of = params![row::int(size), content_hash.0, folder.0, row::limit(MOST)];
            let rows = select.query_map(of, |r| Ok((FolderId(r.get(0)?), row::rel(r, 1)?, row::base(r, 2)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

/// Whether what a copy brought is not what was meant: the row is looked at again.
pub(crate) fn other_content(change: &Change, brought: Option<&Base>) -> bool {
    let RemoteChange::Relocate(relocation) = &change.what else { return false };
    relocation.alike && brought.map(|base| base.content_hash) != relocation.base.as_ref().map(|base| base.content_hash)
}

/// The sources of one batch of copies. Many copies of one source may share a batch, but one whose paths did not fit into its last batch shares its
/// source with none.
#[derive(Default)]
pub(crate) struct Sources(HashMap<String, bool>);

impl Sources {
    /// Whether this change may join the batch, too.
    // `changed` is the word for it in dropbox/error/failure.rs.
    pub(crate) fn take(&mut self, conn: &Connection, change: i64) -> Step<bool> {
        let mut select = conn.prepare_cached(
            "SELECT change.from_path, coalesce(job.code = 'changed', 0) FROM change JOIN job ON job.id = change.job WHERE change.id = ?1",
        )?;
        let (from, again): (String, bool) = select.query_row([change], |r| Ok((r.get(0)?, r.get(1)?)))?;
        if self.0.get(&from).is_some_and(|before| *before || again) {
            return Ok(false);
        }
        self.0.insert(from, again);
        Ok(true)
    }
}
