//! The path forms of the specification, case folding, and the names that are refused.

use unicode_normalization::UnicodeNormalization as _;

use crate::settings::{Folding, Settings};

/// Which of the specification's path aliases an argument has; each is a pattern that the text must match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `PathROrId = (/(.|[\r\n])*)?|id:.*|(ns:[0-9]+(/(.|[\r\n])*)?)`
    PathROrId,
    /// `PathOrId = /(.|[\r\n])*|id:.*|(ns:[0-9]+(/(.|[\r\n])*)?)`
    PathOrId,
    /// `ReadPath = (/(.|[\r\n])*|id:.*)|(rev:[0-9a-f]{9,})|(ns:[0-9]+(/(.|[\r\n])*)?)`
    ReadPath,
    /// `WritePath = (/(.|[\r\n])*)|(ns:[0-9]+(/(.|[\r\n])*)?)`
    WritePath,
    /// `WritePathOrId = (/(.|[\r\n])*)|(ns:[0-9]+(/(.|[\r\n])*)?)|(id:.*)`
    WritePathOrId,
}

/// What a path argument names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// A path in the account.
    Path(String),
    /// The file or folder with this id; `None` for text that was never an id here.
    Id(Option<u64>),
    /// One revision of a file.
    Rev(u64),
    /// A path in a namespace.
    Namespace(String, String),
}

/// Reads a path argument. An error says what pattern was not matched, for a 400.
pub(crate) fn reference(form: Form, text: &str) -> Result<Reference, String> {
    if text.is_empty() && form == Form::PathROrId {
        return Ok(Reference::Path(String::new()));
    }
    if text.starts_with('/') {
        return Ok(Reference::Path(text.to_owned()));
    }
    if let Some(rest) = text.strip_prefix("ns:") {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (ns, path) = rest.split_at(digits);
        if !ns.is_empty() && (path.is_empty() || path.starts_with('/')) {
            return Ok(Reference::Namespace(ns.to_owned(), path.to_owned()));
        }
    }
    if let Some(id) = text.strip_prefix("id:").filter(|_| form != Form::WritePath) {
        return Ok(Reference::Id(parse_id(id)));
    }
    if let Some(rev) = text.strip_prefix("rev:").filter(|_| form == Form::ReadPath)
        && is_rev(rev)
    {
        return Ok(Reference::Rev(parse_rev(rev).unwrap_or(u64::MAX)));
    }
    Err(format!("path: {text:?} did not match pattern of {form:?}"))
}

/// A path that has been checked: its parts as given, in NFC , as Dropbox keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The folded path, the key of everything; empty for the root.
    pub(crate) lower: String,
    /// The path as it was given.
    pub(crate) display: String,
}

/// Checks a path's components. `None` is `malformed_path`: an empty component, `.` or `..`, a backslash or NUL, or more than 255 UTF-16 units.
pub(crate) fn place(settings: &Settings, path: &str) -> Option<Place> {
    let mut display = String::new();
    if !path.is_empty() {
        for name in path.strip_prefix('/')?.split('/') {
            let bad = name.is_empty()
                || name == "."
                || name == ".."
                || name.contains(['\\', '\0'])
                || name.encode_utf16().count() > 255;
            if bad {
                return None;
            }
            display.push('/');
            display.extend(name.nfc());
        }
    }
    Some(Place { lower: fold(settings, &display), display })
}

/// Dropbox's `path_lower`: one character at a time, so that a character whose lower case is several stays as it is; a guess that
/// differs from `str::to_lowercase` on purpose, and can be overridden by [`Settings::fold`].
pub(crate) fn fold(settings: &Settings, text: &str) -> String {
    let mut lower = String::with_capacity(text.len());
    for c in text.chars() {
        if let Some((_, to)) = settings.fold.iter().find(|(from, _)| *from == c) {
            lower.push_str(to);
            continue;
        }
        if settings.folding == Folding::Service {
            match c {
                'İ' => lower.push('i'),
                c if is_new(c) => lower.push(c),
                c => lower.push(c.to_lowercase().next().unwrap_or(c)),
            }
            continue;
        }
        let mut small = c.to_lowercase();
        match (small.next(), small.next()) {
            (Some(one), None) => lower.push(one),
            _ => lower.push(c),
        }
    }
    lower
}

