//! Folders made, and what is in Dropbox already moved or copied: no bytes travel. All share the commit lane with [`Dropbox::finish_batch`].

use serde::Serialize;
use serde_json::{Value, json};

use super::commits::{Launch, Poll, launch, poll};
use super::files::Metadata;
use crate::dropbox::client::Dropbox;
use crate::dropbox::client::wire;
use crate::dropbox::error::{CallError, Transport};
use crate::dropbox::routes;
use crate::dropbox::routes::Route;
use crate::model::RemotePath;

/// Something that gets another place, with all that is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelocateEntry<'a> {
    /// What.
    pub from: &'a RemotePath,
    /// Where to: the whole new path, its last component included.
    pub to: &'a RemotePath,
}

#[derive(Serialize)]
struct Relocate<'a> {
    from_path: &'a str,
    to_path: &'a str,
}

#[derive(Serialize)]
struct Relocation<'a> {
    entries: Vec<Relocate<'a>>,
    /// Never: a name that is taken is a conflict, and the planner's to solve.
    autorename: bool,
}

#[derive(Serialize)]
struct Folders<'a> {
    paths: Vec<&'a str>,
    autorename: bool,
    force_async: bool,
}

impl Dropbox {
    /// Makes up to 10,000 folders, none of them named twice; parents are made automatically. A folder that is there already fails with
    /// `path/conflict/folder`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn create_folder_batch(&self, paths: &[&RemotePath]) -> Result<Launch<Metadata>, CallError> {
        let route = &routes::CREATE_FOLDER_BATCH;
        let paths: Vec<_> = paths.iter().map(|path| path.as_str()).collect();
        let count = paths.len();
        let arg = wire::to_json(&Folders { paths, autorename: false, force_async: false })?;
        let reply = self.rpc_json(route, arg).await?;
        launch(reply, count, route, |value| folder(value, route))
    }

    /// How far a job of [`Dropbox::create_folder_batch`] with that many paths is.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn create_folder_batch_check(&self, job: &str, entries: usize) -> Result<Poll<Metadata>, CallError> {
        let route = &routes::CREATE_FOLDER_BATCH_CHECK;
        let reply = self.rpc(route, &json!({"async_job_id": job})).await?;
        poll(reply, entries, route, |value| folder(value, route))
    }

    /// Moves 1 to 1,000 files or folders. There is no condition on a revision: look at what was moved, in the result.
    ///
    /// A new spelling of the same name ("case-only renaming") is not supported by Dropbox: it takes two moves, by way of another name. A server was
    /// seen that answered one move with success and kept the old spelling, so look at `path_display`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn move_batch(&self, entries: &[RelocateEntry<'_>]) -> Result<Launch<Metadata>, CallError> {
        self.relocate(&routes::MOVE_BATCH, entries).await
    }

    /// How far a job of [`Dropbox::move_batch`] with that many entries is.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn move_batch_check(&self, job: &str, entries: usize) -> Result<Poll<Metadata>, CallError> {
        self.relocated(&routes::MOVE_BATCH_CHECK, job, entries).await
    }

    /// Copies 1 to 1,000 files or folders.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn copy_batch(&self, entries: &[RelocateEntry<'_>]) -> Result<Launch<Metadata>, CallError> {
        self.relocate(&routes::COPY_BATCH, entries).await
    }

    /// How far a job of [`Dropbox::copy_batch`] with that many entries is.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn copy_batch_check(&self, job: &str, entries: usize) -> Result<Poll<Metadata>, CallError> {
        self.relocated(&routes::COPY_BATCH_CHECK, job, entries).await
    }

    async fn relocate(
        &self,
        route: &'static Route,
        entries: &[RelocateEntry<'_>],
    ) -> Result<Launch<Metadata>, CallError> {
        let list = entries.iter().map(|e| Relocate { from_path: e.from.as_str(), to_path: e.to.as_str() }).collect();
        let arg = wire::to_json(&Relocation { entries: list, autorename: false })?;
        let reply = self.rpc_json(route, arg).await?;
        launch(reply, entries.len(), route, |value| relocation(value, route))
    }

    async fn relocated(&self, route: &'static Route, job: &str, entries: usize) -> Result<Poll<Metadata>, CallError> {
        let reply = self.rpc(route, &json!({"async_job_id": job})).await?;
        poll(reply, entries, route, |value| relocation(value, route))
    }
}

/// What stands at the new place: of any kind, so it has a tag and is nested.
fn relocation(mut value: Value, route: &Route) -> Result<Metadata, Transport> {
    Metadata::read(wire::take(&mut value, "success"), route.name)
}

/// The new folder: its kind is known, so it has no tag.
fn folder(mut value: Value, route: &Route) -> Result<Metadata, Transport> {
    match wire::take(&mut value, "metadata") {
        metadata @ Value::Object(_) => Ok(Metadata::folder(&metadata)),
        _ => Err(Transport::protocol(format!("{}: a success says nothing of the folder", route.name))),
    }
}
