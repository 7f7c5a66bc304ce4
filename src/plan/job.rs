//! When a commit job is believed to have ended although the server does not say so.
//!
//! "For the same account, this route should be executed serially" (`files.stone`, `upload_session/finish_batch`): a second commit beside one that
//! still runs fails entries of both. So a question that fails says nothing about the job, and the job is asked for again, with growing pauses.
//! What Dropbox holds at the batch's last path tells of its end, too. Only after [`Limits::failing`] without either is a job given up that cannot
//! be asked for, and after [`Limits::running`] one that is said to run all the while.

use std::time::Duration;

/// The first pause after a question, and the longest.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST_RUNNING: Duration = Duration::from_secs(5);
const LONGEST_FAILING: Duration = Duration::from_secs(30);
/// What Dropbox holds says nothing of a job that is younger.
const MOMENT: Duration = Duration::from_secs(1);
/// A job that is said to run is given this many times the patience of one that cannot be asked for.
const RUNNING_TIMES: u32 = 3;

/// A job that the server says it does not know, each time it is asked, is gone after so long: that answer passes, too, but not for as long as this.
const UNKNOWN: Duration = Duration::from_secs(20);

/// A call whose reply was lost may have begun a job that nobody can name. Nothing else is committed for so long, unless Dropbox shows before that the
/// job has ended. Jobs of more than a minute are rare, and a call that never arrived, which looks the same from here, is not: it must not stop an
/// account for as long as a job that is known to have begun.
const LOST: Duration = Duration::from_mins(1);

/// What the server said of a job that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It runs.
    InProgress,
    /// The question itself failed: the job may run, may have ended, or may never have been.
    Nothing,
    /// It knows no such job.
    Unknown,
    /// The reply that would have named it was lost.
    Lost,
}

/// How long a job is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// One that cannot be asked for.
    pub failing: Duration,
    /// One that is said to run.
    pub running: Duration,
    /// One that the server does not know.
    pub unknown: Duration,
    /// One that cannot be named, and may never have begun.
    pub lost: Duration,
}

impl Limits {
    /// From `commit.job_deadline`.
    pub fn of(deadline: Duration) -> Self {
        Self {
            failing: deadline,
            running: deadline.saturating_mul(RUNNING_TIMES),
            unknown: deadline.min(UNKNOWN),
            lost: deadline.min(LOST),
        }
    }
}

/// What to do next about a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Ask again after this pause.
    Ask(Duration),
    /// Look whether Dropbox holds what the batch's last entry says; if it does, the job has ended. Else ask again after this pause.
    LookAndAsk(Duration),
    /// It is taken for ended, and its entries are looked up one by one.
    GiveUp,
}

/// Decides about a job that was asked for `asked` times before with the same kind of answer in a row. `age` is how long it has been asked for: since it
/// was begun (or taken up again after a restart) if it runs, else since the first of those answers.
pub fn next(said: Said, asked: u32, age: Duration, limits: Limits) -> Next {
    let (limit, longest) = match said {
        Said::InProgress => (limits.running, LONGEST_RUNNING),
        Said::Nothing => (limits.failing, LONGEST_FAILING),
        Said::Unknown => (limits.unknown, LONGEST_RUNNING),
        Said::Lost => (limits.lost, LONGEST_RUNNING),
    };
    if age >= limit {
        return Next::GiveUp;
    }
    let growth = 1.5_f64.powi(i32::try_from(asked.min(40)).unwrap_or(40));
    let pause = FIRST.mul_f64(growth).min(longest).min(limit.saturating_sub(age)).max(FIRST);
    // What is there a moment after the call may have been there before it. A job that runs longer than usual may have done its work and be stuck.
    let looks_after = if said == Said::InProgress { limits.failing } else { MOMENT.min(limit / 2) };
    if age >= looks_after { Next::LookAndAsk(pause) } else { Next::Ask(pause) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l1_a_job_is_asked_for_until_its_end_is_known() {
        let limits = Limits::of(Duration::from_mins(10));
        let min = Duration::from_mins;
        for (said, asked, age, expected) in [
            (Said::InProgress, 0, Duration::ZERO, Next::Ask(FIRST)),
            (Said::InProgress, 30, min(9), Next::Ask(LONGEST_RUNNING)),
            // Longer than usual: perhaps it is done.
            (Said::InProgress, 99, min(10), Next::LookAndAsk(LONGEST_RUNNING)),
            (Said::InProgress, 99, min(29), Next::LookAndAsk(LONGEST_RUNNING)),
            (Said::InProgress, 99, min(30), Next::GiveUp),
            // One question that fails ends nothing, and neither do many.
            (Said::Nothing, 0, Duration::ZERO, Next::Ask(FIRST)),
            (Said::Nothing, 0, MOMENT, Next::LookAndAsk(FIRST)),
            (Said::Nothing, u32::MAX, min(5), Next::LookAndAsk(LONGEST_FAILING)),
            (Said::Nothing, 99, min(10), Next::GiveUp),
            (Said::Unknown, 99, MOMENT, Next::LookAndAsk(LONGEST_RUNNING)),
            (Said::Unknown, 99, UNKNOWN, Next::GiveUp),
            (Said::Lost, 0, Duration::ZERO, Next::Ask(FIRST)),
            (Said::Lost, 99, Duration::from_secs(30), Next::LookAndAsk(LONGEST_RUNNING)),
            (Said::Lost, 99, LOST, Next::GiveUp),
        ] {
            assert_eq!(next(said, asked, age, limits), expected, "{said:?} {asked} {age:?}");
        }
    }

    #[test]
    fn l1_no_pause_goes_past_the_end_of_the_patience() {
        let limits = Limits::of(Duration::from_secs(2));
        let Next::LookAndAsk(pause) = next(Said::Nothing, 30, Duration::from_millis(1_500), limits) else { panic!() };
        assert_eq!(pause, Duration::from_millis(500));
    }
}
