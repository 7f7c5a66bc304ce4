//! Commits: closed sessions become files, files go.

use jiff::Timestamp;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};

use super::files::{self, FileMetadata, Metadata};
use super::sessions::Cursor;
use crate::dropbox::client::Dropbox;
use crate::dropbox::client::body::Body;
use crate::dropbox::client::wire;
use crate::dropbox::error::{CallError, EntryError, Transport, TransportKind};
use crate::dropbox::routes;
use crate::dropbox::routes::Route;
use crate::model::{RemotePath, WriteMode};

/// A closed session that becomes a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinishEntry<'a> {
    /// Which session.
    pub session: &'a str,
    /// How many bytes it holds.
    pub offset: u64,
    /// Where to.
    pub to: &'a RemotePath,
    /// Over what.
    pub mode: &'a WriteMode,
    /// When the file was last written; left out where Dropbox could not show it.
    pub client_modified: Option<Timestamp>,
    /// Whether people's devices are to stay silent about it.
    pub mute: bool,
}

/// A file that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeleteEntry<'a> {
    /// Which.
    pub path: &'a RemotePath,
    /// Only if this is still its revision. For files only.
    pub parent_rev: Option<&'a str>,
}

/// How a batch began.
#[derive(Debug, Clone, PartialEq)]
pub enum Launch<T> {
    /// As a job, to be polled.
    Job(String),
    /// It is over already: a result an entry.
    Done(Vec<Result<T, EntryError>>),
    /// It is over already, and its results cannot be read.
    Unreadable(Transport),
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq)]
pub enum Poll<T> {
    /// Not over.
    InProgress,
    /// Over: a result an entry.
    Done(Vec<Result<T, EntryError>>),
    /// Over, and its results cannot be read.
    Unreadable(Transport),
    /// It failed as a whole.
    Failed(EntryError),
}

#[derive(Serialize)]
struct Finish<'a> {
    cursor: Cursor<'a>,
    commit: Commit<'a>,
}

#[derive(Serialize)]
struct Commit<'a> {
    path: &'a str,
    mode: Mode<'a>,
    autorename: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_modified: Option<String>,
    mute: bool,
    strict_conflict: bool,
}

struct Mode<'a>(&'a WriteMode);

impl Serialize for Mode<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0 {
            WriteMode::Add => map.serialize_entry(".tag", "add")?,
            WriteMode::Update(rev) => {
                map.serialize_entry(".tag", "update")?;
                map.serialize_entry("update", rev)?;
            }
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Entries<T> {
    entries: Vec<T>,
}

#[derive(Serialize)]
struct Delete<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_rev: Option<&'a str>,
}

impl FinishEntry<'_> {
    /// Never renamed by the server, and not strict: the same content at the same place is a success and makes no revision.
    fn wire(&self) -> Finish<'_> {
        Finish {
            cursor: Cursor { session_id: self.session, offset: self.offset },
            commit: Commit {
                path: self.to.as_str(),
                mode: Mode(self.mode),
                autorename: false,
                client_modified: self.client_modified.map(whole_seconds),
                mute: self.mute,
                strict_conflict: false,
            },
        }
    }
}

