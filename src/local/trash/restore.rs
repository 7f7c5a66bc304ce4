//! What lies in the trash, given back to its own place: in one step, and what stood there goes to the trash in the same one.

use std::fs::File;
use std::ops::ControlFlow;
use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use crate::local::Root;
use crate::local::error::{Refused, failure, is_absence, refuse};
use crate::local::install::{Swap, swap};
use crate::local::private_dir::{OWN, TRASH, move_in, move_out, not_ours, sync_dir};
use crate::local::root::make::{above, as_expected, occupied, parent};
use crate::local::scan::{Scanned, scan};
use crate::local::trash::inventory::{Left, place, written_since};
use crate::local::trash::journal;
use crate::local::trash::journal::Going;
use crate::local::trash::{Trashed, prune, slot, take};
use crate::model::{Failure, Local, RelPath};

const DOING: &str = "taking it out of the trash";

impl Root {
    /// The versions of the file `path` in the trash, the newest first; and whether a directory of that name went there, too.
    ///
    /// # Errors
    /// The trash cannot be listed.
    pub fn trash_of(&self, path: &RelPath) -> Result<(Vec<Left>, bool), Failure> {
        let (mut found, mut dir) = (Vec::new(), false);
        let handle = self.handle().map_err(|error| failure("listing the trash", error))?;
        for (stamp, when) in self.stamps()?.into_iter().rev() {
            let trashed = Trashed { stamp, path: path.clone() };
            match self.observe(&place(&trashed)?) {
                Local::File(stat) => {
                    let known = journal::read(&handle, &trashed.stamp).of(path);
                    found.push(Left { trashed, stat, when, written_since: written_since(&stat, when, &known) });
                }
                Local::Dir => dir = true,
                Local::Absent | Local::Other(_) | Local::Unknown(_) => {}
            }
        }
        Ok((found, dir))
    }

