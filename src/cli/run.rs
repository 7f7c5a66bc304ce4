//! `ferrybox run`: the daemon in the foreground.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use indicatif::MultiProgress;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::progress::View;
use super::render::escape;
use super::{Common, FAILED, OK, PROBLEMS, STATE, UNFINISHED, USAGE, Usage, check_folders, progress};
use crate::config::Config;
use crate::daemon::{self, End, Process, ReloadAsked, RunOptions, notify};
use crate::env;
use crate::model::status::Status;

/// The same number on every system that this runs on.
const SIGXFSZ: i32 = 25;

/// Threads that wait for the disk, besides one a folder.
const DISK_THREADS: usize = 12;

/// Run the daemon in the foreground; systemd and launchd start this
#[derive(Debug, Args)]
#[command(after_help = "Example:
  ferrybox run
  ferrybox run --once --quiet || echo \"backup needs a look\"

SIGTERM or SIGINT lets work under way come to an end; a second one ends the program at once. SIGHUP, on a terminal
too, and `ferrybox reload` read the configuration again and start over with it; if something is wrong in it, the old
one stays.

Exit codes: 0 all in sync, or stopped as asked; 3 finished, but some paths have problems; 4 could not finish
(offline, the link was revoked, held back); 64 the command line or the configuration is wrong, or an account was
never linked; 74 the state database cannot be used; 1 anything else")]
pub(super) struct Run {
    /// Bring everything into sync, then exit
    #[arg(long)]
    once: bool,
}

impl Run {
    pub(super) fn execute(&self, common: &Common) -> anyhow::Result<u8> {
        let config = checked(common)?;
        let on_a_terminal = std::io::stderr().is_terminal();
        let bars = (on_a_terminal && !common.quiet).then(MultiProgress::new);
        let view = match &bars {
            Some(bars) => View::Bars(bars.clone()),
            None if std::io::stdout().is_terminal() => View::Lines,
            None => View::Log,
        };
        crate::logging::start(&config.log, bars).map_err(Usage)?;
        keep_memory_private();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            // Each thread that reads files costs memory; a folder's scan holds one for as long as it lasts.
            .max_blocking_threads(DISK_THREADS + config.accounts.iter().map(|a| a.folders.len()).sum::<usize>())
            .build()?;
        let supervisor = Supervisor {
            common,
            options: RunOptions { once: self.once },
            view,
            reloads: !self.once,
            process: Arc::default(),
        };
        let end = runtime.block_on(supervisor.supervise(config));
        // Work that still blocks a thread has lost its chance.
        runtime.shutdown_timeout(Duration::from_secs(1));
        Ok(tell(end?, common.quiet))
    }
}

fn checked(common: &Common) -> anyhow::Result<Config> {
    let loaded = common.load_to_run()?;
    let config = loaded.config;
    check_folders(&config)?;
    Ok(config)
}

/// Runs the daemon, shows its progress, and passes signals on.
struct Supervisor<'a> {
    common: &'a Common,
    options: RunOptions,
    view: View,
    reloads: bool,
    process: Arc<Process>,
}

