//! Bytes on their way from the disk to a request.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use crate::engine::folder::Folder;
use crate::engine::work::worker::{Send, Source};
use crate::env;
use crate::local::{Changed, FileRange};
use crate::model::{Failure, RelPath, Stat};

/// Bytes as they are read.
type Bits = BoxStream<'static, io::Result<Bytes>>;

/// The contents of several files, one after the other, as often as they are asked for; each is opened when its turn comes, and checked before
/// and after.
pub(crate) fn joined<'a>(
    sends: impl Iterator<Item = &'a Send>,
) -> impl Fn() -> Bits + std::marker::Send + Sync + 'static {
    let pieces: Arc<[Piece]> = sends.filter(|s| s.len() > 0).map(|s| Piece::of(s, 0..s.len())).collect();
    move || {
        let pieces = Arc::clone(&pieces);
        let all = 0..pieces.len();
        stream::iter(all).filter_map(move |i| std::future::ready(pieces.get(i).map(Piece::open))).flatten().boxed()
    }
}

/// A part of one file.
pub(crate) fn range(send: &Send, range: Range<u64>) -> impl Fn() -> Bits + std::marker::Send + Sync + 'static {
    let piece = Piece::of(send, range);
    move || piece.open()
}

enum Piece {
    Memory(Bytes),
    Disk { folder: Arc<Folder>, path: RelPath, stat: Stat, range: Range<u64> },
}

impl Piece {
    fn of(send: &Send, range: Range<u64>) -> Self {
        match &send.source {
            Source::Memory(bytes, _) => {
                let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(bytes.len());
                Self::Memory(bytes.slice(at(range.start)..at(range.end)))
            }
            Source::Disk | Source::Snapshot(_) => {
                let (path, stat) = send.read_at();
                Self::Disk { folder: Arc::clone(&send.folder), path: path.clone(), stat: *stat, range }
            }
        }
    }

    /// Opens the file when the first byte is asked for, off the runtime's threads.
    fn open(&self) -> Bits {
        match self {
            Self::Memory(bytes) => {
                let bytes = bytes.clone();
                stream::once(async move { Ok(bytes) }).boxed()
            }
            Self::Disk { folder, path, stat, range } => {
                let (folder, path, stat, range) = (Arc::clone(folder), path.clone(), *stat, range.clone());
                stream::once(async move {
                    let opened = env::spawn_blocking(move || FileRange::open(&folder.root, &path, &stat, range)).await;
                    opened.map_err(io::Error::other)?.map_err(io::Error::other)
                })
                .try_flatten()
                .boxed()
            }
        }
    }
}

/// The failure of a file that was written to since it was looked at.
pub(crate) fn busy() -> Failure {
    Failure::look("busy", "the file is being written; it is sent when it rests")
}

/// The failure of a file that changed while it was sent, if that is what broke the stream.
pub(crate) fn file_changed(error: &io::Error) -> Option<Failure> {
    let inner = error.get_ref()?;
    if Changed::caused(inner) { Some(busy()) } else { inner.downcast_ref::<Failure>().cloned() }
}

/// A stream that tells how many bytes have passed.
pub(crate) fn watched(
    stream: impl futures_util::Stream<Item = io::Result<Bytes>> + std::marker::Send + 'static,
    passed: impl Fn(u64) + std::marker::Send + 'static,
) -> Bits {
    stream.inspect_ok(move |bytes| passed(bytes.len() as u64)).boxed()
}
