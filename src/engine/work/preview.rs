//! Paths looked at and decided on, and nothing done about it: what `explain` and `plan` show, and what the look at rest goes by.
//!
//! The decision is the workers' own, from facts that are gathered in the same way. Left out is what only doing it can tell: no file is read, and no
//! rename is proposed. The remote view is the cache as it is, also where it does not show our own last commit yet.

use std::sync::Arc;

use crate::engine::account::Account;
use crate::engine::folder::Folder;
use crate::engine::gather::facts::{Asker, Unread, Views};
use crate::engine::gather::remote::View;
use crate::engine::work::upload::dedup_copy;
use crate::env::{lock, now_ms};
use crate::local::Gone;
use crate::model::{Base, Job, JobId, Local, RelPath, Remote};
use crate::plan::commit::budget::Full;
use crate::plan::name::ignore::Why;
use crate::plan::reconcile::facts::{Content, Rename};
use crate::plan::reconcile::{Decision, Facts, Need, describe};
use crate::store::StoreError;

/// One path's views, and what follows from them now.
#[derive(Debug)]
pub(crate) struct Viewed {
    /// Why it is not synced.
    pub(crate) ignored: Option<Why>,
    pub(crate) local: Local,
    pub(crate) base: Option<Base>,
    pub(crate) remote: Remote,
    pub(crate) decision: Decision,
    /// What may come of it instead.
    pub(crate) perhaps: Option<&'static str>,
}

impl Viewed {
    /// Whether either side has something at the path, had it when they last agreed, or cannot say.
    pub(crate) fn is_somewhere(&self) -> bool {
        self.local != Local::Absent || self.base.is_some() || self.remote != Remote::Absent
    }

    /// What the decision means.
    pub(crate) fn sentence(&self) -> String {
        describe::sentence(&self.decision) + self.perhaps.unwrap_or_default()
    }
}

/// Looks at paths of one folder, in their order. Blocks.
///
/// # Errors
/// When the database cannot be read.
pub(crate) fn of_blocking(
    account: &Account,
    folder: &Arc<Folder>,
    paths: &[RelPath],
) -> Result<Vec<Viewed>, StoreError> {
    let store = &account.store;
    let dirs = paths.iter().map(|path| store.agreed_dir_blocking(folder.id, path)).collect::<Result<Vec<_>, _>>()?;
    let bases = paths.iter().map(|path| store.base_blocking(folder.id, path)).collect::<Result<Vec<_>, _>>()?;
    let agreed = bases
        .iter()
        .zip(&dirs)
        .map(|(base, dir)| (base.is_some() || *dir, base.as_ref().and_then(|base| base.remote.clone())));
    let remotes = account.remote.views_of_blocking(account, folder.id, paths.iter().cloned().zip(agreed))?;
    let root = folder.root.pin();
    let mut seen = Vec::with_capacity(paths.len());
    for (((path, remote), dir), base) in paths.iter().zip(remotes).zip(dirs).zip(bases) {
        let local = Folder::look_at(&root, path, base.as_ref());
        seen.push((path, local, base, dir, remote));
    }
    // As for the work itself, what was seen counts only if it was seen in the folder that is synced; but nothing is let go of here.
    let expected = lock(&folder.root_id).clone();
    let elsewhere =
        folder.now().root_trouble.or_else(|| root.still_there(expected.as_ref()).err().map(Gone::into_failure));
    let asker = Asker { account, folder, root: &root };
    let views = seen.into_iter().map(|(path, local, base, dir, remote)| {
        let job =
            Job { id: JobId(0), folder: folder.id, path: path.clone(), generation: 0, attempts: 0, since: now_ms() };
        let local = elsewhere.clone().map_or(local, Local::Unknown);
        let view = View { remote, late: false, sent: false };
        let mut facts = asker.begin(&job, Views { local, base, dir, view, untrusted: elsewhere.clone() });
        let decision = decided(&asker, &mut facts)?;
        // What is not synced is not synced wherever the folder is.
        let is_dir = facts.local == Local::Dir;
        let elsewhere = elsewhere.as_ref().and_then(|_| folder.ignored(path, is_dir));
        let Facts { ignored, local, base, remote, .. } = facts;
        let perhaps = dedup_copy::perhaps(account, folder, path, (&decision, &local, base.as_ref(), &remote));
        let ignored = ignored.or(elsewhere);
        Ok(Viewed { ignored, local, base, remote, decision, perhaps })
    });
    views.collect()
}

/// Decides as a worker would that is not to read the file. Whether the account has room is told for all of it, not path by path.
fn decided(asker: &Asker<'_>, facts: &mut Facts) -> Result<Decision, StoreError> {
    facts.full = Full::No;
    facts.found.rename = Some(Rename::No);
    facts.found.content_hash = Some(Content::NotRead);
    facts.found.installed_hash = Some(Content::NotRead);
    match asker.decide(facts, |_, _: &Need| Ok(false)) {
        Ok(decision) => Ok(decision),
        Err(Unread::Store(error)) => Err(error),
        Err(Unread::Directory(failure) | Unread::Path(failure)) => Ok(Decision::Blocked(failure)),
    }
}
