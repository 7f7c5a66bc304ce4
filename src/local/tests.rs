//! The disk as it is: real files, and both ways of opening what lies beneath a root.

use std::ffi::OsStr;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with};
use tempfile::TempDir;

use super::*;
use crate::model::{ContentHasher, Failure, Local, UnixMs};

mod bin;
mod incoming;
mod moments;
mod mounts;
mod placing;
mod races;
mod scanning;

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

/// The same root, with `openat2` and without.
fn both(dir: &Path) -> [Root; 2] {
    [Root::open(dir).unwrap(), Root::open_walking(dir).unwrap()]
}

fn code(result: Result<impl Sized, Failure>) -> String {
    result.err().map_or_else(|| "none".to_owned(), |failure| failure.code)
}

/// 2030-01-02T03:04:05.678Z: later than any test runs.
const NOW: UnixMs = 1_893_553_445_678;

/// A folder where `fsync` costs nothing, if there is one.
fn quick_dir() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// With `openat2`, without, and on a file system with plain renames only.
fn three(dir: &Path) -> [Root; 3] {
    let [a, b] = both(dir);
    [a, b, Root::open_plain(dir).unwrap()]
}

/// A whole download.
fn download(root: &Root, key: &str, bytes: &[u8]) -> Incoming {
    let incoming = root.incoming(key, bytes.len() as u64).unwrap();
    incoming.write_at(0, bytes).unwrap();
    let mut hasher = ContentHasher::new();
    hasher.update(bytes);
    assert_eq!(incoming.hash().unwrap(), hasher.finish());
    incoming
}

/// Runs a step that ends at that moment, as at a kill: what it would do then, tidying up included, is not done.
fn killed<T>(at: &'static str, step: impl FnOnce() -> T) {
    private_dir::MEANWHILE.set(Some(Box::new(move |moment| {
        if moment == at {
            std::panic::resume_unwind(Box::new("killed"));
        }
    })));
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(step));
    private_dir::MEANWHILE.set(None);
    assert!(ended.is_err(), "the moment {at} did not come");
}

/// Looks after what is left beside its place, as a start does; gives what has to be kept, and the path that it had.
fn recovered(root: &Root, dir: &Path) -> Vec<(String, RelPath)> {
    let mut unknown = Vec::new();
    for (name, _) in contents(dir) {
        let side = path(&name);
        if is_left_over(side.name()) {
            match root.recover(&side, NOW, &|| {}).unwrap() {
                Recovered::Unknown { of } => unknown.push((name, of)),
                Recovered::Gone | Recovered::Trashed(_) => {}
            }
        }
    }
    unknown
}

/// As [`recovered`], where nothing has to be kept: nothing is left.
fn look_after(root: &Root, dir: &Path) {
    assert_eq!(recovered(root, dir), []);
    assert!(contents(dir).iter().all(|(name, _)| name.starts_with(".ferrybox/") || !name.contains(".~ferrybox-")));
}

/// Every file below `dir` and its content, in order.
fn contents(dir: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(at) = left.pop() {
        for entry in fs::read_dir(&at).into_iter().flatten() {
            let at = entry.unwrap().path();
            if at.symlink_metadata().unwrap().is_dir() {
                left.push(at);
            } else {
                let name = at.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&at).unwrap_or_else(|_| "?".to_owned())));
            }
        }
    }
    found.sort();
    found
}

/// What the trash of the root holds.
fn trash_of(dir: &Path) -> Vec<(String, String)> {
    contents(&dir.join(".ferrybox/trash"))
}

fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |text: &str| dir.path().join(text);
    fs::create_dir_all(at("a/b")).unwrap();
    fs::write(at("a/b/file"), "four").unwrap();
    symlink("file", at("a/b/link")).unwrap();
    symlink("b", at("a/to-b")).unwrap();
    symlink("/etc", at("etc")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    symlink("loop", at("loop")).unwrap();
    mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    dir
}

