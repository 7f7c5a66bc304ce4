//! Downloads: Dropbox's bytes into the folder's own temporary place, checked, and from there to where they belong.
//!
//! A download is pinned to a revision and goes on where the last try ended. What stands at its place is exchanged with it only if it is still what the
//! decision was made from; it goes to the trash then.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};

use crate::dropbox::{Download, Version};
use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::blocking::blocking;
use crate::engine::folder::Folder;
use crate::engine::folder::patterns;
use crate::engine::gather::letters;
use crate::engine::work::at_hand;
use crate::engine::work::worker::failed;
use crate::engine::{local_removal, rename_proposals};
use crate::env;
use crate::env::now_ms;
use crate::local::{Going, Incoming, Placed, Refused};
use crate::model::{Base, ContentHash, Failure, Job, Local, RelPath, Settled, UnixMs};
use crate::plan::reconcile::Wanted;
use crate::store::Placing;

/// So many files that have arrived are settled in one step, and none later than this after it has arrived: until then nobody knows the file again, should
/// it be renamed here.
const MANY: usize = 64;
const KNOWN_AFTER: Duration = Duration::from_millis(250);
/// Small files that come down at once, a worker.
const AT_ONCE: usize = 4;
/// A path that changed meanwhile is looked at again after this long, in ms.
const SOON_MS: UnixMs = 200;

/// One file that is to come down.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) job: Job,
    pub(crate) folder: Arc<Folder>,
    /// What stands at its place.
    pub(crate) expected: Local,
    pub(crate) wanted: Wanted,
}

