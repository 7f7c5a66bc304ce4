//! Whether a path is lost in silence: its views differ, and it has no row, no hold and no problem.
//!
//! That must not be. Should it be all the same, the look at rest finds it (`engine/overlooked`): at rest, what is to be done about a path without a row is
//! nothing. What stays so after two looks is put into the queue, and told.

use super::decision::{Action, Decision, WaitFor};
use crate::model::{Base, Local, Remote};

/// Whether a decision about a path without a row says that one is missing.
///
/// | decision | missing |
/// |---|---|
/// | nothing; wait for the listing, or for a person | no: there is nothing to be done, or others make the row |
/// | anything, where the path cannot be looked at | no: the scan that sees it again makes the row |
/// | take Dropbox's revision | no, if the file is as it was agreed on: both sides hold the same |
/// | create the folder | no: it comes with the first file in it |
/// | anything else, any other wait among it: what waits has a row | yes |
///
/// `listed`: only Dropbox has told of it; what has gone from there again is no news.
pub fn is_missing(decision: &Decision, local: &Local, base: Option<&Base>, remote: &Remote, listed: bool) -> bool {
    match decision {
        _ if matches!(local, Local::Unknown(_)) => false,
        Decision::Do(Action::Nothing | Action::CreateFolder)
        | Decision::Later(WaitFor::Listing | WaitFor::Approval) => false,
        Decision::Do(Action::Adopt(now)) if base.is_some_and(|base| base.stat == now.stat) => false,
        _ => !listed || matches!(remote, Remote::File { .. } | Remote::Folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContentHash, Failure, RelPath, Stat, WriteMode};

    #[test]
    fn c2_what_a_path_without_a_row_may_come_to() {
        let there = Remote::File { content_hash: None, rev: "1".into(), size: 1, id: "id:x".into() };
        let base = |n| Base {
            stat: Stat { size: 1, mtime_ns: n, ctime_ns: n, ino: 1, dev: 1 },
            content_hash: ContentHash([0; 32]),
            rev: "1".into(),
            file_id: None,
            remote: None,
        };
        let missing = |decision: &Decision, remote: &Remote, listed| {
            is_missing(decision, &Local::Dir, Some(&base(1)), remote, listed)
        };
        for quiet in [
            Decision::Do(Action::Nothing),
            Decision::Do(Action::Adopt(Box::new(base(1)))),
            Decision::Do(Action::CreateFolder),
            Decision::Later(WaitFor::Listing),
            Decision::Later(WaitFor::Approval),
        ] {
            assert!(!missing(&quiet, &there, false), "{quiet:?}");
        }
        for lost in [
            Decision::Do(Action::Upload(WriteMode::Add)),
            Decision::Do(Action::Adopt(Box::new(base(2)))),
            Decision::Do(Action::Compare),
            Decision::Do(Action::Delete { rev: "1".into() }),
            Decision::Do(Action::DeleteFolder),
            Decision::Do(Action::RemoveDir),
            Decision::Do(Action::Trash { rev: "1".into() }),
            Decision::Do(Action::MakeDir),
            Decision::Do(Action::AgreeDir),
            Decision::Do(Action::Forget),
            Decision::Do(Action::Unsync),
            Decision::Later(WaitFor::Path(RelPath::root())),
            Decision::Later(WaitFor::Below),
            Decision::Later(WaitFor::Rename),
            Decision::Blocked(Failure::wedge("busy", "x")),
        ] {
            assert!(missing(&lost, &there, false), "{lost:?}");
            assert!(missing(&lost, &there, true), "{lost:?}");
            assert!(!missing(&lost, &Remote::Absent, true), "it has gone again: {lost:?}");
            let unseen = Local::Unknown(Failure::retry("busy", "x"));
            assert!(!is_missing(&lost, &unseen, None, &there, false), "{lost:?}");
        }
    }
}
