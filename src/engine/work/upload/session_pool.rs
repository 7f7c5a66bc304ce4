//! The pool of upload sessions for small files: opened ahead, many in a call, and given out with their owners' names written down.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::dropbox::{CallError, TransportKind};
use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::env::lock;
use crate::env::{chance, ms, now_ms};
use crate::model::{Closed, Failure, Next, UnixMs};
use crate::plan::time::retry;
use crate::plan::time::wait::{LONGEST_MS, is_ahead};
use crate::store::{Session, Whole};

/// A pool that is refilled gets at least this many sessions: a lone file later on finds one waiting.
const POOL: u64 = 32;
/// The most that one `start_batch` gives.
const START_BATCH: u64 = 1000;
/// So many ids of sessions are remembered.
const GIVEN: usize = 10_000;
/// A session this close to its end is not begun with.
const MARGIN: Duration = Duration::from_hours(2);

/// Sessions born before this are too old to go on with.
pub(crate) fn born_after(account: &Account) -> UnixMs {
    let lifetime = account.config.upload.session_lifetime;
    now_ms() - ms(lifetime.saturating_sub(MARGIN.min(lifetime / 4)))
}

/// Gives each file a session, and stores that before any byte is sent. The pool is refilled by one `start_batch` for all workers that wait.
pub(crate) async fn begin(account: &Account, files: Vec<Whole>) -> Result<Result<Vec<Session>, Failure>, Fatal> {
    let n = files.len() as u64;
    let wanted = &account.sessions_wanted;
    wanted.fetch_add(n, Ordering::Relaxed);
    let _turn = account.pool_turn.lock().await;
    let outcome = fill(account, files).await;
    wanted.fetch_sub(n, Ordering::Relaxed);
    outcome
}

async fn fill(account: &Account, files: Vec<Whole>) -> Result<Result<Vec<Session>, Failure>, Fatal> {
    let n = files.len() as u64;
    let born_after = born_after(account);
    let waits = lock(&account.upward.no_sessions).clone();
    if let Some((_, failure, until)) = waits
        && is_ahead(until, now_ms(), LONGEST_MS)
    {
        return Ok(Err(wait_for(failure, until)));
    }
    loop {
        let there = account.store.sessions(born_after).await?;
        if there >= n
            && let Some(sessions) = account.store.begin_pack(files.clone(), born_after, now_ms()).await?
        {
            return Ok(Ok(sessions));
        }
        let due = account.store.due_summary(now_ms(), account.config.upload.chunk_size, &Closed::default()).await?;
        let others = account.sessions_wanted.load(Ordering::Relaxed).saturating_sub(n);
        // Whatever is on its way will want a session, too: one call for all of it.
        let coming = due.due_small.saturating_add(due.waiting).saturating_add(due.claimed);
        let missing = n.saturating_sub(there).saturating_add(others);
        let ask = missing.max(coming.saturating_sub(there)).clamp(POOL, START_BATCH);
        let started = account.judge(account.dropbox.start_batch(usize::try_from(ask).unwrap_or(1)).await);
        let (in_vain, failure) = match started {
            Ok(ids) => {
                let asked = ids.len() as u64;
                let ids = not_given(account, ids);
                let new = account.store.add_sessions(ids, now_ms()).await?;
                if new == asked {
                    *lock(&account.upward.no_sessions) = None;
                    continue;
                }
                let text = format!(
                    "Dropbox gave {} upload sessions that it had given before, and two files never share one",
                    asked - new
                );
                (true, Failure::retry("protocol", text))
            }
            // Only an answer that leads nowhere: an account's trouble, and a server that asks to wait, say themselves for how long.
            Err(error) => {
                (matches!(&error, CallError::Transport(t) if t.kind == TransportKind::Protocol), error.failure())
            }
        };
        if !in_vain {
            return Ok(Err(failure));
        }
        // All that want one wait together: each on its own would make a call a file.
        let mut waits = lock(&account.upward.no_sessions);
        let tries = waits.as_ref().map_or(0, |(tries, ..)| tries.saturating_add(1));
        let until = now_ms().saturating_add(ms(retry::steady(tries, chance())));
        *waits = Some((tries, failure.clone(), until));
        return Ok(Err(wait_for(failure, until)));
    }
}

/// Those that were not given before: two files never share a session.
fn not_given(account: &Account, ids: Vec<String>) -> Vec<String> {
    let mut given = lock(&account.upward.given);
    if given.len() >= GIVEN {
        given.clear();
    }
    ids.into_iter().filter(|id| given.insert(id.clone())).collect()
}

fn wait_for(failure: Failure, until: UnixMs) -> Failure {
    let left = u64::try_from(until.saturating_sub(now_ms())).unwrap_or(0);
    Failure { next: Next::Retry { after: Some(Duration::from_millis(left)) }, ..failure }
}
