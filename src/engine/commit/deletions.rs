//! When deletions may go: the guard's question, asked of all that wait, with every path looked at once more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::commit::last_look;
use crate::engine::commit::pending_renames::PendingRenames;
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
use crate::plan::delete::consent::{
    Agreed, Consent, Counted, FolderFacts, Looked, Need, Standing, Undecided, Why, consent,
};
use crate::plan::delete::guard;
use crate::store::Ready;

/// How often held deletions are looked at once more, at the least.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Deletions that wait for something are asked about again after this long, in ms.
const ASK_AGAIN_MS: UnixMs = 5_000;

/// The staged deletions of one account.
pub(crate) struct Deletions {
    account: Arc<Account>,
    /// When each folder's staged deletions were last looked at once more.
    looked: BTreeMap<FolderId, Instant>,
    /// What a person has agreed to.
    agreed: BTreeMap<FolderId, Agreed>,
    /// Folders in which deletions waited, or may have at the last stop: when none is left, so is nothing to ask or to remember.
    open: BTreeSet<FolderId>,
    /// What was counted of each folder's.
    counted: BTreeMap<FolderId, Kept>,
    /// When this run began.
    began: UnixMs,
    pending: PendingRenames,
}

/// How many deletions of a folder are staged, the last of them, and up to which a person has agreed: another set has another mark, since numbers only
/// grow.
type Mark = (u64, Option<ChangeId>, ChangeId);

/// What was counted of a folder's staged deletions: that takes longer the more there are, and is done once as long as they are the same.
#[derive(Debug, Clone)]
struct Kept {
    mark: Mark,
    at: Instant,
    counted: Counted,
    /// Why they are shown as held.
    held: Option<guard::Held>,
}

