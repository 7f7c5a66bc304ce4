//! Which names Dropbox can hold. Told before any byte is sent, so that one bad name costs no upload.
//!
//! Control characters, bidirectional overrides and the like are left to Dropbox's own judgement: it takes most of them, and a name that
//! it refuses comes back as a failure of that path alone. A colon is fine in Dropbox; only its Windows client cannot write it.

use crate::model::{Failure, RelPath};

/// Our own directory at the root of every folder (and of what was one once): the marker, unfinished downloads, the trash.
pub const OWN_DIR: &str = ".ferrybox";

/// Dropbox counts names in UTF-16 units.
const MAX_UNITS: usize = 255;

/// The names that Dropbox's own clients do not sync and its server refuses, without regard to case; at most one `*`.
///
/// Source: <https://help.dropbox.com/organize/file-names>.
pub const DROPBOX_UNSYNCED: [&str; 9] =
    ["desktop.ini", "thumbs.db", ".ds_store", "icon\r", ".dropbox", ".dropbox.attr", "~$*", ".~*", "~*.tmp"];

/// Whether `name` has the form `pattern`, which holds at most one `*`. ASCII letters of either case are equal if `any_case`.
pub(crate) fn has_form(name: &str, pattern: &str, any_case: bool) -> bool {
    let same = |a: &[u8], b: &[u8]| if any_case { a.eq_ignore_ascii_case(b) } else { a == b };
    let name = name.as_bytes();
    match pattern.split_once('*') {
        None => same(name, pattern.as_bytes()),
        Some((head, tail)) => {
            name.len() >= head.len() + tail.len()
                && name.get(..head.len()).is_some_and(|start| same(start, head.as_bytes()))
                && name.get(name.len() - tail.len()..).is_some_and(|end| same(end, tail.as_bytes()))
        }
    }
}

/// Why Dropbox cannot hold `path`; `None` if nothing is known against it.
pub fn disallowed(path: &RelPath) -> Option<Failure> {
    if path.components().any(|name| name == OWN_DIR) {
        return Some(Failure::wedge("reserved", "the name `.ferrybox` belongs to ferrybox: rename it to sync it"));
    }
    path.components().find_map(disallowed_name)
}

fn disallowed_name(name: &str) -> Option<Failure> {
    let because = |why: &str| Some(Failure::wedge("name", format!("{why}: rename it to sync it")));
    if name.contains('\\') {
        return because("Dropbox cannot hold a name with a backslash");
    }
    let units = name.encode_utf16().count();
    if units > MAX_UNITS {
        return because(&format!("the name has {units} UTF-16 units, and Dropbox holds at most {MAX_UNITS}"));
    }
    if name.ends_with('.') {
        return because("Dropbox cannot hold a name that ends with a dot safely");
    }
    if name.ends_with(' ') {
        return because("Dropbox cannot hold a name that ends with a space safely");
    }
    if DROPBOX_UNSYNCED.iter().any(|pattern| has_form(name, pattern, true)) {
        return because("Dropbox does not sync files of this name");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I5, I9: each bad name is told with its own reason; names that merely look odd pass.
    #[test]
    fn i5_names_that_dropbox_cannot_hold() {
        let long = "x".repeat(256);
        let astral = "\u{1F980}".repeat(128);
        let deep_bad = format!("fine/{long}/fine");
        let cases: &[(&str, Option<&str>)] = &[
            ("a/b.txt", None),
            ("a\\b", Some("name")),
            ("dir\\x/b", Some("name")),
            ("a.", Some("name")),
            ("a./b", Some("name")),
            ("a ", Some("name")),
            (" a", None),
            (".a", None),
            ("a:b", None),
            ("tab\tnewline\n", None),
            ("\u{202e}txt.exe", None),
            ("Desktop.INI", Some("name")),
            ("x/Thumbs.db", Some("name")),
            ("x/.DS_Store", Some("name")),
            ("Icon\r", Some("name")),
            ("Icon", None),
            (".dropbox", Some("name")),
            (".dropbox.attr", Some("name")),
            (".dropboxignore", None),
            ("~$letter.docx", Some("name")),
            (".~lock.a.odt#", Some("name")),
            ("~x.TMP", Some("name")),
            ("~x.txt", None),
            ("~.tm", None),
            (".ferrybox", Some("reserved")),
            (".ferrybox/trash/x", Some("reserved")),
            ("a/.ferrybox/trash/x", Some("reserved")),
            (&long, Some("name")),
            (&deep_bad, Some("name")),
            (&long[..255], None),
            (&astral, Some("name")),
        ];
        for (path, code) in cases {
            let found = disallowed(&RelPath::parse(path).unwrap());
            assert_eq!(found.as_ref().map(|f| f.code.as_str()), *code, "{path:?}");
        }
        assert_eq!(disallowed(&RelPath::root()), None);
    }
}
