//! Other file systems inside the root, and a disk that is full: in a namespace of its own.

#![allow(clippy::disallowed_methods, reason = "tests make and remove what they like")]

use std::process::Command;

use super::*;

/// Runs the named test again where it may mount. Says whether the caller is done; where no namespace can be had, nothing is tried.
fn ran_in_a_namespace(name: &str) -> bool {
    const MARK: &str = "FERRYBOX_TEST_MAY_MOUNT";
    if std::env::var_os(MARK).is_some() {
        return false;
    }
    if !Command::new("unshare").args(["-rm", "true"]).status().is_ok_and(|status| status.success()) {
        return true;
    }
    run_again(Command::new("unshare").arg("-rm"), name, MARK);
    true
}

fn mount(at: &Path, options: &str) {
    fs::create_dir_all(at).unwrap();
    let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(at).status().unwrap();
    assert!(status.success());
}

/// A mount inside the root: the same promises by a copy.
#[test]
fn another_file_system_inside_the_root() {
    if ran_in_a_namespace("local::tests::mounts::another_file_system_inside_the_root") {
        return;
    }
    for n in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let root = &three(dir.path())[n];
        mount(&dir.path().join("m"), "size=4m");
        let names = || contents(&dir.path().join("m")).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let placed = download(root, "k", b"one").place(&path("m/d/f"), &Local::Absent, Some(5), NOW).unwrap();
        assert_eq!(root.observe(&path("m/d/f")), Local::File(placed.stat));
        assert_eq!(placed.stat.mtime_ns, 5_000_000_000);
        chmod(&dir.path().join("m/d/f"), 0o751);
        let seen = root.observe(&path("m/d/f"));
        let placed = download(root, "k", b"two").place(&path("m/d/f"), &seen, Some(6), NOW).unwrap();
        assert_eq!(root.observe(&path("m/d/f")), Local::File(placed.stat));
        assert_eq!(fs::symlink_metadata(dir.path().join("m/d/f")).unwrap().permissions().mode() & 0o7777, 0o751);
        let trashed = placed.trashed.unwrap();
        assert_eq!(fs::read_to_string(dir.path().join(trashed.place())).unwrap(), "one");
        // What was not seen stays.
        fs::write(dir.path().join("m/d/f"), "edited").unwrap();
        let incoming = download(root, "k", b"three");
        for expected in [Local::File(placed.stat), Local::Absent] {
            assert_eq!(incoming.place(&path("m/d/f"), &expected, None, NOW).unwrap_err(), Refused::Changed);
        }
        let at = dir.path().join("m/d/f");
        let seen = root.observe(&path("m/d/f"));
        crate::local::private_dir::MEANWHILE.set(Some(Box::new(move |moment| {
            if moment == "checked" {
                fs::write(&at, "edited again").unwrap();
            }
        })));
        assert_eq!(incoming.place(&path("m/d/f"), &seen, None, NOW).unwrap_err(), Refused::Changed);
        assert_eq!(root.trash(&path("m/d/f"), &root.observe(&path("m/d/f")), NOW).unwrap_err(), Refused::Changed);
        crate::local::private_dir::MEANWHILE.set(None);
        assert_eq!(fs::read_to_string(dir.path().join("m/d/f")).unwrap(), "edited again");
        assert_eq!(names(), ["d/f"]);
        incoming.place(&path("m/d/g"), &Local::Absent, None, NOW).unwrap();
        let trashed = root.trash(&path("m/d/f"), &root.observe(&path("m/d/f")), NOW).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join(trashed.place())).unwrap(), "edited again");
        assert_eq!(names(), ["d/g"]);
        assert_eq!(contents(&dir.path().join(".ferrybox/tmp")), []);
        let moved = root.rename(&path("m/d/g"), &path("g"), &root.observe(&path("m/d/g")));
        assert_eq!(code(moved.map_err(Refused::into_failure)), "other_device");
        assert_eq!(code(root.restore(&trashed).map_err(Refused::into_failure)), "other_device");
    }
}

/// B2: a kill at any moment on another file system inside the root. What it leaves beside its place is looked after; what somebody wrote there in the last
/// moment is kept.
#[test]
fn b2_a_kill_on_another_file_system_loses_nothing() {
    if ran_in_a_namespace("local::tests::mounts::b2_a_kill_on_another_file_system_loses_nothing") {
        return;
    }
    let going = Going { when: NOW, holds: Some(super::bin::hash_of("seen")) };
    let setting = |n: usize| {
        let dir = tempfile::tempdir().unwrap();
        let root = three(dir.path()).into_iter().nth(n).unwrap();
        mount(&dir.path().join("m"), "size=4m");
        fs::write(dir.path().join("m/f"), "seen").unwrap();
        (root.observe(&path("m/f")), root, dir)
    };
    let texts = |dir: &Path| trash_of(dir).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    for n in 0..3 {
        // A download over it: the old one is at its place, or in the trash.
        let moments: &[_] = if n == 2 {
            &["checked", "beside", "beside again", "aside", "copied", "in the trash"]
        } else {
            &["checked", "beside", "beside again", "exchanged", "copied", "in the trash"]
        };
        for at in moments {
            let (seen, root, dir) = setting(n);
            let incoming = download(&root, "k", b"new");
            killed(at, || incoming.place(&path("m/f"), &seen, None, going));
            drop(incoming);
            look_after(&root, dir.path());
            let there = fs::read_to_string(dir.path().join("m/f")).ok();
            let trash = texts(dir.path());
            let kept = there.as_deref() == Some("seen") || trash.iter().any(|text| text == "seen");
            assert!(kept && there.is_none_or(|text| text == "seen" || text == "new"), "{n} {at}: {trash:?}");
            root.sweep_tmp(i64::MAX).unwrap();
            assert_eq!(contents(&dir.path().join(".ferrybox/tmp")), []);
        }
        // To the trash.
        for at in ["aside", "copied", "in the trash"] {
            let (seen, root, dir) = setting(n);
            killed(at, || root.trash(&path("m/f"), &seen, going));
            look_after(&root, dir.path());
            assert!(texts(dir.path()).iter().any(|text| text == "seen"), "{n} {at}");
            assert_eq!(contents(&dir.path().join("m")), []);
        }
        // Written to just before: nobody else has that.
        let (seen, root, dir) = setting(n);
        let open = fs::File::options().append(true).open(dir.path().join("m/f")).unwrap();
        killed("aside", || root.trash(&path("m/f"), &seen, going));
        std::io::Write::write_all(&mut &open, b" and more").unwrap();
        let left = recovered(&root, dir.path());
        assert_eq!(left.iter().map(|(_, of)| of.as_str()).collect::<Vec<_>>(), ["m/f"]);
        let Local::File(stat) = root.observe(&path(&left[0].0)) else { panic!("it is gone") };
        root.give_out(&path(&left[0].0), &stat, &path("m/copy")).unwrap();
        assert_eq!(contents(&dir.path().join("m")), [("copy".to_owned(), "seen and more".to_owned())]);
    }
}

