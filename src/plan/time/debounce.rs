//! How long a changed path must rest before it is read.

use crate::model::{Stat, UnixMs};

/// A save that truncates first leaves an empty file for a moment: an empty file rests this many times longer.
const EMPTY_FACTOR: i64 = 3;

/// A path that is never quiet is looked at after this long all the same, in ms.
const LONGEST_MS: i64 = 60_000;

/// When a path seen changed at `now` is due: after `settle_ms` of quiet, but not later than [`LONGEST_MS`] after it was first seen (`since`).
pub fn due_at(now: UnixMs, since: UnixMs, settle_ms: i64, empty: bool) -> UnixMs {
    let rest = if empty { settle_ms.saturating_mul(EMPTY_FACTOR) } else { settle_ms };
    now.saturating_add(rest).min(since.saturating_add(LONGEST_MS.max(rest)))
}

/// When a file found by a scan is due: at once, unless its own times say that it was written less than `settle_ms` ago.
/// A time in the future says nothing (clocks differ), so it is not waited for.
pub fn scanned_due_at(now: UnixMs, stat: &Stat, settle_ms: i64) -> UnixMs {
    let touched = stat.mtime_ns.max(stat.ctime_ns).div_euclid(1_000_000);
    if touched > now {
        return now;
    }
    let rest = if stat.size == 0 { settle_ms.saturating_mul(EMPTY_FACTOR) } else { settle_ms };
    touched.saturating_add(rest).max(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_time_restarts_but_not_for_ever() {
        assert_eq!(due_at(10_000, 10_000, 1_000, false), 11_000);
        assert_eq!(due_at(10_000, 10_000, 1_000, true), 13_000);
        assert_eq!(due_at(69_900, 10_000, 1_000, false), 70_000);
        assert_eq!(due_at(90_000, 10_000, 1_000, false), 70_000);
        assert_eq!(due_at(i64::MAX, 0, 1_000, false), 60_000);
    }

    #[test]
    fn an_old_file_is_due_at_once_a_fresh_one_rests() {
        let stat = |size, ms: i64| Stat { size, mtime_ns: ms * 1_000_000, ctime_ns: 0, ino: 0, dev: 0 };
        assert_eq!(scanned_due_at(50_000, &stat(1, 10_000), 1_000), 50_000);
        assert_eq!(scanned_due_at(50_000, &stat(1, 49_500), 1_000), 50_500);
        assert_eq!(scanned_due_at(50_000, &stat(0, 49_500), 1_000), 52_500);
        assert_eq!(scanned_due_at(50_000, &stat(1, 99_000), 1_000), 50_000, "a future time is not waited for");
        assert_eq!(scanned_due_at(50_000, &stat(1, -5), 1_000), 50_000);
    }
}
