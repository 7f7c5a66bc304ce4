//! Upload sessions: what has arrived, and the rules of appending and finishing (files.stone, `upload_session/start` and its errors).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::AccountKey;
use super::tree::Content;
use crate::hash::{self, BLOCK, Blocks, Digest};
use crate::settings::Contents;

/// Bytes of one call, or of all calls so far.
#[derive(Clone, Default)]
pub(crate) struct Piece {
    blocks: Blocks,
    pub(crate) len: u64,
    bytes: Vec<Bytes>,
}

impl Piece {
    /// A piece that goes on where `self` ends.
    pub(crate) fn continued(&self) -> Self {
        Self { blocks: self.blocks.continued(), len: 0, bytes: Vec::new() }
    }

    pub(crate) fn push(&mut self, data: &Bytes, contents: Contents) {
        self.blocks.update(data);
        self.len += data.len() as u64;
        if contents == Contents::Keep && !data.is_empty() {
            self.bytes.push(data.clone());
        }
    }

    /// Its first bytes; what it holds must be kept.
    pub(crate) fn first(&self, bytes: u64) -> Self {
        let all = joined(&self.bytes);
        let mut first = Self::default();
        first.push(&all.slice(..all.len().min(usize::try_from(bytes).unwrap_or(usize::MAX))), Contents::Keep);
        first
    }

    fn absorb(&mut self, later: Self) {
        self.blocks.absorb(later.blocks);
        self.len += later.len;
        self.bytes.extend(later.bytes);
    }
}

/// A file's whole content, ready to be committed.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) size: u64,
    pub(crate) hash: Digest,
    pub(crate) content: Content,
}

impl Sealed {
    /// Content that is all there.
    pub(crate) fn of(data: Bytes, contents: Contents) -> Self {
        let (size, hash) = (data.len() as u64, hash::digest(&data));
        let content = if contents == Contents::Keep { Content::Kept(data) } else { Content::Absent };
        Self { size, hash, content }
    }

    fn from_piece(piece: &Piece, contents: Contents) -> Self {
        let content = if contents == Contents::Keep { Content::Kept(joined(&piece.bytes)) } else { Content::Absent };
        Self { size: piece.len, hash: piece.blocks.content_hash(), content }
    }
}

fn joined(parts: &[Bytes]) -> Bytes {
    match parts {
        [] => Bytes::new(),
        [one] => one.clone(),
        many => {
            let mut whole = BytesMut::with_capacity(many.iter().map(Bytes::len).sum());
            for part in many {
                whole.extend_from_slice(part);
            }
            whole.freeze()
        }
    }
}

enum Data {
    Sequential(Piece),
    /// Parts by offset, and where the file ends once the closing append has come.
    Concurrent(BTreeMap<u64, Piece>, Option<u64>),
    /// Committed; the parts are given up.
    Sealed(Sealed, bool),
}

/// One upload session.
pub(crate) struct Session {
    pub(crate) account: AccountKey,
    born: Duration,
    pub(crate) closed: bool,
    /// It has been committed at least once.
    pub(crate) committed: bool,
    /// Appends under way.
    pub(crate) appending: u32,
    data: Data,
}

/// Why a session refuses: the tag, and `correct_offset` where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionError {
    pub(crate) tag: &'static str,
    pub(crate) correct_offset: Option<u64>,
}

impl SessionError {
    pub(crate) const NOT_FOUND: Self = Self::plain("not_found");

    pub(crate) const fn plain(tag: &'static str) -> Self {
        Self { tag, correct_offset: None }
    }

    const fn offset(correct: u64) -> Self {
        Self { tag: "incorrect_offset", correct_offset: Some(correct) }
    }
}

impl Session {
    pub(crate) fn new(account: AccountKey, concurrent: bool, born: Duration) -> Self {
        let data =
            if concurrent { Data::Concurrent(BTreeMap::new(), None) } else { Data::Sequential(Piece::default()) };
        Self { account, born, closed: false, committed: false, appending: 0, data }
    }

    /// A session that already holds a whole file (`UploadWriteFailed.upload_session_id`).
    pub(crate) fn sealed(account: AccountKey, born: Duration, sealed: Sealed) -> Self {
        Self { account, born, closed: true, committed: false, appending: 0, data: Data::Sealed(sealed, false) }
    }

    pub(crate) fn has_expired(&self, now: Duration, life: Duration) -> bool {
        now.saturating_sub(self.born) >= life
    }

    /// Whether its pieces may come in any order.
    pub(crate) fn is_concurrent(&self) -> bool {
        matches!(self.data, Data::Concurrent(..) | Data::Sealed(_, true))
    }

