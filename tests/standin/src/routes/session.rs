//! Upload sessions: start, append, append_batch, finish (files.stone, `upload_session/*`).

use serde::Deserialize;
use serde_json::{Value, json};

use super::upload::{CommitInfo, check_hash, receive};
use crate::call::Call;
use crate::fault::Effect;
use crate::http::body::Body;
use crate::http::request::hash_matches;
use crate::state::World;
use crate::state::job::{Finish, lookup_failed, session_error};
use crate::state::session::{Piece, Session, SessionError};
use crate::violation::ViolationKind;
use crate::wire::{self, Refusal, Tag};

/// `UploadSessionCursor`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionCursor {
    pub(crate) session_id: String,
    pub(crate) offset: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StartArg {
    #[serde(default)]
    close: bool,
    #[serde(default)]
    session_type: Option<Tag>,
    #[serde(default)]
    content_hash: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StartBatchArg {
    #[serde(default)]
    session_type: Option<Tag>,
    num_sessions: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppendArg {
    cursor: SessionCursor,
    #[serde(default)]
    close: bool,
    #[serde(default)]
    content_hash: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppendBatchArg {
    entries: Vec<AppendEntry>,
    #[serde(default)]
    content_hash: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppendEntry {
    cursor: SessionCursor,
    length: u64,
    #[serde(default)]
    close: bool,
}

/// `UploadSessionFinishArg`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FinishArg {
    pub(crate) cursor: SessionCursor,
    pub(crate) commit: CommitInfo,
    #[serde(default)]
    pub(crate) content_hash: Option<String>,
}

fn concurrent(call: &Call, kind: Option<&Tag>) -> Result<bool, Refusal> {
    match kind.map(|tag| tag.0.as_str()) {
        None | Some("sequential") => Ok(false),
        Some("concurrent") => Ok(true),
        Some(other) => Err(call.bad(&format!("session_type: unknown tag {other:?}"))),
    }
}

fn add_session(call: &Call, world: &mut World, session: Session) -> String {
    // About 69 characters (docs/dropbox-api.md, "Fewest calls"), as in the specification's examples.
    let id = world.name("pid_upload_session:", 50);
    world.sessions.insert(id.clone(), session);
    call.shared.pulse.beat();
    id
}

/// files.stone, `upload_session/start`.
pub(crate) async fn start(call: &Call, body: &mut Body) -> Result<Value, Refusal> {
    let StartArg { close, session_type, content_hash } = call.parse()?;
    let concurrent = concurrent(call, session_type.as_ref())?;
    check_hash(call, content_hash.as_deref())?;
    let received = receive(call, body, Some(Piece::default())).await?;
    received.check(content_hash.as_deref())?;
    if concurrent && received.len > 0 {
        return Err(Refusal::endpoint("concurrent_session_data_not_allowed"));
    }
    if concurrent && close {
        return Err(Refusal::endpoint("concurrent_session_close_not_allowed"));
    }
    let mut session = Session::new(call.account, concurrent, call.now().clock);
    if let Some(piece) = received.piece.filter(|_| !concurrent) {
        session
            .append(0, piece, close, call.settings.max_file_size)
            .map_err(|_| Refusal::endpoint("payload_too_large"))?;
    }
    let id = add_session(call, &mut call.shared.world(), session);
    Ok(json!({ "session_id": id }))
}

/// files.stone, `upload_session/start_batch`: `num_sessions UInt64(max_value=1000, min_value=1)`.
pub(crate) fn start_batch(call: &Call) -> Result<Value, Refusal> {
    let StartBatchArg { session_type, num_sessions } = call.parse()?;
    let concurrent = concurrent(call, session_type.as_ref())?;
    if num_sessions == 0 {
        return Err(call.bad("num_sessions: must be at least 1"));
    }
    call.at_most(usize::try_from(num_sessions).unwrap_or(usize::MAX), call.settings.max_entries)?;
    let born = call.now().clock;
    let mut world = call.shared.world();
    let add = |_| add_session(call, &mut world, Session::new(call.account, concurrent, born));
    let ids: Vec<String> = (0..num_sessions).map(add).collect();
    Ok(json!({ "session_ids": ids }))
}

/// The session of this id that this account may use now.
fn usable<'a>(call: &Call, world: &'a mut World, id: &str) -> Result<&'a mut Session, SessionError> {
    let now = call.now().clock;
    if call.expires_sessions() {
        world.sessions.remove(id);
    }
    let session = world.sessions.get_mut(id).filter(|session| session.account == call.account);
    session.filter(|session| !session.has_expired(now, call.settings.session_life)).ok_or(SessionError::NOT_FOUND)
}

/// Begins an append: the piece to fill, or why nothing will be taken. Ends with [`Appending`].
fn begin(call: &Call, cursor: &SessionCursor) -> (Result<Piece, SessionError>, Appending) {
    let mut world = call.shared.world();
    let begun = usable(call, &mut world, &cursor.session_id).and_then(|session| {
        if session.appending > 0 && !session.is_concurrent() {
            // "upload sessions require you to send content of the file in sequential order".
            call.violate(ViolationKind::ConcurrentAppend, format!("session {}", cursor.session_id));
        }
        session.begin(cursor.offset)
    });
    if let Some(session) = world.sessions.get_mut(&cursor.session_id) {
        session.appending += 1;
    }
    (begun, Appending { shared: std::sync::Arc::clone(&call.shared), id: cursor.session_id.clone() })
}

/// An append under way.
struct Appending {
    shared: std::sync::Arc<crate::shared::Shared>,
    id: String,
}

impl Drop for Appending {
    fn drop(&mut self) {
        if let Some(session) = self.shared.world().sessions.get_mut(&self.id) {
            session.appending = session.appending.saturating_sub(1);
        }
    }
}

fn append_to(call: &Call, cursor: &SessionCursor, piece: Piece, close: bool) -> Result<(), SessionError> {
    let mut world = call.shared.world();
    usable(call, &mut world, &cursor.session_id)?.append(cursor.offset, piece, close, call.settings.max_file_size)
}

/// files.stone, `upload_session/append:2`; the result is Void.
pub(crate) async fn append(call: &Call, body: &mut Body) -> Result<Value, Refusal> {
    let AppendArg { cursor, close, content_hash } = call.parse()?;
    check_hash(call, content_hash.as_deref())?;
    let refused = |error| Refusal::Endpoint(session_error(error));
    let (begun, _appending) = begin(call, &cursor);
    let (piece, begun) = begun.map_or_else(|error| (None, Err(error)), |piece| (Some(piece), Ok(())));
    let received = receive(call, body, piece).await?;
    begun.map_err(refused)?;
    received.check(content_hash.as_deref())?;
    append_to(call, &cursor, received.piece.unwrap_or_default(), close).map_err(refused)?;
    Ok(Value::Null)
}

/// What one entry of an append_batch has got.
struct Entry {
    begun: Result<Piece, SessionError>,
    wanted: u64,
    _appending: Appending,
}

/// files.stone, `upload_session/append_batch`: the body is the entries' bytes one after the other; each succeeds or fails on its own,
/// but a wrong length or hash of the whole body takes in nothing.
pub(crate) async fn append_batch(call: &Call, body: &mut Body) -> Result<Value, Refusal> {
    let AppendBatchArg { entries, content_hash } = call.parse()?;
    check_hash(call, content_hash.as_deref())?;
    call.at_most(entries.len(), call.settings.max_append_entries)?;
    let mut open: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in &entries {
        let (begun, appending) = begin(call, &entry.cursor);
        open.push(Entry { begun, wanted: entry.length, _appending: appending });
    }
    let received = split(call, body, &mut open).await?;
    received.check(None)?;
    if received.len != entries.iter().map(|entry| entry.length).sum::<u64>() {
        return Err(Refusal::endpoint("length_mismatch"));
    }
    received.check(content_hash.as_deref())?;
    let part = call.verdict.find(|effect| if let Effect::PartArrives(bytes) = effect { Some(*bytes) } else { None });
    if let Some(bytes) = part {
        for (entry, open) in entries.iter().zip(open) {
            if let Ok(piece) = open.begun {
                // It was broken off: whatever became of it, nobody is told.
                let _ = append_to(call, &entry.cursor, piece.first(bytes), false);
            }
        }
        return Err(Refusal::Drop);
    }
    let mut results = Vec::with_capacity(entries.len());
    for (index, (entry, open)) in entries.iter().zip(open).enumerate() {
        if let Some(tags) = call.verdict.entry_failure(index, &entry.cursor.session_id) {
            results.push(json!({ ".tag": "failure", "failure": wire::union(tags) }));
            continue;
        }
        let done = open.begun.and_then(|piece| append_to(call, &entry.cursor, piece, entry.close));
        results.push(match done {
            Ok(()) => json!({ ".tag": "success" }),
            Err(error) => json!({ ".tag": "failure", "failure": session_error(error) }),
        });
    }
    super::batch::lose_results(call, &mut results);
    Ok(json!({ "entries": results }))
}

/// Deals the body out to the entries.
async fn split(call: &Call, body: &mut Body, open: &mut [Entry]) -> Result<super::upload::Received, Refusal> {
    let mut dealt = Dealer { entries: open.iter_mut(), current: None };
    super::upload::receive_with(call, body, |data| dealt.deal(data, call)).await
}

struct Dealer<'a> {
    entries: std::slice::IterMut<'a, Entry>,
    current: Option<&'a mut Entry>,
}

