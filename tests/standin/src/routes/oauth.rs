//! `/oauth2/authorize` and `/oauth2/token`: the code flow with PKCE, and refreshing (docs/dropbox-api.md, "Hosts, calls, authentication";
//! error names and parameters are those of RFC 6749 and RFC 7636).

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::ACCEPT;
use serde_json::{Value, json};

use crate::fault::Verdict;
use crate::hash;
use crate::http::body::Body;
use crate::http::reply::{Asker, Reply};
use crate::http::request::Head;
use crate::http::spoil::replaced;
use crate::shared::Shared;
use crate::state::token::{Access, Code, Refresh};
use crate::state::{AccountKey, World};
use crate::violation::ViolationKind;
use crate::wire::Refusal;

/// Serves one of the two; anything else is 404.
pub(crate) async fn serve(
    shared: &Arc<Shared>,
    head: &Head,
    verdict: &Verdict,
    body: &mut Body,
) -> Result<Reply, Refusal> {
    let data = body.collect(64 * 1024).await?;
    let form: HashMap<String, String> = url::form_urlencoded::parse(&data).into_owned().collect();
    // RFC 9110, 10.2.3: the wait is the asker's, who is known by the grant.
    let asker = ["refresh_token", "code"].iter().find_map(|grant| form.get(*grant));
    let asker = asker.filter(|_| head.name == TOKEN).map(|grant| format!("grant {grant}"));
    if let Some(asker) = &asker
        && let Some(detail) = shared.is_early(asker, TOKEN, None, head.arrived, shared.settings().retry_grace)
    {
        shared.violate(ViolationKind::RetryBeforeRetryAfter, TOKEN, None, detail);
    }
    let mut reply = match (replaced(verdict), head.name.as_str(), head.method.as_str()) {
        (Some(Ok(reply)), _, _) => reply,
        (Some(Err(refusal)), _, _) => Reply::refusal(refusal).ok_or(Refusal::Drop)?,
        (None, "oauth2/authorize", "GET") => authorize(shared, head),
        (None, TOKEN, "POST") => token(shared, &form).unwrap_or_else(|refused| refused),
        _ => Reply::text(404, "Not Found"),
    };
    reply.asker = asker.map(|account| Asker { account, argument: [0; 32] });
    Ok(reply)
}

const TOKEN: &str = "oauth2/token";

/// Shows a code, as the page does after a person has agreed. With `Accept: application/json` the code comes as JSON.
fn authorize(shared: &Arc<Shared>, head: &Head) -> Reply {
    let challenge = head.parameter("code_challenge");
    if head.parameter("response_type").as_deref() != Some("code")
        || head.parameter("client_id").is_none_or(|id| id.is_empty())
    {
        return Reply::text(400, "response_type=code and client_id are needed");
    }
    if challenge.is_some() && head.parameter("code_challenge_method").as_deref() != Some("S256") {
        return Reply::text(400, "code_challenge_method: only S256");
    }
    let scopes = match head.parameter("scope") {
        Some(scope) => scope.split_whitespace().map(str::to_owned).collect(),
        None => shared.settings().scopes,
    };
    let account = head.parameter("standin_account").and_then(|key| key.parse().ok()).map_or(AccountKey(0), AccountKey);
    let mut world = shared.world();
    if world.accounts.get(account.0).is_none() {
        return Reply::text(400, "no such account");
    }
    let code = Code {
        account,
        client: head.parameter("client_id").unwrap_or_default(),
        challenge,
        offline: head.parameter("token_access_type").as_deref() == Some("offline"),
        scopes,
    };
    let text = world.issue_code(code);
    if head.header(ACCEPT).is_some_and(|accept| accept.contains("application/json")) {
        return Reply::json(200, &json!({ "code": text }));
    }
    let page =
        format!("<!DOCTYPE html><title>Stand-in</title><p>Enter this code: <code id=\"auth-code\">{text}</code></p>");
    Reply::new(200, "text/html; charset=utf-8", page)
}

fn refused(error: &str, why: &str) -> Reply {
    Reply::json(400, &json!({ "error": error, "error_description": why }))
}

fn token(shared: &Arc<Shared>, form: &HashMap<String, String>) -> Result<Reply, Reply> {
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let settings = shared.settings();
    let now = shared.now().clock;
    let mut world = shared.world();
    let (account, refresh, scopes, new_refresh) = match field("grant_type") {
        "authorization_code" => {
            // A code works once, whatever comes of it.
            let code = world.tokens.codes.remove(field("code"));
            let code = code.filter(|code| code.client == field("client_id"));
            let code = code.ok_or_else(|| refused("invalid_grant", "code doesn't exist or has expired"))?;
            let found = URL_SAFE_NO_PAD.encode(hash::sha256(field("code_verifier").as_bytes()));
            if code.challenge.as_ref().is_some_and(|challenge| challenge.trim_end_matches('=') != found) {
                return Err(refused("invalid_grant", "invalid code verifier"));
            }
            let refresh = code.offline.then(|| world.issue_refresh(code.account, &code.client, code.scopes.clone()));
            (code.account, refresh, code.scopes, true)
        }
        "refresh_token" => {
            let text = field("refresh_token").to_owned();
            let client = field("client_id");
            let held = world.tokens.refresh.get(&text).filter(|held| !held.revoked);
            let held = held.filter(|held| held.client.is_empty() || held.client == client);
            let held = held.ok_or_else(|| refused("invalid_grant", "refresh token is invalid or revoked"))?;
            (held.account, Some(text), held.scopes.clone(), false)
        }
        _ => return Err(refused("unsupported_grant_type", "grant_type must be authorization_code or refresh_token")),
    };
    let access = world.issue_access(account, refresh.clone(), scopes.clone(), Some(now + settings.token_life));
    let owner = world.account(account);
    let mut result = json!({
        "access_token": access,
        "token_type": "bearer",
        "expires_in": settings.token_life.as_secs(),
        "scope": scopes.join(" "),
        "uid": owner.uid.to_string(),
        "account_id": owner.id,
    });
    if let (true, Some(refresh), Some(fields)) = (new_refresh, refresh, result.as_object_mut()) {
        fields.insert("refresh_token".to_owned(), Value::String(refresh));
    }
    Ok(Reply::json(200, &result))
}

impl World {
    pub(crate) fn issue_code(&mut self, code: Code) -> String {
        let text = self.name("code-", 43);
        self.tokens.codes.insert(text.clone(), code);
        text
    }

    /// An empty client fits every `client_id`.
    pub(crate) fn issue_refresh(&mut self, account: AccountKey, client: &str, scopes: Vec<String>) -> String {
        let text = self.name("refresh-", 56);
        let refresh = Refresh { account, client: client.to_owned(), scopes, revoked: false };
        self.tokens.refresh.insert(text.clone(), refresh);
        text
    }

    pub(crate) fn issue_access(
        &mut self,
        account: AccountKey,
        refresh: Option<String>,
        scopes: Vec<String>,
        expires: Option<std::time::Duration>,
    ) -> String {
        let text = self.name("sl.", 135);
        let access = Access { account, refresh, scopes, expires, revoked: false };
        self.tokens.access.insert(text.clone(), access);
        text
    }
}
