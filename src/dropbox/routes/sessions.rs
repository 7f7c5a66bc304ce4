//! Upload sessions: started, and filled.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use crate::dropbox::client::Dropbox;
use crate::dropbox::client::body::Body;
use crate::dropbox::client::reply;
use crate::dropbox::client::wire;
use crate::dropbox::error::{CallError, EntryError, Transport};
use crate::dropbox::routes;
use crate::model::ContentHash;

/// The longest id of an upload session that is taken, in bytes: many of them stand in one header.
const SESSION_ID: usize = 512;

/// One file's part of an `append_batch` body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendEntry {
    /// Whose.
    pub session: String,
    /// Where in the file it begins.
    pub offset: u64,
    /// How many bytes of the body are its.
    pub length: u64,
    /// Whether the session ends here.
    pub close: bool,
}

#[derive(Serialize)]
pub(crate) struct Cursor<'a> {
    pub(crate) session_id: &'a str,
    pub(crate) offset: u64,
}

#[derive(Serialize)]
struct Append<'a> {
    cursor: Cursor<'a>,
    close: bool,
    content_hash: ContentHash,
}

#[derive(Serialize)]
struct BatchEntry<'a> {
    cursor: Cursor<'a>,
    length: u64,
    close: bool,
}

#[derive(Serialize)]
struct Batch<'a> {
    entries: Vec<BatchEntry<'a>>,
    content_hash: ContentHash,
}

impl AppendEntry {
    fn wire(&self) -> BatchEntry<'_> {
        let cursor = Cursor { session_id: &self.session, offset: self.offset };
        BatchEntry { cursor, length: self.length, close: self.close }
    }
}

/// What an `append_batch` argument takes in the header apart from its entries; with at least one entry,
/// this plus [`append_batch_header_len`] of each is the header value's length to the byte.
pub fn append_batch_fixed_len() -> usize {
    // One comma is counted with every entry, and the first has none.
    r#"{"entries":[],"content_hash":""}"#.len() + 64 - 1
}

/// What an entry adds to the header value, its comma included.
pub fn append_batch_header_len(entry: &AppendEntry) -> usize {
    wire::to_header(&entry.wire()).map_or(usize::MAX, |json| json.len() + 1)
}

impl Dropbox {
    /// Starts `count` (1 to 1,000) sequential sessions.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn start_batch(&self, count: usize) -> Result<Vec<String>, CallError> {
        let arg = json!({"num_sessions": count, "session_type": {".tag": "sequential"}});
        let reply = self.rpc_bytes(&routes::START_BATCH, &arg.to_string()).await?;
        Ok(started(&reply, count)?)
    }

    /// Starts one session, without bytes: concurrent (parts in any order, multiples of 4 MiB) or sequential.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn start_session(&self, concurrent: bool) -> Result<String, CallError> {
        let kind = if concurrent { "concurrent" } else { "sequential" };
        let arg = json!({"close": false, "session_type": {".tag": kind}});
        let reply = self.upload(&routes::START, wire::to_header(&arg)?, Body::from_bytes(Vec::new())).await?;
        match reply.get("session_id").and_then(Value::as_str) {
            Some(id) if is_session_id(id) => Ok(id.to_owned()),
            _ => Err(Transport::protocol(format!("{}: the reply names no session", routes::START.name)).into()),
        }
    }

    /// Adds bytes to one session.
    ///
    /// # Errors
    /// [`CallError`]. After an unknown outcome the same call can be made again: a wrong offset then says how far the session is.
    pub async fn append(&self, session: &str, offset: u64, close: bool, body: Body) -> Result<(), CallError> {
        let cursor = Cursor { session_id: session, offset };
        let arg = wire::to_header(&Append { cursor, close, content_hash: body.content_hash() })?;
        match self.upload(&routes::APPEND, arg, body).await? {
            // `{}` is what a proxy makes up; Dropbox's word for nothing is `null`.
            Value::Null => Ok(()),
            _ => Err(Transport::protocol(format!("{}: the reply is not the empty one", routes::APPEND.name)).into()),
        }
    }

    /// Adds bytes to many sessions: `body` is their parts, joined in the entries' order. Results are in that order too.
    ///
    /// # Errors
    /// [`CallError`] for the call as a whole; a single entry's failure stands in its place in the list.
    pub async fn append_batch(
        &self,
        entries: &[AppendEntry],
        body: Body,
    ) -> Result<Vec<Result<(), EntryError>>, CallError> {
        let total = entries.iter().fold(0_u64, |sum, e| sum.saturating_add(e.length));
        if total != body.len() {
            let text = format!("the entries announce {total} bytes and the body has {}", body.len());
            return Err(Transport::new(crate::dropbox::TransportKind::Protocol, text, false).into());
        }
        let batch =
            Batch { entries: entries.iter().map(AppendEntry::wire).collect(), content_hash: body.content_hash() };
        let arg = wire::to_header(&batch)?;
        let reply = self.upload(&routes::APPEND_BATCH, arg, body).await?;
        Ok(wire::entries(reply, entries.len(), routes::APPEND_BATCH.name, |_| Ok(()))?)
    }
}

