//! Many small files in few calls: sessions from the stored pool, contents joined into `append_batch` requests that close them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::daemon::account::{Account, Fatal};
use crate::daemon::clock::{ms, now_ms};
use crate::daemon::intake::blocking;
use crate::daemon::transfer;
use crate::daemon::uploader::{Send, Source, failed};
use crate::dropbox::{AppendEntry, Body, CallError, EntryError, append_batch_fixed_len, append_batch_header_len};
use crate::local;
use crate::model::{ContentHash, ContentHasher, Failure, Job, Settled};
use crate::plan::pack::{Ceilings, Shape, split};
use crate::store::Session;

/// A pool that is refilled gets at least this many sessions: a lone file later on finds one waiting.
const POOL: u64 = 32;
/// The most that one `start_batch` gives.
const START_BATCH: u64 = 1000;
/// A session this close to its end is not begun with.
const SESSION_MARGIN: Duration = Duration::from_hours(2);

/// A file with its hash and, once it has one, its session.
struct Ready {
    send: Send,
    hash: ContentHash,
}

/// Sends small files, in as many requests as the ceilings ask for, and stages them.
pub(crate) async fn send(account: &Account, sends: Vec<Send>) -> Result<(), Fatal> {
    let entry = entry_len();
    let shapes: Vec<_> = sends.iter().map(|s| (s.stat.size, entry)).collect();
    let mut sends = sends.into_iter();
    for n in split(&shapes, append_batch_fixed_len(), account.ceilings()) {
        one(account, sends.by_ref().take(n).collect()).await?;
    }
    Ok(())
}

/// What an entry adds to the header, as good as it can be known before its session is: Dropbox's session ids have about 69 letters.
fn entry_len() -> usize {
    let entry = AppendEntry { session: "s".repeat(72), offset: 0, length: 99_999_999, close: true };
    append_batch_header_len(&entry)
}

/// How many small files fill a pack.
pub(crate) fn files(ceilings: Ceilings) -> usize {
    ceilings.files(append_batch_fixed_len(), entry_len())
}

fn shape(files: &[Ready]) -> Shape {
    Shape {
        entries: files.len(),
        header: append_batch_fixed_len() + files.len() * entry_len(),
        body: files.iter().map(|f| f.send.stat.size).sum(),
    }
}

/// One request.
async fn one(account: &Account, sends: Vec<Send>) -> Result<(), Fatal> {
    let (files, body_hash, done) = hash(sends).await?;
    account.store.settle(done, now_ms()).await?;
    if files.is_empty() {
        return Ok(());
    }
    let sessions = match sessions(account, files.len()).await? {
        Ok(sessions) => sessions,
        Err(failure) => return give_back(account, files, &failure).await,
    };
    let Ok(_permit) = account.connections.acquire().await else { return Ok(()) };
    let entries: Vec<AppendEntry> = files
        .iter()
        .zip(&sessions)
        .map(|(f, session)| AppendEntry {
            session: session.id.clone(),
            offset: 0,
            length: f.send.stat.size,
            close: true,
        })
        .collect();
    let bytes: u64 = files.iter().map(|f| f.send.stat.size).sum();
    let shown: Vec<_> = files
        .iter()
        .take(3)
        .map(|f| account.live.show(f.send.job.folder, &f.send.job.path, f.send.stat.size))
        .collect();
    let body = Body::from_stream(bytes, body_hash, transfer::joined(files.iter().map(|f| &f.send)));
    let reply = account.judge(account.dropbox.append_batch(&entries, body).await);
    tracing::debug!(account = %account.name, entries = entries.len(), bytes, ok = reply.is_ok(), "sent a pack");
    drop(shown);
    transfer::count(account).await?;
    match reply {
        Ok(results) => {
            for file in &files {
                account.live.sent(file.send.job.folder, file.send.stat.size);
            }
            let ceilings = account.ceilings();
            let grown = if ceilings.full(shape(&files)) { ceilings.grown() } else { ceilings };
            stage(account, files, sessions, results).await?;
            if grown != ceilings {
                account.learn(grown).await?;
            }
            Ok(())
        }
        Err(error) => refused(account, files, sessions, error).await,
    }
}

/// Stages what arrived; an entry that failed puts its own row off.
async fn stage(
    account: &Account,
    files: Vec<Ready>,
    sessions: Vec<Session>,
    results: Vec<Result<(), EntryError>>,
) -> Result<(), Fatal> {
    let (mut staged, mut done) = (Vec::new(), Vec::new());
    for ((file, session), result) in files.into_iter().zip(sessions).zip(results) {
        let Ready { send, hash } = file;
        match result {
            // An offset that was to be reached, or a session closed already, means that the bytes had arrived before.
            Ok(()) => staged.push((send.job.clone(), send.change(session.id, hash))),
            Err(error) if arrived(&error, send.stat.size) => {
                staged.push((send.job.clone(), send.change(session.id, hash)));
            }
            Err(error) => {
                let settled = failed(&send.job, error.failure());
                done.push((send.job, settled));
            }
        }
    }
    account.store.stage(staged, now_ms()).await?;
    account.store.settle(done, now_ms()).await?;
    Ok(())
}

