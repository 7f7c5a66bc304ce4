//! How small files share one `append_batch`, and when a worker claims them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{FolderId, UnixMs};

/// What one `append_batch` may hold. Learned: halved when the server refuses, grown back slowly up to just below what was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceilings {
    /// Entries.
    pub entries: usize,
    /// Bytes of the argument header.
    pub header: usize,
    /// Bytes of the body.
    pub body: u64,
    /// The shortest header that was refused.
    #[serde(default)]
    pub refused_header: Option<usize>,
    /// The smallest body that was refused.
    #[serde(default)]
    pub refused_body: Option<u64>,
    /// Full packs that went through since, while there is something refused to be remembered.
    #[serde(default)]
    pub good: u32,
}

/// The shape of one pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Entries.
    pub entries: usize,
    /// Bytes of the argument header.
    pub header: usize,
    /// Bytes of the body.
    pub body: u64,
}

/// Never more entries than Dropbox's newest SDK allows itself.
pub const MOST_ENTRIES: usize = 500;
/// Envoy's default cap for all headers is 60 KiB; the other headers need their share of it.
pub const MOST_HEADER: usize = 58 << 10;
/// One request's body is at most 150 MiB; less is lost with a request that breaks.
pub const MOST_BODY: u64 = 64 << 20;

/// So many full packs in a row, and a refusal is forgotten: a limit that stands costs one call in that many.
pub const FORGIVEN: u32 = 500;

/// No server takes less of a header than this.
const TAKEN_BY_ALL: usize = 8 << 10;

/// Whether an answer that speaks of the server's own trouble may be for a header that was too long: gateways that cannot hand one on say 502.
pub fn may_be_for_its_header(status: Option<u16>, sent: Shape) -> bool {
    status == Some(502) && sent.header > TAKEN_BY_ALL
}

impl Default for Ceilings {
    fn default() -> Self {
        Self { entries: 400, header: MOST_HEADER, body: MOST_BODY, refused_header: None, refused_body: None, good: 0 }
    }
}

impl Ceilings {
    /// After a refusal of a pack of this shape: 431 speaks of the header, 413 of the body or the header, 400 does not say.
    /// Packs of the same shape that were under way at once teach the same lesson once.
    #[must_use]
    pub fn refused(self, status: u16, sent: Shape) -> Self {
        let header = self.header.min(sent.header / 2).max(512);
        let body = if status == 413 { self.body.min(sent.body / 2).max(1 << 20) } else { self.body };
        Self {
            entries: self.entries.min(sent.entries / 2).max(1),
            header,
            body,
            refused_header: Some(self.refused_header.map_or(sent.header, |h| h.min(sent.header))),
            refused_body: if status == 413 {
                Some(self.refused_body.map_or(sent.body, |b| b.min(sent.body)))
            } else {
                self.refused_body
            },
            good: 0,
        }
    }

    /// After the connection broke under packs of this shape, again and again: a server may hang up on a header that it finds too long. Half of it,
    /// once; it grows back without a bound.
    #[must_use]
    pub fn after_a_break(self, sent: Shape) -> Self {
        Self {
            entries: self.entries.min(sent.entries / 2).max(1),
            header: self.header.min(sent.header / 2).max(512),
            ..self
        }
    }

    /// After a pack went through that was as full as one of the ceilings allows: a fiftieth more next time, but only up to nine tenths of
    /// what was refused. After [`FORGIVEN`] of them what was refused is forgotten, since whatever refused it may be gone.
    #[must_use]
    pub fn grown(self) -> Self {
        let header = self.refused_header.map_or(MOST_HEADER, |h| (h - h / 10).min(MOST_HEADER));
        let body = self.refused_body.map_or(MOST_BODY, |b| (b - b / 10).min(MOST_BODY));
        let bound = self.refused_header.is_some() || self.refused_body.is_some();
        let good = if bound { self.good.saturating_add(1) } else { 0 };
        let remembered = good < FORGIVEN;
        Self {
            entries: (self.entries + self.entries / 50 + 1).min(MOST_ENTRIES),
            header: (self.header + self.header / 50 + 1).min(header.max(self.header)),
            body: (self.body + self.body / 50 + 1).min(body.max(self.body)),
            refused_header: self.refused_header.filter(|_| remembered),
            refused_body: self.refused_body.filter(|_| remembered),
            good: if remembered { good } else { 0 },
        }
    }

