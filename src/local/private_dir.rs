//! `.ferrybox`, our own directory at the top of a root: the markers, unfinished downloads, the trash. No path of a user's leads into it.

pub(super) mod marker;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, fchmod, fstat, fsync, linkat, mkdirat, openat, renameat,
    renameat_with, statat, unlinkat,
};
use rustix::io::{Errno, Result};

use super::root::{Handle, stat_from};
use crate::env;
use crate::local::error::{io_failure, is_absence, write_failure};
use crate::model::{Failure, RelPath, Stat};

/// Its name.
pub(super) const OWN: &str = ".ferrybox";
/// Unfinished downloads, below it.
pub(super) const TMP: &str = "tmp";
/// What was replaced or deleted, below it.
pub(super) const TRASH: &str = "trash";

const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens `.ferrybox`, and makes it first where it is not: for the owner only.
pub(super) fn own_dir(handle: &Handle) -> Result<OwnedFd> {
    let dir = make_own(handle.top(), OWN)?;
    // One that somebody else made must not show our files.
    if Mode::from_raw_mode(fstat(&dir)?.st_mode) != Mode::RWXU {
        fchmod(&dir, Mode::RWXU)?;
    }
    Ok(dir)
}

/// Opens `.ferrybox/<name>`, made where it is not.
pub(super) fn own_place(handle: &Handle, name: &str) -> Result<OwnedFd> {
    make_own(own_dir(handle)?.as_fd(), name)
}

