//! Where the running daemon listens, noted in its state directory.
//!
//! The usual place of the socket depends on the environment (`XDG_RUNTIME_DIR`), and cron, `su`, a boot and a shell each have another one. The
//! state directory is the same for all of them, so commands look there when nobody answers at the usual place.

use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::config::Daemon;
use crate::engine::state_file;

const FILE: &str = "socket";
/// Longer than any path that a socket can have.
const CAP: u64 = 4096;

/// Notes the socket, whole or not at all. A failure costs commands with another environment their way here, and nothing else.
pub(crate) fn write(of: &Daemon) {
    let place = of.state_dir.join(FILE);
    if let Err(error) = state_file::write(&place, of.socket.as_os_str().as_bytes()) {
        tracing::warn!(%error, path = %place.display(), "the socket's place could not be noted: commands that run under another environment will not find this daemon");
    }
}

/// The socket of the daemon that used this state directory last; it may have ended.
#[must_use]
pub fn noted_socket(state_dir: &Path) -> Option<PathBuf> {
    let careful = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let file = fs::OpenOptions::new().read(true).custom_flags(careful).open(state_dir.join(FILE)).ok()?;
    let mut text = Vec::new();
    file.take(CAP).read_to_end(&mut text).ok()?;
    let path = PathBuf::from(std::ffi::OsString::from_vec(text));
    path.is_absolute().then_some(path)
}
