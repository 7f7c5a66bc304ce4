use std::time::{Duration, Instant};

use ferrybox_standin::{Settings, ViolationKind};
use serde_json::{Value, json};

use crate::raw::{Raw, kinds, pair, send};

async fn to_the_end(raw: &Raw, mut page: Value) -> (Vec<Value>, Value) {
    let mut entries = page["entries"].as_array().unwrap().clone();
    while page["has_more"] == json!(true) {
        page = raw.rpc("files/list_folder/continue", &json!({ "cursor": page["cursor"] })).await.json;
        entries.extend(page["entries"].as_array().unwrap().clone());
    }
    (entries, page["cursor"].clone())
}

fn shown(entries: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    entries.iter().map(|entry| format!("{} {}", text(&entry[".tag"]), text(&entry["path_display"]))).collect()
}

#[tokio::test]
async fn two_identical_listings_at_once_are_a_violation_and_limited() {
    let (standin, raw) = pair(Settings { listing_time: Duration::from_millis(200), ..Settings::default() }).await;
    let list = json!({ "path": "" });
    let (a, b) =
        futures_util::future::join(raw.rpc("files/list_folder", &list), raw.rpc("files/list_folder", &list)).await;
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 429]);
    assert_eq!(kinds(&standin), [ViolationKind::IdenticalListings]);
}

#[tokio::test]
async fn a_longpoll_with_an_authorization_header_is_a_violation() {
    let (standin, raw) = pair(Settings { longpoll_limit: Some(Duration::ZERO), ..Settings::default() }).await;
    let cursor = raw.rpc("files/list_folder/get_latest_cursor", &json!({ "path": "" })).await.json["cursor"].clone();
    let poll = json!({ "cursor": cursor });
    let reply = raw.rpc("files/list_folder/longpoll", &poll).await;
    assert_eq!(reply.status, 400);
    assert_eq!(kinds(&standin)[0], ViolationKind::AuthorizationOnLongpoll);
    standin.reset_counters();
    standin.set_longpoll_backoff(Some(5));
    let anonymous = || {
        let request = raw.http.post(format!("{}/2/files/list_folder/longpoll", raw.url));
        send(request.header("content-type", "application/json").body(poll.to_string()))
    };
    assert_eq!(anonymous().await.unwrap().json, json!({ "changes": false, "backoff": 5 }));
    assert_eq!(kinds(&standin), []);
    anonymous().await.unwrap();
    assert_eq!(kinds(&standin), [ViolationKind::LongpollBeforeBackoff]);
}

#[tokio::test]
async fn changes_during_a_listing_follow_it() {
    let (standin, raw) = pair(Settings { page_size: 2, empty_page_every: 2, ..Settings::default() }).await;
    for path in ["/a", "/b", "/c", "/d"] {
        standin.write(path, path).unwrap();
    }
    let first = raw.rpc("files/list_folder", &json!({ "path": "", "recursive": true })).await.json;
    standin.delete("/a");
    standin.write("/b", "changed").unwrap();
    let (entries, cursor) = to_the_end(&raw, first).await;
    let expected = ["file /a", "file /b", "file /c", "file /d", "deleted /a", "file /b"];
    assert_eq!(shown(&entries), expected);
    let latest = raw.rpc("files/list_folder/get_latest_cursor", &json!({ "path": "", "recursive": true })).await;
    assert_eq!(latest.json["cursor"], cursor);
}

#[tokio::test]
async fn a_folder_that_is_deleted_and_made_again_loses_its_children_for_the_client() {
    let (standin, raw) = pair(Settings::default()).await;
    standin.write("/f/x", "1").unwrap();
    standin.write("/f/y", "1").unwrap();
    let all = json!({ "path": "", "recursive": true });
    let (_, cursor) = to_the_end(&raw, raw.rpc("files/list_folder", &all).await.json).await;
    standin.delete("/f");
    let next = json!({ "cursor": cursor });
    let gone = raw.rpc("files/list_folder/continue", &next).await.json;
    assert_eq!(shown(gone["entries"].as_array().unwrap()), ["deleted /f"]);
    standin.write("/F/y", "2").unwrap();
    let back = raw.rpc("files/list_folder/continue", &next).await.json;
    assert_eq!(shown(back["entries"].as_array().unwrap()), ["deleted /f/x", "folder /F", "file /F/y"]);
}