/// Opens the directory `name`, made for the owner only where it is not.
pub(super) fn make_own(above: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    match openat(above, name, DIR, Mode::empty()) {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    match mkdirat(above, name, Mode::RWXU) {
        Ok(()) => sync_dir(above)?,
        Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    openat(above, name, DIR, Mode::empty())
}

/// Refuses the root itself and what lies in `.ferrybox`, in the letters of any case: some disks do not tell them apart.
pub(super) fn not_ours(path: &RelPath) -> std::result::Result<(), Failure> {
    match path.components().next() {
        None => Err(Failure::wedge("reserved", "it is the folder itself, which is never replaced, moved or removed")),
        Some(first) if first.eq_ignore_ascii_case(OWN) => Err(Failure::wedge(
            "reserved",
            "the name `.ferrybox` at the top of a folder belongs to ferrybox: give it another name in Dropbox",
        )),
        Some(_) => Ok(()),
    }
}

/// What makes a directory's entries last through a loss of power, where the directory may be read and the file system can do it.
pub(super) fn sync_dir(dir: BorrowedFd<'_>) -> Result<()> {
    match openat(dir, ".", DIR, Mode::empty()).and_then(fsync) {
        Err(Errno::ACCESS | Errno::PERM | Errno::INVAL | Errno::NOTSUP | Errno::ROFS) => Ok(()),
        other => other,
    }
}

/// Moves an entry, and never over another one: that is `EXIST`. Where the file system cannot promise that: `NOTSUP`.
pub(super) fn rename_new(
    handle: &Handle,
    from: BorrowedFd<'_>,
    name: &str,
    to: BorrowedFd<'_>,
    new: &str,
) -> Result<()> {
    renamed(handle, from, name, to, new, RenameFlags::NOREPLACE)
}

/// Lets two entries change places. Where the file system cannot do that: `NOTSUP`.
pub(super) fn exchange(
    handle: &Handle,
    a: BorrowedFd<'_>,
    name_a: &str,
    b: BorrowedFd<'_>,
    name_b: &str,
) -> Result<()> {
    renamed(handle, a, name_a, b, name_b, RenameFlags::EXCHANGE)
}

fn renamed(
    handle: &Handle,
    from: BorrowedFd<'_>,
    name: &str,
    to: BorrowedFd<'_>,
    new: &str,
    how: RenameFlags,
) -> Result<()> {
    if handle.plain_renames {
        return Err(Errno::NOTSUP);
    }
    loop {
        match renameat_with(from, name, to, new, how) {
            Err(Errno::INTR) => {}
            // A name that it cannot hold is `INVAL` on some: the next step tells them apart.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => return Err(Errno::NOTSUP),
            other => return other,
        }
    }
}

/// Moves an entry of ours to a place where others write too: never over anything.
pub(super) fn move_out(handle: &Handle, ours: BorrowedFd<'_>, name: &str, to: BorrowedFd<'_>, new: &str) -> Result<()> {
    match rename_new(handle, ours, name, to, new) {
        Err(Errno::NOTSUP) => match look(ours, name)?.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            // A directory has one name only, and replaces nothing but an empty directory.
            Some(FileType::Directory) => rename_to_free(ours, name, to, new),
            // A second name, then the first one goes: nobody else touches our side.
            _ => {
                linkat(ours, name, to, new, AtFlags::empty())?;
                unlinkat(ours, name, AtFlags::empty())
            }
        },
        other => other,
    }
}

/// Moves an entry to a place where only we write: never over anything.
pub(super) fn move_in(
    handle: &Handle,
    from: BorrowedFd<'_>,
    name: &str,
    ours: BorrowedFd<'_>,
    new: &str,
) -> Result<()> {
    match rename_new(handle, from, name, ours, new) {
        Err(Errno::NOTSUP) => rename_to_free(from, name, ours, new),
        other => other,
    }
}

/// Moves an entry in two steps, a look and a rename: for places where nothing can come in between that would be lost.
fn rename_to_free(from: BorrowedFd<'_>, name: &str, to: BorrowedFd<'_>, new: &str) -> Result<()> {
    match look(to, new)? {
        Some(_) => Err(Errno::EXIST),
        None => renameat(from, name, to, new),
    }
}

/// What stands there; nothing is followed.
pub(super) fn look(dir: BorrowedFd<'_>, name: &str) -> Result<Option<rustix::fs::Stat>> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if is_absence(error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the same file stands there, not written to since: a rename changes the inode's own time, so that says nothing.
pub(super) fn is_same(seen: &Stat, now: Option<&rustix::fs::Stat>) -> bool {
    now.filter(|now| FileType::from_raw_mode(now.st_mode) == FileType::RegularFile)
        .map(stat_from)
        .is_some_and(|now| Stat { ctime_ns: seen.ctime_ns, ..now } == *seen)
}

/// Letters that nobody guesses, for a name of ours.
pub(super) fn random_name(prefix: &str) -> std::result::Result<String, Failure> {
    let mut bits = [0; 8];
    env::fill_random(&mut bits)
        .map_err(|error| Failure::retry("resources", format!("the system gives no random numbers: {error}")))?;
    Ok(format!("{prefix}{:016x}", u64::from_be_bytes(bits)))
}

/// A new file of ours.
pub(super) fn create(dir: BorrowedFd<'_>, name: &str, mode: Mode) -> Result<File> {
    let how = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(dir, name, how, mode).map(File::from)
}

/// Copies from one file to another, from the beginning, and sees to it that the copy lasts. `alive` is called with each piece of it.
pub(super) fn copy(from: &File, to: &File, doing: &str, alive: &dyn Fn()) -> std::result::Result<u64, Failure> {
    use std::os::unix::fs::FileExt;
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        alive();
        super::attend::go_on()?;
        let n = match from.read_at(&mut buffer, at) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(io_failure(doing, &error)),
        };
        to.write_all_at(buffer.get(..n).unwrap_or_default(), at).map_err(|error| wrote(doing, &error))?;
        at += n as u64;
    }
    to.sync_all().map_err(|error| wrote(doing, &error))?;
    Ok(at)
}

/// What a failed write means.
pub(super) fn wrote(doing: &str, error: &io::Error) -> Failure {
    write_failure(doing, Errno::from_io_error(error).unwrap_or(Errno::IO))
}

/// What a test does in the middle of a step, told at which moment.
#[cfg(test)]
pub(super) type Meanwhile = Option<Box<dyn FnMut(&str)>>;

#[cfg(test)]
thread_local! {
    pub(super) static MEANWHILE: std::cell::RefCell<Meanwhile> = const { std::cell::RefCell::new(None) };
}

/// A moment at which others may do something. Only tests do.
pub(super) fn moment(_which: &str) {
    #[cfg(test)]
    MEANWHILE.with(|meanwhile| {
        if let Some(act) = meanwhile.borrow_mut().as_mut() {
            act(_which);
        }
    });
}
