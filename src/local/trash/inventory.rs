//! What lies in the trash: told, given back, and removed when it is old or the trash too large.

use std::ops::ControlFlow;

use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;

use super::writers::Writers;
use crate::local::error::{Refused, failure, is_absence, refuse};
use crate::local::private_dir::{OWN, TRASH, move_out, not_ours, sync_dir};
use crate::local::root::make::{above, occupied, parent};
use crate::local::scan::{Scanned, scan};
use crate::local::trash::journal;
use crate::local::trash::journal::Note;
use crate::local::trash::{Trashed, prune, stamped};
use crate::local::{Kind, Root, read_through};
use crate::model::{ContentHash, ContentHasher, Failure, Next, RelPath, Stat, UnixMs};

const DOING: &str = "taking it out of the trash";
/// Where nothing is noted of a file, one that was written to this much later than it went was written to in the trash.
const SLACK_MS: i64 = 2_000;
const NANOS: i64 = 1_000_000;
/// Changed files that one purge tells: the next one tells the rest.
const MAX_CHANGED: usize = 1_000;
/// Names that are tried for a file whose own name is taken.
const MAX_NAMES: usize = 1_000;
/// What a name may have on most file systems, in bytes.
const NAME_MAX: usize = 255;

/// A file in the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Where.
    pub trashed: Trashed,
    /// The file, as it is now.
    pub stat: Stat,
    /// When it went, in whole seconds.
    pub when: UnixMs,
    /// A program that still had it open wrote to it afterwards, as far as its size and times tell. It is never purged: give it out as a conflicted
    /// copy.
    pub written_since: bool,
}

/// What a purge is to keep.
pub struct Keep<'a> {
    /// The caller's own count of time, in ms. It never goes back, but for a caller that has lost it.
    pub count: i64,
    /// Whether what is seen since then may go.
    pub is_old: &'a dyn Fn(i64) -> bool,
    /// Bytes that may stay: of more, what is seen the longest goes first.
    pub max_bytes: u64,
    /// Called for each file, and with each piece that is read of one: it may all take long.
    pub alive: &'a dyn Fn(),
}

/// What a purge did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purged {
    /// Files that are gone now.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that stay.
    pub kept: u64,
    /// Files that stay because a program has them open for writing, or because they cannot be read.
    pub in_use: u64,
    /// Files, not all of them if there are very many, that stay because they do not hold any more what they held when they went.
    pub changed: Vec<Left>,
    /// Why since when something is seen could not be noted: to the next purge it will be new once more. The disk may be full, and purging makes room.
    pub unnoted: Option<Failure>,
}

