//! Folders whose changes only go up (`backup`, `mirror`): from three views of one path to one verdict.

use super::blocked::{gone_in_dropbox, other_type};
use super::decision::Verdict;
use crate::model::{Base, Local, Mode, Remote, WriteMode};

/// The verdict for one path.
///
/// | local | base | remote | `backup` | `mirror` |
/// |---|---|---|---|---|
/// | unknown | any | any | put off | put off |
/// | absent | none | any | nothing | nothing |
/// | absent | some | any | nothing (base stays: a file of that name that comes back is an update) | delete at base's revision |
/// | directory | none | any | nothing | nothing |
/// | directory | some | any | nothing (what was saved stays saved) | delete at base's revision |
/// | other type | any | any | wedge | wedge |
/// | file as in base | some | file of base's content, other revision | base takes the revision | the same |
/// | file as in base | some | absent, folder | wedge: gone from Dropbox | the same |
/// | file as in base | some | any other | nothing | nothing |
/// | file, changed | some | file of base's content, other revision | upload, update(that revision) | the same |
/// | file, changed | some | any other | upload, update(base's revision) | the same |
/// | file | none | unlisted, absent | upload, add | the same |
/// | file | none | file, folder | adopt if equal, else upload, add (a conflict then keeps both) | the same |
///
/// The remote view is of the place that base lies at, which for a conflicted copy is that copy's. With a base it is used for two things: to take a newer
/// revision of the same content into base, and to tell that Dropbox has the file no longer. For all else the revision in `update(rev)` and `parent_rev`
/// makes Dropbox itself the judge at the moment of the commit.
pub(super) fn table(local: &Local, base: Option<&Base>, remote: &Remote, mode: Mode) -> Verdict {
    match (local, base) {
        (Local::Unknown(failure), _) => Verdict::PutOff(failure.clone()),
        (Local::Other(kind), _) => Verdict::Wedge(other_type(kind)),
        (Local::Absent | Local::Dir, None) => Verdict::Nothing,
        (Local::Absent | Local::Dir, Some(base)) => match mode {
            Mode::Mirror => Verdict::Delete { rev: base.rev.clone() },
            Mode::Backup | Mode::TwoWay | Mode::Download => Verdict::Nothing,
        },
        (Local::File(stat), Some(base)) if *stat == base.stat => match renewed(base, remote) {
            Some(rev) => Verdict::Adopt { rev: rev.to_owned() },
            None => match remote {
                Remote::Absent => Verdict::Wedge(gone_in_dropbox("Dropbox has it no longer")),
                Remote::Folder => Verdict::Wedge(gone_in_dropbox("Dropbox has a folder in its place")),
                Remote::Unlisted | Remote::File { .. } => Verdict::Nothing,
            },
        },
        (Local::File(_), Some(base)) => {
            Verdict::Upload(WriteMode::Update(renewed(base, remote).unwrap_or(&base.rev).to_owned()))
        }
        (Local::File(_), None) => match remote {
            Remote::Unlisted | Remote::Absent => Verdict::Upload(WriteMode::Add),
            Remote::File { .. } | Remote::Folder => Verdict::AdoptOrUpload(WriteMode::Add),
        },
    }
}

