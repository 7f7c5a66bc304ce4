//! The name of a conflicted copy.

use crate::model::{ContentHash, PathError, RemotePath};

/// Dropbox's limit for one name, in UTF-16 units.
const NAME_UNITS: usize = 255;

/// The place beside `path` where the local version goes when Dropbox holds another one: `name (HOST's conflicted copy DATE HASH).ext`.
/// The same host, date and content always give the same name, so that a commit that is repeated makes no second copy.
///
/// `date` is `YYYY-MM-DD`. A name that would become too long for Dropbox loses letters before the mark, never the mark or the extension.
///
/// # Errors
/// [`PathError`] when `path` is the root, which has no name.
pub fn copy_path(path: &RemotePath, host: &str, date: &str, hash: &ContentHash) -> Result<RemotePath, PathError> {
    let name = path.name();
    let host: String = host.chars().filter(|c| c.is_alphanumeric() || "-_. ".contains(*c)).take(40).collect();
    let host = if host.trim().is_empty() { "this computer" } else { host.trim() };
    let hash: String = hash.to_string().chars().take(8).collect();
    // A leading dot is part of the name: `.bashrc` has no extension.
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && extension.len() <= 16 => (stem, format!(".{extension}")),
        _ => (name, String::new()),
    };
    let mark = format!(" ({host}'s conflicted copy {date} {hash})");
    let room = NAME_UNITS.saturating_sub(units(&mark) + units(&extension));
    let mut short = String::new();
    let mut used = 0;
    for c in stem.chars() {
        used += c.len_utf16();
        if used > room {
            break;
        }
        short.push(c);
    }
    path.with_name(&format!("{short}{mark}{extension}"))
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(path: &str) -> String {
        let path = RemotePath::parse(path).unwrap();
        copy_path(&path, "nas", "2026-11-21", &ContentHash([0xab; 32])).unwrap().as_str().to_owned()
    }

    #[test]
    fn the_mark_stands_before_the_extension() {
        assert_eq!(copy("/a/b.txt"), "/a/b (nas's conflicted copy 2026-11-21 abababab).txt");
        assert_eq!(copy("/.bashrc"), "/.bashrc (nas's conflicted copy 2026-11-21 abababab)");
        assert_eq!(copy("/Makefile"), "/Makefile (nas's conflicted copy 2026-11-21 abababab)");
    }

    #[test]
    fn a_long_name_keeps_mark_and_extension_within_the_limit() {
        let long = copy(&format!("/{}.jpeg", "😀".repeat(125)));
        assert!(long.encode_utf16().count() <= 256, "{long}");
        assert!(long.ends_with("abababab).jpeg"));
    }

    #[test]
    fn a_strange_host_name_makes_no_strange_path() {
        let path = RemotePath::parse("/a").unwrap();
        let copy = copy_path(&path, "../\u{1b}x/", "2026-11-21", &ContentHash([0; 32])).unwrap();
        assert_eq!(copy.as_str(), "/a (..x's conflicted copy 2026-11-21 00000000)");
        assert!(copy_path(&path, "//", "d", &ContentHash([0; 32])).unwrap().as_str().contains("this computer"));
    }
}
