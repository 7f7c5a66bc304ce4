//! What an entry's result in a batch means for its row.

use std::time::Duration;

use crate::model::{Base, Change, ContentHash, Failure, Next, Outcome, RemoteChange, RemotePath, UnixMs};

/// What Dropbox says of a file that it committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The new revision (or the old one, when the content was there already).
    pub rev: String,
    /// `id:...`.
    pub file_id: Option<String>,
    /// Bytes.
    pub size: u64,
    /// The hash of what it holds.
    pub content_hash: Option<ContentHash>,
}

/// What is needed beside the change itself.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// Now.
    pub now: UnixMs,
    /// How long the next try waits.
    pub backoff: Duration,
    /// The path's own place in Dropbox.
    pub home: &'a RemotePath,
    /// The place of the conflicted copy, should one be needed.
    pub copy: &'a RemotePath,
    /// Whether Dropbox's version comes down here: then the listing brings it, and both are kept on the disk first.
    pub comes_down: bool,
}

impl Context<'_> {
    fn later(&self, after: Option<Duration>) -> UnixMs {
        let wait = after.unwrap_or(self.backoff).as_millis();
        self.now.saturating_add(i64::try_from(wait).unwrap_or(i64::MAX))
    }
}

/// An upload that Dropbox reports as done. It is settled only if what Dropbox holds is what was read.
pub fn committed(change: &Change, done: &Committed, context: &Context<'_>) -> Outcome {
    let RemoteChange::Upload { content_hash, size, stat, to, .. } = &change.what else {
        return Outcome::Settled(None);
    };
    if done.size != *size || done.content_hash.is_some_and(|hash| hash != *content_hash) {
        let failure = Failure::look("bad_content", "Dropbox holds other bytes than were sent; the file is sent again");
        return Outcome::Look { at: context.later(None), failure: Some(failure) };
    }
    // A place that is not the path's own is a conflicted copy's; base remembers where it lies.
    let remote = (to != context.home).then(|| to.clone());
    Outcome::Settled(Some(Base {
        stat: *stat,
        content_hash: *content_hash,
        rev: done.rev.clone(),
        file_id: done.file_id.clone(),
        remote,
    }))
}

/// Whether a deletion was refused because Dropbox holds something newer than what was deleted here.
pub fn outlived(tags: &[&str]) -> bool {
    matches!(tags, ["path_write", "conflict", ..])
}

