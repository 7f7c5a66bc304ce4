//! Whether a file or a directory goes on the disk because it went in Dropbox: the last look at its path, and what follows from the try.
//!
//! The guard has consented ([`consent`](crate::plan::delete::consent)). A file goes only as it was synced, to the last stat, and only to the trash; a
//! directory only if nothing is in it.

use crate::model::{Failure, Local, Outcome, Remote, UnixMs};

/// A directory whose content is on its way out is tried again after this long, in ms.
const DIR_AGAIN_MS: UnixMs = 500;
/// What the disk refuses is tried again after this long, in ms.
const FAILED_MS: UnixMs = 10_000;

/// What is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A file.
    File,
    /// A directory.
    Dir,
}

/// Whether Dropbox still has nothing there, as far as the listing goes; `None`: it cannot say at the moment.
pub fn still_gone(target: Target, remote: &Remote) -> Option<bool> {
    match remote {
        Remote::Absent => Some(true),
        // A folder in a file's place, a file in a folder's: what was here is gone all the same.
        Remote::Folder => Some(target == Target::File),
        Remote::File { .. } => Some(target == Target::Dir),
        Remote::Unlisted => None,
    }
}

/// Whether a removal is still meant while it waits: whether it may go is asked when it goes. An answer that could not be had is an `Err`, and refuses.
pub fn is_meant<E>(target: Target, remote: Result<&Remote, E>) -> bool {
    remote.is_ok_and(|remote| still_gone(target, remote) != Some(false))
}

/// What is known right before the removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts<'a> {
    /// What is to go.
    pub target: Target,
    /// What the listing shows there.
    pub remote: &'a Remote,
    /// The folder's root is the one that was synced, or why it is not.
    pub root: Result<(), Failure>,
    /// Whether base still has the file. Of a directory it is not asked.
    pub synced: bool,
}

/// It does not go now: its path is looked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// After so long, in ms.
    pub after: UnixMs,
    /// Why, if that is worth telling.
    pub failure: Option<Failure>,
}

impl Again {
    /// What becomes of the change.
    pub fn outcome(self, now: UnixMs) -> Outcome {
        Outcome::Look { at: now.saturating_add(self.after), failure: self.failure }
    }
}

/// Whether it may go.
///
/// # Errors
/// It may not.
pub fn may_go(facts: Facts<'_>) -> Result<(), Again> {
    let again = |after, failure| Err(Again { after, failure });
    match (still_gone(facts.target, facts.remote), facts.root) {
        // It is there again.
        (Some(false), _) => again(0, None),
        (None, _) => again(DIR_AGAIN_MS, None),
        // An unmounted disk shows an empty directory where the folder was.
        (Some(true), Err(failure)) => again(0, Some(failure)),
        // It belongs to another path by now, or was never synced.
        (Some(true), Ok(())) if facts.target == Target::File && !facts.synced => again(0, None),
        (Some(true), Ok(())) => Ok(()),
    }
}

/// What came of the try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// It is gone.
    Gone,
    /// The directory holds something.
    NotEmpty {
        /// All of that is of the kind that is never synced: it will not go.
        only_unsynced: bool,
        /// Something below it is yet to be decided, so that it may be empty in a moment.
        undecided: bool,
    },
    /// It is not what was synced.
    Changed,
    /// The disk refused.
    Failed(Failure),
}

/// What becomes of the change.
pub fn outcome(tried: Tried, now: UnixMs) -> Outcome {
    let again = |after: UnixMs, failure| Outcome::Look { at: now.saturating_add(after), failure };
    match tried {
        Tried::Gone => Outcome::Settled(None),
        Tried::NotEmpty { only_unsynced: false, undecided: true } => again(DIR_AGAIN_MS, None),
        Tried::NotEmpty { .. } => Outcome::Wedge(kept()),
        Tried::Changed => again(0, None),
        Tried::Failed(failure) => again(FAILED_MS, Some(failure)),
    }
}

/// Whether a path that went holds something else by now (a directory in a file's place, say): if it were settled, its row would be gone, and what is
/// there would never be looked at. `remote` is the listing's word after a removal here only: after a deletion in Dropbox the
/// listing may still show what went.
pub fn is_replaced(here: &Local, remote: Option<&Remote>) -> bool {
    *here != Local::Absent || matches!(remote, Some(Remote::File { .. } | Remote::Folder))
}

/// The failure of a directory that stays although its folder is gone.
fn kept() -> Failure {
    Failure::wedge(
        "dir_kept",
        "its folder is gone in Dropbox, and here it stays because of what is in it and is not synced (ignored, of no synced kind, or a problem of its \
         own): remove that if it is not needed",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Remote {
        Remote::File { content_hash: None, rev: "1".into(), size: 1, id: "a".into() }
    }

    #[test]
    fn only_what_dropbox_does_not_have_and_the_right_root_goes() {
        let trouble = || Failure::retry("root_missing", "x");
        for target in [Target::File, Target::Dir] {
            for (remote, gone) in [
                (Remote::Absent, Some(true)),
                (Remote::Unlisted, None),
                (Remote::Folder, Some(target == Target::File)),
                (file(), Some(target == Target::Dir)),
            ] {
                assert_eq!(still_gone(target, &remote), gone);
                assert_eq!(is_meant::<()>(target, Ok(&remote)), gone != Some(false));
                assert!(!is_meant(target, Err(())));
                for root in [Ok(()), Err(trouble())] {
                    for synced in [true, false] {
                        let facts = Facts { target, remote: &remote, root: root.clone(), synced };
                        let look = |after, failure| Err(Again { after, failure });
                        let expected = match (gone, &root) {
                            (Some(false), _) => look(0, None),
                            (None, _) => look(DIR_AGAIN_MS, None),
                            (_, Err(failure)) => look(0, Some(failure.clone())),
                            _ if target == Target::File && !synced => look(0, None),
                            _ => Ok(()),
                        };
                        assert_eq!(may_go(facts), expected);
                    }
                }
            }
        }
    }

    #[test]
    fn what_stays_is_tried_again_or_told() {
        let not_empty = |only_unsynced, undecided| outcome(Tried::NotEmpty { only_unsynced, undecided }, 5);
        assert_eq!(not_empty(false, true), Outcome::Look { at: 5 + DIR_AGAIN_MS, failure: None });
        for (only_unsynced, undecided) in [(true, true), (true, false), (false, false)] {
            assert!(matches!(not_empty(only_unsynced, undecided), Outcome::Wedge(f) if f.code == "dir_kept"));
        }
        assert_eq!(outcome(Tried::Gone, 5), Outcome::Settled(None));
        assert_eq!(outcome(Tried::Changed, 5), Outcome::Look { at: 5, failure: None });
        let failure = Failure::retry("io_error", "x");
        let failed = Outcome::Look { at: 5 + FAILED_MS, failure: Some(failure.clone()) };
        assert_eq!(outcome(Tried::Failed(failure), 5), failed);
    }

    #[test]
    fn what_stands_where_something_went_is_looked_at() {
        assert!(!is_replaced(&Local::Absent, None));
        assert!(!is_replaced(&Local::Absent, Some(&Remote::Absent)));
        assert!(!is_replaced(&Local::Absent, Some(&Remote::Unlisted)));
        assert!(is_replaced(&Local::Absent, Some(&file())) && is_replaced(&Local::Absent, Some(&Remote::Folder)));
        for here in [Local::Dir, Local::Other("a symlink"), Local::Unknown(Failure::retry("io_error", "x"))] {
            assert!(is_replaced(&here, None), "what cannot be seen is looked at, too: {here:?}");
        }
    }
}