impl Dealer<'_> {
    fn deal(&mut self, data: &bytes::Bytes, call: &Call) {
        let mut data = data.clone();
        while !data.is_empty() {
            while self.current.as_ref().is_none_or(|entry| entry.wanted == 0) {
                self.current = self.entries.next();
                if self.current.is_none() {
                    return;
                }
            }
            let Some(entry) = self.current.as_mut() else { return };
            let part = data.split_to(usize::try_from(entry.wanted).unwrap_or(usize::MAX).min(data.len()));
            entry.wanted -= part.len() as u64;
            if let Ok(piece) = &mut entry.begun {
                piece.push(&part, call.settings.contents);
            }
        }
    }
}

/// files.stone, `upload_session/finish`: takes the last bytes of a sequential session, then commits.
pub(crate) async fn finish(call: &Call, body: &mut Body) -> Result<Value, Refusal> {
    let FinishArg { cursor, commit, content_hash } = call.parse()?;
    let commit = commit.check(call)?;
    check_hash(call, content_hash.as_deref())?;
    let refused = |error| Refusal::Endpoint(lookup_failed(error));
    let (begun, appending) = begin(call, &cursor);
    let (piece, begun) = begun.map_or_else(|error| (None, Err(error)), |piece| (Some(piece), Ok(())));
    let received = receive(call, body, piece).await?;
    received.check(content_hash.as_deref())?;
    let is_concurrent = usable(call, &mut call.shared.world(), &cursor.session_id).map_err(refused)?.is_concurrent();
    if received.len > 0 && is_concurrent {
        return Err(Refusal::endpoint("concurrent_session_data_not_allowed"));
    }
    if received.len > 0 {
        begun.map_err(refused)?;
        append_to(call, &cursor, received.piece.unwrap_or_default(), false).map_err(refused)?;
    }
    drop(appending);
    super::write::pause(call).await;
    let now = call.now();
    let mut world = call.shared.world();
    let finish = Finish { session: &cursor.session_id, offset: cursor.offset + received.len, batch: false };
    let key = world.finish(&call.settings, now, call.account, finish, &commit).map_err(Refusal::Endpoint)?;
    Ok(world.account(call.account).untagged(&call.settings, &key))
}

/// Whether the empty body that finish_batch has for each entry fits its content hash.
pub(crate) fn empty_hash_fits(given: Option<&str>) -> bool {
    hash_matches(given, &crate::hash::digest(b""))
}
