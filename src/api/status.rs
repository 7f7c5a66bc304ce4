//! The status, put together from the store's counts and what goes on in memory. Nothing here waits for disk or network for long.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use crate::api::attention;
use crate::api::attention::Depth;
use crate::engine::account::Account;
use crate::engine::approvals;
use crate::engine::folder::Folder;
use crate::engine::open::Unopened;
use crate::env;
use crate::env::Instant;
use crate::env::lock;
use crate::env::{month, now_ms, rfc3339};
use crate::model::attention::{self as model, FolderStands, Work};
use crate::model::status::{
    AccountState, AccountStatus, Commit, DataTransport, FolderState, FolderStatus, Health, Rate, Status,
};
use crate::store::{FolderSummary, StoreError};

/// Transfers shown of one folder.
const SHOWN: usize = 16;
/// The status is published at most this often.
const EVERY: Duration = Duration::from_millis(250);

/// Builds the status of all accounts.
pub(crate) struct Progress {
    pub(crate) accounts: Vec<Arc<Account>>,
    /// Accounts whose state could not be opened, and why.
    pub(crate) failed: Mutex<Vec<Unopened>>,
    pub(crate) started: Instant,
}

impl Progress {
    /// Publishes the status for as long as somebody looks: after each change, and while work lasts.
    pub(crate) async fn publish(&self, to: &watch::Sender<Status>) -> Result<(), StoreError> {
        loop {
            let status = self.status().await?;
            let busy = status.accounts.iter().any(|a| a.state != AccountState::Idle);
            to.send_replace(status);
            let pause = if busy { EVERY } else { EVERY * 4 };
            env::sleep(pause).await;
            if to.is_closed() {
                return std::future::pending().await;
            }
        }
    }

    /// The status now.
    pub(crate) async fn status(&self) -> Result<Status, StoreError> {
        let mut accounts = Vec::with_capacity(self.accounts.len());
        for account in &self.accounts {
            // One account's database is not the others': they are shown all the same.
            accounts.push(match account_status(account).await {
                Err(error) if !matches!(error, StoreError::Full { .. } | StoreError::Corrupt { .. }) => {
                    failed(&account.name, error.to_string())
                }
                shown => shown?,
            });
        }
        accounts.extend(lock(&self.failed).iter().map(|account| failed(&account.name, unopened(account))));
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            accounts,
        })
    }

    /// The first account whose state could not be opened, and why.
    pub(crate) fn unopened(&self) -> Option<String> {
        lock(&self.failed).first().map(|account| format!("account {}: {}", account.name, unopened(account)))
    }

    /// Whether everything that is configured can be synced right now, problems of single paths aside; if not, the first reason.
    pub(crate) async fn health(&self) -> Health {
        let mut problems = 0;
        if let Some(reason) = self.unopened() {
            return Health { ok: false, reason: Some(reason), problems };
        }
        for account in &self.accounts {
            let sick = match attention::of(account, Depth::Counts).await {
                Ok((stands, _)) => {
                    problems += stands.folders.iter().map(|folder| folder.problems).sum::<u64>();
                    stands.sick
                }
                Err(error) => Some(error.to_string()),
            };
            if sick.is_some() {
                return Health { ok: false, reason: sick, problems };
            }
        }
        Health { ok: true, reason: None, problems }
    }
}

fn unopened(account: &Unopened) -> String {
    let Unopened { why, next, .. } = account;
    if *next == 0 {
        return format!("{why}: nothing of this account is synced; the others go on");
    }
    format!(
        "{why}: nothing of this account is synced; it is tried again by itself (next try at {}), and the others go on",
        rfc3339(*next)
    )
}

fn failed(name: &str, reason: String) -> AccountStatus {
    let (name, state, reason) = (name.to_owned(), AccountState::Failed, Some(reason));
    AccountStatus { name, state, reason, ..AccountStatus::default() }
}

async fn account_status(account: &Account) -> Result<AccountStatus, StoreError> {
    let now = now_ms();
    let (stands, summaries) = attention::of(account, Depth::Counts).await?;
    let mut folders = Vec::with_capacity(summaries.len());
    for ((folder, stands), summary) in account.folders.iter().zip(stands.folders).zip(&summaries) {
        let mut told = folder_status(account, folder, stands, summary);
        if told.held.is_none() && told.state == FolderState::Held {
            told.held = account.remote.held_in(account, folder.id).await?.into_iter().next();
        }
        folders.push(told);
    }
    let lane = lock(&account.lane).clone();
    let month = month(now);
    let calls = account.store.transport(&month).await?;
    let who = account.who.borrow().clone().unwrap_or_default();
    Ok(AccountStatus {
        name: account.name.clone(),
        state: stands.state,
        reason: stands.reason,
        account_id: Some(who.account_id).filter(|id| !id.is_empty()),
        email: Some(who.email).filter(|email| !email.is_empty()),
        space: who.space,
        rate_limited_until: account.dropbox.rate_limited_until().map(|until| until.to_string()),
        data_transport: DataTransport { month, calls, budget: account.budget },
        remote: account.remote.status(&account.store).await?,
        commit: Commit {
            state: match (&lane.since, &lane.reason) {
                (None, _) => "idle",
                (Some(_), None) => "committing",
                (Some(_), Some(_)) => "waiting",
            }
            .to_owned(),
            entries: lane.entries,
            job_id: lane.job_id,
            since: lane.since.map(rfc3339),
            reason: lane.reason,
        },
        folders,
    })
}

fn folder_status(account: &Account, folder: &Folder, stands: FolderStands, summary: &FolderSummary) -> FolderStatus {
    let work = Work {
        up: summary.up,
        down: summary.down,
        both: summary.both,
        other_here: summary.other_here,
        other_there: summary.other_there,
        staged_there: (summary.staged_uploads + summary.staged_deletes).saturating_sub(summary.staged_here),
        staged_here: summary.staged_here,
        arrived: account.live.arrived(folder.id),
    };
    let pending = model::pending(folder.mode, account.remote.is_listed(folder.id), &work);
    // Taken each time, and shown only while something moves: the mean of the last seconds is no news at the end.
    let rate = account.live.rate(folder.id, env::instant());
    let moves = stands.state == FolderState::Syncing;
    FolderStatus {
        local: folder.local.to_string_lossy().into_owned(),
        remote: folder.remote.to_string(),
        mode: folder.mode.to_string(),
        eta_s: if moves && stands.reason.is_none() { model::eta(&pending, &work, &rate) } else { None },
        rate: if moves || pending.bytes > 0 { rate } else { Rate::default() },
        state: stands.state,
        reason: stands.reason,
        // What Dropbox has no longer is in sync with nothing.
        files: summary.files.saturating_sub(summary.gone.files),
        bytes: summary.bytes.saturating_sub(summary.gone.bytes),
        last_synced_at: summary.last_synced_at.map(rfc3339),
        pending,
        active: account.live.active(folder.id, SHOWN),
        problems: stands.problems,
        ignored: folder.now().ignored,
        conflicts: summary.conflicts,
        held: approvals::shown(account, folder),
    }
}
