//! A decision in words: one for scripts, and a sentence for people.

use super::decision::{Action, Decision, WaitFor};
use crate::model::{Next, WriteMode};

/// The decision's word.
pub fn word(decision: &Decision) -> &'static str {
    let action = match decision {
        Decision::Do(action) => action,
        Decision::Need(_) | Decision::Later(_) => return "wait",
        Decision::Blocked(failure) if failure.next == Next::Wedge => return "blocked",
        Decision::Blocked(_) => return "retry",
    };
    match action {
        Action::Nothing | Action::Unsync => "nothing",
        Action::Upload(_) | Action::UploadCopy(_) => "upload",
        Action::AdoptOrUpload(_) => "adopt_or_upload",
        Action::Adopt(_) => "adopt",
        Action::Delete { .. } => "delete",
        Action::Download(_) => "download",
        Action::Compare => "compare",
        Action::MoveAside => "conflict",
        Action::Trash { .. } => "trash",
        Action::RemoveDir => "remove_directory",
        Action::MakeDir => "make_directory",
        Action::AgreeDir => "agree",
        Action::CreateFolder => "create_folder",
        Action::DeleteFolder => "delete_folder",
        Action::Follow(_) | Action::Respell(_) => "rename",
        Action::Renew(_) | Action::Forget | Action::Relettered | Action::Rather(_) => "look_again",
    }
}

/// What the decision means.
pub fn sentence(decision: &Decision) -> String {
    match decision {
        Decision::Do(action) => done(action),
        Decision::Blocked(failure) => failure.text.clone(),
        Decision::Later(wait) => waits(wait),
        Decision::Need(_) => "it cannot be said yet".to_owned(),
    }
}

fn done(action: &Action) -> String {
    match action {
        Action::Nothing => "nothing has to be done".to_owned(),
        Action::Unsync => "it is not synced: what was agreed on is forgotten, and both sides stay as they are".to_owned(),
        Action::Upload(WriteMode::Add) => "the file goes up as a new one".to_owned(),
        Action::Upload(WriteMode::Update(rev)) => {
            format!("the file goes up over revision {rev}; if its bytes are unchanged after all, nothing is sent")
        }
        Action::UploadCopy(_) => "the file never rests: a copy of one moment goes up".to_owned(),
        Action::AdoptOrUpload(_) => {
            "Dropbox holds something here that was never compared with this file: the same content is adopted, other content is kept beside it"
                .to_owned()
        }
        Action::Adopt(base) => format!("Dropbox has the same content under revision {}: nothing is sent", base.rev),
        Action::Delete { rev } => format!("the file is deleted in Dropbox, if it still has revision {rev} there"),
        Action::Download(wanted) => format!("revision {} comes down, {} bytes", wanted.rev, wanted.size),
        Action::Follow(follow) => format!("it was moved in Dropbox: `{}` is moved here, too", follow.from),
        Action::Compare => {
            "both sides have it: the file is read; the same content is adopted, of different contents both are kept".to_owned()
        }
        Action::MoveAside => "both versions are kept: what is here gets a conflicted copy's name".to_owned(),
        Action::Trash { .. } => "it was deleted in Dropbox: the file goes to .ferrybox/trash".to_owned(),
        Action::RemoveDir => "the folder is gone in Dropbox: the directory goes, if nothing is left in it".to_owned(),
        Action::MakeDir => "the directory is made here".to_owned(),
        Action::AgreeDir => "both sides have the folder: that is written down".to_owned(),
        Action::CreateFolder => "the folder is made in Dropbox".to_owned(),
        Action::DeleteFolder => "the folder goes in Dropbox: no file is left in it".to_owned(),
        Action::Renew(base) => format!("the file is as revision {} has it: that is written down first", base.rev),
        Action::Forget => "what was agreed on does not hold any more: it is decided on as something new".to_owned(),
        Action::Relettered => "the directory was renamed in its letters only: nothing is deleted".to_owned(),
        Action::Respell(to) => format!("it has other letters in Dropbox: it is renamed to `{}` here, too", to.name()),
        Action::Rather(path) => format!("it belongs to `{path}` here, and is looked at there"),
    }
}

fn waits(wait: &WaitFor) -> String {
    match wait {
        WaitFor::Listing => "Dropbox's side is not known yet: it is looked at again when it is".to_owned(),
        WaitFor::Rename => "it may be part of a rename: that is passed on first".to_owned(),
        WaitFor::Path(path) => format!("`{path}` is decided on first"),
        WaitFor::Below => "what is in the folder goes first".to_owned(),
        WaitFor::Approval => {
            "it is held with the other changes that would come down: `ferrybox status` says why".to_owned()
        }
        WaitFor::Room => "the account takes no more content for now".to_owned(),
        WaitFor::Rest(_) => "the file never rests: its last copy is new enough".to_owned(),
    }
}
