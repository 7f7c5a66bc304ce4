//! From hints to rows: the watcher's events and the scanner's findings become "look at this path again".
//!
//! Events are hints, never facts: each is looked at with `lstat`, and a new directory is scanned after its watch is in place, since files
//! made before that were seen by nobody. Whatever cannot be told apart becomes a scan.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use self::scanning::ScanRun;
use crate::engine::account::Account;
use crate::engine::blocking::Fatal;
use crate::engine::blocking::blocking;
use crate::engine::drive::{Step, Task};
use crate::engine::folder::Folder;
use crate::engine::folder::Look;
use crate::engine::folder::attach;
use crate::engine::overlooked::Overlooked;
use crate::engine::{local_removal, rename_proposals};
use crate::env;
use crate::env::Instant;
use crate::env::{chance, ms, now_ms};
use crate::local::{Ignored, Seen, Watcher};
use crate::model::{Due, Local, RelPath};
use crate::plan::time::debounce;
use tokio::sync::OwnedMutexGuard;
use tokio::sync::mpsc::error::TryRecvError;

mod scanning;
#[cfg(test)]
mod tests;

/// Rows that one transaction takes, at most.
const TOGETHER: usize = 1000;
/// How long events are gathered before they are looked at: one `lstat` for many events of one path.
const GATHER: Duration = Duration::from_millis(30);
/// How often folders that cannot be watched wholly are scanned.
const POLL: Duration = Duration::from_mins(1);
/// A watcher that dies so soon after another one is not replaced at once.
const YOUNG: Duration = Duration::from_secs(if cfg!(test) { 5 } else { 50 });
/// How often it is looked whether the root is still there, or there again.
const ROOT_CHECK: Duration = Duration::from_secs(2);

/// How often a `.ferryboxignore` that cannot be read is tried again: at first, and at last.
const RULES: Duration = Duration::from_secs(2);
const RULES_AT_MOST: Duration = Duration::from_mins(1);

/// One folder's intake.
pub(crate) struct Intake {
    account: Arc<Account>,
    folder: Arc<Folder>,
    watcher: Option<Arc<Watcher>>,
    seen: mpsc::Receiver<Seen>,
    next_scan: Instant,
    next_check: Instant,
    /// When the last watcher died, and until when no other is started after one that died young.
    died: Option<Instant>,
    next_watch: Instant,
    /// When `.ferryboxignore` files that cannot be read are looked at again, and the pause after that.
    next_rules: Instant,
    rules_pause: Duration,
    overlooked: Overlooked,
    /// The orders, once no earlier intake of the folder holds them, and the one that is to be carried out next.
    orders: Option<OwnedMutexGuard<mpsc::Receiver<Look>>>,
    order: Option<Look>,
    /// An event, and when it has waited long enough for those that come with it.
    event: Option<(Seen, Instant)>,
}

/// Events that the watcher may hold back; more are a rescan.
const SEEN_LIMIT: usize = 65_536;

impl Task for Intake {
    /// The look at a folder goes on whatever becomes of the account; but an earlier intake of the folder ends first.
    async fn gate(&mut self) -> Result<(), Fatal> {
        if self.orders.is_none() {
            self.orders = Some(Arc::clone(&self.folder.looks).lock_owned().await);
            self.watch().await?;
        }
        Ok(())
    }

    /// A whole scan, an order, a look at the root, or one gathering of events.
    async fn step(&mut self) -> Result<Step, Fatal> {
        self.folder.beat.strike();
        let now = env::instant();
        self.receive();
        if now >= self.next_check {
            self.check_root().await?;
        } else if let Some(order) = self.order.take() {
            self.carry_out(order).await?;
        } else if now >= self.next_scan {
            self.scan(RelPath::root()).await?;
        } else if let Some((seen, _)) = self.event.take_if(|(_, ready)| *ready <= now) {
            self.take(seen).await?;
        } else {
            let ready = self.event.as_ref().map(|(_, ready)| *ready);
            let until = [Some(self.next_check), Some(self.next_scan), ready].into_iter().flatten().min();
            return Ok(Step::Idle { until: until.unwrap_or(now) });
        }
        Ok(Step::Worked)
    }

