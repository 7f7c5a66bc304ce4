//! What may come of a path: the verdict of its three views, the decision, and what is done.

use super::facts::Need;
use crate::model::{Base, ContentHash, Failure, RelPath, Stat, UnixMs, WriteMode};

/// What is to be done about a path now.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// This, and nothing else is missing for it.
    Do(Action),
    /// It cannot be said before this is known: it is gathered, and the question is asked again.
    Need(Need),
    /// Nothing yet. What ends the wait is said.
    Later(WaitFor),
    /// Something is wrong with the path. What follows is said by the failure.
    Blocked(Failure),
}

/// Something that is done about a path.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Everything is as it should be: the row goes, base stays.
    Nothing,
    /// The path is not synced: what was agreed on there is forgotten, and neither side is touched.
    Unsync,
    /// Read the file. If its bytes are base's, only base's stat is renewed; otherwise they go up.
    Upload(WriteMode),
    /// Dropbox already holds something here; adopt it if the bytes are the same, otherwise send them.
    AdoptOrUpload(WriteMode),
    /// The file never rests: a copy of one moment goes up.
    UploadCopy(WriteMode),
    /// Only reading the file can tell. The answer to those who do not want it read.
    Compare,
    /// Both sides hold the same: base is this, and nothing is transferred.
    Adopt(Box<Base>),
    /// Base is this; then the path is decided on again.
    Renew(Box<Base>),
    /// What was agreed on holds no more: drop it; then the path is decided on again.
    Forget,
    /// The file goes from Dropbox, if it still has this revision there.
    Delete {
        /// Base's revision.
        rev: String,
    },
    /// A folder is made in Dropbox.
    CreateFolder,
    /// The folder goes from Dropbox: nothing is left in it.
    DeleteFolder,
    /// Dropbox's file comes down, to where nothing else than what was looked at stands.
    Download(Wanted),
    /// Dropbox's file was moved: the local one goes along, with whatever was written into it meanwhile.
    Follow(Box<Follow>),
    /// The local version gets a conflicted copy's name; then the path is decided on again.
    MoveAside,
    /// The file goes to the local trash.
    Trash {
        /// Base's revision.
        rev: String,
    },
    /// The directory goes, if nothing is in it.
    RemoveDir,
    /// A directory is made here.
    MakeDir,
    /// A directory here, a folder there: that is agreed on now.
    AgreeDir,
    /// The directory was only renamed in its letters, and another row has seen to that: what was agreed on under the old ones goes.
    Relettered,
    /// What was renamed in Dropbox in its letters only gets them here, too.
    Respell(RelPath),
    /// What belongs here lies at this path, as its directory is named here: that one is looked at instead.
    Rather(RelPath),
}

/// What ends a wait.
#[derive(Debug, Clone, PartialEq)]
pub enum WaitFor {
    /// The listing, or the comparison with it, catches up.
    Listing,
    /// A rename that is on its way to Dropbox.
    Rename,
    /// Something at this path, above or elsewhere, that is decided first.
    Path(RelPath),
    /// What is in the directory goes first.
    Below,
    /// A person lets changes come down; the comparison finds the path then.
    Approval,
    /// The account has room, or calls, again.
    Room,
    /// The file rests, or this time comes: until then its last copy is new enough.
    Rest(UnixMs),
}

/// A file of Dropbox that is to come down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The revision, which pins its bytes.
    pub rev: String,
    /// Bytes.
    pub size: u64,
    /// The hash of its content, where Dropbox says.
    pub content_hash: Option<ContentHash>,
    /// Dropbox's id of the file.
    pub id: String,
}

/// A local file that goes along with one that was moved in Dropbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Follow {
    /// Where it lies.
    pub from: RelPath,
    /// As it was seen there.
    pub stat: Stat,
    /// What was agreed on there.
    pub base: Base,
    /// What comes down if it cannot go along.
    pub wanted: Wanted,
}

/// What the three views of a path say, before anything around it is asked about.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The views agree, or the folder's mode passes nothing on.
    Nothing,
    /// As [`Action::Upload`].
    Upload(WriteMode),
    /// As [`Action::AdoptOrUpload`].
    AdoptOrUpload(WriteMode),
    /// The file is as in base, and Dropbox has base's content under this revision.
    Adopt {
        /// Dropbox's revision.
        rev: String,
    },
    /// As [`Action::Delete`].
    Delete {
        /// Base's revision, or the one that Dropbox has of the same content.
        rev: String,
    },
    /// As [`Action::Download`].
    Download(Wanted),
    /// Read the file and go on with [`two_way::compared`](super::two_way::compared).
    Compare,
    /// As [`Action::MoveAside`].
    MoveAside,
    /// As [`Action::Trash`].
    Trash,
    /// As [`Action::RemoveDir`].
    RemoveDir,
    /// As [`Action::MakeDir`].
    MakeDir,
    /// As [`Action::AgreeDir`].
    AgreeDir,
    /// As [`Action::CreateFolder`].
    CreateFolder,
    /// The folder goes from Dropbox, once nothing is left in it.
    DeleteFolder,
    /// As [`Action::Forget`].
    Forget,
    /// The remote view is not known yet: look again when it is.
    Wait,
    /// Nothing can be done until the path changes.
    Wedge(Failure),
    /// Looking failed: try again.
    PutOff(Failure),
}
