//! `ferrybox ls` and `GET /v1/entries`, end to end: the real binary, the database, and the stand-in server where no folder covers a path.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::time::Duration;

use crate::harness::cache::{cached, filled, ls, until_equal};
use crate::harness::{World, socket, text};
use ferrybox_standin::{AccountSpec, Settings};
use serde_json::{Value, json};

#[test]
fn ls_lists_offline_with_patterns_marks_and_exit_codes() {
    let world = World::new();
    world.standin.write("/T/Photos/One.JPG", vec![0; 2048]);
    world.standin.write("/T/Photos/2026/two.jpg", "2");
    world.standin.write("/T/Photos/notes.txt", "n");
    world.standin.set(|s| s.read_only.clear());
    world.standin.write("/T/Shared/theirs", "t");
    world.standin.set(|s| s.read_only = vec!["/t/shared".to_owned()]);
    world.once_in_sync();
    let names = |args: &[&str]| -> Vec<String> {
        ls(&world, args).iter().map(|e| e["path"].as_str().unwrap().to_owned()).collect()
    };
    world.standin.set_latency(Duration::from_secs(3600));
    assert_eq!(names(&["/t/photos"]), ["/T/Photos/2026", "/T/Photos/notes.txt", "/T/Photos/One.JPG"]);
    assert_eq!(names(&["/T/Photos/*.jpg"]), ["/T/Photos/One.JPG"]);
    assert_eq!(names(&["/T/**/*.jpg"]), ["/T/Photos/2026/two.jpg", "/T/Photos/One.JPG"]);
    assert_eq!(names(&["-R", "/T/Ph*"]).len(), 5);
    assert_eq!(names(&["/T/Photos/One.jpg"]), ["/T/Photos/One.JPG"]);
    let out = world.command(&["ls", "-R", "/T"]).output().unwrap();
    let lines = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        lines.contains("2.0 KiB") && lines.lines().any(|l| l.starts_with("-rs--") && l.ends_with("/T/Shared/theirs")),
        "{lines}"
    );
    assert_eq!(world.command(&["ls", "/T/nothing"]).output().unwrap().status.code(), Some(1));
    assert_eq!(world.command(&["ls", "--account", "nobody"]).output().unwrap().status.code(), Some(64));
    world.standin.set_latency(Duration::ZERO);
    // Outside of what is synced, Dropbox itself is asked, one folder deep.
    world.standin.write("/Other/File", "o");
    assert_eq!(names(&["/other"]), ["/other/File"]);
    assert_eq!(names(&["/Oth*"]), ["/Other"]);
    world.assert_clean();
}

