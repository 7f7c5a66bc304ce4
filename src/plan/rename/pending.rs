//! Whether a file that is to be deleted in Dropbox may only have been moved here: rows that nobody has looked at, read round by round.
//!
//! Where it went there is a row, and the worker that looks at that row proposes the move, which takes the deletion's place. So a deletion waits for
//! rows that were seen before it and that nobody has looked at. It does not wait for all of them, since with a long queue that would take hours:
//! only for those whose path holds an inode that base knows at another path where it is not any more. Those are looked at next. A row that was
//! looked at and waits for something holds no deletion, or two that wait for one another would do so for ever.

use std::collections::HashMap;

use crate::model::{JobId, Local, RelPath, Stat, UnixMs};
use crate::plan::delete::consent::Renamed;

/// What a whole round has found is believed for so long, in ms.
const BELIEVED_MS: i64 = 5_000;
/// So many rows of a folder are remembered as holding nothing that was elsewhere; those beyond are looked into again.
const REMEMBERED: usize = 100_000;

/// One folder's rows, read from the first to the last in as many steps as that takes. Times that end something are of a clock that only goes forward.
#[derive(Debug)]
pub struct Round {
    /// The last one read.
    after: JobId,
    /// The newest deletion when the round began: what came later is asked about in the next one.
    upto: UnixMs,
    /// One of those read may be where something went.
    moved: bool,
    /// When a round last ended without such a row, and up to which deletion.
    clean: Option<(i64, UnixMs)>,
    /// Rows, at their generations, whose paths hold nothing that base has elsewhere.
    news: HashMap<JobId, i64>,
}

impl Default for Round {
    fn default() -> Self {
        Self { after: JobId(i64::MIN), upto: UnixMs::MIN, moved: false, clean: None, news: HashMap::new() }
    }
}

impl Round {
    /// Whether the last round says enough of the deletions up to this one.
    pub fn is_clean(&self, newest: UnixMs, now: i64) -> bool {
        self.clean.is_some_and(|(at, upto)| newest <= upto && now.saturating_sub(at) < BELIEVED_MS)
    }

    /// From after which row on the next page is read.
    pub fn after(&self) -> JobId {
        self.after
    }

    /// The deletion up to which the next page is read.
    pub fn goes_up_to(&mut self, newest: UnixMs) -> UnixMs {
        if self.after == JobId(i64::MIN) {
            self.upto = newest;
        }
        self.upto
    }

    /// Whether a row has to be looked into: it was not, or was seen again since.
    pub fn is_unknown(&self, row: JobId, generation: i64) -> bool {
        self.news.get(&row) != Some(&generation)
    }

    /// A row's path holds nothing that was elsewhere.
    pub fn is_news(&mut self, row: JobId, generation: i64) {
        if self.news.len() < REMEMBERED {
            self.news.insert(row, generation);
        }
    }

    /// A page was read. Gives what is known of the deletions up to `newest` if it was the last one.
    pub fn read(&mut self, last: Option<JobId>, moved: bool, newest: UnixMs, now: i64) -> Option<Renamed> {
        self.moved |= moved;
        if let Some(last) = last {
            self.after = last;
            return None;
        }
        self.after = JobId(i64::MIN);
        let moved = std::mem::take(&mut self.moved);
        self.clean = (!moved).then_some((now, self.upto));
        // A page that was read before a deletion says nothing of that one: its row may have been where the file is now.
        Some(if moved {
            Renamed::Perhaps
        } else if newest > self.upto {
            Renamed::Unread
        } else {
            Renamed::No
        })
    }
}

/// What a row's path holds, as far as it may be where something went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A file: base is asked where it knows the inode.
    File(Stat),
    /// It cannot be seen, and so may be anything.
    Unseen,
    /// Nothing that could have been moved as a file.
    Nothing,
}

