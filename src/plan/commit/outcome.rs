//! What an entry's result in a batch means for its row.

use std::time::Duration;

use crate::model::{Base, Change, ContentHash, Failure, Next, Outcome, RemoteChange, RemotePath, UnixMs};
use crate::plan::time::retry;

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

/// So many tries in vain, and a conflict that the other side's listing ought to have solved by now is a problem.
const QUIET: u32 = 2;
/// A session that the server has and does not commit is given up after so many tries, and the content sent again.
const SAME_SESSION: u32 = 8;

/// What is needed beside the change itself.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// Now.
    pub now: UnixMs,
    /// Uniform in `0.0..1.0`.
    pub chance: f64,
    /// The path's own place in Dropbox.
    pub home: &'a RemotePath,
    /// The place of the conflicted copy, should one be needed.
    pub copy: &'a RemotePath,
    /// Whether Dropbox's version comes down here: then the listing brings it, and both are kept on the disk first.
    pub comes_down: bool,
    /// The file that stands above the path in Dropbox, if it is known.
    pub obstacle: Option<&'a RemotePath>,
}

impl Context<'_> {
    fn at(&self, wait: Duration) -> UnixMs {
        self.now.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
    }

    /// When a change that was refused is tried again; every try of its path counts.
    fn again(&self, change: &Change, after: Option<Duration>) -> UnixMs {
        self.at(after.unwrap_or_else(|| retry::steady(change.tries, self.chance)))
    }
}

/// Whether it is worth a question which file above a path is in its way, since a person is told of it now.
pub fn asks_for_obstacle(change: &Change, tags: &[&str], comes_down: bool) -> bool {
    matches!(tags, ["path", "conflict", "file_ancestor", ..]) && (!comes_down || change.tries >= QUIET)
}

/// An upload that Dropbox reports as done. It is settled only if what Dropbox holds is what was read.
pub fn committed(change: &Change, done: &Committed, context: &Context<'_>) -> Outcome {
    let RemoteChange::Upload { content_hash, size, stat, to, .. } = &change.what else {
        return Outcome::Settled(None);
    };
    if done.size != *size || done.content_hash.is_some_and(|hash| hash != *content_hash) {
        let failure = Failure::look("bad_content", "Dropbox holds other bytes than were sent; the file is sent again");
        return Outcome::Look { at: context.again(change, None), failure: Some(failure) };
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
    let later = || context.again(change, None);
    match (&change.what, tags) {
        (RemoteChange::Upload { .. }, ["lookup_failed" | "path", "too_large", ..]) => Outcome::Refused(failure),
        (RemoteChange::Upload { .. }, _) if is_of_the_session(tags) => of_the_session(change, tags, context),
        // Where both sides meet, the path waits for the one above it; by then it may be another one.
        (
            RemoteChange::Upload { .. } | RemoteChange::CreateFolder { .. },
            ["path", "conflict", "file_ancestor", ..],
        ) if context.comes_down => Outcome::Keep {
            at: later(),
            failure: (change.tries >= QUIET).then(|| Failure::look("conflict", file_above(change, context))),
        },
        (RemoteChange::Upload { .. }, ["path", "conflict", "file_ancestor", ..]) => {
            Outcome::Again { at: later(), failure: Failure::retry("conflict", file_above(change, context)) }
        }
        (RemoteChange::Upload { .. }, ["path", "conflict", ..]) if context.comes_down => {
            let text = if change.tries < QUIET {
                "Dropbox has another version: it is fetched, and both are kept".to_owned()
            } else {
                in_the_way(change, tags)
            };
            Outcome::Keep { at: later(), failure: Some(Failure::look("conflict", text)) }
        }
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
            at: later(),
            failure: Some(Failure::look(
                "conflict",
                "deleted here, but changed in Dropbox since; Dropbox's version is fetched",
            )),
        },
        // It is there already: its own row finds that out from the listing.
        (RemoteChange::CreateFolder { .. }, ["path", "conflict", ..]) => Outcome::Look {
            at: later(),
            failure: (change.tries >= QUIET).then(|| Failure::look("conflict", in_the_way(change, tags))),
        },
        // Somebody wrote there after both last agreed: that version is kept, and nothing is agreed on any more.
        (RemoteChange::Delete { .. }, _) if outlived(tags) => Outcome::Settled(None),
        // Only what brings bytes needs room: the account is not full for that.
        (what, ["path" | "path_write" | "path_lookup", "insufficient_space", ..])
            if !matches!(what, RemoteChange::Upload { .. } | RemoteChange::Relocate(_)) =>
        {
            let text = "Dropbox says that there is no room for this change, though it needs none: tried again";
            Outcome::Again { at: later(), failure: Failure::retry("quota_full", text) }
        }
        _ => match failure.next {
            Next::Retry { after } => Outcome::Again { at: context.again(change, after), failure },
            Next::Account => Outcome::Again { at: later(), failure },
            Next::Look => Outcome::Look { at: later(), failure: Some(failure) },
            Next::Later => {
                Outcome::Keep { at: context.at(retry::standing(change.tries, context.chance)), failure: Some(failure) }
            }
            Next::Wedge if matches!(change.what, RemoteChange::Upload { .. }) => Outcome::Refused(failure),
            Next::Wedge => Outcome::Wedge(failure),
        },
    }
}

