//! The invariant of a device at rest: a path whose three views differ has a row, a hold or a problem. What has none is lost in silence.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::World;

/// One view: what is at each path, under the key that Dropbox tells paths apart by.
type Side = BTreeMap<String, String>;

/// What stands for the content of a directory.
const DIR: &str = "a directory";

/// The paths whose views differ and of which nobody knows. Read from the database while a daemon may write to it: it counts once it stays.
pub fn silent(world: &World) -> Vec<String> {
    let file = world.state().join("test/state.db");
    let conn = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let (disk, remote) = (on_disk(world), in_dropbox(world));
    let mut base = Side::new();
    let files = "SELECT iif(d.path = '', '', d.path || '/') || b.name, lower(hex(b.content_hash)) FROM base b JOIN dir d ON d.id = b.dir";
    let dirs = format!("SELECT iif(parent = '', '', parent || '/') || name, '{DIR}' FROM base_dir");
    for sql in [files, &dirs] {
        base.extend(two(&conn, sql).into_iter().map(|(path, what)| (path.to_lowercase(), what)));
    }
    let known = "SELECT path, '' FROM job UNION SELECT path_text, '' FROM odd";
    let known: BTreeSet<String> = two(&conn, known).into_iter().map(|(path, _)| path.to_lowercase()).collect();
    // A problem of a directory is that of all that is in it.
    let is_known = |path: &str| Path::new(path).ancestors().any(|at| known.contains(at.to_str().unwrap_or_default()));
    let paths: BTreeSet<&String> = disk.keys().chain(base.keys()).chain(remote.keys()).collect();
    let differs =
        paths.into_iter().filter(|path| disk.get(*path) != base.get(*path) || base.get(*path) != remote.get(*path));
    differs
        .filter(|path| !is_known(path))
        .map(|path| {
            let mut line = format!("{path}:");
            for (name, side) in [("disk", &disk), ("base", &base), ("dropbox", &remote)] {
                let what = side.get(path).map_or("nothing", String::as_str);
                write!(line, " {name} {}", what.get(..8.min(what.len())).unwrap_or(what)).unwrap();
            }
            line
        })
        .collect()
}

fn two(conn: &Connection, sql: &str) -> Vec<(String, String)> {
    let mut select = conn.prepare(sql).unwrap();
    let rows = select.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Files and directories of the disk.
pub fn on_disk(world: &World) -> Side {
    let mut found: Side = world.disk().into_iter().map(|(path, hash)| (path.to_lowercase(), hash)).collect();
    dirs(&world.folder, &world.folder, &mut found);
    found
}

fn dirs(root: &Path, at: &Path, found: &mut Side) {
    for path in std::fs::read_dir(at).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.is_symlink() && !path.ends_with(".ferrybox") {
            found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_lowercase(), DIR.to_owned());
            dirs(root, &path, found);
        }
    }
}

/// Files and folders of Dropbox.
pub fn in_dropbox(world: &World) -> Side {
    let mut found: Side = world.remote().into_iter().map(|(path, hash)| (path.to_lowercase(), hash)).collect();
    let folders = world.standin.folders().into_iter();
    found.extend(folders.filter_map(|f| Some((f.strip_prefix("/T/")?.to_lowercase(), DIR.to_owned()))));
    found
}
