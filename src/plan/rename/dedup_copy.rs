//! New files whose content the account holds already: copied in Dropbox, where that pays. No bytes travel.
//!
//! # When
//! A file is about to be sent as a new one, and no file that base knows was renamed to it ([`detect`] comes first). It has at
//! least [`SMALLEST`] bytes, and base has a file of its size: then it is read (from the disk, which is cheaper than a line), and if base has a file
//! of its content, that one is copied. Where base has no file of the size, nothing is read: one look at an index that holds only such files.
//! All modes that send do this; the source may lie in any folder of the account.
//!
//! # What it costs, and so what it is for
//! An upload is a share of a request, the bytes, and an entry of a commit. A copy is an entry of a batch like that one, in the same lane, and no bytes.
//! So it is never dearer than the upload on Dropbox's side; on ours it is a question to base, a reading before the sending, and a row of an index for
//! every file that could be a source. Small files have almost no bytes to save, and come by the thousand: for them not even the question is asked.
//! From 1 MiB on a file's bytes outweigh everything else that it costs: at 100 Mbit/s they take 80 ms, a question takes some microseconds and a reading
//! one or two milliseconds. Measured on loopback, where bytes cost next to nothing: 300 files of 1 MiB took 3.6 s to send, 0.9 s to copy in one call, and
//! 3.9 s to send after a reading in vain. The index holds 72 bytes, and takes 20 microseconds, for a file that may be a source, and nothing for others.
//!
//! # What doubt does
//! A copy has no condition on a revision. Base says what lay at the source, and the cache must not show something else there ([`source`]), but somebody may write
//! there before Dropbox copies. The reply says what was copied: if that is another content, it is known to be our own doing at the new place, so base takes
//! it under its revision with a stat that no file has ([`judge`]), and our content goes up over it, if nobody has written there meanwhile.
//! What is at the new place by another's hand is a conflict like any other: Dropbox refuses to copy onto it. After any refusal the bytes are sent
//! ([`refused`]), and for a while no copy is proposed for that path.
//!
//! Nothing waits for such a copy, unlike for a move: it says nothing of its source, and at its own place it is what an upload is. It is looked at
//! once more before it is sent: the file here is the one that was read, and base has that content at the source. A change that is seen later has another
//! generation, as with uploads. Deletions wait while a new file is read for this, and let the copies that are ready go first, since one of them may be of
//! what is deleted.
//!
//! The copy shows the time of its source in Dropbox (`client_modified`), not that of the new file; no comparison asks for it.

use crate::model::{Base, ContentHash, Relocation, Remote, Stat, WriteMode};
use crate::plan::rename::detect;
use crate::plan::rename::detect::{Arrived, Refusal};

/// So many tries of what may only have been in a bad place or moment. Sending the bytes is always possible, so that fewer are enough than for a move.
const TRIES: u32 = 3;

/// Files from this size on are copied, in bytes.
pub const SMALLEST: u64 = Relocation::SMALLEST_ALIKE;

/// Whether a file that is about to be sent may be a copy of another: it is large enough, it is new, and nothing is known to be where it goes.
pub fn may_be(size: u64, base: Option<&Base>, mode: &WriteMode, remote: &Remote) -> bool {
    size >= SMALLEST && base.is_none() && *mode == WriteMode::Add && matches!(remote, Remote::Absent | Remote::Unlisted)
}

/// Whether a file of base can be copied from where base says that it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The cache shows it there.
    Seen,
    /// The cache does not know, or has not caught up with our own commit: Dropbox will say.
    Perhaps,
    /// Something else is there, or base has another content.
    No,
}

/// What base and the cache say of a file that may have this content.
pub fn source(base: &Base, remote: &Remote, content_hash: &ContentHash) -> Source {
    if base.content_hash != *content_hash || base.remote.is_some() {
        return Source::No;
    }
    match remote {
        Remote::File { content_hash: there, .. } if *there == Some(*content_hash) => Source::Seen,
        Remote::Unlisted | Remote::Absent => Source::Perhaps,
        Remote::File { .. } | Remote::Folder => Source::No,
    }
}

/// Base at the new path, where `size` bytes arrived. Its content is not `meant`'s if the source was another one by then (or Dropbox does not say which):
/// then its stat is no file's, so that the file here counts as changed and goes up over that very revision.
pub fn judge(meant: &Base, arrived: &Arrived, size: u64) -> Base {
    let base = Base { rev: arrived.rev.clone(), file_id: Some(arrived.id.clone()), ..meant.clone() };
    if arrived.content_hash == Some(meant.content_hash) {
        return base;
    }
    let stat = Stat { size, mtime_ns: 0, ctime_ns: 0, ino: 0, dev: meant.stat.dev };
    Base { stat, content_hash: arrived.content_hash.unwrap_or(ContentHash([0; 32])), ..base }
}