    async fn news(&mut self) -> Result<(), Fatal> {
        let order = async {
            match &mut self.orders {
                Some(orders) => orders.recv().await,
                None => None,
            }
        };
        tokio::select! {
            biased;
            Some(order) = order => self.order = Some(order),
            seen = self.seen.recv(), if self.watcher.is_some() && self.event.is_none() => {
                self.event = Some(gathering(seen));
            }
            else => std::future::pending().await,
        }
        Ok(())
    }
}

/// Whoever sends events says so when it ends, unless it panics.
fn gathering(seen: Option<Seen>) -> (Seen, Instant) {
    let seen = seen.unwrap_or_else(|| Seen::Dead("its thread broke off".to_owned()));
    (seen, env::instant() + GATHER)
}

impl Intake {
    /// Watching begins with the first step; watches are placed by the first scan.
    pub(crate) fn new(account: Arc<Account>, folder: Arc<Folder>) -> Self {
        let now = env::instant();
        Self {
            account,
            folder,
            watcher: None,
            seen: mpsc::channel(1).1,
            next_scan: now,
            next_check: now,
            died: None,
            next_watch: now,
            next_rules: now,
            rules_pause: RULES,
            overlooked: Overlooked::default(),
            orders: None,
            order: None,
            event: None,
        }
    }

    /// Takes what has come meanwhile, without a wait.
    fn receive(&mut self) {
        if self.order.is_none()
            && let Some(orders) = &mut self.orders
        {
            self.order = orders.try_recv().ok();
        }
        if self.event.is_none() && self.watcher.is_some() {
            self.event = match self.seen.try_recv() {
                Ok(seen) => Some(gathering(Some(seen))),
                Err(TryRecvError::Disconnected) => Some(gathering(None)),
                Err(TryRecvError::Empty) => None,
            };
        }
    }

    async fn carry_out(&mut self, order: Look) -> Result<(), Fatal> {
        // Whoever asks wants to know of the root as it is now.
        self.check_root().await?;
        // Events that the kernel has already told of come first, or the answer would be older than the question.
        self.drain().await?;
        self.scan(order.under).await?;
        if let Some(done) = order.done {
            let _ = done.send(());
        }
        Ok(())
    }

    /// A root that vanished may have sent no event, and one that comes back sends none: both are looked for.
    async fn check_root(&mut self) -> Result<(), Fatal> {
        if self.folder.now().root_trouble.is_none() {
            let folder = Arc::clone(&self.folder);
            // What it finds is in the folder's own state.
            blocking(move || Ok(folder.verify().is_ok())).await?;
        }
        if self.folder.now().root_trouble.is_some() {
            if attach::again(&self.account.store, &self.folder).await? {
                // The old watches are on the old directories.
                self.watch().await?;
                self.scan(RelPath::root()).await?;
            } else {
                self.account.store.poke();
            }
        }
        self.next_check = env::instant() + ROOT_CHECK;
        self.check_rules().await?;
        self.overlooked.step(&self.account, &self.folder).await?;
        Ok(())
    }

    /// Nothing is synced where a `.ferryboxignore` cannot be read, and no event says that it can be again: it is tried again now and then. What
    /// was missed meanwhile is found by the scan of its directory, which is where it is read.
    async fn check_rules(&mut self) -> Result<(), Fatal> {
        if env::instant() < self.next_rules {
            return Ok(());
        }
        let unreadable = self.folder.rules.unreadable();
        self.rules_pause = if unreadable.is_empty() { RULES } else { (self.rules_pause * 2).min(RULES_AT_MOST) };
        self.next_rules = env::instant() + self.rules_pause;
        for dir in unreadable {
            self.scan(dir).await?;
        }
        Ok(())
    }

    async fn drain(&mut self) -> Result<(), Fatal> {
        match self.event.take().map(|(seen, _)| seen).or_else(|| self.seen.try_recv().ok()) {
            Some(seen) => self.take(seen).await,
            None => Ok(()),
        }
    }

