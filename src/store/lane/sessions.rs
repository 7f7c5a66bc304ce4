//! Upload sessions that were opened ahead, and the count of calls that a team pays for.

use rusqlite::{Connection, params};

use crate::model::UnixMs;
use crate::store::Store;
use crate::store::db::error::{Step, StoreError};
use crate::store::db::row;

/// An upload session that was opened and not used yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Dropbox's name for it.
    pub id: String,
    /// When it was opened: it dies some days later.
    pub born_at: UnixMs,
}

impl Store {
    /// Puts new sessions into the pool, but none that is there already. Gives how many were new.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn add_sessions(&self, ids: Vec<String>, born_at: UnixMs) -> Result<u64, StoreError> {
        self.write_and_wake(move |conn| {
            let mut insert = conn.prepare_cached("INSERT INTO session VALUES (?1, ?2) ON CONFLICT (id) DO NOTHING")?;
            let mut new = 0;
            for id in &ids {
                new += insert.execute(params![id, born_at])? as u64;
            }
            Ok(new)
        })
        .await
    }

    /// A session that was born then is not there: those of the pool that came with it are not used either.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn drop_sessions(&self, born_at: Vec<UnixMs>) -> Result<(), StoreError> {
        if born_at.is_empty() {
            return Ok(());
        }
        self.write(move |conn| {
            let mut delete = conn.prepare_cached("DELETE FROM session WHERE born_at = ?1")?;
            born_at.iter().try_for_each(|at| delete.execute([at]).map(|_| ()))?;
            Ok(())
        })
        .await
    }

    /// How many sessions of the pool were born at `born_after` or later.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn sessions(&self, born_after: UnixMs) -> Result<u64, StoreError> {
        self.read(move |conn| young(conn, born_after)).await
    }

    /// Adds a call of a route to a month (`2026-11`, UTC) that has had fewer than `below` of all routes together. `false`: it has had as many, and
    /// nothing is added.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn count_transport(&self, month: &str, route: &str, below: u64) -> Result<bool, StoreError> {
        let (month, route) = (month.to_owned(), route.to_owned());
        self.write(move |conn| {
            let added = conn
                .prepare_cached(
                    "INSERT INTO transport SELECT ?1, ?2, 1
                      WHERE (SELECT coalesce(sum(calls), 0) FROM transport WHERE month = ?1) < ?3
                         ON CONFLICT (month, route) DO UPDATE SET calls = calls + 1",
                )?
                .execute(params![month, route, row::int(below)])?;
            Ok(added > 0)
        })
        .await
    }

    /// The calls of a month, all routes together.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn transport(&self, month: &str) -> Result<u64, StoreError> {
        let month = month.to_owned();
        self.read(move |conn| {
            let mut select = conn.prepare_cached("SELECT coalesce(sum(calls), 0) FROM transport WHERE month = ?1")?;
            Ok(select.query_row([month], |r| row::count(r, 0))?)
        })
        .await
    }
}

/// How many sessions of the pool were born at `born_after` or later.
pub(crate) fn young(conn: &Connection, born_after: UnixMs) -> Step<u64> {
    let mut select = conn.prepare_cached("SELECT count(*) FROM session WHERE born_at >= ?1")?;
    Ok(select.query_row([born_after], |r| row::count(r, 0))?)
}

/// Takes up to `n` sessions out of the pool, oldest first. Those born before `born_after` are dropped: they are too old to begin with.
pub(crate) fn take(conn: &Connection, n: usize, born_after: UnixMs) -> Step<Vec<Session>> {
    conn.prepare_cached("DELETE FROM session WHERE born_at < ?1")?.execute([born_after])?;
    let mut select = conn.prepare_cached("SELECT id, born_at FROM session ORDER BY born_at, id LIMIT ?1")?;
    let taken = select
        .query_map([row::limit(n)], |r| Ok(Session { id: r.get(0)?, born_at: r.get(1)? }))?
        .collect::<Result<Vec<_>, _>>()?;
    let mut delete = conn.prepare_cached("DELETE FROM session WHERE id = ?1")?;
    for session in &taken {
        delete.execute([&session.id])?;
    }
    Ok(taken)
}
