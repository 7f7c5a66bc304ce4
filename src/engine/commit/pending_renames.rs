//! Asks the rows of the queue and the disk whether a file that is to be deleted in Dropbox may only have been moved here. The rules are in
//! [`plan::rename::pending`](crate::plan::rename::pending).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::folder::Folder;
use crate::engine::folder::answered::answered;
use crate::env::{now_ms, steady_ms};
use crate::model::FolderId;
use crate::plan::delete::consent::Renamed;
use crate::plan::rename::pending::{Holds, Round, counts, holds, was_elsewhere};
use crate::store::{StoreError, Unlooked};

/// Rows read at once.
const PAGE: usize = 1000;
/// Pages read in one step of the committer: a long queue is read in many steps.
const PAGES: usize = 4;

/// What one account's committer has seen of such rows.
#[derive(Debug, Default)]
pub(crate) struct PendingRenames(BTreeMap<FolderId, Round>);

impl PendingRenames {
    /// Whether a row waits that may be where one of the folder's staged deletions went.
    pub(crate) async fn ask(&mut self, account: &Arc<Account>, folder: &Arc<Folder>) -> Result<Renamed, Fatal> {
        let Some(newest) = account.store.newest_deletion(folder.id).await? else {
            self.0.remove(&folder.id);
            return Ok(Renamed::No);
        };
        let round = self.0.entry(folder.id).or_default();
        if round.is_clean(newest, steady_ms()) {
            return Ok(Renamed::No);
        }
        for _ in 0..PAGES {
            let (page, last) =
                account.store.unlooked_before(folder.id, round.goes_up_to(newest), round.after(), PAGE).await?;
            let unknown: Vec<Unlooked> =
                page.into_iter().filter(|row| round.is_unknown(row.id, row.generation)).collect();
            let (at, of) = (Arc::clone(account), Arc::clone(folder));
            let looked = answered(folder, move || {
                let known = unknown.into_iter().map(|row| Ok((may_have_moved(&at, &of, &row)?, row)));
                known.collect::<Result<Vec<_>, StoreError>>()
            });
            // Where the disk does not answer nothing is known to be gone.
            let Some(looked) = looked.await? else { return Ok(Renamed::Perhaps) };
            let mut moved = Vec::new();
            for (elsewhere, row) in looked {
                if !elsewhere {
                    round.is_news(row.id, row.generation);
                } else if counts(row.claimed, account.upward.is_looking()) {
                    moved.push(row.id);
                }
            }
            let any = !moved.is_empty();
            if any {
                account.store.look_first(moved, now_ms()).await?;
            }
            if let Some(known) = round.read(last, any, newest, steady_ms()) {
                return Ok(known);
            }
        }
        Ok(Renamed::Unread)
    }
}

/// Whether the row's path holds what base knows at another path, where it is not any more; also if that cannot be seen.
fn may_have_moved(account: &Account, folder: &Folder, row: &Unlooked) -> Result<bool, StoreError> {
    let root = folder.root.pin();
    let stat = match holds(&root.observe(&row.path)) {
        Holds::File(stat) => stat,
        Holds::Unseen => return Ok(true),
        Holds::Nothing => return Ok(false),
    };
    let known = account.store.had_inode_blocking(folder.id, &stat)?;
    Ok(known
        .iter()
        .any(|(from, base)| was_elsewhere(&row.path, &stat, from, &Folder::look_at(&root, from, Some(base)))))
}
