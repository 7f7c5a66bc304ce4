//! What comes down under faults, and names that only one of the sides can tell apart, in folders that go both ways.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;
use std::time::Duration;

use super::{read, remote};
use crate::harness::{World, text};
use ferrybox_standin::{Effect, Fault};
use serde_json::json;

fn world() -> World {
    let mut world = World::new();
    world.mode = "two-way";
    world.extra = "[safety]\nmax_deletion_share = \"100%\"\n".into();
    world
}

/// Runs once, with problems or without.
fn once(world: &World) -> i32 {
    let out = world.once();
    let code = out.status.code().unwrap();
    assert!(matches!(code, 0 | 3), "{}", text(&out));
    code
}

/// B2: kills at any moment while files come down over others. Each file is the old one or the new one, whole, and in the end nothing was sent or kept twice.
#[test]
fn b2_a_kill_while_files_come_down_leaves_whole_files() {
    let world = world();
    let content = |version: u8, i: u8| vec![version.wrapping_mul(100).wrapping_add(i); 300_000];
    for i in 0..30 {
        world.write(&format!("d/{i}"), content(0, i));
    }
    world.once_in_sync();
    world.standin.reset_counters();
    for round in 1..=3_u8 {
        for i in 0..30 {
            world.standin.write(&format!("/T/d/{i}"), content(round, i));
        }
        for kill in 0..3_u64 {
            let before = world.standin.calls_of("files/download");
            let daemon = world.daemon();
            // After the last kill of a round nothing may be left to come down.
            world.standin.wait_for_blocking(Duration::from_secs(2), |s| s.calls_of("files/download") > before);
            // Any moment of the downloads will do; these are spread over them.
            std::thread::sleep(Duration::from_millis(30 * kill + 20 * u64::from(round)));
            daemon.kill();
            for i in 0..30 {
                let now = fs::read(world.folder.join(format!("d/{i}"))).unwrap();
                assert!((0..=round).any(|version| now == content(version, i)), "d/{i} is neither old nor new");
            }
        }
        world.once_in_sync();
    }
    world.assert_equal();
    assert_eq!((world.disk().len(), world.standin.data_transport_calls()), (30, 0));
    world.assert_clean();
}

/// B2: a kill between the placing of a download and its settling, and then the file changes in Dropbox, or goes there. What came down is nobody's edit: no
/// conflicted copy, nothing goes up. But an edit of it is one.
#[test]
fn b2_a_kill_before_a_download_is_settled_makes_no_conflict() {
    for (known, next, edited) in [
        (true, Some("third"), false),
        (true, None, false),
        (false, Some("third"), false),
        (false, None, false),
        (true, Some("third"), true),
        (true, None, true),
    ] {
        let world = world();
        world.write("keep", "k");
        if known {
            world.write("a", "first");
            world.write("b", "first");
        }
        world.once_in_sync();
        // Both come down together: the first to arrive is in its place, and not settled before the other.
        world.standin.faults().add(Fault::nth("files/download", 2, Effect::Stall(Duration::from_secs(60))));
        world.standin.write("/T/a", "second");
        world.standin.write("/T/b", "second");
        let daemon = world.daemon();
        let arrived = |name: &str| read(&world, name).as_deref() == Some("second");
        world.eventually("one of them", || arrived("a") || arrived("b"));
        daemon.kill();
        world.standin.faults().clear();
        let name = if arrived("a") { "a" } else { "b" };
        assert!(!(arrived("a") && arrived("b")), "one was to be on its way");
        match next {
            Some(content) => drop(world.standin.write(&format!("/T/{name}"), content)),
            None => drop(world.standin.delete(&format!("/T/{name}"))),
        }
        if edited {
            world.write(name, "edited");
        }
        world.standin.reset_counters();
        world.once_in_sync();
        world.assert_equal();
        let copies = world.disk().into_keys().filter(|path| path.contains("conflicted copy")).count();
        let case = format!("{known} {next:?} {edited}: {:?}", world.disk());
        if edited {
            assert_eq!(copies, usize::from(next.is_some()), "{case}");
            assert!(world.disk().into_keys().any(|path| read(&world, &path).as_deref() == Some("edited")), "{case}");
        } else {
            assert_eq!(read(&world, name).as_deref(), next, "{case}");
            assert_eq!((copies, world.standin.data_transport_calls()), (0, 0), "{case}");
        }
        assert_eq!(world.stored("SELECT path FROM install_intent"), [""; 0]);
        world.assert_clean();
    }
}

/// B7: the file is deleted here while its new content comes down: that content wins.
#[test]
fn b7_a_deletion_here_during_a_download_is_undone() {
    let world = world();
    world.write("f", "old");
    world.write("keep", "k");
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    world.standin.faults().add(Fault::once("files/download", Effect::StallReply(Duration::from_secs(2))));
    world.standin.write("/T/f", "edited there");
    world.until("the download", |s| s.calls_of("files/download") > 0);
    fs::remove_file(world.folder.join("f")).unwrap();
    world.eventually("what came down", || read(&world, "f").as_deref() == Some("edited there"));
    world.until_folder("in_sync");
    assert_eq!((remote(&world, "f").as_deref(), world.deletions()), (Some("edited there"), 0));
    world.assert_clean();
}

