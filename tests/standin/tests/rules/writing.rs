use ferrybox_standin::{Settings, Standin};
use serde_json::{Value, json};

use crate::raw::{Raw, pair};

/// Uploads, and says the new revision or the error.
async fn upload(raw: &Raw, argument: Value, data: &str) -> Result<String, String> {
    let reply = raw.upload("files/upload", &argument, data.to_owned()).await;
    match reply.json["rev"].as_str() {
        Some(rev) => Ok(rev.to_owned()),
        None => Err(reply.summary().trim_end_matches("/..").to_owned()),
    }
}

fn conflict(what: &str) -> Result<String, String> {
    Err(format!("path/conflict/{what}"))
}

/// A file with two revisions: the old one and the current one.
fn two(standin: &Standin) -> (String, String) {
    (standin.write("/f", "old").unwrap(), standin.write("/f", "now").unwrap())
}

#[tokio::test]
async fn each_write_mode_decides_by_what_is_at_the_path() {
    let (standin, raw) = pair(Settings::default()).await;
    let (old, now) = two(&standin);
    let update = |rev: &str| json!({ ".tag": "update", "update": rev });
    let arg = |mode: Value, strict: bool| json!({ "path": "/F", "mode": mode, "strict_conflict": strict });
    // (c) identical contents: nothing is written, whatever the mode.
    for mode in [json!("add"), json!("overwrite"), update(&old), update(&now)] {
        assert_eq!(upload(&raw, arg(mode, false), "now").await, Ok(now.clone()));
    }
    // strict_conflict takes that away.
    assert_eq!(upload(&raw, arg(json!("add"), true), "now").await, conflict("file"));
    assert_eq!(upload(&raw, arg(update(&old), true), "now").await, conflict("file"));
    // Other contents.
    assert_eq!(upload(&raw, arg(json!("add"), false), "new").await, conflict("file"));
    assert_eq!(upload(&raw, arg(update(&old), false), "new").await, conflict("file"));
    let third = upload(&raw, arg(update(&now), false), "new").await.unwrap();
    assert_ne!(third, now);
    assert_ne!(upload(&raw, arg(json!("overwrite"), false), "newer").await, Ok(third.clone()));
    assert_eq!(standin.revisions("/f").len(), 4);
    // (a) nothing there: written, unless a strict update says that something was.
    standin.delete("/f");
    assert_eq!(upload(&raw, arg(update(&third), true), "again").await, conflict("file"));
    assert!(upload(&raw, arg(update(&third), false), "again").await.is_ok());
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn folders_files_above_names_space_and_permissions() {
    let settings = Settings { read_only: vec!["/locked".to_owned()], ..Settings::default() };
    let (standin, raw) = pair(settings).await;
    standin.make_folder("/folder");
    standin.write("/file", "x").unwrap();
    let add = |path: &str| json!({ "path": path, "mode": "overwrite" });
    assert_eq!(upload(&raw, add("/folder"), "x").await, conflict("folder"));
    assert_eq!(upload(&raw, add("/FILE/below"), "x").await, conflict("file_ancestor"));
    assert_eq!(upload(&raw, add("/a/Thumbs.db"), "x").await, Err("path/disallowed_name".to_owned()));
    assert_eq!(upload(&raw, add("/a//b"), "x").await, Err("path/malformed_path".to_owned()));
    assert_eq!(upload(&raw, add("/locked/a"), "x").await, Err("path/no_write_permission".to_owned()));
    standin.set_quota(3);
    assert_eq!(upload(&raw, add("/large"), "123").await, Err("path/insufficient_space".to_owned()));
    assert!(upload(&raw, add("/small"), "12").await.is_ok());
    assert_eq!(standin.used(), 3);
    assert!(standin.violations().is_empty());
}

#[tokio::test]
async fn paths_have_one_case_and_keep_the_first_spelling() {
    let (standin, raw) = pair(Settings { fold: vec![('ẞ', "ß".to_owned())], ..Settings::default() }).await;
    upload(&raw, json!({ "path": "/Photos/İstanbul/GROẞ.txt" }), "1").await.unwrap();
    upload(&raw, json!({ "path": "/PHOTOS/Other", "mode": "overwrite" }), "2").await.unwrap();
    let file = standin.file("/photos/İstanbul/groß.TXT").unwrap();
    assert_eq!(file.path_lower, "/photos/İstanbul/groß.txt");
    assert_eq!(standin.file("/photos/other").unwrap().path_display, "/Photos/Other");
    // NFD comes back as NFC.
    upload(&raw, json!({ "path": "/u\u{308}" }), "3").await.unwrap();
    assert_eq!(standin.file("/ü").unwrap().path_display, "/ü");
}

#[tokio::test]
async fn metadata_can_be_decorated() {
    let (standin, raw) = pair(Settings::default()).await;
    standin.write("/doc.paper", "x").unwrap();
    let fields = json!({ "is_downloadable": false, "export_info": { "export_as": "md" }, "content_hash": null });
    standin.decorate("/doc.paper", fields);
    let found = raw.rpc("files/get_metadata", &json!({ "path": "/doc.paper" })).await.json;
    assert_eq!((&found["is_downloadable"], found.get("content_hash")), (&json!(false), None));
    let download = raw.post("files/download").header("dropbox-api-arg", "{\"path\":\"/doc.paper\"}");
    assert_eq!(crate::raw::send(download).await.unwrap().summary(), "unsupported_file/..");
}
