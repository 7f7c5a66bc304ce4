//! How small files share one `append_batch`, and when a worker claims them.

use serde::{Deserialize, Serialize};

use crate::model::UnixMs;

/// What one `append_batch` may hold. Learned: halved when the server refuses, grown back slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceilings {
    /// Entries.
    pub entries: usize,
    /// Bytes of the argument header.
    pub header: usize,
    /// Bytes of the body.
    pub body: u64,
}

/// Never more entries than Dropbox's newest SDK allows itself.
pub const MOST_ENTRIES: usize = 500;
/// One request's body is at most 150 MiB; some room is left for what proxies add.
pub const MOST_BODY: u64 = 144 << 20;
/// Envoy's default cap for all headers is 60 KiB; the other headers need their share of it.
pub const FIRST_HEADER: usize = 58 << 10;
const MOST_HEADER: usize = 256 << 10;

impl Default for Ceilings {
    fn default() -> Self {
        Self { entries: 400, header: FIRST_HEADER, body: 64 << 20 }
    }
}

/// What one `append_batch` held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Entries.
    pub entries: usize,
    /// Bytes of the argument header.
    pub header: usize,
    /// Bytes of the body.
    pub body: u64,
}

impl Ceilings {
    /// After a refusal (400, 413, 431) of a pack of this shape: half of what was sent, or of the ceiling if that is less.
    #[must_use]
    pub fn halved(self, sent: Shape) -> Self {
        Self {
            entries: (self.entries.min(sent.entries) / 2).max(1),
            header: (self.header.min(sent.header) / 2).max(512),
            body: (self.body.min(sent.body) / 2).max(1 << 20),
        }
    }

    /// Whether a pack of this shape fits. One that does not was sent before the ceilings came down, and its refusal is no news.
    pub fn hold(self, sent: Shape) -> bool {
        sent.entries <= self.entries && sent.header <= self.header && sent.body <= self.body || sent.entries == 1
    }

    /// Whether a pack of this shape nearly touches one of the ceilings, so that its success is worth a little more next time.
    pub fn reached_by(self, sent: Shape) -> bool {
        let most = |n: u64, of: u64| n.saturating_mul(10) >= of.saturating_mul(9);
        most(sent.entries as u64, self.entries as u64)
            || most(sent.header as u64, self.header as u64)
            || most(sent.body, self.body)
    }

    /// After a full pack went through: a little more next time, up to the documented limits.
    #[must_use]
    pub fn grown(self) -> Self {
        Self {
            entries: (self.entries + self.entries / 50 + 1).min(MOST_ENTRIES),
            header: (self.header + self.header / 50 + 1).min(MOST_HEADER),
            body: (self.body + self.body / 50 + 1).min(MOST_BODY),
        }
    }
}

/// Splits files, in order, into packs within the ceilings. `files` are (size in bytes, bytes that the entry adds to the header);
/// `fixed` is what the header needs without entries. Every pack has at least one file, even one that is over a ceiling by itself.
/// Returns the length of each pack.
pub fn split(files: &[(u64, usize)], fixed: usize, ceilings: Ceilings) -> Vec<usize> {
    let mut packs = Vec::new();
    let (mut entries, mut header, mut body) = (0, fixed, 0_u64);
    for (size, extra) in files {
        let full = entries >= ceilings.entries
            || header.saturating_add(*extra) > ceilings.header
            || body.saturating_add(*size) > ceilings.body;
        if full && entries > 0 {
            packs.push(entries);
            (entries, header, body) = (0, fixed, 0);
        }
        entries += 1;
        header = header.saturating_add(*extra);
        body = body.saturating_add(*size);
    }
    if entries > 0 {
        packs.push(entries);
    }
    packs
}

/// What is due for upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Queue {
    /// Small files that are due.
    pub small: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Large files that are due.
    pub large: u64,
    /// When the oldest became due.
    pub oldest_due: Option<UnixMs>,
    /// Whether more is on its way: a scan runs, or rows come due within the time that a pack may be gathered.
    pub more: bool,
}

/// How long due files may be gathered for a fuller pack, in ms.
pub const GATHER_MS: i64 = 250;

/// When a worker should claim: at once if a pack is full, a large file is there or nothing more comes; else when the oldest has waited [`GATHER_MS`].
/// `None`: nothing is due.
pub fn claim_at(queue: Queue, ceilings: Ceilings, now: UnixMs) -> Option<UnixMs> {
    let oldest = queue.oldest_due?;
    let full = queue.small >= ceilings.entries as u64 || queue.bytes >= ceilings.body;
    if full || queue.large > 0 || !queue.more { Some(now) } else { Some(oldest.saturating_add(GATHER_MS).max(now)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_thousand_files_of_4_kib_need_three_packs() {
        let files = vec![(4_096, 136); 1_000];
        assert_eq!(split(&files, 100, Ceilings::default()), [400, 400, 200]);
    }

    #[test]
    fn a_refusal_halves_what_was_sent_and_success_grows_back() {
        let sent = Shape { entries: 400, header: 50_000, body: 1 << 20 };
        let c = Ceilings::default().halved(sent);
        assert_eq!((c.entries, c.header, c.body), (200, 25_000, 1 << 20));
        assert!(Ceilings::default().hold(sent) && Ceilings::default().reached_by(sent));
        assert!(!c.hold(sent), "the second worker that is refused at the same moment teaches nothing");
        assert!(!c.reached_by(Shape { entries: 100, header: 10_000, body: 9 }));
        let mut c = Ceilings { entries: 1, header: 512, body: 1 << 20 };
        for _ in 0..2_000 {
            c = c.grown();
        }
        assert_eq!((c.entries, c.header, c.body), (MOST_ENTRIES, MOST_HEADER, MOST_BODY));
    }

    #[test]
    fn a_worker_waits_only_for_company_that_is_on_its_way() {
        let c = Ceilings::default();
        let queue = Queue { small: 3, bytes: 10, large: 0, oldest_due: Some(1_000), more: true };
        assert_eq!(claim_at(queue, c, 1_100), Some(1_250));
        assert_eq!(claim_at(queue, c, 1_300), Some(1_300));
        assert_eq!(claim_at(Queue { more: false, ..queue }, c, 1_100), Some(1_100));
        assert_eq!(claim_at(Queue { small: 400, ..queue }, c, 1_100), Some(1_100));
        assert_eq!(claim_at(Queue { large: 1, ..queue }, c, 1_100), Some(1_100));
        assert_eq!(claim_at(Queue { oldest_due: None, ..queue }, c, 1_100), None);
    }

    proptest! {
        #[test]
        fn packs_cover_all_files_within_the_ceilings(
            files in prop::collection::vec((0_u64..5_000, 50_usize..300), 0..200),
            entries in 1_usize..50, header in 300_usize..5_000, body in 1_u64..20_000,
        ) {
            let ceilings = Ceilings { entries, header, body };
            let packs = split(&files, 20, ceilings);
            prop_assert_eq!(packs.iter().sum::<usize>(), files.len());
            let mut rest = files.as_slice();
            for n in packs {
                let (pack, later) = rest.split_at(n);
                prop_assert!(n >= 1 && n <= entries);
                if n > 1 {
                    prop_assert!(pack.iter().map(|f| f.0).sum::<u64>() <= body);
                    prop_assert!(20 + pack.iter().map(|f| f.1).sum::<usize>() <= header);
                }
                rest = later;
            }
        }
    }
}
