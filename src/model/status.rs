//! What the socket tells: the shapes of `GET /v1/status` and its neighbours. Names are fixed, since scripts read them.

use serde::{Deserialize, Serialize};

/// An account's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words are the documentation: docs/interface.md lists them")]
pub enum AccountState {
    #[default]
    Starting,
    Idle,
    Syncing,
    Offline,
    RateLimited,
    AuthRequired,
    AccountMismatch,
    QuotaFull,
    Paused,
    Stopping,
    Failed,
}

/// A folder's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words are the documentation: docs/interface.md lists them")]
pub enum FolderState {
    InSync,
    #[default]
    Syncing,
    Waiting,
    RootMissing,
    RemoteMissing,
    Held,
    DiskFull,
    DegradedWatch,
    Paused,
    Failed,
}

/// `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The daemon's process.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// One entry an account.
    pub accounts: Vec<AccountStatus>,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct AccountStatus {
    /// Its name in the configuration.
    pub name: String,
    /// See [`AccountState`].
    pub state: AccountState,
    /// One sentence that says what to do; null in a good state.
    pub reason: Option<String>,
    /// `dbid:...`, once known.
    pub account_id: Option<String>,
    /// Whose account it is.
    pub email: Option<String>,
    /// Bytes used and allocated.
    pub space: Option<Space>,
    /// When the last 429 allows the next call (RFC 3339).
    pub rate_limited_until: Option<String>,
    /// Calls that count against a data-transport limit.
    pub data_transport: DataTransport,
    /// The remote cache.
    pub remote: RemoteCache,
    /// The commit lane.
    pub commit: Commit,
    /// One entry a folder.
    pub folders: Vec<FolderStatus>,
}

/// Space, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Space {
    /// Used by the account.
    pub used: u64,
    /// What it may use.
    pub allocated: u64,
}

/// Data-transport calls of one month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct DataTransport {
    /// `2026-11`, UTC.
    pub month: String,
    /// Calls made.
    pub calls: u64,
    /// The limit from the configuration.
    pub budget: Option<u64>,
}

/// The remote cache of one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct RemoteCache {
    /// Entries known.
    pub entries: u64,
    /// Seconds since Dropbox last said how things are.
    pub cursor_age_s: Option<u64>,
    /// Whether a listing runs.
    pub listing: bool,
    /// Entries of a listing that runs beside the one in use, after a reset.
    #[serde(default)]
    pub listed: u64,
    /// Pages stored of the listings in use.
    #[serde(default)]
    pub pages: u64,
    /// Entries that cannot be paths here; `GET /v1/problems` lists them.
    #[serde(default)]
    pub problems: u64,
    /// Entries without a path since the start: shared with the account and not mounted.
    #[serde(default)]
    pub unmounted: u64,
    /// Entries of kinds that this version does not know, since the start.
    #[serde(default)]
    pub unknown: u64,
    /// A complete listing that is not believed.
    #[serde(default)]
    pub held: Option<HeldListing>,
    /// One sentence that says what to do; null while all is well.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A listing that lost too much to be believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct HeldListing {
    /// For `POST /v1/approve`.
    pub token: String,
    /// Why.
    pub reason: String,
    /// Entries in use.
    pub known: u64,
    /// Entries that were found.
    pub found: u64,
}

/// The commit lane of one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Commit {
    /// `idle`, `committing` or `waiting`.
    pub state: String,
    /// Entries of the batch under way.
    pub entries: u64,
    /// The server's job.
    pub job_id: Option<String>,
    /// When the batch began (RFC 3339).
    pub since: Option<String>,
    /// Why it waits; null otherwise.
    #[serde(default)]
    pub reason: Option<String>,
}

