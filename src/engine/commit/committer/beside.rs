//! What goes on the disk because it went in Dropbox, beside the commits: it is a matter of this disk only, so no commit waits for it.
//!
//! One batch at a time. While it is under way no deletion begins on either side: the guard counts what waits and what was done of late, and this
//! is neither.

use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};

use super::tell;
use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::heartbeat::rest;
use crate::engine::local_removal;
use crate::env::now_ms;
use crate::model::Batch;

/// The batch under way.
#[derive(Debug, Default)]
pub(super) struct Beside(JoinSet<Result<(), Fatal>>);

impl Beside {
    /// Whether one is under way.
    ///
    /// # Errors
    /// When one failed that has ended.
    pub(super) fn is_busy(&mut self) -> Result<bool, Fatal> {
        while let Some(ended) = self.0.try_join_next() {
            outcome(ended)?;
        }
        Ok(!self.0.is_empty())
    }

    /// Begins with this one.
    pub(super) fn begin(&mut self, account: &Arc<Account>, batch: Batch) {
        let what = format!("the trash of account {}", account.name);
        let of = Arc::clone(account);
        // Its work on the disk is listened to by itself.
        self.0.spawn(account.beats.drive(what, rest(async move { carry_out(&of, &batch).await })));
    }

    /// Waits for its end; if there is none, for ever.
    ///
    /// # Errors
    /// When it failed.
    pub(super) async fn ended(&mut self) -> Result<(), Fatal> {
        match self.0.join_next().await {
            Some(ended) => outcome(ended),
            None => std::future::pending().await,
        }
    }
}

fn outcome(ended: Result<Result<(), Fatal>, JoinError>) -> Result<(), Fatal> {
    ended.unwrap_or_else(|error| Err(Fatal::Task(format!("the moving of files to the trash died: {error}"))))
}

/// Carries the batch to its end, and settles every entry.
pub(super) async fn carry_out(account: &Arc<Account>, batch: &Batch) -> Result<(), Fatal> {
    let outcomes = local_removal::carry_out(account, batch).await?;
    let outcomes = local_removal::replaced(account, batch, outcomes).await?;
    tell(account, batch, &outcomes);
    Ok(account.store.settle_batch(batch.id, outcomes, now_ms()).await?)
}
