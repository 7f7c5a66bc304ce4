//! Faults on command: which calls they hit, and what happens to those calls.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::edit::PageEdit;

/// Which of the calls that a fault's route matches it hits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Every one.
    Always,
    /// Only the n-th, counted from 1 since the fault was added.
    Nth(u64),
    /// The first n.
    Times(u64),
    /// Every n-th.
    Every(u64),
    /// Each with this probability (0 to 1), drawn from a generator with this seed.
    Probability {
        /// 0 to 1.
        p: f64,
        /// The same seed hits the same calls.
        seed: u64,
    },
}

/// Which entries of a batch an [`Effect::EntryFailure`] hits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entries {
    /// All of them.
    All,
    /// The one at this index.
    Index(usize),
    /// The first n.
    First(usize),
    /// All from this index on.
    From(usize),
    /// Every n-th.
    Every(usize),
    /// Those whose arguments, as JSON, contain this text (a path, say).
    Containing(String),
}

impl Entries {
    /// Whether the entry at `index`, whose arguments are `argument`, is hit.
    pub(crate) fn hit(&self, index: usize, argument: &str) -> bool {
        match self {
            Self::All => true,
            Self::Index(at) => index == *at,
            Self::First(n) => index < *n,
            Self::From(n) => index >= *n,
            Self::Every(n) => *n > 0 && (index + 1).is_multiple_of(*n),
            Self::Containing(text) => argument.contains(text),
        }
    }
}

/// Bodies that are not what a client expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Garbage {
    /// 200 with an HTML page, as a captive portal sends it; the call is not processed.
    Html,
    /// The real reply, cut in the middle, with a length that fits.
    TruncatedJson,
    /// The real reply with a byte order mark before it.
    ByteOrderMark,
    /// 200 with bytes that are not UTF-8, as JSON; the call is not processed.
    InvalidUtf8,
    /// 200 with no body; the call is not processed.
    Empty,
    /// 200 with `{}`: JSON without any field; the call is not processed.
    EmptyObject,
}

/// What happens to a call that is hit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Effect {
    /// This reply instead of processing. `retry_after` is the header as it stands: seconds, a date, or nonsense.
    Status {
        /// The status.
        code: u16,
        /// The Retry-After header.
        #[serde(default)]
        retry_after: Option<String>,
        /// The body; `None` is a short text.
        #[serde(default)]
        body: Option<String>,
    },
    /// 429 with an `auth.RateLimitError`.
    RateLimited {
        /// `too_many_requests` or `too_many_write_operations`.
        reason: String,
        /// The Retry-After header.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// 409 with this path of tags, such as `path/conflict/file`, instead of processing.
    EndpointError(String),
    /// The connection is closed before the call is processed.
    DropBefore,
    /// The call is processed, then the connection is closed without a reply.
    DropAfter,
    /// The connection is closed after this many bytes of the request's body; nothing is processed.
    CutRequest(u64),
    /// The connection is closed after this many bytes of the reply's body.
    CutReply(u64),
    /// The call is processed this much later (milliseconds on the control surface).
    #[serde(with = "millis")]
    Stall(Duration),
    /// The call is processed, and its reply is held back this long (milliseconds on the control surface).
    #[serde(with = "millis")]
    StallReply(Duration),
    /// The reply's body comes at this many bytes a second.
    SlowBody(u64),
    /// A reply that is no reply.
    Garbage(Garbage),
    /// These entries of a batch fail with this path of tags and are not processed.
    EntryFailure {
        /// Such as `too_many_write_operations` or `path/insufficient_space`.
        tag: String,
        /// Which entries.
        entries: Entries,
    },
    /// A batch of which any entry's arguments contain this text is refused as a whole: with a plain 400, or, `unreadable`, with a reply that
    /// says nothing. Nothing of it is processed.
    Poison {
        /// Such as a path.
        containing: String,
        /// 200 with `{}` instead of 400.
        #[serde(default)]
        unreadable: bool,
    },
    /// Of each entry of an `append_batch` only this many bytes arrive, no session is closed, and neither is there a reply.
    PartArrives(u64),
    /// The call is processed, and a gateway answers with this status and a page.
    StatusAfter(u16),
    /// In the reply, the metadata of every file whose JSON contains this text has no `rev`.
    WithoutRev(String),
    /// The result of a batch has this many entries fewer than the request.
    MissingResults(usize),
    /// The batch's job is never finished. With `applied`, its entries are committed all the same.
    StuckJob {
        /// Whether the entries are committed.
        applied: bool,
    },
    /// The batch's entries are committed, and the check answers `internal_error` for ever.
    JobInternalError,
    /// The check answers `invalid_async_job_id`, as if the job had been forgotten; hits check routes.
    JobForgotten,
    /// Every session that the call names has expired.
    SessionExpired,
    /// A page of a listing is edited before it is sent.
    EditPage(PageEdit),
    /// The call's access token has expired.
    TokenExpired,
    /// All cursors of the account are invalid from now on.
    CursorReset,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// A route such as `files/upload`, a prefix such as `files/*`, or `*`. `oauth2/token` is a route too.
    pub route: String,
    /// Which calls.
    #[serde(default = "always")]
    pub when: When,
    /// What happens.
    pub what: Effect,
}

