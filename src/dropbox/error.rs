//! What a call can end in.

pub(super) mod failure;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use serde_json::Value;

use crate::model::Failure;

/// The longest text of a server that is kept, in characters.
const TEXT_CAP: usize = 400;

/// A reply in which Dropbox says no.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// The HTTP status: 400, 403, 409, 422, ...
    pub status: u16,
    /// Which route.
    pub route: &'static str,
    /// The tags from the error value down: `["path", "conflict", "file"]`. Empty where the reply was not of that form.
    pub tags: Vec<String>,
    /// `error_summary`, or the text of the reply: escaped and cut, fit for a log.
    pub summary: String,
    /// What Dropbox wants people to read, where it says so.
    pub user_message: Option<String>,
    /// What the server asked for.
    pub retry_after: Option<Duration>,
    /// `X-Dropbox-Request-Id`, for Dropbox's support.
    pub request_id: Option<String>,
    /// The error value as it came.
    pub error: Value,
}

impl ApiError {
    /// Whether the tags begin with `path`, written as `path/conflict`.
    pub fn is(&self, path: &str) -> bool {
        begins(&self.tags, path)
    }

    /// The server's offset, where it says that ours is wrong.
    pub fn correct_offset(&self) -> Option<u64> {
        correct_offset(&self.error)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered {}", self.route, self.status)?;
        if !self.summary.is_empty() {
            write!(f, ": {}", self.summary)?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

/// One entry of a batch that failed; its neighbours may have succeeded.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryError {
    /// The tags from the entry's error down.
    pub tags: Vec<String>,
    /// The error value as it came.
    pub value: Value,
}

impl EntryError {
    /// Whether the tags begin with `path`, written as `path/conflict`.
    pub fn is(&self, path: &str) -> bool {
        begins(&self.tags, path)
    }

    /// Whether the commit alone may be tried again: the uploaded bytes are still there.
    pub fn retry_commit(&self) -> bool {
        self.tags.iter().any(|t| t == "too_many_write_operations" || t == "internal_error")
    }

    /// The call was too large for this entry: fewer of them may do.
    pub fn too_many(&self) -> bool {
        self.tags.iter().any(|t| t == "too_many_files")
    }

    /// The server's offset, where it says that ours is wrong.
    pub fn correct_offset(&self) -> Option<u64> {
        correct_offset(&self.value)
    }
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tags.is_empty() { f.write_str("no reason given") } else { f.write_str(&self.tags.join("/")) }
    }
}

impl StdError for EntryError {}

/// The server wants us to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttled {
    /// How long, if it says so; already between 1 second and 10 minutes. None: the caller's own backoff.
    pub after: Option<Duration>,
    /// `too_many_requests`, `too_many_write_operations`, or what it called it.
    pub reason: String,
    /// For Dropbox's support.
    pub request_id: Option<String>,
}

/// Who we are is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The account must be linked again.
    #[error("Dropbox does not accept the account's token any more ({reason}): run `ferrybox link {account}`")]
    Relink {
        /// Its name in the configuration.
        account: String,
        /// What Dropbox said.
        reason: String,
    },
    /// A token that somebody else renews has run out.
    #[error(
        "the access token of `{account}` has expired or was revoked, and ferrybox cannot renew it: put a new one where \
         `credentials` points and restart, or run `ferrybox link {account}` for a token that is renewed by itself"
    )]
    StaticToken {
        /// Its name in the configuration.
        account: String,
    },
    /// The app may not do this.
    #[error(
        "the app lacks the permission `{scope}`: tick it at https://www.dropbox.com/developers/apps under Permissions, \
         then run `ferrybox link {account}`"
    )]
    MissingScope {
        /// Its name in the configuration.
        account: String,
        /// Which.
        scope: String,
    },
    /// The account is suspended.
    #[error("Dropbox has suspended this account: ask the team's admin or Dropbox, then run `ferrybox link {account}`")]
    Suspended {
        /// Its name in the configuration.
        account: String,
    },
    /// `select_user` or `select_admin` names nobody.
    #[error(
        "Dropbox does not accept `account.{key}`: it must be a present member (for select_admin, an admin) of the team"
    )]
    Select {
        /// `select_user` or `select_admin`.
        key: &'static str,
    },
    /// Another word of the 401 reply.
    #[error("Dropbox refuses access ({tag}): check the app in the Dropbox console, then run `ferrybox link` again")]
    Refused {
        /// The reply's tag.
        tag: String,
    },
    /// Tokens are renewed, and each new one is refused as one that has expired.
    #[error(
        "Dropbox renews the access token of `{account}` and then refuses the new one as expired ({tries} times in a row): it is tried again in {wait_s} s; \
         if that stays, check this machine's clock and run `ferrybox link {account}`"
    )]
    Unaccepted {
        /// Its name in the configuration.
        account: String,
        /// In a row.
        tries: u32,
        /// Until the next try, in seconds.
        wait_s: u64,
    },
    /// The token was renewed, but the call's body could be read only once: the call can be made again at once.
    #[error("the access token was renewed during the upload: it is sent again")]
    Renewed,
    /// Another call finds out right now whether a new token is taken: this one was not made.
    #[error("Dropbox refused the account's new access tokens; another call finds out whether that is over")]
    FoundOut,
}

