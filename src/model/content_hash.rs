//! Dropbox's content hash: SHA-256 over the SHA-256 digests of the file's 4 MiB blocks, joined in order.
//!
//! Source: <https://www.dropbox.com/developers/reference/content-hash>.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A block of the content hash, and the unit of offsets in concurrent upload sessions: 4 MiB, in bytes.
pub const BLOCK_SIZE: u64 = 4 << 20;

/// A content hash, 32 bytes; written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentHash(pub [u8; 32]);

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAContentHash;

impl fmt::Display for NotAContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a content hash: 64 hexadecimal digits are expected")
    }
}

impl std::error::Error for NotAContentHash {}

impl FromStr for ContentHash {
    type Err = NotAContentHash;
    fn from_str(text: &str) -> Result<Self, NotAContentHash> {
        if text.len() != 64 || !text.is_ascii() {
            return Err(NotAContentHash);
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            let digits = text.get(2 * i..2 * i + 2).ok_or(NotAContentHash)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| NotAContentHash)?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for ContentHash {
    type Error = NotAContentHash;
    fn try_from(text: String) -> Result<Self, NotAContentHash> {
        text.parse()
    }
}

impl From<ContentHash> for String {
    fn from(hash: ContentHash) -> Self {
        hash.to_string()
    }
}

/// The digests of consecutive 4 MiB blocks. Parts of a file that begin at a multiple of [`BLOCK_SIZE`] can be hashed apart and joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockHashes(Vec<u8>);

impl BlockHashes {
    /// Appends the blocks that follow.
    pub fn extend(&mut self, next: &Self) {
        self.0.extend_from_slice(&next.0);
    }

    /// The content hash of these blocks, taken as a whole file or body.
    pub fn content_hash(&self) -> ContentHash {
        ContentHash(Sha256::digest(&self.0).into())
    }

    /// The digests, 32 bytes a block.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Digests that were stored; `None` if they are not whole.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        bytes.len().is_multiple_of(32).then_some(Self(bytes))
    }
}

/// Takes bytes in pieces of any size and gives their content hash.
#[derive(Clone, Default)]
pub struct ContentHasher {
    blocks: BlockHashes,
    block: Sha256,
    filled: u64,
    total: u64,
}

impl ContentHasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the bytes that follow.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = usize::try_from(BLOCK_SIZE - self.filled).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.update(now);
            self.filled += now.len() as u64;
            self.total += now.len() as u64;
            if self.filled == BLOCK_SIZE {
                self.close_block();
            }
            bytes = later;
        }
    }

    fn close_block(&mut self) {
        let digest = self.block.finalize_reset_block();
        self.blocks.0.extend_from_slice(&digest);
        self.filled = 0;
    }

    /// Bytes seen so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The digests of all blocks, the last of them possibly short.
    pub fn finish_blocks(mut self) -> BlockHashes {
        if self.filled > 0 {
            self.close_block();
        }
        self.blocks
    }

    /// The content hash of everything seen.
    pub fn finish(self) -> ContentHash {
        self.finish_blocks().content_hash()
    }
}

trait FinalizeReset {
    fn finalize_reset_block(&mut self) -> [u8; 32];
}

impl FinalizeReset for Sha256 {
    fn finalize_reset_block(&mut self) -> [u8; 32] {
        std::mem::take(self).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_file_has_the_hash_of_nothing() {
        let hash = ContentHasher::new().finish().to_string();
        assert_eq!(hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(hash.parse::<ContentHash>().unwrap().to_string(), hash);
        assert!("e3b0".parse::<ContentHash>().is_err());
        assert!("é".repeat(32).parse::<ContentHash>().is_err());
    }

    /// J1: every edge of a block, against the definition written out plainly, in pieces of odd sizes.
    #[test]
    fn j1_block_edges_agree_with_the_plain_definition() {
        let block = usize::try_from(BLOCK_SIZE).unwrap();
        for size in [1, block - 1, block, block + 1, 2 * block, 2 * block + 7] {
            let bytes: Vec<u8> = (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let plain: Vec<u8> = bytes.chunks(block).flat_map(|b| Sha256::digest(b).to_vec()).collect();
            let expected = ContentHash(Sha256::digest(&plain).into());
            for piece in [size, 65_537, 1 << 20] {
                let mut hasher = ContentHasher::new();
                bytes.chunks(piece).for_each(|p| hasher.update(p));
                assert_eq!(hasher.finish(), expected, "{size} bytes in pieces of {piece}");
            }
        }
    }

    #[test]
    fn parts_hashed_apart_join_to_the_whole() {
        let block = usize::try_from(BLOCK_SIZE).unwrap();
        let bytes = vec![7_u8; 2 * block + 5];
        let mut whole = ContentHasher::new();
        whole.update(&bytes);
        let mut joined = BlockHashes::default();
        for part in bytes.chunks(block) {
            let mut hasher = ContentHasher::new();
            hasher.update(part);
            joined.extend(&hasher.finish_blocks());
        }
        assert_eq!(joined.content_hash(), whole.finish());
    }
}
