//! `ferrybox run`: the daemon in the foreground.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use indicatif::MultiProgress;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::render::escape;
use super::{Common, FAILED, OK, PROBLEMS, STATE, UNFINISHED, USAGE, Usage, progress};
use crate::config::Config;
use crate::daemon::{self, End, RunOptions};
use crate::model::status::Status;

/// Run the daemon in the foreground; systemd and launchd start this
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox run
  ferrybox run --once --quiet || echo \"backup needs a look\"

SIGTERM or SIGINT lets work under way come to an end; a second one ends the program at once.

Exit codes: 0 all in sync, or stopped as asked; 3 finished, but some paths have problems; 4 could not finish
(offline, link needed, held back by the guard); 64 the command line or the configuration is wrong; 74 the state
database cannot be used; 1 anything else")]
pub(super) struct Run {
    /// Bring everything into sync, then exit
    #[arg(long)]
    once: bool,
}

impl Run {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        let loaded = common.load()?;
        loaded.runnable()?;
        let config = loaded.config;
        if config.accounts.is_empty() {
            return Err(Usage("no account is configured: run `ferrybox link`".to_owned()).into());
        }
        if config.accounts.iter().all(|a| a.folders.is_empty()) {
            return Err(Usage("no folder is configured: run `ferrybox add LOCAL REMOTE`".to_owned()).into());
        }
        let on_a_terminal = std::io::stderr().is_terminal() && !common.quiet;
        let bars = on_a_terminal.then(MultiProgress::new);
        crate::logging::start(&config.log, bars.clone()).map_err(Usage)?;
        keep_memory_private();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let end = runtime.block_on(supervise(config, RunOptions { once: self.once }, bars, common.quiet));
        // Work that still blocks a thread has lost its chance.
        runtime.shutdown_timeout(Duration::from_secs(1));
        Ok(tell(end?, common.quiet))
    }
}

/// Runs the daemon, shows its progress, and passes signals on.
async fn supervise(
    config: Config,
    options: RunOptions,
    bars: Option<MultiProgress>,
    quiet: bool,
) -> anyhow::Result<End> {
    let mut signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let stop = CancellationToken::new();
    let (tx, rx) = watch::channel(Status::default());
    let mut daemon = JoinSet::new();
    daemon.spawn(daemon::run(config, options, tx, stop.clone()));
    let mut view = JoinSet::new();
    if !quiet {
        view.spawn(progress::show(rx, bars));
    }
    let end = loop {
        tokio::select! {
            end = daemon.join_next() => {
                break end.context("the daemon was never started")?.context("the daemon broke off; this is a bug")?;
            }
            () = any(&mut signals) => {
                if stop.is_cancelled() {
                    break End::Unfinished("ended at once by a second signal".to_owned());
                }
                tracing::info!("stopping; a second signal ends the program at once");
                stop.cancel();
            }
        }
    };
    // The view sees that no more statuses come, and draws the last one.
    drop(tokio::time::timeout(Duration::from_millis(500), view.join_next()).await);
    Ok(end)
}

async fn any([terminate, interrupt]: &mut [Signal; 2]) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// No core dumps and no tracing by other programs of the same user: tokens are in memory.
fn keep_memory_private() {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// The last word, and the exit code.
fn tell(end: End, quiet: bool) -> u8 {
    let (code, text) = match end {
        End::InSync => return OK,
        End::Problems => (PROBLEMS, "finished, but some paths have problems".to_owned()),
        End::Unfinished(reason) => (UNFINISHED, format!("could not finish: {reason}")),
        End::Usage(text) => (USAGE, text),
        End::State(text) => (STATE, text),
        End::Failed(text) => (FAILED, text),
    };
    if !(quiet && code == PROBLEMS) {
        anstream::eprintln!("ferrybox: {}", escape(&text));
    }
    code
}