/// L1: the disk fills up on the way. It is said, nothing is half in its place, and what was there is as it was.
#[test]
fn l1_the_disk_fills_up_on_the_way() {
    if ran_in_a_namespace("local::tests::mounts::l1_the_disk_fills_up_on_the_way") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    mount(dir.path(), "size=2m");
    let root = Root::open(dir.path()).unwrap();
    fs::write(dir.path().join("f"), "old").unwrap();
    let seen = root.observe(&path("f"));
    assert_eq!(code(root.incoming("k", 3 << 20)), "disk_full");
    let small = root.incoming("small", 900_000).unwrap();
    fs::write(dir.path().join("filler"), vec![1; 1_500_000]).unwrap();
    let failure = (0..9).find_map(|n| small.write_at(n * 100_000, &[2; 100_000]).err()).unwrap();
    assert_eq!((failure.code.as_str(), failure.next), ("disk_full", crate::model::Next::Retry { after: None }));
    let half = small.len();
    assert!(half < 900_000 && small.place(&path("f"), &seen, None, NOW).is_err());
    assert_eq!(fs::read_to_string(dir.path().join("f")).unwrap(), "old");
    fs::remove_file(dir.path().join("filler")).unwrap();
    // There is room again: it goes on, also after a restart.
    drop(small);
    let small = root.incoming("small", 900_000).unwrap();
    assert!(small.len() >= half);
    for range in small.missing() {
        small.write_at(range.start, &vec![2; usize::try_from(range.end - range.start).unwrap()]).unwrap();
    }
    assert_eq!(small.place(&path("f"), &seen, None, NOW).unwrap().stat.size, 900_000);
}

/// L1: on a full disk nothing can be noted, and the purge makes room all the same.
#[test]
fn l1_the_trash_of_a_full_disk_is_purged() {
    if ran_in_a_namespace("local::tests::mounts::l1_the_trash_of_a_full_disk_is_purged") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    mount(dir.path(), "size=2m");
    let root = Root::open(dir.path()).unwrap();
    for (name, when) in [("a", NOW), ("b", NOW + 1_000)] {
        fs::write(dir.path().join(name), vec![1; 500_000]).unwrap();
        root.trash(&path(name), &root.observe(&path(name)), when).unwrap();
    }
    assert!(fs::write(dir.path().join("filler"), vec![1; 2_000_000]).is_err());
    let keep = Keep { count: 7, is_old: &|seen| seen < 7, max_bytes: 500_000, alive: &|| {} };
    let purged = root.purge(&keep).unwrap();
    assert_eq!((purged.files, purged.bytes, purged.kept), (1, 500_000, 500_000));
    assert_eq!(purged.unnoted.unwrap().code, "disk_full");
    // What stays is new once more, and then noted.
    assert_eq!(root.purge(&keep).unwrap(), Purged { kept: 500_000, ..Purged::default() });
}

/// B6: the trash's file system may know coarser times than the original's: the copy is no edit for that.
#[test]
fn b6_a_copy_with_other_times_is_no_edit() {
    if ran_in_a_namespace("local::tests::mounts::b6_a_copy_with_other_times_is_no_edit") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    mount(&dir.path().join("m"), "size=4m");
    fs::write(dir.path().join("m/f"), "seen").unwrap();
    let going = Going { when: NOW, holds: Some(super::bin::hash_of("seen")) };
    let tmp = dir.path().join(".ferrybox/tmp");
    private_dir::MEANWHILE.set(Some(Box::new(move |moment| {
        if moment == "copied" {
            let copy = fs::read_dir(&tmp).unwrap().next().unwrap().unwrap().path();
            let copy = fs::File::options().write(true).open(copy).unwrap();
            copy.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000)).unwrap();
        }
    })));
    let trashed = root.trash(&path("m/f"), &root.observe(&path("m/f")), going);
    private_dir::MEANWHILE.set(None);
    trashed.unwrap();
    let purged = root.purge(&Keep { count: 0, is_old: &|_| true, max_bytes: 0, alive: &|| {} }).unwrap();
    assert_eq!(purged, Purged { files: 1, bytes: 4, ..Purged::default() });
}
