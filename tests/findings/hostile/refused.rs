//! An entry that is refused is no deletion: what is at its path stays on both sides.

use serde_json::{Value, json as value};

use super::entries::problems;
use crate::harness::{Daemon, World};

/// Ways to break an entry of which the key is known all the same.
fn broken() -> [(&'static str, Value); 3] {
    [("size", value!({"size": -1})), ("rev", value!({"rev": 7})), ("kind", value!({".tag": "shortcut"}))]
}

/// A folder in sync, with a file for each way and some others.
fn synced(mode: &'static str) -> (World, Daemon) {
    let mut world = World::new();
    world.mode = mode;
    for name in ["size", "rev", "kind", "name", "path", "plain", "gone", "later", "d/in"] {
        world.write(name, name);
    }
    let daemon = world.daemon();
    world.eventually("the first sync", || world.remote() == world.disk());
    world.until_folder("in_sync");
    (world, daemon)
}

/// Everything is listed anew, and compared.
fn list_anew(world: &World, meanwhile: impl FnOnce()) {
    let lists = world.standin.calls_of("files/list_folder");
    world.standin.reset_cursors();
    meanwhile();
    world.until("it is listed anew", |s| s.calls_of("files/list_folder") > lists);
    at_rest(world);
}

fn at_rest(world: &World) {
    world.until_status("it is compared", |s| {
        let (account, listing) = (&s["accounts"][0], &s["accounts"][0]["remote"]["listing"]);
        account["state"] == "idle" && *listing == false
    });
}

#[test]
fn h6_a_file_whose_entry_is_refused_is_no_deletion_after_a_reset() {
    for mode in ["two-way", "backup"] {
        let (world, daemon) = synced(mode);
        let mine = world.disk();
        for (name, fields) in broken() {
            world.standin.decorate(&format!("/T/{name}"), fields);
        }
        world.standin.decorate("/T/d", value!({"rev": 7, "size": -1}));
        // What the same listing has lost is known to be gone all the same.
        list_anew(&world, || assert!(world.standin.delete("/T/gone")));
        world
            .eventually("each is said", || problems(&world).iter().filter(|(_, code)| code == "protocol").count() == 4);
        let down = mode == "two-way";
        if down {
            world.eventually("what is gone", || !world.disk().contains_key("gone"));
        } else {
            world.eventually("what is gone", || problems(&world).iter().any(|(_, code)| code == "gone_in_dropbox"));
        }
        at_rest(&world);
        let lost: Vec<_> = mine.keys().filter(|name| !world.disk().contains_key(*name)).collect();
        assert_eq!(lost, if down { vec!["gone"] } else { vec![] }, "{mode}\n{}", world.log());
        let told: Vec<_> = problems(&world).into_iter().filter(|(_, code)| code == "gone_in_dropbox").collect();
        assert_eq!(told.len(), usize::from(!down), "{mode}: {told:?}");
        assert_eq!(world.deletions(), 0, "{mode}");
        // A deletion that names the path is one.
        world.standin.delete("/T/size");
        if down {
            world.eventually("it goes", || !world.disk().contains_key("size"));
        }
        world.eventually("it is refused no longer", || {
            !problems(&world).iter().any(|(path, code)| path == "t/size" && code == "protocol")
        });
        // An entry that can be read is believed again.
        world.standin.decorate("/T/rev", value!({}));
        world.standin.write("/T/rev", "new");
        if down {
            world.eventually("it comes", || world.disk().get("rev") == world.remote().get("rev"));
        }
        assert_eq!(daemon.stop().0, Some(0));
        world.assert_clean();
    }
}

#[test]
fn h6_while_nobody_knows_which_path_was_refused_nothing_is_surely_absent() {
    for (name, fields) in [("name", value!({"name": "other"})), ("path", value!({"path_lower": 7}))] {
        let (world, daemon) = synced("two-way");
        let mine = world.disk();
        world.standin.decorate(&format!("/T/{name}"), fields);
        list_anew(&world, || ());
        world.eventually("it is said", || problems(&world).len() == 1);
        at_rest(&world);
        assert_eq!(world.disk(), mine, "{name}\n{}", world.log());
        // Deletions that name their paths are believed, and what is new comes.
        world.standin.delete("/T/later");
        world.standin.delete("/T/d");
        world.standin.write("/T/new", "new");
        let left = |here: &str| world.disk().contains_key(here);
        world.eventually("what is said", || !left("later") && !left("d/in") && left("new"));
        assert_eq!(world.disk(), world.remote(), "{name}");
        // Once all can be read, it is as ever.
        world.standin.decorate(&format!("/T/{name}"), value!({}));
        list_anew(&world, || ());
        world.eventually("nothing is said", || problems(&world).is_empty());
        assert_eq!(world.disk(), world.remote(), "{name}");
        assert_eq!((world.deletions(), daemon.stop().0), (0, Some(0)));
        world.assert_clean();
    }
}

#[test]
fn h6_a_folder_stays_in_dropbox_while_a_refused_entry_lies_in_it() {
    let mut world = World::new();
    world.mode = "two-way";
    world.standin.write("/T/d/bad", "there");
    world.standin.decorate("/T/d/bad", value!({"size": -1}));
    world.standin.write("/T/plain", "p");
    let daemon = world.daemon();
    world.eventually("what can be read", || world.folder.join("d").is_dir() && world.disk().len() == 1);
    at_rest(&world);
    std::fs::remove_dir(world.folder.join("d")).unwrap();
    world.eventually("it is said", || problems(&world).iter().any(|(path, code)| path == "d" && code == "dir_kept"));
    assert!(world.standin.file("/T/d/bad").is_some());
    assert_eq!(daemon.stop().0, Some(0));
    world.assert_clean();
}

#[test]
fn h6_a_run_that_leaves_out_what_dropbox_lists_does_not_end_as_in_sync() {
    let mut world = World::new();
    world.mode = "two-way";
    world.standin.write("/T/bad", "there");
    world.standin.write("/T/plain", "p");
    world.standin.decorate("/T/bad", value!({"size": -1}));
    assert_eq!(world.once().status.code(), Some(3));
    assert_eq!(world.once().status.code(), Some(3));
    world.standin.decorate("/T/bad", value!({}));
    world.standin.write("/T/bad", "there now");
    world.once_in_sync();
    world.assert_equal();
    world.assert_clean();
}
