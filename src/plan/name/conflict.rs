//! The name of a conflicted copy.

use crate::model::{ContentHash, PathError, RemotePath};

/// The longest name: 255 bytes on most disks, 255 UTF-16 units in Dropbox and on the others. No letter has fewer bytes than units, so that what fits
/// in bytes fits everywhere.
const NAME_BYTES: usize = 255;

/// The place beside `path` where the local version goes when Dropbox holds another one: `name (HOST's conflicted copy DATE HASH).ext`.
/// The same host, date and content always give the same name, so that a commit that is repeated makes no second copy.
///
/// `date` is `YYYY-MM-DD`. A name that would become too long for a disk or for Dropbox loses letters before the mark, never the mark or the extension.
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
    let mut room = NAME_BYTES.saturating_sub(mark.len() + extension.len()).min(stem.len());
    while !stem.is_char_boundary(room) {
        room -= 1;
    }
    let short = stem.get(..room).unwrap_or_default();
    path.with_name(&format!("{short}{mark}{extension}"))
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

    /// C5: whatever the name is made of and however long the host's is, the copy fits a disk (255 bytes) and Dropbox (255 UTF-16 units), is cut between
    /// two letters, and keeps mark and extension.
    #[test]
    fn c5_a_long_name_keeps_mark_and_extension_within_both_limits() {
        let mark = " conflicted copy 2026-11-21 abababab)";
        for letter in ["x", "ü", "ж", "漢", "😀"] {
            let mut lengths: Vec<usize> = (190..=255).map(|bytes| bytes / letter.len()).collect();
            lengths.dedup();
            for (count, extension) in lengths.into_iter().flat_map(|n| ["", ".jpeg", ".漢字漢字漢"].map(|e| (n, e)))
            {
                for host in ["nas", &"ж".repeat(60), &"😀".repeat(60), &"漢".repeat(60)] {
                    let name = format!("{}{extension}", letter.repeat(count));
                    let path = RemotePath::parse(&format!("/a/{name}")).unwrap();
                    let copy = copy_path(&path, host, "2026-11-21", &ContentHash([0xab; 32])).unwrap();
                    let copy = copy.name();
                    assert!(copy.len() <= 255 && copy.encode_utf16().count() <= 255, "{copy}");
                    assert!(copy.ends_with(&format!("{mark}{extension}")), "{copy}");
                    let kept = copy.split(" (").next().unwrap();
                    assert!(kept.chars().all(|c| letter.contains(c)) && name.starts_with(kept), "{copy}");
                    assert!(kept == letter.repeat(count) || copy.len() + letter.len() > 255, "cut too short: {copy}");
                }
            }
        }
    }

    #[test]
    fn a_strange_host_name_makes_no_strange_path() {
        let path = RemotePath::parse("/a").unwrap();
        let copy = copy_path(&path, "../\u{1b}x/", "2026-11-21", &ContentHash([0; 32])).unwrap();
        assert_eq!(copy.as_str(), "/a (..x's conflicted copy 2026-11-21 00000000)");
        assert!(copy_path(&path, "//", "d", &ContentHash([0; 32])).unwrap().as_str().contains("this computer"));
    }
}
