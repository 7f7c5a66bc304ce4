//! What became of moves and copies.

use crate::dropbox::{EntryError, FileMetadata, Metadata};
use crate::engine::blocking::blocking;
use crate::engine::commit::resolve::{Judge, seen};
use crate::env::now_ms;
use crate::model::{Change, Outcome, Relocation};
use crate::plan::commit::lost_reply::Found;
use crate::plan::rename::dedup_copy::refused as not_copied;
use crate::plan::rename::detect::{Refusal, Spelling, refused, spelling};
use crate::plan::rename::reply::{Facts, Lost, Moved, Need, TRIES, lost, moved};

impl Judge<'_> {
    /// It has its new place.
    pub(super) fn moved(&self, change: &Change, relocation: &Relocation, found: &Metadata) -> Outcome {
        if relocation.via.is_none()
            && let Metadata::Folder { path_lower, .. } | Metadata::File(FileMetadata { path_lower, .. }) = found
        {
            self.learn(change, path_lower.as_deref());
        }
        match moved(relocation, &seen(Some(found))) {
            Moved::Halfway => Outcome::Halfway,
            Moved::There(base) => Outcome::Moved(base),
            Moved::Otherwise => self.otherwise(change, relocation, false),
        }
    }

    pub(super) async fn not_moved(&self, change: &Change, relocation: &Relocation, error: &EntryError) -> Outcome {
        let tags: Vec<&str> = error.tags.iter().map(String::as_str).collect();
        // files.stone, `RelocationBatchErrorEntry`: what is wrong with the paths is one level down.
        let tags = tags.strip_prefix(&["relocation_error"]).unwrap_or(&tags);
        let refused = if relocation.alike { not_copied } else { refused };
        match refused(tags, change.attempts) {
            Refusal::Again => self.again(change, error.failure()),
            // Perhaps an earlier try went through.
            Refusal::Look => match self.verify_move(change, relocation).await {
                Outcome::Again { .. } if change.attempts >= TRIES => self.otherwise(change, relocation, false),
                outcome => outcome,
            },
            Refusal::Otherwise { copy } => self.otherwise(change, relocation, copy),
        }
    }

    /// Not so: the paths go their usual way.
    fn otherwise(&self, change: &Change, relocation: &Relocation, copy: bool) -> Outcome {
        tracing::debug!(from = %relocation.source, to = %change.path, copy, "not moved in Dropbox: sent instead");
        if relocation.alike {
            self.account.copies.refuse(change.folder, &change.path);
            return Outcome::Look { at: now_ms(), failure: None };
        }
        self.account.moves.refuse(change.folder, &relocation.source, &change.path, copy && !relocation.copy);
        if spelling(&relocation.source, &change.path) == Spelling::Letters {
            self.account.remote.compare_again(change.folder, true);
        }
        Outcome::Look { at: now_ms(), failure: None }
    }

    /// Asks Dropbox what is at the new place, and at the old one.
    pub(crate) async fn verify_move(&self, change: &Change, relocation: &Relocation) -> Outcome {
        let there = match self.look(relocation.next()).await {
            Ok(there) => there,
            Err(failure) => return self.again(change, failure),
        };
        let new = seen(there.as_ref());
        let mut facts = Facts { new: &new, taken: None, old: None };
        loop {
            match (lost(relocation, change.attempts, facts), &there) {
                (Lost::Need(Need::Taken), _) => {
                    let (store, folder, path) = (self.account.store.clone(), change.folder, change.path.clone());
                    let taken = blocking(move || store.agreed_below_blocking(folder, &path)).await;
                    // What cannot be read is believed to be taken.
                    facts.taken = Some(taken.unwrap_or(true));
                }
                (Lost::Need(Need::Old), _) => match self.look(&relocation.from).await {
                    Ok(old) => facts.old = Some(seen(old.as_ref()) != Found::Nothing),
                    Err(failure) => return self.again(change, failure),
                },
                (Lost::Made, Some(found)) => return self.moved(change, relocation, found),
                (Lost::NotMade(failure), _) => return Outcome::Again { at: now_ms(), failure },
                (Lost::Made | Lost::Otherwise, _) => return self.otherwise(change, relocation, false),
            }
        }
    }
}
