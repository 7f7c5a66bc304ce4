//! Two-way and download: from three views of one path to one verdict.
//!
//! | local | agreed | remote | `two-way` | `download` |
//! |---|---|---|---|---|
//! | unknown | any | any | put off | put off |
//! | other type | any | any | wedge | wedge |
//! | file as in base | file | the same, unlisted | nothing (or take Dropbox's revision) | the same |
//! | file as in base | file | another file | download over it | the same |
//! | file as in base | file | absent, folder | trash | the same |
//! | file, touched | file | the same, unlisted | upload, update(revision) | nothing |
//! | file, touched | file | another file, absent, folder | compare | compare |
//! | absent | file | the same, unlisted | delete at that revision | nothing |
//! | absent | file | another file | download (edit beats delete) | the same |
//! | absent | file | absent, folder | forget | forget |
//! | directory | file | the same, unlisted | delete at that revision | nothing |
//! | directory | file | another file | move aside | the same |
//! | directory | file | absent, folder | forget | forget |
//! | file | none | absent, unlisted | upload, add | nothing |
//! | file | none | file | compare | compare |
//! | file | none | folder | move aside | the same |
//! | directory | none | absent, unlisted | create the folder | nothing |
//! | directory | none | folder | agree on it | the same |
//! | directory | none | file | move aside | the same |
//! | absent | none | file | download | the same |
//! | absent | none | folder | make the directory | the same |
//! | absent | none | absent, unlisted | nothing | nothing |
//! | directory | directory | folder, unlisted | nothing | nothing |
//! | directory | directory | absent, file | remove the directory | the same |
//! | file | directory | folder | delete the folder | move aside |
//! | file | directory | absent, file | forget | forget |
//! | absent | directory | folder | delete the folder | nothing |
//! | absent | directory | absent, file | forget | forget |
//! | file, absent | directory | unlisted | wait | wait |
//!
//! "Compare" reads the file and goes on with [`compared`]:
//!
//! | the file holds | remote | then |
//! |---|---|---|
//! | what Dropbox holds | file | adopt: base is that, nothing is transferred |
//! | what base holds | another file | download over it |
//! | what base holds | absent, folder | trash |
//! | something else | file, folder | move aside: the local version gets a conflicted copy's name, and the path is decided anew |
//! | something else | absent | upload, add (edit beats delete); in `download`: forget, and so keep it |
//!
//! "Forget" drops what was agreed on and decides anew. A base that lies elsewhere (a backup's conflicted copy) counts as none.
//! An unlisted remote deletes nothing here, and a deletion in Dropbox carries the revision that must still be there.

use super::blocked::other_type;
use super::decision::{Verdict, Wanted};
use crate::model::{Agreed, Base, ContentHash, Local, Mode, Remote, Stat, WriteMode};

/// Decides for one path of a folder whose remote changes come down. See the table above.
pub fn table(local: &Local, agreed: Agreed<'_>, remote: &Remote, mode: Mode) -> Verdict {
    let up = mode != Mode::Download;
    let agreed = match agreed {
        Agreed::File(base) if base.remote.is_some() => Agreed::Nothing,
        agreed => agreed,
    };
    match (local, agreed) {
        (Local::Unknown(failure), _) => Verdict::PutOff(failure.clone()),
        (Local::Other(kind), _) => Verdict::Wedge(other_type(kind)),
        (Local::File(stat), Agreed::File(base)) => file_on_both(stat, base, remote, up),
        (Local::Absent, Agreed::File(base)) => match seen(base, remote) {
            Seen::Same(rev) if up => Verdict::Delete { rev: rev.to_owned() },
            Seen::Same(_) => Verdict::Nothing,
            Seen::Changed => download(remote),
            Seen::Gone => Verdict::Forget,
        },
        (Local::Dir, Agreed::File(base)) => match seen(base, remote) {
            Seen::Same(rev) if up => Verdict::Delete { rev: rev.to_owned() },
            Seen::Same(_) => Verdict::Nothing,
            Seen::Changed => Verdict::MoveAside,
            Seen::Gone => Verdict::Forget,
        },
        (Local::File(_), Agreed::Nothing) => match remote {
            Remote::Absent | Remote::Unlisted if up => Verdict::Upload(WriteMode::Add),
            Remote::Absent | Remote::Unlisted => Verdict::Nothing,
            Remote::File { .. } => Verdict::Compare,
            Remote::Folder => Verdict::MoveAside,
        },
        (Local::Dir, Agreed::Nothing) => match remote {
            Remote::Absent | Remote::Unlisted if up => Verdict::CreateFolder,
            Remote::Absent | Remote::Unlisted => Verdict::Nothing,
            Remote::Folder => Verdict::AgreeDir,
            Remote::File { .. } => Verdict::MoveAside,
        },
        (Local::Absent, Agreed::Nothing) => match remote {
            Remote::File { .. } => download(remote),
            Remote::Folder => Verdict::MakeDir,
            Remote::Absent | Remote::Unlisted => Verdict::Nothing,
        },
        (Local::Dir, Agreed::Dir) => match remote {
            Remote::Folder | Remote::Unlisted => Verdict::Nothing,
            Remote::Absent | Remote::File { .. } => Verdict::RemoveDir,
        },
        (Local::File(_) | Local::Absent, Agreed::Dir) => match (remote, local) {
            (Remote::Unlisted, _) => Verdict::Wait,
            (Remote::Absent | Remote::File { .. }, _) => Verdict::Forget,
            (Remote::Folder, _) if up => Verdict::DeleteFolder,
            (Remote::Folder, Local::File(_)) => Verdict::MoveAside,
            (Remote::Folder, _) => Verdict::Nothing,
        },
    }
}

