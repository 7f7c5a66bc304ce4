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

impl Pace {
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
