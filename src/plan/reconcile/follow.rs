//! Downloads that are renames: a file that was moved in Dropbox is moved here, too, and nothing is fetched.

use super::Answer;
use super::decision::{Action, Decision, Follow, WaitFor, Wanted};
use super::facts::{Facts, Need, known};
use crate::model::{Local, Remote};

/// Dropbox's file comes down, unless it is one that is here already under another name.
///
/// | the path that was agreed on as this file | then |
/// |---|---|
/// | none | download |
/// | this name in other letters | nothing: it is here, in the letters of whoever renamed it last. Renamed once more, each name's row would take it from the other; where it is not there either, a directory above it got other letters, and that one's row finds it |
/// | cannot be looked at, or Dropbox's side of it is not known yet | wait |
/// | not here any more, or still a file in Dropbox | download |
/// | gone in Dropbox, and shown there in exactly its letters | nothing: a twin of it was here for a while, and Dropbox's file is where it was |
/// | gone in Dropbox, and the new directory is here in other letters | wait: that is decided first |
/// | gone in Dropbox, or a folder is in its place | the local file goes along |
pub(super) fn download(facts: &Facts, wanted: Wanted) -> Answer {
    if facts.base.is_some() || facts.local != Local::Absent {
        return Ok(Decision::Do(Action::Download(wanted)));
    }
    let Some(old) = known(&facts.found.old_place, || Need::OldPlace(wanted.id.clone()))? else {
        return Ok(Decision::Do(Action::Download(wanted)));
    };
    if old.same_name {
        return Ok(Decision::Do(Action::Nothing));
    }
    let stat = match old.local {
        Local::File(stat) => stat,
        Local::Unknown(_) => return Ok(Decision::Later(WaitFor::Path(old.path.clone()))),
        Local::Absent | Local::Dir | Local::Other(_) => return Ok(Decision::Do(Action::Download(wanted))),
    };
    Ok(match old.remote {
        Remote::Unlisted => Decision::Later(WaitFor::Listing),
        Remote::File { .. } => Decision::Do(Action::Download(wanted)),
        Remote::Absent if old.shown => Decision::Do(Action::Nothing),
        Remote::Absent | Remote::Folder if old.respelled => Decision::Later(WaitFor::Path(old.path.clone())),
        Remote::Absent | Remote::Folder => Decision::Do(Action::Follow(Box::new(Follow {
            from: old.path.clone(),
            stat,
            base: old.base.clone(),
            wanted,
        }))),
    })
}
