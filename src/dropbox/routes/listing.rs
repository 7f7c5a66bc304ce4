//! Listing folders, and waiting for changes.
//!
//! What a page says is read in [`super::page`].

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::page::read;
use crate::dropbox::client::Dropbox;
use crate::dropbox::error::{CallError, Transport};
use crate::dropbox::routes;
use crate::model::RemotePath;
use crate::model::listing::{Page, Question};

/// A longpoll may take this much longer than was asked for: Dropbox adds up to 90 seconds, and the way takes its time.
const JITTER: Duration = Duration::from_secs(120);
/// What Dropbox takes as a longpoll's time.
const LONGPOLL: (u64, u64) = (30, 480);

/// What a longpoll says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Changes {
    /// Whether there is something to fetch.
    pub changes: bool,
    /// Seconds to wait before the next longpoll.
    #[serde(default)]
    pub backoff: Option<u64>,
}

/// A shared link whose contents are listed.
#[derive(Debug, Clone)]
pub struct SharedLink {
    /// Its address.
    pub url: String,
    /// Its password, if it has one.
    pub password: Option<SecretString>,
}

impl Dropbox {
    /// The first page of a folder and of everything below it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn list_folder(&self, path: &RemotePath, question: &Question) -> Result<Page, CallError> {
        self.page(&routes::LIST_FOLDER, argument(path, question, true, None)).await
    }

    /// The first page of a folder alone, or of what a shared link shows; `path` is relative to the link's root then.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn list_one_folder(
        &self,
        path: &RemotePath,
        question: &Question,
        link: Option<&SharedLink>,
    ) -> Result<Page, CallError> {
        let route = &routes::LIST_FOLDER;
        let bytes = self.rpc_bytes(route, &argument(path, question, false, link).to_string()).await?;
        Ok(read(&bytes, route.name, link.map(|_| path))?)
    }

    /// The page after a cursor of [`Dropbox::list_one_folder`] with a link.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn list_link_continue(&self, path: &RemotePath, cursor: &str) -> Result<Page, CallError> {
        let route = &routes::LIST_CONTINUE;
        let bytes = self.rpc_bytes(route, &json!({ "cursor": cursor }).to_string()).await?;
        Ok(read(&bytes, route.name, Some(path))?)
    }

    /// The page after a cursor.
    ///
    /// # Errors
    /// [`CallError`]; `reset` when the cursor is worth nothing any more.
    pub async fn list_continue(&self, cursor: &str) -> Result<Page, CallError> {
        self.page(&routes::LIST_CONTINUE, json!({ "cursor": cursor })).await
    }

    /// A cursor for what changes directly in a folder from now on.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn latest_cursor(&self, path: &RemotePath) -> Result<String, CallError> {
        self.latest(argument(path, &Question::default(), false, None)).await
    }

    /// A cursor for what changes in a folder and everything below it from now on.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn latest_cursor_below(&self, path: &RemotePath, question: &Question) -> Result<String, CallError> {
        self.latest(argument(path, question, true, None)).await
    }

    /// The entry of a file or folder itself, as a listing of the folder above shows it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn entry_of(&self, path: &RemotePath) -> Result<Page, CallError> {
        let route = &routes::GET_METADATA;
        let entry = self.rpc_bytes(route, &json!({ "path": path.as_str() }).to_string()).await?;
        let page = [br#"{"cursor":"none","has_more":false,"entries":["#.as_slice(), entry.as_ref(), b"]}"].concat();
        Ok(read(&page, route.name, None)?)
    }

    async fn latest(&self, argument: Value) -> Result<String, CallError> {
        let value = self.rpc(&routes::LATEST_CURSOR, &argument).await?;
        let cursor = value
            .get("cursor")
            .and_then(Value::as_str)
            .filter(|c| crate::dropbox::client::wire::is_opaque(c))
            .map(str::to_owned);
        Ok(cursor.ok_or_else(|| Transport::protocol(format!("{}: no cursor came", routes::LATEST_CURSOR.name)))?)
    }

    /// Waits until something has changed after a cursor, or about as long as `timeout`. Carries no token.
    ///
    /// # Errors
    /// [`CallError`]; `reset` when the cursor is worth nothing any more.
    pub async fn longpoll(&self, cursor: &str, timeout: Duration) -> Result<Changes, CallError> {
        let seconds = timeout.as_secs().clamp(LONGPOLL.0, LONGPOLL.1);
        let argument = json!({ "cursor": cursor, "timeout": seconds }).to_string();
        let value = self.wait_call(&routes::LONGPOLL, argument, Duration::from_secs(seconds) + JITTER).await?;
        let changes = serde_json::from_value(value);
        Ok(changes
            .map_err(|_| Transport::protocol(format!("{}: the reply is not an answer", routes::LONGPOLL.name)))?)
    }

    async fn page(&self, route: &'static routes::Route, argument: Value) -> Result<Page, CallError> {
        let bytes = self.rpc_bytes(route, &argument.to_string()).await?;
        Ok(read(&bytes, route.name, None)?)
    }
}

pub(crate) fn argument(path: &RemotePath, q: &Question, recursive: bool, link: Option<&SharedLink>) -> Value {
    let mut argument = json!({
        "path": path.as_str(),
        "recursive": recursive,
        "include_has_explicit_shared_members": q.include_has_explicit_shared_members,
        "include_mounted_folders": q.include_mounted_folders,
        "include_non_downloadable_files": q.include_non_downloadable_files,
    });
    let mut add = |name: &str, value: Value| {
        if let Some(fields) = argument.as_object_mut() {
            fields.insert(name.to_owned(), value);
        }
    };
    if let Some(limit) = q.limit {
        add("limit", limit.into());
    }
    if !q.include_property_groups.is_empty() {
        add("include_property_groups", json!({ ".tag": "filter_some", "filter_some": q.include_property_groups }));
    }
    if let Some(link) = link {
        let mut value = json!({ "url": link.url });
        if let (Some(password), Some(fields)) = (&link.password, value.as_object_mut()) {
            fields.insert("password".to_owned(), password.expose_secret().into());
        }
        add("shared_link", value);
    }
    argument
}
