//! Putting things in their place, and to the trash: only over what was seen.

#![allow(clippy::disallowed_methods, reason = "tests make and remove what they like")]

use std::fs::Permissions;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::model::Stat;

fn stat(root: &Root, at: &str) -> Local {
    let seen = root.observe(&path(at));
    assert!(matches!(seen, Local::File(_)), "{at}: {seen:?}");
    seen
}

/// A new file, in directories that are made: its time, its permissions, and the stat that a look confirms.
#[test]
fn a_new_file_is_placed() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("plain"), "").unwrap();
    let by_umask = fs::symlink_metadata(dir.path().join("plain")).unwrap().mode();
    for (n, root) in three(dir.path()).into_iter().enumerate() {
        let at = path(&format!("a/b{n}/é.txt"));
        // Before 1970, and far in the future.
        for (m, time) in [-1_000_000_000, 0, 1_500_000_000, 4_000_000_000].into_iter().enumerate() {
            let at = at.parent().unwrap().child(&format!("f{m}")).unwrap();
            let placed = download(&root, "k", b"new").place(&at, &Local::Absent, Some(time), NOW).unwrap();
            assert_eq!(root.observe(&at), Local::File(placed.stat));
            assert_eq!(placed.stat.mtime_ns, time * 1_000_000_000);
            assert_eq!(placed.trashed, None);
            let there = fs::symlink_metadata(dir.path().join(at.as_str())).unwrap();
            assert_eq!((there.mode(), there.nlink()), (by_umask, 1));
        }
        assert_eq!(download(&root, "k", b"").place(&at, &Local::Absent, None, NOW).unwrap().stat.size, 0);
    }
    assert_eq!(trash_of(dir.path()), []);
    assert_eq!(contents(&dir.path().join(".ferrybox/tmp")), []);
}

/// B5, K8: the file that was seen is replaced and lies in the trash as it was; its permissions and attributes go on.
#[test]
fn b5_the_seen_file_is_replaced_and_kept() {
    for n in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let root = &three(dir.path())[n];
        let at = dir.path().join("d/run.sh");
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(&at, "old").unwrap();
        fs::set_permissions(&at, Permissions::from_mode(0o4751)).unwrap();
        let attributes = rustix::fs::setxattr(&at, "user.note", b"mine", rustix::fs::XattrFlags::empty()).is_ok();
        let seen = stat(root, "d/run.sh");
        let inode = fs::symlink_metadata(&at).unwrap().ino();
        let placed = download(root, "k", b"newer").place(&path("d/run.sh"), &seen, Some(77), NOW).unwrap();
        assert_eq!(fs::read_to_string(&at).unwrap(), "newer");
        assert_eq!(root.observe(&path("d/run.sh")), Local::File(placed.stat));
        // Never set-user-id.
        assert_eq!(fs::symlink_metadata(&at).unwrap().mode() & 0o7777, 0o751);
        let mut note = [0; 9];
        assert_eq!(rustix::fs::getxattr(&at, "user.note", &mut note).is_ok_and(|n| &note[..n] == b"mine"), attributes);
        let trashed = placed.trashed.unwrap();
        assert_eq!(trashed.place(), ".ferrybox/trash/2030-01-02T03-04-05Z/d/run.sh");
        let old = dir.path().join(trashed.place());
        assert_eq!(
            (fs::read_to_string(&old).unwrap().as_str(), fs::symlink_metadata(&old).unwrap().ino()),
            ("old", inode)
        );
        assert_eq!(contents(&dir.path().join(".ferrybox/tmp")), []);
    }
}