impl Supervisor<'_> {
    async fn supervise(&self, mut config: Config) -> anyhow::Result<End> {
        let mut keeper = JoinSet::new();
        keeper.spawn(notify::run(Arc::clone(&self.process)));
        let mut signals =
            [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?];
        // A file that may not become larger is an error where it is written, and not the end of the program.
        let _too_large = signal(SignalKind::from_raw(SIGXFSZ))?;
        let mut reloads = self.process.reloads().context("the daemon was started twice")?;
        // The last one that everything could be opened with, until a newer one has come so far.
        let mut old: Option<Config> = None;
        loop {
            let before = self.process.times_ready();
            let life = self.one_life(config.clone(), &mut signals, &mut reloads).await?;
            let was_ready = self.process.times_ready() > before;
            if was_ready {
                old = None;
            }
            match (life, old.take()) {
                // Right in itself, and yet not everything could be opened with it (the disk may be full): the daemon goes on with the one that could.
                (Life::Over(end), Some(last)) => {
                    let reason = words(end).map(|(_, text)| text).unwrap_or_default();
                    tracing::error!(
                        reason,
                        "not everything could be opened after the configuration was read again: the daemon goes on with the old one"
                    );
                    config = last;
                }
                (Life::Over(end), None) | (Life::Stopped(end), _) => return Ok(end),
                (Life::Again(next), last) => {
                    let this = std::mem::replace(&mut config, *next);
                    old = if was_ready { Some(this) } else { last };
                }
            }
        }
    }

    /// From one start of the daemon to its end. After SIGHUP with a good configuration there is a next life with that.
    async fn one_life(
        &self,
        config: Config,
        signals: &mut [Signal; 3],
        reloads: &mut mpsc::Receiver<ReloadAsked>,
    ) -> anyhow::Result<Life> {
        let stop = CancellationToken::new();
        let (tx, rx) = watch::channel(Status::default());
        let mut daemon = JoinSet::new();
        daemon.spawn(daemon::run(config, self.options, tx, stop.clone(), Arc::clone(&self.process)));
        let mut view = JoinSet::new();
        // systemd shows the status by itself; progress every half minute helps nobody in its journal.
        if !self.common.quiet && std::env::var_os("NOTIFY_SOCKET").is_none() {
            view.spawn(progress::show(rx, self.view.clone()));
        }
        let mut next = None;
        let mut ending = false;
        let end = loop {
            let mut asked = None;
            let reload = tokio::select! {
                end = daemon.join_next() => {
                    let end = end.context("the daemon was never started")?;
                    break end.unwrap_or_else(|error| End::Failed(format!("the daemon broke off; this is a bug: {error}")));
                }
                hangup = any(signals) => match (hangup, self.reloads) {
                    (false, _) => false,
                    (true, true) => true,
                    (true, false) => {
                        tracing::info!("`run --once` reads its configuration only once");
                        continue;
                    }
                },
                Some(reply) = reloads.recv() => {
                    asked = Some(reply);
                    true
                }
            };
            if let Some(reply) = asked.take_if(|_| !self.reloads || ending) {
                let _ = reply.send(Err("it ends by itself, and reads its configuration only once".to_owned()));
                continue;
            }
            if !reload {
                if ending {
                    return Ok(Life::Stopped(End::Unfinished("ended at once by a second signal".to_owned())));
                }
                notify::stopping();
                tracing::info!("stopping; a second signal ends the program at once");
                ending = true;
                stop.cancel();
                continue;
            }
            notify::reloading();
            match checked(self.common) {
                Ok(config) => {
                    tracing::info!("the configuration was read again; starting over with it");
                    next = Some(Box::new(config));
                    if let Some(reply) = asked {
                        let _ = reply.send(Ok(()));
                    }
                    stop.cancel();
                }
                // As a whole or not at all: the old one stays.
                Err(error) => {
                    tracing::error!(%error, "the configuration was not taken over");
                    if let Some(reply) = asked {
                        let _ = reply.send(Err(format!("{error:#}")));
                    }
                    notify::ready();
                }
            }
        };
        // The view sees that no more statuses come, and draws the last one.
        drop(env::timeout(Duration::from_millis(500), view.join_next()).await);
        Ok(match next {
            Some(next) if !ending && end == End::InSync => Life::Again(next),
            _ if ending => Life::Stopped(end),
            _ => Life::Over(end),
        })
    }
}

/// How one life of the daemon ended.
enum Life {
    /// By itself.
    Over(End),
    /// As a signal asked.
    Stopped(End),
    /// With a good configuration that is to take its place.
    Again(Box<Config>),
}

/// Waits for a signal; says whether it was SIGHUP.
async fn any([terminate, interrupt, hangup]: &mut [Signal; 3]) -> bool {
    tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        _ = hangup.recv() => true,
    }
}

/// No core dumps and no tracing by other programs of the same user: tokens are in memory.
fn keep_memory_private() {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// The exit code of an end, and what to say of it; none where all is well.
fn words(end: End) -> Option<(u8, String)> {
    Some(match end {
        End::InSync => return None,
        End::Problems => (PROBLEMS, "finished, but some paths have problems".to_owned()),
        End::Unfinished(reason) => (UNFINISHED, format!("could not finish: {reason}")),
        End::Usage(text) => (USAGE, text),
        End::State(text) => (STATE, text),
        End::Failed(text) => (FAILED, text),
    })
}

/// The last word, and the exit code.
fn tell(end: End, quiet: bool) -> u8 {
    let Some((code, text)) = words(end) else { return OK };
    if !(quiet && code == PROBLEMS) {
        anstream::eprintln!("ferrybox: {}", escape(&text));
    }
    code
}
