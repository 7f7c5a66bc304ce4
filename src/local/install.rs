//! Putting a download in its place: in one step, over exactly the file that it was decided to replace, and that file goes to the trash.
//!
//! The download lies in the trash, under the name that the replaced file shall have there, when the two change places. So the replaced file is in the
//! trash in the same instant, and no crash finds it anywhere else. Then what came out is looked at: if it is not the file that was to be replaced,
//! the two change places again.

pub(super) mod fill;
pub(super) mod incoming;
pub(super) mod metadata;
pub(super) mod sidecar;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Mode, fstat, unlinkat};
use rustix::io::Errno;

use super::root::{Handle, device, stat_from};
use super::trash::{Trashed, copy_to_slot, slot, take};
use crate::local::error::{Refused, refuse};
use crate::local::install::incoming::{Incoming, State};
use crate::local::install::metadata::{Looks, dress};
use crate::local::install::sidecar::Side;
use crate::local::private_dir;
use crate::local::private_dir::{exchange, is_same, look, moment, move_in, move_out, not_ours, sync_dir};
use crate::local::root::make::{as_expected, occupied, parent};
use crate::local::trash::journal::{Going, Note};
use crate::model::{ContentHash, Failure, Local, RelPath, Stat};

const DOING: &str = "putting the download in its place";

/// A download in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// The new file, as it is now.
    pub stat: Stat,
    /// Where the file is that it replaced.
    pub trashed: Option<Trashed>,
}

/// A name in an open directory.
pub(super) type Entry<'a> = (BorrowedFd<'a>, &'a str);

/// Where to, over what, and with which looks.
struct Target<'a> {
    path: &'a RelPath,
    at: Entry<'a>,
    seen: Option<&'a Stat>,
    looks: Looks,
    going: Going,
    /// What the download holds.
    new: Option<ContentHash>,
}

/// What became of an exchange.
#[derive(Debug, PartialEq)]
pub(super) enum Swap {
    /// The expected file came out.
    Done,
    /// Another one did, and both are where they were.
    Back,
    /// Another one did, and meanwhile somebody removed or replaced the download in its place: what came out stays on our side.
    Lost,
}

impl Incoming {
    /// Puts the complete download at `path`, if that is still as `expected`: absent, or one file. `mtime` is the content's own time in seconds since
    /// 1970; `going` is for what is replaced. Parents are made. The content hash is the caller's to check, before.
    ///
    /// After a refusal the download is still there, and can be put elsewhere. After success it is over.
    ///
    /// # Errors
    /// [`Refused::Changed`], [`Refused::Dir`], [`Refused::InTheWay`]; else as writing.
    pub fn place(
        &self,
        path: &RelPath,
        expected: &Local,
        mtime: Option<i64>,
        going: impl Into<Going>,
    ) -> Result<Placed, Refused> {
        not_ours(path)?;
        self.complete()?;
        let mut state = self.state();
        let handle = self.root.handle().map_err(refuse(DOING))?;
        let dir = parent(&self.root, path)?;
        let at = (dir.as_fd(), path.name());
        let (seen, now) = match expected {
            Local::Absent => match look(at.0, at.1).map_err(refuse(DOING))? {
                None => (None, None),
                Some(_) => return Err(occupied(at.0, at.1, DOING)),
            },
            Local::File(seen) => (Some(seen), Some(as_expected(at.0, at.1, expected, DOING)?)),
            Local::Dir => return Err(Refused::Dir),
            Local::Unknown(failure) => return Err(failure.clone().into()),
            Local::Other(_) => return Err(Refused::Changed),
        };
        let looks = Looks { replaced: now, plain_mode: self.plain_mode, mtime };
        let target = Target { path, at, seen, looks, going: going.into(), new: state.hash(self.size()) };
        let placed = match self.place_tmp(&handle, &target, &mut state) {
            Err(Refused::Failed(failure)) if failure.code == "other_device" => {
                self.place_copy(&handle, &target, &mut state)
            }
            other => other,
        }?;
        sync_dir(at.0).map_err(refuse(DOING))?;
        Ok(placed)
    }

