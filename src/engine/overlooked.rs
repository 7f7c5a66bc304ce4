//! The look at rest: every path that is known of a folder is looked at once more after the work has ended, a slice at a time, and what was overlooked gets
//! its row. It should find nothing; each find is told, and counted. The rule is in [`plan::overlooked`](crate::plan::reconcile::overlooked).
//!
//! A pass begins only after something was done since the last one, and goes on only while nothing else is to be done.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::blocking::blocking;
use crate::engine::folder::Folder;
use crate::engine::work::preview;
use crate::env::now_ms;
use crate::local::Kind;
use crate::model::{Due, Local, RelPath};
use crate::plan::listing::key_of;
use crate::plan::reconcile::facts::Gate;
use crate::plan::reconcile::overlooked::is_missing;
use crate::store::{KnownAt, StoreError};

/// Paths that one step looks at.
const SLICE: usize = 500;
/// So many finds are remembered, so that none is told twice; beyond that the oldest order is begun again.
const REMEMBERED: usize = 10_000;

/// What of the folder comes next.
#[derive(Debug, Clone)]
enum At {
    Known(KnownAt),
    /// In what Dropbox has, after this key.
    Listed(String),
}

/// One folder's look at rest.
#[derive(Debug, Default)]
pub(crate) struct Overlooked {
    /// What had been done when the last pass ended, and when this one began.
    done: Option<String>,
    begun: Option<String>,
    at: Option<At>,
    /// What looked overlooked a moment ago, and why: it is, if it still does.
    suspects: BTreeMap<RelPath, String>,
    /// What was put into the queue, and came to nothing there.
    told: BTreeMap<RelPath, String>,
}

impl Overlooked {
    /// One step, of a folder that may be at rest. Gives how many paths were put into the queue.
    pub(crate) async fn step(&mut self, account: &Arc<Account>, folder: &Arc<Folder>) -> Result<usize, Fatal> {
        if !self.is_wanted(account, folder).await? {
            self.suspects.clear();
            return Ok(0);
        }
        let (at, of) = (Arc::clone(account), Arc::clone(folder));
        let suspects = std::mem::take(&mut self.suspects);
        let still = if suspects.is_empty() {
            BTreeMap::new()
        } else {
            let paths = suspects.keys().cloned().collect();
            blocking(move || missing(&at, &of, paths)).await?
        };
        let mut found = Vec::new();
        for (path, why) in still {
            if suspects.get(&path) == Some(&why) && self.told.get(&path) != Some(&why) {
                if self.told.len() >= REMEMBERED {
                    self.told.clear();
                }
                self.told.insert(path.clone(), why);
                found.push(path);
            }
        }
        if !found.is_empty() {
            return put_back(account, folder, found).await;
        }
        let from = self.at.clone().unwrap_or_else(|| At::Known(KnownAt::first()));
        let (account, folder) = (Arc::clone(account), Arc::clone(folder));
        let (suspects, next) = blocking(move || slice(&account, &folder, from)).await?;
        self.suspects = suspects;
        if next.is_none() {
            // What this pass has found is looked at once more before it has ended.
            if self.suspects.iter().all(|(path, why)| self.told.get(path) == Some(why)) {
                self.done = self.begun.take();
                self.suspects.clear();
            }
        }
        self.at = next;
        Ok(0)
    }

    /// Whether the folder is at rest, and something was done since the last pass.
    async fn is_wanted(&mut self, account: &Arc<Account>, folder: &Arc<Folder>) -> Result<bool, Fatal> {
        let now = folder.now();
        if now.root_trouble.is_some() || now.held.is_some() || now.scans > 0 || !now.scanned {
            return Ok(false);
        }
        if account.paused_reason().is_some() || account.trouble.borrow().is_some() {
            return Ok(false);
        }
        if !account.remote.is_listed(folder.id) || account.remote.gate(folder.id) != Gate::Open {
            return Ok(false);
        }
        let summary = account.store.summary(folder.id).await?;
        let working = summary.claimed + summary.staged_uploads + summary.staged_deletes;
        // Rows that fail again and again keep nobody from looking.
        if working > 0 || summary.due > summary.failing {
            return Ok(false);
        }
        let store = account.store.clone();
        let (mark, comparing) =
            blocking(move || Ok((store.work_mark_blocking()?, store.is_comparing_blocking()?))).await?;
        if comparing || self.done.as_ref() == Some(&mark) {
            return Ok(false);
        }
        // What was done meanwhile may have been done behind this pass: another one follows it.
        self.begun.get_or_insert(mark);
        Ok(true)
    }
}

