//! A download whose content is on a disk here already.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::local::Incoming;
use crate::local::attend::go_on;
use crate::local::error::io_failure;
use crate::model::{ContentHash, Failure};

const BUFFER: usize = 1 << 20;
const DOING: &str = "reading what is here already";

impl Incoming {
    /// Copies what is still to come from a file that is said to hold the same. If it does not, nothing is left of the download, and the next byte to come
    /// is the first. Gives whether the download holds this content now.
    ///
    /// # Errors
    /// As reading the file, and as writing the download.
    pub fn fill(&self, from: &File, holds: &ContentHash) -> Result<bool, Failure> {
        let mut buffer = vec![0; BUFFER];
        for range in self.missing() {
            let mut at = range.start;
            while at < range.end {
                go_on()?;
                let most = usize::try_from(range.end - at).unwrap_or(BUFFER).min(BUFFER);
                let Some(piece) = buffer.get_mut(..most) else { break };
                match from.read_at(piece, at) {
                    // It is shorter than it was said to be.
                    Ok(0) => return self.restart().map(|()| false),
                    Ok(n) => {
                        self.write_at(at, piece.get(..n).unwrap_or_default())?;
                        at += n as u64;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(io_failure(DOING, &error)),
                }
            }
        }
        if self.hash()? == *holds {
            return Ok(true);
        }
        self.restart().map(|()| false)
    }
}