/// What a row's path holds.
pub fn holds(local: &Local) -> Holds {
    match local {
        Local::File(stat) => Holds::File(*stat),
        Local::Unknown(_) => Holds::Unseen,
        Local::Absent | Local::Dir | Local::Other(_) => Holds::Nothing,
    }
}

/// Whether a file at `path` is one that base knows at `from`, where `there` is what stands now: it is not there any more.
pub fn was_elsewhere(path: &RelPath, stat: &Stat, from: &RelPath, there: &Local) -> bool {
    from != path && !matches!(there, Local::File(there) if there.ino == stat.ino)
}

/// Whether a row that may be where something went holds deletions. In a worker's hands it is being looked at only for a moment; then it is on its way up.
pub fn counts(claimed: bool, looking: bool) -> bool {
    !claimed || looking
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Failure;

    #[test]
    fn l6_a_round_takes_as_many_steps_as_it_needs_and_is_believed_for_a_while() {
        let mut round = Round::default();
        assert!(!round.is_clean(7, 0));
        assert_eq!(round.goes_up_to(7), 7);
        assert_eq!(round.read(Some(JobId(1000)), false, 7, 0), None);
        assert_eq!(round.after, JobId(1000));
        // A row that was found in any of its steps counts to its end.
        assert_eq!(round.read(Some(JobId(2000)), true, 7, 0), None);
        assert_eq!(round.read(None, false, 7, 0), Some(Renamed::Perhaps));
        assert!(!round.is_clean(7, 0) && round.after == JobId(i64::MIN), "the next round begins anew");
        assert_eq!(round.goes_up_to(7), 7);
        assert_eq!(round.read(None, false, 7, 10), Some(Renamed::No));
        // Of a deletion that was staged after it a round says nothing.
        assert!(round.is_clean(7, 10) && !round.is_clean(8, 10));
        assert!(round.is_clean(7, 9 + BELIEVED_MS) && !round.is_clean(7, 10 + BELIEVED_MS));
        // Nor of one that was staged while it was under way.
        assert_eq!(round.goes_up_to(8), 8);
        assert_eq!(round.read(Some(JobId(1000)), false, 8, 10), None);
        assert_eq!(round.goes_up_to(9), 8);
        assert_eq!(round.read(None, false, 9, 10), Some(Renamed::Unread));
        assert!(round.is_clean(8, 10) && !round.is_clean(9, 10));
        assert_eq!(round.goes_up_to(9), 9);
    }

    #[test]
    fn l6_only_what_left_its_old_place_holds_a_deletion() {
        let path = |text: &str| RelPath::parse(text).unwrap();
        let stat = Stat { size: 1, mtime_ns: 1, ctime_ns: 1, ino: 7, dev: 1 };
        let other = Local::File(Stat { ino: 8, ..stat });
        let unknown = Local::Unknown(Failure::retry("io_error", "x"));
        for (from, there, elsewhere) in [
            ("old", &Local::Absent, true),
            ("old", &Local::Dir, true),
            ("old", &other, true),
            ("old", &unknown, true),
            ("old", &Local::File(stat), false),
            ("new", &Local::Absent, false),
        ] {
            assert_eq!(was_elsewhere(&path("new"), &stat, &path(from), there), elsewhere, "{from} {there:?}");
        }
        assert_eq!(holds(&Local::File(stat)), Holds::File(stat));
        assert_eq!(holds(&unknown), Holds::Unseen);
        for local in [Local::Absent, Local::Dir, Local::Other("a symlink")] {
            assert_eq!(holds(&local), Holds::Nothing);
        }
        assert!(counts(false, false) && counts(false, true) && counts(true, true) && !counts(true, false));
        let mut round = Round::default();
        assert!(round.is_unknown(JobId(1), 4));
        round.is_news(JobId(1), 4);
        assert!(!round.is_unknown(JobId(1), 4) && round.is_unknown(JobId(1), 5), "it was seen again");
    }
}
