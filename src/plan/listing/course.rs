//! The pace of a listing: how long to wait before its next call, whatever Dropbox answers.
//!
//! A reply that leads nowhere counts like a failure: there is no loop without progress. No number of a server's is taken without a bound.

use std::time::Duration;

use crate::plan::time::retry::backoff;

/// A server may ask for a pause of at most this long.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// Waits between longpolls that lead nowhere double up to this.
const QUIET: Duration = Duration::from_secs(30);
/// A longpoll is asked for at least 30 seconds: one that says "nothing" sooner than this says nothing.
const EARLY: Duration = Duration::from_secs(25);
/// A missing folder is looked for at least this often.
const MISSING: Duration = Duration::from_mins(1);
/// So many pages in a row may bring nothing new before the next ones are slowed down: some servers send empty pages.
const BARREN_FREE: u32 = 8;
/// So many are no listing.
pub const BARREN_MOST: u32 = 120;
/// Pages that bring nothing new come at most so far apart.
const BARREN_PAUSE: Duration = Duration::from_millis(1250);

/// A server may work on a listing for this long: before that no equal one is asked for, whether or not the answer was waited for.
const LONGEST_LISTING: Duration = Duration::from_mins(3);
/// A longpoll that has waited for so long waits on a good cursor: a bad one is refused at once.
const ACCEPTED: Duration = Duration::from_secs(5);
/// A held listing is asked for again after this long: the trouble may have been Dropbox's own.
const HELD: Duration = Duration::from_mins(10);

/// How a call of a listing failed, as far as its next try goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failed {
    /// What the server asked for.
    pub after: Option<Duration>,
    /// The answer did not come in time: how long ago the call began.
    pub unanswered: Option<Duration>,
}

/// A pause before the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// How long.
    pub wait: Duration,
    /// It is our own patience only: a person may end it.
    pub own: bool,
}

/// What a wait for changes ends for, though none are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Something is to be compared again by now.
    Compare,
    /// The device that began to rename something has not gone on: what it left is compared as it is.
    Halfway,
    /// Dropbox lets us wait on the cursor, so it is good: what was refused before is over.
    Accepted,
    /// A held listing is asked for again.
    Held,
}

/// What a wait for changes must not outlast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outlook {
    /// How long it is until something is to be compared again.
    pub comparison: Option<Duration>,
    /// How long another device may yet take to go on with what it began.
    pub halfway: Option<Duration>,
    /// The cursor has not served yet: how long it is until the longpoll on it begins.
    pub unsure: Option<Duration>,
    /// Its changes are held.
    pub held: bool,
}

/// When a wait for changes ends by itself, and what for: with whatever comes first. A longpoll takes minutes.
pub fn wakes(outlook: Outlook) -> Option<(Duration, Wake)> {
    [
        outlook.comparison.map(|left| (left, Wake::Compare)),
        outlook.halfway.map(|left| (left, Wake::Halfway)),
        outlook.unsure.map(|left| (left.saturating_add(ACCEPTED), Wake::Accepted)),
        outlook.held.then_some((HELD, Wake::Held)),
    ]
    .into_iter()
    .flatten()
    .min_by_key(|(left, _)| *left)
}

/// What a listing has gone through of late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Course {
    /// Failures in a row.
    pub failures: u32,
    /// Longpolls in a row that led nowhere.
    pub hollow: u32,
    /// Listings in a row whose cursor was refused before it had served.
    pub restarts: u32,
    /// Looks in a row for a folder that is not there.
    pub missed: u32,
    /// Pages in a row that brought nothing new, with more to come.
    pub barren: u32,
}

