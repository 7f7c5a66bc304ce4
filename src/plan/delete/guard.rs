//! The guard: a mass deletion waits for a person.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::plan::delete::burst::Late;

/// The limits of `[safety]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// At most this many deletions.
    pub max_deletions: u64,
    /// At most this share of the folder's files, `0.0..=1.0`.
    pub max_share: f64,
}

/// Below this many deletions the share is not looked at: half of a folder of four files is no disaster, and it happens every day.
/// Everything that a folder has is always too much, unless it is one file.
const SHARE_FROM: u64 = 50;

/// Why a set of deletions is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Deletions that wait.
    pub waiting: u64,
    /// They are held for being all that the folder has, and nothing else: the most of them that were. That is weighed again when other files come.
    pub all: Option<u64>,
    /// One sentence: what is held, by which limit, and what to do.
    pub reason: String,
}

/// How a folder stands when the guard is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Deletions that wait.
    pub waiting: u64,
    /// Deletions that went of late.
    pub recent: u64,
    /// Files in sync, those that wait among them.
    pub files: u64,
    /// Files in sync that came down while the others went, and that are here to stay: they say nothing of what a person keeps here.
    pub arrived: u64,
    /// These deletions, or more of them, were held before and nobody has decided.
    pub before: Before,
    /// Nothing that is synced is left in the folder: what was there a moment ago may not even be counted yet.
    pub empty: bool,
}

/// What was held before of the deletions that wait, while nobody has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    Nothing,
    /// So many, since that was all the folder had: with more files beside them it is not. Files that come back one by one do not set the others
    /// free, so that the most that were held are weighed.
    All(u64),
    /// They are too many, or the folder was empty: they are held until they are back, or a person decides.
    TooMany,
}

/// Whether `waiting` deletions may go, when `recent` ones went of late and `files` are in sync (those that wait among them).
/// Recent ones count too, or a slow mass deletion would pass in slices.
///
/// # Errors
/// [`Held`] with the limit that was met.
pub fn check(asked: Asked, limits: Limits) -> Result<(), Held> {
    let Asked { waiting, recent, files, arrived, before: held, empty } = asked;
    let gone = waiting.saturating_add(recent);
    let before = files.saturating_add(recent);
    #[expect(clippy::cast_precision_loss, reason = "a share of 2^53 files needs no more digits")]
    let share = if before == 0 { 0.0 } else { gone as f64 / before as f64 };
    let most = if let Before::All(most) = held { waiting.max(most) } else { waiting };
    // Whoever lets all of a folder go is not asked about all of it.
    let asks_of_all = limits.max_share < 1.0;
    let mut all = false;
    let limit = if gone > limits.max_deletions {
        format!("safety.max_deletions = {}", limits.max_deletions)
    } else if gone > SHARE_FROM && share > limits.max_share {
        format!("safety.max_deletion_share = {:.0}%", limits.max_share * 100.0)
    } else if asks_of_all && empty && files > 1 {
        "that is all the folder has".to_owned()
    } else if asks_of_all && waiting > 0 && most > 1 && most.saturating_add(arrived) >= files {
        all = held != Before::TooMany;
        "that is all the folder has".to_owned()
    } else if held == Before::TooMany {
        "what is left of those that were held before".to_owned()
    } else {
        return Ok(());
    };
    Err(Held {
        waiting,
        all: all.then_some(most),
        reason: format!(
            "{waiting} deletions are held ({limit}; {before} files were in sync): put the files back, and nothing happens"
        ),
    })
}

/// What one run of pages would do to the files of one folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wave {
    /// Files that would go.
    pub gone: u64,
    /// Files that would get another content.
    pub replaced: u64,
    /// Files in sync.
    pub files: u64,
}

