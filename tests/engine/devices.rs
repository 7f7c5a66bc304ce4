//! Two daemons with two folders on one account: whatever both do at once, all three sides end equal, and nobody's last word is lost.
//!
//! `cargo test --test engine devices:: -- --ignored`; `FERRYBOX_LONG=1` runs 2,000 operations a side, `FERRYBOX_SEED=N` another course.

mod mix;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::harness::{self, Daemon, World, look_for};
use ferrybox_standin::{Effect, Fault, Settings, Standin, ViolationKind, When};

/// The sides are equal when they have been for so long.
const QUIET: Duration = Duration::from_secs(3);

/// A small generator: the same course for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// One device: a folder, a configuration, a daemon.
struct Device {
    world: World,
    daemon: Option<Daemon>,
    /// Content of every save that its own author has not overwritten or deleted.
    mine: BTreeSet<String>,
    saved: u64,
    name: char,
}

impl Device {
    fn write(&mut self, path: &Path) {
        self.saved += 1;
        let content = format!("{} {} {}\n", self.name, self.saved, path.display());
        let at = self.world.folder.join(path);
        if at.is_dir() || fs::create_dir_all(at.parent().unwrap()).is_err() {
            return;
        }
        let before = fs::read_to_string(&at);
        if fs::write(&at, &content).is_ok() {
            self.mine.retain(|one| before.as_ref().ok() != Some(one));
            self.mine.insert(content);
        }
    }

    /// What a person's eyes take for the same name is one: `a` is not made beside `A`.
    fn spelt(&self, path: &Path) -> PathBuf {
        let mut at = PathBuf::new();
        for name in path {
            let there = fs::read_dir(self.world.folder.join(&at)).into_iter().flatten().flatten();
            let twin = there.map(|e| e.file_name()).find(|n| n.eq_ignore_ascii_case(name));
            at.push(twin.unwrap_or_else(|| name.to_owned()));
        }
        at
    }

    fn rename(&self, from: &Path, to: &Path) -> bool {
        let (at, target) = (self.world.folder.join(from), self.world.folder.join(to));
        let free = at.symlink_metadata().is_ok() && target.symlink_metadata().is_err() && !to.starts_with(from);
        free && fs::create_dir_all(target.parent().unwrap()).is_ok() && fs::rename(&at, &target).is_ok()
    }

    fn remove(&mut self, path: &Path) -> bool {
        let at = self.world.folder.join(path);
        let (dir, before) = (at.is_dir(), contents_of(&at));
        let done = if dir { fs::remove_dir_all(&at) } else { fs::remove_file(&at) }.is_ok();
        let left = contents_of(&at);
        self.mine.retain(|one| !before.contains(one) || left.contains(one));
        done
    }

    fn act(&mut self, dice: &mut Dice) {
        let names = ["a", "b", "c", "d"];
        let pick = |device: &Self, dice: &mut Dice| {
            let mut path = PathBuf::new();
            for _ in 0..=dice.roll(3) {
                path.push(names[usize::try_from(dice.roll(4)).unwrap()]);
            }
            device.spelt(&path)
        };
        let path = pick(self, dice);
        let at = self.world.folder.join(&path);
        match dice.roll(14) {
            0..=5 => self.write(&path),
            6 if at.is_file() => drop(self.remove(&path)),
            7 if at.is_dir() => drop(self.remove(&path)),
            8 => drop(fs::create_dir_all(&at)),
            // A file for a folder, or a folder for a file.
            9 => {
                let was_dir = at.is_dir();
                if self.remove(&path) {
                    self.write(&if was_dir { path } else { path.join("a") });
                }
            }
            // Other letters.
            10 => {
                let name = path.file_name().unwrap().to_str().unwrap();
                let other = if name == name.to_lowercase() { name.to_uppercase() } else { name.to_lowercase() };
                self.rename(&path, &path.with_file_name(other));
            }
            // Two change places.
            11 => {
                let other = pick(self, dice);
                let apart = !other.starts_with(&path) && !path.starts_with(&other);
                let aside = path.with_file_name("aside");
                if apart && self.world.folder.join(&other).exists() && self.rename(&path, &aside) {
                    self.rename(&other, &path);
                    self.rename(&aside, &other);
                }
            }
            12..=13 => {
                let to = pick(self, dice);
                self.rename(&path, &to);
            }
            _ => {}
        }
    }

    fn contents(&self) -> BTreeSet<String> {
        contents_of(&self.world.folder)
    }

    fn trash(&self) -> BTreeSet<String> {
        contents_of(&self.world.folder.join(".ferrybox/trash"))
    }
}

fn contents_of(at: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if at.is_dir() {
        walk(at, &mut |path| found.extend(fs::read_to_string(path)));
    } else {
        found.extend(fs::read_to_string(at));
    }
    found
}

fn walk(at: &Path, take: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(at).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.ends_with(".ferrybox") {
            continue;
        }
        if path.is_dir() { walk(&path, take) } else { take(&path) }
    }
}

fn dirs(root: &Path) -> BTreeSet<String> {
    fn go(root: &Path, at: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(at).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with(".ferrybox") {
                found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
                go(root, &path, found);
            }
        }
    }
    let mut found = BTreeSet::new();
    go(root, root, &mut found);
    found
}

fn device(name: char, first: Option<&World>) -> Device {
    let mut world = match first {
        None => World::with(Settings { longpoll_limit: Some(Duration::from_secs(2)), ..Settings::default() }),
        Some(first) => first.sibling(),
    };
    world.mode = "two-way";
    // Everything here is small, and everything goes: the guard is not what is tried.
    world.extra = "rescan = \"5s\"\n[safety]\nmax_deletions = 100000\nmax_deletion_share = \"100%\"\n".into();
    Device { world, daemon: None, mine: BTreeSet::new(), saved: 0, name }
}