/// Whether the session holds all its bytes already: a request whose reply was lost had come through.
fn arrived(error: &EntryError, size: u64) -> bool {
    error.is("closed") || error.correct_offset() == Some(size) && size > 0
}

/// The whole request failed.
async fn refused(account: &Account, files: Vec<Ready>, sessions: Vec<Session>, error: CallError) -> Result<(), Fatal> {
    if let CallError::Api(refusal) = &error
        && error.header_too_large()
        && files.len() > 1
    {
        let ceilings = account.ceilings().refused(refusal.status, shape(&files));
        tracing::info!(account = %account.name, entries = ceilings.entries, header = ceilings.header, body = ceilings.body, "the server refused a pack of this shape; packs become smaller");
        account.learn(ceilings).await?;
        // Refused as a whole: nothing arrived, the sessions are as they were.
        account.store.return_sessions(sessions).await?;
        let released = files.into_iter().map(|f| (f.send.job, Settled::Release)).collect();
        return Ok(account.store.settle(released, now_ms()).await?);
    }
    if let CallError::Body(io) = &error
        && let Some(failure) = transfer::file_changed(io)
    {
        // One of them changed while it was sent. Which one shows when they are looked at again.
        return give_back(account, files, &failure).await;
    }
    let failure = error.failure();
    give_back(account, files, &failure).await
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
async fn hash(sends: Vec<Send>) -> Result<(Vec<Ready>, ContentHash, Vec<(Job, Settled)>), Fatal> {
    blocking(move || {
        let mut done = Vec::new();
        let mut files = Vec::with_capacity(sends.len());
        let mut body = ContentHasher::new();
        for send in sends {
            let before = body.clone();
            match hash_one(&send, &mut body) {
                Ok(hash) => match send.unchanged(&hash) {
                    Some(settled) => {
                        body = before;
                        done.push((send.job, settled));
                    }
                    None => files.push(Ready { send, hash }),
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
        Source::Disk => {
            let mut own = ContentHasher::new();
            let stat = local::read_through(&send.folder.root, &send.job.path, None, &mut |bytes| {
                own.update(bytes);
                body.update(bytes);
            })?;
            if stat == send.stat { Ok(own.finish()) } else { Err(transfer::busy()) }
        }
    }
}

/// Takes `n` sessions from the pool, refilled by one `start_batch` for all workers that wait.
async fn sessions(account: &Account, n: usize) -> Result<Result<Vec<Session>, Failure>, Fatal> {
    let wanted = &account.sessions_wanted;
    wanted.fetch_add(n as u64, Ordering::Relaxed);
    let _turn = account.pool_turn.lock().await;
    let outcome = fill(account, n).await;
    wanted.fetch_sub(n as u64, Ordering::Relaxed);
    outcome
}

async fn fill(account: &Account, n: usize) -> Result<Result<Vec<Session>, Failure>, Fatal> {
    let lifetime = account.config.upload.session_lifetime;
    let margin = SESSION_MARGIN.min(lifetime / 4);
    let mut taken = account.store.take_sessions(n, now_ms() - ms(lifetime.saturating_sub(margin))).await?;
    while taken.len() < n {
        let missing = (n - taken.len()) as u64;
        let due = account.store.due_summary(now_ms(), account.config.upload.chunk_size, &[]).await?;
        let others = account.sessions_wanted.load(Ordering::Relaxed).saturating_sub(n as u64);
        // Whatever is on its way will want a session, too: one call for all of it.
        let coming = due.due_small.saturating_add(due.waiting).saturating_add(due.claimed);
        let ask = missing.saturating_add(others).max(coming).clamp(POOL, START_BATCH);
        let started = account.judge(account.dropbox.start_batch(usize::try_from(ask).unwrap_or(n)).await);
        transfer::count(account).await?;
        match started {
            Ok(mut ids) => {
                let born_at = now_ms();
                let rest = ids.split_off(ids.len().min(n - taken.len()));
                taken.extend(ids.into_iter().map(|id| Session { id, born_at }));
                if !rest.is_empty() {
                    account.store.add_sessions(rest, born_at).await?;
                }
            }
            Err(error) => {
                account.store.return_sessions(taken).await?;
                return Ok(Err(error.failure()));
            }
        }
    }
    Ok(Ok(taken))
}
