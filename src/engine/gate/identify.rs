//! Who the account is: asked before anything of it is touched, again after it was linked anew; and what is watched while it waits.

use std::path::Path;
use std::time::Duration;

use crate::dropbox::{CallError, Credentials, Dropbox, Tokens};
use crate::engine::account::{Account, Who};
use crate::engine::blocking::Fatal;
use crate::engine::blocking::blocking;
use crate::engine::gate::lane_lock;
use crate::engine::state_file;
use crate::env;
use crate::env::Instant;
use crate::model::Failure;
use crate::model::status::{AccountState, Space};
use crate::plan::account::asking::{ACCOUNT_EVERY, Ask, Asking};
use crate::plan::time::retry;
use crate::store::StoreError;

/// How often an offline account tries a cheap call, whatever its backoff.
const PROBE: Duration = Duration::from_secs(10);
/// How often the credentials are read while they are not accepted.
const RELINK: Duration = Duration::from_secs(2);
/// Asks until Dropbox has answered once, compares the answer with the database, then keeps an eye on what ends a wait.
pub(crate) async fn run(account: &Account) -> Result<(), Fatal> {
    let folders = account.folders.clone();
    blocking(move || {
        folders.iter().for_each(|folder| folder.root.clear_snapshots());
        Ok(())
    })
    .await?;
    let mut refused = Refused::default();
    let mut at_full: Option<Space> = None;
    let began = env::instant();
    let mut asking = Asking::new(Duration::ZERO);
    let (mut trouble, mut quota) = (account.trouble.subscribe(), account.upward.quota.subscribe());
    loop {
        let state = trouble.borrow_and_update().as_ref().map(|t| (t.state, t.until));
        // Calls that are spent come back with the month, and more room with a question.
        let full = quota.borrow_and_update().as_ref().is_some_and(|full| full.state == AccountState::QuotaFull);
        let known = account.who.borrow().is_some();
        asking.full(full, began.elapsed());
        if !full {
            at_full = None;
        }
        let pause = match state {
            Some((AccountState::AuthRequired | AccountState::AccountMismatch, _)) => {
                relinked(account, &mut refused).await?;
                RELINK
            }
            Some((AccountState::Offline, _)) if known => PROBE,
            _ if !known => {
                if step(account).await? {
                    asking.asked(Ask::Account, began.elapsed());
                    continue;
                }
                until(state.map(|s| s.1))
            }
            None => asking.next().0.saturating_sub(began.elapsed()),
            // What ends the trouble is told.
            Some(_) => ACCOUNT_EVERY,
        };
        let mut at_once = None;
        tokio::select! {
            () = env::sleep(pause) => {}
            _ = trouble.changed() => continue,
            _ = quota.changed() => continue,
            () = account.recheck.notified() => at_once = Some(if full { Ask::Room } else { Ask::Account }),
            () = account.upward.committed.notified() => {
                asking.committed(began.elapsed());
                continue;
            }
        }
        match state {
            Some((AccountState::Offline, _)) if known && account.dropbox.check_user().await.is_ok() => account.works(),
            None if known => {
                let ask = at_once.unwrap_or_else(|| asking.next().1);
                match ask {
                    // Whose account it is and which namespace its paths are in may change while it runs.
                    Ask::Account => {
                        step(account).await?;
                    }
                    Ask::Space => drop(note_space(account).await),
                    Ask::Room => has_room(account, &mut at_full).await,
                }
                asking.asked(ask, began.elapsed());
            }
            _ => {}
        }
    }
}

/// Asks for the space in use and shows it.
async fn note_space(account: &Account) -> Option<Space> {
    let now = space(account).await?;
    account.who.send_if_modified(|who| who.as_mut().is_some_and(|who| who.space.replace(now) != Some(now)));
    Some(now)
}

