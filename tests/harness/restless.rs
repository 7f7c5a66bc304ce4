//! A file that never rests.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, dead_code, unreachable_pub)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Changes a file's mode again and again, so that its row does not come to rest, until it is dropped. It needs a [`super::World::settle`] of seconds: on a
/// busy machine a touch every 30 ms still leaves a file alone for some hundred.
pub struct Restless {
    over: Arc<AtomicBool>,
    missed: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Restless {
    pub fn new(path: PathBuf) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let missed = Arc::new(AtomicBool::new(false));
        let (until, gone) = (Arc::clone(&over), Arc::clone(&missed));
        let thread = std::thread::spawn(move || {
            for mode in [0o600, 0o640].into_iter().cycle().take_while(|_| !until.load(Ordering::Relaxed)) {
                // The daemon may have moved it: whether that is so, and right, is for the test to say.
                if std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).is_err() {
                    gone.store(true, Ordering::Relaxed);
                }
                // The touches' own pace.
                std::thread::sleep(Duration::from_millis(30));
            }
        });
        Self { over, missed, thread: Some(thread) }
    }

    /// Leaves the file alone, which was there all the time.
    pub fn end(self) {
        let missed = Arc::clone(&self.missed);
        drop(self);
        assert!(!missed.load(Ordering::Relaxed), "the file that never rests was gone for a while");
    }
}

impl Drop for Restless {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}
