//! Reading files that others may be writing: what comes out is one state of the file, or a failure.

pub(super) mod list;
pub(super) mod range;
pub(super) mod snapshot;

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::attend::go_on;
use super::{Root, stat_of};
use crate::local::error::io_failure;
use crate::model::{BlockHashes, ContentHash, ContentHasher, Failure, RelPath, Stat};

const BUFFER: usize = 256 << 10;

/// A whole small file.
#[derive(Debug, Clone)]
pub struct SmallRead {
    /// The content.
    pub bytes: Bytes,
    /// The file as it was before and after.
    pub stat: Stat,
    /// The hash of `bytes`.
    pub content_hash: ContentHash,
}

fn busy() -> Failure {
    Failure::look("busy", "it was written to while it was read: it is read again when it is quiet")
}

/// The file is still as it was: nobody wrote to it while it was read.
fn unchanged(file: &File, before: &Stat) -> Result<(), Failure> {
    let after = stat_of(file).map_err(|error| io_failure("reading it", &error))?;
    if after == *before { Ok(()) } else { Err(busy()) }
}

/// Reads the file `path` whole, if it has at most `limit` bytes.
///
/// # Errors
/// `busy` if it is larger or changes meanwhile, or as [`Root::open_file`].
pub fn read_small(root: &Root, path: &RelPath, limit: u64) -> Result<SmallRead, Failure> {
    let (file, stat) = root.open_file(path)?;
    read_open(&file, stat, limit)
}

fn read_open(mut file: &File, stat: Stat, limit: u64) -> Result<SmallRead, Failure> {
    if stat.size > limit {
        return Err(Failure::look("busy", "it has grown since it was seen: it is looked at again"));
    }
    let size = usize::try_from(stat.size).map_err(|_| busy())?;
    let mut bytes = Vec::with_capacity(size.saturating_add(1));
    // One byte more than there ought to be shows that it grows.
    file.by_ref()
        .take(stat.size.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| io_failure("reading it", &error))?;
    if bytes.len() != size {
        return Err(busy());
    }
    unchanged(file, &stat)?;
    let mut hasher = ContentHasher::new();
    hasher.update(&bytes);
    Ok(SmallRead { bytes: bytes.into(), stat, content_hash: hasher.finish() })
}

/// Hashes the file `path`, or its bytes in `range` (which begins at a multiple of [`BLOCK_SIZE`](crate::model::BLOCK_SIZE)), with one fixed buffer.
///
/// # Errors
/// `busy` if it changes meanwhile or ends before `range` does, or as [`Root::open_file`].
pub fn hash_file(root: &Root, path: &RelPath, range: Option<Range<u64>>) -> Result<(BlockHashes, Stat), Failure> {
    let mut hasher = ContentHasher::new();
    let stat = read_through(root, path, range, &mut |bytes| hasher.update(bytes))?;
    Ok((hasher.finish_blocks(), stat))
}

/// Hands the bytes of the file `path`, or those in `range`, to `take`, in pieces of one fixed buffer. What was taken counts only if this succeeds.
///
/// # Errors
/// `busy` if it changes meanwhile or ends before `range` does, or as [`Root::open_file`].
pub fn read_through(
    root: &Root,
    path: &RelPath,
    range: Option<Range<u64>>,
    take: &mut dyn FnMut(&[u8]),
) -> Result<Stat, Failure> {
    let (file, stat) = root.open_file(path)?;
    take_open(&file, &stat, range.unwrap_or(0..stat.size), take)?;
    Ok(stat)
}

fn take_open(file: &File, stat: &Stat, range: Range<u64>, take: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
    if range.end > stat.size {
        return Err(busy());
    }
    let mut buffer = vec![0; BUFFER];
    let mut at = range.start;
    while at < range.end {
        go_on()?;
        let piece = room(&mut buffer, range.end - at);
        match file.read_at(piece, at) {
            Ok(0) => return Err(busy()),
            Ok(n) => {
                take(piece.get(..n).unwrap_or_default());
                at += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io_failure("reading it", &error)),
        }
    }
    unchanged(file, stat)
}

fn room(buffer: &mut [u8], left: u64) -> &mut [u8] {
    let n = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
    buffer.split_at_mut(n).0
}

#[cfg(test)]
mod tests;