/// What broke on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransportKind {
    /// The name has no address.
    Dns,
    /// No connection, or the proxy gives none.
    Connect,
    /// The certificate or the handshake.
    Tls,
    /// Nothing came in time.
    Timeout,
    /// The connection broke.
    Reset,
    /// Something that is not Dropbox answered: a captive portal or a proxy.
    Portal,
    /// An answer that cannot be understood.
    Protocol,
    /// Dropbox is in trouble: 5xx.
    Server,
}

/// The call did not come through whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    /// What kind of trouble.
    pub kind: TransportKind,
    /// What happened, without headers and bodies.
    pub text: String,
    /// Whether the server may have acted on the call.
    pub outcome_unknown: bool,
    /// What the server asked for, with a 5xx.
    pub retry_after: Option<Duration>,
    /// The status that came, with a 5xx.
    pub status: Option<u16>,
}

impl Transport {
    pub(super) fn new(kind: TransportKind, text: impl Into<String>, outcome_unknown: bool) -> Self {
        Self { kind, text: text.into(), outcome_unknown, retry_after: None, status: None }
    }

    /// An answer that came, so that the call was surely read, but that means nothing to us.
    pub(super) fn protocol(text: impl Into<String>) -> Self {
        Self::new(TransportKind::Protocol, text, true)
    }
}

/// The account's root was refused (422 `invalid_root`) again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct RootError {
    /// The last refusal.
    pub error: ApiError,
    /// In a row.
    pub tries: u32,
    /// Until a call may be made again.
    pub wait: Duration,
    /// Another call finds out right now whether it is over: this one was not made.
    pub found_out: bool,
}

impl fmt::Display for RootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { error, tries, wait, .. } = self;
        let s = wait.as_secs();
        write!(f, "{error}: refused {tries} times in a row, tried again in {s} s")
    }
}

/// What a call can end in, when not in its result.
#[derive(Debug)]
pub enum CallError {
    /// Dropbox said no.
    Api(Box<ApiError>),
    /// Dropbox says, and stays with it, that the account's root is another one.
    Root(Box<RootError>),
    /// Dropbox said later.
    Throttled(Throttled),
    /// Dropbox does not let us in.
    Auth(AuthError),
    /// The call did not come through whole.
    Transport(Transport),
    /// The call was not made: the rule that counts such calls refused it.
    Held(Failure),
    /// The caller's own bytes could not be read; the error is the one that the stream gave.
    Body(io::Error),
}

