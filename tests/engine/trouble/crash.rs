//! kill -9 at random moments of a mixed upload, again and again: nothing is lost, nothing is doubled, and next to nothing is sent twice.
//!
//! The ordinary run kills 25 times. `FERRYBOX_LONG=1` kills 500 times, as the project promises; `FERRYBOX_KILLS=n` any number.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::harness::{APPEND, APPEND_BATCH, FINISH_BATCH, World, text};
use ferrybox_standin::{Contents, Effect, Fault, Pace, Settings, Standin};

/// Small numbers that look random, the same with the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Bytes that no other file has.
fn bytes(seed: u64, len: u64) -> Vec<u8> {
    let mut dice = Dice(seed);
    let mut out = vec![0; usize::try_from(len).unwrap()];
    for chunk in out.chunks_mut(4096) {
        chunk.fill(u8::try_from(dice.roll(256)).unwrap());
        let mark = dice.0.to_le_bytes();
        let n = mark.len().min(chunk.len());
        chunk[..n].copy_from_slice(&mark[..n]);
    }
    out
}

fn kills() -> u64 {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse().ok());
    number("FERRYBOX_KILLS").unwrap_or(if number("FERRYBOX_LONG") == Some(1) { 500 } else { 25 })
}

fn sent(world: &World) -> u64 {
    append_bytes(&world.standin)
}

/// Bytes of uploads that the server has read, those of requests that broke off too.
fn append_bytes(standin: &Standin) -> u64 {
    let calls = standin.calls();
    calls
        .iter()
        .filter(|(name, _)| name.contains("append") || name.as_str() == "files/upload")
        .map(|(_, c)| c.bytes_in)
        .sum()
}

/// The uploaded content of every revision, once each.
fn assert_one_revision_a_content(world: &World, saves: &BTreeMap<String, usize>) {
    for file in world.standin.files() {
        let name = file.path_display.strip_prefix("/T/").unwrap();
        let most = saves.get(name).copied().unwrap_or(0);
        assert!(file.revisions <= most, "{name}: {} revisions of {most} contents", file.revisions);
        assert!(!name.contains("conflicted copy"), "{name}");
    }
}

#[test]
fn a16_kill_9_at_random_moments_of_a_mixed_upload_costs_nothing() {
    let kills = kills();
    let mut world = World::with(Settings {
        contents: Contents::HashOnly,
        bandwidth: Some(48 << 20),
        commit: Pace { per_batch: Duration::from_millis(30), per_entry: Duration::from_micros(200) },
        ..Settings::default()
    });
    // A kill in the middle of a commit leaves a batch whose job has no known name: its time is waited for at the next start.
    world.extra =
        "rescan = \"1h\"\n[upload]\nworkers = 2\nchunk_size = \"4 MiB\"\n[commit]\njob_deadline = \"5s\"\n".into();
    let mut dice = Dice(7);
    let mut saves: BTreeMap<String, usize> = BTreeMap::new();
    let mut number = 0_u64;
    let mut save = |world: &World, saves: &mut BTreeMap<String, usize>, name: String, len: u64| {
        number += 1;
        *saves.entry(name.clone()).or_default() += 1;
        world.write(&name, bytes(number, len));
    };
    let began = Instant::now();
    for round in 0..kills {
        // What a person's tree does between two crashes: some small files, now and then a large one, edits of what is there.
        for i in 0..20 + dice.roll(20) {
            let len = dice.roll(30_000);
            save(&world, &mut saves, format!("small/{}/{round}-{i}", round % 10), len);
        }
        for i in 0..3 {
            save(&world, &mut saves, format!("mid/{i}-{}", round % 50), 500_000 + dice.roll(3_000_000));
        }
        if round % 2 == 0 {
            save(&world, &mut saves, format!("large/{}", round % 20), (15 << 20) + dice.roll(25 << 20));
        }
        if round > 2 {
            save(&world, &mut saves, format!("mid/0-{}", dice.roll(round.min(50))), 400_000 + dice.roll(400_000));
        }
        let before = sent(&world);
        let daemon = world.daemon();
        if round % 8 == 7 {
            // Now and then it catches up, so that what is saved is sent at all before it is saved again.
            world.until("what was saved", |s| s.tree_hashes().len() >= saves.len());
        } else {
            // A random moment of the upload, not of the start.
            world.standin.wait_for_blocking(Duration::from_secs(2), |s| append_bytes(s) > before);
            std::thread::sleep(Duration::from_millis(dice.roll(600)));
        }
        if dice.roll(2) == 0 {
            save(&world, &mut saves, format!("small/{}/late-{round}", round % 10), dice.roll(50_000));
            // A random moment of its upload, too.
            std::thread::sleep(Duration::from_millis(dice.roll(400)));
        }
        daemon.kill();
    }
    let during = sent(&world);
    world.standin.set_bandwidth(None);
    let out = world.once();
    assert_eq!(out.status.code(), Some(0), "{}\n{}", text(&out), world.log());
    world.assert_equal();
    assert_one_revision_a_content(&world, &saves);
    // What became a revision had to be sent; all else was sent in vain.
    let (all, needed) = (sent(&world), world.standin.committed_bytes());
    let ratio = all as f64 / needed as f64;
    eprintln!(
        "{kills} kills in {:?}: {} files, {needed} bytes in revisions, {all} sent ({during} before the last run), ratio {ratio:.3}",
        began.elapsed(),
        saves.len()
    );
    assert!(ratio <= 1.3, "sent {all} bytes for {needed}: {ratio:.3}");
    world.assert_clean();
}

