//! The whole daemon in this process, against the stand-in server: here its threads can be made to break off.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ferrybox_standin::{Settings, Standin};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, LoadOptions, Surroundings};
use crate::daemon::{self, End, RunOptions};
use crate::model::status::{FolderState, Status};

const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    dir: TempDir,
    tree: &'static str,
    standin: Standin,
    status: watch::Receiver<Status>,
    stop: CancellationToken,
    daemon: JoinSet<End>,
}

impl World {
    fn start(rescan: &str) -> Self {
        Self::start_in("tree", rescan)
    }

    fn start_in(tree: &'static str, rescan: &str) -> Self {
        let standin = Standin::spawn_thread(Settings::default()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(tree)).unwrap();
        let file = dir.path().join("config.toml");
        fs::write(&file, toml(dir.path(), tree, &standin, rescan)).unwrap();
        let surroundings = Surroundings { home: dir.path().to_owned(), ..Surroundings::default() };
        let options = LoadOptions {
            file: Some(file),
            log_level: None,
            surroundings,
            look_at_disk: true,
            folders_may_be_missing: false,
        };
        let config = Config::load(&options).unwrap().config;
        let (tx, status) = watch::channel(Status::default());
        let stop = CancellationToken::new();
        let mut daemon = JoinSet::new();
        daemon.spawn(daemon::run(config, RunOptions { once: false }, tx, stop.clone(), std::sync::Arc::default()));
        Self { dir, tree, standin, status, stop, daemon }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(self.tree).join(name)
    }

    async fn arrives(&self, name: &str) {
        fs::write(self.at(name), name).unwrap();
        let arrived = self.standin.wait_for(PATIENCE, |s| s.file(&format!("/T/{name}")).is_some()).await;
        assert!(arrived, "in vain: {name}\n{:#?}", self.status.borrow());
    }

    /// Waits until the folder is in this state, for a reason with these words.
    async fn folder(&mut self, state: FolderState, words: &str) {
        let there = self.status.wait_for(|status| {
            let folder = status.accounts.first().and_then(|account| account.folders.first());
            folder.is_some_and(|f| f.state == state && f.reason.clone().unwrap_or_default().contains(words))
        });
        timeout(PATIENCE, there).await.unwrap().unwrap();
    }

    async fn end(mut self) {
        self.stop.cancel();
        let ended = timeout(PATIENCE, self.daemon.join_next()).await.unwrap();
        assert_eq!(ended.unwrap().unwrap(), End::InSync);
        assert!(self.standin.violations().is_empty());
    }
}

