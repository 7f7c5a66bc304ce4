//! A FUSE file system that can be written to and takes names in other letters for each other, as those of Macs and of many NAS boxes do: spoken by
//! hand (the kernel's include/uapi/linux/fuse.h, protocol 7.31), above a directory of an ordinary one.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    unreachable_pub
)]

use std::collections::HashMap;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, RenameFlags, renameat_with};

const ROOT: u64 = 1;
const NOT_THERE: i32 = -2;
const EXISTS: i32 = -17;
const UNKNOWN: i32 = -38;
/// The argument begins after the header.
const ARG: usize = 40;

/// How the disk compares names.
pub fn fold(name: &str) -> String {
    name.to_lowercase().replace('ß', "ss")
}

/// Mounts the files of `from` at `at`, and serves them until that is unmounted.
pub fn serve(from: &Path, at: &Path) {
    let mut device = OpenOptions::new().read(true).write(true).open("/dev/fuse").expect("this test needs /dev/fuse");
    rustix::io::fcntl_setfd(&device, rustix::io::FdFlags::empty()).unwrap();
    let options = format!("rw,fd={},rootmode=40755,user_id=0,group_id=0", device.as_raw_fd());
    let mounted = Command::new("mount").args(["-i", "-t", "fuse", "-o", &options, "test"]).arg(at).status().unwrap();
    assert!(mounted.success(), "cannot mount a FUSE file system in a user namespace");
    let mut disk = Disk { paths: vec![PathBuf::new(), from.to_owned()], open: HashMap::new(), opened: 0 };
    let mut buffer = vec![0; 1 << 20];
    loop {
        let len = match device.read(&mut buffer) {
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // It was unmounted.
            Err(_) => return,
        };
        let request = Request(&buffer[..len]);
        // FORGET, INTERRUPT, BATCH_FORGET want no answer.
        if matches!(request.u32(4), 2 | 36 | 42) {
            continue;
        }
        let (error, body) = match disk.answer(&request) {
            Ok(body) => (0, body),
            Err(error) => (error, Vec::new()),
        };
        let mut reply = Vec::new();
        reply.extend(u32::try_from(16 + body.len()).unwrap().to_ne_bytes());
        reply.extend(error.to_ne_bytes());
        reply.extend(request.u64(8).to_ne_bytes());
        reply.extend(body);
        // A request that was interrupted meanwhile has no one to answer.
        let _ = device.write(&reply);
    }
}

struct Request<'a>(&'a [u8]);

impl Request<'_> {
    fn u32(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.0[at..at + 8].try_into().unwrap())
    }

    /// The names from here on, each with a zero at its end.
    fn names(&self, at: usize) -> Vec<String> {
        let names = self.0[at..].split(|b| *b == 0);
        names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }
}

struct Disk {
    /// By node.
    paths: Vec<PathBuf>,
    open: HashMap<u64, (File, u64)>,
    opened: u64,
}

type Answer = Result<Vec<u8>, i32>;

fn code(error: &io::Error) -> i32 {
    -error.raw_os_error().unwrap_or(5)
}

