//! What the socket tells beside the status: the shapes of its lists and of its answers about one path. Names are fixed, since scripts read them.

use serde::{Deserialize, Serialize};

use super::status::Held;
use crate::model::history::Deed;

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
    /// The same place on this disk; null where it lies outside of the folder.
    #[serde(default)]
    pub local_copy: Option<String>,
    /// Since when (RFC 3339).
    pub since: String,
}

/// `GET /v1/versions`: what `restore` can put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Versions {
    /// The folder's local directory.
    pub folder: String,
    /// Below it.
    pub path: String,
    /// Its own place in Dropbox.
    pub remote_path: String,
    /// Those in the trash first, then Dropbox's; each the newest first.
    pub items: Vec<Version>,
    /// Whether files that were below this path lie in the trash, too.
    pub trashed_below: bool,
    /// Files that were below this path, are not there any more, and can come back from Dropbox's revisions.
    #[serde(default)]
    pub deleted_below: u64,
    /// Why Dropbox's are not among them; null: they are.
    pub note: Option<String>,
}

/// An earlier version of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// `trash` or `dropbox`.
    pub from: String,
    /// What `--rev` takes: when it went to the trash, or Dropbox's revision.
    pub version: String,
    /// Bytes.
    pub size: u64,
    /// When it went to the trash, or came to Dropbox (RFC 3339).
    pub at: Option<String>,
    /// Whether Dropbox has it at the path now.
    pub current: bool,
}

/// `POST /v1/restore`: what was put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The folder's local directory.
    pub folder: String,
    /// Below it, as asked for.
    pub path: String,
    /// Where it is now, below the folder: another name if a directory has its own.
    pub place: String,
    /// `trash` or `dropbox`.
    pub from: String,
    /// Which version; null: several, of the files below a directory.
    pub version: Option<String>,
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether a file stood there, which is in the trash now.
    pub replaced: bool,
    /// Paths that could not be put back, with the reason.
    pub failed: Vec<String>,
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
    /// The other path that it concerns, in Dropbox: a conflicted copy's, or where a move came from.
    pub place: Option<String>,
    /// The same place on this disk; null where there is none, or it lies outside of the folder.
    #[serde(default)]
    pub local_place: Option<String>,
}

fn yes() -> bool {
    true
}

/// `GET /v1/explain`: one path's whole story.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// Whose.
    pub account: String,
    /// The folder's local directory.
    pub folder: String,
    /// The folder's mode.
    pub mode: String,
    /// Below it; empty for the folder itself.
    pub path: String,
    /// Its own place in Dropbox.
    pub remote_path: String,
    /// How it stands, in one sentence.
    pub summary: String,
    /// Whether there is, or ever was, such a path on either side.
    #[serde(default = "yes")]
    pub known: bool,
    /// The rule that ignores it; null: none does.
    pub ignored: Option<IgnoredBy>,
    /// What is on the disk.
    pub local: ViewOf,
    /// What both sides last agreed on; null: they never did.
    pub base: Option<ViewOf>,
    /// What Dropbox's listing says.
    pub remote: ViewOf,
    /// What would be done now: `nothing`, `upload`, `adopt_or_upload`, `adopt`, `delete`, `blocked`, `retry`, ...
    pub action: String,
    /// The same for people.
    pub action_text: String,
    /// Its row of the queue; null: nothing is to be done.
    pub row: Option<RowOf>,
    /// The change to Dropbox that is staged for it.
    pub change: Option<ChangeOf>,
    /// Its conflicted copy in Dropbox, if there is one that is not resolved.
    pub conflict: Option<String>,
    /// Rows below it, if it is a directory.
    pub below: Below,
    /// What was done with it (and below it), the newest first: the last 20.
    pub history: Vec<Done>,
}

/// A rule that ignores a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoredBy {
    /// The path itself, or the directory above it that is ignored.
    pub at: String,
    /// The pattern as it was written.
    pub pattern: String,
    /// The file that holds it, or who else says so.
    pub source: String,
}

/// One of the three views.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ViewOf {
    /// `file`, `folder`, `absent`, `other` (neither), `unknown` (looking failed), `unlisted` (Dropbox has not said yet).
    pub kind: String,
    /// Bytes.
    pub size: Option<u64>,
    /// The file's own time (RFC 3339).
    pub modified: Option<String>,
    /// Dropbox's content hash.
    pub content_hash: Option<String>,
    /// Dropbox's revision.
    pub rev: Option<String>,
    /// Dropbox's id of the file.
    pub id: Option<String>,
    /// Where it lies in Dropbox, if not in its own place; or what the view cannot say otherwise.
    pub note: Option<String>,
}

/// A row of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowOf {
    /// `due`, `claimed`, `staged` or `wedged`.
    pub state: String,
    /// Changes of the path that were seen.
    pub generation: i64,
    /// Failed tries.
    pub attempts: u32,
    /// Since when the path is not in sync (RFC 3339).
    pub since: String,
    /// The next try (RFC 3339); null: when the path changes.
    pub next_try: Option<String>,
    /// The last failure's word.
    pub code: Option<String>,
    /// The last failure's sentence.
    pub text: Option<String>,
}

/// A staged change to Dropbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeOf {
    /// `upload` or `delete`.
    pub kind: String,
    /// The remote path it touches.
    pub to: String,
    /// The revision that must still be there.
    pub rev: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Failed commits.
    pub attempts: u32,
    /// Staged since (RFC 3339).
    pub since: String,
    /// `waiting`, `held` (for a person) or `committing`.
    pub state: String,
    /// Not committed before (RFC 3339).
    pub not_before: String,
    /// The server's job.
    pub async_job_id: Option<String>,
}

/// Rows at and below a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Below {
    /// On their way.
    pub pending: u64,
    /// With a problem.
    pub problems: u64,
}

/// One thing that would be done: an item of `GET /v1/plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Whose.
    pub account: String,
    /// The folder's local directory.
    pub folder: String,
    /// Below it.
    pub path: String,
    /// As in [`Explained::action`].
    pub action: String,
    /// What that means, for people.
    pub text: String,
    /// The row's: `due`, `claimed`, `staged` or `wedged`.
    pub state: String,
    /// Bytes that go with it.
    pub size: u64,
    /// Whether it waits for a person.
    pub held: bool,
    /// Why the row is not done, if it failed.
    pub problem: Option<String>,
}

/// A page of `GET /v1/plan`. There is no total: what each row leads to is known only when it is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanPage {
    /// In the order of accounts, folders and paths.
    pub items: Vec<Planned>,
    /// For `after`; null at the end.
    pub next: Option<String>,
    /// Whether every folder asked about has been scanned since the start, and none is being scanned: else more may come.
    pub complete: bool,
    /// What waits for a person, whichever side it comes from.
    pub held: Vec<Held>,
    /// Why what is known may not be how things are, folder by folder: offline, paused, a listing that fails.
    #[serde(default)]
    pub notes: Vec<String>,
}
