//! The rules by which a recursive listing becomes a cache, and when a listing is believed.
//!
//! Source: the text of `list_folder` in Dropbox's specification, `files.stone`.

pub mod course;
pub mod remote_root;
pub mod walk;

use std::collections::BTreeSet;

pub use crate::model::key::{is_sure, key_of};
use crate::model::listing::{Below, Entry, Here, Kind, Question, Rule, What};
use crate::model::{Disk, Failure, RemotePath};
use crate::plan::delete::guard::Limits;
use crate::plan::name::allowed::OWN_DIR;

/// What one entry does to the cache, when `there` is what its path holds so far.
///
/// | entry | there | the path | below it | parents |
/// |---|---|---|---|---|
/// | file | anything | the file | goes | made |
/// | folder | anything | the folder | stays, takes the folder's read-only mark | made |
/// | deleted | something | goes | goes | as they are |
/// | deleted | nothing | nothing | nothing | as they are |
pub fn rule(there: Option<Kind>, what: &What) -> Rule {
    match (what, there) {
        (What::File(_), Some(Kind::Folder)) => Rule { parents: true, here: Here::Put, below: Below::Remove },
        // Below a file, or below nothing, there is nothing.
        (What::File(_), _) => Rule { parents: true, here: Here::Put, below: Below::Keep },
        (What::Folder(facts), Some(Kind::Folder)) => {
            Rule { parents: true, here: Here::Put, below: Below::ReadOnly(facts.marks.read_only) }
        }
        (What::Folder(_), _) => Rule { parents: true, here: Here::Put, below: Below::Keep },
        (What::Deleted, Some(Kind::Folder)) => Rule { parents: false, here: Here::Remove, below: Below::Remove },
        (What::Deleted, Some(Kind::File)) => Rule { parents: false, here: Here::Remove, below: Below::Keep },
        (What::Deleted, None) => Rule { parents: false, here: Here::Ignore, below: Below::Keep },
    }
}

/// The entries of a page without those that a later file at the same path makes pointless: whatever they did at that path or below
/// it is undone by the file, and the parents that they made are made by the file, too (unless a folder in between marked them). The order stays.
pub fn collapsed(entries: Vec<Entry>) -> Vec<Entry> {
    let mut files = BTreeSet::new();
    let mut kept: Vec<Entry> = entries
        .into_iter()
        .rev()
        .filter(|entry| match entry.what {
            _ if files.contains(entry.key.as_str()) => false,
            What::File(_) => files.insert(entry.key.as_str().to_owned()),
            // It marks what it finds below it, and an earlier file may have made that.
            What::Folder(_) => {
                files.clear();
                true
            }
            What::Deleted => true,
        })
        .collect();
    kept.reverse();
    kept
}

/// Below this many entries lost a share says nothing: half of a folder of four files is no disaster.
const SHARE_FROM: u64 = 50;

/// Whether a new, complete listing of `found` entries may take the place of one of `known` entries, by the limits of `[safety]`.
///
/// # Errors
/// One sentence: what is held, and what to do.
pub fn believable(known: u64, found: u64, limits: Limits) -> Result<(), String> {
    let lost = known.saturating_sub(found);
    #[expect(clippy::cast_precision_loss, reason = "a share of 2^53 entries needs no more digits")]
    let share = if known == 0 { 0.0 } else { lost as f64 / known as f64 };
    if lost <= SHARE_FROM || share <= limits.max_share {
        return Ok(());
    }
    Err(format!(
        "a new listing has {found} entries where {known} were known: it is held and the old one is used (safety.max_deletion_share = {:.0}%). \
         If the entries are really gone, run `ferrybox approve` with the token shown; else wait, Dropbox is asked again by itself",
        limits.max_share * 100.0
    ))
}

/// Whether the first listing after the account's paths came to be another namespace's may take the place of one of `known` entries, of which it
/// lacks `lost`. What is missing there was deleted by nobody, so that it is no deletion here before a person says so.
///
/// # Errors
/// One sentence: what is held, and what to do.
pub fn moved(known: u64, lost: u64) -> Result<(), String> {
    if lost == 0 {
        return Ok(());
    }
    Err(format!(
        "the account's paths are in another namespace now (a team was joined or left, or `path_root` is another), and {lost} of the {known} \
         entries that were known are not in it: nothing is deleted here, and the old listing is used. Run `ferrybox approve` with the token \
         shown if they are really gone; else set `path_root` and the folders' `remote` to where the files are now, and restart"
    ))
}

/// One listing to be followed: where, with which question, and which of the folders it covers (their places in the list).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// The remote folder.
    pub scope: RemotePath,
    /// What is asked for.
    pub question: Question,
    /// The folders.
    pub folders: Vec<usize>,
}

