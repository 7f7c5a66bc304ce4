//! The main job, end to end: the real binary, real files, a real server process's protocol over TCP.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::time::Duration;

use crate::harness::{FINISH_BATCH, World, status, text, wait_for_socket};
use ferrybox_standin::{Effect, Entries, Fault, Pace, Settings};

#[test]
fn a_tree_arrives_byte_for_byte_with_its_times() {
    let world = World::new();
    world.write("a.txt", "one");
    world.write("deep/er/b.bin", vec![7; 300_000]);
    world.write("empty", "");
    world.write("ünï/çödé ☂.txt", "x");
    let old = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    std::fs::File::options().write(true).open(world.folder.join("a.txt")).unwrap().set_modified(old).unwrap();
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(world.remote().len(), 4);
    assert_eq!(world.standin.file("/T/a.txt").unwrap().client_modified, "2001-09-09T01:46:40Z");
    world.assert_clean();
}

#[test]
fn a_thousand_small_files_cost_five_data_transport_calls() {
    let world = World::new();
    for i in 0..1_000 {
        world.write(&format!("d{}/f{i}", i % 7), format!("{i:04096}"));
    }
    world.once_in_sync();
    world.assert_equal();
    assert!(world.standin.data_transport_calls() <= 5, "{:?}", world.standin.calls());
    // The program's own count, which a budget is held against, is the server's.
    let daemon = world.daemon();
    let status = status(&world);
    assert_eq!(status["accounts"][0]["data_transport"]["calls"], world.standin.data_transport_calls());
    drop(daemon);
    world.assert_clean();
}

#[test]
fn what_is_in_sync_costs_nothing_at_the_next_start() {
    let world = World::new();
    world.write("a/b", "1");
    world.write("c", vec![1; 200_000]);
    world.once_in_sync();
    world.standin.reset_counters();
    world.once_in_sync();
    assert_eq!(world.standin.data_transport_calls(), 0, "{:?}", world.standin.calls());
    world.assert_clean();
}

