//! What people and programs read while it works: progress, the log, figures.

use std::process::{Command, Stdio};

use ferrybox_standin::{Effect, Fault};

use super::{account, code, wait};
use crate::harness::{FINISH_BATCH, World, text};

/// A program that reads the log finds nothing else in it.
#[test]
fn q5_a_run_into_a_pipe_writes_its_log_and_nothing_else() {
    let mut world = World::new();
    world.extra = "[log]\nformat = \"json\"\n".to_owned();
    world.write("a", "1");
    let out = world.once();
    assert_eq!(code(&out), 0, "{}", text(&out));
    assert!(out.stdout.is_empty(), "{}", text(&out));
    let lines: Vec<serde_json::Value> = String::from_utf8(out.stderr.clone())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    // How the folder stands is one of its events.
    let told = |word: &str| lines.iter().any(|line| line["fields"]["message"] == format!("the folder's state: {word}"));
    assert!(told("in sync"), "{}", text(&out));
    // And its level follows how bad it is.
    let daemon = world.daemon();
    world.until_folder("in_sync");
    std::fs::rename(&world.folder, world.dir.path().join("elsewhere")).unwrap();
    let missing = || {
        let log = world.log();
        let all: Vec<serde_json::Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert_eq!(all.len(), log.lines().count(), "{log}");
        all.iter().any(|l| l["level"] == "WARN" && l["fields"]["message"] == "the folder's state: root missing")
    };
    world.eventually("the warning", missing);
    daemon.kill();
}

/// `script` gives a terminal.
#[cfg(target_os = "linux")]
#[test]
fn t6_sync_with_wait_shows_progress_on_a_terminal() {
    let world = World::new();
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    world.standin.faults().add(Fault::times(FINISH_BATCH, 1, Effect::SlowBody(20)));
    world.write("a", "1");
    let asked = world.command(&["sync", "--wait"]);
    let words: Vec<String> = std::iter::once(asked.get_program())
        .chain(asked.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let on_a_terminal = |words: &str| {
        let mut script = Command::new("script");
        script.args(["-qec", words, "/dev/null"]).env("NO_COLOR", "1").env("TERM", "xterm").stdin(Stdio::null());
        script.output().unwrap()
    };
    let out = on_a_terminal(&words.join(" "));
    assert_eq!(code(&out), 0, "{}", text(&out));
    let said = text(&out);
    let shown = format!("{} [", world.folder.display());
    assert!(said.contains(&shown) && said.contains(" files") && said.contains("in sync"), "{said}");
    // Not where programs read.
    let out = wait(&world);
    assert_eq!((code(&out), out.stdout.as_slice(), out.stderr.as_slice()), (0, &b"in sync\n"[..], &b""[..]));
    let out = on_a_terminal(&format!("{} --quiet", words.join(" ")));
    assert!(out.stdout.is_empty(), "{}", text(&out));
}

#[test]
fn t9_the_space_in_use_is_that_after_the_upload() {
    let world = World::new();
    let _daemon = world.daemon();
    world.until_folder("in_sync");
    let used = |s: &serde_json::Value| account(s)["space"]["used"].as_u64();
    let before = world.until_status("the space", |s| used(s).is_some());
    world.write("a", vec![7; 3 << 20]);
    world.until_status("more space in use", |s| used(s) >= used(&before).map(|used| used + (3 << 20)));
    world.assert_clean();
}
