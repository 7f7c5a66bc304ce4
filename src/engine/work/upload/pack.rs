//! Many small files in few calls: sessions from the stored pool, contents joined into `append_batch` requests that close them.
//!
//! Which session is to hold which file is stored before the call. So after a lost reply or a restart the sessions can be asked ([`probe`]) what
//! has arrived: an empty append at a file's end succeeds or says `closed` where it has, and names the offset where it has not. No byte is sent for
//! that. A session whose call may yet come through is only ever used for the same bytes again.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use crate::dropbox::{
    AppendEntry, Body, CallError, EntryError, Transport, TransportKind, append_batch_fixed_len, append_batch_header_len,
};
use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::blocking::blocking;
use crate::engine::work::upload::{session_pool, transfer};
use crate::engine::work::worker::{Send, Source, failed, unsent};
use crate::env::now_ms;
use crate::local;
use crate::model::{ContentHash, ContentHasher, Failure, Job, Settled};
use crate::plan::transfer::pack::{Ceilings, Shape, may_be_for_its_header, split};
use crate::store::{Begun, Session, Whole};

/// So many broken connections in a row mean that a server hangs up on packs of this shape instead of refusing them.
const RESETS: u32 = 2;

/// A file to send, and the session that it has already, if any.
struct Item {
    send: Send,
    session: Option<Session>,
}

/// A file with its hash and its session.
struct Ready {
    send: Send,
    hash: ContentHash,
    session: Option<Session>,
}

/// Sends small files, in as many requests as the ceilings ask for, and stages them.
pub(crate) async fn send(account: &Account, sends: Vec<Send>) -> Result<(), Fatal> {
    let begun = account.store.begun(sends.iter().map(|s| s.job.id).collect()).await?;
    let (mut items, mut unsure) = (Vec::new(), Vec::new());
    for (send, begun) in sends.into_iter().zip(begun) {
        match begun.filter(|b| b.chunk == 0) {
            Some(begun) => unsure.push((send, begun)),
            None => items.push(Item { send, session: None }),
        }
    }
    if !unsure.is_empty() {
        items.extend(resolve(account, unsure).await?);
    }
    let entry = entry_len();
    let shapes: Vec<_> = items.iter().map(|i| (i.send.len(), entry)).collect();
    let mut items = items.into_iter();
    for n in split(&shapes, append_batch_fixed_len(), account.pack_ceilings()) {
        one(account, items.by_ref().take(n).collect()).await?;
    }
    Ok(())
}

/// What an entry adds to the header, as good as it can be known before its session is: Dropbox's session ids have about 69 letters.
fn entry_len() -> usize {
    append_batch_header_len(&entry("s".repeat(72), 0, 99_999_999))
}

fn entry(session: String, offset: u64, length: u64) -> AppendEntry {
    AppendEntry { session, offset, length, close: true }
}

/// Finds out what became of files that were under way when a reply was lost or the last run ended. Stages what arrived; gives back what has to
/// be sent (again).
async fn resolve(account: &Account, unsure: Vec<(Send, Begun)>) -> Result<Vec<Item>, Fatal> {
    let oldest = session_pool::born_after(account);
    let (same, other) = blocking(move || {
        let (mut same, mut other) = (Vec::new(), Vec::new());
        for (send, begun) in unsure {
            let young = begun.session.born_at >= oldest;
            // The same bytes, not only the same times: nothing else may ever meet in this session.
            match hash_one(&send, &mut ContentHasher::new()) {
                Ok(hash) if young && Some(hash) == begun.content_hash && send.unchanged(&hash).is_none() => {
                    same.push(Ready { send, hash, session: Some(begun.session) });
                }
                _ => other.push(Item { send, session: None }),
            }
        }
        Ok((same, other))
    })
    .await?;
    account.store.forget_uploads(other.iter().map(|i| i.send.job.id).collect()).await?;
    let mut items = other;
    let mut same = same.into_iter().peekable();
    while same.peek().is_some() {
        let some: Vec<_> = same.by_ref().take(account.ceilings().entries).collect();
        items.extend(probe(account, some).await?);
    }
    Ok(items)
}

