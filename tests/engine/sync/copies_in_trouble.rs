//! Copies of large files that meet something else: somebody else's changes, renames, deletions, refusals, kills.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;
use std::time::Duration;

use crate::harness::copies::{MIB, bytes, copy, deaf, no_conflict, with_big};
use crate::harness::renames::{COPY, rename, sent, until_idle, world};
use crate::harness::{APPEND, FINISH_BATCH, World};
use ferrybox_standin::{Effect, Entries, Fault, Settings};

const CHECK: &str = "files/copy_batch/check_v2";

/// A `RelocationError` in a batch (files.stone, `RelocationBatchErrorEntry`).
fn of(tag: &str) -> String {
    format!("relocation_error/{tag}")
}

/// Somebody writes to the source just before Dropbox copies it: what is here goes up over the copy, and theirs stays where they put it.
#[test]
fn the_source_was_another_one_when_it_was_copied() {
    for mode in ["backup", "mirror", "two-way"] {
        let world = with_big(mode);
        deaf(&world);
        let daemon = world.daemon();
        until_idle(&world);
        world.standin.faults().add(Fault::once(COPY, Effect::Stall(Duration::from_secs(2))));
        copy(&world, "big", "other");
        world.until("the call", |s| s.calls_of(COPY) > 0);
        world.standin.write("/T/big", "edited there");
        let ours = fs::read(world.folder.join("other")).unwrap();
        world.until("our content", |s| s.content("/T/other").is_some_and(|there| there == ours));
        assert_eq!(world.standin.file("/T/other").unwrap().revisions, 2, "theirs was copied first");
        assert_eq!(world.standin.content("/T/big").unwrap(), "edited there");
        world.standin.faults().clear();
        daemon.stop();
        if mode == "two-way" {
            world.once_in_sync();
            world.assert_equal();
            assert_eq!(fs::read_to_string(world.folder.join("big")).unwrap(), "edited there");
        }
        assert_eq!(fs::read(world.folder.join("other")).unwrap(), ours);
        assert_eq!(world.standin.file_count(), 3);
        no_conflict(&world);
        world.assert_clean();
    }
}

/// The source goes in Dropbox before it is copied: the bytes are sent.
#[test]
fn the_source_was_deleted_before_it_was_copied() {
    for mode in ["backup", "two-way"] {
        let world = with_big(mode);
        deaf(&world);
        let daemon = world.daemon();
        until_idle(&world);
        world.standin.faults().add(Fault::once(COPY, Effect::Stall(Duration::from_secs(2))));
        copy(&world, "big", "other");
        world.until("the call", |s| s.calls_of(COPY) > 0);
        assert!(world.standin.delete("/T/big"));
        world.until("its bytes", |s| s.file("/T/other").is_some());
        assert!(sent(&world.standin) >= 2 * MIB as u64);
        world.standin.faults().clear();
        daemon.stop();
        no_conflict(&world);
        world.assert_clean();
    }
}

/// `cp` and `rm` is a move for people: the copy is made before the deletion.
#[test]
fn copied_and_then_deleted_here() {
    for mode in ["mirror", "two-way"] {
        let world = with_big(mode);
        copy(&world, "big", "other");
        fs::remove_file(world.folder.join("big")).unwrap();
        world.once_in_sync();
        world.assert_equal();
        assert_eq!((sent(&world.standin), world.standin.calls_of(COPY)), (0, 1));
        world.assert_clean();
    }
}

/// Copies that gather do not let the deletion of what they are copied from pass.
#[test]
fn a_copy_that_waits_for_company_goes_before_the_deletion() {
    let mut world = world("mirror");
    world.extra = "[commit]\nmax_age = \"1h\"\n[upload]\nchunk_size = \"4 MiB\"\n".into();
    world.write("big", bytes(1, 2 * MIB));
    world.write("keep", "k");
    world.once_in_sync();
    world.standin.reset_counters();
    let daemon = world.daemon();
    until_idle(&world);
    // So long does a file go up that could join the batch.
    world.standin.faults().add(Fault::once(APPEND, Effect::Stall(Duration::from_secs(8))));
    world.write("slow", bytes(2, 6 * MIB));
    world.until("the slow one", |s| s.calls_of(APPEND) > 0);
    copy(&world, "big", "other");
    fs::remove_file(world.folder.join("big")).unwrap();
    world.until("the deletion", |s| s.file("/T/big").is_none());
    assert!(world.standin.file("/T/other").is_some() && world.standin.file("/T/slow").is_none());
    world.until("the slow one's end", |s| s.file("/T/slow").is_some());
    until_idle(&world);
    daemon.stop();
    world.assert_equal();
    assert!(sent(&world.standin) < 7 * MIB as u64, "{}", sent(&world.standin));
    world.assert_clean();
}

