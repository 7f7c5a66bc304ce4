//! Listing folder by folder, where Dropbox does not list everything at once.
//!
//! "In some cases, setting recursive to true may lead to performance issues or errors, especially when traversing folder structures with a large number of
//! items. A workaround for such cases is to set recursive to false and traverse subfolders one at a time" (files.stone, `ListFolderArg`).
//!
//! A walk is not of one moment. So a cursor for what changes is taken before it begins, and what comes after that cursor is fetched when it has ended:
//! until then nothing of it is believed.

use serde::{Deserialize, Serialize};

use crate::model::listing::Question;

/// So often in a row a recursive listing fails at its beginning before it is walked.
const TRIES: u32 = 3;
/// The same for a listing that fails on its way: what it has brought so far is given up for the walk.
const TRIES_ON_THE_WAY: u32 = 8;

/// How a recursive listing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Dropbox answered 5xx.
    Server,
    /// No answer came in time, or the connection broke.
    Unanswered,
    /// Dropbox refused the path with a reason that this version does not know, `path/other`.
    Other,
    /// Anything else, which a walk would meet as well.
    Elsewhere,
}

/// Whether a listing that has failed so is tried as a walk. `failures` in a row; `begun`: it has brought pages already. With a question that leaves out
/// mounted folders nothing is walked: a folder that is listed by itself does not say whether it is mounted.
pub fn is_worth_it(trouble: Trouble, failures: u32, begun: bool, question: &Question) -> bool {
    let tries = if begun { TRIES_ON_THE_WAY } else { TRIES };
    trouble != Trouble::Elsewhere && failures >= tries && question.include_mounted_folders
}

/// What a walk does next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum To {
    /// The next page of the folder, after this cursor.
    More(String),
    /// The folder after this one.
    After,
}

/// Where a walk is: it stands where the cursor of a listing would, so that it goes on there after a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The cursor for what has changed since the walk began.
    pub latest: String,
    /// The key of the folder that is walked.
    pub root: String,
    /// The key of the folder that was listed last.
    pub at: String,
    /// What comes next.
    pub to: To,
}

/// No cursor of Dropbox's has a space.
const PREFIX: &str = "ferrybox walk ";

impl Mark {
    /// The mark, if this is one and no cursor of Dropbox's.
    pub fn read(cursor: &str) -> Option<Self> {
        serde_json::from_str(cursor.strip_prefix(PREFIX)?).ok()
    }

    /// As the database keeps it.
    pub fn written(&self) -> String {
        format!("{PREFIX}{}", serde_json::to_string(self).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r4_when_a_listing_is_walked() {
        use Trouble::{Elsewhere, Other, Server, Unanswered};
        let usual = Question::default();
        let cases = [
            (Server, 2, false, false),
            (Server, 3, false, true),
            (Unanswered, 3, false, true),
            (Other, 3, false, true),
            (Elsewhere, 100, false, false),
            (Server, 7, true, false),
            (Server, 8, true, true),
            (Elsewhere, 100, true, false),
        ];
        for (trouble, failures, begun, expected) in cases {
            assert_eq!(is_worth_it(trouble, failures, begun, &usual), expected, "{trouble:?} {failures} {begun}");
        }
        let narrow = Question { include_mounted_folders: false, ..usual };
        assert!(!is_worth_it(Server, 100, false, &narrow));
    }

    #[test]
    fn r4_a_mark_is_read_as_it_was_written_and_no_cursor_is_one() {
        for to in [To::After, To::More("AAE\"x".to_owned())] {
            let mark = Mark { latest: "c".to_owned(), root: String::new(), at: "/a\n\"b\"/é".to_owned(), to };
            assert_eq!(Mark::read(&mark.written()), Some(mark));
        }
        for cursor in ["", "AAEx", "ferrybox walk ", "ferrybox walk {}", "{}"] {
            assert_eq!(Mark::read(cursor), None, "{cursor}");
        }
    }
}
