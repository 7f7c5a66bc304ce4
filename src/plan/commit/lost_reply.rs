//! What became of a change whose call brought no usable reply: read from what Dropbox has at its place now.
//!
//! Of moves and copies, [`plan::rename::reply`](crate::plan::rename::reply) says it.

use crate::model::{Change, Failure, RemoteChange};
use crate::plan::commit::outcome::Committed;

/// What Dropbox has at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or a trace of what was deleted.
    Nothing,
    /// A file.
    File(Committed),
    /// A folder.
    Folder,
    /// Something of a kind that this version does not know.
    Unknown,
}

/// What a lost reply is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostReply {
    /// The file was committed: its facts are judged like those of a reply.
    Committed,
    /// What was to be deleted is gone.
    Deleted,
    /// The folder is there.
    Made,
    /// It was not done, as far as can be seen: it is done again. All calls are harmless when made twice: each names what it expects to find.
    NotDone,
}

/// What a lost reply is taken for. A file is known by its content alone: the same bytes at the same place are in sync whoever sent them.
pub fn lost_reply(change: &Change, found: &Found) -> LostReply {
    match (&change.what, found) {
        (RemoteChange::Upload { content_hash, .. }, Found::File(file)) if file.content_hash == Some(*content_hash) => {
            LostReply::Committed
        }
        (RemoteChange::Delete { .. } | RemoteChange::DeleteFolder { .. }, Found::Nothing) => LostReply::Deleted,
        (RemoteChange::CreateFolder { .. }, Found::Folder) => LostReply::Made,
        _ => LostReply::NotDone,
    }
}

/// Why such a change is made again.
pub fn not_done() -> Failure {
    Failure::retry(
        "unknown_outcome",
        "the reply to the commit was lost, and Dropbox does not hold the file yet; the commit is made again",
    )
}

/// Which entries of a batch are looked at to see whether its job has ended: one alone may have been so before.
pub fn samples(entries: usize) -> Vec<usize> {
    let mut at = vec![0, entries / 2, entries.saturating_sub(1)];
    at.dedup();
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ChangeId, ContentHash, FolderId, JobId, RelPath, Relocation, RemotePath, Stat, WriteMode};

    fn change(what: RemoteChange) -> Change {
        Change {
            id: ChangeId(1),
            job: JobId(1),
            folder: FolderId(1),
            path: RelPath::parse("a").unwrap(),
            generation: 1,
            attempts: 0,
            tries: 0,
            what,
        }
    }

    fn file(hash: Option<u8>) -> Found {
        let content_hash = hash.map(|byte| ContentHash([byte; 32]));
        Found::File(Committed { rev: "1".into(), file_id: Some("id:a".into()), size: 3, content_hash })
    }

    /// Each kind of change beside everything that may stand there: it counts as done in one case only.
    #[test]
    fn a_lost_reply_is_believed_only_by_what_is_there() {
        let path = || RemotePath::parse("/a").unwrap();
        let upload = RemoteChange::Upload {
            session: "s".into(),
            size: 3,
            content_hash: ContentHash([1; 32]),
            stat: Stat { size: 3, mtime_ns: 1, ctime_ns: 1, ino: 1, dev: 1 },
            to: path(),
            mode: WriteMode::Add,
        };
        let relocation = Relocation {
            from: path(),
            to: path(),
            source: RelPath::parse("b").unwrap(),
            base: None,
            copy: false,
            alike: false,
            via: None,
        };
        let all = [file(Some(1)), file(Some(2)), file(None), Found::Folder, Found::Nothing, Found::Unknown];
        for (what, done, at) in [
            (upload, LostReply::Committed, 0),
            (RemoteChange::CreateFolder { path: path() }, LostReply::Made, 3),
            (RemoteChange::Delete { path: path(), rev: "1".into() }, LostReply::Deleted, 4),
            (RemoteChange::DeleteFolder { path: path() }, LostReply::Deleted, 4),
            (RemoteChange::Trash { path: path(), rev: None }, LostReply::NotDone, 9),
            // Moves and copies are looked up at both of their ends (`plan::rename::reply`).
            (RemoteChange::Relocate(Box::new(relocation)), LostReply::NotDone, 9),
        ] {
            let change = change(what);
            for (i, found) in all.iter().enumerate() {
                let expected = if i == at { done } else { LostReply::NotDone };
                assert_eq!(lost_reply(&change, found), expected, "{:?} {found:?}", change.what);
            }
        }
    }

    #[test]
    fn a_batch_is_sampled_at_both_ends_and_in_the_middle() {
        assert_eq!(samples(1_000), [0, 500, 999]);
        assert_eq!(samples(3), [0, 1, 2]);
        assert_eq!(samples(2), [0, 1]);
        assert_eq!(samples(1), [0]);
        assert_eq!(samples(0), [0], "there is none, which shows nothing");
    }
}