/// Dropbox takes the new name for that of a file which is synced already, and that one has the very content: it stays the first one's.
#[test]
fn a_copy_is_no_second_path_of_one_file() {
    let mut world = World::with(Settings { fold: vec![('ß', "ss".to_owned())], ..Settings::default() });
    world.mode = "mirror";
    for path in ["big", "strasse"] {
        world.write(path, bytes(1, 2 * MIB));
    }
    world.once_in_sync();
    world.standin.reset_counters();
    world.write("straße", bytes(1, 2 * MIB));
    for _ in 0..2 {
        assert_eq!(world.once().status.code(), Some(3));
        let told = world.stored("SELECT path || ' ' || state || ' ' || code FROM job");
        assert_eq!(told, ["straße wedged case_clash"]);
    }
    assert_eq!(world.stored("SELECT name FROM base ORDER BY name"), ["big", "strasse"]);
    assert_eq!((sent(&world.standin), world.standin.calls_of(COPY)), (0, 2), "at each start it is tried");
    assert_eq!(world.standin.file("/T/strasse").unwrap().revisions, 1);
    world.assert_clean();
}

/// Five large files in a directory, in sync.
fn five_in_a_directory(mode: &'static str) -> World {
    let world = world(mode);
    for i in 0..5 {
        world.write(&format!("old/{i}"), bytes(i, 2 * MIB));
    }
    world.write("keep", "k");
    world.once_in_sync();
    world.standin.reset_counters();
    world
}

/// The directory of the source is renamed at the same time: its new place is what is copied from, or its bytes are sent; nothing is lost.
#[test]
fn the_source_is_moved_at_the_same_time() {
    for mode in ["mirror", "two-way"] {
        let world = five_in_a_directory(mode);
        for i in 0..5 {
            copy(&world, &format!("old/{i}"), &format!("copy {i}"));
        }
        rename(&world, "old", "new");
        world.once_in_sync();
        world.assert_equal();
        assert_eq!((sent(&world.standin), world.deletions()), (0, 0), "{mode} {:#?}", world.standin.calls());
        world.assert_clean();
    }
}

/// The same when the copy is staged already: its source is looked for anew.
#[test]
fn the_source_is_moved_before_it_is_copied() {
    for mode in ["mirror", "two-way"] {
        let world = five_in_a_directory(mode);
        let daemon = world.daemon();
        until_idle(&world);
        // The committer is busy for so long.
        world.standin.faults().add(Fault::once(FINISH_BATCH, Effect::Stall(Duration::from_secs(4))));
        world.write("small", "small");
        world.until("its commit", |s| s.calls_of(FINISH_BATCH) > 0);
        copy(&world, "old/1", "copy");
        world.eventually("the staged copy", || {
            let out = world.command(&["explain", "--json", world.folder.join("copy").to_str().unwrap()]).output();
            serde_json::from_slice::<serde_json::Value>(&out.unwrap().stdout)
                .is_ok_and(|told| told["change"]["kind"] == "copy")
        });
        rename(&world, "old", "new");
        world.until("both", |s| s.file("/T/copy").is_some() && s.folder("/T/new") && !s.folder("/T/old"));
        until_idle(&world);
        daemon.stop();
        world.assert_equal();
        assert!(sent(&world.standin) < 100, "{mode} {}", sent(&world.standin));
        world.assert_clean();
    }
}

/// Whatever the reason that Dropbox refuses for, the bytes go up, and the copy is not tried for ever.
#[test]
fn a_refused_copy_is_sent() {
    let refusals = [
        "insufficient_quota",
        "too_many_files",
        "cant_copy_shared_folder",
        "from_lookup/not_found",
        "from_lookup/restricted_content",
        "to/no_write_permission",
        "to/conflict/file",
        "duplicated_or_nested_paths",
        "something_new",
    ];
    let whole = Effect::Status { code: 400, retry_after: None, body: None };
    let unknown = Effect::Status { code: 404, retry_after: None, body: None };
    let entries = refusals.map(|tag| Effect::EntryFailure { entries: Entries::All, tag: of(tag) });
    let effects: Vec<_> = entries.into_iter().chain([whole, unknown]).collect();
    for some in effects.chunks(6) {
        std::thread::scope(|scope| some.iter().for_each(|effect| drop(scope.spawn(|| is_sent(effect)))));
    }
}

