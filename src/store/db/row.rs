//! Our values as SQLite keeps them, and back.

use rusqlite::types::{Type, Value};
use rusqlite::{Connection, Row};

use super::error::Step;
use crate::model::history::Deed;
use crate::model::{Base, BatchKind, ContentHash, FolderId, Mode, RelPath, RemotePath, Stat};

/// A count or size for SQLite, which has no unsigned numbers.
pub(crate) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A limit or offset.
pub(crate) fn limit(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A count or size from SQLite.
pub(crate) fn uint(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// The column `i` as a count.
pub(crate) fn count(row: &Row<'_>, i: usize) -> rusqlite::Result<u64> {
    row.get(i).map(uint)
}

/// The column `i` as failed tries.
pub(crate) fn tries(row: &Row<'_>, i: usize) -> rusqlite::Result<u32> {
    row.get(i).map(|n: i64| u32::try_from(n).unwrap_or(u32::MAX))
}

fn refused(i: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(i, Type::Text, Box::new(error))
}

/// The column `i` as it stands.
pub(crate) fn text<'row>(row: &'row Row<'_>, i: usize) -> rusqlite::Result<&'row str> {
    Ok(row.get_ref(i)?.as_str()?)
}

/// The column `i` as a path below a folder.
pub(crate) fn rel(row: &Row<'_>, i: usize) -> rusqlite::Result<RelPath> {
    RelPath::parse(row.get_ref(i)?.as_str()?).map_err(|e| refused(i, e))
}

/// The column `i` as a remote path.
pub(crate) fn remote(row: &Row<'_>, i: usize) -> rusqlite::Result<RemotePath> {
    RemotePath::parse(row.get_ref(i)?.as_str()?).map_err(|e| refused(i, e))
}

/// The column `i` as the kind of a change or a batch.
pub(crate) fn kind(row: &Row<'_>, i: usize) -> rusqlite::Result<BatchKind> {
    known(row, i, "kind of change", |word| match word {
        "upload" => Some(BatchKind::Upload),
        "delete" => Some(BatchKind::Delete),
        "folder" => Some(BatchKind::Folder),
        "trash" => Some(BatchKind::Trash),
        "move" => Some(BatchKind::Move),
        "copy" => Some(BatchKind::Copy),
        _ => None,
    })
}

/// The column `i` as the state of a row of the queue.
pub(crate) fn state(row: &Row<'_>, i: usize) -> rusqlite::Result<&'static str> {
    known(row, i, "state", |word| ["due", "claimed", "staged", "wedged"].into_iter().find(|known| *known == word))
}

/// The column `i` as a deed of the history.
pub(crate) fn deed(row: &Row<'_>, i: usize) -> rusqlite::Result<Deed> {
    known(row, i, "deed", Deed::of_word)
}

/// The column `i` as a folder's mode.
pub(crate) fn mode(row: &Row<'_>, i: usize) -> rusqlite::Result<Mode> {
    known(row, i, "mode", |word| word.parse().ok())
}

/// What the word in the column `i` means. One that this program does not know was written by none of its versions: newer databases are not opened.
fn known<T>(row: &Row<'_>, i: usize, what: &str, meaning: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let word = text(row, i)?;
    meaning(word).ok_or_else(|| refused(i, Unknown(format!("it holds the unknown {what} {word:?}"))))
}

/// A word that no version of this program writes there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unknown(String);

/// Five columns from `i`: size, `mtime_ns`, `ctime_ns`, ino, dev.
pub(crate) fn stat(row: &Row<'_>, i: usize) -> rusqlite::Result<Stat> {
    Ok(Stat {
        size: count(row, i)?,
        mtime_ns: row.get(i + 1)?,
        ctime_ns: row.get(i + 2)?,
        ino: row.get::<_, i64>(i + 3)?.cast_unsigned(),
        dev: row.get::<_, i64>(i + 4)?.cast_unsigned(),
    })
}

/// Nine columns from `i`: those of [`stat`], `content_hash`, rev, remote, `file_id`.
pub(crate) fn base(row: &Row<'_>, i: usize) -> rusqlite::Result<Base> {
    Ok(Base {
        stat: stat(row, i)?,
        content_hash: ContentHash(row.get(i + 5)?),
        rev: row.get(i + 6)?,
        remote: match row.get_ref(i + 7)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(remote(row, i + 7)?),
        },
        file_id: row.get(i + 8)?,
    })
}

/// A range of paths: `path >= low AND path < high`.
pub(crate) struct Span {
    pub(crate) low: String,
    pub(crate) high: Value,
}

/// What covers a path and everything below it, and nothing else. Two ranges, since `a.b` sorts between `a` and `a/b`.
pub(crate) fn at_or_below(path: &RelPath) -> Vec<Span> {
    if path.is_root() {
        // Every text is less than every blob.
        return vec![Span { low: String::new(), high: Value::Blob(Vec::new()) }];
    }
    let path = path.as_str();
    vec![
        // No path holds NUL, so the first text after `path` begins with it and U+0001.
        Span { low: path.to_owned(), high: Value::Text(format!("{path}\u{1}")) },
        // '0' follows '/'.
        Span { low: format!("{path}/"), high: Value::Text(format!("{path}0")) },
    ]
}

/// The folders of the account without those in `skip`.
pub(crate) fn folders_without(conn: &Connection, skip: &[FolderId]) -> Step<Vec<FolderId>> {
    let mut select = conn.prepare_cached("SELECT folder FROM tally ORDER BY folder")?;
    let all = select.query_map([], |row| row.get(0).map(FolderId))?.collect::<Result<Vec<_>, _>>()?;
    Ok(all.into_iter().filter(|id| !skip.contains(id)).collect())
}
