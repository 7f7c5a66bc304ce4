//! Tokens: renewed once for all, at the right time, and never shown.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ferrybox::dropbox::{AuthError, CallError, Dropbox, Pkce, TransportKind, exchange};
use ferrybox::model::Next;
use secrecy::ExposeSecret;
use tokio::task::JoinSet;

use crate::poll::look_for_async;
use crate::script::{Answer, Asked, CANARY, EXPIRED, REFRESH, Server, json};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

const ECHO: &str = r#"{"result": "ferrybox"}"#;

fn token(n: usize, life: u64) -> Answer {
    json(200, &format!(r#"{{"access_token": "{CANARY}-{n}", "expires_in": {life}, "token_type": "bearer"}}"#))
}

async fn sixteen(client: &Dropbox) -> Vec<Result<(), CallError>> {
    let mut calls = JoinSet::new();
    for _ in 0..16 {
        let client = client.clone();
        calls.spawn(async move { client.check_user().await });
    }
    calls.join_all().await
}

#[tokio::test]
async fn o1_one_renewal_for_sixteen_calls_at_the_start_and_again_when_it_has_expired() {
    let renewals = Arc::new(AtomicUsize::new(0));
    let good = Arc::new(AtomicUsize::new(1));
    let (r, g) = (renewals.clone(), good.clone());
    let server = Server::start(move |asked: &Asked| {
        if asked.path == "/oauth2/token" {
            let body = String::from_utf8_lossy(&asked.body);
            assert!(body.contains("grant_type=refresh_token") && body.contains(&format!("refresh_token={REFRESH}")));
            assert!(body.contains("client_id=key") && !asked.headers.contains_key("authorization"));
            return token(r.fetch_add(1, Ordering::SeqCst) + 1, 14_400);
        }
        let good = format!("Bearer {CANARY}-{}", g.load(Ordering::SeqCst));
        if asked.headers["authorization"] == good { json(200, ECHO) } else { json(401, EXPIRED) }
    })
    .await;
    let client = server.renewing();
    assert!(sixteen(&client).await.iter().all(Result::is_ok));
    assert_eq!(renewals.load(Ordering::SeqCst), 1);
    good.store(2, Ordering::SeqCst);
    assert!(sixteen(&client).await.iter().all(Result::is_ok));
    assert_eq!(renewals.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let renewals = Arc::new(AtomicUsize::new(0));
    let r = renewals.clone();
    let server = Server::start(move |asked: &Asked| match asked.path.as_str() {
        "/oauth2/token" => token(r.fetch_add(1, Ordering::SeqCst) + 1, 2),
        _ => json(200, ECHO),
    })
    .await;
    let client = server.renewing();
    client.check_user().await.unwrap();
    client.check_user().await.unwrap();
    assert_eq!(renewals.load(Ordering::SeqCst), 1);
    // The token's own time: three quarters of two seconds, and a little.
    tokio::time::sleep(std::time::Duration::from_millis(1_600)).await;
    client.check_user().await.unwrap();
    assert_eq!(renewals.load(Ordering::SeqCst), 2, "after three quarters of its life");
}

#[tokio::test]
async fn o2_a_revoked_grant_stops_the_network_and_names_the_command() {
    let server =
        Server::always(json(400, r#"{"error": "invalid_grant", "error_description": "refresh token is invalid"}"#))
            .await;
    let client = server.renewing();
    for result in sixteen(&client).await {
        let error = result.unwrap_err();
        assert!(matches!(&error, CallError::Auth(AuthError::Relink { .. })), "{error:?}");
        let failure = error.failure();
        assert_eq!((failure.code.as_str(), &failure.next), ("auth_required", &Next::Account));
        assert!(failure.text.contains("ferrybox link home"), "{}", failure.text);
    }
    client.check_user().await.unwrap_err();
    assert_eq!(server.asked().len(), 1, "a dead token is not asked about again");
    client.tokens().replace(crate::script::static_token()).await;
    assert!(matches!(client.check_user().await.unwrap_err(), CallError::Api(_)));
}

/// A gateway's words are not OAuth's: they must not unlink anybody.
#[tokio::test]
async fn o3_only_oauth_s_own_words_end_a_link() {
    for answer in [
        json(400, r#"{"error": "bad request"}"#),
        json(403, r#"{"error": "blocked"}"#),
        json(400, "no"),
        json(200, "{}"),
    ] {
        let server = Server::always(answer).await;
        let client = server.renewing();
        for _ in 0..2 {
            let error = client.check_user().await.unwrap_err();
            assert!(matches!(error, CallError::Transport(_)), "{error:?}");
        }
        assert_eq!(server.asked().len(), 2, "tried again");
    }
    let server = Server::always(crate::script::with(json(429, "{}"), "retry-after", "30")).await;
    let client = server.renewing();
    assert!(matches!(client.check_user().await.unwrap_err(), CallError::Throttled(_)));
    assert!(client.rate_limited_until().is_some());
}

#[tokio::test]
async fn o3_a_token_server_in_trouble_means_offline_and_all_who_wait_share_one_try() {
    let server = Server::always(json(503, "")).await;
    for result in sixteen(&server.renewing()).await {
        let error = result.unwrap_err();
        assert!(matches!(&error, CallError::Transport(t) if t.kind == TransportKind::Server), "{error:?}");
        assert_eq!(error.failure().code, "offline");
        assert!(!error.outcome_unknown(), "the call itself was never sent");
    }
    assert_eq!(server.asked().len(), 1);
    let hanging = Server::always(Answer::Hang).await;
    let error = hanging.renewing().check_user().await.unwrap_err();
    assert!(matches!(&error, CallError::Transport(t) if t.kind == TransportKind::Timeout), "{error:?}");
}

#[tokio::test]
async fn o3_what_the_token_server_asks_is_obeyed_by_every_class_of_calls() {
    for (status, wait) in [(503, "30"), (429, "30"), (429, "0")] {
        let server = Server::start(move |asked: &Asked| {
            if asked.path == "/oauth2/token" {
                crate::script::with(json(status, "{}"), "retry-after", wait)
            } else {
                json(200, ECHO)
            }
        })
        .await;
        let client = server.renewing();
        let began = std::time::Instant::now();
        assert!(client.check_user().await.is_err());
        let told = client.rate_limited_until().unwrap();
        for _ in 0..2 {
            let error = client.current_account().await.unwrap_err();
            let Next::Retry { after: Some(after) } = error.failure().next else { panic!("{error:?}") };
            assert!(after <= std::time::Duration::from_secs(30));
        }
        assert!(
            client.rate_limited_until().unwrap() <= told + std::time::Duration::from_secs(1),
            "no longer than it asked"
        );
        assert!(
            server.asked().len() == 1 || began.elapsed() > std::time::Duration::from_secs(1),
            "{:?}",
            server.asked().len()
        );
    }
    // Once it is over, it is asked again, and the gate is open.
    let calls = AtomicUsize::new(0);
    let server = Server::start(move |asked: &Asked| match asked.path.as_str() {
        "/oauth2/token" if calls.fetch_add(1, Ordering::SeqCst) == 0 => {
            crate::script::with(json(503, ""), "retry-after", "1")
        }
        "/oauth2/token" => token(1, 14_400),
        _ => json(200, ECHO),
    })
    .await;
    let client = server.renewing();
    assert!(client.check_user().await.is_err());
    // Its own class of calls waits at its gate; whoever is first at the token waits no longer than that.
    let open = look_for_async(std::time::Duration::from_secs(10), async || {
        let user = client.check_user().await.ok();
        assert!(user.is_some() || server.count("/oauth2/token") == 1);
        user
    });
    assert!(open.await.is_some());
    assert_eq!(server.count("/oauth2/token"), 2);
}

#[tokio::test]
async fn o6_a_missing_scope_and_the_other_words_of_a_401() {
    let told =
        |tag: &str, rest: &str| json(401, &format!(r#"{{"error_summary": "x", "error": {{{rest} ".tag": "{tag}"}}}}"#));
    let scope = told("missing_scope", r#""required_scope": "files.content.write","#);
    let error = Server::always(scope).await.client().check_user().await.unwrap_err();
    assert!(error.failure().text.contains("`files.content.write`"), "{error}");
    for (tag, word) in
        [("user_suspended", "suspended"), ("invalid_select_user", "select_user"), ("brand_new", "brand_new")]
    {
        let error = Server::always(told(tag, "")).await.client().check_user().await.unwrap_err();
        assert!(matches!(error, CallError::Auth(_)));
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(error.failure().code, "auth_required");
    }
}

#[tokio::test]
async fn a_token_of_somebody_else_is_never_renewed() {
    let server = Server::always(json(401, EXPIRED)).await;
    let client = server.client();
    for _ in 0..2 {
        let error = client.check_user().await.unwrap_err();
        assert!(
            matches!(&error, CallError::Auth(AuthError::StaticToken { account }) if account == "home"),
            "{error:?}"
        );
    }
    assert_eq!(server.asked().len(), 1);
    assert_eq!(server.count("/oauth2/token"), 0);
}

#[tokio::test]
async fn a_token_that_is_refused_when_fresh_needs_a_new_link_unless_it_has_only_expired() {
    let invalid = EXPIRED.replace("expired_access_token", "invalid_access_token");
    for (answer, relink) in [(invalid, true), (EXPIRED.to_owned(), false)] {
        let server = Server::start(
            move |asked: &Asked| {
                if asked.path == "/oauth2/token" { token(1, 14_400) } else { json(401, &answer) }
            },
        )
        .await;
        let error = server.renewing().check_user().await.unwrap_err();
        assert_eq!(matches!(error, CallError::Auth(AuthError::Relink { .. })), relink, "{error:?}");
        assert_eq!(matches!(error, CallError::Auth(AuthError::Unaccepted { tries: 1, .. })), !relink, "{error:?}");
        assert_eq!(server.count("/2/check/user"), 2, "once more, and no oftener");
    }
}

/// After refusals, one call finds out whether they are over. Whoever only waits until a commit may be made is not that call.
#[tokio::test]
async fn s6_a_look_before_a_commit_leaves_the_one_try_to_the_commit() {
    let accepts = Arc::new(AtomicUsize::new(0));
    let taken = accepts.clone();
    let server = Server::start(move |asked: &Asked| {
        if asked.path == "/oauth2/token" {
            token(1, 14_400)
        } else if taken.load(Ordering::Relaxed) == 0 {
            json(401, EXPIRED)
        } else {
            json(200, ECHO)
        }
    })
    .await;
    let client = server.renewing();
    assert!(matches!(client.check_user().await, Err(CallError::Auth(AuthError::Unaccepted { tries: 1, .. }))));
    accepts.store(1, Ordering::Relaxed);
    // The pause is over when the first call is let through again.
    let outcome = look_for_async(crate::poll::PATIENCE, async || {
        client.until_commit().await;
        client.until_commit().await;
        match client.check_user().await {
            Err(CallError::Auth(AuthError::Unaccepted { .. })) => None,
            outcome => Some(outcome),
        }
    });
    outcome.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_code_is_redeemed_with_its_proof() {
    let reply = format!(
        r#"{{"access_token": "{CANARY}", "expires_in": 14400, "refresh_token": "{REFRESH}", "account_id": "dbid:A", "scope": "a b", "uid": "1"}}"#
    );
    let server = Server::always(json(200, &reply)).await;
    let linked = exchange(&server.settings(), "key", " CODE\n", &Pkce::new().unwrap()).await.unwrap();
    assert_eq!(linked.refresh_token.expose_secret(), REFRESH);
    assert_eq!((linked.account_id.as_deref(), linked.scope.as_str()), (Some("dbid:A"), "a b"));
    let form = String::from_utf8(server.asked()[0].body.clone()).unwrap();
    assert!(
        form.contains("grant_type=authorization_code")
            && form.contains("code=CODE&")
            && form.contains("code_verifier=")
    );
    let shown = format!("{linked:?} {:?}", linked.credentials("key"));
    assert!(!shown.contains("CANARY"), "{shown}");
    let refused =
        Server::always(json(400, r#"{"error": "invalid_grant", "error_description": "code has expired"}"#)).await;
    let error = exchange(&refused.settings(), "key", "x", &Pkce::new().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("code has expired"), "{error}");
}

/// T6: whatever goes wrong, and whatever is printed, the tokens are not in it.
#[tokio::test]
async fn t6_no_token_is_ever_printed() {
    let log = Log::default();
    // For the whole process: what the other tests log is looked at too.
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).init();
    let mut shown = String::new();
    let odd_token = format!(r#"{{"access_token": 7, "refresh_token": "{REFRESH}", "expires_in": "{CANARY}"}}"#);
    for answer in [json(200, &odd_token), json(200, ECHO), Answer::Hang, Answer::Raw(Vec::new()), json(500, "")] {
        let server = Server::always(answer).await;
        for client in [server.client(), server.renewing()] {
            let (a, b) = (client.check_user().await, client.current_account().await);
            shown.push_str(&format!("{a:?} {b:?} {client:?} {:?} {:?}", client.tokens(), client.settings()));
            if let Err(e) = a {
                shown.push_str(&format!("{e} {:?} {}", e.failure(), e.failure()));
            }
        }
    }
    let dead = Dropbox::new(
        Server::always(Answer::Hang).await.settings(),
        ferrybox::dropbox::Tokens::new("home", crate::script::refresh_token()),
    )
    .unwrap();
    shown.push_str(&format!("{:?}", dead.check_user().await));
    shown.push_str(&format!("{:?} {:?}", crate::script::static_token(), crate::script::refresh_token()));
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(logged.contains("check/user"), "the log holds {} bytes", logged.len());
    for text in [shown, logged] {
        for secret in ["CANARY", "Bearer"] {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{line:?}");
        }
    }
}
