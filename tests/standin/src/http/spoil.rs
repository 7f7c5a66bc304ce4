//! What faults do to a call: a reply in the place of processing, or a reply that is spoiled after it.

use serde_json::{Value, json};

use super::reply::Reply;
use crate::fault::{Effect, Garbage, Verdict};
use crate::wire::Refusal;

/// The reply that a fault puts in the place of processing.
pub(crate) fn replaced(verdict: &Verdict) -> Option<Result<Reply, Refusal>> {
    let refusal = verdict.find(|effect| match effect {
        Effect::Status { code, retry_after, body } => Some(Refusal::Raw {
            status: *code,
            kind: if body.as_deref().is_some_and(|body| body.starts_with('{')) {
                "application/json"
            } else {
                "text/plain; charset=utf-8"
            },
            retry_after: retry_after.clone(),
            body: body.clone().unwrap_or_else(|| format!("stand-in fault {code}")).into_bytes(),
        }),
        Effect::RateLimited { reason, retry_after } => {
            Some(Refusal::RateLimit { reason: reason.clone(), retry_after: retry_after.clone() })
        }
        Effect::EndpointError(tags) => Some(Refusal::endpoint(tags)),
        _ => None,
    });
    if let Some(refusal) = refusal {
        return Some(Err(refusal));
    }
    let garbage = verdict.find(|effect| if let Effect::Garbage(garbage) = effect { Some(*garbage) } else { None })?;
    let html =
        "<!DOCTYPE html><html><head><title>Welcome</title></head><body>Please log in to the network.</body></html>";
    match garbage {
        Garbage::Html => Some(Ok(Reply::new(200, "text/html", html))),
        Garbage::InvalidUtf8 => Some(Ok(Reply::new(200, "application/json", vec![b'"', 0xff, 0xfe, b'"']))),
        Garbage::Empty => Some(Ok(Reply::new(200, "application/json", Vec::new()))),
        Garbage::EmptyObject => Some(Ok(Reply::json(200, &json!({})))),
        Garbage::TruncatedJson | Garbage::ByteOrderMark => None,
    }
}

/// What faults do to a reply that was made by processing.
pub(crate) fn spoil(verdict: &Verdict, mut reply: Reply) -> Option<Reply> {
    if verdict.has(&Effect::DropAfter) {
        return None;
    }
    let status = verdict.find(|effect| if let Effect::StatusAfter(status) = effect { Some(*status) } else { None });
    if let Some(status) = status {
        return Some(Reply::new(status, "text/html", "<html>bad gateway</html>"));
    }
    let hit = verdict.find(|effect| if let Effect::WithoutRev(text) = effect { Some(text.as_str()) } else { None });
    if let Some(text) = hit
        && let Ok(mut value) = serde_json::from_slice::<Value>(&reply.body)
    {
        remove_revs(&mut value, text);
        reply.body = value.to_string().into_bytes().into();
    }
    if verdict.has(&Effect::Garbage(Garbage::TruncatedJson)) {
        reply.body.truncate(reply.body.len() / 2);
    }
    if verdict.has(&Effect::Garbage(Garbage::ByteOrderMark)) {
        reply.body = [b"\xef\xbb\xbf", reply.body.as_ref()].concat().into();
    }
    Some(reply)
}

/// A fault's [`Effect::WithoutRev`].
fn remove_revs(value: &mut Value, text: &str) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|item| remove_revs(item, text)),
        Value::Object(map) => {
            map.values_mut().for_each(|item| remove_revs(item, text));
            if map.contains_key("rev") && json!(map).to_string().contains(text) {
                map.remove("rev");
            }
        }
        _ => {}
    }
}