impl Disk {
    fn answer(&mut self, request: &Request<'_>) -> Answer {
        let fail = |error: io::Error| code(&error);
        let node = request.u64(16);
        let here = self.paths.get(usize::try_from(node).unwrap()).cloned().unwrap_or_default();
        match request.u32(4) {
            // LOOKUP
            1 => self.entry(&listed(&here, &request.names(ARG)[0]).ok_or(NOT_THERE)?),
            // GETATTR
            3 => Ok(attributes_out(&self.stat(node, &here)?)),
            // SETATTR
            4 => {
                self.set(request, node, &here).map_err(fail)?;
                Ok(attributes_out(&self.stat(node, &here)?))
            }
            // MKDIR
            9 => {
                let path = self.free(&here, &request.names(ARG + 8)[0])?;
                fs::create_dir(&path).map_err(fail)?;
                fs::set_permissions(&path, Permissions::from_mode(request.u32(ARG) & 0o7777)).map_err(fail)?;
                self.entry(&path)
            }
            // UNLINK, RMDIR
            kind @ (10 | 11) => {
                let path = listed(&here, &request.names(ARG)[0]).ok_or(NOT_THERE)?;
                if kind == 10 { fs::remove_file(path) } else { fs::remove_dir(path) }.map_err(fail)?;
                Ok(Vec::new())
            }
            // RENAME, RENAME2
            12 => self.rename(&here, request.u64(ARG), RenameFlags::empty(), &request.names(ARG + 8)),
            45 => {
                let flags = RenameFlags::from_bits_retain(request.u32(ARG + 8));
                self.rename(&here, request.u64(ARG), flags, &request.names(ARG + 16))
            }
            // LINK
            13 => {
                let from = self.paths[usize::try_from(request.u64(ARG)).unwrap()].clone();
                let path = self.free(&here, &request.names(ARG + 8)[0])?;
                fs::hard_link(from, &path).map_err(fail)?;
                self.entry(&path)
            }
            // OPEN
            14 => self.open(node, &here),
            // READ
            15 => {
                let (file, _) = self.open.get(&request.u64(ARG)).ok_or(NOT_THERE)?;
                let mut out = vec![0; usize::try_from(request.u32(ARG + 16)).unwrap()];
                let len = file.read_at(&mut out, request.u64(ARG + 8)).map_err(fail)?;
                out.truncate(len);
                Ok(out)
            }
            // WRITE
            16 => {
                let (file, _) = self.open.get(&request.u64(ARG)).ok_or(NOT_THERE)?;
                let size = request.u32(ARG + 16);
                let data = &request.0[ARG + 40..ARG + 40 + usize::try_from(size).unwrap()];
                file.write_all_at(data, request.u64(ARG + 8)).map_err(fail)?;
                Ok([size.to_ne_bytes(), [0; 4]].concat())
            }
            // STATFS
            17 => {
                let mut out = Vec::new();
                for word in [1_u64 << 30, 1 << 30, 1 << 30, 1 << 20, 1 << 20] {
                    out.extend(word.to_ne_bytes());
                }
                for word in [4096_u32, 255, 4096, 0] {
                    out.extend(word.to_ne_bytes());
                }
                out.resize(80, 0);
                Ok(out)
            }
            // RELEASE
            18 => {
                self.open.remove(&request.u64(ARG));
                Ok(Vec::new())
            }
            // FSYNC, FLUSH, RELEASEDIR, FSYNCDIR, ACCESS, DESTROY
            20 | 25 | 29 | 30 | 34 | 38 => Ok(Vec::new()),
            // INIT, with writes of more than a page
            26 => {
                let mut out = Vec::new();
                for word in [7_u32, 31, 1 << 16, 1 << 5, 0, 1 << 16] {
                    out.extend(word.to_ne_bytes());
                }
                out.resize(64, 0);
                Ok(out)
            }
            // OPENDIR
            27 => Ok(vec![0; 16]),
            // READDIR
            28 => Ok(directory(&here, request.u64(ARG + 8), usize::try_from(request.u32(ARG + 16)).unwrap())),
            // CREATE
            35 => {
                let path = match listed(&here, &request.names(ARG + 16)[0]) {
                    Some(path) => path,
                    None => here.join(&request.names(ARG + 16)[0]),
                };
                OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(fail)?;
                fs::set_permissions(&path, Permissions::from_mode(request.u32(ARG + 4) & 0o7777)).map_err(fail)?;
                let mut out = self.entry(&path)?;
                let node = u64::from_ne_bytes(out[..8].try_into().unwrap());
                out.extend(self.open(node, &path)?);
                Ok(out)
            }
            _ => Err(UNKNOWN),
        }
    }

    /// A path at which nothing is, as the disk compares names.
    fn free(&self, dir: &Path, name: &str) -> Result<PathBuf, i32> {
        if listed(dir, name).is_some() { Err(EXISTS) } else { Ok(dir.join(name)) }
    }

    fn rename(&mut self, dir: &Path, to: u64, flags: RenameFlags, names: &[String]) -> Answer {
        let to = self.paths[usize::try_from(to).unwrap()].clone();
        let old = listed(dir, &names[0]).ok_or(NOT_THERE)?;
        // What is there keeps the letters of its name, but where a file is only renamed in letters.
        let new = listed(&to, &names[1]).filter(|there| *there != old).unwrap_or_else(|| to.join(&names[1]));
        renameat_with(CWD, &old, CWD, &new, flags).map_err(|error| -error.raw_os_error())?;
        let exchanged = flags.contains(RenameFlags::EXCHANGE);
        for path in &mut self.paths {
            if let Ok(rest) = path.strip_prefix(&old) {
                *path = join(&new, rest);
            } else if let Ok(rest) = path.strip_prefix(&new) {
                *path = if exchanged { join(&old, rest) } else { PathBuf::new() };
            }
        }
        Ok(Vec::new())
    }

