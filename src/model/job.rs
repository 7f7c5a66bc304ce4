//! Rows of the queue and the remote changes that they become.
//!
//! A row means "look at this path again", never "upload this file": what to do is decided from the views when it is done.

use super::UnixMs;
use super::content_hash::ContentHash;
use super::failure::Failure;
use super::path::{RelPath, RemotePath};
use crate::model::views::{Agreed, Base, DirStat, Stat};

/// A folder's number in its account's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FolderId(pub i64);

/// A row's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub i64);

/// A stored remote change's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChangeId(pub i64);

/// A path to look at, not before `due_at`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub path: RelPath,
    /// Its size when it was seen, in bytes; 0 for what is gone. For packing and progress only.
    pub size: u64,
    /// When its quiet time ends.
    pub due_at: UnixMs,
}

/// One row of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The row.
    pub id: JobId,
    /// Whose path.
    pub folder: FolderId,
    /// Which path.
    pub path: RelPath,
    /// Counts the changes seen; a settled row goes only if nothing was seen meanwhile.
    pub generation: i64,
    /// Failed tries so far.
    pub attempts: u32,
    /// When the path was first seen changed, since it was last in sync.
    pub since: UnixMs,
}

/// A claimed row with its base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The row.
    pub job: Job,
    /// What both sides last agreed on; `None` if they never did.
    pub base: Option<Base>,
    /// Whether they agreed on a directory here.
    pub dir: bool,
}

impl Claimed {
    /// What both sides last agreed on.
    pub fn agreed(&self) -> Agreed<'_> {
        match (&self.base, self.dir) {
            (Some(base), _) => Agreed::File(base),
            (None, true) => Agreed::Dir,
            (None, false) => Agreed::Nothing,
        }
    }
}

/// Dropbox's `WriteMode`, the two that keep other people's work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteMode {
    /// Only where nothing else is.
    Add,
    /// Only over this revision.
    Update(String),
}

/// A change to Dropbox's tree, made only by the committer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteChange {
    /// A closed upload session becomes a file.
    Upload {
        /// The session that holds the bytes.
        session: String,
        /// How many bytes it holds; the cursor's offset at the commit.
        size: u64,
        /// The hash of the bytes that were sent.
        content_hash: ContentHash,
        /// The file as it was while they were read.
        stat: Stat,
        /// Where to.
        to: RemotePath,
        /// Over what.
        mode: WriteMode,
    },
    /// A file goes.
    Delete {
        /// Which.
        path: RemotePath,
        /// Only if this is still its revision (`parent_rev`).
        rev: String,
    },
    /// A folder goes in which nothing is left.
    DeleteFolder {
        /// Which.
        path: RemotePath,
    },
    /// A folder is made.
    CreateFolder {
        /// Which.
        path: RemotePath,
    },
    /// No change to Dropbox but what follows from one: the local file goes to the trash, or the local directory goes. It waits for the guard
    /// like a deletion there, and so is stored like one.
    Trash {
        /// The path's own place, where nothing is any more.
        path: RemotePath,
        /// Base's revision of the file; `None`: it is a directory.
        rev: Option<String>,
    },
    /// What Dropbox has already gets another place, or a second one.
    Relocate(Box<Relocation>),
}

/// A move or a copy in Dropbox's tree: no bytes. The row's own path is where it lies here by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relocation {
    /// Where it lies in Dropbox.
    pub from: RemotePath,
    /// Where to.
    pub to: RemotePath,
    /// The path that it had here.
    pub source: RelPath,
    /// What was agreed on for the file, with its stat at the new path; `None`: it is a directory, with all that is in it.
    pub base: Option<Base>,
    /// What lies at `from` stays.
    pub copy: bool,
    /// A copy of another file with the same content: it touches nothing but its own new place. Else it is the same file.
    pub alike: bool,
    /// It goes there first, since `to` is not free yet, or is the same name in other letters.
    pub via: Option<RemotePath>,
}

impl Relocation {
    /// The smallest file that is copied for its content, in bytes; `migrations/0001_schema.sql` writes the same. The reason is in
    /// [`plan::copies`](crate::plan::rename::dedup_copy).
    pub const SMALLEST_ALIKE: u64 = 1 << 20;

    /// Where the next call puts it.
    pub fn next(&self) -> &RemotePath {
        self.via.as_ref().unwrap_or(&self.to)
    }
}

impl RemoteChange {
    /// The place in Dropbox that it is about.
    pub fn place(&self) -> &RemotePath {
        match self {
            Self::Upload { to, .. } => to,
            Self::Relocate(relocation) => &relocation.to,
            Self::Delete { path, .. }
            | Self::DeleteFolder { path }
            | Self::CreateFolder { path }
            | Self::Trash { path, .. } => path,
        }
    }

    /// How many bytes of content it brings to Dropbox.
    pub fn bytes(&self) -> u64 {
        if let Self::Upload { size, .. } = self { *size } else { 0 }
    }
}

