//! When `run --once` ends: each account, and each folder of it, goes on until it is finished or cannot finish, whatever becomes of the others.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::daemon::End;
use crate::daemon::account::Account;
use crate::daemon::folder::Folder;
use crate::daemon::trouble::needs_a_person;
use crate::model::RelPath;
use crate::store::StoreError;

/// Rows that failed this often no longer keep `run --once` from ending; they are problems.
pub(crate) const ATTEMPTS: u32 = 3;

/// Resolves when every account has done what can be done; the worst of their ends is the run's.
pub(crate) async fn finished(accounts: &[Arc<Account>]) -> End {
    let mut ends = join_all(accounts.iter().map(|account| account_finished(account))).await;
    // What kept one from finishing may have passed while the others went on.
    for (account, end) in accounts.iter().zip(&mut ends) {
        if matches!(end, End::Unfinished(_)) {
            *end = account_finished(account).await;
        }
    }
    ends.into_iter().fold(End::InSync, worse)
}

/// The worse of two ends; what is unfinished in both is told of both.
fn worse(a: End, b: End) -> End {
    let rank = |end: &End| match end {
        End::InSync => 0,
        End::Problems => 1,
        End::Unfinished(_) => 2,
        End::Usage(_) => 3,
        End::State(_) => 4,
        End::Failed(_) => 5,
    };
    match (a, b) {
        (End::Unfinished(a), End::Unfinished(b)) => End::Unfinished(format!("{a}; {b}")),
        (a, b) if rank(&b) > rank(&a) => b,
        (a, _) => a,
    }
}

async fn account_finished(account: &Account) -> End {
    match watch(account).await {
        Ok(end) => end,
        Err(error) => End::State(error.to_string()),
    }
}

/// Where one folder stands.
#[derive(Debug, Default)]
struct Stand {
    /// Something is still to be done.
    busy: bool,
    /// Paths with problems.
    problems: u64,
    /// Why it cannot be finished.
    waits: Option<String>,
}

async fn watch(account: &Account) -> Result<End, StoreError> {
    let mut changed = account.store.changed();
    let mut trouble = account.trouble.subscribe();
    loop {
        changed.borrow_and_update();
        if let Some(reason) = account.paused_reason() {
            return Ok(End::Unfinished(format!("account {}: {reason}", account.name)));
        }
        let stuck = trouble
            .borrow_and_update()
            .as_ref()
            .filter(|t| t.attempts >= ATTEMPTS || needs_a_person(t.state))
            .map(|t| t.reason.clone())
            .or_else(|| account.upward.quota.borrow().as_ref().map(|t| t.reason.clone()));
        if let Some(reason) = stuck {
            return Ok(End::Unfinished(format!("account {}: {reason}", account.name)));
        }
        let mut all = Vec::with_capacity(account.folders.len());
        for folder in &account.folders {
            all.push(stand(account, folder).await?);
        }
        if account.remote.settled() && !all.iter().any(|folder| folder.busy) {
            let problems: u64 = all.iter().map(|folder| folder.problems).sum();
            let mut waits: Vec<String> = all.into_iter().filter_map(|folder| folder.waits).collect();
            waits.extend(account.remote.lanes.iter().filter_map(|lane| lane.held()).map(|held| held.reason));
            return Ok(match (waits.is_empty(), problems) {
                (false, _) => End::Unfinished(format!("account {}: {}", account.name, waits.join("; "))),
                (true, 0) => End::InSync,
                (true, _) => End::Problems,
            });
        }
        tokio::select! {
            _ = changed.changed() => {}
            _ = trouble.changed() => {}
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

async fn stand(account: &Account, folder: &Folder) -> Result<Stand, StoreError> {
    let now = folder.now();
    // Nothing of it is worked on until its root is back.
    if let Some(failure) = now.root_trouble {
        return Ok(Stand { waits: Some(failure.text), ..Stand::default() });
    }
    let summary = account.store.summary(folder.id).await?;
    let problems = summary.problems;
    let busy = Stand { busy: true, problems, waits: None };
    if !now.scanned || now.scans > 0 {
        return Ok(busy);
    }
    // Deletions that wait for a person are not waited for.
    let held = now.held.map(|held| held.reason);
    let held_back = if held.is_some() { summary.staged_deletes } else { 0 };
    let rows = summary.due + summary.claimed + summary.staged_uploads + summary.staged_deletes;
    if rows.saturating_sub(summary.failing) > held_back {
        return Ok(busy);
    }
    if rows > held_back {
        let trying = account.store.trying_under(folder.id, &RelPath::root(), ATTEMPTS).await?;
        // Rows may have been settled between the two readings: what counts is one reading of both.
        if trying > held_back || account.store.summary(folder.id).await? != summary {
            return Ok(busy);
        }
    }
    Ok(Stand { busy: false, problems, waits: held })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_end_is_the_run_s() {
        let unfinished = |text: &str| End::Unfinished(text.to_owned());
        assert_eq!(worse(End::InSync, End::InSync), End::InSync);
        assert_eq!(worse(End::InSync, End::Problems), End::Problems);
        assert_eq!(worse(unfinished("a"), End::Problems), unfinished("a"));
        assert_eq!(worse(End::Problems, unfinished("a")), unfinished("a"));
        assert_eq!(worse(unfinished("a"), unfinished("b")), unfinished("a; b"));
        assert_eq!(worse(End::State("s".into()), unfinished("b")), End::State("s".into()));
    }
}
