//! The pool of upload sessions for small files: opened ahead, many in a call, and given out with their owners' names written down.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::daemon::account::{Account, Fatal};
use crate::daemon::clock::{ms, now_ms};
use crate::daemon::transfer;
use crate::model::{Failure, UnixMs};
use crate::store::{Session, Whole};

/// A pool that is refilled gets at least this many sessions: a lone file later on finds one waiting.
const POOL: u64 = 32;
/// The most that one `start_batch` gives.
const START_BATCH: u64 = 1000;
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
    loop {
        let there = account.store.sessions(born_after).await?;
        if there >= n
            && let Some(sessions) = account.store.begin_pack(files.clone(), born_after, now_ms()).await?
        {
            return Ok(Ok(sessions));
        }
        let due = account.store.due_summary(now_ms(), account.config.upload.chunk_size, &[]).await?;
        let others = account.sessions_wanted.load(Ordering::Relaxed).saturating_sub(n);
        // Whatever is on its way will want a session, too: one call for all of it.
        let coming = due.due_small.saturating_add(due.waiting).saturating_add(due.claimed);
        let missing = n.saturating_sub(there).saturating_add(others);
        let ask = missing.max(coming.saturating_sub(there)).clamp(POOL, START_BATCH);
        let started = account.judge(account.dropbox.start_batch(usize::try_from(ask).unwrap_or(1)).await);
        transfer::count(account).await?;
        match started {
            Ok(ids) => account.store.add_sessions(ids, now_ms()).await?,
            Err(error) => return Ok(Err(error.failure())),
        }
    }
}
