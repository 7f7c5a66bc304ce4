//! What is removed here, and how sure the program is before it goes in Dropbox.

use std::fs;
use std::time::Duration;

use ferrybox_standin::{Effect, Fault, When};

use crate::harness::{FINISH_BATCH, World};

const DELETE_BATCH: &str = "files/delete_batch";

fn two_way() -> World {
    let mut world = World::new();
    world.mode = "two-way";
    world.extra = "[safety]\nmax_deletion_share = \"100%\"\nmax_deletions = 100000\n".into();
    world
}

/// However many deletions wait: what is put back while the first of them are under way is not deleted with the next.
#[test]
fn d8_what_is_put_back_between_two_batches_of_deletions_stays() {
    let mut world = two_way();
    world.extra.push_str("[commit]\nmax_entries = 300\n");
    for i in 0..1200 {
        world.write(&format!("d/{i}"), format!("{i}"));
    }
    for i in 0..20 {
        world.write(&format!("keep/{i}"), format!("{i}"));
    }
    world.once_in_sync();
    let daemon = world.daemon();
    world.until_folder("in_sync");
    // The first call takes a moment, in which the directory comes back.
    let slow = Effect::StallReply(Duration::from_millis(300));
    world.standin.faults().add(Fault { when: When::Times(1), ..Fault::always(DELETE_BATCH, slow) });
    world.standin.reset_counters();
    let away = world.dir.path().join("away");
    fs::rename(world.folder.join("d"), &away).unwrap();
    world.until("the first deletions", |s| s.file_count() < 1220);
    fs::rename(&away, world.folder.join("d")).unwrap();
    world.until("all of it again", |s| s.file_count() == 1220);
    world.until_folder("in_sync");
    assert_eq!(world.standin.calls_of(DELETE_BATCH), 1, "{}", world.log());
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_equal();
    world.assert_clean();
}

/// Where Dropbox asks to wait before the next commit, the last look comes after that wait.
#[test]
fn d8_what_is_put_back_while_a_call_waits_for_its_turn_stays() {
    let world = two_way();
    for name in ["a", "b", "c"] {
        world.write(name, name);
    }
    world.once_in_sync();
    let daemon = world.daemon();
    world.until_folder("in_sync");
    let busy = Effect::RateLimited { reason: "too_many_write_operations".into(), retry_after: Some("5".into()) };
    world.standin.faults().add(Fault { when: When::Times(1), ..Fault::always(FINISH_BATCH, busy) });
    world.write("new", "new");
    world.until("the word to wait", |s| s.calls_of(FINISH_BATCH) > 0);
    let away = world.dir.path().join("away");
    fs::rename(world.folder.join("a"), &away).unwrap();
    world.eventually("the deletion's batch", || world.stored("SELECT kind FROM batch").contains(&"delete".to_owned()));
    fs::rename(&away, world.folder.join("a")).unwrap();
    world.until("the new file", |s| s.file("/T/new").is_some());
    world.until_folder("in_sync");
    assert_eq!(world.deletions(), 0, "{}", world.log());
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_equal();
    world.assert_clean();
}
