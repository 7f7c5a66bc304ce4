//! Every fault that the stand-in can produce, alone and all together: everything arrives once, with at most half of the bytes more.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::time::Duration;

use crate::harness::{APPEND_BATCH, FINISH_BATCH, World, text};
use ferrybox_standin::{Contents, Effect, Entries, Fault, Garbage, Pace, Settings, When};

const ALL: &str = "files/*";
const APPENDS: &str = "files/upload_session/append*";
const CHECK: &str = "files/upload_session/finish_batch/check";
/// Longer than a run of unlucky draws takes: the pause between two tries of a file grows up to five minutes. Of 61 runs with a busy machine beside them
/// the median took 15 s and the longest 218 s.
const LONG: Duration = Duration::from_secs(480);

const SMALL: usize = 120;
const LARGE: usize = 6;
const LARGE_SIZE: usize = 15 << 20;

fn world() -> World {
    let mut world = World::with(Settings {
        contents: Contents::HashOnly,
        commit: Pace { per_batch: Duration::from_millis(5), ..Pace::default() },
        // Two cores and many tests: a call that is on its way takes a moment. Still well below the one second that the server asks for.
        retry_grace: Duration::from_millis(400),
        ..Settings::default()
    });
    world.extra =
        "[upload]\nworkers = 4\nchunk_size = \"4 MiB\"\n[commit]\njob_deadline = \"2s\"\nmax_entries = 40\n".into();
    for i in 0..SMALL {
        world.write(&format!("d{}/{i}", i % 5), vec![u8::try_from(i).unwrap(); 20_000 + i]);
    }
    for i in 0..LARGE {
        world.write(&format!("large/{i}"), vec![u8::try_from(i).unwrap() + 1; LARGE_SIZE + i]);
    }
    world
}

fn content() -> u64 {
    let small: usize = (0..SMALL).map(|i| 20_000 + i).sum();
    let large: usize = (0..LARGE).map(|i| LARGE_SIZE + i).sum();
    (small + large) as u64
}

/// Runs until all is there, and holds the promises against what the server saw.
fn converges(world: &World, what: &str) {
    let daemon = world.daemon();
    let done = world.standin.wait_for_blocking(LONG, |s| s.file_count() == SMALL + LARGE);
    let (calls, log) = (world.standin.calls(), world.log());
    assert!(done, "{what}: {} files after {LONG:?}\n{calls:#?}\n{log}", world.standin.file_count());
    drop(daemon);
    world.assert_equal();
    assert!(world.standin.files().iter().all(|f| f.revisions == 1), "{what}");
    let sent: u64 = calls.iter().filter(|(name, _)| name.contains("append")).map(|(_, c)| c.bytes_in).sum();
    let ratio = sent as f64 / content() as f64;
    eprintln!("{what}: ratio {ratio:.3}, hits {:?}", world.standin.faults().hits());
    assert!(ratio <= 1.5, "{what}: sent {sent} bytes for {}: {ratio:.3}\n{calls:#?}", content());
    world.assert_clean();
}

fn often(route: &str, seed: u64, p: f64, what: Effect) -> Fault {
    Fault { route: route.to_owned(), when: When::Probability { p, seed }, what }
}

fn status(code: u16, retry_after: Option<&str>, body: Option<&str>) -> Effect {
    Effect::Status { code, retry_after: retry_after.map(Into::into), body: body.map(Into::into) }
}

fn limited(reason: &str, retry_after: Option<&str>) -> Effect {
    Effect::RateLimited { reason: reason.into(), retry_after: retry_after.map(Into::into) }
}

fn entries(tag: &str, entries: Entries) -> Effect {
    Effect::EntryFailure { tag: tag.into(), entries }
}

/// The table: a name that carries the row of the catalogue, where, and what. A session's death, which costs a whole file, is dealt out by number.
macro_rules! alone {
    ($($name:ident: $route:expr, $effect:expr;)*) => {
        $(#[test]
        fn $name() {
            let world = world();
            let effect = $effect;
            let fault = match effect {
                Effect::SessionExpired => Fault::nth($route, 9, effect),
                // One expired token turns away all calls that are under way.
                Effect::TokenExpired => often($route, 5, 0.08, effect),
                // Routes of few calls are hit more often, or they would not be hit at all.
                effect => often($route, 5, if $route.ends_with('*') { 0.2 } else { 0.3 }, effect),
            };
            world.standin.faults().add(fault);
            converges(&world, stringify!($name));
        })*
    };
}

