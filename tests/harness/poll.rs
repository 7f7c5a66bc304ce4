//! Looking again and again: the one place where tests wait for what no event tells of.
#![allow(clippy::disallowed_methods, dead_code, unreachable_pub)]

use std::time::{Duration, Instant};

/// Longer than anything here may take on a slow, shared machine: a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until there is something. `None`: the time was up.
pub fn look_for<T>(within: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + within;
    loop {
        let found = look();
        if found.is_some() || Instant::now() >= until {
            return found;
        }
        std::thread::sleep(PAUSE);
    }
}

/// As [`look_for`], on a runtime.
pub async fn look_for_async<T>(within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + within;
    loop {
        let found = look().await;
        if found.is_some() || Instant::now() >= until {
            return found;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