    fn open(&mut self, node: u64, path: &Path) -> Answer {
        let file = OpenOptions::new().read(true).write(true).open(path).or_else(|_| File::open(path));
        self.opened += 1;
        self.open.insert(self.opened, (file.map_err(|error| code(&error))?, node));
        let mut out = self.opened.to_ne_bytes().to_vec();
        out.resize(16, 0);
        Ok(out)
    }

    fn set(&self, request: &Request<'_>, node: u64, path: &Path) -> io::Result<()> {
        let valid = request.u32(ARG);
        let named = if valid & 64 == 0 { None } else { self.open.get(&request.u64(ARG + 8)) };
        let any = || self.open.values().find(|(_, of)| *of == node);
        let file = match named.or_else(any) {
            Some((file, _)) => file.try_clone()?,
            None => File::open(path)?,
        };
        if valid & 1 != 0 {
            file.set_permissions(Permissions::from_mode(request.u32(ARG + 68) & 0o7777))?;
        }
        if valid & 8 != 0 {
            OpenOptions::new().write(true).open(path)?.set_len(request.u64(ARG + 16))?;
        }
        if valid & (32 | 256) != 0 {
            let given = Duration::new(request.u64(ARG + 40), request.u32(ARG + 60));
            let time = if valid & 256 != 0 { SystemTime::now() } else { SystemTime::UNIX_EPOCH + given };
            file.set_modified(time)?;
        }
        Ok(())
    }

    fn stat(&self, node: u64, path: &Path) -> Result<Metadata, i32> {
        let open = || self.open.values().find(|(_, of)| *of == node).and_then(|(file, _)| file.metadata().ok());
        path.symlink_metadata().ok().or_else(open).ok_or(NOT_THERE)
    }

    /// One node a path: two names that are one to the disk have one.
    fn entry(&mut self, path: &Path) -> Answer {
        let meta = path.symlink_metadata().map_err(|error| code(&error))?;
        let node = self.paths.iter().position(|known| known == path).unwrap_or_else(|| {
            self.paths.push(path.to_owned());
            self.paths.len() - 1
        });
        let mut out = (node as u64).to_ne_bytes().to_vec();
        out.extend([0; 32]);
        out.extend(attributes(&meta));
        Ok(out)
    }
}

fn join(path: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { path.to_owned() } else { path.join(rest) }
}

/// The path that a name leads to.
fn listed(dir: &Path, name: &str) -> Option<PathBuf> {
    let names: Vec<_> =
        fs::read_dir(dir).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    let exact = names.iter().find(|there| *there == name);
    exact.or_else(|| names.iter().find(|there| fold(there) == fold(name))).map(|there| dir.join(there))
}

fn directory(dir: &Path, after: u64, most: usize) -> Vec<u8> {
    let mut names: Vec<_> = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).collect();
    names.sort_by_key(fs::DirEntry::file_name);
    let mut out = Vec::new();
    for (offset, entry) in (1_u64..).zip(names).filter(|(offset, _)| *offset > after) {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if out.len() + 24 + name.len().next_multiple_of(8) > most {
            break;
        }
        let Ok(meta) = entry.metadata() else { continue };
        out.extend(meta.ino().to_ne_bytes());
        out.extend(offset.to_ne_bytes());
        out.extend(u32::try_from(name.len()).unwrap().to_ne_bytes());
        out.extend(if meta.is_dir() { 4_u32 } else { 8 }.to_ne_bytes());
        out.extend(name);
        out.resize(out.len().next_multiple_of(8), 0);
    }
    out
}

fn attributes_out(meta: &Metadata) -> Vec<u8> {
    let mut out = vec![0; 16];
    out.extend(attributes(meta));
    out
}

fn attributes(meta: &Metadata) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [meta.ino(), meta.size(), meta.blocks()] {
        out.extend(word.to_ne_bytes());
    }
    for seconds in [meta.atime(), meta.mtime(), meta.ctime()] {
        out.extend(seconds.to_ne_bytes());
    }
    for nanos in [meta.atime_nsec(), meta.mtime_nsec(), meta.ctime_nsec()] {
        out.extend(u32::try_from(nanos).unwrap().to_ne_bytes());
    }
    let links = u32::try_from(meta.nlink()).unwrap();
    for word in [meta.mode(), links, 0, 0, 0, 4096, 0] {
        out.extend(word.to_ne_bytes());
    }
    out
}
