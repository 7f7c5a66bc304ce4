//! Which batch the commit lane begins next: the order of the kinds, what each of them is asked, and the pace.
//!
//! Batches of one account never overlap, whatever their kinds, but for removals on the disk, which are no calls.

use crate::model::{BatchKind, UnixMs};
use crate::plan::commit::batch::When;
use crate::plan::commit::budget::Commits;
use crate::plan::time::wait::is_ahead;

/// Kinds with a lower rank are looked at first: nothing else is decided in a folder before its moves are settled.
pub const fn rank(kind: BatchKind) -> u8 {
    match kind {
        BatchKind::Move | BatchKind::Copy => 0,
        BatchKind::Upload | BatchKind::Folder | BatchKind::Delete | BatchKind::Trash => 1,
    }
}

/// What decides whether a batch of a kind begins now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// Nothing waits, or nothing of the kind may begin.
    Never,
    /// Nothing: what waits goes.
    Nothing,
    /// Company, size and age ([`batch::when`](crate::plan::commit::batch::when)), and before that the budget ([`uploads`]).
    Uploads,
    /// The same, by the sources of the copies.
    Copies,
    /// Consent ([`plan::delete::consent`](crate::plan::delete::consent)).
    Deletions,
}

/// What decides about a kind of which `entries` may be committed now.
pub const fn asks(kind: BatchKind, entries: u64) -> Asks {
    match kind {
        BatchKind::Upload => Asks::Uploads,
        BatchKind::Folder | BatchKind::Move if entries > 0 => Asks::Nothing,
        BatchKind::Copy if entries > 0 => Asks::Copies,
        BatchKind::Folder | BatchKind::Move | BatchKind::Copy => Asks::Never,
        // Also where none may go yet: what is held is weighed again, and what is over is forgotten.
        BatchKind::Delete | BatchKind::Trash => Asks::Deletions,
    }
}

/// What the budget lets through of uploads that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uploads {
    /// They are asked for their company.
    Ask,
    /// Empty files go at once, since they need no room; nothing else does.
    OnlyEmpty,
    /// None.
    None,
}

/// What the budget lets through of uploads. `None`: none waits, and it was not asked.
pub const fn uploads(budget: Option<Commits>) -> Uploads {
    match budget {
        None | Some(Commits::All) => Uploads::Ask,
        Some(Commits::Empty) => Uploads::OnlyEmpty,
        Some(Commits::Nothing) => Uploads::None,
    }
}

/// When a batch that may begin does begin: no call follows the last one sooner than the pace allows (`not_before`, a gap of `gap_ms`). What is removed
/// on the disk is no call.
pub fn paced(kind: BatchKind, when: When, not_before: UnixMs, gap_ms: i64, now: UnixMs) -> When {
    if when == When::Now && kind != BatchKind::Trash && is_ahead(not_before, now, gap_ms) {
        When::At(not_before)
    } else {
        when
    }
}

/// The kinds that are tried when a batch of `kind` is to begin, the first one first. Copies go before deletions, even before they have all their company: one
/// of them may be of what is deleted.
pub fn tried(kind: BatchKind, copies_wait: bool) -> &'static [BatchKind] {
    match kind {
        BatchKind::Delete if copies_wait => &[BatchKind::Copy, BatchKind::Delete],
        BatchKind::Upload => &[BatchKind::Upload],
        BatchKind::Delete => &[BatchKind::Delete],
        BatchKind::Folder => &[BatchKind::Folder],
        BatchKind::Trash => &[BatchKind::Trash],
        BatchKind::Move => &[BatchKind::Move],
        BatchKind::Copy => &[BatchKind::Copy],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [BatchKind; 6] =
        [BatchKind::Upload, BatchKind::Delete, BatchKind::Folder, BatchKind::Trash, BatchKind::Move, BatchKind::Copy];

    #[test]
    fn moves_come_first_and_each_kind_is_asked_its_own_question() {
        let mut order = ALL;
        order.sort_by_key(|kind| rank(*kind));
        assert!(matches!(order, [BatchKind::Move, BatchKind::Copy, ..]));
        for (kind, none, some) in [
            (BatchKind::Upload, Asks::Uploads, Asks::Uploads),
            (BatchKind::Delete, Asks::Deletions, Asks::Deletions),
            (BatchKind::Folder, Asks::Never, Asks::Nothing),
            (BatchKind::Trash, Asks::Deletions, Asks::Deletions),
            (BatchKind::Move, Asks::Never, Asks::Nothing),
            (BatchKind::Copy, Asks::Never, Asks::Copies),
        ] {
            assert_eq!(asks(kind, 0), none, "{kind:?}");
            assert_eq!(asks(kind, 1), some, "{kind:?}");
        }
    }

    #[test]
    fn calls_keep_their_distance_and_removals_need_none() {
        for kind in ALL {
            let at = |when, not_before| paced(kind, when, not_before, 500, 1_000);
            let late = if kind == BatchKind::Trash { When::Now } else { When::At(1_200) };
            assert_eq!(at(When::Now, 1_200), late);
            assert_eq!(at(When::Now, 1_000), When::Now);
            assert_eq!(at(When::Now, 1_501), When::Now, "the clock was set back");
            assert_eq!(at(When::At(7), 1_200), When::At(7));
            assert_eq!(at(When::Never, 1_200), When::Never);
        }
    }

    #[test]
    fn copies_go_before_what_they_may_be_copies_of() {
        for kind in ALL {
            let expected = if kind == BatchKind::Delete { vec![BatchKind::Copy, kind] } else { vec![kind] };
            assert_eq!(tried(kind, true), expected);
            assert_eq!(tried(kind, false), [kind]);
        }
    }

    #[test]
    fn a_full_account_sends_what_needs_no_room() {
        assert_eq!(uploads(None), Uploads::Ask);
        assert_eq!(uploads(Some(Commits::All)), Uploads::Ask);
        assert_eq!(uploads(Some(Commits::Empty)), Uploads::OnlyEmpty);
        assert_eq!(uploads(Some(Commits::Nothing)), Uploads::None);
    }
}
