//! Others at work in the same directories at the same moment.

#![allow(clippy::disallowed_methods, reason = "tests make and remove what they like")]

use std::sync::Barrier;
use std::time::{Duration, Instant};

use super::*;

/// However busy the machine is: what has not come to pass by then never does.
const PATIENCE: Duration = Duration::from_mins(1);

/// With `FERRYBOX_LONG=1` the full numbers; else as many as fit into a moment.
fn long() -> bool {
    std::env::var_os("FERRYBOX_LONG").is_some()
}

/// R2: a directory is swapped with a symlink that leads outside, all the time, while we write below it. Nothing outside changes.
#[test]
fn r2_nothing_is_written_through_a_swapped_symlink() {
    let swaps = if long() { 1_000_000 } else { 20_000 };
    for n in 0..3 {
        let (dir, outside) = (quick_dir(), quick_dir());
        for top in [dir.path().join("d"), outside.path().to_owned()] {
            fs::create_dir_all(top.join("empty")).unwrap();
            fs::create_dir_all(top.join("kept/deep")).unwrap();
            fs::write(top.join("f"), "old").unwrap();
            fs::write(top.join("kept/deep/f"), "old").unwrap();
        }
        symlink(outside.path(), dir.path().join("link")).unwrap();
        let shape = |at: &Path| {
            let stat = fs::symlink_metadata(at).unwrap();
            use std::os::unix::fs::MetadataExt;
            (stat.mtime(), stat.mtime_nsec(), stat.ctime_nsec(), stat.nlink())
        };
        let places = ["", "empty", "kept", "kept/deep", "f", "kept/deep/f"].map(|at| outside.path().join(at));
        let before = places.each_ref().map(|at| shape(at));
        let root = &three(dir.path())[n];
        let done = AtomicBool::new(false);
        let (mut went, mut refused) = (0, 0);
        let mut count = |worked: bool| if worked { went += 1 } else { refused += 1 };
        std::thread::scope(|scope| {
            let swapper = scope.spawn(|| {
                let (a, b) = (dir.path().join("d"), dir.path().join("link"));
                for _ in 0..swaps {
                    renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE).unwrap();
                }
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                for at in ["d/f", "d/kept/deep/f"] {
                    let seen = root.observe(&path(at));
                    let expected = if matches!(seen, Local::File(_)) { seen } else { Local::Absent };
                    let incoming = download(root, "k", b"new");
                    count(incoming.place(&path(at), &expected, Some(1), NOW).is_ok());
                    incoming.discard();
                    let seen = root.observe(&path(at));
                    count(root.rename(&path(at), &path(&format!("{at}2")), &seen).is_ok());
                    let seen = root.observe(&path(&format!("{at}2")));
                    count(root.rename(&path(&format!("{at}2")), &path(at), &seen).is_ok());
                    let seen = root.observe(&path(at));
                    count(root.trash(&path(at), &seen, NOW).is_ok());
                }
                count(root.make_dir(&path("d/x/y")).is_ok());
                count(root.remove_dir(&path("d/x/y")).is_ok());
                count(root.remove_dir(&path("d/x")).is_ok());
                count(root.remove_dir(&path("d/empty")).is_ok());
                count(root.make_dir(&path("d/empty")).is_ok());
            }
            swapper.join().unwrap();
        });
        assert!(went > 20 && refused > 20, "{went} went, {refused} were refused: the two did not meet");
        assert_eq!(places.each_ref().map(|at| shape(at)), before);
        let there: Vec<String> = contents(outside.path()).into_iter().map(|(at, text)| at + "=" + &text).collect();
        assert_eq!(there, ["f=old", "kept/deep/f=old"]);
    }
}