impl Kept {
    fn is_of(&self, mark: Mark) -> bool {
        self.mark == mark && self.at.elapsed() < LOOK_AGAIN
    }
}

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
            pending: PendingRenames::default(),
        }
    }

    /// When a batch of deletions may begin, and of which folders none may go. `removing`: local removals are under way.
    pub(crate) async fn when(
        &mut self,
        ready: &Ready,
        removing: bool,
        now: UnixMs,
    ) -> Result<(Vec<FolderId>, When), Fatal> {
        let account = Arc::clone(&self.account);
        if ready.newest.is_none() && !removing {
            self.tidy(now).await?;
        }
        let (mut skip, mut any, mut goes_on) = (Vec::new(), false, false);
        let away = account.remote.folders_without_root();
        for folder in &account.folders {
            let facts = FolderFacts {
                now,
                newest: ready.newest,
                oldest: ready.oldest,
                removing,
                remote_root_away: away.contains(&folder.id),
                full: account.why_full(),
                ..FolderFacts::default()
            };
            let consent = self.consent(folder, facts).await?;
            if consent.lifts_hold() {
                approvals::lift(&account, folder).await?;
            }
            let why = if let Consent::Wait(why) = consent { Some(why) } else { None };
            let says = |folder: &Folder| folder.set(|now| now.deletions_wait = why.map(Why::text));
            match consent {
                // What every folder waits for is said of each: another reason is over.
                Consent::Rest(_) | Consent::Wait(Why::Removal) => {
                    account.folders.iter().for_each(|folder| says(folder));
                }
                _ => says(folder),
            }
            match consent {
                Consent::Rest(at) => return Ok((Vec::new(), When::At(at))),
                // Its end is waited for, and until then nothing is forgotten that it may yet need.
                Consent::Wait(Why::Removal) => return Ok((Vec::new(), When::Never)),
                Consent::Nothing => {}
                Consent::Go => any = true,
                Consent::Hold(why) => {
                    skip.push(folder.id);
                    self.hold(folder, why, now).await?;
                }
                Consent::Wait(why) => {
                    skip.push(folder.id);
                    goes_on |= why == Why::Unread;
                }
                Consent::Need(_) => skip.push(folder.id),
            }
        }
        self.tidy(now).await?;
        let again = if goes_on { now_ms().saturating_add(1) } else { now.saturating_add(ASK_AGAIN_MS) };
        Ok((skip, if any { When::Now } else { When::At(again) }))
    }

    /// Whether the folder's staged deletions may go: asks for one fact after the other, as long as the answer depends on one.
    async fn consent(&mut self, folder: &Arc<Folder>, mut facts: FolderFacts) -> Result<Consent, Fatal> {
        let safety = &self.account.config.safety;
        let limits = guard::Limits { max_deletions: safety.max_deletions, max_share: safety.max_deletion_share };
        let mut files = 0;
        loop {
            match consent(&facts, limits) {
                Consent::Need(need) => self.gather(folder, need, &mut facts, &mut files).await?,
                consent => return Ok(consent),
            }
        }
    }

    /// Finds out about one fact. `files` is how many are in sync, once that was read.
    async fn gather(
        &mut self,
        folder: &Arc<Folder>,
        need: Need,
        facts: &mut FolderFacts,
        files: &mut u64,
    ) -> Result<(), Fatal> {
        let account = Arc::clone(&self.account);
        let (store, id) = (&account.store, folder.id);
        match need {
            Need::Look => {
                let answers = self.look_again(folder).await?;
                let staged = store.staged_deletions(id).await?;
                if answers && staged > 0 {
                    self.open.insert(id);
                }
                facts.looked = Some(if answers { Looked::Staged(staged) } else { Looked::Silent });
                // The look may have taken minutes: what it must be followed by depends on whether uploads wait now.
                facts.full = account.why_full();
            }
            Need::Scans => facts.scanning = Some(folder.now().scans > 0),
            Need::Renamed => facts.renamed = Some(self.pending.ask(&account, folder).await?),
            Need::Renames => facts.renaming = Some(rename_proposals::is_busy(&account, id).await?),
            Need::Copies => facts.seeking_copies = Some(account.copies.is_seeking()),
            Need::SentInstead => facts.sent_instead = Some(rename_proposals::is_sent_instead(&account, id).await?),
            Need::Undecided => {
                let summary = store.summary(id).await?;
                *files = summary.files;
                facts.undecided = Some(Undecided::Rows(summary.due + summary.claimed));
            }
            Need::MoreUndecidedThan(most) => {
                facts.undecided = Some(Undecided::More(store.undecided_more_than(id, most).await?));
            }
            Need::Count => facts.counted = Some(self.count(folder, facts).await?),
            Need::Standing => {
                let agreed = self.agreed.get(&id).copied().unwrap_or(Agreed::NOTHING);
                let recent = store.deletions_since(id, agreed.recent_since(facts.now)).await?;
                facts.standing = Some(match is_empty(folder).await? {
                    None => None,
                    Some(empty) => Some(Standing {
                        files: *files,
                        arrived: store.arrived_beside_deletions(id, self.began).await?,
                        recent,
                        before: approvals::before(&account, folder).await?,
                        empty,
                    }),
                });
            }
            Need::Root => facts.root_trouble = Some(folder.now().root_trouble.is_some()),
        }
        Ok(())
    }

    /// Counts a folder's staged deletions. As long as they are the same ones they are not counted again.
    async fn count(&mut self, folder: &Arc<Folder>, facts: &FolderFacts) -> Result<Counted, Fatal> {
        let account = Arc::clone(&self.account);
        let (store, id) = (&account.store, folder.id);
        let agreed = self.agreed.entry(id).or_insert(Agreed::NOTHING);
        let staged = if let Some(Looked::Staged(staged)) = facts.looked { staged } else { 0 };
        let mark = (staged, store.last_staged_delete(id).await?, approvals::approved(&account, folder).await?);
        let counted = match self.counted.get(&id).filter(|kept| kept.is_of(mark)) {
            Some(kept) => kept.counted,
            None => {
                let approvals::Unapproved { asked, moved } =
                    approvals::unapproved(&account, folder, &mut agreed.upto).await?;
                // Folders follow their files, and nobody is asked about them.
                let files = store.staged_deletes_after(id, ChangeId(i64::MIN)).await?;
                let counted = Counted { asked, files, moved };
                self.counted.insert(id, Kept { mark, at: env::instant(), counted, held: None });
                counted
            }
        };
        agreed.count(counted, facts.now);
        Ok(counted)
    }

    /// Shows them as held. Their token is made of all of them: that of the same ones stays.
    async fn hold(&mut self, folder: &Arc<Folder>, why: guard::Held, now: UnixMs) -> Result<(), Fatal> {
        let shown = self.counted.get(&folder.id).and_then(|kept| kept.held.as_ref());
        if shown != Some(&why) || folder.now().held.is_none() {
            approvals::hold(&self.account, folder, &why, now).await?;
            if let Some(kept) = self.counted.get_mut(&folder.id) {
                kept.held = Some(why);
            }
        }
        Ok(())
    }

    /// Where no deletion waits (any more), none is held, and nothing is remembered of what was agreed to.
    async fn tidy(&mut self, now: UnixMs) -> Result<(), Fatal> {
        let account = Arc::clone(&self.account);
        for folder in &account.folders {
            if !self.open.contains(&folder.id) || account.store.staged_deletions(folder.id).await? > 0 {
                continue;
            }
            if let Some(agreed) = self.agreed.get_mut(&folder.id) {
                agreed.end(now);
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
