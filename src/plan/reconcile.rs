//! From three views of one path to one action.

pub mod describe;
pub mod diff;
pub mod overlooked;
pub mod two_way;

use crate::model::failure::GONE_IN_DROPBOX;
use crate::model::listing::Marks;
use crate::model::{Agreed, Base, ContentHash, Failure, Local, Mode, Remote, WriteMode};

/// What to do about one path.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The row goes, base stays.
    Nothing,
    /// Read the file. If its bytes are base's, only base's stat is renewed; otherwise they go up.
    Upload(WriteMode),
    /// Dropbox already holds something here; adopt it if the bytes are the same, otherwise send them.
    AdoptOrUpload(WriteMode),
    /// The file is as in base, and Dropbox has base's content under another revision: base takes that revision, nothing is sent.
    Adopt {
        /// Dropbox's revision.
        rev: String,
    },
    /// The file goes from Dropbox, if it still has this revision there.
    Delete {
        /// Base's revision.
        rev: String,
    },
    /// Dropbox's file comes down, to where nothing else than what was looked at stands.
    Download(Wanted),
    /// Read the file and go on with [`two_way::compared`].
    Compare,
    /// The local version gets a conflicted copy's name; then the path is decided anew.
    MoveAside,
    /// The file goes to the local trash.
    Trash,
    /// The directory goes, if nothing is in it.
    RemoveDir,
    /// A directory is made here.
    MakeDir,
    /// A directory here, a folder there: that is agreed on now.
    AgreeDir,
    /// A folder is made in Dropbox.
    CreateFolder,
    /// The folder goes from Dropbox, once nothing is left in it.
    DeleteFolder,
    /// What was agreed on holds no more: drop it, and decide anew.
    Forget,
    /// The remote view is not known yet: look again when it is.
    Wait,
    /// Nothing can be done until the path changes.
    Wedge(Failure),
    /// Looking failed: try again.
    PutOff(Failure),
}

/// A file of Dropbox that is to come down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The revision, which pins its bytes.
    pub rev: String,
    /// Bytes.
    pub size: u64,
    /// The hash of its content, where Dropbox says.
    pub content_hash: Option<ContentHash>,
    /// Dropbox's id of the file.
    pub id: String,
}

/// Decides for one path. `two-way` and `download` are in [`two_way`].
pub fn decide(local: &Local, agreed: Agreed<'_>, remote: &Remote, mode: Mode) -> Action {
    match (mode, agreed) {
        (Mode::TwoWay | Mode::Download, _) => two_way::decide(local, agreed, remote, mode),
        (Mode::Backup | Mode::Mirror, Agreed::File(base)) => upwards(local, Some(base), remote, mode),
        // A directory that was agreed on when the folder was two-way: upwards, directories are nobody's business.
        (Mode::Backup | Mode::Mirror, Agreed::Nothing | Agreed::Dir) => upwards(local, None, remote, mode),
    }
}

/// What of an action may be done at a path with these marks.
///
/// | marks | action | then |
/// |---|---|---|
/// | symlink, not downloadable | download, and nothing is here | nothing (a symlink is a problem, unless `symlinks` is false) |
/// | symlink, not downloadable | compare, move aside, download over something | wedge: both stay |
/// | read-only, not to be looked into | delete, delete the folder | forget, so that it comes down again; in a mirror: wedge |
/// | read-only | create the folder | wedge |
///
/// A file that would go up to where nobody may write is wedged once its bytes are known to be others than Dropbox's: see [`read_only`].
pub fn permitted(action: Action, local: &Local, marks: Marks, mode: Mode, symlinks: bool) -> Action {
    match action {
        Action::Download(_) | Action::Compare | Action::MoveAside if marks.symlink || marks.not_downloadable => {
            match (local, marks.symlink) {
                (Local::Absent, true) if symlinks => Action::Wedge(remote_symlink()),
                (Local::Absent, _) => Action::Nothing,
                (_, true) if !symlinks => Action::Nothing,
                (_, true) => Action::Wedge(remote_symlink()),
                (_, false) => Action::Wedge(cloud_only()),
            }
        }
        Action::Delete { .. } | Action::DeleteFolder if marks.read_only || marks.unseen => match mode.brings_down() {
            true => Action::Forget,
            false if marks.unseen => Action::Wedge(unseen()),
            false => Action::Wedge(read_only()),
        },
        Action::CreateFolder if marks.read_only => Action::Wedge(read_only()),
        action => action,
    }
}