/// B5: whatever is there instead of what was seen stays, and the download can be put elsewhere.
#[test]
fn b5_what_was_not_seen_is_never_replaced() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 8] = [
        ("written", |at| fs::write(at, "edited").unwrap()),
        ("same size", |at| fs::write(at, "OLD").unwrap()),
        ("touched", |at| fs::File::open(at).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap()),
        ("replaced", |at| {
            fs::write(at.with_extension("new"), "saved").unwrap();
            fs::rename(at.with_extension("new"), at).unwrap();
        }),
        ("chmod", |at| fs::set_permissions(at, Permissions::from_mode(0o600)).unwrap()),
        ("gone", |at| fs::remove_file(at).unwrap()),
        ("link", |at| {
            fs::remove_file(at).unwrap();
            symlink("/etc/passwd", at).unwrap();
        }),
        ("dir", |at| {
            fs::remove_file(at).unwrap();
            fs::create_dir(at).unwrap();
        }),
    ];
    for (what, change) in changes {
        for n in 0..3 {
            let dir = tempfile::tempdir().unwrap();
            let root = &three(dir.path())[n];
            let at = dir.path().join("f");
            fs::write(&at, "old").unwrap();
            let seen = stat(root, "f");
            let incoming = download(root, "k", b"new");
            change(&at);
            let before = (root.observe(&path("f")), contents(dir.path()));
            let refused = incoming.place(&path("f"), &seen, None, NOW).unwrap_err();
            let expected = if what == "dir" { Refused::Dir } else { Refused::Changed };
            assert_eq!(refused, expected, "{what}");
            assert_eq!(root.trash(&path("f"), &seen, NOW).unwrap_err(), expected, "{what}");
            assert_eq!(root.rename(&path("f"), &path("g"), &seen).unwrap_err(), expected, "{what}");
            if what != "gone" {
                assert_eq!(incoming.place(&path("f"), &Local::Absent, None, NOW).unwrap_err(), expected, "{what}");
            }
            assert_eq!((root.observe(&path("f")), contents(dir.path())), before, "{what}");
            incoming.place(&path("f (conflicted)"), &Local::Absent, None, NOW).unwrap();
            assert_eq!(fs::read_to_string(dir.path().join("f (conflicted)")).unwrap(), "new");
            assert_eq!(
                code(incoming.place(&path("h"), &Local::Absent, None, NOW).map_err(Refused::into_failure)),
                "busy"
            );
        }
    }
}

/// K7, R4: the other name of a hard-linked file keeps its content.
#[test]
fn k7_r4_another_name_of_the_file_keeps_its_content() {
    let outside = tempfile::tempdir().unwrap();
    for n in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let root = &three(dir.path())[n];
        fs::write(dir.path().join("f"), "old").unwrap();
        let other = outside.path().join(n.to_string());
        fs::hard_link(dir.path().join("f"), &other).unwrap();
        let seen = stat(root, "f");
        download(root, "k", b"new").place(&path("f"), &seen, None, NOW).unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "old");
        assert_eq!(fs::read_to_string(dir.path().join("f")).unwrap(), "new");
    }
}

/// B12: to the trash by a rename, as often as one likes in one second, also where a file's name becomes a directory's.
#[test]
fn b12_the_trash_keeps_everything_apart() {
    for n in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let root = &three(dir.path())[n];
        for text in ["1", "2", "3"] {
            fs::write(dir.path().join("a"), text).unwrap();
            root.trash(&path("a"), &stat(root, "a"), NOW).unwrap();
            assert_eq!(root.observe(&path("a")), Local::Absent);
        }
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/b"), "4").unwrap();
        let trashed = root.trash(&path("a/b"), &stat(root, "a/b"), NOW).unwrap();
        assert_eq!((trashed.stamp.as_str(), trashed.path.as_str()), ("2030-01-02T03-04-05Z-3", "a/b"));
        let there: Vec<String> = trash_of(dir.path()).into_iter().map(|(at, text)| format!("{at}={text}")).collect();
        let stamp = "2030-01-02T03-04-05Z";
        assert_eq!(
            there,
            [format!("{stamp}-1/a=2"), format!("{stamp}-2/a=3"), format!("{stamp}-3/a/b=4"), format!("{stamp}/a=1")]
        );
        assert_eq!(root.trash(&path("a"), &Local::Dir, NOW).unwrap_err(), Refused::Changed);
        assert_eq!(root.trash(&path("none/x"), &Local::File(placeholder()), NOW).unwrap_err(), Refused::Changed);
    }
}

fn placeholder() -> Stat {
    Stat { size: 0, mtime_ns: 0, ctime_ns: 0, ino: 0, dev: 0 }
}

