//! One authenticated call: who makes it, with what argument, and what faults hit it.

use std::sync::Arc;

use hyper::HeaderMap;
use serde::de::DeserializeOwned;

use crate::fault::{Effect, Verdict};
use crate::hash;
use crate::path::{self, Form, Reference};
use crate::routes::Route;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::state::AccountKey;
use crate::state::job::Now;
use crate::violation::ViolationKind;
use crate::wire::Refusal;

/// A call of a route.
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    /// As they were when the call came.
    pub(crate) settings: Settings,
    pub(crate) route: &'static Route,
    /// The default account's for a route without authentication.
    pub(crate) account: AccountKey,
    pub(crate) account_id: String,
    pub(crate) token: String,
    pub(crate) verdict: Verdict,
    /// The JSON of the argument.
    pub(crate) argument: String,
    pub(crate) headers: HeaderMap,
}

impl Call {
    pub(crate) fn now(&self) -> Now {
        self.shared.now()
    }

    /// The argument, or the plain 400 of a malformed one.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_str(&self.argument).map_err(|error| self.bad(&error.to_string()))
    }

    /// "A Void argument is the body `null`"; an empty body is taken for the same.
    pub(crate) fn no_argument(&self) -> Result<(), Refusal> {
        if matches!(self.argument.trim(), "" | "null") { Ok(()) } else { Err(self.bad("request body: expected null")) }
    }

    /// A plain 400.
    pub(crate) fn bad(&self, why: &str) -> Refusal {
        Refusal::BadRequest(format!("Error in call to API function \"{}\": {why}", self.route.name))
    }

    /// A path argument, or the plain 400 of one that does not match its pattern.
    pub(crate) fn reference(&self, form: Form, text: &str) -> Result<Reference, Refusal> {
        path::reference(form, text).map_err(|why| self.bad(&why))
    }

    /// Refuses a list over its `max_items`, which is a violation too.
    pub(crate) fn at_most(&self, given: usize, most: usize) -> Result<(), Refusal> {
        if given <= most {
            return Ok(());
        }
        self.violate(ViolationKind::TooManyEntries, format!("{given} entries, at most {most}"));
        Err(self.bad(&format!("entries: list must be at most {most} items, got {given}")))
    }

    pub(crate) fn violate(&self, kind: ViolationKind, detail: String) {
        self.shared.violate(kind, self.route.name, Some(&self.account_id), detail);
    }

    /// A digest of the argument, to recognise the same call.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        hash::sha256(self.argument.as_bytes())
    }

    /// A fault's [`Effect::SessionExpired`].
    pub(crate) fn expires_sessions(&self) -> bool {
        self.verdict.has(&Effect::SessionExpired)
    }
}
