//! One account: everything its tasks share. Tasks meet in the store; what stands here is configuration, the wire and what goes on right now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::dropbox::{Dropbox, Source};
use crate::engine::blocking::Fatal;
use crate::engine::folder::Folder;
use crate::engine::folder::Look;
use crate::engine::gate::account_state::Trouble;
use crate::engine::gate::pause::Pause;
use crate::engine::gather::remote::RemoteCache;
use crate::engine::heartbeat::Beats;
use crate::engine::metrics::Live;
use crate::engine::rename_proposals::Moves;
use crate::engine::work::at_hand::AtHand;
use crate::engine::work::upload::dedup_copy::Copies;
use crate::env::lock;
use crate::env::{ms, steady_ms};
use crate::model::status::Space;
use crate::model::{ContentHash, Failure, FolderId, RelPath, RemotePath, Stat, UnixMs};
use crate::plan::time::governor::Governor;
use crate::plan::time::wait::LONGEST_MS;
use crate::plan::transfer::pack::Ceilings;
use crate::store::Store;

/// What the tasks of one account share.
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) config: config::Config,
    pub(crate) budget: Option<u64>,
    pub(crate) store: Store,
    pub(crate) dropbox: Dropbox,
    pub(crate) folders: Vec<Arc<Folder>>,
    /// What Dropbox's listings say.
    pub(crate) remote: RemoteCache,
    /// Where each folder's intake takes orders to look again.
    pub(crate) looks: Vec<mpsc::Sender<Look>>,
    pub(crate) live: Live,
    /// Whose account it is, once Dropbox has said so and it is the database's.
    pub(crate) who: watch::Sender<Option<Who>>,
    /// Asks now whose account it is, and where its paths are.
    pub(crate) recheck: Notify,
    /// What stops the whole account, until when.
    pub(crate) trouble: watch::Sender<Option<Trouble>>,
    /// A person wants nothing done for now.
    pub(crate) paused: watch::Sender<Option<Pause>>,
    pub(crate) ceilings: Mutex<Ceilings>,
    pub(crate) lane: Mutex<Lane>,
    /// One worker at a time decides what to claim.
    pub(crate) claim_turn: Arc<tokio::sync::Mutex<()>>,
    /// Sessions are taken from the pool by one worker at a time; the number says how many others wait for.
    pub(crate) pool_turn: tokio::sync::Mutex<()>,
    pub(crate) sessions_wanted: std::sync::atomic::AtomicU64,
    /// One permit a request with content.
    pub(crate) connections: Semaphore,
    pub(crate) host: String,
    /// Where the credentials are kept, to see when the account was linked again.
    pub(crate) credentials: Source,
    /// What the way up remembers in memory only.
    pub(crate) upward: Upward,
    /// Counts calls, and slows down those of a class of which there are far too many.
    pub(crate) governor: Arc<Mutex<Governor>>,
    /// Renames that were seen here and are on their way to the committer.
    pub(crate) moves: Moves,
    /// Where copies were refused.
    pub(crate) copies: Copies,
    /// What lies in the trash of late, and may be wanted elsewhere.
    pub(crate) at_hand: AtHand,
    /// Why nothing is worked on although nothing of Dropbox's stands in the way: the database's disk is full.
    pub(crate) full: Mutex<Option<String>>,
    /// Why its tasks do not run although those of other accounts do: its database fails, or one of them died.
    pub(crate) stopped: Mutex<Option<String>>,
    /// What goes on in the process.
    pub(crate) beats: Arc<Beats>,
    pub(crate) stop: CancellationToken,
}

/// What the way up remembers in memory only: losing it costs a try.
#[derive(Debug, Default)]
pub(crate) struct Upward {
    /// Packs in a row whose connection broke.
    pub(crate) resets: AtomicU32,
    /// Calls in a row that did not come through.
    pub(crate) broken: AtomicU32,
    /// When a wait was last ended early, in ms.
    pub(crate) hurried: AtomicI64,
    /// Files in a row whose content was denied (403).
    pub(crate) denied: Mutex<BTreeSet<(FolderId, RelPath)>>,
    /// Folders in Dropbox below which something was refused for a file that stands above, and that file if it was found.
    pub(crate) obstacles: Mutex<BTreeMap<RemotePath, Option<RemotePath>>>,
    /// Ids of upload sessions that Dropbox gave of late.
    pub(crate) given: Mutex<BTreeSet<String>>,
    /// Upload sessions cannot be had: failures in a row, the last one, and when they are asked for again, in ms.
    pub(crate) no_sessions: Mutex<Option<(u32, Failure, UnixMs)>>,
    /// Files that never rest: when the next copy of one may be sent.
    pub(crate) restless: Mutex<BTreeMap<(FolderId, RelPath), UnixMs>>,
    /// What files hold that were read, until that is written down.
    pub(crate) hashed: Mutex<Vec<(Stat, ContentHash)>>,
    /// A file of patterns in a tree changed: what only Dropbox has may be wanted now.
    pub(crate) patterns: AtomicBool,
    /// A commit is over: more or less of the account's space is in use than was known.
    pub(crate) committed: Notify,
    /// Files wait for room: they are due as soon as there may be some.
    pub(crate) put_off: AtomicBool,
    /// Workers that claim rows, or look at them, at this moment: see [`Looking`].
    looking: AtomicUsize,
    /// How many workers have rows of a folder in their hands.
    at_work: Mutex<BTreeMap<FolderId, usize>>,
    /// The account is full: uploads wait, deletions do not.
    pub(crate) quota: watch::Sender<Option<Trouble>>,
}

