//! One large file: a concurrent session, its parts sent in parallel, the closing part last.
//!
//! Every part is read twice: first to hash it (the hash stands in the request's head), then to send it. Dropbox compares the body with the hash, so
//! that what is committed is what was hashed, and the parts' block digests join to the file's content hash. Memory is a few buffers a part.
//!
//! The session is stored before the first part, and each part when it has arrived, with its digests. Whatever interrupts, the next try goes on
//! with the parts that are missing, as long as those that arrived are still what the file holds.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::stream::{self, StreamExt};

use crate::dropbox::{Body, CallError};
use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::blocking::blocking;
use crate::engine::work::upload::{session_pool, transfer};
use crate::engine::work::worker::{Send, unsent};
use crate::env::now_ms;
use crate::local;
use crate::model::{BLOCK_SIZE, BlockHashes, ContentHash, Failure, Settled};
use crate::store::{Begun, Part, Session};

/// A file whose times are this much older (in ms) than its upload cannot have been written unseen within the clock's grain.
const GRAIN_MS: i64 = 2_000;

/// Why a part was not sent.
enum Stop {
    Row(Failure),
    /// Another part failed; this one was not begun.
    Halted,
    Fatal(Fatal),
}

impl From<Fatal> for Stop {
    fn from(fatal: Fatal) -> Self {
        Self::Fatal(fatal)
    }
}

/// Sends one file and stages it.
pub(crate) async fn send(account: &Account, send: Send) -> Result<(), Fatal> {
    let failure = match upload(account, &send).await {
        Ok(Sent::Staged(session, hash)) => {
            let change = send.change(session, hash);
            return Ok(account.store.stage(vec![(send.job, change)], now_ms()).await.map(|_| ())?);
        }
        Ok(Sent::Unchanged(settled)) => return Ok(account.store.settle(vec![(send.job, settled)], now_ms()).await?),
        Err(Stop::Row(failure)) => failure,
        Err(Stop::Halted) => Failure::retry("offline", "the upload was interrupted; it goes on where it was"),
        Err(Stop::Fatal(fatal)) => return Err(fatal),
    };
    // A session that is lost, or whose bytes are not what was read, is of no more use.
    if matches!(failure.code.as_str(), "session" | "changed") {
        account.store.forget_uploads(vec![send.job.id]).await?;
    }
    let settled = unsent(&send, failure);
    Ok(account.store.settle(vec![(send.job, settled)], now_ms()).await?)
}

enum Sent {
    Staged(String, ContentHash),
    Unchanged(Settled),
}

/// A session on its way: what it holds already.
struct Way {
    session: String,
    chunk: u64,
    arrived: BTreeMap<u64, BlockHashes>,
    /// The closing part was sent before, with these bytes: `closed` means that it had arrived.
    closing: bool,
}

