//! Earlier revisions of a file, and going back to one.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::files::{self, FileMetadata};
use crate::dropbox::client::Dropbox;
use crate::dropbox::error::{CallError, Transport};
use crate::dropbox::routes;
use crate::model::RemotePath;

/// Whose revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lineage<'a> {
    /// All that were ever at this path.
    Path(&'a RemotePath),
    /// All of one file (`id:...`), wherever it was.
    Id(&'a str),
}

/// A page of revisions, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Revisions {
    /// Whether the file was deleted, or moved away, since the newest of them.
    pub is_deleted: bool,
    /// When, if it was deleted.
    #[serde(default)]
    pub server_deleted: Option<Timestamp>,
    /// The revisions.
    pub entries: Vec<FileMetadata>,
    /// Whether there are more: ask for those before the last one's `rev`.
    #[serde(default)]
    pub has_more: bool,
}

impl Dropbox {
    /// The newest `limit` (1 to 100) revisions, or those before the revision `before` (which Dropbox takes for a path only).
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn list_revisions(
        &self,
        of: Lineage<'_>,
        limit: u8,
        before: Option<&str>,
    ) -> Result<Revisions, CallError> {
        let (path, mode) = match of {
            Lineage::Path(path) => (path.as_str(), "path"),
            Lineage::Id(id) => (id, "id"),
        };
        let mut arg = json!({"path": path, "mode": {".tag": mode}, "limit": limit.clamp(1, 100)});
        if let (Some(before), Some(fields)) = (before, arg.as_object_mut()) {
            fields.insert("before_rev".to_owned(), json!(before));
        }
        let reply = self.rpc(&routes::LIST_REVISIONS, &arg).await?;
        serde_json::from_value(reply).map_err(|_| {
            let name = routes::LIST_REVISIONS.name;
            Transport::protocol(format!("{name}: the reply is not a list of revisions")).into()
        })
    }

    /// Makes the content of the revision `rev` the newest at `path`. What is there becomes a revision, too.
    ///
    /// # Errors
    /// [`CallError`]; `in_progress` means that it is not over yet.
    pub async fn restore(&self, path: &RemotePath, rev: &str) -> Result<FileMetadata, CallError> {
        let reply = self.rpc(&routes::RESTORE, &json!({"path": path.as_str(), "rev": rev})).await?;
        Ok(files::file(reply, routes::RESTORE.name)?)
    }
}
