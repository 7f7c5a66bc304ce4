//! Each kind of reply, good and bad, and what it becomes.

use std::time::{Duration, Instant};

use ferrybox::dropbox::{AppendEntry, Body, CallError, FinishEntry, Launch, Metadata, Poll, TransportKind};
use ferrybox::model::{Next, RemotePath, WriteMode};

use crate::script::{Answer, Asked, Server, json, with};

fn root() -> RemotePath {
    RemotePath::parse("/a").unwrap()
}

async fn lookup(answer: Answer) -> CallError {
    Server::always(answer).await.client().get_metadata(&root()).await.unwrap_err()
}

fn kind(error: &CallError) -> TransportKind {
    let CallError::Transport(t) = error else { panic!("{error:?}") };
    t.kind
}

fn html(status: u16) -> Answer {
    Answer::Http(status, vec![("content-type", "text/html".to_owned())], "<html>Log in to our WLAN</html>".to_owned())
}

#[tokio::test]
async fn c6_c7_what_is_not_dropbox_s_answer_is_never_a_result() {
    let page = with(json(200, " <!doctype html>"), "content-type", "application/json");
    let redirect = with(html(302), "location", "http://evil.example/login?x=1");
    for answer in [html(200), page, redirect, html(511)] {
        let error = lookup(answer).await;
        assert_eq!(kind(&error), TransportKind::Portal, "{error}");
        assert_eq!(error.failure().next, Next::Account);
    }
    let plain = Answer::Http(200, vec![("content-type", "text/plain".to_owned())], "{}".to_owned());
    let bare = Answer::Http(200, Vec::new(), "{}".to_owned());
    let zipped = with(json(200, "{}"), "content-encoding", "gzip");
    for answer in [plain, bare, zipped] {
        assert_eq!(kind(&lookup(answer).await), TransportKind::Protocol);
    }
    let file = r#""name": "a", "id": "id:1", "rev": "1", "size""#;
    for text in [
        "",
        "{",
        "nul",
        "{} {}",
        "\u{feff}{}",
        "[]",
        "7",
        "\"\"",
        "{}",
        r#"{".tag": 7}"#,
        r#"{".tag": null}"#,
        &format!(r#"{{".tag": "file", {file}: "5"}}"#),
        &format!(r#"{{".tag": "file", {file}: -5}}"#),
        r#"{".tag": "file", "name": "secret-name"}"#,
    ] {
        match Server::always(json(200, text)).await.client().get_metadata(&root()).await {
            Err(error) => {
                assert_eq!(kind(&error), TransportKind::Protocol, "{text}: {error}");
                assert!(error.outcome_unknown() && !error.to_string().contains("secret-name"), "{error}");
            }
            Ok(other) => panic!("{text}: {other:?}"),
        }
    }
    let huge = format!("\"{}\"", "x".repeat(17 << 20));
    let mut settings = Server::always(json(200, "")).await.settings();
    let server = Server::always(json(200, &huge)).await;
    settings.endpoints = server.settings().endpoints;
    settings.timeouts.call = Duration::from_secs(20);
    let tokens = ferrybox::dropbox::Tokens::new("home", crate::script::static_token());
    let error = ferrybox::dropbox::Dropbox::new(settings, tokens).unwrap().get_metadata(&root()).await.unwrap_err();
    assert!(error.to_string().contains("16 MiB"), "{error}");
}

#[tokio::test]
async fn c14_a_redirect_is_not_followed() {
    let other = Server::always(json(200, r#"{"result": "ferrybox"}"#)).await;
    let to = format!("{}/2/check/user", other.base);
    for status in [301, 302, 307, 308] {
        let server = Server::always(with(html(status), "location", &to)).await;
        assert_eq!(kind(&server.client().check_user().await.unwrap_err()), TransportKind::Portal);
    }
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn metadata_wherever_the_tag_stands() {
    let text = r#"{"name": "a", "id": "id:1", "rev": "5", "size": 3, "path_lower": "/a", "content_hash":
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "server_modified": "2026-11-21T00:00:00Z",
        "brand_new": {"x": []}, ".tag": "file"}"#;
    let server = Server::always(json(200, text)).await;
    let Some(Metadata::File(file)) = server.client().get_metadata(&root()).await.unwrap() else { panic!() };
    assert_eq!((file.rev.as_str(), file.size, file.path_lower.as_deref()), ("5", 3, Some("/a")));
    assert!(file.content_hash.is_some());
    assert_eq!(server.asked()[0].json(), serde_json::json!({"path": "/a"}));
    let server = Server::always(json(200, r#"{".tag": "shortcut", "x": 1}"#)).await;
    assert_eq!(server.client().get_metadata(&root()).await.unwrap(), Some(Metadata::Unknown("shortcut".to_owned())));
    let gone = r#"{"error_summary": "path/not_found/..", "error": {"path": {".tag": "not_found"}, ".tag": "path"}}"#;
    let server = Server::always(json(409, gone)).await;
    assert_eq!(server.client().get_metadata(&root()).await.unwrap(), None);
}

#[tokio::test]
async fn errors_keep_their_tags_and_are_tame() {
    let text = r#"{"error_summary": "path/conflict\u001b[31m\n/x", "user_message": {"text": "No\u202e!", "locale": "en"},
        "error": {"reason": {"conflict": {".tag": "file"}, ".tag": "conflict"}, "upload_session_id": "s", ".tag": "path"}}"#;
    let answer = with(json(409, text), "x-dropbox-request-id", "abc\u{1}123");
    let error = lookup(with(answer, "x-dropbox-request-id", "abc123")).await;
    let CallError::Api(api) = &error else { panic!("{error:?}") };
    assert_eq!(api.tags, ["path", "conflict", "file"]);
    assert!(
        error.is("path/conflict")
            && error.is("path/conflict/file")
            && !error.is("path/conflict/folder")
            && !error.is("conflict")
    );
    assert_eq!(api.summary, "path/conflict\\u{1b}[31m\\u{a}/x");
    assert_eq!(api.user_message.as_deref(), Some("No\\u{202e}!"));
    assert_eq!(api.request_id.as_deref(), Some("abc123"));
    assert_eq!(error.failure().code, "conflict");
    assert!(!error.outcome_unknown());

    let long = lookup(Answer::Http(400, vec![("content-type", "text/plain".to_owned())], "é".repeat(5_000))).await;
    assert!(long.to_string().chars().count() < 600);
    assert_eq!(long.failure().code, "protocol");
    // D14: an unknown reason is tried again, and named.
    let failure = lookup(json(409, r#"{"error_summary": "", "error": {".tag": "brand_new"}}"#)).await.failure();
    assert_eq!((failure.code.as_str(), &failure.next), ("other", &Next::Retry { after: None }));
    assert!(failure.text.contains("brand_new"));
    // D15
    for text in ["", "<html>", "{}", "[1"] {
        assert_eq!(kind(&lookup(json(409, text)).await), TransportKind::Protocol);
    }
    let limit = r#"{"error_summary": "x", "error": {".tag": "other"}, "user_message": "Data transport limit reached"}"#;
    assert_eq!(lookup(json(403, limit)).await.failure().code, "data_transport");
    let denied = r#"{"error_summary": "no_permission/", "error": {".tag": "no_permission"}}"#;
    assert_eq!(lookup(json(403, denied)).await.failure().code, "permission");
}

#[tokio::test]
async fn d2_a_server_in_trouble() {
    for answer in [html(502), json(500, ""), html(504), json(503, "{}")] {
        let error = lookup(answer).await;
        assert_eq!(kind(&error), TransportKind::Server);
        assert!(error.outcome_unknown());
        assert_eq!(error.failure().code, "offline");
    }
    let CallError::Transport(t) = lookup(with(html(503), "retry-after", "7")).await else { panic!() };
    assert_eq!(t.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn d1_retry_after_closes_the_gate_of_its_class() {
    let busy = r#"{"error_summary": "x", "error": {"reason": {".tag": "too_many_write_operations"}}}"#;
    let requests = r#"{"error_summary": "x", "error": {"reason": {".tag": "too_many_requests"}}}"#;
    for (text, secs) in [("0", 1), ("1", 1), ("300", 300), ("1e12", 600), ("-3", 1)] {
        let server = Server::always(with(json(429, busy), "retry-after", text)).await;
        let client = server.client();
        let CallError::Throttled(t) = client.get_metadata(&root()).await.unwrap_err() else { panic!() };
        assert_eq!((t.after, t.reason.as_str()), (Some(Duration::from_secs(secs)), "too_many_write_operations"));
        assert!(client.rate_limited_until().is_some());
    }
    // In the body only, or nowhere.
    let inside = r#"{"error_summary": "x", "error": {"reason": {".tag": "too_many_requests"}, "retry_after": 5}}"#;
    let CallError::Throttled(t) = lookup(json(429, inside)).await else { panic!() };
    assert_eq!(t.after, Some(Duration::from_secs(5)));
    let server = Server::always(Answer::Http(429, Vec::new(), "slow down".to_owned())).await;
    let client = server.client();
    let error = client.check_user().await.unwrap_err();
    assert_eq!(error.failure().next, Next::Retry { after: None });
    assert_eq!(client.rate_limited_until(), None);

    // One class waits, the others do not; `too_many_requests` holds all.
    let server = Server::start(move |asked: &Asked| match asked.path.as_str() {
        "/2/files/get_metadata" => with(json(429, busy), "retry-after", "1"),
        "/2/users/get_space_usage" => with(json(429, requests), "retry-after", "1"),
        _ => json(200, r#"{"result": "ferrybox"}"#),
    })
    .await;
    let client = server.client();
    let start = Instant::now();
    client.get_metadata(&root()).await.unwrap_err();
    client.check_user().await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(800));
    client.get_metadata(&root()).await.unwrap_err();
    assert!(start.elapsed() >= Duration::from_secs(1), "the second listing call waited");
    client.space_usage().await.unwrap_err();
    client.check_user().await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(2), "every class waited");
}

fn entry<'a>(to: &'a RemotePath, mode: &'a WriteMode) -> FinishEntry<'a> {
    FinishEntry { session: "s", offset: 1, to, mode, client_modified: None, mute: true }
}

const FILE: &str = r#""name": "a", "id": "id:1", "rev": "5", "size": 1"#;

#[tokio::test]
async fn batches_and_their_entries() {
    let (to, mode) = (root(), WriteMode::Add);
    let two = [entry(&to, &mode), entry(&to, &mode)];
    let list = format!(
        r#""entries": [{{{FILE}, ".tag": "success"}},
           {{"failure": {{"lookup_failed": {{"correct_offset": 9, ".tag": "incorrect_offset"}}, ".tag": "lookup_failed"}}, ".tag": "failure"}}]"#
    );
    let check = |results: &[Result<_, ferrybox::dropbox::EntryError>]| {
        assert!(results[0].is_ok());
        let error = results[1].as_ref().unwrap_err();
        assert_eq!(error.tags, ["lookup_failed", "incorrect_offset"]);
        assert_eq!((error.correct_offset(), error.retry_commit()), (Some(9), false));
    };
    let server = Server::always(json(200, &format!(r#"{{{list}, ".tag": "complete"}}"#))).await;
    let client = server.client();
    let Launch::Done(done) = client.finish_batch(&two).await.unwrap() else { panic!() };
    check(&done);
    check(&client.finish_batch_v2(&two).await.unwrap());
    let Poll::Done(done) = client.finish_batch_check("j", 2).await.unwrap() else { panic!() };
    check(&done);
    assert_eq!(
        client.take_transport_counts(),
        [("files/upload_session/finish_batch", 1), ("files/upload_session/finish_batch_v2", 1)]
    );
    // D13: as many results as entries, or nothing is believed.
    for wrong in [1, 3] {
        // That the job is over is said, whatever its results are.
        let Poll::Unreadable(error) = client.finish_batch_check("j", wrong).await.unwrap() else { panic!() };
        let error = error.into();
        assert_eq!(kind(&error), TransportKind::Protocol);
        assert!(error.outcome_unknown());
    }
    let launch = Server::always(json(200, r#"{"async_job_id": "j1", ".tag": "async_job_id"}"#)).await;
    assert_eq!(launch.client().finish_batch(&two).await.unwrap(), Launch::Job("j1".to_owned()));
    let poll = Server::always(json(200, r#"{".tag": "in_progress"}"#)).await;
    assert_eq!(poll.client().finish_batch_check("j1", 2).await.unwrap(), Poll::InProgress);
    let failed = r#"{".tag": "failed", "failed": {".tag": "too_many_write_operations"}}"#;
    let failed = Server::always(json(200, failed)).await.client().delete_batch_check("j1", 2).await.unwrap();
    let Poll::Failed(error) = failed else { panic!() };
    assert!(error.retry_commit() && error.is("too_many_write_operations"));
    for odd in [r#"{".tag": "brand_new"}"#, r#"{"entries": []}"#, r#"{".tag": "async_job_id"}"#] {
        let error = Server::always(json(200, odd)).await.client().finish_batch(&two).await.unwrap_err();
        assert_eq!(kind(&error), TransportKind::Protocol, "{odd}");
    }
    let without_reason = format!(
        r#"{{".tag": "complete", "entries": [{{".tag": "brand_new", {FILE}}}, {{"failure": {{}}, ".tag": "failure"}}]}}"#
    );
    for odd in [&without_reason, r#"{".tag": "complete"}"#] {
        let launch = Server::always(json(200, odd)).await.client().finish_batch(&two).await.unwrap();
        let Launch::Unreadable(error) = launch else { panic!("{launch:?}") };
        assert_eq!(error.kind, TransportKind::Protocol, "{odd}");
    }
    let odd = format!(r#"{{".tag": "complete", "entries": [{{".tag": "brand_new", {FILE}}}]}}"#);
    let Launch::Done(done) = Server::always(json(200, &odd)).await.client().finish_batch(&two[..1]).await.unwrap()
    else {
        panic!()
    };
    assert!(done[0].as_ref().unwrap_err().is("brand_new"));
}

#[tokio::test]
async fn refusals_that_change_the_way() {
    let (to, mode) = (root(), WriteMode::Add);
    let text =
        |status, text: &str| Answer::Http(status, vec![("content-type", "text/plain".to_owned())], text.to_owned());
    let gone = text(400, "Unknown API function: \"files/upload_session/finish_batch\"");
    for answer in [gone, text(404, "")] {
        let error = Server::always(answer).await.client().finish_batch(&[entry(&to, &mode)]).await.unwrap_err();
        assert!(error.unknown_route() && !error.header_too_large(), "{error}");
    }
    let one = [AppendEntry { session: "s".to_owned(), offset: 0, length: 0, close: true }];
    for status in [400, 413, 431] {
        let client = Server::always(text(status, "")).await;
        let error = client.client().append_batch(&one, Body::from_bytes(Vec::new())).await.unwrap_err();
        assert!(error.header_too_large() && !error.unknown_route());
        let error = client.client().append("s", 0, true, Body::from_bytes(Vec::new())).await.unwrap_err();
        assert!(!error.header_too_large());
    }
    let hash = r#"{"error_summary": "x", "error": {".tag": "content_hash_mismatch"}}"#;
    let error = Server::always(json(409, hash))
        .await
        .client()
        .append("s", 0, true, Body::from_bytes(Vec::new()))
        .await
        .unwrap_err();
    assert_eq!(error.failure().next, Next::Look);
    let late = Server::always(Answer::Hang).await.client().finish_batch_v2(&[entry(&to, &mode)]).await.unwrap_err();
    assert_eq!(kind(&late), TransportKind::Timeout);
    assert!(late.outcome_unknown());
}