/// Starts the daemon, waits until the server has seen something, and kills it at that moment.
fn kill_when(world: &World, what: &str, seen: impl FnMut(&Standin) -> bool) {
    let daemon = world.daemon();
    world.until(what, seen);
    daemon.kill();
}

#[test]
fn a6_a_pack_whose_reply_was_lost_is_not_sent_again() {
    let world = World::new();
    for i in 0..50 {
        world.write(&format!("{i}"), bytes(i, 20_000));
    }
    world.write("empty", "");
    world.standin.faults().add(Fault::once(APPEND_BATCH, Effect::DropAfter));
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(sent(&world), 50 * 20_000);
    world.assert_clean();
}

#[test]
fn a6_a_pack_that_was_under_way_at_kill_9_is_asked_for_and_not_sent_again() {
    let world = World::new();
    for i in 0..50 {
        world.write(&format!("{i}"), bytes(i, 20_000));
    }
    world.standin.faults().add(Fault::once(APPEND_BATCH, Effect::StallReply(Duration::from_secs(2))));
    // The server has all the bytes and keeps its answer to itself.
    kill_when(&world, "the pack", |s| {
        s.calls().get(APPEND_BATCH).is_some_and(|c| c.calls == 1) && s.open_sessions() > 0
    });
    world.until("the end of the broken call", |s| s.calls()[APPEND_BATCH].running == 0);
    world.once_in_sync();
    world.assert_equal();
    assert!(sent(&world) <= 2 * 50 * 20_000);
    world.assert_clean();
}

#[test]
fn a6_a_pack_of_which_a_part_arrived_goes_on_from_the_server_s_offsets() {
    let world = World::new();
    for i in 0..10 {
        world.write(&format!("{i}"), bytes(i, 20_000));
    }
    // Above what is kept in memory: the rest is read from the disk.
    world.write("larger", bytes(99, 200_000));
    world.standin.faults().add(Fault::once(APPEND_BATCH, Effect::PartArrives(5_000)));
    world.once_in_sync();
    world.assert_equal();
    let all = 10 * 20_000 + 200_000;
    assert_eq!(sent(&world), all + (all - 11 * 5_000), "only what was missing was sent again");
    assert_eq!(world.standin.calls()["files/upload_session/start_batch"].calls, 1);
    assert!(world.standin.files().iter().all(|f| f.revisions == 1));
    world.assert_clean();
}

