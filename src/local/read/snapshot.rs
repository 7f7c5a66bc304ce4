//! A copy of a file that never rests, taken at one moment and read instead of it. Lives in `.ferrybox/tmp` of the same root, so that the file
//! system can share the blocks.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use crate::env;
use crate::local::error::{failure, io_failure};
use crate::local::{Root, stat_of};
use crate::model::{Failure, RelPath, Stat};

const DIR: &str = ".ferrybox";
const TMP: &str = ".ferrybox/tmp";
/// What our copies' names begin with.
const PREFIX: &str = "up-";
const BUFFER: usize = 1 << 20;

/// A copy of a file; it is removed when this value goes.
#[derive(Debug)]
pub struct Snapshot {
    root: Root,
    /// Where it lies, below the root.
    pub path: RelPath,
    /// The copy's own stat.
    pub stat: Stat,
    /// The file as it was when the copying began: if it is not that any more, it has to be looked at again.
    pub source: Stat,
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Ok(dir) = tmp(&self.root) {
            let _ = unlinkat(dir, self.path.name(), AtFlags::empty());
        }
    }
}

impl Root {
    /// Copies the file `path` as it is now. Where the file system cannot share blocks, the bytes are copied, if there are at most `limit`.
    ///
    /// # Errors
    /// `busy` if it is too large to be copied, `disk_full`, or as [`Root::open_file`].
    pub fn snapshot(&self, path: &RelPath, limit: u64) -> Result<Snapshot, Failure> {
        let doing = "copying a file that is never at rest into `.ferrybox/tmp`";
        let (file, source) = self.open_file(path)?;
        let mut bits = [0; 8];
        env::fill_random(&mut bits)
            .map_err(|error| Failure::retry("resources", format!("the system gives no random numbers: {error}")))?;
        let name = format!("{PREFIX}{:016x}", u64::from_be_bytes(bits));
        let dir = tmp(self).map_err(|error| failure(doing, error))?;
        let how = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let copy = openat(&dir, name.as_str(), how, Mode::RUSR | Mode::WUSR).map_err(|error| failure(doing, error))?;
        let path = RelPath::parse(&format!("{TMP}/{name}")).map_err(|e| Failure::wedge("name", e.to_string()))?;
        // From here on the copy goes with this value, whatever happens.
        let mut snapshot = Snapshot { root: self.clone(), path, stat: source, source };
        let copy = File::from(copy);
        if !shared(&copy, &file) {
            if source.size > limit {
                let text = format!(
                    "it is never at rest, and {} bytes are too many to be copied first: it is sent when it rests",
                    source.size
                );
                return Err(Failure::look("busy", text));
            }
            copy_bytes(&file, &copy, source.size).map_err(|error| io_failure(doing, &error))?;
        }
        snapshot.stat = stat_of(&copy).map_err(|error| io_failure(doing, &error))?;
        Ok(snapshot)
    }

    /// Removes copies that an earlier run left behind.
    pub fn clear_snapshots(&self) {
        let Ok(dir) = tmp(self) else { return };
        let Ok(entries) = rustix::fs::Dir::read_from(&dir) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_bytes().starts_with(PREFIX.as_bytes()) {
                let _ = unlinkat(&dir, entry.file_name(), AtFlags::empty());
            }
        }
    }
}

fn tmp(root: &Root) -> rustix::io::Result<OwnedFd> {
    let how = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = root.handle()?;
    let own = openat(handle.top(), DIR, how, Mode::empty())?;
    match mkdirat(&own, "tmp", Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => openat(&own, "tmp", how, Mode::empty()),
        Err(error) => Err(error),
    }
}

/// Lets the file system share the blocks: at one moment, whatever the size.
#[cfg(target_os = "linux")]
fn shared(copy: &File, file: &File) -> bool {
    rustix::fs::ioctl_ficlone(copy, file).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn shared(_: &File, _: &File) -> bool {
    false
}

/// Copies the first `size` bytes, or fewer if the file has become shorter.
fn copy_bytes(file: &File, copy: &File, size: u64) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut at = 0;
    while at < size {
        let most = usize::try_from(size - at).unwrap_or(usize::MAX).min(BUFFER);
        let Some(piece) = buffer.get_mut(..most) else { break };
        crate::local::attend::go_on().map_err(io::Error::other)?;
        let n = file.read_at(piece, at)?;
        if n == 0 {
            break;
        }
        copy.write_all_at(piece.get(..n).unwrap_or_default(), at)?;
        at += n as u64;
    }
    Ok(())
}
