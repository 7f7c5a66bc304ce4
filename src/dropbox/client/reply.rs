//! Judging replies: a result only if everything about it says so.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER};
use serde_json::Value;

use super::body::Watch;
use super::gate;
use super::wire;
use crate::dropbox::error::{ApiError, AuthError, CallError, Throttled, Transport, TransportKind, chain, tame};

/// The largest reply that is read: a full page of a listing takes about 1.5 MB.
const REPLY_CAP: usize = 16 << 20;

/// What stands for a secret that a server sent back.
const REDACTED: &str = "(a secret)";
/// A shorter text is no secret of anybody's, and may be a word.
const SHORTEST_SECRET: usize = 6;

/// A reply, read whole.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

/// What a reply was, before the caller's own view of it.
pub(crate) enum Verdict {
    /// A result: JSON by its type, not read yet.
    Result(Vec<u8>),
    /// A 401 that a new access token may cure; the word that Dropbox used.
    Expired(String),
    /// Anything else.
    Error(CallError),
}

impl Reply {
    /// Reads the body, as long as bytes come and there are not too many.
    pub(crate) async fn read(mut response: reqwest::Response, watch: &Watch) -> Result<Self, Transport> {
        let (status, headers) = (response.status(), response.headers().clone());
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if bytes.len() + chunk.len() > REPLY_CAP => {
                    let text = format!("the reply is longer than {} MiB", REPLY_CAP >> 20);
                    return Err(Transport::protocol(text));
                }
                Ok(Some(chunk)) => {
                    watch.touch();
                    bytes.extend_from_slice(&chunk);
                }
                Ok(None) => return Ok(Self { status, headers, bytes }),
                Err(e) => return Err(broken(e, "while the reply was read")),
            }
        }
    }

    /// Takes secrets out of all that may be told of this reply. Only for one that is no result.
    pub(crate) fn redact<'a>(&mut self, secrets: impl IntoIterator<Item = &'a str>) {
        for secret in secrets.into_iter().filter(|secret| secret.len() >= SHORTEST_SECRET) {
            let text = String::from_utf8_lossy(&self.bytes);
            if text.contains(secret) {
                self.bytes = text.replace(secret, REDACTED).into_bytes();
            }
            let told: Vec<_> = self
                .headers
                .iter()
                .filter(|(_, value)| String::from_utf8_lossy(value.as_bytes()).contains(secret))
                .map(|(name, _)| name.clone())
                .collect();
            told.iter().for_each(|name| drop(self.headers.remove(name)));
        }
    }

    fn header(&self, name: impl reqwest::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// For Dropbox's support; escaped, since anybody on the way can write it.
    pub(crate) fn request_id(&self) -> Option<String> {
        self.header("x-dropbox-request-id").map(tame)
    }

    fn media_type(&self) -> &str {
        self.header(CONTENT_TYPE).and_then(|t| t.split(';').next()).unwrap_or("").trim()
    }

    fn is_html(&self) -> bool {
        self.media_type().eq_ignore_ascii_case("text/html")
            || self.bytes.trim_ascii_start().get(..1).is_some_and(|first| first == b"<")
    }

    /// What the server asked for, in the header or in the error's own field.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self.header(RETRY_AFTER) {
            Some(value) => gate::retry_after(value, self.header(DATE)),
            None => {
                let value: Value = serde_json::from_slice(&self.bytes).ok()?;
                value.get("error")?.get("retry_after")?.as_f64().map(gate::bounded)
            }
        }
    }

    /// The JSON of a good reply.
    pub(crate) fn json(&self, route: &str) -> Result<Value, Transport> {
        self.check(route)?;
        parse(&self.bytes, route)
    }

    /// Whether this can be Dropbox's JSON at all.
    fn check(&self, route: &str) -> Result<(), Transport> {
        let wrong = |what: &str| Transport::protocol(format!("{route}: {what}"));
        if self.is_html() {
            let text =
                format!("{route}: a web page came instead of Dropbox's answer: is there a captive portal or a proxy?");
            return Err(Transport::new(TransportKind::Portal, text, true));
        }
        if self.headers.contains_key(CONTENT_ENCODING) {
            return Err(wrong("the reply is compressed, which was not asked for"));
        }
        let kind = self.media_type();
        if !kind.eq_ignore_ascii_case("application/json") && !kind.eq_ignore_ascii_case("text/javascript") {
            return Err(wrong(&format!("the reply is of the type `{}`, not JSON", tame(kind))));
        }
        Ok(())
    }

    /// Judges the reply to a call of `route`; `account` is for texts.
    pub(crate) fn judge(self, route: &'static str, account: &str) -> Verdict {
        let code = self.status.as_u16();
        let error = match code {
            200..=299 => match self.check(route) {
                Ok(()) => return Verdict::Result(self.bytes),
                Err(e) => e.into(),
            },
            300..=399 | 511 => self.portal(route).into(),
            401 => return self.unauthorized(account),
            407 => {
                let text = "the proxy wants a user and a password (407): put them into HTTPS_PROXY, or name the hosts in NO_PROXY";
                Transport::new(TransportKind::Connect, text, false).into()
            }
            429 => self.throttled().into(),
            500..=599 => self.server(route).into(),
            _ => self.refused(route),
        };
        Verdict::Error(error)
    }

    fn portal(&self, route: &str) -> Transport {
        let to = self.header(LOCATION).and_then(|l| url::Url::parse(l).ok());
        let to = to.as_ref().and_then(url::Url::host_str).map(|host| format!(" to {}", tame(host))).unwrap_or_default();
        let text = format!(
            "{route}: status {}{to} came instead of Dropbox's answer, and redirects are never followed: is there a captive portal or a proxy?",
            self.status.as_u16()
        );
        Transport::new(TransportKind::Portal, text, false)
    }

    fn server(&self, route: &str) -> Transport {
        let mut text = format!("{route}: Dropbox is in trouble (status {})", self.status.as_u16());
        if let Some(id) = self.request_id() {
            text.push_str(&format!(", request {id}"));
        }
        Transport {
            retry_after: self.retry_after(),
            status: Some(self.status.as_u16()),
            ..Transport::new(TransportKind::Server, text, true)
        }
    }

    pub(crate) fn throttled(&self) -> Throttled {
        let value: Option<Value> = serde_json::from_slice(&self.bytes).ok();
        let reason = value.as_ref().and_then(|v| v.get("error")).map(wire::tags).unwrap_or_default();
        Throttled {
            after: self.retry_after(),
            reason: if reason.is_empty() { "too_many_requests".to_owned() } else { reason.join("/") },
            request_id: self.request_id(),
        }
    }

    fn unauthorized(&self, account: &str) -> Verdict {
        let account = account.to_owned();
        let value: Value = serde_json::from_slice(&self.bytes).unwrap_or_default();
        let error = value.get("error").unwrap_or(&Value::Null);
        let tag = wire::tags(error).first().cloned().unwrap_or_default();
        let auth = match tag.as_str() {
            "expired_access_token" | "invalid_access_token" => return Verdict::Expired(tag),
            "missing_scope" => {
                let scope = error.get("required_scope").and_then(Value::as_str).unwrap_or("unknown");
                AuthError::MissingScope { account, scope: tame(scope) }
            }
            "user_suspended" => AuthError::Suspended { account },
            "invalid_select_user" => AuthError::Select { key: "select_user" },
            "invalid_select_admin" => AuthError::Select { key: "select_admin" },
            "" => AuthError::Refused { tag: "401 without a reason".to_owned() },
            _ => AuthError::Refused { tag },
        };
        Verdict::Error(auth.into())
    }

    fn refused(self, route: &'static str) -> CallError {
        let status = self.status.as_u16();
        let parsed: Option<Value> = serde_json::from_slice(&self.bytes).ok();
        if status == 409 && parsed.as_ref().is_none_or(|v| v.get("error").is_none()) {
            return Transport::protocol(format!("{route}: status 409 came without an error of Dropbox's form")).into();
        }
        let mut value = parsed.unwrap_or_else(|| Value::String(tame(&String::from_utf8_lossy(&self.bytes))));
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(tame);
        let user_message = value.get("user_message").and_then(wire_text).map(|m| tame(&m));
        let summary = match &value {
            Value::String(text) => text.clone(),
            _ => text("error_summary").unwrap_or_default(),
        };
        let error = if value.get("error").is_some() { wire::take(&mut value, "error") } else { value };
        let tags = if error.is_object() || status == 409 { wire::tags(&error) } else { Vec::new() };
        CallError::Api(Box::new(ApiError {
            status,
            route,
            tags,
            summary,
            user_message,
            retry_after: self.retry_after(),
            request_id: self.request_id(),
            error,
        }))
    }
}

