//! What a month's budget of data-transport calls lets through.
//!
//! Uploads run ahead of their commits, so that a budget that any call could spend would be spent on bytes that never become files. The last call is
//! therefore kept for a commit.

/// How many calls may have been made before this one: below that, it is made.
pub const fn limit(budget: u64, commits: bool) -> u64 {
    if commits { budget } else { budget.saturating_sub(1) }
}

/// Why uploads wait, if they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Full {
    /// They do not.
    #[default]
    No,
    /// The account has no room.
    Room,
    /// The calls are spent: by our budget, or as the server says.
    Calls,
}

/// Which uploads may be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commits {
    /// All of them.
    All,
    /// Empty files, which find room everywhere.
    Empty,
    /// None.
    Nothing,
}

/// Which uploads may be committed while the account is `full`, with so many calls `left` of the budget, if there is one.
pub const fn commits(full: Full, left: Option<u64>) -> Commits {
    match (full, left) {
        (_, Some(0)) => Commits::Nothing,
        // The one that was kept for this.
        (Full::Calls, Some(1)) | (Full::No, _) => Commits::All,
        (Full::Calls, _) => Commits::Nothing,
        (Full::Room, _) => Commits::Empty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_call_of_a_budget_is_a_commits() {
        for (budget, spent, content, commit) in [
            (12, 10, true, true),
            (12, 11, false, true),
            (12, 12, false, false),
            (1, 0, false, true),
            (0, 0, false, false),
        ] {
            assert_eq!(spent < limit(budget, false), content, "{spent} of {budget}");
            assert_eq!(spent < limit(budget, true), commit, "{spent} of {budget}");
        }
    }

    #[test]
    fn what_is_full_decides_what_is_committed() {
        for (full, left, expected) in [
            (Full::No, None, Commits::All),
            (Full::No, Some(7), Commits::All),
            (Full::No, Some(0), Commits::Nothing),
            (Full::Room, None, Commits::Empty),
            (Full::Room, Some(7), Commits::Empty),
            // An empty file's commit costs a call, too.
            (Full::Room, Some(0), Commits::Nothing),
            (Full::Calls, Some(1), Commits::All),
            (Full::Calls, Some(0), Commits::Nothing),
            // The server says so, whatever our budget is.
            (Full::Calls, Some(7), Commits::Nothing),
            (Full::Calls, None, Commits::Nothing),
        ] {
            assert_eq!(commits(full, left), expected, "{full:?} {left:?}");
        }
    }
}
