//! What is sent: routes, headers, arguments.

use ferrybox::dropbox::{DeleteEntry, Dropbox, Endpoints, FinishEntry, Launch, Metadata, PathRoot, SetupError, Tokens};
use ferrybox::model::{RemotePath, WriteMode};
use serde_json::json as value;

use crate::script::{Asked, Server, json, static_token};

const ACCOUNT: &str = r#"{"account_id": "dbid:A", "email": "a@example.com", "name": {"display_name": "A. B."}, "disabled": false,
    "root_info": {".tag": "team", "root_namespace_id": "7", "home_namespace_id": "8", "home_path": "/A"}}"#;

#[tokio::test]
async fn account_routes() {
    let server = Server::start(|asked: &Asked| match asked.path.as_str() {
        "/2/users/get_current_account" => json(200, ACCOUNT),
        "/2/users/get_space_usage" => json(200, r#"{"used": 5, "allocation": {".tag": "individual", "allocated": 9}}"#),
        "/2/auth/token/revoke" => json(200, "null"),
        _ => json(200, r#"{"result": "ferrybox"}"#),
    })
    .await;
    let client = server.client();
    let account = client.current_account().await.unwrap();
    assert_eq!((account.account_id.as_str(), account.root_namespace_id.as_str()), ("dbid:A", "7"));
    assert_eq!((account.display_name.as_str(), account.email.as_str()), ("A. B.", "a@example.com"));
    assert_eq!(client.space_usage().await.unwrap().allocated, 9);
    client.check_user().await.unwrap();
    client.revoke().await.unwrap();
    let asked = server.asked();
    assert_eq!(asked[0].body, b"null");
    assert!(asked[0].headers["user-agent"].starts_with("ferrybox/"));
    assert!(!asked[0].headers.contains_key("dropbox-api-path-root"));
    assert!(client.take_transport_counts().is_empty());
}

#[tokio::test]
async fn team_headers_and_path_roots() {
    let server = Server::start(|asked: &Asked| match asked.path.as_str() {
        "/2/users/get_current_account" => json(200, ACCOUNT),
        "/2/files/get_metadata" => {
            json(422, r#"{"error_summary": "invalid_root/", "error": {".tag": "invalid_root"}}"#)
        }
        _ => json(200, r#"{"result": "ferrybox"}"#),
    })
    .await;
    let mut settings = server.settings();
    settings.select_user = Some("dbmid:X".to_owned());
    settings.path_root = PathRoot::Root;
    let client = Dropbox::new(settings.clone(), Tokens::new("home", static_token())).unwrap();
    client.check_user().await.unwrap();
    client.check_user().await.unwrap();
    let asked = server.asked();
    assert_eq!(server.count("/2/users/get_current_account"), 1, "asked once");
    assert_eq!(asked[0].headers["dropbox-api-select-user"], "dbmid:X");
    assert!(!asked[0].headers.contains_key("dropbox-api-path-root"));
    let root: serde_json::Value = serde_json::from_str(&asked[1].headers["dropbox-api-path-root"]).unwrap();
    assert_eq!(root, value!({".tag": "root", "root": "7"}));
    let error = client.get_metadata(&RemotePath::parse("/a").unwrap()).await.unwrap_err();
    assert_eq!(error.failure().code, "path_root");
    client.check_user().await.unwrap();
    assert_eq!(server.count("/2/users/get_current_account"), 2, "asked again after it changed");

    settings.path_root = PathRoot::Namespace("9".to_owned());
    let client = Dropbox::new(settings.clone(), Tokens::new("home", static_token())).unwrap();
    client.check_user().await.unwrap();
    let root = &server.asked().last().unwrap().headers["dropbox-api-path-root"].clone();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(root).unwrap(),
        value!({".tag": "namespace_id", "namespace_id": "9"})
    );
    settings.select_admin = Some("a\nb".to_owned());
    let error = Dropbox::new(settings, Tokens::new("home", static_token())).unwrap_err();
    assert_eq!(error, SetupError::Header { key: "select_admin" });
}

#[tokio::test]
async fn sessions_commits_and_deletions() {
    let file = r#""name": "a", "id": "id:1", "rev": "5", "size": 1"#;
    let server = Server::start(move |asked: &Asked| match asked.path.as_str() {
        "/2/files/upload_session/start_batch" => json(200, r#"{"session_ids": ["s1", "s2"]}"#),
        "/2/files/upload_session/start" => json(200, r#"{"session_id": "c1"}"#),
        "/2/files/upload_session/finish" => json(200, &format!("{{{file}}}")),
        "/2/files/delete_batch" => json(
            200,
            &format!(
                r#"{{".tag": "complete", "entries": [{{".tag": "success", "metadata": {{".tag": "file", {file}}}}},
                {{".tag": "failure", "failure": {{".tag": "path_lookup", "path_lookup": {{".tag": "not_found"}}}}}}]}}"#
            ),
        ),
        _ => json(404, ""),
    })
    .await;
    let client = server.client();
    assert_eq!(client.start_batch(2).await.unwrap(), ["s1", "s2"]);
    client.start_batch(3).await.unwrap_err();
    assert_eq!(server.asked()[0].json(), value!({"num_sessions": 2, "session_type": {".tag": "sequential"}}));
    assert_eq!(client.start_session(true).await.unwrap(), "c1");
    let start = server.asked().pop().unwrap();
    assert_eq!(start.arg(), value!({"close": false, "session_type": {".tag": "concurrent"}}));
    assert!(start.body.is_empty());

    let (to, mode) = (RemotePath::parse("/Ö").unwrap(), WriteMode::Update("r1".to_owned()));
    let entry = FinishEntry { session: "c1", offset: 5, to: &to, mode: &mode, client_modified: None, mute: false };
    assert_eq!(client.finish(&entry).await.unwrap().rev, "5");
    let finish = server.asked().pop().unwrap();
    assert!(finish.headers["dropbox-api-arg"].contains("/\\u00d6"));
    assert_eq!(finish.arg()["commit"]["mode"], value!({".tag": "update", "update": "r1"}));

    let entries = [DeleteEntry { path: &to, parent_rev: Some("r1") }, DeleteEntry { path: &to, parent_rev: None }];
    let Launch::Done(done) = client.delete_batch(&entries).await.unwrap() else { panic!() };
    assert!(matches!(&done[0], Ok(Metadata::File(f)) if f.rev == "5"));
    assert_eq!(done[1].as_ref().unwrap_err().failure().code, "gone");
    let sent = server.asked().pop().unwrap().json();
    assert_eq!(sent, value!({"entries": [{"path": "/Ö", "parent_rev": "r1"}, {"path": "/Ö"}]}));
    let counts = client.take_transport_counts();
    assert_eq!(counts.iter().map(|(_, n)| n).sum::<u64>(), 4, "{counts:?}");
}

#[test]
fn addresses_are_https_or_loopback() {
    let ok = "https://api.dropboxapi.com";
    let with = |api: &str| Endpoints::new(api, ok, ok, ok);
    for good in
        [ok, "http://127.0.0.1:80", "http://localhost:1/base/", "http://[::1]:5", "https://gateway.example/dropbox"]
    {
        with(good).unwrap();
    }
    for bad in [
        "http://api.dropboxapi.com",
        "http://127.0.0.1.example.com",
        "ftp://localhost",
        "api",
        "https://u:p@h",
        "https://h/?q",
        "http://10.0.0.1",
    ] {
        let error = with(bad).unwrap_err().to_string();
        assert!(error.contains("account.endpoints.api"), "{bad}: {error}");
        assert!(!error.contains("u:p"), "{error}");
    }
}

#[tokio::test]
async fn a_base_with_a_path_and_a_ca_file_that_is_none() {
    let server = Server::always(json(200, r#"{"result": "ferrybox"}"#)).await;
    let mut settings = server.settings();
    let base = format!("{}/gate/", server.base);
    settings.endpoints = Endpoints::new(&base, &base, &base, &base).unwrap();
    Dropbox::new(settings.clone(), Tokens::new("home", static_token())).unwrap().check_user().await.unwrap();
    assert_eq!(server.asked()[0].path, "/gate/2/check/user");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    for content in [None, Some("no certificate")] {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        settings.ca_file = Some(path.clone());
        let error = Dropbox::new(settings.clone(), Tokens::new("home", static_token())).unwrap_err();
        assert!(error.to_string().contains("ca.pem"), "{error}");
    }
}
