//! `download`, with ranges.

use bytes::Bytes;
use hyper::header::{ACCEPT_RANGES, CONTENT_RANGE, ETAG, HeaderName, RANGE};
use serde::Deserialize;

use crate::call::Call;
use crate::http::reply::Reply;
use crate::path::{self, Form, Reference};
use crate::state::generate::generated;
use crate::state::tree::Content;
use crate::wire::{self, Refusal};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DownloadArg {
    path: String,
    #[serde(default)]
    rev: Option<String>,
}

/// files.stone, `download`: style "download", so the result travels in the Dropbox-API-Result header.
pub(crate) fn download(call: &Call) -> Result<Reply, Refusal> {
    let DownloadArg { path, rev } = call.parse()?;
    let mut reference = call.reference(Form::ReadPath, &path)?;
    if let Some(rev) = rev {
        // Deprecated: "Please specify revision in path instead".
        reference = call.reference(Form::ReadPath, &format!("rev:{rev}"))?;
    }
    let failed = |tag: &str| Refusal::endpoint(&format!("path/{tag}"));
    let world = call.shared.world();
    let account = world.account(call.account);
    let (key, file) = match &reference {
        Reference::Rev(rev) => account.tree.by_rev(*rev).ok_or_else(|| failed("not_found"))?,
        other => {
            let key = account.lookup(&call.settings, other).map_err(failed)?;
            let file = account.tree.live(&key).and_then(|node| node.file()).ok_or_else(|| failed("not_file"))?;
            (key, file)
        }
    };
    let metadata = account.file_metadata(&call.settings, &key, &account.shown(&call.settings, &key), file);
    if metadata.get("is_downloadable").and_then(serde_json::Value::as_bool) == Some(false) {
        return Err(Refusal::endpoint("unsupported_file"));
    }
    let data = match &file.content {
        Content::Kept(data) => data.clone(),
        Content::Generated(number) => generated(*number),
        // Not Dropbox's doing: this stand-in was told not to keep contents.
        Content::Absent => return Err(failed("restricted_content")),
    };
    let etag = format!("W/\"{}\"", path::rev_text(file.rev));
    let range = call.headers.get(RANGE).and_then(|value| value.to_str().ok());
    let reply = match range.map(|range| parse_range(range, data.len())) {
        None | Some(Range::Ignored) => Reply::new(200, "application/octet-stream", data),
        Some(Range::Of(from, to)) => part(&data, from, to),
        Some(Range::Unsatisfiable) => {
            let reply = Reply::text(416, "Requested Range Not Satisfiable");
            return Ok(reply.header(CONTENT_RANGE, format!("bytes */{}", data.len())));
        }
    };
    Ok(reply
        .header(HeaderName::from_static("dropbox-api-result"), wire::header_json(&metadata))
        .header(ETAG, etag)
        .header(ACCEPT_RANGES, "bytes"))
}

/// 206 with the bytes `from..to`.
fn part(data: &Bytes, from: usize, to: usize) -> Reply {
    let range = format!("bytes {from}-{}/{}", to.saturating_sub(1), data.len());
    Reply::new(206, "application/octet-stream", data.slice(from..to)).header(CONTENT_RANGE, range)
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    Of(usize, usize),
    /// Not one range of bytes: the header is ignored, as RFC 9110 allows.
    Ignored,
    Unsatisfiable,
}

/// One range of RFC 9110, as a half-open interval of a body of `len` bytes.
fn parse_range(text: &str, len: usize) -> Range {
    let Some((from, to)) = text.strip_prefix("bytes=").and_then(|spec| spec.split_once('-')) else {
        return Range::Ignored;
    };
    match (from.parse::<usize>(), to.parse::<usize>()) {
        (Ok(from), Ok(to)) if from <= to && from < len => Range::Of(from, to.saturating_add(1).min(len)),
        (Ok(from), Err(_)) if to.is_empty() && from < len => Range::Of(from, len),
        (Err(_), Ok(last)) if from.is_empty() && last > 0 && len > 0 => Range::Of(len.saturating_sub(last), len),
        (Ok(from), Ok(to)) if from > to => Range::Ignored,
        (Ok(_), Ok(_)) => Range::Unsatisfiable,
        (Ok(_), Err(_)) if to.is_empty() => Range::Unsatisfiable,
        (Err(_), Ok(_)) if from.is_empty() => Range::Unsatisfiable,
        _ => Range::Ignored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_rfc_9110() {
        assert_eq!(parse_range("bytes=0-4", 10), Range::Of(0, 5));
        assert_eq!(parse_range("bytes=4-", 10), Range::Of(4, 10));
        assert_eq!(parse_range("bytes=-3", 10), Range::Of(7, 10));
        assert_eq!(parse_range("bytes=8-99", 10), Range::Of(8, 10));
        assert_eq!(parse_range("bytes=10-", 10), Range::Unsatisfiable);
        assert_eq!(parse_range("bytes=0-1,4-5", 10), Range::Ignored);
        assert_eq!(parse_range("bytes=0-", 0), Range::Unsatisfiable);
    }
}
