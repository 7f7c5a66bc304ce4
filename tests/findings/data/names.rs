//! Names that Dropbox folds otherwise than we would.

use std::time::Duration;

use ferrybox_standin::{Settings, Standin};

use crate::harness::{FINISH_BATCH, LONGPOLL, World};

/// A capital that no table here knows yet, and the letter that Dropbox folds it into.
const NEW: (char, &str) = ('\u{a7de}', "\u{a7df}");

fn world(mode: &'static str) -> World {
    let mut world = World::with(Settings { fold: vec![(NEW.0, NEW.1.to_owned())], ..Settings::default() });
    world.mode = mode;
    world
}

fn downloads(standin: &Standin) -> u64 {
    standin.calls_of("files/download")
}

#[test]
fn d4_names_that_are_folded_otherwise_come_down_move_and_meet() {
    for mode in ["two-way", "download"] {
        let world = world(mode);
        for path in ["ΛΟΓΑΡΙΑΣΜΟΣ/ΤΙΜΟΛΟΓΙΟ.pdf", "ΟΔΟΣ ΑΘΗΝΑΣ.pdf", "İzmir.txt", "\u{a7de}/\u{a7de}.txt", "plain.txt"]
        {
            world.standin.write(&format!("/T/{path}"), path.to_owned());
        }
        world.standin.make_folder("/T/ΚΕΝΟΣ");
        world.once_in_sync();
        world.assert_equal();
        assert_eq!(world.disk().len(), 5, "{mode}");
        assert!(world.folder.join("ΚΕΝΟΣ").is_dir(), "{mode}");

        // Below such a folder changes of all kinds are followed.
        let daemon = world.daemon();
        world.until_folder("in_sync");
        world.standin.write("/T/ΛΟΓΑΡΙΑΣΜΟΣ/new.txt", "new");
        world.standin.write("/T/ΛΟΓΑΡΙΑΣΜΟΣ/ΤΙΜΟΛΟΓΙΟ.pdf", "edited");
        world.standin.write("/T/\u{a7de}/\u{a7de}.txt", "edited, too");
        world.standin.delete("/T/İzmir.txt");
        world.eventually("what changed in Dropbox", || world.disk() == world.remote());
        assert!(
            !world.folder.join("İzmir.txt").exists() && world.folder.join("ΛΟΓΑΡΙΑΣΜΟΣ/new.txt").exists(),
            "{mode}"
        );
        assert_eq!(daemon.stop().0, Some(0));
        world.assert_clean();
    }
}

#[test]
fn d4_a_folder_renamed_to_such_a_name_moves_here_and_nothing_goes_to_the_trash() {
    let world = world("two-way");
    for n in 0..5 {
        world.standin.write(&format!("/T/docs/f{n}"), format!("doc {n}"));
    }
    for n in 0..20 {
        world.standin.write(&format!("/T/other/f{n}"), format!("other {n}"));
    }
    let daemon = world.daemon();
    world.eventually("the first sync", || world.disk().len() == 25);
    world.until_folder("in_sync");
    world.standin.rename("/T/docs", "/T/ΕΓΓΡΑΦΑ ΜΑΣ");
    world.eventually("the rename", || world.disk() == world.remote());
    assert_eq!(downloads(&world.standin), 25, "what is here is moved\n{}", world.log());
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

#[test]
fn d4_what_has_such_a_name_on_both_sides_meets() {
    let world = world("two-way");
    for name in ["İzmir.txt", "ΟΔΟΣ", "\u{a7de}"] {
        world.standin.write(&format!("/T/{name}/same"), "same");
        world.write(&format!("{name}/same"), "same");
        world.standin.write(&format!("/T/{name}/file"), "there");
        world.write(&format!("{name}/file"), "here");
        // Letters of the other case are the same name.
        let small = world.standin.file(&format!("/T/{name}/file")).unwrap().path_lower;
        assert_ne!(small, format!("/t/{}/file", name.to_lowercase()), "{name} is folded as we would");
    }
    let daemon = world.daemon();
    world.eventually("both versions are on both sides", || {
        let disk = world.disk();
        disk.len() == 9 && disk == world.remote()
    });
    world.until_folder("in_sync");
    let commits = world.standin.calls_of(FINISH_BATCH);
    assert!(commits <= 9, "{commits} commits\n{}", world.log());
    world.never("it is at rest", Duration::from_secs(2), |s| s.calls_of(FINISH_BATCH) > commits);
    // An edit here goes up under the name that is there, and a deletion deletes it.
    world.write("ΟΔΟΣ/same", "edited here");
    std::fs::remove_file(world.folder.join("\u{a7de}/same")).unwrap();
    world.eventually("the edit and the deletion", || {
        world.disk() == world.remote() && world.standin.file("/T/\u{a7de}/same").is_none()
    });
    std::fs::remove_dir_all(world.folder.join("İzmir.txt")).unwrap();
    world.until("the directory goes in Dropbox, too", |s| !s.folder("/T/İzmir.txt"));
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

#[test]
fn d4_a_synced_folder_may_have_such_a_name_itself() {
    let settings = Settings { longpoll_limit: Some(Duration::from_secs(1)), ..Settings::default() };
    let mut world = World::with(settings);
    world.mode = "two-way";
    let aside = world.dir.path().join("second");
    std::fs::create_dir(&aside).unwrap();
    world.folder_extra = format!("[[account.folder]]\nlocal = {aside:?}\nremote = \"/ΟΔΟΣ/İ\"\nmode = \"two-way\"\n");
    world.standin.write("/ΟΔΟΣ/İ/Σ/a", "a");
    world.standin.write("/ΟΔΟΣ/İ/b", "b");
    std::fs::write(aside.join("b"), "b").unwrap();
    std::fs::write(aside.join("c"), "c").unwrap();
    world.once_in_sync();
    let read = |name: &str| std::fs::read_to_string(aside.join(name)).unwrap_or_default();
    assert_eq!((read("Σ/a"), read("b"), read("c")), ("a".into(), "b".into(), "c".into()));
    assert!(world.standin.file("/ΟΔΟΣ/İ/c").is_some());
    world.standin.delete("/ΟΔΟΣ/İ/b");
    world.standin.write("/ΟΔΟΣ/İ/Σ/a", "edited");
    world.once_in_sync();
    assert_eq!((read("Σ/a"), read("b"), read("c")), ("edited".into(), String::new(), "c".into()));

    // While a daemon runs, its own commits are listed, and nothing is left that may hide that the folder is there.
    let daemon = world.daemon();
    let polls = world.standin.calls_of(LONGPOLL);
    std::fs::write(aside.join("c"), "edited here").unwrap();
    world.until("the edit goes up", |s| s.content("/ΟΔΟΣ/İ/c").is_some_and(|c| c == "edited here"));
    world.until("longpolls end", |s| s.calls_of(LONGPOLL) > polls + 3);
    world.standin.write("/ΟΔΟΣ/İ/d", "d");
    world.eventually("what is new in Dropbox comes", || read("d") == "d");
    world.until_status("both folders are in sync", |s| {
        (0..2).all(|i| s["accounts"][0]["folders"][i]["state"] == "in_sync")
    });
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}