/// What a device has, under the names that Dropbox tells apart. A name that it does not tell from another one is a problem, and lies on one disk only.
fn folded(paths: impl IntoIterator<Item = (String, String)>, but: &BTreeSet<String>) -> BTreeMap<String, String> {
    paths.into_iter().filter(|(path, _)| !but.contains(path)).map(|(path, what)| (path.to_lowercase(), what)).collect()
}

/// Paths that a device calls a clash of names.
fn clashes(device: &Device) -> BTreeSet<String> {
    let out = device.world.command(&["problems", "--json"]).output().unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
    let clash = |problem: &&serde_json::Value| problem["code"] == "case_clash";
    let problems = listed["items"].as_array().into_iter().flatten().filter(clash);
    problems.filter_map(|problem| problem["path"].as_str().map(str::to_owned)).collect()
}

fn sides_agree(standin: &Standin, a: &Device, b: &Device) -> Result<(), String> {
    let (mine, theirs) = (clashes(a), clashes(b));
    let (here, there) = (folded(a.world.disk(), &mine), folded(b.world.disk(), &theirs));
    let server = folded(a.world.remote(), &BTreeSet::new());
    if here != there || here != server {
        return Err(format!("files:\na {here:#?}\nb {there:#?}\nserver {server:#?}"));
    }
    let lower = |paths: BTreeSet<String>| paths.into_iter().map(|path| path.to_lowercase()).collect::<BTreeSet<_>>();
    let folders = standin.folders().into_iter().filter_map(|f| f.strip_prefix("/T/").map(str::to_owned)).collect();
    let (da, db, folders) = (lower(dirs(&a.world.folder)), lower(dirs(&b.world.folder)), lower(folders));
    if da != db || da != folders {
        return Err(format!("directories:\na {da:?}\nb {db:?}\nserver {folders:?}"));
    }
    Ok(())
}

/// Whatever is held is let through: a small folder that loses all it has is a mass deletion, too.
fn approve(device: &Device) {
    let held = device.world.command(&["approve", "--json"]).output().unwrap();
    let held: serde_json::Value = serde_json::from_slice(&held.stdout).unwrap_or_default();
    for one in held["items"].as_array().or(held.as_array()).into_iter().flatten() {
        let token = one["token"].as_str().unwrap_or_default();
        device.world.command(&["approve", token]).output().unwrap();
    }
}

#[test]
#[ignore = "a random course, to be run in numbers (FERRYBOX_SEED): cargo test --test engine devices:: -- --ignored"]
fn p5_two_devices_end_equal_and_lose_nothing() {
    let long = std::env::var_os("FERRYBOX_LONG").is_some();
    let seed = std::env::var("FERRYBOX_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let operations = if long { 2000 } else { 120 };
    let mut dice = Dice(seed);
    let mut a = device('a', None);
    let mut b = device('b', Some(&a.world));
    for device in [&mut a, &mut b] {
        device.daemon = Some(device.world.daemon());
    }
    // One call in five goes wrong.
    let faults = [
        Effect::Status { code: 500, retry_after: None, body: None },
        Effect::DropBefore,
        Effect::DropAfter,
        Effect::Status { code: 429, retry_after: None, body: None },
    ];
    for (i, what) in faults.into_iter().enumerate() {
        let seed = seed + i as u64;
        a.world.standin.faults().add(Fault { route: "*".to_owned(), when: When::Probability { p: 0.055, seed }, what });
    }
    for i in 0..operations {
        a.act(&mut dice);
        b.act(&mut dice);
        // Bursts, and pauses of the course's own in which the daemons get somewhere.
        if i % 10 == 9 {
            std::thread::sleep(Duration::from_millis(dice.roll(1500)));
        }
    }
    a.world.standin.faults().clear();
    let standin = &a.world.standin;
    let within = Duration::from_secs(if long { 600 } else { 150 });
    let (mut since, mut agreed) = (None, Ok(()));
    let rested = look_for(within, || {
        agreed = sides_agree(standin, &a, &b);
        if agreed.is_err() {
            since = None;
            approve(&a);
            approve(&b);
            return None;
        }
        (since.get_or_insert_with(Instant::now).elapsed() >= QUIET).then_some(())
    });
    if rested.is_none() {
        let problems = |d: &Device| {
            ["problems", "status", "plan"].map(|c| harness::text(&d.world.command(&[c]).output().unwrap())).concat()
        };
        panic!("seed {seed}: {agreed:?}\na: {}\nb: {}", problems(&a), problems(&b));
    }
    // What somebody saved, and did not overwrite, rename over or delete, is on both disks, or in a trash.
    let (here, there) = (a.contents(), b.contents());
    let trash: BTreeSet<String> = a.trash().into_iter().chain(b.trash()).collect();
    let mut copies = 0;
    for device in [&a, &b] {
        for content in &device.mine {
            let on_both = here.contains(content) && there.contains(content);
            copies += u64::from(on_both);
            assert!(
                on_both || trash.contains(content),
                "seed {seed}: {} saved {content:?}, and it is nowhere",
                device.name
            );
        }
    }
    eprintln!(
        "seed {seed}: {} files, {} of the last saves on both disks, {} in a trash",
        here.len(),
        copies,
        trash.len()
    );
    // Two devices commit and list when they like: no daemon can know of the other's.
    for kind in
        [ViolationKind::OverlappingCommits, ViolationKind::IdenticalListings, ViolationKind::RetryBeforeRetryAfter]
    {
        standin.forgive(kind);
    }
    a.world.assert_clean();
}
