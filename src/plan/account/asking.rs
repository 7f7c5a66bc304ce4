//! When Dropbox is asked about an account that works: whose it is, and how much space is in use. Times are since some beginning, by a clock that nobody sets.
//!
//! Each question has its own time, which nothing that happens meanwhile puts off: on a busy device there is always another commit.

use std::time::Duration;

/// How often the account is asked for, and with it the space in use.
pub const ACCOUNT_EVERY: Duration = Duration::from_mins(15);
/// How long after a commit the space is asked for, and how often at most.
pub const SPACE_AFTER: Duration = Duration::from_secs(1);
/// See [`SPACE_AFTER`].
pub const SPACE_AT_MOST: Duration = Duration::from_mins(1);
/// How often the space of a full account is asked for: at first, and at most.
pub const ROOM: Duration = Duration::from_secs(2);
/// See [`ROOM`].
pub const ROOM_AT_MOST: Duration = Duration::from_mins(2);

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Whose account it is, and which namespace its paths are in.
    Account,
    /// The space in use, since that has changed here.
    Space,
    /// Whether a full account has room by now.
    Room,
}

/// When which question is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asking {
    account: Duration,
    /// When the space is asked for because of a commit, and when that was done last.
    space: Option<Duration>,
    asked: Option<Duration>,
    /// While the account is full: when it is asked for room, and the pause before that.
    room: Option<(Duration, Duration)>,
}

impl Asking {
    /// The account is known as of now.
    pub fn new(now: Duration) -> Self {
        Self { account: now + ACCOUNT_EVERY, ..Self::default() }
    }

    /// Something was committed.
    pub fn committed(&mut self, now: Duration) {
        let least = self.asked.map_or(Duration::ZERO, |asked| (asked + SPACE_AT_MOST).saturating_sub(now));
        self.space.get_or_insert(now + SPACE_AFTER.max(least));
    }

    /// Whether the account is full.
    pub fn full(&mut self, full: bool, now: Duration) {
        if full {
            self.room.get_or_insert((now + ROOM, ROOM));
        } else {
            self.room = None;
        }
    }

    /// The next question, and when it is due.
    pub fn next(&self) -> (Duration, Ask) {
        let account = (self.account, Ask::Account);
        let other = match self.room {
            // That is asked the same, and more often.
            Some((at, _)) => Some((at, Ask::Room)),
            None => self.space.map(|at| (at, Ask::Space)),
        };
        other.filter(|(at, _)| *at <= account.0).unwrap_or(account)
    }

    /// This was asked.
    pub fn asked(&mut self, ask: Ask, now: Duration) {
        match ask {
            Ask::Account => self.account = now + ACCOUNT_EVERY,
            Ask::Space => (self.space, self.asked) = (None, Some(now)),
            Ask::Room => {
                if let Some((at, pause)) = &mut self.room {
                    *pause = (*pause * 2).min(ROOM_AT_MOST);
                    *at = now + *pause;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Asks what is due, second by second, with a commit in each that is a multiple of `every`.
    fn run(asking: &mut Asking, seconds: std::ops::Range<u64>, every: u64) -> Vec<(u64, Ask)> {
        let mut told = Vec::new();
        for now in seconds {
            if now.is_multiple_of(every) {
                asking.committed(s(now));
            }
            while let (at, ask) = asking.next()
                && at <= s(now)
            {
                asking.asked(ask, s(now));
                told.push((now, ask));
            }
        }
        told
    }

    #[test]
    fn commits_do_not_put_off_what_is_asked() {
        // Seconds between commits, from and to when the account is full, and how often the account, the space and the room are asked for in an hour.
        let cases = [
            (u64::MAX, None, [3, 0, 0]),
            (1, None, [3, 60, 0]),
            (600, None, [3, 5, 0]),
            (1, Some(0..3600), [3, 0, 34]),
            (u64::MAX, Some(0..3600), [3, 0, 34]),
        ];
        for (every, full, expected) in cases {
            let mut asking = Asking::new(s(0));
            asking.full(full.is_some(), s(0));
            let told = run(&mut asking, 1..3600, every);
            let count = |wanted| told.iter().filter(|(_, ask)| *ask == wanted).count();
            assert_eq!([count(Ask::Account), count(Ask::Space), count(Ask::Room)], expected, "{every}: {told:?}");
            let of_account: Vec<_> = told.iter().filter(|(_, ask)| *ask == Ask::Account).map(|(at, _)| *at).collect();
            assert_eq!(of_account, [900, 1800, 2700], "{every}");
        }
    }

    #[test]
    fn an_account_with_room_is_asked_for_space_soon_after_a_commit_and_once_a_minute_at_most() {
        let mut asking = Asking::new(s(0));
        assert_eq!(run(&mut asking, 1..62, 1), [(2, Ask::Space)]);
        assert_eq!(run(&mut asking, 62..63, 1), [(62, Ask::Space)]);
        // What was committed while it was full is asked for when that is over.
        asking.full(true, s(63));
        asking.full(true, s(64));
        assert_eq!(asking.next(), (s(65), Ask::Room));
        asking.committed(s(64));
        asking.asked(Ask::Room, s(65));
        assert_eq!(asking.next(), (s(69), Ask::Room));
        asking.full(false, s(200));
        assert_eq!(asking.next(), (s(122), Ask::Space));
    }
}
