//! What became of moves and copies.

use crate::dropbox::{EntryError, FileMetadata, Metadata};
use crate::engine::blocking::blocking;
use crate::engine::commit::resolve::Judge;
use crate::engine::work::upload::dedup_copy;
use crate::env::now_ms;
use crate::model::{Batch, Change, ChangeId, Failure, Outcome, Relocation, RemoteChange};
use crate::plan::rename::dedup_copy::refused as not_copied;
use crate::plan::rename::detect::{Arrived, How, Refusal, Spelling, judge, refused, spelling};

impl Judge<'_> {
    /// The results of a batch of moves or copies, in its order.
    pub(crate) async fn moves(
        &self,
        batch: &Batch,
        results: Vec<Result<Metadata, EntryError>>,
    ) -> Vec<(ChangeId, Outcome)> {
        let mut outcomes = Vec::with_capacity(results.len());
        for (change, result) in batch.changes.iter().zip(results) {
            let RemoteChange::Relocate(relocation) = &change.what else { continue };
            let outcome = match result {
                Ok(found) => self.moved(change, relocation, &found),
                Err(error) => self.not_moved(change, relocation, &error).await,
            };
            outcomes.push((change.id, outcome));
        }
        outcomes
    }

    /// It has its new place.
    fn moved(&self, change: &Change, relocation: &Relocation, found: &Metadata) -> Outcome {
        if relocation.via.is_some() {
            return Outcome::Halfway;
        }
        if let Metadata::Folder { path_lower, .. } | Metadata::File(FileMetadata { path_lower, .. }) = found {
            self.learn(change, path_lower.as_deref());
        }
        let how = if relocation.copy { How::Copy } else { How::Move };
        match (&relocation.base, found) {
            (Some(base), Metadata::File(file)) if relocation.alike => dedup_copy::made(base, file),
            (None, Metadata::Folder { .. }) => Outcome::Moved(None),
            (Some(base), Metadata::File(file)) => {
                let arrived = Arrived { id: file.id.clone(), rev: file.rev.clone(), content_hash: file.content_hash };
                match judge(base, &arrived, how) {
                    Some(base) => Outcome::Moved(Some(base)),
                    None => self.otherwise(change, relocation, false),
                }
            }
            // A file where a folder was meant, or a folder where a file was: somebody else's, and base says nothing of it.
            _ => self.otherwise(change, relocation, false),
        }
    }

    async fn not_moved(&self, change: &Change, relocation: &Relocation, error: &EntryError) -> Outcome {
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
        let ours = match (&there, &relocation.base) {
            (Some(Metadata::File(file)), Some(base)) if relocation.copy => file.content_hash == Some(base.content_hash),
            (Some(Metadata::File(file)), Some(base)) => base.file_id.as_ref() == Some(&file.id),
            // A free name is nobody else's.
            (Some(Metadata::Folder { .. }), None) if relocation.via.is_some() => true,
            // Where something is agreed on already, it is that which is there.
            (Some(Metadata::Folder { .. }), None) => {
                let (store, folder, path) = (self.account.store.clone(), change.folder, change.path.clone());
                let taken = blocking(move || store.agreed_below_blocking(folder, &path)).await;
                !taken.unwrap_or(true)
            }
            _ => false,
        };
        let free = matches!(there, None | Some(Metadata::Deleted));
        if !ours && !free {
            return self.otherwise(change, relocation, false);
        }
        let here = match self.look(&relocation.from).await {
            Ok(here) => !matches!(here, None | Some(Metadata::Deleted)),
            Err(failure) => return self.again(change, failure),
        };
        match (ours, there, here) {
            // A folder has no name but its place: with one at both, it is not known whose they are.
            (true, Some(found), false) => self.moved(change, relocation, &found),
            (true, Some(found), true) if relocation.base.is_some() => self.moved(change, relocation, &found),
            (false, _, true) if change.attempts < TRIES => Outcome::Again {
                at: now_ms(),
                failure: Failure::retry(
                    "unknown_outcome",
                    "the reply to the move was lost, and it was not made; it is made again",
                ),
            },
            _ => self.otherwise(change, relocation, false),
        }
    }
}

/// So many tries of one move.
const TRIES: u32 = 5;