/// K5, K6: each kind of thing, at the end and in the middle of a path.
#[test]
fn k5_k6_observe_tells_what_is_there() {
    let dir = folder();
    let long = format!("a/{}", "x".repeat(300));
    for root in both(dir.path()) {
        let Local::File(stat) = root.observe(&path("a/b/file")) else { panic!("no file") };
        assert_eq!(stat.size, 4);
        assert!(stat.mtime_ns > 1_600_000_000_000_000_000 && stat.ctime_ns >= stat.mtime_ns && stat.ino > 0);
        assert_eq!(root.open_file(&path("a/b/file")).unwrap().1, stat);
        for (at, expected) in [
            ("", Local::Dir),
            ("a", Local::Dir),
            ("a/b", Local::Dir),
            ("a/b/link", Local::Other("symlink")),
            ("a/to-b", Local::Other("symlink")),
            ("dangling", Local::Other("symlink")),
            ("loop", Local::Other("symlink")),
            ("fifo", Local::Other("FIFO")),
            ("none", Local::Absent),
            ("none/below", Local::Absent),
            ("a/b/none", Local::Absent),
            ("a/b/file/below", Local::Absent),
            ("a/b/file/far/below", Local::Absent),
            ("fifo/below", Local::Absent),
            (long.as_str(), Local::Absent),
        ] {
            assert_eq!(root.observe(&path(at)), expected, "{at}");
        }
        for at in ["a/to-b/file", "a/to-b/none", "etc/passwd", "etc/x/y", "dangling/x", "loop/x", "a/b/link/x"] {
            let Local::Unknown(failure) = root.observe(&path(at)) else { panic!("{at} is known") };
            assert_eq!(failure.code, "type", "{at}");
            assert_eq!(code(root.open_file(&path(at))), "type", "{at}");
        }
        for at in ["a/b/link", "etc", "fifo"] {
            assert_eq!(code(root.open_file(&path(at))), "type", "{at}");
        }
        for at in ["a", "none", "none/x"] {
            assert_eq!(code(root.open_file(&path(at))), "busy", "{at}");
        }
        assert_eq!(code(root.read_dir(&path("a/to-b"))), "type");
        assert_eq!(code(root.read_dir(&path("none"))), "busy");
        assert_eq!(code(root.read_dir(&path("fifo"))), "busy");
    }
}

/// I3: a name that is not UTF-8 is told in readable letters, and its neighbours are as ever.
#[test]
fn i3_names_that_are_not_utf8_are_odd() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(OsStr::from_bytes(b"caf\xe9\n")), "").unwrap();
    fs::create_dir(dir.path().join(OsStr::from_bytes(b"\xc3\xa9\xff"))).unwrap();
    fs::write(dir.path().join("é"), "").unwrap();
    fs::write(dir.path().join("B"), "").unwrap();
    for root in both(dir.path()) {
        let listing = root.read_dir(&RelPath::root()).unwrap();
        let names: Vec<&str> = listing.entries.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["B", "é"]);
        let odd: Vec<(&str, &str)> = listing.odd.iter().map(|(name, why)| (name.as_str(), why.code.as_str())).collect();
        assert_eq!(odd, [("caf\\xe9\n", "name_encoding"), ("é\\xff", "name_encoding")]);
        assert_eq!((listing.incomplete, listing.dev), (None, root.dev()));
    }
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// R2: a directory is swapped with a symlink to another place, all the time. The other place is never seen.
#[test]
fn r2_a_swapped_symlink_leads_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "outside").unwrap();
    fs::create_dir_all(dir.path().join("d/e")).unwrap();
    fs::write(dir.path().join("d/e/secret"), "in").unwrap();
    fs::create_dir(dir.path().join("swap")).unwrap();
    symlink(outside.path(), dir.path().join("swap/e")).unwrap();
    let stop = AtomicBool::new(false);
    let (mut seen, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        // Also when an assertion fails, since the scope waits for the other thread.
        let _stop = StopAtEnd(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let (one, two) = (dir.path().join("d/e"), dir.path().join("swap/e"));
                renameat_with(CWD, one, CWD, two, RenameFlags::EXCHANGE).unwrap();
            }
        });
        for _ in 0..5_000 {
            for root in both(dir.path()) {
                match root.observe(&path("d/e/secret")) {
                    Local::File(stat) if stat.size == 2 => seen += 1,
                    Local::Unknown(failure) if failure.code == "type" => refused += 1,
                    other => panic!("{other:?}"),
                }
                match read_small(&root, &path("d/e/secret"), 100) {
                    Ok(read) => assert_eq!(read.bytes, "in"),
                    Err(failure) => assert_eq!(failure.code, "type"),
                }
                match root.read_dir(&path("d/e")) {
                    Ok(listing) => assert!(matches!(listing.entries[..], [(_, Kind::File(stat))] if stat.size == 2)),
                    Err(failure) => assert_eq!(failure.code, "type"),
                }
            }
        }
    });
    assert!(seen > 0 && refused > 0, "the swaps did not happen in between: {seen} seen, {refused} refused");
}

