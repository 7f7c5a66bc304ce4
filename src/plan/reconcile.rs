//! What is to be done about one path: the only place where that is decided.
//!
//! [`decide`] is pure and total. It is given the [`Facts`] that are known, and answers with something to do, with a wait, with a problem, or with the one
//! fact that it needs next; whoever asks gathers that, and asks again. The workers, `explain`, `plan` and the look at rest all ask in this way, so that
//! none of them can say anything else than what is done. A fact that cannot be gathered is an error of the gathering, and never an answer.
//!
//! It goes from the views outwards: the [verdict](decision::Verdict) of the three views (`one_way`, [`two_way`]), what Dropbox says of the path's nature
//! (`marks`), whether it was only renamed, and then what is around it: names in other letters (`letters`), directories and folders (`folders`),
//! renames in Dropbox (`follow`), and what a file must pass before it goes up ([`sending`]).

pub mod blocked;
pub mod decision;
pub mod describe;
pub mod diff;
pub mod facts;
mod folders;
mod follow;
mod letters;
mod marks;
mod one_way;
pub mod overlooked;
pub mod sending;
pub mod two_way;

pub use self::decision::{Action, Decision, Verdict, WaitFor, Wanted};
use self::facts::{Content, Gate, Rename, known};
pub use self::facts::{Facts, Need};
use crate::model::{Agreed, Base, Failure, Local, Mode, Remote};
use crate::plan::name::ignore::{NESTED, Source, Why};

/// A decision, or what is missing for it.
type Answer = Result<Decision, Need>;

/// What is to be done about a path.
pub fn decide(facts: &Facts) -> Decision {
    answer(facts).unwrap_or_else(Decision::Need)
}

fn answer(facts: &Facts) -> Answer {
    // Whatever is believed gone is believed only of the folder that was synced; and a file that is there is not read from another one either.
    if let Some(failure) = &facts.untrusted {
        return Ok(Decision::Blocked(failure.clone()));
    }
    let news = differs_there(facts.agreed(), &facts.remote, facts.mode);
    if let Some(why) = &facts.ignored {
        return Ok(unsynced(facts, why, news));
    }
    // K6: behind a symlink everything may be as it was; the link itself is the problem.
    let is_behind = matches!(&facts.local, Local::Unknown(failure) if failure.code == "type");
    let is_silent = matches!(facts.local, Local::Other("symlink")) && !facts.report_symlinks;
    if is_behind && !news || is_silent {
        return Ok(Decision::Do(Action::Nothing));
    }
    let mut verdict = table(facts);
    let mut read_only = false;
    if marks::matter(&verdict) {
        let marks = *known(&facts.found.marks, || Need::Marks)?;
        read_only = marks.read_only;
        verdict = marks::permitted(verdict, &facts.local, marks, facts.mode, facts.report_symlinks);
    }
    // What the listing was told to leave out is not deleted by what goes here.
    let deletes = matches!(verdict, Verdict::Delete { .. } | Verdict::DeleteFolder);
    if deletes && facts.mode.brings_down() && *known(&facts.found.hidden, || Need::Hidden)? {
        verdict = Verdict::Forget;
    }
    if !read_only {
        match known(&facts.found.rename, || Need::Rename(verdict.clone()))? {
            Rename::No => {}
            Rename::Wait => return Ok(Decision::Later(WaitFor::Rename)),
            Rename::IsHere => return Ok(Decision::Do(Action::Nothing)),
            Rename::Rather(path) => return Ok(Decision::Do(Action::Rather(path.clone()))),
            Rename::Forget => return Ok(Decision::Do(Action::Forget)),
        }
    }
    if facts.mode.brings_down() { both_ways(facts, verdict, read_only) } else { upwards(facts, verdict, read_only) }
}

/// What the three views say.
fn table(facts: &Facts) -> Verdict {
    match (facts.mode, facts.agreed()) {
        (Mode::TwoWay | Mode::Download, agreed) => two_way::table(&facts.local, agreed, &facts.remote, facts.mode),
        (Mode::Backup | Mode::Mirror, Agreed::File(base)) => {
            one_way::table(&facts.local, Some(base), &facts.remote, facts.mode)
        }
        // A directory that was agreed on when the folder was two-way: upwards, directories are not synced.
        (Mode::Backup | Mode::Mirror, Agreed::Nothing | Agreed::Dir) => {
            one_way::table(&facts.local, None, &facts.remote, facts.mode)
        }
    }
}

/// What becomes of a path that is not synced; `news`: Dropbox has another thing there than was agreed on, and it would come down.
fn unsynced(facts: &Facts, why: &Why, news: bool) -> Decision {
    match &why.source {
        Source::Unreadable(_, failure) if news && failure.code == "type" => Decision::Blocked(failure.clone()),
        // It may be synced again in a moment. A change here is found by a scan then; of one in Dropbox only this row knows. What is below a symlink, or
        // is another daemon's, is told where that begins, and does not matter until it ends.
        Source::Unreadable(_, failure)
            if facts.mode.brings_down() && ![NESTED, "type"].contains(&failure.code.as_str()) =>
        {
            let text = format!("its directory cannot be read: {}", failure.text);
            Decision::Blocked(Failure::retry(&failure.code, text))
        }
        Source::Unreadable(..) => Decision::Do(Action::Nothing),
        _ if facts.agreed() != Agreed::Nothing => Decision::Do(Action::Unsync),
        _ => Decision::Do(Action::Nothing),
    }
}

