//! Looking at what Dropbox holds without being the daemon: from the database, or from Dropbox itself where no listing covers the path.

use std::collections::HashMap;
use std::vec::IntoIter;

use crate::config::{self, Config};
use crate::dropbox::{self, CallError, Dropbox, SharedLink, Source, Tokens};
use crate::engine::open::settings;
use crate::env::now_ms;
use crate::model::RemotePath;
use crate::model::listing::{Entry, Listed, Page, Question, What};
use crate::plan::listing::{key_of, within};
use crate::store::{ReadOnly, StoreError, Tree, TreeId, WalkAt};

/// Entries read at once.
const CHUNK: usize = 1000;

/// Why nothing can be listed.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// The state database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Dropbox, or the way there.
    #[error("{0}")]
    Call(#[from] CallError),
    /// The configuration.
    #[error("{0}")]
    Usage(String),
    /// Whoever reads has read enough, or cannot be written to.
    #[error(transparent)]
    Out(#[from] std::io::Error),
}

/// One account's cache, read-only.
pub struct Reader {
    db: ReadOnly,
    listings: Vec<(RemotePath, Tree, bool)>,
}

/// How far a path is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// Whether the first listing was complete.
    pub complete: bool,
    /// Seconds since the last page.
    pub age_s: u64,
    tree: TreeId,
}

impl Reader {
    /// Opens an account's cache; `None` if there is nothing listed yet. Blocks.
    ///
    /// # Errors
    /// [`ReaderError::Store`].
    pub fn open(config: &Config, account: &config::Account) -> Result<Option<Self>, ReaderError> {
        let path = config.daemon.state_dir.join(&account.name).join("state.db");
        let Some(db) = ReadOnly::open(&path)? else { return Ok(None) };
        let mut listings = Vec::new();
        for listing in db.listings()? {
            let complete = listing.live.is_some();
            if let (Ok(scope), Some(tree)) = (RemotePath::parse(&listing.scope), listing.seen()) {
                listings.push((scope, tree.clone(), complete));
            }
        }
        Ok(Some(Self { db, listings }))
    }

    /// The folders that are listed.
    pub fn scopes(&self) -> Vec<RemotePath> {
        self.listings.iter().map(|(scope, ..)| scope.clone()).collect()
    }

    /// The listing that covers a path; `None` if none does.
    pub fn covered(&self, path: &RemotePath) -> Option<Covered> {
        let (_, tree, complete) = self
            .listings
            .iter()
            .filter(|(scope, ..)| within(path, scope))
            .max_by_key(|(scope, ..)| scope.as_str().len())?;
        let age = now_ms().saturating_sub(tree.updated_at).max(0) / 1000;
        Some(Covered { complete: *complete, age_s: u64::try_from(age).unwrap_or(0), tree: tree.id })
    }

    /// What is at a path: an entry, or `None`. The root of the account has no entry; a listed folder may have none.
    ///
    /// # Errors
    /// [`ReaderError::Store`].
    pub fn entry(&self, at: &Covered, path: &RemotePath) -> Result<Option<Listed>, ReaderError> {
        Ok(self.db.entry(at.tree, &self.key(at, path)?)?)
    }

    /// The key of a path: that of the entry that is there, or the likely one.
    ///
    /// # Errors
    /// [`ReaderError::Store`].
    pub fn key(&self, at: &Covered, path: &RemotePath) -> Result<String, ReaderError> {
        Ok(self.db.key(at.tree, path.as_str())?)
    }

    /// Everything in the folder with this key, in the order of keys; with what is below its folders if `recursive`.
    pub fn walk(&self, at: &Covered, key: &str, recursive: bool) -> Walk<'_> {
        let walk = WalkAt { root: key.to_owned(), recursive, after: String::new() };
        Walk { db: &self.db, tree: at.tree, at: walk, ahead: Vec::new().into_iter(), done: false }
    }
}

/// A walk that reads a little ahead and holds no lock.
pub struct Walk<'a> {
    db: &'a ReadOnly,
    tree: TreeId,
    at: WalkAt,
    ahead: IntoIter<Listed>,
    done: bool,
}