alone! {
    d2_status_500: ALL, status(500, None, None);
    d2_status_502_with_a_page: ALL, status(502, None, Some("<html>bad gateway</html>"));
    d1_status_503_with_retry_after: ALL, status(503, Some("1"), None);
    d15_status_409_that_is_not_json: APPENDS, status(409, None, Some("conflict?"));
    d1_too_many_requests_with_retry_after: ALL, limited("too_many_requests", Some("1"));
    d1_too_many_requests_without_retry_after: ALL, limited("too_many_requests", None);
    d3_too_many_writes_as_429: FINISH_BATCH, limited("too_many_write_operations", Some("1"));
    d3_too_many_writes_as_409: FINISH_BATCH, Effect::EndpointError("too_many_write_operations".into());
    d3_too_many_writes_of_entries: FINISH_BATCH, entries("too_many_write_operations", Entries::Every(3));
    d11_internal_errors_of_entries: FINISH_BATCH, entries("internal_error", Entries::Every(4));
    d14_a_tag_that_nobody_knows: FINISH_BATCH, entries("brand_new", Entries::Every(4));
    d9_entries_of_a_pack_fail: APPEND_BATCH, entries("not_found", Entries::Every(7));
    d10_content_hash_mismatch_of_a_pack: APPEND_BATCH, Effect::EndpointError("content_hash_mismatch".into());
    c3_closed_before: ALL, Effect::DropBefore;
    c3_closed_after: ALL, Effect::DropAfter;
    c3_requests_cut: ALL, Effect::CutRequest(100_000);
    c3_replies_cut: ALL, Effect::CutReply(17);
    c4_stalls: ALL, Effect::Stall(Duration::from_millis(300));
    c4_replies_held_back: ALL, Effect::StallReply(Duration::from_millis(300));
    c5_slow_replies: ALL, Effect::SlowBody(500);
    c6_a_portal_s_page: ALL, Effect::Garbage(Garbage::Html);
    c7_truncated_json: ALL, Effect::Garbage(Garbage::TruncatedJson);
    c7_byte_order_marks: ALL, Effect::Garbage(Garbage::ByteOrderMark);
    c7_invalid_utf_8: ALL, Effect::Garbage(Garbage::InvalidUtf8);
    c7_empty_replies: ALL, Effect::Garbage(Garbage::Empty);
    c7_objects_without_fields: ALL, Effect::Garbage(Garbage::EmptyObject);
    d13_results_missing_of_packs: APPEND_BATCH, Effect::MissingResults(1);
    d13_results_missing_of_batches: FINISH_BATCH, Effect::MissingResults(2);
    d12_jobs_that_never_end_but_were_applied: FINISH_BATCH, Effect::StuckJob { applied: true };
    d12_jobs_that_never_end: FINISH_BATCH, Effect::StuckJob { applied: false };
    d11_jobs_with_an_internal_error: FINISH_BATCH, Effect::JobInternalError;
    a10_jobs_that_are_forgotten: CHECK, Effect::JobForgotten;
    d9_sessions_that_expire: APPENDS, Effect::SessionExpired;
    o1_tokens_that_expire: ALL, Effect::TokenExpired;
    e2_cursors_that_are_reset: ALL, Effect::CursorReset;
}

