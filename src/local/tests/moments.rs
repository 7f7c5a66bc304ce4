//! Others at work at the worst moment, between two steps of ours.

#![allow(clippy::disallowed_methods, reason = "tests make and remove what they like")]

use super::*;
use crate::local::private_dir::MEANWHILE;

type Act = fn(&Path);

/// Does each of these at its moment, once, while `step` runs.
fn meanwhile<T>(acts: &[(&'static str, Act)], at: &Path, step: impl FnOnce() -> T) -> T {
    let (mut left, at) = (acts.to_vec(), at.to_owned());
    let total = left.len();
    let done = std::rc::Rc::new(std::cell::Cell::new(0));
    let count = done.clone();
    MEANWHILE.set(Some(Box::new(move |moment| {
        if left.first().is_some_and(|(when, _)| *when == moment) {
            (left.remove(0).1)(&at);
            count.set(count.get() + 1);
        }
    })));
    let result = step();
    MEANWHILE.set(None);
    assert_eq!(done.get(), total, "not every moment came");
    result
}

fn save(at: &Path, text: &str) {
    fs::write(at.with_extension("tmp"), text).unwrap();
    fs::rename(at.with_extension("tmp"), at).unwrap();
}

fn setting(n: usize) -> (TempDir, Root, std::path::PathBuf, Local) {
    let dir = tempfile::tempdir().unwrap();
    let [a, b, c] = three(dir.path());
    let root = [a, b, c].into_iter().nth(n).unwrap();
    let at = dir.path().join("f");
    fs::write(&at, "seen").unwrap();
    let seen = root.observe(&path("f"));
    (dir, root, at, seen)
}

const FIRST: Act = |at| save(at, "first");

/// B5: after the check, before the exchange. All is as the other left it, and the download can be put elsewhere.
#[test]
fn b5_a_change_after_the_check_is_found_by_the_exchange() {
    let acts: [(Act, &str); 6] = [
        (FIRST, "first"),
        (|at| fs::write(at, "in place").unwrap(), "in place"),
        (|at| fs::remove_file(at).unwrap(), ""),
        (
            |at| {
                fs::remove_file(at).unwrap();
                symlink("nowhere", at).unwrap();
            },
            "?",
        ),
        (
            |at| {
                fs::remove_file(at).unwrap();
                fs::create_dir(at).unwrap();
            },
            "",
        ),
        (
            |at| {
                fs::remove_file(at).unwrap();
                fs::create_dir(at).unwrap();
                fs::write(at.join("in"), "inside").unwrap();
            },
            "inside",
        ),
    ];
    for n in 0..3 {
        for (act, left) in acts {
            let (dir, root, at, seen) = setting(n);
            let incoming = download(&root, "k", b"new");
            let placed = meanwhile(&[("checked", act)], &at, || incoming.place(&path("f"), &seen, None, NOW));
            assert_eq!(placed.unwrap_err(), Refused::Changed);
            let here = |name: &str| {
                contents(dir.path()).into_iter().find(|(at, _)| at.starts_with(name)).map(|(_, text)| text)
            };
            assert_eq!(here("f").unwrap_or_default(), left);
            assert_eq!(trash_of(dir.path()), []);
            incoming.place(&path("other"), &Local::Absent, None, NOW).unwrap();
            assert_eq!(here("other").unwrap(), "new");

            let (dir, root, at, seen) = setting(n);
            let went = meanwhile(&[("checked", act)], &at, || root.trash(&path("f"), &seen, NOW));
            assert_eq!(went.unwrap_err(), Refused::Changed);
            assert_eq!(contents(&at).len() + usize::from(at.is_file()), usize::from(!left.is_empty() && left != "?"));
            assert_eq!(trash_of(dir.path()), []);

            let (dir, root, at, seen) = setting(n);
            let moved = meanwhile(&[("checked", act)], &at, || root.rename(&path("f"), &path("g"), &seen));
            assert_eq!(moved.unwrap_err(), Refused::Changed);
            assert!(dir.path().join("g").symlink_metadata().is_err());
        }
    }
}

/// Something appears where nothing was: it stays.
#[test]
fn what_appears_after_the_check_stays() {
    for n in 0..3 {
        let (dir, root, at, _) = setting(n);
        fs::remove_file(&at).unwrap();
        let incoming = download(&root, "k", b"new");
        let placed = meanwhile(&[("checked", FIRST)], &at, || incoming.place(&path("f"), &Local::Absent, None, NOW));
        assert_eq!(placed.unwrap_err(), Refused::Changed);
        assert_eq!(fs::read_to_string(&at).unwrap(), "first");
        let make: Act = |at| fs::create_dir(at).unwrap();
        fs::remove_file(&at).unwrap();
        let placed = meanwhile(&[("checked", make)], &at, || incoming.place(&path("f"), &Local::Absent, None, NOW));
        assert_eq!(placed.unwrap_err(), Refused::Dir);
        assert_eq!(contents(dir.path()).len(), 1, "the download alone");
    }
}

/// The other saves twice: before the exchange, and over the download that stands there for a moment. The last save is at its place, the one before in
/// the trash.
#[test]
fn b5_two_saves_around_the_exchange() {
    for n in 0..2 {
        let (dir, root, at, seen) = setting(n);
        let incoming = download(&root, "k", b"new");
        let acts: [(&str, Act); 2] = [("checked", FIRST), ("exchanged", |at| save(at, "second"))];
        let placed = meanwhile(&acts, &at, || incoming.place(&path("f"), &seen, None, NOW));
        assert_eq!(placed.unwrap_err(), Refused::Changed);
        assert_eq!(fs::read_to_string(&at).unwrap(), "second");
        let trash: Vec<_> = trash_of(dir.path()).into_iter().map(|(_, text)| text).collect();
        assert_eq!(trash, ["first"]);
        assert_eq!(code(incoming.place(&path("g"), &Local::Absent, None, NOW).map_err(Refused::into_failure)), "busy");

        let (dir, root, at, seen) = setting(n);
        let acts: [(&str, Act); 2] = [("checked", FIRST), ("exchanged", |at| fs::remove_file(at).unwrap())];
        let placed = meanwhile(&acts, &at, || download(&root, "k", b"new").place(&path("f"), &seen, None, NOW));
        assert_eq!(placed.unwrap_err(), Refused::Changed);
        let trash: Vec<_> = trash_of(dir.path()).into_iter().map(|(_, text)| text).collect();
        assert_eq!((at.exists(), trash), (false, vec!["first".to_owned()]));

        // Only after the exchange: the download was in its place, and what the other says now is another file.
        let (dir, root, at, seen) = setting(n);
        let placed = meanwhile(&[("exchanged", FIRST)], &at, || {
            download(&root, "k", b"new").place(&path("f"), &seen, None, NOW).unwrap()
        });
        assert_ne!(root.observe(&path("f")), Local::File(placed.stat));
        assert_eq!(fs::read_to_string(&at).unwrap(), "first");
        assert_eq!(fs::read_to_string(dir.path().join(placed.trashed.unwrap().place())).unwrap(), "seen");
    }
}

/// A program writes into the download itself, as soon as it is in its place. What is agreed on is what came down, and not that.
#[test]
fn a18_what_is_written_into_a_download_is_not_taken_for_it() {
    let write: Act = |at| fs::write(at, "written into it").unwrap();
    for n in 0..2 {
        let (_dir, root, at, seen) = setting(n);
        let placed = meanwhile(&[("exchanged", write)], &at, || {
            download(&root, "k", b"new").place(&path("f"), &seen, Some(1), NOW).unwrap()
        });
        assert_eq!(fs::read_to_string(&at).unwrap(), "written into it");
        assert_ne!(root.observe(&path("f")), Local::File(placed.stat));
    }
    for n in 0..3 {
        let (_dir, root, _, seen) = setting(n);
        let placed = download(&root, "k", b"new").place(&path("f"), &seen, Some(1), NOW).unwrap();
        assert_eq!(root.observe(&path("f")), Local::File(placed.stat), "nobody wrote");
    }
}

/// The name is taken again before the wrong file could go back: that one stays in the trash.
#[test]
fn a_wrong_file_stays_in_the_trash_if_its_name_is_taken() {
    for n in 0..3 {
        let (dir, root, at, seen) = setting(n);
        let acts: [(&str, Act); 2] = [("checked", FIRST), ("taken", |at| save(at, "second"))];
        let went = meanwhile(&acts, &at, || root.trash(&path("f"), &seen, NOW));
        assert_eq!(went.unwrap_err(), Refused::Changed);
        assert_eq!(fs::read_to_string(&at).unwrap(), "second");
        assert_eq!(trash_of(dir.path()).into_iter().map(|(_, text)| text).collect::<Vec<_>>(), ["first"]);
    }
}

/// A kill at any moment leaves the replaced file at its place or in the trash, never under a name that a restart would write into.
#[test]
fn b2_at_every_moment_the_old_file_is_at_its_place_or_in_the_trash() {
    for n in 0..2 {
        let (dir, root, at, seen) = setting(n);
        let (top, place) = (dir.path().to_owned(), at.clone());
        let moments = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let told = moments.clone();
        MEANWHILE.set(Some(Box::new(move |which| {
            let there = fs::read_to_string(&place).unwrap();
            let trash: Vec<_> = trash_of(&top).into_iter().map(|(_, text)| text).collect();
            told.borrow_mut().push((which.to_owned(), there, trash));
        })));
        download(&root, "k", b"new").place(&path("f"), &seen, None, NOW).unwrap();
        MEANWHILE.set(None);
        let (seen, new) = (vec!["seen".to_owned()], vec!["new".to_owned()]);
        let expected = [("checked", "seen", vec![]), ("in the trash", "seen", new), ("exchanged", "new", seen)]
            .map(|(which, there, trash)| (which.to_owned(), there.to_owned(), trash));
        assert_eq!(*moments.borrow(), expected);
    }
}

/// A kill at any moment of a move leaves the file at one of its two places, on a file system with plain renames, too: what lies with the unfinished
/// downloads only would be swept with them.
#[test]
fn h6_at_every_moment_a_moved_file_has_one_of_its_names() {
    for n in 0..3 {
        let (dir, root, _, seen) = setting(n);
        let top = dir.path().to_owned();
        let moments = std::rc::Rc::new(std::cell::Cell::new(0));
        let count = moments.clone();
        MEANWHILE.set(Some(Box::new(move |which| {
            count.set(count.get() + 1);
            let there = ["f", "g"].map(|name| fs::read_to_string(top.join(name)).unwrap_or_default());
            assert!(there.iter().any(|text| text == "seen"), "{which}: {there:?}");
        })));
        root.rename(&path("f"), &path("g"), &seen).unwrap();
        MEANWHILE.set(None);
        assert_eq!(moments.get(), if n == 2 { 3 } else { 1 });
        assert_eq!(contents(dir.path()), [("g".to_owned(), "seen".to_owned())]);
    }
    // Saved over in the middle: what was saved stays where it was saved.
    let (dir, root, at, seen) = setting(2);
    let moved = meanwhile(&[("linked", FIRST)], &at, || root.rename(&path("f"), &path("g"), &seen));
    assert_eq!(moved.unwrap_err(), Refused::Changed);
    assert_eq!(contents(dir.path()), [("f".to_owned(), "first".to_owned())]);
}

/// B2: a kill at any moment where no exchange can be had. What it leaves beside the place is looked after: nothing that the owner had is lost, and nothing
/// of it is taken for somebody's edit.
#[test]
fn b2_what_a_kill_leaves_beside_its_place_is_looked_after() {
    for at in ["checked", "in the trash", "beside", "taken"] {
        let (dir, root, _, seen) = setting(2);
        let incoming = download(&root, "k", b"new");
        let going = Going { when: NOW, holds: Some(super::bin::hash_of("seen")) };
        killed(at, || incoming.place(&path("f"), &seen, None, going));
        drop(incoming);
        look_after(&root, dir.path());
        let there = fs::read_to_string(dir.path().join("f")).ok();
        let trash: Vec<_> = trash_of(dir.path()).into_iter().map(|(_, text)| text).collect();
        match at {
            "taken" => assert_eq!((there.as_deref(), trash), (None, vec!["new".to_owned(), "seen".to_owned()])),
            "in the trash" | "beside" => assert_eq!((there.as_deref(), trash), (Some("seen"), vec!["new".to_owned()])),
            _ => assert_eq!((there.as_deref(), trash), (Some("seen"), vec![]), "{at}"),
        }
    }
}

/// A person's own file may have a name like ours: it is not removed for good.
#[test]
fn what_looks_like_half_a_download_goes_to_the_trash() {
    let dir = tempfile::tempdir().unwrap();
    for root in three(dir.path()) {
        let name = ".~ferrybox-new-0123456789abcdef-mine";
        fs::write(dir.path().join(name), "mine").unwrap();
        let Recovered::Trashed(trashed) = root.recover(&path(name), NOW, &|| {}).unwrap() else { panic!("not kept") };
        assert_eq!(fs::read_to_string(dir.path().join(trashed.place())).unwrap(), "mine");
        assert!(!dir.path().join(name).exists());
    }
}