/// B5: somebody saves over the file, writes into it, removes it or makes it while we place, at every moment that the two threads find. What they
/// wrote is at its place, or was in the file that went to the trash.
#[test]
fn b5_no_save_is_lost_to_a_download() {
    type Act = fn(&Path);
    let acts: [(&str, Act); 5] = [
        ("saves by rename", |at| {
            fs::write(at.with_extension("tmp"), "saved").unwrap();
            fs::rename(at.with_extension("tmp"), at).unwrap();
        }),
        ("writes in place", |at| fs::write(at, "saved").unwrap()),
        ("removes", |at| drop(fs::remove_file(at))),
        ("removes and makes", |at| {
            let _ = fs::remove_file(at);
            fs::write(at, "saved").unwrap();
        }),
        ("moves away", |at| drop(fs::rename(at, at.with_extension("moved")))),
    ];
    let patience = if long() { Duration::from_secs(5) } else { Duration::from_millis(250) };
    for (what, act) in acts {
        for (n, existing) in [(0, true), (0, false), (2, true), (2, false)] {
            let dir = quick_dir();
            let root = &three(dir.path())[n];
            let at = dir.path().join("f");
            let (mut placed, mut refused) = (0, 0);
            let until = Instant::now() + patience;
            // On a busy machine the two threads may meet in the worst order every time for a while: it goes on until one was placed.
            let at_last = until + PATIENCE;
            while Instant::now() < until || placed == 0 && Instant::now() < at_last {
                for left in [&at, &at.with_extension("moved")] {
                    let _ = fs::remove_file(left);
                }
                let _ = fs::remove_dir_all(dir.path().join(".ferrybox/trash"));
                if existing {
                    fs::write(&at, "old").unwrap();
                }
                let seen = root.observe(&path("f"));
                let incoming = download(root, "k", b"downloaded");
                let barrier = Barrier::new(2);
                let outcome = std::thread::scope(|scope| {
                    scope.spawn(|| {
                        barrier.wait();
                        act(&at);
                    });
                    barrier.wait();
                    incoming.place(&path("f"), &seen, None, NOW)
                });
                let here = fs::read_to_string(&at).ok();
                let trash: Vec<String> = trash_of(dir.path()).into_iter().map(|(_, text)| text).collect();
                let saves = !what.starts_with("removes") || what == "removes and makes";
                let told = || format!("{what}, {outcome:?}: {here:?}, trash {trash:?}");
                if saves && what != "moves away" {
                    assert!(here.as_deref() == Some("saved") || trash.iter().any(|text| text == "saved"), "{}", told());
                }
                if what == "saves by rename" {
                    assert_eq!(here.as_deref(), Some("saved"), "{}", told());
                }
                match &outcome {
                    Ok(done) => {
                        placed += 1;
                        // What was replaced is kept, whatever became of the download since.
                        assert_eq!(done.trashed.is_some(), existing, "{}", told());
                        assert_eq!(trash.len(), usize::from(existing), "{}", told());
                    }
                    Err(Refused::Changed) => refused += 1,
                    Err(other) => panic!("{other:?}: {}", told()),
                }
                if what == "moves away" && existing && outcome.is_err() {
                    let moved = fs::read_to_string(at.with_extension("moved")).unwrap();
                    assert!(moved == "old" || (moved == "downloaded" && trash == ["old"]), "{moved}, {}", told());
                }
                incoming.discard();
            }
            assert!(placed > 0, "{what} {existing}: {placed} placed, {refused} refused");
        }
    }
}

/// The same for the trash and for moves: what was saved at the last moment is somewhere, and never under the wrong name alone.
#[test]
fn no_save_is_lost_to_the_trash_or_to_a_move() {
    let patience = if long() { Duration::from_secs(5) } else { Duration::from_millis(250) };
    for (n, trash) in [(0, true), (0, false), (2, true), (2, false)] {
        let dir = quick_dir();
        let root = &three(dir.path())[n];
        let at = dir.path().join("f");
        let until = Instant::now() + patience;
        while Instant::now() < until {
            let _ = fs::remove_dir_all(dir.path().join(".ferrybox/trash"));
            let _ = fs::remove_file(dir.path().join("g"));
            fs::write(&at, "old").unwrap();
            let seen = root.observe(&path("f"));
            let barrier = Barrier::new(2);
            let went = std::thread::scope(|scope| {
                scope.spawn(|| {
                    barrier.wait();
                    fs::write(at.with_extension("tmp"), "saved").unwrap();
                    fs::rename(at.with_extension("tmp"), &at).unwrap();
                });
                barrier.wait();
                if trash {
                    root.trash(&path("f"), &seen, NOW).map(drop)
                } else {
                    root.rename(&path("f"), &path("g"), &seen).map(drop)
                }
            });
            assert!(matches!(went, Ok(()) | Err(Refused::Changed)), "{went:?}");
            assert_eq!(fs::read_to_string(&at).unwrap(), "saved");
            if went.is_ok() {
                let kept = if trash {
                    dir.path().join(".ferrybox/trash/2030-01-02T03-04-05Z/f")
                } else {
                    dir.path().join("g")
                };
                assert_eq!(fs::read_to_string(kept).unwrap(), "old");
            }
        }
    }
}

/// A name that appears while a file is moved there is never replaced.
#[test]
fn a_move_never_replaces_what_appears_meanwhile() {
    for n in [0, 2] {
        let dir = quick_dir();
        let root = &three(dir.path())[n];
        let (at, to) = (dir.path().join("f"), dir.path().join("g"));
        let until = Instant::now() + Duration::from_millis(200);
        while Instant::now() < until {
            let _ = fs::remove_file(&to);
            fs::write(&at, "moved").unwrap();
            let seen = root.observe(&path("f"));
            let barrier = Barrier::new(2);
            let (went, made) = std::thread::scope(|scope| {
                let maker = scope.spawn(|| {
                    barrier.wait();
                    fs::File::create_new(&to)
                        .map(|mut file| std::io::Write::write_all(&mut file, b"made").unwrap())
                        .is_ok()
                });
                barrier.wait();
                let went = root.rename(&path("f"), &path("g"), &seen);
                (went, maker.join().unwrap())
            });
            assert_ne!(went.is_ok(), made, "{went:?}");
            assert_eq!(fs::read_to_string(&to).unwrap(), if made { "made" } else { "moved" });
            assert_eq!(at.exists(), made);
        }
    }
}
