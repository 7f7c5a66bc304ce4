//! Watching a folder: hints about what to look at, none of them lost without a word.
//!
//! Two threads. The kernel's turns events into hints and never waits. The looker asks the disk what is there now, keeps the watches in step with moved
//! and removed directories, and hands out [`Seen`]; it waits if the receiver does, while hints gather (each once) up to a fixed number and then become one
//! scan of everything. After an overflow all watches are made anew, since the events that told of moved directories are among the lost ones.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::{ErrorKind, PathOp, RecursiveMode, WatchPathConfig};
use tokio::sync::mpsc::Sender;

use self::kernel::{Kernel, WHOLE_TREE};
use self::mailbox::{Hint, Mailbox, Task};
use super::{Ignored, InotifyLimits, Root, inotify_limits};
use crate::local::error::io_failure;
use crate::model::{Failure, Local, RelPath};

mod kernel;
mod mailbox;
#[cfg(test)]
mod tests;

/// The file whose change changes what is ignored below its directory.
const IGNORE_FILE: &str = ".ferryboxignore";

/// Directories that are handed to the kernel in one go.
const BATCH: usize = 4096;

/// A hint to look at the disk. It may be late, doubled, or about nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Seen {
    /// Look at this path. If nothing is there (any more), it may have been an unwatched directory; if it is a directory, its rights changed.
    Path(RelPath),
    /// A directory came (or came into sight): watch it, then scan it. Files made in it before the watch are reported by nobody else.
    NewDir(RelPath),
    /// A watched directory went, with all that was in it. Its watches are gone too.
    GoneDir(RelPath),
    /// Events were lost, or mean more than one path: scan this directory (the root: everything), beginning after this was received.
    Rescan {
        /// What to scan.
        under: RelPath,
        /// Why; `root` means that the root itself changed, so that it must be checked first.
        reason: &'static str,
    },
    /// Watching has ended: start a new watcher, then scan everything.
    Dead(String),
}

/// Directories that are not watched: scan them from time to time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchTrouble {
    /// Which, and why. Code `watch_limit`: the kernel's limit is reached, and the text names the setting to raise.
    pub unwatched: Vec<(RelPath, Failure)>,
}

impl WatchTrouble {
    /// Whether the kernel's limit is among the reasons.
    pub fn is_limit(&self) -> bool {
        self.unwatched.iter().any(|(_, failure)| failure.code == "watch_limit")
    }
}

impl fmt::Display for WatchTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.unwatched.first().map_or("", |(_, failure)| failure.text.as_str());
        write!(f, "{} directories are not watched: {reason}", self.unwatched.len())
    }
}

impl std::error::Error for WatchTrouble {}

/// Watches the directories that it is given, not those below them. Dropping it ends the watching.
#[derive(Debug)]
pub struct Watcher(Arc<Shared>);

struct Shared {
    root: Root,
    ignored: Ignored,
    mailbox: Arc<Mailbox>,
    kernel: Mutex<Option<Kernel>>,
    /// Which directories have a watch; locked after `kernel` where both are.
    watched: Mutex<BTreeSet<RelPath>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("root", &self.root)
            .field("watched", &self.watched().len())
            .finish_non_exhaustive()
    }
}

impl Watcher {
    /// Starts with no watches: the first scan brings them, through [`add_dirs`](Self::add_dirs).
    ///
    /// # Errors
    /// The kernel gives no watcher.
    pub fn start(root: Root, ignored: Ignored, seen: Sender<Seen>) -> Result<Self, Failure> {
        let mailbox = Arc::new(Mailbox::default());
        let kernel = Kernel::start(&root, Arc::clone(&mailbox)).map_err(|error| no_watcher(&error))?;
        let watched = Mutex::default();
        let shared = Arc::new(Shared { root, ignored, mailbox, kernel: Mutex::new(Some(kernel)), watched });
        let looker = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("ferrybox-watch".to_owned())
            .spawn(move || {
                while let Some(task) = looker.mailbox.take() {
                    for seen_now in looker.look(task) {
                        if seen.blocking_send(seen_now).is_err() {
                            return;
                        }
                    }
                }
            })
            .map_err(|error| {
                Failure::retry("resources", format!("no thread for watching could be started: {error}"))
            })?;
        Ok(Self(shared))
    }

