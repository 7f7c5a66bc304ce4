//! Whether a proposed rename is so, and can be made: the look at it just before it is staged, and again before its call.
//!
//! It destroys nothing, but what it says of the files must be true. What cannot be seen now is asked again ([`Stop::Later`]) for [`LONGEST`]; then
//! it is none, and the paths go their usual way.

use std::time::Duration;

use crate::model::{Base, Local, Mode, Remote};
use crate::plan::rename::detect::{Below, How, MOST, Old, Spelling, candidate, same_file};

/// Proposals wait this long for company: a worker looks at many rows at once.
const GATHER: Duration = Duration::from_millis(50);
/// A proposal that could not be looked at, or has others at work in its paths, for this long is none.
const LONGEST: Duration = Duration::from_secs(30);
/// What was at a new place may be told of elsewhere for so long, and longer while a scan runs.
const TOLD: Duration = Duration::from_secs(1);

/// Why a rename is not staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It is none, or it cannot be made.
    No,
    /// It cannot be said yet.
    Later,
}

/// How a folder stands in which renames are proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Folder {
    /// Others are staged already: they are settled first.
    pub moving: bool,
    /// The folder's root here is not the one that was synced.
    pub root_trouble: bool,
    /// The folder in Dropbox is not the one that was synced.
    pub remote_root_away: bool,
    /// A scan is under way or asked for.
    pub scanning: bool,
}

/// Whether the proposals of a folder, of these ages, are looked at now. A scan is waited for as long as all of them are younger than `scanning`: the
/// rows that it makes below a renamed directory then go with the move.
pub fn may_stage(ages: &[Duration], folder: Folder, scanning: Duration) -> bool {
    let gathers = ages.iter().any(|age| *age < GATHER) && ages.iter().all(|age| *age < GATHER * 10);
    let fresh = ages.iter().all(|age| *age < scanning);
    !(gathers || folder.moving || folder.root_trouble || folder.remote_root_away || folder.scanning && fresh)
}

/// Whether a proposal of this age is given up, if it cannot be looked at or others are at work in its paths.
pub fn is_given_up(age: Duration) -> bool {
    age >= LONGEST
}

/// Whether it may yet be told of elsewhere where the thing at a new place has gone.
pub fn may_be_told(scanning: bool, age: Duration) -> bool {
    scanning || age < TOLD
}

/// Whether the new place is free of what base knows there: nothing is, or it leaves first (`leaves`).
///
/// # Errors
/// It is not; or not yet, if it may yet be told of elsewhere (`told`).
pub fn is_new(agreed: bool, leaves: bool, told: bool) -> Result<(), Stop> {
    match (agreed && !leaves, told) {
        (false, _) => Ok(()),
        (true, true) => Err(Stop::Later),
        (true, false) => Err(Stop::No),
    }
}

/// A directory that was renamed, as the disk shows it.
#[derive(Debug, Clone, Copy)]
pub struct Dir<'a> {
    /// What stood at the old path before the files were looked at.
    pub old: &'a Local,
    /// What stands there after that.
    pub old_after: &'a Local,
    /// What stands at the new path.
    pub new: &'a Local,
    /// What has become of the files of base; `None`: one of them cannot be seen.
    pub below: Option<Below>,
    /// How the two paths differ.
    pub spelling: Spelling,
    /// The root is the one that was synced, asked after all that.
    pub root_synced: bool,
}

/// Whether the disk shows that the directory was renamed.
///
/// # Errors
/// It does not, or something changed meanwhile.
pub fn dir(facts: Dir<'_>) -> Result<(), Stop> {
    let Some(below) = facts.below else { return Err(Stop::Later) };
    if !facts.root_synced || facts.old_after != facts.old {
        return Err(Stop::Later);
    }
    // One folder in Dropbox, whatever is in it.
    let one = facts.spelling == Spelling::Letters && below.all() <= MOST;
    let has_left = *facts.old == Local::Absent || *facts.old == Local::Dir && !one;
    let is_so = has_left && *facts.new == Local::Dir && (below.is_moved() || one);
    if is_so { Ok(()) } else { Err(Stop::No) }
}

