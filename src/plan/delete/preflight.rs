//! Which folders of a batch may be deleted in Dropbox: only those that hold nothing that nobody decided to delete.
//!
//! A folder goes in one entry with all that is in it, and no revision protects what another device has put there a moment ago: the cache may not
//! have heard of it. So each is listed just before the call. Files go before their folder, each at its revision, so that any file is unexpected here.
//! Only the topmost folders are listed and sent; those below go along and are settled with them.

use crate::model::listing::{Entry, Page, What};
use crate::model::{Failure, UnixMs};

/// Folders that are listed for one batch: the first of them should not wait long for its deletion. The others follow in the next.
const MOST: usize = 64;
/// A folder that could not be listed is tried again after this long, in ms.
const AGAIN_MS: UnixMs = 2_000;
/// One that goes with a folder of another batch is taken up again after this long, in ms.
const SOON_MS: UnixMs = 300;
/// What lies below one that Dropbox does not find any more waits this long for the listing, which then takes it back, in ms.
const LISTED_MS: UnixMs = 10_000;
/// A folder waits at most this long for one above it that is yet to be staged, in ms.
pub const PATIENCE_MS: UnixMs = 20_000;

/// Whether a folder of the batch is listed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is.
    List,
    /// It leaves the batch for so long, in ms.
    Later(UnixMs),
}

/// How a folder stands among the others that are to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Dropbox has refused it before, perhaps for all that is in it: it takes no others along, and goes by its own entry.
    Refused,
    /// Below another folder of the batch.
    BelowAnother,
    /// Below a folder that is staged, or may be in a moment.
    GoesWithOneAbove,
    /// The topmost.
    Topmost,
}

/// Whether a folder is listed now, after so many others of its batch.
pub fn turn(place: Place, listed: usize) -> Turn {
    match place {
        Place::Refused => Turn::List,
        Place::BelowAnother => Turn::Later(0),
        Place::GoesWithOneAbove => Turn::Later(SOON_MS),
        Place::Topmost if listed >= MOST => Turn::Later(0),
        Place::Topmost => Turn::List,
    }
}

/// What a folder was found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing but what was decided to go, and all of it was seen.
    Ours,
    /// Something else, or something that cannot be seen: why it stays.
    Kept(Failure),
    /// Dropbox does not find the folder.
    Gone,
    /// It could not be listed.
    Failed,
}

/// What becomes of a folder in its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is deleted.
    Goes,
    /// Its deletion is dropped for this reason, and its path looked at again. What lies below waits for so long, in ms.
    Stays(Failure, Option<UnixMs>),
    /// It leaves the batch for so long, in ms.
    Later(UnixMs),
}

/// What becomes of a folder in its batch. Of one that Dropbox does not find, nobody has seen what is in it: no call is made for it, and it is looked
/// at again with what the listing says by then.
pub fn fate(found: Found) -> Fate {
    match found {
        Found::Ours => Fate::Goes,
        Found::Kept(failure) => Fate::Stays(failure, None),
        Found::Gone => Fate::Stays(not_found(), Some(LISTED_MS)),
        Found::Failed => Fate::Later(AGAIN_MS),
    }
}

/// Why the folder stays for what a page of its listing shows: something that nobody decided to delete, or that cannot be seen. `is_known` says
/// whether a folder with this key was synced here and went with it; `is_ignored`, whether an entry is left out here: an empty folder that is has nothing
/// that could be lost.
pub fn unexpected(
    page: &Page,
    is_known: impl Fn(&str) -> bool,
    is_ignored: impl Fn(&Entry) -> bool,
) -> Option<Failure> {
    if let Some(refused) = page.refused.first() {
        return Some(stranger(&refused.text));
    }
    if page.unmounted > 0 || !page.unknown.is_empty() {
        return Some(stranger("something of an unknown kind"));
    }
    let hidden = |entry: &&Entry| matches!(&entry.what, What::Folder(facts) if facts.marks.unseen);
    if let Some(entry) = page.entries.iter().find(hidden) {
        return Some(unseen(&entry.name));
    }
    let strange = |entry: &&Entry| match entry.what {
        What::File(_) => true,
        What::Folder(_) => !is_known(entry.key.as_str()) && !is_ignored(entry),
        What::Deleted => false,
    };
    page.entries.iter().find(strange).map(|entry| stranger(&entry.name))
}

