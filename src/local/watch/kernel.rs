//! The kernel's side: one watcher of the `notify` crate, whose events become hints.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::event::{AccessKind, AccessMode, Event, EventKind, EventKindMask, ModifyKind, RemoveKind};
use notify::{Config, EventHandler, PathOp, RecommendedWatcher, RecursiveMode, UpdatePathsError, Watcher as _};

use super::mailbox::{Hint, Mailbox};
use crate::local::Root;
use crate::model::RelPath;

/// FSEvents watches whole trees and restarts for each change of its list: one watch of the root serves best there.
pub(super) const WHOLE_TREE: bool = cfg!(target_os = "macos");

/// One watcher, given up as a whole when its events overflow: what it knew of its watches may then be wrong.
#[derive(Debug)]
pub(super) struct Kernel {
    watcher: Option<RecommendedWatcher>,
    life: Arc<Life>,
}

#[derive(Debug, Default)]
struct Life {
    /// We let it go, so its end is no news.
    retired: AtomicBool,
    /// Its thread has ended.
    ended: AtomicBool,
}

impl Kernel {
    pub(super) fn start(root: &Root, mailbox: Arc<Mailbox>) -> notify::Result<Self> {
        let life = Arc::new(Life::default());
        let handler = Handler { root: root.clone(), mailbox, life: Arc::clone(&life) };
        // Not opened and closed-without-writing: reading our own uploads would flood the queue.
        let kinds = EventKindMask::CORE | EventKindMask::ACCESS_CLOSE;
        let config = Config::default().with_event_kinds(kinds).with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(handler, config)?;
        if WHOLE_TREE {
            watcher.watch(root.path(), RecursiveMode::Recursive)?;
        }
        Ok(Self { watcher: Some(watcher), life })
    }

    pub(super) fn update(&mut self, operations: Vec<PathOp>) -> Result<(), UpdatePathsError> {
        self.watcher.as_mut().map_or(Ok(()), |watcher| watcher.update_paths(operations))
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.life.retired.store(true, Ordering::SeqCst);
        // notify 9.0.0-rc.7 panics when a watcher is dropped whose thread has ended.
        if self.life.ended.load(Ordering::SeqCst) {
            std::mem::forget(self.watcher.take());
        }
    }
}

struct Handler {
    root: Root,
    mailbox: Arc<Mailbox>,
    life: Arc<Life>,
}

impl EventHandler for Handler {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        #[cfg(test)]
        {
            tests::die_of(&event);
            if let Some(events) = tests::mixed_up(self.root.path(), &event) {
                return events.into_iter().for_each(|event| self.pass_on(Ok(event)));
            }
        }
        self.pass_on(event);
    }
}

impl Handler {
    fn pass_on(&self, event: notify::Result<Event>) {
        match event {
            Ok(event) => deliver(self.root.path(), &event, &self.mailbox),
            Err(error) => {
                // Without the paths that the error names.
                tracing::warn!(kind = ?error.kind, "the kernel's watcher reports an error: everything is scanned again");
                self.mailbox.lose("the kernel's watcher reported an error");
            }
        }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.life.ended.store(true, Ordering::SeqCst);
        if !self.life.retired.load(Ordering::SeqCst) {
            self.mailbox.die();
        }
    }
}

/// Puts what `event` hints at into `mailbox`.
pub(super) fn deliver(root: &Path, event: &Event, mailbox: &Mailbox) {
    if event.need_rescan() && event.paths.is_empty() {
        mailbox.lose("the kernel's event queue overflowed");
    }
    for path in &event.paths {
        match relative(root, path) {
            None => {}
            Some(Err(under)) => mailbox.put(Hint::Rescan { under, reason: "a name that is not UTF-8" }),
            Some(Ok(under)) if event.need_rescan() => {
                mailbox.put(Hint::Rescan { under, reason: "the system dropped events" });
            }
            Some(Ok(path)) => {
                if let Some(hint) = hint(event, path) {
                    mailbox.put(hint);
                }
            }
        }
    }
}

fn hint(event: &Event, path: RelPath) -> Option<Hint> {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
        EventKind::Access(_) => return None,
        _ => {}
    }
    if path.is_root() {
        return Some(Hint::Rescan { under: path, reason: "root" });
    }
    Some(match event.kind {
        EventKind::Remove(RemoveKind::Other) if event.info() == Some("unmount") => {
            Hint::Rescan { under: path, reason: "unmounted" }
        }
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Data(_)) => Hint::Content(path),
        EventKind::Modify(ModifyKind::Metadata(_)) => Hint::Rights(path),
        _ => Hint::Name(path),
    })
}