/// Asks the sessions of these files how far they are, with an append that adds nothing.
async fn probe(account: &Account, files: Vec<Ready>) -> Result<Vec<Item>, Fatal> {
    let id = |f: &Ready| f.session.as_ref().map(|s| s.id.clone()).unwrap_or_default();
    let entries: Vec<_> = files.iter().map(|f| entry(id(f), f.send.len(), 0)).collect();
    let reply = account.judge(account.dropbox.append_batch(&entries, Body::from_bytes(Vec::new())).await);
    let results = match reply {
        Ok(results) => results,
        Err(error) => {
            give_back(account, files, &error.failure()).await?;
            return Ok(Vec::new());
        }
    };
    let (mut staged, mut again, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    for (Ready { send, hash, session }, result) in files.into_iter().zip(results) {
        let Some(session) = session else { continue };
        let offset = match &result {
            Ok(()) => Some(send.len()),
            Err(error) if error.is("closed") => Some(send.len()),
            Err(error) => error.correct_offset(),
        };
        match offset {
            Some(all) if all == send.len() => staged.push((send.job.clone(), send.change(session.id, hash))),
            Some(0) => again.push(Item { send, session: Some(session) }),
            Some(some) if some < send.len() => rest(account, send, hash, session, some).await?,
            _ => {
                lost.push(send.job.id);
                again.push(Item { send, session: None });
            }
        }
    }
    account.store.forget_uploads(lost).await?;
    account.store.stage(staged, now_ms()).await?;
    Ok(again)
}

/// Goes on where the server says that a session is: it has only ever been given these bytes.
async fn rest(account: &Account, send: Send, hash: ContentHash, session: Session, at: u64) -> Result<(), Fatal> {
    let len = send.len();
    let (send, tail) = blocking(move || {
        let mut hasher = ContentHasher::new();
        let read = match &send.source {
            Source::Memory(bytes, _) => {
                hasher.update(usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default());
                Ok(())
            }
            Source::Disk | Source::Snapshot(_) => {
                let (path, stat) = send.read_at();
                local::read_through(&send.folder.root, path, Some(at..len), &mut |bytes| hasher.update(bytes))
                    .and_then(|now| if now == *stat { Ok(()) } else { Err(transfer::busy()) })
            }
        };
        Ok((send, read.map(|()| hasher.finish())))
    })
    .await?;
    let sent = match tail {
        Err(failure) => Err(failure),
        Ok(tail) => {
            let body = Body::from_fn(len - at, tail, transfer::range(&send, at..len));
            let reply = account.judge(account.dropbox.append(&session.id, at, true, body).await);
            reply.map_err(|error| of_call(&error))
        }
    };
    match sent {
        Ok(()) => {
            let change = send.change(session.id, hash);
            account.store.stage(vec![(send.job, change)], now_ms()).await?;
        }
        Err(failure) => {
            let settled = failed(&send.job, failure);
            account.store.settle(vec![(send.job, settled)], now_ms()).await?;
        }
    }
    Ok(())
}

/// How many small files fill a pack.
pub(crate) fn files(ceilings: Ceilings) -> usize {
    ceilings.files(append_batch_fixed_len(), entry_len())
}

/// One request.
async fn one(account: &Account, items: Vec<Item>) -> Result<(), Fatal> {
    let (mut files, body_hash, done) = hash(items).await?;
    account.store.settle(done, now_ms()).await?;
    if files.is_empty() {
        return Ok(());
    }
    let whole = |f: &Ready| Whole { job: f.send.job.id, stat: f.send.stat, content_hash: f.hash };
    let without: Vec<_> = files.iter().filter(|f| f.session.is_none()).map(whole).collect();
    if !without.is_empty() {
        match session_pool::begin(account, without).await? {
            Ok(sessions) => {
                let bare = files.iter_mut().filter(|f| f.session.is_none());
                bare.zip(sessions).for_each(|(file, session)| file.session = Some(session));
            }
            Err(failure) => return give_back(account, files, &failure).await,
        }
    }
    let Ok(_permit) = account.connections.acquire().await else { return Ok(()) };
    let id = |f: &Ready| f.session.as_ref().map(|s| s.id.clone()).unwrap_or_default();
    let entries: Vec<_> = files.iter().map(|f| entry(id(f), 0, f.send.len())).collect();
    let bytes: u64 = files.iter().map(|f| f.send.len()).sum();
    let shape = Shape {
        entries: entries.len(),
        header: append_batch_fixed_len() + entries.iter().map(append_batch_header_len).sum::<usize>(),
        body: bytes,
    };
    let shown: Vec<_> =
        files.iter().take(3).map(|f| account.live.show(f.send.job.folder, &f.send.job.path, f.send.len())).collect();
    let body = Body::from_fn(bytes, body_hash, transfer::joined(files.iter().map(|f| &f.send)));
    let reply = account.judge(account.dropbox.append_batch(&entries, body).await);
    tracing::debug!(account = %account.name, entries = entries.len(), bytes, ok = reply.is_ok(), "sent a pack");
    drop(shown);
    match reply {
        Ok(results) => {
            account.upward.resets.store(0, Ordering::Relaxed);
            for file in &files {
                account.live.sent(file.send.job.folder, file.send.len());
            }
            let ceilings = account.ceilings();
            let grown = if ceilings.full(shape) { ceilings.grown() } else { ceilings };
            stage(account, files, results).await?;
            if grown != ceilings {
                account.learn(grown).await?;
            }
            Ok(())
        }
        Err(error) => refused(account, files, shape, error).await,
    }
}

/// Stages what arrived; an entry that failed puts its own row off. What its session holds is asked when it is looked at again.
async fn stage(account: &Account, files: Vec<Ready>, results: Vec<Result<(), EntryError>>) -> Result<(), Fatal> {
    let (mut staged, mut done, mut dead) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (Ready { send, hash, session }, result) in files.into_iter().zip(results) {
        if let (Err(error), Some(session)) = (&result, &session)
            && error.is("not_found")
        {
            dead.insert(session.born_at);
        }
        let arrived = match &result {
            Ok(()) => true,
            // An offset that was to be reached, or a session closed already, means that the bytes had arrived before.
            Err(error) => error.is("closed") || error.correct_offset() == Some(send.len()) && send.len() > 0,
        };
        match (result, session) {
            (_, Some(session)) if arrived => staged.push((send.job.clone(), send.change(session.id, hash))),
            (Err(error), _) => {
                let settled = unsent(&send, error.failure());
                done.push((send.job, settled));
            }
            (Ok(()), _) => done.push((send.job, Settled::Release)),
        }
    }
    account.store.drop_sessions(dead.into_iter().collect()).await?;
    account.store.stage(staged, now_ms()).await?;
    account.store.settle(done, now_ms()).await?;
    Ok(())
}

/// The whole request failed.
async fn refused(account: &Account, files: Vec<Ready>, shape: Shape, error: CallError) -> Result<(), Fatal> {
    let hung_up = matches!(&error, CallError::Transport(t) if t.kind == TransportKind::Reset)
        && account.upward.resets.fetch_add(1, Ordering::Relaxed) + 1 >= RESETS;
    let ceilings = account.ceilings();
    let smaller = match &error {
        CallError::Api(refusal) if error.header_too_large() => ceilings.refused(refusal.status, shape),
        CallError::Transport(Transport { status: Some(status), .. }) if may_be_for_its_header(Some(*status), shape) => {
            ceilings.refused(*status, shape)
        }
        // Perhaps only the line: what broke is no bound for ever.
        _ if hung_up => ceilings.after_a_break(shape),
        _ => ceilings,
    };
    if smaller != ceilings && files.len() > 1 {
        account.upward.resets.store(0, Ordering::Relaxed);
        tracing::info!(account = %account.name, entries = smaller.entries, header = smaller.header, body = smaller.body, "the server refused a pack of this shape; packs become smaller");
        account.learn(smaller).await?;
    }
    // An answer that says no, or a call that never left: nothing arrived, and nothing will. Otherwise the sessions keep their owners.
    let surely = match &error {
        CallError::Transport(t) => !t.outcome_unknown,
        CallError::Body(_) => false,
        CallError::Api(_) | CallError::Root(_) | CallError::Throttled(_) | CallError::Auth(_) | CallError::Held(_) => {
            true
        }
    };
    if surely {
        account.store.return_uploads(files.iter().map(|f| f.send.job.id).collect()).await?;
    }
    if error.header_too_large() && files.len() > 1 {
        let released = files.into_iter().map(|f| (f.send.job, Settled::Release)).collect();
        return Ok(account.store.settle(released, now_ms()).await?);
    }
    // If one of them changed while it was sent: which one shows when they are looked at again.
    give_back(account, files, &of_call(&error)).await
}

fn of_call(error: &CallError) -> Failure {
    match error {
        CallError::Body(io) => transfer::file_changed(io)
            .unwrap_or_else(|| Failure::retry("io_error", format!("cannot read the file: {io}"))),
        error => error.failure(),
    }
}

async fn give_back(account: &Account, files: Vec<Ready>, failure: &Failure) -> Result<(), Fatal> {
    let done = files.into_iter().map(|f| {
        let settled = failed(&f.send.job, failure.clone());
        (f.send.job, settled)
    });
    Ok(account.store.settle(done.collect(), now_ms()).await?)
}

/// Hashes each file, and the body that they make together (whose blocks straddle files), in one read.
/// Files that changed since they were looked at, or hold what base holds, drop out.
async fn hash(items: Vec<Item>) -> Result<(Vec<Ready>, ContentHash, Vec<(Job, Settled)>), Fatal> {
    blocking(move || {
        let mut done = Vec::new();
        let mut files = Vec::with_capacity(items.len());
        let mut body = ContentHasher::new();
        for Item { send, session } in items {
            let before = body.clone();
            match hash_one(&send, &mut body) {
                Ok(hash) => match send.unchanged(&hash) {
                    Some(settled) => {
                        body = before;
                        done.push((send.job, settled));
                    }
                    None => files.push(Ready { send, hash, session }),
                },
                Err(failure) => {
                    body = before;
                    let settled = failed(&send.job, failure);
                    done.push((send.job, settled));
                }
            }
        }
        Ok((files, body.finish(), done))
    })
    .await
}

fn hash_one(send: &Send, body: &mut ContentHasher) -> Result<ContentHash, Failure> {
    match &send.source {
        Source::Memory(bytes, hash) => {
            body.update(bytes);
            Ok(*hash)
        }
        Source::Disk | Source::Snapshot(_) => {
            let mut own = ContentHasher::new();
            let (path, expected) = send.read_at();
            let stat = local::read_through(&send.folder.root, path, None, &mut |bytes| {
                own.update(bytes);
                body.update(bytes);
            })?;
            if stat == *expected { Ok(own.finish()) } else { Err(transfer::busy()) }
        }
    }
}
