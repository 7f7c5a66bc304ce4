//! What a listing of Dropbox says, as data: entries in their order, and what of each is kept.

use serde::Serialize;

use super::content_hash::ContentHash;
use super::path::RemotePath;

/// One entry of a page, in its place among the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The server's own key (`path_lower`): identity, never shown. Its form was checked; its letters are the server's.
    pub key: RemotePath,
    /// The last component as people write it. Parents have entries of their own, which show theirs.
    pub name: String,
    /// How people write the folder that it lies in, where Dropbox says: good enough for folders that have no entry of their own.
    pub above: Option<String>,
    /// What is there now.
    pub what: What,
}

/// What an entry says is at its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// `FileMetadata`.
    File(Box<FileFacts>),
    /// `FolderMetadata`.
    Folder(FolderFacts),
    /// `DeletedMetadata`: whatever was there is not any more.
    Deleted,
}

/// What is kept of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileFacts {
    /// Without its `id:`.
    pub id: String,
    /// Its revision.
    pub rev: String,
    /// Bytes.
    pub size: u64,
    /// The hash of its content, where Dropbox says.
    pub content_hash: Option<ContentHash>,
    /// Seconds since 1970; for display only. `None`: absent, or nothing that a clock can show.
    pub client_modified: Option<i64>,
    /// Likewise, by Dropbox's clock.
    pub server_modified: Option<i64>,
    /// The three marks.
    pub marks: Marks,
    /// Whether it has members of its own, where that was asked for.
    pub explicit_members: Option<bool>,
    /// Everything else that may be used, as JSON with Dropbox's own names: `sharing_info`, `symlink_info`, `property_groups`,
    /// `file_lock_info`, `export_info`. `None` where there is nothing of it.
    pub more: Option<String>,
}

/// What is kept of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FolderFacts {
    /// Without its `id:`; empty for a parent that was never listed itself.
    pub id: String,
    /// The marks; `read_only` holds for everything below, too.
    pub marks: Marks,
    /// As of a file.
    pub more: Option<String>,
}

/// What is seen at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    /// Nothing may be written there.
    pub read_only: bool,
    /// It is in a shared folder, or is one.
    pub shared: bool,
    /// It cannot be downloaded as it is (a Google document, say), only exported.
    pub not_downloadable: bool,
    /// It is a symbolic link.
    pub symlink: bool,
    /// A folder that the account may not look into, or only to pass through: nothing can be said of what is in it.
    pub unseen: bool,
}

impl Marks {
    /// As one number, for the database.
    pub fn bits(self) -> i64 {
        i64::from(self.read_only)
            | i64::from(self.shared) << 1
            | i64::from(self.not_downloadable) << 2
            | i64::from(self.symlink) << 3
            | i64::from(self.unseen) << 4
    }

    /// And back.
    pub fn of_bits(bits: i64) -> Self {
        Self {
            read_only: bits & 1 != 0,
            shared: bits & 2 != 0,
            not_downloadable: bits & 4 != 0,
            symlink: bits & 8 != 0,
            unseen: bits & 16 != 0,
        }
    }
}

/// One page of a listing, judged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// In the server's order.
    pub entries: Vec<Entry>,
    /// Entries that are not paths of ours or lack what they must have: what was written there, for people, and why it is refused.
    pub refused: Vec<Refused>,
    /// Entries whose kind this version does not know, by their tag.
    pub unknown: Vec<String>,
    /// Entries without a path: shared with the account and not mounted.
    pub unmounted: u64,
    /// Something in it was left out, and nobody can say at which path: it may be any file that the listing does not show.
    pub unplaced: bool,
    /// Where the listing goes on.
    pub cursor: String,
    /// Whether more is ready now.
    pub has_more: bool,
}

/// An entry that cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its path or name as it came, tamed. It is its key, unless nobody can tell where it belongs: then the page is [`Page::unplaced`].
    pub text: String,
    /// How many of the page's entries that could be kept came before it.
    pub after: usize,
    /// A word: `bad_name`, `protocol`.
    pub code: String,
    /// Why.
    pub why: String,
    /// Whether it may be a folder, with things in it.
    pub folder: bool,
    /// Whether its text is its key in full.
    pub placed: bool,
}

/// What the cache holds at a path already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
}

/// What one entry does to the cache: see [`crate::plan::listing::rule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Missing parents are made; a file in a parent's place gives way.
    pub parents: bool,
    /// The path itself.
    pub here: Here,
    /// What is below it.
    pub below: Below,
}

/// What becomes of the path itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    /// The entry stands there now.
    Put,
    /// Nothing stands there now.
    Remove,
    /// Nothing was there, nothing is.
    Ignore,
}

/// What becomes of everything below the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Below {
    /// It stays as it is.
    Keep,
    /// It goes.
    Remove,
    /// It stays, with this read-only mark.
    ReadOnly(bool),
}

/// What the listing of one account asks for, beside the path. Cursors of other questions are of no use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Question {
    /// Entries a page, roughly; `None` leaves it to Dropbox.
    pub limit: Option<u32>,
    /// Say of each file whether it has members of its own.
    pub include_has_explicit_shared_members: bool,
    /// What lies in mounted folders, too.
    pub include_mounted_folders: bool,
    /// Property templates (`ptid:...`) whose values are wanted.
    pub include_property_groups: Vec<String>,
    /// Files that can only be exported, too.
    pub include_non_downloadable_files: bool,
}

impl Default for Question {
    fn default() -> Self {
        Self {
            limit: Some(2000),
            include_has_explicit_shared_members: false,
            include_mounted_folders: true,
            include_property_groups: Vec::new(),
            include_non_downloadable_files: true,
        }
    }
}

/// One line of `ls`, of `GET /v1/entries` and of `--json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize, Default)]
pub struct Listed {
    /// As people write it, each component from its own entry.
    pub path: String,
    /// The server's key.
    pub path_lower: String,
    /// `file` or `folder`.
    pub kind: String,
    /// `id:...`; empty for a parent that was never listed itself.
    pub id: String,
    /// Files only, from here to `server_modified`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rev: Option<String>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Where Dropbox says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<ContentHash>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_modified: Option<i64>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_modified: Option<i64>,
    /// Nothing may be written there.
    pub read_only: bool,
    /// In a shared folder, or one.
    pub shared: bool,
    /// Whether it can be downloaded as it is.
    pub is_downloadable: bool,
    /// Whether it is a symbolic link.
    pub symlink: bool,
    /// Whether it has members of its own, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_explicit_shared_members: Option<bool>,
    /// `sharing_info` and its like, with Dropbox's own names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_survive_the_database() {
        for bits in 0..16 {
            assert_eq!(Marks::of_bits(bits).bits(), bits);
        }
    }
}
