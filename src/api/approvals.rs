//! Lists what waits for a person: deletions, and changes of Dropbox that would delete or overwrite much.

use std::sync::Arc;

use crate::control::Page;
use crate::engine::account::Account;
use crate::engine::approvals::shown;
use crate::engine::blocking::Fatal;
use crate::model::status::Held;

/// Everything that is held.
pub(crate) async fn list(accounts: &[Arc<Account>], offset: u64, limit: u64) -> Result<Page<Held>, Fatal> {
    let mut all = Vec::new();
    for account in accounts {
        all.extend(account.folders.iter().filter_map(|folder| shown(account, folder)));
        all.extend(account.remote.held(account).await?);
    }
    let total = all.len() as u64;
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(Page { items: all.into_iter().skip(from).take(most).collect(), offset, total })
}
