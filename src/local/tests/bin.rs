//! The trash: told, given back, purged.

#![allow(clippy::disallowed_methods, reason = "tests make and remove what they like")]

use super::*;

const SECOND: UnixMs = 1_000;

fn list(root: &Root) -> Vec<Left> {
    let mut all = Vec::new();
    root.trash_list(&mut |left| {
        all.push(left);
        ControlFlow::Continue(())
    })
    .unwrap();
    all
}

/// A purge of what is seen since before `old`, when the count is at `count`.
fn purge(root: &Root, count: i64, old: i64, max_bytes: u64) -> Purged {
    root.purge(&Keep { count, is_old: &|seen| seen < old, max_bytes, alive: &|| {} }).unwrap()
}

fn throw(root: &Root, dir: &Path, at: &str, text: &str, when: UnixMs) -> Trashed {
    let full = dir.join(at);
    fs::create_dir_all(full.parent().unwrap()).unwrap();
    fs::write(&full, text).unwrap();
    root.trash(&path(at), &root.observe(&path(at)), when).unwrap()
}

#[test]
fn what_went_is_told_oldest_first_and_given_back() {
    for n in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let root = &three(dir.path())[n];
        assert_eq!(list(root), []);
        let b = throw(root, dir.path(), "d/e/b.txt", "bb", NOW + SECOND);
        let a = throw(root, dir.path(), "d/a", "a", NOW);
        let again = throw(root, dir.path(), "d/e/b.txt", "bbb", NOW + SECOND);
        let told: Vec<_> = list(root).into_iter().map(|left| (left.trashed, left.stat.size, left.when)).collect();
        let when = NOW / SECOND * SECOND;
        assert_eq!(told, [(a.clone(), 1, when), (b.clone(), 2, when + SECOND), (again.clone(), 3, when + SECOND)]);
        let mut first = None;
        root.trash_list(&mut |left| {
            assert_eq!(first.replace(left.trashed), None, "it went on");
            ControlFlow::Break(())
        })
        .unwrap();
        assert_eq!(first, Some(a.clone()));

        // Its directories are gone, or something has its name: never over it.
        fs::remove_dir(dir.path().join("d/e")).unwrap();
        assert_eq!(root.restore(&b).unwrap(), path("d/e/b.txt"));
        assert_eq!(root.restore(&again).unwrap(), path("d/e/b (restored).txt"));
        assert_eq!(root.restore(&again).unwrap_err(), Refused::Changed);
        assert_eq!(fs::read_to_string(dir.path().join("d/e/b.txt")).unwrap(), "bb");
        assert_eq!(fs::read_to_string(dir.path().join("d/e/b (restored).txt")).unwrap(), "bbb");
        fs::create_dir(dir.path().join("d/a")).unwrap();
        fs::write(dir.path().join("d/a (restored)"), "").unwrap();
        assert_eq!(root.restore(&a).unwrap(), path("d/a (restored 2)"));
        assert_eq!(fs::read_dir(dir.path().join(".ferrybox/trash")).unwrap().count(), 0, "empty directories stay");

        for stamp in ["..", "2026", "2030-01-02T03-04-05Z/../x", ""] {
            let wrong = Trashed { stamp: stamp.to_owned(), path: path("d/a") };
            assert_eq!(root.restore(&wrong).unwrap_err().into_failure().code, "name", "{stamp}");
        }
        let long = "é".repeat(120) + ".tar-gz";
        let first = throw(root, dir.path(), &long, "1", NOW);
        fs::write(dir.path().join(&long), "2").unwrap();
        let name = root.restore(&first).unwrap();
        assert!(name.as_str().ends_with(" (restored).tar-gz") && name.as_str().len() <= 255, "{name}");
    }
}

