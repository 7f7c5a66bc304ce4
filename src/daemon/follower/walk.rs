//! Listing folder by folder, where Dropbox does not list everything at once; the rules are in [`crate::plan::walk`].
//!
//! Each page goes into the next tree like one of a recursive listing, and where the walk is stands in the place of the tree's cursor. A folder that cannot
//! be read holds the walk up: nothing is taken for empty.

use super::{Follower, Stepped, Stuck};
use crate::dropbox::{CallError, TransportKind};
use crate::model::RemotePath;
use crate::model::listing::{Entry, Page, What};
use crate::plan::walk::{Mark, To, Trouble, is_worth_it};
use crate::store::{Place, TreeId};

impl Follower {
    /// The recursive listing failed: perhaps it is to be walked.
    pub(super) async fn way_round(&mut self, error: CallError, begun: bool) -> Result<Stepped, Stuck> {
        let trouble = trouble(&error);
        self.broken = if trouble == Trouble::Elsewhere { 0 } else { self.broken.saturating_add(1) };
        if !is_worth_it(trouble, self.broken, begun, &self.lane.question) {
            return Err(Stuck::Call(error));
        }
        match self.begin_walk().await {
            Ok(stepped) => {
                tracing::warn!(scope = %self.lane.scope, why = %error, "Dropbox does not list everything at once: it is listed folder by folder");
                self.broken = 0;
                Ok(stepped)
            }
            Err(Stuck::Store(error)) => Err(Stuck::Store(error)),
            // Where a single folder cannot be listed either, the fault lies elsewhere.
            Err(Stuck::Call(_) | Stuck::Protocol(_)) => Err(Stuck::Call(error)),
        }
    }

    async fn begin_walk(&mut self) -> Result<Stepped, Stuck> {
        let scope = self.lane.scope.clone();
        let question = self.lane.question.clone();
        // Before anything is listed, so that no change falls between.
        let latest = self.dropbox.latest_cursor_below(&scope, &question).await.map_err(Stuck::Call)?;
        let mut itself = Vec::new();
        if !scope.as_str().is_empty() {
            itself = self.dropbox.entry_of(&scope).await.map_err(Stuck::Call)?.entries;
        }
        let root = match itself.first() {
            Some(Entry { key, what: What::Folder(_), .. }) => key.as_str().to_owned(),
            None if scope.as_str().is_empty() => String::new(),
            _ => return Err(Stuck::Protocol(format!("{scope}: Dropbox does not say which folder this is"))),
        };
        let mut page = self.dropbox.list_one_folder(&scope, &question, None).await.map_err(Stuck::Call)?;
        check(&page, &root)?;
        itself.append(&mut page.entries);
        page.entries = itself;
        self.pages.clear();
        self.walked = None;
        let mark = Mark { latest, at: root.clone(), root, to: To::After };
        self.tell_walk(Some(&mark.at));
        self.walked_page(Place::First { here: true }, mark, page).await
    }

    /// One folder more, or one page more of it.
    pub(super) async fn walk(&mut self, tree: TreeId, cursor: String, mark: Mark) -> Result<Stepped, Stuck> {
        let place = Place::After(tree, cursor);
        let (at, listed) = match &mark.to {
            To::More(cursor) => {
                let more = self.dropbox.list_continue(cursor).await;
                // The same folder from its beginning: entries that came already are put in their own place.
                let reset = matches!(&more, Err(error) if error.is("reset"));
                (mark.at.clone(), if reset { self.list_at(&mark.at).await } else { more })
            }
            To::After => match self.store.next_folder(tree, mark.root.clone(), mark.at.clone()).await? {
                Some(at) => {
                    self.tell_walk(Some(&at));
                    let listed = self.list_at(&at).await;
                    (at, listed)
                }
                None => {
                    tracing::info!(scope = %self.lane.scope, "every folder is listed; what has changed meanwhile follows");
                    self.tell_walk(None);
                    self.walked = Some(tree);
                    let page = Page { cursor: mark.latest, has_more: true, ..Page::default() };
                    return self.stage(place, page).await;
                }
            },
        };
        let mark = Mark { at, ..mark };
        match listed {
            Ok(page) => {
                check(&page, &mark.at)?;
                self.walked_page(place, mark, page).await
            }
            Err(error) if error.is("path/not_found") || error.is("path/not_folder") => {
                if !self.is_gone(&mark).await.map_err(Stuck::Call)? {
                    return Err(Stuck::Call(error));
                }
                let key = RemotePath::parse(&mark.at).unwrap_or_default();
                let gone = Entry { name: key.name().to_owned(), key, above: None, what: What::Deleted };
                self.walked_page(place, mark, Page { entries: vec![gone], ..Page::default() }).await
            }
            Err(error) => Err(Stuck::Call(error)),
        }
    }