#[test]
fn c9_all_faults_together_at_one_call_of_five() {
    let world = world();
    let everywhere = [
        status(500, None, None),
        status(502, None, Some("<html></html>")),
        status(503, Some("1"), None),
        limited("too_many_requests", Some("1")),
        limited("too_many_requests", None),
        Effect::DropBefore,
        Effect::DropAfter,
        Effect::CutRequest(50_000),
        Effect::CutReply(9),
        Effect::Stall(Duration::from_millis(50)),
        Effect::StallReply(Duration::from_millis(50)),
        Effect::SlowBody(2_000),
        Effect::Garbage(Garbage::Html),
        Effect::Garbage(Garbage::TruncatedJson),
        Effect::Garbage(Garbage::InvalidUtf8),
        Effect::Garbage(Garbage::Empty),
        Effect::Garbage(Garbage::EmptyObject),
        Effect::TokenExpired,
    ];
    let p = 0.2 / everywhere.len() as f64;
    for (seed, effect) in (100..).zip(everywhere) {
        world.standin.faults().add(often(ALL, seed, p, effect));
    }
    for (seed, effect) in (200..).zip([
        entries("too_many_write_operations", Entries::Every(5)),
        entries("internal_error", Entries::Every(9)),
        Effect::MissingResults(1),
        Effect::StuckJob { applied: true },
        Effect::StuckJob { applied: false },
        Effect::JobInternalError,
    ]) {
        world.standin.faults().add(often(FINISH_BATCH, seed, 0.03, effect));
    }
    world.standin.faults().add(often(CHECK, 300, 0.02, Effect::JobForgotten));
    world.standin.faults().add(Fault::nth(APPENDS, 14, Effect::SessionExpired));
    converges(&world, "all together");
}

#[test]
fn ceilings_are_learned_from_every_way_to_refuse_and_remembered() {
    for (cap, refusal) in [(8 << 10, 431), (60 << 10, 431), (8 << 10, 400), (8 << 10, 413)] {
        let world = World::with(Settings { header_cap: cap, header_refusal: refusal, ..Settings::default() });
        for i in 0..500 {
            world.write(&format!("{i}"), format!("{i}"));
        }
        world.once_in_sync();
        world.assert_equal();
        let first = world.standin.calls()[APPEND_BATCH].clone();
        let refused = first.errors;
        assert!(refused <= 5, "{cap} {refusal}: {first:?}");
        assert_eq!(refused > 0, cap < 60 << 10, "{cap} {refusal}: {first:?}");
        // Remembered: the next run begins with packs that fit.
        world.standin.reset_counters();
        for i in 0..100 {
            world.write(&format!("more/{i}"), format!("{i}"));
        }
        world.once_in_sync();
        assert_eq!(world.standin.calls()[APPEND_BATCH].errors, 0, "{cap} {refusal}");
        world.assert_clean();
    }
}

/// R8: a gateway answers 502 to headers above 16 KiB, and says nothing of their length.
#[test]
fn r8_a_502_for_a_long_header_is_learned_from() {
    let world = World::with(Settings { header_cap: 16 << 10, header_refusal: 502, ..Settings::default() });
    // Each start finds its files at once, so that packs are as full as they may be. Two halves are learned in the
    // first two, by packs that are under way together; one more refusal may come where they grow back.
    let mut errors = Vec::new();
    for round in 1..=4 {
        for i in 0..400 {
            world.write(&format!("{round}/{i}"), format!("{i}"));
        }
        world.standin.reset_counters();
        let daemon = world.daemon();
        world.until("all files", |s| s.file_count() == round * 400);
        world.until_folder("in_sync");
        errors.push(world.standin.calls()[APPEND_BATCH].errors);
        assert_eq!(daemon.stop().0, Some(0));
    }
    assert!(errors[0] > 0 && errors[0] + errors[1] <= 12 && errors[2] + errors[3] <= 1, "{errors:?}");
    world.assert_equal();
    world.assert_clean();
}

#[test]
fn d11_one_poisonous_entry_holds_up_nobody_else() {
    let world = World::new();
    for i in 0..64 {
        world.write(&format!("{i}"), format!("{i}"));
    }
    world.write("poison", "x");
    let effect = entries("internal_error", Entries::Containing("poison".into()));
    world.standin.faults().add(Fault::always(FINISH_BATCH, effect));
    let daemon = world.daemon();
    world.until("all but the poison", |s| s.file_count() == 64);
    drop(daemon);
    assert_eq!(world.standin.calls()[APPEND_BATCH].calls, 1);
    world.assert_clean();
}

