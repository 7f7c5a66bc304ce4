//! What the database knows of the account as a whole.

use rusqlite::params;

use super::Store;
use crate::model::UnixMs;
use crate::store::db::error::StoreError;

/// A pause that a person asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// Since when.
    pub since: UnixMs,
    /// Until when; `None`: until somebody ends it.
    pub until: Option<UnixMs>,
}

impl Store {
    /// Dropbox's id of the account, once it has said it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn account_id(&self) -> Result<Option<String>, StoreError> {
        self.read(|conn| Ok(conn.prepare_cached("SELECT account_id FROM account")?.query_row([], |r| r.get(0))?)).await
    }

    /// This is the account whose database it is.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn set_account_id(&self, account_id: &str) -> Result<(), StoreError> {
        let account_id = account_id.to_owned();
        self.write(move |conn| {
            conn.prepare_cached("UPDATE account SET account_id = ?1")?.execute([account_id])?;
            Ok(())
        })
        .await
    }

    /// The pause that was asked for last and not ended, whether its time is over or not.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn pause(&self) -> Result<Option<Pause>, StoreError> {
        self.read(|conn| {
            let mut select = conn.prepare_cached("SELECT paused_since, paused_until FROM account")?;
            Ok(select.query_row([], |r| {
                let (since, until): (Option<UnixMs>, Option<UnixMs>) = (r.get(0)?, r.get(1)?);
                Ok(since.map(|since| Pause { since, until }))
            })?)
        })
        .await
    }

    /// The account is paused, or (`None`) no longer.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn set_pause(&self, pause: Option<Pause>) -> Result<(), StoreError> {
        self.write(move |conn| {
            conn.prepare_cached("UPDATE account SET paused_since = ?1, paused_until = ?2")?
                .execute(params![pause.map(|pause| pause.since), pause.and_then(|pause| pause.until)])?;
            Ok(())
        })
        .await
    }

    /// What one call was learned to take, as [`Store::set_ceilings`] was given it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn ceilings(&self) -> Result<Option<String>, StoreError> {
        self.read(|conn| Ok(conn.prepare_cached("SELECT ceilings FROM account")?.query_row([], |r| r.get(0))?)).await
    }

    /// What one call was learned to take.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn set_ceilings(&self, ceilings: &str) -> Result<(), StoreError> {
        let ceilings = ceilings.to_owned();
        self.write(move |conn| {
            conn.prepare_cached("UPDATE account SET ceilings = ?1")?.execute([ceilings])?;
            Ok(())
        })
        .await
    }
}