/// R1: names and paths that would lead out of the folder, or that no disk takes for what they are. Nothing outside is touched, each is told, and what
/// stands beside them comes down.
#[test]
fn r1_paths_that_lead_elsewhere_are_told_and_touch_nothing() {
    let world = world();
    world.write("keep", "k");
    world.once_in_sync();
    let outside = || {
        let mut found: Vec<_> = fs::read_dir(world.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        found.retain(|name| name != "daemon.log");
        found.sort();
        found
    };
    fs::create_dir(world.dir.path().join(".ssh")).unwrap();
    fs::write(world.dir.path().join(".ssh/authorized_keys"), "mine").unwrap();
    let before = outside();
    let hostile = [
        ("/t/../.ssh/authorized_keys", "authorized_keys"),
        ("/../../.ssh/authorized_keys", "authorized_keys"),
        ("/t/a/./b", "b"),
        ("/t//x", "x"),
        ("//t/y", "y"),
        ("/t/nul\0l", "nul\0l"),
        ("/t/up", ".."),
        ("/t/here", "."),
        ("/t/slash", "../slash"),
        ("/t/rooted", "/etc/rooted"),
        ("/t/..", ".."),
        ("/t/..\\..\\back", "..\\..\\back"),
    ];
    for (i, (lower, name)) in hostile.into_iter().enumerate() {
        let path = format!("/T/e{i}");
        world.standin.write(&path, "evil");
        world.standin.decorate(&path, json!({"path_lower": lower, "path_display": lower, "name": name}));
    }
    world.standin.write("/T/good", "g");
    for _ in 0..2 {
        once(&world);
        assert_eq!(read(&world, "good").as_deref(), Some("g"));
        assert_eq!(fs::read(world.dir.path().join(".ssh/authorized_keys")).unwrap(), b"mine");
        assert_eq!(outside(), before);
        let here: Vec<_> = world.disk().into_keys().collect();
        assert_eq!(here, ["good", "keep"]);
        assert_eq!((world.standin.file_count(), world.deletions()), (hostile.len() + 2, 0));
    }
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    let out = world.command(&["problems", "--json"]).output().unwrap();
    let problems: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let told = problems["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["code"] == "bad_name" || item["code"] == "name")
        .count();
    assert!(told >= hostile.len(), "{}", text(&out));
    world.assert_clean();
}

/// B3: what comes down is not what Dropbox lists: it is not put in its place, and said.
#[test]
fn b3_content_of_another_hash_is_not_placed() {
    let world = world();
    world.write("f", "old");
    world.write("keep", "k");
    world.once_in_sync();
    world.standin.write("/T/f", "new");
    world.standin.decorate("/T/f", json!({"content_hash": "0".repeat(64)}));
    let _daemon = world.daemon();
    let out = world.until_status("the problem", |_| {
        let out = world.command(&["problems", "--json"]).output().unwrap();
        text(&out).contains("bad_content")
    });
    assert_eq!(read(&world, "f").as_deref(), Some("old"), "{out}");
    world.standin.decorate("/T/f", json!({}));
    world.standin.write("/T/f", "newer");
    world.eventually("the newer one", || read(&world, "f").as_deref() == Some("newer"));
    world.assert_clean();
}

/// B4: the file changes in Dropbox while its parts come down: no mixture of the two is ever there.
#[test]
fn b4_a_file_that_changes_while_it_comes_down_is_never_a_mixture() {
    let mut world = world();
    world.extra = "[upload]\nchunk_size = \"4 MiB\"\n".into();
    let version = |n: u8| vec![n; 40 << 20];
    world.standin.write("/T/big", version(1));
    let _daemon = world.daemon();
    for n in 2..=3_u8 {
        let before = world.standin.calls_of("files/download");
        world.until("a part", |s| s.calls_of("files/download") > before);
        world.standin.write("/T/big", version(n));
    }
    world.eventually("the last version", || {
        let Ok(now) = fs::read(world.folder.join("big")) else { return false };
        assert!((1..=3).any(|n| now == version(n)), "a mixture, of {} bytes", now.len());
        now == version(3)
    });
    world.assert_clean();
}

/// I1, I2: two local names that are one to Dropbox, by their case or by their composition. The first is synced, the second is told, and nothing that
/// happens to either touches the other's file.
#[test]
fn i1_i2_twins_in_a_folder_that_goes_both_ways() {
    for (first, second) in [("FOO", "foo"), ("caf\u{e9}", "cafe\u{301}"), ("D\u{c4}/x", "d\u{e4}/x")] {
        let world = world();
        world.write(first, "first");
        world.write("keep", "k");
        world.once_in_sync();
        world.write(second, "the second");
        for _ in 0..2 {
            assert_eq!(once(&world), 3, "{first} {second}");
            assert_eq!(remote(&world, first).as_deref(), Some("first"));
            assert_eq!(
                (read(&world, first).as_deref(), read(&world, second).as_deref()),
                (Some("first"), Some("the second"))
            );
        }
        // An edit in Dropbox is the first one's.
        world.standin.write(&format!("/T/{first}"), "edited there");
        once(&world);
        assert_eq!(read(&world, first).as_deref(), Some("edited there"), "{second}");
        assert_eq!(read(&world, second).as_deref(), Some("the second"));
        // The second goes: nothing happens in Dropbox.
        fs::remove_file(world.folder.join(second)).unwrap_or_else(|_| panic!("{second}: {:?}", world.disk()));
        once(&world);
        assert_eq!(remote(&world, first).as_deref(), Some("edited there"), "{second}");
        assert_eq!(read(&world, first).as_deref(), Some("edited there"), "{second}: {:?}", world.disk());
        // The first goes while the second is there: the second takes its place, under its own name.
        world.write(second, "the second");
        once(&world);
        fs::remove_file(world.folder.join(first)).unwrap_or_else(|_| panic!("{first}: {:?}", world.disk()));
        once(&world);
        once(&world);
        once(&world);
        assert_eq!(world.disk().into_keys().filter(|p| *p != "keep").collect::<Vec<_>>(), [second]);
        assert_eq!(remote(&world, second).as_deref(), Some("the second"), "{second}");
        assert_eq!(world.standin.file_count(), 2);
        world.assert_clean();
    }
}

/// I1: of two twins that are both new, one is synced and the other is told; when either goes, the other's file in Dropbox stays, or takes its place.
#[test]
fn i1_of_two_new_twins_one_is_synced() {
    for goes in ["FOO", "foo"] {
        let world = world();
        world.write("keep", "k");
        world.write("FOO", "FOO's");
        world.write("foo", "foo's");
        assert_eq!(once(&world), 3);
        let first = remote(&world, "foo").unwrap();
        for _ in 0..2 {
            assert_eq!(once(&world), 3);
            assert_eq!((remote(&world, "foo").as_deref(), world.standin.file_count()), (Some(first.as_str()), 2));
            assert_eq!(world.disk().len(), 3);
        }
        let stays = if goes == "foo" { "FOO" } else { "foo" };
        fs::remove_file(world.folder.join(goes)).unwrap();
        for _ in 0..2 {
            assert_eq!(once(&world), 0, "{goes}");
        }
        assert_eq!(world.disk().into_keys().filter(|p| *p != "keep").collect::<Vec<_>>(), [stays]);
        let content = format!("{stays}'s");
        assert_eq!((remote(&world, stays), world.standin.file_count()), (Some(content), 2));
        world.assert_clean();
    }
}

/// I2: a name comes down with the bytes that Dropbox shows, and stays as it is.
#[test]
fn i2_the_composition_of_a_name_is_kept() {
    let world = world();
    // Dropbox itself shows names composed, whoever wrote them how.
    world.standin.write("/T/cafe\u{301}", "decomposed");
    world.standin.write("/T/na\u{ef}ve", "composed");
    world.once_in_sync();
    world.standin.reset_counters();
    world.once_in_sync();
    assert_eq!(world.disk().into_keys().collect::<Vec<_>>(), ["caf\u{e9}", "na\u{ef}ve"]);
    assert_eq!((world.standin.data_transport_calls(), world.standin.calls_of("files/download")), (0, 0));
    world.assert_clean();
}

/// I9: what bears our own directory's name in Dropbox is told and not brought down, into whatever letters it is put, however deep it lies.
#[test]
fn i9_our_own_name_in_dropbox_is_refused() {
    let world = world();
    world.write("keep", "k");
    world.once_in_sync();
    let marker = fs::read(world.folder.join(".ferrybox/root-id")).unwrap();
    world.standin.write("/T/.ferrybox/root-id", "evil");
    world.standin.write("/T/.FERRYBOX/trash/x", "evil");
    world.standin.write("/T/deep/.ferrybox/x", "evil, too");
    once(&world);
    assert_eq!(fs::read(world.folder.join(".ferrybox/root-id")).unwrap(), marker);
    assert!(!world.folder.join(".FERRYBOX").exists() && !world.folder.join(".ferrybox/trash/x").exists());
    assert!(!world.folder.join("deep/.ferrybox").exists());
    assert_eq!(world.standin.file_count(), 4, "nothing of it is deleted there");
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    let out = world.command(&["problems", "--json"]).output().unwrap();
    assert!(text(&out).contains("\"reserved\""), "{}", text(&out));
    world.assert_clean();
}
