//! The clock, chance, waiting and threads that may block: the only room that asks for them.
//!
//! Decisions take the time as an argument; everything else asks here, and clippy (`clippy.toml`) bans the ways around. So what a run of the program
//! depends on beside the disk, the wire and the database goes through these functions, and a simulator can put its own clock and its own chance
//! behind them. They are functions and not methods of a value, since a value would be one more argument of everything.

#![expect(clippy::disallowed_methods, reason = "this is the one room that asks")]

use std::future::Future;
use std::hash::RandomState;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinHandle;
use tokio::time::{Sleep, Timeout};

/// A moment of the clock that only goes forward. Tests can pause it.
pub(crate) use tokio::time::Instant;

use crate::model::UnixMs;

/// The moment that it is, on the clock that only goes forward.
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// The moment that it is, on the wall clock, as people read it.
pub(crate) fn timestamp() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Waits for as long.
pub(crate) fn sleep(duration: Duration) -> Sleep {
    tokio::time::sleep(duration)
}

/// Holds this thread for as long: only where no task runs yet.
pub(crate) fn hold(duration: Duration) {
    std::thread::sleep(duration);
}

/// Waits until then.
pub(crate) fn sleep_until(at: Instant) -> Sleep {
    tokio::time::sleep_until(at)
}

/// Waits for something, but no longer than that.
pub(crate) fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    tokio::time::timeout(duration, future)
}

/// Runs something that blocks on the threads made for that.
pub(crate) fn spawn_blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(f)
}

/// Runs something that blocks for a moment, where it stands: other tasks of this thread are taken over by another one, if there is one.
pub(crate) fn blocks<T>(f: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(f),
        _ => f(),
    }
}

/// Fills `bytes` with random bits.
///
/// # Errors
/// The system gives none.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), getrandom::Error> {
    getrandom::fill(bytes)
}

/// 64 random bits.
///
/// # Errors
/// The system gives none.
pub(crate) fn random_u64() -> Result<u64, getrandom::Error> {
    getrandom::u64()
}

/// A way to hash that nobody outside can foresee.
pub(crate) fn random_state() -> RandomState {
    RandomState::new()
}

/// A poisoned lock only says that some other thread panicked; what is locked here is never left half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The moment to sleep until for rows that come due then; a row that comes due without a time wakes whoever waits.
pub(crate) fn until(at: Option<UnixMs>) -> Instant {
    at.map_or_else(|| instant() + Duration::from_hours(1), moment)
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    ms(since)
}

/// Milliseconds on a clock that only goes forward, from this process's first look at it.
pub(crate) fn steady_ms() -> UnixMs {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    ms(FIRST.get_or_init(Instant::now).elapsed())
}

/// When the machine was started, as the wall clock of this moment counts: one that is set back takes this along.
pub(crate) fn booted_ms() -> UnixMs {
    use rustix::time::{ClockId, clock_gettime};
    // Where the ordinary clock goes on while the machine sleeps, no other is needed.
    #[cfg(target_os = "linux")]
    const SINCE_THE_START: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const SINCE_THE_START: ClockId = ClockId::Monotonic;
    let up = clock_gettime(SINCE_THE_START);
    now_ms().saturating_sub(up.tv_sec.saturating_mul(1000))
}

/// A duration in milliseconds.
pub(crate) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The moment of the monotonic clock that corresponds to `at`, at most a minute away: timers look again then,
/// so that a wall clock that was set back or forth does no lasting harm.
pub(crate) fn moment(at: UnixMs) -> Instant {
    let wait = u64::try_from(at.saturating_sub(now_ms())).unwrap_or(0);
    Instant::now() + Duration::from_millis(wait).min(Duration::from_mins(1))
}

/// RFC 3339, UTC, whole seconds.
pub(crate) fn rfc3339(at: UnixMs) -> String {
    jiff::Timestamp::from_second(at.div_euclid(1000)).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// `2026-11`: the month of `at` in UTC, the unit of data-transport limits.
pub(crate) fn month(at: UnixMs) -> String {
    rfc3339(at).get(..7).unwrap_or_default().to_owned()
}

/// `2026-11-21`: the day of `at` in UTC.
pub(crate) fn day(at: UnixMs) -> String {
    rfc3339(at).get(..10).unwrap_or_default().to_owned()
}

/// Uniform in `0.0..1.0`, for jitter. Without entropy there is no jitter, and that is all.
pub(crate) fn chance() -> f64 {
    let bits = getrandom::u32().unwrap_or(u32::MAX);
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}