fn file_on_both(stat: &Stat, base: &Base, remote: &Remote, up: bool) -> Verdict {
    let untouched = *stat == base.stat;
    match seen(base, remote) {
        Seen::Same(rev) if untouched && rev != base.rev => Verdict::Adopt { rev: rev.to_owned() },
        Seen::Same(_) if untouched || !up => Verdict::Nothing,
        Seen::Same(rev) => Verdict::Upload(WriteMode::Update(rev.to_owned())),
        Seen::Changed if untouched => download(remote),
        Seen::Gone if untouched => Verdict::Trash,
        Seen::Changed | Seen::Gone => Verdict::Compare,
    }
}

/// Goes on after [`Verdict::Compare`]: the file, as `stat` says, holds what `hash` says.
pub fn compared(hash: &ContentHash, base: Option<&Base>, remote: &Remote, mode: Mode) -> Verdict {
    let base = base.filter(|base| base.remote.is_none());
    if let Remote::File { content_hash: Some(there), rev, .. } = remote
        && there == hash
    {
        return Verdict::Adopt { rev: rev.clone() };
    }
    let ours = base.is_none_or(|base| base.content_hash != *hash);
    match (base, remote) {
        (_, Remote::File { .. }) if !ours => download(remote),
        (_, Remote::Absent | Remote::Folder) if !ours => Verdict::Trash,
        (_, Remote::File { .. } | Remote::Folder) => Verdict::MoveAside,
        (Some(_), Remote::Absent) if mode == Mode::Download => Verdict::Forget,
        (_, Remote::Absent) if mode == Mode::Download => Verdict::Nothing,
        (_, Remote::Absent) => Verdict::Upload(WriteMode::Add),
        (_, Remote::Unlisted) => Verdict::Wait,
    }
}

/// A file whose name Dropbox does not tell from that of `gone`, which is no longer here: it goes over Dropbox's file, if that is still what was agreed on
/// as `gone`. What was there is a revision then, and nobody's edit is in its way.
pub fn respelled(gone: &Base, remote: &Remote, mode: Mode) -> Option<WriteMode> {
    match seen(gone, remote) {
        Seen::Same(rev) if mode != Mode::Download && gone.remote.is_none() && matches!(remote, Remote::File { .. }) => {
            Some(WriteMode::Update(rev.to_owned()))
        }
        _ => None,
    }
}

/// Whether Dropbox's file is another one than was agreed on.
pub fn is_changed(base: &Base, remote: &Remote) -> bool {
    matches!(seen(base, remote), Seen::Changed)
}

/// What has become of base's file in Dropbox.
enum Seen<'a> {
    /// It is there, under this revision; or nothing is known to the contrary.
    Same(&'a str),
    /// Another content is there.
    Changed,
    /// No file is there.
    Gone,
}

fn seen<'a>(base: &'a Base, remote: &'a Remote) -> Seen<'a> {
    match remote {
        Remote::Unlisted => Seen::Same(&base.rev),
        Remote::File { rev, content_hash, .. } if *rev == base.rev || *content_hash == Some(base.content_hash) => {
            Seen::Same(rev)
        }
        Remote::File { .. } => Seen::Changed,
        Remote::Absent | Remote::Folder => Seen::Gone,
    }
}

fn download(remote: &Remote) -> Verdict {
    match remote {
        Remote::File { rev, size, content_hash, id } => {
            Verdict::Download(Wanted { rev: rev.clone(), size: *size, content_hash: *content_hash, id: id.clone() })
        }
        Remote::Unlisted | Remote::Absent | Remote::Folder => Verdict::Wait,
    }
}

#[cfg(test)]
mod tests;
