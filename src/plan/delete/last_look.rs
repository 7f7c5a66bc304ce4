//! The last look at a path before its deletion goes to Dropbox: whether it is still meant.
//!
//! A deletion cannot be taken back by anyone who does not know of it. So every question must have been answered, and an answer that could not be
//! had refuses: the path is looked at again from the beginning.

use crate::model::{Base, Local, UnixMs};

/// What could not be judged, since the folder's root is away, is tried again after this long, in ms.
pub const AGAIN_MS: UnixMs = 2_000;

/// The folder's root on the disk, asked after the paths below it were looked at, on the handle that they were looked at through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// It is the one that was synced. As long as deletions only wait, it is enough that it can be looked into.
    Synced,
    /// It is away or another one: of its paths nothing can be said.
    Away,
}

/// What becomes of a staged deletion after the look at its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes, or waits on.
    Stays,
    /// It is no longer meant: its path is looked at again.
    Withdrawn,
    /// Nothing can be said: right before a call it leaves the batch for a while, and while it waits it stays as it is.
    Unknown,
}

/// What becomes of a deletion that is [`still_meant`], or is not, below this root.
pub fn fate(meant: bool, root: Root) -> Fate {
    match (root, meant) {
        (Root::Away, _) => Fate::Unknown,
        (Root::Synced, true) => Fate::Stays,
        (Root::Synced, false) => Fate::Withdrawn,
    }
}

/// What is to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A file, at this revision.
    File {
        /// Base's revision when the deletion was decided.
        rev: &'a str,
    },
    /// A folder, with all that is in it: no revision protects that.
    Folder,
}

/// What was found. An answer that could not be had is an `Err`.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a, E> {
    /// What stands there on the disk.
    pub local: &'a Local,
    /// What both sides agreed on for a file of this path.
    pub base: Result<Option<&'a Base>, E>,
    /// The path is left out by now, or it cannot be said whether it is.
    pub ignored: bool,
    /// The folder passes deletions on.
    pub passes: bool,
    /// Whether Dropbox has a folder there, or may have. Of a file it is not asked.
    pub folder: Result<bool, E>,
    /// Whether Dropbox's folder holds any file, as far as the listing goes; `None`: it cannot say at the moment. Of a file it is not asked.
    pub holds_files: Result<Option<bool>, E>,
}

/// Whether the deletion may still go.
pub fn still_meant<E>(target: Target<'_>, seen: &Seen<'_, E>) -> bool {
    if seen.ignored || !seen.passes {
        return false;
    }
    let Ok(base) = seen.base else { return false };
    match target {
        Target::File { rev } => {
            // A directory in its place: the file is gone all the same.
            base.is_some_and(|base| base.rev == rev) && matches!(seen.local, Local::Absent | Local::Dir)
        }
        Target::Folder => {
            base.is_none()
                && matches!(seen.local, Local::Absent | Local::File(_))
                && matches!(seen.folder, Ok(true))
                && matches!(seen.holds_files, Ok(Some(false)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContentHash, Failure, Stat};

    const STAT: Stat = Stat { size: 1, mtime_ns: 1, ctime_ns: 1, ino: 1, dev: 1 };

    fn base(rev: &str) -> Base {
        Base { stat: STAT, content_hash: ContentHash([0; 32]), rev: rev.to_owned(), file_id: None, remote: None }
    }

    #[test]
    fn an_unmounted_disk_says_nothing_of_its_files() {
        for (root, meant, expected) in [
            (Root::Synced, true, Fate::Stays),
            (Root::Synced, false, Fate::Withdrawn),
            (Root::Away, true, Fate::Unknown),
            (Root::Away, false, Fate::Unknown),
        ] {
            assert_eq!(fate(meant, root), expected, "{root:?} {meant}");
        }
    }

    /// Every combination of answers: only those with nothing open, and nothing there, let a deletion go.
    #[test]
    fn d8_every_doubt_refuses() {
        let (ours, other) = (base("1"), base("2"));
        let unknown = Local::Unknown(Failure::retry("io_error", "EIO"));
        let locals = [&Local::Absent, &Local::Dir, &Local::File(STAT), &Local::Other("a symlink"), &unknown];
        let bases = [Ok(Some(&ours)), Ok(Some(&other)), Ok(None), Err(())];
        let below = [Ok(Some(false)), Ok(Some(true)), Ok(None), Err(())];
        let mut meant = Vec::new();
        for (l, local) in locals.into_iter().enumerate() {
            for (b, base) in bases.into_iter().enumerate() {
                for (h, holds_files) in below.into_iter().enumerate() {
                    for (ignored, passes) in [(false, true), (true, true), (false, false)] {
                        let seen = Seen { local, base, ignored, passes, folder: Ok(true), holds_files };
                        for (is_file, target) in [(true, Target::File { rev: "1" }), (false, Target::Folder)] {
                            if still_meant(target, &seen) {
                                assert!(!ignored && passes);
                                meant.push((is_file, l, b, h));
                            }
                        }
                        for folder in [Ok(false), Err(())] {
                            assert!(!still_meant(Target::Folder, &Seen { folder, ..seen }));
                        }
                    }
                }
            }
        }
        meant.sort_unstable();
        let file = |local: usize| (0..4).map(move |h| (true, local, 0, h));
        let folders = [(false, 0, 2, 0), (false, 2, 2, 0)];
        assert_eq!(meant, folders.into_iter().chain(file(0)).chain(file(1)).collect::<Vec<_>>());
    }
}