/// Directories: made with their parents, removed only when empty, never through a symlink, never over a file.
#[test]
fn directories_are_made_and_removed() {
    let dir = folder();
    for root in three(dir.path()) {
        assert!(root.make_dir(&path("x/y/z")).unwrap());
        assert!(!root.make_dir(&path("x/y/z")).unwrap());
        assert_eq!(root.make_dir(&path("a/b/file/x/y")).unwrap_err(), Refused::InTheWay(path("a/b/file")));
        assert_eq!(root.make_dir(&path("a/b/file")).unwrap_err(), Refused::InTheWay(path("a/b/file")));
        for link in ["a/to-b/new", "etc/new", "dangling/new", "loop/x", "a/b/link"] {
            let Refused::Failed(failure) = root.make_dir(&path(link)).unwrap_err() else { panic!("{link}") };
            assert_eq!(failure.code, "type", "{link}");
        }
        assert_eq!(root.remove_dir(&path("x")).unwrap(), Removed::NotEmpty);
        assert_eq!(root.remove_dir(&path("x/y/z")).unwrap(), Removed::Yes);
        assert_eq!(root.remove_dir(&path("x/y/z")).unwrap(), Removed::Absent);
        assert_eq!(root.remove_dir(&path("x/y/z/none")).unwrap(), Removed::Absent);
        assert_eq!(root.remove_dir(&path("a/b/file")).unwrap_err(), Refused::Changed);
        assert_eq!(root.remove_dir(&path("a/to-b")).unwrap_err(), Refused::Changed);
        root.remove_dir(&path("x/y")).unwrap();
        root.remove_dir(&path("x")).unwrap();
        let incoming = download(&root, "k", b"new");
        let refused = incoming.place(&path("a/b/file/x"), &Local::Absent, None, NOW).unwrap_err();
        assert_eq!(refused, Refused::InTheWay(path("a/b/file")));
        assert_eq!(incoming.place(&path("a/b"), &Local::Absent, None, NOW).unwrap_err(), Refused::Dir);
        assert_eq!(incoming.place(&path("dangling"), &Local::Absent, None, NOW).unwrap_err(), Refused::Changed);
        // I9: our own names, in any letters, and the root itself.
        for own in [".ferrybox", ".ferrybox/x", ".FerryBox/tmp/x", ""] {
            let failures = [
                root.make_dir(&path(own)).unwrap_err(),
                root.remove_dir(&path(own)).unwrap_err(),
                root.trash(&path(own), &Local::Absent, NOW).unwrap_err(),
                root.rename(&path(own), &path("q"), &Local::Dir).unwrap_err(),
                root.rename(&path("a"), &path(own), &Local::Dir).unwrap_err(),
                incoming.place(&path(own), &Local::Absent, None, NOW).unwrap_err(),
            ];
            for refused in failures {
                assert_eq!(refused.into_failure().code, "reserved", "{own}");
            }
        }
    }
    assert_eq!(fs::read_to_string(dir.path().join("a/b/file")).unwrap(), "four");
}

/// Moves: files and trees, never over anything, also as a new spelling.
#[test]
fn moves_replace_nothing() {
    for n in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let root = &three(dir.path())[n];
        let at = |text: &str| dir.path().join(text);
        fs::create_dir_all(at("tree/in")).unwrap();
        fs::write(at("tree/in/f"), "f").unwrap();
        fs::write(at("one"), "one").unwrap();
        fs::write(at("two"), "two").unwrap();
        fs::create_dir(at("empty")).unwrap();
        let moved = |from: &str, to: &str, seen: &Local| root.rename(&path(from), &path(to), seen);
        assert_eq!(moved("one", "two", &stat(root, "one")).unwrap_err(), Refused::Changed);
        assert_eq!(moved("one", "empty", &stat(root, "one")).unwrap_err(), Refused::Dir);
        assert_eq!(moved("tree", "empty", &Local::Dir).unwrap_err(), Refused::Dir);
        assert_eq!(moved("tree", "two", &Local::Dir).unwrap_err(), Refused::Changed);
        assert_eq!(moved("none", "new", &Local::Dir).unwrap_err(), Refused::Changed);
        assert_eq!(moved("none/x", "new", &Local::Dir).unwrap_err(), Refused::Changed);
        assert_eq!(moved("one", "two/x", &stat(root, "one")).unwrap_err(), Refused::InTheWay(path("two")));
        assert_eq!(moved("tree", "tree/in/x", &Local::Dir).unwrap_err().into_failure().code, "changed");
        // Another name of the same file is in the way too.
        fs::hard_link(at("one"), at("ONE")).unwrap();
        assert_eq!(moved("one", "ONE", &stat(root, "one")).unwrap_err(), Refused::Changed);
        assert!(at("one").exists());
        fs::remove_file(at("ONE")).unwrap();
        let seen = stat(root, "one");
        assert_eq!(moved("one", "ONE", &seen).unwrap(), stat(root, "ONE"));
        assert_eq!(moved("tree", "Tree", &Local::Dir).unwrap(), Local::Dir);
        assert_eq!(moved("Tree", "far/away/tree", &Local::Dir).unwrap(), Local::Dir);
        assert_eq!(
            contents(dir.path()),
            [("ONE", "one"), ("far/away/tree/in/f", "f"), ("two", "two")]
                .map(|(at, text)| (at.to_owned(), text.to_owned()))
        );
    }
}