/// A worker that claims rows, and looks at them until what it found is written down, counts for as long as this lives.
#[derive(Debug)]
pub(crate) struct Looking<'a>(&'a AtomicUsize);

impl Upward {
    /// Before anything is claimed: whoever sees a row claimed sees this, too.
    pub(crate) fn look(&self) -> Looking<'_> {
        self.looking.fetch_add(1, Ordering::SeqCst);
        Looking(&self.looking)
    }

    /// Whether a worker may be looking at a row that is claimed.
    pub(crate) fn is_looking(&self) -> bool {
        self.looking.load(Ordering::SeqCst) > 0
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A worker has rows of this folder in its hands for as long as this lives.
#[derive(Debug)]
pub(crate) struct AtWork<'a>(&'a Upward, FolderId);

impl Upward {
    /// A worker takes rows of this folder.
    pub(crate) fn works_on(&self, folder: FolderId) -> AtWork<'_> {
        *lock(&self.at_work).entry(folder).or_default() += 1;
        AtWork(self, folder)
    }

    /// How many workers each folder has.
    pub(crate) fn at_work(&self) -> BTreeMap<FolderId, usize> {
        lock(&self.at_work).clone()
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        let mut at_work = lock(&self.0.at_work);
        if let Some(workers) = at_work.get_mut(&self.1) {
            *workers = workers.saturating_sub(1);
        }
        at_work.retain(|_, workers| *workers > 0);
    }
}

/// Whose account it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Who {
    pub(crate) account_id: String,
    pub(crate) email: String,
    pub(crate) space: Option<Space>,
}

/// What the committer does, for the status.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lane {
    pub(crate) entries: u64,
    pub(crate) job_id: Option<String>,
    pub(crate) since: Option<UnixMs>,
    /// Why its end is not known.
    pub(crate) reason: Option<String>,
}

impl Account {
    /// The folder with this number, unless the configuration no longer has it.
    pub(crate) fn folder(&self, id: FolderId) -> Option<&Arc<Folder>> {
        self.folders.iter().find(|f| f.id == id)
    }

    /// Why calls are slowed down, if far too many of one kind were made.
    pub(crate) fn slowed_reason(&self) -> Option<String> {
        let slowed = lock(&self.governor).slowed(steady_ms())?;
        Some(format!(
            "far more {} were made than any work needs (over {} in a minute): they are slowed down to one a second for {} s more. Either Dropbox's answers lead \
             nowhere or ferrybox has a fault: please report it with the log",
            slowed.class,
            slowed.limit,
            slowed.until.saturating_sub(steady_ms()) / 1000
        ))
    }

    /// The ceilings of one `append_batch` as learned so far.
    pub(crate) fn ceilings(&self) -> Ceilings {
        *lock(&self.ceilings)
    }

    /// The same for what is sent now: a pack arrives whole or not at all, so it is not much more than a part of a large file, and `chunk_size`
    /// says how much a broken line or a crash may cost.
    pub(crate) fn pack_ceilings(&self) -> Ceilings {
        let learned = self.ceilings();
        Ceilings { body: learned.body.min(self.config.upload.chunk_size.saturating_mul(PACK_CHUNKS)), ..learned }
    }

    /// Sets the ceilings, and remembers them for the next start.
    pub(crate) async fn learn(&self, ceilings: Ceilings) -> Result<(), Fatal> {
        *lock(&self.ceilings) = ceilings;
        if let Ok(text) = serde_json::to_string(&ceilings) {
            self.store.set_ceilings(&text).await?;
        }
        Ok(())
    }

    /// Folders whose root is not the one that was synced: their rows wait until a scan finds it again.
    pub(crate) fn folders_without_root(&self) -> Vec<FolderId> {
        self.folders.iter().filter(|f| f.now().root_trouble.is_some()).map(|f| f.id).collect()
    }

    /// The longest that anything in the database may have to wait, in ms; a minute more, since time goes by between a step and a look at it.
    pub(crate) fn longest_wait(&self) -> i64 {
        let watch = &self.config.watch;
        let rests = [watch.settle.saturating_mul(3), watch.restless, watch.snapshot_every];
        rests.into_iter().map(ms).fold(LONGEST_MS, i64::max).saturating_add(60_000)
    }

    /// Whether any folder's scan runs: then more rows may come at any moment.
    pub(crate) fn scanning(&self) -> bool {
        self.folders.iter().any(|f| f.now().scans > 0)
    }
}

/// A pack is at most so many chunks long.
const PACK_CHUNKS: u64 = 2;
impl Account {
    /// All tasks have ended, and others begin: what the old ones had under way is nobody's.
    pub(crate) fn begin_anew(&self) {
        *lock(&self.lane) = Lane::default();
        self.sessions_wanted.store(0, std::sync::atomic::Ordering::Relaxed);
        for folder in &self.folders {
            folder.set(|now| now.scans = 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A claim that is cut off leaves nobody waiting for it.
    #[tokio::test]
    async fn a_worker_looks_from_its_claim_on_until_it_ends_or_is_cut_off() {
        let upward = Upward::default();
        let two = (upward.look(), upward.look());
        drop(two.0);
        assert!(upward.is_looking());
        drop(two.1);
        assert!(!upward.is_looking());
        let claim = async {
            let _looking = upward.look();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = claim => {}
            () = async { assert!(upward.is_looking()) } => {}
        }
        assert!(!upward.is_looking());
    }
}
