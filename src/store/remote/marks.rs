//! Rights that came or went in Dropbox: what waits for them.

use rusqlite::Connection;

use crate::model::{FolderId, RelPath, RemotePath};
use crate::store::db::error::Step;
use crate::store::db::row;
use crate::store::remote::TreeId;
use crate::store::remote::key;

/// Failures whose cause is the right to write to a folder above.
const RIGHTS: &str = "code IN ('read_only', 'no_write_permission')";

/// What waits for the right to write at or below this key is looked at again.
pub(crate) fn wake(conn: &Connection, tree: TreeId, key: &str) -> Step<()> {
    for folder in folders(conn)? {
        for (job, path) in waiting(conn, folder.0)? {
            let place = key::key(conn, tree, folder.1.join(&path).as_str())?;
            if place.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                again(conn, job)?;
            }
        }
    }
    Ok(())
}

/// All that waits for such a right is looked at again: another tree says who has it.
pub(crate) fn wake_all(conn: &Connection) -> Step<()> {
    for folder in folders(conn)? {
        for (job, _) in waiting(conn, folder.0)? {
            again(conn, job)?;
        }
    }
    Ok(())
}

fn folders(conn: &Connection) -> Step<Vec<(FolderId, RemotePath)>> {
    let mut select = conn.prepare_cached("SELECT id, remote FROM folder")?;
    let rows = select.query_map([], |r| Ok((FolderId(r.get(0)?), row::remote(r, 1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn waiting(conn: &Connection, folder: FolderId) -> Step<Vec<(i64, RelPath)>> {
    let mut select =
        conn.prepare_cached(&format!("SELECT id, path FROM job WHERE folder = ?1 AND code IS NOT NULL AND {RIGHTS}"))?;
    let rows = select.query_map([folder.0], |r| Ok((r.get(0)?, row::rel(r, 1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn again(conn: &Connection, job: i64) -> Step<()> {
    conn.prepare_cached(
        "UPDATE job SET generation = generation + 1, state = iif(state = 'wedged', 'due', state), due_at = min(due_at, since), attempts = 0,
                code = NULL, text = NULL WHERE id = ?1",
    )?
    .execute([job])?;
    Ok(())
}