/// I6, I7: names of 255 bytes, one too long, and paths beyond what the kernel takes at once.
#[test]
fn i6_i7_long_names_and_deep_paths() {
    let dir = quick_dir();
    for root in three(dir.path()) {
        let long = path(&"é".repeat(127)).child(&"x".repeat(255)).unwrap();
        let placed = download(&root, "k", b"new").place(&long, &Local::Absent, None, NOW).unwrap();
        root.trash(&long, &Local::File(placed.stat), NOW).unwrap();
        for at in [path(&"x".repeat(256)), path(&"x".repeat(256)).child("f").unwrap()] {
            let failure =
                download(&root, "k", b"new").place(&at, &Local::Absent, None, NOW).unwrap_err().into_failure();
            assert_eq!(failure.code, "name");
        }
        let mut deep = RelPath::root();
        for _ in 0..500 {
            deep = deep.child("directory-x").unwrap();
        }
        let file = deep.child("f").unwrap();
        let placed = download(&root, "k", b"1").place(&file, &Local::Absent, None, NOW).unwrap();
        let again = download(&root, "k", b"22").place(&file, &Local::File(placed.stat), None, NOW).unwrap();
        assert_eq!(root.observe(&file), Local::File(again.stat));
        let moved = root.rename(&file, &deep.child("g").unwrap(), &Local::File(again.stat)).unwrap();
        root.trash(&deep.child("g").unwrap(), &moved, NOW).unwrap();
        let mut at = Some(deep);
        while let Some(dir) = at.filter(|dir| !dir.is_root()) {
            assert_eq!(root.remove_dir(&dir).unwrap(), Removed::Yes);
            at = dir.parent();
        }
    }
}

/// K3: a directory that may not be written to refuses its own files only.
#[test]
fn k3_a_read_only_directory_refuses_and_says_so() {
    if ran_without_privileges("local::tests::placing::k3_a_read_only_directory_refuses_and_says_so") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("d/f"), "old").unwrap();
    fs::create_dir(dir.path().join("d/empty")).unwrap();
    for root in three(dir.path()) {
        let seen = stat(&root, "d/f");
        chmod(&dir.path().join("d"), 0o555);
        let incoming = download(&root, "k", b"new");
        for refused in [
            incoming.place(&path("d/new"), &Local::Absent, None, NOW).map(drop),
            incoming.place(&path("d/f"), &seen, None, NOW).map(drop),
            root.trash(&path("d/f"), &seen, NOW).map(drop),
            root.make_dir(&path("d/x")).map(drop),
            root.remove_dir(&path("d/empty")).map(drop),
            root.rename(&path("d/f"), &path("g"), &seen).map(drop),
        ] {
            let failure = refused.unwrap_err().into_failure();
            assert_eq!((failure.code.as_str(), failure.next), ("permission", crate::model::Next::Wedge));
        }
        assert_eq!(root.observe(&path("d/f")), seen);
        assert_eq!(trash_of(dir.path()), []);
        // Writable, and not readable: that is enough.
        chmod(&dir.path().join("d"), 0o300);
        incoming.place(&path("d/new"), &Local::Absent, None, NOW).unwrap();
        chmod(&dir.path().join("d"), 0o755);
        fs::remove_file(dir.path().join("d/new")).unwrap();
    }
}
