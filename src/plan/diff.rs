//! One directory of a scan against base: which names to look at.

use std::cmp::Ordering;

use crate::model::Stat;

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn stat(v: u8) -> Stat {
        Stat { size: u64::from(v), mtime_ns: 0, ctime_ns: 0, ino: 0, dev: 0 }
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
