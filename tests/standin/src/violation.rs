//! What a client did against the protocol. A test ends by asserting that there is none.

use serde::Serialize;

/// The rule that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ViolationKind {
    /// Two commits of one account at once (files.stone, `upload_session/finish_batch`: "should be executed serially").
    OverlappingCommits,
    /// Two listings with the same arguments at once (files.stone, `list_folder`, the note at its end).
    IdenticalListings,
    /// A call before the time that a Retry-After named.
    RetryBeforeRetryAfter,
    /// A longpoll before the `backoff` of the last one was over (files.stone, `ListFolderLongpollResult.backoff`).
    LongpollBeforeBackoff,
    /// A list longer than its `max_items`.
    TooManyEntries,
    /// A request body over 150 MiB.
    BodyTooLarge,
    /// A batch finish of a session that was not closed.
    UnclosedSession,
    /// One session twice in one batch finish.
    DuplicateSession,
    /// Two appends to one sequential session at once.
    ConcurrentAppend,
    /// `list_folder/longpoll` with an Authorization header (its `auth` is "noauth").
    AuthorizationOnLongpoll,
    /// A header value that is not ASCII (a header's JSON escapes 0x7F and above).
    NonAsciiHeader,
    /// A route that the specification does not have.
    UnknownRoute,
    /// Any other request that was refused with 400: a bug of the client.
    BadRequest,
}

/// One broken rule.
#[derive(Clone, Debug, Serialize)]
pub struct Violation {
    /// Which rule.
    pub kind: ViolationKind,
    /// The route that was called, such as `files/upload_session/finish_batch`.
    pub route: String,
    /// The account id, where one is known.
    pub account: Option<String>,
    /// What happened, for a person to read.
    pub detail: String,
    /// Milliseconds since the server's start.
    pub at_ms: u64,
}
