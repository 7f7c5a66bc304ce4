//! What a file looks like apart from its content: permissions, group, extended attributes, time.

use std::fs::File;

use rustix::fs::{
    Gid, Mode, OFlags, RawMode, Timespec, Timestamps, UTIME_OMIT, XattrFlags, fchmod, fchown, fgetxattr, flistxattr,
    fsetxattr, fstat, futimens, openat,
};

use crate::local::error::failure;
use crate::local::install::Entry;
use crate::local::private_dir::wrote;
use crate::model::Failure;

const PERMISSIONS: RawMode = 0o777;
const OTHERS: RawMode = 0o007;
const SET_GROUP: RawMode = 0o2000;

/// How a file is to look.
pub(crate) struct Looks {
    /// The file whose looks it takes over.
    pub(crate) replaced: Option<rustix::fs::Stat>,
    /// The permissions of a new file.
    pub(crate) plain_mode: RawMode,
    /// Seconds since 1970.
    pub(crate) mtime: Option<i64>,
}

/// Gives `file`, which is to stand at `at`, its looks, and sees to it that it lasts. Content has to be safe; looks are done as well as it goes.
pub(crate) fn dress(file: &File, at: Entry<'_>, looks: &Looks) -> Result<(), Failure> {
    let doing = "finishing the download";
    let now = fstat(file).map_err(|error| failure(doing, error))?;
    // Never set-user-id, set-group-id or sticky.
    let mut mode = looks.replaced.as_ref().map_or(looks.plain_mode, |old| old.st_mode) & PERMISSIONS;
    let group = match &looks.replaced {
        Some(old) => Some(old.st_gid),
        // A directory can hand its group on to what is made in it.
        None => fstat(at.0).ok().filter(|dir| dir.st_mode & SET_GROUP != 0).map(|dir| dir.st_gid),
    };
    if let Some(group) = group.filter(|group| *group != now.st_gid)
        && fchown(file, None, Some(Gid::from_raw(group))).is_err()
    {
        // Another group than the owner meant shall not see more than anybody may.
        mode &= !0o070 | ((mode & OTHERS) << 3);
    }
    if mode != now.st_mode & PERMISSIONS
        && let Err(error) = fchmod(file, Mode::from_raw_mode(mode))
    {
        tracing::debug!(%error, "the permissions of a download cannot be set on this file system");
    }
    if looks.replaced.is_some() {
        copy_attributes(at, file);
    }
    if let Some(seconds) = looks.mtime {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: seconds, tv_nsec: 0 },
        };
        if let Err(error) = futimens(file, &times) {
            tracing::debug!(%error, seconds, "the time of a download cannot be set on this file system");
        }
    }
    file.sync_all().map_err(|error| wrote(doing, &error))
}

/// The owner's own attributes and the access list; where it may not be read or written, there are none.
fn copy_attributes(at: Entry<'_>, file: &File) {
    let how = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(old) = openat(at.0, at.1, how, Mode::empty()) else { return };
    let mut names = vec![0; 64 << 10];
    let Ok(len) = flistxattr(&old, names.as_mut_slice()) else { return };
    let mut value = vec![0; 64 << 10];
    for name in names.get(..len).unwrap_or_default().split(|byte| *byte == 0) {
        if !name.starts_with(b"user.") && name != b"system.posix_acl_access" {
            continue;
        }
        if let Ok(len) = fgetxattr(&old, name, value.as_mut_slice()) {
            let _ = fsetxattr(file, name, value.get(..len).unwrap_or_default(), XattrFlags::empty());
        }
    }
}
