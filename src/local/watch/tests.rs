use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;

use super::*;
use crate::local::{Scanned, scan};

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

/// Kills the looker's thread, as a bug in it would.
pub(super) fn die_of(task: &Task) {
    let deadly = |hint: &Hint| matches!(hint, Hint::Content(path) if path.as_str() == "kill-the-looker");
    assert!(!matches!(task, Task::Look(hint) if deadly(hint)), "the test asked for it");
}

/// What the daemon does with what is seen, in small: it watches and scans, and notes every path that it would look at.
struct Driver {
    dir: TempDir,
    root: Root,
    ignored: Ignored,
    watcher: Watcher,
    seen: Receiver<Seen>,
    due: BTreeSet<String>,
    log: Vec<Seen>,
}

impl Driver {
    fn start(ignored: fn(&RelPath, bool) -> bool) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), ignored, 64)
    }

    fn start_in(dir: TempDir, ignored: fn(&RelPath, bool) -> bool, room: usize) -> Self {
        let root = Root::open(dir.path()).unwrap();
        let ignored: Ignored = Arc::new(ignored);
        let (sender, seen) = channel(room);
        let watcher = Watcher::start(root.clone(), Arc::clone(&ignored), sender).unwrap();
        let mut driver = Self { dir, root, ignored, watcher, seen, due: BTreeSet::new(), log: Vec::new() };
        driver.scan(&RelPath::root());
        driver.due.clear();
        driver
    }

    fn at(&self, text: &str) -> std::path::PathBuf {
        self.dir.path().join(text)
    }

    fn scan(&mut self, start: &RelPath) {
        let (watcher, due) = (&self.watcher, &mut self.due);
        let mut before_list = |dirs: &[RelPath]| watcher.add_dirs(dirs).unwrap();
        scan(&self.root, &*self.ignored, start, &mut before_list, &mut |scanned| {
            if let Scanned::Dir { dir, files, .. } = scanned {
                due.extend(files.into_iter().map(|(name, _)| dir.child(&name).unwrap().to_string()));
            }
            ControlFlow::Continue(())
        });
    }

    fn take(&mut self, seen: Seen) {
        match &seen {
            Seen::Path(path) => {
                self.due.insert(path.to_string());
            }
            Seen::NewDir(dir) => self.scan(&dir.clone()),
            Seen::GoneDir(_) => {}
            Seen::Rescan { under, .. } => self.scan(&under.clone()),
            Seen::Dead(why) => panic!("{why}"),
        }
        self.log.push(seen);
    }

    /// Takes what comes until `enough` says so.
    async fn until(&mut self, enough: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !enough(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            match timeout(left, self.seen.recv()).await {
                Ok(Some(seen)) => tokio::task::block_in_place(|| self.take(seen)),
                Ok(None) => panic!("the watcher ended; seen: {:?}", self.log),
                Err(_) => panic!("not seen within 30 seconds; due: {}; last: {:?}", self.due.len(), self.log.last()),
            }
        }
    }

    /// Takes everything that the kernel knows of so far: a file made now comes after it.
    async fn settle(&mut self) {
        fs::write(self.at("settled"), "").unwrap();
        self.until(|driver| driver.due.contains("settled")).await;
        fs::remove_file(self.at("settled")).unwrap();
        self.due.remove("settled");
        fs::write(self.at("settled-too"), "").unwrap();
        self.until(|driver| driver.due.contains("settled-too")).await;
        fs::remove_file(self.at("settled-too")).unwrap();
    }

    fn saw(&self, seen: &Seen) -> bool {
        self.log.contains(seen)
    }
}

fn nothing(_: &RelPath, _: bool) -> bool {
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_seen_when_made_written_renamed_and_removed() {
    let mut driver = Driver::start(nothing);
    fs::write(driver.at("a"), "1").unwrap();
    driver.until(|d| d.due.contains("a")).await;
    driver.settle().await;
    driver.due.clear();
    fs::write(driver.at("a"), "2").unwrap();
    driver.until(|d| d.due.contains("a")).await;
    driver.settle().await;
    driver.due.clear();
    fs::rename(driver.at("a"), driver.at("b")).unwrap();
    driver.until(|d| d.due.contains("a") && d.due.contains("b")).await;
    driver.settle().await;
    driver.due.clear();
    fs::remove_file(driver.at("b")).unwrap();
    driver.until(|d| d.due.contains("b")).await;
}

/// F3: the files made right after their directories are found, though the watches came later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f3_deep_new_directories_with_files_at_once() {
    let mut driver = Driver::start(nothing);
    let mut expected = BTreeSet::new();
    for n in 0..100 {
        fs::create_dir_all(driver.at(&format!("{n}/a/b/c"))).unwrap();
        for file in [format!("{n}/f"), format!("{n}/a/f"), format!("{n}/a/b/c/f")] {
            fs::write(driver.at(&file), "x").unwrap();
            expected.insert(file);
        }
    }
    driver.until(|d| expected.is_subset(&d.due)).await;
    driver.settle().await;
    assert_eq!(driver.watcher.watched(), 401);
}

