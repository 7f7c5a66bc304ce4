//! The real binary against the real stand-in server, over TCP, in a directory of its own.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ferrybox_standin::{Settings, Standin, content_hash};

pub mod cache;
pub mod copies;
pub mod folding;
pub mod fuse;
pub mod namespace;
mod poll;
pub mod preload;
pub mod renames;
pub mod restless;
pub mod socket;
pub mod views;

pub use poll::{PATIENCE, look_for};

// Routes, as the stand-in counts them.
pub const APPEND: &str = "files/upload_session/append_v2";
pub const APPEND_BATCH: &str = "files/upload_session/append_batch";
pub const FINISH_BATCH: &str = "files/upload_session/finish_batch";
pub const CONTINUE: &str = "files/list_folder/continue";
pub const LONGPOLL: &str = "files/list_folder/longpoll";

/// A stand-in, a configuration and a folder.
pub struct World {
    pub dir: tempfile::TempDir,
    pub standin: std::sync::Arc<Standin>,
    pub folder: PathBuf,
    /// More configuration, as TOML, before the accounts.
    pub extra: String,
    pub mode: &'static str,
    /// How long a path rests before it is looked at, as the configuration writes it.
    pub settle: &'static str,
    /// More lines of the folder's table.
    pub folder_extra: String,
    /// More lines of the account's table.
    pub account_extra: String,
}