impl Course {
    /// A call failed: the pause before the next try. One that was not answered in time may still run at the server, and an equal one beside it would
    /// double its work: it is given the longest time that a server may take, whatever anybody asks for.
    pub fn failed(&mut self, how: Failed, chance: f64) -> Pause {
        let wait = how.after.map_or_else(|| backoff(self.failures, chance), |after| after.min(LONGEST_PAUSE));
        self.failures = self.failures.saturating_add(1);
        let runs = how.unanswered.map_or(Duration::ZERO, |since| LONGEST_LISTING.saturating_sub(since));
        Pause { wait: wait.max(runs), own: how.after.is_none() && how.unanswered.is_none() }
    }

    /// The cursor was refused, and everything is listed again. The first time that may happen at once: cursors expire.
    pub fn restarted(&mut self, chance: f64) -> Duration {
        self.restarts = self.restarts.saturating_add(1);
        if self.restarts == 1 { Duration::ZERO } else { backoff(self.restarts, chance) }
    }

    /// A cursor has served: a longpoll waited on it, or the page after it came.
    pub fn served(&mut self) {
        self.restarts = 0;
    }

    /// A page came. `None`: it is one of so many that brought nothing that this is no listing. Else the pause before the next one.
    pub fn paged(&mut self, barren: bool) -> Option<Duration> {
        self.barren = if barren { self.barren.saturating_add(1) } else { 0 };
        if self.barren >= BARREN_MOST {
            self.barren = 0;
            return None;
        }
        let over = self.barren.saturating_sub(BARREN_FREE);
        Some(if over == 0 { Duration::ZERO } else { (BARREN_PAUSE / 5).saturating_mul(over).min(BARREN_PAUSE) })
    }

    /// Whether pages bring so little that they are slowed down.
    pub fn is_slowed(&self) -> bool {
        self.barren > BARREN_FREE
    }

    /// A longpoll ended after `took`. The pause before the next one; `backoff` is what the server asked for, in seconds. It led somewhere if it said
    /// "changes" and there were some, or if it waited as it was asked to.
    pub fn polled(&mut self, changes: Option<bool>, took: Duration, backoff: Option<u64>) -> Duration {
        let hollow = match changes {
            Some(brought) => !brought,
            None => took < EARLY,
        };
        self.hollow = if hollow { self.hollow.saturating_add(1) } else { 0 };
        let ours = if hollow { doubled(self.hollow - 1, QUIET) } else { Duration::ZERO };
        ours.max(server_pause(backoff))
    }

    /// The folder is not there: the pause before the next look for it.
    pub fn missing(&mut self) -> Duration {
        let wait = doubled(self.missed, MISSING);
        self.missed = self.missed.saturating_add(1);
        wait
    }
}

/// A pause that a server asks for in seconds, within bounds.
pub fn server_pause(seconds: Option<u64>) -> Duration {
    Duration::from_secs(seconds.unwrap_or(0)).min(LONGEST_PAUSE)
}

