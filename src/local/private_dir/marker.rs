//! The marker that tells a folder's root from an empty mount point: `.ferrybox/root-id`.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::str::FromStr;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, openat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use crate::env;
use crate::local::Root;
use crate::local::error::{failure, io_failure, is_absence};
use crate::local::private_dir::{OWN, own_dir};
use crate::model::{Failure, RelPath};

const FILE: &str = "root-id";
/// Changes with each run, and is known to the database: two copies of either that have gone apart are told by it.
const RUN: &str = "run-id";

/// A root's identity: 128 random bits, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RootId(String);

impl RootId {
    /// A new one.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new() -> Result<Self, Failure> {
        let mut bits = [0; 16];
        env::fill_random(&mut bits)
            .map_err(|error| Failure::retry("resources", format!("the system gives no random numbers: {error}")))?;
        Ok(Self(format!("{:032x}", u128::from_be_bytes(bits))))
    }

    /// The 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RootId {
    type Err = Failure;
    fn from_str(text: &str) -> Result<Self, Failure> {
        let ok = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        ok.then(|| Self(text.to_owned())).ok_or_else(|| {
            Failure::retry(
                "root_missing",
                "the folder's marker `.ferrybox/root-id` is damaged: restore that file from a backup",
            )
        })
    }
}

impl Root {
    /// The root's marker; `Ok(None)` if it has none.
    ///
    /// # Errors
    /// It is there and damaged, or cannot be read.
    pub fn marker(&self) -> Result<Option<RootId>, Failure> {
        self.read_id(FILE)
    }

    /// The mark of the last run; `Ok(None)` if it has none.
    ///
    /// # Errors
    /// It is there and damaged, or cannot be read.
    pub fn run_mark(&self) -> Result<Option<RootId>, Failure> {
        self.read_id(RUN)
    }

    /// Puts the mark of this run in the place of the last one's, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn set_run_mark(&self, id: &RootId) -> Result<(), Failure> {
        let doing = "writing `.ferrybox/run-id`";
        let fail = |error| failure(doing, error);
        let dir = self.own_dir().map_err(fail)?;
        let (mut file, temporary) = temporary(&dir, RUN, doing)?;
        let placed = writeln!(file, "{id}")
            .and_then(|()| file.sync_all())
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
            .and_then(|()| renameat(&dir, temporary.as_str(), &dir, RUN));
        if let Err(error) = placed {
            take_away(&dir, &temporary);
            return Err(fail(error));
        }
        File::from(dir).sync_all().map_err(|error| io_failure(doing, &error))
    }

    /// What stands in the marker's place, which may be nothing that could be one; `Ok(None)` only where nothing stands there.
    pub(crate) fn marker_text(&self) -> Result<Option<String>, Failure> {
        self.read_text(FILE)
    }

    fn read_id(&self, name: &str) -> Result<Option<RootId>, Failure> {
        self.read_text(name)?.map(|text| text.parse()).transpose()
    }

    fn read_text(&self, name: &str) -> Result<Option<String>, Failure> {
        let doing = "reading the folder's marker";
        let path =
            RelPath::parse(&format!("{OWN}/{name}")).map_err(|error| Failure::wedge("name", error.to_string()))?;
        match self.observe(&path) {
            crate::model::Local::Absent => return Ok(None),
            crate::model::Local::Unknown(failure) => return Err(failure),
            crate::model::Local::File(_) => {}
            // Something else in its place is no marker.
            crate::model::Local::Dir | crate::model::Local::Other(_) => return Ok(Some(String::new())),
        }
        let (file, _) = self.open_file(&path)?;
        let mut bytes = Vec::new();
        file.take(64).read_to_end(&mut bytes).map_err(|error| io_failure(doing, &error))?;
        Ok(Some(String::from_utf8_lossy(&bytes).trim_end().to_owned()))
    }

    /// Makes `.ferrybox` (for the owner only) and writes the marker, whole or not at all. An existing marker is never replaced.
    ///
    /// Whether there ought to be one already is the caller's to know: a database that has an id must not get a new marker.
    ///
    /// # Errors
    /// A marker exists (`conflict`), or the directory cannot be written.
    pub fn write_marker(&self, id: &RootId) -> Result<(), Failure> {
        let doing = "writing `.ferrybox/root-id`";
        let fail = |error| failure(doing, error);
        let dir = self.own_dir().map_err(fail)?;
        let (mut file, temporary) = temporary(&dir, FILE, doing)?;
        let placed = writeln!(file, "{id}")
            .and_then(|()| file.sync_all())
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
            .and_then(|()| place(&dir, &temporary));
        if let Err(error) = placed {
            take_away(&dir, &temporary);
            return Err(match error {
                Errno::EXIST => {
                    Failure::wedge("conflict", "the folder has a marker already: it belongs to another set-up")
                }
                error => fail(error),
            });
        }
        File::from(dir).sync_all().map_err(|error| io_failure(doing, &error))
    }

    fn own_dir(&self) -> rustix::io::Result<OwnedFd> {
        own_dir(&*self.handle()?)
    }
}

/// A new file beside the one that it is to become.
fn temporary(dir: &OwnedFd, name: &str, doing: &str) -> Result<(File, String), Failure> {
    let temporary = format!("{name}.{}", RootId::new()?);
    let how = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(dir, temporary.as_str(), how, Mode::RUSR | Mode::WUSR).map_err(|error| failure(doing, error))?;
    Ok((File::from(file), temporary))
}

fn take_away(dir: &OwnedFd, temporary: &str) {
    if let Err(left) = unlinkat(dir, temporary, AtFlags::empty()) {
        tracing::debug!(%left, "an unfinished marker stays in .ferrybox");
    }
}

fn place(dir: &OwnedFd, temporary: &str) -> rustix::io::Result<()> {
    match renameat_with(dir, temporary, dir, FILE, RenameFlags::NOREPLACE) {
        // This file system cannot do both in one step; nobody else writes here.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => match statat(dir, FILE, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(Errno::EXIST),
            Err(error) if is_absence(error) => renameat(dir, temporary, dir, FILE),
            Err(error) => Err(error),
        },
        other => other,
    }
}
