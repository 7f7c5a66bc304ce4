//! When the committer starts its next batch: by count, by bytes, by age; never waiting for workers.

use std::collections::HashMap;

use crate::model::UnixMs;
use crate::plan::time::wait::is_ahead;

/// What waits to be committed by one kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Remote changes.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest of them was staged.
    pub oldest: Option<UnixMs>,
}

/// The settings of `[commit]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries a call takes.
    pub max_entries: u64,
    /// Bytes that make a batch full, too.
    pub max_bytes: u64,
    /// How long an uploaded file may wait for company, in ms.
    pub max_age_ms: i64,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Commit.
    Now,
    /// Not before this time, unless something changes.
    At(UnixMs),
    /// Nothing waits.
    Never,
}

/// Decides for one kind of call. `more` says whether anything is on its way that could join the batch: if not, waiting gains nothing.
pub fn when(waiting: Waiting, more: bool, limits: Limits, now: UnixMs) -> When {
    let Some(oldest) = waiting.oldest.filter(|_| waiting.entries > 0) else { return When::Never };
    let full = waiting.entries >= limits.max_entries || waiting.bytes >= limits.max_bytes;
    let ripe = oldest.saturating_add(limits.max_age_ms);
    if full || !more || !is_ahead(ripe, now, limits.max_age_ms) { When::Now } else { When::At(ripe) }
}

/// For each of these keys (absolute paths, as the server folds them) the place in the list of the highest of them that it is or lies below.
pub fn topmost(keys: &[String]) -> Vec<usize> {
    let places: HashMap<&str, usize> = keys.iter().enumerate().map(|(i, key)| (key.as_str(), i)).collect();
    let highest = |(i, key): (usize, &String)| {
        let ends = key.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
        ends.filter_map(|at| places.get(key.get(..at)?).copied()).next().unwrap_or(i)
    };
    keys.iter().enumerate().map(highest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { max_entries: 1_000, max_bytes: 1 << 30, max_age_ms: 500 };

    #[test]
    fn full_ripe_or_alone_goes_and_the_rest_waits() {
        let waiting = |entries, bytes| Waiting { entries, bytes, oldest: Some(10_000) };
        assert_eq!(when(Waiting::default(), true, LIMITS, 0), When::Never);
        assert_eq!(when(waiting(1, 1), true, LIMITS, 10_100), When::At(10_500));
        assert_eq!(when(waiting(1, 1), true, LIMITS, 10_500), When::Now);
        assert_eq!(when(waiting(1, 1), false, LIMITS, 10_000), When::Now);
        assert_eq!(when(waiting(1, 1), true, LIMITS, 9_000), When::Now, "the clock was set back");
        assert_eq!(when(waiting(1_000, 1), true, LIMITS, 10_000), When::Now);
        assert_eq!(when(waiting(1, 1 << 30), true, LIMITS, 10_000), When::Now);
    }

    #[test]
    fn a_folder_goes_with_the_highest_one_above_it() {
        let keys = ["/t/a/b/c", "/t/a", "/t/ab", "/t/a/x", "/u"].map(str::to_owned);
        assert_eq!(topmost(&keys), [1, 1, 2, 1, 4]);
        assert_eq!(topmost(&[]), [0_usize; 0]);
    }
}