    /// How many small files fill a pack, when the header needs `fixed` bytes and `each` more for every entry.
    pub fn files(&self, fixed: usize, each: usize) -> usize {
        let by_header = self.header.saturating_sub(fixed).checked_div(each).unwrap_or(usize::MAX);
        self.entries.min(by_header).max(1)
    }

    /// Whether one more file like those in the pack could not have joined it.
    pub fn full(&self, sent: Shape) -> bool {
        let each = |total: usize| total / sent.entries.max(1);
        sent.entries >= self.entries
            || sent.header + each(sent.header) > self.header
            || sent.body + sent.body / (sent.entries.max(1) as u64) > self.body
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
    /// How long due files may wait for company that is on its way, in ms: [`SCAN_MS`] while a scan runs, [`GATHER_MS`] when rows come due within that
    /// time, else 0.
    pub gather: i64,
}

/// How long due files may be gathered for a fuller pack, in ms.
pub const GATHER_MS: i64 = 250;

/// The same while a scan runs: it finds thousands of files in that time, or stutters on a busy disk, and then a call would be wasted on a few.
pub const SCAN_MS: i64 = 1_000;

/// When a worker should claim: at once if `files` or `bytes` are there to fill a pack, a large file is there or nothing more comes; else when the
/// oldest has waited for as long as it may.
/// `None`: nothing is due.
pub fn claim_at(queue: Queue, files: usize, bytes: u64, now: UnixMs) -> Option<UnixMs> {
    let oldest = queue.oldest_due?;
    let full = queue.small >= files as u64 || queue.bytes >= bytes;
    if full || queue.large > 0 { Some(now) } else { Some(oldest.saturating_add(queue.gather).max(now)) }
}

/// Folders whose rows keep so many of the account's workers that another one must not join them: one worker is left for the other folders, since a
/// disk that does not answer keeps whoever waits for it.
pub fn with_enough_workers(busy: &BTreeMap<FolderId, usize>, workers: usize, folders: usize) -> Vec<FolderId> {
    if folders < 2 || workers < 2 {
        return Vec::new();
    }
    busy.iter().filter(|(_, at_work)| **at_work >= workers - 1).map(|(folder, _)| *folder).collect()
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
    fn a_refusal_halves_what_was_sent_once_and_success_grows_back_below_it() {
        let sent = Shape { entries: 400, header: 50_000, body: 1 << 20 };
        let once = Ceilings::default().refused(431, sent);
        assert_eq!((once.entries, once.header, once.body), (200, 25_000, MOST_BODY));
        assert_eq!(once.refused(431, sent), once, "eight packs that were under way together teach one lesson");
        let mut c = once;
        for _ in 1..FORGIVEN {
            c = c.grown();
        }
        assert_eq!((c.entries, c.header, c.body), (MOST_ENTRIES, 45_000, MOST_BODY));
        let small = Ceilings::default().refused(413, Shape { entries: 10, header: 1_500, body: 40 << 20 });
        assert_eq!((small.entries, small.header, small.body), (5, 750, 20 << 20));
        let mut c = Ceilings::default();
        for _ in 0..50 {
            c = c.grown();
        }
        assert_eq!(c.header, MOST_HEADER, "what was never refused is not outgrown");
        assert_eq!(once.refused(400, Shape { entries: 1, header: 200, body: 0 }).entries, 1);
    }

    #[test]
    fn a_ceiling_that_fell_is_at_full_again_after_enough_good_packs() {
        let shapes = [
            (431, Shape { entries: 400, header: 50_000, body: 1 << 20 }),
            (400, Shape { entries: 2, header: 300, body: 10 }),
            (413, Shape { entries: 10, header: 1_500, body: 40 << 20 }),
        ];
        for (status, sent) in shapes {
            let mut c = Ceilings::default().refused(status, sent);
            for _ in 0..FORGIVEN {
                c = c.grown();
            }
            assert_eq!((c.refused_header, c.refused_body), (None, None), "{status}");
            for _ in 0..300 {
                c = c.grown();
            }
            assert_eq!((c.entries, c.header, c.body, c.good), (MOST_ENTRIES, MOST_HEADER, MOST_BODY, 0), "{status}");
            // What was learned by a version that did not count is understood.
            let old = r#"{"entries":3,"header":700,"body":1048576,"refused_header":800}"#;
            assert_eq!(serde_json::from_str::<Ceilings>(old).unwrap().good, 0);
        }
        // One that is refused again on its way is remembered anew.
        let sent = Shape { entries: 400, header: 8_000, body: 1 << 20 };
        let mut c = Ceilings::default().refused(431, sent);
        for _ in 0..400 {
            c = c.grown();
        }
        let again = c.refused(431, sent);
        assert_eq!((again.good, again.refused_header), (0, Some(8_000)));
    }

    #[test]
    fn a_worker_waits_only_for_company_that_is_on_its_way() {
        let at = |queue, now| claim_at(queue, 400, 1 << 20, now);
        assert_eq!(Ceilings::default().files(100, 140), 400);
        assert_eq!(Ceilings { entries: 500, ..Ceilings::default() }.files(100, 140), 423);
        let queue = Queue { small: 3, bytes: 10, large: 0, oldest_due: Some(1_000), gather: GATHER_MS };
        assert_eq!(at(queue, 1_100), Some(1_250));
        assert_eq!(at(queue, 1_300), Some(1_300));
        assert_eq!(at(Queue { gather: SCAN_MS, ..queue }, 1_300), Some(2_000));
        assert_eq!(at(Queue { gather: 0, ..queue }, 1_100), Some(1_100));
        assert_eq!(at(Queue { small: 400, ..queue }, 1_100), Some(1_100));
        assert_eq!(at(Queue { large: 1, ..queue }, 1_100), Some(1_100));
        assert_eq!(at(Queue { oldest_due: None, ..queue }, 1_100), None);
    }

    #[test]
    fn r8_only_a_gateway_s_answer_to_a_long_header_speaks_of_its_length() {
        let sent = |header| Shape { entries: 400, header, body: 1 << 20 };
        assert!(may_be_for_its_header(Some(502), sent(50_000)));
        assert!(may_be_for_its_header(Some(502), sent(8_193)));
        assert!(!may_be_for_its_header(Some(502), sent(8_192)), "an outage makes packs no smaller than that");
        for status in [None, Some(500), Some(503), Some(504)] {
            assert!(!may_be_for_its_header(status, sent(50_000)), "{status:?}");
        }
        // Half of what was sent, twice at most: never below what everybody takes by more than that half.
        let mut ceilings = Ceilings::default();
        while may_be_for_its_header(Some(502), sent(ceilings.header)) {
            ceilings = ceilings.refused(502, sent(ceilings.header));
        }
        assert!(ceilings.header >= 4 << 10 && ceilings.entries >= 12, "{ceilings:?}");
    }

    #[test]
    fn v11_one_folder_never_keeps_all_workers_from_the_others() {
        let full = |busy: &[(i64, usize)], workers, folders| {
            let busy = busy.iter().map(|(id, at_work)| (FolderId(*id), *at_work)).collect();
            with_enough_workers(&busy, workers, folders).iter().map(|folder| folder.0).collect::<Vec<_>>()
        };
        assert_eq!(full(&[], 8, 2), [0; 0]);
        assert_eq!(full(&[(1, 6)], 8, 2), [0; 0]);
        assert_eq!(full(&[(1, 7)], 8, 2), [1]);
        assert_eq!(full(&[(1, 7), (2, 1)], 8, 3), [1]);
        assert_eq!(full(&[(1, 1), (2, 1)], 2, 2), [1, 2], "each has its own");
        assert_eq!(full(&[(1, 8)], 8, 1), [0; 0], "there is nobody to leave one for");
        assert_eq!(full(&[(1, 1)], 1, 2), [0; 0], "one worker serves all");
    }

    proptest! {
        #[test]
        fn packs_cover_all_files_within_the_ceilings(
            files in prop::collection::vec((0_u64..5_000, 50_usize..300), 0..200),
            entries in 1_usize..50, header in 300_usize..5_000, body in 1_u64..20_000,
        ) {
            let ceilings = Ceilings { entries, header, body, ..Ceilings::default() };
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
