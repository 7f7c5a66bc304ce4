//! The commands: one file each. They read the configuration, talk to the running daemon over its socket, or are the daemon (`run`).
//!
//! A command gives its exit code, or an error whose kind decides the code: see [`code`].

mod add;
mod approve;
mod client;
mod completions;
mod config;
mod conflicts;
mod explain;
mod history;
mod link;
mod ls;
mod man;
mod pages;
mod pause;
mod place;
mod plan;
mod problems;
mod progress;
mod reject;
mod reload;
mod remove;
mod render;
mod restore;
mod resume;
mod run;
mod service;
mod status;
mod sync;
mod unlink;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigErrors, EditError, LoadOptions, Loaded, Surroundings};

/// Everything is as it should be.
const OK: u8 = 0;
/// Anything that has no code of its own.
const FAILED: u8 = 1;
/// Finished, but some paths have problems.
const PROBLEMS: u8 = 3;
/// Could not finish, or no daemon runs.
const UNFINISHED: u8 = 4;
/// The command line or the configuration.
const USAGE: u8 = 64;
/// The state database.
const STATE: u8 = 74;

const EXIT_CODES: &str = "Exit codes:
  0   done; everything is in sync
  1   something else failed
  3   finished, but some paths have problems (ferrybox problems lists them)
  4   could not finish: offline, the link was revoked, held back, or no daemon runs
  64  the command line or the configuration is wrong, or an account was never linked
  74  the state database cannot be used";

/// A headless Dropbox sync daemon, and its commands.
#[derive(Debug, Parser)]
#[command(name = "ferrybox", version, after_help = EXIT_CODES, after_long_help = format!("{TOP}\n\n{EXIT_CODES}"))]
#[command(subcommand_required = true, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

const TOP: &str = "Example:
  ferrybox link
  ferrybox add ~/Documents /Documents
  ferrybox run";

/// Options of every command.
#[derive(Debug, Args)]
struct Common {
    /// Read this configuration file in place of /etc/ferrybox/config.toml and ~/.config/ferrybox/config.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Log at this level: error, warn, info, debug, trace, or directives such as info,ferrybox=debug
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<String>,
    /// Say only what went wrong, or needs a person: warnings and errors
    #[arg(long, short, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Link(link::Link),
    Unlink(unlink::Unlink),
    Run(run::Run),
    Status(status::Status),
    Sync(sync::Sync),
    Pause(pause::Pause),
    Resume(resume::Resume),
    Ls(ls::Ls),
    Plan(plan::Plan),
    Explain(explain::Explain),
    Problems(problems::Problems),
    Conflicts(conflicts::Conflicts),
    History(history::History),
    Approve(approve::Approve),
    Reject(reject::Reject),
    Restore(restore::Restore),
    Add(add::Add),
    Remove(remove::Remove),
    Reload(reload::Reload),
    Config(config::ConfigCommand),
    Service(service::Service),
    Completions(completions::Completions),
    Man(man::Man),
}

/// A mistake of the caller's, for code 64.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Could not finish, for code 4.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unfinished(String);

/// The state database, for code 74.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct State(String);

impl Common {
    fn options(&self, look_at_disk: bool) -> LoadOptions {
        LoadOptions {
            file: self.config.clone(),
            log_level: self.log.clone().or_else(|| self.quiet.then(|| "warn".to_owned())),
            surroundings: Surroundings::of_process(),
            look_at_disk,
            folders_may_be_missing: false,
        }
    }

    /// The configuration for the daemon itself, which knows what it has met before and so waits for a disk that is not mounted yet.
    fn load_to_run(&self) -> Result<Loaded, ConfigErrors> {
        Config::load(&LoadOptions { folders_may_be_missing: true, ..self.options(true) })
    }

    /// The configuration for a command that judges it.
    fn load(&self) -> Result<Loaded, ConfigErrors> {
        Config::load(&self.options(true))
    }

