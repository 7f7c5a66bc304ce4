//! Deletions that wait for a person: the token that names exactly them, and what the person's answer does.
//!
//! The token is a hash of the sorted paths and revisions, salted with a random word that goes with the answer: another set has another token,
//! and no token serves twice. Salt and answer are in the database, so both survive a restart. `approve` lets through what the token named and
//! nothing that came later; `reject` forgets base's rows, so that the paths are not asked about again until they change: Dropbox keeps the files.
//!
//! What a person let through at the [brake](crate::engine::listing::inbound_guard) is not asked about once more: those files at those revisions count as agreed to.

use std::sync::Arc;

use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::folder::{Folder, HeldSet};
use crate::env::{now_ms, rfc3339};
use crate::local::RootId;
use crate::model::status::{Answered, Held};
use crate::model::{ChangeId, FolderId, UnixMs};
use crate::plan::delete::guard;
use crate::plan::delete::guard::{Before, LetThrough};
use crate::store::{Store, StoreError};

/// Paths that are shown of a held set.
const SAMPLE: usize = 5;
/// Rows read at once.
const PAGE: usize = 1000;

fn key(folder: &Folder, what: &str) -> String {
    format!("folder.{}.{what}", folder.id.0)
}

/// The key of what was let through before it was staged.
fn through(folder: FolderId) -> String {
    format!("folder.{}.let_through", folder.0)
}

/// The key of what only moved to another listing, before it was staged.
fn moved(folder: FolderId) -> String {
    format!("folder.{}.moved_on", folder.0)
}

/// These go here because they are in another listing of the account by now, and the guard does not ask about them: the value to be written for that.
pub(crate) async fn moved_on(
    store: &Store,
    folder: FolderId,
    files: LetThrough,
) -> Result<(String, Option<String>), StoreError> {
    joined(store, moved(folder), files).await
}

/// A person has agreed that these go here because they went in Dropbox, and the guard asks no second time: the value to be written for that.
pub(crate) async fn let_through(
    store: &Store,
    folder: FolderId,
    files: LetThrough,
) -> Result<(String, Option<String>), StoreError> {
    joined(store, through(folder), files).await
}

async fn joined(store: &Store, key: String, mut files: LetThrough) -> Result<(String, Option<String>), StoreError> {
    if let Some(text) = store.meta(&key).await? {
        files.join(LetThrough::from_text(&text));
    }
    Ok((key, Some(files.to_text())))
}

/// Nothing that was let through waits any more.
pub(crate) async fn forget_let_through(account: &Account, folder: FolderId) -> Result<(), Fatal> {
    for key in [through(folder), moved(folder)] {
        if account.store.meta(&key).await?.is_some() {
            account.store.unset_meta(&key).await?;
        }
    }
    Ok(())
}

/// A person has agreed to the staged deletions up to this one.
pub(crate) async fn approved(account: &Account, folder: &Folder) -> Result<ChangeId, Fatal> {
    let upto = account.store.meta(&key(folder, "approved")).await?;
    Ok(ChangeId(upto.and_then(|n| n.parse().ok()).unwrap_or(i64::MIN)))
}

/// Staged deletions of files that no person has agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unapproved {
    /// The guard asks about these.
    pub(crate) asked: u64,
    /// These only moved to another listing of the account.
    pub(crate) moved: u64,
}

/// Staged deletions that nobody has agreed to. Those with numbers up to `cleared` are known to be agreed to, which spares reading them again; where
/// all are, it grows.
pub(crate) async fn unapproved(
    account: &Account,
    folder: &Folder,
    cleared: &mut ChangeId,
) -> Result<Unapproved, Fatal> {
    let store = &account.store;
    let upto = approved(account, folder).await?.max(*cleared);
    let all = store.staged_deletes_after(folder.id, upto).await?;
    if all == 0 {
        return Ok(Unapproved { asked: 0, moved: 0 });
    }
    let mut known = Vec::new();
    for key in [through(folder.id), moved(folder.id)] {
        known.push(store.meta(&key).await?.map(|text| LetThrough::from_text(&text)).unwrap_or_default());
    }
    let [through, moved] = known.as_slice() else { return Ok(Unapproved { asked: all, moved: 0 }) };
    if through.is_empty() && moved.is_empty() {
        return Ok(Unapproved { asked: all, moved: 0 });
    }
    // Read before the pages: what is staged meanwhile may have a path that they have passed already, and is looked at the next time.
    let Some(last) = store.last_staged_delete(folder.id).await? else { return Ok(Unapproved { asked: 0, moved: 0 }) };
    let (mut after, mut found) = (String::new(), Unapproved { asked: 0, moved: 0 });
    loop {
        let page = store.staged_deletes_by_path(folder.id, &after, PAGE).await?;
        let Some((_, path, _)) = page.last() else { break };
        after = path.to_string();
        // Directories follow their files.
        for (_, path, rev) in page.iter().filter(|(id, _, rev)| *id > upto && !rev.is_empty()) {
            if through.has(path.as_str(), rev) {
                continue;
            }
            *if moved.has(path.as_str(), rev) { &mut found.moved } else { &mut found.asked } += 1;
        }
    }
    if found == (Unapproved { asked: 0, moved: 0 }) {
        *cleared = last.max(upto);
    }
    Ok(found)
}

