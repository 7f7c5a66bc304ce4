use std::time::Duration;

use ferrybox_standin::{Settings, Standin, ViolationKind};
use serde_json::json;

use crate::raw::{finish, kinds, pair};

async fn settled(standin: &Standin) {
    assert!(standin.wait_for(Duration::from_secs(10), |standin| standin.running_commits() == 0).await);
}

#[tokio::test]
async fn a_second_commit_before_the_first_is_complete_is_a_violation() {
    let (standin, raw) = pair(Settings::default()).await;
    standin.set_commit_duration(Duration::from_secs(5));
    let (a, b) = (raw.session("a").await, raw.session("b").await);
    let first = raw.rpc("files/upload_session/finish_batch", &json!({ "entries": [finish(&a, 1, "/a")] })).await;
    assert_eq!(first.json[".tag"], "async_job_id");
    assert_eq!(kinds(&standin), []);
    raw.rpc("files/upload_session/finish_batch", &json!({ "entries": [finish(&b, 1, "/b")] })).await;
    raw.rpc("files/delete_batch", &json!({ "entries": [{ "path": "/c" }] })).await;
    assert_eq!(kinds(&standin), [ViolationKind::OverlappingCommits; 2]);
    // Another account has a lock of its own.
    let other = standin.add_account(ferrybox_standin::AccountSpec::default());
    let other = crate::raw::Raw { token: other.short_lived_token(), url: standin.url(), http: raw.http.clone() };
    other.rpc("files/delete_batch", &json!({ "entries": [{ "path": "/c" }] })).await;
    assert_eq!(kinds(&standin).len(), 2);
}

#[tokio::test]
async fn finish_batch_v2_overlaps_only_where_that_is_allowed() {
    for (parallel_v2, expected) in [(false, 1), (true, 0)] {
        let (standin, raw) = pair(Settings { parallel_v2, ..Settings::default() }).await;
        standin.set_commit_duration(Duration::from_millis(300));
        let (a, b) = (raw.session("a").await, raw.session("b").await);
        let batch = |session: &str, path: &str| json!({ "entries": [finish(session, 1, path)] });
        let (first, second) = (batch(&a, "/a"), batch(&b, "/b"));
        let (first, second) = futures_util::future::join(
            raw.rpc("files/upload_session/finish_batch_v2", &first),
            raw.rpc("files/upload_session/finish_batch_v2", &second),
        )
        .await;
        assert_eq!((&first.json["entries"][0][".tag"], second.status), (&json!("success"), 200));
        assert_eq!(standin.violations().len(), expected);
    }
}

#[tokio::test]
async fn sessions_that_are_not_closed_or_come_twice_are_violations() {
    let (standin, raw) = pair(Settings::default()).await;
    let open = raw.upload("files/upload_session/start", &json!({}), "x").await;
    let open = open.json["session_id"].as_str().unwrap();
    let closed = raw.session("y").await;
    let entries = [finish(open, 1, "/open"), finish(&closed, 1, "/a"), finish(&closed, 1, "/b")];
    let done = raw.rpc("files/upload_session/finish_batch_v2", &json!({ "entries": entries })).await;
    let failure = json!({ ".tag": "lookup_failed", "lookup_failed": { ".tag": "not_closed" } });
    assert_eq!(done.json["entries"][0]["failure"], failure);
    assert_eq!(kinds(&standin), [ViolationKind::UnclosedSession, ViolationKind::DuplicateSession]);
    assert_eq!(standin.open_sessions(), 1);
}

#[tokio::test]
async fn too_many_entries_are_refused_and_recorded() {
    let (standin, raw) = pair(Settings { max_append_entries: 2, ..Settings::default() }).await;
    let entries: Vec<_> = (0..1001).map(|n| json!({ "path": format!("/{n}") })).collect();
    assert_eq!(raw.rpc("files/delete_batch", &json!({ "entries": entries })).await.status, 400);
    assert_eq!(raw.rpc("files/upload_session/start_batch", &json!({ "num_sessions": 1001 })).await.status, 400);
    let entry = json!({ "cursor": { "session_id": "x", "offset": 0 }, "length": 0 });
    let many = json!({ "entries": [entry, entry, entry] });
    assert_eq!(raw.upload("files/upload_session/append_batch", &many, "").await.status, 400);
    standin.forgive(ViolationKind::BadRequest);
    assert_eq!(kinds(&standin), [ViolationKind::TooManyEntries; 3]);
}

#[tokio::test]
async fn a_job_goes_on_when_its_client_goes_away() {
    let (standin, raw) = pair(Settings::default()).await;
    standin.set_commit_duration(Duration::from_millis(200));
    let session = raw.session("data").await;
    let batch = json!({ "entries": [finish(&session, 4, "/kept")] });
    let call = raw.rpc("files/upload_session/finish_batch_v2", &batch);
    let begun = standin.wait_for(Duration::from_secs(10), |standin| standin.running_commits() == 1);
    tokio::select! {
        _ = call => panic!("it should still be committing"),
        begun = begun => assert!(begun),
    }
    // Nor can the client know when it ends: what it does now is no violation.
    raw.rpc("files/delete_batch", &json!({ "entries": [{ "path": "/none" }] })).await;
    settled(&standin).await;
    assert_eq!(kinds(&standin), []);
    assert_eq!(standin.content("/kept").unwrap().as_ref(), b"data");
}
