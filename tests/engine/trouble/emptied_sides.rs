//! Both directions, and one side that seems to be empty all of a sudden: unmounted, emptied, or listed as empty. At whatever moment it happens, nothing
//! is deleted on the other side.
//!
//! `FERRYBOX_LONG=1` tries 200 moments instead of 40.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::pause;
use crate::harness::World;
use crate::harness::namespace::Namespace;
use ferrybox_standin::{Effect, Fault, Standin};
use serde_json::Value;

const FOLDERS: usize = 10;
/// A wrong belief would reach the other side this long after the loss: the look, the deletions' rest, and a good second.
const LONG_ENOUGH: Duration = Duration::from_millis(4_500);

fn name(i: usize) -> String {
    format!("f{i}")
}

fn states(status: &Value) -> Vec<&str> {
    let folders = status["accounts"][0]["folders"].as_array().unwrap();
    folders.iter().skip(1).map(|f| f["state"].as_str().unwrap()).collect()
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").args(["-a", "--"]).arg(from.join(".")).arg(to).status().unwrap();
    assert!(status.success());
}

/// What the synced folders hold here, by path.
fn here(disks: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(at: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(at).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                if !path.ends_with(".ferrybox") {
                    walk(&path, found);
                }
            } else if let Ok(bytes) = fs::read(&path) {
                found.insert(path, bytes);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(disks, &mut found);
    found
}

struct Trial {
    world: World,
    namespace: Namespace,
    trees: PathBuf,
    disks: PathBuf,
}

impl Trial {
    fn new() -> Self {
        let namespace = Namespace::new();
        let mut world = World::new();
        world.mode = "two-way";
        let (trees, disks) = (world.dir.path().join("trees"), world.dir.path().join("disks"));
        for i in 0..FOLDERS {
            fs::create_dir_all(trees.join(name(i))).unwrap();
            fs::create_dir_all(disks.join(name(i))).unwrap();
            world.folder_extra.push_str(&format!(
                "\n[[account.folder]]\nlocal = {:?}\nremote = \"/T-{}\"\nmode = \"two-way\"\n",
                trees.join(name(i)),
                name(i)
            ));
        }
        Self { world, namespace, trees, disks }
    }

    fn bind(&self, i: usize) {
        let (disk, tree) = (self.disks.join(name(i)), self.trees.join(name(i)));
        self.namespace.run(&format!("mount --bind {} {}", disk.display(), tree.display()));
    }

    /// News on both sides, so that the moment falls into work.
    fn news(&self, round: usize) {
        for i in 0..FOLDERS {
            let sub = self.disks.join(name(i)).join(format!("d{}", round % 3));
            fs::create_dir_all(&sub).unwrap();
            for n in 0..6 {
                fs::write(sub.join(format!("up{round}-{n}")), vec![b'u'; 1 + n * 997]).unwrap();
                let text = format!("{round} {n}");
                self.world.standin.write(&format!("/T-{}/d{}/down{round}-{n}", name(i), n % 3), text);
            }
        }
    }

    /// Waits until every folder is in sync and holds the same on both sides. Whatever is held, a person says no to.
    fn rest(&self, what: &str) {
        let rested = crate::harness::look_for(crate::harness::PATIENCE * 2, || {
            let held = crate::harness::json(&self.world, &["approve", "--json"]);
            for one in held["items"].as_array().into_iter().flatten() {
                self.world.command(&["reject", one["token"].as_str().unwrap()]).output().unwrap();
            }
            let status = crate::harness::status(&self.world);
            (states(&status).iter().all(|state| *state == "in_sync") && self.differing().is_empty()).then_some(())
        });
        let told = || crate::harness::told(&self.world, &["status"]) + &crate::harness::told(&self.world, &["plan"]);
        assert!(rested.is_some(), "{what}: {:?}\n{}\n{}", self.differing(), told(), self.world.log());
    }

    /// Paths that only one side has, or both with different contents.
    fn differing(&self) -> Vec<String> {
        let mut here: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (path, bytes) in self::here(&self.disks) {
            here.insert(format!("/T-{}", path.strip_prefix(&self.disks).unwrap().display()), bytes);
        }
        let files = self.world.standin.files().into_iter();
        let there: BTreeMap<String, Vec<u8>> = files
            .map(|f| (f.path_display.clone(), self.world.standin.content(&f.path_display).unwrap().to_vec()))
            .collect();
        let all: std::collections::BTreeSet<&String> = here.keys().chain(there.keys()).collect();
        all.into_iter().filter(|path| here.get(*path) != there.get(*path)).cloned().collect()
    }

    /// The disks go or are emptied, each at a moment of its own, and come back.
    fn disks_go(&self, round: usize) {
        let copies = self.world.dir.path().join("copies");
        let _ = fs::remove_dir_all(&copies);
        let unmounted = |i: usize| (i + round / 2).is_multiple_of(2);
        self.news(round);
        for i in 0..FOLDERS {
            pause(60);
            let (disk, tree) = (self.disks.join(name(i)), self.trees.join(name(i)));
            if unmounted(i) {
                self.namespace.run(&format!("umount --lazy {}", tree.display()));
                continue;
            }
            fs::create_dir_all(copies.join(name(i))).unwrap();
            for entry in fs::read_dir(&disk).unwrap() {
                let path: PathBuf = entry.unwrap().path();
                if !path.ends_with(".ferrybox") {
                    // Whatever comes down while it is emptied is emptied, too; the copy holds it or Dropbox does.
                    copy(&path, &{
                        let to = copies.join(name(i)).join(path.file_name().unwrap());
                        fs::create_dir_all(&to).unwrap();
                        to
                    });
                    let _ = fs::remove_dir_all(path);
                }
            }
        }
        let deleted = |s: &Standin| s.calls().keys().any(|route| route.contains("delete"));
        let none = !self.world.standin.wait_for_blocking(LONG_ENOUGH, deleted);
        assert!(none, "round {round}: a deletion reached the server\n{}", self.world.log());
        for i in 0..FOLDERS {
            if unmounted(i) {
                assert_eq!(fs::read_dir(self.trees.join(name(i))).unwrap().count(), 0, "made on the mount point");
                self.bind(i);
            } else {
                copy(&copies.join(name(i)), &self.disks.join(name(i)));
            }
        }
        self.rest(&format!("round {round}"));
    }

    /// Dropbox loses its cursors and lists every folder as empty, for a while.
    fn listings_are_empty(&self, round: usize) {
        self.news(round);
        pause(1_500);
        let before = here(&self.disks);
        let body = r#"{"entries": [], "cursor": "of-an-outage", "has_more": false}"#.to_owned();
        let outage = Effect::Status { code: 200, retry_after: None, body: Some(body) };
        let faults = self.world.standin.faults();
        faults.add(Fault::always("files/list_folder", outage.clone()));
        faults.add(Fault::always("files/list_folder/continue", outage));
        faults.add(Fault::always(crate::harness::LONGPOLL, Effect::Stall(LONG_ENOUGH * 2)));
        self.world.standin.reset_cursors();
        // The outage itself.
        std::thread::sleep(LONG_ENOUGH);
        let after = here(&self.disks);
        for (path, bytes) in &before {
            assert_eq!(after.get(path), Some(bytes), "round {round}: {}\n{}", path.display(), self.world.log());
        }
        faults.clear();
        self.world.standin.reset_cursors();
        self.rest(&format!("round {round}"));
    }
}

#[test]
fn q2_q3_q4_e4_a_side_that_is_empty_all_of_a_sudden_deletes_nothing_on_the_other() {
    let rounds = if std::env::var_os("FERRYBOX_LONG").is_some() { 20 } else { 4 };
    let trial = Trial::new();
    for i in 0..FOLDERS {
        trial.bind(i);
    }
    let daemon = trial.world.daemon_by(trial.namespace.command(env!("CARGO_BIN_EXE_ferrybox")));
    crate::harness::wait_for_socket(&trial.world);
    trial.news(0);
    trial.rest("the first files");
    for round in 1..=rounds {
        if round % 2 == 0 { trial.listings_are_empty(round) } else { trial.disks_go(round) }
    }
    assert_eq!(trial.world.deletions(), 0);
    // Nothing was lost, and nothing was sent back and forth: both sides hold every file that was ever made.
    assert_eq!(trial.world.standin.file_count(), FOLDERS * 12 * (rounds + 1));
    assert_eq!(daemon.stop().0, Some(0));
}