/// Whether the tags of an upload's entry speak of its session, and not of the place.
fn is_of_the_session(tags: &[&str]) -> bool {
    match tags {
        ["lookup_failed" | "content_hash_mismatch" | "payload_too_large", ..] => true,
        [first, ..] => first.starts_with("concurrent_session_"),
        [] => false,
    }
}

/// The session cannot be committed. The bytes go up again if the server has lost some of them; if it has them, they are only asked for.
fn of_the_session(change: &Change, tags: &[&str], context: &Context<'_>) -> Outcome {
    let lost = matches!(
        tags,
        ["lookup_failed", "not_found" | "concurrent_session_missing_data" | "content_hash_mismatch", ..]
            | ["concurrent_session_missing_data" | "content_hash_mismatch", ..]
    );
    let given_up = change.tries.saturating_add(1).is_multiple_of(SAME_SESSION);
    let why = tags.join("/");
    let at = context.again(change, None);
    if lost || given_up {
        let text = format!("the upload session can no longer be committed ({why}); the file is sent again");
        return Outcome::Look { at, failure: Some(Failure::look("session", text)) };
    }
    let text = format!(
        "Dropbox has the file's bytes and does not commit them ({why}); its session is asked, and the commit is tried again"
    );
    Outcome::Keep { at, failure: Some(Failure::look("session", text)) }
}

/// What a person is told of something in the way that no listing shows.
fn in_the_way(change: &Change, tags: &[&str]) -> String {
    let place = change.what.place();
    let what = match tags {
        [.., "folder"] => "a folder",
        [.., "file"] => "another file",
        _ => "something else",
    };
    format!(
        "Dropbox says that {what} is in the way at {place}, and its listing does not show it: look there on Dropbox's site (it may be one that this \
         account may not see), or rename what is here"
    )
}