impl Fault {
    /// A fault of every call to `route`.
    #[must_use]
    pub fn always(route: &str, what: Effect) -> Self {
        Self { route: route.to_owned(), when: When::Always, what }
    }

    /// A fault of the next call to `route` only.
    #[must_use]
    pub fn once(route: &str, what: Effect) -> Self {
        Self { route: route.to_owned(), when: When::Times(1), what }
    }

    /// A fault of the n-th call to `route` from now, counted from 1.
    #[must_use]
    pub fn nth(route: &str, n: u64, what: Effect) -> Self {
        Self { route: route.to_owned(), when: When::Nth(n), what }
    }

    /// A fault of the next n calls to `route`.
    #[must_use]
    pub fn times(route: &str, n: u64, what: Effect) -> Self {
        Self { route: route.to_owned(), when: When::Times(n), what }
    }
}

fn always() -> When {
    When::Always
}

#[derive(Debug)]
struct Active {
    fault: Fault,
    seen: u64,
    hits: u64,
    random: u64,
}

/// The faults of a server, in the order in which they were added.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    active: Vec<Active>,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        let random = if let When::Probability { seed, .. } = fault.when { seed } else { 0 };
        self.active.push(Active { fault, seen: 0, hits: 0, random });
    }

    pub(crate) fn clear(&mut self) {
        self.active.clear();
    }

    /// How many calls each fault has hit, in the order of adding.
    pub(crate) fn hits(&self) -> Vec<u64> {
        self.active.iter().map(|active| active.hits).collect()
    }

    /// What happens to this call.
    pub(crate) fn judge(&mut self, route: &str) -> Verdict {
        let mut effects = Vec::new();
        for active in &mut self.active {
            if matches(&active.fault.route, route) && active.strikes() {
                active.hits += 1;
                effects.push(active.fault.what.clone());
            }
        }
        Verdict { effects }
    }
}

impl Active {
    fn strikes(&mut self) -> bool {
        self.seen += 1;
        match self.fault.when {
            When::Always => true,
            When::Nth(n) => self.seen == n,
            When::Times(n) => self.seen <= n,
            When::Every(n) => n > 0 && self.seen.is_multiple_of(n),
            When::Probability { p, .. } => chance(&mut self.random) < p,
        }
    }
}

/// A number in 0..1 (splitmix64).
fn chance(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}

fn matches(pattern: &str, route: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == route, |prefix| route.starts_with(prefix))
}

/// Everything that happens to one call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) effects: Vec<Effect>,
}

impl Verdict {
    /// The first effect for which `pick` gives something.
    pub(crate) fn find<'a, T>(&'a self, pick: impl FnMut(&'a Effect) -> Option<T>) -> Option<T> {
        self.effects.iter().find_map(pick)
    }

    /// Whether this very effect is there.
    pub(crate) fn has(&self, effect: &Effect) -> bool {
        self.effects.contains(effect)
    }

    /// How a batch is refused as a whole, of whose entries one's arguments contain some text: that text, and whether unreadably.
    pub(crate) fn poison(&self, contained: impl Fn(&str) -> bool) -> Option<(&str, bool)> {
        self.find(|effect| match effect {
            Effect::Poison { containing, unreadable } if contained(containing) => {
                Some((containing.as_str(), *unreadable))
            }
            _ => None,
        })
    }

    /// The tags with which an entry of a batch fails.
    pub(crate) fn entry_failure(&self, index: usize, argument: &str) -> Option<&str> {
        self.find(|effect| match effect {
            Effect::EntryFailure { tag, entries } if entries.hit(index, argument) => Some(tag.as_str()),
            _ => None,
        })
    }
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(when: When) -> Vec<u64> {
        let mut faults = Faults::default();
        faults.add(Fault { route: "files/*".to_owned(), when, what: Effect::DropBefore });
        (1..=6).filter(|_| !faults.judge("files/upload").effects.is_empty()).collect()
    }

    #[test]
    fn each_kind_of_when_hits_its_calls() {
        assert_eq!(hits(When::Nth(2)), [2]);
        assert_eq!(hits(When::Times(2)), [1, 2]);
        assert_eq!(hits(When::Every(3)), [3, 6]);
        assert_eq!(hits(When::Probability { p: 0.5, seed: 4 }), hits(When::Probability { p: 0.5, seed: 4 }));
        assert!(!matches("files/upload", "files/upload_session/start"));
    }
}
