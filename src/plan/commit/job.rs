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

/// After a reply that cannot be read, as the one before it: an entry is to blame, and to wait as long for each part of its batch would hold up all
/// others.
const REPEATED: Duration = Duration::from_secs(2);

/// A job that the server says it does not know, each time it is asked, is gone after so long: that answer passes, too, but not for as long as this.
const UNKNOWN: Duration = Duration::from_secs(20);

/// A call whose reply was lost, was a gateway's error or never came since the daemon stopped may have begun a job that nobody can name. Nothing else is
/// committed for so long, unless Dropbox shows before that the job has ended. Jobs of more than a minute are rare, and a call that never arrived, which
/// looks the same from here, is not: it must not stop an account for as long as a job that is known to have begun.
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
    /// The reply that would have named it cannot be read, as the one before it.
    Repeated,
    /// The server was too busy to take the call (503): most likely no job was begun.
    Busy,
}

impl Said {
    /// What is true of a job of which this is all that was said until its time was over.
    pub fn over(self) -> &'static str {
        match self {
            Self::InProgress => "a commit job is said to run for far longer than any takes",
            Self::Nothing => "Dropbox has not said for long whether a commit job has ended",
            Self::Unknown => "Dropbox does not know a commit job any more",
            Self::Lost | Self::Repeated | Self::Busy => {
                "a commit that may have begun a job without a known name has had the time to end"
            }
        }
    }
}

/// Useless answers of a job in a row. Times are counted from any moment, the same for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Useless {
    /// What the last one said, and since when all have said this.
    last: Option<(Said, Duration)>,
    /// When the first one came.
    first: Option<Duration>,
    asked: u32,
}

impl Useless {
    /// Another one came `at` this time. Gives the arguments of [`next`]: how many came before it, and how long this has been said. That the server
    /// knows no such job counts from when it began to say only this; any other answer from the first one that led nowhere, so that answers which
    /// change all the time come to an end as well.
    pub fn hear(&mut self, said: Said, at: Duration) -> (u32, Duration) {
        let first = *self.first.get_or_insert(at);
        let since = match self.last {
            Some((last, since)) if last == said => since,
            _ => at,
        };
        self.last = Some((said, since));
        let asked = self.asked;
        self.asked = asked.saturating_add(1);
        (asked, at.saturating_sub(if said == Said::Unknown { since } else { first }))
    }
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
    /// The same, after a second reply that cannot be read.
    pub repeated: Duration,
}

impl Limits {
    /// From `commit.job_deadline`.
    pub fn of(deadline: Duration) -> Self {
        Self {
            failing: deadline,
            running: deadline.saturating_mul(RUNNING_TIMES),
            unknown: deadline.min(UNKNOWN),
            lost: deadline.min(LOST),
            repeated: deadline.min(REPEATED),
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

/// Decides about a job that was asked for `asked` times before and said to run, or led nowhere, each time. `age` is how long that has been so: since it
/// was begun (or taken up again after a restart) if it runs, else as [`Useless`] counts.
pub fn next(said: Said, asked: u32, age: Duration, limits: Limits) -> Next {
    let (limit, longest) = match said {
        Said::InProgress => (limits.running, LONGEST_RUNNING),
        Said::Nothing => (limits.failing, LONGEST_FAILING),
        Said::Unknown => (limits.unknown, LONGEST_RUNNING),
        Said::Lost => (limits.lost, LONGEST_RUNNING),
        Said::Repeated | Said::Busy => (limits.repeated, LONGEST_RUNNING),
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
            (Said::Repeated, 0, MOMENT, Next::LookAndAsk(FIRST)),
            (Said::Repeated, 9, REPEATED, Next::GiveUp),
            (Said::Busy, 0, MOMENT, Next::LookAndAsk(FIRST)),
            (Said::Busy, 9, REPEATED, Next::GiveUp),
        ] {
            assert_eq!(next(said, asked, age, limits), expected, "{said:?} {asked} {age:?}");
        }
    }

    #[test]
    fn l1_what_was_said_before_is_no_evidence_of_what_is_said_now() {
        let limits = Limits::of(Duration::from_mins(10));
        let s = Duration::from_secs;
        // The answers to one job, when each came, and whether the last one ends it.
        let (nothing, unknown) = (Said::Nothing, Said::Unknown);
        for (answers, gives_up) in [
            (vec![(nothing, s(0)), (nothing, s(12)), (unknown, s(25))], false),
            (vec![(nothing, s(0)), (unknown, s(25)), (unknown, s(44))], false),
            (vec![(nothing, s(0)), (unknown, s(25)), (unknown, s(45))], true),
            (vec![(unknown, s(0)), (nothing, s(10)), (unknown, s(21))], false),
            (vec![(unknown, s(3)), (unknown, s(23))], true),
            (vec![(nothing, s(0)), (unknown, s(300)), (nothing, s(600))], true),
        ] {
            let mut useless = Useless::default();
            let mut last = None;
            for (n, (said, at)) in answers.iter().enumerate() {
                let (asked, age) = useless.hear(*said, *at);
                assert_eq!(asked as usize, n, "{answers:?}");
                last = Some(next(*said, asked, age, limits));
            }
            assert_eq!(last == Some(Next::GiveUp), gives_up, "{answers:?}");
        }
    }

    #[test]
    fn l1_no_pause_goes_past_the_end_of_the_patience() {
        let limits = Limits::of(Duration::from_secs(2));
        let Next::LookAndAsk(pause) = next(Said::Nothing, 30, Duration::from_millis(1_500), limits) else { panic!() };
        assert_eq!(pause, Duration::from_millis(500));
    }
}
