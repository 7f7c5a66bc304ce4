//! Dropbox's content hash: SHA-256 over the SHA-256 digests of a file's 4 MiB blocks (docs/dropbox-api.md, "Content hash").

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The size of one hashed block, in bytes; also the unit of a concurrent session's offsets (files.stone, `upload_session/start`).
pub const BLOCK: u64 = 4 * 1024 * 1024;

/// One SHA-256 digest.
pub(crate) type Digest = [u8; 32];

/// The digests of a run of bytes that starts on a block's edge, or goes on inside an open block.
#[derive(Clone, Default)]
pub(crate) struct Blocks {
    done: Vec<Digest>,
    open: Sha256,
    open_len: u64,
}

impl Blocks {
    /// A run that goes on where `self` stopped, without the blocks that are complete already.
    pub(crate) fn continued(&self) -> Self {
        Self { done: Vec::new(), open: self.open.clone(), open_len: self.open_len }
    }

    /// Takes in more bytes.
    pub(crate) fn update(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let room = usize::try_from(BLOCK - self.open_len).unwrap_or(usize::MAX);
            let (now, rest) = data.split_at(room.min(data.len()));
            self.open.update(now);
            self.open_len += now.len() as u64;
            if self.open_len == BLOCK {
                self.done.push(std::mem::take(&mut self.open).finalize().into());
                self.open_len = 0;
            }
            data = rest;
        }
    }

    /// Appends a run made by [`Blocks::continued`], or one that starts on a block's edge when this one ends on one.
    pub(crate) fn absorb(&mut self, later: Self) {
        self.done.extend(later.done);
        self.open = later.open;
        self.open_len = later.open_len;
    }

    /// The content hash of all bytes so far.
    pub(crate) fn content_hash(&self) -> Digest {
        let mut whole = Sha256::new();
        for block in &self.done {
            whole.update(block);
        }
        if self.open_len > 0 {
            let last: Digest = self.open.clone().finalize().into();
            whole.update(last);
        }
        whole.finalize().into()
    }
}

/// The content hash of `data`, as Dropbox's `content_hash` fields spell it (64 lower-case hex digits).
#[must_use]
pub fn content_hash(data: &[u8]) -> String {
    hex(&digest(data))
}

/// The content hash of `data`.
pub(crate) fn digest(data: &[u8]) -> Digest {
    let mut blocks = Blocks::default();
    blocks.update(data);
    blocks.content_hash()
}

/// Plain SHA-256, for names and for PKCE.
pub(crate) fn sha256(data: &[u8]) -> Digest {
    Sha256::digest(data).into()
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_has_the_hash_of_the_specification_s_examples() {
        assert_eq!(content_hash(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn pieces_of_any_size_give_the_same_hash() {
        let data: Vec<u8> = (0..9_000_000_u32).map(|n| u8::try_from(n % 251).unwrap_or(0)).collect();
        let mut blocks = Blocks::default();
        for piece in data.chunks(1_000_003) {
            let mut next = blocks.continued();
            next.update(piece);
            blocks.absorb(next);
        }
        assert_eq!(blocks.content_hash(), digest(&data));
    }
}
