//! Who the account is: asked before anything of it is touched, and its space now and then.

use std::path::Path;
use std::time::Duration;

use crate::daemon::account::{Account, Fatal, Who};
use crate::model::Failure;
use crate::model::status::Space;

/// How often the space in use is asked for while there is work.
const SPACE_EVERY: Duration = Duration::from_mins(15);

/// Asks until Dropbox has answered once, compares the answer with the database, then keeps the space fresh.
pub(crate) async fn run(account: &Account) -> Result<(), Fatal> {
    while !step(account).await? {
        account.wait_out_trouble().await;
    }
    loop {
        tokio::time::sleep(SPACE_EVERY).await;
        if let Some(space) = space(account).await {
            account.who.send_if_modified(|who| who.as_mut().is_some_and(|who| who.space.replace(space) != Some(space)));
        }
    }
}

/// One try. `true` once the account is known.
pub(crate) async fn step(account: &Account) -> Result<bool, Fatal> {
    let Ok(found) = account.judge(account.dropbox.current_account().await) else { return Ok(false) };
    match account.store.meta("account_id").await? {
        Some(known) if known != found.account_id => {
            account.note(&Failure::account(
                "account_mismatch",
                format!(
                    "the token belongs to {}, but the folders were synced with another account: run `ferrybox link {}` with the right one, or give the account a new name",
                    found.email, account.name
                ),
            ));
            return Ok(false);
        }
        Some(_) => {}
        None => account.store.set_meta("account_id", &found.account_id).await?,
    }
    remember(account.store.path(), &found.account_id);
    let space = space(account).await;
    account.who.send_replace(Some(Who { account_id: found.account_id, email: found.email, space }));
    Ok(true)
}

/// Beside the database, so that a new one in the place of a damaged one belongs to the same account.
const FILE: &str = "account-id";

/// Whose database it was that stood in this directory, if that was ever known.
pub(crate) fn remembered(dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(dir.join(FILE)).ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

fn remember(database: &Path, account_id: &str) {
    let Some(dir) = database.parent() else { return };
    if remembered(dir).as_deref() == Some(account_id) {
        return;
    }
    let next = dir.join(format!("{FILE}.next"));
    let written = std::fs::write(&next, account_id).and_then(|()| std::fs::rename(&next, dir.join(FILE)));
    if let Err(error) = written {
        tracing::warn!(%error, "the account's id could not be noted beside its database; the database has it, too");
    }
}

/// The space in use; only for the status, so that a failure means no more than an old figure.
async fn space(account: &Account) -> Option<Space> {
    account.dropbox.space_usage().await.ok()
}