    fn place_tmp(&self, handle: &Handle, target: &Target<'_>, state: &mut State) -> Result<Placed, Refused> {
        if let Err(failure) = dress(&self.file, target.at, &target.looks) {
            // After a failed fsync nobody knows what the disk holds: it is loaded again.
            state.gone = true;
            let _ = unlinkat(&self.dir, self.name.as_str(), AtFlags::empty());
            return Err(failure.into());
        }
        let (tmp, at) = ((self.dir.as_fd(), self.name.as_str()), target.at);
        let dressed = fstat(&self.file).map_err(refuse(DOING))?;
        moment("checked");
        let trashed = match target.seen {
            None => {
                move_out(handle, tmp.0, tmp.1, at.0, at.1).map_err(|error| unplaced(at, error))?;
                None
            }
            Some(seen) => Some(self.over(handle, target, seen, state)?),
        };
        self.left(state);
        Ok(Placed { stat: as_placed(&self.file, &dressed)?, trashed })
    }

    /// Over the file `seen`.
    fn over(&self, handle: &Handle, target: &Target<'_>, seen: &Stat, state: &mut State) -> Result<Trashed, Refused> {
        let (tmp, at) = ((self.dir.as_fd(), self.name.as_str()), target.at);
        let mut known = target.going.notes(seen);
        if let (Some(hash), false) = (target.new, known.is_empty()) {
            // A crash before the exchange leaves the download there: that is nobody's edit.
            known.push(Note::of(&stat_from(&fstat(&self.file).map_err(refuse(DOING))?), hash));
        }
        let slot = slot(handle, target.path, target.going.when, &known, &mut |dir, name| {
            move_in(handle, tmp.0, tmp.1, dir, name)
        })?;
        let ours = (slot.dir.as_fd(), target.path.name());
        moment("in the trash");
        let swapped = swap(handle, ours, at, &self.file, seen);
        match swapped {
            Ok(Swap::Done) => {
                sync_dir(ours.0).map_err(refuse(DOING))?;
                return Ok(slot.trashed);
            }
            Ok(Swap::Lost) => {
                self.left(state);
                return Err(Refused::Changed);
            }
            Ok(Swap::Back) | Err(_) => {
                // Back to where the next try looks for it.
                if move_in(handle, ours.0, ours.1, tmp.0, tmp.1).is_err() {
                    self.left(state);
                }
                slot.prune(&self.root);
            }
        }
        match swapped {
            Err(Errno::NOTSUP) => self.plainly(handle, target, seen),
            Err(Errno::NOENT) | Ok(_) => Err(Refused::Changed),
            Err(error) => Err(refuse(DOING)(error)),
        }
    }

    /// Without an exchange: the old file leaves, then the new one, which stands beside it already, gets its name. In between, nothing has it.
    fn plainly(&self, handle: &Handle, target: &Target<'_>, seen: &Stat) -> Result<Trashed, Refused> {
        let (tmp, at) = ((self.dir.as_fd(), self.name.as_str()), target.at);
        let side = Side::new_one(at.1)?;
        move_out(handle, tmp.0, tmp.1, at.0, side.name()).map_err(|error| unplaced(at, error))?;
        moment("beside");
        let placed = take(handle, at, target.path, seen, &target.going).and_then(|slot| {
            match move_out(handle, at.0, side.name(), at.0, at.1) {
                Ok(()) => {
                    sync_dir(slot.dir.as_fd()).map_err(refuse(DOING))?;
                    Ok(slot.trashed)
                }
                Err(error) => {
                    let refused = unplaced(at, error);
                    let _ = move_out(handle, slot.dir.as_fd(), target.path.name(), at.0, at.1);
                    Err(refused)
                }
            }
        });
        if placed.is_err() {
            let _ = move_in(handle, at.0, side.name(), tmp.0, tmp.1);
        }
        placed
    }

    /// Where another file system is mounted: by a copy beside the place, under a name that nobody syncs.
    fn place_copy(&self, handle: &Handle, target: &Target<'_>, state: &mut State) -> Result<Placed, Refused> {
        let at = target.at;
        let taken = Side::new_one(at.1)?;
        let side = (at.0, taken.name());
        let file = private_dir::create(at.0, side.1, Mode::from_raw_mode(0o666)).map_err(refuse(DOING))?;
        moment("beside");
        let placed = private_dir::copy(&self.file, &file, DOING, &|| {})
            .and_then(|_| dress(&file, at, &target.looks))
            .map_err(Refused::from)
            .and_then(|()| {
                let dressed = fstat(&file).map_err(refuse(DOING))?;
                beside(handle, target, side, &file, &dressed)
            });
        match &placed {
            Ok(_) => {
                let _ = unlinkat(&self.dir, self.name.as_str(), AtFlags::empty());
                self.left(state);
            }
            // Only what is surely our own copy.
            Err(_) if is_ours(side, &file) => {
                let _ = unlinkat(side.0, side.1, AtFlags::empty());
            }
            Err(_) => {}
        }
        placed
    }
}

