//! Listing folder by folder, where Dropbox does not list everything at once; the rules are in [`crate::plan::listing::walk`].
//!
//! Each page goes into the next tree like one of a recursive listing, and where the walk is stands in the place of the tree's cursor. A folder that cannot
//! be read holds the walk up: nothing is taken for empty. So does a refused entry that may be a folder; a refused file is noted at its path.

use super::{Follower, Stepped, Stuck};
use crate::dropbox::{CallError, TransportKind};
use crate::model::RemotePath;
use crate::model::listing::{Entry, Page, What};
use crate::plan::listing::walk::{Mark, To, Trouble, is_worth_it};
use crate::store::{Place, TreeId};

/// So many pages in a row may bring nothing new where it is only asked whether a folder is there.
const BARREN_MOST: u32 = 8;

/// What is gone where a folder was not found.
enum Missing {
    /// Nothing, as far as anybody can say.
    Nothing,
    Folder,
    /// The folder that is walked.
    Root,
}

fn is_not_found(error: &CallError) -> bool {
    error.is("path/not_found") || error.is("path/not_folder")
}

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
        (self.walked, self.refused_pages) = (None, 0);
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
                let listed = if self.begins_again(&more) { self.list_at(&mark.at).await } else { more };
                (mark.at.clone(), listed)
            }
            To::After => match self.store.next_folder(tree, mark.root.clone(), mark.at.clone()).await? {
                Some(at) => {
                    self.tell_walk(Some(&at));
                    self.pages.clear();
                    self.refused_pages = 0;
                    let listed = self.list_at(&at).await;
                    (at, listed)
                }
                None => {
                    tracing::info!(scope = %self.lane.scope, "every folder is listed; what has changed meanwhile follows");
                    self.tell_walk(None);
                    self.pages.clear();
                    self.walked = Some(tree);
                    let page = Page { cursor: mark.latest, has_more: true, ..Page::default() };
                    return self.stage(place, page).await;
                }
            },
        };
        let asked = mark.to.clone();
        let mark = Mark { at, ..mark };
        match listed {
            Ok(page) => {
                check(&page, &mark.at)?;
                let stays = matches!(&asked, To::More(cursor) if *cursor == page.cursor);
                let barren = page.has_more && (stays || !self.is_new(&page));
                let stepped = self.walked_page(place, mark, page).await?;
                Ok(if barren { Stepped::Barren } else { stepped })
            }
            Err(error) if is_not_found(&error) => match self.what_is_missing(&mark).await.map_err(Stuck::Call)? {
                Missing::Nothing => Err(Stuck::Call(error)),
                // As for a listing that is followed: what that means is for the next one to say.
                Missing::Root => self.begin_anew(&error).await,
                Missing::Folder => {
                    let key = RemotePath::parse(&mark.at).map_err(|error| Stuck::Protocol(error.to_string()))?;
                    let gone = Entry { name: key.name().to_owned(), key, above: None, what: What::Deleted };
                    self.walked_page(place, mark, Page { entries: vec![gone], ..Page::default() }).await
                }
            },
            Err(error) => Err(Stuck::Call(error)),
        }
    }

    /// Whether a folder is listed from its beginning, because Dropbox no longer takes the cursor of its next page: at once the first time, and every
    /// other time after a pause.
    fn begins_again(&mut self, more: &Result<Page, CallError>) -> bool {
        let is_refused =
            |error: &CallError| error.is("reset") || matches!(error, CallError::Api(error) if error.status == 400);
        if !more.as_ref().is_err_and(is_refused) {
            return false;
        }
        self.refused_pages = self.refused_pages.saturating_add(1);
        !self.refused_pages.is_multiple_of(2)
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

    /// What is gone when a folder was not found: the folder, if the nearest folder above it that can be listed does not show it. One failed look alone is
    /// no evidence.
    async fn what_is_missing(&mut self, mark: &Mark) -> Result<Missing, CallError> {
        let mut at = mark.at.as_str();
        while at != mark.root
            && let Some((above, _)) = at.rsplit_once('/')
        {
            let mut page = match self.list_at(above).await {
                Err(error) if is_not_found(&error) => {
                    at = above;
                    continue;
                }
                listed => listed?,
            };
            self.pages.clear();
            let mut barren = 0;
            loop {
                let shown = |entry: &Entry| entry.key.as_str() == at && matches!(entry.what, What::Folder(_));
                let doubt = page.unplaced || page.refused.iter().any(|refused| refused.text == at);
                if doubt || page.entries.iter().any(shown) {
                    return Ok(Missing::Nothing);
                }
                if !page.has_more {
                    return Ok(Missing::Folder);
                }
                // One whose pages never end says nothing.
                barren = if self.is_new(&page) { 0 } else { barren + 1 };
                if barren > BARREN_MOST {
                    return Ok(Missing::Nothing);
                }
                page = self.dropbox.list_continue(&page.cursor).await?;
            }
        }
        // All of Dropbox is always there, and of another folder a second route has to say the same.
        if mark.root.is_empty() {
            return Ok(Missing::Nothing);
        }
        let page = match self.dropbox.entry_of(&self.lane.scope).await {
            Err(error) if is_not_found(&error) => return Ok(Missing::Root),
            page => page?,
        };
        let other = page.entries.iter().any(|entry| !matches!(entry.what, What::Folder(_)));
        Ok(if other { Missing::Root } else { Missing::Nothing })
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
    if let Some(refused) = page.refused.iter().find(|refused| refused.folder || page.unplaced) {
        return Err(Stuck::Protocol(format!(
            "{}: {}. It may be a folder, and a listing folder by folder does not go on without it: rename it in Dropbox, or move it out of here",
            refused.text,
            refused.why.trim_end_matches("; it is left out")
        )));
    }
    if page.unplaced {
        let at = if at.is_empty() { "/" } else { at };
        return Err(Stuck::Protocol(format!(
            "{at}: Dropbox lists something in it and does not say under which path, and a listing folder by folder does not go on without it: look there, and move elsewhere what is odd"
        )));
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
