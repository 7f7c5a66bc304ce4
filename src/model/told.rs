//! What the socket tells beside the status: the shapes of its lists and of its answers about one path. Names are fixed, since scripts read them.

use serde::{Deserialize, Serialize};

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