async fn upload(account: &Account, send: &Send) -> Result<Sent, Stop> {
    // The same size with other times, or Dropbox lists a file of this size here. Reading is cheaper than sending.
    if send.may_be_there()
        && let Some(settled) = send.unchanged(&hash(send, 0..send.len()).await?.content_hash())
    {
        return Ok(Sent::Unchanged(settled));
    }
    if let Some(sent) = sent_before(account, send).await? {
        return Ok(sent);
    }
    let mut way = match resumed(account, send).await? {
        Some(way) => way,
        None => anew(account, send).await?,
    };
    let shown = account.live.show(send.job.folder, &send.job.path, send.len());
    let chunk = way.chunk;
    let parts = send.len().div_ceil(chunk).max(1);
    let range = |i: u64| i * chunk..((i + 1) * chunk).min(send.len());
    shown.begin(way.arrived.len() as u64 * chunk);
    // All but the last, in any order, with as many at once as there are connections to spare. When one fails, those under way are let come to
    // their end, since their bytes count, and no other is begun.
    let halt = AtomicBool::new(false);
    let missing: Vec<u64> = (0..parts - 1).filter(|i| !way.arrived.contains_key(&(i * chunk))).collect();
    let mut sending = stream::iter(missing)
        .map(|i| {
            let part = Sending { account, send, session: &way.session, range: range(i), close: false, again: false };
            part.go(&halt, Arc::clone(&shown.done))
        })
        .buffer_unordered(account.config.upload.workers.max(1));
    let mut first: Option<Stop> = None;
    let mut fresh = Vec::new();
    while let Some(sent) = sending.next().await {
        match sent {
            Ok(done) => fresh.push(done),
            Err(stop) => {
                halt.store(true, Ordering::Relaxed);
                if !matches!(first, Some(Stop::Row(_) | Stop::Fatal(_))) {
                    first = Some(stop);
                }
            }
        }
    }
    drop(sending);
    if let Some(stop) = first {
        return Err(stop);
    }
    way.arrived.extend(fresh);
    let last =
        Sending { account, send, session: &way.session, range: range(parts - 1), close: true, again: way.closing };
    let (at, digests) = last.go(&halt, Arc::clone(&shown.done)).await?;
    way.arrived.insert(at, digests);
    let mut blocks = BlockHashes::default();
    way.arrived.values().for_each(|b| blocks.extend(b));
    Ok(Sent::Staged(way.session, blocks.content_hash()))
}

/// All of it went up before, and the commit was refused: if the session still holds it, and the file is still the same, nothing is sent again.
async fn sent_before(account: &Account, send: &Send) -> Result<Option<Sent>, Stop> {
    let begun = account.store.begun(vec![send.job.id]).await.map_err(Fatal::Store)?;
    let Some(begun) = begun.into_iter().flatten().next().filter(|b| b.chunk == 0) else { return Ok(None) };
    let Some(known) = begun.content_hash.filter(|_| begun.session.born_at >= session_pool::born_after(account)) else {
        return Ok(None);
    };
    if !is_untouched(send, &begun) && hash(send, 0..send.len()).await?.content_hash() != known {
        return Ok(None);
    }
    let nothing = Body::from_bytes(Vec::new());
    let reply = account.judge(account.dropbox.append(&begun.session.id, send.len(), true, nothing).await);
    match reply {
        Ok(()) => Ok(Some(Sent::Staged(begun.session.id, known))),
        Err(CallError::Api(error)) if error.is("closed") => Ok(Some(Sent::Staged(begun.session.id, known))),
        // It is gone, or holds something else.
        Err(error) if error.failure().code == "session" => Ok(None),
        Err(error) => Err(Stop::Row(error.failure())),
    }
}

/// A new session.
async fn anew(account: &Account, send: &Send) -> Result<Way, Stop> {
    let started = account.judge(account.dropbox.start_session(true).await);
    let session = started.map_err(|e| Stop::Row(e.failure()))?;
    let chunk = account.config.upload.chunk_size.max(BLOCK_SIZE);
    let (_, stat) = send.read_at();
    let stored = Session { id: session.clone(), born_at: now_ms() };
    account.store.begin_parts(send.job.id, stored, chunk, *stat, now_ms()).await.map_err(Fatal::Store)?;
    Ok(Way { session, chunk, arrived: BTreeMap::new(), closing: false })
}

/// The session of an earlier try, if what arrived in it is what the file still begins with.
async fn resumed(account: &Account, send: &Send) -> Result<Option<Way>, Stop> {
    let begun = account.store.begun(vec![send.job.id]).await.map_err(Fatal::Store)?;
    let Some(begun) = begun.into_iter().flatten().next().filter(|b| b.chunk > 0) else { return Ok(None) };
    if begun.session.born_at < session_pool::born_after(account) {
        let lifetime = account.config.upload.session_lifetime;
        tracing::info!(account = %account.name, ?lifetime, "an upload session is near the end of upload.session_lifetime: the file is sent from its start; raise that key if Dropbox keeps sessions longer");
        return Ok(None);
    }
    if !still_holds(send, &begun).await? {
        return Ok(None);
    }
    let closing = begun.parts.iter().any(|p| p.closing);
    let arrived = begun.parts.into_iter().filter(|p| !p.closing).map(|p| (p.at, p.digests)).collect();
    Ok(Some(Way { session: begun.session.id, chunk: begun.chunk, arrived, closing }))
}

