//! What goes on right now, in memory only: transfers, counters, rates.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::env::Instant;
use crate::env::lock;
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
    /// Where it began in this run: what had arrived before is no part of the rate.
    start: u64,
}

#[derive(Debug, Default)]
struct Window {
    total: Total,
    samples: VecDeque<(Instant, Total)>,
}

/// What was done since the start.
#[derive(Debug, Default, Clone, Copy)]
struct Total {
    up: u64,
    down: u64,
    files: u64,
}

impl Total {
    fn of(&mut self, direction: &str) -> &mut u64 {
        if direction == "down" { &mut self.down } else { &mut self.up }
    }
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
        let Some(over) = lock(&self.live.active).remove(&self.number) else { return };
        let came = over.done.load(Ordering::Relaxed).saturating_sub(over.start);
        let mut folders = lock(&self.live.folders);
        *folders.entry(over.folder).or_default().total.of(over.direction) += came;
    }
}

impl Shown<'_> {
    /// So much of it had arrived before.
    pub(crate) fn begin(&self, at: u64) {
        self.done.store(at, Ordering::Relaxed);
        if let Some(transfer) = lock(&self.live.active).get_mut(&self.number) {
            transfer.start = at;
        }
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
        let transfer = Transfer { folder, path: path.clone(), direction, total, done: Arc::clone(&done), start: 0 };
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

    /// Counts bytes sent for a folder that no transfer shows.
    pub(crate) fn sent(&self, folder: FolderId, bytes: u64) {
        lock(&self.folders).entry(folder).or_default().total.up += bytes;
    }

    /// Counts files settled for a folder.
    pub(crate) fn settled(&self, folder: FolderId, files: u64) {
        lock(&self.folders).entry(folder).or_default().total.files += files;
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

    /// Bytes of the folder's transfers that have arrived, going up and coming down: they are no work any more.
    pub(crate) fn arrived(&self, folder: FolderId) -> (u64, u64) {
        let mut sum = Total::default();
        for transfer in lock(&self.active).values().filter(|t| t.folder == folder) {
            *sum.of(transfer.direction) += transfer.done.load(Ordering::Relaxed).min(transfer.total);
        }
        (sum.up, sum.down)
    }

    /// A folder's rates; each call takes a sample.
    pub(crate) fn rate(&self, folder: FolderId, now: Instant) -> status::Rate {
        let mut on_the_way = Total::default();
        for transfer in lock(&self.active).values().filter(|t| t.folder == folder) {
            let came = transfer.done.load(Ordering::Relaxed).saturating_sub(transfer.start);
            *on_the_way.of(transfer.direction) += came;
        }
        let mut folders = lock(&self.folders);
        let window = folders.entry(folder).or_default();
        let total = Total {
            up: window.total.up + on_the_way.up,
            down: window.total.down + on_the_way.down,
            files: window.total.files,
        };
        window.samples.push_back((now, total));
        while window.samples.len() > 2
            && window.samples.get(1).is_some_and(|(at, ..)| now.duration_since(*at) >= WINDOW)
        {
            window.samples.pop_front();
        }
        let Some((at, then)) = window.samples.front() else { return status::Rate::default() };
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
        let a_second = |now: u64, then: u64| (now.saturating_sub(then) as f64 / seconds) as u64;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let files_s = ((total.files.saturating_sub(then.files) as f64 / seconds) * 10.0).round() / 10.0;
        status::Rate { up_bytes_s: a_second(total.up, then.up), down_bytes_s: a_second(total.down, then.down), files_s }
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
        let coming = live.show_down(FolderId(1), &RelPath::parse("a").unwrap(), 900);
        coming.begin(300);
        coming.done.fetch_add(400, Ordering::Relaxed);
        assert_eq!(live.arrived(FolderId(1)), (0, 700));
        assert_eq!(live.rate(FolderId(1), start + Duration::from_secs(4)).down_bytes_s, 100);
        drop(coming);
        assert_eq!(live.rate(FolderId(1), start + Duration::from_secs(4)).down_bytes_s, 100);
        for s in 5..20 {
            live.rate(FolderId(1), start + Duration::from_secs(s));
        }
        assert_eq!(live.rate(FolderId(1), start + Duration::from_secs(20)).up_bytes_s, 0);
    }
}
