//! Opening the file: whose it is, how old its schema is, whether it is sound, and the settings of a connection.

use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use rusqlite_migration::{M, Migrations};

use super::error::{StoreError, of_sqlite};
use super::row;

/// The steps of the schema, oldest first: what a database of schema `n` lacks is `STEPS[n..]`. A step that a release has had never changes.
pub(crate) const STEPS: &[&str] = &[include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/0001_schema.sql"))];

/// The `application_id` of our databases; `migrations/0001_schema.sql` writes it.
const OURS: i64 = 0x4662_6f78;
/// The `application_id` of databases from before the first release, whose schemas 1 to 14 have nothing to do with ours of the same number.
const BEFORE_FIRST_RELEASE: i64 = 0x4665_7242;
/// A database below this many bytes is checked at every start.
const CHECKED_ALWAYS: u64 = 64 << 20;
/// No ferrybox of any time has as many migrations.
const OLDEST_ABSURD: i64 = 10_000;

/// The newest schema that this program knows.
pub(crate) fn known() -> i64 {
    newest(STEPS)
}

fn newest(steps: &[&str]) -> i64 {
    i64::try_from(steps.len()).unwrap_or(i64::MAX)
}

/// Whether the file, and those that SQLite keeps beside it, are ours to believe: regular files that nobody else can write. None need be there.
pub(crate) fn vouch(path: &Path) -> Result<(), StoreError> {
    for ending in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        let file = PathBuf::from(name);
        let meta = match std::fs::symlink_metadata(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(StoreError::Io { path: path.to_owned(), what: error.to_string() }),
            Ok(meta) => meta,
        };
        let me = rustix::process::geteuid().as_raw();
        let whose = "who writes it decides what is deleted here and in Dropbox";
        let what = if !meta.is_file() {
            "is not a regular file, and a database is: look at what put it there, then move it away".to_owned()
        } else if meta.uid() != me && meta.uid() != 0 && me != 0 {
            format!(
                "belongs to user {}, and {whose}: give it to the daemon's user (`chown`), or move it away",
                meta.uid()
            )
        } else if meta.mode() & 0o022 != 0 {
            let mode = meta.mode() & 0o7777;
            format!(
                "can be written by other users (mode {mode:04o}), and {whose}: run `chmod 600` on it, or move it away to begin with an empty one"
            )
        } else {
            continue;
        };
        return Err(StoreError::Untrusted { path: file, what });
    }
    Ok(())
}

/// Opens the writer's connection on a database that is ours, sound and of this program's schema; creates it if there is none.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    open_writer_with(path, STEPS)
}

/// As [`open_writer`], for a program whose schema has these steps.
pub(crate) fn open_writer_with(path: &Path, steps: &[&str]) -> Result<Connection, StoreError> {
    let io = |e: std::io::Error| StoreError::Io { path: path.to_owned(), what: e.to_string() };
    vouch(path)?;
    // Made by us so that nobody else may read it; SQLite gives the same rights to its -wal and -shm.
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    drop(file);
    let sql = |e: rusqlite::Error| of_sqlite(path, &e);

    // Never by its length: all of a young database may still lie in its -wal.
    let version = inspect_for(path, newest(steps))?;
    let mut conn = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE)).map_err(sql)?;
    settle_in(&conn).map_err(sql)?;
    let journal: String = conn.query_row("PRAGMA journal_mode = WAL", [], |r| r.get(0)).map_err(sql)?;
    if journal != "wal" {
        let what =
            format!("it cannot keep a write-ahead log here (journal mode {journal}): not on a network file system");
        return Err(StoreError::Io { path: path.to_owned(), what });
    }
    // What is asked here and the steps below are tried with every release: what they meet was not written by one.
    let of_damage = |error| match error {
        StoreError::Other { path, what } if version > 0 => StoreError::Corrupt { path, what },
        other => other,
    };
    if version > 0 {
        check(&conn, path, bytes).map_err(of_damage)?;
        if version < newest(steps) {
            keep_copy(&conn, path, version)?;
        }
    }
    migrate(&mut conn, path, steps).map_err(of_damage)?;
    if version > 0 {
        check_definitions(&conn, path, steps)?;
        conn.execute(RECOUNTED, []).map_err(sql)?;
    }
    if conn.execute("UPDATE account SET clean = 0", []).map_err(sql)? != 1 {
        return Err(StoreError::Corrupt {
            path: path.to_owned(),
            what: "its row of the account is missing".to_owned(),
        });
    }
    Ok(conn)
}

