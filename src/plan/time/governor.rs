//! The last net under every loop of calls: how many of a class an account may make a minute. The limits are far above ordinary work, whose calls each
//! bring something; what passes them is a fault of ours or of the server's, and is slowed down until it ends, and told.

use std::collections::BTreeMap;

use crate::model::UnixMs;

/// Calls are counted over this long, in ms.
const WINDOW: i64 = 60_000;
/// While a class is slowed down, one of its calls goes in this many ms.
const GAP: i64 = 1_000;
/// How often the time of a slow class doubles, from one minute on, while it comes past its limit again.
const DOUBLINGS: u32 = 5;
/// A class that kept below its limit for this long begins afresh, in ms.
const FORGIVEN: i64 = 10 * WINDOW;

/// How many calls of a class may be made a minute, those that carried content left out.
///
/// One listing of a million entries is 500 to 10,000 pages; ten thousand small files are some hundred packs, and at most as many commits; a job is
/// polled 20 times a second at first. Content that comes or goes is work, however many calls it takes.
fn limit(class: &str) -> u64 {
    match class {
        "listings" => 30_000,
        "other calls" => 20_000,
        "commits" => 12_000,
        "new uploads" => 6_000,
        // Uploads and downloads that carry nothing have failed.
        _ => 3_000,
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Class {
    /// Since when the calls are counted.
    since: UnixMs,
    calls: u64,
    /// Times in a row that the limit was passed.
    passed: u32,
    /// Slow until then.
    slow_until: UnixMs,
    /// The next call of a slow class.
    next: UnixMs,
}

/// A class of which far too many calls were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slowed {
    /// As the client names it.
    pub class: &'static str,
    /// How many a minute are its limit.
    pub limit: u64,
    /// Slow until then.
    pub until: UnixMs,
}

/// The calls of one account. Times are in ms of a clock that only goes forward.
#[derive(Debug, Default)]
pub struct Governor {
    classes: BTreeMap<&'static str, Class>,
}

impl Governor {
    /// A call is about to be made: how long it has to wait, in ms.
    pub fn call(&mut self, class: &'static str, now: UnixMs) -> i64 {
        let counted = self.classes.entry(class).or_default();
        if now < counted.slow_until {
            let at = counted.next.max(now);
            counted.next = at.saturating_add(GAP);
            return at.saturating_sub(now);
        }
        if now.saturating_sub(counted.since) >= WINDOW {
            (counted.since, counted.calls) = (now, 0);
        }
        if now.saturating_sub(counted.slow_until) >= FORGIVEN {
            counted.passed = 0;
        }
        counted.calls = counted.calls.saturating_add(1);
        if counted.calls > limit(class) {
            let slow = WINDOW.saturating_mul(1 << counted.passed.min(DOUBLINGS));
            *counted = Class {
                since: now,
                calls: 0,
                passed: counted.passed.saturating_add(1),
                slow_until: now.saturating_add(slow),
                next: now.saturating_add(GAP),
            };
        }
        0
    }

    /// How long a call would have to wait if it were about to be made, in ms. It does not count.
    pub fn waits(&self, class: &'static str, now: UnixMs) -> i64 {
        let slow = self.classes.get(class).filter(|counted| now < counted.slow_until);
        slow.map_or(0, |counted| counted.next.max(now).saturating_sub(now))
    }

    /// A call of this class has carried content.
    pub fn carried(&mut self, class: &'static str) {
        let counted = self.classes.entry(class).or_default();
        counted.calls = counted.calls.saturating_sub(1);
    }

    /// The class that is slowed down for longest, if any is.
    pub fn slowed(&self, now: UnixMs) -> Option<Slowed> {
        let slow = self.classes.iter().filter(|(_, counted)| now < counted.slow_until);
        let (class, counted) = slow.max_by_key(|(_, counted)| counted.slow_until)?;
        Some(Slowed { class, limit: limit(class), until: counted.slow_until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [&str; 6] = ["new uploads", "uploads", "commits", "downloads", "listings", "other calls"];

    #[test]
    fn ordinary_work_at_full_speed_never_reaches_it() {
        // Calls of a class, each of which may carry content, all within a second.
        for (what, class, calls, carries) in [
            ("10,000 small files, one a pack", "uploads", 10_000, true),
            ("their commits, one each", "commits", 10_000, false),
            ("a session for each", "new uploads", 5_000, false),
            ("a first listing of 1,000,000 entries in pages of 100", "listings", 10_000, false),
            ("200,000 downloads", "downloads", 200_000, true),
            ("a job polled for an hour", "other calls", 1_000, false),
            ("a line of 10 GB/s in parts of 4 MiB", "uploads", 150_000, true),
        ] {
            let mut governor = Governor::default();
            for i in 0..calls {
                assert_eq!(governor.call(class, i * 1_000 / calls), 0, "{what}: call {i}");
                if carries {
                    governor.carried(class);
                }
            }
            assert_eq!(governor.slowed(1_000), None, "{what}");
        }
    }

    #[test]
    fn a_storm_of_any_class_is_slowed_down_told_and_slower_each_time() {
        for class in CLASSES {
            let mut governor = Governor::default();
            // Of whoever calls again as soon as the last call has ended, which takes a millisecond.
            let (mut now, mut by_minute) = (0, vec![0_u64; 200]);
            while now < 200 * WINDOW {
                now += governor.call(class, now).max(0) + 1;
                if let Some(minute) = by_minute.get_mut(usize::try_from(now / WINDOW).unwrap()) {
                    *minute += 1;
                }
            }
            let most = by_minute.iter().max().unwrap();
            assert!(*most <= 2 * limit(class) + 60, "{class}: {most} a minute");
            let slow = by_minute.iter().filter(|n| **n <= 61).count();
            assert!(slow > 170, "{class}: {slow} of 200 minutes are slow");
        }
        let mut governor = Governor::default();
        for _ in 0..=3_000 {
            governor.call("downloads", 5);
        }
        let slowed = governor.slowed(6).unwrap();
        assert_eq!((slowed.class, slowed.limit, slowed.until), ("downloads", 3_000, 5 + WINDOW));
        assert_eq!(governor.slowed(5 + WINDOW), None);
        // Whoever only looks is told the same, and counts for nothing.
        for _ in 0..3 {
            assert_eq!(governor.waits("downloads", 6), GAP - 1);
            assert_eq!(governor.waits("uploads", 6), 0);
        }
        assert_eq!(governor.call("downloads", 6), GAP - 1);
        assert_eq!(governor.waits("downloads", 6), 2 * GAP - 1);
        // The other classes go on.
        assert_eq!(governor.call("uploads", 6), 0);
    }
}
