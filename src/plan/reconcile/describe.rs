//! An action in words: one for scripts, and a sentence for people.

use crate::model::WriteMode;
use crate::plan::reconcile::Action;

/// The action's word.
pub fn word(action: &Action) -> &'static str {
    match action {
        Action::Nothing => "nothing",
        Action::Upload(_) => "upload",
        Action::AdoptOrUpload(_) => "adopt_or_upload",
        Action::Adopt { .. } => "adopt",
        Action::Delete { .. } => "delete",
        Action::Wedge(_) => "blocked",
        Action::PutOff(_) => "retry",
        Action::Download(_) => "download",
        Action::Compare => "compare",
        Action::MoveAside => "conflict",
        Action::Trash => "trash",
        Action::RemoveDir => "remove_directory",
        Action::MakeDir => "make_directory",
        Action::AgreeDir => "agree",
        Action::CreateFolder => "create_folder",
        Action::DeleteFolder => "delete_folder",
        Action::Forget => "look_again",
        Action::Wait => "wait",
    }
}

/// What the action means.
pub fn sentence(action: &Action) -> String {
    match action {
        Action::Nothing => "nothing has to be done".to_owned(),
        Action::Upload(WriteMode::Add) => "the file goes up as a new one".to_owned(),
        Action::Upload(WriteMode::Update(rev)) => {
            format!("the file goes up over revision {rev}; if its bytes are unchanged after all, nothing is sent")
        }
        Action::AdoptOrUpload(_) => {
            "Dropbox holds something here that was never compared with this file: the same content is adopted, other content is kept beside it"
                .to_owned()
        }
        Action::Adopt { rev } => format!("Dropbox has the same content under revision {rev}: nothing is sent"),
        Action::Delete { rev } => format!("the file is deleted in Dropbox, if it still has revision {rev} there"),
        Action::Wedge(failure) | Action::PutOff(failure) => failure.text.clone(),
        Action::Download(wanted) => format!("revision {} comes down, {} bytes", wanted.rev, wanted.size),
        Action::Compare => {
            "both sides have it: the file is read; the same content is adopted, of different contents both are kept".to_owned()
        }
        Action::MoveAside => "both versions are kept: what is here gets a conflicted copy's name".to_owned(),
        Action::Trash => "it was deleted in Dropbox: the file goes to .ferrybox/trash".to_owned(),
        Action::RemoveDir => "the folder is gone in Dropbox: the directory goes, if nothing is left in it".to_owned(),
        Action::MakeDir => "the directory is made here".to_owned(),
        Action::AgreeDir => "both sides have the folder: that is written down".to_owned(),
        Action::CreateFolder => "the folder is made in Dropbox (if files are in it, with the first of them)".to_owned(),
        Action::DeleteFolder => "the folder goes in Dropbox, once no file is left in it".to_owned(),
        Action::Forget => "what was agreed on is gone on both sides: it is decided anew".to_owned(),
        Action::Wait => "Dropbox's side is not known yet: it is looked at again when it is".to_owned(),
    }
}