/// From the name `side` to the place beside it. What is exchanged there has a name that says so, so that nobody takes what came out for a download.
fn beside(
    handle: &Handle,
    target: &Target<'_>,
    side: Entry<'_>,
    file: &File,
    dressed: &rustix::fs::Stat,
) -> Result<Placed, Refused> {
    let (at, path, going) = (target.at, target.path, &target.going);
    let trashed = match target.seen {
        None => {
            move_out(handle, side.0, side.1, at.0, at.1).map_err(|error| unplaced(at, error))?;
            None
        }
        Some(seen) => {
            let taken = Side::old_one(at.1, [going.holds, target.new])?;
            let old = (at.0, taken.name());
            move_out(handle, side.0, side.1, old.0, old.1).map_err(|error| unplaced(at, error))?;
            moment("beside again");
            let back = || {
                let _ = move_out(handle, old.0, old.1, side.0, side.1);
            };
            match swap(handle, old, at, file, seen) {
                Ok(Swap::Done) => Some(copy_to_slot(handle, old, path, going, &|| {})?.trashed),
                Ok(Swap::Back) | Err(Errno::NOENT) => {
                    back();
                    return Err(Refused::Changed);
                }
                Ok(Swap::Lost) => {
                    // Nobody knows what it holds.
                    copy_to_slot(handle, old, path, &Going::from(going.when), &|| {})?;
                    return Err(Refused::Changed);
                }
                Err(Errno::NOTSUP) => {
                    back();
                    let slot = take(handle, at, path, seen, going)?;
                    move_out(handle, side.0, side.1, at.0, at.1).map_err(|error| unplaced(at, error))?;
                    Some(slot.trashed)
                }
                Err(error) => {
                    back();
                    return Err(refuse(DOING)(error));
                }
            }
        }
    };
    Ok(Placed { stat: as_placed(file, dressed)?, trashed })
}

/// The download as it is in its place. What the handle says, not the name: whoever saves over it now makes another file. And if somebody has
/// written into it already, it is told as it was before: what it holds now is not what came down.
fn as_placed(file: &File, dressed: &rustix::fs::Stat) -> Result<Stat, Refused> {
    let (now, dressed) = (stat_from(&fstat(file).map_err(refuse(DOING))?), stat_from(dressed));
    // Its new name changes the inode's own time, and nothing else.
    Ok(if (Stat { ctime_ns: dressed.ctime_ns, ..now }) == dressed { now } else { dressed })
}

/// Lets our `file` at `ours` and what is at `target` change places, and back again if that was not `seen`.
pub(super) fn swap(
    handle: &Handle,
    ours: Entry<'_>,
    target: Entry<'_>,
    file: &File,
    seen: &Stat,
) -> rustix::io::Result<Swap> {
    exchange(handle, ours.0, ours.1, target.0, target.1)?;
    moment("exchanged");
    if is_same(seen, look(ours.0, ours.1).unwrap_or(None).as_ref()) {
        return Ok(Swap::Done);
    }
    if exchange(handle, ours.0, ours.1, target.0, target.1).is_err() {
        return Ok(Swap::Lost);
    }
    if is_ours(ours, file) {
        return Ok(Swap::Back);
    }
    // Somebody saved over the download while it was there: what they saved goes where they saved it.
    let _ = exchange(handle, ours.0, ours.1, target.0, target.1);
    Ok(Swap::Lost)
}

fn is_ours(at: Entry<'_>, file: &File) -> bool {
    match (look(at.0, at.1), fstat(file)) {
        (Ok(Some(there)), Ok(ours)) => (device(&there), there.st_ino) == (device(&ours), ours.st_ino),
        _ => false,
    }
}

fn unplaced(at: Entry<'_>, error: Errno) -> Refused {
    match error {
        Errno::EXIST => occupied(at.0, at.1, DOING),
        // The parent was removed a moment ago.
        Errno::NOENT => Failure::look("busy", "its directory was removed meanwhile: it is looked at again").into(),
        error => refuse(DOING)(error),
    }
}
