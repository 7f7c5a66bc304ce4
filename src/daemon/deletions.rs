//! When deletions may go: the guard's question, asked of all that wait, with every path looked at once more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::daemon::account::{Account, Fatal};
use crate::daemon::clock::now_ms;
use crate::daemon::folder::Folder;
use crate::daemon::intake::blocking;
use crate::model::{ChangeId, FolderId, Local, Mode, RelPath};
use crate::plan::batch::When;
use crate::plan::guard;
use crate::store::Ready;

/// Deletions rest this long, so that the guard sees a mass deletion as a whole and not in slices.
const DELETIONS_REST_MS: i64 = 2_000;
/// How often held deletions are looked at once more, at the least.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The guard counts deletions of this long ago.
const RECENT_MS: i64 = 10 * 60_000;

/// The guard of one account.
pub(crate) struct Deletions {
    account: Arc<Account>,
    /// When each folder's staged deletions were last looked at once more.
    looked: BTreeMap<FolderId, Instant>,
}

impl Deletions {
    pub(crate) fn new(account: Arc<Account>) -> Self {
        Self { account, looked: BTreeMap::new() }
    }

    /// Deletions wait until no more join them and the guard consents; folders that are held are skipped.
    pub(crate) async fn when(&mut self, ready: &Ready, now: i64) -> Result<(Vec<FolderId>, When), Fatal> {
        let account = Arc::clone(&self.account);
        let rested = ready.newest.unwrap_or(now).saturating_add(DELETIONS_REST_MS);
        if rested > now {
            return Ok((Vec::new(), When::At(rested)));
        }
        let safety = &account.config.safety;
        let limits = guard::Limits { max_deletions: safety.max_deletions, max_share: safety.max_deletion_share };
        let mut skip = Vec::new();
        let mut any = false;
        for folder in &account.folders {
            self.look_again(folder).await?;
            let waiting = account.store.staged_deletions(folder.id).await?;
            let summary = account.store.summary(folder.id).await?;
            // Undecided rows may become deletions, too: the guard looks when it can see all of them.
            if waiting > 0 && (folder.now().scans > 0 || summary.due + summary.claimed > waiting.max(1_000)) {
                skip.push(folder.id);
                continue;
            }
            let recent = account.store.deletions_since(folder.id, now - RECENT_MS).await?;
            let consent = if waiting == 0 { Ok(()) } else { guard::check(waiting, recent, summary.files, limits) };
            let held = consent.err().map(|h| h.reason);
            // The root is checked in the same round as the deletion.
            let root = if waiting > 0 { folder.verify() } else { Ok(()) };
            if held.is_some() || root.is_err() {
                skip.push(folder.id);
            } else {
                any |= waiting > 0;
            }
            if let Some(reason) = held.as_ref().filter(|_| folder.now().held.is_none()) {
                tracing::warn!(account = %account.name, folder = folder.id.0, %reason, "deletions are held");
            }
            folder.set(|now| now.held = held);
        }
        let again = now.saturating_add(5_000);
        Ok((skip, if any { When::Now } else { When::At(again) }))
    }

    /// Looks at the paths of a folder's staged deletions once more: what is there again (or cannot be seen) is no deletion.
    /// So a hold lifts itself when the files are back, and a deletion is as fresh as its call.
    async fn look_again(&mut self, folder: &Arc<Folder>) -> Result<(), Fatal> {
        let account = &self.account;
        let waiting = account.store.staged_deletions(folder.id).await?;
        // A held million is not looked at every few seconds.
        let pause = LOOK_AGAIN + Duration::from_millis(waiting / 10);
        let held = folder.now().held.is_some();
        if waiting == 0 || held && self.looked.get(&folder.id).is_some_and(|at| at.elapsed() < pause) {
            return Ok(());
        }
        let mut after = ChangeId(i64::MIN);
        loop {
            let page = account.store.staged_deletes(folder.id, after, 1000).await?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            let (root, mode) = (folder.root.clone(), folder.mode);
            let back = blocking(move || {
                let gone =
                    |path: &RelPath| matches!(root.observe(path), Local::Absent | Local::Dir) && mode == Mode::Mirror;
                Ok(page.into_iter().filter(|(_, path)| !gone(path)).map(|(id, _)| id).collect::<Vec<_>>())
            })
            .await?;
            account.store.withdraw(back, now_ms()).await?;
        }
        self.looked.insert(folder.id, Instant::now());
        Ok(())
    }
}
