//! What goes on right now, in memory only: transfers, counters, rates.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::{FolderId, RelPath, status};

/// Rates are means over this long.
const WINDOW: Duration = Duration::from_secs(5);

/// What one account does right now.
#[derive(Debug, Default)]
pub(crate) struct Live {
    next: AtomicU64,
    active: Mutex<BTreeMap<u64, Transfer>>,
    folders: Mutex<BTreeMap<FolderId, Window>>,
    /// Claimed jobs whose bytes are on their way to a staged change.
    uploading: AtomicU64,
}

#[derive(Debug)]
struct Transfer {
    folder: FolderId,
    path: RelPath,
    direction: &'static str,
    total: u64,
    done: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Window {
    bytes: u64,
    files: u64,
    samples: VecDeque<(Instant, u64, u64)>,
}

/// A transfer that is shown while this value lives.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    live: &'a Live,
    number: u64,
    /// Bytes so far.
    pub(crate) done: Arc<AtomicU64>,
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        lock(&self.live.active).remove(&self.number);
    }
}

/// Counts uploads under way while this value lives.
#[derive(Debug)]
pub(crate) struct Uploading<'a>(&'a Live, u64);

impl Drop for Uploading<'_> {
    fn drop(&mut self) {
        self.0.uploading.fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// A poisoned lock only says that some other thread panicked; these maps are never left half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    /// Shows an upload.
    pub(crate) fn show(&self, folder: FolderId, path: &RelPath, total: u64) -> Shown<'_> {
        self.shown(folder, path, "up", total)
    }

    /// Shows a download.
    pub(crate) fn show_down(&self, folder: FolderId, path: &RelPath, total: u64) -> Shown<'_> {
        self.shown(folder, path, "down", total)
    }

    fn shown(&self, folder: FolderId, path: &RelPath, direction: &'static str, total: u64) -> Shown<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let done = Arc::new(AtomicU64::new(0));
        let transfer = Transfer { folder, path: path.clone(), direction, total, done: Arc::clone(&done) };
        lock(&self.active).insert(number, transfer);
        Shown { live: self, number, done }
    }

    /// Notes that `files` are on their way to the committer.
    pub(crate) fn uploading(&self, files: usize) -> Uploading<'_> {
        let files = files as u64;
        self.uploading.fetch_add(files, Ordering::Relaxed);
        Uploading(self, files)
    }

    /// How many uploads may yet join a batch.
    pub(crate) fn uploads_under_way(&self) -> u64 {
        self.uploading.load(Ordering::Relaxed)
    }

    /// Counts bytes sent for a folder.
    pub(crate) fn sent(&self, folder: FolderId, bytes: u64) {
        lock(&self.folders).entry(folder).or_default().bytes += bytes;
    }

    /// Counts files settled for a folder.
    pub(crate) fn settled(&self, folder: FolderId, files: u64) {
        lock(&self.folders).entry(folder).or_default().files += files;
    }

    /// A folder's transfers, at most `limit`.
    pub(crate) fn active(&self, folder: FolderId, limit: usize) -> Vec<status::Active> {
        lock(&self.active)
            .values()
            .filter(|t| t.folder == folder)
            .take(limit)
            .map(|t| status::Active {
                path: t.path.to_string(),
                direction: t.direction.to_owned(),
                done: t.done.load(Ordering::Relaxed).min(t.total),
                total: t.total,
            })
            .collect()
    }

    /// A folder's rates; each call takes a sample.
    pub(crate) fn rate(&self, folder: FolderId, now: Instant) -> status::Rate {
        let mut folders = lock(&self.folders);
        let window = folders.entry(folder).or_default();
        window.samples.push_back((now, window.bytes, window.files));
        while window.samples.len() > 2
            && window.samples.get(1).is_some_and(|(at, ..)| now.duration_since(*at) >= WINDOW)
        {
            window.samples.pop_front();
        }
        let Some((at, bytes, files)) = window.samples.front() else { return status::Rate::default() };
        let seconds = now.duration_since(*at).as_secs_f64();
        if seconds < 0.05 {
            return status::Rate::default();
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate for people"
        )]
        status::Rate {
            up_bytes_s: ((window.bytes - bytes) as f64 / seconds) as u64,
            down_bytes_s: 0,
            files_s: (((window.files - files) as f64 / seconds) * 10.0).round() / 10.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_shown_while_it_lives() {
        let live = Live::default();
        let shown = live.show(FolderId(1), &RelPath::parse("a").unwrap(), 10);
        shown.done.store(4, Ordering::Relaxed);
        assert_eq!(live.active(FolderId(1), 5).first().map(|a| (a.done, a.total)), Some((4, 10)));
        assert!(live.active(FolderId(2), 5).is_empty());
        drop(shown);
        assert!(live.active(FolderId(1), 5).is_empty());
    }

    #[test]
    fn a_rate_is_the_mean_of_the_window() {
        let live = Live::default();
        let start = Instant::now();
        live.rate(FolderId(1), start);
        live.sent(FolderId(1), 1_000);
        live.settled(FolderId(1), 4);
        let rate = live.rate(FolderId(1), start + Duration::from_secs(2));
        assert_eq!((rate.up_bytes_s, rate.files_s), (500, 2.0));
        for s in 3..20 {
            live.rate(FolderId(1), start + Duration::from_secs(s));
        }
        assert_eq!(live.rate(FolderId(1), start + Duration::from_secs(20)).up_bytes_s, 0);
    }
}
