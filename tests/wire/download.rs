//! Downloads: against the stand-in server, and against a server that says what a test wants.

use std::sync::atomic::Ordering;
use std::time::Instant;

use ferrybox::dropbox::{CallError, Download, PathRoot, TransportKind, Version};
use ferrybox::model::{Next, RemotePath};
use ferrybox_standin::{Effect, Fault, Standin};

use crate::script::{Answer, CANARY, Server};
use crate::standin::client;

const SIZE: usize = 300_000;

fn pattern() -> Vec<u8> {
    (0..SIZE).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1] ^ n.to_le_bytes()[2]).collect()
}

/// What came, and how it ended.
async fn drain(mut download: Download) -> (Vec<u8>, Result<(), CallError>) {
    let mut bytes = Vec::new();
    loop {
        match download.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => {
                assert_eq!(download.remaining(), 0);
                return (bytes, Ok(()));
            }
            Err(error) => return (bytes, Err(error)),
        }
    }
}

async fn whole(download: Download) -> Vec<u8> {
    let (bytes, end) = drain(download).await;
    end.unwrap();
    bytes
}

fn range(from: usize, to: usize) -> Option<std::ops::Range<u64>> {
    Some(from as u64..to as u64)
}

#[tokio::test]
async fn files_ranges_and_revisions_come_as_they_are() {
    let standin = Standin::start(ferrybox_standin::Settings::default()).await.unwrap();
    let dropbox = client(&standin, PathRoot::Root);
    let bytes = pattern();
    let text = "/Ördner/🦀 \u{7f}\"x\".bin";
    let rev = standin.write(text, bytes.clone()).unwrap();
    let path = RemotePath::parse(text).unwrap();

    let download = dropbox.download(Version::Path(&path), None).await.unwrap();
    assert_eq!((download.start, download.len, download.size), (0, SIZE as u64, SIZE as u64));
    let metadata = download.metadata.clone().unwrap();
    assert_eq!(
        (metadata.rev.as_str(), metadata.size, metadata.path_display.as_deref()),
        (rev.as_str(), SIZE as u64, Some(text))
    );
    assert_eq!(whole(download).await, bytes);

    // B4: the revision stays the same, whatever is at the path now.
    standin.write(text, "another").unwrap();
    let old = Version::Rev(&rev);
    assert_eq!(whole(dropbox.download(old, None).await.unwrap()).await, bytes);
    for (from, to) in [(0, 1), (5, 5_000), (SIZE - 1, SIZE), (0, SIZE)] {
        let download = dropbox.download(old, range(from, to)).await.unwrap();
        assert_eq!((download.start, download.len, download.size), (from as u64, (to - from) as u64, SIZE as u64));
        assert_eq!(whole(download).await, bytes[from..to]);
    }
    // Beyond the end: less than was asked for, and said so; or nothing at all.
    let download = dropbox.download(old, range(SIZE - 5, SIZE + 5)).await.unwrap();
    assert_eq!((download.len, download.remaining()), (5, 5));
    let error = dropbox.download(old, range(SIZE, SIZE + 5)).await.unwrap_err();
    assert!(error.range_outside() && !error.outcome_unknown(), "{error:?}");
    assert_eq!((error.failure().code.as_str(), error.failure().next), ("changed", Next::Look));
    assert!(dropbox.download(old, range(5, 5)).await.is_err());

    let empty = standin.write("/empty", "").unwrap();
    let download = dropbox.download(Version::Rev(&empty), None).await.unwrap();
    assert_eq!(download.size, 0);
    assert!(whole(download).await.is_empty());

    standin.expire_tokens();
    assert_eq!(whole(dropbox.download(old, range(1, 3)).await.unwrap()).await, bytes[1..3]);
    assert!(dropbox.bytes_received() > 3 * SIZE as u64);
    // Downloads are not among the calls that a team's plan counts.
    assert_eq!(dropbox.take_transport_counts(), []);
    assert!(standin.violations().is_empty(), "{:?}", standin.violations());
}