/// In a folder whose changes only go up.
fn upwards(facts: &Facts, verdict: Verdict, read_only: bool) -> Answer {
    let unchanged = verdict == Verdict::Nothing && facts.base.is_some();
    let goes_up = matches!(verdict, Verdict::Upload(_) | Verdict::AdoptOrUpload(_));
    // It was moved with its folder, and its revision there is known soon; or it was sent, and the listing shows that soon. What was sent and has changed
    // here since goes up over the revision that it was sent as: a listing that fails does not hold it up.
    if facts.late && (unchanged || goes_up && !facts.sent) {
        return Ok(Decision::Later(WaitFor::Listing));
    }
    match verdict {
        Verdict::Upload(_) | Verdict::AdoptOrUpload(_) => sending::send(facts, verdict, read_only),
        Verdict::Adopt { rev } => Ok(adopted(facts, rev)),
        Verdict::Delete { rev } => Ok(deleted(facts, rev)),
        Verdict::Wedge(failure) | Verdict::PutOff(failure) => Ok(Decision::Blocked(failure)),
        // Those of the ways down, which the table gives to no other folder.
        Verdict::Nothing
        | Verdict::Download(_)
        | Verdict::Compare
        | Verdict::MoveAside
        | Verdict::Trash
        | Verdict::RemoveDir
        | Verdict::MakeDir
        | Verdict::AgreeDir
        | Verdict::CreateFolder
        | Verdict::DeleteFolder
        | Verdict::Forget
        | Verdict::Wait => Ok(Decision::Do(Action::Nothing)),
    }
}

/// In a folder whose remote changes come down.
fn both_ways(facts: &Facts, verdict: Verdict, read_only: bool) -> Answer {
    if facts.base.is_none()
        && matches!(facts.remote, Remote::File { .. } | Remote::Folder)
        && let Some(failure) = known(&facts.found.case_conflict, || Need::CaseConflict)?
    {
        return Ok(Decision::Blocked(failure.clone()));
    }
    if let Some(decision) = letters::respelled(facts)? {
        return Ok(decision);
    }
    let comes = matches!(verdict, Verdict::Download(_) | Verdict::MakeDir | Verdict::Nothing);
    if comes
        && facts.local == Local::Absent
        && let Some(decision) = letters::placed(facts)?
    {
        return Ok(decision);
    }
    let stays = matches!(verdict, Verdict::Upload(_) | Verdict::AdoptOrUpload(_) | Verdict::Compare | Verdict::Nothing);
    if stays && let Some(base) = installed(facts)? {
        return Ok(Decision::Do(Action::Renew(Box::new(base))));
    }
    match verdict {
        Verdict::Compare => compare(facts, read_only),
        verdict => settle(facts, verdict, read_only),
    }
}

/// What is agreed on, if the file is what came down before a kill, and has not been written to since: the row was not settled then.
fn installed(facts: &Facts) -> Result<Option<Base>, Need> {
    let Local::File(stat) = facts.local else { return Ok(None) };
    if facts.base.as_ref().is_some_and(|base| base.stat == stat) {
        return Ok(None);
    }
    let Some(came) = known(&facts.found.installed, || Need::Installed)? else { return Ok(None) };
    Ok(match known(&facts.found.installed_hash, || Need::InstalledHash)? {
        Content::Is(hash) if *hash == came.content_hash => Some(Base {
            stat,
            content_hash: *hash,
            rev: came.rev.clone(),
            file_id: Some(came.file_id.clone()),
            remote: None,
        }),
        Content::Is(_) | Content::NotRead => None,
    })
}

/// Reads the file, and goes on from what it holds.
fn compare(facts: &Facts, read_only: bool) -> Answer {
    let Local::File(stat) = facts.local else { return Ok(Decision::Later(WaitFor::Listing)) };
    let id = match &facts.remote {
        Remote::File { id, .. } if facts.base.is_none() => Some(id),
        _ => None,
    };
    if let Some(id) = id
        && let Some(decision) = sending::twin(facts, id)?
    {
        return Ok(decision);
    }
    let hash = match known(&facts.found.content_hash, || Need::ContentHash)? {
        Content::Is(hash) => *hash,
        Content::NotRead => return Ok(Decision::Do(Action::Compare)),
    };
    match (two_way::compared(&hash, facts.base.as_ref(), &facts.remote, facts.mode), &facts.remote) {
        (Verdict::Adopt { rev }, Remote::File { id, .. }) => {
            let base = Base { stat, content_hash: hash, rev, file_id: Some(id.clone()), remote: None };
            Ok(Decision::Do(Action::Adopt(Box::new(base))))
        }
        // Only its times are new: that is written down first, since whatever goes on the disk goes by what was agreed on.
        (Verdict::Trash | Verdict::Download(_), _) => Ok(Decision::Do(match &facts.base {
            Some(base) => Action::Renew(Box::new(Base { stat, ..base.clone() })),
            None => Action::Forget,
        })),
        (verdict @ Verdict::MoveAside, _) => {
            let over = match id {
                Some(id) => known(&facts.found.gone_twin, || Need::GoneTwin(id.clone()))?.as_ref(),
                None => None,
            };
            let over = over.and_then(|gone| two_way::respelled(gone, &facts.remote, facts.mode));
            settle(facts, over.map_or(verdict, Verdict::Upload), read_only)
        }
        (verdict, _) => settle(facts, verdict, read_only),
    }
}