    /// Watches directories (not those below them). To be called before they are listed. One that has vanished is no trouble: its parent's watch tells.
    ///
    /// # Errors
    /// Some are not watched; the others are.
    pub fn add_dirs(&self, dirs: &[RelPath]) -> Result<(), WatchTrouble> {
        let mut unwatched = Vec::new();
        for batch in dirs.chunks(BATCH) {
            self.0.add(batch, &mut unwatched);
        }
        if unwatched.is_empty() { Ok(()) } else { Err(WatchTrouble { unwatched }) }
    }

    /// How many directories are watched.
    pub fn watched(&self) -> usize {
        self.0.watched().len()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.mailbox.close();
        let kernel = self.0.kernel().take();
        drop(kernel);
    }
}

impl Shared {
    fn kernel(&self) -> MutexGuard<'_, Option<Kernel>> {
        self.kernel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watched(&self) -> MutexGuard<'_, BTreeSet<RelPath>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, dirs: &[RelPath], unwatched: &mut Vec<(RelPath, Failure)>) {
        let mut kernel = self.kernel();
        let Some(kernel) = kernel.as_mut() else { return };
        let mut failed = Vec::new();
        let mut left = if WHOLE_TREE { Vec::new() } else { self.watches(dirs) };
        while !left.is_empty() {
            let Err(error) = kernel.update(left) else { break };
            // The operations are in the order of `dirs`, so what is left counts from the end.
            let at = dirs.len().saturating_sub(error.remaining.len() + usize::from(error.origin.is_some()));
            let limit = matches!(error.source.kind, ErrorKind::MaxFilesWatch);
            let failure = self.add_failure(&error.source);
            let known = error.origin.is_some();
            left = error.remaining;
            if limit || !known {
                // The rest would fail alike.
                left = Vec::new();
                failed.extend((at..dirs.len()).map(|at| (at, failure.clone())));
            } else {
                failed.push((at, failure));
            }
        }
        let mut failed = failed.into_iter().peekable();
        let mut watched = self.watched();
        for (at, dir) in dirs.iter().enumerate() {
            match failed.next_if(|(failed_at, _)| *failed_at == at) {
                None => {
                    watched.insert(dir.clone());
                }
                Some((_, Some(failure))) => unwatched.push((dir.clone(), failure)),
                Some((_, None)) => {}
            }
        }
    }

    fn watches(&self, dirs: &[RelPath]) -> Vec<PathOp> {
        let how = WatchPathConfig::new(RecursiveMode::NonRecursive).with_dereference_symlinks(false);
        dirs.iter().map(|dir| PathOp::Watch(self.absolute(dir), how.clone())).collect()
    }

    fn absolute(&self, dir: &RelPath) -> std::path::PathBuf {
        if dir.is_root() { self.root.path().to_owned() } else { self.root.path().join(dir.as_str()) }
    }

    /// `None` if the directory has just vanished.
    fn add_failure(&self, error: &notify::Error) -> Option<Failure> {
        match &error.kind {
            ErrorKind::PathNotFound => None,
            ErrorKind::MaxFilesWatch => Some(at_limit(self.watched().len())),
            ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::NotADirectory => None,
            ErrorKind::Io(error) => Some(io_failure("watching it", error)),
            kind => Some(Failure::retry("io_error", format!("watching it failed ({kind:?})"))),
        }
    }

    /// What the disk says now about a hint.
    fn look(&self, task: Task) -> Vec<Seen> {
        #[cfg(test)]
        tests::die_of(&task);
        let hint = match task {
            Task::Look(hint) => hint,
            Task::Lost(reason) => return vec![self.renew(reason)],
            Task::Dead => return vec![Seen::Dead("the kernel's watcher has ended unexpectedly".to_owned())],
        };
        let mut seen = Vec::new();
        if let Hint::Content(path) | Hint::Name(path) | Hint::Rights(path) = &hint
            && path.name() == IGNORE_FILE
            && let Some(under) = path.parent()
            && !(self.ignored)(&under, true)
        {
            seen.push(Seen::Rescan { under, reason: "ignore rules changed" });
        }
        seen.extend(match hint {
            Hint::Content(path) => self.seen_path(path),
            Hint::Rights(path) => match self.root.observe(&path) {
                Local::Dir if !self.watched().contains(&path) => self.seen_new_dir(path),
                Local::Dir if (self.ignored)(&path, true) => None,
                _ => self.seen_path(path),
            },
            Hint::Name(path) => {
                let was_dir = self.forget_under(&path);
                match self.root.observe(&path) {
                    Local::Dir => self.seen_new_dir(path),
                    Local::Absent | Local::File(_) | Local::Other(_) if was_dir => Some(Seen::GoneDir(path)),
                    _ => self.seen_path(path),
                }
            }
            Hint::Rescan { under, reason } => {
                (under.is_root() || !(self.ignored)(&under, true)).then_some(Seen::Rescan { under, reason })
            }
        });
        seen
    }

    fn seen_path(&self, path: RelPath) -> Option<Seen> {
        (!(self.ignored)(&path, false)).then_some(Seen::Path(path))
    }

    fn seen_new_dir(&self, path: RelPath) -> Option<Seen> {
        (!(self.ignored)(&path, true)).then_some(Seen::NewDir(path))
    }

    /// The watches of `path` and below belong to directories that are gone or elsewhere now, and the kernel's side has dropped them. Says whether
    /// there were any.
    fn forget_under(&self, path: &RelPath) -> bool {
        let mut watched = self.watched();
        let was_watched = watched.remove(path);
        // No name is less than this one, and the paths below `path` stand together.
        let Ok(first) = path.child("\u{1}") else { return was_watched };
        let below: Vec<RelPath> = watched.range(first..).take_while(|other| other.is_under(path)).cloned().collect();
        for dir in &below {
            watched.remove(dir);
        }
        was_watched || !below.is_empty()
    }

    fn renew(&self, reason: &'static str) -> Seen {
        let mut kernel = self.kernel();
        if kernel.is_none() {
            return Seen::Dead("watching was ended".to_owned());
        }
        match Kernel::start(&self.root, Arc::clone(&self.mailbox)) {
            Ok(new) => {
                *kernel = Some(new);
                self.watched().clear();
                tracing::warn!(reason, "changes may have been missed: everything is scanned again");
                Seen::Rescan { under: RelPath::root(), reason }
            }
            Err(error) => Seen::Dead(no_watcher(&error).text),
        }
    }
}

fn at_limit(ours: usize) -> Failure {
    let (name, have) = match inotify_limits() {
        // A limit of this namespace alone, below the machine's.
        InotifyLimits { max_user_watches: Some(machine), max_namespace_watches: Some(here), .. } if here < machine => {
            ("user.max_inotify_watches", Some(here))
        }
        limits => ("fs.inotify.max_user_watches", limits.max_user_watches),
    };
    let limit = have.map_or_else(String::new, |have| format!(" of {have}"));
    let enough = have.unwrap_or(0).saturating_mul(2).max(524_288);
    Failure::retry(
        "watch_limit",
        format!(
            "the kernel's limit{limit} on watched directories is reached ({ours} of them are this folder's), so the rest is only scanned from time to \
             time: raise it with `sysctl {name}={enough}`, and keep it with a file in /etc/sysctl.d"
        ),
    )
}

fn no_watcher(error: &notify::Error) -> Failure {
    Failure::retry(
        "watch_limit",
        format!(
            "the kernel gives no watcher ({error}), so changes are only found by scanning: raise `sysctl fs.inotify.max_user_instances` or LimitNOFILE"
        ),
    )
}
