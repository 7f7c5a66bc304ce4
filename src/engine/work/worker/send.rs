//! A file that goes up: whose row it is, where its bytes are, and what settles the row when they need not be sent.

use std::sync::Arc;

use crate::engine::folder::Folder;
use crate::local::Snapshot;
use crate::model::{Base, ContentHash, Job, RelPath, Remote, RemoteChange, Settled, Stat, WriteMode};
use crate::plan::reconcile::sending;

/// One claimed row that has to go up.
#[derive(Debug)]
pub(crate) struct Send {
    pub(crate) job: Job,
    pub(crate) folder: Arc<Folder>,
    pub(crate) base: Option<Base>,
    pub(crate) mode: WriteMode,
    /// What the listing says is there already.
    pub(crate) remote: Remote,
    pub(crate) stat: Stat,
    pub(crate) source: Source,
}

/// Where the bytes are.
#[derive(Debug)]
pub(crate) enum Source {
    /// Read already, with their hash.
    Memory(bytes::Bytes, ContentHash),
    /// On the disk.
    Disk,
    /// In a copy of one moment, since the file itself never rests.
    Snapshot(Box<Snapshot>),
}

impl Send {
    /// How many bytes go up.
    pub(crate) fn len(&self) -> u64 {
        self.read_at().1.size
    }

    /// Where the bytes are read from, and what that must still be.
    pub(crate) fn read_at(&self) -> (&RelPath, &Stat) {
        match &self.source {
            Source::Snapshot(snapshot) => (&snapshot.path, &snapshot.stat),
            Source::Memory(..) | Source::Disk => (&self.job.path, &self.stat),
        }
    }

    /// The change that commits what session `session` holds.
    pub(crate) fn change(&self, session: String, content_hash: ContentHash) -> RemoteChange {
        let home = self.folder.home(&self.job.path);
        let to = self.base.as_ref().and_then(|b| b.remote.clone()).unwrap_or(home);
        RemoteChange::Upload { session, size: self.len(), content_hash, stat: self.stat, to, mode: self.mode.clone() }
    }

    /// What settles the row when the bytes turn out to be base's, or Dropbox's already: nothing is sent.
    pub(crate) fn unchanged(&self, hash: &ContentHash) -> Option<Settled> {
        let base = sending::unchanged(&self.stat, (self.len(), hash), self.base.as_ref(), &self.remote)?;
        Some(Settled::InSync(Some(base)))
    }

    /// Whether reading alone may show that nothing has to be sent.
    pub(crate) fn may_be_there(&self) -> bool {
        sending::may_be_there(self.len(), self.base.as_ref(), &self.remote)
    }
}