fn file_above(change: &Change, context: &Context<'_>) -> String {
    match context.obstacle {
        Some(file) => format!(
            "Dropbox has a file at {file}, where this path needs a folder; rename one of them, or wait if the file is about to go"
        ),
        None => format!(
            "Dropbox says that a file stands where a folder above {} is needed, and does not show which; look there on Dropbox's site, or rename \
             what is here",
            change.what.place()
        ),
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
            tries: 0,
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
        f(&Context { now: 1_000, chance: 1.0, home: &home, copy: &copy, comes_down: false, obstacle: None })
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
            Outcome::Again { at: 2_000, failure: busy.clone() }
        );
        let lost = with(|c| refused(&upload("/a"), &["lookup_failed", "not_found"], busy, c));
        assert!(matches!(lost, Outcome::Look { at: 2_000, .. }));
    }

    /// After so many tries of the path, with any number of new sessions between them.
    fn tried(tries: u32, comes_down: bool, tags: &[&str]) -> Outcome {
        let copy = RemotePath::parse("/copy").unwrap();
        let home = RemotePath::parse("/a").unwrap();
        let context = Context { now: 0, chance: 1.0, home: &home, copy: &copy, comes_down, obstacle: None };
        refused(&Change { tries, ..upload("/a") }, tags, Failure::look("x", "x"), &context)
    }

    #[test]
    fn s1_every_refusal_of_a_session_counts_and_only_lost_content_goes_again() {
        for (tags, again) in [
            ("lookup_failed/not_found", true),
            ("concurrent_session_missing_data", true),
            ("content_hash_mismatch", true),
            ("lookup_failed/incorrect_offset", false),
            ("lookup_failed/closed", false),
            ("lookup_failed/not_closed", false),
            ("lookup_failed/something_new", false),
            ("payload_too_large", false),
            ("concurrent_session_not_closed", false),
            ("concurrent_session_data_not_allowed", false),
        ] {
            let tags: Vec<&str> = tags.split('/').collect();
            for (tries, wait) in [(0, 1_000), (1, 2_000), (5, 32_000), (99, 300_000)] {
                match tried(tries, false, &tags) {
                    Outcome::Look { at, failure: Some(_) } => assert!(again && at == wait, "{tags:?} {tries}"),
                    Outcome::Keep { at, failure: Some(_) } => assert!(!again && at == wait, "{tags:?} {tries}"),
                    other => panic!("{tags:?} {tries}: {other:?}"),
                }
            }
            // A session that is there and of no use is given up in the end.
            assert!(matches!(tried(SAME_SESSION - 1, false, &tags), Outcome::Look { .. }), "{tags:?}");
        }
        assert!(matches!(tried(0, false, &["lookup_failed", "too_large"]), Outcome::Refused(_)));
    }

    #[test]
    fn s2_a_conflict_that_no_listing_shows_is_slow_and_told_with_its_place() {
        let text = |outcome: Outcome| match outcome {
            Outcome::Keep { at, failure } => (at, failure.map(|f| f.text)),
            other => panic!("{other:?}"),
        };
        let (at, first) = text(tried(0, true, &["path", "conflict", "folder"]));
        assert!(at == 1_000 && first.is_some_and(|text| text.contains("fetched")));
        let (at, told) = text(tried(4, true, &["path", "conflict", "folder"]));
        assert!(at == 16_000 && told.is_some_and(|text| text.contains("a folder") && text.contains("/a")));
        assert_eq!(text(tried(0, true, &["path", "conflict", "file_ancestor"])), (1_000, None));
        let (at, told) = text(tried(4, true, &["path", "conflict", "file_ancestor"]));
        assert!(at == 16_000 && told.is_some_and(|text| text.contains("/a")));
    }

    #[test]
    fn c9_a_refusal_that_may_be_lifted_is_tried_again_and_keeps_its_session() {
        let copy = RemotePath::parse("/copy").unwrap();
        let home = RemotePath::parse("/a").unwrap();
        let context = Context { now: 0, chance: 1.0, home: &home, copy: &copy, comes_down: true, obstacle: None };
        for (tries, wait) in [(0, 15_000), (1, 30_000), (99, 3_600_000)] {
            let change = Change { tries, ..upload("/a") };
            let outcome =
                refused(&change, &["path", "no_write_permission"], Failure::later("permission", "x"), &context);
            assert!(matches!(outcome, Outcome::Keep { at, failure: Some(_) } if at == wait), "{outcome:?}");
        }
    }

    #[test]
    fn r3_a_deletion_or_a_folder_needs_no_room() {
        let full = || Failure::account("quota_full", "x");
        for what in [
            RemoteChange::Delete { path: RemotePath::parse("/a").unwrap(), rev: "1".into() },
            RemoteChange::CreateFolder { path: RemotePath::parse("/a").unwrap() },
        ] {
            let change = Change { what, ..upload("/a") };
            let outcome = with(|c| refused(&change, &["path_write", "insufficient_space"], full(), c));
            assert!(matches!(outcome, Outcome::Again { failure, .. } if failure.next != Next::Account));
        }
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
