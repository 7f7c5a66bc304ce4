//! Who may know whom: the `use` lines and paths of every file under `src/`, against the table in `src/lib.rs`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[path = "architecture/blocking.rs"]
mod blocking;
#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/documents.rs"]
mod documents;

/// Each room and the rooms that it may name.
const MAY: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["api", "config", "control", "daemon", "dropbox", "env", "logging", "model"]),
    ("daemon", &["api", "config", "control", "dropbox", "engine", "env", "local", "model", "plan", "store"]),
    ("api", &["config", "control", "dropbox", "engine", "env", "local", "model", "plan", "store"]),
    ("engine", &["config", "dropbox", "env", "local", "model", "plan", "store"]),
    ("env", &["model"]),
    ("config", &["model"]),
    ("control", &["env", "model"]),
    ("logging", &["config"]),
    ("store", &["env", "model"]),
    ("local", &["env", "model"]),
    ("dropbox", &["env", "model"]),
    ("plan", &["model"]),
    ("model", &[]),
];

/// What a pure room must not touch: the clock, the disk, the network, tasks.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "std::env",
    "std::time::Instant",
    "std::time::SystemTime",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "tokio",
    "reqwest",
    "rusqlite",
    "rustix",
    "async fn",
];

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// (room, file, code without comments and without its test module)
fn sources() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&src, &mut found);
    found
        .into_iter()
        .filter(|path| !path.components().any(|c| c.as_os_str() == "tests") && !path.ends_with("tests.rs"))
        .map(|path| {
            let inside = path.strip_prefix(&src).unwrap().to_owned();
            let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
            let room = first.strip_suffix(".rs").unwrap_or(first).to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let code: String =
                code.lines().filter(|l| !l.trim_start().starts_with("//")).map(|l| format!("{l}\n")).collect();
            (room, inside, code)
        })
        .collect()
}

fn named_rooms(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for start in ["crate::", "ferrybox::"] {
        for (at, _) in code.match_indices(start) {
            let rest = &code[at + start.len()..];
            if let Some(group) = rest.strip_prefix('{') {
                let inside = group.split('}').next().unwrap();
                rooms.extend(inside.split(',').map(|p| p.trim().split("::").next().unwrap().to_owned()));
            } else {
                rooms.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
            }
        }
    }
    rooms.remove("");
    rooms
}

#[test]
fn rooms_know_only_those_they_may() {
    let may: BTreeMap<_, BTreeSet<_>> =
        MAY.iter().map(|(room, others)| (*room, others.iter().copied().collect())).collect();
    let mut wrong = Vec::new();
    for (room, file, code) in sources() {
        if room == "lib" {
            continue;
        }
        let Some(allowed) = may.get(room.as_str()) else {
            wrong.push(format!("{}: a room that the table does not know", file.display()));
            continue;
        };
        for other in named_rooms(&code) {
            if other != room && !allowed.contains(other.as_str()) && may.contains_key(other.as_str()) {
                wrong.push(format!("{} uses {other}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_rooms_touch_no_clock_disk_network_or_task() {
    let mut wrong = Vec::new();
    for (room, file, code) in sources() {
        if room == "plan" || room == "model" {
            wrong.extend(
                IMPURE.iter().filter(|bad| code.contains(**bad)).map(|bad| format!("{} has {bad}", file.display())),
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn sql_is_written_only_in_the_store() {
    for (room, file, code) in sources() {
        assert!(room == "store" || !code.contains("rusqlite::"), "{} speaks to SQLite", file.display());
    }
}

/// The reader itself: a check that cannot fail would be worth nothing.
#[test]
fn the_reader_sees_single_grouped_and_inline_paths() {
    let code = "use crate::store::Store;\nuse crate::{plan, local::Root};\nfn f() { crate::dropbox::g(); }";
    let rooms: Vec<_> = named_rooms(code).into_iter().collect();
    assert_eq!(rooms, ["dropbox", "local", "plan", "store"]);
}