impl Iterator for Walk<'_> {
    type Item = Result<Listed, ReaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(entry) = self.ahead.next() {
            return Some(Ok(entry));
        }
        if self.done {
            return None;
        }
        // The first lines come at once.
        let limit = if self.at.after.is_empty() { CHUNK / 10 } else { CHUNK };
        match self.db.walk(self.tree, &self.at, limit) {
            Ok(chunk) => {
                self.done = chunk.len() < limit;
                if let Some(last) = chunk.last() {
                    self.at.after.clone_from(&last.path_lower);
                }
                self.ahead = chunk.into_iter();
                self.ahead.next().map(Ok)
            }
            Err(error) => {
                self.done = true;
                Some(Err(error.into()))
            }
        }
    }
}

/// Asks Dropbox itself for a folder that no listing covers, or for what a shared link shows (one folder at a time: Dropbox lists links no
/// other way). Each entry is handed on as it comes.
///
/// # Errors
/// [`ReaderError`]; what `each` gives ends the listing.
pub async fn list_online(
    config: &Config,
    account: &config::Account,
    path: &RemotePath,
    recursive: bool,
    link: Option<&SharedLink>,
    each: &mut dyn FnMut(Listed) -> std::io::Result<()>,
) -> Result<(), ReaderError> {
    let usage = |text: String| ReaderError::Usage(format!("account {}: {text}", account.name));
    let source: Source = account.credentials.parse().map_err(usage)?;
    let credentials = source.load(&account.name).await.map_err(|e| usage(e.to_string()))?;
    dropbox::install_tls_provider();
    let settings = settings(config, account).map_err(|e| usage(e.to_string()))?;
    let client = Dropbox::new(settings, Tokens::new(&account.name, credentials)).map_err(|e| usage(e.to_string()))?;
    // Another number of entries a page: a daemon's listing with the same arguments may be under way, and Dropbox refuses two equal ones at a time.
    let usual = &account.question;
    let limit = usual.limit.map_or(Some(1999), |limit| Some(limit.saturating_sub(1).max(1)));
    let question = &Question { limit, ..usual.clone() };
    let mut page = match (recursive, link) {
        (true, None) => client.list_folder(path, question).await?,
        _ => client.list_one_folder(path, question, link).await?,
    };
    let mut shown = HashMap::from([(key_of(path.as_str()), path.as_str().to_owned())]);
    loop {
        let Page { entries, cursor, has_more, .. } = page;
        for entry in entries {
            if let Some(listed) = listed(entry, &mut shown) {
                each(listed)?;
            }
        }
        if !has_more {
            return Ok(());
        }
        page = match link {
            Some(_) => client.list_link_continue(path, &cursor).await?,
            None => client.list_continue(&cursor).await?,
        };
    }
}

fn listed(entry: Entry, shown: &mut HashMap<String, String>) -> Option<Listed> {
    let key = entry.key.as_str();
    let parent = key.rsplit_once('/').map_or("", |(parent, _)| parent);
    let path = format!("{}/{}", shown.get(parent).map_or(parent, String::as_str), entry.name);
    let id = |bare: &str| format!("id:{bare}");
    let listed = Listed { path: path.clone(), path_lower: key.to_owned(), ..Listed::default() };
    Some(match entry.what {
        What::Deleted => return None,
        What::Folder(facts) => {
            shown.insert(key.to_owned(), path);
            Listed {
                kind: "folder".to_owned(),
                id: id(&facts.id),
                read_only: facts.marks.read_only,
                shared: facts.marks.shared,
                is_downloadable: true,
                more: facts.more,
                ..listed
            }
        }
        What::File(facts) => Listed {
            kind: "file".to_owned(),
            id: id(&facts.id),
            rev: Some(facts.rev),
            size: Some(facts.size),
            content_hash: facts.content_hash,
            client_modified: facts.client_modified,
            server_modified: facts.server_modified,
            read_only: facts.marks.read_only,
            shared: facts.marks.shared,
            is_downloadable: !facts.marks.not_downloadable,
            symlink: facts.marks.symlink,
            has_explicit_shared_members: facts.explicit_members,
            more: facts.more,
            ..listed
        },
    })
}
