//! Reading a page of a listing: each entry by itself.
//!
//! Unknown fields are ignored, an unknown kind of entry is counted and left out, and a reply that is not a page is an error, never an empty page.
//! What cannot be read, or cannot be a path of ours, is refused here, one entry at a time.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::dropbox::client::reply;
use crate::dropbox::client::wire;
use crate::dropbox::error::{Transport, tame};
use crate::model::RemotePath;
use crate::model::key::{is_sure, key_of};
use crate::model::listing::{Entry, FileFacts, FolderFacts, Marks, Page, Refused, What};

/// No file is larger: twice what Dropbox holds today.
const LARGEST: u64 = 1 << 42;
/// No path is longer, in bytes, or deeper.
const LONGEST: usize = 16 << 10;
const DEEPEST: usize = 1000;
/// Of a longer text people are shown so many letters of its beginning and of its end.
const HEAD: usize = 200;
const TAIL: usize = 60;
/// No id and no revision of an entry is longer, in bytes: a page holds thousands of them.
const WORD: usize = 4 << 10;

#[derive(Deserialize)]
struct RawPage<'a> {
    /// Each by itself: one that cannot be read must not hide the others.
    #[serde(borrow)]
    entries: Vec<&'a RawValue>,
    cursor: String,
    has_more: bool,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = ".tag", default)]
    tag: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    path_lower: Option<String>,
    #[serde(default)]
    path_display: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    rev: Option<String>,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    content_hash: Option<String>,
    #[serde(default)]
    client_modified: Option<Value>,
    #[serde(default)]
    server_modified: Option<Value>,
    #[serde(default)]
    is_downloadable: Option<bool>,
    #[serde(default)]
    has_explicit_shared_members: Option<Value>,
    #[serde(default)]
    sharing_info: Option<Value>,
    #[serde(default)]
    symlink_info: Option<Value>,
    #[serde(default)]
    property_groups: Option<Value>,
    #[serde(default)]
    file_lock_info: Option<Value>,
    #[serde(default)]
    export_info: Option<Value>,
}

/// Reads a page. Entries without a path are not mounted, and lie in the folder `inside` if there is one: a shared link's.
pub(crate) fn read(bytes: &[u8], route: &str, inside: Option<&RemotePath>) -> Result<Page, Transport> {
    let raw: RawPage<'_> = reply::parse(bytes, route)?;
    if !wire::is_opaque(&raw.cursor) {
        return Err(Transport::protocol(format!("{route}: the page's cursor is missing, or longer than any is")));
    }
    let mut page = Page { cursor: raw.cursor, has_more: raw.has_more, ..Page::default() };
    page.entries.reserve(raw.entries.len());
    for raw in raw.entries {
        let text = raw.get();
        // Half of a surrogate pair is no text: such a name is refused, and not the whole entry.
        let mended = if text.contains("\\ud") || text.contains("\\uD") { mended(text.as_bytes()) } else { None };
        match serde_json::from_slice(mended.as_deref().unwrap_or(text.as_bytes())) {
            Ok(raw) => judge(raw, inside, &mut page),
            Err(_) => unreadable(text, &mut page),
        }
    }
    Ok(page)
}

/// What is said of an entry that cannot be read, by whatever it is called. serde's own text may quote it.
fn unreadable(text: &str, page: &mut Page) {
    let entry: Value = serde_json::from_str(text).unwrap_or_default();
    let called = ["path_lower", "path_display", "name", "id"].iter().find_map(|key| entry.get(key)?.as_str());
    let why = "Dropbox's entry for this is not of the form that the specification gives it; it is left out until Dropbox lists it otherwise";
    let path = entry.get("path_lower").and_then(Value::as_str).filter(|path| key(path).is_ok());
    let folder = may_be_folder(entry.get(".tag").and_then(Value::as_str).unwrap_or_default());
    refuse(page, called.unwrap_or("(an entry without a path)"), (path.is_some(), folder), "protocol", why);
}

/// Whether an entry of this kind may have others below it. What is deleted is nothing.
fn may_be_folder(tag: &str) -> bool {
    !matches!(tag, "file" | "deleted")
}

