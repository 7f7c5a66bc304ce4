//! Whether a path is lost in silence: its views differ, and it has no row, no hold and no problem.
//!
//! That must not be. Should it be all the same, the look at rest finds it (`engine/overlooked`): at rest, what is to be done about a path without a row is
//! nothing. What stays so after two looks is put into the queue, and told.

use crate::model::Remote;
use crate::plan::reconcile::Action;

/// Whether an action for a path without a row says that one is missing.
///
/// | action | missing |
/// |---|---|
/// | nothing, wait | no: there is nothing to be done, or the listing has yet to say |
/// | put off | no: it cannot be seen, and the scan that sees it again makes the row |
/// | take Dropbox's revision | no: both sides hold the same |
/// | create the folder | no: it comes with the first file in it |
/// | anything else | yes |
///
/// `listed`: only Dropbox has told of it; what has gone from there again is no news.
pub fn is_missing(action: &Action, remote: &Remote, listed: bool) -> bool {
    match action {
        Action::Nothing | Action::Wait | Action::PutOff(_) | Action::Adopt { .. } | Action::CreateFolder => false,
        _ => !listed || matches!(remote, Remote::File { .. } | Remote::Folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Failure, WriteMode};

    #[test]
    fn c2_what_a_path_without_a_row_may_come_to() {
        let there = Remote::File { content_hash: None, rev: "1".into(), size: 1, id: "id:x".into() };
        let missing = |action: Action| is_missing(&action, &there, false);
        let failure = || Failure::retry("busy", "x");
        for quiet in [
            Action::Nothing,
            Action::Wait,
            Action::PutOff(failure()),
            Action::Adopt { rev: "1".into() },
            Action::CreateFolder,
        ] {
            assert!(!missing(quiet.clone()), "{quiet:?}");
        }
        for lost in [
            Action::Upload(WriteMode::Add),
            Action::Compare,
            Action::Delete { rev: "1".into() },
            Action::DeleteFolder,
            Action::RemoveDir,
            Action::Trash,
            Action::MakeDir,
            Action::AgreeDir,
            Action::Forget,
            Action::Wedge(failure()),
        ] {
            assert!(missing(lost.clone()), "{lost:?}");
            assert!(is_missing(&lost, &there, true), "{lost:?}");
            assert!(!is_missing(&lost, &Remote::Absent, true), "it has gone again: {lost:?}");
        }
    }
}
