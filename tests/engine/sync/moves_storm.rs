//! H8: things are renamed all the time while the daemon runs.
//!
//! `cargo test --test engine moves_storm`; with `FERRYBOX_LONG=1` ten thousand renames in a tree of a thousand files, `FERRYBOX_SEED=N` another course.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::harness::renames::{COPY, MOVE, sent, until_idle, world};
use crate::harness::{World, look_for};

/// A small generator: the same course for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % n as u64).unwrap()
    }
}

/// Files and directories of the tree, below the folder.
fn listed(world: &World) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut files, mut dirs, mut next) = (Vec::new(), Vec::new(), vec![PathBuf::new()]);
    while let Some(dir) = next.pop() {
        for entry in fs::read_dir(world.folder.join(&dir)).unwrap().map(Result::unwrap) {
            let path = dir.join(entry.file_name());
            if entry.file_name() == ".ferrybox" {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                dirs.push(path.clone());
                next.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    dirs.sort();
    (files, dirs)
}

/// One rename to a name that is free, of a file mostly; sometimes two things change places.
fn rename_one(world: &World, dice: &mut Dice, n: usize) {
    let (files, dirs) = listed(world);
    let pick = |dice: &mut Dice, from: &[PathBuf]| from[dice.roll(from.len())].clone();
    let at = |path: &PathBuf| world.folder.join(path);
    let new = |dice: &mut Dice| {
        let dir = if dice.roll(4) == 0 { PathBuf::new() } else { pick(dice, &dirs) };
        dir.join(format!("renamed {n}"))
    };
    match dice.roll(10) {
        0..=6 => fs::rename(at(&pick(dice, &files)), at(&new(dice))).unwrap(),
        7 | 8 => {
            let (from, to) = (pick(dice, &dirs), new(dice));
            if !to.starts_with(&from) {
                fs::rename(at(&from), at(&to)).unwrap();
            }
        }
        _ => {
            let of = if dice.roll(2) == 0 { &files } else { &dirs };
            let (a, b) = (pick(dice, of), pick(dice, of));
            if !a.starts_with(&b) && !b.starts_with(&a) {
                let aside = world.folder.join(format!("aside {n}"));
                fs::rename(at(&a), &aside).unwrap();
                fs::rename(at(&b), at(&a)).unwrap();
                fs::rename(aside, at(&b)).unwrap();
            }
        }
    }
}

#[test]
fn h8_a_storm_of_renames() {
    let long = std::env::var_os("FERRYBOX_LONG").is_some();
    let seed = std::env::var("FERRYBOX_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let (files, renames) = if long { (1000, 10_000) } else { (200, 400) };
    let modes: &[&str] = if long { &["two-way", "mirror"] } else { &["two-way"] };
    for mode in modes {
        let mut world = world(mode);
        world.extra = "[safety]\nmax_deletions = 100000\nmax_deletion_share = \"100%\"\n".into();
        for i in 0..files {
            // No two files have the same size: what goes up can be told from what it is.
            world.write(&format!("d{}/e{}/f{i}", i % 8, i % 20), vec![b'x'; 2000 + i]);
        }
        world.write("keep", "k");
        world.once_in_sync();
        let bytes: u64 = (0..files).map(|i| 2000 + i as u64).sum();
        let daemon = world.daemon();
        until_idle(&world);
        world.standin.reset_counters();
        let mut dice = Dice(seed);
        let (mut rows, began) = (0_usize, Instant::now());
        for n in 0..renames {
            rename_one(&world, &mut dice, n);
            if n % 50 == 49 {
                // Bursts, and pauses of the course's own in which the daemon gets somewhere.
                std::thread::sleep(Duration::from_millis(dice.roll(600) as u64));
                let counted = world.stored("SELECT CAST(count(*) AS TEXT) FROM job");
                rows = rows.max(counted.first().and_then(|n| n.parse().ok()).unwrap_or(0));
            }
        }
        let stormed = began.elapsed();
        let rested = look_for(Duration::from_secs(if long { 300 } else { 90 }), || {
            (world.disk() == world.remote()).then_some(())
        });
        assert!(rested.is_some(), "{mode} seed {seed}: never equal\n{}", world.log());
        until_idle(&world);
        daemon.stop();
        if let Ok(to) = std::env::var("STORM_LOG") {
            fs::write(to, world.log()).unwrap();
        }
        let converged = began.elapsed() - stormed;
        world.once_in_sync();
        world.assert_equal();
        let calls: BTreeMap<_, _> = world.standin.calls().into_iter().map(|(route, s)| (route, s.calls)).collect();
        let uploads: usize = world.standin.files().iter().map(|f| f.revisions.saturating_sub(1)).sum();
        eprintln!(
            "{mode} seed {seed}: {renames} renames in {stormed:?}, equal {converged:?} later; {} of {bytes} bytes sent, {uploads} revisions more, {} moves' calls, {} copies', {} deletions', at most {rows} rows\n{calls:?}",
            sent(&world.standin),
            world.standin.calls_of(MOVE),
            world.standin.calls_of(COPY),
            world.deletions(),
        );
        assert_eq!(world.standin.file_count(), files + 1);
        // Small files that change places are sent, and so is what is renamed again while it is looked at: measured, less than the tree once.
        assert!(sent(&world.standin) < bytes, "{mode} seed {seed}");
        // A row a path that was, or is, something of late: not one for each that there ever was.
        assert!(rows < files * 10, "{mode} seed {seed}: {rows} rows");
        assert_eq!(world.standin.calls_of("files/download"), 0, "{mode} seed {seed}: {calls:?}");
        world.assert_clean();
    }
}
