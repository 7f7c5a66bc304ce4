//! The trash: what was replaced or deleted lies in `.ferrybox/trash/<time>/<its path>` until it is old, or the trash too large. It goes there by a
//! rename, so it is the very file that was there; nothing is copied unless another file system is mounted in between.

pub(super) mod inventory;
pub(super) mod journal;
pub(super) mod restore;
mod take;
pub(super) mod writers;

pub(super) use take::take;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use jiff::Timestamp;
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, fchmod, fstat, futimens, openat, unlinkat};
use rustix::io::Errno;

use super::Root;
use super::root::{Handle, stat_from};
use crate::local::error::{Refused, io_failure, is_absence, refuse, write_failure};
use crate::local::install::Entry;
use crate::local::install::incoming::MOVED;
use crate::local::private_dir::{
    OWN, TMP, TRASH, copy, create, make_own, moment, move_in, not_ours, own_place, random_name, sync_dir,
};
use crate::local::root::make::{above, as_expected};
use crate::local::trash::journal::{Going, Note};
use crate::model::{ContentHash, ContentHasher, Failure, Local, RelPath, UnixMs};

const DOING: &str = "moving it to the trash";
/// The time in a stamp: readable, sorted by its letters, and fit for any file system.
const STAMP: &str = "%Y-%m-%dT%H-%M-%SZ";
const STAMP_LEN: usize = "2026-11-22T03-04-05Z".len();
/// As many things of one name can go in one second.
const MAX_OF_ONE_NAME: usize = 10_000;

/// Where a file lies in the trash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Trashed {
    /// The directory of the trash, named after the time.
    pub stamp: String,
    /// The path that the file had.
    pub path: RelPath,
}

impl Trashed {
    /// The place below the root.
    pub fn place(&self) -> String {
        format!("{OWN}/{TRASH}/{}/{}", self.stamp, self.path)
    }
}

/// A name in the trash that is taken.
pub(super) struct Slot {
    pub(super) dir: OwnedFd,
    pub(super) trashed: Trashed,
}

impl Slot {
    /// Removes the directories above it, as far as nothing is in them.
    pub(super) fn prune(&self, root: &Root) {
        prune(root, &self.trashed);
    }
}

impl Root {
    /// Moves the file `path` to the trash, if it is still as `expected`.
    ///
    /// # Errors
    /// [`Refused::Changed`], [`Refused::Dir`]; else as writing.
    pub fn trash(&self, path: &RelPath, expected: &Local, going: impl Into<Going>) -> Result<Trashed, Refused> {
        not_ours(path)?;
        let Local::File(seen) = expected else { return Err(Refused::Changed) };
        let handle = self.handle().map_err(refuse(DOING))?;
        let dir = match above(self, path) {
            Ok(dir) => dir,
            Err(error) if is_absence(error) => return Err(Refused::Changed),
            Err(error) => return Err(refuse(DOING)(error)),
        };
        as_expected(dir.as_fd(), path.name(), expected, DOING)?;
        moment("checked");
        let slot = take(&handle, (dir.as_fd(), path.name()), path, seen, &going.into())?;
        sync_dir(slot.dir.as_fd()).and_then(|()| sync_dir(dir.as_fd())).map_err(refuse(DOING))?;
        Ok(slot.trashed)
    }
}

/// The name of the directory for what goes at that time.
fn stamp(when: UnixMs, n: usize) -> String {
    let when = Timestamp::from_millisecond(when).unwrap_or(Timestamp::UNIX_EPOCH).strftime(STAMP);
    if n == 0 { when.to_string() } else { format!("{when}-{n}") }
}