/// The listings that these folders need. Those that ask as `usual` share cursors, see [`scopes`]; one with a question of its own has a listing of its
/// own, since a cursor knows one question only.
pub fn followed(folders: &[(RemotePath, Question)], whole: bool, usual: &Question) -> Vec<Followed> {
    let shared = |(_, question): &&(RemotePath, Question)| question == usual;
    let remotes: Vec<RemotePath> = folders.iter().filter(shared).map(|(remote, _)| remote.clone()).collect();
    let mut all: Vec<Followed> = Vec::new();
    if !remotes.is_empty() || whole && folders.is_empty() {
        let scopes = scopes(&remotes, whole).into_iter();
        all.extend(scopes.map(|scope| Followed { scope, question: usual.clone(), folders: Vec::new() }));
    }
    for (i, (remote, question)) in folders.iter().enumerate() {
        let shared = question == usual;
        match all.iter_mut().find(|one| shared && one.question == *usual && within(remote, &one.scope)) {
            Some(one) => one.folders.push(i),
            None => all.push(Followed { scope: remote.clone(), question: question.clone(), folders: vec![i] }),
        }
    }
    all
}

/// Whether one question leaves out what the other one asks for, so that what its answer lacks says nothing of deletions.
pub fn says_less(before: &Question, now: &Question) -> bool {
    before.include_mounted_folders && !now.include_mounted_folders
        || before.include_non_downloadable_files && !now.include_non_downloadable_files
}

/// The fewest cursors that follow all these remote folders without listing the whole account for them.
///
/// A folder below another needs none of its own, and folders with a common ancestor share its cursor, unless that ancestor is the
/// account's root: then each has its own, because a root's listing costs every entry of the account. A folder that *is* the root, or
/// `whole`, gives one cursor for everything.
pub fn scopes(folders: &[RemotePath], whole: bool) -> Vec<RemotePath> {
    if whole || folders.iter().any(|f| f.as_str().is_empty()) {
        return vec![RemotePath::default()];
    }
    // Folders without the same first component have only the root in common.
    let mut groups: Vec<(String, RemotePath)> = Vec::new();
    for folder in folders {
        let top = folder.as_str().split('/').nth(1).map(key_of).unwrap_or_default();
        match groups.iter_mut().find(|(first, _)| *first == top) {
            Some((_, shared)) => *shared = common(shared, folder),
            None => groups.push((top, folder.clone())),
        }
    }
    groups.into_iter().map(|(_, scope)| scope).collect()
}

fn common(a: &RemotePath, b: &RemotePath) -> RemotePath {
    let same = a
        .as_str()
        .split('/')
        .zip(b.as_str().split('/'))
        .take_while(|(a, b)| key_of(a) == key_of(b))
        .map(|(a, _)| a)
        .collect::<Vec<_>>()
        .join("/");
    RemotePath::parse(&same).unwrap_or_default()
}