/// The failure of a change to what may only be read in Dropbox.
pub fn read_only() -> Failure {
    Failure::wedge(
        "read_only",
        "it lies in a shared folder that this account may only read, so the change stays here: ask the folder's owner for the right to edit, or move the \
         file elsewhere (Dropbox's version then comes down again)",
    )
}

/// Whether Dropbox has, or may have, something else at a path than both sides agreed on, in a folder whose remote changes come down.
///
/// A path behind a symlink can only wait for this. All else about it is found by the scan that follows the symlink's end: until then the symlink is the
/// problem, and no path behind it.
pub fn differs_there(agreed: Agreed<'_>, remote: &Remote, mode: Mode) -> bool {
    mode.brings_down()
        && match (agreed, remote) {
            (Agreed::Nothing, Remote::Absent) | (Agreed::Dir, Remote::Folder) => false,
            (Agreed::File(base), Remote::File { rev, content_hash, .. }) => {
                *rev != base.rev && *content_hash != Some(base.content_hash)
            }
            _ => true,
        }
}

/// The failure of a folder that cannot go, since nobody can say what is in it.
fn unseen() -> Failure {
    Failure::wedge(
        "read_only",
        "this account may not look into this folder in Dropbox, and what may not be seen is not deleted: ask its owner for access, or delete it there",
    )
}

fn remote_symlink() -> Failure {
    Failure::wedge(
        "symlink",
        "in Dropbox it is a symlink, which is never made here (it may lead anywhere): set symlinks = \"ignore\" for the folder to hear no more of it",
    )
}

