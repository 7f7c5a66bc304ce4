//! Who the account is: asked before anything of it is touched, and its space now and then.

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
    let space = space(account).await;
    account.who.send_replace(Some(Who { account_id: found.account_id, email: found.email, space }));
    Ok(true)
}

/// The space in use; only for the status, so that a failure means no more than an old figure.
async fn space(account: &Account) -> Option<Space> {
    account.dropbox.space_usage().await.ok()
}
