//! What makes sense only against the disk or against other values: directories, token files, addresses, patterns.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::LoadOptions;
use super::check::Placed;
use super::problem::Problem;
use crate::model::RemotePath;
use crate::model::key::key_of;

const LOCAL: &str = "account.folder.local";

/// The directories among themselves, against the state directory, `/` and the home directory, and on the disk.
pub(super) fn check(
    locals: &[Placed<PathBuf>],
    state: &Placed<PathBuf>,
    options: &LoadOptions,
    problems: &mut Vec<Problem>,
) {
    let home = &options.surroundings.home;
    let real_home = real(home);
    let real_state = real(&state.value);
    let reals: Vec<PathBuf> = locals.iter().map(|l| real(&l.value)).collect();
    for (i, (local, path)) in locals.iter().zip(&reals).enumerate() {
        let shown = local.value.display();
        let mut wrong = |text: String| problems.push(Problem::new(LOCAL, local.place.as_str(), text));
        if path == Path::new("/") {
            wrong(format!("{shown} is the whole disk: name a folder below it"));
            continue;
        }
        if !home.as_os_str().is_empty() && *path == real_home {
            wrong(format!("{shown} is your home directory, with keys and caches in it: name a folder below it"));
        }
        if options.look_at_disk
            && !options.folders_may_be_missing
            && let Err(text) = directory(&local.value)
        {
            wrong(text);
        }
        if !state.value.as_os_str().is_empty() {
            let state_shown = state.value.display();
            if real_state.starts_with(path) {
                wrong(format!("the state directory {state_shown} lies inside {shown}: set daemon.state_dir elsewhere"));
            } else if path.starts_with(&real_state) {
                wrong(format!("{shown} lies inside the state directory {state_shown}: choose another folder"));
            }
        }
        for (j, (other, other_path)) in locals.iter().zip(&reals).enumerate() {
            let (other_shown, other_place) = (other.value.display(), &other.place);
            if path == other_path && i > j {
                wrong(format!("{shown} is the same folder as {other_shown} in {other_place}"));
            } else if path != other_path && path.starts_with(other_path) && other_path != Path::new("/") {
                wrong(format!("{shown} lies inside {other_shown}, which is a folder of its own in {other_place}"));
            }
        }
    }
}

/// Remote folders of one account: the same place twice, or one inside another, would undo each other's work.
pub(super) fn check_remotes(remotes: &[Placed<RemotePath>], problems: &mut Vec<Problem>) {
    let keys: Vec<String> = remotes.iter().map(|r| key_of(r.value.as_str())).collect();
    for (i, (remote, key)) in remotes.iter().zip(&keys).enumerate() {
        for (j, (other, other_key)) in remotes.iter().zip(&keys).enumerate() {
            let text = if key == other_key && i > j {
                format!("{} is the same remote folder as in {}", remote.value, other.place)
            } else if key != other_key && key.strip_prefix(other_key.as_str()).is_some_and(|r| r.starts_with('/')) {
                format!("{} lies inside {}, which is a folder of its own in {}", remote.value, other.value, other.place)
            } else {
                continue;
            };
            problems.push(Problem::new("account.folder.remote", remote.place.as_str(), text));
        }
    }
}

/// The path with symlinks resolved as far as it exists.
fn real(path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    let mut there = path;
    loop {
        if let Ok(mut resolved) = fs::canonicalize(there) {
            resolved.extend(missing.iter().rev());
            return resolved;
        }
        let (Some(parent), Some(name)) = (there.parent(), there.file_name()) else { return path.to_owned() };
        missing.push(name);
        there = parent;
    }
}

/// Follows symlinks on purpose: the folder may be one.
fn directory(path: &Path) -> Result<(), String> {
    let shown = path.display();
    match fs::canonicalize(path).and_then(fs::symlink_metadata) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(format!("{shown} is not a directory")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("{shown} does not exist: make it, or mount the disk that holds it"))
        }
        Err(error) => Err(format!("{shown} cannot be looked at: {error}")),
    }
}