/// I7: deeper than one system call can name.
#[test]
fn i7_paths_longer_than_the_kernel_takes_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let top = Root::open(dir.path()).unwrap();
    let mut at = RelPath::root();
    for _ in 0..50 {
        let above = top.open_dir(&at, rustix::fs::OFlags::RDONLY).unwrap();
        let name = "d".repeat(200);
        rustix::fs::mkdirat(&above, name.as_str(), Mode::RWXU).unwrap();
        at = at.child(&name).unwrap();
    }
    assert!(at.as_str().len() > 10_000);
    for root in both(dir.path()) {
        assert_eq!(root.observe(&at), Local::Dir);
        assert_eq!(root.observe(&at.child("none").unwrap()), Local::Absent);
        assert!(root.read_dir(&at).unwrap().entries.is_empty());
    }
}

/// Runs the named test again without root's power to read everything. Says whether the caller is done.
fn ran_without_privileges(name: &str) -> bool {
    const MARK: &str = "FERRYBOX_TEST_WITHOUT_PRIVILEGES";
    if !rustix::process::geteuid().is_root() || std::env::var_os(MARK).is_some() {
        return false;
    }
    let mut wrapper = std::process::Command::new("setpriv");
    run_again(wrapper.args(["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]), name, MARK);
    true
}

/// Runs the named test again by `wrapper`, with the variable `mark` set; it must pass.
fn run_again(wrapper: &mut std::process::Command, name: &str, mark: &str) {
    let wrapper = wrapper.arg(std::env::current_exe().unwrap());
    let output = wrapper.args(["--exact", name]).env(mark, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn chmod(at: &Path, mode: u32) {
    fs::set_permissions(at, fs::Permissions::from_mode(mode)).unwrap();
}

/// K1, K2: what may not be read is unknown, and says so.
#[test]
fn k1_k2_unreadable_is_unknown() {
    if ran_without_privileges("local::tests::k1_k2_unreadable_is_unknown") {
        return;
    }
    let dir = folder();
    fs::write(dir.path().join("closed"), "x").unwrap();
    chmod(&dir.path().join("closed"), 0o000);
    for root in both(dir.path()) {
        assert_eq!(code(root.open_file(&path("closed"))), "permission");
        assert!(matches!(root.observe(&path("closed")), Local::File(_)));
        chmod(&dir.path().join("a"), 0o000);
        for at in ["a/b", "a/b/file", "a/none"] {
            assert!(matches!(root.observe(&path(at)), Local::Unknown(why) if why.code == "permission"), "{at}");
        }
        assert_eq!(code(root.read_dir(&path("a"))), "permission");
        // The right to search without the right to list, and the other way round.
        chmod(&dir.path().join("a"), 0o100);
        assert!(matches!(root.observe(&path("a/b/file")), Local::File(_)));
        assert_eq!(code(root.read_dir(&path("a"))), "permission");
        chmod(&dir.path().join("a/b"), 0o400);
        chmod(&dir.path().join("a"), 0o700);
        let listing = root.read_dir(&path("a/b")).unwrap();
        assert!(matches!(&listing.entries[..], [(file, Kind::Unknown(why)), (_, Kind::Other("symlink"))]
            if file == "file" && why.code == "permission"));
        chmod(&dir.path().join("a/b"), 0o700);
    }
}

/// Q1, Q3, Q7: the marker and the root's identity.
#[test]
fn q1_q3_q7_a_root_is_known_by_its_marker_and_its_inode() {
    let above = tempfile::tempdir().unwrap();
    let at = above.path().join("root");
    assert!(matches!(Root::open(&at), Err(LocalError::Missing)));
    fs::write(&at, "").unwrap();
    assert!(matches!(Root::open(&at), Err(LocalError::NotADirectory)));
    fs::remove_file(&at).unwrap();
    fs::create_dir(&at).unwrap();
    let by_link = above.path().join("link");
    symlink(&at, &by_link).unwrap();
    let root = Root::open(&by_link).unwrap();
    assert_eq!(root.path(), at.canonicalize().unwrap());

    let id = RootId::new().unwrap();
    assert_eq!(root.marker().unwrap(), None);
    assert_eq!(code(root.still_there(Some(&id)).map_err(Gone::into_failure)), "root_missing");
    root.write_marker(&id).unwrap();
    assert_eq!(root.marker().unwrap(), Some(id.clone()));
    assert_eq!(fs::symlink_metadata(at.join(".ferrybox")).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_dir(at.join(".ferrybox")).unwrap().count(), 1);
    root.still_there(Some(&id)).unwrap();
    root.still_there(None).unwrap();
    let other = RootId::new().unwrap();
    assert_ne!(id, other);
    assert_eq!(code(root.write_marker(&other)), "conflict");
    assert_eq!(code(root.still_there(Some(&other)).map_err(Gone::into_failure)), "root_missing");
    assert_eq!(fs::read_dir(at.join(".ferrybox")).unwrap().count(), 1);

    assert!(matches!(root.still_there(Some(&other)), Err(Gone::Unmarked(_))));
    fs::write(at.join(".ferrybox/root-id"), "damaged").unwrap();
    assert!(matches!(root.still_there(Some(&id)), Err(Gone::Unmarked(_))));
    assert_eq!(code(root.still_there(Some(&id)).map_err(Gone::into_failure)), "root_missing");
    fs::remove_file(at.join(".ferrybox/root-id")).unwrap();
    assert_eq!(code(root.still_there(Some(&id)).map_err(Gone::into_failure)), "root_missing");
    root.write_marker(&id).unwrap();

    // Moved away; another in its place; a symlink in its place; removed.
    let away = above.path().join("away");
    fs::rename(&at, &away).unwrap();
    assert_eq!(code(root.still_there(None).map_err(Gone::into_failure)), "root_missing");
    symlink(&away, &at).unwrap();
    assert_eq!(code(root.still_there(None).map_err(Gone::into_failure)), "root_missing");
    fs::remove_file(&at).unwrap();
    fs::create_dir(&at).unwrap();
    assert_eq!(code(root.still_there(None).map_err(Gone::into_failure)), "root_missing");
    fs::remove_dir(&at).unwrap();
    fs::rename(&away, &at).unwrap();
    root.still_there(Some(&id)).unwrap();
    fs::remove_file(at.join(".ferrybox/root-id")).unwrap();
    fs::remove_dir(at.join(".ferrybox")).unwrap();
    fs::remove_dir(&at).unwrap();
    assert!(matches!(root.observe(&path("x")), Local::Unknown(why) if why.code == "root_missing"));
}

/// R3: a symlink planted where the marker's directory goes is not followed.
#[test]
fn r3_a_planted_symlink_gets_no_marker() {
    let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(outside.path(), dir.path().join(".ferrybox")).unwrap();
    let root = Root::open(dir.path()).unwrap();
    assert!(root.write_marker(&RootId::new().unwrap()).is_err());
    assert!(root.marker().is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn an_ignore_file_is_text_or_trouble() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["none", "text", "link", "dir", "huge"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("text/.ferryboxignore"), "*.o\n").unwrap();
    symlink("../text/.ferryboxignore", dir.path().join("link/.ferryboxignore")).unwrap();
    fs::create_dir(dir.path().join("dir/.ferryboxignore")).unwrap();
    fs::write(dir.path().join("huge/.ferryboxignore"), vec![b'x'; (1 << 20) + 1]).unwrap();
    let root = Root::open(dir.path()).unwrap();
    assert_eq!(root.ignore_text(&path("none")).unwrap(), None);
    assert_eq!(root.ignore_text(&path("gone")).unwrap(), None);
    assert_eq!(root.ignore_text(&path("dir")).unwrap(), None);
    assert_eq!(root.ignore_text(&path("text")).unwrap().as_deref(), Some("*.o\n"));
    assert_eq!(code(root.ignore_text(&path("link"))), "type");
    // Q4: nothing is said of a change that there was not.
    let failure = root.ignore_text(&path("huge")).unwrap_err();
    assert_eq!(failure.code, "ignore_file");
    assert!(failure.text.contains("larger than 1 MiB") && failure.text.contains("shorten it"), "{failure}");
}