    /// Looks at one event and all that wait behind it.
    async fn take(&mut self, first: Seen) -> Result<(), Fatal> {
        let (mut paths, mut scans) = (BTreeSet::new(), BTreeSet::new());
        let mut next = Some(first);
        while let Some(seen) = next {
            match seen {
                Seen::Path(path) => {
                    paths.insert(path);
                }
                // Looked at first: a file may have been there, or be there again by now.
                Seen::NewDir(path) | Seen::GoneDir(path) => {
                    paths.insert(path);
                }
                Seen::Rescan { under, reason } => {
                    tracing::info!(account = %self.account.name, %reason, "scanning again");
                    scans.insert(under);
                }
                Seen::Dead(reason) => self.restart_watcher(&reason).await?,
            }
            next = self.seen.try_recv().ok();
        }
        self.account.hurry_offline();
        let mut gone = Vec::new();
        if !paths.is_empty() {
            let dirs;
            (dirs, gone) = self.look(paths).await?;
            scans.extend(dirs);
        }
        // A scan covers everything below it.
        let mut last: Option<RelPath> = None;
        for under in scans {
            if last.as_ref().is_some_and(|last| under.is_under(last)) {
                continue;
            }
            self.scan(under.clone()).await?;
            last = Some(under);
        }
        rename_proposals::gone(&self.account, &self.folder, gone).await
    }

    /// Looks at paths and enqueues them; gives back the directories among them, which have to be scanned, and those that are none any more.
    async fn look(&self, paths: BTreeSet<RelPath>) -> Result<(Vec<RelPath>, Vec<RelPath>), Fatal> {
        let (account, folder) = (Arc::clone(&self.account), Arc::clone(&self.folder));
        let handle = Handle::current();
        let settle = ms(account.config.watch.settle);
        blocking(move || {
            let (mut dirs, mut gone, mut due) = (Vec::new(), Vec::new(), Vec::new());
            for path in paths {
                let now = now_ms();
                let size = match folder.root.observe(&path) {
                    Local::Dir => {
                        dirs.push(path.clone());
                        // A file was here: what became of it is to be decided, too. And where folders meet, so is the directory itself.
                        let known = account.store.agreed_dir_blocking(folder.id, &path)?
                            && !account.store.is_wedged_blocking(folder.id, &path)?;
                        let is_news = folder.comes_down() && !known && !path.is_root();
                        // Or it is about to be in base: its commit may be under way. Asked in this order, since a row becomes base.
                        let is_on_its_way = account.store.has_row_blocking(folder.id, &path)?;
                        if !is_news && !is_on_its_way && account.store.base_blocking(folder.id, &path)?.is_none() {
                            continue;
                        }
                        0
                    }
                    Local::Unknown(_) => 0,
                    // A directory that was moved away, or replaced, takes its files along, and only it has an event.
                    other => {
                        if account.store.knows_below_blocking(folder.id, &path)? {
                            gone.push(path.clone());
                        }
                        if let Local::File(stat) = other { stat.size } else { 0 }
                    }
                };
                // The file that was to bring its directory to Dropbox has gone: now the directory has to go there by itself.
                if folder.comes_down()
                    && let Some(above) = path.parent().filter(|above| !above.is_root())
                    && folder.root.observe(&path) == Local::Absent
                    && !account.store.agreed_dir_blocking(folder.id, &above)?
                {
                    due.push(Due { path: above, size: 0, due_at: debounce::due_at(now, now, settle, true) });
                }
                let empty = size == 0;
                due.push(Due { path, size, due_at: debounce::due_at(now, now, settle, empty) });
            }
            for some in due.chunks(TOGETHER) {
                handle.block_on(account.store.enqueue(folder.id, some.to_vec(), now_ms()))?;
            }
            Ok((dirs, gone))
        })
        .await
    }

    /// Another watcher takes its place, and a scan finds what was missed. One that dies young again and again is not worth a scan each time.
    async fn restart_watcher(&mut self, reason: &str) -> Result<(), Fatal> {
        let now = env::instant();
        let young = self.died.replace(now).is_some_and(|last| now - last < YOUNG);
        let next = if young { "the folder is scanned every minute instead" } else { "another one was started" };
        tracing::warn!(account = %self.account.name, %reason, "the watcher died; {next}");
        if young {
            self.next_watch = now + YOUNG;
            self.watcher = None;
        } else {
            self.watch().await?;
        }
        if young || self.watcher.is_some() {
            self.folder.set(|state| {
                state.degraded =
                    Some(format!("the watcher died ({reason}): {next}, and what was missed is looked for"));
            });
        }
        self.next_scan = now;
        Ok(())
    }

