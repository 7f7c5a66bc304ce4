//! Deletions that wait for a person: the token that names exactly them, and what the person's answer does.
//!
//! The token is a hash of the sorted paths and revisions, salted with a random word that goes with the answer: another set has another token,
//! and no token serves twice. Salt and answer are in the database, so both survive a restart. `approve` lets through what the token named and
//! nothing that came later; `reject` forgets base's rows, so that the paths are not asked about again until they change: Dropbox keeps the files.
//!
//! What a person let through at the [inbound guard](crate::engine::listing::inbound_guard) is not asked about again: those files at those revisions count as agreed to.

use std::sync::Arc;

use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::folder::{Folder, HeldSet};
use crate::env::{now_ms, rfc3339};
use crate::local::RootId;
use crate::model::status::{Answered, Held};
use crate::model::{ChangeId, UnixMs};
use crate::plan::delete::guard;
use crate::plan::delete::guard::Before;
use crate::store::{HeldDeletions, MayGo};

/// Paths that are shown of a held set.
const SAMPLE: usize = 5;
/// Rows read at once.
const PAGE: usize = 1000;

/// A person has agreed to the staged deletions up to this one.
pub(crate) async fn approved(account: &Account, folder: &Folder) -> Result<ChangeId, Fatal> {
    Ok(account.store.approved_upto(folder.id).await?.unwrap_or(ChangeId(i64::MIN)))
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
    if !store.has_consents(folder.id).await? {
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
        let files = page.iter().filter(|(id, _, rev)| *id > upto && !rev.is_empty());
        let files = files.map(|(_, path, rev)| guard::digest(path.as_str(), rev)).collect();
        for may_go in store.consents(folder.id, files).await? {
            match may_go {
                Some(MayGo::Agreed) => {}
                Some(MayGo::Moved) => found.moved += 1,
                None => found.asked += 1,
            }
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
    let known = account.store.held_deletions(folder.id).await?;
    let (since, salt) = match &known {
        Some(known) => (known.since, known.salt.clone()),
        None => (now, RootId::new().map_err(|failure| Fatal::Task(failure.text))?.to_string()),
    };
    let stands = HeldDeletions { since, salt, all: why.all };
    if known.as_ref() != Some(&stands) {
        account.store.hold_deletions(folder.id, stands.clone()).await?;
    }
    let set = sealed(account, folder, &stands.salt).await?;
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
    Ok(account.store.held_deletions(folder.id).await?.is_some())
}

/// What of them was held before, and why.
pub(crate) async fn before(account: &Account, folder: &Folder) -> Result<Before, Fatal> {
    let known = account.store.held_deletions(folder.id).await?;
    Ok(known.map_or(Before::Nothing, |known| known.all.map_or(Before::TooMany, Before::All)))
}

/// Nothing is held (any more).
pub(crate) async fn lift(account: &Account, folder: &Folder) -> Result<(), Fatal> {
    if folder.now().held.is_some() || is_open(account, folder).await? {
        account.store.lift_hold(folder.id).await?;
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
            let Some(known) = account.store.held_deletions(folder.id).await? else { continue };
            // The set as it is in this moment, not as it was shown.
            let set = sealed(account, folder, &known.salt).await?;
            if set.token != token {
                return Ok(Err(
                    "the held deletions have changed since this token was given: look at them again with `ferrybox approve`".to_owned()
                ));
            }
            match verdict {
                Verdict::Approve => {
                    account.store.approve_deletions(folder.id, set.last).await?;
                }
                Verdict::Reject => {
                    account.store.forget_deletions(folder.id, set.last, folder.comes_down(), now_ms()).await?;
                }
            }
            tracing::info!(account = %account.name, folder = folder.id.0, deletions = set.deletions, ?verdict, "a person has decided on the held deletions");
            // The step has ended the hold. What is held by now may be another set, of which nothing was said.
            folder.set(|now| {
                now.held.take_if(|held| held.token == token);
            });
            account.store.poke();
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
