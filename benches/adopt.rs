//! What a first meeting costs where both sides hold the same: `cargo bench --bench adopt [FILES]`. Starts the real program, in two-way mode, against the
//! stand-in on loopback, and prints a table: adoption, a restart, and a meeting made anew because the two remember different pasts.
//!
//! "MiB read" is what the process read in all (`rchar`), its database and the listing included, less what it read while it met an empty folder. The
//! files have 16 KiB each: 1,563 MiB for 100,000 of them, so that a life that reads them cannot hide it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::cast_precision_loss
)]

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ferrybox_standin::{Contents, Settings, Standin};

const SIZE: usize = 16 << 10;

struct Bench {
    dir: tempfile::TempDir,
    standin: Standin,
}

impl Bench {
    fn new(files: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let standin = Standin::spawn_thread(Settings { contents: Contents::HashOnly, ..Settings::default() }).unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        standin.make_folder("/T");
        let mut content = vec![b'x'; SIZE];
        for i in 0..files {
            let sub = format!("d{}", i / 100);
            if i % 100 == 0 {
                std::fs::create_dir(tree.join(&sub)).unwrap();
            }
            write!(&mut content[..8], "{i:08}").unwrap();
            std::fs::write(tree.join(&sub).join(format!("f{i}")), &content).unwrap();
            standin.write(&format!("/T/{sub}/f{i}"), content.clone());
        }
        let credentials = dir.path().join("credentials.json");
        let secret = format!(r#"{{"refresh_token": "{}", "app_key": "k"}}"#, standin.refresh_token());
        std::fs::write(&credentials, secret).unwrap();
        std::fs::set_permissions(&credentials, std::fs::Permissions::from_mode(0o600)).unwrap();
        let url = standin.url();
        let config = format!(
            "[daemon]\nstate_dir = {:?}\nsocket = {:?}\n[[account]]\nname = \"bench\"\napp_key = \"k\"\ncredentials = \"file:{}\"\n\
             [account.endpoints]\napi = {url:?}\ncontent = {url:?}\nnotify = {url:?}\nweb = {url:?}\n\
             [[account.folder]]\nlocal = {tree:?}\nremote = \"/T\"\nmode = \"two-way\"\n",
            dir.path().join("state"),
            dir.path().join("run").join("s"),
            credentials.display(),
        );
        std::fs::write(dir.path().join("config.toml"), config).unwrap();
        standin.reset_counters();
        Self { dir, standin }
    }

    fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    /// A daemon's life until everything is in sync: seconds, MiB read, peak MiB.
    fn life(&self) -> (f64, f64, f64) {
        let began = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_ferrybox"))
            .arg("--config")
            .arg(self.dir.path().join("config.toml"))
            .args(["--log", "error", "run"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut child = Killed(child);
        let socket = self.dir.path().join("run").join("s");
        let patience = began + Duration::from_secs(300);
        while state(&socket).as_deref() != Some("in_sync") {
            assert!(Instant::now() < patience, "in vain");
            std::thread::sleep(Duration::from_millis(20));
        }
        let seconds = began.elapsed().as_secs_f64();
        let told = |file: &str, key: &str| {
            let text = std::fs::read_to_string(format!("/proc/{}/{file}", child.0.id())).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default()
        };
        let (read, peak) = (told("io", "rchar:") / 1048576.0, told("status", "VmHWM:") / 1024.0);
        let _ =
            rustix::process::kill_process(rustix::process::Pid::from_child(&child.0), rustix::process::Signal::TERM);
        child.0.wait().unwrap();
        (seconds, read, peak)
    }

    fn row(&self, what: &str, without: f64) -> f64 {
        self.standin.reset_counters();
        let (seconds, read, peak) = self.life();
        assert!(self.standin.violations().is_empty(), "{:?}", self.standin.violations());
        let uploads = self.standin.data_transport_calls();
        let downloads = self.standin.calls_of("files/download");
        println!(
            "| {what} | {} | {seconds:.1} | {uploads} | {downloads} | {:.1} | {peak:.0} |",
            self.standin.file_count(),
            (read - without).max(0.0),
        );
        read
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

/// The folder's state, once everything has been scanned.
fn state(socket: &Path) -> Option<String> {
    let mut stream = std::os::unix::net::UnixStream::connect(socket).ok()?;
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    let json: serde_json::Value = serde_json::from_str(reply.split("\r\n\r\n").nth(1)?).ok()?;
    let account = json.get("accounts")?.get(0)?;
    let listed = account.get("remote")?.get("listing")?.as_bool()? || account.get("state")?.as_str()? != "idle";
    let state = account.get("folders")?.get(0)?.get("state")?.as_str()?.to_owned();
    (!listed).then_some(state)
}

fn main() {
    let files = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(100_000);
    println!("| what | files | seconds | upload calls | downloads | MiB read | peak MiB |");
    println!("|---|---|---|---|---|---|---|");
    let empty = Bench::new(0).life().1;
    let bench = Bench::new(files);
    bench.row("adoption of an equal tree", empty);
    bench.row("a restart", empty);
    // As after an older copy of the state came back: what was agreed on is forgotten, and both sides meet anew.
    std::fs::remove_file(bench.tree().join(".ferrybox").join("run-id")).unwrap();
    bench.row("both sides met anew", empty);
}
