//! The facts of [`crate::model::attention`], gathered from the store and from what goes on in memory: the only place that does.

use crate::engine::account::Account;
use crate::engine::folder::{Folder, FolderNow};
use crate::engine::gather::remote;
use crate::engine::gather::remote::Lane;
use crate::env::lock;
use crate::env::{now_ms, rfc3339};
use crate::model::RelPath;
use crate::model::attention::{
    self, AccountFacts, AccountStands, Failing, FolderFacts, FolderStands, ListingFacts, TRIES, Trouble,
};
use crate::model::status::AccountState;
use crate::store::{FolderSummary, Store, StoreError};

/// What is asked of [`of`] beside the states.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Depth {
    /// Counts that cost the same however many rows there are.
    Counts,
    /// Which rows are still tried, too: it reads the rows.
    Rows,
}

/// How an account stands, and its folders' counts, in their order.
pub(crate) async fn of(account: &Account, depth: Depth) -> Result<(AccountStands, Vec<FolderSummary>), StoreError> {
    let mut facts = whole(account);
    let mut summaries = Vec::with_capacity(account.folders.len());
    for folder in &account.folders {
        // In this order: once a listing is compared, the rows of what it brought are there, and once a scan is through, the problems that it found mended are gone.
        let listing = listing_of(account, folder).await?;
        let now = folder.now();
        let summary = account.store.summary(folder.id).await?;
        let mut of = folder_facts(folder, now, &summary, listing);
        of.problems += refused(account, folder, &RelPath::root()).await?;
        // Those that never failed are tried: only where there are no others are they counted one by one.
        if matches!(depth, Depth::Rows) && of.trying > of.held_back && of.trying - of.held_back <= summary.failing {
            let trying = account.store.trying_under(folder.id, &RelPath::root(), TRIES, now_ms()).await?;
            // Rows may have been settled between the two readings: what counts is one reading of both.
            if account.store.summary(folder.id).await? == summary {
                of.trying = trying;
            }
        }
        facts.folders.push(of);
        summaries.push(summary);
    }
    Ok((attention::judge(&facts), summaries))
}

/// How a path and what is below it stand: rows and problems there only, and whether its listing has been asked since a person did.
pub(crate) async fn below(
    account: &Account,
    folder: &Folder,
    path: &RelPath,
    asked: u64,
) -> Result<(AccountStands, FolderStands), StoreError> {
    let mut facts = whole(account);
    let listing = listing_of(account, folder).await?;
    let now = folder.now();
    let summary = account.store.summary(folder.id).await?;
    let mut of = folder_facts(folder, now, &summary, listing);
    // What was asked about was scanned before this is asked.
    (of.scanned, of.scanning) = (true, false);
    of.rows = account.store.trying_under(folder.id, path, u32::MAX, now_ms()).await?;
    of.trying = account.store.trying_under(folder.id, path, TRIES, now_ms()).await?;
    of.held_back = of.held_back.min(of.rows);
    of.problems = account.store.problems_under(folder.id, path).await? + refused(account, folder, path).await?;
    of.listing.asked = account.remote.lane_of(folder.id).is_some_and(|lane| lock(&lane.now).tried < asked);
    facts.folders.push(of);
    let mut stands = attention::judge(&facts);
    let folder = stands.folders.remove(0);
    Ok((stands, folder))
}

fn whole(account: &Account) -> AccountFacts {
    let trouble = account.trouble.borrow().as_ref().map(|trouble| Trouble {
        state: trouble.state,
        reason: format!("{} (next try at {})", trouble.reason, rfc3339(trouble.until)),
        attempts: trouble.attempts,
    });
    // Its tasks do not run, whatever else is known.
    let stopped = lock(&account.stopped).clone();
    let stopped = stopped.map(|reason| Trouble { state: AccountState::Failed, reason, attempts: TRIES });
    let quota_full = account.upward.quota.borrow().as_ref().map(|full| {
        format!(
            "{}; downloads and deletions go on, and uploads are tried again by {}",
            full.reason,
            rfc3339(full.until)
        )
    });
    let waiting = account.dropbox.waiting();
    let list: Vec<_> = waiting.iter().map(|(what, until)| format!("{what} until {until:.0}")).collect();
    let throttled = (!list.is_empty())
        .then(|| format!("Dropbox asked for a pause: {}; syncing goes on by itself", list.join(", ")));
    AccountFacts {
        stopping: account.stop.is_cancelled(),
        disk_full: lock(&account.full).clone(),
        paused: account.paused_reason(),
        trouble: stopped.or(trouble),
        quota_full,
        spent: account.upward.quota.borrow().as_ref().is_some_and(|full| full.state != AccountState::QuotaFull),
        throttled,
        slowed: account.slowed_reason(),
        known: account.who.borrow().is_some(),
        folders: Vec::with_capacity(account.folders.len()),
    }
}

async fn listing_of(account: &Account, folder: &Folder) -> Result<ListingFacts, StoreError> {
    match account.remote.lane_of(folder.id) {
        Some(lane) => listing_facts(&account.store, lane, folder).await,
        None => Ok(ListingFacts::default()),
    }
}

/// Entries that Dropbox lists and that cannot come down as they are: they are problems of the folder that they would come down in.
async fn refused(account: &Account, folder: &Folder, path: &RelPath) -> Result<u64, StoreError> {
    match account.remote.lane_of(folder.id).filter(|_| folder.comes_down()) {
        Some(lane) => account.store.refused_under(lane.id, folder.home(path).to_string()).await,
        None => Ok(0),
    }
}

fn folder_facts(folder: &Folder, now: FolderNow, summary: &FolderSummary, listing: ListingFacts) -> FolderFacts {
    let rows = summary.due + summary.claimed + summary.staged_uploads + summary.staged_deletes;
    FolderFacts {
        local: folder.local.to_string_lossy().into_owned(),
        comes_down: folder.comes_down(),
        root_missing: now.root_trouble.map(|failure| failure.text),
        held_back: if now.held.is_some() { summary.staged_deletes } else { 0 },
        held_up: now.held.map(|held| held.reason),
        degraded: now.degraded,
        listing,
        scanned: now.scanned,
        scanning: now.scans > 0,
        rows,
        trying: rows,
        // What failed is tried again later, and is not waited for.
        free: (summary.down.files + summary.other_here + summary.other_there).saturating_sub(summary.failing),
        problems: summary.problems,
    }
}

/// What is known of a listing.
async fn listing_facts(store: &Store, lane: &Lane, folder: &Folder) -> Result<ListingFacts, StoreError> {
    let listing = store.listing(lane.id).await?;
    let now = lock(&lane.now).clone();
    let complete = listing.live.as_ref().is_some_and(|live| live.complete && !live.running);
    let held = match (&listing.held, &listing.next, &now.held) {
        (Some(why), Some(next), _) if why != "approved" => Some(remote::held_listing(why, next.id)),
        (_, _, Some(held)) => Some(held.reason.clone()),
        _ => None,
    };
    Ok(ListingFacts {
        read: now.rested
            && complete
            && listing.next.is_none()
            && !listing.comparing
            && lane.is_compared(store)
            && !lane.echo.was_halfway(),
        listed: lane.echo.listed(),
        missing: lane.root_lost(folder.id).map(|lost| lost.reason),
        held,
        failing: now.failing.map(|failing| Failing {
            reason: failing.reason,
            tries: failing.tries,
            for_ms: now_ms().saturating_sub(failing.since),
        }),
        asked: false,
    })
}