    /// Puts a file of the trash back where it was, over what was looked at there: nothing, or one file, which goes to the trash. Says where that is.
    ///
    /// # Errors
    /// [`Refused::Changed`] if something else stands there, or the file left the trash; [`Refused::Dir`]; else as placing.
    pub fn put_back(
        &self,
        trashed: &Trashed,
        expected: &Local,
        going: impl Into<Going>,
    ) -> Result<Option<Trashed>, Refused> {
        let going = going.into();
        not_ours(&trashed.path)?;
        let old = place(trashed)?;
        let handle = self.handle().map_err(refuse(DOING))?;
        let from = match above(self, &old) {
            Ok(from) => from,
            Err(error) if is_absence(error) => return Err(Refused::Changed),
            Err(error) => return Err(refuse(DOING)(error)),
        };
        let dir = parent(self, &trashed.path)?;
        let (ours, at) = ((from.as_fd(), old.name()), (dir.as_fd(), trashed.path.name()));
        let unmoved = |error| match error {
            Errno::EXIST => occupied(at.0, at.1, DOING),
            Errno::NOENT => Refused::Changed,
            error => refuse(DOING)(error),
        };
        let seen = match expected {
            Local::Absent => {
                move_out(&handle, ours.0, ours.1, at.0, at.1).map_err(unmoved)?;
                sync_dir(at.0).map_err(refuse(DOING))?;
                prune(self, trashed);
                return Ok(None);
            }
            Local::File(seen) => seen,
            Local::Dir => return Err(Refused::Dir),
            Local::Unknown(failure) => return Err(failure.clone().into()),
            Local::Other(_) => return Err(Refused::Changed),
        };
        as_expected(at.0, at.1, expected, DOING)?;
        let how = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(ours.0, ours.1, how, Mode::empty()).map_err(unmoved)?);
        // Under a name of now first, so that what it changes places with has gone now, and not when this one did.
        // A crash in between leaves this one there: what is noted of it goes along.
        let mut known = going.notes(seen);
        known.extend(journal::read(&handle, &trashed.stamp).of(&trashed.path));
        let slot = slot(&handle, &trashed.path, going.when, &known, &mut |dir, name| {
            move_in(&handle, ours.0, ours.1, dir, name)
        })?;
        let new = (slot.dir.as_fd(), trashed.path.name());
        let back = || {
            let _ = move_out(&handle, new.0, new.1, ours.0, ours.1);
            slot.prune(self);
        };
        match swap(&handle, new, at, &file, seen) {
            Ok(Swap::Done) => {
                sync_dir(at.0).and_then(|()| sync_dir(new.0)).map_err(refuse(DOING))?;
                prune(self, trashed);
                Ok(Some(slot.trashed))
            }
            Ok(Swap::Lost) => Err(Refused::Changed),
            Ok(Swap::Back) | Err(Errno::NOENT) => {
                back();
                Err(Refused::Changed)
            }
            // Without an exchange: the old one leaves, then this one gets its name.
            Err(Errno::NOTSUP) => {
                let taken = take(&handle, at, &trashed.path, seen, &going).inspect_err(|_| back())?;
                if let Err(error) = move_out(&handle, new.0, new.1, at.0, at.1) {
                    let refused = unmoved(error);
                    let _ = move_out(&handle, taken.dir.as_fd(), at.1, at.0, at.1);
                    back();
                    return Err(refused);
                }
                sync_dir(at.0).and_then(|()| sync_dir(taken.dir.as_fd())).map_err(refuse(DOING))?;
                slot.prune(self);
                prune(self, trashed);
                Ok(Some(taken.trashed))
            }
            Err(error) => {
                back();
                Err(refuse(DOING)(error))
            }
        }
    }

    /// Puts back every file below the directory `dir` that is not there any more, each in its newest version. What is there stays as it is.
    ///
    /// # Errors
    /// The trash cannot be listed. A file that cannot be put back is told to `each`.
    pub fn put_back_below(
        &self,
        dir: &RelPath,
        each: &mut dyn FnMut(Left, Result<(), Refused>),
    ) -> Result<(), Failure> {
        let name = |error: crate::model::PathError| Failure::wedge("name", error.to_string());
        let handle = self.handle().map_err(|error| failure("listing the trash", error))?;
        for (stamp, when) in self.stamps()?.into_iter().rev() {
            let notes = journal::read(&handle, &stamp);
            let top = RelPath::parse(&format!("{OWN}/{TRASH}/{stamp}")).map_err(name)?;
            let start = place(&Trashed { stamp: stamp.clone(), path: dir.clone() })?;
            if self.observe(&start) != Local::Dir {
                continue;
            }
            scan(self, &|_, _| false, &start, &mut |_| {}, &mut |scanned| {
                let Scanned::Dir { dir, files, .. } = scanned else { return ControlFlow::Continue(()) };
                let inside = dir.as_str().strip_prefix(top.as_str()).unwrap_or_default().trim_start_matches('/');
                for (name, stat) in files {
                    let Ok(path) = RelPath::parse(inside).and_then(|inside| inside.child(&name)) else { continue };
                    if self.observe(&path) != Local::Absent {
                        continue;
                    }
                    let trashed = Trashed { stamp: stamp.clone(), path };
                    let put = self.put_back(&trashed, &Local::Absent, when).map(|_| ());
                    let written_since = written_since(&stat, when, &notes.of(&trashed.path));
                    each(Left { trashed, stat, when, written_since }, put);
                }
                ControlFlow::Continue(())
            });
        }
        Ok(())
    }
}

/// A name beside `path` that is free, for what cannot stand at `path` itself; `n` counts the tries from 1.
///
/// # Errors
/// The name cannot be built.
pub fn beside(path: &RelPath, n: usize) -> Result<RelPath, Failure> {
    let name = crate::local::trash::inventory::beside(path.name(), n);
    path.parent().unwrap_or_default().child(&name).map_err(|error| Failure::wedge("name", error.to_string()))
}
