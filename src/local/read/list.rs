//! One directory's entries.

use std::ffi::CStr;

use rustix::fs::{AtFlags, Dir, FileType, OFlags, fstat, statat};
use rustix::io::Errno;

use crate::local::Root;
use crate::local::error::failure;
use crate::local::root::{device, kind_word, local};
use crate::model::{Failure, Local, RelPath, Stat};

/// So many directories inside one another are looked into. A listing of Dropbox's may be twice as deep (`dropbox/routes/page.rs`), the folder's own place there
/// included, and each level costs as much again as all above it: their paths are read, matched with patterns and stored whole.
const DEEPEST: usize = 500;

/// What an entry is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A regular file.
    File(Stat),
    /// A directory.
    Dir,
    /// A symlink, FIFO, socket or device.
    Other(&'static str),
    /// It is there, and looking at it failed.
    Unknown(Failure),
}

/// One directory, listed.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// The entries, sorted by the bytes of their names.
    pub entries: Vec<(String, Kind)>,
    /// Names that are not UTF-8, made readable (`\xff`), and directories that are too deep, with what to do.
    pub odd: Vec<(String, Failure)>,
    /// The directory's device number.
    pub dev: u64,
    /// `None`: these are all entries. Else listing broke off: what is not here may be there.
    pub incomplete: Option<Failure>,
}

impl Root {
    /// Lists the directory `path`.
    ///
    /// # Errors
    /// It cannot be opened: its entries are unknown, not gone.
    pub fn read_dir(&self, path: &RelPath) -> Result<Listing, Failure> {
        let doing = "listing it";
        let depth = path.components().count();
        if depth > DEEPEST {
            return Err(too_deep());
        }
        let dir = self.open_dir(path, OFlags::RDONLY).map_err(|error| failure(doing, error))?;
        let dev = device(&fstat(&dir).map_err(|error| failure(doing, error))?);
        let mut listing = Listing { entries: Vec::new(), odd: Vec::new(), dev, incomplete: None };
        let mut dir = Dir::new(dir).map_err(|error| failure(doing, error))?;
        while let Some(entry) = dir.read() {
            crate::local::attend::piece();
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    listing.incomplete = Some(failure(doing, error));
                    break;
                }
            };
            let raw = entry.file_name();
            if raw == c"." || raw == c".." {
                continue;
            }
            let Ok(name) = raw.to_str() else {
                listing.odd.push((readable(raw), not_utf8()));
                continue;
            };
            let kind = match entry.file_type() {
                FileType::Directory => Kind::Dir,
                FileType::RegularFile | FileType::Unknown => {
                    match dir.fd().and_then(|dir| statat(dir, raw, AtFlags::SYMLINK_NOFOLLOW)).map(|stat| local(&stat))
                    {
                        Ok(Local::File(stat)) => Kind::File(stat),
                        Ok(Local::Dir) => Kind::Dir,
                        Ok(Local::Other(kind)) => Kind::Other(kind),
                        Ok(Local::Absent | Local::Unknown(_)) | Err(Errno::NOENT) => continue,
                        Err(error) => Kind::Unknown(failure("looking at it", error)),
                    }
                }
                other => Kind::Other(kind_word(other)),
            };
            if depth == DEEPEST && kind == Kind::Dir {
                listing.odd.push((name.to_owned(), too_deep()));
            } else {
                listing.entries.push((name.to_owned(), kind));
            }
        }
        listing.entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        listing.odd.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(listing)
    }
}

fn not_utf8() -> Failure {
    Failure::wedge(
        "name_encoding",
        "the name is not UTF-8, and Dropbox has no name for it: rename it (convmv can rename many)",
    )
}

fn too_deep() -> Failure {
    Failure::wedge(
        "too_deep",
        format!("it is a directory inside {DEEPEST} others, and nothing in it is synced: move it further up"),
    )
}

fn readable(name: &CStr) -> String {
    name.to_bytes()
        .utf8_chunks()
        .fold(String::new(), |text, chunk| format!("{text}{}{}", chunk.valid(), chunk.invalid().escape_ascii()))
}