#[test]
fn a_touched_file_is_read_and_not_sent() {
    let world = World::new();
    world.write("small", "1");
    world.write("larger", vec![1; 200_000]);
    world.write("large", vec![2; 5 << 20]);
    world.once_in_sync();
    world.standin.reset_counters();
    for name in ["small", "larger", "large"] {
        let file = std::fs::File::options().write(true).open(world.folder.join(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(5_000)).unwrap();
    }
    world.once_in_sync();
    assert_eq!(world.standin.data_transport_calls(), 0);
    for name in ["small", "larger", "large"] {
        assert_eq!(world.standin.file(&format!("/T/{name}")).unwrap().revisions, 1);
    }
    world.assert_clean();
}

#[test]
fn a_large_file_goes_up_in_parallel_parts() {
    let mut world = World::with(Settings { latency: Duration::from_millis(30), ..Settings::default() });
    world.extra = "[upload]\nchunk_size = \"4 MiB\"\n".into();
    let bytes: Vec<u8> = (0..(23_u32 << 20) + 17).map(|i| (i / 4096).to_le_bytes()[0]).collect();
    world.write("large.bin", &bytes);
    world.once_in_sync();
    world.assert_equal();
    let append = world.standin.calls()["files/upload_session/append_v2"].clone();
    assert_eq!(append.calls, 6);
    assert!(append.peak >= 3, "parts went one after the other: {append:?}");
    assert_eq!(append.bytes_in, bytes.len() as u64, "no byte was sent twice");
    world.assert_clean();
}

#[test]
fn an_edit_a_new_tree_and_a_save_by_rename_arrive_while_it_runs() {
    let world = World::new();
    world.write("a.txt", "one");
    let daemon = world.daemon();
    world.until("the first version", |s| s.file("/T/a.txt").is_some());
    world.write("a.txt", "two");
    world.until("the edit", |s| s.file("/T/a.txt").is_some_and(|f| f.revisions == 2));
    // Directories and their files appear faster than watches can be set.
    for i in 0..50 {
        world.write(&format!("new/{}/{i}.txt", "d/".repeat(i % 5)), format!("{i}"));
    }
    world.until("the new tree", |s| s.files().len() == 51);
    // An editor's save: a temporary name, then a rename over the old file.
    world.write(".a.txt.swp", "not for Dropbox");
    world.write("a.txt.tmp~", "three");
    std::fs::rename(world.folder.join("a.txt.tmp~"), world.folder.join("a.txt")).unwrap();
    world.until("the save", |s| s.file("/T/a.txt").is_some_and(|f| f.revisions == 3));
    assert!(world.standin.file("/T/.a.txt.swp").is_none());
    let (code, took) = daemon.stop();
    assert_eq!(code, Some(0), "{}", world.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
    world.assert_clean();
}

#[test]
fn d4_a_conflict_keeps_both_and_later_edits_go_to_the_copy() {
    let world = World::new();
    world.standin.write("/T/a.txt", "theirs");
    world.write("a.txt", "ours");
    world.once_in_sync();
    let copy = |world: &World| {
        let files: Vec<_> =
            world.standin.files().into_iter().filter(|f| f.path_display.contains("conflicted copy")).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.into_iter().next().unwrap()
    };
    assert_eq!(world.standin.content("/T/a.txt").unwrap(), "theirs");
    assert_eq!(world.standin.content(&copy(&world).path_display).unwrap(), "ours");
    assert!(copy(&world).path_display.ends_with(".txt"));
    world.write("a.txt", "ours, edited");
    world.once_in_sync();
    assert_eq!(world.standin.content("/T/a.txt").unwrap(), "theirs");
    assert_eq!(world.standin.content(&copy(&world).path_display).unwrap(), "ours, edited");
    // Changed on both sides since the last agreement.
    world.write("b.txt", "1");
    world.once_in_sync();
    world.standin.write("/T/b.txt", "theirs");
    world.write("b.txt", "ours");
    world.once_in_sync();
    assert_eq!(world.standin.content("/T/b.txt").unwrap(), "theirs");
    assert_eq!(world.standin.files().len(), 4);
    world.assert_clean();
}

#[test]
fn what_dropbox_already_holds_gets_no_second_revision() {
    let world = World::new();
    world.standin.write("/T/a.txt", "same");
    world.write("a.txt", "same");
    world.once_in_sync();
    assert_eq!(world.standin.file("/T/a.txt").unwrap().revisions, 1);
    assert_eq!(world.standin.files().len(), 1);
    world.assert_clean();
}

#[test]
fn d3_only_the_commit_of_refused_entries_is_tried_again() {
    let world = World::new();
    for i in 0..20 {
        world.write(&format!("{i}"), format!("{i}"));
    }
    let effect = Effect::EntryFailure { tag: "too_many_write_operations".into(), entries: Entries::First(5) };
    world.standin.faults().add(Fault::once(FINISH_BATCH, effect));
    world.once_in_sync();
    world.assert_equal();
    let calls = world.standin.calls();
    assert_eq!(calls["files/upload_session/append_batch"].calls, 1, "nothing was sent again");
    assert_eq!(calls[FINISH_BATCH].calls, 2);
    world.assert_clean();
}

#[test]
fn a9_a_commit_whose_reply_is_lost_makes_no_second_revision() {
    let world = World::new();
    world.write("a", "1");
    world.write("b", "2");
    world.standin.faults().add(Fault::once(FINISH_BATCH, Effect::DropAfter));
    world.once_in_sync();
    world.assert_equal();
    for name in ["/T/a", "/T/b"] {
        assert_eq!(world.standin.file(name).unwrap().revisions, 1);
    }
    assert_eq!(world.standin.calls()["files/upload_session/append_batch"].calls, 1);
    world.assert_clean();
}

#[test]
fn the_other_routes_commit_too() {
    for (extra, unknown, used) in [
        ("[commit]\nroute = \"finish_batch_v2\"\n", None, "files/upload_session/finish_batch_v2"),
        ("[commit]\nlone_file = \"finish\"\n", None, "files/upload_session/finish"),
        ("", Some(FINISH_BATCH), "files/upload_session/finish_batch_v2"),
    ] {
        let unknown_routes = unknown.into_iter().map(str::to_owned).collect();
        let mut world = World::with(Settings { unknown_routes, ..Settings::default() });
        world.extra = extra.into();
        world.write("a", "1");
        world.once_in_sync();
        world.assert_equal();
        assert_eq!(world.standin.calls()[used].calls, 1, "{used}");
        if unknown.is_none() {
            world.assert_clean();
        }
    }
}

#[test]
fn o1_a_token_that_expires_is_renewed_once_for_all() {
    let world = World::new();
    world.write("a", "1");
    let daemon = world.daemon();
    world.until("the file", |s| s.file("/T/a").is_some());
    let before = world.standin.calls_of("oauth2/token");
    world.standin.expire_tokens();
    for i in 0..30 {
        world.write(&format!("more/{i}"), format!("{i}"));
    }
    world.until("the files", |s| s.files().len() == 31);
    assert_eq!(world.standin.calls_of("oauth2/token"), before + 1);
    drop(daemon);
    world.assert_clean();
}

#[test]
fn c9_with_every_fifth_call_refused_or_cut_everything_arrives_once() {
    let world = World::with(Settings {
        commit: Pace { per_batch: Duration::from_millis(5), ..Pace::default() },
        ..Settings::default()
    });
    for (i, effect) in [
        Effect::Status { code: 500, retry_after: None, body: None },
        Effect::Status { code: 503, retry_after: Some("1".into()), body: None },
        Effect::DropBefore,
        Effect::DropAfter,
    ]
    .into_iter()
    .enumerate()
    {
        let when = ferrybox_standin::When::Probability { p: 0.05, seed: 7 + i as u64 };
        world.standin.faults().add(Fault { route: "files/*".into(), when, what: effect });
    }
    for i in 0..300 {
        world.write(&format!("d{}/{i}", i % 9), format!("content {i}"));
    }
    let daemon = world.daemon();
    world.until("all files", |s| s.files().len() == 300);
    drop(daemon);
    world.assert_equal();
    assert!(world.standin.files().iter().all(|f| f.revisions == 1));
    world.assert_clean();
}

#[test]
fn what_cannot_be_synced_has_a_reason_and_blocks_nobody() {
    use std::os::unix::ffi::OsStrExt;
    let world = World::new();
    world.write("good", "1");
    world.write("back\\slash", "2");
    std::os::unix::fs::symlink("good", world.folder.join("link")).unwrap();
    std::fs::write(world.folder.join(std::ffi::OsStr::from_bytes(b"latin-\xe9")), "3").unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, world.folder.join("fifo"), rustix::fs::Mode::RUSR).unwrap();
    let out = world.once();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    assert_eq!(world.remote().keys().collect::<Vec<_>>(), ["good"]);
    let daemon = world.daemon();
    wait_for_socket(&world);
    let out = world.command(&["sync", "--wait"]).output().unwrap();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    let out = world.command(&["problems", "--json"]).output().unwrap();
    let problems: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let list = problems.as_array().or_else(|| problems["items"].as_array()).unwrap();
    let mut found: Vec<_> = list.iter().map(|p| (p["path"].as_str().unwrap(), p["code"].as_str().unwrap())).collect();
    found.sort_unstable();
    let codes: Vec<_> = found.iter().map(|(_, code)| *code).collect();
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(codes.contains(&"name") && codes.contains(&"type") && codes.contains(&"name_encoding"), "{found:?}");
    drop(daemon);
    world.assert_clean();
}

#[test]
fn ignored_paths_stay_here() {
    let mut world = World::new();
    world.folder_extra = "ignore = [\"*.tmp\", \"node_modules/\"]".into();
    world.write("a.tmp", "x");
    world.write("node_modules/m.js", "x");
    world.write(".DS_Store", "x");
    world.write("sub/.ferryboxignore", "secret\n");
    world.write("sub/secret", "x");
    world.write("sub/open", "x");
    world.once_in_sync();
    assert_eq!(world.remote().keys().collect::<Vec<_>>(), ["sub/.ferryboxignore", "sub/open"]);
    world.assert_clean();
}

#[test]
fn sync_waits_until_the_path_is_in_dropbox() {
    let mut world = World::new();
    world.extra = "rescan = \"1h\"\n".into();
    let daemon = world.daemon();
    wait_for_socket(&world);
    world.write("x/y", "now");
    let path = world.folder.join("x");
    let out = world.command(&["sync", path.to_str().unwrap(), "--wait"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    assert!(world.standin.file("/T/x/y").is_some());
    let out = world.command(&["sync", "/nowhere", "--wait"]).output().unwrap();
    assert!(text(&out).contains("/nowhere lies in no synced folder"), "{}", text(&out));
    drop(daemon);
    world.assert_clean();
}

#[test]
fn p1_a_second_daemon_is_told_the_first_ones_pid() {
    let world = World::new();
    let daemon = world.daemon();
    wait_for_socket(&world);
    let pid = daemon.child.id().to_string();
    let out = world.command(&["run"]).output().unwrap();
    assert_eq!(out.status.code(), Some(64), "{}", text(&out));
    assert!(text(&out).contains(&format!("pid {pid}")), "{}", text(&out));
    // Another state directory and socket, the same folder.
    let other = world.dir.path().join("other.toml");
    let config = std::fs::read_to_string(world.config_file()).unwrap();
    let config = config.replace("/state\"", "/state2\"").replace("/run/s.sock", "/run/t.sock");
    std::fs::write(&other, config).unwrap();
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_ferrybox"))
        .arg("--config")
        .arg(&other)
        .arg("run")
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(64), "{}", text(&out));
    assert!(text(&out).contains(&format!("pid {pid}")), "{}", text(&out));
    drop(daemon);
}

#[test]
fn a14_sigterm_in_the_middle_of_an_upload_ends_in_time_and_the_rest_follows() {
    let world = World::with(Settings { bandwidth: Some(2 << 20), ..Settings::default() });
    world.write("large.bin", vec![3; 40 << 20]);
    let daemon = world.daemon();
    world.until("bytes on their way", |s| s.calls_of("files/upload_session/append_v2") > 0);
    let (code, took) = daemon.stop();
    assert_eq!(code, Some(0), "{}", world.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
    world.standin.set_bandwidth(None);
    world.once_in_sync();
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn the_status_has_every_field_that_scripts_rely_on() {
    let world = World::new();
    world.write("a", "12345");
    let daemon = world.daemon();
    world.until("the file", |s| s.file("/T/a").is_some());
    wait_for_socket(&world);
    let out = world.command(&["sync", "--wait"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    let status = status(&world);
    let account = &status["accounts"][0];
    let folder = &account["folders"][0];
    assert_eq!(account["state"], "idle", "{status:#}");
    assert_eq!(folder["state"], "in_sync", "{status:#}");
    assert_eq!((&folder["files"], &folder["bytes"]), (&1.into(), &5.into()));
    for key in ["name", "reason", "account_id", "email", "space", "rate_limited_until", "remote", "commit"] {
        assert!(account.get(key).is_some(), "{key}");
    }
    for key in [
        "local",
        "remote",
        "mode",
        "reason",
        "last_synced_at",
        "pending",
        "rate",
        "eta_s",
        "active",
        "problems",
        "conflicts",
    ] {
        assert!(folder.get(key).is_some(), "{key}");
    }
    assert_eq!(status["pid"], daemon.child.id());
    drop(daemon);
    world.assert_clean();
}