/// 1, 2, 4 … seconds, up to a ceiling.
fn doubled(times: u32, most: Duration) -> Duration {
    Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(times.min(16))).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn h3_no_number_of_a_server_s_is_taken_without_a_bound() {
        let cases =
            [(None, S(0)), (Some(0), S(0)), (Some(3), S(3)), (Some(315_360_000), S(600)), (Some(u64::MAX), S(600))];
        for (given, expected) in cases {
            assert_eq!(server_pause(given), expected, "{given:?}");
            assert_eq!(Course::default().polled(None, S(60), given), expected, "{given:?}");
        }
        let failed = Failed { after: Some(Duration::MAX), unanswered: None };
        assert_eq!(Course::default().failed(failed, 0.5), Pause { wait: S(600), own: false });
    }

    #[test]
    fn r5_a_listing_that_was_not_answered_in_time_is_not_asked_for_again_while_it_may_run() {
        let cases = [
            // What the server asked for, how long ago the unanswered call began: the pause, and whether a person may end it.
            (None, None, 1, true),
            (Some(7), None, 7, false),
            (None, Some(90), 90, false),
            (None, Some(0), 180, false),
            (None, Some(179), 1, false),
            (None, Some(500), 1, false),
            (Some(120), Some(90), 120, false),
            (Some(30), Some(90), 90, false),
        ];
        for (after, unanswered, wait, own) in cases {
            let how = Failed { after: after.map(S), unanswered: unanswered.map(S) };
            let pause = Course::default().failed(how, 1.0);
            assert_eq!((pause.wait.as_secs().max(1), pause.own), (wait, own), "{how:?}");
        }
        // However many failed before, it is never less.
        for failures in 0..40 {
            let mut course = Course { failures, ..Course::default() };
            let pause = course.failed(Failed { after: None, unanswered: Some(S(90)) }, 0.0);
            assert!(pause.wait >= S(90) && !pause.own, "{failures}: {pause:?}");
        }
    }

    #[test]
    fn c15_a_wait_for_changes_ends_when_something_is_to_be_compared_again() {
        let at = |comparison, halfway, unsure, held| {
            let outlook = Outlook {
                comparison: Option::map(comparison, S),
                halfway: Option::map(halfway, S),
                unsure: Option::map(unsure, S),
                held,
            };
            wakes(outlook).map(|(left, wake)| (left.as_secs(), wake))
        };
        assert_eq!(at(None, None, None, false), None, "it lasts for as long as the longpoll");
        assert_eq!(at(Some(40), None, None, false), Some((40, Wake::Compare)));
        assert_eq!(at(Some(0), None, Some(0), true), Some((0, Wake::Compare)));
        assert_eq!(at(Some(40), Some(7), None, true), Some((7, Wake::Halfway)));
        assert_eq!(at(Some(40), None, Some(0), false), Some((5, Wake::Accepted)));
        assert_eq!(at(Some(700), None, Some(60), false), Some((65, Wake::Accepted)));
        assert_eq!(at(Some(700), None, None, true), Some((600, Wake::Held)));
        assert_eq!(at(None, None, None, true), Some((600, Wake::Held)));
    }

    #[test]
    fn s5_a_longpoll_that_ends_at_once_is_asked_again_after_growing_pauses() {
        let mut course = Course::default();
        let pauses: Vec<_> = (0..7).map(|_| course.polled(None, S(0), None).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(course.polled(None, S(30), None), S(0), "it waited as it was asked to");
        assert_eq!(course.polled(Some(false), S(0), None), S(1), "it promised changes, and there were none");
        assert_eq!(course.polled(Some(true), S(0), None), S(0));
        assert_eq!(course.polled(None, S(0), Some(20)), S(20));
    }

    #[test]
    fn s3_a_listing_that_begins_again_waits_longer_each_time_until_a_cursor_has_served() {
        let mut course = Course::default();
        let pauses: Vec<_> = (0..4).map(|_| course.restarted(1.0).as_secs()).collect();
        assert_eq!(pauses, [0, 4, 8, 16]);
        course.served();
        assert_eq!(course.restarted(1.0), S(0));
    }

    #[test]
    fn s7_pages_that_bring_nothing_are_slowed_down_and_end() {
        let mut course = Course::default();
        let mut minute = (0_u32, Duration::ZERO);
        for n in 1..BARREN_MOST {
            let pause = course.paged(true).unwrap();
            assert_eq!(pause == S(0), n <= BARREN_FREE, "{n}");
            minute.1 += pause;
            minute.0 += u32::from(minute.1 < S(60));
        }
        assert!(minute.0 <= 60, "{} calls in the first minute", minute.0);
        assert_eq!(course.paged(true), None);
        for _ in 0..BARREN_FREE * 2 {
            course.paged(true);
        }
        assert!(course.is_slowed());
        assert_eq!(course.paged(false), Some(S(0)), "something new came");
        assert!(!course.is_slowed());
    }

    #[test]
    fn c7_a_missing_folder_is_looked_for_every_minute_at_least() {
        let mut course = Course::default();
        let pauses: Vec<_> = (0..8).map(|_| course.missing().as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