/// A connection that cannot write.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_ONLY))?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.execute_batch(
        "PRAGMA query_only = ON; PRAGMA cache_size = -2048; PRAGMA mmap_size = 0;
         PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
    )?;
    Ok(conn)
}

/// Moves a damaged database out of the way, with its log; `mark` tells this time from others. Gives its new name.
///
/// # Errors
/// The directory cannot be written.
pub fn set_aside(path: &Path, mark: &str) -> Result<PathBuf, StoreError> {
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let aside = |ending: &str| beside(&format!(".corrupt-{mark}{ending}"));
    for ending in ["-wal", "-shm", ""] {
        match std::fs::rename(beside(ending), aside(ending)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Io { path: beside(ending), what: error.to_string() });
            }
            _ => {}
        }
    }
    Ok(aside(""))
}

/// The last words of the writer.
pub(crate) fn end(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch("PRAGMA optimize")?;
    conn.execute("UPDATE account SET clean = 1", [])?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn flags(way: OpenFlags) -> OpenFlags {
    way | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// Looks at a file without writing to it: its schema if it is ours. A transaction that a crash cut off before there was a log of changes, while the
/// database was made, is taken back: no connection can read it otherwise.
pub(crate) fn inspect(path: &Path) -> Result<i64, StoreError> {
    inspect_for(path, known())
}

/// As [`inspect`], for a program that knows schemas up to `known`.
fn inspect_for(path: &Path, known: i64) -> Result<i64, StoreError> {
    vouch(path)?;
    let header = |way: OpenFlags| -> rusqlite::Result<(i64, i64, i64)> {
        let conn = Connection::open_with_flags(path, flags(way))?;
        conn.busy_timeout(Duration::from_secs(5))?;
        let number = |text: &str| conn.query_row(text, [], |r| r.get::<_, i64>(0));
        let (id, found) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
        let tables = if id == OURS { 0 } else { number("SELECT count(*) FROM sqlite_schema")? };
        Ok((id, found, tables))
    };
    let unfinished = |error: &rusqlite::Error| {
        error.sqlite_error().is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_READONLY_ROLLBACK)
    };
    let read = match header(OpenFlags::SQLITE_OPEN_READ_ONLY) {
        Err(error) if unfinished(&error) => header(OpenFlags::SQLITE_OPEN_READ_WRITE),
        read => read,
    };
    let (id, found, tables) = read.map_err(|e| of_sqlite(path, &e))?;
    if id == BEFORE_FIRST_RELEASE {
        return Err(StoreError::BeforeFirstRelease { path: path.to_owned(), found });
    }
    if id != OURS {
        // A crash before the first migration leaves a file with a header and nothing in it.
        let empty = id == 0 && found == 0 && tables == 0;
        return if empty { Ok(0) } else { Err(StoreError::NotOurs { path: path.to_owned() }) };
    }
    if found <= 0 || found > OLDEST_ABSURD {
        return Err(StoreError::Corrupt { path: path.to_owned(), what: format!("its schema cannot be {found}") });
    }
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    Ok(found)
}

fn settle_in(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.set_prepared_statement_cache_capacity(128);
    // auto_vacuum works only before the first table. FULL: a row that was answered survives a power cut.
    conn.execute_batch(
        "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
         PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -8192;
         PRAGMA mmap_size = 0; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
    )
}

fn check(conn: &Connection, path: &Path, bytes: u64) -> Result<(), StoreError> {
    let sql = |e: rusqlite::Error| of_sqlite(path, &e);
    let clean: Option<bool> = conn.query_row("SELECT clean FROM account", [], |r| r.get(0)).optional().map_err(sql)?;
    if bytes >= CHECKED_ALWAYS && clean == Some(true) {
        return Ok(());
    }
    let found: String = conn.query_row("PRAGMA quick_check(1)", [], |r| r.get(0)).map_err(sql)?;
    if found != "ok" {
        return Err(StoreError::Corrupt { path: path.to_owned(), what: found });
    }
    // What no checksum guards: the kinds must be words that this program knows, and the counts must be those of the rows.
    known_kinds(conn).map_err(sql)?;
    let wrong: i64 = conn.query_row(MISCOUNTED, [], |r| r.get(0)).map_err(sql)?;
    if wrong == 0 {
        return Ok(());
    }
    Err(StoreError::Corrupt { path: path.to_owned(), what: "its counts are not those of its rows".to_owned() })
}

/// A change of a kind that no lane takes would wait for ever.
fn known_kinds(conn: &Connection) -> rusqlite::Result<()> {
    let mut select = conn.prepare("SELECT kind FROM change UNION SELECT kind FROM batch")?;
    select.query_map([], |r| row::kind(r, 0))?.try_for_each(|kind| kind.map(|_| ()))
}

/// Sums that met the end of what a number holds (a server lied about sizes) have lost count: they are counted again.
const RECOUNTED: &str = "UPDATE tally SET
      bytes = (SELECT CAST(total(size) AS INTEGER) FROM dir JOIN base ON base.dir = dir.id WHERE dir.folder = tally.folder),
      pending_bytes = (SELECT CAST(total(size) AS INTEGER) FROM job WHERE job.folder = tally.folder AND state <> 'wedged')
   WHERE bytes = 9223372036854775807 OR pending_bytes = 9223372036854775807";
/// Folders whose counts are wrong.
const MISCOUNTED: &str = "SELECT count(*) FROM tally WHERE
      due <> (SELECT count(*) FROM job WHERE job.folder = tally.folder AND state = 'due')
   OR claimed <> (SELECT count(*) FROM job WHERE job.folder = tally.folder AND state = 'claimed')
   OR staged <> (SELECT count(*) FROM job WHERE job.folder = tally.folder AND state = 'staged')
   OR wedged <> (SELECT count(*) FROM job WHERE job.folder = tally.folder AND state = 'wedged')
   OR failing <> (SELECT count(*) FROM job WHERE job.folder = tally.folder AND state <> 'wedged' AND code IS NOT NULL)
   OR staged_uploads <> (SELECT count(*) FROM change WHERE change.folder = tally.folder AND kind NOT IN ('delete', 'trash'))
   OR staged_deletes <> (SELECT count(*) FROM change WHERE change.folder = tally.folder AND kind IN ('delete', 'trash'))
   OR gone <> (SELECT count(*) FROM job WHERE job.folder = tally.folder AND code = 'gone_in_dropbox')
   OR up + down + both + other_here + other_there
      <> (SELECT count(*) FROM job WHERE job.folder = tally.folder AND state IN ('due', 'claimed'))
   OR staged_here <> (SELECT count(*) FROM change WHERE change.folder = tally.folder AND kind = 'trash')
   OR odd <> (SELECT count(*) FROM odd WHERE odd.folder = tally.folder)
   OR files <> (SELECT count(*) FROM dir JOIN base ON base.dir = dir.id WHERE dir.folder = tally.folder)";

/// The tables must be written as this program writes them: a letter that has changed in their definitions is found by no check of SQLite's.
fn check_definitions(conn: &Connection, path: &Path, steps: &[&str]) -> Result<(), StoreError> {
    let sql = |e: rusqlite::Error| of_sqlite(path, &e);
    let mut fresh = Connection::open_in_memory().map_err(sql)?;
    migrate(&mut fresh, path, steps)?;
    let definitions = |conn: &Connection| {
        // Those that SQLite makes by itself have no text, or come and go.
        let mut select = conn.prepare(
            "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%' ORDER BY name",
        )?;
        let rows = select.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    if definitions(conn).map_err(sql)? == definitions(&fresh).map_err(sql)? {
        return Ok(());
    }
    Err(StoreError::Corrupt { path: path.to_owned(), what: "its tables are not those of this program".to_owned() })
}

/// Keeps the database as it was before the schema moves on.
fn keep_copy(conn: &Connection, path: &Path, version: i64) -> Result<(), StoreError> {
    let mut copy = path.as_os_str().to_owned();
    copy.push(format!(".before-schema-{}", version + 1));
    let copy = Path::new(&copy);
    let io = |e: std::io::Error| StoreError::Io { path: copy.to_owned(), what: e.to_string() };
    OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(copy).map_err(io)?;
    conn.backup("main", copy, None).map_err(|e| of_sqlite(copy, &e))
}

fn migrate(conn: &mut Connection, path: &Path, steps: &[&str]) -> Result<(), StoreError> {
    let told = |error: rusqlite_migration::Error| match error {
        rusqlite_migration::Error::RusqliteError { err, .. } => of_sqlite(path, &err),
        other => StoreError::Other {
            path: path.to_owned(),
            what: format!("its schema could not be brought up to date: {other}"),
        },
    };
    Migrations::from_iter(steps.iter().map(|step| M::up(step))).to_latest(conn).map_err(told)
}