/// The revision under which Dropbox has base's content now, if that is another one than base's. A conflicted copy keeps the one that it was
/// committed with.
fn renewed<'a>(base: &Base, remote: &'a Remote) -> Option<&'a str> {
    match remote {
        Remote::File { content_hash: Some(hash), rev, .. }
            if *hash == base.content_hash && *rev != base.rev && base.remote.is_none() =>
        {
            Some(rev)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::failure::GONE_IN_DROPBOX;
    use crate::model::{ContentHash, Failure, Stat};

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
        let remotes = [
            Remote::Unlisted,
            Remote::Absent,
            Remote::File { content_hash: None, rev: "9".into(), size: 1, id: "id:x".into() },
            Remote::Folder,
        ];
        for local in &locals {
            for based in [None, Some(base())] {
                for remote in &remotes {
                    for mode in [Mode::Backup, Mode::Mirror] {
                        let action = table(local, based.as_ref(), remote, mode);
                        let expected = match (local, &based, mode) {
                            (Local::Unknown(f), _, _) => Verdict::PutOff(f.clone()),
                            (Local::Other(k), _, _) => Verdict::Wedge(other_type(k)),
                            (Local::Absent | Local::Dir, Some(_), Mode::Mirror) => {
                                Verdict::Delete { rev: "015".into() }
                            }
                            (Local::Absent | Local::Dir, _, _) => Verdict::Nothing,
                            // D5: what Dropbox lacks is no file in sync.
                            (Local::File(s), Some(b), _) if *s == b.stat => match remote {
                                Remote::Absent => Verdict::Wedge(gone_in_dropbox("Dropbox has it no longer")),
                                Remote::Folder => Verdict::Wedge(gone_in_dropbox("Dropbox has a folder in its place")),
                                _ => Verdict::Nothing,
                            },
                            (Local::File(_), Some(_), _) => Verdict::Upload(WriteMode::Update("015".into())),
                            (Local::File(_), None, _) if matches!(remote, Remote::Unlisted | Remote::Absent) => {
                                Verdict::Upload(WriteMode::Add)
                            }
                            (Local::File(_), None, _) => Verdict::AdoptOrUpload(WriteMode::Add),
                        };
                        assert_eq!(action, expected, "{local:?} {based:?} {remote:?} {mode}");
                    }
                }
            }
        }
    }

    /// E10: a new revision of the same content is base's revision from now on, and nothing is sent.
    #[test]
    fn e10_a_new_revision_of_the_same_content_is_adopted() {
        let remote = |byte: u8, rev: &str| Remote::File {
            content_hash: Some(ContentHash([byte; 32])),
            rev: rev.into(),
            size: 1,
            id: "id:x".into(),
        };
        for mode in [Mode::Backup, Mode::Mirror] {
            let act = |stat_: i64, base: &Base, remote| table(&Local::File(stat(stat_)), Some(base), &remote, mode);
            assert_eq!(act(1, &base(), remote(0, "016")), Verdict::Adopt { rev: "016".into() });
            assert_eq!(act(1, &base(), remote(0, "015")), Verdict::Nothing);
            assert_eq!(act(1, &base(), remote(9, "016")), Verdict::Nothing);
            assert_eq!(act(2, &base(), remote(0, "016")), Verdict::Upload(WriteMode::Update("016".into())));
            // E18: another content is somebody's work: the commit is refused, and both are kept.
            assert_eq!(act(2, &base(), remote(9, "016")), Verdict::Upload(WriteMode::Update("015".into())));
            let copy = Base { remote: Some(crate::model::RemotePath::parse("/copy").unwrap()), ..base() };
            assert_eq!(act(1, &copy, remote(0, "016")), Verdict::Nothing);
            // D5: nor is a copy in sync that Dropbox lacks.
            assert!(matches!(act(1, &copy, Remote::Absent), Verdict::Wedge(f) if f.code == GONE_IN_DROPBOX));
        }
    }

    /// Doubt never destroys: only a looked-at absence (or a directory in the file's place), with a base, in a mirror, deletes.
    #[test]
    fn only_a_mirror_deletes_and_only_with_a_base_and_evidence() {
        for mode in [Mode::Backup, Mode::TwoWay, Mode::Download] {
            assert_eq!(table(&Local::Absent, Some(&base()), &Remote::Unlisted, mode), Verdict::Nothing);
        }
        let unknown = Local::Unknown(Failure::retry("io_error", "x"));
        assert!(matches!(table(&unknown, Some(&base()), &Remote::Absent, Mode::Mirror), Verdict::PutOff(_)));
    }
}
