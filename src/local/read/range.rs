//! A part of a file as a stream, for the body of an upload.

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use tokio::task::JoinHandle;

use crate::env;
use crate::local::{Root, stat_of};
use crate::model::{Failure, RelPath, Stat};

/// One chunk is with the reader and one is being read, so that a stream holds a quarter of a megabyte.
const CHUNK: u64 = 128 << 10;

/// The file changed while it was streamed: what was sent so far is of no use. The inner error of an [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed;

impl Changed {
    /// Whether `error`, or an error that caused it, is this one.
    pub fn caused(error: &(dyn std::error::Error + 'static)) -> bool {
        // An `io::Error` names what caused the error inside it, and leaves that one out.
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        error.is::<Self>()
            || inside.is_some_and(|inside| Self::caused(inside))
            || error.source().is_some_and(Self::caused)
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the file was written to while it was sent")
    }
}

impl std::error::Error for Changed {}

fn changed() -> io::Error {
    io::Error::other(Changed)
}

/// What is left to read, and how the file must be until then.
#[derive(Debug)]
struct Rest {
    file: File,
    expected: Stat,
    range: Range<u64>,
}

impl Rest {
    /// Reads the next chunk. The last one is given out only if the file is still as expected.
    fn read(&mut self) -> io::Result<Bytes> {
        let left = self.range.end.saturating_sub(self.range.start);
        let mut chunk = BytesMut::zeroed(usize::try_from(left.min(CHUNK)).unwrap_or(0));
        self.file.read_exact_at(&mut chunk, self.range.start).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => changed(),
            _ => error,
        })?;
        self.range.start += chunk.len() as u64;
        if self.range.is_empty() && stat_of(&self.file)? != self.expected {
            return Err(changed());
        }
        Ok(chunk.freeze())
    }
}

type Reading = JoinHandle<(Rest, io::Result<Bytes>)>;

#[derive(Debug)]
enum State {
    /// Nothing asked for yet.
    Ready(Rest),
    /// A blocking thread reads the next chunk.
    Reading(Reading),
    Done,
}

/// A stream of a file's bytes in a range. Its items come to exactly the range, of the file exactly as expected; or it ends with an error.
#[derive(Debug)]
pub struct FileRange {
    state: State,
    left: u64,
}

impl FileRange {
    /// Opens `range` of the file `path`, which must be as `expected`. Blocks; the stream itself does not.
    ///
    /// # Errors
    /// `busy` if the file is not as expected (any more), or as [`Root::open_file`].
    pub fn open(root: &Root, path: &RelPath, expected: &Stat, range: Range<u64>) -> Result<Self, Failure> {
        let (file, stat) = root.open_file(path)?;
        if stat != *expected || range.end > stat.size || range.start > range.end {
            return Err(Failure::look("busy", "it was written to since it was looked at: it is looked at again"));
        }
        let left = range.end - range.start;
        let state = if left == 0 { State::Done } else { State::Ready(Rest { file, expected: *expected, range }) };
        Ok(Self { state, left })
    }

    /// Bytes that have not been given out yet.
    pub fn remaining(&self) -> u64 {
        self.left
    }
}

fn start(mut rest: Rest) -> Reading {
    env::spawn_blocking(move || {
        let chunk = rest.read();
        (rest, chunk)
    })
}

impl Stream for FileRange {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return Poll::Ready(None),
                State::Ready(rest) => self.state = State::Reading(start(rest)),
                State::Reading(mut reading) => {
                    let Poll::Ready(read) = Pin::new(&mut reading).poll(context) else {
                        self.state = State::Reading(reading);
                        return Poll::Pending;
                    };
                    let (rest, chunk) = match read {
                        Ok(read) => read,
                        Err(stopped) => return Poll::Ready(Some(Err(io::Error::other(stopped)))),
                    };
                    if let Ok(chunk) = &chunk {
                        self.left = self.left.saturating_sub(chunk.len() as u64);
                        if self.left > 0 {
                            self.state = State::Reading(start(rest));
                        }
                    }
                    return Poll::Ready(Some(chunk));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
