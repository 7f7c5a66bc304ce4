//! Tokens: renewed before they run out, once for all who need them.

pub(super) mod pkce;
pub(super) mod token_call;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use url::Url;

use super::credentials::Credentials;
use super::error::{AuthError, CallError, Transport};
use crate::dropbox::auth::token_call::{TokenError, token_call};
use crate::dropbox::client::gate::growing;
use crate::dropbox::client::refusals::ALONE;
use crate::env;
use crate::env::Instant;

/// How long before its end a token is renewed; a quarter of its life where that is less.
const LEAD: Duration = Duration::from_secs(300);
/// How long a failed early renewal is left alone while the old token still holds.
const PAUSE: Duration = Duration::from_secs(30);
/// What a token without `expires_in` is taken to live.
const USUAL_LIFE: u64 = 4 * 3600;

/// The tokens of one account. Clones share them, and share one renewal.
#[derive(Clone)]
pub struct Tokens {
    account: Arc<str>,
    /// One more than the generation of the last token that Dropbox has taken.
    accepted: Arc<AtomicU64>,
    state: Arc<Mutex<State>>,
}

struct State {
    credentials: Credentials,
    access: Option<Access>,
    generation: u64,
    /// Tokens in a row that were refused as soon as they were renewed.
    unaccepted: u32,
    /// No call before this, since none of them was taken.
    pause: Option<Instant>,
    /// One call is finding out whether that is over.
    found_out: bool,
    early: Option<Instant>,
    last: Option<(Instant, TokenError)>,
    /// The token server asked not to be asked before this.
    gate: Option<(Instant, TokenError)>,
    dead: Option<AuthError>,
}

struct Access {
    token: SecretString,
    renew_at: Instant,
    ends_at: Instant,
}

/// An access token as one call uses it.
pub(super) struct Ticket {
    pub(super) token: SecretString,
    pub(super) generation: u64,
}

/// Where and how tokens are renewed.
pub(super) struct Counter<'a> {
    pub(super) http: &'a reqwest::Client,
    pub(super) api: &'a Url,
    pub(super) patience: Duration,
}

impl Tokens {
    /// `account` is its name in the configuration, for texts that say what to run.
    pub fn new(account: &str, credentials: Credentials) -> Self {
        let state = Arc::new(Mutex::new(State::new(credentials, 0)));
        Self { account: account.into(), accepted: Arc::default(), state }
    }

    /// The account's name in the configuration.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Goes on with other credentials, after the account was linked again. It must be the same account: compare its id.
    pub async fn replace(&self, credentials: Credentials) {
        let mut state = self.state.lock().await;
        let generation = state.generation + 1;
        *state = State::new(credentials, generation);
    }

    /// Whether these are the credentials in use.
    pub async fn holds(&self, credentials: &Credentials) -> bool {
        self.state.lock().await.credentials.same(credentials)
    }

    /// All that must be told nobody.
    pub(super) async fn secrets(&self) -> Vec<SecretString> {
        let state = self.state.lock().await;
        let kept = match &state.credentials {
            Credentials::Access { access_token } => access_token,
            Credentials::Refresh { refresh_token, .. } => refresh_token,
        };
        std::iter::once(kept).chain(state.access.as_ref().map(|access| &access.token)).cloned().collect()
    }

    /// A token for one call.
    pub(super) async fn ticket(&self, counter: &Counter<'_>) -> Result<Ticket, CallError> {
        let asked = env::instant();
        let mut state = self.state.lock().await;
        if let Some(dead) = &state.dead {
            return Err(dead.clone().into());
        }
        if let Some(until) = state.pause {
            let left = until.saturating_duration_since(asked);
            if !left.is_zero() && state.found_out {
                return Err(AuthError::FoundOut.into());
            }
            if !left.is_zero() {
                return Err(self.refusal(&state, left).into());
            }
            // One call finds out for all.
            state.pause = Some(asked + ALONE);
            state.found_out = true;
        }
        self.refresh(&mut state, counter, asked).await?;
        self.current(&state)
    }

    /// Has a token at hand for the next call, if one is to be had. The one call that finds out whether a pause after refusals is over is not made by
    /// this, and is not used up.
    pub(super) async fn prepare(&self, counter: &Counter<'_>) {
        let asked = env::instant();
        let mut state = self.state.lock().await;
        if state.dead.is_none() && state.pause.is_none() {
            // The call itself says what is wrong.
            let _ = self.refresh(&mut state, counter, asked).await;
        }
    }