/// C: the connection breaks in the middle, as often as it likes; ranges go on from where it broke.
#[tokio::test]
async fn a_cut_download_goes_on_by_its_range() {
    let standin = Standin::start(ferrybox_standin::Settings::default()).await.unwrap();
    let dropbox = client(&standin, PathRoot::Home);
    let bytes = pattern();
    let rev = standin.write("/f", bytes.clone()).unwrap();
    standin.faults().add(Fault::times("files/download", 3, Effect::CutReply(70_000)));
    let mut have = Vec::new();
    let mut cuts = 0;
    while have.len() < SIZE {
        let download = dropbox.download(Version::Rev(&rev), range(have.len(), SIZE)).await.unwrap();
        assert_eq!(download.start, have.len() as u64);
        let (more, end) = drain(download).await;
        have.extend_from_slice(&more);
        if let Err(error) = end {
            cuts += 1;
            assert!(matches!(&error, CallError::Transport(t) if t.kind == TransportKind::Reset), "{error:?}");
            assert!(!error.outcome_unknown() && error.failure().code == "offline", "{error:?}");
        }
    }
    assert_eq!((have, cuts), (bytes, 3));
    // A call that is cut before its head is no download.
    standin.faults().add(Fault::once("files/download", Effect::DropAfter));
    assert!(dropbox.download(Version::Rev(&rev), None).await.is_err());
}

#[tokio::test]
async fn refusals_are_failures_of_the_path() {
    let standin = Standin::start(ferrybox_standin::Settings::default()).await.unwrap();
    let dropbox = client(&standin, PathRoot::Home);
    let path = RemotePath::parse("/f").unwrap();
    let code = async |what: Version<'_>| {
        let failure = dropbox.download(what, None).await.unwrap_err().failure();
        (failure.code, failure.next)
    };
    assert_eq!(code(Version::Path(&path)).await, ("gone".to_owned(), Next::Look));
    assert_eq!(code(Version::Rev("5f0000000")).await, ("gone".to_owned(), Next::Look));
    standin.make_folder("/f");
    assert_eq!(code(Version::Path(&path)).await, ("gone".to_owned(), Next::Look));
    standin.write("/paper", "x");
    standin.decorate("/paper", serde_json::json!({"is_downloadable": false}));
    let paper = RemotePath::parse("/paper").unwrap();
    assert_eq!(code(Version::Path(&paper)).await, ("type".to_owned(), Next::Wedge));
    for (tags, expected, next) in [
        ("path/restricted_content", "permission", Next::Later),
        ("path/locked", "busy", Next::Retry { after: None }),
        ("path/unsupported_content_type", "type", Next::Wedge),
        ("path/malformed_path", "name", Next::Wedge),
        ("path/brand_new", "other", Next::Retry { after: None }),
    ] {
        standin.faults().add(Fault::once("files/download", Effect::EndpointError(tags.to_owned())));
        assert_eq!(code(Version::Path(&path)).await, (expected.to_owned(), next), "{tags}");
    }
    // 429 closes the gate of downloads alone.
    let limited =
        Effect::RateLimited { reason: "too_many_write_operations".to_owned(), retry_after: Some("60".to_owned()) };
    standin.faults().add(Fault::once("files/download", limited));
    assert_eq!(code(Version::Path(&path)).await.0, "rate_limited");
    assert_eq!(dropbox.waiting().into_iter().map(|(what, _)| what).collect::<Vec<_>>(), ["downloads"]);
    dropbox.get_metadata(&path).await.unwrap();
}

const META: &str = r#"{"name": "a", "id": "id:1", "rev": "5f", "size": 10}"#;

fn head(status: &str, headers: &[(&str, &str)]) -> String {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status}\r\n{lines}\r\n")
}

