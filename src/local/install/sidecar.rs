//! Names beside the owner's files, for a moment: where no exchange can be had, or another file system is mounted. What a kill leaves under one is
//! recognised by the name alone, which says whose it is.

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags, openat};

use crate::local::error::{Refused, io_failure, is_absence, refuse};
use crate::local::private_dir::{move_in, sync_dir};
use crate::local::root::make::above;
use crate::local::trash::journal::Going;
use crate::local::trash::{Trashed, copy_to_slot, hash, slot};
use crate::local::{Root, stat_of};
use crate::model::{ContentHash, Failure, Local, RelPath, Stat, UnixMs};

/// What begins such a name: Dropbox's own clients leave such names alone, too.
const SIDE: &str = ".~ferrybox-";
/// Then whose it is: a download, which can be had again and goes to the trash; or what was, or is to be, in the place of one.
const NEW: &str = "new-";
const OLD: &str = "old-";
/// Then, in an old one, what it may hold that is not lost: the first digits of those hashes.
const DIGITS: usize = 16;
/// And then as much of the file's own name as any file system has room for.
const NAME_MAX: usize = 77;
const DOING: &str = "looking after what a crash left";

/// The names that this run uses at the moment.
static IN_USE: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

fn in_use() -> MutexGuard<'static, HashSet<String>> {
    IN_USE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A name beside a file, taken for as long as this lives.
#[derive(Debug)]
pub(crate) struct Side(String);

impl Side {
    /// For a download: what lies there may go to the trash.
    pub(crate) fn new_one(of: &str) -> Result<Self, Failure> {
        Self::taken(NEW, "", of)
    }

    /// For what is on its way out. What it holds is one of `known`, or nobody else has it.
    pub(crate) fn old_one(of: &str, known: [Option<ContentHash>; 2]) -> Result<Self, Failure> {
        let digits = |hash: Option<ContentHash>| hash.map_or_else(|| "0".repeat(DIGITS), |hash| first(&hash));
        Self::taken(OLD, &format!("-{}-{}", digits(known[0]), digits(known[1])), of)
    }

    fn taken(kind: &str, known: &str, of: &str) -> Result<Self, Failure> {
        let mut room = of.len().min(NAME_MAX);
        while !of.is_char_boundary(room) {
            room -= 1;
        }
        let random = crate::local::private_dir::random_name(&format!("{SIDE}{kind}"))?;
        let name = format!("{random}{known}-{}", of.get(..room).unwrap_or_default());
        in_use().insert(name.clone());
        Ok(Self(name))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        in_use().remove(&self.0);
    }
}

fn first(hash: &ContentHash) -> String {
    hash.to_string().chars().take(DIGITS).collect()
}

/// What a name of ours says.
#[derive(Debug, PartialEq)]
enum Said<'a> {
    New,
    Old { known: [&'a str; 2], of: &'a str },
}

fn read(name: &str) -> Option<Said<'_>> {
    let is_number = |text: &str| text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit());
    let rest = name.strip_prefix(SIDE)?;
    if let Some(rest) = rest.strip_prefix(NEW) {
        return rest.split_once('-').filter(|(random, _)| is_number(random)).map(|_| Said::New);
    }
    let Some(rest) = rest.strip_prefix(OLD) else {
        // Of an earlier version: it does not say.
        return is_number(rest).then_some(Said::Old { known: ["", ""], of: "recovered file" });
    };
    let mut words = rest.splitn(4, '-');
    let (random, a, b, of) = (words.next()?, words.next()?, words.next()?, words.next()?);
    [random, a, b].into_iter().all(is_number).then_some(Said::Old { known: [a, b], of })
}

/// Whether a file of this name is one that we left: see [`Root::recover`].
pub fn is_left_over(name: &str) -> bool {
    read(name).is_some() && !in_use().contains(name)
}

/// What became of a file that a crash left beside its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// It is not there.
    Gone,
    /// It is what both sides had agreed on, and went where it was on its way to; or it is half a download by its name.
    Trashed(Trashed),
    /// Nobody knows what it holds: it is to be kept under another name.
    Unknown {
        /// The path that it had, as far as its name says.
        of: RelPath,
    },
}

