//! Whether the staged deletions of a folder may go: every condition, in one function.
//!
//! A deletion is decided for one path ([`reconcile`](crate::plan::reconcile)) and staged. It goes, there or here, when [`consent`] says so for all
//! that the folder has staged, and when its own path bears a last look: [`last_look`](crate::plan::delete::last_look) for what goes in Dropbox,
//! [`removal`](crate::plan::delete::removal) for what goes on the disk, and for folders of Dropbox [`preflight`](crate::plan::delete::preflight), too.
//! Nothing else decides about it but Dropbox itself, which deletes a file at the revision that it is told only.
//!
//! # The conditions
//! Each has been a real loss once. The first that is not met answers, so that what is costly to know is asked for ([`Need`]) only where it matters.
//!
//! | condition | or else |
//! |---|---|
//! | no deletion joined for a moment, or the oldest has waited long enough | the guard would see a mass deletion in slices |
//! | no local removal is under way | it is counted neither as waiting nor as gone |
//! | the folder in Dropbox is the one that was synced | an exchanged one is not what base describes |
//! | every path was looked at again, and the disk answered | files that were put back would be deleted |
//! | no scan is under way | it may be about to find where a file went |
//! | no row that nobody has looked at may hold a file that is to go | a rename would be a deletion and an upload |
//! | no rename is proposed, staged, or yet to be listed | the same |
//! | no worker looks for a file to be copied in Dropbox | what it finds would be deleted before it is copied |
//! | what is sent in the place of a refused rename has arrived | for a moment Dropbox would have the file nowhere |
//! | not many paths are undecided that may be deletions, too | the guard would see a part |
//! | whether anything is left in the folder could be read | an emptied folder would pass for one that lost a few files |
//! | the guard consents, or a person has agreed | a mass deletion is a mistake more often than not |
//! | the folder's root is the one that was synced | an unmounted disk would pass for deleted files |

use crate::model::{ChangeId, UnixMs};
use crate::plan::commit::budget::Full;
use crate::plan::delete::guard;
use crate::plan::delete::guard::{Asked, Before, Held, Limits};
use crate::plan::time::wait::is_ahead;

/// Deletions rest for so long after the last of them, so that the guard sees a mass deletion as a whole and not in slices, in ms.
const REST_MS: i64 = 2_000;
/// The oldest of them rests no longer than this: where something is deleted every second, the others are not kept for ever. In ms.
const LONGEST_REST_MS: i64 = 10_000;
/// So many rows that may yet become deletions are too few to matter.
const FEW: u64 = 1_000;
/// The guard counts deletions of this long ago, in ms.
const RECENT_MS: i64 = 10 * 60_000;

/// What is known of a folder and its staged deletions. What is `None` has not been asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FolderFacts {
    /// Now.
    pub now: UnixMs,
    /// When the last of the account's staged deletions was staged.
    pub newest: Option<UnixMs>,
    /// When the first of them was.
    pub oldest: Option<UnixMs>,
    /// Files or directories are being removed from the disk.
    pub removing: bool,
    /// The folder in Dropbox is gone or another one, or nobody has looked yet.
    pub remote_root_away: bool,
    /// Why uploads wait, if they do.
    pub full: Full,
    /// What a new look at all paths of the staged deletions found.
    pub looked: Option<Looked>,
    /// A scan is under way or asked for.
    pub scanning: Option<bool>,
    /// Whether a row that nobody has looked at may be where one of the files went.
    pub renamed: Option<Renamed>,
    /// Whether a rename in the folder is proposed, staged, or not listed yet.
    pub renaming: Option<bool>,
    /// Whether a worker looks for a file of Dropbox that has the content of a new one.
    pub seeking_copies: Option<bool>,
    /// Whether what is sent in the place of a refused rename is still on its way.
    pub sent_instead: Option<bool>,
    /// Rows of which some may become deletions.
    pub undecided: Option<Undecided>,
    /// The staged deletions of files, by who has agreed to them.
    pub counted: Option<Counted>,
    /// How the folder stands beside them. `Some(None)`: its root cannot be listed.
    pub standing: Option<Option<Standing>>,
    /// The folder's root is not the one that was synced.
    pub root_trouble: Option<bool>,
}

/// What a new look at the paths of all staged deletions found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// So many are staged, without those whose paths hold something again.
    Staged(u64),
    /// The disk does not answer.
    Silent,
}

/// Whether a row that nobody has looked at may be where one of the files went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renamed {
    /// None is.
    No,
    /// One may be, and is looked at next.
    Perhaps,
    /// Not all rows are read yet.
    Unread,
}

