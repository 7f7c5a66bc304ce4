use std::time::Duration;

use ferrybox_standin::{RepeatedFinish, Settings, ViolationKind};
use serde_json::json;

use crate::raw::{finish, kinds, pair};

const APPEND: &str = "files/upload_session/append_v2";

#[tokio::test]
async fn sessions_expire_seven_days_after_their_start() {
    let (standin, raw) = pair(Settings::default()).await;
    let refresh = || standin.short_lived_token();
    let session = raw.session("x").await;
    standin.advance(Duration::from_secs(7 * 24 * 3600 - 60));
    let raw = crate::raw::Raw { token: refresh(), ..raw };
    assert_eq!(standin.open_sessions(), 1);
    standin.advance(Duration::from_secs(60));
    assert_eq!(standin.open_sessions(), 0);
    let reply = raw.upload("files/upload_session/finish", &finish(&session, 1, "/a"), "").await;
    assert_eq!(reply.summary(), "lookup_failed/not_found/..");
}

#[tokio::test]
async fn two_appends_to_one_sequential_session_at_once_are_a_violation() {
    let (standin, raw) = pair(Settings { bandwidth: Some(10_000), ..Settings::default() }).await;
    let session = raw.upload("files/upload_session/start", &json!({}), "").await.json["session_id"].clone();
    let append = json!({ "cursor": { "session_id": session, "offset": 0 } });
    let (a, b) = futures_util::future::join(
        raw.upload(APPEND, &append, vec![1; 2000]),
        raw.upload(APPEND, &append, vec![2; 2000]),
    )
    .await;
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let loser = if a.status == 409 { a } else { b };
    assert_eq!((loser.summary(), &loser.json["error"]["correct_offset"]), ("incorrect_offset/..", &json!(2000)));
    assert_eq!(kinds(&standin), [ViolationKind::ConcurrentAppend]);
}

#[tokio::test]
async fn a_file_can_be_too_large() {
    let (standin, raw) = pair(Settings { max_file_size: 10, ..Settings::default() }).await;
    let session = raw.upload("files/upload_session/start", &json!({}), "12345678").await.json["session_id"].clone();
    let append = json!({ "cursor": { "session_id": session, "offset": 8 } });
    assert_eq!(raw.upload(APPEND, &append, "123").await.summary(), "too_large/..");
    assert_eq!(raw.upload(APPEND, &append, "12").await.status, 200);
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn one_that_hashes_wrong_takes_nothing_in() {
    let (_standin, raw) = pair(Settings::default()).await;
    let session = raw.upload("files/upload_session/start", &json!({}), "abc").await.json["session_id"].clone();
    let cursor = json!({ "session_id": session, "offset": 3 });
    let wrong = json!({ "cursor": cursor, "content_hash": "0".repeat(64) });
    assert_eq!(raw.upload(APPEND, &wrong, "def").await.summary(), "content_hash_mismatch/..");
    assert_eq!(raw.upload(APPEND, &json!({ "cursor": cursor }), "def").await.status, 200);
}

#[tokio::test]
async fn a_repeated_finish_is_what_is_set() {
    for (repeated_finish, expected) in [(RepeatedFinish::CommitsAgain, 200), (RepeatedFinish::NotFound, 409)] {
        let (standin, raw) = pair(Settings { repeated_finish, ..Settings::default() }).await;
        let session = raw.session("x").await;
        let argument = finish(&session, 1, "/a");
        assert_eq!(raw.upload("files/upload_session/finish", &argument, "").await.status, 200);
        assert_eq!(raw.upload("files/upload_session/finish", &argument, "").await.status, expected);
        assert_eq!(standin.revisions("/a").len(), 1);
    }
}

#[tokio::test]
async fn an_account_cannot_use_another_one_s_session() {
    let (standin, raw) = pair(Settings::default()).await;
    let session = raw.session("x").await;
    let other = standin.add_account(ferrybox_standin::AccountSpec::default());
    let other = crate::raw::Raw { token: other.short_lived_token(), ..raw };
    let reply = other.upload("files/upload_session/finish", &finish(&session, 1, "/a"), "").await;
    assert_eq!(reply.summary(), "lookup_failed/not_found/..");
}
