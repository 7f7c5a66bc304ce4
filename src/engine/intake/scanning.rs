//! One scan of a folder: what differs from base becomes rows, and what cannot be synced becomes problems.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::TOGETHER;
use crate::engine::account::Account;
use crate::engine::folder::Folder;
use crate::engine::folder::patterns;
use crate::env::{ms, now_ms};
use crate::local::{Scanned, Watcher, scan};
use crate::model::{Due, Failure, Local, RelPath};
use crate::plan::name::ignore::{IGNORE_FILE, Source};
use crate::plan::reconcile::diff;
use crate::plan::time::debounce;
use crate::store::StoreError;

/// What the patterns of the tree hide, as one scan meets it.
#[derive(Default)]
struct Hidden {
    /// By the file of patterns: how many files of what it hides were in sync until now.
    by: BTreeMap<RelPath, u64>,
    /// Everything that is ignored, whoever says so.
    all: u64,
}

impl Hidden {
    fn note(&mut self, folder: &Folder, dir: &RelPath, name: &str, is_dir: bool, in_sync: u64) {
        let Ok(path) = dir.child(name) else { return };
        match folder.ignored(&path, is_dir).map(|why| why.source) {
            // Our own things are nobody's loss.
            None | Some(Source::Ferrybox) => {}
            Some(Source::File(of)) => {
                self.all += 1;
                if let Ok(file) = of.child(IGNORE_FILE) {
                    *self.by.entry(file).or_default() += in_sync;
                }
            }
            Some(_) => self.all += 1,
        }
    }
}

/// One run of the scanner, on a blocking thread.
pub(super) struct ScanRun {
    pub(super) account: Arc<Account>,
    pub(super) folder: Arc<Folder>,
    pub(super) watcher: Option<Arc<Watcher>>,
    pub(super) handle: Handle,
}

impl ScanRun {
    /// The reason why not everything is watched, if so.
    pub(super) fn run(&self, under: &RelPath) -> Result<Option<String>, StoreError> {
        if self.folder.verify().is_err() {
            // The root is not ours: nothing that is seen there means anything.
            return Ok(None);
        }
        let mut failed = None;
        let mut hidden = Hidden::default();
        let mut limit: Option<String> = None;
        let mut due: Vec<Due> = Vec::new();
        let watcher = self.watcher.clone();
        let rules = Arc::clone(&self.folder.rules);
        let mut before_list = |dirs: &[RelPath]| {
            // A scan reads every `.ferryboxignore` anew: it may have changed unseen.
            dirs.iter().for_each(|dir| rules.forget(dir));
            match watcher.as_ref().map(|w| w.add_dirs(dirs)) {
                Some(Err(trouble)) if trouble.is_limit() => {
                    limit = Some(format!("{trouble}; they are scanned every minute instead"));
                }
                // A directory that cannot be read is a problem of its own, told where it is listed.
                Some(Err(trouble)) => tracing::debug!(%trouble, "not all directories are watched"),
                Some(Ok(())) | None => {}
            }
        };
        let mut sink = |scanned: Scanned| match self.directory(scanned, &mut due, &mut hidden) {
            Ok(()) if self.account.stop.is_cancelled() => ControlFlow::Break(()),
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        };
        let ignored = |path: &RelPath, is_dir: bool| self.folder.ignored(path, is_dir).is_some();
        // One handle for the whole scan: half of it on another disk would make no sense.
        let end = scan(&self.folder.root.pin(), &ignored, under, &mut before_list, &mut sink);
        if let Some(error) = failed {
            return Err(error);
        }
        self.flush(&mut due)?;
        if !end.stopped {
            if under.is_root() {
                self.folder.set(|now| now.ignored = hidden.all);
            }
            patterns::tell(&self.handle, &self.account.store, &self.folder, under, &hidden.by)?;
            self.look_after_problems(under)?;
        }
        Ok(limit)
    }

    /// A scan sees what is there; problems of what is there no longer are looked for by themselves, and so are those whose cause is gone.
    fn look_after_problems(&self, under: &RelPath) -> Result<(), StoreError> {
        let (store, folder) = (&self.account.store, &self.folder);
        let root = folder.root.pin();
        let now = now_ms();
        for dir in store.odd_dirs_blocking(folder.id, under)? {
            let gone = match root.observe(&dir) {
                // The problem of what a file of patterns hides: it is looked after by itself.
                Local::File(_) if dir.name() == IGNORE_FILE => false,
                Local::Dir => folder.ignored(&dir, true).is_some(),
                Local::Unknown(_) => false,
                Local::Absent | Local::File(_) | Local::Other(_) => true,
            };
            if gone {
                self.handle.block_on(store.set_odd(folder.id, &dir, Vec::new(), now))?;
            }
        }
        let mut after = String::new();
        loop {
            let page = store.wedged_blocking(folder.id, under, &after, TOGETHER)?;
            let Some(last) = page.last() else { break };
            last.as_str().clone_into(&mut after);
            // And a directory that was kept for what is in it: that may have gone.
            let kept =
                |path: &RelPath| folder.comes_down() && store.agreed_dir_blocking(folder.id, path).unwrap_or(false);
            let seen = |path: &RelPath| root.observe(path);
            let vanished =
                page.into_iter().filter(|path| seen(path) == Local::Absent || seen(path) == Local::Dir && kept(path));
            let mut due: Vec<Due> = vanished.map(|path| Due { path, size: 0, due_at: now }).collect();
            self.flush(&mut due)?;
        }
        // Nor need the cause lie in the path itself: the rights of a directory above it, its kind, another name that stood in the way.
        self.handle.block_on(store.try_wedged(folder.id, under, now))?;
        Ok(())
    }

