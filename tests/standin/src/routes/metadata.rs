//! `get_metadata` and `list_revisions`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::Call;
use crate::path::{self, Form, Reference};
use crate::state::revisions::RevisionQuery;
use crate::wire::{self, Refusal, Tag};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GetMetadataArg {
    path: String,
    #[serde(default, rename = "include_media_info")]
    _include_media_info: bool,
    #[serde(default)]
    include_deleted: bool,
    #[serde(default)]
    include_has_explicit_shared_members: bool,
    #[serde(default, rename = "include_property_groups")]
    _include_property_groups: Option<Value>,
}

/// files.stone, `get_metadata`: "Metadata for the root folder is unsupported."
pub(crate) fn get_metadata(call: &Call) -> Result<Value, Refusal> {
    let arg: GetMetadataArg = call.parse()?;
    let reference = call.reference(Form::ReadPath, &arg.path)?;
    if arg.path == "/" {
        return Err(call.bad("path: The root folder is unsupported."));
    }
    let world = call.shared.world();
    let account = world.account(call.account);
    let failed = |tag: &str| Refusal::endpoint(&format!("path/{tag}"));
    if let Reference::Rev(rev) = reference {
        let (key, file) = account.tree.by_rev(rev).ok_or_else(|| failed("not_found"))?;
        let display = account.shown(&call.settings, &key);
        return Ok(wire::tagged("file", account.file_metadata(&call.settings, &key, &display, file)));
    }
    let place = account.place(&call.settings, &reference).map_err(failed)?;
    account.may_see(&place.lower).map_err(failed)?;
    let node = account.tree.nodes.get(place.lower.as_str()).filter(|node| node.is_live() || arg.include_deleted);
    let found = node.and_then(|_| account.metadata(&call.settings, &place.lower));
    let mut found = found.ok_or_else(|| failed("not_found"))?;
    if let Some(fields) = found.as_object_mut()
        && arg.include_has_explicit_shared_members
        && fields.get(".tag").and_then(Value::as_str) == Some("file")
    {
        fields.entry("has_explicit_shared_members").or_insert(Value::Bool(false));
    }
    Ok(found)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListRevisionsArg {
    path: String,
    #[serde(default)]
    mode: Option<Tag>,
    #[serde(default = "ten")]
    limit: u64,
    #[serde(default)]
    before_rev: Option<String>,
    #[serde(default)]
    include_restorable_info: bool,
}

fn ten() -> u64 {
    10
}

/// files.stone, `list_revisions`: `limit UInt64(max_value=100, min_value=1) = 10`.
pub(crate) fn list_revisions(call: &Call) -> Result<Value, Refusal> {
    let arg: ListRevisionsArg = call.parse()?;
    let reference = call.reference(Form::PathOrId, &arg.path)?;
    if !(1..=100).contains(&arg.limit) {
        return Err(call.bad("limit: must be from 1 to 100"));
    }
    if arg.before_rev.as_deref().is_some_and(|rev| !path::is_rev(rev)) {
        return Err(call.bad("before_rev: did not match pattern [0-9a-f]+"));
    }
    let by_id = match arg.mode.as_ref().map(|tag| tag.0.as_str()) {
        None | Some("path") => false,
        Some("id") => true,
        Some(other) => return Err(call.bad(&format!("mode: unknown tag {other:?}"))),
    };
    let world = call.shared.world();
    let account = world.account(call.account);
    let query = RevisionQuery {
        target: &reference,
        by_id,
        limit: usize::try_from(arg.limit).unwrap_or(100),
        before: arg.before_rev.as_deref(),
    };
    let found = account.revisions(&call.settings, &query).map_err(|tags| Refusal::endpoint(&tags))?;
    let entry = |(key, file): &(std::sync::Arc<str>, crate::state::tree::Revision)| {
        let mut entry = account.file_metadata(&call.settings, key, &account.shown(&call.settings, key), file);
        if let Some(fields) = entry.as_object_mut().filter(|_| arg.include_restorable_info) {
            fields.entry("is_restorable").or_insert(Value::Bool(true));
        }
        entry
    };
    let entries: Vec<Value> = found.entries.iter().map(entry).collect();
    let mut result = json!({ "is_deleted": found.deleted, "entries": entries, "has_more": found.has_more });
    if let (Some(at), Some(fields)) = (found.deleted_at, result.as_object_mut()) {
        fields.insert("server_deleted".to_owned(), json!(wire::timestamp(at)));
    }
    Ok(result)
}
