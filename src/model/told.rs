//! What the socket tells beside the status: the shapes of its lists and of its answers about one path. Names are fixed, since scripts read them.

use serde::{Deserialize, Serialize};

use super::done::Deed;

/// One account's part of the answer to `POST /v1/pause` and `POST /v1/resume`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseAnswer {
    /// Its name.
    pub account: String,
    /// Whether it is paused now.
    pub paused: bool,
    /// When that ends by itself (RFC 3339); null: when somebody ends it.
    pub until: Option<String>,
    /// Whether this request changed anything.
    pub changed: bool,
}

/// One conflicted copy that is not resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// Whose.
    pub account: String,
    /// The folder's local directory.
    pub folder: String,
    /// The path whose versions met, below the folder.
    pub path: String,
    /// Where the other version was kept, in Dropbox.
    pub copy: String,
    /// Since when (RFC 3339).
    pub since: String,
}

/// One line of the log of what was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// When (RFC 3339).
    pub at: String,
    /// What.
    pub what: Deed,
    /// Whose.
    pub account: String,
    /// The folder's local directory.
    pub folder: String,
    /// Below it.
    pub path: String,
    /// Bytes of the file.
    pub size: Option<u64>,
    /// Dropbox's revision that it is about.
    pub rev: Option<String>,
    /// The other path that it concerns: a conflicted copy's, or where a move came from.
    pub place: Option<String>,
}
