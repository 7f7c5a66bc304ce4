//! Bodies: streamed, checked, repeated only where they can be.

use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ferrybox::dropbox::{
    AppendEntry, AuthError, Body, CallError, TransportKind, append_batch_fixed_len, append_batch_header_len,
};
use ferrybox::model::ContentHasher;
use futures_util::{StreamExt, stream};

use crate::script::{Answer, CANARY, Server, json};

#[derive(Debug, thiserror::Error)]
#[error("the file changed")]
struct FileChanged;

fn pieces(n: usize) -> Vec<Bytes> {
    (0..n).map(|i| Bytes::from(vec![u8::try_from(i % 251).unwrap(); 100_000])).collect()
}

#[tokio::test]
async fn a_stream_arrives_whole_with_its_length_and_hash() {
    let server = Server::always(json(200, "null")).await;
    let client = server.client();
    let (list, mut hasher) = (pieces(7), ContentHasher::new());
    list.iter().for_each(|p| hasher.update(p));
    let hash = hasher.finish();
    let stream = stream::iter(list.clone()).map(Ok).boxed();
    client.append("pid:x", 4 << 20, true, Body::from_stream(700_000, hash, stream)).await.unwrap();
    client.append("pid:x", 0, false, Body::from_bytes(list.clone())).await.unwrap();
    client.append("pid:x", 0, true, Body::from_bytes(Vec::new())).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked[0].path, "/2/files/upload_session/append_v2");
    assert_eq!(asked[0].headers["content-type"], "application/octet-stream");
    assert_eq!(asked[0].headers["content-length"], "700000");
    assert_eq!(asked[0].headers["authorization"], format!("Bearer {CANARY}"));
    assert_eq!(asked[0].body, list.concat());
    assert_eq!(
        asked[0].arg(),
        serde_json::json!({"cursor": {"session_id": "pid:x", "offset": 4 << 20}, "close": true, "content_hash": hash.to_string()})
    );
    assert_eq!(asked[1].arg()["content_hash"], hash.to_string());
    assert_eq!(asked[2].headers["content-length"], "0");
    assert_eq!(client.bytes_sent(), 1_400_000);
    assert_eq!(client.take_transport_counts(), [("files/upload_session/append_v2", 3)]);
    assert_eq!(client.take_transport_counts(), []);
}

#[tokio::test]
async fn the_stream_s_own_error_comes_back_as_it_was() {
    let server = Server::always(json(200, "null")).await;
    let client = server.client();
    let hash = Body::from_bytes(Vec::new()).content_hash();
    let broken = stream::iter(vec![Ok(Bytes::from_static(b"abc")), Err(io::Error::other(FileChanged))]).boxed();
    let error = client.append("s", 0, true, Body::from_stream(10, hash, broken)).await.unwrap_err();
    let CallError::Body(error) = error else { panic!("{error:?}") };
    assert!(error.get_ref().unwrap().is::<FileChanged>());
    for (len, text) in [(4, "early"), (2, "more bytes")] {
        let stream = stream::iter(vec![Ok(Bytes::from_static(b"abc"))]).boxed();
        let error = client.append("s", 0, true, Body::from_stream(len, hash, stream)).await.unwrap_err();
        assert!(matches!(&error, CallError::Body(e) if e.to_string().contains(text)), "{error:?}");
        assert!(!error.outcome_unknown());
    }
    assert_eq!(server.asked().len(), 0, "no whole request ever arrived");
}

/// A body that can be read again is sent again after a renewal; one that cannot is given back to the caller.
#[tokio::test]
async fn a_body_after_a_renewal() {
    let (server, renewals) = Server::expiring(json(200, "null")).await;
    let list = pieces(3);
    let hash = Body::from_bytes(list.clone()).content_hash();
    let again = list.clone();
    let body = Body::from_fn(300_000, hash, move || stream::iter(again.clone()).map(Ok).boxed());
    server.renewing().append("s", 0, true, body).await.unwrap();
    let sent: Vec<_> = server.asked().into_iter().filter(|a| a.path != "/oauth2/token").collect();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[1].body, list.concat());

    renewals.store(0, Ordering::SeqCst);
    let client = server.renewing();
    let once = |list: Vec<Bytes>| Body::from_stream(300_000, hash, stream::iter(list).map(Ok).boxed());
    let error = client.append("s", 0, true, once(list.clone())).await.unwrap_err();
    assert!(matches!(error, CallError::Auth(AuthError::Renewed)), "{error:?}");
    assert!(matches!(error.failure().next, ferrybox::model::Next::Retry { after: Some(Duration::ZERO) }));
    client.append("s", 0, true, once(list)).await.unwrap();
}

