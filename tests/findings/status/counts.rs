//! Numbers by direction.

use std::time::Duration;

use ferrybox_standin::{Effect, Fault};

use super::folder;
use crate::harness::World;

#[test]
fn t4_what_comes_down_is_counted_as_that_with_its_rate_and_time_left() {
    let mut world = World::new();
    world.mode = "two-way";
    world.standin.make_folder("/T");
    let daemon = world.daemon();
    world.until_folder("in_sync");
    world.standin.faults().add(Fault::always("files/download", Effect::SlowBody(300_000)));
    world.standin.write("/T/big", vec![9; 2_000_000]);
    let status = world.until_status("it comes", |s| {
        let of = folder(s);
        let going = of["active"][0]["direction"] == "down" && of["rate"]["down_bytes_s"].as_u64().unwrap_or(0) > 0;
        going && of["eta_s"].is_u64()
    });
    let pending = &folder(&status)["pending"];
    assert_eq!((&pending["uploads"], &pending["downloads"]), (&0.into(), &1.into()), "{status}");
    assert!(pending["bytes"].as_u64().unwrap() < 2_000_000, "what has arrived is no work: {status}");
    let plain = world.command(&["status"]).output().unwrap();
    let plain = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert!(plain.contains("1 file to download") && !plain.contains("to upload"), "{plain}");
    daemon.kill();
}

#[test]
fn t4_directories_are_no_files_and_nothing_goes_up_from_a_folder_that_only_downloads() {
    let mut world = World::new();
    world.mode = "download";
    world.write("only here", "x");
    for i in 0..4 {
        world.standin.write(&format!("/T/d{i}/sub/file"), format!("{i}"));
    }
    world.standin.faults().add(Fault::always("files/download", Effect::Stall(Duration::from_secs(20))));
    let daemon = world.daemon();
    // Until they are compared, they count as changes there, too.
    let compared = |pending: &serde_json::Value| pending["downloads"] == 4 && pending["remote_changes"] == 0;
    let status = world.until_status("they come", |s| compared(&folder(s)["pending"]));
    assert_eq!(folder(&status)["pending"]["uploads"], 0, "{status}");
    daemon.kill();
}
