//! A read-only FUSE file system of one directory, spoken by hand (the kernel's include/uapi/linux/fuse.h, protocol 7.31): a file system that the
//! kernel does not know the changes of.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, unreachable_pub)]

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: u64 = 1;
const ENOENT: i32 = -2;
const ENOSYS: i32 = -38;

/// Mounts the files of `from` at `at`, and serves them until that is unmounted.
pub fn serve(from: &Path, at: &Path) {
    let mut device = OpenOptions::new().read(true).write(true).open("/dev/fuse").expect("this test needs /dev/fuse");
    rustix::io::fcntl_setfd(&device, rustix::io::FdFlags::empty()).unwrap();
    let options = format!("ro,fd={},rootmode=40755,user_id=0,group_id=0", device.as_raw_fd());
    let mounted = Command::new("mount").args(["-i", "-t", "fuse", "-o", &options, "test"]).arg(at).status().unwrap();
    assert!(mounted.success(), "cannot mount a FUSE file system in a user namespace");
    let mut buffer = vec![0; 1 << 20];
    loop {
        let len = match device.read(&mut buffer) {
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // It was unmounted.
            Err(_) => return,
        };
        let request = Request { bytes: &buffer[..len] };
        let Some(answer) = answer(from, &request) else { continue };
        let (error, body) = answer.map_or_else(|error| (error, Vec::new()), |body| (0, body));
        let mut reply = Vec::new();
        reply.extend(u32::try_from(16 + body.len()).unwrap().to_ne_bytes());
        reply.extend(error.to_ne_bytes());
        reply.extend(request.u64(8).to_ne_bytes());
        reply.extend(body);
        // A request that was interrupted meanwhile has no one to answer.
        let _ = device.write(&reply);
    }
}

struct Request<'a> {
    bytes: &'a [u8],
}

impl Request<'_> {
    fn u32(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.bytes[at..at + 4].try_into().unwrap())
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }
}

/// `None`: the kernel wants no answer.
fn answer(from: &Path, request: &Request<'_>) -> Option<Result<Vec<u8>, i32>> {
    // The argument begins after the header.
    const ARG: usize = 40;
    let node = request.u64(16);
    Some(match request.u32(4) {
        // FORGET, INTERRUPT, BATCH_FORGET
        2 | 36 | 42 => return None,
        // LOOKUP
        1 => {
            let name = request.bytes[ARG..].split(|b| *b == 0).next().unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            from.join(name).symlink_metadata().map_err(|_| ENOENT).map(|meta| {
                let mut out = Vec::new();
                out.extend(meta.ino().to_ne_bytes());
                out.extend([0; 32]);
                out.extend(attributes(meta.ino(), &meta));
                out
            })
        }
        // GETATTR
        3 => stat(from, node).map(|meta| {
            let mut out = vec![0; 16];
            out.extend(attributes(node, &meta));
            out
        }),
        // OPEN, OPENDIR
        14 | 27 => Ok(vec![0; 16]),
        // READ
        15 => path(from, node).and_then(|path| {
            let mut out = vec![0; usize::try_from(request.u32(ARG + 16)).unwrap()];
            let len = File::open(path).and_then(|file| file.read_at(&mut out, request.u64(ARG + 8)));
            out.truncate(len.map_err(|_| ENOENT)?);
            Ok(out)
        }),
        // STATFS
        17 => Ok(vec![0; 80]),
        // RELEASE, FLUSH, RELEASEDIR, ACCESS, DESTROY
        18 | 25 | 29 | 34 | 38 => Ok(Vec::new()),
        // INIT
        26 => {
            let mut out = Vec::new();
            for word in [7_u32, 31, 1 << 16, 0, 0, 1 << 16] {
                out.extend(word.to_ne_bytes());
            }
            out.resize(64, 0);
            Ok(out)
        }
        // READDIR: all names at once, from the offset on.
        28 => Ok(directory(from, request.u64(ARG + 8))),
        _ => Err(ENOSYS),
    })
}

fn directory(from: &Path, after: u64) -> Vec<u8> {
    let mut names: Vec<_> = std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()).collect();
    names.sort_by_key(std::fs::DirEntry::file_name);
    let mut out = Vec::new();
    for (offset, entry) in (1_u64..).zip(names).filter(|(offset, _)| *offset > after) {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        out.extend(entry.metadata().unwrap().ino().to_ne_bytes());
        out.extend(offset.to_ne_bytes());
        out.extend(u32::try_from(name.len()).unwrap().to_ne_bytes());
        out.extend(8_u32.to_ne_bytes());
        out.extend(name);
        out.resize(out.len().next_multiple_of(8), 0);
    }
    out
}

fn path(from: &Path, node: u64) -> Result<PathBuf, i32> {
    if node == ROOT {
        return Ok(from.to_owned());
    }
    let found = std::fs::read_dir(from).map_err(|_| ENOENT)?.filter_map(Result::ok);
    found.map(|entry| entry.path()).find(|path| path.metadata().is_ok_and(|meta| meta.ino() == node)).ok_or(ENOENT)
}

fn stat(from: &Path, node: u64) -> Result<Metadata, i32> {
    path(from, node)?.metadata().map_err(|_| ENOENT)
}

fn attributes(node: u64, meta: &Metadata) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [node, meta.size(), meta.blocks()] {
        out.extend(word.to_ne_bytes());
    }
    for seconds in [meta.atime(), meta.mtime(), meta.ctime()] {
        out.extend(seconds.to_ne_bytes());
    }
    for nanos in [meta.atime_nsec(), meta.mtime_nsec(), meta.ctime_nsec()] {
        out.extend(u32::try_from(nanos).unwrap().to_ne_bytes());
    }
    for word in [meta.mode(), 1, 0, 0, 0, 4096, 0] {
        out.extend(word.to_ne_bytes());
    }
    out
}
