use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ferrybox_standin::{Settings, Standin};
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::raw::{Raw, http, send};

async fn token(standin: &Standin, form: &[(&str, &str)]) -> (u16, Value) {
    let reply = send(http().post(format!("{}/oauth2/token", standin.url())).form(form)).await.unwrap();
    (reply.status, reply.json)
}

#[tokio::test]
async fn a_code_with_pkce_becomes_tokens_that_are_refreshed_and_revoked() {
    let standin =
        Standin::start(Settings { token_life: Duration::from_secs(100), ..Settings::default() }).await.unwrap();
    let verifier = "a-verifier-that-is-long-enough-to-be-one-of-them";
    let challenge = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(verifier));
    let page = format!(
        "{}/oauth2/authorize?client_id=app&response_type=code&token_access_type=offline\
         &code_challenge={challenge}&code_challenge_method=S256&scope=account_info.read",
        standin.url()
    );
    let html = send(http().get(&page)).await.unwrap();
    assert!(html.status == 200 && html.text.contains("auth-code"));
    let code = async || {
        let reply = send(http().get(&page).header("accept", "application/json")).await.unwrap();
        reply.json["code"].as_str().unwrap().to_owned()
    };
    let exchange = async |code: &str, verifier: &str| {
        let grant = ("grant_type", "authorization_code");
        token(&standin, &[grant, ("code", code), ("client_id", "app"), ("code_verifier", verifier)]).await
    };
    let (status, wrong) = exchange(&code().await, "another").await;
    assert_eq!((status, &wrong["error"]), (400, &json!("invalid_grant")));
    let good = code().await;
    let (status, tokens) = exchange(&good, verifier).await;
    assert_eq!((status, &tokens["expires_in"], &tokens["token_type"]), (200, &json!(100), &json!("bearer")));
    assert_eq!(tokens["account_id"], json!(standin.account_id()));
    assert_eq!(exchange(&good, verifier).await.0, 400, "a code works once");

    let refresh = tokens["refresh_token"].as_str().unwrap();
    let again = async || {
        let grant = ("grant_type", "refresh_token");
        token(&standin, &[grant, ("refresh_token", refresh), ("client_id", "app")]).await
    };
    let (status, fresh) = again().await;
    assert_eq!((status, fresh.get("refresh_token")), (200, None));
    let mut raw = Raw { http: http(), url: standin.url(), token: tokens["access_token"].as_str().unwrap().to_owned() };
    let who = async |raw: &Raw| raw.rpc("users/get_current_account", &json!(null)).await.summary().to_owned();
    standin.advance(Duration::from_secs(100));
    assert_eq!(who(&raw).await, "expired_access_token/..");
    raw.token = again().await.1["access_token"].as_str().unwrap().to_owned();
    assert_eq!(raw.rpc("check/user", &json!({ "query": "q" })).await.json, json!({ "result": "q" }));
    assert_eq!(raw.rpc("files/list_folder", &json!({ "path": "" })).await.summary(), "missing_scope/..");
    assert_eq!(raw.rpc("auth/token/revoke", &json!(null)).await.status, 200);
    assert_eq!(who(&raw).await, "invalid_access_token/..");
    assert_eq!(again().await.1["error"], "invalid_grant");
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn tokens_and_codes_can_be_had_without_a_page() {
    let standin = Standin::start(Settings::default()).await.unwrap();
    let code = standin.issue_code("app", None);
    let form = [("grant_type", "authorization_code"), ("code", &*code), ("client_id", "app")];
    assert_eq!(token(&standin, &form).await.0, 200);
    let refresh = standin.refresh_token();
    let form = [("grant_type", "refresh_token"), ("refresh_token", &*refresh), ("client_id", "any")];
    assert_eq!(token(&standin, &form).await.0, 200);
    standin.revoke_refresh();
    assert_eq!(token(&standin, &form).await.0, 400);
}
