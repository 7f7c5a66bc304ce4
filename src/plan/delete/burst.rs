//! Which files were deleted or overwritten by Dropbox's changes of late, so that a wave that comes in slices is weighed as one.
//!
//! Each file counts once, however often it was changed: somebody who saves one document all day is no wave. Only what was brought down counts,
//! never what this side did.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::UnixMs;

/// Files are remembered for this long at least, and for twice as long at most.
pub const WINDOW_MS: i64 = 30 * 60_000;
/// Files of one half of the window that are told apart. Those beyond are only counted, so that a file may count twice.
const MANY: usize = 50_000;

/// One half of the window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Passed {
    gone: BTreeSet<u64>,
    replaced: BTreeSet<u64>,
    more_gone: u64,
    more_replaced: u64,
    /// The most files that were in sync.
    files: u64,
}

impl Passed {
    /// This file went.
    pub fn gone(&mut self, path: &str) {
        self.gone.insert(digest(path));
    }

    /// This file got another content.
    pub fn replaced(&mut self, path: &str) {
        self.replaced.insert(digest(path));
    }

    fn take_in(&mut self, other: Self) {
        add(&mut self.gone, &mut self.more_gone, other.gone);
        add(&mut self.replaced, &mut self.more_replaced, other.replaced);
    }
}

fn add(set: &mut BTreeSet<u64>, more: &mut u64, other: BTreeSet<u64>) {
    for file in other {
        if set.len() < MANY {
            set.insert(file);
        } else if !set.contains(&file) {
            *more += 1;
        }
    }
}

fn digest(path: &str) -> u64 {
    let hash: [u8; 32] = Sha256::digest(path).into();
    hash.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// What the window holds, with one more wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Late {
    /// Files that went.
    pub gone: u64,
    /// Files that went or got another content, each once.
    pub changed: u64,
    /// The most files that were in sync.
    pub files: u64,
}

/// The window of one folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recent {
    /// When the newer half began.
    begun: UnixMs,
    old: Passed,
    new: Passed,
}

impl Recent {
    /// How much it is with this wave, when so many files are in sync now. What is too old is let go of.
    pub fn with(&mut self, wave: &Passed, files: u64, now: UnixMs) -> Late {
        // Set back beyond its beginning, the clock says nothing of how old it is.
        let age = now.saturating_sub(self.begun).max(0);
        if age >= WINDOW_MS || self.begun > now {
            let new = std::mem::take(&mut self.new);
            self.old = if age < 2 * WINDOW_MS { new } else { Passed::default() };
            self.begun = now;
        }
        self.new.files = self.new.files.max(files);
        let (old, new) = (&self.old, &self.new);
        let gone: BTreeSet<u64> = old.gone.iter().chain(&new.gone).chain(&wave.gone).copied().collect();
        let replaced = old.replaced.iter().chain(&new.replaced).chain(&wave.replaced);
        let only_replaced: BTreeSet<u64> = replaced.filter(|file| !gone.contains(file)).copied().collect();
        let more_gone = old.more_gone + new.more_gone;
        let gone = gone.len() as u64 + more_gone;
        let changed = gone + only_replaced.len() as u64 + old.more_replaced + new.more_replaced;
        Late { gone, changed, files: old.files.max(new.files) }
    }

    /// This wave is let through.
    pub fn pass(&mut self, wave: Passed) {
        self.new.take_in(wave);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(gone: std::ops::Range<u32>, replaced: std::ops::Range<u32>) -> Passed {
        let mut wave = Passed::default();
        gone.for_each(|n| wave.gone(&n.to_string()));
        replaced.for_each(|n| wave.replaced(&n.to_string()));
        wave
    }

    #[test]
    fn e12_slices_add_up_and_each_file_counts_once() {
        let mut recent = Recent::default();
        recent.with(&wave(0..20, 0..0), 100, 1_000_000);
        recent.pass(wave(0..20, 0..0));
        // Some of them came back and were overwritten, others were overwritten twice.
        recent.pass(wave(0..0, 10..30));
        recent.pass(wave(0..0, 25..30));
        let late = recent.with(&wave(30..35, 0..40), 80, 1_000_001);
        assert_eq!(late, Late { gone: 25, changed: 40, files: 100 });
        let kept: Recent = serde_json::from_str(&serde_json::to_string(&recent).unwrap()).unwrap();
        assert_eq!(kept, recent, "a restart forgets nothing");
    }

    #[test]
    fn e12_the_window_moves_on_and_a_clock_set_back_ends_nothing_early() {
        let mut recent = Recent::default();
        let none = Passed::default();
        let now = 10 * WINDOW_MS;
        let count = |recent: &mut Recent, at| recent.with(&none, 100, at).changed;
        count(&mut recent, now);
        recent.pass(wave(0..3, 0..0));
        assert_eq!(count(&mut recent, now + WINDOW_MS - 1), 3);
        assert_eq!(count(&mut recent, now + WINDOW_MS), 3, "in the older half now");
        assert_eq!(count(&mut recent, now + 2 * WINDOW_MS), 0);
        recent.pass(wave(0..3, 0..0));
        assert_eq!(count(&mut recent, now - WINDOW_MS), 3);
        assert_eq!(count(&mut recent, now + 5 * WINDOW_MS), 0);
    }

    #[test]
    fn e12_very_many_are_counted_without_being_kept() {
        let mut recent = Recent::default();
        recent.with(&Passed::default(), 1, 1);
        recent.pass(wave(0..60_000, 0..0));
        assert_eq!(recent.new.gone.len(), MANY);
        assert_eq!(recent.with(&Passed::default(), 1, 2).gone, 60_000);
    }
}