/// F5, F8: a populated directory moved in is found whole; after a rename its watches speak of the new place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_f8_directories_move_with_their_watches() {
    let mut driver = Driver::start(nothing);
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir_all(outside.path().join("x/sub")).unwrap();
    fs::write(outside.path().join("x/sub/f"), "1").unwrap();
    fs::rename(outside.path().join("x"), driver.at("x")).unwrap();
    driver.until(|d| d.due.contains("x/sub/f")).await;
    fs::rename(driver.at("x"), driver.at("y")).unwrap();
    driver.until(|d| d.due.contains("y/sub/f") && d.saw(&Seen::GoneDir(path("x")))).await;
    assert_eq!(driver.watcher.watched(), 3);
    driver.due.clear();
    fs::write(driver.at("y/sub/g"), "1").unwrap();
    driver.until(|d| d.due.contains("y/sub/g")).await;
    // The old name is free for another directory, which is watched on its own.
    fs::create_dir_all(driver.at("x/sub")).unwrap();
    driver.settle().await;
    fs::write(driver.at("x/sub/h"), "1").unwrap();
    driver.until(|d| d.due.contains("x/sub/h")).await;
    fs::rename(driver.at("y"), outside.path().join("gone")).unwrap();
    driver.until(|d| d.saw(&Seen::GoneDir(path("y")))).await;
    assert_eq!(driver.watcher.watched(), 3);
}

/// A directory renamed over an empty one, again and again: the survivor is watched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_renamed_over_another_stays_watched() {
    let mut driver = Driver::start(nothing);
    for n in 0..50 {
        fs::create_dir(driver.at("new")).unwrap();
        fs::create_dir_all(driver.at("place")).unwrap();
        driver.settle().await;
        fs::rename(driver.at("new"), driver.at("place")).unwrap();
        driver.settle().await;
        fs::write(driver.at("place").join(n.to_string()), "x").unwrap();
        driver.until(|d| d.due.contains(&format!("place/{n}"))).await;
        fs::remove_file(driver.at("place").join(n.to_string())).unwrap();
        driver.due.clear();
    }
}

