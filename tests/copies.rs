//! Files that are copied here: what is large is copied in Dropbox, and no byte of it travels twice.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod harness;
#[path = "harness/renames.rs"]
mod renames;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ferrybox_standin::{Effect, Entries, Fault, Settings};
use harness::{APPEND, APPEND_BATCH, FINISH_BATCH, World, json};
use renames::{COPY, rename, sent, until_idle, world};

const MIB: usize = 1 << 20;
const CHECK: &str = "files/copy_batch/check_v2";

/// So many bytes that no other `seed` gives.
fn bytes(seed: u8, size: usize) -> Vec<u8> {
    (0..size).map(|i| u8::try_from((i / 977 + i % 251) % 256).unwrap() ^ seed).collect()
}

fn copy(world: &World, from: &str, to: &str) {
    let to = world.folder.join(to);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(world.folder.join(from), to).unwrap();
}

/// A world with one large file in sync, and counters at zero.
fn with_big(mode: &'static str) -> World {
    let world = world(mode);
    world.write("big", bytes(1, 2 * MIB));
    world.write("keep", "k");
    world.once_in_sync();
    world.standin.reset_counters();
    world
}

fn deeds(world: &World, path: &str) -> Vec<String> {
    let path = world.folder.join(path);
    let log = json(world, &["history", "--json", path.to_str().unwrap()]);
    log["items"].as_array().unwrap().iter().map(|item| item["what"].as_str().unwrap().to_owned()).collect()
}

fn no_conflict(world: &World) {
    let all = world.remote();
    assert!(all.keys().all(|path| !path.contains("conflicted")), "{:?}", all.keys());
}

/// A `RelocationError` in a batch (files.stone, `RelocationBatchErrorEntry`).
fn of(tag: &str) -> String {
    format!("relocation_error/{tag}")
}

/// The longpoll tells nothing for a while.
fn deaf(world: &World) {
    world.standin.faults().add(Fault::always("files/list_folder/longpoll", Effect::Stall(Duration::from_secs(5))));
}

#[test]
fn a_copied_file_is_copied_there() {
    for mode in ["backup", "mirror", "two-way"] {
        let world = with_big(mode);
        let daemon = world.daemon();
        until_idle(&world);
        copy(&world, "big", "other/big.bak");
        world.until("the copy", |s| s.file("/T/other/big.bak").is_some());
        until_idle(&world);
        assert_eq!((sent(&world.standin), world.standin.calls_of(COPY)), (0, 1), "{mode}");
        assert_eq!(deeds(&world, "other/big.bak"), ["copied"]);
        daemon.stop();
        // Nothing is left to do, and each has its own life from now on.
        world.once_in_sync();
        assert_eq!((sent(&world.standin), world.standin.calls_of(COPY)), (0, 1), "{mode}");
        world.write("other/big.bak", "edited");
        world.once_in_sync();
        world.assert_equal();
        assert_eq!(world.standin.file("/T/other/big.bak").unwrap().revisions, 2);
        world.assert_clean();
    }
}

/// `cp -r`: small files go up in packs, large ones are copied many in a batch, those that are sent by themselves too.
#[test]
fn a_copied_tree_takes_few_batches() {
    for mode in ["mirror", "two-way"] {
        let mut world = world(mode);
        world.extra = "[upload]\nchunk_size = \"4 MiB\"\n".into();
        for i in 0..24 {
            let size = if i % 8 == 0 { 5 * MIB } else { MIB + usize::from(i) };
            world.write(&format!("tree/{}/{i}", i % 3), bytes(i, size));
            world.write(&format!("tree/small/{i}"), format!("content {i}"));
        }
        world.once_in_sync();
        world.standin.reset_counters();
        for (path, _) in world.disk() {
            copy(&world, &path, &path.replacen("tree", "tree2", 1));
        }
        world.once_in_sync();
        world.assert_equal();
        assert!(sent(&world.standin) < 2_000, "{mode} {}", sent(&world.standin));
        assert!(world.standin.calls_of(COPY) <= 6, "{mode} {}", world.standin.calls_of(COPY));
        world.assert_clean();
    }
}

