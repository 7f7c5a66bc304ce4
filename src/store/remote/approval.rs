//! Changes of Dropbox's that are held before they come down: the word on them, and what passed lately.

use std::collections::BTreeMap;

use rusqlite::params;

use crate::model::FolderId;
use crate::store::Store;
use crate::store::db::error::StoreError;
use crate::store::folder::consent::{self, MayGo};
use crate::store::remote::ListingId;

/// What was said of a listing's changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InboundWord {
    /// Whether the comparison under way was let through, and may make its rows.
    pub passing: bool,
    /// The token of the held changes that a person lets through.
    pub approved: Option<String>,
}

/// What is written down with a comparison that is let through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passing {
    /// Whether that is remembered until it has made its rows: the guard for deletions relies on it.
    pub remembered: bool,
    /// What came down lately, from now on; `None`: as it is.
    pub recent: Option<String>,
    /// Whether what came down lately is forgotten: a person has agreed to all of it.
    pub forget_recent: bool,
    /// Files that may go because a person has agreed, by their digests.
    pub agreed: BTreeMap<FolderId, Vec<u64>>,
    /// Files that may go because they are in another listing of the account by now.
    pub moved: BTreeMap<FolderId, Vec<u64>>,
}

impl Store {
    /// What was said of a listing's changes.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn inbound_word(&self, id: ListingId) -> Result<InboundWord, StoreError> {
        self.read(move |conn| {
            let mut select = conn.prepare_cached("SELECT passing, approved FROM remote_listing WHERE id = ?1")?;
            Ok(select.query_row([id.0], |r| Ok(InboundWord { passing: r.get(0)?, approved: r.get(1)? }))?)
        })
        .await
    }

    /// A person lets the held changes of this token come down.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn approve_inbound(&self, id: ListingId, token: &str) -> Result<(), StoreError> {
        let token = token.to_owned();
        self.write(move |conn| {
            conn.prepare_cached("UPDATE remote_listing SET approved = ?2, passing = 0 WHERE id = ?1")?
                .execute(params![id.0, token])?;
            Ok(())
        })
        .await
    }

    /// A comparison may make its rows. What was agreed to is never without the word that it is under way: all of this is one step.
    ///
    /// # Errors
    /// When the database cannot be written; then nothing of it is said.
    pub async fn pass_inbound(&self, id: ListingId, passing: Passing) -> Result<(), StoreError> {
        let files = passing.agreed.values().chain(passing.moved.values()).map(Vec::len).sum::<usize>();
        self.write_rows(files.saturating_add(1), move |conn| {
            if passing.remembered {
                conn.execute("UPDATE remote_listing SET passing = 1, approved = NULL WHERE id = ?1", [id.0])?;
            }
            if passing.forget_recent {
                conn.execute("UPDATE remote_listing SET recent = NULL WHERE id = ?1", [id.0])?;
            }
            if let Some(recent) = &passing.recent {
                conn.execute("UPDATE remote_listing SET recent = ?2 WHERE id = ?1", params![id.0, recent])?;
            }
            consent::add(conn, &passing.agreed, MayGo::Agreed)?;
            consent::add(conn, &passing.moved, MayGo::Moved)
        })
        .await
    }

    /// The word on a listing's changes is carried out, or is worth nothing: the next ones are weighed.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn end_inbound(&self, id: ListingId) -> Result<(), StoreError> {
        self.write(move |conn| {
            conn.prepare_cached("UPDATE remote_listing SET passing = 0, approved = NULL WHERE id = ?1")?
                .execute([id.0])?;
            Ok(())
        })
        .await
    }

    /// What came down lately, as [`Store::pass_inbound`] was given it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn recent_inbound(&self, id: ListingId) -> Result<Option<String>, StoreError> {
        self.read(move |conn| {
            let mut select = conn.prepare_cached("SELECT recent FROM remote_listing WHERE id = ?1")?;
            Ok(select.query_row([id.0], |r| r.get(0))?)
        })
        .await
    }

    /// A person has put back what was held: what came down before it is forgotten, too.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget_recent_inbound(&self, id: ListingId) -> Result<(), StoreError> {
        self.write(move |conn| {
            conn.prepare_cached("UPDATE remote_listing SET recent = NULL WHERE id = ?1")?.execute([id.0])?;
            Ok(())
        })
        .await
    }
}