    /// Renews the token if it is time.
    async fn refresh(&self, state: &mut State, counter: &Counter<'_>, asked: Instant) -> Result<(), CallError> {
        if matches!(state.credentials, Credentials::Access { .. }) {
            return Ok(());
        }
        let now = env::instant();
        let needed = state.access.as_ref().is_none_or(|a| a.renew_at <= now);
        let holds = state.access.as_ref().is_some_and(|a| a.ends_at > now);
        let patient = holds && state.early.is_some_and(|until| until > now);
        if needed && !patient {
            match self.renew(state, counter, asked).await {
                Err(CallError::Auth(e)) => return Err(e.into()),
                // The old token still holds: no reason to stop.
                Err(_) if holds => state.early = Some(env::instant() + PAUSE),
                Err(e) => return Err(e),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// After a 401 with the token of `generation`: a newer one, if somebody has it already or it can be had.
    pub(super) async fn renewed(&self, generation: u64, tag: &str, counter: &Counter<'_>) -> Result<Ticket, CallError> {
        let asked = env::instant();
        let mut state = self.state.lock().await;
        if let Some(dead) = &state.dead {
            return Err(dead.clone().into());
        }
        if state.generation == generation {
            if matches!(state.credentials, Credentials::Access { .. }) {
                tracing::warn!(account = %self.account, tag, "the access token is not accepted");
                let dead = AuthError::StaticToken { account: self.account.to_string() };
                state.dead = Some(dead.clone());
                return Err(dead.into());
            }
            self.renew(&mut state, counter, asked).await?;
        }
        self.current(&state)
    }

    /// The pause after refusals of new tokens ends now.
    pub(super) fn hurry(&self) {
        // Whoever holds it renews a token right now.
        if let Ok(mut state) = self.state.try_lock()
            && !state.found_out
        {
            state.pause = state.pause.map(|until| until.min(env::instant()));
        }
    }

    /// Dropbox has taken the token of this generation.
    pub(super) async fn accepted(&self, generation: u64) {
        let mark = generation.saturating_add(1);
        if self.accepted.swap(mark, Ordering::Relaxed) != mark {
            let mut state = self.state.lock().await;
            // Not all of it: one that is taken by some calls only must not make the others begin again.
            state.unaccepted /= 2;
            state.pause = None;
        }
    }

    /// A token that was renewed for this very call was refused as expired: nothing is called for a while, longer each time.
    pub(super) async fn unaccepted(&self, generation: u64) -> AuthError {
        let mut state = self.state.lock().await;
        let was_taken = self.accepted.load(Ordering::Relaxed) == generation.saturating_add(1);
        if state.generation == generation && !was_taken {
            state.unaccepted = state.unaccepted.saturating_add(1);
            state.pause = Some(env::instant() + growing(state.unaccepted - 1));
            state.found_out = false;
            tracing::warn!(account = %self.account, tries = state.unaccepted, "a token was renewed, and refused as expired");
        }
        let wait = growing(state.unaccepted.saturating_sub(1));
        self.refusal(&state, wait)
    }

    fn refusal(&self, state: &State, wait: Duration) -> AuthError {
        AuthError::Unaccepted {
            account: self.account.to_string(),
            tries: state.unaccepted.max(1),
            wait_s: wait.as_secs().max(1),
        }
    }

    fn current(&self, state: &State) -> Result<Ticket, CallError> {
        let token = match (&state.credentials, &state.access) {
            (Credentials::Access { access_token }, _) => access_token.clone(),
            (Credentials::Refresh { .. }, Some(access)) => access.token.clone(),
            (Credentials::Refresh { .. }, None) => {
                return Err(Transport::protocol(format!("no access token for {}", self.account)).into());
            }
        };
        Ok(Ticket { token, generation: state.generation })
    }

    /// One renewal. Those who asked while another's renewal failed share its failure instead of trying again, one after the other.
    async fn renew(&self, state: &mut State, counter: &Counter<'_>, asked: Instant) -> Result<(), CallError> {
        if let Some((failed, error)) = &state.last
            && *failed > asked
        {
            return Err(self.call_error(error.clone()));
        }
        if let Some((opens, error)) = &state.gate
            && let Some(left) = opens.checked_duration_since(env::instant()).filter(|left| !left.is_zero())
        {
            return Err(self.call_error(error.clone().with_wait(left)));
        }
        let Credentials::Refresh { refresh_token, app_key } = &state.credentials else { return Ok(()) };
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.expose_secret()),
            ("client_id", app_key.as_str()),
        ];
        match token_call(counter.http, counter.api, &form, counter.patience).await {
            Ok(reply) => {
                let life = Duration::from_secs(reply.expires_in.unwrap_or(USUAL_LIFE).min(30 * 86_400));
                let now = env::instant();
                let renew_at = now + life - LEAD.min(life / 4);
                state.access = Some(Access { token: reply.access_token, renew_at, ends_at: now + life });
                state.generation += 1;
                state.early = None;
                state.last = None;
                state.gate = None;
                tracing::debug!(account = %self.account, life_s = life.as_secs(), "the access token was renewed");
                Ok(())
            }
            Err(error) => {
                let now = env::instant();
                state.last = Some((now, error.clone()));
                state.gate = error.wait().map(|wait| (now + wait, error.clone()));
                let error = self.call_error(error);
                if let CallError::Auth(dead) = &error {
                    state.dead = Some(dead.clone());
                }
                Err(error)
            }
        }
    }

    fn call_error(&self, error: TokenError) -> CallError {
        match error {
            TokenError::Refused { word, text } => {
                let reason = if text.is_empty() { word } else { format!("{word}: {text}") };
                AuthError::Relink { account: self.account.to_string(), reason }.into()
            }
            TokenError::Throttled(e) => e.into(),
            TokenError::Transport(e) => Transport { outcome_unknown: false, ..e }.into(),
        }
    }
}

impl State {
    fn new(credentials: Credentials, generation: u64) -> Self {
        Self {
            credentials,
            access: None,
            generation,
            unaccepted: 0,
            pause: None,
            found_out: false,
            early: None,
            last: None,
            gate: None,
            dead: None,
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("account", &self.account).finish_non_exhaustive()
    }
}