/// Many small files cost nothing more for it.
#[test]
fn small_files_go_up_in_packs() {
    let world = world("mirror");
    for i in 0..300 {
        world.write(&format!("a/{i}"), bytes(7, 4_096));
    }
    world.write("almost", bytes(1, MIB - 1));
    world.once_in_sync();
    world.standin.reset_counters();
    for i in 0..300 {
        copy(&world, &format!("a/{i}"), &format!("b/{i}"));
    }
    copy(&world, "almost", "almost too");
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(world.standin.calls_of(COPY), 0);
    assert!(world.standin.calls_of(APPEND_BATCH) <= 3, "{}", world.standin.calls_of(APPEND_BATCH));
    world.assert_clean();
}

/// A file of the same size with other bytes is sent.
#[test]
fn only_the_same_content_is_copied() {
    let mut world = with_big("two-way");
    world.extra = "[upload]\nchunk_size = \"4 MiB\"\n".into();
    world.write("other", bytes(2, 2 * MIB));
    world.write("large", bytes(3, 9 * MIB));
    world.once_in_sync();
    world.write("large too", bytes(4, 9 * MIB));
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(world.standin.calls_of(COPY), 0);
    world.assert_clean();
}

/// Ten copies of one file are one batch.
#[test]
fn one_file_is_copied_many_times_at_once() {
    let world = with_big("mirror");
    for i in 0..10 {
        copy(&world, "big", &format!("copy {i}"));
    }
    // Dropbox may not like one source twice in a batch: then they go one by one.
    for refused in [false, true] {
        if refused {
            let tag = of("duplicated_or_nested_paths");
            world.standin.faults().add(Fault::once(COPY, Effect::EntryFailure { entries: Entries::From(1), tag }));
            for i in 10..14 {
                copy(&world, "big", &format!("copy {i}"));
            }
        }
        world.once_in_sync();
        world.assert_equal();
        assert_eq!(sent(&world.standin), 0);
    }
    assert!(world.standin.calls_of(COPY) <= 1 + 4, "{}", world.standin.calls_of(COPY));
    world.assert_clean();
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

/// The directory of the source is renamed at the same time: its new place is what is copied from, or its bytes are sent; nothing is lost.
#[test]
fn the_source_is_moved_at_the_same_time() {
    for mode in ["mirror", "two-way"] {
        let world = world(mode);
        for i in 0..5 {
            world.write(&format!("old/{i}"), bytes(i, 2 * MIB));
        }
        world.write("keep", "k");
        world.once_in_sync();
        world.standin.reset_counters();
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
        let world = world(mode);
        for i in 0..5 {
            world.write(&format!("old/{i}"), bytes(i, 2 * MIB));
        }
        world.write("keep", "k");
        world.once_in_sync();
        world.standin.reset_counters();
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
        let world = with_big("two-way");
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

/// What the cache knows to have changed is no source.
#[test]
fn a_source_that_is_known_to_have_changed_is_not_copied() {
    let world = with_big("backup");
    world.standin.write("/T/big", "edited there");
    let daemon = world.daemon();
    until_idle(&world);
    copy(&world, "big", "other");
    world.until("its bytes", |s| s.file("/T/other").is_some());
    assert_eq!((world.standin.calls_of(COPY), world.standin.file("/T/other").unwrap().revisions), (0, 1));
    daemon.stop();
    world.assert_clean();
}

/// A file whose deletion waits for a person is in Dropbox all the same; one that is not synced any more is nobody's business.
#[test]
fn sources_that_are_held_or_left_out() {
    let mut world = world("mirror");
    world.extra = "[safety]\nmax_deletions = 3\n".into();
    for i in 0..20 {
        world.write(&format!("held/{i}"), bytes(i, MIB));
    }
    world.write("out/big", bytes(50, 2 * MIB));
    world.write("keep", "k");
    world.once_in_sync();
    world.standin.reset_counters();
    let daemon = world.daemon();
    until_idle(&world);
    copy(&world, "held/0", "from held");
    world.until("the copy", |s| s.file("/T/from held").is_some());
    fs::remove_dir_all(world.folder.join("held")).unwrap();
    world.until_folder("held");
    world.write("from held too", bytes(5, MIB));
    world.until("the copy of what is held", |s| s.file("/T/from held too").is_some());
    assert_eq!((sent(&world.standin), world.standin.calls_of(COPY)), (0, 2));
    assert_eq!(world.deletions(), 0);
    daemon.stop();
    world.folder_extra = "ignore = [\"out/\"]".into();
    let out = world.folder.join("out/big");
    let daemon = world.daemon();
    world.until_folder("held");
    fs::copy(out, world.folder.join("from out")).unwrap();
    world.until("its bytes", |s| s.file("/T/from out").is_some());
    assert!(sent(&world.standin) >= 2 * MIB as u64);
    assert_eq!(world.standin.calls_of(COPY), 2);
    daemon.stop();
    world.assert_clean();
}

/// Another folder of the account holds it.
#[test]
fn a_file_is_copied_from_another_folder() {
    let mut world = world("mirror");
    let other: PathBuf = world.dir.path().join("second");
    fs::create_dir(&other).unwrap();
    world.folder_extra = format!("[[account.folder]]\nlocal = {other:?}\nremote = \"/U\"\nmode = \"two-way\"\n");
    world.write("big", bytes(1, 2 * MIB));
    fs::write(other.join("theirs"), bytes(2, 6 * MIB)).unwrap();
    world.once_in_sync();
    world.standin.reset_counters();
    fs::copy(world.folder.join("big"), other.join("big")).unwrap();
    fs::copy(other.join("theirs"), world.folder.join("theirs")).unwrap();
    world.once_in_sync();
    assert_eq!(sent(&world.standin), 0);
    for path in ["big", "theirs"] {
        let hash = |root: &str| world.standin.file(&format!("/{root}/{path}")).unwrap().content_hash;
        assert_eq!(hash("T"), hash("U"));
    }
    assert_eq!(world.standin.file_count(), 4);
    world.assert_clean();
}

/// `plan` says that it may be, and `explain` that it is.
#[test]
fn it_is_told() {
    let world = with_big("mirror");
    let daemon = world.daemon();
    until_idle(&world);
    harness::told(&world, &["pause"]);
    copy(&world, "big", "other");
    world.write("new", bytes(3, 3 * MIB));
    let mut plan = serde_json::Value::Null;
    world.eventually("the rows", || {
        plan = json(&world, &["plan", "--json"]);
        plan["items"].as_array().is_some_and(|items| items.len() == 2)
    });
    let text = |path: &str| {
        let items = plan["items"].as_array().unwrap();
        items.iter().find(|item| item["path"] == path).unwrap()["text"].as_str().unwrap().to_owned()
    };
    assert!(text("other").contains("copied in Dropbox"), "{plan}");
    assert!(!text("new").contains("copied"), "{plan}");
    world.standin.faults().add(Fault::once(COPY, Effect::Stall(Duration::from_secs(3))));
    harness::told(&world, &["resume"]);
    world.until("the call", |s| s.calls_of(COPY) > 0);
    let told = json(&world, &["explain", "--json", "other"]);
    assert_eq!((&told["change"]["kind"], &told["change"]["state"]), (&"copy".into(), &"committing".into()), "{told}");
    assert!(told["summary"].as_str().unwrap().contains("it is copied there"), "{told}");
    world.until("the copy", |s| s.file("/T/other").is_some());
    until_idle(&world);
    world.assert_equal();
    daemon.stop();
    world.assert_clean();
}