/// Whether the file's own times exclude that it has changed since.
fn is_untouched(send: &Send, begun: &Begun) -> bool {
    let (_, stat) = send.read_at();
    let touched = stat.mtime_ns.max(stat.ctime_ns).div_euclid(1_000_000);
    *stat == begun.stat && touched.saturating_add(GRAIN_MS) < begun.begun_at
}

/// Whether the parts that arrived are still the file's. Digests are compared, unless the file's own times exclude a change.
async fn still_holds(send: &Send, begun: &Begun) -> Result<bool, Stop> {
    if is_untouched(send, begun) {
        return Ok(true);
    }
    for part in &begun.parts {
        let end = if part.closing { begun.stat.size } else { part.at.saturating_add(begun.chunk) };
        // Once the closing part is on its way, the end is fixed.
        let fits = if part.closing { end == send.len() } else { end < send.len() };
        if !fits || hash(send, part.at..end).await? != part.digests {
            return Ok(false);
        }
    }
    Ok(true)
}

/// One part.
struct Sending<'a> {
    account: &'a Account,
    send: &'a Send,
    session: &'a str,
    range: Range<u64>,
    close: bool,
    /// The very same closing part was sent before.
    again: bool,
}

impl Sending<'_> {
    async fn go(self, halt: &AtomicBool, done: Arc<AtomicU64>) -> Result<(u64, BlockHashes), Stop> {
        let Self { account, send, session, range, close, again } = self;
        let Ok(_permit) = account.connections.acquire().await else {
            return Err(Stop::Row(Failure::account("stopping", "the daemon is stopping")));
        };
        if halt.load(Ordering::Relaxed) {
            return Err(Stop::Halted);
        }
        // What has arrived stays: the file goes on where it was.
        if let Some(reason) = account.paused_reason() {
            return Err(Stop::Row(Failure::account("paused", reason)));
        }
        let digests = hash(send, range.clone()).await?;
        let (at, length) = (range.start, range.end - range.start);
        let part = Part { at, digests: digests.clone(), closing: close };
        if close {
            account.store.put_part(send.job.id, part.clone()).await.map_err(Fatal::Store)?;
        }
        let open = transfer::range(send, range);
        let body = Body::from_fn(length, digests.content_hash(), move || {
            let done = Arc::clone(&done);
            transfer::watched(open(), move |n| {
                done.fetch_add(n, Ordering::Relaxed);
            })
        });
        let reply = account.judge(account.dropbox.append(session, at, close, body).await);
        match reply {
            Ok(()) => {}
            // The reply to the closing part was lost, and its bytes were not.
            Err(CallError::Api(error)) if close && again && error.is("closed") => {}
            Err(CallError::Body(io)) => {
                let failure = transfer::file_changed(&io)
                    .unwrap_or_else(|| Failure::retry("io_error", format!("cannot read the file: {io}")));
                return Err(Stop::Row(failure));
            }
            Err(error) => return Err(Stop::Row(error.failure())),
        }
        if !close {
            account.store.put_part(send.job.id, part).await.map_err(Fatal::Store)?;
        }
        Ok((at, digests))
    }
}

/// The digests of one part; the file must be as it was when it was looked at.
async fn hash(send: &Send, range: Range<u64>) -> Result<BlockHashes, Stop> {
    let (path, stat) = send.read_at();
    let (folder, path, stat) = (Arc::clone(&send.folder), path.clone(), *stat);
    let outcome = blocking(move || Ok(local::hash_file(&folder.root, &path, Some(range)))).await?;
    match outcome {
        Ok((blocks, now)) if now == stat => Ok(blocks),
        Ok(_) => Err(Stop::Row(transfer::busy())),
        Err(failure) => Err(Stop::Row(failure)),
    }
}
