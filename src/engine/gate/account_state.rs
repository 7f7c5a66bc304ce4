//! What makes a whole account wait, and what ends the wait.
//!
//! A trouble has a reason and a next try. Calls that come through end what waiting can end; a local change ends the wait of an offline account
//! early, and so does a cheap call that [`identify`](super::identify) makes every few seconds meanwhile, which is also how a new network shows.
//! A full account is apart from that: it holds up uploads only.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use crate::dropbox::CallError;
use crate::engine::account::Account;
use crate::env;
use crate::env::lock;
use crate::env::{chance, moment, ms, now_ms};
use crate::model::attention::needs_a_person;
use crate::model::status::AccountState;
use crate::model::{Failure, Job, Next, UnixMs};
use crate::plan::commit::budget::Full;
use crate::plan::time::retry;
use crate::plan::time::wait::is_ahead;

/// So many calls in a row that do not come through mean that the account is offline, and not that each of its paths has a problem.
const BROKEN: u32 = 4;
/// So many files in a row to which access is denied mean that it is the account's.
const DENIED: usize = 3;
/// A person has to act: looked at this often.
const PERSON: Duration = Duration::from_mins(1);
/// A full account is tried this often, if nothing shows before that it has room.
const FULL: Duration = Duration::from_hours(1);
/// Local changes end a wait at most this often.
const HURRY: Duration = Duration::from_secs(2);
const HURRY_FULL: Duration = Duration::from_secs(30);

/// Why the whole account waits.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    pub(crate) state: AccountState,
    pub(crate) reason: String,
    /// The next try.
    pub(crate) until: UnixMs,
    /// How far away that was when it was written down, in ms: however the clock is set, it is never further.
    pub(crate) wait: i64,
    /// Failed tries in a row.
    pub(crate) attempts: u32,
}

impl Trouble {
    /// Whether the next try has not come yet.
    pub(crate) fn waits(&self) -> bool {
        is_ahead(self.until, now_ms(), self.wait)
    }
}

fn state_of(code: &str) -> AccountState {
    match code {
        "auth_required" => AccountState::AuthRequired,
        "account_mismatch" | "path_root" => AccountState::AccountMismatch,
        "rate_limited" | "data_transport" => AccountState::RateLimited,
        "permission" | "root_moved" | "account_in_use" => AccountState::Failed,
        _ => AccountState::Offline,
    }
}

impl Account {
    /// Whether a failure concerns the whole account; then everything waits, with backoff, and the path has no part in it.
    pub(crate) fn note(&self, failure: &Failure) {
        if failure.next != Next::Account || failure.code == "stopping" {
            return;
        }
        // What costs room, or a call that a team pays for, waits; deletions and downloads do not.
        if matches!(failure.code.as_str(), "quota_full" | "data_transport") {
            return self.fill_up(failure);
        }
        let state = state_of(&failure.code);
        self.trouble.send_if_modified(|trouble| {
            // Several workers meet the same trouble at once: that is one failed try, not eight.
            let worse = |t: &Trouble| needs_a_person(state) && t.state != state;
            if trouble.as_ref().is_some_and(|t| t.waits() && !worse(t)) {
                return false;
            }
            let attempts = trouble.as_ref().filter(|t| t.state == state).map_or(0, |t| t.attempts.saturating_add(1));
            let wait = if needs_a_person(state) { PERSON } else { retry::backoff(attempts, chance()) };
            tracing::warn!(account = %self.name, state = ?state, reason = %failure.text, next_try_s = wait.as_secs_f32(), "the account waits");
            let wait = ms(wait);
            *trouble = Some(Trouble { state, reason: failure.text.clone(), until: now_ms() + wait, wait, attempts });
            true
        });
    }

    /// A call went through: what waiting can end is over, and what a person had to do may have been done.
    pub(crate) fn works(&self) {
        self.upward.broken.store(0, Ordering::Relaxed);
        let ended = |t: &Trouble| match t.state {
            AccountState::AccountMismatch => false,
            state if needs_a_person(state) => !t.waits(),
            _ => true,
        };
        if self.trouble.borrow().as_ref().is_some_and(ended) {
            self.over();
        }
    }

    /// The trouble is over, whatever it was.
    pub(crate) fn over(&self) {
        if let Some(over) = self.trouble.send_replace(None) {
            tracing::info!(account = %self.name, was = ?over.state, "the account works again");
            self.store.poke();
        }
    }

    /// What a failed call means, noted if it is the account's. `Ok` calls end a trouble.
    pub(crate) fn judge<T>(&self, outcome: Result<T, CallError>) -> Result<T, CallError> {
        match &outcome {
            Ok(_) => self.works(),
            // Dropbox answers, and that is all that is asked here.
            Err(CallError::Api(error)) if error.status == 409 => {
                self.upward.broken.store(0, Ordering::Relaxed);
                self.note(&outcome_failure(&outcome));
            }
            Err(error) => {
                let failure = error.failure();
                let broken = failure.code == "offline" && failure.next != Next::Account;
                if broken && self.upward.broken.fetch_add(1, Ordering::Relaxed) + 1 >= BROKEN {
                    self.note(&Failure::account("offline", failure.text));
                } else {
                    self.note(&failure);
                }
            }
        }
        outcome
    }

