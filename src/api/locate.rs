//! Which folder a local path is in.

use std::path::Path;
use std::sync::Arc;

use crate::api::status::Progress;
use crate::engine::account::Account;
use crate::engine::folder::Folder;
use crate::engine::folder::attach;
use crate::model::RelPath;

/// A path of a synced folder.
pub(crate) struct Place {
    /// Whose.
    pub(crate) account: Arc<Account>,
    /// Where its folder stands among the account's.
    pub(crate) index: usize,
    /// That folder.
    pub(crate) folder: Arc<Folder>,
    /// The path below it.
    pub(crate) path: RelPath,
}

/// Finds the places of an absolute path; of every folder's root if there is none.
///
/// # Errors
/// One sentence: there is none.
pub(crate) fn all(progress: &Progress, path: Option<&Path>) -> Result<Vec<Place>, String> {
    let mut places = Vec::new();
    for account in &progress.accounts {
        for (index, folder) in account.folders.iter().enumerate() {
            let below = match path {
                None => Some(RelPath::root()),
                Some(path) => attach::below(folder, path).and_then(|rest| RelPath::parse(rest.to_str()?).ok()),
            };
            if let Some(path) = below {
                let (account, folder) = (Arc::clone(account), Arc::clone(folder));
                places.push(Place { account, index, folder, path });
            }
        }
    }
    if places.is_empty() {
        return Err(match path {
            Some(path) => format!("no synced folder holds {}: `ferrybox status` lists them", path.display()),
            None => "no folder is configured: add one with `ferrybox add LOCAL REMOTE`".to_owned(),
        });
    }
    Ok(places)
}

/// The one place of a path.
///
/// # Errors
/// As [`all`].
pub(crate) fn one(progress: &Progress, path: &Path) -> Result<Place, String> {
    let places = all(progress, Some(path))?;
    places.into_iter().next().ok_or_else(|| format!("no synced folder holds {}", path.display()))
}
