//! Directories and folders: what waits for a file above it, and how a directory, or a folder, comes and goes.

use super::Answer;
use super::blocked;
use super::decision::{Action, Decision, Verdict, WaitFor};
use super::facts::{Facts, Need, known};
use crate::model::{Agreed, Local, Remote, WriteMode};
use crate::plan::name::allowed;

/// What becomes of a new file where Dropbox still has a file in the place of a directory above it: that is on its way out, or this path is moved aside.
pub(super) fn below_a_file(facts: &Facts, verdict: &Verdict) -> Result<Option<Decision>, Need> {
    let is_new = matches!(verdict, Verdict::Upload(WriteMode::Add) | Verdict::AdoptOrUpload(WriteMode::Add));
    if !is_new || !*known(&facts.found.file_above, || Need::FileAbove { beyond: false })? {
        return Ok(None);
    }
    // Forgotten, so that the directory above holds nothing but news, and stands aside.
    Ok(Some(match facts.base {
        Some(_) => Decision::Do(Action::Forget),
        None => above(facts),
    }))
}

fn above(facts: &Facts) -> Decision {
    Decision::Later(WaitFor::Path(facts.path.parent().unwrap_or_default()))
}

/// A directory that was agreed on, and that Dropbox has no longer.
pub(super) fn remove(facts: &Facts) -> Answer {
    // A file took the folder's place in Dropbox, and here are files in it that are not known there: they cannot go up below a file.
    if matches!(facts.remote, Remote::File { .. }) && holds_news(facts)? {
        return Ok(Decision::Do(Action::MoveAside));
    }
    Ok(Decision::Do(Action::RemoveDir))
}

/// Whether the directory holds files, and none of them was agreed on: those go by themselves. After a while it is whatever it holds.
fn holds_news(facts: &Facts) -> Result<bool, Need> {
    let below = *known(&facts.found.local_below, || Need::LocalBelow)?;
    if below.anything && is_stuck_for_good(facts)? {
        return Ok(true);
    }
    Ok(!below.agreed && below.files)
}

/// Whether paths have waited for each other for long, and it is not our own changes of what was agreed on that they wait for: those are no other
/// device's version, and may be held for as long as a person takes.
fn is_stuck_for_good(facts: &Facts) -> Result<bool, Need> {
    Ok(facts.is_stuck() && !*known(&facts.found.changes_below, || Need::ChangesBelow)?)
}

/// A directory becomes a folder in Dropbox with the first file in it that is committed; an empty one has to be made.
pub(super) fn create(facts: &Facts) -> Answer {
    // Dropbox refuses a folder below a file. That file is about to be deleted there, or to make room for the directory that stands here.
    if *known(&facts.found.file_beyond, || Need::FileAbove { beyond: true })? {
        return Ok(above(facts));
    }
    if let Some(failure) = allowed::disallowed(&facts.path) {
        return Ok(Decision::Blocked(failure));
    }
    Ok(Decision::Do(match *known(&facts.found.names, || Need::Names)? {
        true => Action::Nothing,
        false => Action::CreateFolder,
    }))
}

/// A directory that was agreed on, and is not here any more: its folder goes in one entry, and only when no file is left in it, none that was agreed on and
/// none that the listing shows.
///
/// | here | agreed below | Dropbox has files below | then |
/// |---|---|---|---|
/// | absent, but here in other letters | any | any | it was only renamed: what was agreed on under the old letters goes |
/// | file | any | any, and a deletion failed already, for long | move the file aside |
/// | any | none | none | delete the folder |
/// | file | none, or all of them changed in Dropbox | some | move the file aside: an edit beats a deletion |
/// | absent | none | some that never come down | blocked, with what they are |
/// | any | none | some, and nothing below is on its way | blocked: the folder stays |
/// | any | any | not known yet | wait for the listing |
/// | any | any | any | wait for what is below |
pub(super) fn delete(facts: &Facts) -> Answer {
    if facts.local == Local::Absent && *known(&facts.found.in_letters, || Need::InLetters)? {
        return Ok(Decision::Do(Action::Relettered));
    }
    let is_file = matches!(facts.local, Local::File(_));
    let below = *known(&facts.found.remote_below, || Need::RemoteBelow)?;
    // What another device put into it was found just before its deletion, and cannot come down where a file stands.
    if is_file && facts.attempts > 0 && is_stuck_for_good(facts)? {
        return Ok(Decision::Do(Action::MoveAside));
    }
    match (below.agreed, below.files) {
        (_, None) => Ok(Decision::Later(WaitFor::Listing)),
        (false, Some(false)) => Ok(Decision::Do(Action::DeleteFolder)),
        // Somebody put files into it that were never here, or changed those that were: the folder stays, since an edit beats a deletion, and the
        // file in its place here stands aside.
        (agreed, Some(true)) if is_file && (!agreed || are_theirs(facts)? || is_stuck_for_good(facts)?) => {
            Ok(Decision::Do(Action::MoveAside))
        }
        (false, Some(true)) => remains(facts),
        (true, _) => Ok(Decision::Later(WaitFor::Below)),
    }
}

/// What is left in the folder was never agreed on here: it is on its way down, or never comes.
fn remains(facts: &Facts) -> Answer {
    if facts.local == Local::Absent
        && let Some(failure) = known(&facts.found.stays, || Need::Stays)?
    {
        return Ok(Decision::Blocked(failure.clone()));
    }
    Ok(match *known(&facts.found.moves_below, || Need::MovesBelow)? {
        true => Decision::Later(WaitFor::Below),
        // Nor do they come down: ignored here, or a problem of their own.
        false => Decision::Blocked(blocked::stays()),
    })
}

/// Whether all files below that were agreed on have to come down, and none of them goes by itself.
fn are_theirs(facts: &Facts) -> Result<bool, Need> {
    known(&facts.found.theirs_below, || Need::TheirsBelow).copied()
}

/// Whether a directory is agreed on.
pub(super) fn is_agreed(facts: &Facts) -> bool {
    match facts.local {
        Local::Dir => facts.agreed() == Agreed::Dir,
        Local::File(_) => facts.base.is_some(),
        Local::Absent | Local::Other(_) | Local::Unknown(_) => false,
    }
}
