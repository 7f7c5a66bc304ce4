//! How long the other commit route is used after the server did not know the usual one.
//!
//! One 404 may come from a gateway on its way to better days, so it decides about a minute; each further one in a row doubles that. The usual route
//! is tried again after each pause, and one success forgets everything. Nothing is kept over a restart: that is one more try.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_mins(1);
const LONGEST: Duration = Duration::from_hours(1);

/// What is known of the usual route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fallback {
    /// Until when it is not tried, and how long that pause was.
    until: Option<(Instant, Duration)>,
}

impl Fallback {
    /// Whether the other route is to be used now.
    pub fn is_used(self, now: Instant) -> bool {
        self.until.is_some_and(|(until, _)| now < until)
    }

    /// The server did not know the usual route. Gives how long it is left alone.
    pub fn unknown(&mut self, now: Instant) -> Duration {
        let pause = self.until.map_or(FIRST, |(_, last)| last.saturating_mul(2).min(LONGEST));
        self.until = now.checked_add(pause).map(|until| (until, pause));
        pause
    }

    /// The usual route works.
    pub fn works(&mut self) {
        self.until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l4_a_route_that_was_unknown_is_tried_back_and_forgiven() {
        let start = Instant::now();
        let at = |minutes| start + Duration::from_mins(minutes);
        let mut route = Fallback::default();
        assert!(!route.is_used(start));
        assert_eq!(route.unknown(start), FIRST);
        assert!(route.is_used(start) && !route.is_used(at(1)));
        assert_eq!(route.unknown(at(1)), Duration::from_mins(2));
        assert!(route.is_used(at(2)) && !route.is_used(at(3)));
        for n in 0..10 {
            assert!(route.unknown(at(3 + n)) <= LONGEST);
        }
        route.works();
        assert_eq!(route, Fallback::default());
        assert_eq!(route.unknown(at(99)), FIRST);
    }
}
