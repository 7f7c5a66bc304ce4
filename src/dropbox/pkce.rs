//! Linking: an authorisation code with PKCE, no redirect, no client secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::Url;

use super::credentials::Credentials;
use super::error::{AuthError, CallError, Transport};
use super::settings::{Settings, SetupError};
use super::token_call::{TokenError, address, token_call};

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
        getrandom::fill(&mut bytes).map_err(|e| SetupError::Random(e.to_string()))?;
        Ok(Self::from_verifier(URL_SAFE_NO_PAD.encode(bytes)))
    }

    fn from_verifier(verifier: String) -> Self {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        Self { verifier: verifier.into(), challenge }
    }
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

/// Redeems the code that the page showed; `account` is its name in the configuration, for texts.
///
/// # Errors
/// [`AuthError::Relink`] when the code is not (or no longer) good, else what broke on the way.
pub async fn exchange(
    settings: &Settings,
    account: &str,
    app_key: &str,
    code: &str,
    pkce: &Pkce,
) -> Result<Linked, CallError> {
    let http = settings.api_client().map_err(|e| Transport::new(super::TransportKind::Tls, e.to_string(), false))?;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.trim()),
        ("code_verifier", pkce.verifier.expose_secret()),
        ("client_id", app_key),
    ];
    let reply =
        token_call(&http, settings.endpoints.api(), &form, settings.timeouts.call).await.map_err(|e| match e {
            TokenError::Refused { word, text } => {
                let reason = format!("the code was not accepted: {word} {text}");
                AuthError::Relink { account: account.to_owned(), reason }.into()
            }
            TokenError::Throttled(e) => CallError::from(e),
            TokenError::Transport(e) => e.into(),
        })?;
    let refresh_token = reply.refresh_token.ok_or_else(|| {
        Transport::protocol(format!(
            "{}: no refresh token came; the code is spent, start again",
            address(settings.endpoints.api(), "oauth2/token")
        ))
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
