//! Paths that are not synced any more. What both sides had agreed on there is forgotten, and nothing is touched on either side: what happens there
//! from now on is nobody's business, and should the path be synced again, both sides meet as for the first time, which deletes nothing.
//!
//! A changed configuration is seen at the start, before any work; a changed `.ferryboxignore` by the scan that follows it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config;
use crate::engine::folder::Folder;
use crate::engine::heartbeat::on_the_disk;
use crate::env::now_ms;
use crate::model::{RelPath, RemotePath};
use crate::plan::name::ignore::{Rules, Source};
use crate::store::{Store, StoreError};

/// Paths that are forgotten in one step.
const TOGETHER: usize = 10_000;

/// The rules of the configuration, as they are remembered.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    ignore: Vec<String>,
    exclude: Vec<String>,
    /// Whether symlinks are left alone without a word.
    #[serde(default)]
    silent_symlinks: bool,
    /// Whether files of patterns are this device's own.
    #[serde(default)]
    own_files: bool,
}

/// Forgets what was agreed on where the configuration's rules say, or said at the last start, that nothing is synced. Until this has ended, the old
/// rules stand in the database: a crash in the middle costs that it is done again.
pub(crate) async fn forget(store: &Store, folder: &Folder, config: &config::Folder) -> Result<(), StoreError> {
    let said = Said {
        ignore: config.ignore.clone(),
        exclude: config.exclude.iter().map(|path| path.as_str().to_owned()).collect(),
        silent_symlinks: !config.report_symlinks,
        own_files: config.own_ignore_files,
    };
    let old: Said = store.rules(folder.id).await?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    if old == said {
        return Ok(());
    }
    // Patterns that could be read once can be read again; if not, they are left out.
    let exclude: Vec<RemotePath> = old.exclude.iter().filter_map(|path| RemotePath::parse(path).ok()).collect();
    let old = Rules::new(&old.ignore)
        .or_else(|_| Rules::new(&[]))
        .ok()
        .map(|rules| Arc::new(rules.excluding(&exclude).with_own_files(old.own_files)));
    let new = Rules::new(&config.ignore)
        .ok()
        .map(|rules| Arc::new(rules.excluding(&config.exclude).with_own_files(config.own_ignore_files)));
    let rules = [old, new];
    loop {
        let (at, id, rules) = (store.clone(), folder.id, rules.clone());
        let found = on_the_disk(move || {
            at.known_paths_blocking(id, TOGETHER, &mut |path: &RelPath, is_dir| {
                rules.iter().flatten().any(|rules| unsynced(rules, path, is_dir))
            })
        });
        let found = match found.await {
            Ok(found) => found?,
            // Not now: the old rules stay, and the next start tries again.
            Err(_) => return Ok(()),
        };
        if found.is_empty() {
            break;
        }
        tracing::info!(
            folder = folder.id.0,
            paths = found.len(),
            "not synced any more: nothing is deleted on either side"
        );
        store.disagree(folder.id, found, now_ms()).await?;
    }
    // What only Dropbox has may be wanted now.
    store.compare_anew().await?;
    // And what was given up may be no problem any more.
    store.wake(folder.id, &RelPath::root(), now_ms()).await?;
    if let Ok(text) = serde_json::to_string(&said) {
        store.set_rules(folder.id, &text).await?;
    }
    Ok(())
}

/// By the configuration alone: the files of patterns in the tree have not changed by it.
fn unsynced(rules: &Rules, path: &RelPath, is_dir: bool) -> bool {
    let why = rules.matched(path, is_dir, &|_| Ok(None));
    why.is_some_and(|why| matches!(why.source, Source::Config | Source::Excluded))
}