/// What the tags of a `RelocationError` mean for a copy, after so many failed tries. Nothing is copied in another way: what cannot be copied is sent.
///
/// files.stone does not say whether one path may stand in two entries of a batch. It is tried, and one that is refused for that goes once more
/// without another of its source.
pub fn refused(tags: &[&str], attempts: u32) -> Refusal {
    match tags {
        ["duplicated_or_nested_paths", ..] if attempts < TRIES => Refusal::Again,
        ["internal_error", ..] if attempts >= TRIES => Refusal::Otherwise { copy: false },
        _ => match detect::refused(tags, attempts) {
            Refusal::Otherwise { .. } => Refusal::Otherwise { copy: false },
            refusal => refusal,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(byte: u8) -> Base {
        Base {
            stat: Stat { size: SMALLEST, mtime_ns: 5, ctime_ns: 6, ino: 7, dev: 8 },
            content_hash: ContentHash([byte; 32]),
            rev: "015".into(),
            file_id: Some("id:source".into()),
            remote: None,
        }
    }

    fn there(byte: u8) -> Remote {
        Remote::File {
            content_hash: Some(ContentHash([byte; 32])),
            rev: "9".into(),
            size: SMALLEST,
            id: "id:source".into(),
        }
    }

    #[test]
    fn only_a_large_new_file_where_nothing_is() {
        let add = WriteMode::Add;
        for remote in [Remote::Absent, Remote::Unlisted] {
            assert!(may_be(SMALLEST, None, &add, &remote));
            assert!(!may_be(SMALLEST - 1, None, &add, &remote));
            assert!(!may_be(SMALLEST, Some(&base(1)), &add, &remote));
            assert!(!may_be(SMALLEST, None, &WriteMode::Update("1".into()), &remote));
        }
        assert!(!may_be(SMALLEST, None, &add, &there(1)));
        assert!(!may_be(SMALLEST, None, &add, &Remote::Folder));
    }

    #[test]
    fn a_source_is_where_base_says_and_not_known_to_be_another() {
        let hash = ContentHash([1; 32]);
        assert_eq!(source(&base(1), &there(1), &hash), Source::Seen);
        for remote in [Remote::Unlisted, Remote::Absent] {
            assert_eq!(source(&base(1), &remote, &hash), Source::Perhaps);
        }
        assert_eq!(source(&base(1), &there(2), &hash), Source::No, "it was changed there");
        assert_eq!(source(&base(2), &there(2), &hash), Source::No);
        assert_eq!(source(&base(1), &Remote::Folder, &hash), Source::No);
        let aside = Base { remote: crate::model::RemotePath::parse("/elsewhere").ok(), ..base(1) };
        assert_eq!(source(&aside, &there(1), &hash), Source::No, "what the cache shows at its path is another file");
        assert!(Source::Seen < Source::Perhaps && Source::Perhaps < Source::No);
    }

    #[test]
    fn what_arrived_is_base_and_only_the_same_content_is_in_sync() {
        let arrived = |hash: Option<u8>| Arrived {
            id: "id:copy".into(),
            rev: "016".into(),
            content_hash: hash.map(|byte| ContentHash([byte; 32])),
        };
        let copied = judge(&base(1), &arrived(Some(1)), SMALLEST);
        assert_eq!((copied.stat, copied.content_hash), (base(1).stat, base(1).content_hash));
        assert_eq!((copied.rev.as_str(), copied.file_id.as_deref()), ("016", Some("id:copy")));
        for hash in [Some(2), None] {
            let other = judge(&base(1), &arrived(hash), 3);
            assert_ne!(other.content_hash, base(1).content_hash);
            assert_ne!(other.stat, base(1).stat, "the file here counts as changed");
            assert_eq!((other.rev.as_str(), other.stat.size), ("016", 3));
        }
    }

    #[test]
    fn a_refusal_ends_in_sending() {
        assert_eq!(refused(&["duplicated_or_nested_paths"], 0), Refusal::Again);
        assert_eq!(refused(&["duplicated_or_nested_paths"], TRIES), Refusal::Otherwise { copy: false });
        assert_eq!(refused(&["cant_move_shared_folder"], 0), Refusal::Otherwise { copy: false });
        assert_eq!(refused(&["from_lookup", "not_found"], 0), Refusal::Look);
        for tags in [&["insufficient_quota"][..], &["too_many_files"], &["cant_copy_shared_folder"], &["new", "tag"]] {
            assert_eq!(refused(tags, 0), Refusal::Otherwise { copy: false });
        }
        assert_eq!(refused(&["internal_error"], 0), Refusal::Again);
        assert_eq!(refused(&["internal_error"], TRIES), Refusal::Otherwise { copy: false });
        assert_eq!(refused(&["too_many_write_operations"], TRIES), Refusal::Again);
    }
}