#[test]
fn entries_are_paged_over_the_socket() {
    let world = filled(Settings::default(), 30);
    let _daemon = world.daemon();
    until_equal(&world);
    let get = |query: &str| -> Value { socket::get(&world.socket(), &format!("/v1/entries?{query}")).unwrap().1 };
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(&format!("path=/t&recursive=true&limit=7&after={}", after.replace('/', "%2F")));
        assert!(page["complete"] == true, "{page}");
        all.extend(page["items"].as_array().unwrap().iter().map(|e| e["path_lower"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    assert_eq!(all, cached(&world).into_keys().filter(|p| p != "/t").collect::<Vec<_>>());
    assert!(get("path=/elsewhere")["detail"].is_string() && get("path=no")["detail"].is_string());
    world.assert_clean();
}

/// Exit code and what was said.
fn said(command: &mut std::process::Command) -> (Option<i32>, String) {
    let out = command.output().unwrap();
    (out.status.code(), text(&out))
}

#[test]
fn what_no_folder_covers_is_asked_of_dropbox_one_folder_deep() {
    let world = filled(Settings { page_size: 3, ..Settings::default() }, 1);
    for i in 0..10 {
        world.standin.write(&format!("/Other/Deep/{i}"), "x");
    }
    world.standin.write("/Other/File", "four");
    world.once_in_sync();
    let names = |args: &[&str]| -> Vec<String> {
        ls(&world, args).iter().map(|e| e["path"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&["/Other"]), ["/Other/Deep", "/Other/File"]);
    assert_eq!(names(&["/Other/Deep"]).len(), 10, "pages go on to their end");
    assert_eq!(names(&["-R", "/Other"]).len(), 13);
    assert_eq!(names(&["/Other/file"]), ["/Other/File"], "a file has its line, too");
    let (code, told) = said(&mut world.command(&["ls", "/Nowhere"]));
    assert!(code == Some(1) && told.contains("there is no /Nowhere in Dropbox"), "{told}");
    world.assert_clean();
}

#[test]
fn a_shared_link_is_listed_with_its_password_and_without_a_path_of_ours() {
    let world = World::with(Settings { page_size: 2, ..Settings::default() });
    // Somebody else's.
    let owner = world.standin.add_account(AccountSpec::default());
    for name in ["one", "two", "Three", "Inner/four", "Inner/five"] {
        owner.write(&format!("/Private/Shared/{name}"), name.to_owned());
    }
    let open = owner.share("/Private/Shared", None);
    let closed = owner.share("/Private/Shared", Some("sesame"));
    world.write_config();
    let names = |command: &mut std::process::Command| -> Vec<String> {
        let out = command.output().unwrap();
        assert_eq!(out.status.code(), Some(0), "{}", text(&out));
        let lines = String::from_utf8(out.stdout).unwrap();
        lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["path"].as_str().unwrap().to_owned()).collect()
    };
    let link = |url: &str, path: &[&str]| {
        let mut command = world.command(&["ls", "--json", "--link", url]);
        command.args(path).env_remove("FERRYBOX_LINK_PASSWORD");
        command
    };
    let mut all = names(&mut link(&open, &[]));
    all.sort();
    assert_eq!(all, ["/Inner", "/Three", "/one", "/two"]);
    let mut inner = names(&mut link(&open, &["/Inner"]));
    inner.sort();
    assert_eq!(inner, ["/Inner/five", "/Inner/four"]);
    assert_eq!(names(link(&closed, &["/inner"]).env("FERRYBOX_LINK_PASSWORD", "sesame")).len(), 2);
    for wrong in [None, Some("open")] {
        let mut command = link(&closed, &[]);
        if let Some(password) = wrong {
            command.env("FERRYBOX_LINK_PASSWORD", password);
        }
        let (code, told) = said(&mut command);
        assert!(code == Some(1) && told.contains("FERRYBOX_LINK_PASSWORD"), "{told}");
    }
    let (code, told) = said(&mut link(&open, &["/Nowhere"]));
    assert!(code == Some(1) && told.contains("behind this shared link"), "{told}");
    owner.revoke_links();
    let (code, told) = said(&mut link(&open, &[]));
    assert!(code == Some(1) && told.contains("no such shared link"), "{told}");
    // The specification knows no recursive listing of a link.
    assert_eq!(link(&open, &["-R"]).output().unwrap().status.code(), Some(64));
    world.assert_clean();
}

#[test]
fn what_the_listing_says_is_kept_and_shown() {
    let world = World::new();
    world.standin.write("/T/Every.thing", "x");
    let said = json!({
        "client_modified": "2015-05-12T15:50:38Z",
        "server_modified": "2016-12-31T23:59:59Z",
        "has_explicit_shared_members": true,
        "is_downloadable": false,
        "sharing_info": {"read_only": true, "parent_shared_folder_id": "84528192421"},
        "symlink_info": {"target": "/elsewhere"},
        "property_groups": [{"template_id": "ptid:1a5n2i6d3OYEAAAAAAAAAYa", "fields": [{"name": "Policy", "value": "P"}]}],
        "file_lock_info": {"is_lockholder": true, "lockholder_name": "Imaginary User"},
        "never_heard_of": {"by": "this version"},
    });
    world.standin.decorate("/T/Every.thing", said.clone());
    world.once_in_sync();
    let file = world.standin.file("/T/Every.thing").unwrap();
    let listed = ls(&world, &["/T/every.thing"]).remove(0);
    for (field, expected) in [
        ("path", json!("/T/Every.thing")),
        ("path_lower", json!("/t/every.thing")),
        ("kind", json!("file")),
        ("id", json!(file.id)),
        ("rev", json!(file.rev)),
        ("size", json!(1)),
        ("content_hash", json!(file.content_hash)),
        ("client_modified", json!(1_431_445_838)),
        ("server_modified", json!(1_483_228_799)),
        ("read_only", json!(true)),
        ("shared", json!(true)),
        ("is_downloadable", json!(false)),
        ("symlink", json!(true)),
        ("has_explicit_shared_members", json!(true)),
    ] {
        assert_eq!(listed[field], expected, "{field}: {listed}");
    }
    let more: Value = serde_json::from_str(listed["more"].as_str().unwrap()).unwrap();
    for field in ["sharing_info", "symlink_info", "property_groups", "file_lock_info"] {
        assert_eq!(more[field], said[field], "{field}: {more}");
    }
    assert!(more.get("never_heard_of").is_none());
    world.assert_clean();
}
