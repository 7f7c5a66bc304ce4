//! Whether the remote folder of a synced folder is still the one that was synced.
//!
//! Its identity is its id, as the marker is the local root's: a folder that was deleted, renamed or replaced in Dropbox says nothing of the files
//! here, and a file that is saved here does not make it again without a person's word.

/// What a complete listing, or Dropbox's refusal to list it, shows at the remote folder's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'a> {
    /// Nothing.
    Nothing,
    /// A file.
    File,
    /// A folder; `None` where its id is not told.
    Folder(Option<&'a str>),
}

/// What is known about the remote folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    /// The id that was seen when both sides met.
    pub known: Option<&'a str>,
    /// Whether both sides have ever agreed on anything in it.
    pub agreed: bool,
    /// Whether a commit of ours may not be in the listing yet.
    pub lags: bool,
    /// What is there now.
    pub seen: Seen<'a>,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the folder that was synced, or there never was one.
    Fine,
    /// Both sides have met: this is its id from now on.
    Learn(String),
    /// Not known yet: what was so before is still so.
    Unknown,
    /// It stops: nothing is removed here and nothing is made there.
    Stop(Why),
}

/// Why a folder stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It was deleted or renamed.
    Gone,
    /// A file has its path.
    File,
    /// Another folder, of this id, has its path.
    Another(String),
}

/// | known id | agreed | at its path | verdict |
/// |---|---|---|---|
/// | any | any | a file | stop |
/// | any | any | a folder without an id | fine |
/// | some | any | the folder of this id | fine |
/// | none | any | a folder | learn its id |
/// | some | yes | another folder | stop |
/// | some | no | another folder | learn its id: nothing could be lost |
/// | some | yes | nothing | stop |
/// | none | yes | nothing | stop; unknown while our own commits may not be listed yet |
/// | any | no | nothing | fine: the first meeting makes it |
pub fn judge(facts: Facts<'_>) -> Verdict {
    match (facts.seen, facts.known) {
        (Seen::File, _) => Verdict::Stop(Why::File),
        (Seen::Folder(None), _) => Verdict::Fine,
        (Seen::Folder(Some(id)), Some(known)) if id == known => Verdict::Fine,
        (Seen::Folder(Some(id)), Some(_)) if facts.agreed => Verdict::Stop(Why::Another(id.to_owned())),
        (Seen::Folder(Some(id)), _) => Verdict::Learn(id.to_owned()),
        (Seen::Nothing, _) if !facts.agreed => Verdict::Fine,
        (Seen::Nothing, None) if facts.lags => Verdict::Unknown,
        (Seen::Nothing, _) => Verdict::Stop(Why::Gone),
    }
}

impl Why {
    /// One sentence: what happened to the remote folder, and what to do. `token`: what `approve` names it by.
    pub fn reason(&self, remote: &str, token: &str) -> String {
        match self {
            Self::Gone => format!(
                "the folder {remote} is not in Dropbox any more: it was deleted, renamed or moved there. Nothing is removed here and nothing is sent. \
                 Put it back in Dropbox, and syncing goes on by itself; or run `ferrybox approve {token}` to make it again from what is here"
            ),
            Self::File => format!(
                "{remote} is a file in Dropbox, not a folder. Nothing is removed here and nothing is sent. Rename or delete the file in Dropbox (and put \
                 the folder back, if there was one), or name another `remote` for this folder"
            ),
            Self::Another(_) => format!(
                "the folder {remote} in Dropbox is not the one that was synced: that was deleted, renamed or moved, and another one has its name. Nothing is \
                 removed here and nothing is sent. Put the old one back, and syncing goes on by itself; or run `ferrybox approve {token}` to take the new \
                 one: what is on either side is then brought to the other, and nothing is deleted"
            ),
        }
    }

    /// Whether a person's word is enough to go on.
    pub fn can_be_approved(&self) -> bool {
        !matches!(self, Self::File)
    }

    /// For the token: another event has another one.
    pub fn word(&self) -> &str {
        match self {
            Self::Gone => "gone",
            Self::File => "file",
            Self::Another(id) => id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d3_the_whole_table() {
        let seen = [Seen::Nothing, Seen::File, Seen::Folder(None), Seen::Folder(Some("a")), Seen::Folder(Some("b"))];
        for seen in seen {
            for known in [None, Some("a")] {
                for agreed in [false, true] {
                    for lags in [false, true] {
                        let expected = match (seen, known, agreed, lags) {
                            (Seen::File, ..) => Verdict::Stop(Why::File),
                            (Seen::Folder(None), ..) | (Seen::Folder(Some("a")), Some("a"), ..) => Verdict::Fine,
                            (Seen::Folder(Some(id)), Some(_), true, _) => Verdict::Stop(Why::Another(id.to_owned())),
                            (Seen::Folder(Some(id)), ..) => Verdict::Learn(id.to_owned()),
                            (Seen::Nothing, _, false, _) => Verdict::Fine,
                            (Seen::Nothing, None, true, true) => Verdict::Unknown,
                            (Seen::Nothing, ..) => Verdict::Stop(Why::Gone),
                        };
                        assert_eq!(
                            judge(Facts { known, agreed, lags, seen }),
                            expected,
                            "{seen:?} {known:?} {agreed} {lags}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn d3_every_reason_names_the_folder_and_what_to_do() {
        for why in [Why::Gone, Why::File, Why::Another("b".to_owned())] {
            let text = why.reason("/up", "remote-1-00");
            assert!(text.contains("/up") && text.contains("Nothing is removed here"), "{text}");
            assert_eq!(text.contains("ferrybox approve remote-1-00"), why.can_be_approved(), "{text}");
        }
    }
}