/// One folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct FolderStatus {
    /// The local directory.
    pub local: String,
    /// The remote path.
    pub remote: String,
    /// See [`super::Mode`].
    pub mode: String,
    /// See [`FolderState`].
    pub state: FolderState,
    /// One sentence that says what to do; null in a good state.
    pub reason: Option<String>,
    /// Files in sync.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When a path was last settled (RFC 3339).
    pub last_synced_at: Option<String>,
    /// Work to do.
    pub pending: Pending,
    /// Over the last seconds.
    pub rate: Rate,
    /// Seconds left, at that rate.
    pub eta_s: Option<u64>,
    /// What is on the wire right now.
    pub active: Vec<Active>,
    /// Paths that are not in sync, with a reason.
    pub problems: u64,
    /// Files and directories here that are not synced because of a pattern; an ignored directory counts as one.
    #[serde(default)]
    pub ignored: u64,
    /// Conflicted copies made and not resolved.
    pub conflicts: u64,
    /// What waits for a person, in either direction (of the two, what is to go up); null when nothing does.
    #[serde(default)]
    pub held: Option<Held>,
}

/// A set of deletions that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// `deletions` that are to go up, a `listing` of Dropbox's that lost too much, `changes` that are to come down, or a `remote_root` that is gone or
    /// another one.
    #[serde(default)]
    pub kind: String,
    /// Names exactly this set, for `approve` and `reject`; serves once.
    pub token: String,
    /// Whose.
    pub account: String,
    /// The folder's local directory; of a listing, the remote folder.
    pub folder: String,
    /// How many files or entries are lost or changed.
    pub deletions: u64,
    /// Since when (RFC 3339).
    pub since: String,
    /// The first of their paths, below the folder.
    pub sample: Vec<String>,
    /// Which limit they met, and what to do.
    pub reason: String,
}

/// The answer to `POST /v1/approve` and `POST /v1/reject`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// `approved` or `rejected`.
    pub outcome: String,
    /// How many deletions that concerns.
    pub deletions: u64,
}

/// Work to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Pending {
    /// Files that may have to go up.
    pub uploads: u64,
    /// Files that may have to come down.
    pub downloads: u64,
    /// Files that are to be compared before anybody knows.
    #[serde(default)]
    pub comparing: u64,
    /// Changes of Dropbox that are not committed yet: sent files, new folders, moves, deletions.
    pub remote_changes: u64,
    /// Changes of this disk that are not applied yet: directories, deletions.
    pub local_changes: u64,
    /// Bytes of the files to go up or come down or to be compared, as last seen, without what of them has arrived.
    pub bytes: u64,
}

/// Rates over the last seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
pub struct Rate {
    /// Bytes sent a second.
    pub up_bytes_s: u64,
    /// Bytes received a second.
    pub down_bytes_s: u64,
    /// Files settled a second.
    pub files_s: f64,
}

/// A transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Active {
    /// Below the folder.
    pub path: String,
    /// `up` or `down`.
    pub direction: String,
    /// Bytes so far.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// `GET /v1/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Health {
    /// Whether the daemon does its work.
    pub ok: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Paths with a reason why they are not in sync; they do not make it ill.
    #[serde(default)]
    pub problems: u64,
}

/// One path that is not in sync, with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The folder's local directory.
    pub folder: String,
    /// Below it.
    pub path: String,
    /// A word that scripts can match.
    pub code: String,
    /// What happened and what to do.
    pub text: String,
    /// Since when (RFC 3339).
    pub since: String,
    /// The next try (RFC 3339); null when only a change of the path can help.
    pub next_try: Option<String>,
    /// Failed tries so far.
    pub attempts: u32,
}

/// The answer to `POST /v1/sync`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncAnswer {
    /// `in_sync`, `problems`, `unfinished`, `no_such_file` (only with `wait`), or `accepted`.
    pub outcome: String,
    /// Paths with problems under what was asked for.
    pub problems: u64,
    /// Why it is unfinished.
    pub reason: Option<String>,
    /// With `again`: files that Dropbox had no longer, and that are sent again.
    #[serde(default)]
    pub sent_again: u64,
}