/// A stored remote change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number.
    pub id: ChangeId,
    /// The row that it settles.
    pub job: JobId,
    /// The row's folder.
    pub folder: FolderId,
    /// The row's path.
    pub path: RelPath,
    /// The row's generation when the views were read.
    pub generation: i64,
    /// Failed tries of the commit of this very change so far.
    pub attempts: u32,
    /// Failed tries of the path so far, those of changes that were staged before for it as well.
    pub tries: u32,
    /// What to do.
    pub what: RemoteChange,
}

/// Which call a batch is for. Batches of one account never overlap, whatever their kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchKind {
    /// `upload_session/finish_batch`.
    Upload,
    /// `delete_batch`.
    Delete,
    /// `create_folder_batch`.
    Folder,
    /// No call: files and directories of the disk go.
    Trash,
    /// `move_batch_v2`.
    Move,
    /// `copy_batch_v2`.
    Copy,
}

impl BatchKind {
    /// Its word, in the database and in answers on the socket.
    pub fn word(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Delete => "delete",
            Self::Folder => "folder",
            Self::Trash => "trash",
            Self::Move => "move",
            Self::Copy => "copy",
        }
    }

    /// Whether something goes, on either side: what a held set may hold.
    pub fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::Trash)
    }
}

/// Remote changes whose commit was decided: stored before the call, so that a crash can ask what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its number.
    pub id: i64,
    /// Which call.
    pub kind: BatchKind,
    /// The server's job, once it is known.
    pub async_job_id: Option<String>,
    /// Entries of its call. Changes are fewer where a folder was dropped meanwhile: then results tell nothing about those that are left.
    pub entries: usize,
    /// In the order of the request's entries.
    pub changes: Vec<Change>,
}

/// What became of one remote change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Dropbox holds it: base is this now (`None`: the path is gone on both sides).
    Settled(Option<Base>),
    /// Both sides have the directory.
    SettledDir(DirStat),
    /// It has its new place: base is this there (`None`: it is a directory, and all of base below it goes along).
    Moved(Option<Base>),
    /// It is where it had to go first; the change goes on from there.
    Halfway,
    /// What was agreed on is gone, and something else stands in its place: nothing is agreed on, and the path is looked at again.
    Replaced,
    /// Both are kept: the change goes to this place instead, with mode add; noted as a conflict.
    Elsewhere(RemotePath),
    /// The commit is tried again, not before this time; the upload stays.
    Again {
        /// Not before.
        at: UnixMs,
        /// Why.
        failure: Failure,
    },
    /// The change is dropped and its path looked at again, not before this time.
    Look {
        /// Not before.
        at: UnixMs,
        /// Why, if that is worth telling.
        failure: Option<Failure>,
    },
    /// As `Look`, but Dropbox still has the content that was sent: the session stays the row's, and nothing is sent again while the file is the same.
    Keep {
        /// Not before.
        at: UnixMs,
        /// Why, if that is worth telling.
        failure: Option<Failure>,
    },
    /// The change is dropped and its row wedged until the path changes.
    Wedge(Failure),
    /// Dropbox does not take this very file: as a wedge, but a scan that finds the file as it was is no change.
    Refused(Failure),
}

/// What became of a claimed row that needs no commit (or cannot have one yet).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The views agree. `Some`: base is this now. `None`: there is no base (any more).
    InSync(Option<Base>),
    /// Dropbox's file came down: base is this now.
    Arrived(Base),
    /// Both sides have the directory.
    InSyncDir(DirStat),
    /// Base is this now (`None`: nothing is agreed on any more), and the path is looked at again at once.
    Again(Option<Base>),
    /// The local version was moved to `copy`: nothing is agreed on here, both paths are looked at, and the conflict is noted.
    Aside {
        /// Below the folder.
        copy: RelPath,
        /// The same in Dropbox.
        place: RemotePath,
    },
    /// What belongs here lies at this path, as its directory is named here: the row goes, and that path is looked at.
    Rather(RelPath),
    /// It got the letters here that it has in Dropbox: what was agreed on, there and below, is agreed on under the new path.
    Respelled {
        /// Where it lies here now.
        to: RelPath,
        /// As for a move in Dropbox.
        moved: Box<Relocation>,
    },
    /// Nothing is wrong, but it is too early: look again at this time.
    Wait(UnixMs),
    /// As it was; base stays as it is, the row goes.
    Nothing,
    /// Try again, not before this time.
    PutOff {
        /// Not before.
        at: UnixMs,
        /// Why.
        failure: Failure,
    },
    /// Wait for a change of the path.
    Wedge(Failure),
    /// Dropbox does not take the file that was like this: as a wedge, but a scan that finds it as it was is no change.
    Refused(Failure, Stat),
    /// Give the row back untouched, due at once (the daemon is stopping, or the pack was full).
    Release,
}
