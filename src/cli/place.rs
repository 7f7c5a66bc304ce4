//! Local paths as people write them, and as the daemon knows them.

use std::fs;
use std::path::{Path, PathBuf};

use super::Usage;
use crate::config::Config;

/// A route with a local path in its query.
///
/// # Errors
/// The path is in no synced folder, or its name is not UTF-8.
pub(super) fn asking(route: &str, path: Option<&Path>, config: &Config) -> anyhow::Result<String> {
    let Some(path) = path else { return Ok(route.to_owned()) };
    let whole = in_a_folder(path, config)?;
    let Some(whole) = whole.to_str() else {
        return Err(Usage(format!(
            "{} cannot be asked about: its name is not UTF-8, and Dropbox has no name for it (`ferrybox problems`)",
            path.display()
        ))
        .into());
    };
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("path", whole).finish();
    Ok(format!("{route}?{query}"))
}

/// The path as the daemon knows it: below a folder's directory as the configuration writes that. A path that came through a
/// symlink is looked up by where it really is; the file itself may be gone.
pub(super) fn in_a_folder(path: &Path, config: &Config) -> anyhow::Result<PathBuf> {
    let whole = std::path::absolute(path)?;
    let folders = || config.accounts.iter().flat_map(|a| &a.folders).map(|f| f.local.as_path());
    let dots = whole.components().any(|c| c == std::path::Component::ParentDir);
    if !dots && folders().any(|local| whole.starts_with(local)) {
        return Ok(whole);
    }
    let real = match (fs::canonicalize(&whole), whole.parent(), whole.file_name()) {
        (Ok(real), ..) => Some(real),
        (Err(_), Some(parent), Some(name)) => fs::canonicalize(parent).ok().map(|p| p.join(name)),
        _ => None,
    };
    let found = real.and_then(|real| {
        folders().find_map(|local| {
            let below = real.strip_prefix(fs::canonicalize(local).ok()?).ok()?.to_owned();
            Some(if below.as_os_str().is_empty() { local.to_owned() } else { local.join(below) })
        })
    });
    found.ok_or_else(|| {
        let known: Vec<String> = folders().map(|f| f.display().to_string()).collect();
        let known = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
        Usage(format!("{} lies in no synced folder (they are: {known})", path.display())).into()
    })
}
