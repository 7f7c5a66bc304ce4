//! One directory of a scan against base: which names to look at.

use std::cmp::Ordering;

use crate::model::{Failure, Stat, UnixMs};

/// The names of one directory that differ from base.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Diff<'a> {
    /// New, or with another stat; with the size on disk, in bytes.
    pub changed: Vec<(&'a str, u64)>,
    /// In base, and not on disk.
    pub gone: Vec<&'a str>,
}

/// Compares two lists, both sorted by name in byte order, without a name twice.
pub fn directory<'a>(disk: &'a [(String, Stat)], base: &'a [(String, Stat)]) -> Diff<'a> {
    let mut diff = Diff::default();
    let (mut disk, mut base) = (disk.iter().peekable(), base.iter().peekable());
    loop {
        let order = match (disk.peek(), base.peek()) {
            (None, None) => return diff,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(d), Some(b)) => d.0.as_bytes().cmp(b.0.as_bytes()),
        };
        let on_disk = if order.is_le() { disk.next() } else { None };
        let in_base = if order.is_ge() { base.next() } else { None };
        match (on_disk, in_base) {
            (Some((_, now)), Some((_, then))) if now == then => {}
            (Some((name, now)), _) => diff.changed.push((name, now.size)),
            (None, Some((name, _))) => diff.gone.push(name),
            (None, None) => return diff,
        }
    }
}

/// Why a synced file is not believed to have been changed by anybody: a loss of power cut it off. It is shorter than it was, and its own time
/// did not go on: the disk knew of the write, and never got its bytes. Or its times went back, to before the machine was started at `booted`
/// (a clock that is set back after that gives younger ones). Another inode is another file, whatever its times.
pub fn torn(found: &Stat, base: &Stat, booted: UnixMs, now: UnixMs) -> Option<Failure> {
    let changed = found.ctime_ns.div_euclid(1_000_000);
    let untouched = found.ctime_ns <= base.ctime_ns && (changed < booted || changed > now);
    let torn = found.ino == base.ino
        && found.size < base.size
        && (found.mtime_ns == base.mtime_ns || found.mtime_ns < base.mtime_ns && untouched);
    torn.then(|| {
        Failure::wedge(
            "torn",
            format!(
                "the file has {} of the {} bytes that were synced, and its time says that nobody has written to it since, as after a loss of power: \
                 it is not sent, and Dropbox keeps the whole one; put that one back here, or `touch` this one if it is right as it is",
                found.size, base.size
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn stat(v: u8) -> Stat {
        Stat { size: u64::from(v), mtime_ns: 0, ctime_ns: 0, ino: 0, dev: 0 }
    }

    /// A17: what no write explains is no change; what a write or a clock explains is one.
    #[test]
    fn a17_only_a_shorter_file_whose_time_stood_still_is_torn() {
        const S: i64 = 1_000_000_000;
        let stat =
            |size, mtime: i64, ctime: i64| Stat { size, mtime_ns: mtime * S, ctime_ns: ctime * S, ino: 1, dev: 1 };
        let base = stat(100, 50, 51);
        let is_torn = |found: Stat| torn(&found, &base, 60_000, 70_000).is_some();
        assert!(is_torn(stat(0, 50, 51)) && is_torn(stat(99, 50, 51)));
        assert!(is_torn(stat(0, 50, 65)), "its rights were changed after the start");
        assert!(is_torn(stat(0, 49, 49)), "as it was a moment before the last write");
        assert!(is_torn(Stat { dev: 2, ..stat(0, 50, 51) }), "a start may number the disks anew");
        assert!(!is_torn(stat(0, 52, 52)) && !is_torn(stat(99, 65, 65)), "a write of its own");
        assert!(!is_torn(stat(99, 49, 65)), "a backup was copied over it");
        assert!(!is_torn(stat(100, 50, 65)) && !is_torn(stat(101, 50, 65)), "F14: only its time was put back");
        assert!(!is_torn(Stat { ino: 2, ..stat(0, 50, 51) }), "another file");
        // The clock was set back by 25 s after the start, which by that clock was at 35, and the file was written after that.
        assert!(torn(&stat(99, 45, 45), &base, 35_000, 46_000).is_none());
        // The machine started without a clock.
        assert!(torn(&stat(0, 49, 49), &base, 1_000, 2_000).is_some());
    }

    proptest! {
        #[test]
        fn agrees_with_two_maps(disk: BTreeMap<String, u8>, base: BTreeMap<String, u8>, shared: BTreeMap<String, u8>) {
            let with_shared = |m: &BTreeMap<String, u8>| {
                let mut all = m.clone();
                all.extend(shared.clone());
                all.into_iter().map(|(k, v)| (k, stat(v))).collect::<Vec<_>>()
            };
            let (disk, base) = (with_shared(&disk), with_shared(&base));
            let diff = directory(&disk, &base);
            let then: BTreeMap<_, _> = base.iter().cloned().collect();
            let now: BTreeMap<_, _> = disk.iter().cloned().collect();
            let changed: Vec<_> = disk.iter().filter(|(n, s)| then.get(n) != Some(s)).map(|(n, s)| (n.as_str(), s.size)).collect();
            let gone: Vec<_> = base.iter().filter(|(n, _)| !now.contains_key(n)).map(|(n, _)| n.as_str()).collect();
            prop_assert_eq!(diff, Diff { changed, gone });
        }
    }
}
