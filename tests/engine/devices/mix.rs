//! A mix of what people and programs do, on two devices at once, each with its own rhythm: saves of every kind, whole trees that come, move and go,
//! names of every kind. Nothing heals by a rescan here: what the events do not bring has to be missed by somebody.
//!
//! `cargo test --test engine devices::mix -- --ignored`; `FERRYBOX_SEED=N`, `FERRYBOX_MIX=trees`, `FERRYBOX_OPERATIONS=N` a side, `FERRYBOX_BUSY=N` loops beside,
//! `FERRYBOX_FAULTS=1`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ferrybox_standin::{Effect, Fault, ViolationKind, When};

use super::{Device, Dice, QUIET, approve, device};
use crate::harness::{World, look_for, views};

#[derive(Debug, Clone, Copy)]
enum Act {
    Create,
    Edit,
    Append,
    Truncate,
    Rename,
    RenameDir,
    Swap,
    Delete,
    RemoveTree,
    MakeDir,
    DirForFile,
    FileForDir,
    Letters,
    AtomicSave,
    VimSave,
    Touch,
    Move,
}

/// What people do, by how often.
const PEOPLE: [(Act, u64); 17] = [
    (Act::Create, 20),
    (Act::Edit, 18),
    (Act::Append, 8),
    (Act::Truncate, 4),
    (Act::Rename, 10),
    (Act::RenameDir, 3),
    (Act::Swap, 3),
    (Act::Delete, 8),
    (Act::RemoveTree, 1),
    (Act::MakeDir, 3),
    (Act::DirForFile, 2),
    (Act::FileForDir, 1),
    (Act::Letters, 3),
    (Act::AtomicSave, 10),
    (Act::VimSave, 4),
    (Act::Touch, 2),
    (Act::Move, 4),
];

/// Whole trees come, move and go: what rows were lost by.
const TREES: [(Act, u64); 7] = [
    (Act::Create, 20),
    (Act::MakeDir, 10),
    (Act::RemoveTree, 8),
    (Act::RenameDir, 6),
    (Act::Move, 4),
    (Act::DirForFile, 3),
    (Act::FileForDir, 3),
];

const NAMES: [&str; 14] = [
    "a",
    "notes",
    "Report 2024.txt",
    "ein Bär",
    "Größe.md",
    "Ελλάδα",
    "漢字",
    "100%",
    "x[1]",
    "(copy)",
    "-rf",
    "--help",
    "b c d",
    "ünter",
];

/// One device's hands.
struct Hands {
    root: PathBuf,
    dice: Dice,
    saved: u64,
    who: char,
}

