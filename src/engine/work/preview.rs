//! Paths looked at and decided on, and nothing done about it: what `explain` and `plan` show.

use std::sync::Arc;

use crate::engine::account::Account;
use crate::engine::folder::Folder;
use crate::engine::work::upload::dedup_copy;
use crate::engine::work::worker::touches_marked;
use crate::env::lock;
use crate::env::{booted_ms, now_ms};
use crate::local::Gone;
use crate::model::{Agreed, Base, Failure, Local, RelPath, Remote, Stat};
use crate::plan::name::allowed;
use crate::plan::name::ignore::Why;
use crate::plan::reconcile::describe;
use crate::plan::reconcile::diff::torn;
use crate::plan::reconcile::{Action, decide, permitted, read_only};
use crate::store::StoreError;

/// One path's views, and what follows from them now.
#[derive(Debug)]
pub(crate) struct Viewed {
    /// Why it is not synced.
    pub(crate) ignored: Option<Why>,
    pub(crate) local: Local,
    pub(crate) base: Option<Base>,
    pub(crate) remote: Remote,
    pub(crate) action: Action,
    /// What may come of it instead.
    pub(crate) perhaps: Option<&'static str>,
}

impl Viewed {
    /// Whether either side has something at the path, had it when they last agreed, or cannot say.
    pub(crate) fn is_somewhere(&self) -> bool {
        self.local != Local::Absent || self.base.is_some() || self.remote != Remote::Absent
    }

    /// What the action means.
    pub(crate) fn sentence(&self) -> String {
        describe::sentence(&self.action) + self.perhaps.unwrap_or_default()
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
    let views = seen.into_iter().map(|(path, local, base, dir, remote)| {
        let local = elsewhere.clone().map_or(local, Local::Unknown);
        let ignored = folder.ignored(path, local == Local::Dir);
        let action = match &ignored {
            Some(_) => Action::Nothing,
            None => {
                let agreed = match (&base, dir) {
                    (Some(base), _) => Agreed::File(base),
                    (None, true) => Agreed::Dir,
                    (None, false) => Agreed::Nothing,
                };
                act(account, folder, path, &local, agreed, &remote)
            }
        };
        let perhaps = dedup_copy::perhaps(account, folder, path, (&action, &local, base.as_ref(), &remote));
        Viewed { ignored, local, base, remote, action, perhaps }
    });
    Ok(views.collect())
}

fn act(
    account: &Account,
    folder: &Folder,
    path: &RelPath,
    local: &Local,
    agreed: Agreed<'_>,
    remote: &Remote,
) -> Action {
    let mut action = decide(local, agreed, remote, folder.mode);
    let base = if let Agreed::File(base) = agreed { Some(base) } else { None };
    if touches_marked(&action)
        && let Ok(marks) = account.remote.marks_blocking(account, folder.id, &folder.home(path))
    {
        action = permitted(action, local, marks, folder.mode, folder.report_symlinks);
        if let (Action::Upload(_) | Action::AdoptOrUpload(_), true) = (&action, marks.read_only) {
            return Action::Wedge(read_only());
        }
    }
    if let (Action::Upload(_) | Action::AdoptOrUpload(_), Local::File(stat)) = (&action, local)
        && let Some(failure) = not_sent(account, path, stat, base)
    {
        return Action::Wedge(failure);
    }
    action
}

/// Why a file that would go up does not.
pub(crate) fn not_sent(account: &Account, path: &RelPath, stat: &Stat, base: Option<&Base>) -> Option<Failure> {
    allowed::disallowed(path)
        .or_else(|| too_large(stat.size, account.config.upload.max_file_size))
        .or_else(|| base.and_then(|base| torn(stat, &base.stat, booted_ms(), now_ms())))
}

/// The failure of a file that is larger than the configuration allows.
fn too_large(size: u64, max: u64) -> Option<Failure> {
    (size > max).then(|| {
        Failure::wedge(
            "too_large",
            format!(
                "{size} bytes are more than upload.max_file_size = {max} bytes; raise that key if Dropbox takes it"
            ),
        )
    })
}
