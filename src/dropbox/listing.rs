//! Listing folders, and waiting for changes.
//!
//! A page is read into flat structs of our own: unknown fields are ignored, an unknown kind of entry is counted and left out, and a reply
//! that is not a page is an error, never an empty page. What cannot be a path of ours is refused here, one entry at a time.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::Dropbox;
use super::error::{CallError, Transport, tame};
use super::reply;
use super::{route, wire};
use crate::model::RemotePath;
use crate::model::listing::{Entry, FileFacts, FolderFacts, Marks, Page, Question, Refused, What};

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

#[derive(Deserialize)]
struct RawPage {
    entries: Vec<Raw>,
    cursor: String,
    has_more: bool,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = ".tag", default)]
    tag: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    path_lower: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    rev: Option<String>,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    content_hash: Option<String>,
    #[serde(default, deserialize_with = "wire::decoration")]
    client_modified: Option<String>,
    #[serde(default, deserialize_with = "wire::decoration")]
    server_modified: Option<String>,
    #[serde(default)]
    is_downloadable: Option<bool>,
    #[serde(default)]
    has_explicit_shared_members: Option<bool>,
    #[serde(default)]
    sharing_info: Option<Value>,
    #[serde(default)]
    symlink_info: Option<Value>,
    #[serde(default)]
    property_groups: Option<Value>,
    #[serde(default)]
    file_lock_info: Option<Value>,
    #[serde(default)]
    export_info: Option<Value>,
}

impl Dropbox {
    /// The first page of a folder and of everything below it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn list_folder(&self, path: &RemotePath, question: &Question) -> Result<Page, CallError> {
        self.page(&route::LIST_FOLDER, argument(path, question, true, None)).await
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
        let route = &route::LIST_FOLDER;
        let bytes = self.rpc_bytes(route, &argument(path, question, false, link).to_string()).await?;
        Ok(read(&bytes, route.name, link.map(|_| path))?)
    }

    /// The page after a cursor of [`Dropbox::list_one_folder`] with a link.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn list_link_continue(&self, path: &RemotePath, cursor: &str) -> Result<Page, CallError> {
        let route = &route::LIST_CONTINUE;
        let bytes = self.rpc_bytes(route, &json!({ "cursor": cursor }).to_string()).await?;
        Ok(read(&bytes, route.name, Some(path))?)
    }

    /// The page after a cursor.
    ///
    /// # Errors
    /// [`CallError`]; `reset` when the cursor is worth nothing any more.
    pub async fn list_continue(&self, cursor: &str) -> Result<Page, CallError> {
        self.page(&route::LIST_CONTINUE, json!({ "cursor": cursor })).await
    }

    /// A cursor for what changes directly in a folder from now on.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn latest_cursor(&self, path: &RemotePath) -> Result<String, CallError> {
        let argument = argument(path, &Question::default(), false, None);
        let value = self.rpc(&route::LATEST_CURSOR, &argument).await?;
        let cursor = value.get("cursor").and_then(Value::as_str).map(str::to_owned);
        Ok(cursor.ok_or_else(|| Transport::protocol(format!("{}: no cursor came", route::LATEST_CURSOR.name)))?)
    }

    /// Waits until something has changed after a cursor, or about as long as `timeout`. Carries no token.
    ///
    /// # Errors
    /// [`CallError`]; `reset` when the cursor is worth nothing any more.
    pub async fn longpoll(&self, cursor: &str, timeout: Duration) -> Result<Changes, CallError> {
        let seconds = timeout.as_secs().clamp(LONGPOLL.0, LONGPOLL.1);
        let argument = json!({ "cursor": cursor, "timeout": seconds }).to_string();
        let value = self.wait_call(&route::LONGPOLL, argument, Duration::from_secs(seconds) + JITTER).await?;
        let changes = serde_json::from_value(value);
        Ok(changes.map_err(|_| Transport::protocol(format!("{}: the reply is not an answer", route::LONGPOLL.name)))?)
    }

    async fn page(&self, route: &'static route::Route, argument: Value) -> Result<Page, CallError> {
        let bytes = self.rpc_bytes(route, &argument.to_string()).await?;
        Ok(read(&bytes, route.name, None)?)
    }
}