#[test]
fn d11_a_file_that_breaks_every_call_it_is_in_is_found_and_left_out() {
    let world = World::new();
    for i in 0..200 {
        world.write(&format!("{i:03}"), format!("{i}"));
    }
    world.write("100-poison", "x");
    let poison = Effect::Poison { containing: "poison".into(), unreadable: false };
    world.standin.faults().add(Fault::always(FINISH_BATCH, poison));
    let out = world.once();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    assert_eq!(world.standin.file_count(), 200);
    let calls = world.standin.calls_of(FINISH_BATCH);
    assert!(calls <= 30, "{calls} calls");
    assert!(world.standin.files().iter().all(|f| f.revisions == 1));
    // It is left alone from then on, with its reason, and nothing was sent twice.
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let out = world.command(&["problems"]).output().unwrap();
    assert!(text(&out).contains("100-poison") && text(&out).contains("takes others"), "{}", text(&out));
    drop(daemon);
    assert_eq!(world.standin.calls_of(FINISH_BATCH), calls);
    assert_eq!(world.standin.calls()[APPEND_BATCH].calls, 1);
    world.assert_clean();
}

#[test]
fn d11_a_file_whose_calls_get_no_readable_reply_holds_up_nobody_else() {
    let mut world = World::new();
    // The first such reply of each batch is taken for a lost one: a job may run, and is waited for. A slow machine makes several batches of these files.
    world.extra = "[commit]\njob_deadline = \"5s\"\n".into();
    for i in 0..20 {
        world.write(&format!("{i:03}"), format!("{i}"));
    }
    world.write("010-poison", "x");
    let poison = Effect::Poison { containing: "poison".into(), unreadable: true };
    world.standin.faults().add(Fault::always(FINISH_BATCH, poison));
    let daemon = world.daemon();
    world.until("the others", |s| s.file_count() == 20);
    drop(daemon);
    assert_eq!(world.standin.calls()[APPEND_BATCH].calls, 1);
    world.assert_clean();
}

#[test]
fn a11_each_entry_of_a_batch_is_settled_on_its_own() {
    let world = World::new();
    for name in ["good", "full", "name", "later"] {
        world.write(name, name);
    }
    let at = |name: &str| Entries::Containing(format!("/T/{name}"));
    let add = |effect| world.standin.faults().add(Fault::once(FINISH_BATCH, effect));
    add(entries("path/disallowed_name", at("name")));
    add(entries("too_many_write_operations", at("later")));
    let out = world.once();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    assert_eq!(world.remote().keys().collect::<Vec<_>>(), ["full", "good", "later"]);
    assert_eq!(world.standin.calls()[APPEND_BATCH].calls, 1);
    world.assert_clean();
}

#[test]
fn a12_results_that_were_not_stored_before_a_crash_are_found_in_dropbox() {
    let world = World::new();
    for i in 0..30 {
        world.write(&format!("{i}"), format!("{i}"));
    }
    world.standin.faults().add(Fault::always(CHECK, Effect::StallReply(Duration::from_secs(3))));
    let daemon = world.daemon();
    world.until("the commit", |s| s.file_count() == 30);
    daemon.kill();
    world.standin.faults().clear();
    world.once_in_sync();
    world.assert_equal();
    assert!(world.standin.files().iter().all(|f| f.revisions == 1));
    assert_eq!(world.standin.calls_of(FINISH_BATCH), 1);
    world.assert_clean();
}

#[test]
fn c10_a_commit_that_reaches_the_server_twice_makes_one_revision() {
    let world = World::new();
    world.write("a", "1");
    world.standin.faults().add(Fault::once(FINISH_BATCH, Effect::StuckJob { applied: true }));
    let mut world = world;
    world.extra = "[commit]\njob_deadline = \"1s\"\n".into();
    // The look-up lies as well, once: the commit is made again.
    world.standin.faults().add(Fault::times("files/get_metadata", 60, Effect::EndpointError("path/not_found".into())));
    world.once_in_sync();
    assert!(world.standin.calls_of(FINISH_BATCH) >= 2);
    assert_eq!(world.standin.file("/T/a").unwrap().revisions, 1);
    world.assert_clean();
}