impl Hands {
    fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let n = u64::try_from(of.len()).unwrap();
        (n > 0).then(|| &of[usize::try_from(self.dice.roll(n)).unwrap()])
    }

    fn content(&mut self) -> String {
        self.saved += 1;
        format!("{} {}\n{}", self.who, self.saved, "x".repeat(usize::try_from(self.dice.roll(3000)).unwrap()))
    }

    fn all(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        fn go(at: &Path, files: &mut Vec<PathBuf>, dirs: &mut Vec<PathBuf>) {
            for path in fs::read_dir(at).into_iter().flatten().flatten().map(|entry| entry.path()) {
                if path.ends_with(".ferrybox") {
                } else if path.is_dir() {
                    go(&path, files, dirs);
                    dirs.push(path);
                } else {
                    files.push(path);
                }
            }
        }
        let (mut files, mut dirs) = (Vec::new(), Vec::new());
        go(&self.root, &mut files, &mut dirs);
        (files, dirs)
    }

    /// A place for something new: no name that is there already in other letters.
    fn free(&mut self, dirs: &[PathBuf]) -> PathBuf {
        let shallow: Vec<PathBuf> =
            dirs.iter().filter(|dir| dir.strip_prefix(&self.root).unwrap().iter().count() < 4).cloned().collect();
        let at = if self.dice.roll(4) == 0 { None } else { self.pick(&shallow).cloned() };
        let at = at.unwrap_or_else(|| self.root.clone());
        loop {
            let mut name = (*self.pick(&NAMES).unwrap()).to_owned();
            match self.dice.roll(6) {
                0 => name = format!("{name} {}", self.dice.roll(1000)),
                1 => name = format!("{}{}", "漢".repeat(66), self.dice.roll(1000)),
                _ => {}
            }
            let there = fs::read_dir(&at).into_iter().flatten().flatten();
            let taken = there.map(|e| e.file_name().to_string_lossy().to_lowercase()).any(|n| n == name.to_lowercase());
            if !taken {
                return at.join(name);
            }
        }
    }

    fn act(&mut self, act: Act) -> std::io::Result<()> {
        let (files, dirs) = self.all();
        let (file, dir) = (self.pick(&files).cloned(), self.pick(&dirs).cloned());
        let free = self.free(&dirs);
        match (act, file, dir) {
            (Act::Create, ..) => {
                let content = self.content();
                fs::write(free, content)
            }
            (Act::MakeDir, ..) => fs::create_dir_all(free),
            (Act::Edit, Some(file), _) => {
                let content = self.content();
                fs::write(file, content)
            }
            (Act::Append, Some(file), _) => {
                use std::io::Write as _;
                let content = self.content();
                fs::OpenOptions::new().append(true).open(file)?.write_all(content.as_bytes())
            }
            (Act::Truncate, Some(file), _) => {
                let len = fs::metadata(&file)?.len();
                fs::OpenOptions::new().write(true).open(file)?.set_len(len / 2)
            }
            (Act::Rename, Some(file), _) => fs::rename(file, free),
            (Act::Move, Some(file), Some(dir)) => {
                let to = dir.join(file.file_name().unwrap());
                if to.exists() { Ok(()) } else { fs::rename(file, to) }
            }
            (Act::RenameDir, _, Some(dir)) if !free.starts_with(&dir) => fs::rename(dir, free),
            (Act::Swap, Some(file), _) => {
                let Some(other) = self.pick(&files).cloned().filter(|other| *other != file) else { return Ok(()) };
                fs::rename(&file, &free)?;
                fs::rename(&other, &file)?;
                fs::rename(&free, &other)
            }
            (Act::Delete, Some(file), _) => fs::remove_file(file),
            (Act::RemoveTree, _, Some(dir)) => fs::remove_dir_all(dir),
            (Act::DirForFile, Some(file), _) => {
                fs::remove_file(&file)?;
                fs::create_dir(&file)?;
                let content = self.content();
                fs::write(file.join("inside"), content)
            }
            (Act::FileForDir, _, Some(dir)) => {
                fs::remove_dir_all(&dir)?;
                let content = self.content();
                fs::write(dir, content)
            }
            (Act::Letters, Some(file), _) => {
                let name = file.file_name().unwrap().to_str().unwrap();
                let other = if name == name.to_lowercase() { name.to_uppercase() } else { name.to_lowercase() };
                // Nothing is put over another one, and `ß` has no capital of its own.
                let to = file.with_file_name(&other);
                let same = other.to_lowercase() == name.to_lowercase();
                if same && !to.exists() { fs::rename(&file, to) } else { Ok(()) }
            }
            (Act::AtomicSave, Some(file), _) => {
                let content = self.content();
                let new = file.with_file_name(format!(".~{}.tmp", self.saved));
                fs::write(&new, content)?;
                fs::rename(new, file)
            }
            (Act::VimSave, Some(file), _) => {
                let content = self.content();
                let old = file.with_file_name(format!("{}~", self.saved));
                fs::rename(&file, &old)?;
                fs::write(&file, content)?;
                fs::remove_file(old)
            }
            (Act::Touch, Some(file), _) => {
                fs::File::options().append(true).open(file)?.set_modified(std::time::SystemTime::now())
            }
            _ => Ok(()),
        }
    }

    fn work(&mut self, mix: &[(Act, u64)], operations: u64, longest: u64) {
        let sum = mix.iter().map(|(_, weight)| weight).sum();
        for _ in 0..operations {
            let mut roll = self.dice.roll(sum);
            let found = mix.iter().find(|(_, weight)| {
                let hit = roll < *weight;
                roll = roll.saturating_sub(*weight);
                hit
            });
            // The other device, or the daemon, may have been faster.
            let _ = self.act(found.unwrap().0);
            std::thread::sleep(Duration::from_millis(self.dice.roll(longest + 1)));
        }
    }
}

/// Loops that take the processor away, until it is dropped.
struct Busy(Arc<AtomicBool>, Vec<std::thread::JoinHandle<()>>);

