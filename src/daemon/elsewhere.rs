//! Whether a file that is to be deleted in Dropbox may only have been moved here.
//!
//! Where it went there is a row, and the worker that looks at that row proposes the move, which takes the deletion's place. So a deletion waits for
//! rows that were seen before it and that nobody has looked at. It does not wait for all of them, since with a long queue that would take hours:
//! only for those whose path holds an inode that base knows at another path where it is not any more. Those are looked at next. A row that was
//! looked at and waits for something holds no deletion, or two that wait for one another would do so for ever.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::daemon::account::{Account, Fatal};
use crate::daemon::clock::now_ms;
use crate::daemon::folder::Folder;
use crate::daemon::intake::answered;
use crate::model::{FolderId, JobId, Local};
use crate::store::{StoreError, Unlooked};

/// Rows read at once.
const PAGE: usize = 1000;
/// So many rows of a folder are remembered as holding nothing that was elsewhere; those beyond are looked into again.
const REMEMBERED: usize = 100_000;

/// What one account's committer has seen of such rows.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    /// Rows, at their generations, whose paths hold nothing that base has elsewhere.
    news: BTreeMap<FolderId, HashMap<JobId, i64>>,
}

impl Elsewhere {
    /// Whether a row waits that may be where one of the folder's staged deletions went.
    pub(crate) async fn may_be(&mut self, account: &Arc<Account>, folder: &Arc<Folder>) -> Result<bool, Fatal> {
        let Some(newest) = account.store.newest_deletion(folder.id).await? else {
            self.news.remove(&folder.id);
            return Ok(false);
        };
        let news = self.news.entry(folder.id).or_default();
        let (mut after, mut moved) = (JobId(i64::MIN), Vec::new());
        loop {
            let page = account.store.unlooked_before(folder.id, newest, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            let more = page.len() == PAGE;
            let unknown: Vec<Unlooked> =
                page.into_iter().filter(|row| news.get(&row.id) != Some(&row.generation)).collect();
            let (at, of) = (Arc::clone(account), Arc::clone(folder));
            let looked = answered(folder, move || {
                let known = unknown.into_iter().map(|row| Ok((was_elsewhere(&at, &of, &row)?, row)));
                known.collect::<Result<Vec<_>, StoreError>>()
            });
            // Where the disk does not answer nothing is known to be gone.
            let Some(looked) = looked.await? else { return Ok(true) };
            for (elsewhere, row) in looked {
                if elsewhere {
                    // In a worker's hands it is being looked at only for a moment; then it is on its way up.
                    if !row.claimed || account.upward.is_looking() {
                        moved.push(row.id);
                    }
                } else if news.len() < REMEMBERED {
                    news.insert(row.id, row.generation);
                }
            }
            if !more {
                break;
            }
        }
        let waits = !moved.is_empty();
        if waits {
            account.store.look_first(moved, now_ms()).await?;
        }
        Ok(waits)
    }
}

/// Whether the row's path holds what base knows at another path, where it is not any more; also if that cannot be seen.
fn was_elsewhere(account: &Account, folder: &Folder, row: &Unlooked) -> Result<bool, StoreError> {
    let root = folder.root.pin();
    let stat = match root.observe(&row.path) {
        Local::File(stat) => stat,
        Local::Unknown(_) => return Ok(true),
        Local::Absent | Local::Dir | Local::Other(_) => return Ok(false),
    };
    let known = account.store.had_inode_blocking(folder.id, &stat)?;
    Ok(known.iter().any(|(from, base)| {
        *from != row.path
            && !matches!(Folder::look_at(&root, from, Some(base)), Local::File(there) if there.ino == stat.ino)
    }))
}