#[tokio::test]
async fn the_header_is_as_long_as_was_said() {
    let ok = r#"{"entries": [{".tag": "success"}, {".tag": "success"}, {".tag": "success"}]}"#;
    let server = Server::always(json(200, ok)).await;
    let entry =
        |i: u64| AppendEntry { session: format!("pid_upload_session:é{i}"), offset: 0, length: i, close: true };
    let entries: Vec<_> = (1..4).map(entry).collect();
    let body = Body::from_bytes(vec![Bytes::from_static(b"abcdef")]);
    let hash = body.content_hash();
    assert_eq!(server.client().append_batch(&entries, body).await.unwrap().len(), 3);
    let asked = &server.asked()[0];
    let said = append_batch_fixed_len() + entries.iter().map(append_batch_header_len).sum::<usize>();
    assert_eq!(asked.headers["dropbox-api-arg"].len(), said);
    assert!(asked.headers["dropbox-api-arg"].contains("\\u00e9"));
    assert_eq!(asked.arg()["content_hash"], hash.to_string());
    assert_eq!(asked.arg()["entries"][2]["length"], 3);
}

#[tokio::test]
async fn a_stalled_body_times_out_and_a_slow_one_does_not() {
    let server = Server::always(json(200, "null")).await;
    let hash = Body::from_bytes(Vec::new()).content_hash();
    let stuck = stream::iter(vec![Ok(Bytes::from_static(b"abc"))]).chain(stream::pending()).boxed();
    let error = server.client().append("s", 0, true, Body::from_stream(10, hash, stuck)).await.unwrap_err();
    assert!(matches!(&error, CallError::Transport(t) if t.kind == TransportKind::Timeout), "{error:?}");

    // 8 slices at about 128 KiB a second: longer than the idle time, and never idle.
    let client = server.client();
    client.set_bandwidth(Some(512 << 10));
    let start = Instant::now();
    client.append("s", 0, true, Body::from_bytes(vec![Bytes::from(vec![1; 512 << 10])])).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(700), "{:?}", start.elapsed());
    assert!(start.elapsed() <= Duration::from_millis(2_500), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_the_outcome_unknown() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"a".to_vec();
    for answer in [None, Some(Answer::Raw(Vec::new())), Some(Answer::Raw(half)), Some(Answer::Hang)] {
        let server = match answer.clone() {
            None => Server::cutting().await,
            Some(answer) => Server::always(answer).await,
        };
        let body = Body::from_bytes(pieces(2));
        let error = server.client().append("s", 0, true, body).await.unwrap_err();
        let CallError::Transport(t) = &error else { panic!("{answer:?} {error:?}") };
        assert!(matches!(t.kind, TransportKind::Reset | TransportKind::Timeout), "{answer:?} {error:?}");
        assert!(error.outcome_unknown(), "{answer:?}");
        assert_eq!(error.failure().code, "offline");
    }
    // Plain HTTP where TLS is expected.
    let plain = Server::always(json(200, "null")).await;
    let mut settings = plain.settings();
    let base = plain.base.replace("http:", "https:");
    settings.endpoints = ferrybox::dropbox::Endpoints::new(&base, &base, &base, &base).unwrap();
    let tokens = ferrybox::dropbox::Tokens::new("home", crate::script::static_token());
    let error = ferrybox::dropbox::Dropbox::new(settings, tokens).unwrap().check_user().await.unwrap_err();
    assert!(matches!(&error, CallError::Transport(t) if t.kind == TransportKind::Tls), "{error:?}");
    assert!(!error.outcome_unknown());

    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let mut settings = plain.settings();
    settings.endpoints = ferrybox::dropbox::Endpoints::new(&base, &base, &base, &base).unwrap();
    settings.connections = 1;
    let client = ferrybox::dropbox::Dropbox::new(
        settings,
        ferrybox::dropbox::Tokens::new("home", crate::script::static_token()),
    )
    .unwrap();
    let error = client.check_user().await.unwrap_err();
    assert!(matches!(&error, CallError::Transport(t) if t.kind == TransportKind::Connect), "{error:?}");
    assert!(!error.outcome_unknown(), "nothing was ever sent");
}