/// Leaves an entry out, and says so. Where its key is not known in full, nobody knows which path the page says nothing of. `folder`: it may be one.
fn refuse(page: &mut Page, called: &str, (placed, folder): (bool, bool), code: &str, why: &str) {
    let text = short(called);
    let placed = placed && text == called;
    page.unplaced |= !placed;
    let after = page.entries.len();
    page.refused.push(Refused { text, after, code: code.to_owned(), why: why.to_owned(), folder, placed });
}

/// A path or a name that is shown to people, without its middle where it is absurd.
fn short(text: &str) -> String {
    let letters = text.chars().count();
    if letters <= HEAD + TAIL {
        return tame(text);
    }
    let (head, tail): (String, String) =
        (text.chars().take(HEAD).collect(), text.chars().skip(letters - TAIL).collect());
    tame(&format!("{head}… ({} bytes) …{tail}", text.len()))
}

fn judge(raw: Raw, inside: Option<&RemotePath>, page: &mut Page) {
    let known = matches!(raw.tag.as_str(), "file" | "folder" | "deleted");
    let folder = may_be_folder(&raw.tag);
    if !known {
        page.unknown.push(tame(&raw.tag));
    }
    let relative = || Some(format!("{}/{}", inside?.as_str(), raw.name.as_deref()?.to_lowercase()));
    let Some(lower) = raw.path_lower.clone().or_else(relative) else {
        page.unmounted += u64::from(known);
        page.unplaced |= !known || !is_unmounted(raw);
        return;
    };
    let key = match key(&lower) {
        Ok(key) => key,
        Err(why) => return refuse(page, &lower, (false, folder), "bad_name", &why),
    };
    if !known {
        let why = "Dropbox's entry for this is of a kind that this version does not know; it is left out";
        return refuse(page, &lower, (true, folder), "protocol", why);
    }
    let name = raw.name.clone().unwrap_or_else(|| key.name().to_owned());
    if let Err(why) = one_component(&name) {
        return refuse(page, &lower, (true, folder), "bad_name", &why);
    }
    if is_sure(&name) && key_of(key.name()) != key_of(&name) {
        let why = "Dropbox's entry for this has a name that is not the last component of its path; it is left out";
        // One of the two is wrong, and nobody knows which.
        return refuse(page, &lower, (false, folder), "protocol", why);
    }
    let above = raw.path_display.as_deref().and_then(|shown| above(shown, &key));
    let what = match raw.tag.as_str() {
        "deleted" => What::Deleted,
        "folder" => What::Folder(folder_facts(raw)),
        _ => match file_facts(raw) {
            Some(facts) => What::File(Box::new(facts)),
            None => {
                let why = "Dropbox's entry for this file lacks its id, revision or size, or they are larger than can be; it is left out";
                return refuse(page, &lower, (true, folder), "protocol", why);
            }
        },
    };
    page.entries.push(Entry { key, name, above, what });
}

/// Whether the entry without a path is whole but for that: it is "not mounted", and lies nowhere in this account. Of any other nobody knows where it lies.
fn is_unmounted(raw: Raw) -> bool {
    let is_named = raw.name.as_deref().is_some_and(|name| one_component(name).is_ok());
    let is_shown = raw.path_display.is_some();
    let is_whole = match raw.tag.as_str() {
        "file" => file_facts(raw).is_some_and(|facts| !facts.id.is_empty()),
        "folder" => raw.id.is_some_and(|id| !id.is_empty()),
        _ => true,
    };
    is_named && !is_shown && is_whole
}

/// The folders on the way, as people write them: only if they are those of the key, one by one.
fn above(shown: &str, key: &RemotePath) -> Option<String> {
    let (above, _) = shown.rsplit_once('/')?;
    let (key, _) = key.as_str().rsplit_once('/')?;
    let fits = |(shown, key): (&str, &str)| !is_sure(shown) || key_of(shown) == key_of(key);
    let same = above.split('/').count() == key.split('/').count() && above.split('/').zip(key.split('/')).all(fits);
    (above != key && same && RemotePath::parse(above).is_ok()).then(|| above.to_owned())
}

/// A server's key: absolute, and no component that could lead elsewhere.
fn key(text: &str) -> Result<RemotePath, String> {
    let wrong = |why: &str| Err(format!("Dropbox lists a path that cannot be one here ({why}); it is left out"));
    if text.len() < 2 || text.ends_with('/') {
        return wrong("an empty path component");
    }
    if text.len() > LONGEST {
        return wrong(&format!("{} bytes long", text.len()));
    }
    if text.split('/').count() > DEEPEST {
        return wrong(&format!("more than {DEEPEST} folders deep"));
    }
    RemotePath::parse(text).or_else(|e| wrong(&e.to_string()))
}

