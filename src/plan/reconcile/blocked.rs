//! Why nothing can be done about a path: the failures that decisions end in, each with what a person can do.

use crate::model::failure::GONE_IN_DROPBOX;
use crate::model::{Failure, RelPath};

/// The failure of a path that is neither file nor directory.
pub fn other_type(kind: &str) -> Failure {
    Failure::wedge(
        "type",
        format!("this is a {kind}, which is not synced; add it to `ignore` if that is what you want"),
    )
}

/// The failure of a file that was sent and is as it was, and that Dropbox has no longer.
pub(super) fn gone_in_dropbox(what: &str) -> Failure {
    let text = format!(
        "{what}, and this folder's mode brings nothing down: the file here stays; `ferrybox sync PATH --again` sends it again, or delete it here"
    );
    Failure::wedge(GONE_IN_DROPBOX, text)
}

/// The failure of a change to what may only be read in Dropbox.
pub fn read_only() -> Failure {
    Failure::wedge(
        "read_only",
        "it lies in a shared folder that this account may only read, so the change stays here: ask the folder's owner for the right to edit, or move the \
         file elsewhere (Dropbox's version then comes down again)",
    )
}

/// The failure of a folder that cannot go, since its content is not shown to this account.
pub(super) fn unseen() -> Failure {
    Failure::wedge(
        "read_only",
        "this account may not look into this folder in Dropbox, and what may not be seen is not deleted: ask its owner for access, or delete it there",
    )
}

/// The failure of a symlink in Dropbox.
pub(super) fn remote_symlink() -> Failure {
    Failure::wedge(
        "symlink",
        "in Dropbox it is a symlink, which is never made here (it may lead anywhere): set symlinks = \"ignore\" for the folder to hear no more of it",
    )
}

/// The failure of a file here that has the name of a document which exists in Dropbox only.
pub(super) fn cloud_only() -> Failure {
    Failure::wedge(
        "cloud_only",
        "Dropbox has a document of this name that cannot be downloaded: rename one of the two; both stay as they are",
    )
}

/// The failure of a name that is the same to Dropbox as another one here.
pub fn case_clash(other: &RelPath) -> Failure {
    Failure::wedge(
        "case_clash",
        format!("Dropbox does not tell this name from `{other}`, which is synced already: rename one of them"),
    )
}

/// The failure of a file that is larger than the configuration allows.
pub(super) fn too_large(size: u64, max: u64) -> Failure {
    Failure::wedge(
        "too_large",
        format!("{size} bytes are more than upload.max_file_size = {max} bytes; raise that key if Dropbox takes it"),
    )
}

/// The failure of a folder that stays in Dropbox although its directory is gone.
pub(super) fn stays() -> Failure {
    Failure::wedge(
        "dir_kept",
        "it was deleted here, and in Dropbox it stays because of what is in it and is not synced here (ignored, not to be downloaded, or a problem of \
         its own): delete it there if it is not needed",
    )
}

/// The failure of a path that the listing says nothing about, again and again.
pub(super) fn unlisted() -> Failure {
    Failure::look(
        "unlisted",
        "the listing does not say whether Dropbox still has it: it is listed anew, or has a name very like another one; it is looked at again",
    )
}

/// The failure of a file that was on a disk of its own, mounted inside the folder, and is not there any more.
pub fn mount_gone() -> Failure {
    Failure::wedge(
        "mount_gone",
        "it was on a disk that is mounted inside the folder, and so may be gone with that disk only: Dropbox's file is kept; mount the disk again, or \
         delete the file in Dropbox if it is meant to go",
    )
}