fn cloud_only() -> Failure {
    Failure::wedge(
        "cloud_only",
        "Dropbox has a document of this name that cannot be downloaded: rename one of the two; both stay as they are",
    )
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
fn upwards(local: &Local, base: Option<&Base>, remote: &Remote, mode: Mode) -> Action {
    match (local, base) {
        (Local::Unknown(failure), _) => Action::PutOff(failure.clone()),
        (Local::Other(kind), _) => Action::Wedge(other_type(kind)),
        (Local::Absent | Local::Dir, None) => Action::Nothing,
        (Local::Absent | Local::Dir, Some(base)) => match mode {
            Mode::Mirror => Action::Delete { rev: base.rev.clone() },
            Mode::Backup | Mode::TwoWay | Mode::Download => Action::Nothing,
        },
        (Local::File(stat), Some(base)) if *stat == base.stat => match renewed(base, remote) {
            Some(rev) => Action::Adopt { rev: rev.to_owned() },
            None => match remote {
                Remote::Absent => Action::Wedge(gone_in_dropbox("Dropbox has it no longer")),
                Remote::Folder => Action::Wedge(gone_in_dropbox("Dropbox has a folder in its place")),
                Remote::Unlisted | Remote::File { .. } => Action::Nothing,
            },
        },
        (Local::File(_), Some(base)) => {
            Action::Upload(WriteMode::Update(renewed(base, remote).unwrap_or(&base.rev).to_owned()))
        }
        (Local::File(_), None) => match remote {
            Remote::Unlisted | Remote::Absent => Action::Upload(WriteMode::Add),
            Remote::File { .. } | Remote::Folder => Action::AdoptOrUpload(WriteMode::Add),
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

/// The failure of a file that was sent and is as it was, and that Dropbox has no longer.
fn gone_in_dropbox(what: &str) -> Failure {
    let text = format!(
        "{what}, and this folder's mode brings nothing down: the file here stays; `ferrybox sync PATH --again` sends it again, or delete it here"
    );
    Failure::wedge(GONE_IN_DROPBOX, text)
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

    /// C10: a path behind a symlink waits for Dropbox's news only.
    #[test]
    fn c10_what_differs_there() {
        let there = |rev: &str, byte: u8| Remote::File {
            content_hash: Some(ContentHash([byte; 32])),
            rev: rev.into(),
            size: 1,
            id: "id:x".into(),
        };
        let base = base();
        let file = Agreed::File(&base);
        let cases = [
            (Agreed::Nothing, Remote::Absent, false),
            (Agreed::Nothing, Remote::Folder, true),
            (Agreed::Nothing, there("1", 0), true),
            (Agreed::Dir, Remote::Folder, false),
            (Agreed::Dir, Remote::Absent, true),
            (Agreed::Dir, there("1", 0), true),
            (file, there("015", 0), false),
            (file, there("016", 0), false),
            (file, there("016", 1), true),
            (file, Remote::Absent, true),
            (file, Remote::Folder, true),
        ];
        for (agreed, remote, news) in cases {
            assert_eq!(differs_there(agreed, &remote, Mode::TwoWay), news, "{agreed:?} {remote:?}");
            assert_eq!(differs_there(agreed, &remote, Mode::Download), news, "{agreed:?} {remote:?}");
            assert!(!differs_there(agreed, &remote, Mode::Backup) && !differs_there(agreed, &remote, Mode::Mirror));
            assert!(differs_there(agreed, &Remote::Unlisted, Mode::TwoWay), "doubt waits");
        }
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
                        let action = upwards(local, based.as_ref(), remote, mode);
                        let expected = match (local, &based, mode) {
                            (Local::Unknown(f), _, _) => Action::PutOff(f.clone()),
                            (Local::Other(k), _, _) => Action::Wedge(other_type(k)),
                            (Local::Absent | Local::Dir, Some(_), Mode::Mirror) => Action::Delete { rev: "015".into() },
                            (Local::Absent | Local::Dir, _, _) => Action::Nothing,
                            // D5: what Dropbox lacks is no file in sync.
                            (Local::File(s), Some(b), _) if *s == b.stat => match remote {
                                Remote::Absent => Action::Wedge(gone_in_dropbox("Dropbox has it no longer")),
                                Remote::Folder => Action::Wedge(gone_in_dropbox("Dropbox has a folder in its place")),
                                _ => Action::Nothing,
                            },
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
            let act = |stat_: i64, base: &Base, remote| upwards(&Local::File(stat(stat_)), Some(base), &remote, mode);
            assert_eq!(act(1, &base(), remote(0, "016")), Action::Adopt { rev: "016".into() });
            assert_eq!(act(1, &base(), remote(0, "015")), Action::Nothing);
            assert_eq!(act(1, &base(), remote(9, "016")), Action::Nothing);
            assert_eq!(act(2, &base(), remote(0, "016")), Action::Upload(WriteMode::Update("016".into())));
            // E18: another content is somebody's work: the commit is refused, and both are kept.
            assert_eq!(act(2, &base(), remote(9, "016")), Action::Upload(WriteMode::Update("015".into())));
            let copy = Base { remote: Some(crate::model::RemotePath::parse("/copy").unwrap()), ..base() };
            assert_eq!(act(1, &copy, remote(0, "016")), Action::Nothing);
            // D5: nor is a copy in sync that Dropbox lacks.
            assert!(matches!(act(1, &copy, Remote::Absent), Action::Wedge(f) if f.code == GONE_IN_DROPBOX));
        }
    }

    /// Doubt never destroys: only a looked-at absence (or a directory in the file's place), with a base, in a mirror, deletes.
    #[test]
    fn only_a_mirror_deletes_and_only_with_a_base_and_evidence() {
        for mode in [Mode::Backup, Mode::TwoWay, Mode::Download] {
            assert_eq!(upwards(&Local::Absent, Some(&base()), &Remote::Unlisted, mode), Action::Nothing);
        }
        let unknown = Local::Unknown(Failure::retry("io_error", "x"));
        assert!(matches!(upwards(&unknown, Some(&base()), &Remote::Absent, Mode::Mirror), Action::PutOff(_)));
    }
}