/// A call starts at most this many sessions.
const MOST_SESSIONS: usize = 1_000;

/// Ids of sessions. What goes on beyond what a call may start is not read.
struct SessionIds(Vec<String>);

impl<'de> serde::Deserialize<'de> for SessionIds {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Few;
        impl<'de> serde::de::Visitor<'de> for Few {
            type Value = SessionIds;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("ids of upload sessions")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<SessionIds, A::Error> {
                let mut ids = Vec::new();
                while let Some(id) = seq.next_element::<String>()? {
                    if ids.len() == MOST_SESSIONS {
                        return Err(serde::de::Error::custom("more sessions than a call may start"));
                    }
                    if !is_session_id(&id) {
                        return Err(serde::de::Error::custom("an id that cannot be one"));
                    }
                    ids.push(id);
                }
                Ok(SessionIds(ids))
            }
        }
        from.deserialize_seq(Few)
    }
}

/// The sessions that a reply gives: as many as were asked for, each with an id of its own.
fn started(reply: &[u8], count: usize) -> Result<Vec<String>, Transport> {
    #[derive(serde::Deserialize)]
    struct Reply {
        session_ids: SessionIds,
    }
    let name = routes::START_BATCH.name;
    let Reply { session_ids: SessionIds(ids) } = reply::parse(reply, name)?;
    let got = ids.len();
    if got != count {
        return Err(Transport::protocol(format!("{name}: {count} sessions were expected and {got} came")));
    }
    if ids.iter().collect::<BTreeSet<_>>().len() != count {
        return Err(Transport::protocol(format!(
            "{name}: an upload session's id came twice, and two files never share one"
        )));
    }
    Ok(ids)
}

/// Whether a text can be an upload session's id: those of Dropbox have about 70 letters.
fn is_session_id(id: &str) -> bool {
    (1..=SESSION_ID).contains(&id.len()) && id.chars().all(|c| c.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_s_length_is_known_before_it_is_written() {
        let entry = |i: u64| AppendEntry {
            session: format!("pid_upload_session:{}\u{e4}\"{i}", "x".repeat(50)),
            offset: i * 7_000_000_000,
            length: u64::MAX >> i,
            close: i.is_multiple_of(2),
        };
        for n in [1, 2, 40] {
            let entries: Vec<_> = (0..n).map(entry).collect();
            let content_hash = Body::from_bytes(Vec::new()).content_hash();
            let batch = Batch { entries: entries.iter().map(AppendEntry::wire).collect(), content_hash };
            let sum: usize = entries.iter().map(append_batch_header_len).sum();
            assert_eq!(wire::to_header(&batch).unwrap().len(), append_batch_fixed_len() + sum);
        }
    }

    #[test]
    fn h11_ids_of_sessions_are_bounded_in_length_and_number_before_they_are_kept() {
        let reply = |ids: Vec<String>| json!({ "session_ids": ids }).to_string().into_bytes();
        let many = |count: usize| (0..count).map(|i| format!("pid_upload_session:{i}")).collect::<Vec<_>>();
        assert_eq!(started(&reply(many(1_000)), 1_000), Ok(many(1_000)));
        let refused = |reply: &[u8], count| started(reply, count).unwrap_err().text;
        assert!(refused(&reply(many(3)), 2).contains("2 sessions were expected and 3 came"));
        assert!(refused(&reply(vec!["a".to_owned(); 2]), 2).contains("came twice"));
        assert!(refused(b"{}", 1).contains("not of the form"));
        for wrong in [String::new(), "a b".to_owned(), "x".repeat(SESSION_ID + 1), "x".repeat(8 << 20)] {
            assert!(refused(&reply(vec![wrong]), 1).contains("not of the form"));
        }
        assert!(started(&reply(vec!["x".repeat(SESSION_ID)]), 1).is_ok());
        // Half a million: what comes after the thousandth is not even read, so that it may be anything.
        let mut endless = reply(many(1_001));
        endless.truncate(endless.len() - 2);
        endless.extend(b",\xff this is no JSON".repeat(400_000));
        let text = refused(&endless, 1_000);
        assert!(text.contains("not of the form"), "{text}");
    }
}
