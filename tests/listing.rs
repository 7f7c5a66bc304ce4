//! The remote cache, end to end: the real binary against the stand-in server. The names carry the rows of group E of the faults' catalogue;
//! for rows about downloads or two-way folders the cache's part is tried: nothing is lost, invented or sent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    missing_docs
)]

mod harness;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ferrybox_standin::{AccountSpec, Effect, Fault, Garbage, Settings};
use harness::{Daemon, PATIENCE, World, text};
use serde_json::{Value, json};

const CONTINUE: &str = "files/list_folder/continue";
const LONGPOLL: &str = "files/list_folder/longpoll";

/// `ls -R --json` of everything, offline, straight from the database.
fn ls(world: &World, args: &[&str]) -> Vec<Value> {
    world.write_config();
    let mut all = vec!["--quiet", "ls", "--json"];
    all.extend(args);
    let out = world.command(&all).output().unwrap();
    assert!(matches!(out.status.code(), Some(0 | 4)), "{}", text(&out));
    String::from_utf8(out.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// path_lower -> rev of files, "" of folders.
fn cached(world: &World) -> BTreeMap<String, String> {
    let field = |e: &Value, name: &str| e[name].as_str().unwrap_or_default().to_owned();
    ls(world, &["-R"]).iter().map(|e| (field(e, "path_lower"), field(e, "rev"))).collect()
}

fn served(world: &World) -> BTreeMap<String, String> {
    let files = world.standin.files().into_iter().map(|f| (f.path_lower, f.rev));
    let folders = world.standin.folders().into_iter().map(|f| (f.to_lowercase(), String::new()));
    files.chain(folders).filter(|(path, _)| path.starts_with("/t/")).collect()
}

/// Looks again until it holds: the database's changes are no event that a test could await.
fn eventually(what: &str, world: &World, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "in vain: {what}\n{}", world.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn until_equal(world: &World) {
    eventually("the cache equals the server", world, || cached(world) == served(world));
}

fn status(world: &World) -> Value {
    let out = world.command(&["status", "--json"]).output().unwrap();
    serde_json::from_slice(&out.stdout).unwrap_or_default()
}

fn small_pages() -> Settings {
    Settings { page_size: 5, empty_page_every: 6, ..Settings::default() }
}

/// A folder with files and sub-folders on the server.
fn filled(settings: Settings, files: usize) -> World {
    let world = World::with(settings);
    world.standin.make_folder("/T");
    for i in 0..files {
        world.standin.write(&format!("/T/d{}/File-{i}", i % 5), format!("{i}"));
    }
    world
}

#[test]
fn what_changes_there_is_known_here_and_survives_a_restart() {
    let world = filled(small_pages(), 40);
    let daemon = world.daemon();
    until_equal(&world);
    world.standin.write("/T/new", "n");
    world.standin.delete("/T/d1");
    world.standin.rename("/T/d2", "/T/moved");
    until_equal(&world);
    daemon.kill();
    world.standin.write("/T/while away", "n");
    let calls = world.standin.calls_of("files/list_folder");
    let _daemon = world.daemon();
    until_equal(&world);
    assert_eq!(world.standin.calls_of("files/list_folder"), calls, "the stored cursor was not used");
    let remote = status(&world)["accounts"][0]["remote"].clone();
    assert_eq!(remote["entries"], served(&world).len() + 1, "{remote}");
    assert!(remote["cursor_age_s"].as_u64().is_some_and(|age| age < 60) && remote["listing"] == false, "{remote}");
    world.assert_clean();
}

#[test]
fn a_folder_that_dropbox_does_not_have_yet_is_found_when_it_appears() {
    let world = World::new();
    let _daemon = world.daemon();
    eventually("it waits for changes above", &world, || world.standin.calls_of(LONGPOLL) > 0);
    world.standin.write("/T/a/b", "x");
    until_equal(&world);
    world.standin.delete("/T");
    eventually("a folder that is gone", &world, || cached(&world).is_empty());
    world.standin.write("/T/again", "x");
    until_equal(&world);
    world.assert_clean();
}

#[test]
fn e1_a_reset_lists_anew_and_loses_nothing() {
    let world = filled(small_pages(), 60);
    let daemon = world.daemon();
    until_equal(&world);
    world.standin.set(|s| s.listing_time = Duration::from_millis(20));
    world.standin.reset_cursors();
    world.standin.delete("/T/d3");
    world.standin.write("/T/x", "x");
    let seen = world.standin.calls_of(CONTINUE);
    eventually("the second listing has begun", &world, || world.standin.calls_of(CONTINUE) > seen + 3);
    // Killed in the middle of it, twice: the stored pages are not asked for again, and nothing is missing.
    daemon.kill();
    let daemon = world.daemon();
    let seen = world.standin.calls_of(CONTINUE);
    eventually("it goes on", &world, || world.standin.calls_of(CONTINUE) > seen + 2);
    daemon.kill();
    let _daemon = world.daemon();
    until_equal(&world);
    assert_eq!(world.standin.calls_of("files/list_folder"), 2);
    world.assert_clean();
}

#[test]
fn a_kill_between_and_inside_pages_loses_and_doubles_nothing() {
    let world = filled(Settings { listing_time: Duration::from_millis(4), ..small_pages() }, 200);
    for round in 1..=12_u64 {
        let seen = world.standin.calls_of(CONTINUE);
        let daemon = world.daemon();
        world.standin.wait_for_blocking(Duration::from_secs(5), |s| s.calls_of(CONTINUE) > seen + round / 3);
        // Not only at the moment a call begins: anywhere within a page.
        std::thread::sleep(Duration::from_millis(round));
        daemon.kill();
        world.standin.write(&format!("/T/d{round}/between"), "x");
    }
    let _daemon = world.daemon();
    until_equal(&world);
    let remote = status(&world)["accounts"][0]["remote"].clone();
    assert_eq!(remote["entries"], served(&world).len() + 1, "{remote}");
    world.assert_clean();
}

#[test]
fn e2_pages_whose_replies_are_lost_cut_or_garbled_come_again() {
    let world = filled(small_pages(), 60);
    for (n, what) in [
        (2, Effect::DropAfter),
        (3, Effect::Garbage(Garbage::TruncatedJson)),
        (4, Effect::Garbage(Garbage::Html)),
        (6, Effect::Garbage(Garbage::EmptyObject)),
        (7, Effect::CutReply(50)),
        (9, Effect::Status { code: 500, retry_after: None, body: None }),
    ] {
        world.standin.faults().add(Fault::nth(CONTINUE, n, what));
    }
    let _daemon = world.daemon();
    until_equal(&world);
    world.assert_clean();
}

#[test]
fn e5_e6_letters_case_is_identity_for_nobody_and_shown_from_each_ones_own_entry() {
    let world = World::with(Settings { sloppy_display: true, ..Settings::default() });
    world.standin.write("/T/Grüße/Unter Ordner/Ein Brief.TXT", "x");
    world.write("mine.txt", "m");
    world.once_in_sync();
    let shown: Vec<_> = ls(&world, &["-R"]).iter().map(|e| e["path"].as_str().unwrap().to_owned()).collect();
    assert!(shown.contains(&"/T/Grüße/Unter Ordner/Ein Brief.TXT".to_owned()), "{shown:?}");
    // A change of case alone is never reported; it makes no conflict and no deletion.
    world.standin.rename("/T/mine.txt", "/T/MINE.txt");
    world.standin.reset_counters();
    world.once_in_sync();
    assert_eq!(world.standin.data_transport_calls(), 0);
    assert_eq!(world.standin.file_count(), 2);
    world.assert_clean();
}

#[test]
fn e7_a_shared_folder_left_and_mounted_elsewhere_costs_no_local_file() {
    let world = World::new();
    world.write("shared/a", "1");
    world.write("shared/b", "2");
    let _daemon = world.daemon();
    world.until("both are there", |s| s.file_count() == 2);
    until_equal(&world);
    world.standin.rename("/T/shared", "/T/shared (1)");
    until_equal(&world);
    assert_eq!(world.disk().len(), 2);
    assert_eq!(world.standin.file_count(), 2, "a backup does not send again what somebody moved in Dropbox");
    world.assert_clean();
}

fn with_account_line(world: &World, line: &str) -> std::process::Command {
    world.write_config();
    let text = std::fs::read_to_string(world.config_file()).unwrap();
    std::fs::write(world.config_file(), text.replace("app_key = \"key\"\n", &format!("app_key = \"key\"\n{line}\n")))
        .unwrap();
    world.command(&["run"])
}

#[test]
fn e8_a_root_that_changed_is_asked_for_again() {
    let world = filled(Settings::default(), 10);
    let log = std::fs::File::create(world.dir.path().join("daemon.log")).unwrap();
    let child =
        with_account_line(&world, "path_root = \"root\"").stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let _daemon = Daemon { child, log: world.dir.path().join("daemon.log") };
    until_equal(&world);
    world.standin.set_root_namespace_id("777000");
    world.standin.write("/T/after", "x");
    until_equal(&world);
    world.assert_clean();
}

#[test]
fn e9_another_accounts_token_changes_nothing() {
    let world = filled(Settings::default(), 10);
    world.once_in_sync();
    let before = cached(&world);
    assert_eq!(before.len(), 15);
    let other = world.standin.add_account(AccountSpec::default());
    world.write_config();
    let secret = json!({"refresh_token": other.refresh_token(), "app_key": "key"}).to_string();
    std::fs::write(world.dir.path().join("credentials.json"), secret).unwrap();
    world.standin.reset_counters();
    let out = world.command(&["run", "--once"]).output().unwrap();
    assert_eq!(out.status.code(), Some(4), "{}", text(&out));
    for route in ["files/list_folder", CONTINUE, LONGPOLL] {
        assert_eq!(world.standin.calls_of(route), 0, "{route}");
    }
    assert_eq!(cached(&world), before);
    world.assert_clean();
}

#[test]
fn e10_a_new_revision_of_the_same_content_is_taken_over_without_a_byte() {
    let world = World::new();
    world.write("a", "same");
    world.once_in_sync();
    world.standin.write("/T/a", "other");
    world.standin.write("/T/a", "same");
    let daemon = world.daemon();
    until_equal(&world);
    world.standin.reset_counters();
    // The proof that base knows the new revision: the next edit goes over it, and nobody gets a conflicted copy.
    eventually("nothing is left to do", &world, || status(&world)["accounts"][0]["state"] == "idle");
    assert_eq!(world.standin.data_transport_calls(), 0);
    world.write("a", "edited");
    world.until("the edit", |s| s.content("/T/a").is_some_and(|c| c == "edited"));
    assert_eq!(world.standin.file_count(), 1);
    drop(daemon);
    world.assert_clean();
}

#[test]
fn what_dropbox_has_is_adopted_by_a_new_database_without_a_transfer() {
    let mut world = World::new();
    world.extra = "[upload]\nchunk_size = \"4 MiB\"".to_owned();
    world.write("small", "s");
    world.write("sub/Medium", vec![5; 300_000]);
    world.write("sub/large", vec![7; 9 << 20]);
    world.write("Grüße/ß", "fold me");
    world.once_in_sync();
    std::fs::remove_dir_all(world.state()).unwrap();
    world.standin.reset_counters();
    world.once_in_sync();
    assert_eq!(world.standin.data_transport_calls(), 0, "{:?}", world.standin.calls());
    // And what differs still goes up.
    world.write("small", "t");
    world.once_in_sync();
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn e11_without_a_hash_nothing_is_adopted_by_its_size() {
    let world = World::new();
    world.standin.write("/T/a", "server");
    world.standin.decorate("/T/a", json!({"content_hash": null}));
    world.write("a", "client");
    world.once_in_sync();
    assert_eq!(world.standin.content("/T/a").unwrap(), "server");
    assert_eq!(world.standin.file_count(), 2, "both are kept");
    world.assert_clean();
}

#[test]
fn e12_a_mass_rewrite_by_another_client_changes_nothing_here() {
    let world = World::new();
    for i in 0..60 {
        world.write(&format!("f{i}"), format!("mine {i}"));
    }
    world.once_in_sync();
    let mine = world.disk();
    for i in 0..60 {
        world.standin.write(&format!("/T/f{i}"), "ransom");
    }
    let daemon = world.daemon();
    until_equal(&world);
    eventually("it is idle", &world, || status(&world)["accounts"][0]["state"] == "idle");
    assert_eq!(world.disk(), mine);
    drop(daemon);
    world.assert_clean();
}

#[test]
fn e13_longpolls_that_promise_nothing_are_no_busy_loop_and_backoff_is_honoured() {
    let world = filled(Settings::default(), 3);
    let empty_promise = Effect::Status { code: 200, retry_after: None, body: Some(r#"{"changes": true}"#.to_owned()) };
    world.standin.faults().add(Fault::always(LONGPOLL, empty_promise));
    let daemon = world.daemon();
    eventually("the first", &world, || world.standin.calls_of(LONGPOLL) >= 1);
    let began = Instant::now();
    eventually("the third", &world, || world.standin.calls_of(LONGPOLL) >= 3);
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    world.standin.faults().clear();
    drop(daemon);
    world.standin.set(|s| s.longpoll_limit = Some(Duration::from_millis(50)));
    world.standin.set_longpoll_backoff(Some(1));
    let seen = world.standin.calls_of(LONGPOLL);
    let _daemon = world.daemon();
    eventually("several longpolls with backoff", &world, || world.standin.calls_of(LONGPOLL) >= seen + 3);
    world.standin.write("/T/x", "x");
    until_equal(&world);
    world.assert_clean();
}

#[test]
fn e14_names_that_could_escape_are_problems_and_nothing_else() {
    let world = filled(Settings::default(), 2);
    world.standin.write("/T/bad", "x");
    world.standin.decorate("/T/bad", json!({"name": "..", "path_lower": "/t/../../etc/passwd"}));
    let long = "é".repeat(200);
    world.standin.write(&format!("/T/{long}"), "x");
    let _daemon = world.daemon();
    eventually("both are told", &world, || status(&world)["accounts"][0]["remote"]["problems"] == 2);
    let out = world.command(&["problems", "--json"]).output().unwrap();
    let listed: Value = serde_json::from_slice(&out.stdout).unwrap();
    let mut codes: Vec<_> = listed["items"].as_array().unwrap().iter().map(|p| p["code"].as_str().unwrap()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["bad_name", "name_too_long"]);
    assert!(ls(&world, &["-R"]).iter().all(|e| !e["path"].as_str().unwrap().contains("..")));
    world.assert_clean();
}

#[test]
fn e15_e16_the_servers_key_alone_is_identity() {
    let world = World::new();
    for name in ["straße", "strasse", "İ", "i", "K"] {
        world.standin.write(&format!("/T/{name}"), name.to_owned());
    }
    // An id that was used before says nothing about the path.
    world.standin.decorate("/T/straße", json!({"id": "id:reused"}));
    world.standin.decorate("/T/strasse", json!({"id": "id:reused"}));
    let _daemon = world.daemon();
    until_equal(&world);
    world.standin.delete("/T/straße");
    until_equal(&world);
    assert!(cached(&world).contains_key("/t/strasse"));
    world.assert_clean();
}

#[test]
fn e17_odd_times_change_nothing() {
    let world = World::new();
    world.write("a", "x");
    world.once_in_sync();
    for time in ["1601-01-01T00:00:00Z", "9999-12-31T23:59:60Z", "never"] {
        world.standin.decorate("/T/a", json!({"client_modified": time, "server_modified": time}));
        world.standin.reset_cursors();
        world.standin.reset_counters();
        world.once_in_sync();
        assert_eq!(world.standin.data_transport_calls(), 0);
    }
    world.assert_clean();
}

#[test]
fn e18_a_change_by_another_client_before_our_commit_keeps_both() {
    let world = World::new();
    world.write("a", "base");
    world.once_in_sync();
    world.standin.write("/T/a", "theirs");
    world.write("a", "mine and longer");
    world.once();
    assert_eq!(world.standin.content("/T/a").unwrap(), "theirs");
    assert_eq!(world.standin.file_count(), 2);
    world.assert_clean();
}

#[test]
fn uploads_do_not_wait_for_a_listing_that_fails() {
    let world = filled(Settings::default(), 3);
    world.standin.faults().add(Fault::always("files/list_folder*", Effect::Garbage(Garbage::EmptyObject)));
    world.write("mine", "x");
    let _daemon = world.daemon();
    world.until("the upload", |s| s.file("/T/mine").is_some());
    eventually("the reason is shown", &world, || status(&world)["accounts"][0]["remote"]["reason"].is_string());
    assert!(cached(&world).is_empty());
    world.standin.faults().clear();
    until_equal(&world);
    world.assert_clean();
}

#[test]
fn e4_an_account_that_lists_as_empty_is_held_and_can_be_approved() {
    let world = filled(Settings::default(), 120);
    let _daemon = world.daemon();
    until_equal(&world);
    let before = cached(&world);
    for i in 0..5 {
        world.standin.delete(&format!("/T/d{i}"));
    }
    // The deletions are seen only in a new listing, as after an outage on the other side.
    world.standin.reset_cursors();
    eventually("it is held", &world, || {
        !status(&world)["accounts"][0]["remote"]["held"].is_null() || cached(&world).len() < before.len()
    });
    let held = status(&world)["accounts"][0]["remote"]["held"].clone();
    if held.is_null() {
        // The running longpoll told the deletions one by one before the cursor was reset: then they are true.
        until_equal(&world);
        return;
    }
    assert_eq!(cached(&world), before);
    let out = world.command(&["approve", held["token"].as_str().unwrap()]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    until_equal(&world);
    assert_eq!(world.command(&["approve", "listing-0"]).output().unwrap().status.code(), Some(64));
    world.assert_clean();
}

#[test]
fn ls_lists_offline_with_patterns_marks_and_exit_codes() {
    let world = World::new();
    world.standin.write("/T/Photos/One.JPG", vec![0; 2048]);
    world.standin.write("/T/Photos/2026/two.jpg", "2");
    world.standin.write("/T/Photos/notes.txt", "n");
    world.standin.set(|s| s.read_only.clear());
    world.standin.write("/T/Shared/theirs", "t");
    world.standin.set(|s| s.read_only = vec!["/t/shared".to_owned()]);
    world.once_in_sync();
    let names = |args: &[&str]| -> Vec<String> {
        ls(&world, args).iter().map(|e| e["path"].as_str().unwrap().to_owned()).collect()
    };
    world.standin.set_latency(Duration::from_secs(3600));
    assert_eq!(names(&["/t/photos"]), ["/T/Photos/2026", "/T/Photos/notes.txt", "/T/Photos/One.JPG"]);
    assert_eq!(names(&["/T/Photos/*.jpg"]), ["/T/Photos/One.JPG"]);
    assert_eq!(names(&["/T/**/*.jpg"]), ["/T/Photos/2026/two.jpg", "/T/Photos/One.JPG"]);
    assert_eq!(names(&["-R", "/T/Ph*"]).len(), 5);
    assert_eq!(names(&["/T/Photos/One.jpg"]), ["/T/Photos/One.JPG"]);
    let out = world.command(&["ls", "-R", "/T"]).output().unwrap();
    let lines = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        lines.contains("2.0 KiB") && lines.lines().any(|l| l.starts_with("-rs--") && l.ends_with("/T/Shared/theirs")),
        "{lines}"
    );
    assert_eq!(world.command(&["ls", "/T/nothing"]).output().unwrap().status.code(), Some(1));
    assert_eq!(world.command(&["ls", "--account", "nobody"]).output().unwrap().status.code(), Some(64));
    world.standin.set_latency(Duration::ZERO);
    // Outside of what is synced, Dropbox itself is asked, one folder deep.
    world.standin.write("/Other/File", "o");
    assert_eq!(names(&["/other"]), ["/other/File"]);
    assert_eq!(names(&["/Oth*"]), ["/Other"]);
    world.assert_clean();
}

#[test]
fn entries_are_paged_over_the_socket() {
    let world = filled(Settings::default(), 30);
    let _daemon = world.daemon();
    until_equal(&world);
    let get = |query: &str| -> Value {
        use std::io::{Read as _, Write as _};
        let mut socket = std::os::unix::net::UnixStream::connect(world.socket()).unwrap();
        write!(socket, "GET /v1/entries?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
    };
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(&format!("path=/t&recursive=true&limit=7&after={}", after.replace('/', "%2F")));
        assert!(page["complete"] == true, "{page}");
        all.extend(page["items"].as_array().unwrap().iter().map(|e| e["path_lower"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    assert_eq!(all, cached(&world).into_keys().filter(|p| p != "/t").collect::<Vec<_>>());
    assert!(get("path=/elsewhere")["detail"].is_string() && get("path=no")["detail"].is_string());
    world.assert_clean();
}