impl Busy {
    fn new(loops: u64) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let spin = |over: Arc<AtomicBool>| {
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        };
        let threads = (0..loops).map(|_| spin(Arc::clone(&over))).collect();
        Self(over, threads)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        self.1.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

/// Both devices work at once; then all three sides become equal, and stay so.
fn course(seed: u64, mix: &[(Act, u64)], operations: u64, longest: u64, faults: bool, within: Duration) {
    let mut a = device('a', None);
    let mut b = device('b', Some(&a.world));
    for device in [&mut a, &mut b] {
        device.world.extra = "[safety]\nmax_deletions = 100000\nmax_deletion_share = \"100%\"\n".into();
        device.daemon = Some(device.world.daemon());
    }
    if faults {
        let what = || Effect::Status { code: 500, retry_after: None, body: None };
        for (i, what) in [what(), Effect::DropBefore, Effect::DropAfter].into_iter().enumerate() {
            let when = When::Probability { p: 0.05, seed: seed + i as u64 };
            a.world.standin.faults().add(Fault { route: "*".to_owned(), when, what });
        }
    }
    let hands = |device: &Device, seed: u64| Hands {
        root: device.world.folder.clone(),
        dice: Dice(seed),
        saved: 0,
        who: device.name,
    };
    let (mut ours, mut theirs) = (hands(&a, seed * 2 + 1), hands(&b, seed * 2 + 2));
    std::thread::scope(|scope| {
        scope.spawn(|| ours.work(mix, operations, longest));
        scope.spawn(|| theirs.work(mix, operations, longest));
    });
    a.world.standin.faults().clear();
    let (began, mut since) = (Instant::now(), None);
    let rested = look_for(within, || {
        let (here, there, server) = (views::on_disk(&a.world), views::on_disk(&b.world), views::in_dropbox(&a.world));
        if here != there || here != server {
            since = None;
            approve(&a);
            approve(&b);
            return None;
        }
        (since.get_or_insert_with(Instant::now).elapsed() >= QUIET).then_some(())
    });
    let caught =
        [&a, &b].map(|device| device.world.log().matches("its views differ and nothing was to be done").count());
    let told = |world: &World| {
        let problems = crate::harness::text(&world.command(&["problems"]).output().unwrap());
        format!("nobody knows of {:#?}\n{problems}", views::silent(world))
    };
    if rested.is_none() {
        let sides = [views::on_disk(&a.world), views::on_disk(&b.world), views::in_dropbox(&a.world)];
        let all: std::collections::BTreeSet<&String> = sides.iter().flat_map(|side| side.keys()).collect();
        let differing: Vec<_> =
            all.into_iter().filter(|path| sides.iter().any(|s| s.get(*path) != sides[0].get(*path))).collect();
        if let Some(keep) = std::env::var_os("FERRYBOX_KEEP") {
            for device in [&a, &b] {
                let to = Path::new(&keep).join(format!("{seed}-{}", device.name));
                fs::create_dir_all(&to).unwrap();
                for name in ["state/test/state.db", "state/test/state.db-wal", "daemon.log"] {
                    let _ = fs::copy(device.world.dir.path().join(name), to.join(Path::new(name).file_name().unwrap()));
                }
            }
        }
        panic!(
            "seed {seed}: not equal, caught {caught:?}: {differing:#?}\na: {}\nb: {}",
            told(&a.world),
            told(&b.world)
        );
    }
    eprintln!(
        "seed {seed}: equal after {:.1} s, {} paths, caught {caught:?}",
        began.elapsed().as_secs_f32(),
        views::on_disk(&a.world).len()
    );
    // Both are told once the last row has gone.
    for device in [&a, &b] {
        let none = look_for(Duration::from_secs(20), || views::silent(&device.world).is_empty().then_some(()));
        assert!(none.is_some(), "seed {seed}, {}: {}", device.name, told(&device.world));
    }
    for kind in
        [ViolationKind::OverlappingCommits, ViolationKind::IdenticalListings, ViolationKind::RetryBeforeRetryAfter]
    {
        a.world.standin.forgive(kind);
    }
    a.world.assert_clean();
}

#[test]
#[ignore = "a random course, to be run in numbers (FERRYBOX_SEED): cargo test --test engine devices::mix -- --ignored"]
fn c2_a_mix_of_everything_on_two_busy_devices_ends_equal() {
    let trees = std::env::var("FERRYBOX_MIX").is_ok_and(|mix| mix == "trees");
    let mix: &[(Act, u64)] = if trees { &TREES } else { &PEOPLE };
    let faults = std::env::var_os("FERRYBOX_FAULTS").is_some();
    let _busy = Busy::new(number("FERRYBOX_BUSY", 0));
    let within = Duration::from_secs(number("FERRYBOX_WITHIN", 100));
    course(number("FERRYBOX_SEED", 1), mix, number("FERRYBOX_OPERATIONS", 250), 120, faults, within);
}

/// The short form of it that is always run.
#[test]
fn p5_a_short_mix_on_two_devices_ends_equal() {
    for seed in [1, 2] {
        course(seed, &PEOPLE, 60, 60, false, Duration::from_secs(120));
    }
}
