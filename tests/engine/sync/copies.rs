//! Files that are copied here: what is large is copied in Dropbox, and no byte of it travels twice.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::harness::copies::{MIB, bytes, copy, with_big};
use crate::harness::renames::{COPY, sent, until_idle, world};
use crate::harness::{APPEND_BATCH, World, json};
use ferrybox_standin::{Effect, Entries, Fault};

fn deeds(world: &World, path: &str) -> Vec<String> {
    let path = world.folder.join(path);
    let log = json(world, &["history", "--json", path.to_str().unwrap()]);
    log["items"].as_array().unwrap().iter().map(|item| item["what"].as_str().unwrap().to_owned()).collect()
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
            let tag = "relocation_error/duplicated_or_nested_paths".into();
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
    crate::harness::told(&world, &["pause"]);
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
    crate::harness::told(&world, &["resume"]);
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
