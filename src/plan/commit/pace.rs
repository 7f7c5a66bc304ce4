//! How large batches are and how close they follow each other: a little more after each success, half as much after each refusal.
//!
//! Dropbox takes some full batches back to back and then refuses writes for a while. The same halving finds an entry that breaks every batch it is
//! in: sooner or later it is alone, and the others have gone through.

/// The pace of one account's commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Entries of the next batch, at most.
    pub entries: usize,
    /// Milliseconds between the end of a batch and the start of the next.
    pub gap_ms: i64,
}

const FIRST_GAP_MS: i64 = 250;
const LONGEST_GAP_MS: i64 = 10_000;
const LESS_MS: i64 = 100;

/// What the results of a batch say of the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its entries.
    pub sent: usize,
    /// Each entry has a result.
    pub whole: bool,
    /// Dropbox has too much to do, for one entry at least.
    pub busy: bool,
    /// The call was refused for what it holds, and held one entry.
    pub alone: bool,
    /// A batch has gone through since an entry was last blamed for its call's refusal.
    pub others: bool,
    /// Its entries are of too many shared folders: Dropbox takes files of one at a time, and half as many are of fewer.
    pub mixed: bool,
    /// Its entries are too many.
    pub too_many: bool,
}

impl Pace {
    /// The pace after a batch with these results.
    #[must_use]
    pub fn after(self, seen: Seen, most: usize) -> Self {
        // Where nothing shows that others fare better, one that stands alone is not to blame: the server may be in trouble.
        if seen.busy || seen.alone && !seen.others {
            self.slower(seen.sent)
        } else if !seen.whole || seen.mixed || seen.sent > 1 && seen.too_many {
            self.smaller(seen.sent)
        } else {
            self.faster(most)
        }
    }

    /// As fast as `most` entries a batch allow.
    pub fn new(most: usize) -> Self {
        Self { entries: most.max(1), gap_ms: 0 }
    }

    /// A batch went through whole.
    #[must_use]
    pub fn faster(self, most: usize) -> Self {
        let most = most.max(1);
        Self {
            entries: self.entries.saturating_add(most / 10 + 1).min(most),
            gap_ms: self.gap_ms.saturating_sub(LESS_MS).max(0),
        }
    }

    /// A batch of `sent` entries failed as a whole, or nobody knows: perhaps one of them is to blame.
    #[must_use]
    pub fn smaller(self, sent: usize) -> Self {
        Self { entries: (self.entries.min(sent) / 2).max(1), ..self }
    }

    /// A batch of `sent` entries met too many writes.
    #[must_use]
    pub fn slower(self, sent: usize) -> Self {
        Self { gap_ms: self.gap_ms.saturating_mul(2).clamp(FIRST_GAP_MS, LONGEST_GAP_MS), ..self.smaller(sent) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_pace_follows_from_what_was_said() {
        let pace = Pace { entries: 100, gap_ms: 0 };
        let good =
            Seen { sent: 100, whole: true, busy: false, alone: false, others: false, mixed: false, too_many: false };
        let (slower, smaller, faster) = (pace.slower(100), pace.smaller(100), pace.faster(1_000));
        for (seen, expected) in [
            (good, faster),
            (Seen { busy: true, ..good }, slower),
            (Seen { busy: true, whole: false, ..good }, slower),
            (Seen { mixed: true, ..good }, smaller),
            (Seen { too_many: true, ..good }, smaller),
            (Seen { whole: false, ..good }, smaller),
        ] {
            assert_eq!(pace.after(seen, 1_000), expected, "{seen:?}");
        }
        let one = Seen { sent: 1, whole: false, alone: true, ..good };
        assert_eq!(pace.after(one, 1_000), pace.slower(1));
        assert_eq!(pace.after(Seen { others: true, ..one }, 1_000), pace.smaller(1));
        assert_eq!(pace.after(Seen { sent: 1, too_many: true, ..good }, 1_000), faster, "one cannot be too many");
    }

    #[test]
    fn refusals_halve_down_to_one_and_successes_lead_back() {
        let mut pace = Pace::new(1_000);
        for _ in 0..12 {
            pace = pace.slower(pace.entries);
        }
        assert_eq!(pace, Pace { entries: 1, gap_ms: LONGEST_GAP_MS });
        for _ in 0..400 {
            pace = pace.faster(1_000);
        }
        assert_eq!(pace, Pace::new(1_000));
        assert_eq!(Pace::new(1_000).slower(40).entries, 20, "what was sent counts, not what might have been");
    }

    proptest! {
        #[test]
        fn a_pace_is_always_one_that_can_be_kept(most in 0_usize..2_000, steps in prop::collection::vec(any::<bool>(), 0..300)) {
            let mut pace = Pace::new(most);
            for good in steps {
                pace = if good { pace.faster(most) } else { pace.slower(pace.entries) };
                prop_assert!(pace.entries >= 1 && pace.entries <= most.max(1));
                prop_assert!((0..=LONGEST_GAP_MS).contains(&pace.gap_ms));
            }
        }
    }
}
