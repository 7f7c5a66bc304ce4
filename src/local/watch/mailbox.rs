//! Hints that wait to be looked at: each once, and never more than a fixed number.

use std::collections::{HashSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::model::RelPath;

/// What an event of the kernel says, without the parts that may be stale.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Hint {
    /// The content changed.
    Content(RelPath),
    /// Rights, owner or times changed.
    Rights(RelPath),
    /// Something came, went, or changed its name.
    Name(RelPath),
    /// Scan it.
    Rescan { under: RelPath, reason: &'static str },
}

/// What the looker does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Task {
    Look(Hint),
    /// Hints were lost: everything must be scanned, with new watches.
    Lost(&'static str),
    /// The kernel's side has ended.
    Dead,
}

/// More hints than this are dropped for one scan of everything.
pub(super) const MAX_WAITING: usize = 16_384;

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Hint>,
    waiting: HashSet<Hint>,
    lost: Option<&'static str>,
    dead: bool,
    closed: bool,
}

/// Filled by the kernel's thread, which never waits; emptied by the looker's.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    state: Mutex<State>,
    filled: Condvar,
}

impl Mailbox {
    pub(super) fn put(&self, hint: Hint) {
        let mut state = self.state();
        // A scan of everything is coming, and it will see this too.
        if state.lost.is_some() || state.closed {
            return;
        }
        if state.queue.len() >= MAX_WAITING {
            state.lose("more changes at once than are kept");
        } else if state.waiting.insert(hint.clone()) {
            state.queue.push_back(hint);
        }
        self.filled.notify_one();
    }

    pub(super) fn lose(&self, reason: &'static str) {
        self.state().lose(reason);
        self.filled.notify_one();
    }

    pub(super) fn die(&self) {
        self.state().dead = true;
        self.filled.notify_one();
    }

    pub(super) fn close(&self) {
        self.state().closed = true;
        self.filled.notify_one();
    }

    /// Waits for the next task; `None` when closed.
    pub(super) fn take(&self) -> Option<Task> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if std::mem::take(&mut state.dead) {
                return Some(Task::Dead);
            }
            if let Some(reason) = state.lost.take() {
                return Some(Task::Lost(reason));
            }
            if let Some(hint) = state.queue.pop_front() {
                state.waiting.remove(&hint);
                return Some(Task::Look(hint));
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn lose(&mut self, reason: &'static str) {
        self.queue.clear();
        self.waiting.clear();
        self.lost.get_or_insert(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(n: usize) -> Hint {
        Hint::Content(RelPath::parse(&format!("f{n}")).unwrap())
    }

    #[test]
    fn each_waits_once_in_order_and_too_many_become_one_scan() {
        let mailbox = Mailbox::default();
        for n in [1, 2, 1, 2, 3] {
            mailbox.put(hint(n));
        }
        for n in [1, 2, 3] {
            assert_eq!(mailbox.take(), Some(Task::Look(hint(n))));
        }
        (0..=MAX_WAITING).for_each(|n| mailbox.put(hint(n)));
        mailbox.put(hint(1));
        assert!(matches!(mailbox.take(), Some(Task::Lost(_))));
        mailbox.put(hint(7));
        assert_eq!(mailbox.take(), Some(Task::Look(hint(7))));
        mailbox.die();
        assert_eq!(mailbox.take(), Some(Task::Dead));
        mailbox.close();
        assert_eq!(mailbox.take(), None);
    }
}
