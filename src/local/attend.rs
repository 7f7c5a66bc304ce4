//! Long work on the disk tells whoever attends it that it gets on, and ends early when it is asked to.
//!
//! Which work that is, a thread knows: [`attended`] says so for as long as it runs. What reads, lists or looks calls [`piece`] or [`go_on`] at each
//! step, so that no loop has to be told whom to report to.

use std::cell::RefCell;
use std::sync::Arc;

use crate::model::Failure;

/// Attends a piece of work on the disk.
pub trait Attendant: Send + Sync {
    /// A step was made: a piece was read, an entry was looked at.
    fn piece(&self);

    /// The work is to end early: nobody waits for what it finds.
    fn is_to_end(&self) -> bool;
}

thread_local! {
    static ATTENDANT: RefCell<Option<Arc<dyn Attendant>>> = const { RefCell::new(None) };
}

/// Runs `work` on this thread while `attendant` attends it.
pub fn attended<T>(attendant: Arc<dyn Attendant>, work: impl FnOnce() -> T) -> T {
    struct Before(Option<Arc<dyn Attendant>>);
    impl Drop for Before {
        fn drop(&mut self) {
            ATTENDANT.with(|now| *now.borrow_mut() = self.0.take());
        }
    }
    let _before = Before(ATTENDANT.with(|now| now.borrow_mut().replace(attendant)));
    work()
}

/// A step was made.
pub fn piece() {
    ATTENDANT.with(|now| {
        if let Some(attendant) = now.borrow().as_ref() {
            attendant.piece();
        }
    });
}

/// A step was made, and another one is to follow.
///
/// # Errors
/// `busy` if the work is to end early. What it would have found is unknown.
pub(super) fn go_on() -> Result<(), Failure> {
    piece();
    let is_to_end = ATTENDANT.with(|now| now.borrow().as_ref().is_some_and(|attendant| attendant.is_to_end()));
    if is_to_end {
        return Err(Failure::look("busy", "ferrybox stops or starts over: it is looked at again then"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicU32, AtomicBool);

    impl Attendant for Counted {
        fn piece(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn is_to_end(&self) -> bool {
            self.1.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn v3_work_reports_its_steps_and_ends_when_it_is_asked_to() {
        let counted = Arc::new(Counted::default());
        let attendant: Arc<dyn Attendant> = counted.clone();
        piece();
        attended(attendant, || {
            piece();
            go_on().unwrap();
            counted.1.store(true, Ordering::Relaxed);
            assert_eq!(go_on().unwrap_err().code, "busy");
        });
        assert_eq!(counted.0.load(Ordering::Relaxed), 3);
        // Nobody attends this thread any more.
        go_on().unwrap();
        assert_eq!(counted.0.load(Ordering::Relaxed), 3);
    }
}
