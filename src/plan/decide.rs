//! From three views of one path to one action.

use crate::model::{Base, Failure, Local, Mode, Remote, WriteMode};

/// What to do about one path.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The row goes, base stays.
    Nothing,
    /// Read the file. If its bytes are base's, only base's stat is renewed; otherwise they go up.
    Upload(WriteMode),
    /// Dropbox already holds something here; adopt it if the bytes are the same, otherwise send them.
    AdoptOrUpload(WriteMode),
    /// The file goes from Dropbox, if it still has this revision there.
    Delete {
        /// Base's revision.
        rev: String,
    },
    /// Nothing can be done until the path changes.
    Wedge(Failure),
    /// Looking failed: try again.
    PutOff(Failure),
}

/// Decides for one path of a folder whose mode passes changes upwards only (`backup`, `mirror`).
///
/// | local | base | remote | `backup` | `mirror` |
/// |---|---|---|---|---|
/// | unknown | any | any | put off | put off |
/// | absent | none | any | nothing | nothing |
/// | absent | some | any | nothing (base stays: a file of that name that comes back is an update) | delete at base's revision |
/// | directory | none | any | nothing | nothing |
/// | directory | some | any | nothing (what was saved stays saved) | delete at base's revision |
/// | other type | any | any | wedge | wedge |
/// | file as in base | some | any | nothing | nothing |
/// | file, changed | some | any | upload, update(base's revision) | the same |
/// | file | none | unlisted, absent | upload, add | the same |
/// | file | none | file, folder | adopt if equal, else upload, add (a conflict then keeps both) | the same |
///
/// With a base, the remote view is not consulted: the revision in `update(rev)` and `parent_rev` makes Dropbox itself the judge at the moment of the commit.
pub fn decide(local: &Local, base: Option<&Base>, remote: &Remote, mode: Mode) -> Action {
    match (local, base) {
        (Local::Unknown(failure), _) => Action::PutOff(failure.clone()),
        (Local::Other(kind), _) => Action::Wedge(other_type(kind)),
        (Local::Absent | Local::Dir, None) => Action::Nothing,
        (Local::Absent | Local::Dir, Some(base)) => match mode {
            Mode::Mirror => Action::Delete { rev: base.rev.clone() },
            Mode::Backup | Mode::TwoWay | Mode::Download => Action::Nothing,
        },
        (Local::File(stat), Some(base)) if *stat == base.stat => Action::Nothing,
        (Local::File(_), Some(base)) => Action::Upload(WriteMode::Update(base.rev.clone())),
        (Local::File(_), None) => match remote {
            Remote::Unlisted | Remote::Absent => Action::Upload(WriteMode::Add),
            Remote::File { .. } | Remote::Folder => Action::AdoptOrUpload(WriteMode::Add),
        },
    }
}

/// The failure of a path that is neither file nor directory.
pub fn other_type(kind: &str) -> Failure {
    Failure::wedge(
        "type",
        format!("this is a {kind}, which is not synced; add it to `ignore` if that is what you want"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContentHash, Stat};

    fn stat(mtime_ns: i64) -> Stat {
        Stat { size: 1, mtime_ns, ctime_ns: 0, ino: 1, dev: 1 }
    }

    fn base() -> Base {
        Base { stat: stat(1), content_hash: ContentHash([0; 32]), rev: "015".into(), file_id: None, remote: None }
    }

    /// Every combination of the views, each with the one answer that the table gives.
    #[test]
    fn the_whole_table() {
        let locals = [
            Local::Absent,
            Local::File(stat(1)),
            Local::File(stat(2)),
            Local::Dir,
            Local::Other("symbolic link"),
            Local::Unknown(Failure::retry("io_error", "x")),
        ];
        let remotes =
            [Remote::Unlisted, Remote::Absent, Remote::File { content_hash: None, rev: "9".into() }, Remote::Folder];
        for local in &locals {
            for based in [None, Some(base())] {
                for remote in &remotes {
                    for mode in [Mode::Backup, Mode::Mirror] {
                        let action = decide(local, based.as_ref(), remote, mode);
                        let expected = match (local, &based, mode) {
                            (Local::Unknown(f), _, _) => Action::PutOff(f.clone()),
                            (Local::Other(k), _, _) => Action::Wedge(other_type(k)),
                            (Local::Absent | Local::Dir, Some(_), Mode::Mirror) => Action::Delete { rev: "015".into() },
                            (Local::Absent | Local::Dir, _, _) => Action::Nothing,
                            (Local::File(s), Some(b), _) if *s == b.stat => Action::Nothing,
                            (Local::File(_), Some(_), _) => Action::Upload(WriteMode::Update("015".into())),
                            (Local::File(_), None, _) if matches!(remote, Remote::Unlisted | Remote::Absent) => {
                                Action::Upload(WriteMode::Add)
                            }
                            (Local::File(_), None, _) => Action::AdoptOrUpload(WriteMode::Add),
                        };
                        assert_eq!(action, expected, "{local:?} {based:?} {remote:?} {mode}");
                    }
                }
            }
        }
    }

    /// Doubt never destroys: only a looked-at absence (or a directory in the file's place), with a base, in a mirror, deletes.
    #[test]
    fn only_a_mirror_deletes_and_only_with_a_base_and_evidence() {
        for mode in [Mode::Backup, Mode::TwoWay, Mode::Download] {
            assert_eq!(decide(&Local::Absent, Some(&base()), &Remote::Unlisted, mode), Action::Nothing);
        }
        let unknown = Local::Unknown(Failure::retry("io_error", "x"));
        assert!(matches!(decide(&unknown, Some(&base()), &Remote::Absent, Mode::Mirror), Action::PutOff(_)));
    }
}