/// Whether Dropbox has a folder where the directory was. `None`: the listing has to catch up first.
///
/// # Errors
/// It has not, or it is not known yet.
pub fn dir_there(remote: Option<&Remote>) -> Result<(), Stop> {
    match remote {
        None => Err(Stop::Later),
        Some(Remote::Folder | Remote::Unlisted) => Ok(()),
        Some(Remote::File { .. } | Remote::Absent) => Err(Stop::No),
    }
}

/// A file that was renamed, as the disk shows it.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// What base knows at the old path.
    pub base: &'a Base,
    /// What stands at the new path.
    pub new: &'a Local,
    /// What stands at the old one.
    pub old: Old,
    /// The folder's mode.
    pub mode: Mode,
    /// What was proposed.
    pub how: How,
    /// The root is the one that was synced, asked after all that.
    pub root_synced: bool,
}

/// Whether the disk shows that the file was renamed.
///
/// # Errors
/// It does not, or something cannot be seen.
pub fn file(facts: File<'_>) -> Result<(), Stop> {
    let Local::File(now) = facts.new else { return Err(Stop::No) };
    if !facts.root_synced || facts.old == Old::Unknown {
        return Err(Stop::Later);
    }
    match (candidate(facts.base, now, facts.old, facts.mode), facts.how) {
        (Some(How::Move), _) | (Some(How::Copy), How::Copy) => Ok(()),
        // What is to be a move must not leave the old place as it is.
        (Some(How::Copy), How::Move) | (None, _) => Err(Stop::No),
    }
}

/// Whether Dropbox has the very file where base says. `None`: the listing has to catch up first.
///
/// # Errors
/// It has not, or it is not known yet.
pub fn file_there(base: &Base, how: How, remote: Option<&Remote>) -> Result<(), Stop> {
    let is_it = match remote {
        None => return Err(Stop::Later),
        Some(Remote::Unlisted) => true,
        Some(Remote::File { content_hash, .. }) if how == How::Copy => *content_hash == Some(base.content_hash),
        Some(Remote::File { id, rev, .. }) => base.file_id.as_ref().map_or(*rev == base.rev, |known| known == id),
        Some(Remote::Absent | Remote::Folder) => false,
    };
    if is_it { Ok(()) } else { Err(Stop::No) }
}

/// Whether nothing is known to be at the new place in Dropbox, which is the judge of that itself.
///
/// # Errors
/// Something is.
pub fn is_free(remote: &Remote) -> Result<(), Stop> {
    match remote {
        Remote::Absent | Remote::Unlisted => Ok(()),
        Remote::File { .. } | Remote::Folder => Err(Stop::No),
    }
}

/// A staged move or copy, looked at again.
#[derive(Debug, Clone, Copy)]
pub struct Staged<'a> {
    /// What base had; `None`: a directory.
    pub base: Option<&'a Base>,
    /// What stands at the new path.
    pub new: &'a Local,
    /// A copy of another file with the same content: whether that still has it. `None`: it is no such copy.
    pub has_source: Option<bool>,
    /// Of a directory, whether the old path is empty, or most of it is below the new one.
    pub has_left: bool,
    /// The root is the one that was synced, asked after all that.
    pub root_synced: bool,
}

/// Whether a staged move is still what the disk says. One that is halfway is not asked: it has to go on, whatever became of it here.
pub fn is_still_so(staged: Staged<'_>) -> bool {
    let is_so = match (staged.base, staged.new, staged.has_source) {
        // It was read as it was then: any other time says nothing of its content.
        (Some(base), Local::File(now), Some(has_source)) => has_source && base.stat == *now,
        (Some(base), Local::File(now), None) => same_file(base, now),
        (None, Local::Dir, _) => staged.has_left,
        _ => false,
    };
    is_so && staged.root_synced
}