/// Whether a full account has more room than when it was full.
async fn has_room(account: &Account, at_full: &mut Option<Space>) {
    let Some(now) = note_space(account).await else { return };
    // What was free when it was full did not do; more may.
    let free = |space: Space| space.allocated.saturating_sub(space.used);
    match at_full {
        Some(then) if free(now) > free(*then) => {
            *at_full = Some(now);
            account.room();
        }
        Some(_) => {}
        None => *at_full = Some(now),
    }
}

fn until(at: Option<i64>) -> Duration {
    let left = at.map_or(1_000, |at| at.saturating_sub(crate::env::now_ms()));
    Duration::from_millis(u64::try_from(left).unwrap_or(0).clamp(100, 60_000))
}

/// One try. `true` once the account is known.
pub(crate) async fn step(account: &Account) -> Result<bool, Fatal> {
    let Ok(found) = account.judge(account.dropbox.current_account().await) else { return Ok(false) };
    match account.store.account_id().await? {
        Some(known) if is_anothers(account, &known, &found.account_id).await? => {
            mismatch(account, &found.email);
            return Ok(false);
        }
        Some(_) => {}
        None => account.store.set_account_id(&found.account_id).await?,
    }
    let (database, account_id) = (account.store.path().to_owned(), found.account_id.clone());
    blocking(move || {
        remember(&database, &account_id);
        Ok(())
    })
    .await?;
    let endpoint = account.dropbox.settings().endpoints.api().as_str();
    if let Err(taken) = lane_lock::take(&account.name, endpoint, &found.account_id) {
        account.note(&Failure::account("account_in_use", taken.text()));
        return Ok(false);
    }
    if account.store.set_namespace(account.dropbox.namespace_of(&found)).await? {
        tracing::warn!(account = %account.name, "the account's files lie in another namespace now: everything is listed anew, and nothing is deleted");
        account.remote.lanes.iter().for_each(|lane| lane.nudge.notify_one());
    }
    let space = space(account).await;
    account.who.send_replace(Some(Who { account_id: found.account_id, email: found.email, space }));
    Ok(true)
}

/// Whether the database is another account's than the credentials are.
///
/// # Errors
/// The database says so, but the file beside it names the account of the credentials: the database is damaged, or is not the one that was here.
async fn is_anothers(account: &Account, known: &str, found: &str) -> Result<bool, Fatal> {
    if known == found {
        return Ok(false);
    }
    let (database, known, found) = (account.store.path().to_owned(), known.to_owned(), found.to_owned());
    blocking(move || {
        if database.parent().and_then(remembered).is_some_and(|beside| beside == found) {
            let what = format!("it says that it is the account {known}'s, but {found} was synced here");
            return Err(StoreError::Corrupt { path: database, what });
        }
        Ok(true)
    })
    .await
}

fn mismatch(account: &Account, email: &str) {
    account.note(&Failure::account(
        "account_mismatch",
        format!(
            "the token belongs to {email}, but the folders were synced with another account: run `ferrybox link {}` with the right one, or give the account a new name",
            account.name
        ),
    ));
}

/// The credentials that were found last and led nowhere.
#[derive(Default)]
struct Refused {
    last: Option<Credentials>,
    /// Whose they are, if they are another account's.
    whose: Option<String>,
    tries: u32,
    /// They are not tried before this.
    until: Option<Instant>,
}

impl Refused {
    /// Whether these are tried now: others than the last ones always are.
    fn are_due(&mut self, found: &Credentials) -> bool {
        if !self.last.as_ref().is_some_and(|last| last.same(found)) {
            *self = Self { last: Some(found.clone()), ..Self::default() };
        }
        self.until.is_none_or(|until| until <= env::instant())
    }

    /// What is to be said again: the old token is still tried once in a while, and that it is refused is not why the account waits.
    fn unsaid(&self, state: Option<AccountState>) -> Option<&str> {
        self.whose.as_deref().filter(|_| state != Some(AccountState::AccountMismatch))
    }

    fn again(&mut self, refused: bool) {
        self.tries = self.tries.saturating_add(1);
        self.until = Some(env::instant() + retry::relink(self.tries, refused));
    }
}