    /// The configuration for a command that only talks to the daemon: a missing disk must not hide the status.
    fn load_lightly(&self) -> Result<Loaded, ConfigErrors> {
        Config::load(&self.options(false))
    }

    /// The file that `add`, `remove` and `link` write.
    fn file_to_edit(&self, options: &LoadOptions) -> anyhow::Result<PathBuf> {
        if let Some(file) = &self.config {
            return Ok(std::path::absolute(file)?);
        }
        let around = &options.surroundings;
        if around.user_file.as_os_str().is_empty() {
            return Err(Usage("there is no home directory: say --config FILE".to_owned()).into());
        }
        // A list replaces the list below it: an account in the user's file would make the system's accounts vanish.
        let names = |path| crate::config::Edit::open(path).map(|edit| edit.account_names()).unwrap_or_default();
        if names(&around.user_file).is_empty() && !names(&around.system_file).is_empty() {
            let system = around.system_file.display();
            return Err(
                Usage(format!("the accounts are in {system}: say --config {system} to change that file")).into()
            );
        }
        Ok(around.user_file.clone())
    }
}

/// The whole program: arguments (the program's own name first) to exit code.
pub fn main<I, T>(args: I) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            drop(error.print());
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::from(OK),
                _ => ExitCode::from(USAGE),
            };
        }
    };
    let common = &cli.common;
    let result = match &cli.command {
        Command::Link(link) => link.execute(common),
        Command::Unlink(unlink) => unlink.execute(common),
        Command::Run(run) => run.execute(common),
        Command::Status(status) => status.execute(common),
        Command::Sync(sync) => sync.execute(common),
        Command::Pause(pause) => pause.execute(common),
        Command::Resume(resume) => resume.execute(common),
        Command::Ls(ls) => ls.execute(common),
        Command::Plan(plan) => plan.execute(common),
        Command::Explain(explain) => explain.execute(common),
        Command::Problems(problems) => problems.execute(common),
        Command::Conflicts(conflicts) => conflicts.execute(common),
        Command::History(history) => history.execute(common),
        Command::Approve(approve) => approve.execute(common),
        Command::Reject(reject) => reject.execute(common),
        Command::Restore(restore) => restore.execute(common),
        Command::Add(add) => add.execute(common),
        Command::Remove(remove) => remove.execute(common),
        Command::Reload(reload) => reload.execute(common),
        Command::Config(config) => config.execute(common),
        Command::Service(service) => service.execute(common),
        Command::Completions(completions) => completions.execute(),
        Command::Man(man) => man.execute(),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_broken_pipe(&error) => ExitCode::from(OK),
        Err(error) => {
            for line in format!("{error:#}").lines() {
                anstream::eprintln!("ferrybox: {}", render::escape(line));
            }
            ExitCode::from(code(&error))
        }
    }
}

/// What there must be before a daemon makes sense.
fn check_folders(config: &Config) -> Result<(), Usage> {
    if config.accounts.is_empty() {
        return Err(Usage("no account is configured: run `ferrybox link`".to_owned()));
    }
    if config.accounts.iter().all(|a| a.folders.is_empty()) {
        return Err(Usage("no folder is configured: run `ferrybox add LOCAL REMOTE`".to_owned()));
    }
    Ok(())
}

/// The exit code of an error, by its kind.
fn code(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigErrors>() || error.is::<Usage>() {
        return USAGE;
    }
    if error.is::<Unfinished>() || error.is::<client::NotRunning>() {
        return UNFINISHED;
    }
    if error.is::<State>() {
        return STATE;
    }
    match error.downcast_ref::<EditError>() {
        Some(EditError::Io(..)) | None => FAILED,
        Some(_) => USAGE,
    }
}

/// Whoever read our output has read enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes to standard output, with colour only where that is a terminal (and never with `NO_COLOR`).
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// A runtime for commands that ask the daemon.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
