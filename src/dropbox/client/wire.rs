//! Arguments out, tags in: the two small languages between us and Dropbox.

use std::fmt::Write as _;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::dropbox::error::{EntryError, Transport, tame};

/// How deep tags are followed, and how long one may be.
const DEPTH: usize = 8;
const TAG_CAP: usize = 64;

/// No cursor, and no id or revision in an answer about a single file, is longer, in bytes: Dropbox's have some hundred at most.
pub(crate) const OPAQUE: usize = 16 << 10;

/// Whether a server's word that is only ever given back to it can be one.
pub(crate) fn is_opaque(word: &str) -> bool {
    (1..=OPAQUE).contains(&word.len())
}

/// JSON for a body.
pub(crate) fn to_json<T: Serialize>(arg: &T) -> Result<String, Transport> {
    serde_json::to_string(arg)
        .map_err(|e| Transport::new(crate::dropbox::TransportKind::Protocol, e.to_string(), false))
}

/// JSON for a header: everything outside printable ASCII as `\uXXXX`.
pub(crate) fn to_header<T: Serialize>(arg: &T) -> Result<String, Transport> {
    to_json(arg).map(|json| ascii(&json))
}

/// Escapes what a header cannot hold. In JSON such characters stand in strings only, so the escape is always right.
pub(crate) fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut units = [0; 2];
    for c in json.chars() {
        if c.is_ascii() && c != '\u{7f}' {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// The tag of a union: an object's `.tag`, wherever it stands, or the bare string of a union without a value.
pub(crate) fn tag(value: &Value) -> Option<&str> {
    match value {
        Value::String(tag) => Some(tag),
        Value::Object(map) => map.get(".tag").and_then(Value::as_str),
        _ => None,
    }
}

/// The tag of a reply that must be a union.
pub(crate) fn demand_tag<'a>(value: &'a Value, route: &str) -> Result<&'a str, Transport> {
    tag(value)
        .filter(|tag| !tag.is_empty())
        .ok_or_else(|| Transport::protocol(format!("{route}: the reply carries no .tag")))
}

/// The tags from a union down, outermost first.
pub(crate) fn tags(value: &Value) -> Vec<String> {
    let mut out = Vec::new();
    walk(value, &mut out, DEPTH);
    out
}

fn walk(value: &Value, out: &mut Vec<String>, depth: usize) {
    if depth == 0 {
        return;
    }
    match value {
        Value::String(tag) if out.is_empty() || is_tag(tag) => out.push(cut(tag)),
        Value::Object(map) => {
            if let Some(tag) = map.get(".tag").and_then(Value::as_str) {
                out.push(cut(tag));
                // `malformed_path` holds a text for people, which is no tag.
                if let Some(inner) = map.get(tag).filter(|_| tag != "malformed_path") {
                    return walk(inner, out, depth - 1);
                }
            }
            // A struct whose reason is a union: UploadWriteFailed, RateLimitError.
            if let Some(reason) = map.get("reason") {
                walk(reason, out, depth - 1);
            }
        }
        _ => {}
    }
}

fn is_tag(text: &str) -> bool {
    !text.is_empty() && text.len() <= TAG_CAP && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn cut(tag: &str) -> String {
    if is_tag(tag) { tag.to_owned() } else { tame(tag).chars().take(TAG_CAP).collect() }
}

/// A text that is a secret.
pub(crate) fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    String::deserialize(from).map(SecretString::from)
}

/// A text that is a secret, or null.
pub(crate) fn secret_if_any<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    Option::<String>::deserialize(from).map(|text| text.map(SecretString::from))
}

/// A date, which only decorates an entry: one that cannot be read is none.
pub(crate) fn date<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    let value = Value::deserialize(from)?;
    Ok(value.as_str().and_then(|text| text.parse().ok()))
}

/// A value that nothing is decided from: one of another type is as good as none.
pub(crate) fn decoration<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: Default + serde::de::DeserializeOwned,
    D: Deserializer<'de>,
{
    let value = Value::deserialize(from)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// A field, moved out of an object; `Null` where it is not there.
pub(crate) fn take(value: &mut Value, key: &str) -> Value {
    value.get_mut(key).map_or(Value::Null, Value::take)
}

/// The `entries` of a batch's reply, as many as were asked for, each in its request's place.
pub(crate) fn entries<T>(
    mut reply: Value,
    expected: usize,
    route: &str,
    success: impl Fn(Value) -> Result<T, Transport>,
) -> Result<Vec<Result<T, EntryError>>, Transport> {
    let Value::Array(list) = take(&mut reply, "entries") else {
        return Err(Transport::protocol(format!("{route}: the reply has no list of entries")));
    };
    if list.len() != expected {
        let got = list.len();
        return Err(Transport::protocol(format!("{route}: {expected} results were expected and {got} came")));
    }
    list.into_iter().map(|item| entry(item, route, &success)).collect()
}

fn entry<T>(
    mut item: Value,
    route: &str,
    success: impl Fn(Value) -> Result<T, Transport>,
) -> Result<Result<T, EntryError>, Transport> {
    match demand_tag(&item, route)? {
        "success" => success(item).map(Ok),
        "failure" => {
            let value = take(&mut item, "failure");
            let tags = tags(&value);
            if tags.is_empty() {
                return Err(Transport::protocol(format!("{route}: a failed entry names no reason")));
            }
            Ok(Err(EntryError { tags, value }))
        }
        _ => Ok(Err(EntryError { tags: tags(&item), value: item })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn headers_hold_ascii_only_and_mean_the_same() {
        let path = json!({"path": "/Ä/\u{7f}\n\"\\/漢字 🦀"});
        let header = to_header(&path).unwrap();
        assert!(header.bytes().all(|b| (0x20..0x7f).contains(&b)), "{header}");
        assert!(header.contains("\\u007f") && header.contains("\\ud83e\\udd80"), "{header}");
        assert_eq!(serde_json::from_str::<Value>(&header).unwrap(), path);
    }

    #[test]
    fn tags_are_walked_wherever_they_stand() {
        let walk = |text: &str| tags(&serde_json::from_str(text).unwrap()).join("/");
        assert_eq!(
            walk(r#"{".tag":"path","path":{".tag":"conflict","conflict":{".tag":"file"}}}"#),
            "path/conflict/file"
        );
        assert_eq!(
            walk(r#"{"path":{"conflict":{".tag":"file"},".tag":"conflict"},".tag":"path"}"#),
            "path/conflict/file"
        );
        assert_eq!(
            walk(r#"{".tag":"path","reason":{".tag":"insufficient_space"},"upload_session_id":"x"}"#),
            "path/insufficient_space"
        );
        assert_eq!(walk(r#"{"reason":{".tag":"too_many_requests"},"retry_after":3}"#), "too_many_requests");
        assert_eq!(walk(r#"{".tag":"path","path":"not_found"}"#), "path/not_found");
        assert_eq!(
            walk(r#"{".tag":"path","path":{".tag":"malformed_path","malformed_path":"nonsense"}}"#),
            "path/malformed_path"
        );
        assert_eq!(walk(r#""too_many_write_operations""#), "too_many_write_operations");
        assert_eq!(walk(r#"{".tag":"brand\u001bnew","brand":1}"#), "brand\\u{1b}new");
        assert_eq!(walk("null"), "");
        assert_eq!(walk("[1]"), "");
    }
}
