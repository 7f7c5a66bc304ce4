//! How long something has been in the trash: by the time that this program has seen go by, since a wall clock may be wrong when it goes, or when it is
//! to be purged.
//!
//! The count goes on with the time that the program runs. Where the wall clock went further than that (the program was not running, or the machine
//! slept), the count goes along, but a day at most at a time: a clock that jumps by years makes nothing a day older than it is, and a run each day
//! counts in full. A clock that goes back takes nothing away. What is rarely run keeps things longer, and the size of the trash bounds that.

use crate::model::UnixMs;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// The count, and where the wall clock stood then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lived {
    /// The time that was seen to go by, in ms.
    pub count: i64,
    /// The wall clock.
    pub wall: UnixMs,
}

impl Lived {
    /// The beginning of the count.
    pub fn begin(wall: UnixMs) -> Self {
        Self { count: 0, wall }
    }

    /// Goes on to a moment: the wall clock shows `wall`, and the program has run for `ran` ms since (`None`: it was started anew).
    #[must_use]
    pub fn go_on(self, wall: UnixMs, ran: Option<i64>) -> Self {
        let ran = ran.unwrap_or(0).max(0);
        let shown = wall.saturating_sub(self.wall);
        let by = shown.min(ran.saturating_add(DAY_MS)).max(ran);
        Self { count: self.count.saturating_add(by), wall }
    }

    /// Whether what was first seen at the count `seen` has been there for `days`.
    pub fn is_old(self, seen: i64, days: u32) -> bool {
        self.count.saturating_sub(seen) >= i64::from(days).saturating_mul(DAY_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600 * 1000;
    const YEAR: i64 = 365 * DAY_MS;
    const NOW: UnixMs = 1_800_000_000_000;

    fn after(steps: &[(UnixMs, Option<i64>)]) -> i64 {
        steps.iter().fold(Lived::begin(NOW), |lived, (wall, ran)| lived.go_on(*wall, *ran)).count
    }

    #[test]
    fn what_runs_counts_by_its_running_time() {
        let hours: Vec<_> = (1..=48).map(|n| (NOW + n * HOUR, Some(HOUR))).collect();
        assert_eq!(after(&hours), 48 * HOUR);
        // And by nothing else, whatever the clock shows.
        let wild: Vec<_> = (1..=48).map(|n| (NOW - n * YEAR, Some(HOUR))).collect();
        assert_eq!(after(&wild), 48 * HOUR);
    }

    #[test]
    fn a_clock_that_jumps_makes_nothing_old() {
        for jump in [10 * YEAR, i64::MAX - NOW] {
            assert_eq!(after(&[(NOW + jump, Some(HOUR))]), DAY_MS + HOUR);
            assert_eq!(after(&[(NOW + jump, None)]), DAY_MS);
            // It is set right again: nothing is lost, and nothing is won.
            assert_eq!(after(&[(NOW + jump, None), (NOW + HOUR, Some(HOUR))]), DAY_MS + HOUR);
        }
        // It was wrong before the first look, and is right now.
        let first = Lived::begin(0).go_on(NOW, Some(HOUR));
        assert!(!first.is_old(0, 2) && first.is_old(0, 1));
        assert_eq!(after(&[(i64::MIN, None), (NOW, None)]), DAY_MS);
    }

    #[test]
    fn a_run_each_day_and_a_machine_that_sleeps_count_in_full() {
        let runs: Vec<_> = (1..=30).map(|n| (NOW + n * DAY_MS, None)).collect();
        assert_eq!(after(&runs), 30 * DAY_MS);
        assert_eq!(after(&[(NOW + 10 * HOUR, Some(HOUR))]), 10 * HOUR, "it slept for nine hours");
        // What is run once a week counts a day each time.
        let runs: Vec<_> = (1..=4).map(|n| (NOW + n * 7 * DAY_MS, None)).collect();
        assert_eq!(after(&runs), 4 * DAY_MS);
    }

    #[test]
    fn days_are_whole_and_none_means_at_once() {
        let lived = Lived { count: 30 * DAY_MS, wall: NOW };
        assert!(lived.is_old(0, 30) && !lived.is_old(1, 30) && lived.is_old(30 * DAY_MS, 0));
    }
}
