//! `upload`, and what all routes that take bytes have in common.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::Call;
use crate::hash::Blocks;
use crate::http::body::Body;
use crate::http::request::hash_matches;
use crate::path::Form;
use crate::state::commit::{Commit, WriteMode};
use crate::state::session::{Piece, Session};
use crate::violation::ViolationKind;
use crate::wire::{self, Refusal};

/// `CommitInfo`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommitInfo {
    path: String,
    #[serde(default)]
    mode: WriteMode,
    #[serde(default)]
    autorename: bool,
    #[serde(default)]
    client_modified: Option<String>,
    #[serde(default, rename = "mute")]
    _mute: bool,
    #[serde(default, rename = "property_groups")]
    _property_groups: Option<Vec<Value>>,
    #[serde(default)]
    strict_conflict: bool,
}

impl CommitInfo {
    pub(crate) fn check(&self, call: &Call) -> Result<Commit, Refusal> {
        let client_modified = match &self.client_modified {
            None => None,
            // common.stone: DropboxTimestamp = Timestamp("%Y-%m-%dT%H:%M:%SZ").
            Some(text) => match wire::parse_timestamp(text) {
                Some(time) => Some(time),
                None => {
                    return Err(call.bad(&format!("client_modified: {text:?} does not match \"%Y-%m-%dT%H:%M:%SZ\"")));
                }
            },
        };
        Ok(Commit {
            target: call.reference(Form::WritePathOrId, &self.path)?,
            mode: self.mode.clone(),
            autorename: self.autorename,
            strict: self.strict_conflict,
            client_modified,
        })
    }
}

/// `UploadArg`: a `CommitInfo` and a content hash.
#[derive(Deserialize)]
struct UploadArg {
    #[serde(default)]
    content_hash: Option<String>,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

/// `Sha256HexHash`: exactly 64 characters.
pub(crate) fn check_hash(call: &Call, given: Option<&str>) -> Result<(), Refusal> {
    match given {
        Some(text) if text.len() != 64 => Err(call.bad("content_hash: must be 64 characters")),
        _ => Ok(()),
    }
}

/// The bytes of one call.
pub(crate) struct Received {
    /// For the session; `None` when nothing can take them.
    pub(crate) piece: Option<Piece>,
    pub(crate) len: u64,
    whole: Blocks,
    too_large: bool,
}

/// Reads the whole body, into `piece` where there is one.
pub(crate) async fn receive(call: &Call, body: &mut Body, mut piece: Option<Piece>) -> Result<Received, Refusal> {
    let contents = call.settings.contents;
    let mut received = receive_with(call, body, |data| {
        if let Some(piece) = &mut piece {
            piece.push(data, contents);
        }
    })
    .await?;
    received.piece = piece;
    Ok(received)
}

/// Reads the whole body; `take` gets all of it up to the largest body that is allowed.
pub(crate) async fn receive_with(
    call: &Call,
    body: &mut Body,
    mut take: impl FnMut(&Bytes),
) -> Result<Received, Refusal> {
    let (mut len, mut whole) = (0, Blocks::default());
    while let Some(data) = body.next().await? {
        len += data.len() as u64;
        if len <= call.settings.max_body {
            whole.update(&data);
            take(&data);
        }
    }
    let too_large = len > call.settings.max_body;
    if too_large {
        call.violate(ViolationKind::BodyTooLarge, format!("{len} bytes"));
    }
    Ok(Received { piece: None, len, whole, too_large })
}

impl Received {
    /// The two errors that every upload route has.
    pub(crate) fn check(&self, content_hash: Option<&str>) -> Result<(), Refusal> {
        if self.too_large {
            return Err(Refusal::endpoint("payload_too_large"));
        }
        if !hash_matches(content_hash, &self.whole.content_hash()) {
            return Err(Refusal::endpoint("content_hash_mismatch"));
        }
        Ok(())
    }
}

/// files.stone, `upload`.
pub(crate) async fn upload(call: &Call, body: &mut Body) -> Result<Value, Refusal> {
    let UploadArg { content_hash, rest } = call.parse()?;
    let info: CommitInfo = serde_json::from_value(Value::Object(rest)).map_err(|error| call.bad(&error.to_string()))?;
    let commit = info.check(call)?;
    check_hash(call, content_hash.as_deref())?;
    let received = receive(call, body, Some(Piece::default())).await?;
    received.check(content_hash.as_deref())?;
    let mut session = Session::new(call.account, false, call.now().clock);
    let sealed = received.piece.and_then(|piece| {
        session.append(0, piece, true, call.settings.max_file_size).ok()?;
        session.seal(received.len, false, call.settings.contents).ok()
    });
    let sealed = sealed.ok_or_else(|| Refusal::endpoint("payload_too_large"))?;
    super::write::pause(call).await;
    let now = call.now();
    let mut world = call.shared.world();
    match world.account_mut(call.account).commit(&call.settings, now.unix, &commit, &sealed) {
        Ok(key) => Ok(world.account(call.account).untagged(&call.settings, &key)),
        Err(tags) => {
            // "data has already been uploaded to the corresponding upload session and this ID may be used to retry the commit".
            let id = world.name("pid_upload_session:", 50);
            world.sessions.insert(id.clone(), Session::sealed(call.account, now.clock, sealed));
            Err(Refusal::Endpoint(json!({ ".tag": "path", "reason": wire::union(tags), "upload_session_id": id })))
        }
    }
}
