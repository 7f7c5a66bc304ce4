//! Taking a file to the trash: by a rename, or by a copy where the trash lies on another file system.

use std::os::fd::AsFd;

use crate::local::error::{Refused, refuse};
use crate::local::install::Entry;
use crate::local::install::sidecar::Side;
use crate::local::private_dir::{is_same, look, moment, move_in, move_out};
use crate::local::root::Handle;
use crate::local::trash::journal::Going;
use crate::local::trash::{DOING, Slot, copy_to_slot, slot};
use crate::model::{RelPath, Stat};

/// Moves the file at `at` to the trash, and back again if it was not `seen`.
pub(in crate::local) fn take(
    handle: &Handle,
    at: Entry<'_>,
    path: &RelPath,
    seen: &Stat,
    going: &Going,
) -> Result<Slot, Refused> {
    let known = going.notes(seen);
    let slot = match slot(handle, path, going.when, &known, &mut |dir, name| move_in(handle, at.0, at.1, dir, name)) {
        Err(Refused::Failed(failure)) if failure.code == "other_device" => {
            return across(handle, at, path, seen, going);
        }
        other => other?,
    };
    moment("taken");
    if is_same(seen, look(slot.dir.as_fd(), path.name()).unwrap_or(None).as_ref()) {
        return Ok(slot);
    }
    // If something new has its name already, it stays where it is: in the trash.
    let _ = move_out(handle, slot.dir.as_fd(), path.name(), at.0, at.1);
    Err(Refused::Changed)
}

/// To the trash on another file system: out of the way first, so that what is copied is what is removed.
fn across(handle: &Handle, at: Entry<'_>, path: &RelPath, seen: &Stat, going: &Going) -> Result<Slot, Refused> {
    let side = Side::old_one(at.1, [going.holds, None])?;
    let side = (at.0, side.name());
    move_in(handle, at.0, at.1, side.0, side.1).map_err(refuse(DOING))?;
    moment("aside");
    let put_back = || {
        let _ = move_out(handle, side.0, side.1, at.0, at.1);
    };
    if !is_same(seen, look(side.0, side.1).unwrap_or(None).as_ref()) {
        put_back();
        return Err(Refused::Changed);
    }
    copy_to_slot(handle, side, path, going, &|| {}).inspect_err(|_| put_back())
}
