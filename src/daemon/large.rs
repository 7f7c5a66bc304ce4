//! One large file: a concurrent session, its parts sent in parallel, the closing part last.
//!
//! Every part is read twice: first to hash it (the hash stands in the request's head), then to send it. Dropbox compares the body with the hash, so
//! that what is committed is what was hashed, and the parts' block digests join to the file's content hash. Memory is a few buffers a part.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::daemon::account::{Account, Fatal};
use crate::daemon::clock::now_ms;
use crate::daemon::intake::blocking;
use crate::daemon::transfer;
use crate::daemon::uploader::{Send, failed};
use crate::dropbox::{Body, CallError};
use crate::local;
use crate::model::{BlockHashes, Failure, Settled};

/// Why a part was not sent.
enum Stop {
    Row(Failure),
    Fatal(Fatal),
}

impl From<Fatal> for Stop {
    fn from(fatal: Fatal) -> Self {
        Self::Fatal(fatal)
    }
}

/// Sends one file and stages it.
pub(crate) async fn send(account: &Account, send: Send) -> Result<(), Fatal> {
    match upload(account, &send).await {
        Ok(Sent::Staged(session, blocks)) => {
            let change = send.change(session, blocks.content_hash());
            Ok(account.store.stage(vec![(send.job, change)], now_ms()).await.map(|_| ())?)
        }
        Ok(Sent::Unchanged(settled)) => Ok(account.store.settle(vec![(send.job, settled)], now_ms()).await?),
        Err(Stop::Row(failure)) => {
            let settled = failed(&send.job, failure);
            Ok(account.store.settle(vec![(send.job, settled)], now_ms()).await?)
        }
        Err(Stop::Fatal(fatal)) => Err(fatal),
    }
}

enum Sent {
    Staged(String, BlockHashes),
    Unchanged(Settled),
}

async fn upload(account: &Account, send: &Send) -> Result<Sent, Stop> {
    // The same size with other times, or Dropbox lists a file of this size here. Reading is cheaper than sending.
    if send.may_be_there()
        && let Some(settled) = send.unchanged(&hash(send, 0..send.stat.size).await?.content_hash())
    {
        return Ok(Sent::Unchanged(settled));
    }
    let started = account.judge(account.dropbox.start_session(true).await);
    transfer::count(account).await?;
    let session = started.map_err(|e| Stop::Row(e.failure()))?;
    let shown = account.live.show(send.job.folder, &send.job.path, send.stat.size);
    let chunk = account.config.upload.chunk_size.max(1);
    let parts = send.stat.size.div_ceil(chunk).max(1);
    let range = |i: u64| i * chunk..((i + 1) * chunk).min(send.stat.size);
    // All but the last, in any order, with as many at once as there are connections to spare.
    let middle: Vec<BlockHashes> = stream::iter(0..parts - 1)
        .map(|i| part(account, send, &session, range(i), false, Arc::clone(&shown.done)))
        .buffered(account.config.upload.workers.max(1))
        .try_collect()
        .await?;
    let last = part(account, send, &session, range(parts - 1), true, Arc::clone(&shown.done)).await?;
    let mut blocks = BlockHashes::default();
    middle.iter().chain([&last]).for_each(|b| blocks.extend(b));
    Ok(Sent::Staged(session, blocks))
}

async fn part(
    account: &Account,
    send: &Send,
    session: &str,
    range: std::ops::Range<u64>,
    close: bool,
    done: Arc<std::sync::atomic::AtomicU64>,
) -> Result<BlockHashes, Stop> {
    let Ok(_permit) = account.connections.acquire().await else {
        return Err(Stop::Row(Failure::account("stopping", "the daemon is stopping")));
    };
    let blocks = hash(send, range.clone()).await?;
    let (offset, length) = (range.start, range.end - range.start);
    let stream = transfer::watched(transfer::range(send, range), move |n| {
        done.fetch_add(n, Ordering::Relaxed);
    });
    let body = Body::from_stream(length, blocks.content_hash(), stream);
    let reply = account.judge(account.dropbox.append(session, offset, close, body).await);
    transfer::count(account).await?;
    match reply {
        Ok(()) => {
            account.live.sent(send.job.folder, length);
            Ok(blocks)
        }
        Err(CallError::Api(error)) if error.is("closed") || error.correct_offset() == Some(offset + length) => {
            Ok(blocks)
        }
        Err(CallError::Body(io)) => Err(Stop::Row(
            transfer::file_changed(&io)
                .unwrap_or_else(|| Failure::retry("io_error", format!("cannot read the file: {io}"))),
        )),
        Err(error) => Err(Stop::Row(error.failure())),
    }
}

/// The digests of one part; the file must be as it was when it was looked at.
async fn hash(send: &Send, range: std::ops::Range<u64>) -> Result<BlockHashes, Stop> {
    let (folder, path, stat) = (Arc::clone(&send.folder), send.job.path.clone(), send.stat);
    let outcome = blocking(move || Ok(local::hash_file(&folder.root, &path, Some(range)))).await?;
    match outcome {
        Ok((blocks, now)) if now == stat => Ok(blocks),
        Ok(_) => Err(Stop::Row(transfer::busy())),
        Err(failure) => Err(Stop::Row(failure)),
    }
}
