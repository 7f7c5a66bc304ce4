//! Opening the socket so that nobody else can ever connect to it.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::{UnixListener, UnixStream};

use super::ControlError;

/// `sun_path` without its closing NUL: 108 bytes on Linux, 104 elsewhere.
const LONGEST: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// An open socket, taken away when dropped.
pub(super) struct Open {
    pub(super) listener: UnixListener,
    path: PathBuf,
    inode: (u64, u64),
}

impl Drop for Open {
    fn drop(&mut self) {
        // Another daemon may have put its own in our place.
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.inode) {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Whether the peer is this user or root.
pub(super) fn may_connect(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == rustix::process::geteuid().as_raw())
}

pub(super) fn open(path: &Path) -> Result<Open, ControlError> {
    let length = path.as_os_str().len();
    if length > LONGEST {
        return Err(ControlError::TooLong(path.to_owned(), length, LONGEST));
    }
    let io = |source: io::Error| ControlError::Io { path: path.to_owned(), source };
    private_directory(path)?;
    clear_place(path)?;

    let address = SocketAddrUnix::new(path).map_err(|e| io(e.into()))?;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, socket_flags(), None)
        .map_err(|e| io(e.into()))?;
    // On Linux the file gets the mode that the unbound socket has, so it is never open to others, not even for an instant.
    // Where that cannot be done, the private directory and the check of each peer stand.
    let _ = rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR);
    rustix::net::bind(&socket, &address).map_err(|e| io(e.into()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(io)?;
    let meta = fs::symlink_metadata(path).map_err(io)?;
    rustix::net::listen(&socket, 128).map_err(|e| io(e.into()))?;
    let listener = StdListener::from(socket);
    listener.set_nonblocking(true).map_err(io)?;
    let listener = UnixListener::from_std(listener).map_err(io)?;
    Ok(Open { listener, path: path.to_owned(), inode: (meta.dev(), meta.ino()) })
}

#[cfg(target_os = "linux")]
fn socket_flags() -> SocketFlags {
    SocketFlags::CLOEXEC
}

#[cfg(not(target_os = "linux"))]
fn socket_flags() -> SocketFlags {
    SocketFlags::empty()
}

/// Makes the directory (0700) if it is missing, and refuses one in which others can put things.
fn private_directory(socket: &Path) -> Result<(), ControlError> {
    let dir = socket.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("/"));
    let refuse = |what: &str| Err(ControlError::Directory(dir.to_owned(), what.to_owned()));
    match fs::symlink_metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .map_err(|e| ControlError::Directory(dir.to_owned(), format!("cannot be made: {e}")));
        }
        Err(error) => return refuse(&format!("cannot be looked at: {error}")),
        Ok(meta) if meta.is_symlink() => {
            return refuse("is a symbolic link: set daemon.socket to a path in a real directory");
        }
        Ok(meta) if !meta.is_dir() => return refuse("is not a directory"),
        Ok(meta) => {
            let me = rustix::process::geteuid().as_raw();
            if meta.uid() != me && meta.uid() != 0 {
                return refuse("belongs to another user: set daemon.socket to a path in a directory of your own");
            }
            if meta.mode() & 0o022 != 0 {
                return refuse("can be written by other users: run `chmod 700` on it, or set daemon.socket elsewhere");
            }
        }
    }
    Ok(())
}

/// A socket of ours on which nobody listens goes; anything else stays and is an error.
fn clear_place(path: &Path) -> Result<(), ControlError> {
    let io = |source: io::Error| ControlError::Io { path: path.to_owned(), source };
    let occupied = |what: &str| Err(ControlError::Occupied(path.to_owned(), what.to_owned()));
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error)),
    };
    let kind = meta.file_type();
    if kind.is_symlink() {
        return occupied("a symbolic link, not a socket");
    }
    if kind.is_dir() {
        return occupied("a directory, not a socket");
    }
    if !kind.is_socket() {
        return occupied("a file, not a socket");
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return occupied("a socket of another user");
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(io),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A full queue means that somebody listens.
        Ok(_) => Err(ControlError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(ControlError::InUse(path.to_owned())),
        Err(error) => Err(io(error)),
    }
}