#[test]
fn a6_a_part_that_arrived_is_worth_nothing_once_the_file_is_another_one() {
    let world = World::new();
    for i in 0..10 {
        world.write(&format!("{i}"), bytes(i, 20_000));
    }
    world.standin.faults().add(Fault::once(APPEND_BATCH, Effect::PartArrives(5_000)));
    kill_when(&world, "the pack", |s| s.calls().get(APPEND_BATCH).is_some_and(|c| c.bytes_in >= 200_000));
    world.write("3", bytes(103, 20_000));
    world.once_in_sync();
    world.assert_equal();
    assert!(world.standin.files().iter().all(|f| f.revisions == 1));
    world.assert_clean();
}

#[test]
fn a6_a_large_file_goes_on_with_the_parts_that_are_missing() {
    let mut world = World::with(Settings { bandwidth: Some(16 << 20), ..Settings::default() });
    world.extra = "[upload]\nworkers = 2\nchunk_size = \"4 MiB\"\n".into();
    world.write("large", bytes(1, (40 << 20) + 5));
    kill_when(&world, "some parts", |s| s.calls().get(APPEND).is_some_and(|c| c.statuses.get(&200) >= Some(&5)));
    world.standin.set_bandwidth(None);
    let before = world.standin.calls()[APPEND].calls;
    world.once_in_sync();
    world.assert_equal();
    let parts = world.standin.calls()[APPEND].calls - before;
    assert!(parts <= 7, "{parts} of 11 parts were sent after the restart");
    assert_eq!(world.standin.calls()["files/upload_session/start"].calls, 1);
    world.assert_clean();
}

#[test]
fn a6_a_file_whose_beginning_changed_is_sent_from_its_start() {
    let mut world = World::with(Settings { bandwidth: Some(16 << 20), ..Settings::default() });
    world.extra = "[upload]\nworkers = 2\nchunk_size = \"4 MiB\"\n".into();
    let mut content = bytes(1, 30 << 20);
    world.write("large", &content);
    kill_when(&world, "some parts", |s| s.calls().get(APPEND).is_some_and(|c| c.statuses.get(&200) >= Some(&4)));
    world.standin.set_bandwidth(None);
    content[17] ^= 1;
    world.write("large", &content);
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(world.standin.file("/T/large").unwrap().revisions, 1);
    // One that only grew keeps what had arrived.
    world.standin.set_bandwidth(Some(16 << 20));
    let mut log = bytes(2, 30 << 20);
    world.write("log", &log);
    let before = world.standin.calls()[APPEND].statuses[&200];
    kill_when(&world, "some parts", |s| s.calls()[APPEND].statuses.get(&200) >= Some(&(before + 4)));
    world.standin.set_bandwidth(None);
    log.extend(bytes(3, 5 << 20));
    world.write("log", &log);
    let starts = world.standin.calls()["files/upload_session/start"].calls;
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(world.standin.calls()["files/upload_session/start"].calls, starts, "the session was gone on with");
    world.assert_clean();
}

#[test]
fn a6_the_closing_part_whose_reply_was_lost_counts_as_arrived() {
    let mut world = World::new();
    world.extra = "[upload]\nchunk_size = \"4 MiB\"\n".into();
    world.write("large", bytes(1, (8 << 20) + 5));
    world.standin.faults().add(Fault::nth(APPEND, 3, Effect::DropAfter));
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(world.standin.calls()["files/upload_session/start"].calls, 1);
    assert!(sent(&world) <= (8 << 20) + 10);
    world.assert_clean();
}

#[test]
fn a7_a_closed_session_is_committed_after_a_crash_and_not_sent_again() {
    let mut world = World::new();
    // What was under way at the crash may still run, and is waited for; not for a minute here.
    world.extra = "[commit]\nmax_age = \"30s\"\njob_deadline = \"5s\"\n".into();
    for i in 0..20 {
        world.write(&format!("{i}"), bytes(i, 10_000));
    }
    // A refused commit leaves staged changes behind, and nothing else.
    world
        .standin
        .faults()
        .add(Fault::always(FINISH_BATCH, Effect::Status { code: 503, retry_after: Some("600".into()), body: None }));
    kill_when(&world, "the refused commit", |s| s.calls_of(FINISH_BATCH) > 0);
    world.standin.faults().clear();
    world.standin.advance(Duration::from_secs(601));
    let before = sent(&world);
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(sent(&world), before, "no byte was sent again");
    world.assert_clean();
}

