//! Small files and directories of our own in the state directory: closed to others, and read without trusting what stands there.
//!
//! Who can write the state directory decides what is deleted, so it must be this user's (or root's) and nobody else's.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// None of these files is longer.
const CAP: u64 = 64 << 10;

/// Why a directory is not used.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It cannot be made or looked at.
    Io(io::Error),
    /// It could be changed by others: one sentence, with what to do.
    Untrusted(String),
}

/// Makes the directory if it is missing, closed to others; one that is there must be a directory of this user's, or root's, that nobody else can
/// write. One of ours that others may only read is closed.
pub(crate) fn directory(path: &Path) -> Result<(), Refused> {
    // A state directory may be a link to another disk: what it leads to is what counts.
    let meta = match fs::canonicalize(path).and_then(fs::symlink_metadata) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Refused::Io);
        }
        Err(error) => return Err(Refused::Io(error)),
        Ok(meta) => meta,
    };
    let shown = path.display();
    let refuse = |what: String| Err(Refused::Untrusted(format!("{shown} {what}")));
    if !meta.is_dir() {
        return refuse("is no directory: move it away, or set daemon.state_dir to another place".to_owned());
    }
    let me = rustix::process::geteuid().as_raw();
    let whose = "who writes there decides what is deleted here and in Dropbox";
    if meta.uid() != me && meta.uid() != 0 {
        return refuse(format!(
            "belongs to user {}, and {whose}: give it to the daemon's user (`chown`), or set daemon.state_dir to another place",
            meta.uid()
        ));
    }
    if meta.mode() & 0o022 != 0 {
        return refuse(format!(
            "can be written by other users (mode {:04o}), and {whose}: look at what is in it, then run `chmod 700 {shown}`",
            meta.mode() & 0o7777
        ));
    }
    if meta.uid() == me && meta.mode() & 0o055 != 0 {
        tracing::info!(path = %shown, "the state directory was open to other users: they can read it no longer");
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(Refused::Io)?;
    }
    Ok(())
}

/// The text of a small file: a regular one, by its own name. `None`: there is none.
///
/// # Errors
/// It is something else (a link, a FIFO), or cannot be read.
pub(crate) fn read(path: &Path) -> io::Result<Option<String>> {
    let careful = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let file = match OpenOptions::new().read(true).custom_flags(careful).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut text = String::new();
    file.take(CAP).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// Writes a small file, whole or not at all, readable by this user alone.
///
/// # Errors
/// As writing.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let next = path.with_added_extension("next");
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
    file.write_all(bytes)?;
    fs::rename(&next, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h7_a_directory_that_others_can_write_is_refused_and_one_that_they_can_read_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o7777;
        let state = dir.path().join("a/b");
        directory(&state).unwrap();
        assert_eq!(mode(&state), 0o700);
        for (given, fine) in
            [(0o755, true), (0o750, true), (0o700, true), (0o777, false), (0o1777, false), (0o770, false)]
        {
            fs::set_permissions(&state, Permissions::from_mode(given)).unwrap();
            match directory(&state) {
                Ok(()) => assert!(fine && mode(&state) == 0o700, "{given:o}"),
                Err(Refused::Untrusted(text)) => assert!(!fine && text.contains("chmod 700"), "{given:o}: {text}"),
                Err(Refused::Io(error)) => panic!("{error}"),
            }
        }
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(directory(&file), Err(Refused::Untrusted(_))));
    }

    #[test]
    fn h7_h8_small_files_are_our_own_and_nothing_else_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("account-id");
        assert_eq!(read(&path).unwrap(), None);
        write(&path, b"dbid:1").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("dbid:1"));
        assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o777, 0o600);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        read(&link).unwrap_err();
        // A link in the place of the file to be is not written through.
        std::os::unix::fs::symlink("/dev/full", dir.path().join("account-id.next")).unwrap();
        write(&path, b"dbid:2").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("dbid:2"));
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        // It neither waits for a writer nor gives anything.
        read(&fifo).unwrap_err();
    }
}
