//! The remote cache as a person sees it, beside what the server has.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use std::collections::BTreeMap;

use ferrybox_standin::Settings;
use serde_json::Value;

use super::{World, text};

/// `ls -R --json` of everything, offline, straight from the database.
pub fn ls(world: &World, args: &[&str]) -> Vec<Value> {
    // Not again beside a daemon: new credentials are something that it looks at.
    if !world.config_file().exists() {
        world.write_config();
    }
    let mut all = vec!["--quiet", "ls", "--json"];
    all.extend(args);
    let out = world.command(&all).output().unwrap();
    assert!(matches!(out.status.code(), Some(0 | 4)), "{}", text(&out));
    String::from_utf8(out.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// path_lower -> rev of files, "" of folders.
pub fn cached(world: &World) -> BTreeMap<String, String> {
    let field = |e: &Value, name: &str| e[name].as_str().unwrap_or_default().to_owned();
    ls(world, &["-R"]).iter().map(|e| (field(e, "path_lower"), field(e, "rev"))).collect()
}

pub fn served(world: &World) -> BTreeMap<String, String> {
    let files = world.standin.files().into_iter().map(|f| (f.path_lower, f.rev));
    let folders = world.standin.folders().into_iter().map(|f| (f.to_lowercase(), String::new()));
    files.chain(folders).filter(|(path, _)| path.starts_with("/t/")).collect()
}

/// Looks again until it holds: the database's changes are no event that a test could await.
pub fn eventually(what: &str, world: &World, done: impl FnMut() -> bool) {
    world.eventually(what, done);
}

pub fn until_equal(world: &World) {
    eventually("the cache equals the server", world, || cached(world) == served(world));
}

pub fn status(world: &World) -> Value {
    let out = world.command(&["status", "--json"]).output().unwrap();
    serde_json::from_slice(&out.stdout).unwrap_or_default()
}

/// A folder with files and sub-folders on the server.
pub fn filled(settings: Settings, files: usize) -> World {
    let world = World::with(settings);
    world.standin.make_folder("/T");
    for i in 0..files {
        world.standin.write(&format!("/T/d{}/File-{i}", i % 5), format!("{i}"));
    }
    world
}