#[test]
fn a10_a_stored_job_is_polled_after_the_restart() {
    let world = World::with(Settings {
        commit: Pace { per_batch: Duration::from_secs(2), ..Pace::default() },
        ..Settings::default()
    });
    for i in 0..20 {
        world.write(&format!("{i}"), bytes(i, 1_000));
    }
    kill_when(&world, "a poll", |s| s.calls_of("files/upload_session/finish_batch/check") > 0);
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(world.standin.calls_of(FINISH_BATCH), 1, "one job, before the crash");
    assert!(world.standin.files().iter().all(|f| f.revisions == 1));
    world.assert_clean();
}

#[test]
fn a10_the_job_of_a_folder_that_left_the_configuration_ends_before_another_begins() {
    for known in [true, false] {
        let mut world = World::new();
        world.standin.set_commit_duration(Duration::from_secs(3));
        let second = world.dir.path().join("second");
        std::fs::create_dir(&second).unwrap();
        world.folder_extra = format!("[[account.folder]]\nlocal = {second:?}\nremote = \"/U\"\nmode = \"backup\"\n");
        if !known {
            // Nothing of it can be asked for: it is waited for, for longer than it takes, but not for a minute.
            world.extra = "[commit]\njob_deadline = \"8s\"\n".into();
            world.standin.faults().add(Fault::once(FINISH_BATCH, Effect::StallReply(Duration::from_secs(10))));
        }
        for i in 0..10 {
            std::fs::write(second.join(format!("{i}")), bytes(i, 1_000)).unwrap();
        }
        kill_when(&world, "the job", |s| {
            s.running_commits() > 0 && (!known || s.calls_of("files/upload_session/finish_batch/check") > 0)
        });
        world.folder_extra.clear();
        world.write("mine", "1");
        world.once_in_sync();
        world.assert_equal();
        assert_eq!(world.standin.file_count(), 11, "what was under way has come to its end");
        world.assert_clean();
    }
}

#[test]
fn a10_the_other_folders_of_a_torn_batch_go_on() {
    let mut world = World::new();
    world.standin.set_commit_duration(Duration::from_secs(3));
    let second = world.dir.path().join("second");
    std::fs::create_dir(&second).unwrap();
    world.folder_extra = format!("[[account.folder]]\nlocal = {second:?}\nremote = \"/U\"\nmode = \"backup\"\n");
    world.extra = "[commit]\nmax_age = \"2s\"\n".into();
    for i in 0..10 {
        std::fs::write(second.join(format!("{i}")), bytes(i, 1_000)).unwrap();
        world.write(&format!("{i}"), bytes(100 + i, 1_000));
    }
    kill_when(&world, "the job", |s| s.calls_of("files/upload_session/finish_batch/check") > 0);
    world.folder_extra.clear();
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(sent(&world), 20 * 1_000);
    assert!(world.standin.files().iter().all(|f| f.revisions == 1));
    world.assert_clean();
}

#[test]
fn a9_a_job_whose_name_was_lost_in_the_crash_is_let_come_to_its_end() {
    let world = World::with(Settings {
        commit: Pace { per_batch: Duration::from_millis(1_500), ..Pace::default() },
        ..Settings::default()
    });
    for i in 0..20 {
        world.write(&format!("{i}"), bytes(i, 1_000));
    }
    world.standin.faults().add(Fault::once(FINISH_BATCH, Effect::StallReply(Duration::from_secs(5))));
    kill_when(&world, "the job", |s| s.running_commits() > 0);
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(world.standin.calls_of(FINISH_BATCH), 1);
    assert!(world.standin.files().iter().all(|f| f.revisions == 1));
    world.assert_clean();
}

