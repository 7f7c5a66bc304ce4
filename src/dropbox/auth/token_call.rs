//! The token endpoint: one form, two uses (a first code, a refresh).

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::dropbox::client::body::Watch;
use crate::dropbox::client::reply::{Reply, broken};
use crate::dropbox::client::wire;
use crate::dropbox::error::{CallError, Throttled, Transport, TransportKind, tame};
use crate::env;

const ROUTE: &str = "oauth2/token";
/// Those of the form's fields that nobody else may read.
const SECRET: [&str; 3] = ["refresh_token", "code", "code_verifier"];
/// No token is longer, in bytes.
const LONGEST: usize = 16 << 10;

/// Fresh tokens. Unknown fields are ignored.
#[derive(Debug, Deserialize)]
pub(crate) struct TokenReply {
    #[serde(deserialize_with = "wire::secret")]
    pub(crate) access_token: SecretString,
    #[serde(default)]
    pub(crate) expires_in: Option<u64>,
    #[serde(default, deserialize_with = "wire::secret_if_any")]
    pub(crate) refresh_token: Option<SecretString>,
    #[serde(default)]
    pub(crate) account_id: Option<String>,
    #[serde(default)]
    pub(crate) scope: Option<String>,
}

/// Why there are none. Can be copied, since all who wait for one refresh share its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenError {
    /// The server's word, such as `invalid_grant`, and its explanation.
    Refused {
        word: String,
        text: String,
    },
    Throttled(Throttled),
    Transport(Transport),
}

impl From<Transport> for TokenError {
    fn from(e: Transport) -> Self {
        Self::Transport(e)
    }
}

impl TokenError {
    /// How long the server asked not to be asked again.
    pub(crate) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Refused { .. } => None,
            Self::Throttled(t) => t.after,
            Self::Transport(t) => t.retry_after,
        }
    }

    /// The same, with so much left to wait.
    pub(crate) fn with_wait(self, left: Duration) -> Self {
        match self {
            Self::Refused { .. } => self,
            Self::Throttled(t) => Self::Throttled(Throttled { after: Some(left), ..t }),
            Self::Transport(t) => Self::Transport(Transport { retry_after: Some(left), ..t }),
        }
    }
}

/// Posts the form. Neither the form nor the reply can end up in an error.
pub(crate) async fn token_call(
    http: &reqwest::Client,
    api: &Url,
    form: &[(&str, &str)],
    patience: Duration,
) -> Result<TokenReply, TokenError> {
    let url = address(api, ROUTE);
    let call = async {
        let response =
            http.post(url).form(form).send().await.map_err(|e| broken(e, "while the token was asked for"))?;
        Reply::read(response, &Watch::new()).await
    };
    let mut reply = env::timeout(patience, call).await.map_err(|_| {
        let text = format!("the token server did not answer within {} s", patience.as_secs());
        Transport::new(TransportKind::Timeout, text, false)
    })??;
    if !reply.status.is_success() {
        // A server may quote what it refuses.
        reply.redact(form.iter().filter(|(key, _)| SECRET.contains(key)).map(|(_, value)| *value));
    }
    match reply.status.as_u16() {
        200..=299 => {
            reply.json(ROUTE)?;
            // The text of a parse error could quote a token: it is dropped.
            let tokens: Option<TokenReply> = serde_json::from_slice(&reply.bytes).ok();
            let usable = |tokens: &TokenReply| {
                is_token(&tokens.access_token) && tokens.refresh_token.as_ref().is_none_or(is_token)
            };
            tokens
                .filter(usable)
                .ok_or_else(|| Transport::protocol(format!("{ROUTE}: the reply holds no token that can be one")).into())
        }
        429 => Err(TokenError::Throttled(reply.throttled())),
        400 | 401 | 403 => Err(refused(&reply)),
        _ => match reply.judge(ROUTE, "") {
            crate::dropbox::client::reply::Verdict::Error(CallError::Transport(e)) => Err(e.into()),
            _ => Err(Transport::protocol(format!("{ROUTE}: an unexpected status came")).into()),
        },
    }
}

fn refused(reply: &Reply) -> TokenError {
    let Some(value) = serde_json::from_slice::<Value>(&reply.bytes).ok().filter(|v| v.get("error").is_some()) else {
        let status = reply.status.as_u16();
        return Transport::protocol(format!("{ROUTE}: status {status} came without an error of OAuth's form")).into();
    };
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(tame).unwrap_or_default();
    let word = text("error");
    // Only OAuth's own words say that the link is broken; a gateway's JSON must not unlink anybody.
    if ["invalid_", "unauthorized_client", "unsupported_", "access_denied"].iter().any(|w| word.starts_with(w)) {
        return TokenError::Refused { word, text: text("error_description") };
    }
    let text = format!("{ROUTE}: no token for now ({word})");
    Transport::new(TransportKind::Server, text, false).into()
}

/// Whether this can stand in a header, and is not endless.
fn is_token(token: &SecretString) -> bool {
    let token = token.expose_secret();
    (1..=LONGEST).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic())
}

/// The address of a route below a base that may have a path of its own.
pub(crate) fn address(base: &Url, route: &str) -> String {
    format!("{}/{route}", base.as_str().trim_end_matches('/'))
}
