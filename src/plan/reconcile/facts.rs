//! What is known of one path when it is decided on, and what may be asked for.

use super::decision::Verdict;
use crate::model::listing::Marks;
use crate::model::{Agreed, Base, ContentHash, Failure, Local, Mode, RelPath, Remote, UnixMs};
use crate::plan::commit::budget::Full;
use crate::plan::name::ignore::Why;

/// A fact that a decision may ask for. Each is asked for at most once.
#[derive(Debug, Clone, PartialEq)]
pub enum Need {
    /// What Dropbox says of the nature of what lies there.
    Marks,
    /// Whether the listing may leave out what is there because of what it was asked for.
    Hidden,
    /// Whether what is new (or gone) here was only moved from (or to) another path. What the views say goes along.
    Rename(Verdict),
    /// Whether the disk takes the path for another one that is there.
    CaseConflict,
    /// The letters that Dropbox gave it since.
    Letters,
    /// Where the path belongs whose directory is here in other letters.
    Place,
    /// What was about to come down here before a kill.
    Installed,
    /// What the file holds, by reading it.
    ContentHash,
    /// The same, of a file that may be what was about to come down before a kill. If it cannot be read now, that is no failure of the path.
    InstalledHash,
    /// What the file holds, if that is known without reading it.
    KnownHash,
    /// Another path here that was agreed on as the file of this id.
    Twin(String),
    /// A directory beside this one that was agreed on as the same folder.
    TwinDirectory,
    /// A path that was agreed on as the file of this id in other letters, and is not here any more.
    GoneTwin(String),
    /// The path that was agreed on as the file of this id, which may have been moved here in Dropbox.
    OldPlace(String),
    /// Whether the directory is here in other letters.
    InLetters,
    /// Whether Dropbox has a file where a directory above this path needs a folder: up to the nearest directory that is agreed on, or `beyond` that.
    FileAbove {
        /// Also where the directory is agreed on.
        beyond: bool,
    },
    /// Whether a deletion, or new content, may come down in this folder.
    Gate,
    /// What is in the directory here.
    LocalBelow,
    /// What goes up by itself from the directory itself.
    Names,
    /// Which files of the folder are agreed on, and which Dropbox has.
    RemoteBelow,
    /// Whether every file below that was agreed on is another one in Dropbox by now, and no change of ours is under way there.
    TheirsBelow,
    /// Whether a change of what was agreed on below is on its way.
    ChangesBelow,
    /// Whether anything below may yet go by itself.
    MovesBelow,
    /// Why the folder stays in Dropbox, by what is left in it.
    Stays,
    /// Whether Dropbox may have the content somewhere else.
    Source,
    /// When the next copy of a file that never rests may go.
    LastCopy,
}

/// Whether what Dropbox has may take the place of what is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Open,
    /// It is not known yet whether that is one of too many.
    Weighing,
    /// It may be one of too many, and a person is asked.
    Held,
}

/// What looking for a rename gave.
#[derive(Debug, Clone, PartialEq)]
pub enum Rename {
    /// There is none.
    No,
    /// One is proposed, or one may yet show.
    Wait,
    /// What Dropbox has is here already, under another path.
    IsHere,
    /// It comes down under this path.
    Rather(RelPath),
    /// It was renamed in its letters, and that is not passed on: both are looked at as new.
    Forget,
}

/// The letters that Dropbox gave a path.
#[derive(Debug, Clone, PartialEq)]
pub struct Letters {
    /// The path in these letters.
    pub to: RelPath,
    /// They are only other letters of the same name, agreed on, standing here as they were seen, and known to Dropbox under ordinary keys.
    pub applies: bool,
    /// Something below is worked on, or staged.
    pub works_below: bool,
    /// Something stands at the new name already.
    pub is_taken: bool,
}

/// Where a path belongs whose directory is here in other letters.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// There.
    pub path: RelPath,
    /// Whether its directory is agreed on under these letters.
    pub agreed: bool,
}

/// A file that was about to come down.
#[derive(Debug, Clone, PartialEq)]
pub struct Installed {
    /// What it holds.
    pub content_hash: ContentHash,
    /// The revision.
    pub rev: String,
    /// Whose.
    pub file_id: String,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Content {
    /// This, while its stat was the one in the facts.
    Is(ContentHash),
    /// It is not to be read: whoever asks only wants to know what would be done.
    NotRead,
}

/// Another path that was agreed on as what Dropbox has here.
#[derive(Debug, Clone, PartialEq)]
pub enum Twin {
    /// There is none, or it is not here any more.
    None,
    /// There is one, and the disk shows it under this name, too.
    Shown,
    /// There is one, and both are here.
    Beside(RelPath),
}

/// The path that was agreed on as a file which Dropbox has here now.
#[derive(Debug, Clone, PartialEq)]
pub struct OldPlace {
    /// The path.
    pub path: RelPath,
    /// What was agreed on there.
    pub base: Base,
    /// Whether it is this very name in other letters.
    pub same_name: bool,
    /// What stands there now.
    pub local: Local,
    /// What Dropbox has there now.
    pub remote: Remote,
    /// Whether Dropbox shows something under exactly its letters.
    pub shown: bool,
    /// Whether the directory of the new place is here in other letters.
    pub respelled: bool,
}

/// What is in a directory here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalBelow {
    /// Files below it are agreed on: those go by themselves.
    pub agreed: bool,
    /// A file is somewhere below it.
    pub files: bool,
    /// Anything at all is in it.
    pub anything: bool,
}