/// The daemon is killed, killed while it finds out what became of that, and killed once more while it finds out about that.
#[test]
fn a16_kills_inside_the_recovery_three_deep_end_as_one_clean_recovery_does() {
    const CHECK: &str = "files/upload_session/finish_batch/check";
    const ASK: &str = "files/get_metadata";
    let hold = || Effect::StallReply(Duration::from_secs(20));
    // Where each life ends; a name that the recovery does not come by in that order is killed when everything is done.
    let orders = [
        [APPEND_BATCH, APPEND_BATCH, FINISH_BATCH],
        [APPEND_BATCH, FINISH_BATCH, ASK],
        [FINISH_BATCH, ASK, ASK],
        [FINISH_BATCH, ASK, FINISH_BATCH],
        [CHECK, CHECK, CHECK],
        [CHECK, FINISH_BATCH, ASK],
    ];
    for order in orders {
        let world = World::with(Settings {
            commit: Pace { per_batch: Duration::from_millis(300), ..Pace::default() },
            ..Settings::default()
        });
        for i in 0..20 {
            world.write(&format!("{i}"), bytes(i, 1_000));
        }
        for route in order {
            let before = world.standin.calls_of(route);
            world.standin.faults().add(Fault::once(route, hold()));
            kill_when(&world, route, |s| s.calls_of(route) > before || s.file_count() == 20);
            world.standin.faults().clear();
        }
        world.once_in_sync();
        world.assert_equal();
        assert!(world.standin.files().iter().all(|f| f.revisions == 1), "{order:?}");
        // Each life may lose its own request, and no more.
        assert!(sent(&world) <= 4 * 20_000, "{order:?}: {}", sent(&world));
        assert_eq!(world.deletions(), 0);
        world.assert_clean();
    }
}

#[test]
fn a8_an_intent_whose_call_was_never_made_is_committed() {
    let mut world = World::new();
    // It looks the same as one whose job may run, which is waited for; not for a minute here.
    world.extra = "[commit]\njob_deadline = \"5s\"\n".into();
    world.write("a", "1");
    world.standin.faults().add(Fault::once(FINISH_BATCH, Effect::Stall(Duration::from_secs(5))));
    // Killed before the server has begun with it.
    kill_when(&world, "the call", |s| s.calls_of(FINISH_BATCH) > 0);
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(world.standin.file("/T/a").unwrap().revisions, 1);
    world.assert_clean();
}

#[test]
fn a1_a2_a20_what_was_seen_saved_or_queued_at_kill_9_arrives_as_it_is_in_the_end() {
    let world = World::new();
    world.write("before", "1");
    let daemon = world.daemon();
    world.until("the first", |s| s.file("/T/before").is_some());
    for i in 0..200 {
        world.write(&format!("many/{i}"), format!("{i}"));
    }
    world.write("before", "half");
    daemon.kill();
    world.write("before", "whole");
    world.once_in_sync();
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn a18_an_edit_between_reading_and_commit_is_a_revision_of_its_own() {
    let world = World::with(Settings {
        commit: Pace { per_batch: Duration::from_millis(1_500), ..Pace::default() },
        ..Settings::default()
    });
    world.write("a", "first");
    let daemon = world.daemon();
    world.until("the commit", |s| s.running_commits() > 0);
    world.write("a", "second");
    world.until("the second", |s| s.file("/T/a").is_some_and(|f| f.revisions == 2));
    drop(daemon);
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn d9_an_expired_session_restarts_that_file_alone() {
    let mut world = World::with(Settings { bandwidth: Some(16 << 20), ..Settings::default() });
    world.extra = "[upload]\nworkers = 2\nchunk_size = \"4 MiB\"\n".into();
    world.write("large", bytes(1, 30 << 20));
    kill_when(&world, "some parts", |s| s.calls().get(APPEND).is_some_and(|c| c.statuses.get(&200) >= Some(&4)));
    world.standin.set_bandwidth(None);
    world.standin.expire_sessions();
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(world.standin.calls()["files/upload_session/start"].calls, 2);
    world.assert_clean();
}
