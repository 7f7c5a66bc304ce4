//! Whether a file that is to be deleted in Dropbox may only have been moved here.
//!
//! Where it went there is a row, and the worker that looks at that row proposes the move, which takes the deletion's place. So a deletion waits for
//! rows that were seen before it and that nobody has looked at. It does not wait for all of them, since with a long queue that would take hours:
//! only for those whose path holds an inode that base knows at another path where it is not any more. Those are looked at next. A row that was
//! looked at and waits for something holds no deletion, or two that wait for one another would do so for ever.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::folder::Folder;
use crate::engine::folder::answered::answered;
use crate::env;
use crate::env::Instant;
use crate::env::now_ms;
use crate::model::{FolderId, JobId, Local, UnixMs};
use crate::plan::delete::consent::Renamed;
use crate::store::{StoreError, Unlooked};

/// Rows read at once.
const PAGE: usize = 1000;
/// Pages read in one step of the committer: a long queue is read in many steps.
const PAGES: usize = 4;
/// So many rows of a folder are remembered as holding nothing that was elsewhere; those beyond are looked into again.
const REMEMBERED: usize = 100_000;
/// What a whole round has found is believed for so long.
const BELIEVED: Duration = Duration::from_secs(5);

/// What one account's committer has seen of such rows.
#[derive(Debug, Default)]
pub(crate) struct PendingRenames(BTreeMap<FolderId, Round>);

/// One folder's rows, read from the first to the last in as many steps as that takes.
#[derive(Debug)]
struct Round {
    /// The last one read.
    after: JobId,
    /// The newest deletion when the round began: what came later is asked about in the next one.
    upto: UnixMs,
    /// One of those read may be where something went.
    moved: bool,
    /// When a round last ended without such a row, and up to which deletion.
    clean: Option<(Instant, UnixMs)>,
    /// Rows, at their generations, whose paths hold nothing that base has elsewhere.
    news: HashMap<JobId, i64>,
}

impl Default for Round {
    fn default() -> Self {
        Self { after: JobId(i64::MIN), upto: UnixMs::MIN, moved: false, clean: None, news: HashMap::new() }
    }
}

impl Round {
    /// Whether the last round says enough of the deletions up to this one.
    fn is_clean(&self, newest: UnixMs) -> bool {
        self.clean.is_some_and(|(at, upto)| newest <= upto && at.elapsed() < BELIEVED)
    }

    /// The deletion up to which the next page is read.
    fn goes_up_to(&mut self, newest: UnixMs) -> UnixMs {
        if self.after == JobId(i64::MIN) {
            self.upto = newest;
        }
        self.upto
    }

    /// A page was read. Gives what is known of the deletions up to `newest` if it was the last one.
    fn read(&mut self, last: Option<JobId>, moved: bool, newest: UnixMs) -> Option<Renamed> {
        self.moved |= moved;
        if let Some(last) = last {
            self.after = last;
            return None;
        }
        self.after = JobId(i64::MIN);
        let moved = std::mem::take(&mut self.moved);
        self.clean = (!moved).then(|| (env::instant(), self.upto));
        // A page that was read before a deletion says nothing of that one: its row may have been where the file is now.
        Some(if moved {
            Renamed::Perhaps
        } else if newest > self.upto {
            Renamed::Unread
        } else {
            Renamed::No
        })
    }
}

impl PendingRenames {
    /// Whether a row waits that may be where one of the folder's staged deletions went.
    pub(crate) async fn ask(&mut self, account: &Arc<Account>, folder: &Arc<Folder>) -> Result<Renamed, Fatal> {
        let Some(newest) = account.store.newest_deletion(folder.id).await? else {
            self.0.remove(&folder.id);
            return Ok(Renamed::No);
        };
        let round = self.0.entry(folder.id).or_default();
        if round.is_clean(newest) {
            return Ok(Renamed::No);
        }
        for _ in 0..PAGES {
            let (page, last) =
                account.store.unlooked_before(folder.id, round.goes_up_to(newest), round.after, PAGE).await?;
            let unknown: Vec<Unlooked> =
                page.into_iter().filter(|row| round.news.get(&row.id) != Some(&row.generation)).collect();
            let (at, of) = (Arc::clone(account), Arc::clone(folder));
            let looked = answered(folder, move || {
                let known = unknown.into_iter().map(|row| Ok((was_elsewhere(&at, &of, &row)?, row)));
                known.collect::<Result<Vec<_>, StoreError>>()
            });
            // Where the disk does not answer nothing is known to be gone.
            let Some(looked) = looked.await? else { return Ok(Renamed::Perhaps) };
            let mut moved = Vec::new();
            for (elsewhere, row) in looked {
                if elsewhere {
                    // In a worker's hands it is being looked at only for a moment; then it is on its way up.
                    if !row.claimed || account.upward.is_looking() {
                        moved.push(row.id);
                    }
                } else if round.news.len() < REMEMBERED {
                    round.news.insert(row.id, row.generation);
                }
            }
            let any = !moved.is_empty();
            if any {
                account.store.look_first(moved, now_ms()).await?;
            }
            if let Some(known) = round.read(last, any, newest) {
                return Ok(known);
            }
        }
        Ok(Renamed::Unread)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l6_a_round_takes_as_many_steps_as_it_needs_and_is_believed_for_a_while() {
        let mut round = Round::default();
        assert!(!round.is_clean(7));
        assert_eq!(round.goes_up_to(7), 7);
        assert_eq!(round.read(Some(JobId(1000)), false, 7), None);
        assert_eq!(round.after, JobId(1000));
        // A row that was found in any of its steps counts to its end.
        assert_eq!(round.read(Some(JobId(2000)), true, 7), None);
        assert_eq!(round.read(None, false, 7), Some(Renamed::Perhaps));
        assert!(!round.is_clean(7) && round.after == JobId(i64::MIN), "the next round begins anew");
        assert_eq!(round.goes_up_to(7), 7);
        assert_eq!(round.read(None, false, 7), Some(Renamed::No));
        // Of a deletion that was staged after it a round says nothing.
        assert!(round.is_clean(7) && !round.is_clean(8));
        // Nor of one that was staged while it was under way.
        assert_eq!(round.goes_up_to(8), 8);
        assert_eq!(round.read(Some(JobId(1000)), false, 8), None);
        assert_eq!(round.goes_up_to(9), 8);
        assert_eq!(round.read(None, false, 9), Some(Renamed::Unread));
        assert!(round.is_clean(8) && !round.is_clean(9));
        assert_eq!(round.goes_up_to(9), 9);
    }
}