impl CallError {
    /// Whether the server may have done what the call asked for, so that it must be looked up before it is asked again.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::Transport(t) if t.outcome_unknown)
    }

    /// Whether the call came through, and what came back is not an answer to it.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Transport(t) if t.kind == TransportKind::Protocol)
    }

    /// Whether the server does not know the route (any more).
    pub fn unknown_route(&self) -> bool {
        let Self::Api(e) = self else { return false };
        match e.status {
            404 | 410 => e.tags.is_empty(),
            400 => {
                let text = e.summary.to_ascii_lowercase();
                text.contains("unknown api function") || text.contains("unknown route")
            }
            _ => false,
        }
    }

    /// Whether `append_batch` was refused in a way that a shorter argument header may cure. A bare 400 may come from a proxy that finds it too
    /// long; one in which Dropbox itself names another fault says nothing of lengths.
    pub fn header_too_large(&self) -> bool {
        let Self::Api(e) = self else { return false };
        let may_be = match e.status {
            413 | 431 => true,
            400 => !names_another_fault(&e.summary),
            _ => false,
        };
        may_be && e.route == crate::dropbox::routes::APPEND_BATCH.name
    }

    /// Whether a download's range lies outside the file.
    pub fn range_outside(&self) -> bool {
        matches!(self, Self::Api(e) if e.status == 416)
    }

    /// The tags of an endpoint's error; empty for all else.
    pub fn tags(&self) -> &[String] {
        match self {
            Self::Api(e) => &e.tags,
            _ => &[],
        }
    }

    /// Whether this is an endpoint's error whose tags begin with `path`, written as `path/conflict`.
    pub fn is(&self, path: &str) -> bool {
        matches!(self, Self::Api(e) if e.is(path))
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(e) => e.fmt(f),
            Self::Root(e) => e.fmt(f),
            Self::Throttled(t) => match t.after {
                Some(after) => write!(f, "Dropbox asks to wait {} s ({})", after.as_secs(), t.reason),
                None => write!(f, "Dropbox asks to wait ({})", t.reason),
            },
            Self::Auth(e) => e.fmt(f),
            Self::Transport(t) => f.write_str(&t.text),
            Self::Held(failure) => f.write_str(&failure.text),
            Self::Body(e) => write!(f, "the bytes to send could not be read: {e}"),
        }
    }
}

impl StdError for CallError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Auth(e) => Some(e),
            Self::Body(e) => Some(e),
            _ => None,
        }
    }
}

impl From<AuthError> for CallError {
    fn from(e: AuthError) -> Self {
        Self::Auth(e)
    }
}

impl From<Transport> for CallError {
    fn from(e: Transport) -> Self {
        Self::Transport(e)
    }
}

impl From<Throttled> for CallError {
    fn from(e: Throttled) -> Self {
        Self::Throttled(e)
    }
}

fn begins(tags: &[String], path: &str) -> bool {
    let mut tags = tags.iter();
    path.split('/').all(|word| tags.next().is_some_and(|tag| tag == word))
}

/// Whether the text of a 400 is Dropbox's own and speaks of something else than lengths. What it cannot decode may have been cut on the way.
fn names_another_fault(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let own = ["error in call to api function", "unknown api function", "invalid "];
    let of_lengths = ["large", "long", "many", "length", "size", "limit", "exceed", "at most", "decode"];
    own.iter().any(|word| text.contains(word)) && !of_lengths.iter().any(|word| text.contains(word))
}

/// Looks for `correct_offset` in the value or one of the unions inside it.
fn correct_offset(value: &Value) -> Option<u64> {
    let map = value.as_object()?;
    map.get("correct_offset").and_then(Value::as_u64).or_else(|| map.values().find_map(correct_offset))
}

/// A server's text, fit for a log and a terminal: no control characters, not endless.
pub(super) fn tame(text: &str) -> String {
    let mut out = String::new();
    for (i, c) in text.trim().chars().enumerate() {
        if i == TEXT_CAP {
            out.push('…');
            break;
        }
        if c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// An error with its causes, each once.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    tame(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_400_that_names_another_fault_teaches_nothing_of_lengths() {
        let too_large = |status, route, summary: &str| {
            let error = ApiError {
                status,
                route,
                tags: Vec::new(),
                summary: summary.to_owned(),
                user_message: None,
                retry_after: None,
                request_id: None,
                error: Value::Null,
            };
            CallError::Api(Box::new(error)).header_too_large()
        };
        let route = crate::dropbox::routes::APPEND_BATCH.name;
        for bare in [
            "",
            "Bad Request",
            "<html>400</html>",
            "Request header fields too large",
            "Error in call to API function \"x\": HTTP header \"Dropbox-API-Arg\": could not decode input as JSON",
            "Error in call to API function \"x\": entries: list must be at most 1000 items",
        ] {
            assert!(too_large(400, route, bare), "{bare}");
        }
        for other in [
            "Error in call to API function \"x\": entries[3].session_id: expected string, got null",
            "Invalid select user id format",
            "Unknown API function: \"x\"",
        ] {
            assert!(!too_large(400, route, other), "{other}");
            assert!(too_large(431, route, other) && too_large(413, route, other));
        }
        assert!(!too_large(400, "files/upload_session/append_v2", "") && !too_large(409, route, ""));
    }
}