/// F18 and editors' names: nothing is watched below an ignored directory, and nothing ignored is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f18_ignored_paths_are_neither_watched_nor_told() {
    fn ignored(path: &RelPath, _: bool) -> bool {
        path.components().any(|name| name == "node_modules" || name.ends_with(".swp"))
    }
    let mut driver = Driver::start(ignored);
    fs::create_dir_all(driver.at("src/node_modules/deep/er")).unwrap();
    fs::write(driver.at("src/node_modules/deep/f"), "x").unwrap();
    fs::write(driver.at("src/.a.swp"), "x").unwrap();
    fs::write(driver.at("src/a"), "x").unwrap();
    driver.until(|d| d.due.contains("src/a")).await;
    fs::write(driver.at("src/node_modules/g"), "x").unwrap();
    fs::write(driver.at("src/.a.swp"), "y").unwrap();
    fs::remove_file(driver.at("src/.a.swp")).unwrap();
    driver.settle().await;
    assert_eq!(driver.watcher.watched(), 2);
    let told: Vec<&String> = driver.due.iter().filter(|due| !due.starts_with("settled")).collect();
    assert_eq!(told, ["src/a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_ignore_file_asks_for_a_scan_of_its_directory() {
    let mut driver = Driver::start(nothing);
    fs::create_dir(driver.at("d")).unwrap();
    driver.until(|d| d.saw(&Seen::NewDir(path("d")))).await;
    fs::write(driver.at("d/.ferryboxignore"), "*.o\n").unwrap();
    let rescan = Seen::Rescan { under: path("d"), reason: "ignore rules changed" };
    driver.until(|d| d.saw(&rescan) && d.due.contains("d/.ferryboxignore")).await;
}

/// F1, F7: a burst into a receiver that does not listen overflows the kernel's queue or our mailbox. Nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f1_a_burst_of_20000_files_loses_nothing() {
    let mut driver = Driver::start_in(tempfile::tempdir().unwrap(), nothing, 1);
    let mut expected = BTreeSet::new();
    for n in 0..20_000 {
        let file = format!("d{}/e/f{n}", n % 50);
        if n < 50 {
            fs::create_dir_all(driver.at(&file).parent().unwrap()).unwrap();
        }
        fs::write(driver.at(&file), "").unwrap();
        expected.insert(file);
    }
    driver.until(|d| expected.is_subset(&d.due)).await;
    driver.settle().await;
    assert_eq!(driver.watcher.watched(), 101);
    // After an overflow the renewed watches go on.
    fs::write(driver.at("d7/e/later"), "").unwrap();
    driver.until(|d| d.due.contains("d7/e/later")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overflow_renews_every_watch() {
    let mut driver = Driver::start(nothing);
    fs::create_dir_all(driver.at("a/b")).unwrap();
    driver.until(|d| d.watcher.watched() == 3).await;
    driver.watcher.0.mailbox.lose("a test");
    driver.until(|d| d.saw(&Seen::Rescan { under: RelPath::root(), reason: "a test" })).await;
    assert_eq!(driver.watcher.watched(), 3);
    fs::write(driver.at("a/b/f"), "").unwrap();
    driver.until(|d| d.due.contains("a/b/f")).await;
}

/// Q3, F15: the root goes, and that is told apart from its files going.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q3_the_root_itself_goes() {
    let mut driver = Driver::start(nothing);
    let away = driver.dir.path().with_extension("away");
    fs::rename(driver.dir.path(), &away).unwrap();
    driver.until(|d| d.saw(&Seen::Rescan { under: RelPath::root(), reason: "root" })).await;
    assert_eq!(driver.root.still_there(None).unwrap_err().into_failure().code, "root_missing");
    fs::rename(&away, driver.dir.path()).unwrap();
    driver.root.still_there(None).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_watcher_ends_and_a_vanished_directory_is_no_trouble() {
    let mut driver = Driver::start(nothing);
    driver.watcher.add_dirs(&[path("not"), path("there/at-all")]).unwrap();
    assert_eq!(driver.watcher.watched(), 1);
    drop(driver.watcher);
    let end = timeout(Duration::from_secs(30), async { while driver.seen.recv().await.is_some() {} }).await;
    end.unwrap();
}

/// F11: as the daemon does, another watcher takes the dead one's place, and a scan finds what nobody saw.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_a_watcher_that_dies_says_so_and_another_takes_its_place() {
    let mut driver = Driver::start(nothing);
    fs::create_dir(driver.at("d")).unwrap();
    driver.until(|d| d.watcher.watched() == 2).await;
    fs::write(driver.at("kill-the-watcher"), "x").unwrap();
    let dead = async {
        while let Some(seen) = driver.seen.recv().await {
            if matches!(seen, Seen::Dead(_)) {
                return true;
            }
        }
        false
    };
    assert!(timeout(Duration::from_secs(30), dead).await.unwrap(), "its end is told");
    // Nobody sees this one, and the dead one is of no use any more, nor does it take anything along when it goes.
    fs::remove_file(driver.at("kill-the-watcher")).unwrap();
    fs::write(driver.at("d/unseen"), "x").unwrap();
    let (sender, seen) = channel(64);
    let next = Watcher::start(driver.root.clone(), Arc::clone(&driver.ignored), sender).unwrap();
    driver.seen = seen;
    drop(std::mem::replace(&mut driver.watcher, next));
    driver.scan(&RelPath::root());
    assert!(driver.due.contains("d/unseen"), "{:?}", driver.due);
    fs::write(driver.at("d/later"), "x").unwrap();
    driver.until(|d| d.due.contains("d/later")).await;
    assert_eq!(driver.watcher.watched(), 2);
}

/// F16: run in a user namespace whose limit is 5 watches, by `f16_at_the_limit_the_rest_is_named`.
#[test]
#[ignore = "the inner half of f16_at_the_limit_the_rest_is_named, which runs it in a namespace: cargo test --lib f16"]
fn inside_five_watches() {
    let dir = tempfile::tempdir().unwrap();
    let dirs: Vec<RelPath> = (0..8).map(|n| path(&n.to_string())).collect();
    dirs.iter().for_each(|d| fs::create_dir(dir.path().join(d.as_str())).unwrap());
    let (sender, _seen) = channel(8);
    let watcher = Watcher::start(Root::open(dir.path()).unwrap(), Arc::new(nothing), sender).unwrap();
    let trouble = watcher.add_dirs(&dirs).unwrap_err();
    assert!(trouble.is_limit());
    assert_eq!(trouble.unwatched.iter().map(|(dir, _)| dir.clone()).collect::<Vec<_>>(), dirs[5..]);
    assert_eq!(watcher.watched(), 5);
    assert!(trouble.to_string().contains("sysctl user.max_inotify_watches="), "{trouble}");
}

#[test]
#[cfg(target_os = "linux")]
fn f16_at_the_limit_the_rest_is_named() {
    let us = std::env::current_exe().unwrap();
    let script = r#"echo 5 > /proc/sys/user/max_inotify_watches && exec "$0" --ignored --exact local::watch::tests::inside_five_watches"#;
    let output =
        std::process::Command::new("unshare").args(["-Ur", "sh", "-c", script]).arg(Path::new(&us)).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
