//! The wall clock, read in one place. Decisions take the time as an argument.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::model::UnixMs;

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
