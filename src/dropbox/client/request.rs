//! One call on its way: written, and waited for.

use std::future::Future;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RANGE};
use secrecy::ExposeSecret;

use super::{ARG, Dropbox, Load, PATH_ROOT};
use crate::dropbox::auth::Ticket;
use crate::dropbox::auth::token_call::address;
use crate::dropbox::client::body::{Body, Watch, sending};
use crate::dropbox::error::{AuthError, CallError, Transport, TransportKind};
use crate::dropbox::routes::{Patience, Route, Style};
use crate::env;

impl Dropbox {
    pub(super) fn request(
        &self,
        route: &'static Route,
        load: &Load<'_>,
        body: Option<&mut Body>,
        ticket: &Ticket,
        watch: &Watch,
    ) -> Result<reqwest::RequestBuilder, CallError> {
        let inner = &*self.0;
        let unwritable = || Transport::new(TransportKind::Protocol, "an argument cannot stand in a header", false);
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", ticket.token.expose_secret()))
            .map_err(|_| AuthError::Refused { tag: "the token holds characters that no token has".to_owned() })?;
        bearer.set_sensitive(true);
        let mut headers = inner.fixed.clone();
        headers.insert(AUTHORIZATION, bearer);
        if let Some(root) = &load.root {
            headers.insert(PATH_ROOT, root.clone());
        }
        let name = format!("2/{}", route.name);
        let request = match route.style {
            Style::Rpc => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                inner.api.post(address(inner.settings.endpoints.api(), &name)).body(load.json.to_owned())
            }
            Style::Download => {
                headers.insert(ARG, HeaderValue::from_str(load.json).map_err(|_| unwritable())?);
                if let Some(range) = load.range {
                    headers.insert(RANGE, HeaderValue::from_str(range).map_err(|_| unwritable())?);
                }
                // Without a body, and said so: a POST without a length is refused by some servers.
                headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
                inner.content.post(address(inner.settings.endpoints.content(), &name)).body(Vec::new())
            }
            Style::Upload => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
                headers.insert(ARG, HeaderValue::from_str(load.json).map_err(|_| unwritable())?);
                let request = inner.content.post(address(inner.settings.endpoints.content(), &name));
                let len = body.as_ref().map_or(0, |body| body.len());
                // Said also for an empty body: a POST without a length is refused by some servers.
                headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
                match body.filter(|_| len > 0) {
                    None => request.body(Vec::new()),
                    Some(body) => {
                        let source = body.open().ok_or(AuthError::Renewed)?;
                        request.body(sending(source, len, inner.flow.clone(), watch.clone()))
                    }
                }
            }
        };
        Ok(request.headers(headers))
    }

    /// Gives up when the route's time is over.
    pub(super) async fn within<T>(
        &self,
        route: &'static Route,
        watch: &Watch,
        exchange: impl Future<Output = Result<T, Transport>>,
    ) -> Result<T, Transport> {
        let times = &self.0.settings.timeouts;
        let late = |limit: Duration, what: &str| {
            let text = format!("{}: {what} for {limit:?}", route.name);
            Transport::new(TransportKind::Timeout, text, true)
        };
        let limit = match route.patience {
            Patience::Call => times.call,
            Patience::Commit => times.commit,
            Patience::WhileMoving => {
                return tokio::select! {
                    outcome = exchange => outcome,
                    () = watch.stalled(times.idle) => Err(late(times.idle, "nothing moved")),
                };
            }
        };
        env::timeout(limit, exchange).await.unwrap_or_else(|_| Err(late(limit, "no answer came")))
    }
}