/// Fetches and places them, and settles their rows as they arrive.
pub(crate) async fn all(account: &Arc<Account>, fetches: Vec<Fetch>) -> Result<(), Fatal> {
    // Before the first of them is in its place: a kill after that must not make it somebody's edit.
    let placing = |fetch: &Fetch| {
        let Wanted { rev, content_hash, id, .. } = fetch.wanted.clone();
        let placing = Placing { content_hash: content_hash?, rev, file_id: id };
        Some((fetch.job.folder, fetch.job.path.clone(), placing))
    };
    account.store.placing(fetches.iter().filter_map(placing).collect()).await?;
    let mut arriving = stream::iter(fetches).map(|fetch| one(account, fetch)).buffer_unordered(AT_ONCE);
    let (mut done, mut due) = (Vec::new(), None);
    loop {
        let late = async {
            match due {
                Some(due) => env::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let came = tokio::select! {
            came = arriving.next() => match came {
                Some(came) => Some(came?),
                None => break,
            },
            () = late => None,
        };
        if let Some((job, settled)) = came {
            if matches!(settled, Settled::Arrived(_)) {
                account.live.settled(job.folder, 1);
            }
            done.push((job, settled));
            due.get_or_insert_with(|| env::instant() + KNOWN_AFTER);
        }
        if done.len() >= MANY || due.is_some_and(|due| due <= env::instant()) {
            account.store.settle(std::mem::take(&mut done), now_ms()).await?;
            due = None;
        }
    }
    Ok(account.store.settle(done, now_ms()).await?)
}

async fn one(account: &Arc<Account>, fetch: Fetch) -> Result<(Job, Settled), Fatal> {
    // Its place may have gone since it was looked at: then nothing is asked for.
    if fetch.expected == Local::Absent {
        let (at, of, path) = (Arc::clone(account), Arc::clone(&fetch.folder), fetch.job.path.clone());
        if blocking(move || rename_proposals::has_lost_its_directory(&at, &of, &path)).await? {
            return Ok((fetch.job, Settled::Wait(now_ms() + SOON_MS)));
        }
    }
    let settled = match arrive(account, &fetch).await? {
        Ok(base) => Settled::Arrived(base),
        Err(Refused::Failed(failure)) => failed(&fetch.job, failure),
        // Somebody was faster: what is there now is looked at, and the download waits in its temporary place.
        Err(Refused::Changed | Refused::Dir | Refused::InTheWay(_)) => Settled::Wait(now_ms() + SOON_MS),
    };
    Ok((fetch.job, settled))
}

/// From the first byte to its place.
pub(crate) async fn arrive(account: &Arc<Account>, fetch: &Fetch) -> Result<Result<Base, Refused>, Fatal> {
    let Wanted { rev, size, content_hash, id } = fetch.wanted.clone();
    let root = fetch.folder.root.pin();
    let reserve = account.config.safety.disk_reserve;
    let key = rev.clone();
    let opened = blocking(move || {
        Ok(root.space().and_then(|space| {
            if space.free < size.saturating_add(reserve) {
                Err(full(size, space.free, reserve))
            } else {
                root.incoming(&key, size)
            }
        }))
    })
    .await?;
    let incoming = match opened {
        Ok(incoming) => Arc::new(incoming),
        Err(failure) => return Ok(Err(failure.into())),
    };
    let (at, of, path, wanted) = (Arc::clone(account), fetch.folder.id, fetch.job.path.clone(), fetch.wanted.clone());
    let filled = Arc::clone(&incoming);
    let at_hand = blocking(move || at_hand::fill(&at, of, &path, &wanted, &filled)).await?;
    let shown = account.live.show_down(fetch.job.folder, &fetch.job.path, size);
    shown.begin(incoming.len());
    let mut modified = at_hand;
    let chunk = account.config.upload.chunk_size.max(1);
    let parts: Vec<Range<u64>> = incoming.missing().into_iter().flat_map(|range| pieces(&range, chunk)).collect();
    // An empty file has no bytes to ask for, and yet its times are worth a call.
    let parts = if size == 0 { std::iter::once(0..0).collect() } else { parts };
    // One part failed: those under way come to their end, since their bytes count, and no other is begun.
    let halt = AtomicBool::new(false);
    let several = parts.len() > 1;
    let mut coming = stream::iter(parts)
        .map(|part| {
            let part = Part { account, fetch, rev: &rev, range: part, size, several, incoming: &incoming };
            part.come(&halt, &shown.done)
        })
        .buffer_unordered(AT_ONCE);
    let mut first: Option<Failure> = None;
    while let Some(came) = coming.next().await {
        match came {
            Ok(time) => modified = time.or(modified),
            Err(failure) => {
                halt.store(true, Ordering::Relaxed);
                first = first.or(failure);
            }
        }
    }
    drop(coming);
    if let Some(failure) = first {
        return Ok(Err(failure.into()));
    }
    let (folder, path, expected) = (Arc::clone(&fetch.folder), fetch.job.path.clone(), fetch.expected.clone());
    let holds = Arc::clone(account);
    // Before it is in its place: the scan that follows asks who put it there.
    patterns::note_arrival(&account.store, fetch.folder.id, &fetch.job.path).await?;
    let placed = blocking(move || {
        let is_new = expected == Local::Absent;
        if is_new
            && (rename_proposals::is_shown_otherwise(&holds, &folder, &path)?
                || rename_proposals::has_lost_its_directory(&holds, &folder, &path)?)
        {
            return Ok(Err(Refused::Changed));
        }
        let going = local_removal::going(&holds, &folder, &path, &expected);
        Ok(place(&folder, &incoming, (&path, &expected), going, content_hash, modified))
    })
    .await?;
    Ok(placed.map(|(placed, hash)| Base {
        stat: placed.stat,
        content_hash: hash,
        rev,
        file_id: Some(id),
        remote: None,
    }))
}

/// Checks the content, and puts it where it belongs. Blocks.
fn place(
    folder: &Folder,
    incoming: &Incoming,
    (path, expected): (&RelPath, &Local),
    going: Going,
    content_hash: Option<ContentHash>,
    modified: Option<i64>,
) -> Result<(Placed, ContentHash), Refused> {
    let hash = incoming.hash()?;
    if content_hash.is_some_and(|wanted| wanted != hash) {
        incoming.restart()?;
        let text = "what came down is not what Dropbox lists (its hash is another): it is fetched anew";
        return Err(Failure::retry("bad_content", text).into());
    }
    // Nothing is placed in a root that is not the folder's.
    folder.verify()?;
    // While it came, its directory may have got other letters: it is not made a second time.
    if letters::below(&folder.root, path)?.is_some() {
        return Err(Refused::Changed);
    }
    let placed = incoming.place(path, expected, modified, going)?;
    Ok((placed, hash))
}

/// One range of the file.
struct Part<'a> {
    account: &'a Account,
    fetch: &'a Fetch,
    rev: &'a str,
    range: Range<u64>,
    size: u64,
    /// The file comes in more than one: then each takes one of the account's connections.
    several: bool,
    incoming: &'a Arc<Incoming>,
}

impl Part<'_> {
    /// Gives the content's own time, in seconds since 1970.
    ///
    /// # Errors
    /// Why it did not come; none if it was not begun, since another one had failed.
    async fn come(self, halt: &AtomicBool, done: &AtomicU64) -> Result<Option<i64>, Option<Failure>> {
        let account = self.account;
        let _permit = if self.several {
            let stopping = |_| Failure::account("stopping", "the daemon is stopping");
            Some(account.connections.acquire().await.map_err(stopping)?)
        } else {
            None
        };
        if halt.load(Ordering::Relaxed) {
            return Err(None);
        }
        // What has come stays: the file goes on where it was.
        if let Some(reason) = account.paused_reason() {
            return Err(Some(Failure::account("paused", reason)));
        }
        if account.is_troubled() {
            let text = "the account waits; the file goes on where it was";
            return Err(Some(Failure::account("waiting", text)));
        }
        let opened = account.judge(account.dropbox.download(Version::Rev(self.rev), self.asked()).await);
        account.was_denied(&self.fetch.job, opened.as_ref().err());
        bytes(opened.map_err(|e| e.failure())?, self.size, self.incoming, done).await.map_err(Some)
    }

    fn asked(&self) -> Option<Range<u64>> {
        let whole = self.range.start == 0 && self.range.end >= self.size;
        (!whole).then(|| self.range.clone())
    }
}