/// Whether `path` is `scope` or lies below it, as far as folding can be guessed.
pub fn within(path: &RemotePath, scope: &RemotePath) -> bool {
    let (path, scope) = (key_of(path.as_str()), key_of(scope.as_str()));
    path.strip_prefix(&scope).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether Dropbox tells these two names apart, of which a disk takes one for the other: then one of them cannot lie there.
pub fn tells_apart(name: &str, listed: &str) -> bool {
    key_of(name) != key_of(listed)
}

/// Bytes that a name may have on nearly every disk.
const NAME_MAX: usize = 255;

/// Why this disk could not hold an entry; `None` if nothing is known against it.
pub fn unholdable(name: &str, disk: Disk) -> Option<Failure> {
    let (long, of) = match disk {
        Disk::Plain => (name.len(), "bytes"),
        Disk::Windows => (name.encode_utf16().count(), "UTF-16 units"),
    };
    if long > NAME_MAX {
        return Some(Failure::wedge(
            "name_too_long",
            format!("the name has {long} {of}, and this disk holds at most {NAME_MAX}: rename it in Dropbox"),
        ));
    }
    // Nothing that goes by Dropbox's rules has one, and it separates directories elsewhere.
    if name.contains('\\') {
        let why = "a name with a backslash is none of Dropbox's and is not brought down: rename it in Dropbox";
        return Some(Failure::wedge("name", why));
    }
    let barred = |c: &char| c.is_ascii_control() || "<>:\"|?*\\".contains(*c);
    if disk == Disk::Windows
        && let Some(sign) = name.chars().find(barred).or_else(|| name.chars().next_back().filter(|c| ". ".contains(*c)))
    {
        let place = if barred(&sign) { "" } else { " at its end" };
        return Some(Failure::wedge(
            "name",
            format!(
                "this disk has the rules of Windows and cannot hold a name with {sign:?}{place}: rename it in Dropbox"
            ),
        ));
    }
    if name == OWN_DIR {
        return Some(Failure::wedge(
            "reserved",
            "the name `.ferrybox` belongs to ferrybox, wherever it is: rename it in Dropbox to sync it",
        ));
    }
    None
}

/// Whether a disk could hold an entry, as far as is known: see [`unholdable`].
pub fn holds(name: &str, disk: Disk) -> bool {
    unholdable(name, disk).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(texts: &[&str]) -> Vec<RemotePath> {
        texts.iter().map(|t| RemotePath::parse(t).unwrap()).collect()
    }

    #[test]
    fn the_fewest_cursors() {
        let cases: &[(&[&str], bool, &[&str])] = &[
            (&["/A"], false, &["/A"]),
            (&["/A", "/a/x"], false, &["/A"]),
            (&["/A/x", "/a/y"], false, &["/A"]),
            (&["/A/x/p", "/A/X/q", "/B"], false, &["/A/x", "/B"]),
            (&["/A", "/B"], false, &["/A", "/B"]),
            (&["/A", "/"], false, &["/"]),
            (&["/A"], true, &["/"]),
            (&["/Ab", "/A"], false, &["/Ab", "/A"]),
            (&[], false, &[]),
        ];
        for (folders, whole, expected) in cases {
            assert_eq!(scopes(&paths(folders), *whole), paths(expected), "{folders:?}");
        }
    }

    #[test]
    fn a_folder_with_a_question_of_its_own_has_a_listing_of_its_own() {
        let usual = Question::default();
        let other = Question { include_mounted_folders: false, ..Question::default() };
        let folders: Vec<_> = [("/A/x", &usual), ("/A/y", &usual), ("/A/z", &other), ("/B", &other)]
            .map(|(path, question)| (RemotePath::parse(path).unwrap(), question.clone()))
            .into();
        let all = followed(&folders, false, &usual);
        let told: Vec<_> =
            all.iter().map(|one| (one.scope.as_str(), one.question == usual, one.folders.clone())).collect();
        assert_eq!(told, [("/A", true, vec![0, 1]), ("/A/z", false, vec![2]), ("/B", false, vec![3])]);
        let all = followed(&folders, true, &usual);
        let told: Vec<_> = all.iter().map(|one| (one.scope.as_str(), one.folders.clone())).collect();
        assert_eq!(told, [("", vec![0, 1]), ("/A/z", vec![2]), ("/B", vec![3])]);
        assert_eq!(followed(&folders[2..], true, &usual).len(), 2, "nobody needs the account's listing");
    }

    #[test]
    fn d2_which_questions_say_less() {
        let usual = Question::default();
        type Change = fn(&mut Question);
        let changes: [(Change, bool); 5] = [
            (|q| q.include_mounted_folders = false, true),
            (|q| q.include_non_downloadable_files = false, true),
            (|q| q.limit = Some(1), false),
            (|q| q.include_has_explicit_shared_members = true, false),
            (|_| {}, false),
        ];
        for (change, less) in changes {
            let mut narrow = usual.clone();
            change(&mut narrow);
            assert_eq!(says_less(&usual, &narrow), less, "{narrow:?}");
            assert!(!says_less(&narrow, &usual), "{narrow:?}");
        }
    }

    #[test]
    fn e4_a_tiny_listing_is_not_believed() {
        let limits = Limits { max_deletions: 1000, max_share: 0.25 };
        assert!(believable(1_000_000, 0, limits).is_err());
        assert!(believable(1_000_000, 700_000, limits).is_err());
        assert!(believable(1_000_000, 999_000, limits).is_ok());
        assert!(believable(1_000_000, 2_000_000, limits).is_ok());
        assert!(believable(51, 0, limits).is_err());
        assert!(believable(4, 0, limits).is_ok());
        assert!(believable(0, 0, limits).is_ok());
    }

    #[test]
    fn e8_what_another_namespace_lacks_is_no_deletion() {
        assert_eq!(moved(10, 0), Ok(()));
        let why = moved(1_000_000, 1).unwrap_err();
        assert!(why.contains("1 of the 1000000") && why.contains("path_root"), "{why}");
    }

    #[test]
    fn e15_names_that_only_the_disk_takes_for_one_another() {
        assert!(tells_apart("straße", "strasse"));
        // One file in Dropbox, too: as it may lie on such a disk in other letters, or decomposed.
        assert!(!tells_apart("Straße", "straße") && !tells_apart("é", "e\u{301}"));
    }

    #[test]
    fn i6_i9_what_a_disk_cannot_hold() {
        let code = |name: &str, disk| unholdable(name, disk).map(|f| f.code);
        let crabs = "\u{1F980}".repeat(64);
        assert_eq!(code(&crabs, Disk::Plain).unwrap(), "name_too_long");
        assert_eq!(code(&crabs, Disk::Windows), None);
        assert_eq!(code(&"x".repeat(256), Disk::Windows).unwrap(), "name_too_long");
        assert_eq!(code(".ferrybox", Disk::Plain).unwrap(), "reserved");
        for disk in [Disk::Plain, Disk::Windows] {
            assert_eq!(code("..\\..\\x", disk).unwrap(), "name");
        }
        for odd in ["12:30", "who?", "a*", "\"q\"", "a|b", "<a>", "tab\t", "dot.", "space "] {
            assert_eq!(code(odd, Disk::Plain), None, "{odd:?}");
            assert_eq!(code(odd, Disk::Windows).unwrap(), "name", "{odd:?}");
        }
        for fine in ["fine", "a.b", ".a", " a", "é", "(a) [b] {c} + ~ # % &"] {
            assert_eq!(code(fine, Disk::Windows), None, "{fine:?}");
        }
        assert!(unholdable("a.", Disk::Windows).unwrap().text.contains("'.' at its end"));
    }
}
