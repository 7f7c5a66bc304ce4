//! The whole program on this machine, without a Dropbox account: `cargo run --release --example demo [FOLDER]`.
//!
//! Starts our stand-in Dropbox server on loopback, links an account the way a person would (address, code), lets the real program bring
//! FOLDER into it (default: a sample tree), and shows what arrived and what it cost. Then it stays, so that edits can be watched arriving.
//! `--once` ends after the first part.
#![allow(missing_docs, clippy::disallowed_methods, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use ferrybox_standin::{Contents, Settings, Standin};
use sha2::Digest;

/// As the first argument: be the program itself. The demo starts itself again this way, so that what runs is `ferrybox` and nothing like it.
const AS_PROGRAM: &str = "--as-ferrybox";

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    if args.get(1).is_some_and(|a| a == AS_PROGRAM) {
        args.remove(1);
        return ferrybox::cli::main(args);
    }
    let (mut once, mut folder) = (false, None);
    for arg in args.into_iter().skip(1) {
        match arg.to_str() {
            Some("--once") => once = true,
            Some("--help" | "-h") => {
                println!(
                    "Usage: demo [FOLDER] [--once]\n\nSyncs FOLDER (default: a sample tree) into a stand-in Dropbox on this machine."
                );
                return ExitCode::SUCCESS;
            }
            Some(option) if option.starts_with('-') => {
                eprintln!("demo: unknown option {option}; Usage: demo [FOLDER] [--once]");
                return ExitCode::from(64);
            }
            _ => folder = Some(PathBuf::from(arg)),
        }
    }
    match demo(folder, once) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

struct Demo {
    home: tempfile::TempDir,
    folder: PathBuf,
    standin: Standin,
    /// Where the folder goes in Dropbox, with a slash at the end.
    remote: String,
}

fn demo(folder: Option<PathBuf>, once: bool) -> anyhow::Result<()> {
    let home = tempfile::Builder::new().prefix("ferrybox-demo-").tempdir()?;
    let folder = match folder {
        Some(folder) => {
            ensure!(folder.is_dir(), "{} is not a folder", folder.display());
            folder.canonicalize()?
        }
        None => sample_tree(&home.path().join("sample"))?,
    };
    let name = folder.file_name().map_or_else(|| "Demo".to_owned(), |n| n.to_string_lossy().into_owned());
    // Contents of any size pass through and are hashed; nothing is kept, so that the demo needs no memory for them.
    let standin = Standin::spawn_thread(Settings { contents: Contents::HashOnly, ..Settings::default() })?;
    let before = Before::of(&folder)?;
    let demo = Demo { home, folder, standin, remote: format!("/{name}/") };
    println!("A stand-in Dropbox listens on {}; nothing leaves this machine.", demo.standin.url());
    let outcome = demo.play(once);
    let left = before.restore();
    outcome.and(left)
}

/// What the program keeps inside a synced folder, as it was before: the demo leaves the folder as it was, one that a real daemon syncs, too.
struct Before {
    own: PathBuf,
    files: BTreeMap<&'static str, Option<Vec<u8>>>,
    had_tmp: bool,
}

impl Before {
    fn of(folder: &Path) -> anyhow::Result<Self> {
        let own = folder.join(".ferrybox");
        let read = |name: &'static str| match std::fs::read(own.join(name)) {
            Ok(bytes) => Ok((name, Some(bytes))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok((name, None)),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", own.join(name).display())),
        };
        let files = ["root-id", "run-id", "lock"].into_iter().map(read).collect::<Result<_, _>>()?;
        let had_tmp = own.join("tmp").exists();
        Ok(Self { own, files, had_tmp })
    }

    fn restore(&self) -> anyhow::Result<()> {
        for (name, bytes) in &self.files {
            let path = self.own.join(name);
            match bytes {
                Some(bytes) if std::fs::read(&path).ok().as_ref() != Some(bytes) => std::fs::write(&path, bytes)?,
                Some(_) => {}
                None => drop(std::fs::remove_file(&path)),
            }
        }
        if !self.had_tmp {
            let _ = std::fs::remove_dir(self.own.join("tmp"));
        }
        let empty = self.files.values().all(Option::is_none);
        if empty && !self.had_tmp {
            // Whatever else is in there is not ours to remove.
            let _ = std::fs::remove_dir(&self.own);
            ensure!(!self.own.exists(), "{} is left: look what is in it, and remove it", self.own.display());
        }
        Ok(())
    }
}

