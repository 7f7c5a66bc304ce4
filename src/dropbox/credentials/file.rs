//! Credentials in a file: ours, for nobody else, whole or not at all.

use crate::env;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use secrecy::{ExposeSecret, SecretString};

use super::CredentialError;

/// Nobody's credentials are longer.
const CAP: u64 = 64 << 10;

/// Reads a file that must be ours and closed to others; none if there is no such file.
pub(in crate::dropbox) fn load(path: &Path) -> Result<Option<SecretString>, CredentialError> {
    let Some(file) = open(path)? else { return Ok(None) };
    check(path, &file)?;
    read(path, file).map(Some)
}

/// Reads a file that systemd has put there for us.
pub(super) fn load_given(path: &Path) -> Result<Option<SecretString>, CredentialError> {
    open(path)?.map(|file| read(path, file)).transpose()
}

fn open(path: &Path) -> Result<Option<File>, CredentialError> {
    // NONBLOCK: a FIFO of that name must not hold us up; it is refused below.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => Ok(Some(fd.into())),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(rustix::io::Errno::LOOP) => Err(symlink(path)),
        Err(e) => Err(failed(path, "read", &e.into())),
    }
}

fn check(path: &Path, file: &File) -> Result<(), CredentialError> {
    let stat = file.metadata().map_err(|e| failed(path, "read", &e))?;
    let shown = path.display();
    if !stat.is_file() {
        return Err(refused(path, "it is not a regular file", "Put a regular file there"));
    }
    let us = rustix::process::geteuid().as_raw();
    if stat.uid() != us {
        let why = format!("it belongs to user {}, and ferrybox runs as user {us}", stat.uid());
        return Err(refused(path, &why, &format!("Run `chown {us} {shown}`, or run ferrybox as its owner")));
    }
    let mode = stat.mode() & 0o7777;
    if mode & 0o177 != 0 {
        let why = format!("its mode is {mode:04o}, so that {}", allowed(mode));
        return Err(refused(path, &why, &format!("Run `chmod 600 {shown}`")));
    }
    Ok(())
}

/// What a mode allows that it must not.
fn allowed(mode: u32) -> &'static str {
    match (mode & 0o044 != 0, mode & 0o022 != 0) {
        (true, true) => "others may read and change it",
        (true, false) => "others may read it",
        (false, true) => "others may change it",
        (false, false) => "it may be executed, and nothing in it is a program",
    }
}

fn read(path: &Path, file: File) -> Result<SecretString, CredentialError> {
    let mut text = String::new();
    file.take(CAP + 1).read_to_string(&mut text).map_err(|e| failed(path, "read", &e))?;
    let text = SecretString::from(text);
    if text.expose_secret().len() as u64 > CAP {
        return Err(refused(path, "it is far too long for credentials", "Run `ferrybox link` to write it again"));
    }
    Ok(text)
}

/// Writes beside it and renames: after a crash there is the old file or the new one, and 0600 from the first byte.
pub(in crate::dropbox) fn store(path: &Path, json: &SecretString) -> Result<(), CredentialError> {
    let fail = |e: io::Error| failed(path, "written", &e);
    match path.symlink_metadata() {
        Ok(stat) if stat.is_symlink() => return Err(symlink(path)),
        Ok(stat) if !stat.is_file() => {
            return Err(refused(path, "it is not a regular file", "Name another place in `credentials`"));
        }
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(fail(e)),
    }
    let dir = directory(path);
    DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(fail)?;
    let beside = beside(path, &dir).map_err(fail)?;
    let written = write(&beside, json).and_then(|()| std::fs::rename(&beside, path));
    if let Err(e) = written {
        // The first error is the one to tell; a left-over is closed to others anyway.
        drop(std::fs::remove_file(&beside));
        return Err(fail(e));
    }
    File::open(&dir).and_then(|dir| dir.sync_all()).map_err(fail)
}

fn write(path: &Path, json: &SecretString) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(json.expose_secret().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn beside(path: &Path, dir: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let random = env::random_u64().map_err(|e| io::Error::other(e.to_string()))?;
    Ok(dir.join(format!(".{}.{random:016x}.new", name.to_string_lossy())))
}

fn directory(path: &Path) -> PathBuf {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Removes it; what is not there is removed already.
pub(in crate::dropbox) fn forget(path: &Path) -> Result<(), CredentialError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(path, "removed", &e)),
        _ => Ok(()),
    }
}

fn symlink(path: &Path) -> CredentialError {
    refused(path, "it is a symlink, which could lead anywhere", "Name the file itself in `credentials`")
}

fn refused(path: &Path, why: &str, fix: &str) -> CredentialError {
    CredentialError::Refused { path: path.to_owned(), why: why.to_owned(), fix: fix.to_owned() }
}

fn failed(path: &Path, verb: &'static str, error: &io::Error) -> CredentialError {
    CredentialError::Io { path: path.to_owned(), verb, why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn q4_a_mode_that_is_refused_is_told_for_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.json");
        std::fs::write(&path, "{}").unwrap();
        for (mode, expected) in [
            (0o600, None),
            (0o400, None),
            (0o700, Some("it may be executed")),
            (0o640, Some("others may read it")),
            (0o622, Some("others may change it")),
            (0o666, Some("others may read and change it")),
            (0o755, Some("others may read it")),
            (0o611, Some("it may be executed")),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let said = load(&path).err().map(|error| error.to_string());
            assert_eq!(said.is_some(), expected.is_some(), "{mode:o} {said:?}");
            if let (Some(said), Some(expected)) = (said, expected) {
                assert!(said.contains(expected) && said.contains("chmod 600"), "{mode:o} {said}");
                assert_eq!(said.contains("others"), mode & 0o066 != 0, "{mode:o} {said}");
            }
        }
    }
}