/// A file that can be opened.
pub(super) fn readable_file(path: &Path) -> Result<(), String> {
    let shown = path.display();
    // A pipe in its place is seen to be one, and not waited for.
    let not_waiting = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    match fs::OpenOptions::new().read(true).custom_flags(not_waiting).open(path).and_then(|f| f.metadata()) {
        Ok(meta) if meta.is_file() => Ok(()),
        Ok(_) => Err(format!("{shown} is not a file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!("{shown} does not exist")),
        Err(error) => Err(format!("{shown} cannot be read: {error}")),
    }
}

/// `keyring`, `file:PATH`, `systemd:NAME` or `env:NAME`, with `~` expanded.
pub(super) fn credentials(given: &str, home: &Path, look_at_disk: bool) -> Result<String, String> {
    const FORMS: &str = "write keyring, file:PATH, systemd:NAME or env:NAME";
    if given == "keyring" {
        return Ok(given.to_owned());
    }
    // What stands here by mistake may be the token itself: it is not repeated.
    let (source, rest) =
        given.split_once(':').ok_or_else(|| format!("this is not a place for credentials: {FORMS}"))?;
    match source {
        "file" => {
            let path = rest.strip_prefix("~/").map_or_else(|| PathBuf::from(rest), |below| home.join(below));
            if !path.is_absolute() {
                return Err(format!("{rest} is relative: write the whole path, from / or ~"));
            }
            if look_at_disk {
                token_file(&path)?;
            }
            let text = path.to_str().ok_or_else(|| "the path is not UTF-8".to_owned())?;
            Ok(format!("file:{text}"))
        }
        "systemd" if rest.is_empty() || rest.contains('/') => {
            Err("systemd: is followed by the credential's name, such as systemd:dropbox".to_owned())
        }
        "env" if rest.is_empty() || rest.contains('=') => {
            Err("env: is followed by a variable's name, such as env:DROPBOX_CREDENTIALS".to_owned())
        }
        "systemd" | "env" => Ok(given.to_owned()),
        _ => Err(format!("this is not a place for credentials: {FORMS}")),
    }
}

/// A token file that others can read is no secret. One that is missing may still come: `ferrybox link` writes it.
fn token_file(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("{shown} cannot be looked at: {error}")),
    };
    if meta.is_symlink() {
        return Err(format!("{shown} is a symbolic link: name the file itself"));
    }
    if !meta.is_file() {
        return Err(format!("{shown} is not a file"));
    }
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() != me && meta.uid() != 0 {
        return Err(format!("{shown} belongs to user {}: make it yours", meta.uid()));
    }
    if meta.mode() & 0o077 != 0 {
        let mode = meta.mode() & 0o777;
        return Err(format!("{shown} can be read by other users (mode {mode:04o}): run `chmod 600` on it"));
    }
    Ok(())
}

/// `https`, or `http` to this very host; without a trailing slash.
pub(super) fn endpoint(given: &str) -> Result<String, String> {
    let url = url::Url::parse(given).map_err(|error| format!("`{given}` is not an address: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("an address here is scheme, host, port and path only".to_owned());
    }
    let here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => return Err(format!("`{given}` names no host")),
    };
    match url.scheme() {
        "https" => Ok(url.as_str().trim_end_matches('/').to_owned()),
        "http" if here => Ok(url.as_str().trim_end_matches('/').to_owned()),
        "http" => Err(format!("{given} would send tokens unencrypted: write https (http only to this very host)")),
        _ => Err(format!("{given} is neither https nor, to this very host, http")),
    }
}

/// A remote path that counts from the folder's own remote path: `/Photos/Raw`.
pub(super) fn excluded(given: &str) -> Result<RemotePath, String> {
    let rooted = if given.starts_with('/') { given.to_owned() } else { format!("/{given}") };
    match RemotePath::parse(rooted.trim_end_matches('/')) {
        Ok(path) if !path.as_str().is_empty() => Ok(path),
        Ok(_) => Err(format!("`{given}` is the whole folder: remove the folder, or name something in it")),
        Err(error) => Err(format!("`{given}` is not a remote path below the folder, such as /Photos/Raw: {error}")),
    }
}

/// A pattern as in `.gitignore`.
pub(super) fn pattern(given: &str) -> Result<(), String> {
    if given.trim().is_empty() {
        return Err("a pattern is empty".to_owned());
    }
    if given.contains(['\n', '\r', '\0']) {
        return Err(format!("{given:?} holds a line break or NUL: write one pattern an element"));
    }
    ignore::gitignore::GitignoreBuilder::new("/")
        .add_line(None, given)
        .map(|_| ())
        .map_err(|error| format!("`{given}` is not a pattern as in .gitignore: {error}"))
}
