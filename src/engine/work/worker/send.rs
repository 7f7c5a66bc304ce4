//! A file that goes up: whose row it is, where its bytes are, and what settles the row when they need not be sent.

use std::sync::Arc;

use crate::engine::folder::Folder;
use crate::local::Snapshot;
use crate::model::{Base, ContentHash, Job, RelPath, Remote, RemoteChange, Settled, Stat, WriteMode};

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
        let own = self.base.as_ref().filter(|b| b.content_hash == *hash);
        let base = own.map(|base| Base { stat: self.stat, ..base.clone() }).or_else(|| {
            let Remote::File { content_hash, rev, size, id } = &self.remote else { return None };
            let there = *content_hash == Some(*hash) && *size == self.len() && !self.lies_elsewhere();
            there.then(|| Base {
                stat: self.stat,
                content_hash: *hash,
                rev: rev.clone(),
                file_id: Some(id.clone()),
                remote: None,
            })
        })?;
        Some(Settled::InSync(Some(base)))
    }

    /// Whether reading alone may show that nothing has to be sent.
    pub(crate) fn may_be_there(&self) -> bool {
        let size = self.len();
        self.base.as_ref().is_some_and(|b| b.stat.size == size)
            || matches!(&self.remote, Remote::File { content_hash: Some(_), size: there, .. } if *there == size)
                && !self.lies_elsewhere()
    }

    fn lies_elsewhere(&self) -> bool {
        self.base.as_ref().is_some_and(|b| b.remote.is_some())
    }
}