    fn flush(&self, due: &mut Vec<Due>) -> Result<(), StoreError> {
        if due.is_empty() {
            return Ok(());
        }
        self.handle.block_on(self.account.store.enqueue(self.folder.id, std::mem::take(due), now_ms()))?;
        Ok(())
    }

    fn directory(&self, scanned: Scanned, due: &mut Vec<Due>, hidden: &mut Hidden) -> Result<(), StoreError> {
        let (store, folder) = (&self.account.store, &self.folder);
        folder.beat.strike();
        let now = now_ms();
        let settle = ms(self.account.config.watch.settle);
        match scanned {
            Scanned::Unreadable { dir, failure } => {
                // Its children are unknown, not gone.
                self.handle.block_on(store.set_odd(folder.id, &dir, vec![(dir.to_string(), failure)], now))?;
            }
            Scanned::Dir { dir, files, dirs, ignored_files, ignored_dirs, unknown, odd, others, .. } => {
                let base = store.base_children_blocking(folder.id, &dir)?;
                let diff = diff::directory(&files, &base);
                let by_name = |name: &str| files.binary_search_by(|f| f.0.as_bytes().cmp(name.as_bytes())).ok();
                let mut changed = Vec::with_capacity(diff.changed.len());
                for (name, size) in diff.changed {
                    let (Ok(path), Some((_, stat))) = (dir.child(name), by_name(name).and_then(|i| files.get(i)))
                    else {
                        continue;
                    };
                    changed.push((Due { path, size, due_at: debounce::scanned_due_at(now, stat, settle) }, *stat));
                }
                due.extend(store.without_refused_blocking(folder.id, changed, now)?);
                if folder.comes_down() {
                    let known = store.agreed_dirs_blocking(folder.id, &dir)?;
                    let news = dirs
                        .iter()
                        .filter(|name| known.binary_search_by(|k| k.as_bytes().cmp(name.as_bytes())).is_err());
                    for name in news {
                        let Ok(path) = dir.child(name) else { continue };
                        due.push(Due { path, size: 0, due_at: now + settle });
                    }
                }
                for name in ignored_files.iter().filter(|name| crate::local::is_left_over(name)) {
                    let Ok(path) = dir.child(name) else { continue };
                    crate::engine::rescue::beside(&self.account, folder, &folder.root.pin(), &path)?;
                }
                // What was agreed on and is ignored by now: the agreement is dropped, so that no change meanwhile counts as one since.
                let is_in_base =
                    |name: &&String| base.binary_search_by(|b| b.0.as_bytes().cmp(name.as_bytes())).is_ok();
                for name in &ignored_files {
                    hidden.note(folder, &dir, name, false, u64::from(is_in_base(&name)));
                }
                for name in ignored_files.iter().filter(is_in_base) {
                    let Ok(path) = dir.child(name) else { continue };
                    due.push(Due { path, size: 0, due_at: now });
                }
                for name in &ignored_dirs {
                    let Ok(path) = dir.child(name) else { continue };
                    let known = store.knows_below_blocking(folder.id, &path)?;
                    // A directory that was agreed on and holds no file is one of them.
                    let many = if known { store.files_below_blocking(folder.id, &path)?.max(1) } else { 0 };
                    hidden.note(folder, &dir, name, true, many);
                    if known {
                        self.handle.block_on(store.enqueue_gone(folder.id, &path, true, now, now))?;
                    }
                }
                if folder.passes_deletions() {
                    // What is ignored, or could not be looked at, is not gone.
                    let there =
                        |name: &str| ignored_files.iter().any(|n| n == name) || unknown.iter().any(|(n, _)| n == name);
                    for name in diff.gone.into_iter().filter(|name| !there(name)) {
                        let Ok(path) = dir.child(name) else { continue };
                        due.push(Due { path, size: 0, due_at: now + settle });
                    }
                    let mut known = store.base_dirs_blocking(folder.id, &dir)?;
                    if folder.comes_down() {
                        let agreed = store.agreed_dirs_blocking(folder.id, &dir)?;
                        known.extend(agreed.iter().filter_map(|name| dir.child(name).ok()));
                        known.sort_unstable();
                        known.dedup();
                    }
                    for gone in known {
                        let name = gone.name();
                        // K6: behind a symlink everything may be as it was; the link itself is the problem.
                        let is_link = others.iter().any(|(n, kind)| n == name && *kind == "symlink");
                        let there =
                            is_link || ignored_dirs.iter().any(|n| n == name) || unknown.iter().any(|(n, _)| n == name);
                        if !there && dirs.binary_search_by(|d| d.as_bytes().cmp(name.as_bytes())).is_err() {
                            self.handle.block_on(store.enqueue_gone(folder.id, &gone, true, now + settle, now))?;
                        }
                    }
                }
                let mut problems: Vec<(String, Failure)> = odd;
                problems.extend(folder.rules.problems(&dir));
                for (name, failure) in unknown {
                    problems.push((dir.child(&name).map_or(name, String::from), failure));
                }
                for (name, kind) in others.into_iter().filter(|(_, kind)| folder.report_symlinks || *kind != "symlink")
                {
                    // In the place of a file that was agreed on: its row tells it.
                    if folder.passes_deletions() && is_in_base(&&name) {
                        continue;
                    }
                    let path = dir.child(&name).map_or(name, String::from);
                    problems.push((path, crate::plan::reconcile::blocked::other_type(kind)));
                }
                if self.handle.block_on(store.set_odd(folder.id, &dir, problems, now))? && folder.comes_down() {
                    // What Dropbox changed in a directory that could not be read waits no longer.
                    self.handle.block_on(store.wake(folder.id, &dir, now))?;
                }
                if due.len() >= TOGETHER {
                    self.flush(due)?;
                }
            }
        }
        Ok(())
    }
}
