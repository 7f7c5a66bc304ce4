use ferrybox_standin::{Contents, Settings, Standin, ViolationKind};
use serde_json::json;

use crate::raw::{kinds, pair, send};

#[tokio::test]
async fn headers_over_the_cap_are_refused_and_those_under_it_are_not() {
    for (status, cap) in [(431, 60 * 1024), (413, 1000), (400, 1000)] {
        let settings = Settings { header_cap: cap, header_refusal: status, ..Settings::default() };
        let (standin, raw) = pair(settings).await;
        let argument = |length: usize| json!({ "path": format!("/{}", "x".repeat(length)) });
        let under = raw.upload("files/upload", &argument(cap - 600), "x").await;
        assert_eq!((under.status, under.summary()), (409, "path/malformed_path/.."));
        let over = raw.upload("files/upload", &argument(cap), vec![0; 3_000_000]).await;
        assert_eq!((over.status, &over.headers["connection"]), (status, &"close".parse().unwrap()));
        let huge = raw.upload("files/upload", &argument(300_000), "x").await;
        assert_eq!(huge.status, status);
        // A client learns its ceiling by such refusals.
        assert!(standin.violations().is_empty());
    }
}

#[tokio::test]
async fn malformed_requests_are_refused_in_plain_text_and_recorded() {
    let (standin, raw) = pair(Settings::default()).await;
    let json = "application/json";
    let requests = [
        raw.post("files/get_metadata").header("content-type", json).body("{\"path\":"),
        raw.post("files/get_metadata").header("content-type", json).body("{\"path\":\"relative\"}"),
        raw.post("files/get_metadata").header("content-type", json).body("{\"path\":\"/a\",\"unknown\":1}"),
        raw.post("files/get_metadata").header("content-type", "text/plain").body("{\"path\":\"/a\"}"),
        raw.post("files/get_metadata").header("content-type", json).body("{\"path\":\"\"}"),
        raw.post("files/list_folder").header("content-type", json).body("{\"path\":\"/\"}"),
        raw.post("files/list_folder").header("content-type", json).body("{\"path\":\"\",\"limit\":0}"),
        raw.post("files/upload").header("content-type", json).header("dropbox-api-arg", "{\"path\":\"/a\"}"),
        raw.post("files/upload").header("content-type", "application/octet-stream"),
        raw.post("files/upload")
            .header("content-type", "application/octet-stream")
            .header("dropbox-api-arg", "{\"path\":\"/a\",\"client_modified\":\"2020-01-01 00:00:00\"}"),
        raw.http.get(format!("{}/2/files/get_metadata", raw.url)).bearer_auth(&raw.token),
        raw.http.post(format!("{}/2/users/get_current_account", raw.url)),
    ];
    for request in requests {
        standin.reset_counters();
        let reply = send(request).await.unwrap();
        assert!(reply.status == 400 && reply.text.starts_with("Error in call to API function"), "{reply:?}");
        assert_eq!(kinds(&standin), [ViolationKind::BadRequest], "{reply:?}");
    }
    standin.reset_counters();
    assert_eq!(raw.rpc("files/nonsense", &json!({})).await.status, 400);
    assert_eq!(kinds(&standin), [ViolationKind::UnknownRoute]);
}

#[tokio::test]
async fn an_argument_may_come_in_the_url_and_must_be_ascii_in_a_header() {
    let (standin, raw) = pair(Settings::default()).await;
    let octets = "application/octet-stream";
    let url = format!("files/upload?arg={}", "%7B%22path%22%3A%22%2F%C3%BC%22%7D");
    assert_eq!(send(raw.post(&url).header("content-type", octets).body("x")).await.unwrap().status, 200);
    assert!(standin.file("/ü").is_some() && standin.violations().is_empty());
    let header = reqwest::header::HeaderValue::from_bytes("{\"path\":\"/ü\"}".as_bytes()).unwrap();
    send(raw.post("files/upload").header("content-type", octets).header("dropbox-api-arg", header)).await.unwrap();
    assert_eq!(kinds(&standin), [ViolationKind::NonAsciiHeader]);
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_and_recorded() {
    let (standin, raw) = pair(Settings { max_body: 10, ..Settings::default() }).await;
    let reply = raw.upload("files/upload", &json!({ "path": "/a" }), "more than ten").await;
    assert_eq!((reply.status, reply.summary()), (409, "payload_too_large/.."));
    assert_eq!(kinds(&standin), [ViolationKind::BodyTooLarge]);
}

#[tokio::test]
async fn without_contents_the_hash_is_right_all_the_same() {
    let (standin, raw) = pair(Settings { contents: Contents::HashOnly, ..Settings::default() }).await;
    let data = vec![3; 9_000_000];
    raw.upload("files/upload", &json!({ "path": "/a" }), data.clone()).await;
    let file = standin.file("/a").unwrap();
    assert_eq!((file.size, file.content_hash), (9_000_000, ferrybox_standin::content_hash(&data)));
    assert_eq!(standin.content("/a"), None);
}

#[test]
fn a_blocking_test_needs_no_runtime() {
    let standin = Standin::spawn_thread(Settings::default()).unwrap();
    assert!(std::net::TcpStream::connect(standin.address()).is_ok());
    std::thread::scope(|scope| {
        scope.spawn(|| standin.write("/a", "x"));
        let arrived = |standin: &Standin| standin.file("/a").is_some();
        assert!(standin.wait_for_blocking(std::time::Duration::from_secs(10), arrived));
    });
    let address = standin.address();
    standin.stop();
    assert!(std::net::TcpStream::connect(address).is_err());
}
