//! When `run --once` ends: each account, and each folder of it, goes on until it is finished or cannot finish, whatever becomes of the others.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::api::attention;
use crate::api::attention::Depth;
use crate::daemon::End;
use crate::engine::account::Account;
use crate::env;
use crate::env::lock;
use crate::env::now_ms;
use crate::store::StoreError;

/// Resolves when every account has done what can be done; the worst of their ends is the run's.
pub(crate) async fn finished(accounts: &[Arc<Account>]) -> End {
    for account in accounts {
        if let Err(error) = try_all(account).await {
            return End::State(error.to_string());
        }
    }
    let mut ends = join_all(accounts.iter().map(|account| account_finished(account))).await;
    // What kept one from finishing may have passed while the others went on.
    for (account, end) in accounts.iter().zip(&mut ends) {
        if matches!(end, End::Unfinished(_)) {
            *end = account_finished(account).await;
        }
    }
    ends.into_iter().fold(End::InSync, worse)
}

/// What waits after a failure of an earlier run is tried in this one, too: only what fails now is a problem of it.
async fn try_all(account: &Account) -> Result<(), StoreError> {
    for folder in &account.folders {
        account.store.try_all(folder.id, now_ms()).await?;
    }
    Ok(())
}

/// The worse of two ends; what is unfinished in both is told of both.
pub(crate) fn worse(a: End, b: End) -> End {
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

async fn watch(account: &Account) -> Result<End, StoreError> {
    let mut changed = account.store.changed();
    let mut trouble = account.trouble.subscribe();
    loop {
        changed.borrow_and_update();
        if let Some(why) = lock(&account.stopped).clone() {
            return Ok(End::State(format!("account {}: {why}", account.name)));
        }
        trouble.borrow_and_update();
        let (stands, _) = attention::of(account, Depth::Rows).await?;
        if let Some(reason) = stands.stuck {
            return Ok(End::Unfinished(format!("account {}: {reason}", account.name)));
        }
        if !stands.folders.iter().any(|folder| folder.busy) {
            let problems: u64 = stands.folders.iter().map(|folder| folder.problems).sum();
            let mut waits: Vec<String> = stands.folders.into_iter().filter_map(|folder| folder.stuck).collect();
            // Folders that one listing covers wait for the same thing.
            waits.dedup();
            return Ok(match (waits.is_empty(), problems) {
                (false, _) => End::Unfinished(format!("account {}: {}", account.name, waits.join("; "))),
                (true, 0) => End::InSync,
                (true, _) => End::Problems,
            });
        }
        tokio::select! {
            _ = changed.changed() => {}
            _ = trouble.changed() => {}
            () = env::sleep(Duration::from_secs(1)) => {}
        }
    }
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
