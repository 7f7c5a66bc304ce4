//! What a listing, a root and a month may do to a client: settings and commands that make a server difficult, each by itself.

use std::time::Duration;

use ferrybox_standin::{AccountSpec, Change, Effect, Entries, Fault, Folding, Next, Overlap, PageEdit, Settings};
use serde_json::{Value, json};

use crate::raw::{Raw, Reply, finish, pair, send};

const LIST: &str = "files/list_folder";
const CONTINUE: &str = "files/list_folder/continue";

fn all() -> Value {
    json!({ "path": "", "recursive": true })
}

async fn list(raw: &Raw) -> Value {
    raw.rpc(LIST, &all()).await.json
}

async fn go_on(raw: &Raw, page: &Value) -> Reply {
    raw.rpc(CONTINUE, &json!({ "cursor": page["cursor"] })).await
}

async fn poll(raw: &Raw, page: &Value) -> Reply {
    let request = raw.http.post(format!("{}/2/files/list_folder/longpoll", raw.url));
    let poll = json!({ "cursor": page["cursor"] }).to_string();
    send(request.header("content-type", "application/json").body(poll)).await.unwrap()
}

fn shown(page: &Value) -> Vec<&str> {
    page["entries"].as_array().unwrap().iter().map(|entry| entry["path_display"].as_str().unwrap()).collect()
}

fn edit(edit: PageEdit) -> Effect {
    Effect::EditPage(edit)
}

#[tokio::test]
async fn p6_a_listing_can_be_reset_at_the_same_place_each_time() {
    let settings = Settings { page_size: 1, listing_breaks_after: Some(2), ..Settings::default() };
    let (standin, raw) = pair(settings).await;
    for path in ["/a", "/b", "/c"] {
        standin.write(path, "x").unwrap();
    }
    for _ in 0..2 {
        let second = go_on(&raw, &list(&raw).await).await.json;
        assert_eq!((shown(&second), &second["has_more"]), (vec!["/b"], &json!(true)));
        assert_eq!(go_on(&raw, &second).await.summary(), "reset/..");
    }
    // A listing that ends before is not touched, and neither is what follows one.
    standin.delete("/b");
    standin.delete("/c");
    let mut page = go_on(&raw, &list(&raw).await).await.json;
    assert_eq!(page["has_more"], json!(false));
    standin.write("/new", "x").unwrap();
    page = go_on(&raw, &page).await.json;
    assert_eq!(shown(&page), ["/new"]);
}