/// When what lies in that directory went; none if it is no name of ours.
pub(super) fn stamped(name: &str) -> Option<UnixMs> {
    let when = jiff::civil::DateTime::strptime(STAMP, name.get(..STAMP_LEN)?).ok()?;
    Some(when.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// Finds a name for `path` in the trash that nothing has yet, and calls `put` with it, which must not replace anything. What is known of it
/// is noted before.
pub(super) fn slot(
    handle: &Handle,
    path: &RelPath,
    when: UnixMs,
    known: &[Note],
    put: &mut dyn FnMut(BorrowedFd<'_>, &str) -> rustix::io::Result<()>,
) -> Result<Slot, Refused> {
    let trash = own_place(handle, TRASH).map_err(refuse(DOING))?;
    for n in 0..MAX_OF_ONE_NAME {
        let stamp = stamp(when, n);
        if journal::is_seen(handle, &stamp).map_err(refuse(DOING))? {
            continue;
        }
        let dir = match directories(trash.as_fd(), &stamp, path) {
            Ok(dir) => dir,
            // A file lies there whose path is now a directory's, or somebody tidies up.
            Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => continue,
            Err(error) => return Err(refuse(DOING)(error)),
        };
        journal::add(handle, &stamp, path, known)?;
        match put(dir.as_fd(), path.name()) {
            Ok(()) => return Ok(Slot { dir, trashed: Trashed { stamp, path: path.clone() } }),
            Err(Errno::EXIST | Errno::ISDIR | Errno::NOTEMPTY) => {}
            Err(Errno::NOENT) if fstat(&dir).is_ok_and(|stat| stat.st_nlink == 0) => {}
            Err(Errno::NOENT) => return Err(Refused::Changed),
            Err(error) => return Err(refuse(DOING)(error)),
        }
    }
    Err(Failure::retry("busy", "too many files of this name went to the trash in this second: it is tried again")
        .into())
}

fn directories(trash: BorrowedFd<'_>, stamp: &str, path: &RelPath) -> rustix::io::Result<OwnedFd> {
    let mut dir = make_own(trash, stamp)?;
    let above = path.parent().unwrap_or_default();
    for name in above.components() {
        dir = make_own(dir.as_fd(), name)?;
    }
    Ok(dir)
}

/// Copies the file at `side` to the trash and removes it. `alive` is called again and again meanwhile.
pub(super) fn copy_to_slot(
    handle: &Handle,
    side: Entry<'_>,
    path: &RelPath,
    going: &Going,
    alive: &dyn Fn(),
) -> Result<Slot, Refused> {
    let how = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let old = File::from(openat(side.0, side.1, how, Mode::empty()).map_err(refuse(DOING))?);
    let before = fstat(&old).map_err(refuse(DOING))?;
    // Only a whole copy gets its name in the trash: what a crash leaves of one is swept with the downloads.
    let tmp = own_place(handle, TMP).map_err(refuse(DOING))?;
    let name = random_name(MOVED)?;
    let new = create(tmp.as_fd(), &name, Mode::RUSR | Mode::WUSR).map_err(refuse(DOING))?;
    let copied = verified(&old, &new, &before, alive).map_err(Refused::from).and_then(|()| {
        moment("copied");
        // The copy's own times: its file system may know coarser ones than the original's.
        let known = going.notes(&stat_from(&fstat(&new).map_err(refuse(DOING))?));
        slot(handle, path, going.when, &known, &mut |dir, to| move_in(handle, tmp.as_fd(), &name, dir, to))
    });
    let slot = copied.inspect_err(|_| {
        let _ = unlinkat(&tmp, name.as_str(), AtFlags::empty());
    })?;
    sync_dir(slot.dir.as_fd()).map_err(refuse(DOING))?;
    moment("in the trash");
    unlinkat(side.0, side.1, AtFlags::empty()).map_err(refuse(DOING)).inspect_err(|_| {
        let _ = unlinkat(&slot.dir, path.name(), AtFlags::empty());
    })?;
    Ok(slot)
}

/// Copies content, time and permissions. What was written to meanwhile is no copy.
fn verified(old: &File, new: &File, before: &rustix::fs::Stat, alive: &dyn Fn()) -> Result<(), Failure> {
    copy(old, new, DOING, alive)?;
    let mtime = stat_from(before).mtime_ns;
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: mtime.div_euclid(1_000_000_000),
            tv_nsec: mtime.rem_euclid(1_000_000_000),
        },
    };
    let _ = futimens(new, &times);
    let _ = fchmod(new, Mode::from_raw_mode(before.st_mode & 0o777));
    let same = hash(old, alive)? == hash(new, alive)?;
    let after = fstat(old).map_err(|error| write_failure(DOING, error))?;
    if same && stat_from(&after) == stat_from(before) { Ok(()) } else { Err(changed()) }
}

fn changed() -> Failure {
    Failure::look("busy", "it was written to while it was moved to the trash: it is looked at again")
}

/// What an open file holds. `alive` is called with each piece of it.
pub(super) fn hash(file: &File, alive: &dyn Fn()) -> Result<ContentHash, Failure> {
    use std::os::unix::fs::FileExt;
    let mut hasher = ContentHasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        alive();
        super::attend::go_on()?;
        match file.read_at(&mut buffer, hasher.total()) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(n) => hasher.update(buffer.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io_failure("reading it", &error)),
        }
    }
}

/// Removes the directories above a place in the trash, as far as nothing is in them.
pub(super) fn prune(root: &Root, trashed: &Trashed) {
    let Ok(trash) = RelPath::parse(&format!("{OWN}/{TRASH}")) else { return };
    let mut at = RelPath::parse(&trashed.place()).ok().and_then(|place| place.parent());
    while let Some(dir) = at.filter(|dir| *dir != trash && dir.is_under(&trash)) {
        match above(root, &dir).and_then(|above| unlinkat(above, dir.name(), AtFlags::REMOVEDIR)) {
            Ok(()) => at = dir.parent(),
            Err(_) => return,
        }
    }
}