fn argument(path: &RemotePath, q: &Question, recursive: bool, link: Option<&SharedLink>) -> Value {
    let mut argument = json!({
        "path": path.as_str(),
        "recursive": recursive,
        "include_deleted": q.include_deleted,
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
    if q.include_media_info {
        add("include_media_info", true.into());
    }
    if q.include_restorable_info {
        add("include_restorable_info", true.into());
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

/// Reads a page. Entries without a path are not mounted, and lie in the folder `inside` if there is one: a shared link's.
fn read(bytes: &[u8], route: &str, inside: Option<&RemotePath>) -> Result<Page, Transport> {
    let raw: RawPage = match reply::parse(bytes, route) {
        Ok(raw) => raw,
        // Half of a surrogate pair is no text, and one such name must not hide two thousand others.
        Err(error) => match mended(bytes) {
            Some(bytes) => reply::parse(&bytes, route)?,
            None => return Err(error),
        },
    };
    if raw.cursor.is_empty() {
        return Err(Transport::protocol(format!("{route}: the page has no cursor")));
    }
    let mut page = Page { cursor: raw.cursor, has_more: raw.has_more, ..Page::default() };
    page.entries.reserve(raw.entries.len());
    for raw in raw.entries {
        judge(raw, inside, &mut page);
    }
    Ok(page)
}

fn judge(raw: Raw, inside: Option<&RemotePath>, page: &mut Page) {
    let known = matches!(raw.tag.as_str(), "file" | "folder" | "deleted");
    if !known {
        page.unknown.push(tame(&raw.tag));
        return;
    }
    let relative = || Some(format!("{}/{}", inside?.as_str(), raw.name.as_deref()?.to_lowercase()));
    let Some(lower) = raw.path_lower.clone().or_else(relative) else {
        page.unmounted += 1;
        return;
    };
    let refuse = |code: &str, why: &str| Refused { text: tame(&lower), code: code.to_owned(), why: why.to_owned() };
    let key = match key(&lower) {
        Ok(key) => key,
        Err(why) => return page.refused.push(refuse("bad_name", &why)),
    };
    let name = raw.name.clone().unwrap_or_else(|| key.name().to_owned());
    if let Err(why) = one_component(&name) {
        return page.refused.push(refuse("bad_name", &why));
    }
    let what = match raw.tag.as_str() {
        "deleted" => What::Deleted,
        "folder" => What::Folder(folder(raw)),
        _ => match file(raw) {
            Some(facts) => What::File(Box::new(facts)),
            None => {
                let why = "Dropbox's entry for this file lacks its id, revision or size; it is left out";
                return page.refused.push(refuse("protocol", why));
            }
        },
    };
    page.entries.push(Entry { key, name, what });
}

/// A server's key: absolute, and no component that could lead elsewhere.
fn key(text: &str) -> Result<RemotePath, String> {
    let wrong = |why: &str| Err(format!("Dropbox lists a path that cannot be one here ({why}); it is left out"));
    if text.len() < 2 || text.ends_with('/') {
        return wrong("an empty path component");
    }
    RemotePath::parse(text).or_else(|e| wrong(&e.to_string()))
}

fn one_component(name: &str) -> Result<(), String> {
    let why = match name {
        "" => "an empty name",
        "." | ".." => "a name `.` or `..`",
        _ if name.contains('\0') => "a name that is no text",
        _ if name.contains('/') => "a name with a `/` in it",
        _ => return Ok(()),
    };
    Err(format!("Dropbox lists {why}, which cannot be one here; it is left out"))
}

fn file(raw: Raw) -> Option<FileFacts> {
    let flag = |value: &Option<Value>, key: &str| value.as_ref().and_then(|v| v.get(key)).and_then(Value::as_bool);
    let marks = Marks {
        read_only: flag(&raw.sharing_info, "read_only") == Some(true),
        shared: raw.sharing_info.is_some(),
        not_downloadable: raw.is_downloadable == Some(false),
        symlink: raw.symlink_info.is_some(),
        unseen: false,
    };
    Some(FileFacts {
        id: bare(raw.id?),
        rev: raw.rev.filter(|rev| !rev.is_empty())?,
        size: raw.size?,
        content_hash: raw.content_hash.and_then(|hash| hash.parse().ok()),
        client_modified: raw.client_modified.and_then(|t| seconds(&t)),
        server_modified: raw.server_modified.and_then(|t| seconds(&t)),
        marks,
        explicit_members: raw.has_explicit_shared_members,
        more: more([
            ("sharing_info", raw.sharing_info),
            ("symlink_info", raw.symlink_info),
            ("property_groups", raw.property_groups),
            ("file_lock_info", raw.file_lock_info),
            ("export_info", raw.export_info),
        ]),
    })
}

fn folder(raw: Raw) -> FolderFacts {
    let flag =
        |key: &str| raw.sharing_info.as_ref().and_then(|v| v.get(key)).and_then(Value::as_bool).unwrap_or_default();
    let (read_only, unseen) = (flag("read_only"), flag("no_access") || flag("traverse_only"));
    FolderFacts {
        id: raw.id.map(bare).unwrap_or_default(),
        marks: Marks { read_only, shared: raw.sharing_info.is_some(), unseen, ..Marks::default() },
        more: more([("sharing_info", raw.sharing_info), ("property_groups", raw.property_groups)]),
    }
}

fn bare(id: String) -> String {
    id.strip_prefix("id:").map(str::to_owned).unwrap_or(id)
}

/// A time in whole seconds, if it is one at all. Never a ground for a decision: for display only.
fn seconds(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(|t| t.as_second())
}

fn more<const N: usize>(fields: [(&str, Option<Value>); N]) -> Option<String> {
    let fields: Map<String, Value> = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.filter(|v| !v.is_null())?)))
        .collect();
    (!fields.is_empty()).then(|| Value::Object(fields).to_string())
}

/// The same JSON with `\u0000` for each half of a surrogate pair that stands alone, which no reader of JSON takes; such a name is refused
/// afterwards. `None` if there is none.
fn mended(bytes: &[u8]) -> Option<Vec<u8>> {
    let unit = |at: usize| -> Option<u16> {
        let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let (mut out, mut at, mut any) = (Vec::with_capacity(bytes.len()), 0, false);
    while let Some(byte) = bytes.get(at) {
        if *byte != b'\\' {
            out.push(*byte);
            at += 1;
            continue;
        }
        let len = match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                out.extend_from_slice(b"\\u0000");
                (any, at) = (true, at + 6);
                continue;
            }
            Some(_) => 6,
            None => 2,
        };
        out.extend_from_slice(bytes.get(at..at + len).unwrap_or_default());
        at += len;
    }
    any.then_some(out)
}

#[cfg(test)]
mod tests;