impl Demo {
    fn play(&self, once: bool) -> anyhow::Result<()> {
        self.link()?;
        println!(
            "\n$ ferrybox run --once      # {} -> Dropbox:{}",
            self.folder.display(),
            self.remote.trim_end_matches('/')
        );
        let began = Instant::now();
        let mut run = self.program(&["run", "--once"]).spawn()?;
        let peak = watch_memory(&mut run);
        let seconds = began.elapsed().as_secs_f64();
        let code = run.wait()?.code();
        ensure!(matches!(code, Some(0 | 3)), "the sync did not finish (exit code {code:?})");
        self.show(seconds, peak)?;
        if code == Some(3) {
            println!("\nSome paths cannot be synced; each has its reason:");
            self.problems()?;
        }
        if !once {
            self.stay()?;
        }
        Ok(())
    }

    fn program(&self, args: &[&str]) -> Command {
        let this = std::env::current_exe().unwrap_or_else(|_| "demo".into());
        let mut command = Command::new(this);
        command.arg(AS_PROGRAM).arg("--config").arg(self.config()).args(args);
        command
    }

    fn config(&self) -> PathBuf {
        self.home.path().join("config.toml")
    }

    /// Writes the configuration and links the account: the demo plays the person, who opens the address and types the code.
    fn link(&self) -> anyhow::Result<()> {
        let url = self.standin.url();
        let home = self.home.path();
        let text = format!(
            "[daemon]\nstate_dir = {:?}\nsocket = {:?}\n\n[log]\npaths = true\n\n[watch]\nsettle = \"300ms\"\n\n[[account]]\nname = \"demo\"\napp_key = \"demo-app-key\"\n\
             credentials = \"file:{}\"\n\n[account.endpoints]\napi = {url:?}\ncontent = {url:?}\nnotify = {url:?}\nweb = {url:?}\n\n\
             [[account.folder]]\nlocal = {:?}\nremote = {:?}\nmode = \"backup\"\n",
            home.join("state"),
            home.join("run").join("ferrybox.sock"),
            home.join("credentials.json").display(),
            self.folder,
            self.remote.trim_end_matches('/'),
        );
        std::fs::write(self.config(), text)?;
        println!("\n$ ferrybox link demo");
        let mut link = self
            .program(&["link", "demo"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let mut out = BufReader::new(link.stdout.take().context("no output")?);
        let mut code = None;
        let mut line = String::new();
        while code.is_none() && out.read_line(&mut line)? > 0 {
            print!("  {line}");
            let address = line.split_whitespace().find(|word| word.starts_with("http"));
            code = address.map(|address| self.agree(address)).transpose()?;
            line.clear();
        }
        let code = code.context("`ferrybox link` showed no address")?;
        println!("  (the demo opens that address, agrees, and types the code)");
        writeln!(link.stdin.take().context("no input")?, "{code}")?;
        let mut rest = String::new();
        out.read_to_string(&mut rest)?;
        rest.lines().for_each(|line| println!("  {line}"));
        ensure!(link.wait()?.success(), "the account could not be linked");
        Ok(())
    }

    /// What a browser would do.
    fn agree(&self, address: &str) -> anyhow::Result<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        ferrybox::dropbox::install_tls_provider();
        let page: serde_json::Value = runtime.block_on(async {
            let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
            client.get(address).header("accept", "application/json").send().await?.error_for_status()?.json().await
        })?;
        Ok(page["code"].as_str().context("the page shows no code")?.to_owned())
    }

    /// What arrived, compared with the disk, and what it cost.
    fn show(&self, seconds: f64, peak: Option<u64>) -> anyhow::Result<()> {
        let remote: BTreeMap<String, (u64, String)> = self
            .standin
            .files()
            .into_iter()
            .filter_map(|f| Some((f.path_display.strip_prefix(&self.remote)?.to_owned(), (f.size, f.content_hash))))
            .collect();
        let bytes: u64 = remote.values().map(|(size, _)| size).sum();
        let mut different = Vec::new();
        for (path, (_, hash)) in &remote {
            if content_hash(&self.folder.join(path)).ok().as_ref() != Some(hash) {
                different.push(path.clone());
            }
        }
        println!("\nArrived: {} files, {}, in {seconds:.1} s", remote.len(), bytesize::ByteSize(bytes));
        for path in remote.keys().take(3) {
            println!("  {}{path}", self.remote);
        }
        if remote.len() > 3 {
            println!("  ... and {} more", remote.len() - 3);
        }
        if different.is_empty() {
            println!("Every content hash is the same on both sides.");
        } else {
            bail!("{} files differ, the first is {}", different.len(), different[0]);
        }
        let (counted, others): (Vec<_>, Vec<_>) = self
            .standin
            .calls()
            .into_iter()
            .filter(|(_, stats)| stats.calls > 0)
            .partition(|(route, _)| self.standin.is_data_transport(route));
        for (calls, text) in [(counted, "data-transport calls"), (others, "calls that do not count as that")] {
            println!("It cost {} {text}:", calls.iter().map(|(_, stats)| stats.calls).sum::<u64>());
            for (route, stats) in calls {
                println!("  {:>6} x {route}", stats.calls);
            }
        }
        if let Some(peak) = peak {
            println!("Peak memory of the program: {}", bytesize::ByteSize(peak));
        }
        let violations = self.standin.violations();
        ensure!(violations.is_empty(), "the server complains: {violations:?}");
        Ok(())
    }

    fn problems(&self) -> anyhow::Result<()> {
        let daemon = Background(self.program(&["run", "--quiet"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        self.wait_for_socket();
        let out = self.program(&["problems"]).output()?;
        drop(daemon);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines.iter().take(12).for_each(|line| println!("  {line}"));
        if lines.len() > 12 {
            println!("  ... and {} more lines", lines.len() - 12);
        }
        Ok(())
    }

    fn wait_for_socket(&self) {
        let socket = self.home.path().join("run").join("ferrybox.sock");
        let patience = Instant::now() + Duration::from_secs(10);
        while !socket.exists() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Keeps the program running and tells of each change that arrives.
    fn stay(&self) -> anyhow::Result<()> {
        let daemon = Background(self.program(&["run", "--quiet"]).stdin(Stdio::null()).spawn()?);
        self.wait_for_socket();
        let socket = self.home.path().join("run").join("ferrybox.sock");
        println!(
            "\nThe daemon keeps running. Edit or add a file in\n  {}\nand watch it arrive. The mode is `backup`: what you delete there stays in Dropbox. Ctrl-C ends the demo.",
            self.folder.display()
        );
        println!("Ask it in another terminal:\n  curl --unix-socket {} http://localhost/v1/status", socket.display());
        let mut known: BTreeMap<String, String> =
            self.standin.files().into_iter().map(|f| (f.path_display, f.rev)).collect();
        let mut seen = self.standin.changes();
        let stop = interrupted();
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            if !self.standin.wait_for_blocking(Duration::from_millis(200), |s| s.changes() != seen) {
                continue;
            }
            seen = self.standin.changes();
            for file in self.standin.files() {
                if known.get(&file.path_display) != Some(&file.rev) {
                    println!(
                        "arrived: {}  ({}, revision {})",
                        file.path_display,
                        bytesize::ByteSize(file.size),
                        file.rev
                    );
                    known.insert(file.path_display, file.rev);
                }
            }
        }
        drop(daemon);
        println!("\nDone.");
        Ok(())
    }
}

/// A child that is asked to stop when it is no longer needed.
struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

/// Becomes true at Ctrl-C.
fn interrupted() -> std::sync::Arc<std::sync::atomic::AtomicBool> {
    let flag = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let set = std::sync::Arc::clone(&flag);
    std::thread::spawn(move || {
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build()
            && runtime.block_on(tokio::signal::ctrl_c()).is_ok()
        {
            set.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    });
    flag
}

/// Waits for the child and notes the most memory that it held; only where /proc tells (Linux).
fn watch_memory(child: &mut Child) -> Option<u64> {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = None;
    loop {
        if let Ok(text) = std::fs::read_to_string(&status) {
            let kib = text
                .lines()
                .find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
            peak = kib.map(|kib| kib * 1024).or(peak);
        }
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            _ => return peak,
        }
    }
}

/// Dropbox's content hash, written out plainly and apart from the program's own: blocks of 4 MiB, hashed, and the hashes hashed.
fn content_hash(path: &Path) -> anyhow::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut outer = sha2::Sha256::new();
    let mut block = Vec::with_capacity(4 << 20);
    loop {
        block.clear();
        if (&mut file).take(4 << 20).read_to_end(&mut block)? == 0 {
            break;
        }
        outer.update(sha2::Sha256::digest(&block));
    }
    Ok(outer.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

/// 3,000 small files in 60 folders and one of 96 MiB.
fn sample_tree(root: &Path) -> anyhow::Result<PathBuf> {
    for folder in 0..60 {
        let dir = root.join(format!("project-{:02}", folder / 6)).join(format!("notes-{folder:02}"));
        std::fs::create_dir_all(&dir)?;
        for file in 0..50 {
            let size = 200 + (folder * 50 + file) * 7 % 9_000;
            let text: String = format!("note {file} of folder {folder}\n").repeat(size / 24);
            std::fs::write(dir.join(format!("note-{file:02}.txt")), text)?;
        }
    }
    let mut movie = std::fs::File::create(root.join("movie.bin"))?;
    for i in 0..96_u8 {
        movie.write_all(&vec![i; 1 << 20])?;
    }
    Ok(root.to_owned())
}