impl Root {
    /// Looks after a file whose name [`is_left_over`]. `alive` is called again and again while a large one is read.
    ///
    /// # Errors
    /// [`Refused::Changed`] if somebody else works on it; else as moving to the trash.
    pub fn recover(&self, side: &RelPath, when: UnixMs, alive: &dyn Fn()) -> Result<Recovered, Refused> {
        let Some(said) = read(side.name()).filter(|_| is_left_over(side.name())) else { return Ok(Recovered::Gone) };
        let handle = self.handle().map_err(refuse(DOING))?;
        let dir = match above(self, side) {
            Ok(dir) => dir,
            Err(error) if is_absence(error) => return Ok(Recovered::Gone),
            Err(error) => return Err(refuse(DOING)(error)),
        };
        let Local::File(stat) = self.observe(side) else { return Ok(Recovered::Gone) };
        let Said::Old { known, of } = said else {
            // Half a download, most likely; but anybody may give a file such a name.
            return self.trash(side, &Local::File(stat), when).map(Recovered::Trashed);
        };
        let name = |error: crate::model::PathError| Failure::wedge("name", error.to_string());
        let of = side.parent().unwrap_or_default().child(of).map_err(name)?;
        let how = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(&dir, side.name(), how, Mode::empty()).map_err(refuse(DOING))?);
        let holds = hash(&file, alive)?;
        if stat_of(&file).map_err(|error| io_failure(DOING, &error))? != stat {
            return Err(Refused::Changed);
        }
        if !known.contains(&first(&holds).as_str()) {
            return Ok(Recovered::Unknown { of });
        }
        let going = Going { when, holds: Some(holds) };
        let at = (dir.as_fd(), side.name());
        let known = going.notes(&stat);
        let slot = match slot(&handle, &of, when, &known, &mut |dir, name| move_in(&handle, at.0, at.1, dir, name)) {
            Err(Refused::Failed(failure)) if failure.code == "other_device" => {
                copy_to_slot(&handle, at, &of, &going, alive)
            }
            other => other,
        }?;
        sync_dir(slot.dir.as_fd()).and_then(|()| sync_dir(at.0)).map_err(refuse(DOING))?;
        Ok(Recovered::Trashed(slot.trashed))
    }

    /// Moves a file of ours, from the trash or from beside its place, to `to`, where nothing may be.
    ///
    /// # Errors
    /// [`Refused::Changed`] if it is another one than `seen` by now, or something is at `to`; else as placing.
    pub fn give_out(&self, from: &RelPath, seen: &Stat, to: &RelPath) -> Result<(), Refused> {
        crate::local::private_dir::not_ours(to)?;
        let handle = self.handle().map_err(refuse(DOING))?;
        let ours = above(self, from).map_err(refuse(DOING))?;
        if self.observe(from) != Local::File(*seen) {
            return Err(Refused::Changed);
        }
        let dir = crate::local::root::make::parent(self, to)?;
        match crate::local::private_dir::move_out(&handle, ours.as_fd(), from.name(), dir.as_fd(), to.name()) {
            Ok(()) => sync_dir(dir.as_fd()).and_then(|()| sync_dir(ours.as_fd())).map_err(refuse(DOING)),
            Err(rustix::io::Errno::EXIST) => Err(crate::local::root::make::occupied(dir.as_fd(), to.name(), DOING)),
            Err(rustix::io::Errno::NOENT) => Err(Refused::Changed),
            Err(error) => Err(refuse(DOING)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whose_it_is_and_is_left_alone_while_it_is_used() {
        let long = "é".repeat(120);
        for of in ["f", "a-b-c.txt", "-", &long] {
            let hash = ContentHash([0xAB; 32]);
            let (new, old) = (Side::new_one(of).unwrap(), Side::old_one(of, [None, Some(hash)]).unwrap());
            assert_eq!(read(new.name()), Some(Said::New));
            let Some(Said::Old { known, of: named }) = read(old.name()) else { panic!("{}", old.name()) };
            assert_eq!(known, ["0".repeat(16).as_str(), "ab".repeat(8).as_str()]);
            assert!(of.starts_with(named) && old.name().len() <= 143, "{}", old.name());
            assert!(!is_left_over(new.name()) && !is_left_over(old.name()));
            let name = old.name().to_owned();
            drop(old);
            assert!(is_left_over(&name));
        }
        assert!(is_left_over(".~ferrybox-0123456789abcdef"), "an earlier version's");
        for other in [".~ferrybox-", ".~ferrybox-mine", ".~ferrybox-new-x", ".~lock", "f", ".~ferrybox-old-0-0-f"] {
            assert!(!is_left_over(other), "{other}");
        }
    }
}