    /// The piece to collect a call's bytes in, or why they will not be taken.
    pub(crate) fn begin(&self, offset: u64) -> Result<Piece, SessionError> {
        if self.closed {
            return Err(SessionError::plain("closed"));
        }
        match &self.data {
            Data::Sequential(piece) if piece.len == offset => Ok(piece.continued()),
            Data::Sequential(piece) => Err(SessionError::offset(piece.len)),
            Data::Concurrent(..) if !offset.is_multiple_of(BLOCK) => {
                Err(SessionError::plain("concurrent_session_invalid_offset"))
            }
            Data::Concurrent(..) => Ok(Piece::default()),
            Data::Sealed(..) => Err(SessionError::plain("closed")),
        }
    }

    /// Takes a piece that was begun by [`Session::begin`], if it still fits.
    pub(crate) fn append(&mut self, offset: u64, piece: Piece, close: bool, max_file: u64) -> Result<(), SessionError> {
        // Looked at again: another append may have been quicker.
        self.begin(offset)?;
        if offset.saturating_add(piece.len) > max_file {
            return Err(SessionError::plain("too_large"));
        }
        match &mut self.data {
            Data::Sequential(whole) => whole.absorb(piece),
            Data::Concurrent(parts, end) => {
                // "must be a multiple of 2^22 bytes, except for the final append request with close".
                if !close && !piece.len.is_multiple_of(BLOCK) {
                    return Err(SessionError::plain("concurrent_session_invalid_data_size"));
                }
                if close {
                    *end = Some(offset + piece.len);
                }
                if piece.len > 0 {
                    // The same part sent again replaces the first one [guess].
                    parts.insert(offset, piece);
                }
            }
            Data::Sealed(..) => return Err(SessionError::plain("closed")),
        }
        self.closed |= close;
        Ok(())
    }

    /// The whole content, for a finish whose cursor says `offset`. `batch`: every session must be closed, not only a concurrent one.
    pub(crate) fn seal(&self, offset: u64, batch: bool, contents: Contents) -> Result<Sealed, FinishError> {
        match &self.data {
            Data::Sequential(_) if batch && !self.closed => Err(FinishError::Lookup(SessionError::plain("not_closed"))),
            Data::Sequential(piece) if piece.len != offset => Err(FinishError::Lookup(SessionError::offset(piece.len))),
            Data::Sequential(piece) => Ok(Sealed::from_piece(piece, contents)),
            Data::Concurrent(_, None) => Err(FinishError::Other("concurrent_session_not_closed")),
            Data::Concurrent(parts, Some(end)) => {
                let mut whole = Piece::default();
                for (at, part) in parts {
                    if *at != whole.len {
                        return Err(FinishError::Other("concurrent_session_missing_data"));
                    }
                    whole.absorb(part.clone());
                }
                match (whole.len == *end, *end == offset) {
                    (false, _) => Err(FinishError::Other("concurrent_session_missing_data")),
                    (true, false) => Err(FinishError::Lookup(SessionError::offset(*end))),
                    (true, true) => Ok(Sealed::from_piece(&whole, contents)),
                }
            }
            Data::Sealed(sealed, _) if sealed.size != offset => {
                Err(FinishError::Lookup(SessionError::offset(sealed.size)))
            }
            Data::Sealed(sealed, _) => Ok(sealed.clone()),
        }
    }

    /// It was committed with this content: the parts are given up.
    pub(crate) fn committed_as(&mut self, sealed: Sealed) {
        let concurrent = self.is_concurrent();
        self.committed = true;
        self.closed = true;
        self.data = Data::Sealed(sealed, concurrent);
    }
}

/// Why a session cannot be finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FinishError {
    /// `lookup_failed` with this.
    Lookup(SessionError),
    /// This tag of `UploadSessionFinishError`.
    Other(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(len: usize) -> Piece {
        let mut piece = Piece::default();
        piece.push(&Bytes::from(vec![7; len]), Contents::HashOnly);
        piece
    }

    #[test]
    fn a_concurrent_session_takes_its_parts_in_any_order() {
        let block = usize::try_from(BLOCK).unwrap_or(0);
        let mut session = Session::new(AccountKey(0), true, Duration::ZERO);
        assert_eq!(
            session.append(5, piece(0), false, u64::MAX),
            Err(SessionError::plain("concurrent_session_invalid_offset"))
        );
        assert_eq!(
            session.append(0, piece(9), false, u64::MAX),
            Err(SessionError::plain("concurrent_session_invalid_data_size"))
        );
        assert_eq!(session.append(BLOCK, piece(block), false, u64::MAX), Ok(()));
        assert_eq!(
            session.seal(0, true, Contents::HashOnly).err(),
            Some(FinishError::Other("concurrent_session_not_closed"))
        );
        assert_eq!(session.append(0, piece(block), false, u64::MAX), Ok(()));
        assert_eq!(session.append(2 * BLOCK, piece(3), true, u64::MAX), Ok(()));
        let sealed = session.seal(2 * BLOCK + 3, true, Contents::HashOnly);
        assert_eq!(sealed.map(|sealed| sealed.hash).ok(), Some(hash::digest(&vec![7; 2 * block + 3])));
    }
}