/// Shows the folder's deletions as held, under the token of this very set.
pub(crate) async fn hold(account: &Account, folder: &Folder, why: &guard::Held, now: UnixMs) -> Result<(), Fatal> {
    let was = folder.now().held;
    if was.is_none() {
        tracing::warn!(account = %account.name, folder = folder.id.0, reason = %why.reason, "deletions are held");
    }
    let salt = match account.store.meta(&key(folder, "held")).await? {
        Some(salt) => salt,
        None => {
            let random = RootId::new().map_err(|failure| Fatal::Task(failure.text))?;
            let salt = format!("{now} {random}");
            account.store.set_meta(&key(folder, "held"), &salt).await?;
            salt
        }
    };
    let all = why.all.map(|most| most.to_string());
    if account.store.meta(&key(folder, "held_all")).await? != all {
        match &all {
            Some(most) => account.store.set_meta(&key(folder, "held_all"), most).await?,
            None => account.store.unset_meta(&key(folder, "held_all")).await?,
        }
    }
    let since = salt.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(now);
    let set = sealed(account, folder, &salt).await?;
    let token = set.token;
    let held = HeldSet {
        deletions: set.deletions,
        since,
        sample: set.sample,
        reason: format!(
            "{}; `ferrybox approve {token}` lets them through, `ferrybox reject {token}` keeps the files in Dropbox",
            why.reason
        ),
        token,
    };
    let news = was.as_ref() != Some(&held);
    folder.set(|now| now.held = Some(held));
    if news {
        account.store.poke();
    }
    Ok(())
}

/// Whether deletions of this folder were held, by this run or the last one, and nobody has decided yet.
pub(crate) async fn is_open(account: &Account, folder: &Folder) -> Result<bool, Fatal> {
    Ok(account.store.meta(&key(folder, "held")).await?.is_some())
}

/// What of them was held before, and why.
pub(crate) async fn before(account: &Account, folder: &Folder) -> Result<Before, Fatal> {
    if !is_open(account, folder).await? {
        return Ok(Before::Nothing);
    }
    let all = account.store.meta(&key(folder, "held_all")).await?;
    Ok(all.and_then(|most| most.parse().ok()).map_or(Before::TooMany, Before::All))
}

/// Nothing is held (any more).
pub(crate) async fn lift(account: &Account, folder: &Folder) -> Result<(), Fatal> {
    if folder.now().held.is_some() || is_open(account, folder).await? {
        account.store.unset_meta(&key(folder, "held")).await?;
        account.store.unset_meta(&key(folder, "held_all")).await?;
        folder.set(|now| now.held = None);
        account.store.poke();
    }
    Ok(())
}

/// One set of deletions, named.
struct Sealed {
    token: String,
    deletions: u64,
    last: ChangeId,
    sample: Vec<String>,
}

async fn sealed(account: &Account, folder: &Folder, salt: &str) -> Result<Sealed, Fatal> {
    let mut seal = guard::Seal::new(salt);
    let (mut deletions, mut last, mut sample) = (0, ChangeId(i64::MIN), Vec::new());
    let mut after = String::new();
    loop {
        let page = account.store.staged_deletes_by_path(folder.id, &after, PAGE).await?;
        let Some((_, path, _)) = page.last() else { break };
        after = path.to_string();
        for (id, path, rev) in page {
            seal.add(path.as_str(), &rev);
            last = last.max(id);
            deletions += 1;
            if sample.len() < SAMPLE {
                sample.push(path.to_string());
            }
        }
    }
    Ok(Sealed { token: seal.token(), deletions, last, sample })
}

/// What a person says about a held set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Approve,
    Reject,
}

/// Carries out a verdict. `Err`: one sentence for the person.
pub(crate) async fn judge(
    accounts: &[Arc<Account>],
    token: &str,
    verdict: Verdict,
) -> Result<Result<Answered, String>, Fatal> {
    for account in accounts {
        for folder in &account.folders {
            if folder.now().held.is_none_or(|held| held.token != token) {
                continue;
            }
            let Some(salt) = account.store.meta(&key(folder, "held")).await? else { continue };
            // The set as it is in this moment, not as it was shown.
            let set = sealed(account, folder, &salt).await?;
            if set.token != token {
                return Ok(Err(
                    "the held deletions have changed since this token was given: look at them again with `ferrybox approve`".to_owned()
                ));
            }
            match verdict {
                Verdict::Approve => {
                    account.store.set_meta(&key(folder, "approved"), &set.last.0.to_string()).await?;
                }
                Verdict::Reject => {
                    account.store.forget_deletions(folder.id, set.last, folder.comes_down(), now_ms()).await?;
                }
            }
            tracing::info!(account = %account.name, folder = folder.id.0, deletions = set.deletions, ?verdict, "a person has decided on the held deletions");
            lift(account, folder).await?;
            let outcome = if verdict == Verdict::Approve { "approved" } else { "rejected" };
            return Ok(Ok(Answered { outcome: outcome.to_owned(), deletions: set.deletions }));
        }
    }
    Ok(Err("no held deletions have this token (each serves once, and a changed set gets a new one): `ferrybox approve` lists them".to_owned()))
}

/// A folder's held set, as clients see it.
pub(crate) fn shown(account: &Account, folder: &Folder) -> Option<Held> {
    let held = folder.now().held?;
    Some(Held {
        kind: "deletions".to_owned(),
        token: held.token,
        account: account.name.clone(),
        folder: folder.local.to_string_lossy().into_owned(),
        deletions: held.deletions,
        since: rfc3339(held.since),
        sample: held.sample,
        reason: held.reason,
    })
}
