//! What the documents name must be there: files and directories, and the tests of the table of findings.

use std::collections::BTreeSet;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What stands between backquotes and looks like a path of this repository.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let places = ["src/", "tests/", "docs/", "config/", "migrations", "systemd/", "launchd/", "examples/", "benches/"];
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(move |it| places.iter().any(|place| it.starts_with(place)) && !it.contains([' ', '*', ':']))
}

/// The names of tests that begin with a finding's id, such as `d1_removing`. What is cut short by `*` or `...` ends with the part that is there.
fn tests_named(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| {
        let id = word.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let number = id.trim_start_matches(|c: char| c.is_ascii_digit());
        id.len() + 1 == word.len() && number.len() < id.len() && number.starts_with('_')
    })
}

fn functions(dir: &Path, found: &mut BTreeSet<String>) {
    let mut files = Vec::new();
    super::files(dir, &mut files);
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        for after in text.split("fn ").skip(1) {
            found.insert(after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect());
        }
    }
}

#[test]
fn every_path_that_the_documents_name_is_there() {
    let mut missing = Vec::new();
    for document in ["CONTRIBUTING.md", "README.md", "docs/architecture.md", "docs/remote-cache.md", "docs/service.md"]
    {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        let gone = paths(&text).filter(|path| !root().join(path).try_exists().unwrap());
        missing.extend(gone.map(|path| format!("{document}: {path}")));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The map names files of `src` without its name and their ending.
#[test]
fn every_place_that_the_map_names_is_there() {
    let map = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let rooms = ["api/", "daemon/", "engine/", "local/", "plan/", "store/"];
    let quoted = map.split('`').skip(1).step_by(2).filter(|it| rooms.iter().any(|room| it.starts_with(room)));
    let is_there =
        |place: &str| ["", ".rs"].iter().any(|end| root().join(format!("src/{place}{end}")).try_exists().unwrap());
    let (there, missing): (Vec<_>, Vec<_>) = quoted.partition(|place| is_there(place));
    assert!(missing.is_empty() && there.len() > 10, "{missing:#?}");
}

#[test]
fn every_test_that_the_findings_name_is_there() {
    let mut there = BTreeSet::new();
    functions(&root().join("src"), &mut there);
    functions(&root().join("tests"), &mut there);
    let text = std::fs::read_to_string(root().join("docs/findings.md")).unwrap();
    let table = text.split("\n## Table").nth(1).unwrap();
    let is_there = |name: &str| there.range(name.to_owned()..).next().is_some_and(|next| next.starts_with(name));
    let missing: Vec<_> = tests_named(table).filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "rename them in docs/findings.md, too: {missing:#?}");
}

/// The readers themselves: a check that cannot fail would be worth nothing.
#[test]
fn the_readers_see_paths_and_tests() {
    let text = "See `src/lib.rs`, `cargo test`, `src/gone.rs` and [`tests/x`](tests/x).";
    assert_eq!(paths(text).collect::<Vec<_>>(), ["src/lib.rs", "src/gone.rs", "tests/x"]);
    let text = "findings::data::d1_removing_it, d2_* (six), 4_096 or max_2, q10_a.";
    assert_eq!(tests_named(text).collect::<Vec<_>>(), ["d1_removing_it", "d2_", "q10_a"]);
}