    async fn list_at(&self, key: &str) -> Result<Page, CallError> {
        let path = RemotePath::parse(key).unwrap_or_default();
        self.dropbox.list_one_folder(&path, &self.lane.question, None).await
    }

    async fn walked_page(&mut self, place: Place, mark: Mark, mut page: Page) -> Result<Stepped, Stuck> {
        let to = if page.has_more { To::More(std::mem::take(&mut page.cursor)) } else { To::After };
        page.cursor = Mark { to, ..mark }.written();
        page.has_more = true;
        self.stage(place, page).await
    }

    /// Whether a folder that was not found is gone: the nearest folder above it that can be listed does not show it. One failed look alone is no evidence.
    async fn is_gone(&self, mark: &Mark) -> Result<bool, CallError> {
        let mut at = mark.at.as_str();
        while at != mark.root
            && let Some((above, _)) = at.rsplit_once('/')
        {
            let mut page = match self.list_at(above).await {
                Err(error) if error.is("path/not_found") || error.is("path/not_folder") => {
                    at = above;
                    continue;
                }
                listed => listed?,
            };
            loop {
                if page.entries.iter().any(|entry| entry.key.as_str() == at && matches!(entry.what, What::Folder(_))) {
                    return Ok(false);
                }
                if !page.has_more {
                    return Ok(page.refused.is_empty());
                }
                page = self.dropbox.list_continue(&page.cursor).await?;
            }
        }
        Ok(false)
    }

    /// Says where the walk is.
    fn tell_walk(&self, at: Option<&str>) {
        let scope = if self.lane.scope.as_str().is_empty() { "the account" } else { self.lane.scope.as_str() };
        let walk = at.map(|at| {
            format!(
                "Dropbox does not list all of {scope} at once, so that it is listed folder by folder, which takes longer (now {}/)",
                at
            )
        });
        self.lane.set(|now| now.walk = walk);
    }
}

/// What would leave a folder out unseen holds the walk up: a folder whose entry cannot be used would seem to be empty.
fn check(page: &Page, at: &str) -> Result<(), Stuck> {
    if let Some(refused) = page.refused.first() {
        return Err(Stuck::Protocol(format!("{}: {}", refused.text, refused.why)));
    }
    let inside = |entry: &Entry| entry.key.as_str().rsplit_once('/').is_some_and(|(above, _)| above == at);
    match page.entries.iter().find(|entry| !inside(entry)) {
        None => Ok(()),
        Some(entry) => {
            let (key, at) = (entry.key.as_str(), if at.is_empty() { "/" } else { at });
            Err(Stuck::Protocol(format!("Dropbox lists {key} as something that lies directly in {at}")))
        }
    }
}

fn trouble(error: &CallError) -> Trouble {
    match error {
        CallError::Transport(broken) => match broken.kind {
            TransportKind::Server => Trouble::Server,
            TransportKind::Timeout | TransportKind::Reset => Trouble::Unanswered,
            _ => Trouble::Elsewhere,
        },
        error if error.is("path/other") || error.is("other") => Trouble::Other,
        _ => Trouble::Elsewhere,
    }
}
