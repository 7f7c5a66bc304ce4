//! Downloads: a revision's bytes as a stream, checked against what Dropbox says of them.
//!
//! A stream that ends without an error has given exactly the bytes that its [`Download`] announced. Whether they are the right ones, only their
//! content hash says.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};

use super::files::{self, FileMetadata};
use crate::dropbox::client::reply::{broken, parse};
use crate::dropbox::client::wire;
use crate::dropbox::client::{Dropbox, Opened};
use crate::dropbox::error::{CallError, Transport, TransportKind};
use crate::dropbox::routes;
use crate::env;
use crate::model::RemotePath;

const RESULT: &str = "dropbox-api-result";

/// Which file is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version<'a> {
    /// This revision, whatever has become of the path since: pieces that are asked for apart belong together.
    Rev(&'a str),
    /// What is at the path at that moment.
    Path(&'a RemotePath),
}

/// A download that has begun. Going breaks it off.
pub struct Download {
    /// What Dropbox says of the file. A reply to a range may be without it.
    pub metadata: Option<FileMetadata>,
    /// Where the bytes begin. 0, and all of the file, if the server took no notice of the range.
    pub start: u64,
    /// How many bytes come.
    pub len: u64,
    /// How many bytes the whole file has.
    pub size: u64,
    left: u64,
    opened: Opened,
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("start", &self.start)
            .field("len", &self.len)
            .field("size", &self.size)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl Dropbox {
    /// Begins to download a file, or those of its bytes that are in `range`. An empty file has no range: ask for it without.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::range_outside`] if the file ends before the range begins.
    pub async fn download(&self, what: Version<'_>, range: Option<Range<u64>>) -> Result<Download, CallError> {
        let name = routes::DOWNLOAD.name;
        let header = match &range {
            Some(range) if range.is_empty() => {
                let text = format!("{name}: an empty range cannot be asked for");
                return Err(Transport::new(TransportKind::Protocol, text, false).into());
            }
            Some(range) => Some(format!("bytes={}-{}", range.start, range.end - 1)),
            None => None,
        };
        let path = match what {
            Version::Rev(rev) => format!("rev:{rev}"),
            Version::Path(path) => path.as_str().to_owned(),
        };
        let arg = wire::to_header(&json!({ "path": path }))?;
        let opened = self.open(&routes::DOWNLOAD, &arg, header.as_deref()).await?;
        let announced = Announced::read(opened.response.status(), opened.response.headers(), range.as_ref())?;
        if let (Version::Rev(rev), Some(metadata)) = (what, &announced.metadata)
            && metadata.rev != rev
        {
            return Err(wrong("another revision came than was asked for").into());
        }
        let Announced { metadata, start, len, size } = announced;
        Ok(Download { metadata, start, len, size, left: len, opened })
    }
}

impl Download {
    /// Bytes that have not come yet.
    pub fn remaining(&self) -> u64 {
        self.left
    }

    /// The next bytes, none when all have come. After an error, go on with a new download from where this one got.
    ///
    /// # Errors
    /// The connection broke or stood still, or another number of bytes came than was announced.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, CallError> {
        let Opened { response, flow, idle } = &mut self.opened;
        loop {
            let next = env::timeout(*idle, response.chunk()).await.map_err(|_| {
                let text = format!("{}: nothing moved for {idle:?}", routes::DOWNLOAD.name);
                Transport::new(TransportKind::Timeout, text, false)
            })?;
            let chunk =
                next.map_err(|e| Transport { outcome_unknown: false, ..broken(e, "while the file was downloaded") })?;
            match chunk {
                None if self.left == 0 => return Ok(None),
                None => {
                    let text = format!("{}: the file ended {} bytes early", routes::DOWNLOAD.name, self.left);
                    return Err(Transport::new(TransportKind::Reset, text, false).into());
                }
                Some(chunk) if chunk.is_empty() => {}
                Some(chunk) if chunk.len() as u64 > self.left => {
                    return Err(wrong("more bytes came than were announced").into());
                }
                Some(chunk) => {
                    self.left -= chunk.len() as u64;
                    flow.arrived(chunk.len()).await;
                    return Ok(Some(chunk));
                }
            }
        }
    }
}

/// What the head of the reply says.
#[derive(Debug)]
struct Announced {
    metadata: Option<FileMetadata>,
    start: u64,
    len: u64,
    size: u64,
}

impl Announced {
    fn read(status: StatusCode, headers: &HeaderMap, range: Option<&Range<u64>>) -> Result<Self, Transport> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let metadata = match headers.get(RESULT) {
            Some(value) => {
                let value: Value = parse(value.as_bytes(), routes::DOWNLOAD.name)?;
                Some(files::file(value, routes::DOWNLOAD.name)?)
            }
            None => None,
        };
        if metadata.is_none() && text(CONTENT_TYPE.as_str()).is_some_and(|kind| kind.starts_with("text/html")) {
            let text = "files/download: a web page came instead of the file: is there a captive portal or a proxy?";
            return Err(Transport::new(TransportKind::Portal, text.to_owned(), false));
        }
        if headers.contains_key(CONTENT_ENCODING) {
            return Err(wrong("the file came compressed, which was not asked for"));
        }
        let announced = match (status, range) {
            (StatusCode::OK, _) => {
                let Some(metadata) = metadata else { return Err(wrong("the reply does not say which file it is")) };
                Self { start: 0, len: metadata.size, size: metadata.size, metadata: Some(metadata) }
            }
            (StatusCode::PARTIAL_CONTENT, Some(asked)) => {
                let given = text(CONTENT_RANGE.as_str()).and_then(content_range);
                let Some((given, size)) = given else { return Err(wrong("a part came that does not say which")) };
                if given.start != asked.start || given.end > asked.end || given.end > size {
                    return Err(wrong("another part came than was asked for"));
                }
                if metadata.as_ref().is_some_and(|metadata| metadata.size != size) {
                    return Err(wrong("the file's size is said in two ways"));
                }
                Self { metadata, start: given.start, len: given.end - given.start, size }
            }
            _ => return Err(wrong(&format!("the status {} was not expected", status.as_u16()))),
        };
        match text(CONTENT_LENGTH.as_str()) {
            Some(length) if length.trim().parse() != Ok(announced.len) => {
                Err(wrong("the length of the reply is not that of the file"))
            }
            _ => Ok(announced),
        }
    }
}

/// `bytes 5-9/10`: the bytes 5..10 of 10.
fn content_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let end = last.checked_add(1)?;
    (first < end).then_some((first..end, size.trim().parse().ok()?))
}

fn wrong(what: &str) -> Transport {
    Transport::new(TransportKind::Protocol, format!("{}: {what}", routes::DOWNLOAD.name), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_read_strictly() {
        assert_eq!(content_range("bytes 0-4/5"), Some((0..5, 5)));
        assert_eq!(content_range("bytes 5-9/10"), Some((5..10, 10)));
        for bad in [
            "",
            "bytes",
            "bytes */10",
            "bytes 5-/10",
            "bytes 9-5/10",
            "0-4/5",
            "bytes 0-4",
            "bytes 0-18446744073709551615/1",
        ] {
            assert_eq!(content_range(bad), None, "{bad:?}");
        }
    }
}