/// Whether so many files may go or be overwritten here at once. Somebody else's mass restore, or a program that encrypts everything, looks like
/// a mass deletion: most of what there was is not there any more. `late` is the same with what came down before it, since slices add up.
///
/// # Errors
/// Which limit was met.
pub fn inbound(wave: Wave, late: Late, limits: Limits) -> Result<(), String> {
    let here = wave.gone.saturating_add(wave.replaced);
    if here == 0 {
        return Ok(());
    }
    let (gone, files) = (late.gone.max(wave.gone), late.files.max(wave.files));
    let all = late.changed.max(here);
    #[expect(clippy::cast_precision_loss, reason = "a share of 2^53 files needs no more digits")]
    let share = if files == 0 { 0.0 } else { all as f64 / files as f64 };
    if gone > limits.max_deletions {
        Err(format!("safety.max_deletions = {}", limits.max_deletions))
    } else if all > SHARE_FROM && share > limits.max_share {
        Err(format!("safety.max_deletion_share = {:.0}%", limits.max_share * 100.0))
    } else if wave.gone > 1 && wave.gone >= wave.files {
        Err("that is all the folder has".to_owned())
    } else {
        Ok(())
    }
}

/// Names one exact set of deletions: the same paths at the same revisions, in the order of the paths, under the same salt.
#[derive(Debug, Clone)]
pub struct Seal(Sha256);

impl Seal {
    /// An empty set.
    pub fn new(salt: &str) -> Self {
        let mut seal = Self(Sha256::new());
        seal.word(salt);
        seal
    }

    /// One more deletion; paths come in order.
    pub fn add(&mut self, path: &str, rev: &str) {
        self.word(path);
        self.word(rev);
    }

    /// The length first, so that no two sets run into the same bytes.
    fn word(&mut self, word: &str) {
        self.0.update((word.len() as u64).to_be_bytes());
        self.0.update(word);
    }