    /// What came of asking for one file's content. A file that is denied (403) is that file's trouble, until several in a row were.
    pub(crate) fn was_denied(&self, job: &Job, error: Option<&CallError>) {
        let mut denied = lock(&self.upward.denied);
        match error {
            None => denied.clear(),
            Some(CallError::Api(error)) if error.status == 403 => {
                denied.insert((job.folder, job.path.clone()));
                if denied.len() >= DENIED {
                    denied.clear();
                    let text = format!(
                        "Dropbox denies this account or app the call {} for one file after another (403): check the app's permissions and the account",
                        error.route
                    );
                    self.note(&Failure::account("permission", text));
                }
            }
            Some(_) => {}
        }
    }

    /// Waits until the account is known and has no trouble, or its next try is due.
    pub(crate) async fn ready(&self) {
        let mut who = self.who.subscribe();
        let _ = who.wait_for(Option::is_some).await;
        wait_out(&self.trouble).await;
    }

    /// Whether [`Account::ready`] would wait for a trouble.
    pub(crate) fn is_troubled(&self) -> bool {
        self.trouble.borrow().as_ref().is_some_and(Trouble::waits)
    }

    /// Ends the wait of a trouble early: somebody asked, or the network came back.
    pub(crate) fn hurry(&self) {
        self.dropbox.hurry();
        hurry(&self.trouble);
        hurry(&self.upward.quota);
        self.recheck.notify_one();
        self.store.poke();
    }

    /// Local activity ends the wait of an offline account, since the network may be back, and of a full one, since what waits may fit now.
    pub(crate) fn hurry_offline(&self) {
        let (now, last) = (now_ms(), self.upward.hurried.load(Ordering::Relaxed));
        let offline = self.trouble.borrow().as_ref().is_some_and(|t| t.state == AccountState::Offline);
        if offline && !is_ahead(last.saturating_add(ms(HURRY)), now, ms(HURRY)) {
            self.upward.hurried.store(now, Ordering::Relaxed);
            hurry(&self.trouble);
        }
        if self.is_full() && !is_ahead(last.saturating_add(ms(HURRY_FULL)), now, ms(HURRY_FULL)) {
            self.upward.hurried.store(now, Ordering::Relaxed);
            self.room();
        }
    }

    /// The account takes no more, or the team's calls are spent: uploads wait.
    fn fill_up(&self, failure: &Failure) {
        let reason = failure.text.as_str();
        let state = if failure.code == "quota_full" { AccountState::QuotaFull } else { AccountState::RateLimited };
        self.upward.quota.send_modify(|quota| {
            let attempts = quota.as_ref().map_or(0, |q| q.attempts.saturating_add(1));
            if attempts == 0 {
                tracing::warn!(account = %self.name, reason, "uploads wait");
            }
            let (until, wait) = (now_ms() + ms(FULL), ms(FULL));
            *quota = Some(Trouble { state, reason: reason.to_owned(), until, wait, attempts });
        });
    }

    /// Whether uploads wait for room.
    pub(crate) fn is_full(&self) -> bool {
        self.upward.quota.borrow().as_ref().is_some_and(Trouble::waits)
    }

    /// Whether uploads wait for data-transport calls, and not for room.
    pub(crate) fn is_spent(&self) -> bool {
        self.why_full() == Full::Calls
    }

    /// Why uploads wait, if they do.
    pub(crate) fn why_full(&self) -> Full {
        match self.upward.quota.borrow().as_ref().filter(|quota| quota.waits()) {
            None => Full::No,
            Some(quota) if quota.state == AccountState::QuotaFull => Full::Room,
            Some(_) => Full::Calls,
        }
    }

    /// There may be room again: one try.
    pub(crate) fn room(&self) {
        hurry(&self.upward.quota);
        self.store.poke();
    }

    /// An upload was taken: others may be, too.
    pub(crate) fn has_room(&self) {
        let over = self.upward.quota.send_if_modified(|quota| quota.take().is_some());
        if over {
            tracing::info!(account = %self.name, "an upload was taken: others are tried again");
            self.store.poke();
        }
    }
}

fn outcome_failure<T>(outcome: &Result<T, CallError>) -> Failure {
    match outcome {
        Err(error) => error.failure(),
        Ok(_) => Failure::retry("other", "no failure"),
    }
}

async fn wait_out(trouble: &watch::Sender<Option<Trouble>>) {
    let mut trouble = trouble.subscribe();
    loop {
        let until = trouble.borrow_and_update().as_ref().filter(|t| t.waits()).map(|t| t.until);
        match until {
            Some(until) => {
                tokio::select! {
                    () = env::sleep_until(moment(until)) => {}
                    _ = trouble.changed() => {}
                }
            }
            None => return,
        }
    }
}

fn hurry(trouble: &watch::Sender<Option<Trouble>>) {
    trouble.send_if_modified(|trouble| match trouble {
        Some(trouble) if trouble.waits() => {
            trouble.until = now_ms();
            true
        }
        _ => false,
    });
}