/// What a verdict comes to, now that the path itself and its names are as they should be.
fn settle(facts: &Facts, verdict: Verdict, read_only: bool) -> Answer {
    let takes = match &verdict {
        Verdict::Trash | Verdict::RemoveDir => true,
        Verdict::Download(_) => facts.base.is_some(),
        _ => false,
    };
    // What would take something away here passes the guard, or is one of those that are held: then the comparison looks at it when they are let go.
    if takes {
        match known(&facts.found.gate, || Need::Gate)? {
            Gate::Open => {}
            Gate::Weighing => return Ok(Decision::Later(WaitFor::Listing)),
            Gate::Held => return Ok(Decision::Later(WaitFor::Approval)),
        }
    }
    Ok(match verdict {
        Verdict::Nothing if facts.late => Decision::Later(WaitFor::Listing),
        Verdict::Nothing => Decision::Do(Action::Nothing),
        Verdict::Wait if !facts.late && facts.is_stuck() => Decision::Blocked(blocked::unlisted()),
        Verdict::Wait => Decision::Later(WaitFor::Listing),
        Verdict::Wedge(failure) | Verdict::PutOff(failure) => Decision::Blocked(failure),
        Verdict::Adopt { rev } => adopted(facts, rev),
        Verdict::Forget => Decision::Do(Action::Forget),
        Verdict::Upload(_) | Verdict::AdoptOrUpload(_) => {
            return match folders::below_a_file(facts, &verdict)? {
                Some(decision) => Ok(decision),
                None => sending::send(facts, verdict, read_only),
            };
        }
        Verdict::Compare => Decision::Do(Action::Compare),
        Verdict::Delete { rev } => deleted(facts, rev),
        Verdict::Trash => Decision::Do(match &facts.base {
            Some(base) => Action::Trash { rev: base.rev.clone() },
            None => Action::Forget,
        }),
        Verdict::MoveAside => Decision::Do(Action::MoveAside),
        Verdict::Download(wanted) => return follow::download(facts, wanted),
        Verdict::AgreeDir => return letters::agree(facts),
        Verdict::MakeDir if *known(&facts.found.in_letters, || Need::InLetters)? => Decision::Do(Action::Nothing),
        Verdict::MakeDir => Decision::Do(Action::MakeDir),
        Verdict::RemoveDir => return folders::remove(facts),
        Verdict::CreateFolder => return folders::create(facts),
        Verdict::DeleteFolder => return folders::delete(facts),
    })
}

/// Base takes Dropbox's revision of the same content.
fn adopted(facts: &Facts, rev: String) -> Decision {
    Decision::Do(match &facts.base {
        Some(base) => Action::Adopt(Box::new(Base { rev, ..base.clone() })),
        None => Action::Nothing,
    })
}

/// The file goes from Dropbox.
fn deleted(facts: &Facts, rev: String) -> Decision {
    let Some(base) = &facts.base else { return Decision::Do(Action::Forget) };
    // What stands where another disk was mounted says nothing of the files on that disk.
    if facts.local == Local::Dir && base.stat.dev != facts.root_dev {
        return Decision::Blocked(blocked::mount_gone());
    }
    // A deletion goes with the revision that was agreed on; that of a file that was moved there and back is agreed on first.
    Decision::Do(match base.rev == rev {
        true => Action::Delete { rev },
        false => Action::Renew(Box::new(Base { rev, ..base.clone() })),
    })
}

/// Whether Dropbox has, or may have, something else at a path than both sides agreed on, in a folder whose remote changes come down.
///
/// A path behind a symlink can only wait for this. All else about it is found by the scan that follows the symlink's end: until then the symlink is the
/// problem, and no path behind it.
pub fn differs_there(agreed: Agreed<'_>, remote: &Remote, mode: Mode) -> bool {
    mode.brings_down()
        && match (agreed, remote) {
            (Agreed::Nothing, Remote::Absent) | (Agreed::Dir, Remote::Folder) => false,
            (Agreed::File(base), Remote::File { rev, content_hash, .. }) => {
                *rev != base.rev && *content_hash != Some(base.content_hash)
            }
            _ => true,
        }
}

#[cfg(test)]
mod tests;