impl Root {
    /// Tells every file in the trash, the oldest first.
    ///
    /// # Errors
    /// A directory of the trash cannot be listed.
    pub fn trash_list(&self, each: &mut dyn FnMut(Left) -> ControlFlow<()>) -> Result<(), Failure> {
        for (stamp, when) in self.stamps()? {
            if self.stamp_list(&stamp, when, &mut |_| {}, &mut |left, _| each(left))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Gives a file back: to its own place if nothing is there, else beside it under a name that says so. Says where it is now.
    ///
    /// # Errors
    /// [`Refused::Changed`] if it is not in the trash any more; else as placing.
    pub fn restore(&self, trashed: &Trashed) -> Result<RelPath, Refused> {
        not_ours(&trashed.path)?;
        let place = place(trashed)?;
        let handle = self.handle().map_err(refuse(DOING))?;
        let from = match above(self, &place) {
            Ok(from) => from,
            Err(error) if is_absence(error) => return Err(Refused::Changed),
            Err(error) => return Err(refuse(DOING)(error)),
        };
        use std::os::fd::AsFd;
        let dir = parent(self, &trashed.path)?;
        for n in 0..MAX_NAMES {
            let name = if n == 0 { trashed.path.name().to_owned() } else { beside(trashed.path.name(), n) };
            match move_out(&handle, from.as_fd(), place.name(), dir.as_fd(), &name) {
                Ok(()) => {
                    sync_dir(dir.as_fd()).map_err(refuse(DOING))?;
                    prune(self, trashed);
                    let above = trashed.path.parent().unwrap_or_default();
                    return Ok(above.child(&name).map_err(|error| Failure::wedge("name", error.to_string()))?);
                }
                Err(Errno::EXIST) => {}
                Err(Errno::NOENT) => return Err(Refused::Changed),
                Err(error) => return Err(refuse(DOING)(error)),
            }
        }
        Err(occupied(dir.as_fd(), trashed.path.name(), DOING))
    }

    /// Removes what has been seen in the trash for long enough, then the oldest files until at most `max_bytes` are left. A file goes only if it holds
    /// what it held when it went, and no program is known to have it open for writing.
    ///
    /// The times in the trash's names only order it: the clock that they come from may have been wrong. What is seen for the first time is noted
    /// with the caller's count.
    ///
    /// # Errors
    /// A directory of the trash cannot be listed, or a file cannot be removed.
    pub fn purge(&self, keep: &Keep<'_>) -> Result<Purged, Failure> {
        let handle = self.handle().map_err(|error| failure("emptying the trash", error))?;
        let mut purged = Purged::default();
        self.trash_list(&mut |left| {
            (keep.alive)();
            purged.kept += left.stat.size;
            if left.written_since && purged.changed.len() < MAX_CHANGED {
                purged.changed.push(left);
            }
            ControlFlow::Continue(())
        })?;
        let mut stamps = Vec::new();
        for (stamp, when) in self.stamps()? {
            let seen = match journal::seen(&handle, &stamp) {
                Some(seen) if seen <= keep.count => seen,
                _ => {
                    if let Err(failure) = journal::set_seen(&handle, &stamp, keep.count) {
                        purged.unnoted.get_or_insert(failure);
                    }
                    keep.count
                }
            };
            stamps.push((seen, stamp, when));
        }
        stamps.sort_by_key(|(seen, ..)| *seen);
        let mut writers = None;
        for (seen, stamp, when) in stamps {
            let is_due = |kept: u64| (keep.is_old)(seen) || kept > keep.max_bytes;
            if !is_due(purged.kept) {
                break;
            }
            let mut dirs = Vec::new();
            let mut broken = None;
            let _ = self.stamp_list(&stamp, when, &mut |dir| dirs.push(dir.clone()), &mut |left, known| {
                (keep.alive)();
                if !is_due(purged.kept) {
                    return ControlFlow::Break(());
                }
                if left.written_since {
                    return ControlFlow::Continue(());
                }
                if writers.get_or_insert_with(Writers::look).have(&left.stat) {
                    purged.in_use += 1;
                    return ControlFlow::Continue(());
                }
                match self.holds(&left, known, keep.alive) {
                    Ok(true) => {}
                    Ok(false) => {
                        if purged.changed.len() < MAX_CHANGED {
                            purged.changed.push(left);
                        }
                        return ControlFlow::Continue(());
                    }
                    // One that cannot be read, now or ever, keeps no other.
                    Err(failure) => {
                        tracing::debug!(place = %left.trashed.place(), reason = %failure.text, "not purged");
                        purged.in_use += 1;
                        return ControlFlow::Continue(());
                    }
                }
                match self.remove(&left.trashed) {
                    Ok(()) => {
                        purged.files += 1;
                        purged.bytes += left.stat.size;
                        purged.kept = purged.kept.saturating_sub(left.stat.size);
                    }
                    Err(failure) if failure.next == Next::Look || failure.code == "permission" => purged.in_use += 1,
                    Err(failure) => {
                        broken = Some(failure);
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            })?;
            // The deepest come last in a scan.
            for dir in dirs.iter().rev() {
                let _ = above(self, dir).and_then(|above| unlinkat(above, dir.name(), AtFlags::REMOVEDIR));
            }
            if let Some(failure) = broken {
                return Err(failure);
            }
        }
        journal::sweep(&handle)?;
        Ok(purged)
    }

    /// Whether the file holds one of the contents that are noted of it. Of what nothing is noted, its times are all that there is.
    fn holds(&self, left: &Left, known: &[Note], alive: &dyn Fn()) -> Result<bool, Failure> {
        if known.is_empty() {
            return Ok(true);
        }
        let mut hasher = ContentHasher::new();
        let stat = read_through(self, &place(&left.trashed)?, None, &mut |bytes| {
            alive();
            hasher.update(bytes);
        })?;
        if stat != left.stat {
            return Err(Failure::look("busy", "it was written to in the trash: it is looked at again"));
        }
        let holds = hasher.finish();
        Ok(known.iter().any(|note| note.hash == holds))
    }

    /// Notes that a file of the trash may go like any other: what it holds now is kept elsewhere, too.
    ///
    /// # Errors
    /// As writing.
    pub fn is_kept(&self, left: &Left, holds: ContentHash) -> Result<(), Failure> {
        let handle = self.handle().map_err(|error| failure("emptying the trash", error))?;
        journal::add(&handle, &left.trashed.stamp, &left.trashed.path, &[Note::of(&left.stat, holds)])
    }

    fn remove(&self, trashed: &Trashed) -> Result<(), Failure> {
        let place = place(trashed)?;
        match above(self, &place).and_then(|above| unlinkat(above, place.name(), AtFlags::empty())) {
            Err(error) if !is_absence(error) => Err(refuse("emptying the trash")(error).into_failure()),
            _ => Ok(()),
        }
    }

    /// The directories of the trash, the oldest first.
    pub(crate) fn stamps(&self) -> Result<Vec<(String, UnixMs)>, Failure> {
        let trash = RelPath::parse(&format!("{OWN}/{TRASH}")).map_err(|e| Failure::wedge("name", e.to_string()))?;
        if self.observe(&trash) == crate::model::Local::Absent {
            return Ok(Vec::new());
        }
        let entries = self.read_dir(&trash)?.entries;
        let dirs = entries.into_iter().filter(|(_, kind)| *kind == Kind::Dir);
        let mut stamps: Vec<_> = dirs.filter_map(|(name, _)| stamped(&name).map(|when| (name, when))).collect();
        // Those of one second in the order in which they were made: `-2` before `-10`.
        stamps.sort_by(|(a, x), (b, y)| (x, a.len(), a).cmp(&(y, b.len(), b)));
        Ok(stamps)
    }

    fn stamp_list(
        &self,
        stamp: &str,
        when: UnixMs,
        dirs: &mut dyn FnMut(&RelPath),
        each: &mut dyn FnMut(Left, &[Note]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Failure> {
        let handle = self.handle().map_err(|error| failure("listing the trash", error))?;
        let notes = journal::read(&handle, stamp);
        let name = |error: crate::model::PathError| Failure::wedge("name", error.to_string());
        let top = RelPath::parse(&format!("{OWN}/{TRASH}/{stamp}")).map_err(name)?;
        let mut broken = None;
        let end = scan(self, &|_, _| false, &top, &mut |_| {}, &mut |scanned| {
            let (dir, files) = match scanned {
                Scanned::Dir { dir, files, .. } => (dir, files),
                // Removed meanwhile, or not readable: the rest is told all the same.
                Scanned::Unreadable { failure, .. } => {
                    if failure.next != crate::model::Next::Look {
                        broken = Some(failure);
                    }
                    return ControlFlow::Continue(());
                }
            };
            dirs(&dir);
            let inside = dir.as_str().strip_prefix(top.as_str()).unwrap_or_default().trim_start_matches('/');
            for (name, stat) in files {
                let path = if inside.is_empty() { name } else { format!("{inside}/{name}") };
                let Ok(path) = RelPath::parse(&path) else { continue };
                let known = notes.of(&path);
                let trashed = Trashed { stamp: stamp.to_owned(), path };
                each(Left { trashed, stat, when, written_since: written_since(&stat, when, &known) }, &known)?;
            }
            ControlFlow::Continue(())
        });
        match broken {
            Some(failure) => Err(failure),
            None if end.stopped => Ok(ControlFlow::Break(())),
            None => Ok(ControlFlow::Continue(())),
        }
    }
}

/// By what is noted of the file; else by its times: a write sets both to the same moment, and going to the trash only the inode's own.
pub(crate) fn written_since(stat: &Stat, when: UnixMs, known: &[Note]) -> bool {
    if known.is_empty() {
        return stat.mtime_ns == stat.ctime_ns && stat.mtime_ns / NANOS > when.saturating_add(SLACK_MS);
    }
    !known.iter().any(|note| (note.size, note.mtime_ns) == (stat.size, stat.mtime_ns))
}

pub(crate) fn place(trashed: &Trashed) -> Result<RelPath, Failure> {
    if stamped(&trashed.stamp).is_none() || trashed.stamp.contains('/') {
        return Err(Failure::wedge("name", format!("`{}` is no time of the trash", trashed.stamp)));
    }
    RelPath::parse(&trashed.place()).map_err(|error| Failure::wedge("name", error.to_string()))
}

/// `a.txt` becomes `a (restored).txt`, then `a (restored 2).txt`.
pub(crate) fn beside(name: &str, n: usize) -> String {
    let mark = if n == 1 { " (restored)".to_owned() } else { format!(" (restored {n})") };
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && ending.len() <= 16 => (stem, format!(".{ending}")),
        _ => (name, String::new()),
    };
    let mut room = NAME_MAX.saturating_sub(mark.len() + ending.len()).min(stem.len());
    while !stem.is_char_boundary(room) {
        room -= 1;
    }
    format!("{}{mark}{ending}", stem.get(..room).unwrap_or_default())
}
