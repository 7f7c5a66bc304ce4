//! Looking again and again: the one place where tests wait for what no event tells of.
#![allow(clippy::disallowed_methods, dead_code, unreachable_pub)]

use std::time::{Duration, Instant};

/// Longer than anything here may take on a slow, shared machine: a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks, unless they take long themselves.
const PAUSE: Duration = Duration::from_millis(20);

/// The pause after a look that began then: longer than the look, which leaves most of the processor to what is waited for.
fn pause(began: Instant) -> Duration {
    PAUSE.max(2 * began.elapsed()).min(Duration::from_millis(500))
}

/// Looks until there is something. `None`: the time was up.
pub fn look_for<T>(within: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + within;
    loop {
        let began = Instant::now();
        let found = look();
        if found.is_some() || Instant::now() >= until {
            return found;
        }
        std::thread::sleep(pause(began));
    }
}

/// As [`look_for`], on a runtime.
pub async fn look_for_async<T>(within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + within;
    loop {
        let began = Instant::now();
        let found = look().await;
        if found.is_some() || Instant::now() >= until {
            return found;
        }
        tokio::time::sleep(pause(began)).await;
    }
}
