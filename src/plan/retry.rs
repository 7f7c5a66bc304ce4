//! The one retry policy: full jitter over a doubling ceiling.
//!
//! Source: "Exponential Backoff And Jitter", Marc Brooker, AWS Architecture Blog, 2015.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const CEILING: Duration = Duration::from_mins(5);

/// How long to wait after the `attempts`-th failure in a row (0 for the first). `chance` is uniform in `0.0..1.0`.
/// Never under a tenth of a second, so that a run of small chances is no busy loop.
pub fn backoff(attempts: u32, chance: f64) -> Duration {
    let ceiling = FIRST.saturating_mul(2_u32.saturating_pow(attempts)).min(CEILING);
    ceiling.mul_f64(chance.clamp(0.0, 1.0)).max(Duration::from_millis(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_ceiling_and_never_spins() {
        assert_eq!(backoff(0, 1.0), Duration::from_secs(1));
        assert_eq!(backoff(3, 1.0), Duration::from_secs(8));
        assert_eq!(backoff(u32::MAX, 1.0), CEILING);
        assert_eq!(backoff(9, 0.0), Duration::from_millis(100));
        assert_eq!(backoff(2, 0.5), Duration::from_secs(2));
    }
}