/// Whether a directory may have been renamed, if so many of the files that were asked for (`asked`) are at the new path: most of them.
pub fn seems_moved(there: usize, asked: usize) -> bool {
    there.saturating_mul(2) > asked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContentHash, Failure, Stat};

    const STAT: Stat = Stat { size: 5, mtime_ns: 1, ctime_ns: 1, ino: 1, dev: 1 };

    fn base() -> Base {
        Base {
            stat: STAT,
            content_hash: ContentHash([1; 32]),
            rev: "1".into(),
            file_id: Some("a".into()),
            remote: None,
        }
    }

    fn there(id: &str, rev: &str, hash: u8) -> Remote {
        Remote::File { content_hash: Some(ContentHash([hash; 32])), rev: rev.into(), size: 5, id: id.into() }
    }

    fn unknown() -> Local {
        Local::Unknown(Failure::retry("io_error", "x"))
    }

    #[test]
    fn proposals_wait_for_company_and_for_scans_and_not_for_ever() {
        let (ms, scanning) = (Duration::from_millis, Duration::from_millis(2_500));
        let stages =
            |ages: &[u64], folder| may_stage(&ages.iter().map(|age| ms(*age)).collect::<Vec<_>>(), folder, scanning);
        let free = Folder::default();
        assert!(!stages(&[10, 100], free) && stages(&[60, 100], free));
        assert!(stages(&[10, 500], free), "the oldest has waited long enough");
        let scans = Folder { scanning: true, ..free };
        assert!(!stages(&[2_000, 2_400], scans) && stages(&[2_000, 2_500], scans));
        for folder in [
            Folder { moving: true, ..free },
            Folder { root_trouble: true, ..free },
            Folder { remote_root_away: true, ..free },
        ] {
            assert!(!stages(&[60_000], folder), "{folder:?}");
        }
        assert!(!is_given_up(ms(29_999)) && is_given_up(LONGEST));
        assert!(may_be_told(true, LONGEST) && may_be_told(false, ms(999)) && !may_be_told(false, TOLD));
        assert_eq!(is_new(false, false, false), Ok(()));
        assert_eq!(is_new(true, true, false), Ok(()));
        assert_eq!(is_new(true, false, true), Err(Stop::Later));
        assert_eq!(is_new(true, false, false), Err(Stop::No));
    }

    /// Every pair of what may stand at both paths, with the files below as they should be, and not.
    #[test]
    fn a_directory_was_renamed_only_if_most_of_it_is_there() {
        let all = [Local::Absent, Local::Dir, Local::File(STAT), Local::Other("a symlink"), unknown()];
        let moved = Below { same: 9, ..Below::default() };
        let other = Below { changed: 9, ..Below::default() };
        let too_many = Below { same: MOST + 1, ..Below::default() };
        for old in &all {
            for new in &all {
                for (below, spelling, so) in [
                    (moved, Spelling::Other, true),
                    (moved, Spelling::Letters, *old == Local::Absent),
                    (other, Spelling::Other, false),
                    (other, Spelling::Letters, *old == Local::Absent),
                    (too_many, Spelling::Letters, false),
                ] {
                    let facts = Dir { old, old_after: old, new, below: Some(below), spelling, root_synced: true };
                    let stands = matches!(old, Local::Absent | Local::Dir) && *new == Local::Dir;
                    let expected = if stands && so { Ok(()) } else { Err(Stop::No) };
                    assert_eq!(dir(facts), expected, "{facts:?}");
                    assert_eq!(dir(Dir { below: None, ..facts }), Err(Stop::Later));
                    assert_eq!(dir(Dir { root_synced: false, ..facts }), Err(Stop::Later));
                    for after in all.iter().filter(|after| *after != old) {
                        assert_eq!(dir(Dir { old_after: after, ..facts }), Err(Stop::Later));
                    }
                }
            }
        }
    }

    #[test]
    fn a_file_was_renamed_only_if_it_is_the_very_one() {
        let base = base();
        let same = Local::File(Stat { ctime_ns: 7, ..STAT });
        let edited = Local::File(Stat { mtime_ns: 7, ..STAT });
        let facts = |new, old, how| File { base: &base, new, old, mode: Mode::TwoWay, how, root_synced: true };
        for (new, old, how, expected) in [
            (&same, Old::Left, How::Move, Ok(())),
            (&same, Old::Linked, How::Copy, Ok(())),
            (&same, Old::Left, How::Copy, Ok(())),
            (&same, Old::Linked, How::Move, Err(Stop::No)),
            (&same, Old::Unknown, How::Move, Err(Stop::Later)),
            (&edited, Old::Left, How::Move, Err(Stop::No)),
            (&Local::Absent, Old::Left, How::Move, Err(Stop::No)),
            (&Local::Dir, Old::Unknown, How::Move, Err(Stop::No)),
        ] {
            assert_eq!(file(facts(new, old, how)), expected, "{new:?} {old:?} {how:?}");
        }
        let away = File { root_synced: false, ..facts(&same, Old::Left, How::Move) };
        assert_eq!(file(away), Err(Stop::Later));
    }

    #[test]
    fn dropbox_has_to_have_what_base_says() {
        let base = base();
        for (remote, dir, moved, copied) in [
            (None, Err(Stop::Later), Err(Stop::Later), Err(Stop::Later)),
            (Some(Remote::Unlisted), Ok(()), Ok(()), Ok(())),
            (Some(Remote::Folder), Ok(()), Err(Stop::No), Err(Stop::No)),
            (Some(Remote::Absent), Err(Stop::No), Err(Stop::No), Err(Stop::No)),
            (Some(there("a", "1", 1)), Err(Stop::No), Ok(()), Ok(())),
            // Edited there: the very file all the same.
            (Some(there("a", "2", 2)), Err(Stop::No), Ok(()), Err(Stop::No)),
            (Some(there("b", "1", 1)), Err(Stop::No), Err(Stop::No), Ok(())),
        ] {
            assert_eq!(dir_there(remote.as_ref()), dir, "{remote:?}");
            assert_eq!(file_there(&base, How::Move, remote.as_ref()), moved, "{remote:?}");
            assert_eq!(file_there(&base, How::Copy, remote.as_ref()), copied, "{remote:?}");
        }
        let nameless = Base { file_id: None, ..base };
        assert_eq!(file_there(&nameless, How::Move, Some(&there("x", "1", 2))), Ok(()));
        assert_eq!(file_there(&nameless, How::Move, Some(&there("x", "2", 1))), Err(Stop::No));
        assert!(is_free(&Remote::Absent).is_ok() && is_free(&Remote::Unlisted).is_ok());
        assert!(is_free(&Remote::Folder).is_err() && is_free(&there("a", "1", 1)).is_err());
    }

    #[test]
    fn a_staged_move_is_made_only_if_the_disk_still_says_so() {
        let base = base();
        let (same, touched) = (Local::File(STAT), Local::File(Stat { ctime_ns: 7, ..STAT }));
        let (yes, no) = (Some(true), Some(false));
        // (a file, what is at the new path, a copy's source, the old path left, so)
        for (is_file, new, has_source, has_left, so) in [
            (true, &same, None, true, true),
            (true, &touched, None, true, true),
            (true, &same, yes, true, true),
            (true, &same, no, true, false),
            (true, &touched, yes, true, false),
            (true, &Local::Absent, None, true, false),
            (true, &Local::Dir, None, true, false),
            (true, &unknown(), yes, true, false),
            (false, &Local::Dir, None, true, true),
            (false, &Local::Dir, None, false, false),
            (false, &same, None, true, false),
            (false, &unknown(), None, true, false),
        ] {
            let base = is_file.then_some(&base);
            let staged = Staged { base, new, has_source, has_left, root_synced: true };
            assert_eq!(is_still_so(staged), so, "{staged:?}");
            assert!(!is_still_so(Staged { root_synced: false, ..staged }));
        }
        assert!(seems_moved(5, 8) && !seems_moved(4, 8) && !seems_moved(0, 0));
    }
}
