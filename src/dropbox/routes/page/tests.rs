use secrecy::SecretString;
use serde_json::json;

use super::*;
use crate::dropbox::routes::listing::{SharedLink, argument};
use crate::model::listing::Question;

fn page_of(entries: &Value) -> Page {
    let text = json!({"entries": entries, "cursor": "c", "has_more": false, "brand_new": 1}).to_string();
    read(text.as_bytes(), "r", None).unwrap()
}

fn a_file(path: &str, name: &str) -> Value {
    json!({"name": name, "path_lower": path, ".tag": "file", "id": "id:x", "rev": "015", "size": 3, "what_is_this": {}})
}

#[test]
fn h11_a_cursor_is_some_kib_long_at_most() {
    let page = |len: usize| format!(r#"{{"entries":[],"cursor":"{}","has_more":false}}"#, "c".repeat(len));
    for (len, is_taken) in [(0, false), (1, true), (16 << 10, true), ((16 << 10) + 1, false), (12 << 20, false)] {
        let read = read(page(len).as_bytes(), "files/list_folder", None);
        assert_eq!(read.is_ok(), is_taken, "{len}");
        assert!(
            read.map_or_else(|e| e.text.contains("cursor") && e.text.len() < 200, |p| p.cursor.len() == len),
            "{len}"
        );
    }
}

/// An id or a revision that no file has costs its own entry, and nothing else of the page.
#[test]
fn h11_ids_and_revisions_are_bounded_entry_by_entry() {
    for key in ["id", "rev"] {
        for (len, is_taken) in [(WORD, true), (WORD + 1, false), (100_000, false)] {
            let mut long = a_file("/a", "a");
            long[key] = "x".repeat(len).into();
            let page = page_of(&json!([long, a_file("/b", "b")]));
            assert_eq!(page.entries.len(), 1 + usize::from(is_taken), "{key} {len}");
            assert_eq!(page.refused.len(), usize::from(!is_taken), "{key} {len}");
            assert!(page.refused.iter().all(|refused| refused.text == "/a" && refused.why.len() < 500), "{key} {len}");
        }
    }
}

/// E2, R1: what is not a page is an error, and never an empty page.
#[test]
fn e2_what_is_not_a_page_is_an_error() {
    for text in [
        "",
        "{}",
        "null",
        "[]",
        r#"{"entries": []}"#,
        r#"{"entries": [], "cursor": "c"}"#,
        r#"{"entries": [], "cursor": "", "has_more": false}"#,
        r#"{"entries": null, "cursor": "c", "has_more": false}"#,
        r#"{"entries": [{"#,
    ] {
        assert!(read(text.as_bytes(), "r", None).is_err(), "{text}");
    }
}

/// E14, R1: names that could lead out of a folder, or that are none, are refused one by one.
#[test]
fn e14_names_that_could_escape_are_refused_at_the_wire() {
    let bad = [
        ("/a/..", ".."),
        ("/../x", "x"),
        ("/a/./b", "b"),
        ("//x", "x"),
        ("/a//b", "b"),
        ("x", "x"),
        ("", "x"),
        ("/", "/"),
        ("/a\0b", "b"),
        ("/a/", ""),
        ("/ok", ".."),
        ("/ok", "."),
        ("/ok", ""),
        ("/ok", "a/b"),
        ("/ok", "a\0"),
        ("C:/x", "x"),
        ("/a/b/../../../etc/passwd", "passwd"),
    ];
    for (path, name) in bad {
        let page = page_of(&json!([a_file(path, name), a_file("/good", "Good")]));
        assert_eq!(page.refused.len(), 1, "{path:?} {name:?}");
        assert_eq!((page.refused[0].code.as_str(), page.entries.len()), ("bad_name", 1), "{path:?} {name:?}");
    }
}

/// E6: no path, not mounted; counted, and nothing else.
#[test]
fn e6_what_is_not_mounted_has_no_path() {
    let page =
        page_of(&json!([{".tag": "folder", "name": "Team", "id": "id:y", "path_lower": null, "path_display": null}]));
    assert_eq!((page.unmounted, page.entries.len(), page.refused.len()), (1, 0, 0));
    assert!(!page.unplaced);
    let mut file = a_file("/x", "x");
    file["path_lower"] = json!(null);
    file["path_display"] = json!(null);
    let without = |field: &str| {
        let mut entry = file.clone();
        entry[field] = json!(null);
        entry
    };
    // Whatever is not whole may be anything, anywhere.
    let mut shown = file.clone();
    shown["path_display"] = json!("/x");
    for (entry, unplaced) in [
        (file.clone(), false),
        (json!({".tag": "deleted", "name": "x"}), false),
        (shown, true),
        (without("rev"), true),
        (without("name"), true),
        (json!({".tag": "folder", "name": "x"}), true),
        (json!({".tag": "shortcut", "name": "x", "id": "id:y"}), true),
    ] {
        assert_eq!(page_of(&json!([entry.clone()])).unplaced, unplaced, "{entry}");
    }
}

#[test]
fn an_unknown_kind_is_counted_and_the_rest_is_read() {
    let page =
        page_of(&json!([{".tag": "shortcut", "name": "s", "path_lower": "/s"}, {"name": "t"}, a_file("/a", "A")]));
    assert_eq!(page.unknown, ["shortcut", ""]);
    assert_eq!(page.entries.len(), 1);
    // What has a path is refused at that path.
    assert_eq!(page.refused.iter().map(|refused| refused.text.as_str()).collect::<Vec<_>>(), ["/s"]);
    assert!(page.unplaced);
}

/// E11, E17: a missing hash and odd times are no reason to lose an entry.
#[test]
fn e11_e17_missing_hashes_and_odd_times() {
    for (time, expected) in [
        (json!("2015-05-12T15:50:38Z"), Some(1_431_445_838)),
        (json!("1601-01-01T00:00:00Z"), Some(-11_644_473_600)),
        (json!("2016-12-31T23:59:60Z"), Some(1_483_228_799)),
        (json!("99999-01-01T00:00:00Z"), None),
        (json!("soon"), None),
        (Value::Null, None),
    ] {
        let mut file = a_file("/a", "a");
        file["client_modified"] = time.clone();
        file["content_hash"] = json!("nonsense");
        let page = page_of(&json!([file]));
        let What::File(facts) = &page.entries[0].what else { panic!() };
        assert_eq!((facts.client_modified, facts.content_hash), (expected, None), "{time}");
    }
}

#[test]
fn what_may_be_used_is_kept() {
    let mut file = a_file("/a", "a");
    file["sharing_info"] = json!({"read_only": true, "parent_shared_folder_id": "84"});
    file["symlink_info"] = json!({"target": "/b"});
    file["is_downloadable"] = json!(false);
    file["has_explicit_shared_members"] = json!(false);
    file["property_groups"] = json!([{"template_id": "ptid:1", "fields": []}]);
    file["file_lock_info"] = json!({"is_lockholder": true});
    let page = page_of(&json!([file]));
    let What::File(facts) = &page.entries[0].what else { panic!() };
    assert_eq!(facts.marks.bits(), 15);
    assert_eq!(facts.explicit_members, Some(false));
    let more: Value = serde_json::from_str(facts.more.as_deref().unwrap()).unwrap();
    for key in ["sharing_info", "symlink_info", "property_groups", "file_lock_info"] {
        assert!(more.get(key).is_some(), "{key}");
    }
}

/// I10: half of a surrogate pair spoils one name, not the page; whole pairs stay.
#[test]
fn i10_a_lone_surrogate_is_one_bad_name() {
    let text = r#"{"entries": [
        {".tag": "deleted", "name": "\ud800x", "path_lower": "/\ud800x"},
        {".tag": "deleted", "name": "\ud83e\udd80 \\ud800 \"", "path_lower": "/\ud83e\udd80 \\ud800 \""}], "cursor": "c", "has_more": true}"#;
    let page = read(text.as_bytes(), "r", None).unwrap();
    assert_eq!((page.refused.len(), page.entries.len(), page.has_more), (1, 1, true));
    assert_eq!(page.entries[0].name, "\u{1F980} \\ud800 \"");
}

