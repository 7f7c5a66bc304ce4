//! Making replies: results, refusals, and what faults do to them.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};

use super::Dropped;
use super::body::transfer_time;
use crate::wire::{self, Refusal};

/// A body that may break off.
pub(crate) type ReplyBody = UnsyncBoxBody<Bytes, Dropped>;

/// A reply before it is put on the wire.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: Bytes,
    /// Who asked for what: whom the reply's Retry-After binds.
    pub(crate) asker: Option<Asker>,
}

/// Who asked, as an account or a grant, and a digest of the argument.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) account: String,
    pub(crate) argument: [u8; 32],
}

/// How a body is sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Delivery {
    /// Bytes a second.
    pub(crate) rate: Option<u64>,
    /// The connection breaks after this many bytes.
    pub(crate) cut: Option<u64>,
}

impl Reply {
    pub(crate) fn new(status: u16, kind: &str, body: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![(CONTENT_TYPE, kind.to_owned())], body: body.into(), asker: None }
    }

    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Self::new(status, "application/json", value.to_string())
    }

    pub(crate) fn text(status: u16, text: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.into())
    }

    /// A refusal on the wire; `None` closes the connection.
    pub(crate) fn refusal(refusal: Refusal) -> Option<Self> {
        Some(match refusal {
            Refusal::Endpoint(error) => Self::json(409, &wire::error_body(&error)),
            Refusal::BadRequest(text) => Self::text(400, text),
            Refusal::Auth(error) => Self::json(401, &wire::error_body(&error)),
            Refusal::PathRoot(error) => Self::json(422, &wire::error_body(&error)),
            Refusal::RateLimit { reason, retry_after } => {
                // The header is what counts; the body's field is for those that read it.
                let seconds = retry_after.as_deref().and_then(|text| text.parse::<u64>().ok()).unwrap_or(1);
                let error = json!({ "reason": { ".tag": reason }, "retry_after": seconds });
                Self::json(429, &json!({ "error_summary": format!("{reason}/.."), "error": error }))
                    .retry_after(retry_after)
            }
            Refusal::Raw { status, kind, retry_after, body } => Self::new(status, kind, body).retry_after(retry_after),
            Refusal::Drop => return None,
        })
    }

    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn retry_after(self, value: Option<String>) -> Self {
        match value {
            Some(value) => self.header(RETRY_AFTER, value),
            None => self,
        }
    }

    /// How long the client was told to wait, in whole seconds; dates and nonsense are not counted.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let (_, value) = self.headers.iter().find(|(name, _)| *name == RETRY_AFTER)?;
        let seconds: u64 = value.parse().ok()?;
        matches!(self.status, 429 | 503).then(|| Duration::from_secs(seconds.min(365 * 24 * 3600)))
    }

    /// The reply on the wire.
    pub(crate) fn send(self, request_id: &str, delivery: Delivery) -> Response<ReplyBody> {
        let length = self.body.len();
        let cut = delivery.cut.map(|cut| usize::try_from(cut).unwrap_or(usize::MAX)).filter(|cut| *cut < length);
        let body = if delivery.rate.is_some() || cut.is_some() {
            slow(self.body, delivery.rate, cut)
        } else {
            Full::new(self.body).map_err(Dropped::from).boxed_unsync()
        };
        let mut response = Response::new(body);
        *response.status_mut() =
            hyper::StatusCode::from_u16(self.status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        if let Ok(id) = HeaderValue::from_str(request_id) {
            headers.insert("x-dropbox-request-id", id);
        }
        response
    }
}

/// A body in pieces of a tenth of a second, which breaks off after `cut` bytes.
fn slow(body: Bytes, rate: Option<u64>, cut: Option<usize>) -> ReplyBody {
    let piece = rate.map_or(64 * 1024, |rate| usize::try_from(rate / 10).unwrap_or(usize::MAX).max(1));
    let end = cut.unwrap_or(body.len());
    let pieces = stream::unfold(0_usize, move |at| {
        let body = body.clone();
        async move {
            if at >= end {
                // Once after the last byte that is sent: the cut itself. What was sent leaves while the body makes the connection wait.
                tokio::task::yield_now().await;
                return (cut == Some(at)).then(|| (Err(Dropped), usize::MAX));
            }
            let next = end.min(at.saturating_add(piece));
            if let Some(rate) = rate {
                tokio::time::sleep(transfer_time(next - at, rate)).await;
            }
            Some((Ok(Frame::data(body.slice(at..next))), next))
        }
    });
    StreamBody::new(pieces).boxed_unsync()
}
