//! Asynchronous jobs: what a batch does to its entries, and what its check answers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::commit::Commit;
use super::session::{FinishError, SessionError};
use super::{AccountKey, World};
use crate::path::{self, Reference};
use crate::settings::{RepeatedFinish, Settings};
use crate::wire;

/// A job, by its id.
pub(crate) struct Job {
    pub(crate) account: AccountKey,
    /// The route that launched it.
    pub(crate) route: &'static str,
    pub(crate) state: JobState,
}

pub(crate) enum JobState {
    InProgress,
    /// The `entries` of the result.
    Complete(Vec<Value>),
    /// The check answers `internal_error`.
    Broken,
}

/// One entry of a batch, checked.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// `UploadSessionFinishArg`.
    Finish { session: String, offset: u64, commit: Commit },
    /// `DeleteArg`.
    Delete { target: Reference, parent_rev: Option<String> },
    /// `RelocationPath`.
    Relocate { copy: bool, from: Reference, to: Reference, autorename: bool },
    /// One path of `CreateFolderBatchArg`.
    Folder { target: Reference, autorename: bool },
}

/// `lookup_failed` with a session's refusal.
pub(crate) fn lookup_failed(error: SessionError) -> Value {
    json!({ ".tag": "lookup_failed", "lookup_failed": session_error(error) })
}

/// A session's refusal as a union value; `UploadSessionOffsetError` is a struct, so its field stands beside the tag.
pub(crate) fn session_error(error: SessionError) -> Value {
    match error.correct_offset {
        Some(offset) => json!({ ".tag": error.tag, "correct_offset": offset }),
        None => json!({ ".tag": error.tag }),
    }
}

impl World {
    /// Does one operation: the fields of a success, or the error union of a failure.
    pub(crate) fn operate(
        &mut self,
        settings: &Settings,
        clock: Now,
        key: AccountKey,
        operation: &Operation,
    ) -> Result<Value, Value> {
        match operation {
            Operation::Finish { session, offset, commit } => {
                let done =
                    self.finish(settings, clock, key, Finish { session, offset: *offset, batch: true }, commit)?;
                Ok(self.account(key).untagged(settings, &done))
            }
            Operation::Delete { target, parent_rev } => {
                let metadata = self.account_mut(key).delete(settings, clock.unix, target, parent_rev.as_deref())?;
                Ok(json!({ "metadata": metadata }))
            }
            Operation::Relocate { copy, from, to, autorename } => {
                let relocation = super::relocate::Relocation { copy: *copy, from, to, autorename: *autorename };
                let done = self.account_mut(key).relocate(settings, clock.unix, &relocation);
                let done = done.map_err(|tags| wire::union(&format!("relocation_error/{tags}")))?;
                // A struct with subtypes is nested under the tag of the union that holds it.
                Ok(json!({ "success": self.account(key).metadata(settings, &done) }))
            }
            Operation::Folder { target, autorename } => {
                let done = self.account_mut(key).create_folder(settings, target, *autorename);
                let done = done.map_err(|tags| wire::union(&format!("path/{tags}")))?;
                Ok(json!({ "metadata": self.account(key).untagged(settings, &done) }))
            }
        }
    }

    /// Commits a session: the error is an `UploadSessionFinishError`.
    pub(crate) fn finish(
        &mut self,
        settings: &Settings,
        clock: Now,
        key: AccountKey,
        finish: Finish<'_>,
        commit: &Commit,
    ) -> Result<Arc<str>, Value> {
        let not_found = || lookup_failed(SessionError::NOT_FOUND);
        let session =
            self.sessions.get(finish.session).filter(|session| session.account == key).ok_or_else(not_found)?;
        if session.has_expired(clock.clock, settings.session_life)
            || (session.committed && settings.repeated_finish == RepeatedFinish::NotFound)
        {
            return Err(not_found());
        }
        let sealed = session.seal(finish.offset, finish.batch, settings.contents).map_err(|error| match error {
            FinishError::Lookup(error) => lookup_failed(error),
            FinishError::Other(tag) => wire::union(tag),
        })?;
        // A failed commit leaves the session as it is: "Please retry with empty data body and updated offset."
        let done = self.account_mut(key).commit(settings, clock.unix, commit, &sealed);
        let done = done.map_err(|tags| wire::union(&format!("path/{tags}")))?;
        if let Some(session) = self.sessions.get_mut(finish.session) {
            session.committed_as(sealed);
        }
        Ok(done)
    }
}

impl super::account::Account {
    /// Deletes what a reference names, and gives its metadata "at time of deletion" (files.stone, `delete:2`). The error is a `DeleteError`.
    pub(crate) fn delete(
        &mut self,
        settings: &Settings,
        now: i64,
        target: &Reference,
        parent_rev: Option<&str>,
    ) -> Result<Value, Value> {
        let key = self.lookup(settings, target).map_err(|tag| wire::union(&format!("path_lookup/{tag}")))?;
        self.may_remove(settings, &key).map_err(|tag| wire::union(&format!("path_write/{tag}")))?;
        if let Some(rev) = parent_rev {
            match self.tree.live(&key).and_then(|node| node.file()) {
                // "This field does not support deleting a folder": the tag is a guess, as is that of a rev that does not match.
                None => return Err(wire::union("path_lookup/not_file")),
                Some(file) if path::parse_rev(rev) != Some(file.rev) => {
                    return Err(wire::union("path_write/conflict/file"));
                }
                Some(_) => {}
            }
        }
        if self.tree.count(&key) > settings.max_tree {
            return Err(wire::union("too_many_files"));
        }
        let metadata = self.metadata(settings, &key).unwrap_or(Value::Null);
        self.tree.remove(&key, now);
        Ok(metadata)
    }
}

/// Which session is finished, and from where.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a> {
    pub(crate) session: &'a str,
    pub(crate) offset: u64,
    pub(crate) batch: bool,
}

/// The time, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Seconds since 1970.
    pub(crate) unix: i64,
    /// Since the server's start.
    pub(crate) clock: std::time::Duration,
}
