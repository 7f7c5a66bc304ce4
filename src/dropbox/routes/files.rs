//! Metadata of files, and looking one up.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::dropbox::client::Dropbox;
use crate::dropbox::client::wire;
use crate::dropbox::error::{CallError, Transport};
use crate::dropbox::routes;
use crate::model::{ContentHash, RemotePath};

/// A file in Dropbox.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FileMetadata {
    /// `id:...`, which stays through moves.
    pub id: String,
    /// The last component; empty where it was not told.
    #[serde(default, deserialize_with = "wire::decoration")]
    pub name: String,
    /// The server's own key for the path; none where it is not mounted.
    #[serde(default)]
    pub path_lower: Option<String>,
    /// For people; right in its last component only.
    #[serde(default, deserialize_with = "wire::decoration")]
    pub path_display: Option<String>,
    /// Its revision.
    pub rev: String,
    /// Bytes.
    pub size: u64,
    /// The hash of its content.
    #[serde(default)]
    pub content_hash: Option<ContentHash>,
    /// What the client said; for display only. None if it cannot be read.
    #[serde(default, deserialize_with = "wire::date")]
    pub client_modified: Option<Timestamp>,
    /// When it came to Dropbox. None if it cannot be read.
    #[serde(default, deserialize_with = "wire::date")]
    pub server_modified: Option<Timestamp>,
}

/// Something in Dropbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Metadata {
    /// A file.
    File(FileMetadata),
    /// A folder.
    Folder {
        /// `id:...`.
        id: String,
        /// The server's own key for the path.
        path_lower: Option<String>,
        /// For people.
        path_display: Option<String>,
    },
    /// It was there.
    Deleted,
    /// A kind that this version does not know.
    Unknown(String),
}

impl Metadata {
    /// Reads `Metadata` with its tag.
    pub(crate) fn read(value: Value, route: &str) -> Result<Self, Transport> {
        Ok(match wire::demand_tag(&value, route)? {
            "file" => Self::File(file(value, route)?),
            "folder" => Self::folder(&value),
            "deleted" => Self::Deleted,
            other => Self::Unknown(other.to_owned()),
        })
    }

    /// Reads `FolderMetadata`, with or without its tag.
    pub(crate) fn folder(value: &Value) -> Self {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        Self::Folder {
            id: text("id").filter(|id| id.len() <= wire::OPAQUE).unwrap_or_default(),
            path_lower: text("path_lower"),
            path_display: text("path_display"),
        }
    }
}

/// Reads a file's metadata; its tag, if it has one, may be any.
pub(crate) fn file(value: Value, route: &str) -> Result<FileMetadata, Transport> {
    let file: Option<FileMetadata> = serde_json::from_value(value).ok();
    file.filter(|file| [&file.id, &file.rev].into_iter().all(|word| word.len() <= wire::OPAQUE))
        .ok_or_else(|| Transport::protocol(format!("{route}: the reply is not a file's metadata")))
}

impl Dropbox {
    /// What is at a path; none if nothing is.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn get_metadata(&self, path: &RemotePath) -> Result<Option<Metadata>, CallError> {
        match self.rpc(&routes::GET_METADATA, &json!({"path": path.as_str()})).await {
            Ok(value) => Ok(Some(Metadata::read(value, routes::GET_METADATA.name)?)),
            Err(e) if e.is("path/not_found") => Ok(None),
            Err(e) => Err(e),
        }
    }
}
