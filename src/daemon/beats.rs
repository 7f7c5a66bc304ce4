//! Whether the tasks still make their rounds: each strikes its beat, and the watchdog's keeper listens.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When something was last done.
#[derive(Debug, Default)]
pub(crate) struct Beat(AtomicU64);

impl Beat {
    /// It is done now.
    pub(crate) fn strike(&self) {
        self.0.store(millis(), Ordering::Relaxed);
    }

    /// How long ago that was; at first, since the program's start.
    pub(crate) fn silence(&self) -> Duration {
        Duration::from_millis(millis().saturating_sub(self.0.load(Ordering::Relaxed)))
    }
}

/// Milliseconds since the first call, of a clock that nobody sets.
fn millis() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The rounds of one account's tasks; its intakes' are in the folders.
#[derive(Debug, Default)]
pub(crate) struct Beats {
    committer: Beat,
    uploader: Beat,
}

impl Beats {
    /// The committer begins a round.
    pub(crate) fn committer(&self) {
        self.committer.strike();
    }

    /// A worker looks for rows.
    pub(crate) fn uploader(&self) {
        self.uploader.strike();
    }

    /// How long the committer has been silent.
    pub(crate) fn committer_silence(&self) -> Duration {
        self.committer.silence()
    }

    /// How long all workers have been silent.
    pub(crate) fn uploader_silence(&self) -> Duration {
        self.uploader.silence()
    }
}
