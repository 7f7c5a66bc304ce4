//! Local renames as moves in Dropbox: which new path is which old one, and what to do about it. No bytes travel.
//!
//! # How a rename is seen
//! Two rows say "look again": one of a path where nothing is any more, one of a path that base does not know. A worker that is about to send the new
//! one asks base for its inode. If base knows the inode under a path where that file is no longer, the two are one file, and the worker proposes a
//! move instead of sending ([`candidate`]). It proposes the highest directories of both paths that could be one directory ([`above`]), so that a renamed
//! directory is one move, whatever is in it.
//!
//! # Who decides
//! The committer, just before its call. It waits until no scan runs and nobody works at either path, looks at every file of base below the old
//! directory under its new path ([`Below`]), and stages the move if the two are one ([`Below::is_moved`]). From then until it is settled no worker decides anything
//! in that folder, and the remote cache is not compared with base: half of a move looks like a deletion. Settling gives base its new keys in one
//! transaction, and the rows that were looked at before go with it, unless something was seen since. What is left of rows finds the three views in
//! agreement.
//!
//! # What doubt does
//! A move destroys nothing by itself, but what it says of the files must be true. So: same device and inode, size and time of writing; the old path
//! without that file; nothing agreed on at the new one; the file in Dropbox the one that base names, by its id; the new place free there. Anything
//! else is a proposal refused, remembered for a while, and the paths go on as ever: the smaller directories, then the files one by one, and at last
//! an upload and a deletion. A deletion waits some seconds for the rows that came before it, since one of them may be where the file went, and
//! until the upload that takes a refused move's place is through.
//!
//! A move has no condition on a revision, so its result is judged: another id or another content than base's is somebody else's work at the new
//! place, and comes down like any other ([`judge`]).
//!
//! Where deletions are not passed on (`backup`), the file is copied: what was saved stays saved. The same where a move is not allowed (out of a shared
//! folder, say): then the old file is deleted after its copy is settled.
//!
//! # Moves that stand in each other's way
//! Moves of one round must not be nested or meet; the rest are proposed again. A name that changed only its letters goes by way of a free one
//! ([`by_way`]), since Dropbox refuses such a move; where the disk takes both names for one, what it lists under the new one has left the old one. What
//! changed places, or has to wait for another's place, is in [`swaps`](crate::plan::rename::cycles).

use unicode_normalization::UnicodeNormalization as _;

use crate::model::key::may_be_one;
use crate::model::{Base, ContentHash, Mode, PathError, RelPath, RemotePath, Stat, UnixMs};

/// What stands at the old path now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Old {
    /// Nothing, or another file than the one that base knows.
    Left,
    /// The file itself, as it was: the new path is a second link to it.
    Linked,
    /// It cannot be said.
    Unknown,
}

/// How the content gets to its new place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The old place is empty afterwards.
    Move,
    /// The old place keeps it.
    Copy,
}

/// Whether the file is the one that base knew under another path: a rename changes neither inode nor size nor time of writing. The inode's own time
/// says nothing, since some file systems change it when they rename.
pub fn same_file(base: &Base, now: &Stat) -> bool {
    let then = &base.stat;
    (then.dev, then.ino, then.size, then.mtime_ns) == (now.dev, now.ino, now.size, now.mtime_ns)
}

/// What to do about a new file `now` that base knew as `base` elsewhere. `None`: it is sent like any other.
///
/// A conflicted copy's file in Dropbox lies elsewhere and stays there.
pub fn candidate(base: &Base, now: &Stat, old: Old, mode: Mode) -> Option<How> {
    if !same_file(base, now) || base.remote.is_some() {
        return None;
    }
    match (mode, old) {
        (Mode::Download, _) | (_, Old::Unknown) => None,
        (_, Old::Linked) | (Mode::Backup, Old::Left) => Some(How::Copy),
        (Mode::TwoWay | Mode::Mirror, Old::Left) => Some(How::Move),
    }
}

/// The pairs of directories that could have been renamed when `from` became `to`, the nearest first: as long as the names below them are the same.
/// Neither is ever the folder's root, nor one inside the other.
pub fn above(from: &RelPath, to: &RelPath) -> Vec<(RelPath, RelPath)> {
    let mut pairs = Vec::new();
    let mut at = (from.clone(), to.clone());
    while at.0.name() == at.1.name() {
        let (Some(old), Some(new)) = (at.0.parent(), at.1.parent()) else { break };
        if old.is_root() || new.is_root() || old == new || old.is_under(&new) || new.is_under(&old) {
            break;
        }
        pairs.push((old.clone(), new.clone()));
        at = (old, new);
    }
    pairs
}

/// How two paths differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// They are two paths in Dropbox.
    Other,
    /// Dropbox folds them into one, and shows it as it was written first: it takes two moves, by way of another name.
    Letters,
    /// Dropbox keeps and shows both in one form (NFC): there is nothing to move.
    Form,
}

/// How two paths differ.
pub fn spelling(from: &RelPath, to: &RelPath) -> Spelling {
    if from.as_str().nfc().eq(to.as_str().nfc()) {
        Spelling::Form
    } else if may_be_one(from.as_str(), to.as_str()) {
        Spelling::Letters
    } else {
        Spelling::Other
    }
}

