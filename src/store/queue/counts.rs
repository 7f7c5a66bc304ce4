//! How a folder stands, from counts that are kept and never counted anew.

use rusqlite::OptionalExtension;

use crate::model::attention::Files;
use crate::model::{FolderId, UnixMs};
use crate::store::Store;
use crate::store::db::error::StoreError;
use crate::store::db::row;

/// How a folder stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FolderSummary {
    /// Files in sync.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows that are due now or later.
    pub due: u64,
    /// Rows in workers' hands.
    pub claimed: u64,
    /// Uploads that wait for their commit, or are in one.
    pub staged_uploads: u64,
    /// Deletions likewise.
    pub staged_deletes: u64,
    /// Rows that wait for their path to change.
    pub wedged: u64,
    /// Rows that failed and are tried again.
    pub failing: u64,
    /// Bytes of all rows that are not wedged, as last seen.
    pub pending_bytes: u64,
    /// Paths with a reason why they are not in sync: wedged, failing and odd.
    pub problems: u64,
    /// Conflicted copies that are not resolved.
    pub conflicts: u64,
    /// When a path last came in sync.
    pub last_synced_at: Option<UnixMs>,
    /// Of the rows that are due or claimed: files that only this side tells of.
    pub up: Files,
    /// Files that only Dropbox tells of.
    pub down: Files,
    /// Files that both sides tell of.
    pub both: Files,
    /// What has no bytes, as deletions and directories, and is told of here.
    pub other_here: u64,
    /// The same, told of by Dropbox.
    pub other_there: u64,
    /// Of the staged deletions, those that are made on this disk.
    pub staged_here: u64,
    /// Of the files in sync, those that Dropbox has no longer.
    pub gone: Files,
}

impl Store {
    /// How a folder stands; all zero for one that is not known. Costs the same however many rows there are.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn summary(&self, folder: FolderId) -> Result<FolderSummary, StoreError> {
        self.read(move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT files, bytes, due, claimed, staged_uploads, staged_deletes, wedged, failing, pending_bytes,
                        wedged + failing + odd, conflicts, last_synced_at, up, up_bytes, down, down_bytes, both, both_bytes,
                        other_here, other_there, staged_here, gone, gone_bytes FROM tally WHERE folder = ?1",
            )?;
            let found = select.query_row([folder.0], |r| {
                Ok(FolderSummary {
                    files: row::count(r, 0)?,
                    bytes: row::count(r, 1)?,
                    due: row::count(r, 2)?,
                    claimed: row::count(r, 3)?,
                    staged_uploads: row::count(r, 4)?,
                    staged_deletes: row::count(r, 5)?,
                    wedged: row::count(r, 6)?,
                    failing: row::count(r, 7)?,
                    pending_bytes: row::count(r, 8)?,
                    problems: row::count(r, 9)?,
                    conflicts: row::count(r, 10)?,
                    last_synced_at: r.get(11)?,
                    up: Files { files: row::count(r, 12)?, bytes: row::count(r, 13)? },
                    down: Files { files: row::count(r, 14)?, bytes: row::count(r, 15)? },
                    both: Files { files: row::count(r, 16)?, bytes: row::count(r, 17)? },
                    other_here: row::count(r, 18)?,
                    other_there: row::count(r, 19)?,
                    staged_here: row::count(r, 20)?,
                    gone: Files { files: row::count(r, 21)?, bytes: row::count(r, 22)? },
                })
            });
            Ok(found.optional()?.unwrap_or_default())
        })
        .await
    }
}
