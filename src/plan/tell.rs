//! An action in words: one for scripts, and a sentence for people.

use super::decide::Action;
use crate::model::WriteMode;

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
    }
}