/// Rows of a folder that nobody has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecided {
    /// So many in all, and they were not looked into.
    Rows(u64),
    /// More of them than [`matter`] may become deletions, or not.
    More(bool),
}

/// The staged deletions of files of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Nobody has agreed to these.
    pub asked: u64,
    /// All of them.
    pub files: u64,
    /// Those of files that only moved to another listing of the account: nobody was asked, and nobody agreed.
    pub moved: u64,
}

/// How a folder stands beside its staged deletions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Files in sync, those that wait among them.
    pub files: u64,
    /// Files that came down while the others went, and that are here to stay.
    pub arrived: u64,
    /// Deletions that went recently.
    pub recent: u64,
    /// What was held before.
    pub before: Before,
    /// Nothing that is synced is left in the folder.
    pub empty: bool,
}

/// A fact that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// [`FolderFacts::looked`].
    Look,
    /// [`FolderFacts::scanning`].
    Scans,
    /// [`FolderFacts::renamed`]. To be asked before [`Need::Renames`]: a row that was looked at in between has left its proposal.
    Renamed,
    /// [`FolderFacts::renaming`].
    Renames,
    /// [`FolderFacts::seeking_copies`].
    Copies,
    /// [`FolderFacts::sent_instead`].
    SentInstead,
    /// [`FolderFacts::undecided`], first as a number of rows.
    Undecided,
    /// [`FolderFacts::undecided`]: whether more than so many of them may become deletions.
    MoreUndecidedThan(u64),
    /// [`FolderFacts::counted`].
    Count,
    /// [`FolderFacts::standing`].
    Standing,
    /// [`FolderFacts::root_trouble`].
    Root,
}

/// Whether the staged deletions of a folder may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consent {
    /// None is staged.
    Nothing,
    /// They may, each after the last look at its path.
    Go,
    /// Not before this time.
    Rest(UnixMs),
    /// Not before this is over.
    Wait(Why),
    /// Not before a person agrees, or the files are back.
    Hold(Held),
    /// That depends on this.
    Need(Need),
}

/// What staged deletions wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// See [`FolderFacts::removing`].
    Removal,
    /// See [`FolderFacts::remote_root_away`].
    RemoteRoot,
    /// See [`Looked::Silent`].
    Disk,
    /// See [`FolderFacts::scanning`].
    Scan,
    /// See [`Renamed::Perhaps`].
    PerhapsRenamed,
    /// See [`Renamed::Unread`].
    Unread,
    /// See [`FolderFacts::renaming`].
    Rename,
    /// See [`FolderFacts::seeking_copies`].
    CopySource,
    /// See [`FolderFacts::sent_instead`].
    SentInstead,
    /// See [`FolderFacts::undecided`].
    Undecided,
    /// See [`FolderFacts::standing`].
    Unlisted,
    /// See [`FolderFacts::root_trouble`].
    LocalRoot,
}

impl Why {
    /// For people: what comes after "its deletion waits: ".
    pub fn text(self) -> &'static str {
        match self {
            Self::Removal => "files that were deleted in Dropbox are being removed here",
            Self::RemoteRoot => "the folder in Dropbox is not the one that was synced",
            Self::Disk => "the folder's disk does not answer",
            Self::Scan => "a scan is under way, and may find where the file went",
            Self::PerhapsRenamed => "the file may only have been renamed, which is looked at next",
            Self::Unread => "paths that may be where the file went are still being read",
            Self::Rename => "something in the folder is being moved in Dropbox",
            Self::CopySource => "a new file may be a copy of what is to be deleted",
            Self::SentInstead => "the file was renamed, and is sent under its new name first",
            Self::Undecided => "many other paths may have been deleted, too, and are looked at first",
            Self::Unlisted => "the folder cannot be listed",
            Self::LocalRoot => "the folder is not the one that was synced",
        }
    }
}

impl Consent {
    /// Whether the guard was asked and consents: a hold that is shown is over. As long as the guard has not been asked, a hold stays as it is.
    pub fn lifts_hold(&self) -> bool {
        matches!(self, Self::Go | Self::Wait(Why::LocalRoot))
    }
}

/// More undecided rows than this matter beside so many staged deletions: fewer cannot be the greater part of a mass deletion.
fn matter(staged: u64) -> u64 {
    staged.max(FEW)
}

