//! Bytes on their way from the disk to a request.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use crate::daemon::account::{Account, Fatal};
use crate::daemon::clock::{month, now_ms};
use crate::daemon::folder::Folder;
use crate::daemon::uploader::{Send, Source};
use crate::local::{Changed, FileRange};
use crate::model::{Failure, RelPath, Stat};

/// The contents of several files, one after the other; each is opened when its turn comes, and checked before and after.
pub(crate) fn joined<'a>(sends: impl Iterator<Item = &'a Send>) -> BoxStream<'static, io::Result<Bytes>> {
    let pieces: Vec<_> = sends
        .filter(|s| s.stat.size > 0)
        .map(|send| match &send.source {
            Source::Memory(bytes, _) => Piece::Memory(bytes.clone()),
            Source::Disk => {
                Piece::Disk { folder: Arc::clone(&send.folder), path: send.job.path.clone(), stat: send.stat }
            }
        })
        .collect();
    stream::iter(pieces)
        .map(|piece| match piece {
            Piece::Memory(bytes) => stream::once(async move { Ok(bytes) }).boxed(),
            Piece::Disk { folder, path, stat } => open(folder, path, stat, 0..stat.size),
        })
        .flatten()
        .boxed()
}

/// A part of one file.
pub(crate) fn range(send: &Send, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
    open(Arc::clone(&send.folder), send.job.path.clone(), send.stat, range)
}

/// Opens the file when the first byte is asked for, off the runtime's threads.
fn open(folder: Arc<Folder>, path: RelPath, stat: Stat, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
    stream::once(async move {
        let opened = tokio::task::spawn_blocking(move || FileRange::open(&folder.root, &path, &stat, range)).await;
        opened.map_err(io::Error::other)?.map_err(io::Error::other)
    })
    .try_flatten()
    .boxed()
}

enum Piece {
    Memory(Bytes),
    Disk { folder: Arc<Folder>, path: RelPath, stat: Stat },
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

/// Stores the data-transport calls that were made since the last time.
pub(crate) async fn count(account: &Account) -> Result<(), Fatal> {
    let counts = account.dropbox.take_transport_counts();
    let month = month(now_ms());
    for (route, n) in counts {
        account.store.count_transport(&month, route, n).await?;
    }
    Ok(())
}

/// A stream that tells how many bytes have passed.
pub(crate) fn watched(
    stream: impl futures_util::Stream<Item = io::Result<Bytes>> + std::marker::Send + 'static,
    mut passed: impl FnMut(u64) + std::marker::Send + 'static,
) -> BoxStream<'static, io::Result<Bytes>> {
    stream.inspect_ok(move |bytes| passed(bytes.len() as u64)).boxed()
}
