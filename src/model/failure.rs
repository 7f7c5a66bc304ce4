//! What went wrong with one path, and what follows from it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The code of a file that is here as it was sent, and that Dropbox has no longer, in a folder that only sends.
pub const GONE_IN_DROPBOX: &str = "gone_in_dropbox";

/// What to do after a failure. One retry policy, on the row: nothing below a row retries by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// Try again by itself: after this long if the server said so, else after the usual backoff.
    Retry {
        /// What the server asked for.
        after: Option<Duration>,
    },
    /// The path changed under us, or the server's view did: look at it again and decide anew.
    Look,
    /// A refusal that somebody else may lift where we cannot see it, such as a missing right: a problem, and tried again all the same, after pauses
    /// that grow from seconds to an hour.
    Later,
    /// Only a change of the path (or of its rights, or of the configuration) can help: the row is wedged until then, and says why.
    Wedge,
    /// The whole account must wait: a token, the quota, the network.
    Account,
}

/// A failure of one path or one call, with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A word that scripts can match: `permission`, `conflict`, `name`, `type`, `busy`, `io_error`, `offline`, ...
    pub code: String,
    /// One sentence for people: what happened and what to do. Without the path, which stands beside it, and without secrets.
    pub text: String,
    /// What follows.
    pub next: Next,
}

impl Failure {
    /// A failure that is tried again with the usual backoff.
    pub fn retry(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), text: text.into(), next: Next::Retry { after: None } }
    }

    /// A failure that only a change of the path can mend.
    pub fn wedge(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), text: text.into(), next: Next::Wedge }
    }

    /// A failure that somebody else may end where we cannot see it.
    pub fn later(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), text: text.into(), next: Next::Later }
    }

    /// The path moved under us.
    pub fn look(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), text: text.into(), next: Next::Look }
    }

    /// The account must wait.
    pub fn account(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), text: text.into(), next: Next::Account }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}
