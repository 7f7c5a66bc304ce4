//! The budget of data-transport calls: each is written down before it is made, so that a kill loses none and the budget is never overshot.

use std::sync::Arc;

use crate::dropbox::Dropbox;
use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::env::{month, now_ms};
use crate::model::Failure;
use crate::plan::commit::budget::{Commits, commits, limit};
use crate::store::Store;

/// Has the account's data-transport calls counted in its database, and refused where the budget is spent.
pub(crate) fn meter(dropbox: &Dropbox, store: &Store, budget: Option<u64>) {
    let store = store.clone();
    dropbox.meter(Box::new(move |route, commits| {
        let store = store.clone();
        Box::pin(async move {
            let below = budget.map_or(u64::MAX, |budget| limit(budget, commits));
            match store.count_transport(&month(now_ms()), route, below).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(spent(budget.unwrap_or(u64::MAX))),
                Err(error) => {
                    Err(Failure::retry("io_error", format!("the call could not be counted, and was not made: {error}")))
                }
            }
        })
    }));
}

fn spent(budget: u64) -> Failure {
    Failure::account(
        "data_transport",
        format!(
            "this month's data_transport_budget of {budget} calls is spent: raise it and run `ferrybox reload`, or wait for the next month (UTC)"
        ),
    )
}

/// Which uploads may be committed now. Says why, where none may.
pub(crate) async fn may_commit(account: &Arc<Account>) -> Result<Commits, Fatal> {
    let full = account.why_full();
    let left = match account.budget {
        Some(budget) => Some(budget.saturating_sub(account.store.transport(&month(now_ms())).await?)),
        None => None,
    };
    if let (false, Some(budget), Some(0)) = (account.is_full(), account.budget, left) {
        account.note(&spent(budget));
    }
    Ok(commits(full, left))
}