    /// The set's name: 16 hexadecimal digits.
    pub fn token(self) -> String {
        self.0.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// A file at a revision, as it is remembered where its deletion is agreed to before anything was staged for it: another content under the same name is
/// not meant. Eight bytes for each file.
pub fn digest(path: &str, rev: &str) -> u64 {
    let mut seal = Seal::new(path);
    seal.word(rev);
    seal.0.finalize().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { max_deletions: 1_000, max_share: 0.25 };

    fn check(waiting: u64, recent: u64, files: u64, limits: Limits) -> Result<(), Held> {
        super::check(Asked { waiting, recent, files, arrived: 0, before: Before::Nothing, empty: false }, limits)
    }

    #[test]
    fn an_emptied_folder_is_held_however_few_files_are_counted() {
        let asked = Asked { waiting: 12, recent: 0, files: 15, arrived: 0, before: Before::Nothing, empty: true };
        assert!(super::check(asked, LIMITS).unwrap_err().all.is_none());
        super::check(Asked { empty: false, ..asked }, LIMITS).unwrap();
        assert!(super::check(Asked { empty: false, before: Before::TooMany, ..asked }, LIMITS).is_err());
        super::check(Asked { waiting: 1, files: 1, ..asked }, LIMITS).unwrap();
        // What comes down into an emptied folder does not make it any less emptied.
        assert!(super::check(Asked { empty: false, arrived: 3, ..asked }, LIMITS).is_err());
        super::check(Asked { empty: false, arrived: 2, ..asked }, LIMITS).unwrap();
    }

    #[test]
    fn c3_all_that_the_folder_has_is_weighed_again_and_obeys_a_limit_that_is_off() {
        let asked = Asked { waiting: 4, recent: 0, files: 4, arrived: 0, before: Before::Nothing, empty: false };
        let held = super::check(asked, LIMITS).unwrap_err();
        assert_eq!(held.all, Some(4));
        // Files that come back one by one set the last ones no more free than the first.
        let back = Asked { waiting: 2, before: Before::All(4), ..asked };
        assert_eq!(super::check(back, LIMITS).unwrap_err().all, Some(4));
        // Others that are here to stay do; those that came down meanwhile do not.
        super::check(Asked { files: 10, ..back }, LIMITS).unwrap();
        assert!(super::check(Asked { files: 10, arrived: 6, ..back }, LIMITS).is_err());
        // What was too much once stays so, and what is all of it by now is no less.
        assert!(super::check(Asked { files: 10, before: Before::TooMany, ..back }, LIMITS).is_err());
        assert!(super::check(Asked { before: Before::TooMany, ..back }, LIMITS).unwrap_err().all.is_none());
        // Switched off.
        let off = Limits { max_deletions: 1_000, max_share: 1.0 };
        super::check(asked, off).unwrap();
        super::check(Asked { empty: true, ..asked }, off).unwrap();
        assert!(super::check(Asked { waiting: 1_001, files: 1_001, ..asked }, off).is_err());
    }

    #[test]
    fn a_few_pass_and_many_do_not() {
        assert_eq!(check(1, 0, 1, LIMITS), Ok(()), "the only file may go");
        assert_eq!(check(2, 0, 4, LIMITS), Ok(()));
        assert_eq!(check(50, 0, 60, LIMITS), Ok(()));
        assert!(check(51, 0, 60, LIMITS).is_err());
        assert_eq!(check(1_000, 0, 1_000_000, LIMITS), Ok(()));
        assert!(check(1_001, 0, 1_000_000, LIMITS).unwrap_err().reason.contains("max_deletions = 1000"));
        assert!(check(4, 0, 4, LIMITS).unwrap_err().reason.contains("all the folder has"));
    }

    #[test]
    fn another_set_has_another_token() {
        let token = |salt: &str, set: &[(&str, &str)]| {
            let mut seal = Seal::new(salt);
            set.iter().for_each(|(path, rev)| seal.add(path, rev));
            seal.token()
        };
        let set = token("s", &[("a", "1"), ("b", "2")]);
        assert_eq!(set.len(), 16);
        assert_eq!(set, token("s", &[("a", "1"), ("b", "2")]));
        for other in [
            token("t", &[("a", "1"), ("b", "2")]),
            token("s", &[("a", "1"), ("b", "3")]),
            token("s", &[("a", "1")]),
            token("s", &[("a", "1b"), ("", "2")]),
        ] {
            assert_ne!(set, other);
        }
    }

    #[test]
    fn what_is_let_through_is_this_file_at_this_revision() {
        let one = digest("a", "1");
        assert_eq!(one, digest("a", "1"));
        for (path, rev) in [("a", "2"), ("c", "1"), ("a1", ""), ("", "a1")] {
            assert_ne!(digest(path, rev), one, "{path:?} {rev:?}");
        }
    }

    #[test]
    fn e12_overwriting_most_of_a_folder_is_held_like_deleting_it() {
        let wave = |gone, replaced, files| inbound(Wave { gone, replaced, files }, Late::default(), LIMITS);
        assert!(wave(0, 60, 100).unwrap_err().contains("25%"));
        assert!(wave(30, 30, 100).is_err());
        assert!(wave(1_001, 0, 1_000_000).unwrap_err().contains("max_deletions"));
        assert!(wave(4, 0, 4).unwrap_err().contains("all the folder has"));
        wave(0, 4, 4).unwrap();
        wave(0, 50, 60).unwrap();
        wave(0, 5_000, 1_000_000).unwrap();
        wave(1, 0, 1).unwrap();
    }

    #[test]
    fn e12_a_slice_is_weighed_with_those_before_it() {
        let slice = |here: u64, gone, changed, files| {
            inbound(Wave { gone: here, replaced: 0, files: 80 }, Late { gone, changed, files }, LIMITS)
        };
        slice(10, 10, 50, 100).unwrap();
        assert!(slice(10, 10, 51, 100).unwrap_err().contains("25%"));
        assert!(slice(10, 1_001, 1_001, 1_000_000).unwrap_err().contains("max_deletions"));
        slice(0, 1_001, 1_001, 1_000).unwrap();
    }

    #[test]
    fn slices_add_up() {
        assert!(check(10, 995, 1_000_000, LIMITS).is_err());
        assert!(check(1, 60, 100, LIMITS).is_err());
        assert_eq!(check(0, 0, 0, LIMITS), Ok(()));
    }
}