/// Reads a reply's JSON. serde's own text may quote the reply, which may be private: only the place is told.
pub(crate) fn parse<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8], route: &str) -> Result<T, Transport> {
    serde_json::from_slice(bytes).map_err(|e| {
        let how = match e.classify() {
            serde_json::error::Category::Eof => "is cut short",
            serde_json::error::Category::Data => "is not of the form that the specification gives it",
            _ => "is not valid JSON",
        };
        Transport::protocol(format!("{route}: the reply {how} (line {}, column {})", e.line(), e.column()))
    })
}

/// A `user_message` is a text, or an object that holds one beside its locale.
fn wire_text(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("text").and_then(Value::as_str)).map(str::to_owned)
}

/// Names what broke, without the address and without anything that was sent.
pub(crate) fn broken(error: reqwest::Error, when: &str) -> Transport {
    let host = error.url().and_then(|u| u.host_str().map(str::to_owned)).unwrap_or_else(|| "the server".to_owned());
    let error = error.without_url();
    let text = chain(&error);
    let tls = is_tls(&error);
    let at = |kind, what: &str, unknown| Transport::new(kind, format!("{what} {when}: {text}"), unknown);
    if error.is_dns() {
        at(TransportKind::Dns, &format!("the name {host} could not be resolved"), false)
    } else if tls && error.is_connect() {
        let what = format!(
            "no secure connection to {host} (if the certificate is said to be too new or too old, check this machine's clock; for a company's proxy set ca_file)"
        );
        at(TransportKind::Tls, &what, false)
    } else if error.is_connect() {
        at(TransportKind::Connect, &format!("no connection to {host}"), false)
    } else if error.is_timeout() {
        at(TransportKind::Timeout, &format!("{host} did not answer in time"), true)
    } else if error.is_builder() {
        at(TransportKind::Protocol, "the call could not be written", false)
    } else {
        at(TransportKind::Reset, &format!("the connection to {host} broke"), true)
    }
}

fn is_tls(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = next {
        if e.is::<rustls::Error>() {
            return true;
        }
        // An io::Error's source is its content's source: the content itself must be asked for.
        let inner = e.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| e.source());
    }
    false
}