fn is_sent(effect: &Effect) {
    let world = with_big("mirror");
    let daemon = world.daemon();
    until_idle(&world);
    world.standin.faults().add(Fault::always(COPY, effect.clone()));
    copy(&world, "big", "other");
    world.until("its bytes", |s| s.file("/T/other").is_some());
    until_idle(&world);
    let tried = world.standin.calls_of(COPY);
    assert!((1..=8).contains(&tried), "{effect:?}: {tried}");
    assert_eq!(sent(&world.standin), 2 * MIB as u64);
    world.assert_equal();
    daemon.stop();
    world.assert_clean();
}

/// kill -9 between the call and its settling, or a reply that is lost: it is found out what became of it, and no byte is sent.
#[test]
fn a_kill_in_the_middle_of_a_copy_costs_nothing() {
    for (mode, route, effect) in [
        ("mirror", COPY, Effect::StallReply(Duration::from_secs(3))),
        ("two-way", COPY, Effect::StallReply(Duration::from_secs(3))),
        ("two-way", CHECK, Effect::Stall(Duration::from_secs(3))),
    ] {
        let world = with_big(mode);
        let daemon = world.daemon();
        until_idle(&world);
        world.standin.faults().add(Fault::once(route, effect));
        copy(&world, "big", "other");
        world.until("the copy", |s| s.calls_of(route) > 0 && s.file("/T/other").is_some());
        daemon.kill();
        world.once_in_sync();
        world.assert_equal();
        assert_eq!((sent(&world.standin), world.standin.calls_of(COPY)), (0, 1), "{mode} {route}");
        world.assert_clean();
    }
}

#[test]
fn a_lost_reply_costs_nothing() {
    for effect in [Effect::DropAfter, Effect::DropBefore] {
        let mut world = with_big("two-way");
        world.extra += "\n[commit]\njob_deadline = \"5s\"\n";
        world.standin.faults().add(Fault::once(COPY, effect));
        copy(&world, "big", "other");
        world.once_in_sync();
        world.assert_equal();
        assert_eq!(sent(&world.standin), 0);
        assert_eq!(world.standin.file("/T/other").unwrap().revisions, 1);
        world.assert_clean();
    }
}

/// Written to while the copy is under way: the new content goes up over it.
#[test]
fn the_file_changes_while_it_is_copied() {
    for mode in ["backup", "two-way"] {
        let world = with_big(mode);
        let daemon = world.daemon();
        until_idle(&world);
        world.standin.faults().add(Fault::once(COPY, Effect::StallReply(Duration::from_secs(2))));
        copy(&world, "big", "other");
        world.until("the call", |s| s.calls_of(COPY) > 0);
        world.write("other", "written meanwhile");
        world.until("the new content", |s| s.content("/T/other").is_some_and(|there| there == "written meanwhile"));
        until_idle(&world);
        daemon.stop();
        world.once_in_sync();
        world.assert_equal();
        no_conflict(&world);
        world.assert_clean();
    }
}

/// Somebody puts another file at the new place first: both are kept.
#[test]
fn the_new_place_is_taken() {
    let world = with_big("two-way");
    deaf(&world);
    let daemon = world.daemon();
    until_idle(&world);
    world.standin.faults().add(Fault::once(COPY, Effect::Stall(Duration::from_secs(2))));
    copy(&world, "big", "other");
    world.until("the call", |s| s.calls_of(COPY) > 0);
    world.standin.write("/T/other", "theirs");
    world.until("both", |s| s.file_count() == 4);
    world.standin.faults().clear();
    daemon.stop();
    world.once_in_sync();
    world.assert_equal();
    let contents: Vec<_> = world.disk().into_keys().map(|path| fs::read(world.folder.join(path)).unwrap()).collect();
    assert!(contents.contains(&b"theirs".to_vec()));
    assert_eq!(contents.iter().filter(|content| **content == bytes(1, 2 * MIB)).count(), 2);
    world.assert_clean();
}
