//! Linking: an authorisation code with PKCE, no redirect, no client secret.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use url::Url;

use super::token_call::{TokenError, address, token_call};
use crate::dropbox::client::settings::{Settings, SetupError};
use crate::dropbox::client::wire;
use crate::dropbox::credentials::{CredentialError, Credentials, file};
use crate::dropbox::error::{CallError, Transport};
use crate::env;

/// How long a link that was begun can be finished by another process, in seconds. Dropbox's codes expire within minutes, too.
const KEPT_S: i64 = 600;

/// A secret of this process and its challenge, which proves later that the same process redeems the code.
#[derive(Debug, Clone)]
pub struct Pkce {
    verifier: SecretString,
    challenge: String,
}

impl Pkce {
    /// A new secret.
    ///
    /// # Errors
    /// [`SetupError::Random`] when the system gives no random bytes.
    pub fn new() -> Result<Self, SetupError> {
        let mut bytes = [0; 32];
        env::fill_random(&mut bytes).map_err(|e| SetupError::Random(e.to_string()))?;
        Ok(Self::from_verifier(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Keeps the secret in a file of mode 0600, so that a later process can redeem the code; `now` in seconds since 1970.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, file: &Path, app_key: &str, now: i64) -> Result<(), CredentialError> {
        let begun = serde_json::json!({"verifier": self.verifier.expose_secret(), "app_key": app_key, "begun_at": now});
        file::store(file, &begun.to_string().into())
    }

    /// The secret and the app's key of a link that was begun in the last ten minutes; none if there is no such link.
    ///
    /// # Errors
    /// The file cannot be read, or is not closed to others.
    pub fn kept(file: &Path, now: i64) -> Result<Option<(Self, String)>, CredentialError> {
        let Some(text) = file::load(file)? else { return Ok(None) };
        // What is in it may be a secret, so no error may quote it: a file that is not understood is one of no use.
        let begun: Option<Begun> = serde_json::from_str(text.expose_secret()).ok();
        let begun = begun.filter(|begun| (0..=KEPT_S).contains(&now.saturating_sub(begun.begun_at)));
        Ok(begun.map(|begun| (Self::from_verifier(begun.verifier.expose_secret().to_owned()), begun.app_key)))
    }

    /// Removes what [`Pkce::keep`] wrote.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget(file: &Path) -> Result<(), CredentialError> {
        file::forget(file)
    }

    fn from_verifier(verifier: String) -> Self {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        Self { verifier: verifier.into(), challenge }
    }
}

/// What [`Pkce::keep`] writes.
#[derive(Deserialize)]
struct Begun {
    #[serde(deserialize_with = "wire::secret")]
    verifier: SecretString,
    app_key: String,
    begun_at: i64,
}

/// Why a code was not redeemed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Dropbox does not accept this code: it was mistyped, is used already, or is too old.
    #[error("Dropbox did not accept that code ({0}): copy the whole code, or open the address again for a new one")]
    Code(String),
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// What a redeemed code gives.
#[derive(Debug, Clone)]
pub struct Linked {
    /// Lives until it is revoked; what is stored.
    pub refresh_token: SecretString,
    /// Lives some hours.
    pub access_token: SecretString,
    /// `dbid:...`.
    pub account_id: Option<String>,
    /// What the app may do: scopes, separated by spaces.
    pub scope: String,
}

impl Linked {
    /// What to store.
    pub fn credentials(&self, app_key: &str) -> Credentials {
        Credentials::Refresh { refresh_token: self.refresh_token.clone(), app_key: app_key.to_owned() }
    }
}

/// The page where people allow the app and get a code to paste.
pub fn authorize_url(web: &Url, app_key: &str, pkce: &Pkce, scopes: &[&str]) -> Url {
    let mut url = web.clone();
    let path = format!("{}/oauth2/authorize", web.path().trim_end_matches('/'));
    url.set_path(&path);
    url.query_pairs_mut()
        .append_pair("client_id", app_key)
        .append_pair("response_type", "code")
        .append_pair("token_access_type", "offline")
        .append_pair("code_challenge_method", "S256")
        .append_pair("code_challenge", &pkce.challenge);
    if !scopes.is_empty() {
        url.query_pairs_mut().append_pair("scope", &scopes.join(" "));
    }
    url
}

/// Redeems the code that the page showed.
///
/// # Errors
/// [`LinkError::Code`] when the code is not (or no longer) good, else what broke on the way.
pub async fn exchange(settings: &Settings, app_key: &str, code: &str, pkce: &Pkce) -> Result<Linked, LinkError> {
    let http = settings
        .api_client()
        .map_err(|e| CallError::from(Transport::new(crate::dropbox::TransportKind::Tls, e.to_string(), false)))?;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.trim()),
        ("code_verifier", pkce.verifier.expose_secret()),
        ("client_id", app_key),
    ];
    let reply =
        token_call(&http, settings.endpoints.api(), &form, settings.timeouts.call).await.map_err(|e| match e {
            TokenError::Refused { word, text } => LinkError::Code(format!("{word}: {text}")),
            TokenError::Throttled(e) => CallError::from(e).into(),
            TokenError::Transport(e) => CallError::from(e).into(),
        })?;
    let refresh_token = reply.refresh_token.ok_or_else(|| {
        CallError::from(Transport::protocol(format!(
            "{}: no refresh token came; the code is spent, start again",
            address(settings.endpoints.api(), "oauth2/token")
        )))
    })?;
    Ok(Linked {
        refresh_token,
        access_token: reply.access_token,
        account_id: reply.account_id,
        scope: reply.scope.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7636, appendix B.
    #[test]
    fn the_challenge_is_the_one_of_the_rfc() {
        let pkce = Pkce::from_verifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned());
        assert_eq!(pkce.challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn v12_a_link_that_was_begun_is_kept_closed_for_ten_minutes() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state").join("link.json");
        assert!(Pkce::kept(&file, 0).unwrap().is_none());
        let pkce = Pkce::new().unwrap();
        pkce.keep(&file, "key", 1_000).unwrap();
        assert_eq!(file.symlink_metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let (kept, key) = Pkce::kept(&file, 1_600).unwrap().unwrap();
        assert_eq!((kept.challenge, key.as_str()), (pkce.challenge, "key"));
        assert!(Pkce::kept(&file, 1_601).unwrap().is_none(), "too old");
        assert!(Pkce::kept(&file, 999).unwrap().is_none(), "from the future");
        std::fs::write(&file, "{").unwrap();
        assert!(Pkce::kept(&file, 1_000).unwrap().is_none());
        Pkce::forget(&file).unwrap();
        Pkce::forget(&file).unwrap();
    }

    #[test]
    fn the_page_asks_for_an_offline_token_and_never_shows_the_secret() {
        let pkce = Pkce::new().unwrap();
        let web = Url::parse("https://www.dropbox.com").unwrap();
        let url = authorize_url(&web, "key", &pkce, &["files.content.read", "files.content.write"]).to_string();
        assert!(url.starts_with("https://www.dropbox.com/oauth2/authorize?client_id=key&"), "{url}");
        assert!(url.contains("token_access_type=offline") && url.contains("code_challenge_method=S256"), "{url}");
        assert!(url.ends_with("scope=files.content.read+files.content.write"), "{url}");
        assert!(!url.contains(pkce.verifier.expose_secret()));
        assert!(!format!("{pkce:?}").contains(pkce.verifier.expose_secret()));
        assert_eq!(pkce.verifier.expose_secret().len(), 43);
    }
}
