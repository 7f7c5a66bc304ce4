//! Refusals of the account's root that stay: the first one costs a call that is made again, every further one a growing pause of all calls.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::gate::growing;
use crate::dropbox::error::{ApiError, CallError, RootError};
use crate::dropbox::routes::Route;
use crate::env::Instant;

/// For so long one call alone finds out whether a pause was long enough.
pub(crate) const ALONE: Duration = Duration::from_secs(5);

/// What is known of refusals of the root.
#[derive(Debug, Default)]
pub(crate) struct RootRefusals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// In a row.
    n: u32,
    /// No call before this.
    until: Option<Instant>,
    last: Option<ApiError>,
    /// One call is finding out whether it is over.
    found_out: bool,
}

/// Whether a call is about the tree below the root.
pub(crate) fn is_rooted(route: &Route) -> bool {
    route.name.starts_with("files/")
}

impl RootRefusals {
    /// Whether a call may be made now.
    ///
    /// # Errors
    /// The last refusal, with what is left of the pause.
    pub(crate) fn pass(&self, now: Instant) -> Result<(), CallError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(until) = state.until else { return Ok(()) };
        let left = until.saturating_duration_since(now);
        match &state.last {
            Some(last) if !left.is_zero() => Err(refusal(last.clone(), state.n, left, state.found_out)),
            _ => {
                state.found_out = true;
                state.until = Some(now + ALONE);
                Ok(())
            }
        }
    }

    /// The pause ends now.
    pub(crate) fn hurry(&self, now: Instant) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.found_out {
            state.until = state.until.map(|until| until.min(now));
        }
    }

    /// A call went through.
    pub(crate) fn over(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.n > 0 {
            *state = State::default();
        }
    }

    /// The root was refused: what the caller gets. The first time, the call may be made again at once.
    pub(crate) fn note(&self, error: ApiError, now: Instant) -> CallError {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Calls that were under way together met one refusal.
        if state.n > 1 && state.until.is_some_and(|until| until > now + ALONE) {
            return refusal(error, state.n, growing(state.n - 2), false);
        }
        state.n = state.n.saturating_add(1);
        if state.n == 1 {
            return CallError::Api(Box::new(error));
        }
        let wait = growing(state.n - 2);
        state.until = Some(now + wait);
        state.found_out = false;
        state.last = Some(error.clone());
        refusal(error, state.n, wait, false)
    }
}

fn refusal(error: ApiError, tries: u32, wait: Duration, found_out: bool) -> CallError {
    CallError::Root(Box::new(RootError { error, tries, wait, found_out }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> ApiError {
        ApiError {
            status: 422,
            route: "files/list_folder",
            tags: vec!["invalid_root".to_owned()],
            summary: "invalid_root/".to_owned(),
            user_message: None,
            retry_after: None,
            request_id: None,
            error: serde_json::Value::Null,
        }
    }

    #[test]
    fn s4_the_first_refusal_is_free_and_the_others_cost_a_growing_pause() {
        let (root, mut now) = (RootRefusals::default(), Instant::now());
        assert!(root.pass(now).is_ok());
        assert!(matches!(root.note(error(), now), CallError::Api(_)));
        assert!(root.pass(now).is_ok(), "at once");
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            let CallError::Root(refused) = root.note(error(), now) else { panic!("it is told how long") };
            assert_eq!(refused.wait, Duration::from_secs(wait));
            assert!(root.pass(now).is_err());
            now += refused.wait;
            assert!(root.pass(now).is_ok() && root.pass(now).is_err(), "one finds out for all");
        }
        root.over();
        assert!(root.pass(now).is_ok() && root.pass(now).is_ok());
        assert!(matches!(root.note(error(), now), CallError::Api(_)));
    }
}
