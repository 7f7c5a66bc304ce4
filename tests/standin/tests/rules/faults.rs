use std::time::Duration;

use ferrybox_standin::{Effect, Entries, Fault, Garbage, Settings, ViolationKind, When};
use serde_json::json;

use crate::raw::{finish, kinds, pair};

const BATCH: &str = "files/upload_session/finish_batch_v2";

#[tokio::test]
async fn connections_break_before_and_after_processing() {
    let (standin, raw) = pair(Settings::default()).await;
    let argument = json!({ "path": "/file" });
    standin.faults().add(Fault::once("files/upload", Effect::DropBefore));
    assert!(raw.try_upload("files/upload", &argument, "x").await.is_err());
    assert_eq!(standin.file("/file"), None);
    standin.faults().add(Fault::once("files/upload", Effect::CutRequest(1)));
    assert!(raw.try_upload("files/upload", &argument, "x").await.is_err());
    assert_eq!(standin.file("/file"), None);
    standin.faults().add(Fault::once("files/upload", Effect::DropAfter));
    assert!(raw.try_upload("files/upload", &argument, "x").await.is_err());
    assert!(standin.file("/file").is_some());
    standin.faults().add(Fault::once("files/get_metadata", Effect::CutReply(10)));
    assert!(raw.try_rpc("files/get_metadata", &argument).await.is_err());
    assert_eq!(raw.rpc("files/get_metadata", &argument).await.status, 200);
    assert_eq!(standin.faults().hits(), [1, 1, 1, 1]);
    assert_eq!(standin.calls()["files/upload"].statuses[&0], 3);
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn replies_can_be_anything() {
    let (standin, raw) = pair(Settings::default()).await;
    let get = || async { raw.rpc("users/get_current_account", &json!(null)).await };
    let cases = [
        (Effect::Garbage(Garbage::Html), 200, "<!DOCTYPE html>"),
        (Effect::Garbage(Garbage::TruncatedJson), 200, "{\"account_id\""),
        (Effect::Garbage(Garbage::ByteOrderMark), 200, "\u{feff}{"),
        (Effect::Garbage(Garbage::Empty), 200, ""),
        (Effect::Status { code: 503, retry_after: Some("soon".to_owned()), body: None }, 503, "stand-in"),
        (Effect::Status { code: 409, retry_after: None, body: Some("<p>".to_owned()) }, 409, "<p>"),
        (Effect::EndpointError("path/conflict/new_tag".to_owned()), 409, "{\"error\":{\".tag\":\"path\""),
    ];
    for (effect, status, text) in cases {
        standin.faults().clear();
        standin.faults().add(Fault::once("users/*", effect.clone()));
        let reply = get().await;
        assert!(reply.status == status && reply.text.starts_with(text), "{effect:?}: {reply:?}");
        assert_eq!(get().await.status, 200);
    }
    assert_eq!(kinds(&standin), []);
}

#[tokio::test]
async fn a_retry_before_retry_after_is_a_violation() {
    let (standin, raw) = pair(Settings { retry_grace: Duration::from_secs(30), ..Settings::default() }).await;
    let limited = Effect::RateLimited { reason: "too_many_requests".to_owned(), retry_after: Some("60".to_owned()) };
    standin.faults().add(Fault::once("files/get_metadata", limited));
    let reply = raw.rpc("files/get_metadata", &json!({ "path": "/a" })).await;
    assert_eq!((reply.status, &reply.headers["retry-after"]), (429, &"60".parse().unwrap()));
    assert_eq!(reply.json["error"]["reason"][".tag"], "too_many_requests");
    // Another call within the grace was on its way already; the same one is a retry.
    raw.rpc("files/get_metadata", &json!({ "path": "/b" })).await;
    assert_eq!(kinds(&standin), []);
    raw.rpc("files/get_metadata", &json!({ "path": "/a" })).await;
    assert_eq!(kinds(&standin), [ViolationKind::RetryBeforeRetryAfter]);
    standin.reset_counters();
    standin.advance(Duration::from_secs(60));
    raw.rpc("files/get_metadata", &json!({ "path": "/a" })).await;
    assert_eq!(kinds(&standin), []);
}

#[tokio::test]
async fn s10_a_call_is_early_by_the_time_it_arrives_and_the_violation_names_the_route() {
    let (standin, raw) = pair(Settings { retry_grace: Duration::ZERO, ..Settings::default() }).await;
    let route = "files/upload";
    let limited = || Effect::RateLimited { reason: "too_many_requests".to_owned(), retry_after: Some("60".to_owned()) };
    // The first one arrives, and is still being read when the second one is told to wait.
    let (told, waits) = tokio::sync::oneshot::channel::<()>();
    let slow = futures_util::stream::once(async {
        let _ = waits.await;
        Ok::<_, std::io::Error>("x")
    });
    standin.faults().add(Fault::nth(route, 2, limited()));
    let (first, second) = (json!({ "path": "/a" }), json!({ "path": "/b" }));
    let late = async {
        assert!(standin.wait_for(Duration::from_secs(10), |standin| standin.calls_of(route) == 1).await);
        let reply = raw.upload(route, &second, "x").await;
        told.send(()).unwrap();
        reply
    };
    let replies = tokio::join!(raw.upload(route, &first, reqwest::Body::wrap_stream(slow)), late);
    assert_eq!((replies.0.status, replies.1.status, kinds(&standin)), (200, 429, vec![]));
    raw.upload(route, &first, "x").await;
    let violation = &standin.violations()[0];
    assert_eq!((violation.kind, &*violation.route), (ViolationKind::RetryBeforeRetryAfter, route));
    assert!(violation.detail.starts_with("files/upload: another call arrived"), "{violation:?}");
    // A reply that never came told nobody to wait.
    standin.reset_counters();
    standin.faults().add(Fault::once("files/get_metadata", limited()));
    standin.faults().add(Fault::once("files/get_metadata", Effect::DropAfter));
    assert!(raw.try_rpc("files/get_metadata", &first).await.is_err());
    raw.rpc("files/get_metadata", &first).await;
    assert_eq!(kinds(&standin), []);
}

#[tokio::test]
async fn a_start_that_was_on_its_way_is_no_retry_although_all_starts_read_alike() {
    let (standin, raw) = pair(Settings { retry_grace: Duration::from_millis(500), ..Settings::default() }).await;
    let route = "files/upload_session/start";
    let limited = Effect::RateLimited { reason: "too_many_requests".to_owned(), retry_after: Some("60".to_owned()) };
    standin.faults().add(Fault::once(route, limited));
    let arg = json!({ "session_type": "concurrent" });
    let replies = tokio::join!(raw.upload(route, &arg, ""), raw.upload(route, &arg, ""), raw.upload(route, &arg, ""));
    let refused = [&replies.0, &replies.1, &replies.2].iter().filter(|reply| reply.status == 429).count();
    assert_eq!((refused, kinds(&standin)), (1, vec![]));
    standin.advance(Duration::from_secs(1));
    raw.upload(route, &arg, "").await;
    assert_eq!(kinds(&standin), [ViolationKind::RetryBeforeRetryAfter]);
}

#[tokio::test]
async fn entries_fail_and_their_commit_can_be_tried_again() {
    let (standin, raw) = pair(Settings::default()).await;
    let (a, b) = (raw.session("a").await, raw.session("b").await);
    let failure =
        Effect::EntryFailure { tag: "too_many_write_operations".to_owned(), entries: Entries::Containing("/b".into()) };
    standin.faults().add(Fault::once(BATCH, failure));
    let batch = json!({ "entries": [finish(&a, 1, "/a"), finish(&b, 1, "/b")] });
    let done = raw.rpc(BATCH, &batch).await;
    assert_eq!(done.json["entries"][0][".tag"], "success");
    assert_eq!(done.json["entries"][1]["failure"][".tag"], "too_many_write_operations");
    let done = raw.rpc(BATCH, &batch).await;
    assert_eq!(done.json["entries"][1][".tag"], "success");
    standin.faults().add(Fault::once(BATCH, Effect::MissingResults(1)));
    assert_eq!(raw.rpc(BATCH, &batch).await.json["entries"].as_array().unwrap().len(), 1);
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn jobs_get_stuck_break_and_are_forgotten() {
    let (standin, raw) = pair(Settings::default()).await;
    let start = async |path: &str, effect| {
        standin.faults().clear();
        standin.faults().add(Fault::always("files/upload_session/finish_batch", effect));
        let session = raw.session("x").await;
        let before = standin.running_commits();
        let batch = json!({ "entries": [finish(&session, 1, path)] });
        let job = raw.rpc("files/upload_session/finish_batch", &batch).await.json["async_job_id"].clone();
        (before, json!({ "async_job_id": job }))
    };
    let check = "files/upload_session/finish_batch/check";
    let (before, job) = start("/broken", Effect::JobInternalError).await;
    assert!(standin.wait_for(Duration::from_secs(9), |standin| standin.running_commits() == before).await);
    assert_eq!(raw.rpc(check, &job).await.summary(), "internal_error/..");
    assert!(standin.file("/broken").is_some());
    let (_, job) = start("/stuck", Effect::StuckJob { applied: true }).await;
    assert!(standin.wait_for(Duration::from_secs(9), |standin| standin.file("/stuck").is_some()).await);
    assert_eq!(raw.rpc(check, &job).await.json[".tag"], "in_progress");
    standin.faults().add(Fault::once(check, Effect::JobForgotten));
    assert_eq!(raw.rpc(check, &job).await.summary(), "invalid_async_job_id/..");
    // A client cannot wait for a stuck job for ever: what it starts next is no violation.
    start("/next", Effect::StuckJob { applied: false }).await;
    assert_eq!(kinds(&standin), []);
}

#[tokio::test]
async fn sessions_tokens_and_cursors_end_in_the_middle() {
    let (standin, raw) = pair(Settings::default()).await;
    let session = raw.session("x").await;
    standin.faults().add(Fault::once(BATCH, Effect::SessionExpired));
    let done = raw.rpc(BATCH, &json!({ "entries": [finish(&session, 1, "/x")] })).await;
    assert_eq!(done.json["entries"][0]["failure"]["lookup_failed"][".tag"], "not_found");

    let cursor = raw.rpc("files/list_folder", &json!({ "path": "" })).await.json["cursor"].clone();
    standin.faults().add(Fault::once("files/list_folder/continue", Effect::CursorReset));
    let next = json!({ "cursor": cursor });
    assert_eq!(raw.rpc("files/list_folder/continue", &next).await.summary(), "reset/..");
    assert_eq!(raw.rpc("files/list_folder/continue", &next).await.summary(), "reset/..");

    standin.faults().add(Fault::nth("users/*", 2, Effect::TokenExpired));
    assert_eq!(raw.rpc("users/get_space_usage", &json!(null)).await.status, 200);
    let expired = raw.rpc("users/get_space_usage", &json!(null)).await;
    assert_eq!((expired.status, expired.summary()), (401, "expired_access_token/.."));
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn a_gateway_can_fail_after_the_call_was_processed() {
    let (standin, raw) = pair(Settings::default()).await;
    standin.faults().add(Fault::once("files/upload", Effect::StatusAfter(504)));
    let reply = raw.upload("files/upload", &json!({ "path": "/f" }), "x").await;
    assert_eq!((reply.status, standin.file_count()), (504, 1), "{reply:?}");
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn a_file_s_metadata_can_lack_its_rev() {
    let (standin, raw) = pair(Settings::default()).await;
    standin.write("/good", "1").unwrap();
    standin.write("/bad", "2").unwrap();
    standin.faults().add(Fault::always("files/get_metadata", Effect::WithoutRev("/bad".to_owned())));
    for (path, whole) in [("/good", true), ("/bad", false)] {
        let reply = raw.rpc("files/get_metadata", &json!({ "path": path })).await;
        assert_eq!((reply.status, reply.text.contains("\"rev\"")), (200, whole), "{path}: {reply:?}");
    }
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn time_can_be_lost_in_many_places() {
    let (standin, raw) = pair(Settings::default()).await;
    standin.write("/f", vec![1; 2000]).unwrap();
    let timed = async |route: &str, effect| {
        standin.faults().clear();
        standin.faults().add(Fault { route: route.to_owned(), when: When::Always, what: effect });
        let before = std::time::Instant::now();
        raw.rpc(route, &json!({ "path": "/f" })).await;
        before.elapsed()
    };
    let wait = Duration::from_millis(120);
    assert!(timed("files/get_metadata", Effect::Stall(wait)).await >= wait);
    assert!(timed("files/get_metadata", Effect::StallReply(wait)).await >= wait);
    assert!(timed("files/get_metadata", Effect::SlowBody(1000)).await >= wait);
    standin.faults().clear();
    standin.set_bandwidth(Some(10_000));
    let before = std::time::Instant::now();
    raw.upload("files/upload", &json!({ "path": "/g" }), vec![0; 2000]).await;
    assert!(before.elapsed() >= wait);
}