async fn bytes(
    mut coming: Download,
    size: u64,
    incoming: &Arc<Incoming>,
    done: &AtomicU64,
) -> Result<Option<i64>, Failure> {
    if coming.size != size {
        return Err(Failure::retry("bad_content", "Dropbox lists another size than it sends: it is looked at again"));
    }
    let modified = coming.metadata.as_ref().and_then(|file| file.client_modified).map(jiff::Timestamp::as_second);
    let mut at = coming.start;
    while let Some(some) = coming.chunk().await.map_err(|e| e.failure())? {
        let next = at.saturating_add(some.len() as u64);
        // A server that gives more than was asked for: only what is missing here is taken.
        if next > size {
            return Err(Failure::retry("bad_content", "more bytes came than the file has: it is fetched anew"));
        }
        let to = Arc::clone(incoming);
        let offset = at;
        let some = some.clone();
        env::blocks(|| to.write_at(offset, &some))?;
        done.fetch_add(some.len() as u64, Ordering::Relaxed);
        at = next;
    }
    Ok(modified)
}

fn pieces(range: &Range<u64>, chunk: u64) -> Vec<Range<u64>> {
    let mut found = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let end = at.saturating_add(chunk).min(range.end);
        found.push(at..end);
        at = end;
    }
    found
}

fn full(size: u64, free: u64, reserve: u64) -> Failure {
    Failure::retry(
        "disk_full",
        format!(
            "the disk has {free} bytes left, and this file of {size} bytes would leave less than safety.disk_reserve = {reserve} bytes: make room, \
             and it comes by itself"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_a_range_and_nothing_else() {
        assert_eq!(pieces(&(0..10), 4), [0..4, 4..8, 8..10]);
        assert_eq!(pieces(&(3..5), 1), [3..4, 4..5]);
        assert!(pieces(&(5..5), 4).is_empty());
    }
}
