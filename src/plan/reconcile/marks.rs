//! What may be done at a path by what Dropbox says of its nature: symlinks, documents that cannot be downloaded, and what may only be read.

use super::blocked::{cloud_only, read_only, remote_symlink, unseen};
use super::decision::Verdict;
use crate::model::listing::Marks;
use crate::model::{Local, Mode};

/// Whether what Dropbox says of the path's nature matters for a verdict.
pub(super) fn matter(verdict: &Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Upload(_)
            | Verdict::AdoptOrUpload(_)
            | Verdict::Delete { .. }
            | Verdict::CreateFolder
            | Verdict::DeleteFolder
            | Verdict::Download(_)
            | Verdict::Compare
            | Verdict::MoveAside
    )
}

/// What of a verdict may be done at a path with these marks.
///
/// | marks | verdict | then |
/// |---|---|---|
/// | symlink, not downloadable | download, and nothing is here | nothing (a symlink is a problem, unless `symlinks` is false) |
/// | symlink, not downloadable | compare, move aside, download over something | wedge: both stay |
/// | read-only, not to be looked into | delete, delete the folder | forget, so that it comes down again; in a mirror: wedge |
/// | read-only | create the folder | wedge |
///
/// A file that would go up to where nobody may write is wedged once its bytes are known to be others than Dropbox's: see [`sending`](super::sending).
pub(super) fn permitted(verdict: Verdict, local: &Local, marks: Marks, mode: Mode, symlinks: bool) -> Verdict {
    match verdict {
        Verdict::Download(_) | Verdict::Compare | Verdict::MoveAside if marks.symlink || marks.not_downloadable => {
            match (local, marks.symlink) {
                (Local::Absent, true) if symlinks => Verdict::Wedge(remote_symlink()),
                (Local::Absent, _) => Verdict::Nothing,
                (_, true) if !symlinks => Verdict::Nothing,
                (_, true) => Verdict::Wedge(remote_symlink()),
                (_, false) => Verdict::Wedge(cloud_only()),
            }
        }
        Verdict::Delete { .. } | Verdict::DeleteFolder if marks.read_only || marks.unseen => match mode.brings_down() {
            true => Verdict::Forget,
            false if marks.unseen => Verdict::Wedge(unseen()),
            false => Verdict::Wedge(read_only()),
        },
        Verdict::CreateFolder if marks.read_only => Verdict::Wedge(read_only()),
        verdict => verdict,
    }
}