/// The failure of a folder in which something was found.
fn stranger(name: &str) -> Failure {
    Failure::look(
        "dir_kept",
        format!(
            "it was deleted here, but its folder in Dropbox holds something that is not here (`{name}`), so it stays: it came from elsewhere a moment \
             ago, or is left out by `[listing]`; delete the folder in Dropbox if that is to go, or make the directory again"
        ),
    )
}

/// The failure of a folder of which not everything can be seen.
pub fn unseen(name: &str) -> Failure {
    Failure::look(
        "dir_kept",
        format!(
            "it was deleted here, but its folder in Dropbox stays, since this account may not look into `{name}`, and what may not be seen is not \
             deleted: ask its owner for access, or delete the folder in Dropbox"
        ),
    )
}

/// The failure of a folder that the listing shows and Dropbox does not find.
fn not_found() -> Failure {
    Failure::look(
        "dir_kept",
        "it was deleted here, and Dropbox does not find its folder although the listing shows it: the listing is waited for",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RemotePath;
    use crate::model::listing::{FolderFacts, Marks, Refused};

    fn entry(key: &str, what: What) -> Entry {
        let name = key.rsplit('/').next().unwrap_or_default().to_owned();
        Entry { key: RemotePath::parse(key).unwrap(), name, above: None, what }
    }

    fn folder(unseen: bool) -> What {
        What::Folder(FolderFacts { marks: Marks { unseen, ..Marks::default() }, ..FolderFacts::default() })
    }

    fn page(entries: Vec<Entry>) -> Page {
        Page { entries, ..Page::default() }
    }

    fn reason(page: &Page) -> Option<String> {
        unexpected(page, |key| key == "/d" || key == "/d/ours", |entry| entry.name == "ignored").map(|f| f.text)
    }

    #[test]
    fn only_what_was_decided_to_go_lets_a_folder_go() {
        let empty = || folder(false);
        assert_eq!(reason(&Page::default()), None);
        let ours = vec![entry("/d", empty()), entry("/d/ours", empty()), entry("/d/ignored", empty())];
        assert_eq!(reason(&page(ours.clone())), None);
        assert_eq!(reason(&page(vec![entry("/d/was", What::Deleted)])), None);
        let file = || What::File(Box::default());
        for (name, what) in [("theirs", empty()), ("x", file()), ("ours", file()), ("ignored", file())] {
            let mut all = ours.clone();
            all.push(entry(&format!("/d/{name}"), what));
            assert!(reason(&page(all)).is_some_and(|text| text.contains(&format!("`{name}`"))), "{name}");
        }
        // What cannot be seen is not known to be ours, whatever its name.
        for key in ["/d", "/d/ours", "/d/ignored"] {
            assert!(reason(&page(vec![entry(key, folder(true))])).is_some_and(|text| text.contains("may not look")));
        }
        for page in [
            Page { unmounted: 1, ..page(ours.clone()) },
            Page { unknown: vec!["new".into()], ..page(ours.clone()) },
            Page {
                refused: vec![Refused {
                    text: "odd".into(),
                    after: 0,
                    code: "bad_name".into(),
                    why: "x".into(),
                    folder: false,
                    placed: false,
                }],
                ..page(ours)
            },
        ] {
            assert!(reason(&page).is_some(), "{page:?}");
        }
    }

    #[test]
    fn the_topmost_are_listed_a_few_at_a_time() {
        assert_eq!(turn(Place::Topmost, MOST - 1), Turn::List);
        assert_eq!(turn(Place::Topmost, MOST), Turn::Later(0));
        assert_eq!(turn(Place::BelowAnother, 0), Turn::Later(0));
        assert_eq!(turn(Place::GoesWithOneAbove, 0), Turn::Later(SOON_MS));
        assert_eq!(turn(Place::Refused, 2 * MOST), Turn::List, "it has had its wait");
    }

    #[test]
    fn only_what_was_wholly_seen_goes() {
        assert_eq!(fate(Found::Ours), Fate::Goes);
        let failure = unseen("x");
        assert_eq!(fate(Found::Kept(failure.clone())), Fate::Stays(failure, None));
        assert!(matches!(fate(Found::Gone), Fate::Stays(f, Some(LISTED_MS)) if f.code == "dir_kept"));
        assert_eq!(fate(Found::Failed), Fate::Later(AGAIN_MS));
    }
}