#[test]
fn c6_c14_a_redirect_is_never_followed_and_never_a_result() {
    for code in [302, 307, 511] {
        let world = World::new();
        world.write("a", "1");
        world.standin.faults().add(Fault::times(APPEND_BATCH, 1, status(code, None, Some("<html>go away</html>"))));
        world.once_in_sync();
        world.assert_equal();
        world.assert_clean();
    }
}

#[test]
fn d5_a_folder_in_the_way_keeps_both_and_a_file_above_waits() {
    let world = World::new();
    world.standin.make_folder("/T/a");
    world.write("a", "ours");
    world.once_in_sync();
    assert!(world.standin.folder("/T/a"));
    assert!(world.standin.files().iter().any(|f| f.path_display.contains("conflicted copy")));
    world.standin.write("/T/d", "a file where a folder is needed");
    world.write("d/x", "1");
    let daemon = world.daemon();
    world.until("the refusal", |s| s.calls_of(FINISH_BATCH) >= 3);
    assert_eq!(world.standin.content("/T/d").unwrap(), "a file where a folder is needed");
    world.standin.delete("/T/d");
    world.until("the file", |s| s.file("/T/d/x").is_some());
    drop(daemon);
    world.assert_clean();
}

#[test]
fn d10_a_hash_that_does_not_fit_makes_the_file_be_read_again() {
    let mut world = World::new();
    world.extra = "[upload]\nchunk_size = \"4 MiB\"\n".into();
    world.write("small", "1");
    world.write("large", vec![5; 9 << 20]);
    let effect = || Effect::EndpointError("content_hash_mismatch".into());
    world.standin.faults().add(Fault::once(APPEND_BATCH, effect()));
    world.standin.faults().add(Fault::nth("files/upload_session/append_v2", 2, effect()));
    world.once_in_sync();
    world.assert_equal();
    assert_eq!(world.standin.calls()["files/upload_session/start"].calls, 2, "a new session for the large one");
    world.assert_clean();
}

/// What needs no room in Dropbox does not wait for it.
#[test]
fn d6_a_full_account_goes_on_with_downloads_deletions_and_empty_files() {
    let mut world = World::new();
    world.mode = "two-way";
    world.write("ours", vec![1; 50_000]);
    world.write("doomed", vec![2; 5_000]);
    let daemon = world.daemon();
    world.until("the first", |s| s.file_count() == 2);
    world.until_folder("in_sync");
    world.standin.set_quota(160_000);
    world.write("large", vec![3; 200_000]);
    world.until_status("quota_full", |s| s["accounts"][0]["state"] == "quota_full");
    // Others still find room for smaller files.
    world.standin.write("/T/theirs", vec![4; 70_000]);
    world.standin.write("/T/deep/er/theirs", vec![5; 700]);
    world.eventually("the downloads", || {
        world.disk().contains_key("theirs") && world.disk().contains_key("deep/er/theirs")
    });
    world.standin.write("/T/ours", vec![6; 50_001]);
    let new = ferrybox_standin::content_hash(&vec![6; 50_001]);
    world.eventually("the new version", || world.disk()["ours"] == new);
    world.standin.delete("/T/deep/er/theirs");
    world.eventually("the deletion there", || !world.disk().contains_key("deep/er/theirs"));
    std::fs::remove_file(world.folder.join("doomed")).unwrap();
    world.until("the deletion here", |s| s.file("/T/doomed").is_none());
    world.write("empty", "");
    std::fs::create_dir(world.folder.join("empty folder")).unwrap();
    world
        .until("what is empty", |s| s.file("/T/empty").is_some() && s.folders().iter().any(|f| f == "/T/empty folder"));
    // And what has no room still waits.
    let state = world.until_status("a status", |_| true)["accounts"][0]["state"].clone();
    assert!(state == "quota_full" && world.standin.file("/T/large").is_none(), "{state}");
    world.standin.set_quota(1_000_000);
    world.until("the large one", |s| s.file("/T/large").is_some());
    world.until_status("idle", |s| s["accounts"][0]["state"] == "idle");
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_equal();
    world.assert_clean();
}
