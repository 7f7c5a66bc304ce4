//! How Stone values look on the wire: tagged unions, error summaries, timestamps, ASCII headers, and every way a call is refused.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

/// Why a call gets no result.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// 409 with the route's own error union.
    Endpoint(Value),
    /// 400 in plain text: the request is malformed, which is a bug of the client.
    BadRequest(String),
    /// 401 with an `auth.AuthError`.
    Auth(Value),
    /// 422 with a `common.PathRootError`.
    PathRoot(Value),
    /// 429 with an `auth.RateLimitError`.
    RateLimit {
        /// The tag of the `auth.RateLimitReason`.
        reason: String,
        /// The header's value as it is, if there is one.
        retry_after: Option<String>,
    },
    /// Anything else, as it is.
    Raw {
        /// The status.
        status: u16,
        /// The Content-Type.
        kind: &'static str,
        /// The Retry-After header.
        retry_after: Option<String>,
        /// The body.
        body: Vec<u8>,
    },
    /// No reply: the connection is closed.
    Drop,
}

impl Refusal {
    /// A 409 whose error is given as a path of tags, such as `path/conflict/file`.
    pub(crate) fn endpoint(tags: &str) -> Self {
        Self::Endpoint(union(tags))
    }
}

/// The JSON of a union value whose payloads are unions: `a/b` is `{".tag": "a", "a": {".tag": "b"}}`.
pub(crate) fn union(tags: &str) -> Value {
    match tags.split_once('/') {
        None => json!({ ".tag": tags }),
        Some((first, rest)) => {
            let mut value = Map::new();
            value.insert(".tag".to_owned(), json!(first));
            value.insert(first.to_owned(), union(rest));
            Value::Object(value)
        }
    }
}

/// 403 with an `auth.AccessError`: the team's data transport calls are spent (Dropbox, "Data transport limit", "Error Handling"); the text for people comes
/// in their language.
pub(crate) fn transport_spent(locale: &str) -> Refusal {
    let text = match locale {
        "de" => "Ihr Team hat diesen Monat alle API-Aufrufe zur Datenübertragung verbraucht.",
        "fr" => "Votre équipe a épuisé ses appels d’API de transfert pour ce mois-ci.",
        "ja" => "チームの今月のデータ転送 API 呼び出しはすべて使用されました。",
        _ => "Your team has no data transport API calls left this month.",
    };
    let mut body = error_body(&union("invalid_account_type/feature"));
    if let Some(fields) = body.as_object_mut() {
        fields.insert("user_message".to_owned(), json!({ "locale": locale, "text": text }));
    }
    Refusal::Raw { status: 403, kind: "application/json", retry_after: None, body: body.to_string().into_bytes() }
}

/// A union value whose payload is a struct: the struct's fields stand beside the tag.
pub(crate) fn tagged(tag: &str, fields: Value) -> Value {
    let mut value = Map::new();
    value.insert(".tag".to_owned(), json!(tag));
    if let Value::Object(fields) = fields {
        value.extend(fields);
    }
    Value::Object(value)
}

/// The `error_summary` of an error: its tags from the outside in, and dots.
pub(crate) fn summary(error: &Value) -> String {
    let mut text = String::new();
    let mut at = Some(error);
    while let Some(value) = at {
        let Some(tag) = value.get(".tag").and_then(Value::as_str) else { break };
        text.push_str(tag);
        text.push('/');
        // `reason` is where UploadWriteFailed and RateLimitError keep theirs.
        at = value.get(tag).or_else(|| value.get("reason"));
    }
    text + ".."
}

/// The body of a structured error.
pub(crate) fn error_body(error: &Value) -> Value {
    json!({ "error_summary": summary(error), "error": error })
}

/// A void union member, written as `"add"` or as `{".tag": "add"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag(pub(crate) String);

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        let tag = value.as_str().or_else(|| value.get(".tag").and_then(Value::as_str));
        tag.map(|tag| Self(tag.to_owned())).ok_or_else(|| serde::de::Error::custom("expected a union"))
    }
}

/// Text of a `common.DropboxTimestamp`: `%Y-%m-%dT%H:%M:%SZ`.
pub(crate) fn timestamp(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Seconds of a `common.DropboxTimestamp`, or `None` where the text is not of that format.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    if text.len() != 20 {
        return None;
    }
    let time = DateTime::strptime("%Y-%m-%dT%H:%M:%SZ", text).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

/// JSON for a header: 0x7F and everything that is not ASCII becomes `\uXXXX`.
pub(crate) fn header_json(value: &Value) -> String {
    let mut text = String::new();
    let mut units = [0_u16; 2];
    for c in value.to_string().chars() {
        if (' '..'\u{7f}').contains(&c) {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unions_nest_and_sum_up() {
        let error = union("path/conflict/file");
        assert_eq!(error, json!({".tag":"path","path":{".tag":"conflict","conflict":{".tag":"file"}}}));
        assert_eq!(summary(&error), "path/conflict/file/..");
    }

    #[test]
    fn timestamps_are_strict() {
        assert_eq!(parse_timestamp("2015-05-12T15:50:38Z").map(timestamp).as_deref(), Some("2015-05-12T15:50:38Z"));
        assert_eq!(parse_timestamp("2015-05-12T15:50:38.5Z"), None);
        assert_eq!(parse_timestamp("2015-05-12 15:50:38Z"), None);
    }

    #[test]
    fn headers_are_ascii() {
        assert_eq!(header_json(&json!({"n": "é😀\u{7f}"})), r#"{"n":"\u00e9\ud83d\ude00\u007f"}"#);
    }
}