#[test]
fn the_purge_takes_the_old_and_then_the_oldest() {
    for n in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let root = &three(dir.path())[n];
        assert_eq!(purge(root, 0, i64::MAX, 0), Purged::default());
        // In the order of their times they are seen in another one: the first three last.
        for i in (0..10).rev() {
            throw(root, dir.path(), &format!("d{i}/f"), "12345", NOW + i * SECOND);
            if i == 3 {
                purge(root, 5, 0, u64::MAX);
            }
        }
        fs::create_dir(dir.path().join(".ferrybox/trash/mine")).unwrap();
        let kept = |root: &Root| list(root).into_iter().map(|left| left.trashed.path.to_string()).collect::<Vec<_>>();
        assert_eq!(purge(root, 9, 5, u64::MAX), Purged { kept: 50, ..Purged::default() });
        // Whoever has lost the count begins anew: so do they.
        assert_eq!(purge(root, 7, 6, u64::MAX), Purged { files: 7, bytes: 35, kept: 15, ..Purged::default() });
        assert_eq!(kept(root), ["d0/f", "d1/f", "d2/f"]);
        assert_eq!(purge(root, 7, 0, 12), Purged { files: 1, bytes: 5, kept: 10, ..Purged::default() });
        assert_eq!(purge(root, 8, 8, u64::MAX).files, 2);
        assert_eq!(contents(&dir.path().join(".ferrybox/notes")), []);
        // What goes at a time that is seen already, by a clock that stands still, say, is younger than what is there.
        throw(root, dir.path(), "a", "1", NOW);
        assert_eq!(purge(root, 10, 0, u64::MAX).kept, 1);
        throw(root, dir.path(), "b", "2", NOW);
        assert_eq!(purge(root, 20, 11, u64::MAX), Purged { files: 1, bytes: 1, kept: 1, ..Purged::default() });
        assert_eq!(purge(root, 20, 21, u64::MAX).files, 1);
        // What is no directory of ours stays.
        assert_eq!(fs::read_dir(dir.path().join(".ferrybox/trash")).unwrap().count(), 1);
    }
}

/// B6: a program that kept the file open wrote to it in the trash. That is not purged, however soon it wrote and whatever it did to the file's times.
#[test]
fn b6_what_was_written_in_the_trash_stays() {
    type Write = fn(&fs::File);
    let append = |mut file: &fs::File| std::io::Write::write_all(&mut file, b" and more").unwrap();
    let secretly: Write = |file| {
        let before = file.metadata().unwrap().modified().unwrap();
        std::os::unix::fs::FileExt::write_all_at(file, b"y", 0).unwrap();
        file.set_modified(before).unwrap();
    };
    for (write, text, told) in [(append as Write, "x and more", true), (secretly, "y", false)] {
        for noted in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let root = Root::open(dir.path()).unwrap();
            let at = dir.path().join("open");
            fs::write(&at, "x").unwrap();
            let open = fs::File::options().read(true).write(true).append(told).open(&at).unwrap();
            // With nothing noted, only a write that is later than the going is seen.
            let going = Going { when: if noted { NOW } else { 60 * SECOND }, holds: noted.then(|| hash_of("x")) };
            let trashed = root.trash(&path("open"), &root.observe(&path("open")), going).unwrap();
            assert_eq!(purge(&root, 0, i64::MAX, 0).in_use, 1, "a program may still write to it");
            write(&open);
            drop(open);
            let written: Vec<_> = list(&root).into_iter().filter(|left| left.written_since).collect();
            assert_eq!(!written.is_empty(), told);
            if !told && !noted {
                continue;
            }
            for _ in 0..2 {
                let purged = purge(&root, 0, i64::MAX, 0);
                assert_eq!((purged.files, purged.in_use, purged.changed.len()), (0, 0, 1), "{text} {noted}");
                assert_eq!(purged.changed[0].trashed, trashed);
            }
            // Kept elsewhere, it may go.
            let left = list(&root).remove(0);
            root.is_kept(&left, hash_of(text)).unwrap();
            assert_eq!(purge(&root, 0, i64::MAX, 0).files, 1);
        }
    }
}

/// Times of the file's own, in the past and in the future, are no writes.
#[test]
fn b6_times_of_the_files_own_are_no_writes() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    for (name, seconds) in [("old", 1), ("future", 9_000_000_000)] {
        fs::write(dir.path().join(name), "x").unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        fs::File::options().write(true).open(dir.path().join(name)).unwrap().set_modified(time).unwrap();
        let seen = root.observe(&path(name));
        let holds = (seconds == 1).then(|| hash_of("x"));
        root.trash(&path(name), &seen, Going { when: NOW - 60 * SECOND, holds }).unwrap();
    }
    assert_eq!(purge(&root, 0, i64::MAX, 0), Purged { files: 2, bytes: 2, ..Purged::default() });
}

