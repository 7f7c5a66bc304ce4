//! When deletions may go: the guard's question, asked of all that wait, with every path looked at once more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::commit::last_look;
use crate::engine::commit::pending_renames::{Elsewhere, MayBe};
use crate::engine::folder::Folder;
use crate::engine::folder::answered::answered;
use crate::engine::listing::inbound_guard;
use crate::engine::{approvals, rename_proposals};
use crate::env;
use crate::env::Instant;
use crate::env::now_ms;
use crate::local::Kind;
use crate::model::{Batch, ChangeId, FolderId, RelPath, UnixMs};
use crate::plan::commit::batch::When;
use crate::plan::delete::guard;
use crate::plan::time::wait::is_ahead;
use crate::store::Ready;

/// Deletions rest this long, so that the guard sees a mass deletion as a whole and not in slices.
const DELETIONS_REST_MS: i64 = 2_000;
/// The oldest of them rests at most this long.
const LONGEST_REST_MS: i64 = 10_000;
/// How often held deletions are looked at once more, at the least.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Rows that may yet become deletions, and are too few to matter.
const MANY: u64 = 1_000;
/// The guard counts deletions of this long ago.
const RECENT_MS: i64 = 10 * 60_000;

/// The guard of one account.
pub(crate) struct Deletions {
    account: Arc<Account>,
    /// When each folder's staged deletions were last looked at once more.
    looked: BTreeMap<FolderId, Instant>,
    /// What a person has agreed to is not held against what comes after it.
    agreed: BTreeMap<FolderId, Agreed>,
    /// Folders in which deletions waited, or may have at the last stop: when none is left, so is nothing to ask or to remember.
    open: BTreeSet<FolderId>,
    /// What was counted of each folder's.
    counted: BTreeMap<FolderId, Counted>,
    /// When this run began.
    began: UnixMs,
    elsewhere: Elsewhere,
}

/// Deletions that a person let through.
#[derive(Debug, Clone, Copy)]
struct Agreed {
    /// All staged deletions up to this one.
    upto: ChangeId,
    /// Some of them still wait for their commit.
    under_way: bool,
    /// When the last of them was made.
    ended: UnixMs,
}

/// How many deletions of a folder are staged, the last of them, and up to which a person has agreed: another set has another mark, since numbers only
/// grow.
type Mark = (u64, Option<ChangeId>, ChangeId);

/// What was counted of a folder's staged deletions: that takes longer the more there are, and is done once as long as they are the same.
#[derive(Debug, Clone)]
struct Counted {
    mark: Mark,
    at: Instant,
    /// Nobody has agreed to these.
    asked: u64,
    /// Those of files.
    files: u64,
    /// Those of files that only moved to another listing: nobody was asked, and nobody agreed.
    moved: u64,
    /// Why they are shown as held.
    held: Option<guard::Held>,
}

impl Counted {
    fn is_of(&self, mark: Mark) -> bool {
        self.mark == mark && self.at.elapsed() < LOOK_AGAIN
    }
}

const NOTHING_AGREED: Agreed = Agreed { upto: ChangeId(i64::MIN), under_way: false, ended: 0 };

impl Deletions {
    pub(crate) fn new(account: Arc<Account>) -> Self {
        let open = account.folders.iter().map(|folder| folder.id).collect();
        Self {
            account,
            looked: BTreeMap::new(),
            agreed: BTreeMap::new(),
            open,
            counted: BTreeMap::new(),
            began: now_ms(),
            elsewhere: Elsewhere::default(),
        }
    }

