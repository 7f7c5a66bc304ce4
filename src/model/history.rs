//! What was done with a path, for the log that people read.

use serde::{Deserialize, Serialize};

/// One kind of deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Its content went up.
    Uploaded,
    /// The file was deleted in Dropbox.
    Deleted,
    /// Dropbox had the same content already: nothing was sent.
    Adopted,
    /// Dropbox held other content: both are kept.
    Conflict,
    /// The folder was deleted in Dropbox.
    FolderDeleted,
    /// Its content came down.
    Downloaded,
    /// What was here went to the local trash.
    Trashed,
    /// It was moved or renamed.
    Moved,
    /// It was copied in Dropbox: the content was there already, under another path.
    Copied,
    /// A folder was made.
    FolderCreated,
    /// An earlier version was put back.
    Restored,
    /// A deed of a newer version.
    #[serde(other)]
    Other,
}

impl Deed {
    /// Its word, as the database and the socket write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Uploaded => "uploaded",
            Self::Deleted => "deleted",
            Self::FolderDeleted => "folder_deleted",
            Self::Adopted => "adopted",
            Self::Conflict => "conflict",
            Self::Downloaded => "downloaded",
            Self::Trashed => "trashed",
            Self::Moved => "moved",
            Self::Copied => "copied",
            Self::FolderCreated => "folder_created",
            Self::Restored => "restored",
            Self::Other => "other",
        }
    }

    /// The deed that a word means; `None` if no deed has it.
    pub fn of_word(word: &str) -> Option<Self> {
        const ALL: [Deed; 11] = [
            Deed::Uploaded,
            Deed::Deleted,
            Deed::FolderDeleted,
            Deed::Adopted,
            Deed::Conflict,
            Deed::Downloaded,
            Deed::Trashed,
            Deed::Moved,
            Deed::Copied,
            Deed::FolderCreated,
            Deed::Restored,
        ];
        ALL.into_iter().find(|deed| deed.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_were_written() {
        for deed in [Deed::Uploaded, Deed::FolderCreated, Deed::FolderDeleted, Deed::Conflict] {
            assert_eq!(Deed::of_word(deed.word()), Some(deed));
            assert_eq!(serde_json::to_value(deed).unwrap(), deed.word());
        }
        assert_eq!(Deed::of_word("flown"), None);
    }
}
