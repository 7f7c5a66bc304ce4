//! Waits that end at a time of the wall clock, which people and time servers set back and forth.

use crate::model::UnixMs;

/// The longest that a backoff, a rest or a server's word makes a path wait, in ms.
pub const LONGEST_MS: i64 = 60 * 60_000;

/// Whether what was put off until `at` still has to wait at `now`. Nothing waits longer than `longest` ms: a time that is further away was
/// written before the clock was set back, and counts as come.
pub fn is_ahead(at: UnixMs, now: UnixMs, longest: i64) -> bool {
    at > now && at.saturating_sub(now) <= longest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_that_is_too_far_away_has_come() {
        assert!(is_ahead(11, 10, 600) && is_ahead(610, 10, 600));
        assert!(!is_ahead(10, 10, 600) && !is_ahead(9, 10, 600) && !is_ahead(611, 10, 600));
        assert!(!is_ahead(i64::MAX, i64::MIN, 600) && !is_ahead(i64::MIN, i64::MAX, 600));
    }

    proptest! {
        /// Whenever and however far the clock is set: who looks now and then goes on after the wait and one longest wait more, at the latest.
        #[test]
        fn no_clock_makes_a_wait_endless(
            wait in 0_i64..=600, set_at in 0_i64..700, by in -1_000_000_i64..1_000_000, every in 1_i64..60,
        ) {
            let clock = |real: i64| if real >= set_at { real + by } else { real };
            let mut real = 0;
            while is_ahead(wait, clock(real), 600) {
                real += every;
            }
            prop_assert!(real <= wait + 600 + every, "{real}");
            prop_assert!(by != 0 || real >= wait, "a clock that nobody sets ends no wait early");
        }
    }
}
