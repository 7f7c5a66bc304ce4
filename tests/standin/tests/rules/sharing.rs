use ferrybox_standin::{Mount, Obstacle, Rights, Settings, Standin};
use serde_json::{Value, json};

use crate::raw::{Raw, pair};

/// Every entry of a listing with these arguments.
async fn entries(raw: &Raw, argument: Value) -> Vec<Value> {
    let mut page = raw.rpc("files/list_folder", &argument).await.json;
    let mut all = page["entries"].as_array().unwrap().clone();
    while page["has_more"] == json!(true) {
        page = raw.rpc("files/list_folder/continue", &json!({ "cursor": page["cursor"] })).await.json;
        all.extend(page["entries"].as_array().unwrap().clone());
    }
    all
}

fn paths(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["path_display"].as_str().unwrap()).collect()
}

async fn cursor(raw: &Raw) -> Value {
    raw.rpc("files/list_folder/get_latest_cursor", &json!({ "path": "", "recursive": true })).await.json["cursor"]
        .clone()
}

async fn told(raw: &Raw, cursor: &Value) -> Vec<Value> {
    let page = raw.rpc("files/list_folder/continue", &json!({ "cursor": cursor })).await.json;
    page["entries"].as_array().unwrap().clone()
}

async fn upload(raw: &Raw, path: &str) -> String {
    let argument = json!({ "path": path, "mode": "overwrite" });
    raw.upload("files/upload", &argument, "new").await.summary().trim_end_matches("/..").to_owned()
}

async fn delete(raw: &Raw, path: &str) -> String {
    raw.rpc("files/delete_v2", &json!({ "path": path })).await.summary().trim_end_matches("/..").to_owned()
}

fn tree(standin: &Standin, paths: &[&str]) {
    for path in paths {
        standin.write(path, "x").unwrap();
    }
}

