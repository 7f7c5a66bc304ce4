//! What the program says while it runs: to the journal when that is where standard error goes, else lines of text, or JSON on request.
//!
//! File names are private: above debug they stand in lines only with `log.paths = true`. [`path`] decides that for every caller.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::MultiProgress;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::{Log, LogFormat};

/// Crates below us speak up only when something is wrong, unless `log.level` names them.
const BELOW: &str = "hyper=warn,hyper_util=warn,h2=warn,reqwest=warn,rustls=warn,tower=warn,zbus=warn,mio=warn,ignore=warn,globset=warn,rusqlite_migration=warn";

static PATHS: AtomicBool = AtomicBool::new(false);
static BARS: OnceLock<MultiProgress> = OnceLock::new();

/// Starts logging for the whole process. `bars`: progress bars that a line must not be written into.
///
/// # Errors
/// Logging has been started before, or the level is not one.
pub fn start(log: &Log, bars: Option<MultiProgress>) -> Result<(), String> {
    PATHS.store(log.paths, Ordering::Relaxed);
    if let Some(bars) = bars {
        let _ = BARS.set(bars);
    }
    let filter = EnvFilter::builder()
        .parse(format!("{BELOW},{}", log.level))
        .map_err(|error| format!("log.level `{}`: {error}", log.level))?;
    tracing_subscriber::registry().with(layer(log.format)).with(filter).try_init().map_err(|error| error.to_string())
}

fn layer(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let journal = match format {
        LogFormat::Journald => true,
        LogFormat::Auto => stderr_is_the_journal(),
        LogFormat::Text | LogFormat::Json => false,
    };
    #[cfg(target_os = "linux")]
    if journal && let Ok(journald) = tracing_journald::layer() {
        return journald.boxed();
    }
    let lines = tracing_subscriber::fmt::layer().with_writer(Lines);
    if format == LogFormat::Json {
        return lines.json().with_ansi(false).boxed();
    }
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    // The journal writes the time itself, and whatever reads our standard error there too.
    if journal { lines.with_ansi(false).without_time().boxed() } else { lines.with_ansi(colour).boxed() }
}

/// systemd says which device and inode the journal's stream is, so that a redirected standard error is told apart.
fn stderr_is_the_journal() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

/// A file's name as it may stand in a line above debug.
pub fn path(path: &str) -> impl fmt::Display + '_ {
    let shown = if PATHS.load(Ordering::Relaxed) { path } else { "(name withheld: log.paths is false)" };
    shown.escape_debug()
}

/// Standard error, with progress bars lifted out of the way.
struct Lines;

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;
    fn make_writer(&'a self) -> Line {
        Line(Vec::new())
    }
}

/// One event, written at once when it is complete.
struct Line(Vec<u8>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let write = || drop(io::stderr().lock().write_all(&self.0));
        match BARS.get() {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }
}