/// Whether other credentials were put where they are kept. They are tried apart, and taken over only if they are the same account's: no call of
/// any task is ever made to another account.
async fn relinked(account: &Account, refused: &mut Refused) -> Result<(), Fatal> {
    let Ok(found) = account.credentials.load(&account.name).await else { return Ok(()) };
    if account.dropbox.tokens().holds(&found).await {
        return Ok(());
    }
    let due = refused.are_due(&found);
    let state = account.trouble.borrow().as_ref().map(|trouble| trouble.state);
    if let Some(email) = refused.unsaid(state) {
        mismatch(account, email);
    }
    if !due {
        return Ok(());
    }
    let tokens = Tokens::new(&account.name, found.clone());
    let Ok(apart) = Dropbox::behind(account.dropbox.gates(), account.dropbox.settings().clone(), tokens) else {
        return Ok(());
    };
    let who = match apart.current_account().await {
        Ok(who) => who,
        Err(error) => {
            let by_dropbox = matches!(error, CallError::Auth(_));
            refused.again(by_dropbox);
            let again_s = retry::relink(refused.tries, by_dropbox).as_secs();
            tracing::warn!(account = %account.name, %error, again_s, "{}", untaken(by_dropbox));
            return Ok(());
        }
    };
    let anothers = match account.store.account_id().await? {
        Some(known) => is_anothers(account, &known, &who.account_id).await?,
        None => false,
    };
    if anothers {
        refused.again(true);
        mismatch(account, &who.email);
        refused.whose = Some(who.email);
        return Ok(());
    }
    tracing::info!(account = %account.name, "other credentials were found, and they are this account's");
    account.dropbox.tokens().replace(found).await;
    account.over();
    Ok(())
}

/// Why credentials that were put in the old ones' place are not taken over.
fn untaken(by_dropbox: bool) -> &'static str {
    if by_dropbox {
        "the credentials that were stored meanwhile are refused by Dropbox; as soon as they are replaced, the new ones are tried"
    } else {
        "the credentials that were stored meanwhile could not be tried, since Dropbox did not answer the question whose they are"
    }
}

/// Beside the database, so that a new one in the place of a damaged one belongs to the same account.
const FILE: &str = "account-id";

/// Whose database it was that stood in this directory, if that was ever known.
#[must_use]
pub fn remembered(dir: &Path) -> Option<String> {
    let text = state_file::read(&dir.join(FILE)).ok()??;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

fn remember(database: &Path, account_id: &str) {
    let Some(dir) = database.parent() else { return };
    if remembered(dir).as_deref() == Some(account_id) {
        return;
    }
    if let Err(error) = state_file::write(&dir.join(FILE), account_id.as_bytes()) {
        tracing::warn!(%error, "the account's id could not be noted beside its database; the database has it, too");
    }
}

/// The space in use; only for the status, so that a failure means no more than an old figure.
async fn space(account: &Account) -> Option<Space> {
    account.dropbox.space_usage().await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(token: &str) -> Credentials {
        Credentials::Access { access_token: token.to_owned().into() }
    }

    #[test]
    fn another_accounts_credentials_are_told_again_whatever_the_old_token_meets() {
        use AccountState::{AccountMismatch, AuthRequired};
        let mut refused = Refused::default();
        assert!(refused.are_due(&access("theirs")));
        assert_eq!(refused.unsaid(Some(AuthRequired)), None);
        refused.again(true);
        refused.whose = Some("b@example.com".to_owned());
        for (state, said) in [(Some(AccountMismatch), None), (Some(AuthRequired), Some("b@example.com"))] {
            assert!(!refused.are_due(&access("theirs")));
            assert_eq!(refused.unsaid(state), said);
        }
        // Others are nobody's until they are tried.
        assert!(refused.are_due(&access("ours")));
        assert_eq!(refused.unsaid(Some(AuthRequired)), None);
    }

    #[test]
    fn c11_what_was_refused_and_what_was_not_asked_are_told_apart() {
        assert!(untaken(true).contains("refused by Dropbox") && !untaken(false).contains("refused"));
    }
}