    /// Starts a watcher in the place of the last one, where events can be had. The disk is asked on a thread that may block.
    async fn watch(&mut self) -> Result<(), Fatal> {
        let (tx, seen) = mpsc::channel(SEEN_LIMIT);
        self.seen = seen;
        // The end of the last watcher is no news of this one.
        self.event.take_if(|(seen, _)| matches!(seen, Seen::Dead(_)));
        let folder = Arc::clone(&self.folder);
        self.watcher = blocking(move || {
            Ok(if let Some(kind) = folder.root.is_remote_fs() {
                folder.set(|now| {
                    now.degraded = Some(format!(
                        "{kind} tells nothing of changes that are made elsewhere: the folder is scanned every minute instead"
                    ));
                });
                None
            } else {
                start_watcher(&folder, tx)
            })
        })
        .await?;
        Ok(())
    }

    /// Scans one subtree and enqueues what differs from base.
    async fn scan(&mut self, under: RelPath) -> Result<(), Fatal> {
        let whole = under.is_root();
        if whole && self.watcher.is_none() && env::instant() >= self.next_watch {
            // What kept it from being watched may be over.
            self.watch().await?;
        }
        self.folder.set(|now| now.scans += 1);
        let outcome = self.scan_blocking(under).await;
        if whole && outcome.is_ok() && self.folder.comes_down() && self.folder.now().root_trouble.is_none() {
            // Before the scan counts as ended: `run --once` would end in the middle of it.
            let (account, folder) = (Arc::clone(&self.account), Arc::clone(&self.folder));
            let purged = blocking(move || local_removal::purge(&account, &folder)).await;
            purged.inspect_err(|_| self.folder.set(|now| now.scans = now.scans.saturating_sub(1)))?;
        }
        self.folder.set(|now| {
            now.scans = now.scans.saturating_sub(1);
            if let Ok(Some(limit)) = &outcome {
                now.degraded = Some(limit.clone());
            } else if whole && self.watcher.is_some() && outcome.is_ok() {
                now.degraded = None;
            }
            now.scanned |= whole && outcome.is_ok();
        });
        if whole {
            let degraded = self.folder.now().degraded.is_some();
            let rescan = self.account.config.watch.rescan;
            let wait = if degraded { POLL.min(rescan) } else { rescan };
            // Jitter: many daemons on one host should not scan in step.
            self.next_scan = env::instant() + wait.mul_f64(0.9 + chance() * 0.2);
            // After the purge: on a full disk this fails, and that makes room.
            if outcome.is_ok() {
                self.account.store.prune_hashes(now_ms()).await?;
            }
        }
        self.account.store.poke();
        outcome.map(|_| ())
    }

    async fn scan_blocking(&self, under: RelPath) -> Result<Option<String>, Fatal> {
        let scan = ScanRun {
            account: Arc::clone(&self.account),
            folder: Arc::clone(&self.folder),
            watcher: self.watcher.clone(),
            handle: Handle::current(),
        };
        blocking(move || scan.run(&under)).await
    }
}

fn start_watcher(folder: &Arc<Folder>, tx: mpsc::Sender<Seen>) -> Option<Arc<Watcher>> {
    let rules = Arc::clone(folder);
    let ignored: Ignored = Arc::new(move |path, is_dir| rules.ignored(path, is_dir).is_some());
    match Watcher::start(folder.root.clone(), ignored, tx) {
        Ok(watcher) => Some(Arc::new(watcher)),
        Err(failure) => {
            tracing::warn!(reason = %failure.text, "no watcher: the folder is scanned every minute instead");
            folder.set(|now| {
                now.degraded = Some(format!("{}; the folder is scanned every minute instead", failure.text));
            });
            None
        }
    }
}