fn one_component(name: &str) -> Result<(), String> {
    let why = match name {
        "" => "an empty name",
        "." | ".." => "a name `.` or `..`",
        _ if name.contains('\0') => "a name that is no text",
        _ if name.contains('/') => "a name with a `/` in it",
        _ if name.len() > LONGEST => "a name of absurd length",
        _ => return Ok(()),
    };
    Err(format!("Dropbox lists {why}, which cannot be one here; it is left out"))
}

fn file_facts(raw: Raw) -> Option<FileFacts> {
    let flag = |value: &Option<Value>, key: &str| value.as_ref().and_then(|v| v.get(key)).and_then(Value::as_bool);
    let marks = Marks {
        read_only: flag(&raw.sharing_info, "read_only") == Some(true),
        shared: raw.sharing_info.is_some(),
        not_downloadable: raw.is_downloadable == Some(false),
        symlink: raw.symlink_info.is_some(),
        unseen: false,
    };
    Some(FileFacts {
        id: bare(raw.id.filter(|id| id.len() <= WORD)?),
        rev: raw.rev.filter(|rev| !rev.is_empty() && rev.len() <= WORD)?,
        size: raw.size.filter(|size| *size <= LARGEST)?,
        content_hash: raw.content_hash.and_then(|hash| hash.parse().ok()),
        client_modified: raw.client_modified.and_then(|t| seconds(t.as_str()?)),
        server_modified: raw.server_modified.and_then(|t| seconds(t.as_str()?)),
        marks,
        explicit_members: raw.has_explicit_shared_members.and_then(|flag| flag.as_bool()),
        more: more([
            ("sharing_info", raw.sharing_info),
            ("symlink_info", raw.symlink_info),
            ("property_groups", raw.property_groups),
            ("file_lock_info", raw.file_lock_info),
            ("export_info", raw.export_info),
        ]),
    })
}

fn folder_facts(raw: Raw) -> FolderFacts {
    let flag =
        |key: &str| raw.sharing_info.as_ref().and_then(|v| v.get(key)).and_then(Value::as_bool).unwrap_or_default();
    let (read_only, unseen) = (flag("read_only"), flag("no_access") || flag("traverse_only"));
    FolderFacts {
        id: raw.id.filter(|id| id.len() <= WORD).map(bare).unwrap_or_default(),
        marks: Marks { read_only, shared: raw.sharing_info.is_some(), unseen, ..Marks::default() },
        more: more([("sharing_info", raw.sharing_info), ("property_groups", raw.property_groups)]),
    }
}

fn bare(id: String) -> String {
    id.strip_prefix("id:").map(str::to_owned).unwrap_or(id)
}

/// A time in whole seconds, if it is one at all. Never a ground for a decision: for display only.
fn seconds(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(|t| t.as_second())
}

fn more<const N: usize>(fields: [(&str, Option<Value>); N]) -> Option<String> {
    let fields: Map<String, Value> = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.filter(|v| !v.is_null())?)))
        .collect();
    (!fields.is_empty()).then(|| Value::Object(fields).to_string())
}

/// The same JSON with `\u0000` for each half of a surrogate pair that stands alone, which no reader of JSON takes; such a name is refused
/// afterwards. `None` if there is none.
fn mended(bytes: &[u8]) -> Option<Vec<u8>> {
    let unit = |at: usize| -> Option<u16> {
        let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let (mut out, mut at, mut any) = (Vec::with_capacity(bytes.len()), 0, false);
    while let Some(byte) = bytes.get(at) {
        if *byte != b'\\' {
            out.push(*byte);
            at += 1;
            continue;
        }
        let len = match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                out.extend_from_slice(b"\\u0000");
                (any, at) = (true, at + 6);
                continue;
            }
            Some(_) => 6,
            None => 2,
        };
        out.extend_from_slice(bytes.get(at..at + len).unwrap_or_default());
        at += len;
    }
    any.then_some(out)
}

#[cfg(test)]
mod tests;