#[tokio::test]
async fn p6_new_cursors_can_be_bad_from_the_start() {
    let (standin, raw) = pair(Settings { longpoll_limit: Some(Duration::ZERO), ..Settings::default() }).await;
    standin.spoil_cursors(2);
    for _ in 0..2 {
        let page = list(&raw).await;
        assert_eq!(poll(&raw, &page).await.summary(), "reset/..");
        assert_eq!(go_on(&raw, &page).await.summary(), "reset/..");
    }
    let page = list(&raw).await;
    assert_eq!((poll(&raw, &page).await.status, go_on(&raw, &page).await.status), (200, 200));
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn p6_cursors_can_tell_of_a_change_late() {
    let (standin, raw) = pair(Settings { listing_lag: Duration::from_millis(500), ..Settings::default() }).await;
    standin.write("/a", "x").unwrap();
    // A new listing shows what is there.
    let page = list(&raw).await;
    assert_eq!((shown(&page), &page["has_more"]), (vec!["/a"], &json!(false)));
    let begun = std::time::Instant::now();
    standin.write("/b", "x").unwrap();
    let early = go_on(&raw, &page).await.json;
    assert!(begun.elapsed() > Duration::from_millis(450) || shown(&early).is_empty(), "{early}");
    assert_eq!(poll(&raw, &early).await.json["changes"], json!(true));
    assert!(begun.elapsed() >= Duration::from_millis(450), "{:?}", begun.elapsed());
    assert_eq!(shown(&go_on(&raw, &early).await.json), ["/b"]);
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn p7_the_root_can_be_refused_for_good_and_told_wrongly() {
    let (standin, raw) = pair(Settings::default()).await;
    let told = async || raw.rpc("users/get_current_account", &json!(null)).await.json["root_info"].clone();
    let with_root = async |id: &Value| {
        let root = json!({ ".tag": "root", "root": id }).to_string();
        let request = raw.post(LIST).header("content-type", "application/json").header("dropbox-api-path-root", root);
        send(request.body(all().to_string())).await.unwrap()
    };
    let old = told().await["root_namespace_id"].clone();
    assert_eq!(with_root(&old).await.status, 200);
    // The root has moved, and the account goes on telling of the old one.
    standin.set_root_namespace_id("777");
    standin.tell_root(old.as_str());
    assert_eq!(told().await["root_namespace_id"], old);
    let refused = with_root(&old).await;
    let latest = refused.json["error"]["invalid_root"]["root_namespace_id"].clone();
    assert_eq!((refused.status, &refused.json["error"][".tag"], &latest), (422, &json!("invalid_root"), &json!("777")));
    assert_eq!(with_root(&latest).await.status, 200);
    // Not even the one that the error names is valid.
    standin.refuse_root(true);
    assert_eq!(with_root(&latest).await.status, 422);
    standin.refuse_root(false);
    standin.tell_root(None);
    assert_eq!((told().await["root_namespace_id"].clone(), with_root(&latest).await.status), (latest, 200));
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn p8_a_file_can_be_listed_without_its_parents() {
    let (standin, raw) = pair(Settings { parents_unlisted: true, ..Settings::default() }).await;
    standin.write("/Photos/Summer 2020/IMG.txt", "x").unwrap();
    standin.make_folder("/Empty");
    assert_eq!(shown(&list(&raw).await), ["/Empty", "/Photos/Summer 2020/IMG.txt"]);
    standin.set(|settings| settings.parents_unlisted = false);
    standin.omit("/photos");
    let page = list(&raw).await;
    assert_eq!(shown(&page), ["/Empty", "/Photos/Summer 2020", "/Photos/Summer 2020/IMG.txt"]);
    let flat = raw.rpc(LIST, &json!({ "path": "" })).await.json;
    assert_eq!(shown(&flat), ["/Empty", "/Photos"]);
    standin.list_again("/photos");
    assert_eq!(shown(&go_on(&raw, &page).await.json), ["/Photos"]);
}

#[tokio::test]
async fn p9_pages_are_edited() {
    let (standin, raw) = pair(Settings::default()).await;
    for path in ["/a", "/b", "/c"] {
        standin.write(path, "x").unwrap();
    }
    let deep = json!({ ".tag": "folder", "name": "f", "path_lower": "/x/f", "path_display": "/x/f", "id": "id:f" });
    let fields = json!({ "size": -1, "content_hash": null });
    standin.faults().add(Fault::once(
        LIST,
        edit(PageEdit {
            leave_out: Some(Entries::Containing("\"/b\"".to_owned())),
            change: vec![Change { entries: Entries::Index(1), fields }],
            add: vec![deep],
            repeat: 1,
            ..PageEdit::default()
        }),
    ));
    let page = list(&raw).await;
    assert_eq!(shown(&page), ["/a", "/c", "/x/f", "/a", "/c", "/x/f"]);
    assert_eq!((&page["entries"][1]["size"], page["entries"][1].get("content_hash")), (&json!(-1), None));
    assert_eq!(page["entries"][0]["size"], json!(1));
    assert_eq!(shown(&list(&raw).await), ["/a", "/b", "/c"]);
}

#[tokio::test]
async fn p9_cursors_lead_to_the_same_page_nowhere_and_to_a_reset() {
    let (standin, raw) = pair(Settings { page_size: 1, ..Settings::default() }).await;
    for path in ["/a", "/b"] {
        standin.write(path, "x").unwrap();
    }
    let first = list(&raw).await;
    let route = async |cursor| {
        standin.faults().clear();
        let edit = edit(PageEdit { cursor, has_more: Some(true), ..PageEdit::default() });
        standin.faults().add(Fault::always(CONTINUE, edit));
        go_on(&raw, &first).await.json
    };
    let same = route(Next::Same).await;
    assert_eq!((shown(&same), &same["cursor"], &same["has_more"]), (vec!["/b"], &first["cursor"], &json!(true)));
    // The same entries under a new cursor each time.
    let again = route(Next::Again).await;
    let next = go_on(&raw, &again).await.json;
    assert_eq!((shown(&again), shown(&next)), (vec!["/b"], vec!["/b"]));
    assert!(again["cursor"] != first["cursor"] && next["cursor"] != again["cursor"]);
    let reset = route(Next::Reset).await;
    assert_eq!(go_on(&raw, &reset).await.summary(), "reset/..");
    // No entries and new cursors, without end.
    standin.faults().clear();
    let empty =
        PageEdit { leave_out: Some(Entries::All), cursor: Next::Again, has_more: Some(true), ..PageEdit::default() };
    standin.faults().add(Fault::always(CONTINUE, edit(empty)));
    let nothing = go_on(&raw, &first).await.json;
    assert_eq!((shown(&nothing).len(), &nothing["has_more"]), (0, &json!(true)));
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn p10_a_month_s_data_transport_calls_can_be_spent() {
    let settings = Settings { transport_limit: Some(2), transport_locale: "de".to_owned(), ..Settings::default() };
    let (standin, raw) = pair(settings).await;
    let upload = async |raw: &Raw, path: &str| raw.upload("files/upload", &json!({ "path": path }), "x").await;
    let session = raw.session("x").await;
    assert_eq!(upload(&raw, "/a").await.status, 200);
    // All routes that count are refused, and no other one is.
    let spent = upload(&raw, "/b").await;
    assert_eq!((spent.status, spent.summary()), (403, "invalid_account_type/feature/.."));
    assert_eq!(spent.json["error"]["invalid_account_type"][".tag"], "feature");
    let message = &spent.json["user_message"];
    assert_eq!(message["locale"], "de");
    assert!(!message["text"].as_str().unwrap().contains("data transport"));
    let batch = json!({ "entries": [finish(&session, 1, "/c")] });
    for route in ["files/upload_session/finish_batch", "files/upload_session/finish_batch_v2"] {
        assert_eq!(raw.rpc(route, &batch).await.status, 403);
    }
    assert_eq!(raw.rpc("files/upload_session/start_batch", &json!({ "num_sessions": 1 })).await.status, 403);
    assert_eq!(raw.rpc("files/get_metadata", &json!({ "path": "/a" })).await.status, 200);
    assert_eq!(raw.rpc("files/delete_v2", &json!({ "path": "/a" })).await.status, 200);
    let download = raw.post("files/download").header("dropbox-api-arg", "{\"path\":\"/a\"}");
    assert_eq!(send(download).await.unwrap().status, 409);
    // Another account has a month of its own, and every month ends.
    let other = standin.add_account(AccountSpec::default());
    let other = Raw { token: other.short_lived_token(), url: raw.url.clone(), http: raw.http.clone() };
    assert_eq!(upload(&other, "/a").await.status, 200);
    standin.renew_transport();
    assert_eq!(upload(&raw, "/b").await.status, 200);
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn p4_entries_of_a_batch_that_overlaps_another_fail_where_that_is_set() {
    for (overlap, expected) in [(Overlap::Fails, "failure"), (Overlap::Succeeds, "success")] {
        let (standin, raw) = pair(Settings { overlap, ..Settings::default() }).await;
        standin.write("/f", "x").unwrap();
        let (a, b) = (raw.session("a").await, raw.session("b").await);
        let batch = |session: &str, path: &str| json!({ "entries": [finish(session, 1, path)] });
        standin.set_commit_duration(Duration::from_secs(1));
        let first = raw.rpc("files/upload_session/finish_batch", &batch(&a, "/a")).await.json;
        standin.set_commit_duration(Duration::ZERO);
        let second = raw.rpc("files/upload_session/finish_batch_v2", &batch(&b, "/b")).await.json;
        let entry = &second["entries"][0];
        assert_eq!(
            (entry[".tag"].as_str(), standin.file("/b").is_some()),
            (Some(expected), overlap == Overlap::Succeeds)
        );
        if overlap == Overlap::Fails {
            assert_eq!(entry["failure"][".tag"], "too_many_write_operations");
            let folder = raw.rpc("files/create_folder_batch", &json!({ "paths": ["/new"] })).await.json;
            let failure = &folder["entries"][0]["failure"];
            assert_eq!(*failure, json!({ ".tag": "path", "path": { ".tag": "too_many_write_operations" } }));
            // It is the commit that has to be tried again, once the other one is complete.
            assert!(standin.wait_for(Duration::from_secs(10), |standin| standin.running_commits() == 0).await);
            let again = raw.rpc("files/upload_session/finish_batch_v2", &batch(&b, "/b")).await.json;
            assert_eq!(again["entries"][0][".tag"], "success");
        }
        assert!(standin.wait_for(Duration::from_secs(10), |standin| standin.file("/a").is_some()).await);
        assert_eq!((first[".tag"].as_str(), standin.violations().is_empty()), (Some("async_job_id"), false));
    }
}

#[tokio::test]
async fn r9_a_new_folder_at_the_top_refuses_its_children_for_a_moment() {
    let (standin, raw) = pair(Settings { top_folders_settle: Duration::from_secs(60), ..Settings::default() }).await;
    let upload = async |path: &str| raw.upload("files/upload", &json!({ "path": path }), "x").await;
    assert_eq!(upload("/new/first").await.status, 200);
    for path in ["/new/second", "/NEW/sub/third"] {
        assert_eq!(upload(path).await.json["error"]["reason"][".tag"], "no_write_permission");
    }
    standin.set(|settings| settings.top_folders_settle = Duration::ZERO);
    assert_eq!(upload("/new/second").await.status, 200);
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn r9_an_app_with_its_own_folder_may_name_no_other_root() {
    let (standin, raw) = pair(Settings { app_folder: true, ..Settings::default() }).await;
    for (root, status) in
        [(json!({ ".tag": "home" }), 200), (json!({ ".tag": "root", "root": standin.root_namespace_id() }), 422)]
    {
        let request = raw.post(LIST).header("content-type", "application/json");
        let request = request.header("dropbox-api-path-root", root.to_string()).body(all().to_string());
        assert_eq!(send(request).await.unwrap().status, status);
    }
}

#[tokio::test]
async fn p12_case_can_be_folded_as_by_a_service_with_an_older_unicode() {
    let (standin, raw) = pair(Settings { folding: Folding::Service, ..Settings::default() }).await;
    for path in ["/ΛΟΓΑΡΙΑΣΜΟΣ/ΤΙΜΟΛΟΓΙΟ.pdf", "/İzmir.txt", "/Ꭰ"] {
        standin.write(path, "x").unwrap();
    }
    let page = list(&raw).await;
    let lower: Vec<&str> =
        page["entries"].as_array().unwrap().iter().map(|e| e["path_lower"].as_str().unwrap()).collect();
    assert_eq!(lower, ["/izmir.txt", "/λογαριασμοσ", "/λογαριασμοσ/τιμολογιο.pdf", "/Ꭰ"]);
}

#[tokio::test]
async fn the_control_surface_makes_trouble_too() {
    let (standin, raw) = pair(Settings::default()).await;
    standin.write("/f/x", "x").unwrap();
    let post = async |what: &str, argument: Value| {
        let request = raw.http.post(format!("{}/standin/{what}", raw.url)).body(argument.to_string());
        let reply = send(request).await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
    };
    let settings = json!({ "folding": "service", "overlap": "succeeds", "repeated_finish": "commits_again",
        "parents_unlisted": true, "listing_breaks_after": null, "transport_limit": 0, "transport_locale": "ja", "latency": 1 });
    post("settings", settings).await;
    assert_eq!(raw.upload("files/upload", &json!({ "path": "/a" }), "x").await.status, 403);
    post("settings", json!({ "transport_limit": 1 })).await;
    assert_eq!(raw.upload("files/upload", &json!({ "path": "/a" }), "x").await.status, 200);
    assert_eq!(raw.upload("files/upload", &json!({ "path": "/b" }), "x").await.status, 403);
    post("transport/renew", json!({})).await;
    assert_eq!(raw.upload("files/upload", &json!({ "path": "/b" }), "x").await.status, 200);
    assert_eq!(shown(&list(&raw).await), ["/a", "/b", "/f/x"]);
    post("settings", json!({ "parents_unlisted": false })).await;
    post("omit", json!({ "path": "/f" })).await;
    assert_eq!(shown(&list(&raw).await), ["/a", "/b", "/f/x"]);
    post("list_again", json!({ "path": "/f" })).await;
    post("cursors/spoil", json!({ "count": 1 })).await;
    let page = list(&raw).await;
    assert_eq!((shown(&page), go_on(&raw, &page).await.status), (vec!["/a", "/b", "/f", "/f/x"], 409));
    post("root", json!({ "told": "1", "refused": true })).await;
    let told = raw.rpc("users/get_current_account", &json!(null)).await;
    assert_eq!(told.json["root_info"]["root_namespace_id"], "1");
    let again = json!({ "cursor": "again", "has_more": true, "add": [{ ".tag": "deleted" }] });
    post("faults", json!({ "route": LIST, "what": { "edit_page": again } })).await;
    assert_eq!(list(&raw).await["has_more"], json!(true));
}