/// `path` below `root`; `Err` with the deepest directory that can be named, if `path` itself cannot.
fn relative(root: &Path, path: &Path) -> Option<Result<RelPath, RelPath>> {
    let mut found = RelPath::root();
    for component in path.strip_prefix(root).ok()?.components() {
        match component.as_os_str().to_str().map(|name| found.child(name)) {
            Some(Ok(next)) => found = next,
            _ => return Some(Err(found)),
        }
    }
    Some(Ok(found))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use notify::event::{CreateKind, DataChange, Flag, RenameMode};

    use super::super::mailbox::Task;
    use super::*;

    /// Kills the thread of the kernel's side, as a bug in it would.
    pub(super) fn die_of(event: &notify::Result<Event>) {
        let deadly = |event: &Event| event.paths.iter().any(|path| path.ends_with("kill-the-watcher"));
        assert!(!event.as_ref().is_ok_and(deadly), "the test asked for it");
    }

    thread_local! {
        /// What a watcher's thread holds back, and what its dice show.
        static HELD: std::cell::RefCell<(Vec<Event>, u64)> = const { std::cell::RefCell::new((Vec::new(), 7)) };
    }

    /// Below a directory `mixed-up`, events come late, twice and in another order; below `mixed-up-and-lost`, some never come. `None`: elsewhere.
    pub(super) fn mixed_up(root: &Path, event: &notify::Result<Event>) -> Option<Vec<Event>> {
        let loses = root.ends_with("mixed-up-and-lost");
        if !loses && !root.ends_with("mixed-up") {
            return None;
        }
        let event = event.as_ref().ok()?;
        HELD.with_borrow_mut(|(held, dice)| {
            let mut roll = |below: usize| {
                *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                usize::try_from(*dice >> 33).unwrap() % below
            };
            let times = match roll(5) {
                0 => 2,
                1 if loses => 0,
                _ => 1,
            };
            held.extend(std::iter::repeat_n(event.clone(), times));
            let mut out = Vec::new();
            while held.len() > 6 {
                out.push(held.swap_remove(roll(held.len())));
            }
            Some(out)
        })
    }

    fn delivered(event: &Event) -> Option<Task> {
        let mailbox = Mailbox::default();
        deliver(Path::new("/r"), event, &mailbox);
        mailbox.put(Hint::Content(RelPath::parse("nothing-else").unwrap()));
        let first = mailbox.take();
        (first != Some(Task::Look(Hint::Content(RelPath::parse("nothing-else").unwrap())))).then_some(first?)
    }

    fn path(text: &str) -> RelPath {
        RelPath::parse(text).unwrap()
    }

    /// F1, F2: the overflow's event names no path, and means everything.
    #[test]
    fn f2_a_rescan_flag_without_paths_loses_everything() {
        let event = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert!(matches!(delivered(&event), Some(Task::Lost(_))));
        let event = Event::new(EventKind::Other).set_flag(Flag::Rescan).add_path("/r/a/b".into());
        assert!(matches!(delivered(&event), Some(Task::Look(Hint::Rescan { under, .. })) if under == path("a/b")));
    }

    #[test]
    fn events_become_hints() {
        let at = |kind, at: &str| delivered(&Event::new(kind).add_path(at.into()));
        let look = |hint| Some(Task::Look(hint));
        let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
        assert_eq!(at(written, "/r/a"), look(Hint::Content(path("a"))));
        let modified = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        assert_eq!(at(modified, "/r/a/b"), look(Hint::Content(path("a/b"))));
        assert_eq!(at(EventKind::Access(AccessKind::Open(AccessMode::Any)), "/r/a"), None);
        assert_eq!(at(EventKind::Access(AccessKind::Open(AccessMode::Any)), "/r"), None);
        let moved = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        assert_eq!(at(moved, "/r/a"), look(Hint::Name(path("a"))));
        assert_eq!(at(EventKind::Create(CreateKind::File), "/elsewhere/a"), None);
        assert_eq!(
            at(EventKind::Remove(RemoveKind::Folder), "/r"),
            look(Hint::Rescan { under: RelPath::root(), reason: "root" })
        );
        let event = Event::new(EventKind::Remove(RemoveKind::Other)).add_path("/r/m".into()).set_info("unmount");
        assert_eq!(delivered(&event), look(Hint::Rescan { under: path("m"), reason: "unmounted" }));
        let odd = Path::new("/r/a").join(OsStr::from_bytes(b"\xff\xfe"));
        assert!(matches!(
            delivered(&Event::new(EventKind::Create(CreateKind::File)).add_path(odd)),
            Some(Task::Look(Hint::Rescan { under, .. })) if under == path("a")
        ));
    }
}