/// What is left in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteBelow {
    /// Files below it are agreed on.
    pub agreed: bool,
    /// Dropbox has files below it; `None`: the listing cannot say yet.
    pub files: Option<bool>,
}

/// When a file counts as one that never rests, in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestRules {
    /// So long after its last change a file has come to rest.
    pub settle: i64,
    /// So long after its first change a file that never came to rest is sent as it is at one moment.
    pub restless: i64,
    /// So often.
    pub every: i64,
}

/// All that is known of one path.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The path.
    pub path: RelPath,
    /// The folder's mode.
    pub mode: Mode,
    /// Whether symlinks are a problem.
    pub report_symlinks: bool,
    /// The largest file that goes up, in bytes.
    pub max_file_size: u64,
    /// The device of the folder's root.
    pub root_dev: u64,
    /// Why what was seen does not count: it was not seen in the folder that is synced.
    pub untrusted: Option<Failure>,
    /// Why the path is not synced.
    pub ignored: Option<Why>,
    /// The disk.
    pub local: Local,
    /// What was agreed on, of a file.
    pub base: Option<Base>,
    /// A directory was agreed on.
    pub dir: bool,
    /// Dropbox.
    pub remote: Remote,
    /// The remote view is unlisted only because the listing has not caught up with our own last commit.
    pub late: bool,
    /// That commit was of this very path, in a folder that only sends: its revision is known.
    pub sent: bool,
    /// Failed tries so far.
    pub attempts: u32,
    /// When the path was put into the queue.
    pub since: UnixMs,
    /// The time.
    pub now: UnixMs,
    /// When the machine was started.
    pub booted: UnixMs,
    /// Why the account takes no more content, if so.
    pub full: Full,
    /// When a file counts as one that never rests.
    pub rest: RestRules,
    /// What was asked for.
    pub found: Found,
}

/// The answers to what a decision asked for. `None`: not asked yet.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each is the answer to the `Need` of its name")]
pub struct Found {
    pub marks: Option<Marks>,
    pub hidden: Option<bool>,
    pub rename: Option<Rename>,
    pub case_conflict: Option<Option<Failure>>,
    pub letters: Option<Option<Letters>>,
    pub place: Option<Option<Place>>,
    pub installed: Option<Option<Installed>>,
    pub content_hash: Option<Content>,
    pub installed_hash: Option<Content>,
    pub known_hash: Option<Option<ContentHash>>,
    pub twin: Option<Twin>,
    pub twin_directory: Option<Twin>,
    pub gone_twin: Option<Option<Base>>,
    pub old_place: Option<Option<OldPlace>>,
    pub in_letters: Option<bool>,
    pub file_above: Option<bool>,
    pub file_beyond: Option<bool>,
    pub gate: Option<Gate>,
    pub local_below: Option<LocalBelow>,
    pub names: Option<bool>,
    pub remote_below: Option<RemoteBelow>,
    pub theirs_below: Option<bool>,
    pub changes_below: Option<bool>,
    pub moves_below: Option<bool>,
    pub stays: Option<Option<Failure>>,
    pub source: Option<bool>,
    pub last_copy: Option<Option<UnixMs>>,
}

/// A file and a folder that stand in each other's way get out of it by themselves within this time, in ms, or not at all.
const STUCK_MS: UnixMs = 30_000;

impl Facts {
    /// What both sides last agreed on.
    pub fn agreed(&self) -> Agreed<'_> {
        match (&self.base, self.dir) {
            (Some(base), _) => Agreed::File(base),
            (None, true) => Agreed::Dir,
            (None, false) => Agreed::Nothing,
        }
    }

    /// Whether paths that wait for each other have done so for long enough.
    pub fn is_stuck(&self) -> bool {
        self.now.saturating_sub(self.since) > STUCK_MS
    }
}

/// A fact that was asked for, or the question.
///
/// # Errors
/// The need, if it was not asked yet.
pub(super) fn known<T>(fact: &Option<T>, need: impl FnOnce() -> Need) -> Result<&T, Need> {
    fact.as_ref().ok_or_else(need)
}