/// Dropbox's form of a time: UTC, whole seconds. Its specification names no limits beside four digits for the year; what lies before 1970 is sent
/// as its first second, since a refused commit would cost more than an odd date, and no date at all would be shown as that of the upload.
fn whole_seconds(at: Timestamp) -> String {
    at.max(Timestamp::UNIX_EPOCH).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn batch(entries: &[FinishEntry<'_>]) -> Result<String, Transport> {
    wire::to_json(&Entries { entries: entries.iter().map(FinishEntry::wire).collect() })
}

impl Dropbox {
    /// Commits up to 1,000 closed sessions as a job. Never before the account's last job is over.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::unknown_route`] where only [`Dropbox::finish_batch_v2`] is left.
    pub async fn finish_batch(&self, entries: &[FinishEntry<'_>]) -> Result<Launch<FileMetadata>, CallError> {
        let route = &routes::FINISH_BATCH;
        let reply = self.rpc_json(route, batch(entries)?).await?;
        launch(reply, entries.len(), route, |value| files::file(value, route.name))
    }

    /// How far a job of [`Dropbox::finish_batch`] with that many entries is.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn finish_batch_check(&self, job: &str, entries: usize) -> Result<Poll<FileMetadata>, CallError> {
        let route = &routes::FINISH_BATCH_CHECK;
        let reply = self.rpc(route, &json!({"async_job_id": job})).await?;
        poll(reply, entries, route, |value| files::file(value, route.name))
    }

    /// Commits up to 1,000 closed sessions in one call.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn finish_batch_v2(
        &self,
        entries: &[FinishEntry<'_>],
    ) -> Result<Vec<Result<FileMetadata, EntryError>>, CallError> {
        let route = &routes::FINISH_BATCH_V2;
        let reply = self.rpc_json(route, batch(entries)?).await?;
        Ok(wire::entries(reply, entries.len(), route.name, |value| files::file(value, route.name))?)
    }

    /// Commits one session.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn finish(&self, entry: &FinishEntry<'_>) -> Result<FileMetadata, CallError> {
        let arg = wire::to_header(&entry.wire())?;
        let reply = self.upload(&routes::FINISH, arg, Body::from_bytes(Vec::new())).await?;
        Ok(files::file(reply, routes::FINISH.name)?)
    }

    /// Deletes up to 1,000 paths as a job. Shares the commit lane with [`Dropbox::finish_batch`].
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn delete_batch(&self, entries: &[DeleteEntry<'_>]) -> Result<Launch<Metadata>, CallError> {
        let route = &routes::DELETE_BATCH;
        let list = entries.iter().map(|e| Delete { path: e.path.as_str(), parent_rev: e.parent_rev }).collect();
        let reply = self.rpc_json(route, wire::to_json(&Entries { entries: list })?).await?;
        launch(reply, entries.len(), route, |value| deleted(value, route))
    }

    /// How far a job of [`Dropbox::delete_batch`] with that many entries is.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn delete_batch_check(&self, job: &str, entries: usize) -> Result<Poll<Metadata>, CallError> {
        let route = &routes::DELETE_BATCH_CHECK;
        let reply = self.rpc(route, &json!({"async_job_id": job})).await?;
        poll(reply, entries, route, |value| deleted(value, route))
    }
}

fn deleted(mut value: Value, route: &Route) -> Result<Metadata, Transport> {
    Metadata::read(wire::take(&mut value, "metadata"), route.name)
}

pub(crate) fn launch<T>(
    reply: Value,
    expected: usize,
    route: &Route,
    success: impl Fn(Value) -> Result<T, Transport>,
) -> Result<Launch<T>, CallError> {
    match wire::demand_tag(&reply, route.name)? {
        "complete" => {
            Ok(wire::entries(reply, expected, route.name, success).map_or_else(Launch::Unreadable, Launch::Done))
        }
        "async_job_id" => match reply.get("async_job_id").and_then(Value::as_str) {
            Some(job) if wire::is_opaque(job) => Ok(Launch::Job(job.to_owned())),
            _ => {
                Err(Transport::protocol(format!("{}: the job has no id, or one longer than any is", route.name)).into())
            }
        },
        other => Err(unknown(other, route)),
    }
}

pub(crate) fn poll<T>(
    mut reply: Value,
    expected: usize,
    route: &Route,
    success: impl Fn(Value) -> Result<T, Transport>,
) -> Result<Poll<T>, CallError> {
    match wire::demand_tag(&reply, route.name)? {
        "in_progress" => Ok(Poll::InProgress),
        "complete" => Ok(wire::entries(reply, expected, route.name, success).map_or_else(Poll::Unreadable, Poll::Done)),
        "failed" => {
            let value = wire::take(&mut reply, "failed");
            Ok(Poll::Failed(EntryError { tags: wire::tags(&value), value }))
        }
        other => Err(unknown(other, route)),
    }
}

fn unknown(tag: &str, route: &Route) -> CallError {
    let text =
        format!("{}: the reply's tag `{}` is not known to this version", route.name, crate::dropbox::error::tame(tag));
    Transport::new(TransportKind::Protocol, text, true).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h11_the_id_of_a_job_is_some_kib_long_at_most() {
        let cases = [(0, false), (1, true), (wire::OPAQUE, true), (wire::OPAQUE + 1, false), (8 << 20, false)];
        for (len, is_taken) in cases {
            let reply = json!({".tag": "async_job_id", "async_job_id": "j".repeat(len)});
            match launch::<()>(reply, 1, &routes::DELETE_BATCH, |_| Ok(())) {
                Ok(Launch::Job(job)) => assert!(is_taken && job.len() == len, "{len}"),
                Ok(Launch::Done(_) | Launch::Unreadable(_)) => panic!("{len}: it is not done"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(!is_taken && text.contains("the job has no id") && text.len() < 500, "{len}: {text}");
                }
            }
        }
    }

    #[test]
    fn h11_ids_and_revisions_of_files_are_some_kib_long_at_most() {
        for key in ["id", "rev"] {
            for (len, is_taken) in [(9, true), (wire::OPAQUE, true), (wire::OPAQUE + 1, false), (100_000, false)] {
                let mut value = json!({"id": "id:a", "rev": "015f", "size": 3});
                value[key] = "x".repeat(len).into();
                assert_eq!(crate::dropbox::routes::files::file(value, "r").is_ok(), is_taken, "{key} {len}");
            }
        }
    }

    #[test]
    fn a_commit_on_the_wire() {
        let to = RemotePath::parse("/Ä/b").unwrap();
        let mode = WriteMode::Update("a1c10ce0dd78".to_owned());
        let at = "2026-11-21T23:59:59.987Z".parse().unwrap();
        let entry =
            FinishEntry { session: "s", offset: 7, to: &to, mode: &mode, client_modified: Some(at), mute: true };
        let json: Value = serde_json::from_str(&batch(&[entry]).unwrap()).unwrap();
        assert_eq!(
            json,
            json!({"entries": [{"cursor": {"session_id": "s", "offset": 7}, "commit": {
                "path": "/Ä/b", "mode": {".tag": "update", "update": "a1c10ce0dd78"}, "autorename": false,
                "client_modified": "2026-11-21T23:59:59Z", "mute": true, "strict_conflict": false}}]})
        );
        let entry = FinishEntry { client_modified: None, mode: &WriteMode::Add, ..entry };
        let json: Value = serde_json::from_str(&batch(&[entry]).unwrap()).unwrap();
        assert_eq!(json.pointer("/entries/0/commit/client_modified"), None);
        assert_eq!(json.pointer("/entries/0/commit/mode"), Some(&json!({".tag": "add"})));
    }

    /// Without a time, other devices would show the day of the upload.
    #[test]
    fn q6_a_time_that_dropbox_may_not_show_is_the_next_one_that_it_can() {
        for (at, expected) in [
            ("1969-12-31T23:59:59.9Z", "1970-01-01T00:00:00Z"),
            ("-000043-03-15T12:00:00Z", "1970-01-01T00:00:00Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("2446-05-10T22:38:55Z", "2446-05-10T22:38:55Z"),
            ("9999-12-30T22:00:00Z", "9999-12-30T22:00:00Z"),
        ] {
            assert_eq!(whole_seconds(at.parse().unwrap()), expected, "{at}");
        }
    }
}
