//! The retry policy: full jitter over a doubling ceiling; what leads nowhere again and again waits at least half of the ceiling.
//!
//! Source: "Exponential Backoff And Jitter", Marc Brooker, AWS Architecture Blog, 2015.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const CEILING: Duration = Duration::from_mins(5);
/// For refusals that stand until somebody lifts them.
const FIRST_LATER: Duration = Duration::from_secs(15);
const CEILING_LATER: Duration = Duration::from_hours(1);

/// How long to wait after the `attempts`-th failure in a row (0 for the first). `chance` is uniform in `0.0..1.0`.
/// Never under a tenth of a second, so that a run of small chances is no busy loop.
pub fn backoff(attempts: u32, chance: f64) -> Duration {
    let ceiling = FIRST.saturating_mul(2_u32.saturating_pow(attempts)).min(CEILING);
    ceiling.mul_f64(chance.clamp(0.0, 1.0)).max(Duration::from_millis(100))
}

/// How long what Dropbox refused waits for its next try: as [`backoff`], but never less than half of the ceiling. Chance must not turn a run of
/// refusals into a storm of calls.
pub fn steady(attempts: u32, chance: f64) -> Duration {
    half_at_least(FIRST, CEILING, attempts, chance)
}

/// The same for a refusal that may stand for days, such as a missing right: from seconds, since it may be a race of a moment, to an hour.
pub fn standing(attempts: u32, chance: f64) -> Duration {
    half_at_least(FIRST_LATER, CEILING_LATER, attempts, chance)
}

/// How long credentials that were found and led nowhere are left alone, after so many tries (1 for the first): `refused` ones from a minute to an
/// hour, since only a person can mend them; those of which no answer came, from seconds to a minute. Others are tried at once.
pub fn relink(tries: u32, refused: bool) -> Duration {
    let (first, most) = if refused {
        (Duration::from_mins(1), Duration::from_hours(1))
    } else {
        (Duration::from_secs(2), Duration::from_mins(1))
    };
    first.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1))).min(most)
}

fn half_at_least(first: Duration, most: Duration, attempts: u32, chance: f64) -> Duration {
    let ceiling = first.saturating_mul(2_u32.saturating_pow(attempts)).min(most);
    ceiling.mul_f64(chance.clamp(0.0, 1.0).midpoint(1.0))
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

    #[test]
    fn s6_refused_credentials_are_left_alone_for_longer_each_time() {
        for (tries, refused, expected) in [
            (1, true, 60),
            (2, true, 120),
            (6, true, 1920),
            (7, true, 3600),
            (u32::MAX, true, 3600),
            (1, false, 2),
            (5, false, 32),
            (6, false, 60),
        ] {
            assert_eq!(relink(tries, refused), Duration::from_secs(expected), "{tries} {refused}");
        }
    }

    #[test]
    fn what_is_refused_makes_few_tries_a_minute_whatever_chance_says() {
        assert_eq!(steady(0, 0.0), Duration::from_millis(500));
        assert_eq!(steady(3, 1.0), Duration::from_secs(8));
        assert_eq!(standing(0, 1.0), Duration::from_secs(15));
        assert_eq!(standing(u32::MAX, 1.0), CEILING_LATER);
        assert_eq!(standing(u32::MAX, 0.0), CEILING_LATER / 2);
        let tries = |wait: fn(u32, f64) -> Duration| {
            let mut at = Duration::ZERO;
            (0..)
                .take_while(|n| {
                    at += wait(*n, 0.0);
                    at < Duration::from_mins(1)
                })
                .count()
        };
        assert!(tries(steady) <= 7 && tries(standing) <= 4, "{} {}", tries(steady), tries(standing));
    }
}
