//! What the main job costs: `cargo bench --bench upload [NAME]`. Starts the real program against the stand-in on loopback and prints a table.
//!
//! `BENCH_CALLS=1` lists the calls by route. Each row is a fresh state directory and a fresh server. Rates contain the server's own work on the same cores, so that they are lower bounds.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing
)]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ferrybox_standin::{Contents, Settings, Standin};

struct Bench {
    dir: tempfile::TempDir,
    standin: Standin,
}

impl Bench {
    fn new(settings: Settings, extra: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let standin = Standin::spawn_thread(Settings { contents: Contents::HashOnly, ..settings }).unwrap();
        std::fs::create_dir(dir.path().join("tree")).unwrap();
        let credentials = dir.path().join("credentials.json");
        std::fs::write(&credentials, format!(r#"{{"refresh_token": "{}", "app_key": "k"}}"#, standin.refresh_token()))
            .unwrap();
        std::fs::set_permissions(&credentials, std::fs::Permissions::from_mode(0o600)).unwrap();
        let url = standin.url();
        let config = format!(
            "[daemon]\nstate_dir = {:?}\nsocket = {:?}\n{extra}\n[[account]]\nname = \"bench\"\napp_key = \"k\"\ncredentials = \"file:{}\"\n\
             [account.endpoints]\napi = {url:?}\ncontent = {url:?}\nnotify = {url:?}\nweb = {url:?}\n\
             [[account.folder]]\nlocal = {:?}\nremote = \"/T\"\nmode = \"backup\"\n",
            dir.path().join("state"),
            dir.path().join("run").join("s"),
            credentials.display(),
            dir.path().join("tree"),
        );
        std::fs::write(dir.path().join("config.toml"), config).unwrap();
        Self { dir, standin }
    }

    fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    fn start(&self, args: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_ferrybox"))
            .arg("--config")
            .arg(self.dir.path().join("config.toml"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap()
    }

    /// `run --once`: seconds and peak memory in MiB.
    fn once(&self) -> (f64, f64) {
        let began = Instant::now();
        let mut child =
            self.start(&["--log", &std::env::var("BENCH_LOG").unwrap_or_else(|_| "error".into()), "run", "--once"]);
        let mut peak = 0.0;
        loop {
            peak = memory(&child).unwrap_or(peak);
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return (began.elapsed().as_secs_f64(), peak);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn row(&self, name: &str, bytes: u64) {
        let (seconds, peak) = self.once();
        let files = self.standin.file_count();
        assert!(self.standin.violations().is_empty(), "{:?}", self.standin.violations());
        #[allow(clippy::cast_precision_loss)]
        let (files_s, mib_s) = (files as f64 / seconds, bytes as f64 / 1048576.0 / seconds);
        if std::env::var_os("BENCH_CALLS").is_some() {
            for (route, stats) in self.standin.calls() {
                eprintln!("    {:>6} x {route}", stats.calls);
            }
        }
        println!(
            "| {name} | {files} | {seconds:.2} | {files_s:.0} | {mib_s:.0} | {} | {peak:.0} |",
            self.standin.data_transport_calls()
        );
    }
}

/// Peak resident memory of a child in MiB, where /proc tells.
fn memory(child: &Child) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let kib: f64 =
        text.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok())?;
    Some(kib / 1024.0)
}

fn small_files(n: usize, size: usize, settings: Settings) -> Bench {
    let bench = Bench::new(settings, "");
    let content = vec![b'x'; size];
    for i in 0..n {
        let dir = bench.tree().join(format!("d{}", i / 100));
        if i % 100 == 0 {
            std::fs::create_dir(&dir).unwrap();
        }
        let mut file = std::fs::File::create(dir.join(format!("f{i}"))).unwrap();
        file.write_all(&content[..size - 8]).unwrap();
        write!(file, "{i:08}").unwrap();
        // Old enough to be read at once.
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_600_000_000)).unwrap();
    }
    bench
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let want = |name: &str| wanted.is_empty() || wanted.iter().any(|w| name.contains(w.as_str()));
    println!("| what | files | seconds | files/s | MiB/s | data-transport calls | peak MiB |");
    println!("|---|---|---|---|---|---|---|");
    if want("1k") {
        small_files(1_000, 4_096, Settings::default()).row("1k: 1,000 x 4 KiB", 4_096_000);
    }
    if want("10k") {
        small_files(10_000, 4_096, Settings::default()).row("10k: 10,000 x 4 KiB", 40_960_000);
    }
    if want("latency") {
        let settings = Settings { latency: Duration::from_millis(100), ..Settings::default() };
        small_files(10_000, 4_096, settings).row("latency: 10,000 x 4 KiB, 100 ms a call", 40_960_000);
    }
    if want("100k") {
        small_files(100_000, 1_024, Settings::default()).row("100k: 100,000 x 1 KiB", 102_400_000);
    }
    if want("medium") {
        small_files(2_000, 256 << 10, Settings::default()).row("medium: 2,000 x 256 KiB", 2_000 * (256 << 10));
    }
    if want("large") {
        let bench = Bench::new(Settings::default(), "");
        let mut file = std::fs::File::create(bench.tree().join("large.bin")).unwrap();
        for i in 0..1_024_u32 {
            file.write_all(&vec![u8::try_from(i % 251).unwrap(); 1 << 20]).unwrap();
        }
        drop(file);
        bench.row("large: 1 x 1 GiB", 1 << 30);
    }
    if want("burst") {
        burst(100_000);
    }
}

/// How fast a burst of created files becomes rows, with a daemon that watches. Nothing is uploaded meanwhile: files rest for minutes.
fn burst(n: usize) {
    let bench = Bench::new(Settings::default(), "[watch]\nsettle = \"10m\"\n");
    let dirs = 100;
    for d in 0..dirs {
        std::fs::create_dir(bench.tree().join(format!("d{d}"))).unwrap();
    }
    let mut child = bench.start(&["--log", "error", "run"]);
    let socket = bench.dir.path().join("run").join("s");
    wait_for(|| pending(&socket).is_some());
    wait_for(|| pending(&socket).is_some_and(|(_, state)| state == "in_sync"));
    let began = Instant::now();
    for i in 0..n {
        std::fs::write(bench.tree().join(format!("d{}/f{i}", i % dirs)), b"x").unwrap();
    }
    let created = began.elapsed().as_secs_f64();
    wait_for(|| pending(&socket).is_some_and(|(rows, _)| rows == n as u64));
    let enqueued = began.elapsed().as_secs_f64();
    let peak = memory(&child).unwrap_or(0.0);
    child.kill().unwrap();
    child.wait().unwrap();
    #[allow(clippy::cast_precision_loss)]
    let rate = n as f64;
    println!(
        "\nburst of {n} files: created in {created:.2} s ({:.0}/s); all rows there after {enqueued:.2} s ({:.0}/s from the first file on); peak {peak:.0} MiB",
        rate / created,
        rate / enqueued
    );
}

fn wait_for(mut done: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(120);
    while !done() {
        assert!(Instant::now() < patience, "in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Rows that wait, and the folder's state, as the socket says.
fn pending(socket: &std::path::Path) -> Option<(u64, String)> {
    use std::io::Read;
    let mut stream = std::os::unix::net::UnixStream::connect(socket).ok()?;
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    let json: serde_json::Value = serde_json::from_str(reply.split("\r\n\r\n").nth(1)?).ok()?;
    let folder = &json["accounts"][0]["folders"][0];
    Some((folder["pending"]["uploads"].as_u64()?, folder["state"].as_str()?.to_owned()))
}
