//! Listing cursors: opaque to a client, self-contained for the server, so that they survive for as long as it runs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// Where a listing stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Position {
    /// Still in the first listing: after this key; changes are counted from this place in the log.
    First(String, u64),
    /// All is listed: after this place in the log.
    Changes(u64),
}

/// What is listed, and how far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub(crate) account: usize,
    /// That of the tree when the cursor was made; older ones are answered with `reset`.
    pub(crate) generation: u32,
    /// The folder's key.
    pub(crate) folder: String,
    pub(crate) recursive: bool,
    pub(crate) deleted: bool,
    /// Entries under mounted folders, too.
    pub(crate) mounted: bool,
    /// Files that cannot be downloaded, too.
    pub(crate) undownloadable: bool,
    /// Deleted entries say whether they can be restored.
    pub(crate) restorable: bool,
    /// Files say whether somebody was invited to them by name.
    pub(crate) members: bool,
    /// `include_media_info`, which longpolls do not take.
    pub(crate) media: bool,
    pub(crate) limit: usize,
    /// It lists what a shared link shows: to any account, and without paths.
    #[serde(default)]
    pub(crate) link: bool,
    /// Whether folders with something in them are left out (`Settings::parents_unlisted`).
    pub(crate) orphans: bool,
    /// Pages of the first listing so far.
    pub(crate) pages: u64,
    /// Answered with `reset`.
    pub(crate) bad: bool,
    /// Tells cursors apart that say the same.
    pub(crate) serial: u64,
    pub(crate) position: Position,
}

impl Cursor {
    pub(crate) fn text(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        format!("AA{}", URL_SAFE_NO_PAD.encode(json))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let json = URL_SAFE_NO_PAD.decode(text.strip_prefix("AA")?).ok()?;
        serde_json::from_slice(&json).ok()
    }
}