impl World {
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        let standin = std::sync::Arc::new(Standin::spawn_thread(settings).unwrap());
        Self::on(standin)
    }

    /// Another device of the same account: a directory of its own.
    pub fn sibling(&self) -> Self {
        Self::on(std::sync::Arc::clone(&self.standin))
    }

    fn on(standin: std::sync::Arc<Standin>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("tree");
        std::fs::create_dir(&folder).unwrap();
        Self {
            dir,
            standin,
            folder,
            extra: String::new(),
            mode: "backup",
            settle: "200ms",
            folder_extra: String::new(),
            account_extra: String::new(),
        }
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("run").join("s.sock")
    }

    pub fn config_file(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    pub fn credentials(&self) -> PathBuf {
        self.dir.path().join("credentials.json")
    }

    /// Writes configuration and credentials as they are now.
    pub fn write_config(&self) {
        link(self, &self.standin.refresh_token());
        let text = format!(
            r#"
[daemon]
state_dir = {state:?}
socket = {socket:?}

[watch]
settle = "{settle}"
{extra}
{account}
[[account.folder]]
local = {folder:?}
remote = "/T"
mode = "{mode}"
{folder_extra}
"#,
            state = self.state(),
            socket = self.socket(),
            account = self.account("test", &self.credentials(), &self.account_extra),
            folder = self.folder,
            mode = self.mode,
            settle = self.settle,
            extra = self.extra,
            folder_extra = self.folder_extra,
        );
        // Whole at every moment, too: a daemon that starts just now reads it.
        let new = self.config_file().with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, self.config_file()).unwrap();
    }

    /// An account's table up to its first folder; `extra` is more lines of it.
    pub fn account(&self, name: &str, credentials: &Path, extra: &str) -> String {
        let (credentials, url) = (credentials.display(), self.standin.url());
        format!(
            r#"
[[account]]
name = "{name}"
app_key = "key"
credentials = "file:{credentials}"
{extra}

[account.endpoints]
api = "{url}"
content = "{url}"
notify = "{url}"
web = "{url}"
"#
        )
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferrybox"));
        command
            .arg("--config")
            .arg(self.config_file())
            .args(args)
            .env("NO_COLOR", "1")
            .env("FERRYBOX_HOST", self.host())
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    /// Each world is a device of its own, though all are on this host.
    pub fn host(&self) -> &Path {
        self.dir.path()
    }

    /// `run --once`, with its output.
    pub fn once(&self) -> Output {
        self.write_config();
        self.command(&["--log", &log_level(), "run", "--once"]).output().unwrap()
    }

    /// `run --once` that must end in sync.
    pub fn once_in_sync(&self) {
        let out = self.once();
        let code = out.status.code();
        assert_eq!(
            code,
            Some(0),
            "{}\n{:?}",
            text(&out),
            self.stored("SELECT path || ' ' || state || ' ' || coalesce(text, '') FROM job")
        );
    }

    /// A column of the state database, while no daemon writes to it.
    pub fn stored(&self, query: &str) -> Vec<String> {
        let Ok(conn) = rusqlite::Connection::open(self.state().join("test/state.db")) else { return Vec::new() };
        let Ok(mut select) = conn.prepare(query) else { return Vec::new() };
        let rows = select.query_map([], |r| r.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// Writes these files, each of which holds its own path, starts the daemon, and waits until they are in sync.
    pub fn in_sync_with(&self, paths: &[&str]) -> Daemon {
        for path in paths {
            self.write(path, path);
        }
        let daemon = self.daemon();
        self.until("the files", |s| s.file_count() == paths.len());
        self.until_folder("in_sync");
        daemon
    }

    /// `run`, in the background.
    pub fn daemon(&self) -> Daemon {
        self.write_config();
        self.spawn(self.command(&["--log", &log_level(), "run"]))
    }

    /// `run`, in the background, started by `wrapper`: a command that ends in the program's name.
    pub fn daemon_by(&self, wrapper: Command) -> Daemon {
        self.write_config();
        let mut command = wrapper;
        command
            .arg("--config")
            .arg(self.config_file())
            .arg("run")
            .env("NO_COLOR", "1")
            .env("FERRYBOX_HOST", self.host())
            .env_remove("RUST_LOG");
        self.spawn(command)
    }

    /// Any command as a daemon, with its log where [`World::log`] looks.
    pub fn spawn(&self, mut command: Command) -> Daemon {
        let path = self.dir.path().join("daemon.log");
        let log = std::fs::File::create(&path).unwrap();
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Daemon { child, log: path }
    }

    /// The status, once the daemon answers and it is as it ought to be.
    pub fn until_status(&self, what: &str, mut done: impl FnMut(&serde_json::Value) -> bool) -> serde_json::Value {
        let mut last = String::new();
        let found = look_for(PATIENCE, || {
            let status = socket::get(&self.socket(), "/v1/status").filter(|(code, _)| *code == 200)?.1;
            last = status.to_string();
            Some(status).filter(&mut done)
        });
        found.unwrap_or_else(|| panic!("in vain: {what}\n{last}\n{}", self.log()))
    }

    /// Waits until the only folder is in this state, and gives the reason.
    pub fn until_folder(&self, state: &str) -> String {
        let status = self.until_status(state, |s| s["accounts"][0]["folders"][0]["state"] == state);
        status["accounts"][0]["folders"][0]["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// Deletions that reached the server, in calls.
    pub fn deletions(&self) -> u64 {
        self.standin.calls().iter().filter(|(route, _)| route.contains("delete")).map(|(_, stats)| stats.calls).sum()
    }

    /// Waits for something of the server.
    pub fn until(&self, what: &str, done: impl FnMut(&Standin) -> bool) {
        assert!(self.standin.wait_for_blocking(PATIENCE, done), "in vain: {what}\n{}", self.log());
    }

    /// Waits that long for what must not come to the server.
    pub fn never(&self, what: &str, within: Duration, seen: impl FnMut(&Standin) -> bool) {
        assert!(!self.standin.wait_for_blocking(within, seen), "{what}\n{}", self.log());
    }

    /// As [`World::never`], of what is no event of the server's.
    pub fn never_seen(&self, what: &str, within: Duration, mut seen: impl FnMut() -> bool) {
        assert!(look_for(within, || seen().then_some(())).is_none(), "{what}\n{}", self.log());
    }

    /// Waits for what is no event of the server's: on the disk, in the database, in the log.
    pub fn eventually(&self, what: &str, mut done: impl FnMut() -> bool) {
        let found = look_for(PATIENCE, || done().then_some(()));
        assert!(found.is_some(), "in vain: {what}\n{}", self.log());
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("daemon.log")).unwrap_or_default()
    }

    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Path below the folder -> content hash.
    pub fn disk(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        walk(&self.folder, &self.folder, &mut found);
        found
    }

    /// Path below the remote folder -> content hash.
    pub fn remote(&self) -> BTreeMap<String, String> {
        self.standin
            .files()
            .into_iter()
            .filter_map(|f| Some((f.path_display.strip_prefix("/T/")?.to_owned(), f.content_hash)))
            .collect()
    }

    pub fn assert_equal(&self) {
        assert_eq!(self.disk(), self.remote());
    }

    /// Every test ends with this.
    pub fn assert_clean(&self) {
        assert!(self.standin.violations().is_empty(), "{:#?}", self.standin.violations());
    }
}

fn walk(root: &Path, dir: &Path, found: &mut BTreeMap<String, String>) {
    // The daemon may be at work in there: what has gone meanwhile is gone.
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        let Ok(kind) = path.symlink_metadata().map(|m| m.file_type()) else { continue };
        if path.ends_with(".ferrybox") {
            continue;
        }
        if kind.is_dir() {
            walk(root, &path, found);
        } else if kind.is_file() {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let Ok(bytes) = std::fs::read(&path) else { continue };
            found.insert(name, content_hash(&bytes));
        }
    }
}

/// Of the daemons that tests start.
fn log_level() -> String {
    std::env::var("HARNESS_LOG").unwrap_or_else(|_| "info".into())
}

/// As `ferrybox link` leaves it: another token in the world's credentials.
pub fn link(world: &World, refresh_token: &str) {
    write_secret(&world.credentials(), refresh_token);
}

/// A credentials file, whole at every moment: a daemon that runs looks at it, too.
pub fn write_secret(path: &Path, refresh_token: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, format!(r#"{{"refresh_token": "{refresh_token}", "app_key": "key"}}"#)).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(&new, path).unwrap();
}

/// What a command prints that must succeed, run in the folder.
pub fn told(world: &World, args: &[&str]) -> String {
    let mut command = world.command(args);
    let out = command.current_dir(&world.folder).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    String::from_utf8(out.stdout).unwrap()
}

/// As [`told`], of a command that prints JSON.
pub fn json(world: &World, args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&told(world, args)).unwrap()
}

pub fn text(out: &Output) -> String {
    format!("{}\n{}\n{}", out.status, String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// A running daemon; killed when dropped.
pub struct Daemon {
    pub child: Child,
    pub log: PathBuf,
}

impl Daemon {
    /// SIGTERM, and how it ended.
    pub fn stop(mut self) -> (Option<i32>, Duration) {
        let began = Instant::now();
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let code = self.child.wait().unwrap().code();
        (code, began.elapsed())
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn wait_for_socket(world: &World) {
    world.eventually("the socket", || std::os::unix::net::UnixStream::connect(world.socket()).is_ok());
}

pub fn status(world: &World) -> serde_json::Value {
    wait_for_socket(world);
    let out = world.command(&["status", "--json"]).output().unwrap();
    serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", text(&out)))
}

/// A two-way folder with that many files in `d`, and nine that stay.
pub fn two_way(files: usize) -> World {
    let mut world = World::new();
    world.mode = "two-way";
    for i in 0..files {
        world.write(&format!("d/{i:03}"), format!("{i}"));
    }
    for i in 0..9 {
        world.write(&format!("keep/{i}"), format!("{i}"));
    }
    world
}