fn toml(dir: &Path, tree: &str, standin: &Standin, rescan: &str) -> String {
    let (state, socket, tree) = (dir.join("state"), dir.join("run/s.sock"), dir.join(tree));
    let credentials = dir.join("credentials.json");
    fs::write(&credentials, format!(r#"{{"refresh_token": "{}", "app_key": "key"}}"#, standin.refresh_token()))
        .unwrap();
    fs::set_permissions(&credentials, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let (credentials, url) = (credentials.display(), standin.url());
    format!(
        r#"
        daemon = {{ state_dir = {state:?}, socket = {socket:?} }}
        watch = {{ settle = "200ms", rescan = "{rescan}" }}
        [[account]]
        name = "test"
        app_key = "key"
        credentials = "file:{credentials}"
        endpoints = {{ api = "{url}", content = "{url}", notify = "{url}", web = "{url}" }}
        [[account.folder]]
        local = {tree:?}
        remote = "/T"
        mode = "mirror"
        "#
    )
}

/// Neither of its two threads may break off unnoticed: another watcher follows, and a scan finds what nobody saw.
#[tokio::test(flavor = "multi_thread")]
async fn f11_a_watcher_that_dies_is_replaced_and_no_change_is_missed() {
    for deadly in ["kill-the-watcher", "kill-the-looker"] {
        let mut world = World::start("1h");
        world.arrives("before").await;
        world.folder(FolderState::InSync, "").await;
        fs::write(world.at(deadly), "x").unwrap();
        fs::write(world.at("unseen"), "x").unwrap();
        world.arrives(deadly).await;
        // Nothing but a watcher tells of this one: the next scan by itself is an hour away.
        world.folder(FolderState::InSync, "").await;
        world.arrives("later").await;
        fs::remove_file(world.at("later")).unwrap();
        assert!(world.standin.wait_for(PATIENCE, |s| s.file("/T/later").is_none()).await);
        assert!(world.standin.file("/T/unseen").is_some());
        world.end().await;
    }
}

/// One that dies again at once is not started again and again: the folder is scanned meanwhile, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn f11_a_watcher_that_dies_again_and_again_is_left_alone_for_a_while_and_the_folder_scanned() {
    let mut world = World::start("2s");
    world.arrives("before").await;
    world.folder(FolderState::InSync, "").await;
    fs::write(world.at("kill-the-looker"), "x").unwrap();
    world.arrives("between").await;
    fs::write(world.at("kill-the-looker"), "xx").unwrap();
    world.folder(FolderState::DegradedWatch, "broke off): the folder is scanned every minute").await;
    world.arrives("found-by-a-scan").await;
    // Later there is a watcher again.
    world.folder(FolderState::InSync, "").await;
    world.arrives("after").await;
    world.end().await;
}

/// Path below the folder -> content hash.
fn on_disk(dir: &Path, below: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let name = format!("{below}{}", entry.file_name().into_string().unwrap());
        if entry.path().is_dir() && name != ".ferrybox" {
            on_disk(&entry.path(), &format!("{name}/"), found);
        } else if entry.path().is_file() && !name.ends_with(".swp") {
            found.insert(name, ferrybox_standin::content_hash(&fs::read(entry.path()).unwrap()));
        }
    }
}

/// F6: events are hints to look. Late, doubled, out of order, torn apart, or lost (then the next scan finds it): what is there is what counts.
#[tokio::test(flavor = "multi_thread")]
async fn f6_events_in_any_order_end_in_what_the_disk_holds() {
    for (tree, rescan) in [("mixed-up", "1h"), ("mixed-up-and-lost", "2s")] {
        let mut world = World::start_in(tree, rescan);
        for i in 0..40 {
            fs::write(world.at(&format!("still-{i}")), format!("{i}")).unwrap();
        }
        for dir in ["d0", "d1"] {
            fs::create_dir(world.at(dir)).unwrap();
        }
        let mut dice = 11_u64;
        let mut roll = |below: usize| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(dice >> 33).unwrap() % below
        };
        for step in 0..200 {
            let dir = ["", "d0/", "d1/", "d2/", "d0/in/"][roll(5)];
            let (one, other) = (format!("{dir}f{}", roll(5)), format!("{}f{}", ["", "d0/", "d1/"][roll(3)], roll(5)));
            // Not all of them are possible at each moment, and that is all right.
            let _ = match roll(10) {
                0..=4 => fs::write(world.at(&one), format!("{step}")),
                5 | 6 => fs::rename(world.at(&one), world.at(&other)),
                7 => fs::remove_file(world.at(&one)),
                8 => fs::rename(world.at(["d0", "d1", "d2"][roll(3)]), world.at(["d0", "d1", "d2"][roll(3)])),
                _ => fs::create_dir(world.at(["d0", "d1", "d2", "d0/in"][roll(4)])),
            };
            tokio::time::sleep(Duration::from_millis(u64::try_from(roll(30)).unwrap())).await;
        }
        // Others push the last events out. What is told by none of them is nobody's file.
        for _ in 0..20 {
            fs::write(world.at(".noise.swp"), "x").unwrap();
            fs::remove_file(world.at(".noise.swp")).unwrap();
        }
        let mut disk = BTreeMap::new();
        on_disk(&world.at(""), "", &mut disk);
        let there = || -> BTreeMap<String, String> {
            let files = world.standin.files().into_iter();
            files.map(|f| (f.path_display.trim_start_matches("/T/").to_owned(), f.content_hash)).collect()
        };
        assert!(
            world.standin.wait_for(PATIENCE, |_| there() == disk).await,
            "{tree}: {:#?}\n{disk:#?}\n{:#?}",
            there(),
            world.status.borrow()
        );
        world.folder(FolderState::InSync, "").await;
        world.end().await;
    }
}
