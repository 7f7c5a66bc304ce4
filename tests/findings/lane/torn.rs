//! A batch of which a part belongs to a folder that is no longer configured.

use std::fs;
use std::time::Duration;

use super::slow;
use crate::harness::{FINISH_BATCH, World};

/// The answer of its job has an entry for each folder that was asked for: it is read as it is, and looked up at once.
#[test]
fn l8_the_job_of_a_torn_batch_of_folders_is_asked_for_once() {
    let mut world = World::with(slow(3));
    world.mode = "two-way";
    let other = world.dir.path().join("other");
    fs::create_dir(&other).unwrap();
    world.folder_extra = format!("[[account.folder]]\nlocal = {other:?}\nremote = \"/U\"\nmode = \"two-way\"\n");
    let daemon = world.daemon();
    world.until_status("both", |s| [0, 1].iter().all(|n| s["accounts"][0]["folders"][*n]["state"] == "in_sync"));
    // While this is committed the directories of both are staged: so many are a job, and not done at once.
    world.write("file", "f");
    world.until("a commit", |s| s.calls_of(FINISH_BATCH) == 1);
    for n in 0..60 {
        fs::create_dir(world.folder.join(format!("here{n}"))).unwrap();
        fs::create_dir(other.join(format!("there{n}"))).unwrap();
    }
    world.until("the folders", |s| !s.last_argument("files/create_folder_batch").is_null());
    let asked = world.standin.last_argument("files/create_folder_batch");
    assert_eq!(asked["paths"].as_array().map(Vec::len), Some(120), "{asked}");
    let job = "SELECT async_job_id FROM batch WHERE async_job_id IS NOT NULL";
    world.eventually("its job is known", || !world.stored(job).is_empty());
    daemon.kill();
    world.until("its end", |s| s.running_commits() == 0 && s.folder("/T/here0"));
    world.folder_extra = String::new();
    world.standin.reset_counters();
    let daemon = world.daemon();
    world.until_folder("in_sync");
    assert_eq!(world.standin.calls_of("files/create_folder_batch/check"), 1, "{}", world.log());
    world.never("it is asked for again", Duration::from_millis(300), |s| s.calls_of("files/create_folder_batch") > 0);
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}
