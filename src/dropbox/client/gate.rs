//! Gates: a reply that asks to wait closes the gate of its class of calls until then, for every worker of the account.

use crate::env;
use crate::env::Instant;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// The least and the most that a server's word is followed.
const FLOOR: Duration = Duration::from_secs(1);
const CAP: Duration = Duration::from_secs(600);

/// Calls that wait together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Start,
    Append,
    Commit,
    Download,
    List,
    Other,
}

impl Class {
    /// For people, and for whoever counts calls.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Start => "new uploads",
            Self::Append => "uploads",
            Self::Commit => "commits",
            Self::Download => "downloads",
            Self::List => "listings",
            Self::Other => "other calls",
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Until {
    start: Option<Instant>,
    append: Option<Instant>,
    commit: Option<Instant>,
    download: Option<Instant>,
    list: Option<Instant>,
    other: Option<Instant>,
}

impl Until {
    fn of(&mut self, class: Class) -> &mut Option<Instant> {
        match class {
            Class::Start => &mut self.start,
            Class::Append => &mut self.append,
            Class::Commit => &mut self.commit,
            Class::Download => &mut self.download,
            Class::List => &mut self.list,
            Class::Other => &mut self.other,
        }
    }
}

/// The gates of one account. Open when new.
#[derive(Debug, Clone, Default)]
pub struct Gates(Arc<Mutex<Until>>);

impl Gates {
    /// Returns when the class may call.
    pub(crate) async fn pass(&self, class: Class) {
        loop {
            let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner).of(class);
            match until {
                Some(until) if until > env::instant() => env::sleep_until(until).await,
                _ => return,
            }
        }
    }

    /// Closes the class's gate for that long from now; one that is closed for longer stays so.
    pub(crate) fn close(&self, class: Class, after: Duration) {
        let until = env::instant() + after;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = all.of(class);
        *gate = (*gate).max(Some(until));
    }

    /// Closes every gate.
    pub(crate) fn close_all(&self, after: Duration) {
        for class in [Class::Start, Class::Append, Class::Commit, Class::Download, Class::List, Class::Other] {
            self.close(class, after);
        }
    }

    /// When the last closed gate opens; none if all are open.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        let all = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last =
            [all.start, all.append, all.commit, all.download, all.list, all.other].into_iter().flatten().max()?;
        let left = last.checked_duration_since(env::instant()).filter(|left| !left.is_zero())?;
        env::timestamp().checked_add(left).ok()
    }
}

impl Gates {
    /// Which classes wait, and until when.
    pub(crate) fn waiting(&self) -> Vec<(&'static str, Timestamp)> {
        let all = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = env::instant();
        [
            (Class::Start, all.start),
            (Class::Append, all.append),
            (Class::Commit, all.commit),
            (Class::Download, all.download),
            (Class::List, all.list),
            (Class::Other, all.other),
        ]
        .into_iter()
        .filter_map(|(what, until)| {
            let left = until?.checked_duration_since(now).filter(|left| !left.is_zero())?;
            Some((what.name(), env::timestamp().checked_add(left).ok()?))
        })
        .collect()
    }
}

/// Reads a `Retry-After`: seconds, or a date that is compared with the server's own `Date`. Kept between 1 second and 10 minutes.
pub(crate) fn retry_after(value: &str, date: Option<&str>) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return seconds.is_finite().then(|| bounded(seconds));
    }
    let at = http_date(value)?;
    let now = date.and_then(http_date).unwrap_or_else(env::timestamp);
    Some(bounded(at.duration_since(now).as_secs_f64()))
}

/// The pause after the n-th refusal in a row of what ought not to be refused twice (0 for the first): 1, 2, 4 ... 60 seconds.
pub(crate) fn growing(n: u32) -> Duration {
    FLOOR.saturating_mul(2_u32.saturating_pow(n)).min(Duration::from_secs(60))
}

/// Seconds within bounds.
pub(crate) fn bounded(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(FLOOR.as_secs_f64(), CAP.as_secs_f64()))
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d1_every_shape_of_retry_after() {
        let s = |n| Some(Duration::from_secs(n));
        let date = Some("Wed, 21 Oct 2026 07:28:00 GMT");
        for (text, expected) in [
            ("0", s(1)),
            ("1", s(1)),
            ("300", s(300)),
            (" 17 ", s(17)),
            ("1e12", s(600)),
            ("999999999999999999999999", s(600)),
            ("-5", s(1)),
            ("nan", None),
            ("inf", None),
            ("soon", None),
            ("", None),
            ("Wed, 21 Oct 2026 07:28:30 GMT", s(30)),
            ("Wed, 21 Oct 2026 07:27:30 GMT", s(1)),
            ("Wed, 21 Oct 2037 07:27:30 GMT", s(600)),
        ] {
            assert_eq!(retry_after(text, date), expected, "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_closed_gate_holds_its_class_and_only_that() {
        let ms = Duration::from_millis;
        let gates = Gates::default();
        assert_eq!(gates.until(), None);
        gates.close(Class::Commit, ms(200));
        gates.close(Class::Commit, ms(20));
        let start = Instant::now();
        gates.pass(Class::Append).await;
        assert!(start.elapsed() < ms(150));
        assert!(gates.until().is_some());
        gates.pass(Class::Commit).await;
        assert!(start.elapsed() >= ms(200));
        assert_eq!(gates.until(), None);
        gates.close_all(ms(50));
        gates.pass(Class::List).await;
        assert!(start.elapsed() >= ms(250));
    }
}
