//! What a comparison of the listing with base is told of the folders, and of the rules for names.

use crate::model::{Disk, FolderId, RemotePath};

/// Whether a disk can hold an entry of this name, and may.
pub type Holds = fn(&str, Disk) -> bool;

/// The rules of `plan::listing` that the comparison carries out.
#[derive(Debug, Clone, Copy)]
pub struct Naming {
    /// What gets no row because no disk can hold it: it is a problem already.
    pub holds: Holds,
}

/// A folder of the configuration, as the comparison needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Its number.
    pub folder: FolderId,
    /// Its remote path.
    pub remote: RemotePath,
    /// Whether it brings things down (`two-way`, `download`). Then rows are made also for files and folders that only Dropbox has, under the
    /// names that base knows their directories by, and their size is that of the remote file. A row says no more than "look": the path may be
    /// ignored, and something else may lie there on the disk.
    pub down: bool,
    /// What its disk can hold, where things come down.
    pub disk: Disk,
}