    /// Deletions wait until no more join them and the guard consents; folders that are held are skipped.
    pub(crate) async fn when(&mut self, ready: &Ready, now: i64) -> Result<(Vec<FolderId>, When), Fatal> {
        let account = Arc::clone(&self.account);
        if ready.newest.is_none() {
            self.tidy(now).await?;
        }
        // Not for ever: where something is deleted every second, the oldest has waited long enough.
        let rested = ready.newest.unwrap_or(now).saturating_add(DELETIONS_REST_MS);
        let rested = rested.min(ready.oldest.unwrap_or(now).saturating_add(LONGEST_REST_MS));
        if is_ahead(rested, now, LONGEST_REST_MS) {
            return Ok((Vec::new(), When::At(rested)));
        }
        let safety = &account.config.safety;
        let limits = guard::Limits { max_deletions: safety.max_deletions, max_share: safety.max_deletion_share };
        let mut skip = Vec::new();
        let (mut any, mut goes_on) = (false, false);
        let away = account.remote.folders_without_root();
        for folder in &account.folders {
            // Nothing of it is committed, and its hold, if there is one, stays as it is.
            if away.contains(&folder.id) {
                skip.push(folder.id);
                continue;
            }
            if !self.look_again(folder).await? {
                skip.push(folder.id);
                continue;
            }
            let waiting = account.store.staged_deletions(folder.id).await?;
            if waiting == 0 {
                continue;
            }
            self.open.insert(folder.id);
            let summary = account.store.summary(folder.id).await?;
            let undecided = summary.due + summary.claimed;
            // A scan may be about to find where it went.
            if folder.now().scans > 0 {
                skip.push(folder.id);
                continue;
            }
            // In this order with what is asked below: a row that was looked at in between has left its proposal.
            let elsewhere = if account.is_full() { MayBe::No } else { self.elsewhere.may_be(&account, folder).await? };
            goes_on |= elsewhere == MayBe::Unknown;
            // Undecided rows may become deletions, too: the guard looks when it can see all of them. Or what went may be found elsewhere.
            if elsewhere != MayBe::No
                || rename_proposals::hold_deletions(&account, folder.id).await?
                || undecided > waiting.max(MANY)
                    && account.store.undecided_more_than(folder.id, waiting.max(MANY)).await?
            {
                skip.push(folder.id);
                continue;
            }
            let agreed = self.agreed.entry(folder.id).or_insert(NOTHING_AGREED);
            // As long as they are the same ones they are not counted again.
            let mark = (
                waiting,
                account.store.last_staged_delete(folder.id).await?,
                approvals::approved(&account, folder).await?,
            );
            let counted = self.counted.get(&folder.id).filter(|counted| counted.is_of(mark)).cloned();
            let counted = match counted {
                Some(counted) => counted,
                None => {
                    // What was agreed to is none of the guard's business any more.
                    let approvals::Unapproved { asked, moved } =
                        approvals::unapproved(&account, folder, &mut agreed.upto).await?;
                    // Folders follow their files, and nobody is asked about them.
                    let files = account.store.staged_deletes_after(folder.id, ChangeId(i64::MIN)).await?;
                    let counted = Counted { mark, at: env::instant(), asked, files, moved, held: None };
                    self.counted.insert(folder.id, counted.clone());
                    counted
                }
            };
            let Counted { asked, files, moved, .. } = counted;
            // What went on to another listing is no person's word, and does not end what was deleted before it.
            if asked.saturating_add(moved) < files {
                agreed.under_way = true;
            } else if std::mem::take(&mut agreed.under_way) {
                agreed.ended = now;
            }
            let since = if agreed.under_way { now } else { agreed.ended.max(now - RECENT_MS) };
            let recent = account.store.deletions_since(folder.id, since).await?;
            let consent = if asked == 0 {
                Ok(())
            } else {
                let Some(empty) = is_empty(folder).await? else {
                    skip.push(folder.id);
                    continue;
                };
                let before = approvals::before(&account, folder).await?;
                let arrived = account.store.arrived_beside_deletions(folder.id, self.began).await?;
                // What was agreed to will be gone: it is nothing that a person keeps here.
                let files = summary.files.saturating_sub(files.saturating_sub(asked));
                let asked = guard::Asked { waiting: asked, recent, files, arrived, before, empty };
                guard::check(asked, limits)
            };
            match consent {
                Err(why) => {
                    skip.push(folder.id);
                    // Their token is made of all of them: that of the same ones stays.
                    if counted.held.as_ref() != Some(&why) || folder.now().held.is_none() {
                        approvals::hold(&account, folder, &why, now).await?;
                        self.counted.insert(folder.id, Counted { held: Some(why), ..counted });
                    }
                }
                Ok(()) => {
                    approvals::lift(&account, folder).await?;
                    // The root itself is asked with the last look at each batch.
                    if folder.now().root_trouble.is_some() {
                        skip.push(folder.id);
                    } else {
                        any = true;
                    }
                }
            }
        }
        self.tidy(now).await?;
        let again = if goes_on { now_ms().saturating_add(1) } else { now.saturating_add(5_000) };
        Ok((skip, if any { When::Now } else { When::At(again) }))
    }