/// Whether the staged deletions of a folder may go.
pub fn consent(facts: &FolderFacts, limits: Limits) -> Consent {
    if let Some(at) = rests_until(facts) {
        return Consent::Rest(at);
    }
    if facts.removing {
        return Consent::Wait(Why::Removal);
    }
    if facts.remote_root_away {
        return Consent::Wait(Why::RemoteRoot);
    }
    let staged = match facts.looked {
        None => return Consent::Need(Need::Look),
        Some(Looked::Silent) => return Consent::Wait(Why::Disk),
        Some(Looked::Staged(0)) => return Consent::Nothing,
        Some(Looked::Staged(staged)) => staged,
    };
    if let Some(answer) = over_yet(facts.scanning, Need::Scans, Why::Scan) {
        return answer;
    }
    // What is full has to be emptied, and nothing is sent meanwhile. Where only calls are spent, copies go on.
    if facts.full == Full::No {
        match facts.renamed {
            None => return Consent::Need(Need::Renamed),
            Some(Renamed::No) => {}
            Some(Renamed::Perhaps) => return Consent::Wait(Why::PerhapsRenamed),
            Some(Renamed::Unread) => return Consent::Wait(Why::Unread),
        }
    }
    if let Some(answer) = over_yet(facts.renaming, Need::Renames, Why::Rename) {
        return answer;
    }
    if facts.full != Full::Room
        && let Some(answer) = over_yet(facts.seeking_copies, Need::Copies, Why::CopySource)
    {
        return answer;
    }
    if facts.full == Full::No
        && let Some(answer) = over_yet(facts.sent_instead, Need::SentInstead, Why::SentInstead)
    {
        return answer;
    }
    match facts.undecided {
        None => return Consent::Need(Need::Undecided),
        Some(Undecided::Rows(rows)) if rows > matter(staged) => {
            return Consent::Need(Need::MoreUndecidedThan(matter(staged)));
        }
        Some(Undecided::More(true)) => return Consent::Wait(Why::Undecided),
        Some(Undecided::Rows(_) | Undecided::More(false)) => {}
    }
    if let Some(answer) = guarded(facts, limits) {
        return answer;
    }
    // Whether it is the one that was synced is asked with the last look at each batch, too.
    over_yet(facts.root_trouble, Need::Root, Why::LocalRoot).unwrap_or(Consent::Go)
}

fn over_yet(holds: Option<bool>, need: Need, why: Why) -> Option<Consent> {
    match holds {
        None => Some(Consent::Need(need)),
        Some(true) => Some(Consent::Wait(why)),
        Some(false) => None,
    }
}

fn rests_until(facts: &FolderFacts) -> Option<UnixMs> {
    let rested = facts.newest.unwrap_or(facts.now).saturating_add(REST_MS);
    let rested = rested.min(facts.oldest.unwrap_or(facts.now).saturating_add(LONGEST_REST_MS));
    is_ahead(rested, facts.now, LONGEST_REST_MS).then_some(rested)
}

/// What the guard says of those that nobody has agreed to, if it does not consent.
fn guarded(facts: &FolderFacts, limits: Limits) -> Option<Consent> {
    let Some(Counted { asked, files, .. }) = facts.counted else { return Some(Consent::Need(Need::Count)) };
    if asked == 0 {
        return None;
    }
    let standing = match facts.standing {
        None => return Some(Consent::Need(Need::Standing)),
        Some(None) => return Some(Consent::Wait(Why::Unlisted)),
        Some(Some(standing)) => standing,
    };
    let Standing { arrived, recent, before, empty, .. } = standing;
    // What was agreed to will be gone: it is nothing that a person keeps here.
    let files = standing.files.saturating_sub(files.saturating_sub(asked));
    guard::check(Asked { waiting: asked, recent, files, arrived, before, empty }, limits).err().map(Consent::Hold)
}

/// What a person has agreed to in a folder: it is not held against what comes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// All staged deletions up to this one.
    pub upto: ChangeId,
    /// Some of them still wait for their commit.
    under_way: bool,
    /// When the last of them was made.
    ended: UnixMs,
}

impl Agreed {
    /// To nothing.
    pub const NOTHING: Self = Self { upto: ChangeId(i64::MIN), under_way: false, ended: 0 };

    /// What is staged by now. What went on to another listing is no person's word, and does not end what was deleted before it.
    pub fn count(&mut self, counted: Counted, now: UnixMs) {
        if counted.asked.saturating_add(counted.moved) < counted.files {
            self.under_way = true;
        } else {
            self.end(now);
        }
    }

    /// None of them is staged any more.
    pub fn end(&mut self, now: UnixMs) {
        if std::mem::take(&mut self.under_way) {
            self.ended = now;
        }
    }

    /// Deletions that went since then count as recent: those that were agreed to do not, nor what came before them.
    pub fn recent_since(&self, now: UnixMs) -> UnixMs {
        if self.under_way { now } else { self.ended.max(now.saturating_sub(RECENT_MS)) }
    }
}

#[cfg(test)]
mod tests;
