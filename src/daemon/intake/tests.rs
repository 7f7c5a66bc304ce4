//! The whole daemon in this process, against the stand-in server: here its threads can be made to break off.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ferrybox_standin::{Settings, Standin};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, LoadOptions, Surroundings};
use crate::daemon::{self, End, RunOptions};
use crate::model::status::{FolderState, Status};

const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    dir: TempDir,
    standin: Standin,
    status: watch::Receiver<Status>,
    stop: CancellationToken,
    daemon: JoinHandle<End>,
}

impl World {
    fn start(rescan: &str) -> Self {
        let standin = Standin::spawn_thread(Settings::default()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tree")).unwrap();
        let file = dir.path().join("config.toml");
        fs::write(&file, toml(dir.path(), &standin, rescan)).unwrap();
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
        let daemon = tokio::spawn(daemon::run(config, RunOptions { once: false }, tx, stop.clone()));
        Self { dir, standin, status, stop, daemon }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join("tree").join(name)
    }

    async fn arrives(&self, name: &str) {
        fs::write(self.at(name), name).unwrap();
        let arrived = async {
            while self.standin.file(&format!("/T/{name}")).is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, arrived).await.unwrap_or_else(|_| panic!("in vain: {name}\n{:#?}", self.status.borrow()));
    }

    /// Waits until the folder is in this state, for a reason with these words.
    async fn folder(&mut self, state: FolderState, words: &str) {
        let there = self.status.wait_for(|status| {
            let folder = status.accounts.first().and_then(|account| account.folders.first());
            folder.is_some_and(|f| f.state == state && f.reason.clone().unwrap_or_default().contains(words))
        });
        timeout(PATIENCE, there).await.unwrap().unwrap();
    }

    async fn end(self) {
        self.stop.cancel();
        assert_eq!(timeout(PATIENCE, self.daemon).await.unwrap().unwrap(), End::InSync);
        assert!(self.standin.violations().is_empty());
    }
}

fn toml(dir: &Path, standin: &Standin, rescan: &str) -> String {
    let (state, socket, tree) = (dir.join("state"), dir.join("run/s.sock"), dir.join("tree"));
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
        let gone = async {
            while world.standin.file("/T/later").is_some() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, gone).await.unwrap();
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