    /// Where no deletion waits (any more), none is held, and nothing is remembered of what was agreed to.
    async fn tidy(&mut self, now: UnixMs) -> Result<(), Fatal> {
        let account = Arc::clone(&self.account);
        for folder in &account.folders {
            if !self.open.contains(&folder.id) || account.store.staged_deletions(folder.id).await? > 0 {
                continue;
            }
            if let Some(agreed) = self.agreed.get_mut(&folder.id).filter(|agreed| agreed.under_way) {
                (agreed.under_way, agreed.ended) = (false, now);
            }
            approvals::lift(&account, folder).await?;
            // In the order in which it comes to be: a comparison, rows, deletions. The other way round one could slip by.
            if inbound_guard::is_running(&account, folder.id).await? {
                continue;
            }
            let summary = account.store.summary(folder.id).await?;
            if summary.due + summary.claimed == 0 && account.store.staged_deletions(folder.id).await? == 0 {
                account.store.forget_consents(folder.id).await?;
                self.open.remove(&folder.id);
            }
        }
        Ok(())
    }

    /// Looks at the paths of a folder's staged deletions once more: what is there again (or cannot be seen) is no deletion. So a hold lifts itself
    /// when the files are back. Each batch is looked at by itself just before its call. `false`: its disk does not answer.
    async fn look_again(&mut self, folder: &Arc<Folder>) -> Result<bool, Fatal> {
        let account = &self.account;
        let waiting = account.store.staged_deletions(folder.id).await?;
        // A million that waits is not looked at every few seconds.
        let pause = LOOK_AGAIN + Duration::from_millis(waiting / 10);
        if waiting == 0 || self.looked.get(&folder.id).is_some_and(|at| at.elapsed() < pause) {
            return Ok(true);
        }
        let mut after = ChangeId(i64::MIN);
        loop {
            let page = account.store.staged_deletes(folder.id, after, 1000).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            let (ours, of) = (Arc::clone(account), Arc::clone(folder));
            let looked = answered(folder, move || Ok(last_look::withdrawn(&ours, &of, &page))).await?;
            let Some(back) = looked else { return Ok(false) };
            account.store.withdraw(back, now_ms()).await?;
        }
        self.looked.insert(folder.id, env::instant());
        Ok(true)
    }

    /// The batch as far as its deletions are still meant: to be asked right before its call, which goes out at once then.
    pub(crate) async fn before_call(&mut self, batch: &Batch) -> Result<Batch, Fatal> {
        if batch.changes.is_empty() {
            return Ok(batch.clone());
        }
        self.account.dropbox.until_commit().await;
        let (batch, back) = last_look::before_call(&self.account, batch).await?;
        // Where something is there again, more may be.
        back.iter().for_each(|folder| {
            self.looked.remove(folder);
        });
        Ok(batch)
    }
}

/// Whether nothing that is synced stands in the folder's root; `None`: it cannot be listed.
async fn is_empty(of: &Arc<Folder>) -> Result<Option<bool>, Fatal> {
    let folder = Arc::clone(of);
    let listed = answered(of, move || {
        let Ok(listing) = folder.root.pin().read_dir(&RelPath::root()) else { return Ok(None) };
        let synced = |name: &str, kind: &Kind| {
            RelPath::parse(name).is_ok_and(|path| folder.ignored(&path, *kind == Kind::Dir).is_none())
        };
        let any = listing.entries.iter().any(|(name, kind)| synced(name, kind));
        Ok((any || listing.incomplete.is_none()).then_some(!any))
    });
    Ok(listed.await?.flatten())
}