#[tokio::test]
async fn what_was_deleted_before_its_folder_is_told_even_if_the_folder_came_back_between_two_pages() {
    let (standin, raw) = pair(Settings { page_size: 1, ..Settings::default() }).await;
    standin.write("/f/sub/x", "1").unwrap();
    let all = json!({ "path": "", "recursive": true });
    let (_, cursor) = to_the_end(&raw, raw.rpc("files/list_folder", &all).await.json).await;
    standin.delete("/f/sub");
    standin.write("/other", "1").unwrap();
    standin.delete("/f");
    let page = raw.rpc("files/list_folder/continue", &json!({ "cursor": cursor })).await.json;
    assert_eq!(shown(page["entries"].as_array().unwrap()), ["deleted /f/sub"]);
    standin.write("/f/new", "2").unwrap();
    let (rest, _) = to_the_end(&raw, page).await;
    assert_eq!(shown(&rest)[1..], ["file /other", "folder /f", "file /f/new"]);
}

#[tokio::test]
async fn a_reshared_folder_is_told_as_deleted_and_made_again() {
    let (standin, raw) = pair(Settings { page_size: 2, ..Settings::default() }).await;
    standin.write("/f/x", "1").unwrap();
    standin.write("/f/y", "1").unwrap();
    let all = json!({ "path": "", "recursive": true });
    let (_, cursor) = to_the_end(&raw, raw.rpc("files/list_folder", &all).await.json).await;
    standin.reshare("/f", |account| drop(account.write("/z", "1")));
    let next = raw.rpc("files/list_folder/continue", &json!({ "cursor": cursor })).await.json;
    let (told, _) = to_the_end(&raw, next).await;
    assert_eq!(shown(&told), ["deleted /f", "file /z", "folder /f", "file /f/x", "file /f/y"]);
}

#[tokio::test]
async fn a_million_entries_are_made_in_seconds_and_listed_by_the_page() {
    let entries = if cfg!(debug_assertions) { 200_000 } else { 1_000_000 };
    let (standin, raw) = pair(Settings::default()).await;
    let before = Instant::now();
    standin.generate("", entries);
    assert!(before.elapsed() < Duration::from_secs(20), "{:?}", before.elapsed());
    let flat = json!({ "path": "", "recursive": false });
    let (folders, _) = to_the_end(&raw, raw.rpc("files/list_folder", &flat).await.json).await;
    assert_eq!(folders.len(), entries / 1000);
    let inside = json!({ "path": "/folder-000007", "recursive": true });
    let page = raw.rpc("files/list_folder", &inside).await;
    assert_eq!(page.json["entries"].as_array().unwrap().len(), 1000);
    assert_eq!(standin.content("/folder-000007/file-00007001.txt").unwrap().as_ref(), b"generated entry 7001\n");
}

#[tokio::test]
async fn r4_a_recursive_listing_of_too_much_fails_and_its_folders_can_be_listed() {
    let (standin, raw) = pair(Settings { recursive_most: Some(2), ..Settings::default() }).await;
    for path in ["/a/1", "/a/2", "/b"] {
        standin.write(path, "x").unwrap();
    }
    let list = async |path: &str, recursive: bool| {
        raw.rpc("files/list_folder", &json!({ "path": path, "recursive": recursive })).await.status
    };
    assert_eq!((list("", true).await, list("", false).await, list("/a", true).await), (500, 200, 200));
    let latest = raw.rpc("files/list_folder/get_latest_cursor", &json!({ "path": "", "recursive": true })).await;
    assert_eq!(latest.status, 200);
}