fn raw(status: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    Answer::Raw((head(status, headers) + body).into_bytes())
}

#[tokio::test]
async fn what_is_asked_is_what_the_specification_says() {
    let answer = || raw("206 x", &[("content-range", "bytes 2-4/10"), ("content-length", "3")], "cde");
    let server = Server::start(move |_| answer()).await;
    let download = server.client().download(Version::Rev("5f"), range(2, 5)).await.unwrap();
    assert_eq!((download.metadata.clone(), download.start, download.len, download.size), (None, 2, 3, 10));
    assert_eq!(whole(download).await, b"cde");
    let path = RemotePath::parse("/Ä\u{7f}🦀").unwrap();
    drop(server.client().download(Version::Path(&path), range(2, 5)).await);
    let asked = server.asked();
    assert_eq!(asked[0].path, "/2/files/download");
    assert_eq!(asked[0].headers["range"], "bytes=2-4");
    assert_eq!(asked[0].headers["authorization"], format!("Bearer {CANARY}"));
    assert_eq!(asked[0].arg(), serde_json::json!({"path": "rev:5f"}));
    assert!(asked[0].body.is_empty() && !asked[0].headers.contains_key("content-type"), "{asked:?}");
    assert!(asked[1].headers["dropbox-api-arg"].is_ascii());
    assert_eq!(asked[1].arg(), serde_json::json!({"path": path.as_str()}));
}

/// A 200 to a range is the whole file from its first byte, and that is seen.
#[tokio::test]
async fn a_range_that_was_not_heeded_is_seen() {
    let answer = raw("200 OK", &[("dropbox-api-result", META), ("content-length", "10")], "0123456789");
    let server = Server::always(answer).await;
    let download = server.client().download(Version::Rev("5f"), range(2, 5)).await.unwrap();
    assert_eq!((download.start, download.len, download.size), (0, 10, 10));
    assert_eq!(whole(download).await, b"0123456789");
}

#[tokio::test]
async fn replies_that_do_not_fit_are_no_downloads() {
    let other_rev = META.replace("5f", "60");
    let larger = META.replace("10", "11");
    let part = |range: &'static str| vec![("dropbox-api-result", META), ("content-range", range)];
    type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, TransportKind);
    let cases: Vec<Case<'_>> = vec![
        ("200 OK", vec![], TransportKind::Protocol),
        ("200 OK", vec![("content-type", "text/html")], TransportKind::Portal),
        ("200 OK", vec![("dropbox-api-result", "{")], TransportKind::Protocol),
        ("200 OK", vec![("dropbox-api-result", "{}")], TransportKind::Protocol),
        ("200 OK", vec![("dropbox-api-result", other_rev.as_str())], TransportKind::Protocol),
        ("200 OK", vec![("dropbox-api-result", META), ("content-length", "9")], TransportKind::Protocol),
        ("200 OK", vec![("dropbox-api-result", META), ("content-encoding", "gzip")], TransportKind::Protocol),
        ("204 x", vec![("dropbox-api-result", META)], TransportKind::Protocol),
        ("206 x", vec![("dropbox-api-result", META)], TransportKind::Protocol),
        ("206 x", part("bytes 0-2/10"), TransportKind::Protocol),
        ("206 x", part("bytes 2-9/10"), TransportKind::Protocol),
        ("206 x", part("bytes 2-4/3"), TransportKind::Protocol),
        ("206 x", part("bytes 2-4/*"), TransportKind::Protocol),
        (
            "206 x",
            vec![("dropbox-api-result", larger.as_str()), ("content-range", "bytes 2-4/10")],
            TransportKind::Protocol,
        ),
        ("302 x", vec![("location", "http://evil.example/")], TransportKind::Portal),
    ];
    for (status, headers, kind) in cases {
        let server = Server::always(raw(status, &headers, "cde")).await;
        let error = server.client().download(Version::Rev("5f"), range(2, 5)).await.unwrap_err();
        let CallError::Transport(t) = &error else { panic!("{status} {headers:?}: {error:?}") };
        assert_eq!(t.kind, kind, "{status} {headers:?}: {t:?}");
    }
    // A part that nobody asked for.
    let server = Server::always(raw("206 x", &part("bytes 2-4/10"), "cde")).await;
    assert!(server.client().download(Version::Rev("5f"), None).await.is_err());
}

