//! What is known of what lies in the trash, in `.ferrybox/notes`: a file for each of the trash's times, of lines that are only ever added.
//!
//! A line is written before the file goes that it is about, so that no crash leaves a file without its line; a line without a file means nothing. It
//! is not made to last through a loss of power: no program that kept the file open outlives that, either.

use std::io::{Read, Write};
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

use crate::local::error::write_failure;
use crate::local::private_dir::{TRASH, look, own_place, wrote};
use crate::local::root::Handle;
use crate::local::trash::stamped;
use crate::model::{ContentHash, Failure, RelPath, Stat, UnixMs};

const NOTES: &str = "notes";
const DOING: &str = "noting what goes to the trash";
/// A file beside it says since when the time is seen.
const SEEN: &str = ".seen";

/// When something goes to the trash, and what it holds, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Going {
    /// Now.
    pub when: UnixMs,
    /// What both sides had agreed on. What holds anything else when it is to be purged was written to meanwhile.
    pub holds: Option<ContentHash>,
}

impl From<UnixMs> for Going {
    fn from(when: UnixMs) -> Self {
        Self { when, holds: None }
    }
}

impl Going {
    /// What is to be noted of the file `seen`.
    pub(crate) fn notes(&self, seen: &Stat) -> Vec<Note> {
        self.holds.map(|hash| Note::of(seen, hash)).into_iter().collect()
    }
}

/// What a file held when it went. Of several, any may be true: they are contents that somebody else has, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) hash: ContentHash,
    pub(crate) size: u64,
    pub(crate) mtime_ns: i64,
}

impl Note {
    pub(crate) fn of(stat: &Stat, hash: ContentHash) -> Self {
        Self { hash, size: stat.size, mtime_ns: stat.mtime_ns }
    }
}

/// The notes of one time.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    files: Vec<(String, Note)>,
}

impl Notes {
    /// What is noted of one path.
    pub(crate) fn of(&self, path: &RelPath) -> Vec<Note> {
        let at = self.files.partition_point(|(of, _)| of.as_str() < path.as_str());
        let rest = self.files.get(at..).unwrap_or_default();
        rest.iter().take_while(|(of, _)| of == path.as_str()).map(|(_, note)| *note).collect()
    }
}

/// Adds what is known of a file that is about to go.
pub(crate) fn add(handle: &Handle, stamp: &str, path: &RelPath, notes: &[Note]) -> Result<(), Failure> {
    let path = path.as_str().replace('\\', "\\\\").replace('\n', "\\n");
    let line = |note: &Note| format!("\n{} {} {} {path}", note.hash, note.size, note.mtime_ns);
    append(handle, stamp, &notes.iter().map(line).collect::<String>())
}

/// Notes since when a time is seen, in ms of the caller's own count.
pub(crate) fn set_seen(handle: &Handle, stamp: &str, seen: i64) -> Result<(), Failure> {
    append(handle, &format!("{stamp}{SEEN}"), &format!("\n{seen}"))
}

/// Since when a time is seen.
pub(crate) fn seen(handle: &Handle, stamp: &str) -> Option<i64> {
    text(handle, &format!("{stamp}{SEEN}")).lines().next_back()?.parse().ok()
}

/// Whether a time is seen: what goes later is younger than what is there, whatever the clock says.
pub(crate) fn is_seen(handle: &Handle, stamp: &str) -> rustix::io::Result<bool> {
    let dir = own_place(handle, NOTES)?;
    Ok(look(dir.as_fd(), &format!("{stamp}{SEEN}"))?.is_some())
}

fn append(handle: &Handle, name: &str, text: &str) -> Result<(), Failure> {
    if text.is_empty() {
        return Ok(());
    }
    let fail = |error| write_failure(DOING, error);
    let dir = own_place(handle, NOTES).map_err(fail)?;
    let how = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(&dir, name, how, Mode::RUSR | Mode::WUSR).map_err(fail)?;
    // Each line begins with its line feed: one that a crash cut off does not spoil the next.
    std::fs::File::from(file).write_all(text.as_bytes()).map_err(|error| wrote(DOING, &error))
}

fn text(handle: &Handle, name: &str) -> String {
    let how = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = own_place(handle, NOTES).and_then(|dir| openat(dir, name, how, Mode::empty())) else {
        return String::new();
    };
    let mut bytes = Vec::new();
    match std::fs::File::from(file).read_to_end(&mut bytes) {
        // A line that was cut off inside a letter spoils no other.
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

/// Reads what is known of one time. What cannot be read is not known.
pub(crate) fn read(handle: &Handle, stamp: &str) -> Notes {
    let mut files: Vec<_> = text(handle, stamp).split('\n').filter_map(parse).collect();
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    Notes { files }
}

fn parse(line: &str) -> Option<(String, Note)> {
    let mut words = line.splitn(4, ' ');
    let (hash, size, mtime) = (words.next()?, words.next()?, words.next()?);
    let note = Note { hash: hash.parse().ok()?, size: size.parse().ok()?, mtime_ns: mtime.parse().ok()? };
    let mut path = String::new();
    let mut letters = words.next()?.chars();
    while let Some(letter) = letters.next() {
        path.push(match (letter, letter == '\\') {
            (_, true) => match letters.next()? {
                'n' => '\n',
                other => other,
            },
            (letter, false) => letter,
        });
    }
    Some((path, note))
}

/// Removes the notes of times of which nothing is in the trash any more.
pub(crate) fn sweep(handle: &Handle) -> Result<(), Failure> {
    let fail = |error| write_failure("tidying `.ferrybox/notes`", error);
    let notes = own_place(handle, NOTES).map_err(fail)?;
    let trash = own_place(handle, TRASH).map_err(fail)?;
    for entry in Dir::read_from(&notes).map_err(fail)?.flatten() {
        let Ok(name) = entry.file_name().to_str() else { continue };
        let stamp = name.strip_suffix(SEEN).unwrap_or(name);
        if stamped(stamp).is_none() || look(trash.as_fd(), stamp).map_err(fail)?.is_some() {
            continue;
        }
        match unlinkat(&notes, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => {}
            Err(error) => return Err(fail(error)),
        }
    }
    Ok(())
}