async fn put_back(account: &Arc<Account>, folder: &Arc<Folder>, found: Vec<RelPath>) -> Result<usize, Fatal> {
    let now = now_ms();
    let count = found.len();
    folder.set(|state| state.overlooked = state.overlooked.saturating_add(count as u64));
    for path in &found {
        tracing::warn!(
            account = %account.name,
            folder = %folder.local.display(),
            %path,
            "its views differ and nothing was to be done about it: it is looked at now. That is an error in ferrybox, and nothing was lost; please report it"
        );
    }
    let due = found.into_iter().map(|path| Due { path, size: 0, due_at: now }).collect();
    account.store.enqueue(folder.id, due, now).await?;
    account.store.poke();
    Ok(count)
}

/// The next slice: what looks overlooked in it, and where it goes on.
fn slice(
    account: &Account,
    folder: &Arc<Folder>,
    at: At,
) -> Result<(BTreeMap<RelPath, String>, Option<At>), StoreError> {
    let first_listed = || folder.comes_down().then(|| At::Listed(String::new()));
    match at {
        At::Known(at) => {
            let (mut paths, next) = account.store.known_page_blocking(folder.id, &at, SLICE)?;
            if let KnownAt::Dirs { parent, name } = &at {
                let root = (parent.is_empty() && name.is_empty()).then(RelPath::root);
                let dirs: Vec<RelPath> = root.into_iter().chain(paths.iter().cloned()).collect();
                for dir in dirs {
                    paths.extend(only_here(account, folder, &dir)?);
                }
            }
            Ok((missing(account, folder, paths)?, next.map(At::Known).or_else(first_listed)))
        }
        At::Listed(after) => {
            let (paths, next) = account.remote.unmet_blocking(&account.store, folder.id, after)?;
            Ok((missing(account, folder, paths)?, next.map(At::Listed)))
        }
    }
}

/// The files and directories directly in a directory that were never agreed on. What cannot be read is the scans' business.
fn only_here(account: &Account, folder: &Folder, dir: &RelPath) -> Result<Vec<RelPath>, StoreError> {
    let Ok(listing) = folder.root.read_dir(dir) else { return Ok(Vec::new()) };
    let files = account.store.base_children_blocking(folder.id, dir)?;
    let dirs = account.store.agreed_dirs_blocking(folder.id, dir)?;
    let is_known = |name: &str| {
        files.binary_search_by(|(file, _)| file.as_bytes().cmp(name.as_bytes())).is_ok()
            || dirs.binary_search_by(|dir| dir.as_bytes().cmp(name.as_bytes())).is_ok()
    };
    let news = listing.entries.iter().filter(|(name, kind)| {
        matches!(kind, Kind::File(_) | Kind::Dir) && !is_known(name) && name != crate::plan::name::allowed::OWN_DIR
    });
    Ok(news.filter_map(|(name, _)| dir.child(name).ok()).collect())
}

/// Those of these paths that look overlooked, each with what its views say.
fn missing(
    account: &Account,
    folder: &Arc<Folder>,
    paths: Vec<RelPath>,
) -> Result<BTreeMap<RelPath, String>, StoreError> {
    let (store, root) = (&account.store, folder.root.pin());
    folder.beat.strike();
    let paths = store.without_row_blocking(folder.id, paths)?;
    let mut found = BTreeMap::new();
    for (path, viewed) in paths.iter().zip(preview::of_blocking(account, folder, &paths)?) {
        let listed =
            viewed.local == Local::Absent && viewed.base.is_none() && !store.agreed_dir_blocking(folder.id, path)?;
        let is_missing = is_missing(&viewed.decision, &viewed.local, viewed.base.as_ref(), &viewed.remote, listed);
        if viewed.ignored.is_some() || !is_missing {
            continue;
        }
        // Our own commit may not be listed yet.
        if account.remote.view_blocking(account, folder.id, path)?.late {
            continue;
        }
        // Two names that Dropbox does not tell apart: the rows of the two see to that.
        if viewed.base.is_none() && is_here_otherwise(&root, path) {
            continue;
        }
        found.insert(path.clone(), format!("{:?} {:?}", viewed.decision, viewed.remote));
    }
    Ok(found)
}

/// Whether something stands here in other letters of the path's name, or of one above it.
fn is_here_otherwise(root: &crate::local::Root, path: &RelPath) -> bool {
    let mut at = Some(path.clone());
    while let Some(here) = at.filter(|here| !here.is_root()) {
        let above = here.parent().unwrap_or_default();
        // What cannot be read is no proof of anything.
        let Ok(listing) = root.read_dir(&above) else {
            at = Some(above);
            continue;
        };
        return listing.entries.iter().any(|(name, _)| name != here.name() && key_of(name) == key_of(here.name()));
    }
    false
}
