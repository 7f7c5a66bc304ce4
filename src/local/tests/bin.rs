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
        assert_eq!(root.purge(i64::MAX, 0).unwrap(), Purged::default());
        for i in 0..10 {
            throw(root, dir.path(), &format!("d{i}/f"), "12345", NOW + i * SECOND);
        }
        fs::create_dir(dir.path().join(".ferrybox/trash/mine")).unwrap();
        let kept = |root: &Root| list(root).into_iter().map(|left| left.trashed.path.to_string()).collect::<Vec<_>>();
        let purged = root.purge(NOW / SECOND * SECOND + 3 * SECOND, u64::MAX).unwrap();
        assert_eq!(purged, Purged { files: 3, bytes: 15, kept: 35, written_since: 0 });
        assert_eq!(kept(root), ["d3/f", "d4/f", "d5/f", "d6/f", "d7/f", "d8/f", "d9/f"]);
        let purged = root.purge(0, 22).unwrap();
        assert_eq!(purged, Purged { files: 3, bytes: 15, kept: 20, written_since: 0 });
        assert_eq!(kept(root), ["d6/f", "d7/f", "d8/f", "d9/f"]);
        assert_eq!(root.purge(0, 0).unwrap().files, 4);
        // What is no directory of ours stays.
        assert_eq!(fs::read_dir(dir.path().join(".ferrybox/trash")).unwrap().count(), 1);
    }
}

/// B6: a program that kept the file open wrote to it in the trash. That is not purged.
#[test]
fn b6_what_was_written_in_the_trash_stays() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    // Times of the file's own, in the past and in the future, are no writes.
    for (name, seconds) in [("old", 1), ("future", 9_000_000_000)] {
        fs::write(dir.path().join(name), "x").unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        fs::File::options().write(true).open(dir.path().join(name)).unwrap().set_modified(time).unwrap();
        root.trash(&path(name), &root.observe(&path(name)), NOW - 60 * SECOND).unwrap();
    }
    fs::write(dir.path().join("open"), "x").unwrap();
    let mut open = fs::File::options().append(true).open(dir.path().join("open")).unwrap();
    let trashed = root.trash(&path("open"), &root.observe(&path("open")), 60 * SECOND).unwrap();
    std::io::Write::write_all(&mut open, b" and more").unwrap();
    let written: Vec<_> = list(&root).into_iter().filter(|left| left.written_since).map(|left| left.trashed).collect();
    assert_eq!(written, std::slice::from_ref(&trashed));
    assert_eq!(root.purge(i64::MAX, 0).unwrap(), Purged { files: 2, bytes: 2, kept: 10, written_since: 1 });
    assert_eq!(root.restore(&trashed).unwrap(), path("open"));
    assert_eq!(fs::read_to_string(dir.path().join("open")).unwrap(), "x and more");
}