#[tokio::test]
async fn p1_a_listing_leaves_out_what_it_was_not_asked_for() {
    let (standin, raw) = pair(Settings::default()).await;
    tree(&standin, &["/Docs/plan.gdoc", "/Shared/a.txt", "/Shared/sub/b.txt", "/old"]);
    standin.decorate("/Docs/plan.gdoc", json!({ "is_downloadable": false, "export_info": { "export_as": "docx" } }));
    standin.mount("/Shared", Mount::Shared);
    standin.delete("/old");
    let all = json!({ "path": "", "recursive": true });
    let list = async |field: &str, value: bool| {
        let mut argument = all.clone();
        argument[field] = json!(value);
        entries(&raw, argument).await
    };
    let whole = entries(&raw, all.clone()).await;
    let expected = ["/Docs", "/Docs/plan.gdoc", "/Shared", "/Shared/a.txt", "/Shared/sub", "/Shared/sub/b.txt"];
    assert_eq!(paths(&whole), expected);
    let without_docs = list("include_non_downloadable_files", false).await;
    assert_eq!(paths(&without_docs)[..2], ["/Docs", "/Shared"]);
    // "entries under mounted folders": the folder itself is one of its parent's.
    let without_mounts = list("include_mounted_folders", false).await;
    assert_eq!(paths(&without_mounts), ["/Docs", "/Docs/plan.gdoc", "/Shared"]);
    let inside = entries(&raw, json!({ "path": "/Shared", "include_mounted_folders": false })).await;
    assert_eq!(paths(&inside), ["/Shared/a.txt", "/Shared/sub"]);
    let deleted = list("include_deleted", true).await;
    assert_eq!((deleted.len(), &deleted[2][".tag"], deleted[2].get("is_restorable")), (7, &json!("deleted"), None));
    let both = json!({ "path": "", "include_deleted": true, "include_restorable_info": true });
    assert_eq!(entries(&raw, both).await[1]["is_restorable"], json!(true));
    let members = list("include_has_explicit_shared_members", true).await;
    assert_eq!(members[1]["has_explicit_shared_members"], json!(false));
    assert_eq!(members[0].get("has_explicit_shared_members"), None);
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn p1_a_cursor_goes_on_leaving_out_what_its_listing_was_not_asked_for() {
    let (standin, raw) = pair(Settings::default()).await;
    standin.make_folder("/Shared");
    standin.mount("/Shared", Mount::Shared);
    let narrow = json!({ "path": "", "recursive": true, "include_mounted_folders": false });
    let narrow = raw.rpc("files/list_folder/get_latest_cursor", &narrow).await.json["cursor"].clone();
    let wide = cursor(&raw).await;
    standin.write("/Shared/a", "x").unwrap();
    assert_eq!(paths(&told(&raw, &wide).await), ["/Shared/a"]);
    assert_eq!(told(&raw, &narrow).await, Vec::<Value>::new());
}

#[tokio::test]
async fn p2_rights_are_given_and_taken_while_it_runs_and_told_on_the_folder_alone() {
    let (standin, raw) = pair(Settings::default()).await;
    tree(&standin, &["/ro/a", "/ro/sub/b"]);
    let mut at = cursor(&raw).await;
    for (rights, refused) in [(Rights { read_only: true, ..Rights::default() }, true), (Rights::default(), false)] {
        assert!(standin.set_rights("/ro", rights));
        let entries = told(&raw, &at).await;
        assert_eq!((paths(&entries), entries[0][".tag"].clone()), (vec!["/ro"], json!("folder")));
        let marked = entries[0]["sharing_info"]["read_only"].as_bool().unwrap_or_default();
        assert_eq!(marked, refused);
        let said = upload(&raw, "/ro/sub/b").await;
        assert_eq!(said.starts_with("path/no_write_permission"), refused, "{said}");
        let said = delete(&raw, "/ro/a").await;
        assert_eq!(said.starts_with("path_write/no_write_permission"), refused, "{said}");
        // Somebody else may write there all the same.
        standin.write("/ro/a", "by another").unwrap();
        at = cursor(&raw).await;
    }
    assert!(!standin.set_rights("/ro/a", Rights::default()) && !standin.set_rights("/none", Rights::default()));
}

#[tokio::test]
async fn p3_what_may_not_be_seen_is_not_listed_and_not_found() {
    let (standin, raw) = pair(Settings::default()).await;
    tree(&standin, &["/team/secret/x", "/team/secret/open/y", "/team/way/z", "/team/way/mine/z", "/team/all"]);
    standin.mount("/team", Mount::Shared);
    standin.set_rights("/team/secret", Rights { no_access: true, ..Rights::default() });
    standin.set_rights("/team/secret/open", Rights::default());
    standin.set_rights("/team/way", Rights { traverse_only: true, ..Rights::default() });
    standin.set_rights("/team/way/mine", Rights::default());
    let list = entries(&raw, json!({ "path": "", "recursive": true })).await;
    let expected = ["/team", "/team/all", "/team/secret", "/team/way", "/team/way/mine", "/team/way/mine/z"];
    assert_eq!(paths(&list), expected);
    let said = |entry: &Value, field: &str| entry["sharing_info"][field].as_bool().unwrap();
    assert!(said(&list[2], "no_access") && said(&list[3], "traverse_only") && !said(&list[4], "traverse_only"));
    let shared = &list[0]["sharing_info"]["shared_folder_id"];
    assert!(shared.is_string() && list[1]["sharing_info"]["parent_shared_folder_id"] == *shared);
    for hidden in ["/team/secret/x", "/team/secret/open/y", "/team/way/z"] {
        let look = raw.rpc("files/get_metadata", &json!({ "path": hidden })).await;
        assert_eq!(look.summary(), "path/not_found/..");
        assert_eq!(upload(&raw, hidden).await, "path/no_write_permission");
    }
    assert_eq!(delete(&raw, "/team/secret").await, "path_write/no_write_permission");
    let mine = upload(&raw, "/team/way/mine/new").await;
    assert!(standin.file("/team/way/mine/new").is_some(), "{mine}");
    // A change that may not be seen is not told; when it may be, all of it is.
    let at = cursor(&raw).await;
    standin.write("/team/secret/x", "changed").unwrap();
    assert_eq!(told(&raw, &at).await, Vec::<Value>::new());
    standin.set_rights("/team/secret", Rights::default());
    let expected = ["/team/secret", "/team/secret", "/team/secret/open", "/team/secret/open/y", "/team/secret/x"];
    assert_eq!(paths(&told(&raw, &at).await), expected);
}

#[tokio::test]
async fn p3_mounts_are_left_moved_and_kept_as_their_kind_says() {
    let (standin, raw) = pair(Settings::default()).await;
    tree(&standin, &["/shared/x", "/team/x", "/other/x", "/plain/x"]);
    let before = cursor(&raw).await;
    standin.mount("/shared", Mount::Shared);
    standin.mount("/team", Mount::Team);
    standin.mount("/other", Mount::Shared);
    let entries = told(&raw, &before).await;
    // Sharing a folder is told as its deletion and its coming back.
    assert_eq!(
        (paths(&entries)[..3].to_vec(), &entries[0][".tag"]),
        (vec!["/shared", "/shared", "/shared/x"], &json!("deleted"))
    );
    assert_eq!(delete(&raw, "/team").await, "path_write/team_folder");
    let relocate = async |route: &str, from: &str, to: &str| {
        let reply = raw.rpc(route, &json!({ "from_path": from, "to_path": to })).await;
        reply.json["error_summary"].as_str().unwrap_or_default().trim_end_matches("/..").to_owned()
    };
    assert_eq!(relocate("files/move_v2", "/team", "/t").await, "from_write/team_folder");
    assert_eq!(relocate("files/copy_v2", "/shared", "/t").await, "cant_copy_shared_folder");
    assert_eq!(relocate("files/move_v2", "/shared", "/other/in").await, "cant_nest_shared_folder");
    assert_eq!(relocate("files/move_v2", "/shared", "/plain/in").await, "");
    let moved = raw.rpc("files/get_metadata", &json!({ "path": "/plain/in" })).await;
    assert!(moved.json["sharing_info"]["shared_folder_id"].is_string());
    delete(&raw, "/plain/in").await;
    assert!(!standin.folder("/plain/in"));
    assert!(standin.unmount("/other"));
    assert_eq!(raw.rpc("files/get_metadata", &json!({ "path": "/other" })).await.json.get("sharing_info"), None);
}

#[tokio::test]
async fn p3_a_locked_file_is_shown_as_locked_and_only_its_holder_may_write_it() {
    let (standin, raw) = pair(Settings::default()).await;
    standin.write("/doc", "x").unwrap();
    let at = cursor(&raw).await;
    standin.lock("/doc", "Imaginary User");
    let entries = told(&raw, &at).await;
    let lock = &entries[0]["file_lock_info"];
    assert_eq!((&lock["is_lockholder"], &lock["lockholder_name"]), (&json!(false), &json!("Imaginary User")));
    assert_eq!(upload(&raw, "/doc").await, "path/no_write_permission");
    assert_eq!(delete(&raw, "/doc").await, "path_write/no_write_permission");
    assert!(standin.write("/doc", "by the holder").is_some());
    standin.lock_own("/doc");
    upload(&raw, "/doc").await;
    assert_eq!(standin.content("/doc").unwrap().as_ref(), b"new");
    standin.unlock("/doc");
    assert_eq!(raw.rpc("files/get_metadata", &json!({ "path": "/doc" })).await.json.get("file_lock_info"), None);
}

#[tokio::test]
async fn p3_what_no_listing_shows_can_be_in_the_way() {
    let (standin, raw) = pair(Settings::default()).await;
    let cases = [
        (Obstacle::File, "not_found", "conflict/file", "conflict/file_ancestor"),
        (Obstacle::Folder, "not_found", "conflict/folder", "no_write_permission"),
        (Obstacle::Vault, "locked", "operation_suppressed", "operation_suppressed"),
        (Obstacle::Backup, "not_found", "operation_suppressed", "operation_suppressed"),
        (Obstacle::Restricted, "restricted_content", "access_restricted", "access_restricted"),
    ];
    standin.write("/Way/below", "hidden").unwrap();
    for (obstacle, look, at, below) in cases {
        standin.obstruct("/Way", obstacle);
        assert_eq!(entries(&raw, json!({ "path": "", "recursive": true })).await, Vec::<Value>::new());
        let seen = raw.rpc("files/get_metadata", &json!({ "path": "/way/below" })).await;
        assert_eq!(seen.summary(), format!("path/{look}/.."));
        assert_eq!(upload(&raw, "/way").await, format!("path/{at}"));
        assert_eq!(upload(&raw, "/WAY/below/x").await, format!("path/{below}"));
        assert_eq!(delete(&raw, "/way").await, format!("path_lookup/{look}"));
    }
    standin.clear_way("/way");
    assert_eq!(paths(&entries(&raw, json!({ "path": "", "recursive": true })).await), ["/Way", "/Way/below"]);
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn the_control_surface_shares_too() {
    let (standin, raw) = pair(Settings::default()).await;
    tree(&standin, &["/f/x"]);
    let post = async |what: &str, argument: Value| {
        let request = raw.http.post(format!("{}/standin/{what}", raw.url)).body(argument.to_string());
        crate::raw::send(request).await.unwrap().json
    };
    assert_eq!(post("mount", json!({ "path": "/f", "kind": "team" })).await, json!(true));
    assert_eq!(post("rights", json!({ "path": "/f", "rights": { "read_only": true } })).await, json!(true));
    assert_eq!(upload(&raw, "/f/x").await, "path/no_write_permission");
    assert_eq!(post("rights", json!({ "path": "/f", "rights": null })).await, json!(true));
    assert_eq!(post("lock", json!({ "path": "/f/x", "holder": "Somebody" })).await, json!(true));
    assert_eq!(upload(&raw, "/f/x").await, "path/no_write_permission");
    assert_eq!(post("unlock", json!({ "path": "/f/x" })).await, json!(true));
    assert_eq!(post("obstruct", json!({ "path": "/v", "obstacle": "vault" })).await, json!(true));
    assert_eq!(upload(&raw, "/v").await, "path/operation_suppressed");
    assert_eq!(post("clear_way", json!({ "path": "/v" })).await, json!(true));
    assert_eq!(post("unmount", json!({ "path": "/none" })).await, json!(false));
    assert!(post("mount", json!({ "path": "/f", "kind": "sandwich" })).await["error"].is_string());
}