pub(super) fn hash_of(text: &str) -> crate::model::ContentHash {
    let mut hasher = ContentHasher::new();
    hasher.update(text.as_bytes());
    hasher.finish()
}

/// A kill before the exchange leaves the download in the trash, after it the replaced file. Neither is somebody's edit.
#[test]
fn b6_a_kill_around_the_exchange_is_no_edit() {
    for at in ["in the trash", "exchanged"] {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        fs::write(dir.path().join("f\n\\"), "old").unwrap();
        let seen = root.observe(&path("f\n\\"));
        let incoming = download(&root, "k", b"new");
        killed(at, || incoming.place(&path("f\n\\"), &seen, None, Going { when: NOW, holds: Some(hash_of("old")) }));
        drop(incoming);
        assert_eq!(list(&root).len(), 1);
        assert!(list(&root).iter().all(|left| !left.written_since));
        assert_eq!(purge(&root, 0, i64::MAX, 0).files, 1, "{at}");
    }
}

/// One file that cannot be read, for whatever reason, keeps no other in the trash; and whoever waits is told with each file and each piece of one.
#[test]
fn l8_a_file_that_cannot_be_read_keeps_no_other() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const MARK: &str = "FERRYBOX_TEST_OF_ITS_OWN";
    const NAME: &str = "local::tests::bin::l8_a_file_that_cannot_be_read_keeps_no_other";
    if std::env::var_os(MARK).is_none() {
        // The limit is the whole process's.
        return run_again(&mut std::process::Command::new("env"), NAME, MARK);
    }
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    for name in ["a", "b", "c"] {
        fs::write(dir.path().join(name), "x").unwrap();
        let going = Going { when: NOW, holds: Some(hash_of("x")) };
        root.trash(&path(name), &root.observe(&path(name)), going).unwrap();
    }
    let (told, usual) = (std::cell::Cell::new(0), getrlimit(Resource::Nofile));
    let alive = || {
        told.set(told.get() + 1);
        match told.get() {
            // Each is told once when it is counted; then the first, and its one piece; then the second.
            6 => setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..usual }).unwrap(),
            7 => setrlimit(Resource::Nofile, usual).unwrap(),
            _ => {}
        }
    };
    let purged = root.purge(&Keep { count: 0, is_old: &|_| true, max_bytes: 0, alive: &alive }).unwrap();
    assert_eq!(purged, Purged { files: 2, bytes: 2, kept: 1, in_use: 1, ..Purged::default() });
    assert_eq!(list(&root).into_iter().map(|left| left.trashed.path.to_string()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(told.get(), 8);
}

/// B6: a line that a crash cut off inside a letter takes no other note with it.
#[test]
fn b6_a_cut_line_spoils_no_other_note() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    fs::write(dir.path().join("f"), "x").unwrap();
    let going = Going { when: NOW, holds: Some(hash_of("x")) };
    let trashed = root.trash(&path("f"), &root.observe(&path("f")), going).unwrap();
    let at = dir.path().join(trashed.place());
    let before = fs::metadata(&at).unwrap().modified().unwrap();
    fs::write(&at, "y").unwrap();
    fs::File::options().write(true).open(&at).unwrap().set_modified(before).unwrap();
    let notes = fs::File::options().append(true).open(dir.path().join(".ferrybox/notes").join(&trashed.stamp));
    std::io::Write::write_all(&mut notes.unwrap(), b"\n00 1 1 caf\xc3").unwrap();
    let purged = purge(&root, 0, i64::MAX, 0);
    assert_eq!((purged.files, purged.changed.len()), (0, 1));
}

/// What keeps a file from the trash is said as it is.
#[test]
fn k3_notes_that_cannot_be_looked_at_are_said_to_be_so() {
    if ran_without_privileges("local::tests::bin::k3_notes_that_cannot_be_looked_at_are_said_to_be_so") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    throw(&root, dir.path(), "a", "1", NOW);
    fs::write(dir.path().join("b"), "2").unwrap();
    chmod(&dir.path().join(".ferrybox/notes"), 0o000);
    let refused = root.trash(&path("b"), &root.observe(&path("b")), NOW).unwrap_err();
    chmod(&dir.path().join(".ferrybox/notes"), 0o700);
    assert_eq!(refused.into_failure().code, "permission");
    assert!(dir.path().join("b").exists());
}
