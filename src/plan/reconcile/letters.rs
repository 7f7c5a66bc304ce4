//! Names that differ in their letters only: to Dropbox they are one, and here they may be two.

use super::Answer;
use super::blocked::case_clash;
use super::decision::{Action, Decision, WaitFor};
use super::facts::{Facts, Need, Twin, known};
use super::folders::is_agreed;

/// What was renamed in Dropbox in its letters only gets them here, too: by a rename, with whatever was written into it meanwhile. `None`: there is nothing
/// of the kind to be done, or another thing has the name here.
///
/// What is worked on below it, or a listing that has yet to catch up, is waited for, but not for ever: what is held below it may be held for long, and then
/// it keeps its letters.
pub(super) fn respelled(facts: &Facts) -> Result<Option<Decision>, Need> {
    let Some(letters) = known(&facts.found.letters, || Need::Letters)? else { return Ok(None) };
    // Renamed here, too: that goes up.
    if !is_agreed(facts) || !letters.applies || letters.is_taken {
        return Ok(None);
    }
    Ok(match (letters.works_below || facts.late, facts.is_stuck()) {
        (false, _) => Some(Decision::Do(Action::Respell(letters.to.clone()))),
        (true, false) => Some(Decision::Later(WaitFor::Path(letters.to.clone()))),
        (true, true) => None,
    })
}

/// What comes down to where its directory is not, but is here in other letters, belongs into that one. What was agreed on under letters that are not here
/// any more counts for nothing.
pub(super) fn placed(facts: &Facts) -> Result<Option<Decision>, Need> {
    let Some(place) = known(&facts.found.place, || Need::Place)? else { return Ok(None) };
    // If its directory was renamed a moment ago, that is agreed on first.
    if !place.agreed && !facts.is_stuck() {
        return Ok(Some(Decision::Later(WaitFor::Path(place.path.clone()))));
    }
    Ok(Some(Decision::Do(match facts.base {
        None => Action::Rather(place.path.clone()),
        Some(_) => Action::Forget,
    })))
}

/// A directory here and a folder there are one, unless another directory here was agreed on as that folder. A disk that takes names in other letters for
/// each other shows the same directory under both.
pub(super) fn agree(facts: &Facts) -> Answer {
    Ok(match known(&facts.found.twin_directory, || Need::TwinDirectory)? {
        Twin::None => Decision::Do(Action::AgreeDir),
        Twin::Shown => Decision::Do(Action::Nothing),
        Twin::Beside(other) => Decision::Blocked(case_clash(other)),
    })
}