/// Letters with case that came to Unicode after 5.2, the version that Python 2.7 knows (a guess).
fn is_new(c: char) -> bool {
    matches!(u32::from(c),
        0x037f | 0x0526..=0x052f | 0x10c7 | 0x10cd | 0x13a0..=0x13fd | 0x1c80..=0x1cbf | 0x2c2f | 0x2cf2 | 0xa660
        | 0xa698..=0xa69b | 0xa78d..=0xa7ff | 0xab30..=0xabbf | 0x1_04b0..=0x1_04ff | 0x1_0570..=0x1_05bf
        | 0x1_0c80..=0x1_0cff | 0x1_0d50..=0x1_0d8f | 0x1_18a0..=0x1_18df | 0x1_6e40..=0x1_6eff | 0x1_e900..=0x1_e943)
}

/// Whether Dropbox does not save a file of this name (`WriteError.disallowed_name`).
pub(crate) fn disallowed(settings: &Settings, lower: &str) -> bool {
    let name = name_of(lower);
    settings.disallowed_names.iter().any(|pattern| {
        let (open_start, pattern) = pattern.strip_prefix('*').map_or((false, pattern.as_str()), |rest| (true, rest));
        let (open_end, pattern) = pattern.strip_suffix('*').map_or((false, pattern), |rest| (true, rest));
        match (open_start, open_end) {
            (false, false) => name == pattern,
            (true, false) => name.ends_with(pattern),
            (false, true) => name.starts_with(pattern),
            (true, true) => name.contains(pattern),
        }
    })
}

/// Whether a path lies in a folder that may not be written to.
pub(crate) fn read_only(settings: &Settings, lower: &str) -> bool {
    settings.read_only.iter().any(|folder| lower == folder || is_below(lower, folder))
}

/// Whether `lower` is strictly below `folder`; everything but the root is below the root.
pub(crate) fn is_below(lower: &str, folder: &str) -> bool {
    lower.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// The parent's path; the root's is the root.
pub(crate) fn parent_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The last component.
pub(crate) fn name_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Every ancestor but the root, the nearest last.
pub(crate) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter(|(at, _)| *at > 0).filter_map(|(at, _)| path.get(..at))
}

const REV_BASE: u64 = 0x5f0_0000_0000;

/// A `Rev`: at least nine hex digits.
pub(crate) fn rev_text(rev: u64) -> String {
    format!("{:011x}", rev.saturating_add(REV_BASE))
}

/// Whether text is a `Rev`: pattern `[0-9a-f]+`, min_length 9.
pub(crate) fn is_rev(text: &str) -> bool {
    text.len() >= 9 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The number behind a `Rev`.
pub(crate) fn parse_rev(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()?.checked_sub(REV_BASE)
}

/// A `FileId`.
pub(crate) fn id_text(id: u64) -> String {
    format!("id:ferrybox_{id:013x}")
}

fn parse_id(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("ferrybox_")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_differ_as_their_patterns_do() {
        assert!(reference(Form::WritePath, "id:x").is_err());
        assert!(reference(Form::ReadPath, "").is_err());
        assert!(reference(Form::ReadPath, "rev:12345678").is_err());
        assert!(reference(Form::ReadPath, "a").is_err());
        assert!(reference(Form::PathOrId, "rev:123456789").is_err());
        assert_eq!(reference(Form::PathROrId, ""), Ok(Reference::Path(String::new())));
        assert_eq!(reference(Form::ReadPath, &format!("rev:{}", rev_text(7))), Ok(Reference::Rev(7)));
        assert_eq!(reference(Form::ReadPath, &id_text(9)), Ok(Reference::Id(Some(9))));
        assert_eq!(reference(Form::WritePath, "ns:12/a"), Ok(Reference::Namespace("12".to_owned(), "/a".to_owned())));
    }

    #[test]
    fn components_are_checked() {
        let settings = Settings::default();
        for bad in ["/a//b", "/a/", "/.", "/a/../b", "/a\\b"] {
            assert_eq!(place(&settings, bad), None, "{bad}");
        }
        let long = format!("/{}", "x".repeat(256));
        assert_eq!(place(&settings, &long), None);
        assert_eq!(place(&settings, "/Bücher/Ä.TXT").map(|p| p.lower).as_deref(), Some("/bücher/ä.txt"));
    }

    #[test]
    fn the_service_folds_as_an_older_unicode_does() {
        let settings = Settings { folding: Folding::Service, ..Settings::default() };
        let cases =
            [("ΟΔΟΣ", "οδοσ"), ("İzmir", "izmir"), ("GROẞ", "groß"), ("Ა", "Ა"), ("Ꭰ", "Ꭰ"), ("Ö", "ö"), ("Ꞑ", "Ꞑ")];
        for (name, folded) in cases {
            assert_eq!(fold(&settings, name), folded);
        }
    }

    #[test]
    fn ancestors_are_nearest_last() {
        assert_eq!(ancestors("/a/b/c").collect::<Vec<_>>(), ["/a", "/a/b"]);
    }
}
