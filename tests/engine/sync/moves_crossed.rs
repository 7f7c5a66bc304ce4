//! A local rename and one in Dropbox that would make a circle of folders.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use crate::harness::renames::{MOVE, rename, until_idle, world};
use crate::harness::{World, look_for};
use ferrybox_standin::Settings;

/// What all files hold, wherever they are.
fn held(world: &World) -> BTreeSet<String> {
    world.disk().into_values().collect()
}

fn folders(world: &World) -> BTreeSet<String> {
    world.standin.folders().into_iter().filter_map(|path| Some(path.strip_prefix("/T/")?.to_owned())).collect()
}

fn dirs(world: &World) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut next = vec![world.folder.clone()];
    while let Some(dir) = next.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with(".ferrybox") {
                found.insert(path.strip_prefix(&world.folder).unwrap().to_str().unwrap().to_owned());
                next.push(path);
            }
        }
    }
    found
}

fn fill(world: &World) {
    for i in 0..20 {
        world.write(&format!("Archives/a{i}"), format!("archived {i}"));
        world.write(&format!("Archives/old/{i}"), format!("archived long ago {i}"));
        world.write(&format!("Drafts/d{i}"), format!("drafted {i}"));
    }
    world.write("keep", "k");
}

/// H3: `Drafts` into `Archives` here, `Archives` into `Drafts` there, which no tree can hold both: it comes to an end, with all files on both sides.
#[test]
fn h3_into_one_another_here_and_there() {
    let world = world("two-way");
    fill(&world);
    world.once_in_sync();
    let before = held(&world);
    world.standin.rename("/T/Archives", "/T/Drafts/Archives");
    rename(&world, "Drafts", "Archives/Drafts");
    for _ in 0..3 {
        world.once_in_sync();
    }
    world.assert_equal();
    assert_eq!(dirs(&world), folders(&world));
    assert_eq!(held(&world), before);
    // And that is the end of it.
    world.standin.reset_counters();
    world.once_in_sync();
    assert_eq!(
        (world.standin.calls_of(MOVE), world.deletions(), crate::harness::renames::sent(&world.standin)),
        (0, 0, 0)
    );
    world.assert_clean();
}

/// The same between two devices that both run.
#[test]
fn h3_two_devices_into_one_another() {
    let mut a = World::with(Settings { longpoll_limit: Some(Duration::from_secs(2)), ..Settings::default() });
    let mut b = a.sibling();
    for world in [&mut a, &mut b] {
        world.mode = "two-way";
        world.extra = "rescan = \"5s\"\n[safety]\nmax_deletions = 100000\nmax_deletion_share = \"100%\"\n".into();
    }
    fill(&a);
    a.once_in_sync();
    b.once_in_sync();
    let before = held(&a);
    let daemons = [a.daemon(), b.daemon()];
    for world in [&a, &b] {
        until_idle(world);
    }
    rename(&a, "Drafts", "Archives/Drafts");
    rename(&b, "Archives", "Drafts/Archives");
    let sides = || (a.disk(), b.disk(), a.remote());
    let mut last = sides();
    let rested = look_for(Duration::from_secs(120), || {
        last = sides();
        let equal = last.0 == last.1 && last.0 == last.2 && dirs(&a) == dirs(&b) && dirs(&a) == folders(&a);
        (equal && held(&a) == before).then_some(())
    });
    assert!(rested.is_some(), "{last:#?}\n{:?}\n{:?}\n{:?}\n{}\n{}", dirs(&a), dirs(&b), folders(&a), a.log(), b.log());
    for world in [&a, &b] {
        until_idle(world);
    }
    drop(daemons);
    // It stays so.
    a.once_in_sync();
    b.once_in_sync();
    assert_eq!((a.disk(), b.disk()), (a.remote(), a.remote()));
    assert_eq!((dirs(&a), dirs(&b)), (folders(&a), folders(&a)));
    assert_eq!(held(&a), before);
    eprintln!("{:?}", dirs(&a));
    // Two devices commit and list when they like: no daemon can know of the other's.
    for kind in
        [ferrybox_standin::ViolationKind::OverlappingCommits, ferrybox_standin::ViolationKind::IdenticalListings]
    {
        a.standin.forgive(kind);
    }
    a.assert_clean();
}
