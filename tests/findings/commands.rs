//! Commands beside and without a daemon: linking, adding, finding the daemon (of groups V and T).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

use ferrybox_standin::AccountSpec;

use crate::harness::{World, text, wait_for_socket};

/// The code that the stand-in's page shows for the address that `link` printed.
fn code_of(out: &Output, account: usize) -> String {
    let shown = String::from_utf8_lossy(&out.stdout).into_owned();
    let url =
        shown.split_whitespace().find(|word| word.contains("/oauth2/authorize?")).unwrap_or_else(|| panic!("{shown}"));
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let asked = format!(
        "GET /{path}&standin_account={account} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(asked.as_bytes()).unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let json = &page[page.find('{').unwrap()..=page.rfind('}').unwrap()];
    serde_json::from_str::<serde_json::Value>(json).unwrap()["code"].as_str().unwrap().to_owned()
}

fn ran(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// Begins a link and finishes it in another process, as where nobody can type.
fn link_in_two_steps(world: &World, account: usize, more: &[&str]) -> Output {
    let begun = ran(world.command(&["link", "test"]));
    assert_eq!(begun.status.code(), Some(4), "{}", text(&begun));
    let code = code_of(&begun, account);
    let args: Vec<&str> = ["link", "test", "--code", &code].into_iter().chain(more.iter().copied()).collect();
    ran(world.command(&args))
}

#[test]
fn v12_a_code_is_redeemed_by_another_process_than_the_one_that_showed_the_address() {
    let world = World::new();
    world.write_config();
    let out = link_in_two_steps(&world, 0, &[]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    assert!(
        !world.state().join("test/link.json").try_exists().unwrap(),
        "the proof is kept no longer than it is needed"
    );
    world.write("a", "1");
    // Not `once`, which writes the credentials of the harness.
    let out = ran(world.command(&["run", "--once"]));
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    world.assert_equal();
}

#[test]
fn v12_another_person_s_account_is_refused_at_link_time() {
    let world = World::new();
    world.write("a", "1");
    world.once_in_sync();
    let before = std::fs::read_to_string(world.credentials()).unwrap();
    let other = world.standin.add_account(AccountSpec::default());
    let out = link_in_two_steps(&world, 1, &[]);
    assert_eq!(out.status.code(), Some(64), "{}", text(&out));
    assert!(text(&out).contains("another Dropbox account") && text(&out).contains("--replace"), "{}", text(&out));
    assert_eq!(std::fs::read_to_string(world.credentials()).unwrap(), before);
    // On purpose, it is another account's folder from now on, and both sides meet as for the first time.
    let out = link_in_two_steps(&world, 1, &["--replace"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    let out = ran(world.command(&["run", "--once"]));
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    assert_eq!(other.files().len(), 1);
    assert_eq!(world.disk().len(), 1);
}

/// What stands in the way is said before a code is asked for or spent.
#[test]
fn v12_replace_beside_a_running_daemon_spends_no_code() {
    const REVOKE: &str = "auth/token/revoke";
    let world = World::new();
    world.write("a", "1");
    world.once_in_sync();
    world.standin.add_account(AccountSpec::default());
    let begun = ran(world.command(&["link", "test", "--replace"]));
    let code = code_of(&begun, 1);
    let daemon = world.daemon();
    wait_for_socket(&world);
    for args in [&["link", "test", "--replace"][..], &["link", "test", "--replace", "--code", &code]] {
        let out = ran(world.command(args));
        assert_eq!(out.status.code(), Some(64), "{args:?} {}", text(&out));
        assert!(text(&out).contains("stop it") && !text(&out).contains("/oauth2/authorize"), "{args:?} {}", text(&out));
    }
    assert_eq!(daemon.stop().0, Some(0));
    // The code is as good as before.
    let out = ran(world.command(&["link", "test", "--replace", "--code", &code]));
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    assert_eq!(world.standin.calls_of(REVOKE), 0);
}

/// A token that cannot be kept is nobody's: it does not stay good.
#[test]
fn v12_a_token_that_cannot_be_kept_is_revoked() {
    let world = World::new();
    world.write_config();
    std::fs::remove_file(world.credentials()).unwrap();
    // A directory stands where the file is to be.
    std::fs::create_dir(world.credentials()).unwrap();
    std::fs::write(world.credentials().join("x"), "1").unwrap();
    let out = link_in_two_steps(&world, 0, &[]);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out));
    assert_eq!(world.standin.calls_of("auth/token/revoke"), 1, "{}", text(&out));
    assert!(text(&out).contains("revoked"), "{}", text(&out));
}

#[test]
fn v12_one_dropbox_account_is_linked_under_one_name() {
    let mut world = World::new();
    world.write("a", "1");
    world.once_in_sync();
    let second = world.dir.path().join("second.json");
    let own = world.dir.path().join("own");
    std::fs::create_dir(&own).unwrap();
    world.account_extra = String::new();
    world.folder_extra =
        format!("{}\n[[account.folder]]\nlocal = {own:?}\nremote = \"/U\"\n", world.account("again", &second, ""));
    world.write_config();
    let begun = ran(world.command(&["link", "again"]));
    let code = code_of(&begun, 0);
    let out = ran(world.command(&["link", "again", "--code", &code]));
    assert_eq!(out.status.code(), Some(64), "{}", text(&out));
    assert!(text(&out).contains("linked as `test` already"), "{}", text(&out));
    assert!(!second.try_exists().unwrap());
}

#[test]
fn v13_unlink_of_an_account_that_is_not_linked_says_so() {
    let world = World::new();
    world.write_config();
    std::fs::remove_file(world.credentials()).unwrap();
    let out = ran(world.command(&["unlink", "test"]));
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    assert!(text(&out).contains("was not linked") && !text(&out).contains("Unlinked"), "{}", text(&out));
}

/// The usual place of the socket depends on `XDG_RUNTIME_DIR`, which cron, a boot and a shell do not share.
#[test]
fn v10_commands_find_the_daemon_under_another_environment() {
    let world = World::new();
    let daemon = world.daemon();
    wait_for_socket(&world);
    let elsewhere = world.dir.path().join("elsewhere/s.sock");
    let asked = |socket: &std::path::Path| {
        let mut command = world.command(&["status"]);
        command.env("FERRYBOX__DAEMON__SOCKET", socket);
        ran(command)
    };
    let out = asked(&elsewhere);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    drop(daemon);
    let out = asked(&elsewhere);
    assert_eq!(out.status.code(), Some(4), "{}", text(&out));
    assert!(text(&out).contains("no daemon runs"), "{}", text(&out));
}

/// Needs root, to be another user; skipped, and said so, elsewhere.
#[test]
fn v10_another_user_s_daemon_is_named_as_that() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not run: it needs root to be another user");
        return;
    }
    let world = World::new();
    let _daemon = world.daemon();
    wait_for_socket(&world);
    for path in [world.dir.path().to_owned(), world.config_file()] {
        std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(env!("CARGO_BIN_EXE_ferrybox"));
    command.arg("--config").arg(world.config_file()).args(["status"]).env("NO_COLOR", "1");
    let out = ran(command);
    assert_eq!(out.status.code(), Some(4), "{}", text(&out));
    assert!(text(&out).contains("belongs to another user"), "{}", text(&out));
}

/// What the last daemon knew is in its database, and needs no daemon to be read.
#[test]
fn t10_lists_are_answered_from_the_database_while_no_daemon_runs() {
    let mut world = World::new();
    world.mode = "two-way";
    let asked = |args: &[&str]| {
        ran({
            let mut command = world.command(args);
            command.current_dir(&world.folder);
            command
        })
    };
    world.write_config();
    let out = asked(&["problems"]);
    assert_eq!(out.status.code(), Some(4), "nothing is known yet: {}", text(&out));
    assert!(text(&out).contains("no daemon runs"), "{}", text(&out));
    for n in 0..60 {
        world.write(&format!("d/{n}"), format!("{n}"));
    }
    world.write("a.txt", "1");
    std::os::unix::fs::symlink("a.txt", world.folder.join("link")).unwrap();
    let daemon = world.daemon();
    world.until("all", |s| s.file_count() == 61);
    world.until_folder("in_sync");
    std::fs::remove_dir_all(world.folder.join("d")).unwrap();
    world.until_folder("held");
    daemon.stop();
    let before = std::fs::read(world.state().join("test/state.db")).unwrap();
    let mark = std::fs::read(world.folder.join(".ferrybox/run-id")).unwrap();
    world.write("new.txt", "2");

    for (args, expected) in [
        (&["problems"][..], "link"),
        (&["history", "a.txt"], "uploaded"),
        (&["conflicts"], "No conflicts."),
        (&["explain", "a.txt"], "in sync"),
        (&["explain", "new.txt"], "the file goes up as a new one"),
        (&["plan"], "d/0"),
        (&["approve"], "60 deletions"),
    ] {
        let out = asked(args);
        assert_eq!(out.status.code(), Some(0), "{args:?} {}", text(&out));
        let (said, warned) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(said.contains(expected), "{args:?} {}", text(&out));
        assert!(warned.contains("no daemon runs; this is from the database"), "{args:?} {}", text(&out));
    }
    // Read, and nothing else.
    assert_eq!(std::fs::read(world.state().join("test/state.db")).unwrap(), before);
    assert_eq!(std::fs::read(world.folder.join(".ferrybox/run-id")).unwrap(), mark);
    // What acts needs the daemon.
    for args in [&["sync"][..], &["pause"], &["approve", "x"], &["status"]] {
        assert_eq!(asked(args).status.code(), Some(4), "{args:?}");
    }
    world.assert_clean();
}

/// A deleted folder's files come back from Dropbox's revisions, and a single candidate needs no choice.
#[test]
fn t12_a_deleted_folder_comes_back_from_dropbox() {
    let mut world = World::new();
    world.mode = "two-way";
    for n in 0..4 {
        world.write(&format!("d1/{n}.txt"), format!("{n}"));
    }
    for name in ["keep", "one.txt", "two"] {
        world.write(name, name);
    }
    let _daemon = world.daemon();
    world.until("all", |s| s.file_count() == 7);
    world.until_folder("in_sync");
    for gone in ["d1", "one.txt"] {
        let path = world.folder.join(gone);
        if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
    }
    world.until("the deletions", |s| s.file_count() == 2);
    world.until_folder("in_sync");
    let restore = |args: &[&str]| {
        let mut command = world.command(&["restore"]);
        command.args(args).current_dir(&world.folder);
        ran(command)
    };
    let out = restore(&["d1", "--list"]);
    assert!(text(&out).contains("4 files that were below"), "{}", text(&out));
    let out = restore(&["d1"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    let out = restore(&["one.txt"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    world.until("all are back", |s| s.file_count() == 7);
    assert_eq!(std::fs::read_to_string(world.folder.join("d1/3.txt")).unwrap(), "3");
    world.assert_equal();
    // T11: a folder that went is told from the files in it.
    let history = crate::harness::json(&world, &["history", "--json"]);
    let what = |path: &str| -> Vec<String> {
        let items = history["items"].as_array().unwrap().iter().filter(|item| item["path"] == path);
        items.map(|item| item["what"].as_str().unwrap().to_owned()).collect()
    };
    assert!(what("d1").contains(&"folder_deleted".to_owned()), "{history}");
    assert!(what("d1/0.txt").contains(&"deleted".to_owned()), "{history}");
    world.assert_clean();
}

/// People know their own disk: where a move came from and where a copy is are shown there.
#[test]
fn t11_history_and_conflicts_name_local_paths() {
    let mut world = World::new();
    world.mode = "two-way";
    world.write("before.bin", vec![7; 5 << 20]);
    world.write("both.txt", "1");
    let _daemon = world.daemon();
    world.until("all", |s| s.file_count() == 2);
    world.until_folder("in_sync");
    std::fs::rename(world.folder.join("before.bin"), world.folder.join("after.bin")).unwrap();
    world.until("the move", |s| s.file("/T/after.bin").is_some());
    assert_eq!(ran(world.command(&["pause"])).status.code(), Some(0));
    world.write("both.txt", "here");
    world.standin.write("/T/both.txt", b"there".to_vec());
    assert_eq!(ran(world.command(&["resume"])).status.code(), Some(0));
    world.until("both versions", |s| s.file_count() == 3);
    world.until_folder("in_sync");
    let history = crate::harness::json(&world, &["history", "--json"]);
    let moved = history["items"].as_array().unwrap().iter().find(|item| item["what"] == "moved").unwrap();
    assert_eq!(moved["local_place"], world.folder.join("before.bin").to_str().unwrap());
    let conflicts = crate::harness::json(&world, &["conflicts", "--json"]);
    let copy = conflicts["items"][0]["local_copy"].as_str().unwrap();
    assert!(copy.starts_with(world.folder.to_str().unwrap()), "{conflicts}");
    assert_eq!(std::fs::read_to_string(copy).unwrap(), "here");
    let shown = crate::harness::told(&world, &["history"]);
    assert!(shown.contains(&format!("({})", world.folder.join("before.bin").display())), "{shown}");
}

#[test]
fn t5_explain_and_sync_say_what_is_not_synced_and_what_is_nowhere() {
    let mut world = World::new();
    world.mode = "download";
    world.standin.write("/T/both.txt", b"both".to_vec());
    let _daemon = world.daemon();
    world.eventually("the file comes down", || world.folder.join("both.txt").is_file());
    world.write("mine.txt", "mine");
    let asked = |args: &[&str]| {
        let mut command = world.command(args);
        command.current_dir(&world.folder);
        ran(command)
    };
    let said = |args: &[&str], code: i32, expected: &str| {
        let out = asked(args);
        assert_eq!(out.status.code(), Some(code), "{args:?} {}", text(&out));
        assert!(text(&out).contains(expected), "{args:?} {}", text(&out));
    };
    said(&["sync", "--wait"], 0, "in sync");
    said(&["explain", "both.txt"], 0, "in sync");
    said(&["explain", "mine.txt"], 0, "only here: this folder's mode is `download`");
    said(&["explain", "."], 0, "the folder itself; nothing below it is to be done");
    said(&["explain", "nope"], 1, "no such file, here or in Dropbox");
    said(&["sync", "nope", "--wait"], 1, "no such file, here or in Dropbox");
    said(&["sync", "both.txt", "--wait"], 0, "in sync");
    world.assert_clean();
}