/// B3: shorter, longer, chunked without a length, or standing still: never a silent end.
#[tokio::test]
async fn b3_a_body_of_another_length_is_an_error() {
    let meta = ("dropbox-api-result", META);
    let length = ("content-length", "10");
    let short = head("200 OK", &[meta, length]) + "01234";
    let chunked = ("transfer-encoding", "chunked");
    let cases: Vec<(&str, Answer, TransportKind, usize)> = vec![
        ("short", Answer::Raw(short.clone().into_bytes()), TransportKind::Reset, 5),
        ("stalled", Answer::Stall(short.into_bytes()), TransportKind::Timeout, 5),
        ("short, by its end", raw("200 OK", &[meta, ("connection", "close")], "01234"), TransportKind::Reset, 5),
        ("short in chunks", raw("200 OK", &[meta, chunked], "5\r\n01234\r\n0\r\n\r\n"), TransportKind::Reset, 5),
        ("cut in a chunk", raw("200 OK", &[meta, chunked], "a\r\n01234"), TransportKind::Reset, 5),
        ("longer", raw("200 OK", &[meta, chunked], "b\r\n0123456789X\r\n0\r\n\r\n"), TransportKind::Protocol, 0),
    ];
    for (what, answer, kind, came) in cases {
        let server = Server::always(answer).await;
        let (bytes, end) = drain(server.client().download(Version::Rev("5f"), None).await.unwrap()).await;
        let error = end.unwrap_err();
        assert!(matches!(&error, CallError::Transport(t) if t.kind == kind), "{what}: {error:?}");
        assert_eq!(bytes.len(), came, "{what}");
        assert!(!error.outcome_unknown(), "{what}");
    }
    let server = Server::always(raw("200 OK", &[meta, chunked], "a\r\n0123456789\r\n0\r\n\r\n")).await;
    assert_eq!(whole(server.client().download(Version::Rev("5f"), None).await.unwrap()).await, b"0123456789");
    // No head at all.
    let error = Server::always(Answer::Hang).await.client().download(Version::Rev("5f"), None).await.unwrap_err();
    assert!(matches!(&error, CallError::Transport(t) if t.kind == TransportKind::Timeout), "{error:?}");
}

#[tokio::test]
async fn a_token_that_expired_is_renewed_before_the_download() {
    let whole_file = raw("200 OK", &[("dropbox-api-result", META), ("content-length", "10")], "0123456789");
    let (server, renewals) = Server::expiring(whole_file).await;
    let download = server.renewing().download(Version::Rev("5f"), None).await.unwrap();
    assert_eq!(whole(download).await, b"0123456789");
    assert_eq!(renewals.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn downloads_have_a_speed_of_their_own() {
    let standin = Standin::start(ferrybox_standin::Settings::default()).await.unwrap();
    let dropbox = client(&standin, PathRoot::Home);
    let rev = standin.write("/f", vec![7; 512 << 10]).unwrap();
    dropbox.set_bandwidth(Some(1024));
    let start = Instant::now();
    whole(dropbox.download(Version::Rev(&rev), None).await.unwrap()).await;
    assert!(start.elapsed().as_millis() < 600, "{:?}", start.elapsed());
    dropbox.set_download_bandwidth(Some(512 << 10));
    let start = Instant::now();
    assert_eq!(whole(dropbox.download(Version::Rev(&rev), None).await.unwrap()).await.len(), 512 << 10);
    assert!((700..2_500).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}