/// An entry that Dropbox refused; `tags` are the tags of its error from the outside in, `failure` what they mean to a person.
pub fn refused(change: &Change, tags: &[&str], failure: Failure, context: &Context<'_>) -> Outcome {
    match (&change.what, tags) {
        // The session is gone or was never whole: the bytes have to go up again.
        (RemoteChange::Upload { .. }, ["lookup_failed", ..]) => {
            let why =
                format!("the upload session can no longer be committed ({}); the file is sent again", tags.join("/"));
            Outcome::Look { at: context.now, failure: Some(Failure::look("session", why)) }
        }
        // Where both sides meet, the path waits for the one above it; by then it may be another one.
        (
            RemoteChange::Upload { .. } | RemoteChange::CreateFolder { .. },
            ["path", "conflict", "file_ancestor", ..],
        ) if context.comes_down => Outcome::Look { at: context.later(None), failure: None },
        (RemoteChange::Upload { .. }, ["path", "conflict", "file_ancestor", ..]) => Outcome::Again {
            at: context.later(None),
            failure: Failure::retry(
                "conflict",
                "Dropbox has a file where this path needs a folder; rename one of them, or wait if the file is about to go",
            ),
        },
        (RemoteChange::Upload { .. }, ["path", "conflict", ..]) if context.comes_down => Outcome::Look {
            at: context.later(None),
            failure: Some(Failure::look("conflict", "Dropbox has another version: it is fetched, and both are kept")),
        },
        (RemoteChange::Upload { to, .. }, ["path", "conflict", ..]) if to != context.copy => {
            Outcome::Elsewhere(context.copy.clone())
        }
        // Even the conflicted copy's place holds something else: a person has to look.
        (RemoteChange::Upload { .. }, ["path", "conflict", ..]) => Outcome::Refused(Failure::wedge(
            "conflict",
            "Dropbox has other content here and also where the conflicted copy would go; rename the file to send it",
        )),
        (RemoteChange::Delete { .. } | RemoteChange::DeleteFolder { .. }, ["path_lookup", "not_found", ..]) => {
            Outcome::Settled(None)
        }
        (RemoteChange::Delete { .. }, ["path_write", "conflict", ..]) if context.comes_down => Outcome::Look {
            at: context.later(None),
            failure: Some(Failure::look(
                "conflict",
                "deleted here, but changed in Dropbox since; Dropbox's version is fetched",
            )),
        },
        // It is there already: its own row finds that out from the listing.
        (RemoteChange::CreateFolder { .. }, ["path", "conflict", ..]) => {
            Outcome::Look { at: context.later(None), failure: None }
        }
        // Somebody wrote there after both last agreed: that version is kept, and nothing is agreed on any more.
        (RemoteChange::Delete { .. }, _) if outlived(tags) => Outcome::Settled(None),
        _ => match failure.next {
            Next::Retry { after } => Outcome::Again { at: context.later(after), failure },
            Next::Account => Outcome::Again { at: context.later(None), failure },
            Next::Look => Outcome::Look { at: context.later(None), failure: Some(failure) },
            Next::Wedge if matches!(change.what, RemoteChange::Upload { .. }) => Outcome::Refused(failure),
            Next::Wedge => Outcome::Wedge(failure),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ChangeId, FolderId, JobId, RelPath, Stat, WriteMode};

    fn upload(to: &str) -> Change {
        let stat = Stat { size: 3, mtime_ns: 1, ctime_ns: 1, ino: 1, dev: 1 };
        Change {
            id: ChangeId(1),
            job: JobId(1),
            folder: FolderId(1),
            path: RelPath::parse("a").unwrap(),
            generation: 1,
            attempts: 0,
            what: RemoteChange::Upload {
                session: "s".into(),
                size: 3,
                content_hash: ContentHash([1; 32]),
                stat,
                to: RemotePath::parse(to).unwrap(),
                mode: WriteMode::Add,
            },
        }
    }

    fn delete() -> Change {
        let what = RemoteChange::Delete { path: RemotePath::parse("/a").unwrap(), rev: "1".into() };
        Change { what, ..upload("/a") }
    }

    fn with<R>(f: impl FnOnce(&Context<'_>) -> R) -> R {
        let copy = RemotePath::parse("/copy").unwrap();
        let home = RemotePath::parse("/a").unwrap();
        f(&Context { now: 1_000, backoff: Duration::from_secs(2), home: &home, copy: &copy, comes_down: false })
    }

    #[test]
    fn success_settles_only_with_the_same_bytes() {
        let good = Committed { rev: "2".into(), file_id: None, size: 3, content_hash: Some(ContentHash([1; 32])) };
        let settled = with(|c| committed(&upload("/a"), &good, c));
        assert!(matches!(settled, Outcome::Settled(Some(Base { remote: None, .. }))));
        let copy = with(|c| committed(&upload("/copy"), &good, c));
        assert!(matches!(copy, Outcome::Settled(Some(Base { remote: Some(_), .. }))));
        let bad = Committed { content_hash: Some(ContentHash([2; 32])), ..good.clone() };
        assert!(matches!(with(|c| committed(&upload("/a"), &bad, c)), Outcome::Look { failure: Some(_), .. }));
        let short = Committed { size: 2, content_hash: None, ..good };
        assert!(matches!(with(|c| committed(&upload("/a"), &short, c)), Outcome::Look { .. }));
    }

    #[test]
    fn a_conflict_keeps_both_once() {
        let failure = || Failure::wedge("conflict", "x");
        let first = with(|c| refused(&upload("/a"), &["path", "conflict", "file"], failure(), c));
        assert_eq!(first, Outcome::Elsewhere(RemotePath::parse("/copy").unwrap()));
        let second = with(|c| refused(&upload("/copy"), &["path", "conflict", "file"], failure(), c));
        assert!(matches!(second, Outcome::Refused(_)));
    }

    #[test]
    fn a_retry_is_of_the_commit_and_a_lost_session_of_the_upload() {
        let busy = Failure::retry("rate_limited", "x");
        assert_eq!(
            with(|c| refused(&upload("/a"), &["too_many_write_operations"], busy.clone(), c)),
            Outcome::Again { at: 3_000, failure: busy.clone() }
        );
        let lost = with(|c| refused(&upload("/a"), &["lookup_failed", "not_found"], busy, c));
        assert!(matches!(lost, Outcome::Look { at: 1_000, .. }));
    }

    #[test]
    fn a_deletion_never_takes_what_somebody_else_wrote() {
        let failure = || Failure::retry("other", "x");
        assert_eq!(with(|c| refused(&delete(), &["path_lookup", "not_found"], failure(), c)), Outcome::Settled(None));
        // What they wrote stays, and is no problem: the path is theirs from now on.
        let newer = ["path_write", "conflict", "file"];
        assert!(outlived(&newer));
        assert_eq!(with(|c| refused(&delete(), &newer, failure(), c)), Outcome::Settled(None));
        let forbidden = ["path_write", "no_write_permission"];
        assert!(!outlived(&forbidden));
        assert!(matches!(with(|c| refused(&delete(), &forbidden, failure(), c)), Outcome::Again { .. }));
    }
}