/// Every argument of `ListFolderArg` whose answer is kept.
#[test]
fn every_argument_is_a_setting() {
    let question = Question {
        limit: Some(7),
        include_has_explicit_shared_members: true,
        include_mounted_folders: false,
        include_property_groups: vec!["ptid:1".to_owned()],
        include_non_downloadable_files: false,
    };
    let link = SharedLink { url: "https://x".to_owned(), password: Some(SecretString::from("p".to_owned())) };
    let path = RemotePath::parse("/a").unwrap();
    assert_eq!(
        argument(&path, &question, false, Some(&link)),
        json!({"path": "/a", "recursive": false, "include_has_explicit_shared_members": true,
            "include_mounted_folders": false, "include_non_downloadable_files": false, "limit": 7,
            "include_property_groups": {".tag": "filter_some", "filter_some": ["ptid:1"]},
            "shared_link": {"url": "https://x", "password": "p"}})
    );
}

/// H6: an entry that cannot be read is refused by itself, by whatever it is called.
#[test]
fn h6_an_entry_that_cannot_be_read_hides_no_other() {
    let with = |key: &str, value: Value| {
        let mut file = a_file("/bad", "Bad");
        file[key] = value;
        file
    };
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    let cases = [
        (with("size", json!(-1)), "/bad", true),
        (with("size", json!(1.5)), "/bad", true),
        (with("size", json!(u64::MAX)), "/bad", true),
        (with("size", json!(1_u64 << 60)), "/bad", true),
        (with("rev", json!(7)), "/bad", true),
        (with("rev", json!("x".repeat(5000))), "/bad", true),
        (with("name", json!(["Bad"])), "/bad", true),
        (with("name", json!("Other")), "/bad", false),
        (with("path_lower", json!(7)), "Bad", false),
        (json!(7), "(an entry without a path)", false),
        (json!(null), "(an entry without a path)", false),
    ];
    for (bad, called, placed) in cases {
        let page = page_of(&json!([bad, a_file("/good", "Good")]));
        let told: Vec<_> = page.refused.iter().map(|refused| refused.text.as_str()).collect();
        assert_eq!((told, page.entries.len()), (vec![called], 1), "{bad}");
        // Whether it is known which path nobody can say anything of.
        assert_eq!((page.unplaced, page.refused[0].after), (!placed, 0), "{bad}");
    }
    let text =
        format!(r#"{{"entries": [{{"x": {deep}}}, {}], "cursor": "c", "has_more": false}}"#, a_file("/good", "Good"));
    let page = read(text.as_bytes(), "r", None).unwrap();
    assert_eq!((page.refused.len() + page.unknown.len(), page.entries.len()), (1, 1));
    // What is for display only makes nothing unreadable.
    let page = page_of(&json!([with("client_modified", json!(7)), with("has_explicit_shared_members", json!("x"))]));
    assert_eq!((page.refused.len(), page.entries.len()), (0, 2));
}

/// H2: absurd paths are refused, and said in short.
#[test]
fn h2_a_path_has_a_length_and_a_depth() {
    let deep = |n: usize| a_file(&format!("{}/x", "/d".repeat(n)), "x");
    let page = page_of(&json!([deep(900), deep(3000), a_file(&format!("/{}", "y".repeat(20_000)), "y")]));
    assert_eq!((page.refused.len(), page.entries.len()), (2, 1));
    assert!(page.refused.iter().all(|refused| refused.code == "bad_name" && refused.text.len() < 1000));
}

/// C16: the letters of the folders on the way are kept where they are those of the key.
#[test]
fn c16_the_folders_above_are_shown_in_their_letters() {
    let above = |lower: &str, display: &str| {
        let mut file = a_file(lower, lower.rsplit('/').next().unwrap());
        file["path_display"] = json!(display);
        page_of(&json!([file])).entries[0].above.clone()
    };
    assert_eq!(above("/photos/summer 2020/i", "/Photos/Summer 2020/I").as_deref(), Some("/Photos/Summer 2020"));
    assert_eq!(above("/οδοσ/i", "/ΟΔΟΣ/i").as_deref(), Some("/ΟΔΟΣ"));
    for (lower, display) in
        [("/a/b/i", "/A/C/i"), ("/a/b/i", "/A/i"), ("/a/i", "/a/i"), ("/a/i", ""), ("/a/i", "/../i")]
    {
        assert_eq!(above(lower, display), None, "{display}");
    }
}