/// A free name beside `to`, for a thing on its way there.
///
/// # Errors
/// Never, since the name is one component.
pub fn by_way(to: &RemotePath, now: UnixMs) -> Result<RemotePath, PathError> {
    // A number that no other move of these weeks has beside this very name.
    let mark = to.as_str().bytes().fold(now.cast_unsigned(), |mark, byte| mark.rotate_left(7) ^ u64::from(byte));
    to.with_name(&format!("{MOVING}{mark:016x}"))
}

/// How a name begins that a thing has only on its way to another.
const MOVING: &str = ".ferrybox-moving-";

/// Whether a name is one of [`by_way`]: some device is in the middle of a move.
pub fn is_halfway(name: &str) -> bool {
    name.starts_with(MOVING)
}

/// What has become of the files of base below a directory, looked at under its new path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Below {
    /// The very files.
    pub same: u64,
    /// Another file, or the file with another content.
    pub changed: u64,
    /// Nothing.
    pub missing: u64,
    /// The very file is still at the old path, where there is a directory again.
    pub stayed: u64,
}

/// A directory with more files in it is not moved as one. Dropbox itself refuses from 10,000 files and folders on (`too_many_files`), and then the
/// directories in it are moved one by one; but that is its own limit, and it may be another one.
pub const MOST: u64 = 100_000;

impl Below {
    /// How many there are.
    pub fn all(&self) -> u64 {
        self.same.saturating_add(self.changed).saturating_add(self.missing).saturating_add(self.stayed)
    }

    /// Whether the directory was renamed. What was changed in it goes up afterwards, and what is missing goes afterwards, each by its own row; if most
    /// of it is another thing, it is another directory. So it is if more than a few of its files stayed: those would have to be moved back.
    pub fn is_moved(&self) -> bool {
        self.all() <= MOST
            && self.same > self.changed.saturating_add(self.missing)
            && self.same > self.stayed.saturating_mul(10)
    }
}

/// What a move or copy brought to its new place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Dropbox's id.
    pub id: String,
    /// The revision.
    pub rev: String,
    /// The hash of the content, where Dropbox says.
    pub content_hash: Option<ContentHash>,
}

/// Base at the new path. `None`: what was copied is not what was meant, and the path is looked at again.
///
/// H12: where another file, or another content, was moved than base knew, base keeps its old revision: what is there now is a change of Dropbox's, and is
/// met like one.
pub fn judge(base: &Base, arrived: &Arrived, how: How) -> Option<Base> {
    let content = arrived.content_hash.is_none_or(|hash| hash == base.content_hash);
    let id = base.file_id.as_ref().is_none_or(|id| *id == arrived.id);
    match how {
        How::Copy => {
            content.then(|| Base { rev: arrived.rev.clone(), file_id: Some(arrived.id.clone()), ..base.clone() })
        }
        How::Move if content && id => {
            Some(Base { rev: arrived.rev.clone(), file_id: Some(arrived.id.clone()), ..base.clone() })
        }
        How::Move => Some(base.clone()),
    }
}

/// What to do about a move that Dropbox refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Later.
    Again,
    /// Ask what is at both places, then perhaps again.
    Look,
    /// The paths go their usual way.
    Otherwise {
        /// What may not be moved may be copied, and deleted then.
        copy: bool,
    },
}

/// What the tags of a `RelocationError` mean, after so many failed tries.
pub fn refused(tags: &[&str], attempts: u32) -> Refusal {
    match tags {
        // A file that was made a moment ago may not be found for some seconds.
        ["from_lookup", "not_found", ..] if attempts < 3 => Refusal::Look,
        ["to", "conflict", ..] => Refusal::Look,
        ["too_many_write_operations" | "internal_error", ..]
        | ["from_write" | "to", "too_many_write_operations" | "operation_suppressed", ..]
            if attempts < 8 =>
        {
            Refusal::Again
        }
        // Other namespaces, other owners.
        ["from_write", "no_write_permission", ..]
        | ["cant_move_shared_folder" | "cant_nest_shared_folder" | "cant_transfer_ownership", ..]
        | ["cant_move_into_vault" | "cant_move_into_family", ..] => Refusal::Otherwise { copy: true },
        _ => Refusal::Otherwise { copy: false },
    }
}

/// The name that Dropbox shows for what is to come down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// The row's.
    This,
    /// The row's in other letters, or in another form.
    OtherLetters,
    /// None that is known, or another one.
    Neither,
}

/// The name under which a new file comes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComesAs {
    /// The row's.
    This,
    /// The one that Dropbox shows: the row of that name sees to it, and says so if something is in the way there.
    Shown,
    /// None: it is here already.
    IsHere,
}

/// Decides for a row of which nothing was agreed on and nothing is here under its very name. `agreed`: something is here under other letters of it, and
/// is agreed on. What stands there without that does not count: a file that came down beside it under the row's letters would be refused its place.
pub fn comes_as(agreed: bool, shows: Shows) -> ComesAs {
    match (agreed, shows) {
        (_, Shows::This) | (false, Shows::Neither) => ComesAs::This,
        (true, _) => ComesAs::IsHere,
        (false, Shows::OtherLetters) => ComesAs::Shown,
    }
}

#[cfg(test)]
mod tests;
