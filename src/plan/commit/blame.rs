//! What follows when the call of a whole batch is refused: the entry that is to blame is found by halving, and the others go through.

/// What becomes of the entries of a batch that was refused as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Any of them may be to blame: they go again at once, in batches of half the size.
    Split,
    /// It stands alone, but nothing shows that others fare better: it goes again after the usual wait.
    Later,
    /// It stands alone, and others go through: this one is not taken.
    Entry,
}

/// So many failed tries are enough for one that stands alone, even if there are no others to compare it with.
const ENOUGH: u32 = 8;

/// Judges a batch of `entries` whose call was refused. `attempts` are the failed tries of the entry that stands alone; `others` says whether a
/// batch has gone through since an entry was last blamed.
pub fn blame(entries: usize, attempts: u32, others: bool) -> Blame {
    match entries {
        2.. => Blame::Split,
        _ if others || attempts >= ENOUGH => Blame::Entry,
        _ => Blame::Later,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, VecDeque};

    use proptest::prelude::*;

    use super::*;
    use crate::plan::commit::pace::Pace;

    /// Commits `n` entries, of which `bad` break every batch that they are in. Gives what was blamed, what went through and the calls made.
    fn commit(n: usize, bad: &BTreeSet<usize>) -> (BTreeSet<usize>, BTreeSet<usize>, usize) {
        let mut queue: VecDeque<(usize, u32)> = (0..n).map(|id| (id, 0)).collect();
        let (mut blamed, mut through, mut calls) = (BTreeSet::new(), BTreeSet::new(), 0);
        let (mut pace, mut others) = (Pace::new(1_000), false);
        while !queue.is_empty() {
            calls += 1;
            let batch: Vec<_> = queue.drain(..pace.entries.min(queue.len())).collect();
            if batch.iter().all(|(id, _)| !bad.contains(id)) {
                (pace, others) = (pace.faster(1_000), true);
                through.extend(batch.into_iter().map(|(id, _)| id));
                continue;
            }
            pace = pace.smaller(batch.len());
            match (blame(batch.len(), batch[0].1, others), batch[0]) {
                (Blame::Split, _) => batch.into_iter().rev().for_each(|entry| queue.push_front(entry)),
                (Blame::Later, (id, attempts)) => queue.push_back((id, attempts + 1)),
                (Blame::Entry, (id, _)) => {
                    others = false;
                    blamed.insert(id);
                }
            }
        }
        (blamed, through, calls)
    }

    #[test]
    fn d11_a_server_that_refuses_everything_is_no_entry_s_fault() {
        assert_eq!(blame(1_000, 99, true), Blame::Split);
        assert_eq!(blame(1, 0, false), Blame::Later);
        assert_eq!(blame(1, 0, true), Blame::Entry);
        assert_eq!(blame(1, ENOUGH, false), Blame::Entry);
    }

    proptest! {
        #[test]
        fn d11_exactly_the_poison_is_blamed(n in 1_usize..3_000, bad in prop::collection::btree_set(0_usize..3_000, 0..4)) {
            let bad: BTreeSet<_> = bad.into_iter().filter(|id| *id < n).collect();
            let (blamed, through, calls) = commit(n, &bad);
            prop_assert_eq!(&blamed, &bad);
            prop_assert_eq!(blamed.len() + through.len(), n);
            // Some ten halvings for each, with batches that pass between them, from which the pace takes heart.
            prop_assert!(calls <= 40 + bad.len() * 80, "{calls} calls for {} poisoned of {n}", bad.len());
        }
    }
}
